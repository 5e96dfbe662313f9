//! Commands that look after clients, users and keys.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Output, Stdio},
};

use serde_json::{Value, json};
use tempfile::TempDir;

/// A configuration and a data folder of its own.
struct Place(TempDir);

impl Place {
    fn new(more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "hostname = \"mail.example.org\"\ndata_dir = \"data\"\n[backend.main]\n\
             imap = [\"imaps://127.0.0.1:1\"]\n{more}"
        );
        fs::write(folder.path().join("bearward.toml"), text).unwrap();
        Self(folder)
    }

    fn run(&self, arguments: &[&str], input: &str) -> Output {
        let mut child = Command::new(env!("CARGO_BIN_EXE_bearward"))
            .args(["-c", "bearward.toml"])
            .args(arguments)
            .current_dir(self.0.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A command that reads nothing may be gone already.
        child.stdin.take().unwrap().write_all(input.as_bytes()).ok();
        child.wait_with_output().unwrap()
    }

    fn document(&self, arguments: &[&str], input: &str) -> Value {
        let output = self.run(&[arguments, &["--json"]].concat(), input);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// What is said about a command that must fail with `status`.
    fn fail(&self, status: i32, arguments: &[&str], input: &str) -> String {
        let output = self.run(arguments, input);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {output:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    fn store_holds(&self, needle: &str) -> bool {
        let holds = |file: &Path| {
            let octets = fs::read(file).unwrap_or_default();
            octets.windows(needle.len()).any(|window| window == needle.as_bytes())
        };
        fs::read_dir(self.0.path().join("data")).unwrap().any(|entry| holds(&entry.unwrap().path()))
    }
}

#[test]
fn a_user_is_added_listed_given_another_password_and_removed() {
    let place = Place::new("login = \"trusted\"\n[directory]\nsource = [\"store\"]\n");
    let alice = "alice@example.org";
    let added = place.document(&["user", "add", "Alice@Example.org", "--password-stdin"], "first one\n");
    assert_eq!(added, json!({ "login": "Alice@example.org" }));
    let made = place.document(&["user", "add", alice, "--generate"], "");
    let password = made["password"].as_str().unwrap();
    assert_eq!(password.len(), 22);
    assert!(!place.store_holds("first one") && !place.store_holds(password));
    assert!(place.fail(1, &["user", "add", alice, "--generate"], "").contains("is a user already"));
    assert!(place.fail(1, &["user", "add", "bob", "--password-stdin"], "\n").contains("is empty"));
    place.fail(2, &["user", "add", "bob"], "");
    let names: Vec<Value> = place.document(&["user", "list"], "").as_array().unwrap().clone();
    assert_eq!(names.iter().map(|user| &user["login"]).collect::<Vec<_>>(), ["Alice@example.org", alice]);
    place.document(&["user", "passwd", alice, "--password-stdin"], "second one\n");
    place.document(&["user", "remove", alice], "");
    assert!(place.fail(1, &["user", "remove", alice], "").contains("there is no user"));
    assert!(place.fail(1, &["user", "passwd", alice, "--generate"], "").contains("there is no user"));
}

#[test]
fn keys_are_listed_and_replaced_soon_or_at_once() {
    let place = Place::new("login = \"trusted\"\n");
    let listed = |document: Value| -> Vec<(String, String)> {
        let text = |key: &Value, name: &str| key[name].as_str().unwrap().to_owned();
        document.as_array().unwrap().iter().map(|key| (text(key, "kid"), text(key, "state"))).collect()
    };
    let first = listed(place.document(&["key", "list"], ""));
    assert_eq!(first.iter().filter(|(_, state)| state == "current").count(), 3);
    let soon = listed(place.document(&["key", "rotate"], ""));
    assert_eq!(soon.iter().filter(|(_, state)| state == "next").count(), 3);
    assert!(first.iter().all(|key| soon.contains(key)), "the old keys sign until the new ones are known");
    let new = listed(place.document(&["key", "rotate", "--compromised"], ""));
    assert!(new.iter().all(|(_, state)| state == "current") && new.len() == 3, "{new:?}");
    assert!(soon.iter().all(|(kid, _)| new.iter().all(|(other, _)| other != kid)), "no older key is left");
}

#[test]
fn a_client_is_added_shown_removed_and_allowed_again() {
    let place = Place::new("login = \"trusted\"\n");
    let redirect = "https://webmail.example.org/callback";
    let added = place.document(&["client", "add", "--name", "Webmail", "--redirect-uri", redirect], "");
    let (id, secret) = (added["client_id"].as_str().unwrap(), added["client_secret"].as_str().unwrap());
    assert!(!place.store_holds(secret), "a secret is stored as a hash alone");
    let shown = place.document(&["client", "show", id], "");
    assert_eq!((&shown["client_name"], &shown["redirect_uris"]), (&json!("Webmail"), &json!([redirect])));
    assert!(shown.get("client_secret").is_none());
    let listed = place.document(&["client", "list"], "");
    assert!(listed.as_array().unwrap().iter().any(|client| client["client_id"] == id));
    place.document(&["client", "remove", id], "");
    let denied = place.document(&["client", "list"], "");
    let gone = denied.as_array().unwrap().iter().find(|client| client["client_id"] == id).unwrap();
    assert!(gone["denied_at"].is_i64());
    place.document(&["client", "allow", id], "");
    assert!(place.fail(1, &["client", "allow", id], "").contains("not on the deny list"));
    assert!(place.fail(1, &["client", "remove", "open"], "").contains("is built in"));
    let bad = ["client", "add", "--name", "x", "--redirect-uri", "http://webmail.example.org/"];
    assert!(place.fail(1, &bad, "").contains("redirect"));
    let invited = place.document(&["client", "invite", "--uses", "2"], "");
    assert_eq!(invited["uses"], 2);
}

#[test]
fn what_a_sealed_password_cannot_serve_is_refused_with_the_reason() {
    let place = Place::new("login = \"sealed\"\n");
    let service =
        ["client", "add", "--name", "x", "--grant", "client_credentials", "--mailbox", "*@example.org"];
    let jwt = ["client", "add", "--name", "x", "--redirect-uri", "https://a.example/", "--jwt-access-tokens"];
    for arguments in [service.as_slice(), jwt.as_slice()] {
        let said = place.fail(2, arguments, "");
        assert!(said.contains("sealed") && said.contains("master, authzid or trusted"), "{said}");
    }
}
