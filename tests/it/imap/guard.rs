//! The guard of a session whose mail server offers UNAUTHENTICATE, against hostile clients, with an easily fooled
//! mail server behind it.

use bearward::proto::{Guard, GuardViolation, imap::ImapGuard};
use proptest::prelude::*;

use super::guard_model::{Executed, LooseServer};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Run {
    executed: Vec<Executed>,
    upstream: Vec<u8>,
    server: Vec<u8>,
    client: Vec<u8>,
    violation: Option<GuardViolation>,
}

impl Run {
    fn assert_not_fooled(&self, input: &[u8]) {
        for (verb, _) in &self.executed {
            let forbidden = LooseServer::FORBIDDEN.contains(&verb.as_str());
            assert!(!forbidden, "{verb} was obeyed: {}", input.escape_ascii());
        }
        let shown = String::from_utf8_lossy(&self.client).replace(LooseServer::MESSAGE, "");
        for hidden in ["COMPRESS=", "AUTH=", "[CAPABILITY UNAUTH", "LOGINDISABLED"] {
            assert!(!shown.contains(hidden), "{hidden} was shown: {shown}");
        }
    }

    fn verbs(&self) -> Vec<&str> {
        self.executed.iter().map(|(verb, _)| verb.as_str()).collect()
    }

    fn said(&self) -> &str {
        std::str::from_utf8(&self.client).unwrap()
    }
}

/// Sends the pieces through the guard to the loose server, whose words are cut into pieces of `reply_piece` octets.
fn run(literal_plus: bool, pieces: &[&[u8]], reply_piece: usize) -> Run {
    let (mut guard, mut server, mut run) = (ImapGuard::new(), LooseServer::new(literal_plus), Run::default());
    let mut waiting = Vec::new();
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
            let said = server.receive(&upstream);
            run.upstream.extend_from_slice(&upstream);
            run.server.extend_from_slice(&said);
            for said in said.chunks(reply_piece) {
                if let Err(violation) = guard.server(said, &mut run.client) {
                    run.violation = Some(violation);
                    break 'session;
                }
            }
            if taken == 0 && said.is_empty() {
                break;
            }
        }
    }
    run.executed = server.executed;
    run
}

fn at_every_split(input: &[u8]) -> Run {
    let whole = run(false, &[input], 4096);
    whole.assert_not_fooled(input);
    let check = |run: &Run, what: &str| {
        // Where a session ends, the last octets may or may not have gone.
        if whole.violation.is_some() {
            assert_eq!((&run.executed, run.violation), (&whole.executed, whole.violation), "{what}");
        } else {
            assert_eq!(run, &whole, "{what}");
        }
    };
    for split in 0..=input.len() {
        let (head, tail) = input.split_at(split);
        check(&run(false, &[head, tail], 4096), &format!("split at {split}"));
    }
    let octets: Vec<&[u8]> = input.chunks(1).collect();
    check(&run(false, &octets, 1), "octet by octet");
    check(&run(true, &[input], 7), "what the mail server takes for a literal makes no difference");
    whole
}

#[test]
fn forbidden_commands_are_answered_in_the_order_of_the_commands() {
    let run = at_every_split(
        b"a NOOP\r\nb unAuthenticate\r\nc COMPRESS DEFLATE\r\nd LOGIN u p\r\ne STARTTLS\r\nf AUTHENTICATE PLAIN AA==\r\ng CHECK\r\n",
    );
    assert_eq!(
        run.said().replace("* 2 RECENT\r\n", ""),
        "a OK nothing done\r\nb BAD Command not available\r\nc NO Compression is not available\r\n\
         d BAD Already authenticated\r\ne BAD TLS is already active\r\nf BAD Already authenticated\r\ng OK done\r\n"
    );
    assert_eq!(run.verbs(), ["NOOP", "NOOP", "NOOP", "NOOP", "NOOP", "NOOP", "CHECK"]);
}

