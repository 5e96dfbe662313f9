//! The guard of a ManageSieve session against hostile clients, with an easily fooled mail server behind it.

use bearward::proto::{Guard, GuardViolation, sieve::SieveGuard};
use proptest::prelude::*;

/// A server that stops reading a command at the first word that it does not know, and takes what comes next for a
/// command. A literal it takes only behind PUTSCRIPT and CHECKSCRIPT.
#[derive(Default)]
struct LooseServer {
    unread: Vec<u8>,
    verbs: Vec<String>,
    scripts: Vec<Vec<u8>>,
}

impl LooseServer {
    fn receive(&mut self, octets: &[u8]) -> Vec<u8> {
        self.unread.extend_from_slice(octets);
        let mut replies = Vec::new();
        while let Some(reply) = self.command() {
            replies.extend_from_slice(&reply);
        }
        replies
    }

    fn command(&mut self) -> Option<Vec<u8>> {
        let end = self.unread.iter().position(|octet| *octet == b'\n')?;
        let line = String::from_utf8_lossy(&self.unread[..end]).trim_end_matches('\r').to_owned();
        let verb = line.split(' ').next().unwrap_or_default().to_ascii_uppercase();
        let mut taken = end + 1;
        if let "PUTSCRIPT" | "CHECKSCRIPT" = verb.as_str()
            && let Some((_, length)) = line.strip_suffix("+}").and_then(|line| line.rsplit_once('{'))
        {
            let length: usize = length.parse().unwrap();
            let behind = self.unread.get(taken + length..)?;
            taken += length + behind.iter().position(|octet| *octet == b'\n')? + 1;
            self.scripts.push(self.unread[end + 1..end + 1 + length].to_vec());
        }
        self.unread.drain(..taken);
        self.verbs.push(verb.clone());
        Some(match verb.as_str() {
            "CAPABILITY" => {
                b"\"SIEVE\" \"fileinto\"\r\n\"SASL\" \"PLAIN\"\r\n{14}\r\nUnauthenticate\r\n\"starttls\"\r\n\
                \"XCLIENT\"\r\n\"OWNER\" {5}\r\nalice\r\nOK {4}\r\nOK\r\n\r\n"
                    .to_vec()
            }
            "LISTSCRIPTS" => b"\"a\" ACTIVE\r\n{6}\r\n\r\nOK\r\n\r\n\"{5}\"\r\nOK\r\n".to_vec(),
            "GETSCRIPT" => b"{9}\r\nOK\r\nNO\r\n\"\r\nOK \"got it\"\r\n".to_vec(),
            "NOOP" => b"OK (TAG {2}\r\nab) \"done\"\r\n".to_vec(),
            "SETACTIVE" => b"NO (REFERRAL \"sieve://elsewhere\") \"go away\"\r\n".to_vec(),
            _ => b"OK\r\n".to_vec(),
        })
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Run {
    verbs: Vec<String>,
    scripts: Vec<Vec<u8>>,
    upstream: Vec<u8>,
    client: Vec<u8>,
    violation: Option<GuardViolation>,
}

impl Run {
    fn said(&self) -> &str {
        std::str::from_utf8(&self.client).unwrap()
    }

    fn assert_not_fooled(&self) {
        for verb in &self.verbs {
            assert!(KNOWN.contains(&verb.as_str()), "{verb:?} reached the mail server");
        }
    }
}

const KNOWN: [&str; 11] = [
    "CAPABILITY",
    "CHECKSCRIPT",
    "DELETESCRIPT",
    "GETSCRIPT",
    "HAVESPACE",
    "LISTSCRIPTS",
    "LOGOUT",
    "NOOP",
    "PUTSCRIPT",
    "RENAMESCRIPT",
    "SETACTIVE",
];

/// Sends the pieces through the guard to the loose server, replies cut into pieces of `reply_piece` octets.
fn run(pieces: &[&[u8]], reply_piece: usize) -> Run {
    let (mut guard, mut server, mut run) = (SieveGuard::new(), LooseServer::default(), Run::default());
    let mut waiting = Vec::new();
    for piece in pieces {
        waiting.extend_from_slice(piece);
        loop {
            let mut upstream = Vec::new();
            let outcome = guard.client(&waiting, &mut upstream);
            run.upstream.extend_from_slice(&upstream);
            let replies = server.receive(&upstream);
            for reply in replies.chunks(reply_piece) {
                guard.server(reply, &mut run.client).unwrap();
            }
            run.verbs.clone_from(&server.verbs);
            run.scripts.clone_from(&server.scripts);
            match outcome {
                Err(violation) => {
                    run.violation = Some(violation);
                    return run;
                }
                Ok(0) if replies.is_empty() => break,
                Ok(taken) => _ = waiting.drain(..taken),
            }
        }
    }
    run
}

fn at_every_split(input: impl AsRef<[u8]>) -> Run {
    let input = input.as_ref();
    let whole = run(&[input], 4096);
    whole.assert_not_fooled();
    for split in 0..=input.len() {
        let (head, tail) = input.split_at(split);
        assert_eq!(run(&[head, tail], 4096), whole, "split at {split}");
    }
    let octets: Vec<&[u8]> = input.chunks(1).collect();
    assert_eq!(run(&octets, 1), whole, "octet by octet");
    whole
}

const SHOWN: &str = "\"SIEVE\" \"fileinto\"\r\n\"OWNER\" \"alice\"\r\nOK {4}\r\nOK\r\n\r\n";

#[test]
fn forbidden_commands_are_answered_in_the_order_of_the_commands() {
    let run = at_every_split(
        "HAVESPACE \"a\" 5\r\nunauthenticate\r\nNOOP\r\nAUTHENTICATE \"PLAIN\" \"AGEAYg==\"\r\nStartTLS\r\n\
         XCLIENT ADDR=1.2.3.4\r\nCAPABILITY\r\nLOGOUT\r\n",
    );
    assert_eq!(
        run.said(),
        format!(
            "OK\r\nNO \"Already authenticated\"\r\nOK (TAG {{2}}\r\nab) \"done\"\r\nNO \"Already authenticated\"\r\n\
             NO \"TLS is already active\"\r\nNO \"Unknown command, or not after sign-in\"\r\n{SHOWN}OK\r\n"
        )
    );
    let verbs =
        ["HAVESPACE", "CAPABILITY", "NOOP", "CAPABILITY", "CAPABILITY", "CAPABILITY", "CAPABILITY", "LOGOUT"];
    assert_eq!(run.verbs, verbs);
}

#[test]
fn a_script_passes_as_it_is_whatever_it_holds() {
    let script = b"keep;\r\nUNAUTHENTICATE\r\n\"{5+}\r\n\0\xff\n\r{9+}\r\n.\r\n";
    let mut input = format!("putscript \"a\" {{{}+}}\r\n", script.len()).into_bytes();
    input.extend_from_slice(script);
    input.extend_from_slice(b"\r\nCHECKSCRIPT {0+}\r\n\r\nPUTSCRIPT \"b\" \"keep;\"\r\nNOOP\r\n");
    let run = at_every_split(&input);
    assert_eq!(run.verbs, ["PUTSCRIPT", "CHECKSCRIPT", "PUTSCRIPT", "NOOP"]);
    assert_eq!(run.scripts, [&script[..], b""]);
    let big = vec![b'x'; 3 << 20];
    let input =
        [format!("PUTSCRIPT \"a\" {{{}+}}\r\n", big.len()).as_bytes(), &big, b"\r\nNOOP\r\n"].concat();
    let whole = crate::sieve_guard::run(&input.chunks(65_536).collect::<Vec<_>>(), 4096);
    assert_eq!((whole.scripts.len(), whole.scripts[0].len()), (1, big.len()));
    assert_eq!(whole.upstream, input);
}

#[test]
fn a_script_in_quotes_arrives_as_it_was_meant() {
    let long = "x".repeat(2000);
    let run = at_every_split(format!("PUTSCRIPT \"a\" \"say \\\"\\\\;\"\r\nPUTSCRIPT \"a\" \"{long}\"\r\n"));
    let quoted = "PUTSCRIPT \"a\" \"say \\\"\\\\;\"\r\n";
    assert_eq!(run.upstream, format!("{quoted}PUTSCRIPT \"a\" {{2000+}}\r\n{long}\r\n").into_bytes());
}

#[test]
fn a_name_in_a_literal_is_written_in_quotes() {
    let run = at_every_split(
        "RENAMESCRIPT {3+}\r\na\"b {0+}\r\n\r\nPUTSCRIPT {1+}\r\nx {5+}\r\nkeep;\r\nhavespace  \"a\"\t007\r\nNOOP\r\n",
    );
    assert_eq!(
        String::from_utf8(run.upstream).unwrap(),
        "RENAMESCRIPT \"a\\\"b\" \"\"\r\nPUTSCRIPT \"x\" {5+}\r\nkeep;\r\nHAVESPACE \"a\" 7\r\nNOOP\r\n"
    );
}

#[test]
fn octets_of_a_refused_literal_never_reach_the_mail_server() {
    for command in [
        "AUTHENTICATE \"PLAIN\" {16+}",
        "AUTHENTICATE {16+}",
        "BOGUS {16+}",
        "NOOP \"a\" {16+}",
        "LISTSCRIPTS {16+}",
        "HAVESPACE \"a\" {16+}",
        "PUTSCRIPT \"a\u{1}\" {16+}",
        "PUTSCRIPT \"a\" \"b\" {16+}",
        "PUTSCRIPT a {16+}",
        "GETSCRIPT \"open {16+}",
        "GETSCRIPT {16}",
        "\"PUTSCRIPT\" \"a\" {16+}",
        "PUTSCRIPT \"a\rb\" {16+}",
        "PUTSCRIPT \"a\0b\" {16+}",
        &format!("NOOP \"{}\" {{16+}}", "x".repeat(9000)),
        &format!("GETSCRIPT \"{}\" {{16+}}", "x".repeat(2000)),
    ] {
        let run = at_every_split(format!("{command}\r\nUNAUTHENTICATE\r\n\r\nNOOP\r\n"));
        assert_eq!(run.verbs, ["CAPABILITY", "NOOP"], "{command}");
        assert!(run.said().starts_with("NO \"") && run.said().ends_with("OK (TAG {2}\r\nab) \"done\"\r\n"));
    }
    let input = format!("GETSCRIPT {{5000+}}\r\n{}\r\nNOOP\r\n", "UNAUTHENTICATE\r\n".repeat(400));
    let name = run(&[input.as_bytes()], 4096);
    name.assert_not_fooled();
}

#[test]
fn only_crlf_ends_a_command() {
    for bad in
        ["NOOP\nUNAUTHENTICATE\r\n", "NOOP\rUNAUTHENTICATE\r\n", "NOOP\0\r\n", "GETSCRIPT \"a\nb\"\r\n"]
    {
        let run = at_every_split(bad);
        assert!(run.verbs.iter().all(|verb| verb == "CAPABILITY"), "{bad:?}: {:?}", run.verbs);
        assert!(run.said().starts_with("NO \""), "{}", run.said());
    }
}

#[test]
fn a_length_that_a_server_could_read_as_another_does_not_pass() {
    for length in ["2147483648", "4294967296", "18446744073709551617", "99999999999999999999999"] {
        let input = format!("PUTSCRIPT \"a\" {{{length}+}}\r\nUNAUTHENTICATE\r\n");
        let run = run(&[input.as_bytes()], 4096);
        run.assert_not_fooled();
        assert!(!run.verbs.iter().any(|verb| verb == "PUTSCRIPT"));
    }
}

#[test]
fn octets_between_a_script_and_the_line_end_end_the_session() {
    for behind in [" \"more\"\r\n", "UNAUTHENTICATE\r\n", " {16+}\r\n", "\n"] {
        let run = at_every_split(format!("PUTSCRIPT \"a\" {{5+}}\r\nkeep;{behind}"));
        assert_eq!(run.violation, Some(GuardViolation::ClientOutOfStep), "{behind:?}");
        assert!(run.upstream.ends_with(b"keep;"));
    }
}

#[test]
fn what_the_mail_server_gives_passes_and_its_referrals_do_not() {
    let run = at_every_split("GETSCRIPT \"a\"\r\nLISTSCRIPTS\r\nSETACTIVE \"a\"\r\n");
    assert_eq!(
        run.said(),
        "{9}\r\nOK\r\nNO\r\n\"\r\nOK \"got it\"\r\n\"a\" ACTIVE\r\n{6}\r\n\r\nOK\r\n\r\n\"{5}\"\r\nOK\r\n\
         NO \"The mail server is not in charge\"\r\n"
    );
    let mut client = Vec::new();
    let mut guard = SieveGuard::new();
    guard.server(b"BYE (REFERRAL \"sieve://elsewhere\")\r\n", &mut client).unwrap();
    assert_eq!(client, b"BYE \"The mail server is not in charge\"\r\n");
    let mut upstream = Vec::new();
    assert_eq!(guard.client(b"NOOP\r\n", &mut upstream).unwrap(), 6);
    assert_eq!(upstream, b"", "nothing goes up behind a BYE");
}

#[test]
fn a_server_that_says_what_nobody_asked_for_ends_the_session() {
    for said in ["OK\r\n", "\"SIEVE\" \"a\"\r\n", "* hello\r\n", "\r\n", "BYE\n"] {
        let mut client = Vec::new();
        assert_eq!(
            SieveGuard::new().server(said.as_bytes(), &mut client),
            Err(GuardViolation::ServerOutOfStep),
            "{said:?}"
        );
        assert_eq!(client, b"");
    }
}

#[test]
fn a_client_that_never_ends_its_line_or_reads_no_reply_is_bounded() {
    let mut guard = SieveGuard::new();
    let mut upstream = Vec::new();
    let mut violation = None;
    for _ in 0..200 {
        violation = guard.client(&[b'x'; 8192], &mut upstream).err().or(violation);
    }
    assert_eq!((violation, upstream.len()), (Some(GuardViolation::ClientLineTooLong), 0));
    let mut guard = SieveGuard::new();
    let input = b"UNAUTHENTICATE\r\n".repeat(10_000);
    let taken = guard.client(&input, &mut upstream).unwrap();
    assert!(taken < 300 * 16, "{taken}");
}

#[test]
fn a_goodbye_stands_between_lines_only() {
    let mut guard = SieveGuard::new();
    let (mut upstream, mut client) = (Vec::new(), Vec::new());
    guard.client(b"GETSCRIPT \"a\"\r\n", &mut upstream).unwrap();
    assert!(guard.at_line_border());
    for (octets, border) in
        [("{6}\r\n", false), ("OK\r\n", false), ("ab", false), ("\r\n", true), ("O", true), ("K\r\n", true)]
    {
        guard.server(octets.as_bytes(), &mut client).unwrap();
        assert_eq!(guard.at_line_border(), border, "{octets:?}");
    }
}

fn hostile_piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => proptest::sample::select(vec![
            "UNAUTHENTICATE\r\n", "AUTHENTICATE \"PLAIN\" \"AGEAYg==\"\r\n", "STARTTLS\r\n", "unAuthenticate", "NOOP ",
            "PUTSCRIPT \"a\" ", "CHECKSCRIPT ", "GETSCRIPT ", "CAPABILITY\r\n", "LISTSCRIPTS\r\n", "{16+}\r\n",
            "{16}\r\n", "{0+}\r\n", "{1+}\r\n", "{30+}\r\n", "\"a\" ", "\"", "\\", "\r\n", "\n", "\r", " ", "\0", "{",
            "+}", "{99999999999+}\r\n", "\r\nUNAUTHENTICATE\r\n", "\u{2028}",
        ]).prop_map(|text| text.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..40),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

    #[test]
    fn a_forbidden_verb_reaches_no_server_however_it_is_hidden(
        pieces in proptest::collection::vec(hostile_piece(), 0..24),
        cuts in proptest::collection::vec(any::<usize>(), 0..6),
        reply_piece in 1_usize..40,
    ) {
        let input = pieces.concat();
        let whole = run(&[&input], 4096);
        whole.assert_not_fooled();
        for hidden in ["PLAIN", "nauthenticate\r\n", "starttls", "XCLIENT", "REFERRAL"] {
            prop_assert!(!whole.said().contains(hidden), "{}", whole.said());
        }
        let mut places: Vec<usize> = cuts.iter().map(|cut| cut % (input.len() + 1)).collect();
        places.sort_unstable();
        let mut cut = Vec::new();
        let mut from = 0;
        for place in places {
            cut.push(&input[from..place]);
            from = place;
        }
        cut.push(&input[from..]);
        prop_assert_eq!(run(&cut, reply_piece), whole);
    }
}
