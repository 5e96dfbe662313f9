//! Several servers of one backend: who goes where, failures before and after the login, draining.

use std::time::{Duration, Instant};

use super::{MASTER, PROTOCOLS, accepted, temporary};
use crate::support::{ALICE, Act, Serve, Upstream, answering, send, taking, wait};

/// Bearward in front of two servers that take every login when they are probed.
fn pair(protocol: &str, more: &str) -> (Upstream, Upstream, Serve) {
    let servers = [(); 2].map(|()| Upstream::start(taking(protocol, Vec::new())));
    let list: Vec<String> =
        servers.iter().map(|server| format!("\"{protocol}://127.0.0.1:{}\"", server.port())).collect();
    let serve = Serve::start(&format!("{protocol} = [{}]\n{more}{MASTER}", list.join(", ")));
    let [one, two] = servers;
    (one, two, serve)
}

/// How many connections have brought this login.
fn logins(upstream: &Upstream) -> usize {
    upstream.count("AUTH")
}

#[test]
fn a_server_that_turns_away_before_the_login_is_passed_over() {
    for protocol in PROTOCOLS {
        let greetings: &[&str] = match protocol {
            "imap" => &["* BYE too busy\r\n", "no IMAP\r\n"],
            "pop3" => &["-ERR [SYS/TEMP] busy\r\n", "-ERR busy\r\n"],
            _ => &["421 4.3.2 too many connections\r\n", "554 no\r\n"],
        };
        for greeting in greetings {
            let (one, two, serve) = pair(protocol, "");
            one.play(vec![send(greeting), Act::Close]);
            let token = serve.token(ALICE);
            serve.sign_in(protocol, &token, "NOOP\r\n").until(accepted(protocol));
            two.got("NOOP\r\n");
            assert_eq!((logins(&one), logins(&two)), (0, 1), "{protocol} {greeting:?}");
        }
    }
}

#[test]
fn nothing_is_tried_again_once_the_login_was_sent() {
    for protocol in PROTOCOLS {
        let (refused, busy) = match protocol {
            "imap" => ("L NO no\r\n", "* BYE x\r\n"),
            "pop3" => ("-ERR no\r\n", "-ERR [SYS/TEMP] x\r\n"),
            _ => ("535 no\r\n", "421 4.3.2 x\r\n"),
        };
        for answer in [refused, busy, ""] {
            let (one, two, serve) = pair(protocol, "");
            one.play([answering(protocol, answer), vec![Act::Close]].concat());
            let token = serve.token(ALICE);
            let line = serve.sign_in(protocol, &token, "").line();
            assert!(!line.starts_with(accepted(protocol)), "{line}");
            assert_eq!((logins(&one), logins(&two)), (1, 0), "{protocol} {answer:?}");
        }
    }
}

#[test]
fn the_first_server_gets_its_users_back() {
    let (one, two, serve) = pair("imap", "slow_start = \"0s\"\n");
    let token = serve.token(ALICE);
    one.play(vec![Act::Close]);
    for _ in 0..4 {
        serve.sign_in("imap", &token, "").until("a OK");
    }
    assert_eq!((logins(&one), logins(&two)), (0, 4));
    one.play(taking("imap", Vec::new()));
    serve.wait_for_log(&["a mail server can be used again"]);
    serve.sign_in("imap", &token, "").until("a OK");
    assert_eq!((logins(&one), logins(&two)), (1, 4));
}

#[test]
fn a_user_meets_the_same_server_each_time_and_another_when_it_is_gone() {
    let (one, two, serve) = pair("imap", "balance = \"hash\"\n");
    let token = serve.token(ALICE);
    for _ in 0..4 {
        serve.sign_in("imap", &token, "").until("a OK");
    }
    let before = (logins(&one), logins(&two));
    assert!(before == (4, 0) || before == (0, 4), "{before:?}");
    let (home, other) = if before.0 == 4 { (one, two) } else { (two, one) };
    home.play(vec![Act::Close]);
    serve.sign_in("imap", &token, "").until("a OK");
    assert_eq!((logins(&home), logins(&other)), (4, 1));
}

#[test]
fn a_circuit_that_is_open_keeps_sign_ins_from_a_silent_server() {
    let (one, two, serve) = pair("imap", "timeout = \"1s\"\n");
    let token = serve.token(ALICE);
    one.play(Vec::new());
    two.play(Vec::new());
    // Both are silent: each sign-in waits for both, until the circuits open.
    let started = Instant::now();
    let clients: Vec<_> = (0..6).map(|_| serve.sign_in("imap", &token, "")).collect();
    for mut client in clients {
        client.expect(temporary("imap"));
    }
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
    two.play(taking("imap", Vec::new()));
    serve.wait_for_log(&["a mail server can be used again"]);
    let started = Instant::now();
    serve.sign_in("imap", &token, "").until("a OK");
    assert!(started.elapsed() < Duration::from_millis(900), "{:?}", started.elapsed());
}

