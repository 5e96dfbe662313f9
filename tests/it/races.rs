//! Whoever ends a session while it signs in: the wait for the mail server ends with it, and nothing survives.

use std::time::{Duration, Instant};

use crate::support::{Act, Gate, Serve, Upstream, before_login, login_taken, taking, until, wait};

const PROTOCOLS: [&str; 3] = ["imap", "pop3", "smtp"];
const PASSWORD: &str = "upstream-secret";

/// A mail server whose answer to the login waits for the gate.
fn hanging(protocol: &str, gate: &Gate) -> Vec<Act> {
    [before_login(protocol), vec![Act::Gate(gate.clone())], login_taken(protocol)].concat()
}

/// Bearward in front of one mail server, sealed.
fn serve(protocol: &str, upstream: &Upstream) -> Serve {
    let port = upstream.port();
    Serve::start(&format!("{protocol} = [\"{protocol}://127.0.0.1:{port}\"]\nlogin = \"sealed\"\n"))
}

/// A token minted while the mail server says nothing of use.
fn token(serve: &Serve) -> String {
    serve.sealed_token(crate::support::ALICE, PASSWORD)
}

/// The octets that name Alice's login.
fn login_of(protocol: &str) -> String {
    let response = crate::support::base64(format!("\0{}\0{PASSWORD}", crate::support::ALICE));
    let command = if protocol == "imap" { "L AUTHENTICATE PLAIN" } else { "AUTH PLAIN" };
    format!("{command} {response}\r\n")
}

fn refused_as_invalid(protocol: &str) -> &'static str {
    match protocol {
        "imap" => "a NO [AUTHENTICATIONFAILED]",
        "pop3" => "-ERR [AUTH]",
        _ => "535 5.7.8",
    }
}

fn refused_as_temporary(protocol: &str) -> &'static str {
    match protocol {
        "imap" => "a NO [UNAVAILABLE]",
        "pop3" => "-ERR [SYS/TEMP]",
        _ => "454 4.7.0",
    }
}

fn no_session_is_left(serve: &Serve) {
    let deadline = Instant::now() + Duration::from_secs(3);
    while serve.sessions() > 0 {
        assert!(Instant::now() < deadline, "the session stays in the registry");
        wait(Duration::from_millis(50));
    }
}

#[test]
fn a_grant_revoked_before_the_look_up_reaches_no_mail_server() {
    for protocol in PROTOCOLS {
        let upstream = Upstream::start(vec![Act::Close]);
        let serve = serve(protocol, &upstream);
        let token = token(&serve);
        serve.succeed(&["grant", "revoke", &serve.grant_of(&token)], "");
        upstream.play(taking(protocol, Vec::new()));
        let before = upstream.connections();
        let mut client = serve.sign_in(protocol, &token, "");
        client.expect(if protocol == "smtp" { "334 " } else { "+ " });
        client.say("");
        client.expect(refused_as_invalid(protocol));
        assert_eq!(upstream.connections(), before);
        no_session_is_left(&serve);
    }
}

#[test]
fn a_grant_revoked_while_the_mail_server_hangs_is_refused_within_a_second() {
    for protocol in PROTOCOLS {
        let upstream = Upstream::start(vec![Act::Close]);
        let serve = serve(protocol, &upstream);
        let token = token(&serve);
        let grant = serve.grant_of(&token);
        let gate = Gate::default();
        upstream.play(hanging(protocol, &gate));
        let mut client = serve.sign_in(protocol, &token, "");
        upstream.got(&login_of(protocol));
        serve.succeed(&["grant", "revoke", &grant], "");
        let revoked = Instant::now();
        client.expect(if protocol == "smtp" { "334 " } else { "+ " });
        client.say("");
        client.expect(refused_as_invalid(protocol));
        assert!(revoked.elapsed() < Duration::from_secs(1), "{protocol}: {:?}", revoked.elapsed());
        upstream.ended(&login_of(protocol));
        no_session_is_left(&serve);
        serve.wait_for_log(&["invalid_token", "ended during the sign-in: revoked"]);
    }
}

#[test]
fn a_revocation_at_any_moment_around_the_mail_servers_answer_leaves_no_session() {
    let upstream = Upstream::start(vec![Act::Close]);
    let serve = serve("imap", &upstream);
    for delay in [0, 1, 3, 10, 30] {
        upstream.play(vec![Act::Close]);
        let token = token(&serve);
        let grant = serve.grant_of(&token);
        let gate = Gate::default();
        upstream.play(hanging("imap", &gate));
        let mut client = serve.sign_in("imap", &token, "");
        upstream.got(&login_of("imap"));
        let opener = std::thread::spawn(move || {
            wait(Duration::from_millis(delay));
            gate.open();
        });
        serve.succeed(&["grant", "revoke", &grant], "");
        let revoked = Instant::now();
        opener.join().expect("opened");
        let first = client.line();
        if first.starts_with("+ ") {
            client.say("");
            client.expect(refused_as_invalid("imap"));
        } else {
            assert!(first.starts_with("a OK"), "{first}");
            assert!(client.rest().contains("* BYE"));
        }
        assert!(revoked.elapsed() < Duration::from_secs(1), "{:?}", revoked.elapsed());
        no_session_is_left(&serve);
    }
}

