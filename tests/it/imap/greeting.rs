//! The greeting, and the goodbye.

use bearward::proto::{Banner, Close, Downstream as _, FrontConfig, Step, TlsState, imap::ImapDownstream};

use super::client::*;

fn greeting(banner: Banner, config: FrontConfig) -> (String, ImapDownstream) {
    let mut machine = ImapDownstream::new(banner, config);
    let Step::Send(octets) = machine.poll() else { panic!("no greeting") };
    (String::from_utf8(octets).unwrap(), machine)
}

#[test]
fn it_tells_what_may_be_done_on_an_encrypted_connection() {
    let (text, _) = greeting(Banner::Welcome, config(TlsState::Encrypted, OAUTH));
    assert_eq!(text, format!("* OK [CAPABILITY {CAPABILITIES}] mail.example.org Bearward ready\r\n"));
}

#[test]
fn a_clear_connection_is_offered_no_mechanism() {
    for (tls, end) in [
        (TlsState::ClearStartTls, "LITERAL- STARTTLS LOGINDISABLED]"),
        (TlsState::Clear, "LITERAL- LOGINDISABLED]"),
    ] {
        let (text, _) = greeting(Banner::Welcome, config(tls, ALL));
        assert!(text.contains(end), "{text}");
        assert!(!text.contains("AUTH="), "{text}");
    }
}

#[test]
fn nothing_is_promised_that_no_mail_server_is_known_to_keep() {
    let mut unknown = config(TlsState::Encrypted, OAUTH);
    unknown.offer = std::sync::Arc::default();
    let (text, _) = greeting(Banner::Welcome, unknown);
    assert!(text.starts_with("* OK [CAPABILITY IMAP4rev1 SASL-IR ID AUTH=OAUTHBEARER "), "{text}");
}

#[test]
fn login_is_not_disabled_where_passwords_are_taken() {
    let (text, _) = greeting(Banner::Welcome, config(TlsState::Encrypted, ALL));
    assert!(text.contains("AUTH=OAUTHBEARER AUTH=XOAUTH2 AUTH=PLAIN AUTH=LOGIN]"), "{text}");
}

#[test]
fn too_many_connections_are_told_so() {
    let (text, mut machine) = greeting(Banner::Busy, config(TlsState::Encrypted, OAUTH));
    assert!(text.starts_with("* BYE [UNAVAILABLE] "), "{text}");
    assert!(matches!(machine.poll(), Step::Close(Close::Busy)));
    machine.receive(b"a NOOP\r\n");
    assert!(matches!(machine.poll(), Step::Close(Close::Busy)));
}

#[test]
fn a_goodbye_is_one_line_of_printable_text() {
    let (_, machine) = greeting(Banner::Welcome, config(TlsState::Encrypted, OAUTH));
    assert_eq!(machine.goodbye("Idle\r\na OK"), b"* BYE Idle??a OK\r\n");
}
