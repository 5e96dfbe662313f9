//! What a mail server is told of the client.

use bearward::proto::proxy_header::{self, Header};

use super::{MASTER, PROTOCOLS, accepted, one, scene};
use crate::support::{ALICE, Serve, Upstream, login_taken, send, taking, until, xoauth2};

/// Signs in; the session's name, from the log.
fn session(serve: &Serve, protocol: &str) -> String {
    let mut client = serve.sign_in(protocol, &serve.token(ALICE), "NOOP\r\n");
    client.until(accepted(protocol));
    let line = serve.wait_for_log(&["outcome=\"ok\""]);
    let name = line.split("session=").nth(1).expect("a session").split(' ').next().expect("its name");
    name.to_owned()
}

#[test]
fn imap_id_carries_address_and_session_in_one_write_with_the_login() {
    let script = vec![
        send("* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN ID] hello\r\n"),
        until("L AUTHENTICATE PLAIN "),
        until("\r\n"),
        send("* ID NIL\r\nI OK\r\nL OK [CAPABILITY IMAP4rev1] welcome\r\n"),
    ];
    let (upstream, serve) = scene("imap", MASTER, script.clone());
    let name = session(&serve, "imap");
    let text = upstream.got("NOOP\r\n").text();
    let start = format!(
        "I ID (\"x-session-id\" \"{name}\" \"x-originating-ip\" \"127.0.0.1\" \"x-originating-port\" \""
    );
    assert!(text.starts_with(&start), "{text}");
    for key in [
        "\"x-connected-ip\" \"127.0.0.1\"",
        "\"x-connected-port\"",
        "\"x-proxy-ttl\"",
        "\"x-client-transport\" \"TLS\"",
    ] {
        assert!(text.contains(key), "{key} is missing in {text}");
    }
    let (upstream, serve) = scene("imap", &format!("imap_id = false\n{MASTER}"), script);
    upstream.play(taking("imap", Vec::new()));
    session(&serve, "imap");
    assert!(!upstream.got("NOOP\r\n").text().contains("I ID"));
}

/// Two proxies that point at each other: what is left shrinks each time round, and then it ends.
#[test]
fn a_connection_that_has_come_through_too_many_proxies_goes_no_further() {
    let script = vec![
        send("* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN ID] hello\r\n"),
        until("L AUTHENTICATE PLAIN "),
        until("\r\n"),
        send("* ID NIL\r\nI OK\r\nL OK [CAPABILITY IMAP4rev1] welcome\r\n"),
    ];
    let (upstream, serve) = scene("imap", MASTER, script);
    let token = serve.token(ALICE);
    let sign_in = |ttl: &str, answer: &str| {
        let mut client = serve.connect("imap");
        client.say(&format!("i ID (\"x-proxy-ttl\" \"{ttl}\")"));
        client.until("i OK");
        client.say(&format!("a AUTHENTICATE XOAUTH2 {}", xoauth2(ALICE, &token)));
        client.until(answer);
    };
    for (said, sent) in [("5", "4"), ("200", "6"), ("many", "6"), ("-1", "6")] {
        sign_in(said, "a OK");
        upstream.got(&format!("\"x-proxy-ttl\" \"{sent}\""));
    }
    let before = upstream.connections();
    for said in ["1", "0"] {
        sign_in(said, "a NO [CONTACTADMIN]");
    }
    serve.wait_for_log(&["it goes round in a loop"]);
    assert_eq!(upstream.connections(), before);
}

