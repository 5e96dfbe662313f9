//! What each failure becomes: the client's answer, the outcome, and whether the grant lives.

use std::time::{Duration, Instant};

use super::{AUTHZID, MASTER, PASSWORD, PROTOCOLS, accepted, needs_operator, scene, temporary};
use crate::support::{ALICE, Act, Serve, Upstream, answering, send, taking, until};

/// The sign-in is answered with `answer` at once, without an error challenge, and the same token is good after it.
fn refuses(serve: &Serve, upstream: &Upstream, protocol: &str, script: Vec<Act>, answer: &str) {
    let token = serve.token(ALICE);
    upstream.play(script);
    let mut client = serve.sign_in(protocol, &token, "");
    client.expect(answer);
    upstream.play(taking(protocol, Vec::new()));
    let command = if protocol == "imap" { "a AUTHENTICATE" } else { "AUTH" };
    client.say(&format!("{command} XOAUTH2 {}", crate::support::xoauth2(ALICE, &token)));
    client.expect(accepted(protocol));
}

#[test]
fn a_passing_fault_is_temporary_and_no_wrong_credential() {
    for protocol in PROTOCOLS {
        let (greetings, answers): (&[&str], &[&str]) = match protocol {
            "imap" => (
                &["* BYE busy\r\n", "no IMAP\r\n"],
                &["L NO [UNAVAILABLE] x\r\n", "L NO [INUSE] x\r\n", "* BYE x\r\n", "X OK x\r\n"],
            ),
            "pop3" => (
                &["-ERR [SYS/TEMP] busy\r\n", "-ERR busy\r\n", "no POP3\r\n"],
                &["-ERR [SYS/TEMP] x\r\n", "-ERR [IN-USE] x\r\n", "-ERR [LOGIN-DELAY] x\r\n"],
            ),
            _ => {
                (&["421 4.3.2 busy\r\n", "no SMTP\r\n"], &["421 4.3.2 x\r\n", "454 4.7.0 x\r\n", "451 x\r\n"])
            }
        };
        let (upstream, serve) = scene(protocol, MASTER, vec![Act::Close]);
        for greeting in greetings {
            refuses(&serve, &upstream, protocol, vec![send(greeting), Act::Close], temporary(protocol));
        }
        for answer in answers {
            refuses(&serve, &upstream, protocol, answering(protocol, answer), temporary(protocol));
        }
        refuses(&serve, &upstream, protocol, vec![Act::Close], temporary(protocol));
        serve.wait_for_log(&["outcome=\"backend_unreachable\""]);
        assert!(!serve.log().contains("ERROR"));
    }
}

#[test]
fn a_mail_server_that_is_down_or_silent_is_temporary() {
    for protocol in PROTOCOLS {
        let (upstream, serve) = scene(protocol, &format!("timeout = \"1s\"\n{MASTER}"), Vec::new());
        let started = Instant::now();
        refuses(&serve, &upstream, protocol, Vec::new(), temporary(protocol));
        assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
        serve.wait_for_log(&["backend_unreachable", "no answer within 1s"]);
        let serve = Serve::start(&format!("{protocol} = [\"{protocol}://127.0.0.1:1\"]\n{MASTER}"));
        serve.sign_in(protocol, &serve.token(ALICE), "").expect(temporary(protocol));
        serve.wait_for_log(&["backend_unreachable", "cannot connect to 127.0.0.1:1"]);
    }
}

#[test]
fn a_refused_service_account_is_the_operators_fault_and_loud() {
    for protocol in PROTOCOLS {
        let answers: &[&str] = match protocol {
            "imap" => &["L NO x\r\n", "L NO [AUTHENTICATIONFAILED] x\r\n", "L BAD x\r\n"],
            "pop3" => &["-ERR x\r\n", "-ERR [AUTH] x\r\n", "-ERR [SYS/PERM] x\r\n"],
            _ => &["535 x\r\n", "535 5.7.8 x\r\n", "504 x\r\n"],
        };
        for strategy in [MASTER, AUTHZID] {
            let (upstream, serve) = scene(protocol, strategy, vec![Act::Close]);
            for answer in answers {
                refuses(&serve, &upstream, protocol, answering(protocol, answer), needs_operator(protocol));
            }
            serve.wait_for_log(&["outcome=\"backend_refused\""]);
            serve.wait_for_log(&["ERROR", "the operator must act", "main"]);
        }
    }
}

