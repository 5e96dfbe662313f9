//! Commands that work on the store while no server runs.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Output, Stdio},
};

use base64::prelude::{BASE64_STANDARD, Engine};
use serde_json::Value;
use tempfile::TempDir;

const USER: &str = "alice@example.org";
const PASSWORD: &str = "correct horse battery";

/// A configuration and a data folder of its own. Nothing listens on the mail server's port.
struct Place(TempDir);

impl Place {
    fn new(login: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "hostname = \"mail.example.org\"\ndata_dir = \"data\"\n[backend.main]\nimap = [\"imaps://127.0.0.1:1\"]\n\
             smtp = [\"smtps://127.0.0.1:1\"]\n{login}"
        );
        fs::write(folder.path().join("bearward.toml"), text).unwrap();
        Self(folder)
    }

    /// No mailbox password is needed.
    fn master() -> Self {
        Self::new("login = \"master\"\n[backend.main.master]\nuser = \"m\"\npassword = \"p\"\n")
    }

    fn sealed() -> Self {
        Self::new("login = \"sealed\"\n")
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn run(&self, arguments: &[&str], input: &str) -> Output {
        let mut child = Command::new(env!("CARGO_BIN_EXE_bearward"))
            .args(["-c", "bearward.toml"])
            .args(arguments)
            .current_dir(self.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A command that reads nothing may be gone already.
        child.stdin.take().unwrap().write_all(input.as_bytes()).ok();
        child.wait_with_output().unwrap()
    }

    fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments, "");
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn document(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.succeed(&[arguments, &["--json"]].concat())).unwrap()
    }

    /// What is said about a command that must fail with `status`.
    fn fail(&self, status: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments, "");
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {output:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    fn issue(&self, more: &[&str]) -> String {
        self.succeed(&[&["token", "issue", "--user", USER], more].concat()).trim().to_owned()
    }

    /// Whether `needle` stands in any file of the data folder.
    fn data_holds(&self, needle: &str) -> bool {
        fs::read_dir(self.path().join("data")).unwrap().any(|entry| {
            let octets = fs::read(entry.unwrap().path()).unwrap_or_default();
            octets.windows(needle.len()).any(|window| window == needle.as_bytes())
        })
    }
}

fn step<'a>(document: &'a Value, name: &str) -> &'a Value {
    let steps = document["steps"].as_array().unwrap();
    steps.iter().find(|step| step["step"] == name).unwrap_or_else(|| panic!("no step {name} in {document}"))
}

#[test]
fn a_token_is_issued_inspected_and_spoiled_by_revoking_its_grant() {
    let place = Place::master();
    let token = place.issue(&[]);
    assert!(token.len() <= 96 && token.bytes().all(|octet| octet.is_ascii_graphic()), "{token}");
    let inspected = place.document(&["token", "inspect", &token]);
    assert_eq!(inspected["outcome"], "ok");
    assert_eq!(inspected["user"], USER);
    assert_eq!(inspected["client_id"], "open");
    assert_eq!(inspected["scope"], "urn:ietf:params:oauth:scope:mail");
    assert!(inspected["expires_at"].is_i64());
    let grant = inspected["grant_id"].as_str().unwrap().to_owned();

    let listed = place.document(&["grant", "list"]);
    assert_eq!((listed.as_array().unwrap().len(), &listed[0]["grant_id"]), (1, &inspected["grant_id"]));
    assert_eq!(place.document(&["grant", "list", "--user", "bob@example.org"]), serde_json::json!([]));

    place.succeed(&["grant", "revoke", &grant]);
    assert_eq!(place.document(&["token", "inspect", &token])["outcome"], "invalid_token");
    assert_eq!(place.document(&["grant", "list"]), serde_json::json!([]));
    assert_eq!(place.document(&["grant", "list", "--all"]).as_array().unwrap().len(), 1);
    assert!(!place.data_holds(&token));
}

#[test]
fn every_grant_of_a_user_can_be_revoked_at_once() {
    let place = Place::master();
    let tokens = [place.issue(&[]), place.issue(&[])];
    let other = place.succeed(&["token", "issue", "--user", "bob@example.org"]);
    assert_eq!(place.document(&["grant", "revoke", "--user", USER]).as_array().unwrap().len(), 2);
    for token in tokens {
        assert_eq!(place.document(&["token", "inspect", &token])["outcome"], "invalid_token");
    }
    assert_eq!(place.document(&["token", "inspect", other.trim()])["outcome"], "ok");
    assert!(place.fail(2, &["grant", "revoke"]).contains("--user"));
    assert!(
        place.fail(1, &["grant", "revoke", "0192f0c1-2345-7abc-8def-0123456789ab"]).contains("no such grant")
    );
}

#[test]
fn an_issued_token_as_json_says_what_it_is() {
    let place = Place::master();
    let issued =
        place.document(&["token", "issue", "--user", USER, "--scope", "imap smtp", "--lifetime", "2h"]);
    assert_eq!(
        (&issued["user"], &issued["client_id"], &issued["scope"]),
        (&USER.into(), &"open".into(), &"imap smtp".into())
    );
    let token = issued["access_token"].as_str().unwrap();
    let inspected = place.document(&["token", "inspect", token]);
    assert_eq!(inspected["expires_at"], issued["expires_at"]);
    let explained = |protocol| place.document(&["explain", "--token", token, "--protocol", protocol]);
    assert_eq!(explained("smtp")["outcome"], "ok");
    assert_eq!(explained("pop3")["outcome"], "insufficient_scope");
}

