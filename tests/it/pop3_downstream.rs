#![allow(clippy::wildcard_enum_match_arm, reason = "the arm is a failure")]

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bearward::{
    model::{Mechanism, SessionId},
    proto::{
        Accepted, Answer, Banner, Close, Credentials, Downstream, FrontConfig, Offer, Question, Refusal,
        RefusalKind, Step, TlsState, pop3::Pop3Downstream,
    },
};
use proptest::prelude::*;

const GREETING: &str = "+OK mail.example.org is ready\r\n";
const TOKEN: &str = "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==";

fn config(tls: TlsState) -> FrontConfig {
    FrontConfig {
        hostname: "mail.example.org".into(),
        tls,
        mechanisms: Arc::new([Mechanism::OAuthBearer, Mechanism::XOAuth2]),
        offer: Arc::new(Offer { lines: vec!["TOP".into(), "UIDL".into(), "EXPIRE NEVER".into()] }),
        line_limit: 256,
        sasl_limit: 1024,
        bad_commands: 5,
        failed_auth: 3,
    }
}

/// What a whole conversation came to.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    said: String,
    tokens: Vec<String>,
    names: Vec<Option<String>>,
    handover: Option<Vec<u8>>,
    closed: Option<Close>,
    tls: u32,
    spoiled: Vec<Mechanism>,
}

struct Client {
    machine: Pop3Downstream,
    answers: Vec<Option<RefusalKind>>,
    outcome: Outcome,
}

impl Client {
    /// `answers` are given to the attempts in order; `None` accepts.
    fn new(config: FrontConfig, answers: &[Option<RefusalKind>]) -> Self {
        let machine = Pop3Downstream::new(Banner::Welcome, config);
        let mut client =
            Self { machine, answers: answers.iter().rev().copied().collect(), outcome: Outcome::default() };
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
                    let (secret, name) = match attempt.credentials {
                        Credentials::Bearer { token, authzid } => (token, authzid),
                        Credentials::Password { authzid, login, password } => {
                            assert_eq!(authzid, None);
                            (password, Some(login))
                        }
                    };
                    self.outcome.tokens.push(secret.expose_str().unwrap().to_owned());
                    self.outcome.names.push(name);
                    assert!(matches!(self.machine.poll(), Step::NeedInput));
                    let answer = match self.answers.pop().expect("an answer for each attempt") {
                        None => Answer::Accepted(Accepted::default()),
                        Some(kind) => Answer::Refused(refusal(kind)),
                    };
                    self.machine.answer(answer);
                }
            }
        }
    }

    fn hears(&mut self, octets: &[u8]) -> String {
        let before = self.outcome.said.len();
        self.machine.receive(octets);
        self.run();
        self.outcome.said[before..].to_owned()
    }
}

fn refusal(kind: RefusalKind) -> Refusal {
    Refusal { kind, scope: "mail".into(), openid_configuration: None, session: SessionId::new(7) }
}

fn talk(tls: TlsState, answers: &[Option<RefusalKind>], pieces: &[&[u8]]) -> Outcome {
    let mut client = Client::new(config(tls), answers);
    for piece in pieces {
        client.hears(piece);
    }
    client.outcome
}

/// Runs the conversation at every split of it.
fn encrypted(answers: &[Option<RefusalKind>], input: &str) -> Outcome {
    let whole = talk(TlsState::Encrypted, answers, &[input.as_bytes()]);
    for at in 0..=input.len() {
        let (first, second) = input.as_bytes().split_at(at);
        let same = talk(TlsState::Encrypted, answers, &[first, second]);
        assert_eq!(same, whole, "{at}");
    }
    whole
}

/// What was said behind the greeting.
fn replies(outcome: &Outcome) -> &str {
    outcome.said.strip_prefix(GREETING).unwrap()
}

fn xoauth2() -> String {
    STANDARD.encode(format!("user=alice@example.org\x01auth=Bearer {TOKEN}\x01\x01"))
}

fn oauthbearer() -> String {
    STANDARD.encode(format!("n,a=alice@example.org,\x01auth=Bearer {TOKEN}\x01\x01"))
}

#[test]
fn the_greeting_carries_no_timestamp() {
    let outcome = encrypted(&[], "");
    assert_eq!(outcome.said, GREETING);
    assert!(!outcome.said.contains('<'));
}