#[test]
fn pop3_utf8_is_promised_where_the_server_has_it_and_said_there_before_the_login() {
    let script = vec![
        send("+OK hello\r\n"),
        until("CAPA\r\n"),
        send("+OK\r\nSASL PLAIN\r\nUTF8 USER\r\n.\r\n"),
        until("UTF8\r\n"),
        send("+OK\r\n"),
        until("AUTH PLAIN "),
        until("\r\n"),
        send("+OK welcome\r\n"),
    ];
    let upstream = Upstream::start(script);
    let serve = Serve::start(&one("pop3", &upstream, MASTER));
    let mut client = serve.connect("pop3");
    client.say("CAPA");
    client.until("UTF8");
    client.until(".");
    client.say("UTF8");
    client.expect("+OK");
    client.say(&format!("AUTH XOAUTH2 {}", xoauth2(ALICE, &serve.token(ALICE))));
    client.expect("+OK");
    upstream.got("CAPA\r\nUTF8\r\nAUTH PLAIN ");
}

#[test]
fn pop3_xclient_carries_address_and_session_before_the_login() {
    let script = vec![
        send("+OK [XCLIENT] hello\r\n"),
        until("XCLIENT "),
        until("\r\n"),
        send("+OK\r\n"),
        until("CAPA\r\n"),
        send("+OK\r\nSASL PLAIN\r\n.\r\n"),
        until("AUTH PLAIN "),
        until("\r\n"),
        send("+OK welcome\r\n"),
    ];
    let (upstream, serve) = scene("pop3", MASTER, script);
    let name = session(&serve, "pop3");
    let text = upstream.got("NOOP\r\n").text();
    let line = text.lines().next().expect("a line");
    assert!(line.starts_with("XCLIENT ADDR=127.0.0.1 PORT="), "{text}");
    assert!(line.contains(&format!(" SESSION={name}")), "{text}");
}

#[test]
fn smtp_xclient_carries_the_listed_attributes_and_must_be_gone_after_the_login() {
    let hello = |lines: &str| vec![until("EHLO "), until("\r\n"), send(lines)];
    let script = [
        vec![send("220 hello\r\n")],
        hello("250-hello\r\n250-XCLIENT ADDR PORT HELO SESSION\r\n250 AUTH PLAIN\r\n"),
        vec![until("XCLIENT "), until("\r\n"), send("220 again\r\n")],
        hello("250-hello\r\n250 AUTH PLAIN\r\n"),
        vec![until("AUTH PLAIN "), until("\r\n")],
        login_taken("smtp"),
    ];
    let (upstream, serve) = scene("smtp", MASTER, script.concat());
    let name = session(&serve, "smtp");
    let text = upstream.got("NOOP\r\n").text();
    let line = text.lines().find(|line| line.starts_with("XCLIENT ")).expect("XCLIENT");
    assert!(line.starts_with("XCLIENT ADDR=127.0.0.1 PORT="), "{text}");
    assert!(line.ends_with(&format!(" SESSION={name} HELO=client.example.org")), "{text}");
}

#[test]
fn a_proxy_header_opens_each_connection_with_the_client_or_as_local_for_a_probe() {
    for protocol in PROTOCOLS {
        let upstream = Upstream::start(taking(protocol, Vec::new()));
        let more = format!("proxy_protocol = \"v2\"\n{MASTER}");
        let serve = Serve::start(&one(protocol, &upstream, &more));
        let local = String::from_utf8(proxy_header::encode_v2_local()).expect("text");
        assert!(upstream.got(&local).text().starts_with(&local), "{protocol}");
        let name = session(&serve, protocol);
        let received = upstream.got("NOOP\r\n").received;
        let parsed = proxy_header::parse(&received).expect("a header");
        let Header::Proxied(client) = parsed.header else { panic!("a local header for a client") };
        assert!(client.source.ip().is_loopback() && client.source.port() != 0);
        assert_eq!(client.destination, serve.address(protocol));
        assert_eq!(client.unique_id.as_deref(), Some(name.as_bytes()));
        assert!(client.encrypted && client.authority.as_deref() == Some("localhost"), "{client:?}");
        let after = String::from_utf8_lossy(&received[parsed.consumed..]).into_owned();
        let first = if protocol == "imap" { "L AUTHENTICATE" } else { "" };
        assert!(after.starts_with(first) && after.contains("NOOP"), "{after}");
    }
}