#[test]
fn a_server_without_a_usable_mechanism_or_that_greets_as_logged_in_is_the_operators_fault() {
    let hello = |lines: &str| vec![send("220 hello\r\n"), until("EHLO "), until("\r\n"), send(lines)];
    let cases = [
        ("imap", vec![send("* OK [CAPABILITY IMAP4rev1 LOGINDISABLED] x\r\n")]),
        ("imap", vec![send("* PREAUTH [CAPABILITY IMAP4rev1] x\r\n")]),
        ("smtp", hello("250-x\r\n250 AUTH GSSAPI\r\n")),
        ("smtp", hello("250 x\r\n")),
        (
            "smtp",
            [
                crate::support::before_login("smtp"),
                vec![
                    send("235 2.7.0 x\r\n"),
                    until("EHLO "),
                    until("\r\n"),
                    send("250-x\r\n250 XCLIENT NAME\r\n"),
                ],
            ]
            .concat(),
        ),
    ];
    for (protocol, script) in cases {
        let (upstream, serve) = scene(protocol, MASTER, vec![Act::Close]);
        refuses(&serve, &upstream, protocol, script, needs_operator(protocol));
        serve.wait_for_log(&["ERROR", "the operator must act"]);
    }
    // USER and PASS carry no authorization identity.
    let script = vec![send("+OK x\r\n"), until("CAPA\r\n"), send("-ERR x\r\n")];
    let (upstream, serve) = scene("pop3", AUTHZID, vec![Act::Close]);
    refuses(&serve, &upstream, "pop3", script, needs_operator("pop3"));
}

#[test]
fn an_unambiguous_refusal_of_a_sealed_password_ends_the_grant() {
    for (protocol, answer, refused) in [
        ("imap", "L NO [AUTHENTICATIONFAILED] x\r\n", "a NO [AUTHENTICATIONFAILED]"),
        ("pop3", "-ERR [AUTH] x\r\n", "-ERR [AUTH]"),
        ("smtp", "535 5.7.8 x\r\n", "535 5.7.8"),
    ] {
        let (upstream, serve) = scene(protocol, "login = \"sealed\"\n", vec![Act::Close]);
        let token = serve.sealed_token(ALICE, PASSWORD);
        let grant = serve.grant_of(&token);
        upstream.play(answering(protocol, answer));
        for expected in [1, 0] {
            let before = upstream.connections();
            let mut client = serve.sign_in(protocol, &token, "");
            client.expect(if protocol == "smtp" { "334 " } else { "+ " });
            client.say("");
            client.expect(refused);
            assert_eq!(upstream.connections() - before, expected, "{protocol}");
        }
        serve.wait_for_log(&["outcome=\"backend_refused\""]);
        serve.wait_for_log(&["outcome=\"invalid_token\""]);
        let listed: serde_json::Value =
            serde_json::from_str(&serve.succeed(&["grant", "list", "--all", "--json"], "")).expect("JSON");
        let listed = listed.as_array().expect("an array");
        let ended = listed.iter().find(|listed| listed["grant_id"] == grant.as_str()).expect("the grant");
        assert!(ended["revoked_at"].is_number(), "{ended}");
    }
}

#[test]
fn a_first_bare_refusal_of_a_sealed_password_is_temporary_and_the_grant_lives() {
    for (protocol, answer) in [("imap", "L NO x\r\n"), ("pop3", "-ERR x\r\n"), ("smtp", "535 x\r\n")] {
        let (upstream, serve) = scene(protocol, "login = \"sealed\"\n", vec![Act::Close]);
        let token = serve.sealed_token(ALICE, PASSWORD);
        upstream.play(answering(protocol, answer));
        serve.sign_in(protocol, &token, "").expect(temporary(protocol));
        serve.sign_in(protocol, &token, "").expect(temporary(protocol));
        serve.wait_for_log(&["outcome=\"backend_refused\""]);
        upstream.play(taking(protocol, Vec::new()));
        serve.sign_in(protocol, &token, "").expect(accepted(protocol));
    }
}

#[test]
fn a_password_that_a_server_repeats_is_not_logged() {
    let response = crate::support::base64(format!("\0{ALICE}*proxy\0{PASSWORD}"));
    for (protocol, before) in
        [("imap", "L BAD what is "), ("pop3", "-ERR what is "), ("smtp", "500 5.5.1 what is ")]
    {
        let (upstream, serve) = scene(protocol, MASTER, vec![Act::Close]);
        for repeated in [response.as_str(), PASSWORD] {
            let script = answering(protocol, &format!("{before}{repeated}\r\n"));
            refuses(&serve, &upstream, protocol, script, needs_operator(protocol));
        }
        serve.wait_for_log(&["a text that repeats the password"]);
        let log = serve.log();
        assert!(!log.contains(&response) && !log.contains(PASSWORD), "{log}");
    }
}
