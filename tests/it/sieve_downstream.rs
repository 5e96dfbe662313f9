//! The ManageSieve server that a client meets until it has signed in.
#![allow(clippy::wildcard_enum_match_arm, reason = "the arm is a failure")]

use std::sync::Arc;

use bearward::{
    model::{Mechanism, SessionId},
    proto::{
        Accepted, Answer, Banner, Close, Credentials, Downstream, FrontConfig, Offer, Question, Refusal,
        RefusalKind, Step, TlsState, sieve::SieveDownstream,
    },
};
use proptest::prelude::*;

use crate::support::{base64, oauthbearer, xoauth2};

const ALICE: &str = "alice@example.org";

fn config(tls: TlsState) -> FrontConfig {
    let lines = ["SIEVE fileinto", "SIEVE vacation", "NOTIFY mailto", "MAXREDIRECTS 4", "VERSION 1.0"];
    FrontConfig {
        hostname: "mail.example.org".into(),
        tls,
        mechanisms: Arc::new([Mechanism::OAuthBearer, Mechanism::XOAuth2]),
        offer: Arc::new(Offer { lines: lines.map(str::to_owned).into() }),
        line_limit: 256,
        sasl_limit: 2048,
        bad_commands: 5,
        failed_auth: 3,
    }
}

/// What a whole conversation came to.
#[derive(Clone, Debug, Default, PartialEq)]
struct Outcome {
    said: String,
    tokens: Vec<String>,
    handover: Option<Vec<u8>>,
    closed: Option<Close>,
    tls: u32,
    spoiled: Vec<Mechanism>,
}

struct Client {
    machine: SieveDownstream,
    answers: Vec<Option<RefusalKind>>,
    outcome: Outcome,
}

impl Client {
    /// `answers` are given to the attempts in order; `None` accepts.
    fn new(config: FrontConfig, answers: &[Option<RefusalKind>]) -> Self {
        let machine = SieveDownstream::new(Banner::Welcome, config);
        let answers = answers.iter().rev().copied().collect();
        let mut client = Self { machine, answers, outcome: Outcome::default() };
        client.run();
        client
    }

    fn run(&mut self) {
        loop {
            match self.machine.poll() {
                Step::NeedInput => return,
                Step::Send(octets) => self.outcome.said.push_str(std::str::from_utf8(&octets).unwrap()),
                Step::Spoiled { mechanism, .. } => self.outcome.spoiled.push(mechanism),
                Step::StartTls => {
                    self.outcome.tls += 1;
                    self.machine.tls_started();
                }
                Step::Handover(rest) => self.outcome.handover = Some(rest),
                Step::Close(reason) => {
                    self.outcome.closed = Some(reason);
                    return;
                }
                Step::Ask(Question::Authenticate(attempt)) => {
                    let Credentials::Bearer { token, .. } = attempt.credentials else { panic!() };
                    self.outcome.tokens.push(token.expose_str().unwrap().to_owned());
                    assert!(matches!(self.machine.poll(), Step::NeedInput));
                    self.machine.answer(match self.answers.pop().expect("an answer for each attempt") {
                        None => Answer::Accepted(Accepted::default()),
                        Some(kind) => Answer::Refused(Refusal {
                            kind,
                            scope: "mail".into(),
                            openid_configuration: None,
                            session: SessionId::new(7),
                        }),
                    });
                }
            }
        }
    }

    fn hears(&mut self, octets: impl AsRef<[u8]>) -> String {
        let before = self.outcome.said.len();
        self.machine.receive(octets.as_ref());
        self.run();
        self.outcome.said[before..].to_owned()
    }
}

fn talk(config: FrontConfig, answers: &[Option<RefusalKind>], pieces: &[&[u8]]) -> Outcome {
    let mut client = Client::new(config, answers);
    for piece in pieces {
        client.hears(piece);
    }
    client.outcome
}

/// Runs the conversation under TLS at every split of it; what was said behind the greeting.
fn encrypted(answers: &[Option<RefusalKind>], input: impl AsRef<[u8]>) -> Outcome {
    let input = input.as_ref();
    let whole = talk(config(TlsState::Encrypted), answers, &[input]);
    for at in 0..=input.len() {
        let (first, second) = input.split_at(at);
        let same = talk(config(TlsState::Encrypted), answers, &[first, second]);
        assert_eq!(same, whole, "split at {at}");
    }
    let octets: Vec<&[u8]> = input.chunks(1).collect();
    assert_eq!(talk(config(TlsState::Encrypted), answers, &octets), whole, "octet by octet");
    let greeting = Client::new(config(TlsState::Encrypted), &[]).outcome.said;
    let said = whole.said.strip_prefix(&greeting).expect("the greeting").to_owned();
    Outcome { said, ..whole }
}

