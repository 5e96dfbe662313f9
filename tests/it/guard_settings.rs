//! What `[submission]` makes of the guard of a submission session.

use bearward::proto::{
    Guard as _, GuardViolation, Offer,
    smtp::{BareNewline, SenderPolicy, SmtpGuard},
};
use proptest::prelude::*;

use crate::smtp_model::{LooseServer, Seen};

fn guard() -> SmtpGuard {
    SmtpGuard::new(&Offer { lines: vec!["CHUNKING".to_owned()] })
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Run {
    seen: Seen,
    upstream: Vec<u8>,
    client: Vec<u8>,
    violation: Option<GuardViolation>,
    last_words: Option<&'static [u8]>,
}

impl Run {
    fn codes(&self) -> Vec<&str> {
        let text = std::str::from_utf8(&self.client).unwrap();
        text.split_terminator("\r\n").map(|line| &line[..3]).collect()
    }
}

fn run(mut guard: SmtpGuard, pieces: &[&[u8]]) -> Run {
    let (mut server, mut run, mut waiting) = (LooseServer::new(true), Run::default(), Vec::new());
    'session: for piece in pieces {
        waiting.extend_from_slice(piece);
        loop {
            let mut upstream = Vec::new();
            let taken = match guard.client(&waiting, &mut upstream) {
                Ok(taken) => taken,
                Err(violation) => {
                    run.violation = Some(violation);
                    break 'session;
                }
            };
            waiting.drain(..taken);
            let replies = server.receive(&upstream);
            run.upstream.extend_from_slice(&upstream);
            guard.server(&replies, &mut run.client).unwrap();
            if taken == 0 && replies.is_empty() {
                break;
            }
        }
    }
    run.last_words = guard.last_words();
    run.seen = server.seen;
    run
}

fn at_every_split(guard: impl Fn() -> SmtpGuard, input: &[u8]) -> Run {
    let whole = run(guard(), &[input]);
    for split in 0..=input.len() {
        let (head, tail) = input.split_at(split);
        let cut = run(guard(), &[head, tail]);
        assert_eq!(cut.violation, whole.violation, "split at {split}");
        assert_eq!((&cut.seen, &cut.client), (&whole.seen, &whole.client), "split at {split}");
    }
    whole
}

fn refusing() -> SmtpGuard {
    guard().with_bare_newlines(BareNewline::Refuse)
}

const START: &[u8] = b"MAIL FROM:<a@example.org>\r\nRCPT TO:<good@example.org>\r\nDATA\r\n";

#[test]
fn a_message_with_a_bare_line_end_is_refused_and_never_ends_for_the_server() {
    for text in [
        &b"a\nb"[..],
        b"a\rb",
        b"\n",
        b"\r",
        b".\n",
        b".\r.",
        b"a\n.\nMAIL FROM:<root@example.org>\r\nRCPT TO:<good>\r\nDATA",
        b"a\r\n.\rx",
        b"a\r\n.\nAUTH PLAIN x",
        b"a\r\r",
    ] {
        let input = [START, text, b"\r\n.\r\nNOOP\r\n"].concat();
        let run = at_every_split(refusing, &input);
        assert_eq!(run.violation, Some(GuardViolation::BareNewline), "{}", text.escape_ascii());
        assert!(run.last_words.unwrap().starts_with(b"550 5.6.11 "));
        assert_eq!(run.seen.messages, [b""; 0], "{}", text.escape_ascii());
        assert_eq!(run.seen.verbs, ["MAIL", "RCPT", "DATA"]);
        assert_eq!(run.codes(), ["250", "250", "354"]);
    }
}

#[test]
fn such_a_message_is_heard_to_its_end_before_the_client_is_told() {
    let (mut guard, mut up) = (refusing(), Vec::new());
    guard.client(b"DATA\r\n", &mut up).unwrap();
    guard.server(b"354 go\r\n", &mut Vec::new()).unwrap();
    up.clear();
    assert_eq!(guard.client(b"fine\r\nbare\nline\r\n", &mut up), Ok(17));
    assert!(up.is_empty(), "no octet of the piece with the bare line end");
    for _ in 0..100 {
        assert_eq!(guard.client(&[b'x'; 4096], &mut up), Ok(4096));
    }
    assert!(up.is_empty());
    assert_eq!(guard.client(b"\r\n.\r\nNOOP\r\n", &mut up), Err(GuardViolation::BareNewline));
    assert!(up.is_empty());
}

