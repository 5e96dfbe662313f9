//! STARTTLS, and the clear connection before it.

use bearward::proto::{Banner, Downstream as _, Step, TlsState, imap::ImapDownstream};

use super::client::*;

#[test]
fn nothing_sent_in_clear_is_read_after_the_handshake() {
    let mut client = Client::new(&Script::new(TlsState::ClearStartTls, OAUTH));
    client.send(b"a STARTTLS\r\nb NOOP\r\nc LOG");
    client.send(b"d NOOP\r\n");
    assert_eq!(client.said, ["a OK Begin TLS negotiation now", "starttls", "d OK NOOP completed"]);
}

#[test]
fn octets_that_come_before_the_handshake_ends_are_dropped() {
    let mut machine = ImapDownstream::new(Banner::Welcome, config(TlsState::ClearStartTls, OAUTH));
    machine.receive(b"a STARTTLS\r\n");
    while !matches!(machine.poll(), Step::StartTls) {}
    machine.receive(b"b NOOP\r\n");
    assert!(matches!(machine.poll(), Step::NeedInput));
    machine.tls_started();
    assert!(matches!(machine.poll(), Step::NeedInput));
}

#[test]
fn the_dialogue_starts_anew() {
    let mut client = Client::new(&Script::new(TlsState::ClearStartTls, OAUTH));
    client.send(b"a CAPABILITY\r\nb ID (\"name\" \"evil\")\r\nc STARTTLS\r\n");
    client.send(format!("d AUTHENTICATE XOAUTH2 {}\r\n", xoauth2("t")).as_bytes());
    assert!(client.said[0].contains("STARTTLS LOGINDISABLED\r\n"));
    assert_eq!(
        client.said[4..],
        ["XOAUTH2 token t as alice@example.org", "d OK [CAPABILITY IMAP4rev1 MOVE] Logged in", "handover ",]
    );
    let mut client = Client::new(&Script::new(TlsState::ClearStartTls, OAUTH));
    client.send(b"c STARTTLS\r\n");
    client.send(b"d CAPABILITY\r\n");
    assert_eq!(client.said[2], format!("* CAPABILITY {CAPABILITIES}\r\nd OK CAPABILITY completed"));
}

#[test]
fn there_is_no_second_tls() {
    let mut client = Client::new(&Script::new(TlsState::ClearStartTls, OAUTH));
    client.send(b"a STARTTLS\r\n");
    client.send(b"b STARTTLS\r\n");
    assert_eq!(client.said[2], "b BAD TLS is already active");
    assert_eq!(tls().say(b"a STARTTLS\r\n"), ["a BAD TLS is already active"]);
    assert_eq!(
        Script::new(TlsState::Clear, OAUTH).say(b"a STARTTLS\r\n"),
        ["a BAD TLS is not available here"]
    );
}

#[test]
fn no_credential_is_taken_in_clear() {
    for state in [TlsState::Clear, TlsState::ClearStartTls] {
        let input = format!(
            "a AUTHENTICATE XOAUTH2 {}\r\nb AUTHENTICATE PLAIN\r\nc LOGIN u p\r\nd LOGIN {{1}}\r\ne LOGIN {{1+}}\r\nu p\r\nf NOOP\r\n",
            xoauth2("tok")
        );
        let said = Script::new(state, ALL).say(input.as_bytes());
        let no = "NO [PRIVACYREQUIRED] Start TLS first";
        assert_eq!(
            said,
            [
                format!("a {no}"),
                format!("b {no}"),
                format!("c {no}"),
                format!("d {no}"),
                format!("e {no}"),
                "f OK NOOP completed".into()
            ]
        );
    }
}