const LISTS: &str = "\"SIEVE\" \"fileinto vacation\"\r\n\"MAXREDIRECTS\" \"4\"\r\n\"NOTIFY\" \"mailto\"\r\n\
    \"VERSION\" \"1.0\"\r\n";

#[test]
fn the_greeting_lists_what_holds_and_no_mechanism_in_clear() {
    let clear = Client::new(config(TlsState::ClearStartTls), &[]).outcome.said;
    assert_eq!(
        clear,
        format!(
            "\"IMPLEMENTATION\" \"Bearward\"\r\n\"SASL\" \"\"\r\n{LISTS}\"STARTTLS\"\r\nOK \"mail.example.org is ready\"\r\n"
        )
    );
    let never = Client::new(config(TlsState::Clear), &[]).outcome.said;
    assert!(never.contains("\"SASL\" \"\"\r\n") && !never.contains("STARTTLS"), "{never}");
    let unknown = FrontConfig { offer: Arc::default(), ..config(TlsState::Encrypted) };
    let encrypted = Client::new(unknown, &[]).outcome.said;
    assert_eq!(
        encrypted,
        "\"IMPLEMENTATION\" \"Bearward\"\r\n\"SASL\" \"OAUTHBEARER XOAUTH2\"\r\n\"SIEVE\" \"\"\r\n\
         OK \"mail.example.org is ready\"\r\n"
    );
}

#[test]
fn too_many_connections_are_a_bye() {
    let mut machine = SieveDownstream::new(Banner::Busy, config(TlsState::Encrypted));
    let Step::Send(text) = machine.poll() else { panic!() };
    assert!(text.starts_with(b"BYE (TRYLATER) \""));
    assert!(matches!(machine.poll(), Step::Close(Close::Busy)));
}

#[test]
fn starttls_lists_capabilities_unasked_and_forgets_what_came_in_clear() {
    for injected in ["NOOP\r\n", "AUTHENTICATE \"XOAUTH2\" {9+}\r\n", "NO", "LOGOUT\r\n"] {
        let mut client = Client::new(config(TlsState::ClearStartTls), &[]);
        let said = client.hears(format!("STARTTLS\r\n{injected}"));
        assert_eq!(
            said,
            format!(
                "OK \"Begin TLS negotiation now\"\r\n\"IMPLEMENTATION\" \"Bearward\"\r\n\
                 \"SASL\" \"OAUTHBEARER XOAUTH2\"\r\n{LISTS}OK \"TLS negotiation successful\"\r\n"
            )
        );
        assert_eq!(client.outcome.tls, 1);
        assert!(client.hears("STARTTLS\r\n").starts_with("NO "));
        assert_eq!(client.hears("NOOP\r\n"), "OK \"NOOP completed\"\r\n");
    }
}

#[test]
fn no_credential_is_taken_in_clear() {
    for tls in [TlsState::Clear, TlsState::ClearStartTls] {
        for argument in ["\"XOAUTH2\"", "\"XOAUTH2\" \"AAAA\"", "\"PLAIN\" {4+}\r\nAAAA", "{7+}\r\nXOAUTH2"] {
            let mut client = Client::new(config(tls), &[]);
            let said = client.hears(format!("AUTHENTICATE {argument}\r\nNOOP\r\n"));
            assert!(said.starts_with("NO (ENCRYPT-NEEDED) \""), "{said}");
            assert!(said.ends_with("\r\nOK \"NOOP completed\"\r\n"), "{said}");
            assert!(client.outcome.tokens.is_empty());
        }
    }
}

#[test]
fn a_token_comes_in_every_form_that_a_string_has() {
    for (mechanism, response) in
        [("XOAUTH2", xoauth2(ALICE, "tok")), ("OAUTHBEARER", oauthbearer(ALICE, "tok"))]
    {
        let literal = format!("{{{}+}}\r\n{response}", response.len());
        for (input, prompt) in [
            (format!("AUTHENTICATE \"{mechanism}\" \"{response}\"\r\n"), ""),
            (format!("authenticate \"{}\" {literal}\r\n", mechanism.to_lowercase()), ""),
            (format!("AUTHENTICATE {{{}+}}\r\n{mechanism} {literal}\r\n", mechanism.len()), ""),
            (format!("AUTHENTICATE \"{mechanism}\"\r\n\"{response}\"\r\n"), "\"\"\r\n"),
            (format!("AUTHENTICATE \"{mechanism}\"\r\n{literal}\r\n"), "\"\"\r\n"),
            (format!("AUTHENTICATE \"{mechanism}\"\r\n{response}\r\n"), "\"\"\r\n"),
        ] {
            let outcome = encrypted(&[None], &input);
            assert_eq!(outcome.tokens, ["tok"], "{input}");
            assert_eq!(outcome.said, format!("{prompt}OK \"Signed in\"\r\n"), "{input}");
            assert_eq!(outcome.handover.as_deref(), Some(&b""[..]));
        }
    }
}