#[test]
fn a_clean_message_passes_where_bare_line_ends_are_refused() {
    let message = b"Subject: x\r\n\r\n..\r\n\0\x7f\xff\r\n\r\n.\r\n";
    let input = [START, message.as_slice(), b"NOOP\r\n"].concat();
    let run = at_every_split(refusing, &input);
    assert_eq!((run.violation, run.last_words), (None, None));
    assert_eq!(run.upstream, input);
    // What is sent by BDAT is counted, so nothing in it can end anything.
    let chunk = b"BDAT 9 LAST\r\na\nb\r\n.\n\r\r";
    let envelope = &START[..START.len() - b"DATA\r\n".len()];
    let run = at_every_split(refusing, &[envelope, chunk].concat());
    assert_eq!((run.violation, run.seen.messages), (None, vec![b"a\nb\r\n.\n\r\r".to_vec()]));
}

fn own() -> SmtpGuard {
    guard().with_senders(SenderPolicy::new(["alice@example.org", "@lists.example.org"]))
}

#[test]
fn foreign_senders_are_refused_in_the_order_of_the_commands() {
    let run = at_every_split(
        own,
        b"MAIL FROM:<bob@example.org>\r\nNOOP\r\nMAIL FROM: <alice@EXAMPLE.org> SIZE=9\r\nRSET\r\n\
          MAIL FROM:<@x:alice@example.org>\r\nmail from:<>\r\nRSET\r\nMAIL FROM:<x@lists.example.org> AUTH=bob@example.org\r\n\
          MAIL\r\nMAIL FROM:<alice@example.org>\tBODY=8BITMIME\r\nQUIT\r\n",
    );
    assert_eq!(run.codes(), ["553", "250", "250", "250", "553", "250", "250", "553", "553", "250", "221"]);
    let upstream = String::from_utf8(run.upstream).unwrap();
    let mails: Vec<&str> = upstream.lines().filter(|line| line.starts_with("MAIL")).collect();
    assert_eq!(
        mails,
        [
            "MAIL FROM:<alice@EXAMPLE.org> SIZE=9",
            "MAIL FROM:<>",
            "MAIL FROM:<alice@example.org> BODY=8BITMIME"
        ]
    );
    let client = String::from_utf8(run.client).unwrap();
    assert_eq!(client.matches("553 5.7.1 ").count(), 4);
}

#[test]
fn without_a_policy_mail_passes_as_it_is_written() {
    let input = b"MAIL FROM: <@a,@b:bob@example.org>  AUTH=root\r\nMAIL odd\r\n";
    assert_eq!(at_every_split(guard, input).upstream, input);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_sent_no_foreign_address_passes(
        pieces in proptest::collection::vec(proptest::sample::select(vec![
            "MAIL ", "FROM:", "from:", "<", ">", "\"", "\\", "@", "alice", "bob", "alice@example.org", "bob@example.org",
            "<alice@example.org>", "<bob@example.org>", " ", "\t", ",", ":", "\r\n", "\n", "\r", "AUTH=", "SIZE=1", "(c)", "é",
            "\r\nMAIL FROM:", "RSET\r\n", "[1.2.3.4]", ".", "+62",
        ]), 0..24),
    ) {
        let input = format!("{}\r\n", pieces.concat());
        let run = run(own(), &[input.as_bytes()]);
        let upstream = String::from_utf8(run.upstream).unwrap();
        for line in upstream.split(['\r', '\n']).filter(|line| line.trim_start().to_ascii_uppercase().starts_with("MAIL")) {
            let address = line.strip_prefix("MAIL FROM:<").and_then(|rest| rest.split_once('>')).map(|(address, _)| address);
            prop_assert!(
                matches!(address, Some("" | "alice@example.org" | "\"alice\"@example.org" | "\"al\\ice\"@example.org")),
                "{line}"
            );
            prop_assert!(!line.contains("AUTH=bob"));
        }
    }
}
