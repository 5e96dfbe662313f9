//! App passwords through a running server, in front of mail servers that know no protocol.

mod attacks;
mod mailbox;
mod mechanisms;

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Client, Serve, base64, wait};

/// A strategy that needs no secret of the user's.
const MASTER: &str =
    "login = \"master\"\n[backend.main.master]\nuser = \"proxy\"\npassword = \"upstream-secret\"\n";

struct Made {
    id: String,
    password: String,
}

/// Makes an app password, and waits until the server offers passwords.
fn make(serve: &Serve, protocol: &str, user: &str, more: &[&str]) -> Made {
    make_with(serve, protocol, user, more, "")
}

fn make_with(serve: &Serve, protocol: &str, user: &str, more: &[&str], input: &str) -> Made {
    let arguments = [&["app-password", "add", "--user", user, "--name", "Phone", "--json"], more].concat();
    let made: Value = serde_json::from_str(&serve.succeed(&arguments, input)).expect("JSON");
    until_offered(serve, protocol, true);
    let member = |name: &str| made[name].as_str().expect("a text").to_owned();
    Made { id: member("id"), password: member("password") }
}

/// Waits until passwords are offered, or are not.
fn until_offered(serve: &Serve, protocol: &str, offered: bool) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while offer(serve, protocol).contains("PLAIN") != offered {
        assert!(Instant::now() < deadline, "{}", offer(serve, protocol));
        wait(Duration::from_millis(20));
    }
}

/// What a client is told of how to sign in.
fn offer(serve: &Serve, protocol: &str) -> String {
    let mut client = match protocol {
        "imap" | "pop3" => serve.connect(protocol),
        _ => Client::tls(serve.address(protocol).port(), &serve.folder().join("certs/ca.pem")),
    };
    let (say, last) = match protocol {
        "imap" => ("c CAPABILITY", "c OK"),
        "pop3" => ("CAPA", "."),
        "sieve" => ("", "OK"),
        _ => ("EHLO client.example.org", "250 "),
    };
    if !say.is_empty() {
        client.say(say);
    }
    let mut told = String::new();
    loop {
        let line = client.line();
        told.push_str(&line);
        told.push('\n');
        if line.starts_with(last) {
            return told;
        }
    }
}

fn plain(user: &str, password: &str) -> String {
    base64(format!("\0{user}\0{password}"))
}

/// A session that was signed in to with PLAIN, and the answer to that.
fn sign_in(serve: &Serve, protocol: &str, user: &str, password: &str) -> (Client, String) {
    let mut client = serve.connect(protocol);
    let response = plain(user, password);
    client.say(&match protocol {
        "imap" => format!("a AUTHENTICATE PLAIN {response}"),
        "sieve" => format!("AUTHENTICATE \"PLAIN\" \"{response}\""),
        _ => format!("AUTH PLAIN {response}"),
    });
    let answer = client.line();
    (client, answer)
}

fn is_taken(answer: &str) -> bool {
    ["a OK", "+OK", "OK", "235 "].iter().any(|taken| answer.starts_with(taken))
}

/// The answer without the session's name.
fn bare(answer: &str) -> String {
    answer.split(" (session").next().unwrap_or_default().to_owned()
}

fn list(serve: &Serve) -> Vec<Value> {
    serde_json::from_str(&serve.succeed(&["app-password", "list", "--json"], "")).expect("an array")
}
