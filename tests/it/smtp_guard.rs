//! The guard of a submission session against hostile clients, with an easily fooled mail server behind it.

use bearward::proto::{Guard, GuardViolation, Offer, smtp::SmtpGuard};
use proptest::prelude::*;

use crate::smtp_model::{LooseServer, Seen};

fn guard(chunking: bool) -> SmtpGuard {
    let lines = if chunking { vec!["PIPELINING".to_owned(), "CHUNKING".to_owned()] } else { Vec::new() };
    SmtpGuard::new(&Offer { lines })
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Run {
    seen: Seen,
    upstream: Vec<u8>,
    client: Vec<u8>,
}

impl Run {
    fn codes(&self) -> Vec<&str> {
        let text = std::str::from_utf8(&self.client).unwrap();
        text.split_terminator("\r\n")
            .filter(|line| line.as_bytes().get(3) != Some(&b'-'))
            .map(|line| &line[..3])
            .collect()
    }

    fn assert_not_fooled(&self) {
        for verb in &self.seen.verbs {
            assert!(!LooseServer::FORBIDDEN.contains(&verb.as_str()), "{verb} reached the mail server");
        }
    }
}

/// Sends the pieces through the guard to the loose server, replies cut into pieces of `reply_piece` octets.
fn run(chunking: bool, pieces: &[&[u8]], reply_piece: usize) -> Run {
    let (mut guard, mut server, mut run) = (guard(chunking), LooseServer::new(chunking), Run::default());
    let mut waiting = Vec::new();
    for piece in pieces {
        waiting.extend_from_slice(piece);
        loop {
            let mut upstream = Vec::new();
            let taken = guard.client(&waiting, &mut upstream).unwrap();
            waiting.drain(..taken);
            let replies = server.receive(&upstream);
            run.upstream.extend_from_slice(&upstream);
            for reply in replies.chunks(reply_piece) {
                guard.server(reply, &mut run.client).unwrap();
            }
            if taken == 0 && replies.is_empty() {
                break;
            }
        }
    }
    run.seen = server.seen;
    run
}

fn at_every_split(chunking: bool, input: &[u8]) -> Run {
    let whole = run(chunking, &[input], 4096);
    whole.assert_not_fooled();
    for split in 0..=input.len() {
        let (head, tail) = input.split_at(split);
        assert_eq!(run(chunking, &[head, tail], 4096), whole, "split at {split}");
    }
    let octets: Vec<&[u8]> = input.chunks(1).collect();
    assert_eq!(run(chunking, &octets, 1), whole, "octet by octet");
    whole
}

const ENVELOPE: &[u8] = b"MAIL FROM:<a@example.org>\r\nRCPT TO:<good@example.org>\r\n";

fn with_message(message: &[u8]) -> Vec<u8> {
    [ENVELOPE, b"DATA\r\n", message].concat()
}

#[test]
fn forbidden_verbs_are_answered_in_the_order_of_the_commands() {
    let run = at_every_split(
        true,
        b"NOOP\r\nauth PLAIN AGEAYg==\r\nVRFY a\r\nStartTLS\r\nXCLIENT LOGIN=root\r\nxforward NAME=a\r\nRSET\r\nQUIT\r\n",
    );
    let client = String::from_utf8(run.client.clone()).unwrap();
    assert_eq!(
        client,
        "250 2.0.0 nothing done\r\n503 5.5.1 Already authenticated\r\n252-2.0.0 perhaps\r\n252 2.0.0 or not\r\n\
         503 5.5.1 TLS already active\r\n502 5.5.1 Command not available\r\n502 5.5.1 Command not available\r\n\
         250 2.0.0 reset\r\n221 2.0.0 bye\r\n"
    );
    assert_eq!(run.seen.verbs, ["NOOP", "NOOP", "VRFY", "NOOP", "NOOP", "NOOP", "RSET", "QUIT"]);
}

#[test]
fn what_follows_a_refused_auth_is_a_command_again() {
    let run = at_every_split(false, b"AUTH LOGIN\r\nAUTH\r\ndXNlcg==\r\nNOOP\r\n");
    assert_eq!(run.codes(), ["503", "503", "500", "250"]);
}

#[test]
fn no_verb_is_hidden_by_blanks_controls_or_line_ends() {
    for line in [
        &b" AUTH PLAIN x"[..],
        b"\tXCLIENT A=b",
        b"AUTH\tPLAIN",
        b"\x0bAUTH PLAIN",
        b"NOOP\nAUTH PLAIN x",
        b"NOOP\rAUTH PLAIN x",
        b"NOOP\n\rAUTH x",
        b"\nAUTH x",
        b"\rAUTH x",
        b"AUTH\0 PLAIN",
        b"NOOP\0\nXCLIENT a=b",
        b"AUTH",
        b"X-EXPS LOGIN",
        b"MAIL FROM:<a>\nXCLIENT LOGIN=root",
        b"AUTH\r",
        b"AUTH\n",
    ] {
        let run = at_every_split(true, &[line, b"\r\nNOOP\r\n"].concat());
        assert_eq!(run.seen.verbs, ["NOOP", "NOOP"], "{}", line.escape_ascii());
        assert_eq!(run.codes().len(), 2, "{}", line.escape_ascii());
        assert_eq!(run.codes()[1], "250");
    }
}

#[test]
fn a_command_line_beyond_the_limit_is_thrown_away() {
    let long = [b"NOOP ".as_slice(), &[b'x'; 20_000], b"\r\nAUTH PLAIN x\r\nNOOP\r\n"].concat();
    let whole = run(true, &[&long], 4096);
    assert_eq!(whole.codes(), ["500", "503", "250"]);
    assert!(whole.upstream.len() < 100);
    for size in [1, 7, 4095, 8192, 8193] {
        let pieces: Vec<&[u8]> = long.chunks(size).collect();
        assert_eq!(run(true, &pieces, 4096), whole);
    }
    let fits = [b"NOOP ".as_slice(), &[b'x'; 8 * 1024 - 7], b"\r\n"].concat();
    assert_eq!(run(true, &[&fits], 4096).codes(), ["250"]);
    let one_more = [b"NOOP ".as_slice(), &[b'x'; 8 * 1024 - 6], b"\r\n"].concat();
    assert_eq!(run(true, &[&one_more], 4096).codes(), ["500"]);
}

#[test]
fn an_endless_line_ends_the_session() {
    let (mut guard, mut upstream) = (guard(true), Vec::new());
    let piece = [b'x'; 64 * 1024];
    let violation = (0..100).find_map(|_| guard.client(&piece, &mut upstream).err());
    assert_eq!(violation, Some(GuardViolation::ClientLineTooLong));
    assert!(upstream.is_empty());
}

#[test]
fn nothing_passes_behind_data_before_its_answer() {
    let (mut guard, mut upstream, mut client) = (guard(true), Vec::new(), Vec::new());
    let input = b"DATA\r\nAUTH PLAIN x\r\n.\r\nQUIT\r\n";
    assert_eq!(guard.client(input, &mut upstream), Ok(6));
    assert_eq!(upstream, b"DATA\r\n");
    assert_eq!(guard.client(&input[6..], &mut upstream), Ok(0));
    guard.server(b"354-go\r\n35", &mut client).unwrap();
    assert_eq!(guard.client(&input[6..], &mut upstream), Ok(0));
    guard.server(b"4 on\r\n", &mut client).unwrap();
    assert_eq!(guard.client(&input[6..], &mut upstream), Ok(input.len() - 6));
    assert_eq!(upstream, input);
}

#[test]
fn what_follows_a_refused_data_is_commands() {
    let run = at_every_split(
        true,
        b"MAIL FROM:<a>\r\nRCPT TO:<bad>\r\nDATA\r\nAUTH PLAIN x\r\n.\r\nXCLIENT a=b\r\nRSET\r\n",
    );
    assert_eq!(run.codes(), ["250", "550", "554", "503", "500", "502", "250"]);
}

#[test]
fn a_pipelined_message_passes_octet_by_octet_as_it_is() {
    let message = b"Subject: x\r\n\r\nAUTH PLAIN x\r\n..\r\n...stuffed\r\n.unstuffed\r\n\r\n\r\n.\r\n";
    let input =
        [&with_message(message), b"AUTH x\r\n".as_slice(), &with_message(b".\r\n"), b"QUIT\r\n"].concat();
    let run = at_every_split(true, &input);
    assert_eq!(run.codes(), ["250", "250", "354", "250", "503", "250", "250", "354", "250", "221"]);
    let expected =
        [&with_message(message), b"NOOP\r\n".as_slice(), &with_message(b".\r\n"), b"QUIT\r\n"].concat();
    assert_eq!(run.upstream, expected);
    assert_eq!(run.seen.messages.len(), 2);
    assert_eq!(run.seen.messages[1], b"");
}

#[test]
fn no_ending_but_crlf_dot_crlf_ends_a_message() {
    let ends = [&b"\n"[..], b"\r", b"\r\r", b"\n\n", b"\r\n", b"\n\r", b"\r\r\n", b""];
    for before in ends {
        for after in ends {
            if before.ends_with(b"\r\n") && after == b"\r\n" {
                continue;
            }
            let smuggled =
                b"MAIL FROM:<root@example.org>\r\nRCPT TO:<good>\r\nDATA\r\nAUTH PLAIN x\r\nsmuggled";
            let message = [b"text", before, b".", after, smuggled, b"\r\n.\r\n"].concat();
            let run = at_every_split(true, &[&with_message(&message), b"NOOP\r\n".as_slice()].concat());
            let what = message.escape_ascii().to_string();
            assert_eq!(run.seen.messages.len(), 1, "{what}");
            assert_eq!(run.codes(), ["250", "250", "354", "250", "250"], "{what}");
            let text = &run.upstream[with_message(b"").len()..run.upstream.len() - b"NOOP\r\n".len()];
            let bare = text.windows(3).any(|octets| {
                octets[1] == b'\n' && octets[0] != b'\r' || octets[1] == b'\r' && octets[2] != b'\n'
            });
            assert!(!bare, "{what}");
            assert_eq!(text.windows(5).filter(|octets| octets == b"\r\n.\r\n").count(), 1, "{what}");
        }
    }
}

#[test]
fn chunks_pass_whatever_they_hold() {
    let chunk = b"AUTH PLAIN x\r\n.\r\n\n.\n\r.\r\0XCLIENT a=b\r\n";
    let head = [ENVELOPE, format!("bdat {}\r\n", chunk.len()).as_bytes()].concat();
    let input = [&head, chunk.as_slice(), b"BDAT 0 LAST\r\nAUTH x\r\nNOOP\r\n"].concat();
    let run = at_every_split(true, &input);
    assert_eq!(run.codes(), ["250", "250", "250", "250", "503", "250"]);
    assert_eq!(run.seen.messages, [chunk.to_vec()]);
}

#[test]
fn a_refused_chunk_still_takes_its_octets() {
    let run = at_every_split(true, b"BDAT 14 LAST\r\nAUTH PLAIN x\r\nAUTH PLAIN x\r\nNOOP\r\n");
    assert_eq!(run.codes(), ["503", "503", "250"]);
    assert_eq!(run.seen.verbs, ["BDAT", "NOOP", "NOOP"]);
}

#[test]
fn a_chunk_never_reaches_a_server_that_would_read_it_as_commands() {
    let run = at_every_split(false, b"BDAT 14 LAST\r\nAUTH PLAIN x\r\nAUTH PLAIN x\r\nNOOP\r\n");
    assert_eq!(run.codes(), ["503", "503", "250"]);
    assert_eq!(run.seen.verbs, ["NOOP", "NOOP", "NOOP"]);
    // HELO takes the extension away again, and EHLO gives it back.
    let run = at_every_split(
        true,
        b"HELO a\r\nBDAT 14 LAST\r\nAUTH PLAIN x\r\nEHLO a\r\nBDAT 8 LAST\r\nXCLIENT NOOP\r\n",
    );
    assert_eq!(run.codes(), ["250", "503", "250", "503", "250"]);
    assert_eq!(run.seen.verbs, ["HELO", "NOOP", "EHLO", "BDAT", "NOOP"]);
}

#[test]
fn a_chunk_of_unknown_size_ends_the_session_with_a_word() {
    for argument in ["", "x", "-1", "99999999999999999999999", "4294967301", "1 LAST LAST", "5\nLAST", "5\0"]
    {
        let run =
            at_every_split(true, format!("NOOP\r\nBDAT {argument}\r\nAUTH PLAIN x\r\nNOOP\r\n").as_bytes());
        assert_eq!(run.codes(), ["250", "501"], "{argument:?}");
        assert_eq!(run.upstream, b"NOOP\r\nQUIT\r\n");
    }
}

#[test]
fn ehlo_after_the_login_shows_only_what_concerns_messages() {
    let run = at_every_split(true, b"EHLO a\r\nNOOP\r\n");
    let client = String::from_utf8(run.client).unwrap();
    assert_eq!(client, "250-loose.example\r\n250-SIZE 1000\r\n250 CHUNKING\r\n250 2.0.0 nothing done\r\n");
    for (answer, expected) in [
        ("250 alone.example\r\n", "250 alone.example\r\n"),
        ("250-a\r\n250 AUTH PLAIN\r\n", "250 a\r\n"),
        ("250-a\r\n250-auth=PLAIN\r\n250 size\r\n", "250-a\r\n250 size\r\n"),
        ("250-AUTH PLAIN\r\n250-XCLIENT\r\n250\r\n", "250 AUTH PLAIN\r\n"),
        ("501-AUTH\r\n501 no\r\n", "501-AUTH\r\n501 no\r\n"),
    ] {
        for size in [1, 3, 100] {
            let (mut guard, mut client) = (guard(true), Vec::new());
            guard.client(b"EHLO a\r\n", &mut Vec::new()).unwrap();
            for piece in answer.as_bytes().chunks(size) {
                guard.server(piece, &mut client).unwrap();
            }
            assert_eq!(String::from_utf8(client).unwrap(), expected);
            assert!(guard.at_line_border());
        }
    }
}

#[test]
fn replies_that_nobody_can_follow_end_the_session() {
    for (sent, replies) in [
        ("", "250 unasked\r\n"),
        ("", "354 unasked\r\n"),
        ("NOOP\r\n", "250 ok\r\n250 again\r\n"),
        ("NOOP\r\n", "354 no message was announced\r\n"),
        ("NOOP\r\n", "334 \r\n"),
        ("DATA\r\n", "250 not an answer to DATA\r\n"),
        ("DATA\r\n", "350 nor this\r\n"),
        ("NOOP\r\n", "250-a\r\n550 b\r\n"),
        ("NOOP\r\n", "250 a\n"),
        ("NOOP\r\n", "250 a\rb\r\n"),
        ("NOOP\r\n", "hello\r\n"),
        ("NOOP\r\n", "2\r\n"),
    ] {
        let (mut guard, mut client) = (guard(true), Vec::new());
        guard.client(sent.as_bytes(), &mut Vec::new()).unwrap();
        assert_eq!(
            guard.server(replies.as_bytes(), &mut client),
            Err(GuardViolation::ServerOutOfStep),
            "{replies:?}"
        );
    }
    let (mut guard, mut client) = (guard(true), Vec::new());
    guard.client(b"NOOP\r\n", &mut Vec::new()).unwrap();
    assert_eq!(guard.server(&[b'2'; 10_000], &mut client), Err(GuardViolation::ServerOutOfStep));
    let endless = b"250-x\r\n".repeat(2000);
    guard.client(b"EHLO a\r\n", &mut Vec::new()).unwrap();
    assert_eq!(guard.server(&endless, &mut client), Err(GuardViolation::ServerOutOfStep));
}

#[test]
fn a_server_that_closes_may_say_so_unasked_and_gets_nothing_more() {
    for sent in ["", "NOOP\r\n", "AUTH x\r\n", "DATA\r\n", "EHLO a\r\n"] {
        let (mut guard, mut client, mut upstream) = (guard(true), Vec::new(), Vec::new());
        guard.client(sent.as_bytes(), &mut upstream).unwrap();
        upstream.clear();
        guard.server(b"421 4.4.2 timeout\r\n", &mut client).unwrap();
        assert_eq!(client, b"421 4.4.2 timeout\r\n", "{sent}");
        assert_eq!(guard.client(b"NOOP\r\n", &mut upstream), Ok(6));
        assert!(upstream.is_empty());
    }
}

#[test]
fn a_goodbye_fits_between_whole_replies_only() {
    let (mut guard, mut client) = (guard(true), Vec::new());
    guard.client(b"VRFY a\r\nAUTH\r\nEHLO a\r\n", &mut Vec::new()).unwrap();
    let mut borders = Vec::new();
    for line in [
        "252-a\r\n",
        "252 b\r\n",
        "250-x\r\n",
        "250 y\r\n",
        "250-a\r\n",
        "250-SIZE\r\n",
        "250-AUTH\r\n",
        "250 XCLIENT\r\n",
    ] {
        guard.server(line.as_bytes(), &mut client).unwrap();
        borders.push(guard.at_line_border());
    }
    assert_eq!(borders, [false, true, true, true, true, false, false, true]);
    guard.client(b"NOOP\r\n", &mut Vec::new()).unwrap();
    guard.server(b"250 hal", &mut client).unwrap();
    assert!(guard.at_line_border(), "half a line has not gone to the client");
}

#[test]
fn outstanding_replies_are_bounded() {
    let (mut guard, mut upstream) = (guard(true), Vec::new());
    let flood = b"NOOP\r\n".repeat(10_000);
    let taken = guard.client(&flood, &mut upstream).unwrap();
    assert!(taken < 300 * 6, "{taken}");
    guard.server(b"250 ok\r\n", &mut Vec::new()).unwrap();
    assert_eq!(guard.client(&flood[taken..], &mut upstream), Ok(6));
}

/// What a client's octets mean when only CRLF ends a line, found slowly over the whole input: the verbs and
/// messages that the mail server must see, and the reply codes that the client must get.
fn strict_meaning(chunking: bool, input: &[u8]) -> (Seen, Vec<&'static str>) {
    let find = |needle: &[u8], from: usize| {
        (from..(input.len() + 1).saturating_sub(needle.len())).find(|at| input[*at..].starts_with(needle))
    };
    let (mut seen, mut codes) = (Seen::default(), Vec::new());
    let (mut at, mut recipients, mut chunking_now, mut chunks) = (0, 0, chunking, Vec::new());
    while let Some(end) = find(b"\r\n", at) {
        let line = &input[at..end];
        at = end + 2;
        let text = String::from_utf8_lossy(line).to_ascii_uppercase();
        let verb = text.split([' ', '\t']).next().unwrap().to_owned();
        let fit = line.iter().all(|octet| !octet.is_ascii_control() || *octet == b'\t');
        let mut noop = |code| {
            seen.verbs.push("NOOP".to_owned());
            codes.push(code);
        };
        match verb.as_str() {
            _ if !fit && text.starts_with("BDAT") => {
                seen.verbs.push("QUIT".to_owned());
                codes.push("501");
                break;
            }
            _ if !fit => noop("500"),
            "AUTH" | "STARTTLS" => noop("503"),
            "XCLIENT" | "XFORWARD" => noop("502"),
            "BDAT" => {
                let words: Vec<&str> = text.split_whitespace().collect();
                let size = words.get(1).and_then(|word| word.parse::<usize>().ok());
                let (Some(size), true) =
                    (size, words.get(2).is_none_or(|word| *word == "LAST") && words.len() < 4)
                else {
                    seen.verbs.push("QUIT".to_owned());
                    codes.push("501");
                    break;
                };
                let chunk = &input[at..(at + size).min(input.len())];
                at += chunk.len();
                if !chunking_now {
                    noop("503");
                } else {
                    seen.verbs.push("BDAT".to_owned());
                    if chunk.len() == size {
                        codes.push(if recipients == 0 { "503" } else { "250" });
                        if recipients > 0 {
                            chunks.extend_from_slice(chunk);
                            if words.len() == 3 {
                                recipients = 0;
                                seen.messages.push(std::mem::take(&mut chunks));
                            }
                        } else {
                            chunks.clear();
                        }
                    }
                }
            }
            "DATA" if recipients > 0 => {
                seen.verbs.push(verb);
                codes.push("354");
                chunks.clear();
                let Some(end) = find(b"\r\n.\r\n", at - 2) else { break };
                seen.messages.push(received(&input[at..(end + 2).max(at)]));
                recipients = 0;
                codes.push("250");
                at = end + 5;
            }
            "EHLO" | "HELO" | "RSET" | "NOOP" | "RCPT" | "MAIL" | "DATA" => {
                codes.push(match verb.as_str() {
                    "RCPT" if text.contains("GOOD") => "250",
                    "RCPT" => "550",
                    "DATA" => "554",
                    _ => "250",
                });
                match verb.as_str() {
                    "RCPT" if text.contains("GOOD") => recipients += 1,
                    "EHLO" | "HELO" | "RSET" => {
                        recipients = 0;
                        chunks.clear();
                    }
                    _ => {}
                }
                match verb.as_str() {
                    "EHLO" => chunking_now = chunking,
                    "HELO" => chunking_now = false,
                    _ => {}
                }
                seen.verbs.push(verb);
            }
            _ => noop("500"),
        }
    }
    (seen, codes)
}

/// What is delivered of a message on the wire: each CR, LF and CRLF as CRLF, and a leading dot taken away only
/// where the client knew that a line begins.
fn received(wire: &[u8]) -> Vec<u8> {
    let (mut text, mut at, mut client_knows) = (Vec::new(), 0, true);
    while at < wire.len() {
        let end = (at..wire.len()).find(|end| matches!(wire[*end], b'\r' | b'\n')).unwrap();
        let crlf = wire[end..].starts_with(b"\r\n");
        let line = &wire[at..end];
        let stuffed = client_knows && line.first() == Some(&b'.') && (line != b"." || crlf);
        text.extend_from_slice(if stuffed { &line[1..] } else { line });
        text.extend_from_slice(b"\r\n");
        client_knows = crlf;
        at = end + if crlf { 2 } else { 1 };
    }
    text
}

fn hostile_piece() -> impl Strategy<Value = Vec<u8>> {
    const PIECES: [&[u8]; 44] = [
        b"\r\n",
        b"\r\n",
        b"\r\n",
        b"\r",
        b"\n",
        b".",
        b"..",
        b"\0",
        b" ",
        b"\t",
        b"\r\n.\r\n",
        b"\r\n.\r\n",
        b"\n.\n",
        b"\n.\r\n",
        b"\r.\r",
        b"\r\n.\n",
        b"\r\n.\r",
        b"AUTH PLAIN x",
        b"auth",
        b"STARTTLS",
        b"XCLIENT LOGIN=a",
        b"XFORWARD A=b",
        b"XCLIENT",
        b"MAIL FROM:<a>\r\nRCPT TO:<good>\r\nDATA\r\n",
        b"MAIL FROM:<a>\r\nRCPT TO:<good>\r\n",
        b"RCPT TO:<good>\r\n",
        b"RCPT TO:<bad>\r\n",
        b"DATA\r\n",
        b"DATA\r\n",
        b"DATA",
        b"RSET\r\n",
        b"NOOP\r\n",
        b"EHLO a\r\n",
        b"HELO a\r\n",
        b"BDAT 3\r\n",
        b"BDAT 5 LAST\r\n",
        b"BDAT 0 LAST\r\n",
        b"BDAT 14\r\n",
        b"BDAT x\r\n",
        b"\r\nAUTH PLAIN x\r\n",
        b"\r\nXCLIENT a=b\r\n",
        b"text",
        b"",
        b"\xff",
    ];
    prop_oneof![
        12 => proptest::sample::select(&PIECES[..]).prop_map(<[u8]>::to_vec),
        1 => proptest::collection::vec(any::<u8>(), 0..6),
    ]
}

fn cut(input: &[u8], cuts: &[usize]) -> Vec<Vec<u8>> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (input.len() + 1)).collect();
    ends.extend([0, input.len()]);
    ends.sort_unstable();
    ends.windows(2).map(|ends| input[ends[0]..ends[1]].to_vec()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn the_most_easily_fooled_server_sees_what_a_strict_one_would(
        chunking in any::<bool>(),
        pieces in proptest::collection::vec(hostile_piece(), 0..24),
        cuts in proptest::collection::vec(any::<usize>(), 0..6),
        reply_piece in 1_usize..40,
    ) {
        let input = pieces.concat();
        let whole = run(chunking, &[&input], 4096);
        whole.assert_not_fooled();
        let (seen, codes) = strict_meaning(chunking, &input);
        prop_assert_eq!(&whole.seen, &seen, "{}", input.escape_ascii());
        prop_assert_eq!(whole.codes(), codes, "{}", input.escape_ascii());
        let cut = cut(&input, &cuts);
        let cut: Vec<&[u8]> = cut.iter().map(Vec::as_slice).collect();
        prop_assert_eq!(run(chunking, &cut, reply_piece), whole);
    }

    #[test]
    fn a_message_with_clean_line_ends_passes_byte_identical(
        lines in proptest::collection::vec(proptest::collection::vec(prop_oneof![Just(b'.'), any::<u8>()], 0..40), 0..20),
        cuts in proptest::collection::vec(any::<usize>(), 0..6),
    ) {
        let mut message = Vec::new();
        for line in &lines {
            let line: Vec<u8> = line.iter().copied().filter(|octet| !matches!(octet, b'\r' | b'\n')).collect();
            if line.first() == Some(&b'.') {
                message.push(b'.');
            }
            message.extend_from_slice(&line);
            message.extend_from_slice(b"\r\n");
        }
        message.extend_from_slice(b".\r\n");
        let input = with_message(&message);
        let cut = cut(&input, &cuts);
        let cut: Vec<&[u8]> = cut.iter().map(Vec::as_slice).collect();
        let run = run(true, &cut, 4096);
        prop_assert_eq!(run.upstream, input);
        prop_assert_eq!(run.seen.messages.len(), 1);
    }

    #[test]
    fn nothing_from_the_server_makes_the_guard_panic(
        commands in proptest::sample::select(vec!["", "NOOP\r\n", "EHLO a\r\n", "DATA\r\n", "AUTH\r\nEHLO a\r\n"]),
        replies in proptest::collection::vec(proptest::sample::select(vec!["250", "354", "421", "-", " ", "a", "\r\n", "\r", "\n", "CHUNKING", "9"]), 0..30),
    ) {
        let mut guard = guard(true);
        let mut upstream = Vec::new();
        guard.client(commands.as_bytes(), &mut upstream).unwrap();
        let mut client = Vec::new();
        let _ = guard.server(replies.concat().as_bytes(), &mut client);
        let _ = guard.client(b"AUTH PLAIN x\r\n", &mut upstream);
        // Where a message was announced, the words are text.
        if !client.starts_with(b"354") {
            prop_assert!(!upstream.windows(4).any(|word| word == b"AUTH"));
        }
    }
}