#[test]
fn a_drained_server_gets_no_new_sessions_until_it_is_let_in_again() {
    let (one, two, serve) = pair("imap", "");
    let token = serve.token(ALICE);
    let mut there = serve.sign_in("imap", &token, "");
    there.until("a OK");
    assert_eq!((logins(&one), logins(&two)), (1, 0));
    let name = format!("main/127.0.0.1:{}", one.port());
    let said = serve.succeed(&["backend", "drain", &name], "");
    assert!(said.contains("0 sessions closed, 1 left"), "{said}");
    serve.sign_in("imap", &token, "").until("a OK");
    assert_eq!((logins(&one), logins(&two)), (1, 1));

    let listed: serde_json::Value =
        serde_json::from_str(&serve.succeed(&["backend", "list", "--json"], "")).expect("JSON");
    let of_one = listed
        .as_array()
        .expect("array")
        .iter()
        .find(|info| info["server"].as_str().is_some_and(|server| name.ends_with(server)));
    let of_one = of_one.expect("the server");
    assert_eq!(
        (&of_one["drained"], &of_one["sessions"], &of_one["state"]),
        (&true.into(), &1.into(), &"up".into())
    );

    serve.succeed(&["backend", "resume", "main", "--json"], "");
    serve.sign_in("imap", &token, "").until("a OK");
    assert_eq!((logins(&one), logins(&two)), (2, 1));
    let unknown = serve.command(&["backend", "drain", "main/127.0.0.1:1"], "");
    assert!(!unknown.status.success());
}

#[test]
fn a_drain_can_close_the_sessions_that_are_there() {
    let (one, _two, serve) = pair("imap", "");
    let token = serve.token(ALICE);
    let mut there = serve.sign_in("imap", &token, "");
    there.until("a OK");
    let name = format!("main/127.0.0.1:{}", one.port());
    let said = serve.succeed(&["backend", "drain", &name, "--close"], "");
    assert!(said.contains("1 sessions closed, 0 left"), "{said}");
    there.until("* BYE");
    serve.succeed(&["backend", "drain", "main"], "");
    serve.sign_in("imap", &token, "").expect(temporary("imap"));
    serve.wait_for_log(&["is drained", "backend_unreachable"]);
}

/// Waits until so many connections to the server wait for a user.
pub(super) fn until_warm(serve: &Serve, count: u64) {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let listed: serde_json::Value =
            serde_json::from_str(&serve.succeed(&["backend", "list", "--json"], "")).expect("JSON");
        if listed[0]["warm"] == count {
            return;
        }
        assert!(Instant::now() < deadline, "{listed}");
        wait(Duration::from_millis(50));
    }
}

/// A script that waits before its first octet.
fn slowly(script: Vec<Act>) -> Vec<Act> {
    [vec![Act::Pause(Duration::from_millis(600))], script].concat()
}

#[test]
fn a_sign_in_with_a_connection_that_waits_meets_no_connect_and_no_greeting() {
    for protocol in PROTOCOLS {
        let upstream = Upstream::start(slowly(taking(protocol, Vec::new())));
        let serve = Serve::start(&super::one(protocol, &upstream, &format!("warm = 1\n{MASTER}")));
        let token = serve.token(ALICE);
        until_warm(&serve, 1);
        let mut client = serve.connect(protocol);
        let connections = upstream.connections();
        let started = Instant::now();
        let command = if protocol == "imap" { "a AUTHENTICATE" } else { "AUTH" };
        client.say(&format!("{command} XOAUTH2 {}", crate::support::xoauth2(ALICE, &token)));
        client.until(accepted(protocol));
        assert!(started.elapsed() < Duration::from_millis(500), "{:?}", started.elapsed());
        // Only the login itself, on a connection that was there before; the next one is made beside it.
        assert!(upstream.connections() <= connections + 1);
        client.say("NOOP");
        upstream.got("NOOP\r\n");
        assert_eq!(logins(&upstream), 1);
        until_warm(&serve, 1);
    }
}

#[test]
fn a_connection_that_waits_is_used_once_and_each_user_has_their_own() {
    let upstream = Upstream::start(taking("imap", Vec::new()));
    let serve = Serve::start(&super::one("imap", &upstream, &format!("warm = 2\n{MASTER}")));
    let token = serve.token(ALICE);
    until_warm(&serve, 1);
    for number in 0..6 {
        serve.sign_in("imap", &token, &format!("t{number} NOOP\r\n")).until("a OK");
        let text = upstream.got(&format!("t{number} NOOP\r\n")).text();
        assert_eq!(text.matches("AUTHENTICATE").count(), 1, "{text}");
        assert_eq!(text.matches("NOOP").count(), 1, "{text}");
    }
}

#[test]
fn a_connection_that_died_while_it_waited_costs_the_client_nothing() {
    for protocol in PROTOCOLS {
        let greeted = taking(protocol, Vec::new()).into_iter().take_while(|act| match act {
            Act::Until(text) => !text.starts_with(b"AUTH") && !text.starts_with(b"L AUTH"),
            Act::Close | Act::Gate(_) | Act::Pause(_) | Act::Send(_) | Act::Tls(_) => true,
        });
        let unasked = if protocol == "imap" { "* BYE idle\r\n" } else { "421 idle\r\n" };
        for end in [
            vec![Act::Pause(Duration::from_millis(300)), Act::Close],
            vec![Act::Pause(Duration::from_millis(300)), send(unasked)],
        ] {
            let script: Vec<Act> = greeted.clone().chain(end).collect();
            let upstream = Upstream::start(script);
            let serve = Serve::start(&super::one(protocol, &upstream, &format!("warm = 1\n{MASTER}")));
            let token = serve.token(ALICE);
            until_warm(&serve, 1);
            upstream.play(taking(protocol, Vec::new()));
            wait(Duration::from_millis(500));
            serve.sign_in(protocol, &token, "").until(accepted(protocol));
            assert_eq!(logins(&upstream), 1, "{protocol}");
        }
    }
}