#[test]
fn what_cannot_be_issued_is_told() {
    let place = Place::master();
    let issue = |more: &[&'static str]| [&["token", "issue", "--user", USER], more].concat();
    assert!(place.fail(1, &issue(&["--scope", "everything"])).contains("unknown scope value"));
    assert!(place.fail(1, &issue(&["--client", "nobody"])).contains("no client \"nobody\""));
    assert!(place.fail(1, &issue(&["--lifetime", "400d"])).contains("at most 365 days"));
    assert!(place.fail(2, &issue(&["--lifetime", "400"])).contains("must be a duration"));
    assert!(place.fail(2, &["token", "issue", "--user", "a b"]).contains("login name"));
}

#[test]
fn a_sealed_login_needs_the_mailbox_password_and_seals_it() {
    let place = Place::sealed();
    let said = place.fail(1, &["token", "issue", "--user", USER]);
    assert!(said.contains("password is needed") && said.contains("--password-stdin"), "{said}");

    let issue = ["token", "issue", "--user", USER, "--password-stdin"];
    let empty = place.run(&issue, "\n");
    assert_eq!(empty.status.code(), Some(1), "{empty:?}");

    // The mail server is down: the token is made, and the person told that nobody checked the password.
    let output = place.run(&issue, &format!("{PASSWORD}\n"));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("the password was not verified"), "{output:?}");
    let token = String::from_utf8(output.stdout).unwrap();
    assert_eq!(place.document(&["token", "inspect", token.trim()])["outcome"], "ok");
    place.succeed(&["store", "backup", "data/copy.db"]);
    assert!(!place.data_holds(PASSWORD) && !place.data_holds(token.trim()));
}

#[test]
fn a_sasl_response_is_explained_as_a_listener_would_take_it() {
    let place = Place::master();
    let token = place.issue(&[]);
    let explain = |message: &str| {
        let response = BASE64_STANDARD.encode(message);
        place.document(&["explain", "--sasl", &response, "--protocol", "smtp"])
    };
    let good = explain(&format!("n,a={USER},\x01auth=Bearer {token}\x01\x01"));
    assert_eq!((&good["outcome"], &step(&good, "route")["result"]), (&"ok".into(), &"ok".into()), "{good}");
    assert_eq!(explain(&format!("user={USER}\x01auth=Bearer {token}\x01\x01"))["outcome"], "ok");
    assert_eq!(explain(&format!("n,,\x01auth=Bearer {token}\x01\x01"))["outcome"], "ok");
    assert_eq!(explain(&format!("n,a=bob@example.org,\x01auth=Bearer {token}\x01\x01"))["outcome"], "policy");
    assert_eq!(explain("n,,\x01auth=Bearer nonsense\x01\x01")["outcome"], "invalid_token");
    let password = explain(&format!("\0{USER}\0{PASSWORD}"));
    assert_eq!(password["outcome"], "policy");
    assert!(!password.to_string().contains(PASSWORD), "{password}");
    let hidden = BASE64_STANDARD.encode(format!("n,,\x01auth=Bearer {token}\x01\x01"));
    let read = place.run(&["explain", "--sasl", "-", "--json"], &hidden);
    let read: Value = serde_json::from_slice(&read.stdout).unwrap();
    assert_eq!(read["outcome"], "ok", "{read}");
    let broken = place.document(&["explain", "--sasl", "not base64"]);
    assert_eq!(
        (&broken["outcome"], &step(&broken, "sasl")["result"]),
        (&"protocol_error".into(), &"failed".into())
    );
    for shown in [good, broken] {
        assert!(!shown.to_string().contains(&token), "{shown}");
    }
}

#[test]
fn a_good_token_without_a_route_is_refused_by_policy() {
    let place = Place::master();
    let token = place.issue(&[]);
    let explained = place.document(&["explain", "--token", &token, "--protocol", "pop3"]);
    assert_eq!(
        (&explained["outcome"], &step(&explained, "route")["result"]),
        (&"policy".into(), &"failed".into())
    );
}

#[test]
fn a_token_may_come_by_standard_input() {
    let place = Place::master();
    let token = place.issue(&[]);
    let output = place.run(&["token", "inspect", "-", "--json"], &format!("{token}\n"));
    let inspected: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(inspected["outcome"], "ok");
}

#[test]
fn the_store_is_checked_and_copied_and_a_copy_overwrites_nothing() {
    let place = Place::master();
    place.issue(&[]);
    place.succeed(&["store", "migrate"]);
    for line in place.document(&["store", "check"]).as_array().unwrap() {
        assert_eq!(line["ok"], true, "{line}");
    }
    place.succeed(&["store", "backup", "copy.db"]);
    let before = fs::read(place.path().join("copy.db")).unwrap();
    assert!(place.fail(1, &["store", "backup", "copy.db"]).contains("exists already"));
    assert_eq!(fs::read(place.path().join("copy.db")).unwrap(), before);
}

#[test]
fn a_store_of_another_user_is_not_touched() {
    let place = Place::master();
    place.issue(&[]);
    // Only root can give a file away; without that right there is nothing to show.
    if std::os::unix::fs::chown(place.path().join("data/bearward.db"), Some(65_534), None).is_err() {
        return;
    }
    assert!(place.fail(1, &["grant", "list"]).contains("belongs to another user"));
}