#[test]
fn no_command_is_hidden_by_blanks_controls_or_line_ends() {
    for line in [
        &b" b UNAUTHENTICATE"[..],
        b"b  UNAUTHENTICATE",
        b"b\tUNAUTHENTICATE",
        b"\tb UNAUTHENTICATE",
        b"b UNAUTHENTICATE\t",
        b"b UNAUTHENTICATE\0",
        b"b\0UNAUTHENTICATE",
        b"b UNAUTHENTICATE(",
        b"b \"UNAUTHENTICATE\"",
        b"a NOOP\nb UNAUTHENTICATE",
        b"a NOOP\rb UNAUTHENTICATE",
        b"a NOOP\n\rb UNAUTHENTICATE",
        b"\nb UNAUTHENTICATE",
        b"\rb UNAUTHENTICATE",
        b"a X \"\nb UNAUTHENTICATE",
        b"a X {3}\nb UNAUTHENTICATE",
        b"b UNAUTHENTICATE\r",
        b"b UNAUTHENTICATE\n",
        b"b UNAUTHENTICATE {0}",
        b"",
        b"b",
    ] {
        let run = at_every_split(&[line, b"\r\nz CHECK\r\n"].concat());
        assert_eq!(run.verbs(), ["NOOP", "CHECK"], "{}", line.escape_ascii());
        assert_eq!(run.said().matches(" BAD ").count(), 1, "{}", line.escape_ascii());
        assert!(run.said().ends_with("z OK done\r\n"), "{}", run.said());
    }
    assert!(at_every_split(b"\r\n").said().ends_with("* BAD A command is a tag, a space and a word\r\n"));
}

#[test]
fn what_stands_in_a_literal_is_no_command() {
    let evil = b"\r\nb UNAUTHENTICATE\r\nc LOGIN u p\r\n";
    for announcement in ["{33}", "{33+}", "~{33}", "~{33+}", "{0033}"] {
        let input =
            [format!("a APPEND x (\\Seen) {announcement}\r\n").as_bytes(), evil, b"\r\nz CHECK\r\n"].concat();
        let run = at_every_split(&input);
        assert_eq!(run.executed[0], ("APPEND".to_owned(), vec![evil.to_vec()]), "{announcement}");
        assert_eq!(run.verbs(), ["APPEND", "CHECK"]);
        let shown_plus = if announcement.contains('+') { "" } else { "+ go ahead\r\n" };
        assert_eq!(run.said(), format!("{shown_plus}a OK done\r\nz OK done\r\n"));
    }
    let run = at_every_split(b"a LIST {0+}\r\n {3}\r\nx\r\n ({2+}\r\nyz)\r\nb CHECK\r\n");
    assert_eq!(run.executed[0].1, [b"".to_vec(), b"x\r\n".to_vec(), b"yz".to_vec()]);
}

#[test]
fn what_follows_a_refused_literal_is_commands() {
    let run = at_every_split(b"a REFUSE {18}\r\nb UNAUTHENTICATE\r\nc CHECK\r\n");
    assert_eq!(
        run.said().replace("* 2 RECENT\r\n", ""),
        "a NO not that literal\r\nb BAD Command not available\r\nc OK done\r\n"
    );
    // Its client does not wait, so the octets are none whatever the answer is, and nor is the rest of that command.
    for tail in ["", " {18+}\r\nc UNAUTHENTICATE\r\n", " d UNAUTHENTICATE"] {
        let run = at_every_split(
            format!("a REFUSE {{18+}}\r\nb UNAUTHENTICATE\r\n{tail}\r\nz CHECK\r\n").as_bytes(),
        );
        assert_eq!(run.said(), "a NO not that literal\r\nz OK done\r\n", "{tail}");
        assert_eq!(run.verbs(), ["CHECK"]);
    }
}

#[test]
fn a_refused_command_takes_its_literals_with_it() {
    for line in ["b LOGIN u", "b UNAUTHENTICATE", "b X\ny", " ", "b X\0"] {
        let run = at_every_split(
            format!("{line} {{18+}}\r\nc UNAUTHENTICATE\r\n {{3+}}\r\nabc d UNAUTHENTICATE\r\nz CHECK\r\n")
                .as_bytes(),
        );
        assert_eq!(run.verbs(), ["NOOP", "CHECK"], "{line:?}");
        // One that waits is never sent by a client that hears BAD.
        let run = at_every_split(format!("{line} {{18}}\r\nc UNAUTHENTICATE\r\nz CHECK\r\n").as_bytes());
        assert_eq!(run.verbs(), ["NOOP", "NOOP", "CHECK"], "{line:?}");
    }
}

#[test]
fn what_is_a_literal_for_some_servers_only_does_not_pass() {
    for announcement in ["{40} ", "{40 }", "{ 40}", "{+40}", "{40-}", "{40}\t", "{2147483688}"] {
        let input =
            format!("a X {announcement}\r\nb APPEND y {{100}}\r\nc NOOP\r\nd UNAUTHENTICATE\r\nz CHECK\r\n");
        let run = run(false, &[input.as_bytes()], 4096);
        run.assert_not_fooled(input.as_bytes());
        assert!(run.said().contains("a BAD The literal is malformed or too long\r\n"), "{}", run.said());
    }
}