#[test]
fn what_is_pipelined_behind_the_sign_in_is_handed_over_unread() {
    let behind = "PUTSCRIPT \"a\" {5+}\r\nkeep;\r\nAUTHENTICATE \"XOAUTH2\" {3+}\r\nab";
    let input = format!("AUTHENTICATE \"XOAUTH2\" \"{}\"\r\n{behind}", xoauth2(ALICE, "tok"));
    let mut client = Client::new(config(TlsState::Encrypted), &[None]);
    client.hears(&input);
    assert_eq!(client.outcome.handover.as_deref(), Some(behind.as_bytes()));
    assert_eq!(client.hears("AUTHENTICATE \"XOAUTH2\" \"AAAA\"\r\n"), "");
    assert_eq!(client.outcome.tokens, ["tok"]);
}

#[test]
fn a_refused_token_gets_its_challenge_and_whatever_follows_ends_the_exchange() {
    let response = xoauth2(ALICE, "tok");
    let challenge = base64("{\"status\":\"400\",\"schemes\":\"bearer\",\"scope\":\"mail\"}");
    let again = format!("AUTHENTICATE \"XOAUTH2\" \"{response}\"");
    for line in [
        "\"\"",
        "",
        "\"AQ==\"",
        "AQ==",
        "\"*\"",
        "{4+}\r\nAQ==",
        &format!("\"{response}\""),
        &again,
        "\"a",
        "a\rb",
    ] {
        let input = format!("AUTHENTICATE \"XOAUTH2\" \"{response}\"\r\n{line}\r\nNOOP\r\n");
        let outcome = encrypted(&[Some(RefusalKind::InvalidToken)], &input);
        let said = outcome.said.strip_prefix(&format!("\"{challenge}\"\r\n")).expect("the challenge");
        assert!(said.starts_with("NO \"") && said.ends_with("\r\nOK \"NOOP completed\"\r\n"), "{said}");
        assert_eq!(outcome.tokens, ["tok"], "{line}");
    }
}

#[test]
fn a_literal_after_the_error_challenge_is_no_command() {
    let input = format!(
        "AUTHENTICATE \"XOAUTH2\" \"{}\"\r\nPUTSCRIPT \"x\" {{8+}}\r\nLOGOUT\r\n\r\nNOOP\r\n",
        xoauth2(ALICE, "tok")
    );
    let outcome = encrypted(&[Some(RefusalKind::InvalidToken)], input);
    assert!(outcome.said.ends_with("\r\nOK \"NOOP completed\"\r\n"), "{}", outcome.said);
    assert_eq!(outcome.closed, None);
}

#[test]
fn a_client_that_answers_no_challenge_is_told_in_time() {
    let mut client = Client::new(config(TlsState::Encrypted), &[Some(RefusalKind::InvalidToken)]);
    client.hears(format!("AUTHENTICATE \"XOAUTH2\" \"{}\"\r\n", xoauth2(ALICE, "tok")));
    assert!(client.machine.awaits_dummy_response());
    client.hears("\"A");
    client.machine.dummy_response_timed_out();
    client.run();
    assert!(
        client.outcome.said.ends_with("NO \"The credential is not accepted (session 0000000000000007)\"\r\n")
    );
    assert_eq!(client.hears("Q==\"\r\n"), "", "the late rest of the answer is no command");
    assert_eq!(client.hears("NOOP\r\n"), "OK \"NOOP completed\"\r\n");
}

