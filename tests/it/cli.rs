//! The command line as a person or a script meets it: exit status, sentences, documents.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;
use tempfile::TempDir;

fn bearward(arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    bearward_in(folder.path(), arguments)
}

fn bearward_in(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bearward")).args(arguments).current_dir(folder).output().unwrap()
}

fn status(output: &Output) -> Option<i32> {
    output.status.code()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no document: {output:?}"))
}

/// A folder with a configuration whose state lives in it.
fn set_up(more: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "hostname = \"mail.example.org\"\ndata_dir = \"data\"\n[backend.main]\nimap = [\"imaps://127.0.0.1:1\"]\n{more}"
    );
    fs::write(folder.path().join("bearward.toml"), text).unwrap();
    folder
}

#[test]
fn help_and_version_are_results_not_faults() {
    for argument in ["--help", "-h", "--version", "-V"] {
        let output = bearward(&[argument]);
        assert_eq!(status(&output), Some(0), "{argument}");
        assert!(out(&output).contains("bearward"), "{argument}");
        assert_eq!(err(&output), "", "{argument}");
    }
}

#[test]
fn wrong_usage_is_one_sentence_and_status_2() {
    let cases: [&[&str]; 5] =
        [&[], &["conifg"], &["config"], &["config", "show", "--jsom"], &["session", "kill", "not-a-name"]];
    for arguments in cases {
        let output = bearward(arguments);
        assert_eq!(status(&output), Some(2), "{arguments:?}");
        assert_eq!(out(&output), "", "{arguments:?}");
        let said = err(&output);
        assert!(said.starts_with("bearward: ") && said.lines().count() == 1, "{arguments:?}: {said}");
    }
    assert!(err(&bearward(&["conifg"])).contains("'config'"), "names the nearest command");
}

#[test]
fn wrong_usage_with_json_is_a_document() {
    let output = bearward(&["--json", "conifg"]);
    assert_eq!(status(&output), Some(2));
    let error = &json(&output)["error"];
    assert!(error["message"].as_str().unwrap().contains("conifg"), "{error}");
    for key in ["file", "line", "key"] {
        assert!(error[key].is_null(), "{error}");
    }
    assert!(error["help"].is_string(), "{error}");
}

#[test]
fn a_faulty_file_is_told_with_file_line_key_and_help() {
    let folder = set_up("[limits]\nconections = 5\n");
    let output = bearward_in(folder.path(), &["-c", "bearward.toml", "config", "show", "--json"]);
    assert_eq!(status(&output), Some(2));
    let expected = serde_json::json!({ "error": {
        "message": "unknown key `conections`",
        "file": "bearward.toml",
        "line": 6,
        "key": "limits.conections",
        "help": "did you mean `connections`?",
    }});
    assert_eq!(json(&output), expected);
    assert_eq!(
        err(&output),
        "bearward: bearward.toml:6: limits.conections: unknown key `conections`; did you mean `connections`?\n"
    );
}

#[test]
fn a_missing_file_is_status_2_whether_it_was_named_or_not() {
    let output = bearward(&["-c", "no-such.toml", "config", "show"]);
    assert_eq!(status(&output), Some(2));
    assert!(err(&output).starts_with("bearward: no-such.toml: cannot be read: "), "{}", err(&output));
    let output = bearward(&["config", "show"]);
    assert_eq!(status(&output), Some(2));
    assert!(err(&output).contains("neither /etc/bearward/bearward.toml nor config/bearward.toml"));
}

#[test]
fn the_default_file_is_a_configuration_that_says_nothing_but_the_defaults() {
    let folder = tempfile::tempdir().unwrap();
    let printed = out(&bearward(&["config", "default"]));
    fs::create_dir(folder.path().join("config")).unwrap();
    fs::write(folder.path().join("config/bearward.toml"), &printed).unwrap();
    let shown = bearward_in(folder.path(), &["config", "show", "--json"]);
    assert_eq!(status(&shown), Some(0), "{}", err(&shown));
    let minimal = set_up("");
    let minimal = bearward_in(minimal.path(), &["-c", "bearward.toml", "config", "show", "--json"]);
    for section in
        ["tls", "issuer", "directory", "passwords", "session", "limits", "telemetry", "admin", "route"]
    {
        assert_eq!(json(&shown)[section], json(&minimal)[section], "{section}");
    }
}

#[test]
fn the_schema_is_a_document() {
    let schema = json(&bearward(&["config", "schema"]));
    assert_eq!(schema["properties"]["hostname"]["type"][0], "string");
    assert_eq!(schema["additionalProperties"], false);
}

#[test]
fn what_is_shown_hides_secrets_and_follows_the_environment() {
    let folder =
        set_up("login = \"master\"\n[backend.main.master]\nuser = \"m\"\npassword = \"swordfish\"\n");
    for arguments in
        [&["-c", "bearward.toml", "config", "show"][..], &["-c", "bearward.toml", "--json", "config", "show"]]
    {
        let output = Command::new(env!("CARGO_BIN_EXE_bearward"))
            .args(arguments)
            .env("BEARWARD_LIMITS__PER_IP", "77")
            .current_dir(folder.path())
            .output()
            .unwrap();
        let shown = out(&output);
        assert!(shown.contains("********") && !shown.contains("swordfish"), "{shown}");
        assert!(shown.contains("77"), "{shown}");
    }
}

#[test]
fn a_command_for_a_running_server_says_that_none_runs() {
    let folder = set_up("");
    let output = bearward_in(folder.path(), &["-c", "bearward.toml", "session", "list", "--json"]);
    assert_eq!(status(&output), Some(1));
    assert!(err(&output).contains("no server runs"), "{}", err(&output));
    assert!(json(&output)["error"]["message"].as_str().unwrap().contains("no server runs"));
}
