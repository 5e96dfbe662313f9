//! `serve` and `check`: what stops a start, and what a check says.

use std::{
    fs,
    net::TcpListener,
    process::{Command, Output, Stdio},
    time::Duration,
};

use bearward::{app, config};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::Ports;

/// A folder with a configuration that listens on `port` of the loopback address.
fn set_up(port: u16, more: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "hostname = \"mail.example.org\"\ndata_dir = \"data\"\n[telemetry]\nmetrics = \"off\"\n\
         [backend.main]\nimap = [\"imaps://127.0.0.1:1\"]\n\
         [[listener]]\nprotocol = \"imap\"\nbind = \"127.0.0.1:{port}\"\n{more}"
    );
    fs::write(folder.path().join("bearward.toml"), text).unwrap();
    folder
}

fn bearward(folder: &TempDir, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bearward"))
        .args(["-c", "bearward.toml"])
        .args(arguments)
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// The last line on standard error, which is the sentence; the log may stand before it.
fn sentence(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default().to_owned()
}

fn certificate(folder: &TempDir, certificate: &str, key: &str) {
    let made = rcgen::generate_simple_self_signed(["mail.example.org".to_owned()]).unwrap();
    fs::write(folder.path().join(certificate), made.cert.pem()).unwrap();
    fs::write(folder.path().join(key), made.signing_key.serialize_pem()).unwrap();
}

#[test]
fn a_port_in_use_stops_the_start_with_a_sentence_that_names_it() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let output = bearward(&set_up(port, ""), &["serve"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = sentence(&output);
    assert!(said.starts_with("bearward: ") && said.contains(&format!("127.0.0.1:{port}")), "{said}");
}

#[test]
fn a_key_of_another_certificate_stops_the_start_and_the_check() {
    let folder = set_up(0, "[tls]\ncertificate = \"a.pem\"\nprivate_key = \"b.key\"\n");
    certificate(&folder, "a.pem", "a.key");
    certificate(&folder, "b.pem", "b.key");
    let output = bearward(&folder, &["serve"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = sentence(&output);
    assert!(said.contains("a.pem") || said.contains("b.key"), "{said}");

    let output = bearward(&folder, &["check", "--offline", "--json"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let lines: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(lines.as_array().unwrap().iter().any(|line| line["ok"] == false), "{lines}");
}

#[test]
fn a_check_has_a_line_for_each_part_and_fails_when_one_does() {
    let folder = set_up(0, "");
    let offline = bearward(&folder, &["check", "--offline"]);
    assert_eq!(offline.status.code(), Some(0), "{offline:?}");
    let output = bearward(&folder, &["check", "--json"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let lines: Value = serde_json::from_slice(&output.stdout).unwrap();
    let failed: Vec<&Value> = lines.as_array().unwrap().iter().filter(|line| line["ok"] == false).collect();
    assert_eq!(failed.len(), 1, "{lines}");
    assert!(failed[0]["what"].as_str().unwrap().contains("main"), "{lines}");
    assert!(failed[0]["detail"].is_string(), "{lines}");
}

#[test]
fn flags_and_a_file_are_not_mixed() {
    let folder = set_up(0, "");
    let output = bearward(&folder, &["serve", "--hostname", "a", "--upstream", "b"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let output = bearward(&folder, &["serve", "--hostname", "a"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

/// By then those who have waited for it may send signals, and one that is not caught ends the whole process.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_stops_it_the_moment_it_is_ready_has_it_drain() {
    let mut ports = Ports::reserve();
    let folder = set_up(ports.take(), "");
    let config = config::load(Some(&folder.path().join("bearward.toml"))).unwrap().config;
    let stop = || {
        let own = std::process::id().to_string();
        assert!(Command::new("kill").args(["-TERM", &own]).status().unwrap().success());
    };
    let served = tokio::time::timeout(Duration::from_secs(30), app::serve(config, stop)).await;
    served.expect("it stops").unwrap();
}