#[test]
fn wrong_temporary_and_policy_are_three_answers_that_name_the_session() {
    let cases = [
        (RefusalKind::InvalidToken, "NO \"", true),
        (RefusalKind::InsufficientScope, "NO \"", true),
        (RefusalKind::NotAuthorized, "NO \"", true),
        (RefusalKind::Pointless, "NO \"", true),
        (RefusalKind::Policy, "NO (AUTH-TOO-WEAK) \"", false),
        (RefusalKind::OperatorFault, "NO (TRYLATER) \"", false),
        (RefusalKind::RateLimited, "NO (TRYLATER) \"", false),
        (RefusalKind::Unavailable, "NO (TRYLATER) \"", false),
        (RefusalKind::Undecided, "NO (TRYLATER) \"", false),
    ];
    for (kind, start, challenged) in cases {
        let mut client = Client::new(config(TlsState::Encrypted), &[Some(kind)]);
        let mut said =
            client.hears(format!("AUTHENTICATE \"OAUTHBEARER\" \"{}\"\r\n", oauthbearer(ALICE, "t")));
        if challenged {
            assert!(said.starts_with("\"ey"), "{said}");
            said = client.hears("\"AQ==\"\r\n");
        }
        assert!(said.starts_with(start) && said.ends_with("(session 0000000000000007)\"\r\n"), "{said}");
    }
}

#[test]
fn an_exchange_can_be_cancelled() {
    let outcome = encrypted(&[], "AUTHENTICATE \"XOAUTH2\"\r\n\"*\"\r\nNOOP\r\n");
    assert_eq!(outcome.said, "\"\"\r\nNO \"Authentication cancelled\"\r\nOK \"NOOP completed\"\r\n");
}

#[test]
fn an_empty_string_is_a_response_and_no_want_of_one() {
    let outcome = encrypted(&[], "AUTHENTICATE \"OAUTHBEARER\" \"\"\r\n\"AQ==\"\r\nNOOP\r\n");
    assert!(outcome.said.starts_with("\"ey"), "{}", outcome.said);
    assert_eq!(outcome.spoiled, [Mechanism::OAuthBearer]);
}

#[test]
fn octets_of_a_refused_literal_are_thrown_away() {
    for command in [
        "PUTSCRIPT \"a\" {8+}",
        "AUTHENTICATE \"X\" \"Y\" \"Z\" {8+}",
        "AUTHENTICATE \"GSSAPI\" {8+}",
        "BOGUS {8+}",
        "NOOP \"a\rb\" {8+}",
        "NOOP \"a\0b\" {8+}",
        "NOOP \"open {8+}",
        "LOGOUT {8}",
        &format!("NOOP \"{}\" {{8+}}", "x".repeat(4000)),
    ] {
        let outcome = encrypted(&[], format!("{command}\r\nLOGOUT\r\n\r\nNOOP\r\n"));
        assert!(outcome.said.starts_with("NO \""), "{command}: {}", outcome.said);
        assert!(outcome.said.ends_with("\r\nOK \"NOOP completed\"\r\n"), "{command}: {}", outcome.said);
        assert_eq!(outcome.said.matches("\r\n").count(), 2, "{command}: {}", outcome.said);
        assert_eq!(outcome.closed, None, "{command}");
    }
}

#[test]
fn a_response_beyond_the_limit_is_refused_and_one_at_the_limit_is_read() {
    let limit = config(TlsState::Encrypted).sasl_limit;
    for (length, spoiled) in [(limit, false), (limit + 4, true), (60_000, true)] {
        let response = "A".repeat(length);
        for input in [
            format!("AUTHENTICATE \"XOAUTH2\" {{{length}+}}\r\n{response}\r\n\"\"\r\nNOOP\r\n"),
            format!("AUTHENTICATE \"XOAUTH2\"\r\n{{{length}+}}\r\n{response}\r\n\"\"\r\nNOOP\r\n"),
        ] {
            let mut client = Client::new(config(TlsState::Encrypted), &[]);
            let said = client.hears(input);
            assert_eq!(client.outcome.closed, None);
            assert!(said.ends_with("OK \"NOOP completed\"\r\n"), "{said}");
            assert_eq!(said.contains("too long"), spoiled, "{length}: {said}");
        }
    }
}

#[test]
fn a_literal_beyond_all_limits_ends_the_connection() {
    for length in ["300000", "4294967296", "9999999999999999999"] {
        let mut client = Client::new(config(TlsState::Encrypted), &[]);
        let said = client.hears(format!("AUTHENTICATE \"XOAUTH2\" {{{length}+}}\r\n"));
        assert!(said.starts_with("BYE \""), "{said}");
        assert_eq!(client.outcome.closed, Some(Close::Flood));
    }
}

