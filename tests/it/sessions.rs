//! Live sessions of a running server: revoked, expired, killed, drained.

use std::time::{Duration, Instant};

use crate::support::{Client, Trial, oauthbearer, wait, xoauth2};

const ALICE: &str = "alice@example.org";

fn idle_session(trial: &Trial, token: &str) -> Client {
    let mut client = Client::tls(trial.port("imaps"), trial.ca());
    client.expect("* OK ");
    client.say(&format!("a AUTHENTICATE OAUTHBEARER {}", oauthbearer(ALICE, token)));
    client.until("a OK");
    client.say("b SELECT INBOX");
    client.until("b OK");
    client.say("c IDLE");
    client.expect("+ ");
    client
}

fn sessions(trial: &Trial) -> Vec<serde_json::Value> {
    serde_json::from_str(&trial.succeed(&["session", "list", "--json"], None)).expect("an array")
}

#[test]
fn revoking_a_grant_closes_its_idle_session_within_a_second_and_spoils_the_token() {
    let trial = Trial::start();
    let token = trial.issue(&[]);
    let mut doomed = idle_session(&trial, &token);
    let mut other = idle_session(&trial, trial.token());
    let inspected: serde_json::Value =
        serde_json::from_str(&trial.succeed(&["token", "inspect", &token, "--json"], None)).expect("JSON");
    let grant = inspected["grant_id"].as_str().expect("a grant").to_owned();
    trial.succeed(&["grant", "revoke", &grant], None);
    let revoked = Instant::now();
    assert!(doomed.rest().contains("* BYE"));
    assert!(revoked.elapsed() < Duration::from_secs(1), "{:?}", revoked.elapsed());
    other.say("DONE");
    other.expect("c OK");

    let mut client = Client::tls(trial.port("imaps"), trial.ca());
    client.expect("* OK ");
    client.say(&format!("a AUTHENTICATE XOAUTH2 {}", xoauth2(ALICE, &token)));
    client.expect("+ ");
    client.say("");
    client.expect("a NO [AUTHENTICATIONFAILED]");
}

/// Commands that write the store beside a running server tell it, so nobody waits for its next look.
#[test]
fn a_changed_password_a_removed_user_and_a_removed_client_close_their_sessions_within_a_second() {
    let trial = Trial::start();
    let added = trial.succeed(
        &["client", "add", "--name", "Webmail", "--redirect-uri", "https://webmail.example.org/", "--json"],
        None,
    );
    let added: serde_json::Value = serde_json::from_str(&added).expect("JSON");
    let client = added["client_id"].as_str().expect("a client");
    trial.succeed(&["user", "add", ALICE, "--generate"], None);
    let commands: [(&[&str], &[&str]); 3] = [
        (&["client", "remove", client], &["--client", client]),
        (&["user", "passwd", ALICE, "--generate"], &[]),
        (&["user", "remove", ALICE], &[]),
    ];
    for (command, of_client) in commands {
        let mut doomed = idle_session(&trial, &trial.issue(of_client));
        let before = Instant::now();
        trial.succeed(command, None);
        let ran = before.elapsed();
        assert!(doomed.rest().contains("* BYE"), "{command:?}");
        let after = before.elapsed() - ran;
        assert!(after < Duration::from_millis(500), "{command:?}: {after:?} after the command");
    }
}

/// A client that gives up its token means the session too (RFC 7009 §2.1), and no other of the same grant.
#[tokio::test]
async fn revoking_a_token_closes_the_session_that_it_opened_within_a_second() {
    let trial = tokio::task::spawn_blocking(Trial::start).await.unwrap();
    let http = crate::kill::http(trial.ca());
    let issuer = trial.text("/issuer").to_owned();
    let heard = crate::kill::refresh(&http, &issuer, trial.text("/refresh_token")).await;
    let crate::kill::Heard::Tokens { access, refresh } = heard else { panic!("it is refused") };
    let heard = crate::kill::refresh(&http, &issuer, &refresh).await;
    let crate::kill::Heard::Tokens { access: other, .. } = heard else { panic!("it is refused") };
    let trial = std::sync::Arc::new(trial);
    let here = std::sync::Arc::clone(&trial);
    let doomed = access.clone();
    let (mut doomed, mut other) =
        tokio::task::spawn_blocking(move || (idle_session(&here, &doomed), idle_session(&here, &other)))
            .await
            .unwrap();
    let form = [("token", access.as_str()), ("client_id", "open")];
    let answer = http.post(format!("{issuer}/oauth/revoke")).form(&form).send().await.unwrap();
    let revoked = Instant::now();
    assert_eq!(answer.status(), 200);
    tokio::task::spawn_blocking(move || {
        assert!(doomed.rest().contains("* BYE"));
        assert!(revoked.elapsed() < Duration::from_secs(1), "{:?}", revoked.elapsed());
        other.say("DONE");
        other.expect("c OK");
    })
    .await
    .unwrap();
}