#[test]
fn a_plus_for_something_unknown_ends_the_session() {
    let run = at_every_split(b"a XPLUS\r\nb APPEND y {60}\r\nc NOOP\r\nd UNAUTHENTICATE\r\nz CHECK\r\n");
    assert_eq!(run.violation, Some(GuardViolation::ServerOutOfStep));
    assert_eq!(run.verbs(), ["XPLUS"]);
}

#[test]
fn a_literal_waits_until_the_mail_server_owes_nothing_else() {
    let (mut guard, mut up, mut down) = (ImapGuard::new(), Vec::new(), Vec::new());
    let input = b"a CHECK\r\na APPEND x {3}\r\nabc\r\n";
    assert_eq!(guard.client(input, &mut up), Ok(24));
    assert_eq!(up, b"a CHECK\r\n");
    guard.server(b"a OK checked\r\n", &mut down).unwrap();
    assert_eq!(guard.client(&input[24..], &mut up), Ok(1));
    assert_eq!(up, b"a CHECK\r\na APPEND x {3}\r\n");
    assert_eq!(guard.client(&input[25..], &mut up), Ok(0));
    guard.server(b"* 1 EXISTS\r\n+ O", &mut down).unwrap();
    assert_eq!(guard.client(&input[25..], &mut up), Ok(5));
    guard.server(b"K\r\na OK appended\r\n", &mut down).unwrap();
    assert_eq!(up, input);
    assert_eq!(down, b"a OK checked\r\n* 1 EXISTS\r\n+ OK\r\na OK appended\r\n");
}

#[test]
fn a_tag_in_use_waits_for_its_answer() {
    let (mut guard, mut up) = (ImapGuard::new(), Vec::new());
    assert_eq!(guard.client(b"a NOOP\r\nb NOOP\r\na UNAUTHENTICATE\r\n", &mut up), Ok(33));
    assert_eq!(up, b"a NOOP\r\nb NOOP\r\n");
    guard.server(b"a OK\r\n", &mut Vec::new()).unwrap();
    assert_eq!(guard.client(b"\n", &mut up), Ok(1));
    assert_eq!(up, b"a NOOP\r\nb NOOP\r\na NOOP\r\n");
}

#[test]
fn idle_ends_with_done_and_with_nothing_else() {
    let run = at_every_split(b"a IDLE\r\nDONE\r\nb IDLE\r\ndone\r\nz CHECK\r\n");
    assert_eq!(run.upstream, b"a IDLE\r\nDONE\r\nb IDLE\r\nDONE\r\nz CHECK\r\n");
    assert_eq!(run.verbs(), ["IDLE", "IDLE", "CHECK"]);
    for line in
        ["b UNAUTHENTICATE", "DONE\nb UNAUTHENTICATE", "DONE ", "", "b X {18+}\r\nc UNAUTHENTICATE\r\n"]
    {
        let run = at_every_split(format!("a IDLE\r\n{line}\r\nz CHECK\r\n").as_bytes());
        assert_eq!(
            run.said(),
            "+ idling\r\n* 3 EXISTS\r\na BAD DONE was expected\r\nz OK done\r\n",
            "{line:?}"
        );
        assert_eq!(run.verbs(), ["IDLE", "CHECK"], "{line:?}");
    }
}

#[test]
fn a_refused_idle_is_followed_by_commands() {
    let (mut guard, mut up, mut down) = (ImapGuard::new(), Vec::new(), Vec::new());
    let input = b"a IDLE\r\nb UNAUTHENTICATE\r\n";
    assert_eq!(guard.client(input, &mut up), Ok(8));
    guard.server(b"a NO not now\r\n", &mut down).unwrap();
    assert_eq!(guard.client(&input[8..], &mut up), Ok(18));
    assert_eq!(up, b"a IDLE\r\nb NOOP\r\n");
}

#[test]
fn a_command_broken_off_behind_a_literal_ends_the_session() {
    for rest in ["x UNAUTHENTICATE", " \nb UNAUTHENTICATE", " \0", " {9 }", " {9999999999}"] {
        let run = at_every_split(format!("a APPEND x {{3+}}\r\nabc{rest}\r\nz CHECK\r\n").as_bytes());
        assert_eq!(run.violation, Some(GuardViolation::ClientOutOfStep), "{rest:?}");
        assert_eq!(run.verbs(), [""; 0]);
    }
}