#[test]
fn noop_repeats_its_tag_and_needs_the_version_that_has_it() {
    assert_eq!(encrypted(&[], "NOOP \"a \\\"b\"\r\n").said, "OK (TAG \"a \\\"b\") \"NOOP completed\"\r\n");
    assert_eq!(encrypted(&[], "noop {3+}\r\nxyz\r\n").said, "OK (TAG \"xyz\") \"NOOP completed\"\r\n");
    assert!(encrypted(&[], "NOOP {4+}\r\nx\r\ny\r\n").said.starts_with("NO "));
    let old = FrontConfig { offer: Arc::default(), ..config(TlsState::Encrypted) };
    assert!(Client::new(old, &[]).hears("NOOP\r\n").starts_with("NO "));
}

#[test]
fn a_bare_lf_or_cr_or_nul_ends_and_executes_no_command() {
    for bad in
        ["LOGOUT\n", "LOGOUT\r\r\n", "LOG\0OUT\r\n", "LOGOUT\rNOOP\r\n", "\"LOGOUT\"\r\n", "LOGOUT x\r\n"]
    {
        let outcome = encrypted(&[], format!("{bad}NOOP\r\n"));
        assert!(outcome.said.starts_with("NO \"") && outcome.said.ends_with("OK \"NOOP completed\"\r\n"));
        assert_eq!(outcome.closed, None, "{bad:?}");
    }
}

#[test]
fn commands_of_a_logged_in_client_are_refused_and_logout_ends() {
    let outcome = encrypted(&[], "LISTSCRIPTS\r\nUNAUTHENTICATE\r\nGETSCRIPT \"a\"\r\nLOGOUT\r\nNOOP\r\n");
    assert_eq!(outcome.said.matches("NO \"").count(), 3);
    assert!(outcome.said.ends_with("OK \"Logout completed\"\r\n"), "{}", outcome.said);
    assert_eq!(outcome.closed, Some(Close::ClientLeft));
}

#[test]
fn a_browser_and_a_tls_client_are_cut_off() {
    for input in [&b"GET / HTTP/1.1\r\n"[..], b"POST /x HTTP/1.1\r\n", b"Host: a\r\n", b"\x16\x03\x01"] {
        let outcome = talk(config(TlsState::ClearStartTls), &[], &[input]);
        assert_eq!(outcome.closed, Some(Close::NotMail));
    }
}

#[test]
fn bad_commands_and_failed_sign_ins_are_counted() {
    let outcome = encrypted(&[], "X\r\n".repeat(9));
    assert_eq!(outcome.closed, Some(Close::TooManyBadCommands));
    assert_eq!(outcome.said.matches("NO ").count(), 5);
    let attempt = format!("AUTHENTICATE \"XOAUTH2\" \"{}\"\r\n\"\"\r\n", xoauth2(ALICE, "tok"));
    let outcome = encrypted(&[Some(RefusalKind::InvalidToken); 3], attempt.repeat(5));
    assert_eq!(outcome.closed, Some(Close::TooManyFailures));
    assert!(outcome.said.ends_with("BYE \"Too many failed sign-ins\"\r\n"), "{}", outcome.said);
}

#[test]
fn a_goodbye_is_one_line() {
    let machine = SieveDownstream::new(Banner::Welcome, config(TlsState::Encrypted));
    assert_eq!(machine.goodbye("idle \"x\"\r\nOK"), b"BYE \"idle ?x???OK\"\r\n");
}

fn piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        any::<Vec<u8>>(),
        proptest::sample::select(vec![
            "AUTHENTICATE ",
            "\"XOAUTH2\" ",
            "\"OAUTHBEARER\" ",
            "{3+}",
            "{0+}",
            "{70+}",
            "{3000+}",
            "\r\n",
            "\"",
            "\\",
            "NOOP ",
            "LOGOUT",
            "CAPABILITY\r\n",
            "dXNlcj1hAWF1dGg9QmVhcmVyIHQBAQ==",
            "*",
            "\n",
            "\r",
            "\0",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn any_octets_at_any_split_come_to_the_same(
        pieces in proptest::collection::vec(piece(), 0..20),
        cuts in proptest::collection::vec(any::<usize>(), 0..8),
    ) {
        let input = pieces.concat();
        let generous = FrontConfig { bad_commands: 100, failed_auth: 100, ..config(TlsState::Encrypted) };
        let answers = [Some(RefusalKind::InvalidToken); 20];
        let whole = talk(generous.clone(), &answers, &[&input]);
        let mut places: Vec<usize> = cuts.iter().map(|cut| cut % (input.len() + 1)).collect();
        places.sort_unstable();
        let mut split = Vec::new();
        let mut from = 0;
        for place in places {
            split.push(&input[from..place]);
            from = place;
        }
        split.push(&input[from..]);
        prop_assert_eq!(talk(generous, &answers, &split), whole);
    }
}