#[test]
fn a_busy_proxy_says_so_and_closes() {
    let mut machine = Pop3Downstream::new(Banner::Busy, config(TlsState::Encrypted));
    let Step::Send(octets) = machine.poll() else { panic!() };
    assert!(octets.starts_with(b"-ERR [SYS/TEMP] "));
    assert!(matches!(machine.poll(), Step::Close(Close::Busy)));
    machine.receive(b"CAPA\r\n");
    assert!(matches!(machine.poll(), Step::Close(Close::Busy)));
}

#[test]
fn capabilities_follow_the_state_of_the_connection() {
    let common = "+OK Capabilities follow\r\nTOP\r\nUIDL\r\nEXPIRE NEVER\r\n";
    let codes = "RESP-CODES\r\nAUTH-RESP-CODE\r\n";
    let end = "IMPLEMENTATION Bearward\r\n.\r\n";
    let cases = [
        (TlsState::Encrypted, format!("{common}SASL OAUTHBEARER XOAUTH2\r\n{codes}{end}")),
        (TlsState::ClearStartTls, format!("{common}{codes}STLS\r\n{end}")),
        (TlsState::Clear, format!("{common}{codes}{end}")),
    ];
    for (tls, wanted) in cases {
        assert_eq!(replies(&talk(tls, &[], &[b"CAPA\r\n"])), wanted);
        assert_eq!(replies(&talk(tls, &[], &[b"capa \r\n"])), wanted);
    }
}

#[test]
fn auth_without_an_argument_lists_the_mechanisms() {
    assert_eq!(
        replies(&encrypted(&[], "AUTH\r\n")),
        "+OK Mechanisms follow\r\nOAUTHBEARER\r\nXOAUTH2\r\n.\r\n"
    );
    assert_eq!(
        replies(&talk(TlsState::ClearStartTls, &[], &[b"AUTH\r\n"])),
        "+OK Mechanisms follow\r\n.\r\n"
    );
}

#[test]
fn a_token_signs_in_with_and_without_an_initial_response() {
    for (mechanism, response) in [("XOAUTH2", xoauth2()), ("oauthbearer", oauthbearer())] {
        let outcome = encrypted(&[None], &format!("AUTH {mechanism} {response}\r\n"));
        assert_eq!(replies(&outcome), "+OK Signed in\r\n");
        assert_eq!(
            (outcome.tokens, outcome.names),
            (vec![TOKEN.into()], vec![Some("alice@example.org".into())])
        );
        let outcome = encrypted(&[None], &format!("AUTH {mechanism}\r\n{response} \t\r\n"));
        assert_eq!(replies(&outcome), "+ \r\n+OK Signed in\r\n");
        assert_eq!(outcome.tokens, [TOKEN]);
    }
}

#[test]
fn what_is_pipelined_behind_the_sign_in_is_handed_over_unread() {
    let behind = b"STAT\r\nLIST\nRETR 1\r\nhalf a li\0ne";
    let mut input = format!("AUTH XOAUTH2 {}\r\n", xoauth2()).into_bytes();
    input.extend_from_slice(behind);
    let outcome = talk(TlsState::Encrypted, &[None], &[&input]);
    assert_eq!(replies(&outcome), "+OK Signed in\r\n");
    assert_eq!(outcome.handover.as_deref(), Some(&behind[..]));
}