#[test]
fn a_line_without_end_ends_the_session() {
    let (mut guard, mut up) = (ImapGuard::new(), Vec::new());
    let violation = (0..100).find_map(|_| guard.client(&[b'x'; 1024], &mut up).err());
    assert_eq!(violation, Some(GuardViolation::ClientLineTooLong));
    assert!(up.is_empty());
    // The longest line that a client may need.
    let line = [b"a UID FETCH ".as_slice(), &b"1,".repeat(32_000), b"1 FLAGS\r\n"].concat();
    assert_eq!(ImapGuard::new().client(&line, &mut up), Ok(line.len()));
    assert_eq!(up, line);
}

#[test]
fn answers_that_nobody_can_follow_end_the_session() {
    for (sent, said) in [
        ("", "+ go\r\n"),
        ("", "a OK unasked\r\n"),
        ("a NOOP\r\n", "b OK\r\n"),
        ("a NOOP\r\n", "a OK\r\na OK\r\n"),
        ("a NOOP\r\n", "+ more\r\n"),
        ("a NOOP\r\n", "a FINE\r\n"),
        ("a NOOP\r\n", "garbage\r\n"),
        ("a IDLE\r\n", "+ idling\r\n+ again\r\n"),
        ("a X {3}\r\n", "+ go\r\n+ on\r\n"),
        // Whether it takes the rest of the command is not known.
        ("a X {3}\r\n", "+ go\r\na NO enough\r\n"),
    ] {
        let (mut guard, mut down) = (ImapGuard::new(), Vec::new());
        guard.client(sent.as_bytes(), &mut Vec::new()).unwrap();
        assert_eq!(
            guard.server(said.as_bytes(), &mut down),
            Err(GuardViolation::ServerOutOfStep),
            "{said:?}"
        );
    }
    let (mut guard, mut down) = (ImapGuard::new(), Vec::new());
    let endless = [b"* CAPABILITY".as_slice(), &b" X".repeat(20_000)].concat();
    assert_eq!(guard.server(&endless, &mut down), Err(GuardViolation::ServerOutOfStep));
}

#[test]
fn no_list_shows_how_to_log_in_anew_or_to_compress() {
    for (said, shown) in [
        ("* CAPABILITY IMAP4rev1 unauthenticate IDLE\r\n", "* CAPABILITY IMAP4rev1 IDLE\r\n"),
        ("* OK [CAPABILITY COMPRESS=DEFLATE QUOTA] new\r\n", "* OK [CAPABILITY QUOTA] new\r\n"),
        ("a OK [CAPABILITY UNAUTHENTICATE X] done\r\n", "a OK [CAPABILITY X] done\r\n"),
        ("a NO [capability AUTH=X] no\r\n", "a NO [capability] no\r\n"),
        ("a OK [CAPABILITYX AUTH=X] done\r\n", "a OK [CAPABILITYX AUTH=X] done\r\n"),
        ("a OK CAPABILITY AUTH=X\r\n", "a OK CAPABILITY AUTH=X\r\n"),
        ("* X-CAPABILITY AUTH=X\r\n", "* X-CAPABILITY AUTH=X\r\n"),
        (
            "* 1 FETCH (BODY[] {20}\r\n* CAPABILITY AUTH=X\r)\r\n",
            "* 1 FETCH (BODY[] {20}\r\n* CAPABILITY AUTH=X\r)\r\n",
        ),
    ] {
        for size in [1, 2, 5, 100] {
            let (mut guard, mut down) = (ImapGuard::new(), Vec::new());
            guard.client(b"a CHECK\r\n", &mut Vec::new()).unwrap();
            for piece in said.as_bytes().chunks(size) {
                guard.server(piece, &mut down).unwrap();
            }
            assert_eq!(String::from_utf8(down).unwrap(), shown);
            assert!(guard.at_line_border());
        }
    }
}

#[test]
fn what_the_mail_server_says_otherwise_passes_as_it_is() {
    let said = "* ENABLED QRESYNC\r\n* VANISHED (EARLIER) 300:310\r\n* STATUS {5}\r\na b {1 (MESSAGES 3)\r\n\
        * 1 FETCH (BODY[] {0}\r\n BINARY[1] ~{4}\r\n\r\n{9)\r\n* OK [HIGHESTMODSEQ 9] text {9}\r\n* BYE {4}\r\n\
        * 2 FETCH (ENVELOPE (\"+ x\" \"long long long long long long long long long long long long long long long long line\"))\r\n*\r\n";
    for size in [1, 3, 10, 96, 97, 1000] {
        let (mut guard, mut down) = (ImapGuard::new(), Vec::new());
        for piece in said.as_bytes().chunks(size) {
            guard.server(piece, &mut down).unwrap();
        }
        assert_eq!(String::from_utf8_lossy(&down), said, "{size}");
    }
}

