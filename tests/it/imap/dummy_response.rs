//! The line after an error challenge, whatever it holds.

use bearward::proto::Downstream as _;

use super::client::*;

/// A refused attempt, then `after`.
fn after_challenge(after: &str) -> Vec<String> {
    let input = format!("a AUTHENTICATE OAUTHBEARER {RFC_IR}\r\n{after}");
    let said = tls().answers(&invalid()).say(input.as_bytes());
    assert!(said[1].starts_with("+ "), "{said:?}");
    said[2..].to_vec()
}

fn refused() -> String {
    format!("a NO [AUTHENTICATIONFAILED] Authentication failed {SESSION}")
}

#[test]
fn any_single_line_ends_the_exchange_and_is_nothing_else() {
    for dummy in
        ["AQ==", "", "=", "garbage", RFC_IR, "b NOOP", "b AUTHENTICATE OAUTHBEARER AQ==", "GET / HTTP/1.1"]
    {
        let said = after_challenge(&format!("{dummy}\r\nc NOOP\r\n"));
        assert_eq!(said, [refused(), "c OK NOOP completed".to_owned()], "{dummy}");
    }
}

#[test]
fn a_raw_octet_glued_to_the_next_command_ends_the_exchange() {
    let said = after_challenge(&format!("\x01a0002 AUTHENTICATE OAUTHBEARER {RFC_IR}\r\nc NOOP\r\n"));
    assert_eq!(said, [refused(), "c OK NOOP completed".to_owned()]);
}

#[test]
fn a_line_beyond_all_limits_ends_it_too() {
    let said = after_challenge(&format!("{}\r\nc NOOP\r\n", "x".repeat(3000)));
    assert_eq!(said, [refused(), "c OK NOOP completed".to_owned()]);
}

#[test]
fn a_command_sent_instead_is_lost_with_its_literals() {
    let login = "b LOGIN {5+}\r\nalice {19+}\r\nx AUTHENTICATE XX\r\n\r\nc NOOP\r\n";
    assert_eq!(after_challenge(login), [refused(), "c OK NOOP completed".to_owned()]);
    // One that waits gets no leave, so nothing of it follows.
    assert_eq!(after_challenge("b LOGIN {5}\r\nc NOOP\r\n"), [refused(), "c OK NOOP completed".to_owned()]);
}

#[test]
fn a_literal_at_the_end_of_an_endless_line_is_lost_too() {
    let long = format!("{}{{9+}}\r\nb NOOP\r\n\r\nc NOOP\r\n", "x".repeat(3000));
    assert_eq!(after_challenge(&long), [refused(), "c OK NOOP completed".to_owned()]);
}

fn waiting() -> Client {
    let mut client = Client::new(&tls().answers(&invalid()));
    assert!(!client.machine.awaits_dummy_response());
    client.send(format!("a AUTHENTICATE OAUTHBEARER {RFC_IR}\r\n").as_bytes());
    assert!(client.machine.awaits_dummy_response());
    client
}

fn time_out(client: &mut Client) {
    client.machine.dummy_response_timed_out();
    client.run();
    assert!(!client.machine.awaits_dummy_response());
}

#[test]
fn silence_ends_it_and_keeps_the_connection() {
    let mut client = waiting();
    time_out(&mut client);
    client.send(b"b NOOP\r\n");
    assert_eq!(client.said[2..], [refused(), "b OK NOOP completed".to_owned()]);
}

#[test]
fn a_raw_octet_alone_is_forgotten_when_time_is_over() {
    let mut client = waiting();
    client.send(b"\x01");
    time_out(&mut client);
    client.send(b"b NOOP\r\n");
    assert_eq!(client.said[2..], [refused(), "b OK NOOP completed".to_owned()]);
}

#[test]
fn a_line_begun_belongs_to_the_exchange_to_its_end() {
    let mut client = waiting();
    client.send(b"b LOGIN {");
    time_out(&mut client);
    client.send(b"9+}\r\nx NOOP\r\n\r\nc NOOP\r\n");
    assert_eq!(client.said[2..], [refused(), "c OK NOOP completed".to_owned()]);
}

#[test]
fn a_time_out_without_an_exchange_is_nothing() {
    let mut client = Client::new(&tls());
    client.machine.dummy_response_timed_out();
    client.send(b"b NOOP\r\n");
    assert_eq!(client.said, ["b OK NOOP completed"]);
}