#[test]
fn the_line_after_an_error_challenge_is_swallowed() {
    let challenge = STANDARD.encode(r#"{"status":"400","schemes":"bearer","scope":"mail"}"#);
    let again = xoauth2();
    let command = format!("AUTH XOAUTH2 {}", xoauth2());
    for line in ["AQ==", "", "=", "QUIT", "STLS", "\x01", "GET / HTTP/1.1", &again, &command] {
        let outcome = encrypted(
            &[Some(RefusalKind::InvalidToken)],
            &format!("AUTH XOAUTH2 {}\r\n{line}\r\nQUIT\r\n", xoauth2()),
        );
        assert_eq!(
            replies(&outcome),
            format!(
                "+ {challenge}\r\n-ERR [AUTH] The credential is not accepted (session 0000000000000007)\r\n+OK Bye\r\n"
            ),
            "{line}"
        );
        assert_eq!(outcome.tokens.len(), 1);
    }
}

#[test]
fn an_endless_line_after_an_error_challenge_is_swallowed_up_to_its_end() {
    let mut client = Client::new(config(TlsState::Encrypted), &[Some(RefusalKind::InvalidToken)]);
    client.hears(format!("AUTH XOAUTH2 {}\r\n", xoauth2()).as_bytes());
    for _ in 0..100 {
        assert_eq!(client.hears(&[b'x'; 100]), "");
    }
    assert!(client.hears(b"\r\n").starts_with("-ERR [AUTH] "));
    assert_eq!(client.hears(b"QUIT\r\n"), "+OK Bye\r\n");
}

#[test]
fn a_silent_client_is_answered_when_its_time_is_over() {
    let mut client = Client::new(config(TlsState::Encrypted), &[Some(RefusalKind::InvalidToken), None]);
    assert!(!client.machine.awaits_dummy_response());
    client.machine.dummy_response_timed_out();
    client.hears(b"AUTH XOAUTH2\r\n");
    assert!(!client.machine.awaits_dummy_response());
    client.hears(format!("{}\r\n", xoauth2()).as_bytes());
    assert!(client.machine.awaits_dummy_response());
    client.machine.dummy_response_timed_out();
    assert_eq!(client.hears(b"").split(' ').next(), Some("-ERR"));
    assert!(!client.machine.awaits_dummy_response());
    assert_eq!(client.hears(format!("AUTH XOAUTH2 {}\r\n", xoauth2()).as_bytes()), "+OK Signed in\r\n");
}

#[test]
fn a_cancel_after_an_error_challenge_counts_as_a_failure() {
    let refused = [Some(RefusalKind::InvalidToken); 3];
    let outcome = encrypted(&refused, &format!("AUTH XOAUTH2 {}\r\n*\r\n", xoauth2()).repeat(3));
    assert_eq!(outcome.closed, Some(Close::TooManyFailures));
    assert_eq!(outcome.said.matches("-ERR [AUTH] Cancelled\r\n").count(), 3);
}

#[test]
fn each_refusal_has_its_answer() {
    let cases = [
        (RefusalKind::InvalidToken, "[AUTH] The credential is not accepted", true),
        (RefusalKind::Pointless, "[AUTH] The credential is not accepted", true),
        (RefusalKind::NotAuthorized, "[AUTH] The credential is not for that user", true),
        (RefusalKind::InsufficientScope, "[AUTH] The credential does not allow POP3", true),
        (RefusalKind::OperatorFault, "[SYS/PERM] The mail service needs its operator", false),
        (RefusalKind::Policy, "[SYS/PERM] This kind of sign-in is not accepted here", false),
        (RefusalKind::RateLimited, "[SYS/TEMP] Too many attempts; try again later", false),
        (
            RefusalKind::Unavailable,
            "[SYS/TEMP] The mail service is not available now; try again later",
            false,
        ),
    ];
    for (kind, text, challenged) in cases {
        let dummy = if challenged { "AQ==\r\n" } else { "" };
        let outcome =
            encrypted(&[Some(kind), None], &format!("AUTH OAUTHBEARER {}\r\n{dummy}NOOP\r\n", oauthbearer()));
        let said = replies(&outcome);
        assert_eq!(said.starts_with("+ "), challenged, "{kind:?}");
        assert!(
            said.contains(&format!("-ERR {text} (session 0000000000000007)\r\n-ERR ")),
            "{kind:?}: {said}"
        );
    }
}

#[test]
fn an_outage_never_counts_as_a_failed_sign_in() {
    for kind in [RefusalKind::Unavailable, RefusalKind::OperatorFault] {
        let outcome = encrypted(&[Some(kind); 9], &format!("AUTH XOAUTH2 {}\r\n", xoauth2()).repeat(9));
        assert_eq!(outcome.closed, None);
    }
}

#[test]
fn malformed_responses_are_refused_and_the_connection_stays() {
    let inputs = [
        "AUTH XOAUTH2 AAA\r\n",
        "AUTH XOAUTH2 A_-A\r\n",
        "AUTH XOAUTH2\r\nAA=A\r\n",
        "AUTH XOAUTH2\r\ndXNlcj0BYXV0aD1CZWFyZXIgdAEB\n",
        "AUTH XOAUTH2\r\n*\r\n",
        "AUTH XOAUTH2 AQ==\r\n",
        "AUTH XOAUTH2 =\r\nAQ==\r\n",
        "AUTH XOAUTH2 dXNlcg==\r\nSTAT\r\n",
        "AUTH XOAUTH2 AAAA extra\r\n",
        "AUTH SCRAM-SHA-256 AAAA\r\n",
        "AUTH PLAIN AHAAcQ==\r\n",
    ];
    for input in inputs {
        let outcome = encrypted(&[], &format!("{input}QUIT\r\n"));
        assert_eq!(outcome.said.matches("-ERR ").count(), 1, "{input}: {}", outcome.said);
        assert!(outcome.said.ends_with("+OK Bye\r\n"));
        assert!(outcome.tokens.is_empty());
    }
}

#[test]
fn a_response_beyond_the_limit_is_refused_whole() {
    let long = "A".repeat(1028);
    let longer = "A".repeat(5000);
    for response in [&long, &longer] {
        for input in [
            format!("AUTH XOAUTH2 {response}\r\nQUIT\r\n"),
            format!("AUTH XOAUTH2\r\n{response}\r\nQUIT\r\n"),
        ] {
            let outcome = talk(TlsState::Encrypted, &[], &[input.as_bytes()]);
            let bytewise: Vec<&[u8]> = input.as_bytes().chunks(1).collect();
            assert_eq!(talk(TlsState::Encrypted, &[], &bytewise), outcome);
            assert_eq!(outcome.said.matches("-ERR ").count(), 1);
            assert!(outcome.said.contains("too long"));
            assert_eq!(outcome.closed, Some(Close::ClientLeft));
        }
    }
}

#[test]
fn an_initial_response_beyond_the_command_limit_is_taken_all_the_same() {
    let token = "t".repeat(600);
    let response = STANDARD.encode(format!("n,,\x01auth=Bearer {token}\x01\x01"));
    let outcome = encrypted(&[None], &format!("AUTH OAUTHBEARER {response}\r\n"));
    assert_eq!((outcome.tokens, outcome.names), (vec![token], vec![None]));
}

#[test]
fn no_credential_is_taken_in_clear() {
    for tls in [TlsState::Clear, TlsState::ClearStartTls] {
        for input in [
            format!("AUTH XOAUTH2 {}\r\n", xoauth2()),
            "AUTH OAUTHBEARER\r\n".into(),
            "AUTH PLAIN\r\n".into(),
        ] {
            let outcome = talk(tls, &[], &[input.as_bytes()]);
            assert_eq!(replies(&outcome), "-ERR [SYS/PERM] Encryption is required before sign-in\r\n");
            assert!(outcome.tokens.is_empty());
        }
    }
}

#[test]
fn passwords_are_refused_without_being_looked_at() {
    for input in ["USER alice\r\n", "PASS hunter2\r\n", "APOP alice 0123\r\n", "USER\r\n"] {
        let outcome = encrypted(&[], input);
        assert!(replies(&outcome).starts_with("-ERR [SYS/PERM] Passwords are not accepted here"));
        assert!(!outcome.said.contains("hunter2"));
    }
}

/// The same conversation at every split of it, where passwords are taken.
fn with_passwords(tls: TlsState, answers: &[Option<RefusalKind>], input: &str) -> Outcome {
    let talk = |pieces: &[&[u8]]| {
        let mechanisms = Arc::new([Mechanism::XOAuth2, Mechanism::Plain, Mechanism::Login]);
        let mut client = Client::new(FrontConfig { mechanisms, ..config(tls) }, answers);
        pieces.iter().for_each(|piece| {
            client.hears(piece);
        });
        client.outcome
    };
    let whole = talk(&[input.as_bytes()]);
    for at in 0..=input.len() {
        let (first, second) = input.as_bytes().split_at(at);
        assert_eq!(talk(&[first, second]), whole, "{at}");
    }
    whole
}

#[test]
fn rfc_1939_7_user_and_pass_sign_in_where_passwords_are_taken() {
    let outcome =
        with_passwords(TlsState::Encrypted, &[None], "user alice@example.org\r\npass  two  blänks \r\n");
    assert_eq!(replies(&outcome), "+OK Send PASS\r\n+OK Signed in\r\n");
    assert_eq!(outcome.tokens, [" two  blänks "]);
    assert_eq!(outcome.names, [Some("alice@example.org".to_owned())]);
    assert_eq!(outcome.handover.as_deref(), Some(b"".as_slice()));
}

#[test]
fn a_refused_pass_needs_another_user_and_counts() {
    let refused = Some(RefusalKind::InvalidToken);
    let input = "USER a\r\nPASS x\r\nPASS y\r\nUSER a\r\nCAPA x\r\nPASS z\r\n";
    let outcome = with_passwords(TlsState::Encrypted, &[refused], input);
    assert_eq!(outcome.tokens, ["x"]);
    let lines: Vec<&str> = replies(&outcome).lines().collect();
    assert!(lines[1].starts_with("-ERR [AUTH] The credential is not accepted"), "{lines:?}");
    assert!(lines[2].starts_with("-ERR Send USER first") && lines[5].starts_with("-ERR Send USER first"));
    let again = "USER a\r\nPASS x\r\n".repeat(3);
    let outcome = with_passwords(TlsState::Encrypted, &[refused; 3], &again);
    assert_eq!(outcome.closed, Some(Close::TooManyFailures));
}

#[test]
fn user_and_pass_are_offered_with_passwords_and_never_taken_in_clear() {
    let offered = with_passwords(TlsState::Encrypted, &[], "CAPA\r\n");
    assert!(offered.said.contains("SASL XOAUTH2 PLAIN LOGIN\r\nUSER\r\n"), "{}", offered.said);
    for tls in [TlsState::Clear, TlsState::ClearStartTls] {
        let clear = with_passwords(tls, &[], "CAPA\r\nUSER alice\r\nPASS hunter2\r\n");
        assert!(!clear.said.contains("USER\r\n") && !clear.said.contains("\nSASL"), "{}", clear.said);
        assert!(
            clear.tokens.is_empty() && clear.said.matches("-ERR [SYS/PERM]").count() == 2,
            "{}",
            clear.said
        );
    }
}

#[test]
fn a_malformed_name_and_an_empty_password_are_asked_of_nobody() {
    for input in [
        "USER\r\n",
        "USER \r\n",
        "USER a\u{1}b\r\n",
        "USER a\r\nPASS\r\n",
        "USER a\r\nPASS \r\n",
        "APOP a 0\r\n",
    ] {
        let outcome = with_passwords(TlsState::Encrypted, &[], input);
        assert!(outcome.tokens.is_empty() && outcome.said.contains("-ERR"), "{input:?}");
    }
}

#[test]
fn nothing_else_is_executed_before_the_sign_in() {
    for input in
        ["NOOP\r\n", "STAT\r\n", "RETR 1\r\n", "XCLIENT ADDR=::1\r\n", "\r\n", " CAPA\t\r\n", "CAPA x\r\n"]
    {
        let outcome = encrypted(&[], input);
        assert_eq!(outcome.said.matches("\r\n").count(), 2, "{input}");
        assert!(replies(&outcome).starts_with("-ERR "), "{input}");
    }
}

#[test]
fn malformed_lines_are_refused_and_never_executed() {
    for input in ["QUIT\n", "QU\0IT\r\n", "QUIT\rQUIT\r\n", "QUIT\r\r\n"] {
        let outcome = encrypted(&[], input);
        assert!(replies(&outcome).starts_with("-ERR The line is malformed"), "{input:?}");
        assert_eq!(outcome.closed, None);
    }
    let outcome = encrypted(&[], &format!("CAPA {}\r\nQUIT\r\n", "x".repeat(300)));
    assert!(replies(&outcome).starts_with("-ERR The line is too long\r\n+OK Bye"));
}

#[test]
fn a_browser_is_cut_off() {
    for input in ["GET / HTTP/1.1\r\nHost: mail\r\n\r\n", "POST /x HTTP/1.1\nQUIT\r\n", "Host: mail\r\n"] {
        let outcome = encrypted(&[], input);
        assert_eq!((replies(&outcome), outcome.closed), ("", Some(Close::NotMail)));
    }
}

#[test]
fn bad_commands_and_failed_sign_ins_end_the_connection() {
    let outcome = encrypted(&[], &"NOOP\r\n".repeat(9));
    assert_eq!(outcome.closed, Some(Close::TooManyBadCommands));
    assert_eq!(outcome.said.matches("-ERR").count(), 5);
    let refused = [Some(RefusalKind::InvalidToken); 3];
    let outcome = encrypted(&refused, &format!("AUTH XOAUTH2 {}\r\n\r\n", xoauth2()).repeat(9));
    assert_eq!((outcome.closed, outcome.tokens.len()), (Some(Close::TooManyFailures), 3));
    assert!(
        outcome.said.ends_with("-ERR [AUTH] The credential is not accepted (session 0000000000000007)\r\n")
    );
}

#[test]
fn nothing_sent_in_clear_survives_the_handshake() {
    let mut client = Client::new(config(TlsState::ClearStartTls), &[None]);
    assert_eq!(client.hears(b"STLS\r\nCAPA\r\nAUTH XOA"), "+OK Begin TLS\r\n");
    assert_eq!(client.outcome.tls, 1);
    assert_eq!(client.hears(b"QUIT\r\n"), "+OK Bye\r\n");

    let mut machine = Pop3Downstream::new(Banner::Welcome, config(TlsState::ClearStartTls));
    machine.receive(b"STLS\r\n");
    assert!(matches!((machine.poll(), machine.poll()), (Step::Send(_), Step::Send(_))));
    assert!(matches!(machine.poll(), Step::StartTls));
    machine.receive(b"NOOP\r\n");
    assert!(matches!(machine.poll(), Step::NeedInput));
    machine.tls_started();
    assert!(matches!(machine.poll(), Step::NeedInput));
}

#[test]
fn tls_is_started_once_and_opens_the_sign_in() {
    let mut client = Client::new(config(TlsState::ClearStartTls), &[None]);
    client.hears(b"STLS\r\n");
    let listed = client.hears(b"CAPA\r\n");
    assert!(listed.contains("SASL OAUTHBEARER XOAUTH2\r\n") && !listed.contains("STLS"));
    assert!(client.hears(b"STLS\r\n").starts_with("-ERR "));
    assert_eq!(client.hears(format!("AUTH XOAUTH2 {}\r\n", xoauth2()).as_bytes()), "+OK Signed in\r\n");
    for tls in [TlsState::Clear, TlsState::Encrypted] {
        assert!(replies(&talk(tls, &[], &[b"STLS\r\n"])).starts_with("-ERR "));
    }
}

#[test]
fn a_goodbye_is_one_line_whatever_the_reason() {
    let machine = Pop3Downstream::new(Banner::Welcome, config(TlsState::Encrypted));
    assert_eq!(machine.goodbye("idle\r\n+OK"), b"-ERR [SYS/TEMP] idle??+OK\r\n");
}

proptest! {
    #[test]
    fn no_octets_and_no_cut_change_what_is_said(
        words in proptest::collection::vec(
            prop_oneof![
                Just("AUTH XOAUTH2 ".to_owned()),
                Just(format!("{}\r\n", xoauth2())),
                Just("AUTH OAUTHBEARER\r\n".to_owned()),
                Just("\r\n".to_owned()),
                Just("*\r\n".to_owned()),
                Just("CAPA\r\n".to_owned()),
                Just("\n".to_owned()),
                "[ -~]{0,12}",
                "A{0,1500}",
            ],
            0..16,
        ),
        cuts in proptest::collection::vec(0usize..3000, 0..6),
    ) {
        let input = words.concat().into_bytes();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(input.len())).collect();
        cuts.push(input.len());
        cuts.sort_unstable();
        let mut pieces = Vec::new();
        let mut from = 0;
        for cut in cuts {
            pieces.push(&input[from..cut]);
            from = cut;
        }
        let answers = [Some(RefusalKind::InvalidToken), Some(RefusalKind::Unavailable), Some(RefusalKind::Pointless)]
            .repeat(8);
        prop_assert_eq!(
            talk(TlsState::Encrypted, &answers, &pieces),
            talk(TlsState::Encrypted, &answers, &[&input])
        );
    }
}

#[test]
fn rfc_6856_3_a_language_may_be_chosen_before_the_login_where_the_mail_server_takes_it_after() {
    let mut with_lang = config(TlsState::Encrypted);
    with_lang.offer = Arc::new(Offer { lines: vec!["LANG".into()] });
    let mut client = Client::new(with_lang, &[]);
    client.machine.receive(b"LANG\r\nlang EN\r\nLANG *\r\nLANG tlh\r\nLANG en x\r\n");
    client.run();
    let (_, said) = client.outcome.said.split_once(GREETING).unwrap();
    assert_eq!(
        said,
        "+OK Languages follow\r\nen English\r\n.\r\n+OK en English it is\r\n+OK en English it is\r\n\
         -ERR Before sign-in there is English only\r\n-ERR Unknown command, or not before sign-in\r\n"
    );
    let mut client = Client::new(config(TlsState::Encrypted), &[]);
    client.machine.receive(b"LANG\r\nUTF8\r\n");
    client.run();
    assert_eq!(client.outcome.said.matches("-ERR").count(), 2);
}