#[test]
fn an_operator_who_kills_a_sign_in_spoils_no_token() {
    let upstream = Upstream::start(vec![Act::Close]);
    let serve = serve("imap", &upstream);
    let token = token(&serve);
    let gate = Gate::default();
    upstream.play(hanging("imap", &gate));
    let mut client = serve.sign_in("imap", &token, "");
    upstream.got(&login_of("imap"));
    let listed: serde_json::Value =
        serde_json::from_str(&serve.succeed(&["session", "list", "--json"], "")).expect("JSON");
    let name = listed[0]["session"].as_str().expect("a name");
    serve.succeed(&["session", "kill", name], "");
    client.expect(refused_as_temporary("imap"));
    gate.open();
    client.say(&format!("a AUTHENTICATE XOAUTH2 {}", crate::support::xoauth2(crate::support::ALICE, &token)));
    client.expect("a OK");
}

#[test]
fn a_client_that_leaves_takes_the_waiting_login_with_it() {
    for protocol in PROTOCOLS {
        let upstream = Upstream::start(vec![Act::Close]);
        let serve = serve(protocol, &upstream);
        let token = token(&serve);
        upstream.play(hanging(protocol, &Gate::default()));
        let client = serve.sign_in(protocol, &token, "");
        upstream.got(&login_of(protocol));
        assert_eq!(serve.sessions(), 1);
        drop(client);
        let left = Instant::now();
        upstream.ended(&login_of(protocol));
        assert!(left.elapsed() < Duration::from_secs(1), "{protocol}: {:?}", left.elapsed());
        no_session_is_left(&serve);
        serve.wait_for_log(&["protocol_error", "the client left"]);
    }
}

#[test]
fn what_a_client_says_while_its_login_hangs_goes_up_after_it_and_in_order() {
    for protocol in PROTOCOLS {
        let upstream = Upstream::start(vec![Act::Close]);
        let serve = serve(protocol, &upstream);
        let token = token(&serve);
        let gate = Gate::default();
        upstream.play(hanging(protocol, &gate));
        let mut client = serve.sign_in(protocol, &token, "NOOP 1\r\n");
        upstream.got(&login_of(protocol));
        for piece in ["NOOP 2\r\nNO", "OP 3\r\n"] {
            client.send(piece.as_bytes());
            wait(Duration::from_millis(50));
        }
        assert!(!upstream.got(&login_of(protocol)).text().contains("NOOP"), "{protocol}");
        gate.open();
        let text = upstream.got("NOOP 3\r\n").text();
        let order = ["NOOP 1", "NOOP 2", "NOOP 3"].map(|part| text.find(part).expect(part));
        assert!(order.is_sorted() && order[0] > text.find(&login_of(protocol)).expect("login"), "{text}");
    }
}

#[test]
fn a_mail_server_that_leaves_in_the_middle_of_the_login_is_a_passing_fault() {
    for protocol in PROTOCOLS {
        let upstream = Upstream::start(vec![Act::Close]);
        let serve = serve(protocol, &upstream);
        let token = token(&serve);
        upstream.play([before_login(protocol), vec![Act::Close]].concat());
        let mut client = serve.sign_in(protocol, &token, "");
        client.expect(refused_as_temporary(protocol));
        serve.wait_for_log(&["backend_unreachable", "closed the connection before the login was done"]);
        no_session_is_left(&serve);
    }
}

#[test]
fn sigterm_during_a_sign_in_is_answered_and_ends_with_zero() {
    for protocol in PROTOCOLS {
        let upstream = Upstream::start(vec![Act::Close]);
        let mut serve = serve(protocol, &upstream);
        let token = token(&serve);
        upstream.play(hanging(protocol, &Gate::default()));
        let mut client = serve.sign_in(protocol, &token, "");
        upstream.got(&login_of(protocol));
        let reader = std::thread::spawn(move || client.rest());
        let started = Instant::now();
        assert_eq!(serve.terminate(), Some(0));
        // The drain waits for sessions, not for those who have none yet.
        assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
        let said = reader.join().expect("read");
        assert!(said.starts_with(refused_as_temporary(protocol)), "{protocol}: {said:?}");
        upstream.ended(&login_of(protocol));
    }
}

#[test]
fn sigterm_says_goodbye_to_everybody_who_has_not_signed_in() {
    let upstream = Upstream::start(vec![Act::Close]);
    let mut serve = serve("imap", &upstream);
    let mut clients: Vec<_> = (0..20).map(|_| serve.connect("imap")).collect();
    let reader = std::thread::spawn(move || {
        clients.iter_mut().all(|client| client.rest().starts_with("* BYE the server is shutting down"))
    });
    assert_eq!(serve.terminate(), Some(0));
    assert!(reader.join().expect("read"));
}

#[test]
fn a_mail_server_that_ends_gives_the_client_a_clean_end() {
    for protocol in PROTOCOLS {
        let upstream = Upstream::start(vec![Act::Close]);
        let serve = serve(protocol, &upstream);
        let token = token(&serve);
        upstream
            .play(taking(protocol, vec![until("QUIT\r\n"), crate::support::send("221 bye\r\n"), Act::Close]));
        let mut client = serve.sign_in(protocol, &token, "QUIT\r\n");
        client.line();
        assert!(client.clean_rest().ends_with("221 bye\r\n"), "{protocol}");
        drop(client);
        no_session_is_left(&serve);
    }
}

#[test]
fn a_client_that_ends_its_direction_still_gets_the_last_answers() {
    let upstream = Upstream::start(vec![Act::Close]);
    let serve = serve("imap", &upstream);
    let token = token(&serve);
    let gate = Gate::default();
    upstream.play(taking(
        "imap",
        vec![Act::Gate(gate.clone()), crate::support::send("b OK late\r\n"), Act::Close],
    ));
    let mut client = serve.sign_in("imap", &token, "");
    client.expect("a OK");
    client.say("b NOOP");
    client.end();
    upstream.ended("b NOOP\r\n");
    gate.open();
    assert_eq!(client.clean_rest(), "b OK late\r\n");
}
