//! What happens to sessions, and what a mail server learns of attempts that fail.

use crate::support::*;

#[test]
fn a_revoked_grant_closes_its_idle_session_within_a_second() {
    let servers = Servers::start("");
    let bearward = Bearward::start(&servers, Login::Sealed);
    let ca = servers.folder.ca();
    let imaps = bearward.target.imaps.to_string();
    let (token, other) = (bearward.token(ALICE), bearward.token(ALICE));
    let arguments = [
        ca.to_str().unwrap(),
        &imaps,
        ALICE,
        &token,
        &other,
        env!("CARGO_BIN_EXE_bearward"),
        bearward.file.to_str().unwrap(),
    ];
    let printed = python(&servers.folder, "revoke.py", &arguments).ok_text();
    let seconds: f64 = printed.trim().parse().unwrap();
    assert!(seconds < 1.0, "it took {seconds} s");
}

#[test]
fn an_attempt_that_fails_never_reaches_the_mail_server() {
    let servers = Servers::start("");
    let bearward = Bearward::start(&servers, Login::Master);
    let ca = servers.folder.ca();
    let ports =
        [bearward.target.imaps, bearward.target.pop3s, bearward.target.smtps].map(|port| port.to_string());
    let expired = bearward.token_with(ALICE, &["--lifetime", "1s"]);
    let narrow = bearward.token_with(ALICE, &["--scope", "sieve"]);
    let of_bob = bearward.token(BOB);
    eventually("the expiry of a token", || {
        bearward.command(&["token", "inspect", &expired], "").contains("expired").then_some(())
    });
    let mut arguments = vec![ca.to_str().unwrap()];
    arguments.extend(ports.iter().map(String::as_str));
    arguments.extend([ALICE, &expired, &narrow, &of_bob]);
    python(&servers.folder, "bad_tokens.py", &arguments).ok();
    let (dovecot, postfix) = (servers.dovecot.log(), servers.postfix.log());
    for word in [
        "auth failed",
        "password mismatch",
        "unknown user",
        "login: user=",
        "authentication failed",
        ALICE,
        BOB,
    ] {
        for log in [&dovecot, &postfix] {
            assert!(!log.to_lowercase().contains(word), "{word}:\n{log}");
        }
    }
    for outcome in ["expired", "insufficient_scope", "invalid_token"] {
        eventually(outcome, || bearward.log().contains(outcome).then_some(()));
    }
}

#[test]
fn a_mail_server_that_is_down_is_no_wrong_password() {
    let servers = Servers::start("");
    let mut ports = Ports::reserve();
    let nobody = ports.take();
    let backend = Backend {
        imap: format!("imap://127.0.0.1:{nobody}"),
        pop3: format!("pop3://127.0.0.1:{nobody}"),
        smtp: format!("smtp://127.0.0.1:{nobody}"),
        more: "",
    };
    let bearward = Bearward::start_with(&servers.folder, Login::Master, &backend, "info");
    let token = bearward.token(ALICE);
    let ca = servers.folder.ca();
    let ports =
        [bearward.target.imaps, bearward.target.pop3s, bearward.target.smtps].map(|port| port.to_string());
    let mut arguments = vec![ca.to_str().unwrap()];
    arguments.extend(ports.iter().map(String::as_str));
    arguments.extend([ALICE, token.as_str()]);
    python(&servers.folder, "unavailable.py", &arguments).ok();
}

#[test]
fn dovecots_submission_service_is_a_mail_server_too() {
    let servers = Servers::start("");
    let backend = Backend {
        smtp: format!("smtp+starttls://localhost:{}", servers.dovecot.submission),
        ..Backend::encrypted(&servers)
    };
    let bearward = Bearward::start_with(&servers.folder, Login::Authzid, &backend, "info");
    let (smtps, imaps) = (bearward.target.smtps.to_string(), bearward.target.imaps.to_string());
    let (alice, bob) = (bearward.token(ALICE), bearward.token(BOB));
    let ca = servers.folder.ca();
    let arguments = [ca.to_str().unwrap(), &smtps, &imaps, ALICE, &alice, BOB, &bob];
    python(&servers.folder, "send_and_receive.py", &arguments).ok();
}