#[test]
fn a_goodbye_never_lands_inside_a_literal() {
    let said = b"* 1 FETCH (BODY[] {4}\r\n\r\n\r\n X {0}\r\n)\r\n* 2 EXISTS\r\n";
    let borders = [0, 40, said.len()];
    let (mut guard, mut down) = (ImapGuard::new(), Vec::new());
    for (sent, octet) in said.iter().enumerate() {
        let border = borders.contains(&sent) || sent == 38;
        // What is held back has not gone to the client.
        let unsent = down.ends_with(b"\r\n") && sent > 38;
        assert_eq!(guard.at_line_border(), border || unsent || down.is_empty(), "behind {sent} octets");
        guard.server(&[*octet], &mut down).unwrap();
    }
    assert!(guard.at_line_border());
    assert_eq!(down, said);
}

#[test]
fn open_commands_are_bounded() {
    let (mut guard, mut up) = (ImapGuard::new(), Vec::new());
    let flood: Vec<u8> = (0..10_000).flat_map(|n| format!("{n} NOOP\r\n").into_bytes()).collect();
    let taken = guard.client(&flood, &mut up).unwrap();
    assert!(taken < 200 * 10, "{taken}");
    guard.server(b"5 OK\r\n", &mut Vec::new()).unwrap();
    assert!(guard.client(&flood[taken..], &mut up).unwrap() > 1);
}