#[test]
fn a_session_ends_when_its_token_expires() {
    let trial = Trial::start_with(&[("BEARWARD_SESSION__EXPIRY_GRACE", "1s")]);
    let token = trial.issue(&["--lifetime", "2s"]);
    let started = Instant::now();
    assert!(idle_session(&trial, &token).rest().contains("* BYE"));
    assert!(started.elapsed() >= Duration::from_secs(2), "{:?}", started.elapsed());
    trial.wait_for_log(&["session ended", "expired"]);
}

#[test]
fn a_session_is_listed_and_can_be_killed_by_name() {
    let trial = Trial::start();
    let mut client = idle_session(&trial, trial.token());
    let listed = sessions(&trial);
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!(listed[0]["user"], ALICE);
    assert_eq!(listed[0]["protocol"], "imap");
    let name = listed[0]["session"].as_str().expect("a name").to_owned();
    trial.succeed(&["session", "kill", &name], None);
    assert!(client.rest().contains("* BYE"));
    let deadline = Instant::now() + Duration::from_secs(2);
    while !sessions(&trial).is_empty() {
        assert!(Instant::now() < deadline, "the session stays in the list");
        wait(Duration::from_millis(50));
    }
}

#[test]
fn a_silent_session_ends_after_the_idle_time() {
    let trial = Trial::start_with(&[("BEARWARD_LIMITS__IDLE_TIMEOUT", "2s")]);
    let started = Instant::now();
    assert!(idle_session(&trial, trial.token()).rest().contains("* BYE"));
    assert!(started.elapsed() >= Duration::from_secs(2), "{:?}", started.elapsed());
}

#[test]
fn sigterm_says_goodbye_to_every_session_and_ends_with_zero() {
    let mut trial = Trial::start();
    let mut signed_in = idle_session(&trial, trial.token());
    let mut waiting = Client::tls(trial.port("smtps"), trial.ca());
    waiting.expect("220 ");
    let reader = std::thread::spawn(move || (signed_in.rest(), waiting.rest()));
    assert_eq!(trial.signal("-TERM"), Some(0));
    let (signed_in, waiting) = reader.join().expect("read");
    assert!(signed_in.contains("* BYE"), "{signed_in:?}");
    assert!(waiting.contains("421 "), "{waiting:?}");
}

#[test]
fn a_slow_stranger_is_cut_off() {
    let trial = Trial::start_with(&[
        ("BEARWARD_LIMITS__PRE_AUTH_TIMEOUT", "1s"),
        ("BEARWARD_LIMITS__HANDSHAKE_TIMEOUT", "1s"),
    ]);
    let mut silent = Client::clear(trial.port("imaps"));
    assert_eq!(silent.rest(), "");
    let mut dawdling = Client::tls(trial.port("imaps"), trial.ca());
    dawdling.expect("* OK ");
    assert!(dawdling.rest().contains("* BYE"));
}

#[test]
fn a_connection_over_the_limit_of_its_address_is_refused_and_a_place_becomes_free_again() {
    let trial = Trial::start_with(&[("BEARWARD_LIMITS__PER_IP", "2")]);
    let mut first = Client::tls(trial.port("imaps"), trial.ca());
    first.expect("* OK ");
    let mut second = Client::clear(trial.port("imap"));
    second.expect("* OK ");
    let mut third = Client::clear(trial.port("imap"));
    assert!(third.rest().starts_with("* BYE"));
    drop(second);
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let mut again = Client::clear(trial.port("imap"));
        if again.next_line().is_some_and(|line| line.starts_with("* OK")) {
            break;
        }
        assert!(Instant::now() < deadline, "the place stays taken");
    }
}

#[test]
fn the_sign_in_event_holds_what_an_operator_needs_and_no_secret() {
    let trial = Trial::start_with(&[("BEARWARD_TELEMETRY__FORMAT", "json")]);
    drop(idle_session(&trial, trial.token()));
    let line = trial.wait_for_log(&["\"outcome\":\"ok\""]);
    for part in [
        "\"session\"",
        "\"protocol\":\"imap\"",
        "\"mechanism\":\"OAUTHBEARER\"",
        ALICE,
        "\"client_id\":\"open\"",
        "\"issuer\"",
        "\"backend\":\"sample\"",
        "\"client_ip\"",
        "\"duration_ms\"",
    ] {
        assert!(line.contains(part), "{part} is missing in {line}");
    }
    let log = trial.log();
    assert!(!log.contains(trial.token()) && !log.contains(trial.text("/users/0/password")));
}

#[tokio::test]
async fn the_refresh_token_that_try_prints_gives_new_tokens() {
    let trial = tokio::task::spawn_blocking(Trial::start).await.unwrap();
    let http = crate::kill::http(trial.ca());
    let first = trial.text("/refresh_token").to_owned();
    let heard = crate::kill::refresh(&http, trial.text("/issuer"), &first).await;
    let crate::kill::Heard::Tokens { access, refresh } = heard else { panic!("it is refused") };
    assert_ne!(refresh, first);
    let port = trial.port("imaps");
    let ca = trial.ca().to_owned();
    tokio::task::spawn_blocking(move || {
        let mut client = Client::tls(port, &ca);
        client.expect("* OK ");
        client.say(&format!("a AUTHENTICATE XOAUTH2 {}", xoauth2("alice@example.org", &access)));
        client.until("a OK");
    })
    .await
    .unwrap();
}
