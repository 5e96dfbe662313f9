//! `bearward token request`: a terminal asks for tokens as a device does.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::script::Issuer;

#[test]
fn a_terminal_shows_a_code_and_gets_tokens_once_a_person_has_allowed_it() {
    let mut issuer = Issuer::start();
    let mut asking = Command::new(env!("CARGO_BIN_EXE_bearward"))
        .arg("-c")
        .arg(issuer.config_file())
        .args(["token", "request", "--json"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("bearward starts");
    let mut said = BufReader::new(asking.stderr.take().expect("piped")).lines();
    let first = said.next().expect("a line").expect("text");
    let (address, code) = first
        .strip_prefix("bearward: open ")
        .and_then(|rest| rest.split_once(" in a browser, or scan this, and allow the code "))
        .unwrap_or_else(|| panic!("{first}"));
    let drawn: Vec<String> = said.by_ref().map_while(Result::ok).take(20).collect();
    assert!(drawn.iter().filter(|line| line.contains('█')).count() > 10, "no QR code: {drawn:?}");

    issuer.tell_device(json!({ "verification_uri": address, "user_code": code }));
    issuer.python("browser.py", "allow_device");
    let mut answer = String::new();
    asking.stdout.take().expect("piped").read_to_string(&mut answer).expect("text");
    assert!(asking.wait().expect("waited").success(), "{answer}");
    let tokens: Value = serde_json::from_str(&answer).expect("JSON");
    assert!(tokens["refresh_token"].is_string(), "{tokens}");
    issuer.tell_device(json!({ "access_token": tokens["access_token"] }));
    issuer.python("browser.py", "open_with_token");
}