fn hostile_piece() -> impl Strategy<Value = Vec<u8>> {
    const PIECES: [&[u8]; 50] = [
        b"\r\n",
        b"\r\n",
        b"\r\n",
        b"\r",
        b"\n",
        b"\0",
        b" ",
        b"\t",
        b"\"",
        b"(",
        b")",
        b"a ",
        b"b ",
        b"UNAUTHENTICATE",
        b"a UNAUTHENTICATE\r\n",
        b"\r\nb UNAUTHENTICATE\r\n",
        b"b unauthenticate\n",
        b"LOGIN u p",
        b"COMPRESS DEFLATE",
        b"b STARTTLS\r\n",
        b"a AUTHENTICATE PLAIN\r\n",
        b"a NOOP\r\n",
        b"b CHECK\r\n",
        b"c FETCH 1 BODY[]\r\n",
        b"d CAPABILITY\r\n",
        b"a IDLE\r\n",
        b"b IDLE\r\n",
        b"DONE\r\n",
        b"DONE",
        b"a XPLUS\r\n",
        b"a X {18}\r\n",
        b"b X {18+}\r\n",
        b"c REFUSE {18}\r\n",
        b"d REFUSE {18+}\r\n",
        b"a APPEND x {3+}\r\nabc\r\n",
        b"b APPEND x {3}\r\nabc\r\n",
        b"c APPEND x {25}\r\n",
        b" {4+}\r\n",
        b" {7}\r\n",
        b"{18}",
        b"{18+}",
        b"{18 }\r\n",
        b"{18} \r\n",
        b"{20}\n",
        b"{22+}\r",
        b"{0}\r\n",
        b"~{5}\r\n",
        b"{-1}\r\n",
        b"xyz",
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

/// A command as a good client sends it, the announcements of its literals, and what the mail server then carries
/// out. The part before each literal ends in `{n}` where the client waits.
fn good_command() -> impl Strategy<Value = (Vec<u8>, Option<Executed>)> {
    let literal = (proptest::collection::vec(any::<u8>(), 0..30), any::<bool>(), any::<bool>());
    let literals = proptest::collection::vec(literal, 0..3);
    prop_oneof![
        3 => ("(APPEND|STATUS|UID|X-Y)", literals).prop_map(|(verb, literals)| {
            let mut line = format!("{verb} \"q{{5}}\" (x").into_bytes();
            for (octets, waits, is_binary) in &literals {
                let plus = if *waits { "" } else { "+" };
                let tilde = if *is_binary { "~" } else { "" };
                line.extend_from_slice(format!(" {tilde}{{{}{plus}}}\r\n", octets.len()).as_bytes());
                line.extend_from_slice(octets);
            }
            line.extend_from_slice(b")\r\n");
            let verb = if verb == "X-Y" { "X".to_owned() } else { verb };
            (line, Some((verb, literals.into_iter().map(|(octets, ..)| octets).collect())))
        }),
        1 => Just((b"IDLE\r\nDONE\r\n".to_vec(), Some(("IDLE".to_owned(), Vec::new())))),
        1 => Just((b"FETCH 1:* BODY[]\r\n".to_vec(), Some(("FETCH".to_owned(), Vec::new())))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn the_most_easily_fooled_server_obeys_no_forbidden_command(
        literal_plus in any::<bool>(),
        pieces in proptest::collection::vec(hostile_piece(), 0..24),
        cuts in proptest::collection::vec(any::<usize>(), 0..6),
        reply_piece in 1_usize..40,
    ) {
        let input = pieces.concat();
        let whole = run(literal_plus, &[&input], 4096);
        whole.assert_not_fooled(&input);
        let cut = cut(&input, &cuts);
        let cut: Vec<&[u8]> = cut.iter().map(Vec::as_slice).collect();
        let cut = run(literal_plus, &cut, reply_piece);
        cut.assert_not_fooled(&input);
        // A session that ends may end an octet earlier.
        if whole.violation.is_none() {
            prop_assert_eq!(cut, whole);
        } else {
            prop_assert!(cut.violation.is_some());
        }
    }

    #[test]
    fn what_a_good_client_sends_arrives_as_it_was_meant(
        commands in proptest::collection::vec(good_command(), 0..8),
        cuts in proptest::collection::vec(any::<usize>(), 0..6),
        reply_piece in 1_usize..40,
    ) {
        let (mut input, mut expected, mut wire) = (Vec::new(), Vec::new(), Vec::new());
        for (number, (command, executed)) in commands.into_iter().enumerate() {
            let tag = format!("t{number} ");
            input.extend_from_slice(tag.as_bytes());
            input.extend_from_slice(&command);
            wire.extend_from_slice(tag.as_bytes());
            wire.extend_from_slice(&waiting(&command));
            expected.extend(executed);
        }
        let cut = cut(&input, &cuts);
        let cut: Vec<&[u8]> = cut.iter().map(Vec::as_slice).collect();
        let run = run(false, &cut, reply_piece);
        prop_assert_eq!(&run.violation, &None);
        prop_assert_eq!(&run.executed, &expected);
        prop_assert_eq!(String::from_utf8_lossy(&run.upstream), String::from_utf8_lossy(&wire));
        if input == wire {
            prop_assert_eq!(run.client, run.server);
        }
    }

    #[test]
    fn nothing_from_the_server_makes_the_guard_panic(
        commands in proptest::sample::select(vec!["", "a NOOP\r\n", "a X {3}\r\n", "a X {3+}\r\n", "a IDLE\r\n", "a LOGIN\r\nb NOOP\r\n"]),
        said in proptest::collection::vec(proptest::sample::select(vec!["a ", "b ", "OK", "NO", "*", "+", " ", "[CAPABILITY", "]", "{3}", "{99999999999999999999999}", "\r\n", "\r", "\n", "X"]), 0..30),
    ) {
        let (mut guard, mut up, mut down) = (ImapGuard::new(), Vec::new(), Vec::new());
        guard.client(commands.as_bytes(), &mut up).unwrap();
        let _ = guard.server(said.concat().as_bytes(), &mut down);
        let _ = guard.client(b"abc UNAUTHENTICATE\r\n", &mut up);
        prop_assert!(!up.windows(6).any(|word| word == b"UNAUTH") || up.starts_with(b"a X"));
    }
}

/// The command with literals that wait.
fn waiting(command: &[u8]) -> Vec<u8> {
    let (mut wire, mut rest) = (Vec::new(), command);
    loop {
        let end = rest.windows(2).position(|octets| octets == b"\r\n").unwrap() + 2;
        let (line, behind) = rest.split_at(end);
        let text = std::str::from_utf8(line).unwrap();
        let literal = text.trim_end().strip_suffix('}').and_then(|text| text.rsplit_once('{'));
        let Some((_, digits)) = literal else {
            wire.extend_from_slice(line);
            if behind.is_empty() {
                return wire;
            }
            rest = behind;
            continue;
        };
        let length: usize = digits.trim_end_matches('+').parse().unwrap();
        wire.extend_from_slice(text.replace("+}\r\n", "}\r\n").as_bytes());
        wire.extend_from_slice(&behind[..length]);
        rest = &behind[length..];
    }
}
