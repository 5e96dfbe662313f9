//! The ManageSieve client that logs in to a mail server.
#![allow(clippy::wildcard_enum_match_arm, reason = "the arm is a failure")]

use bearward::{
    model::{Secret, SessionId},
    proto::{
        ClientFacts, Failure, LoginAs, Ready, Upstream, UpstreamPlan, UpstreamStep, sasl::ClientPolicy,
        sieve::SieveUpstream,
    },
};
use proptest::prelude::*;

use crate::support::base64;

const GREETING: &str =
    "\"IMPLEMENTATION\" \"old\"\r\n\"SASL\" \"LOGIN PLAIN\"\r\n\"SIEVE\" \"fileinto\"\r\nOK\r\n";

fn by_password(authcid: &str, authzid: Option<&str>, password: &str) -> LoginAs {
    LoginAs::Password {
        authcid: authcid.into(),
        authzid: authzid.map(Into::into),
        password: Secret::copy_of(password.as_bytes()),
    }
}

fn alice() -> LoginAs {
    by_password("alice@example.org", None, "secret")
}

fn plan(login: LoginAs, starttls: bool) -> UpstreamPlan {
    UpstreamPlan {
        login,
        starttls,
        client: Some(ClientFacts {
            address: "[::ffff:192.0.2.7]:40000".parse().unwrap(),
            local: "192.0.2.1:4190".parse().unwrap(),
            name: None,
            session: SessionId::new(7),
            encrypted: true,
            tls: None,
            utf8: false,
            ttl: 6,
        }),
        hostname: "mail.example.org".into(),
        xclient: true,
        imap_id: true,
        sasl: ClientPolicy::default(),
    }
}

/// What was sent, and how it ended.
#[derive(Debug)]
struct Outcome {
    sent: String,
    tls: u32,
    end: Option<Result<Ready, Failure>>,
}

fn run(plan: UpstreamPlan, pieces: &[&[u8]]) -> Outcome {
    let mut machine = SieveUpstream::new(plan);
    let mut outcome = Outcome { sent: String::new(), tls: 0, end: None };
    for piece in pieces {
        machine.receive(piece);
        loop {
            match machine.poll() {
                UpstreamStep::NeedInput => break,
                UpstreamStep::Send(octets) => outcome.sent.push_str(octets.expose_str().unwrap()),
                UpstreamStep::StartTls => {
                    outcome.tls += 1;
                    machine.tls_started();
                }
                UpstreamStep::Ready(ready) => {
                    outcome.end = Some(Ok(ready));
                    return outcome;
                }
                UpstreamStep::Failed(failure) => {
                    assert!(matches!(machine.poll(), UpstreamStep::Failed(again) if again == failure));
                    outcome.end = Some(Err(failure));
                    return outcome;
                }
            }
        }
    }
    outcome
}

/// Runs the script at every split of it.
fn at_every_split(login: impl Fn() -> LoginAs, script: &str) -> Outcome {
    let whole = run(plan(login(), false), &[script.as_bytes()]);
    for at in 0..=script.len() {
        let (first, second) = script.as_bytes().split_at(at);
        let same = run(plan(login(), false), &[first, second]);
        assert_eq!(same.sent, whole.sent, "{at}");
        match (&same.end, &whole.end) {
            (Some(Err(one)), Some(Err(other))) => assert_eq!(one, other),
            (Some(Ok(one)), Some(Ok(other))) => assert_eq!(one.offer, other.offer),
            (one, other) => assert_eq!(one.is_some(), other.is_some(), "{at}"),
        }
    }
    whole
}

#[track_caller]
fn ready(outcome: Outcome) -> Ready {
    outcome.end.expect("an end").expect("a login")
}

#[track_caller]
fn failure(outcome: Outcome) -> Failure {
    match outcome.end {
        Some(Err(failure)) => failure,
        other => panic!("no failure: {other:?}"),
    }
}

#[test]
fn plain_is_one_command_and_the_offer_is_kept_word_by_word() {
    let greeting = "\"SASL\" \"plain\"\r\n{5}\r\nSIEVE {17}\r\nfileinto vacation\r\n\"NOTIFY\" \"mailto\"\r\n\
        \"VERSION\" \"1.0\"\r\n\"LANGUAGE\" \"de\"\r\n\"unauthenticate\"\r\nOK {3}\r\nhi!\r\n";
    let outcome = at_every_split(alice, &format!("{greeting}OK \"in\"\r\n\"later\""));
    assert_eq!(
        outcome.sent,
        format!("AUTHENTICATE \"PLAIN\" \"{}\"\r\n", base64("\0alice@example.org\0secret"))
    );
    let ready = ready(outcome);
    assert_eq!(ready.offer.lines, ["SIEVE fileinto", "SIEVE vacation", "NOTIFY mailto", "VERSION 1.0"]);
    assert!(ready.unauthenticate);
    assert_eq!(ready.leftover, b"\"later\"");
    assert_eq!(ready.capabilities, "");
}

#[test]
fn an_authorization_identity_goes_with_plain_and_with_nothing_else() {
    let login = || by_password("proxy", Some("alice@example.org"), "secret");
    let outcome = at_every_split(login, &format!("{GREETING}OK\r\n"));
    let response = base64("alice@example.org\0proxy\0secret");
    assert_eq!(outcome.sent, format!("AUTHENTICATE \"PLAIN\" \"{response}\"\r\n"));
    let outcome = at_every_split(login, "\"SASL\" \"LOGIN\"\r\nOK\r\n");
    assert_eq!(outcome.sent, "");
    assert!(matches!(failure(outcome), Failure::Operator(_)));
}

#[test]
fn a_response_too_long_for_quotes_is_a_literal() {
    let password = "p".repeat(900);
    let outcome = at_every_split(|| by_password("a", None, &password), &format!("{GREETING}OK\r\n"));
    let response = base64(format!("\0a\0{password}"));
    assert_eq!(outcome.sent, format!("AUTHENTICATE \"PLAIN\" {{{}+}}\r\n{response}\r\n", response.len()));
    ready(outcome);
}

#[test]
fn login_is_taken_where_plain_is_not_offered() {
    let script = "\"SASL\" \"GSSAPI login\"\r\nOK\r\n\"VXNlcm5hbWU6\"\r\n{12}\r\nUGFzc3dvcmQ6\r\nOK\r\n";
    let outcome = at_every_split(alice, script);
    assert_eq!(
        outcome.sent,
        format!(
            "AUTHENTICATE \"LOGIN\"\r\n\"{}\"\r\n\"{}\"\r\n",
            base64("alice@example.org"),
            base64("secret")
        )
    );
    ready(outcome);
    let early = at_every_split(alice, "\"SASL\" \"LOGIN\"\r\nOK\r\nOK\r\n");
    assert!(matches!(failure(early), Failure::Protocol(_)));
}

#[test]
fn nobody_logs_in_and_sends_nothing() {
    let outcome = at_every_split(|| LoginAs::Nobody, GREETING);
    assert_eq!(outcome.sent, "");
    assert_eq!(ready(outcome).offer.lines, ["SIEVE fileinto"]);
}

#[test]
fn names_that_would_be_someone_else_are_not_sent() {
    for login in [
        by_password("", None, "x"),
        by_password("a\0b", None, "x"),
        by_password("a\r\nb", None, "x"),
        by_password("a", Some("b\0"), "x"),
        by_password("a", None, "x\0y"),
    ] {
        let outcome = run(plan(login, false), &[GREETING.as_bytes()]);
        assert_eq!(outcome.sent, "");
        assert!(matches!(failure(outcome), Failure::Operator(_)));
    }
}

#[test]
fn a_refusal_says_who_must_act() {
    type Kind = fn(String) -> Failure;
    let cases: [(&str, Kind); 9] = [
        ("NO", Failure::Refused),
        ("NO \"wrong\"", Failure::Refused),
        ("NO (X-OTHER) \"wrong\"", Failure::Refused),
        ("NO (TRYLATER) \"later\"", Failure::Temporary),
        ("BYE \"later\"", Failure::Temporary),
        ("no (auth-too-weak)", Failure::Operator),
        ("NO (ENCRYPT-NEEDED)", Failure::Operator),
        ("NO (TRANSITION-NEEDED)", Failure::Operator),
        ("BYE (REFERRAL \"sieve://elsewhere\") \"go\"", Failure::Operator),
    ];
    for (line, kind) in cases {
        let outcome = at_every_split(alice, &format!("{GREETING}{line}\r\n"));
        let said = line.split_once(' ').map_or("", |(_, said)| said);
        assert_eq!(failure(outcome), kind(said.to_owned()), "{line}");
    }
    for greeting in ["BYE \"full\"\r\n", "NO \"full\"\r\n", "NO (TRYLATER)\r\n"] {
        assert!(matches!(failure(at_every_split(alice, greeting)), Failure::Temporary(_)), "{greeting}");
    }
}

#[test]
fn the_clients_address_is_told_to_a_server_that_asks_for_it() {
    let greeting = "\"SASL\" \"PLAIN\"\r\n\"XCLIENT\" \"ADDR PORT\"\r\nOK\r\n";
    let login = format!("AUTHENTICATE \"PLAIN\" \"{}\"\r\n", base64("\0alice@example.org\0secret"));
    for answer in ["OK\r\n", "NO \"not you\"\r\n"] {
        let outcome = at_every_split(alice, &format!("{greeting}{answer}OK\r\n"));
        let xclient = "XCLIENT ADDR=192.0.2.7 PORT=40000 SESSION=0000000000000007 TTL=6\r\n";
        assert_eq!(outcome.sent, format!("{xclient}{login}"));
        ready(outcome);
    }
    let silent = UpstreamPlan { xclient: false, ..plan(alice(), false) };
    assert_eq!(run(silent, &[greeting.as_bytes()]).sent, login);
}

#[test]
fn starttls_comes_first_and_what_was_said_before_it_is_forgotten() {
    let clear = "\"SASL\" \"PLAIN\"\r\n\"SIEVE\" \"evil\"\r\n\"XCLIENT\"\r\n\"STARTTLS\"\r\nOK\r\n";
    let encrypted = "\"SASL\" \"LOGIN\"\r\n\"SIEVE\" \"good\"\r\nOK\r\n";
    let pieces = [clear, "OK \"go\"\r\n", encrypted, "\"\"\r\n", "\"\"\r\n", "OK\r\n"].map(str::as_bytes);
    let outcome = run(plan(alice(), true), &pieces);
    assert_eq!(outcome.tls, 1);
    assert!(outcome.sent.starts_with("STARTTLS\r\nAUTHENTICATE \"LOGIN\"\r\n"), "{}", outcome.sent);
    assert_eq!(ready(outcome).offer.lines, ["SIEVE good"]);
}

#[test]
fn octets_behind_the_answer_to_starttls_end_the_login() {
    let clear = "\"SASL\" \"PLAIN\"\r\n\"STARTTLS\"\r\nOK\r\n";
    for injected in ["OK\r\n\"SASL\" \"PLAIN\"\r\nOK\r\n", "OK\r\n ", "OK\r\n\""] {
        let outcome = run(plan(alice(), true), &[clear.as_bytes(), injected.as_bytes()]);
        assert_eq!((outcome.sent.as_str(), outcome.tls), ("STARTTLS\r\n", 0));
        assert!(matches!(failure(outcome), Failure::Protocol(_)));
    }
    // Behind it by a moment, before the handshake has begun.
    let mut machine = SieveUpstream::new(plan(alice(), true));
    machine.receive(clear.as_bytes());
    assert!(matches!(machine.poll(), UpstreamStep::Send(_)));
    machine.receive(b"OK\r\n");
    assert!(matches!(machine.poll(), UpstreamStep::StartTls));
    machine.receive(b"\"SASL\" \"PLAIN\"\r\nOK\r\n");
    assert!(matches!(machine.poll(), UpstreamStep::Failed(Failure::Protocol(_))));
}

#[test]
fn a_stripped_or_refused_starttls_is_the_operators_and_no_password_is_sent() {
    for pieces in [&[GREETING][..], &["\"STARTTLS\"\r\nOK\r\n", "NO \"no\"\r\n"]] {
        let pieces: Vec<&[u8]> = pieces.iter().map(|piece| piece.as_bytes()).collect();
        let outcome = run(plan(alice(), true), &pieces);
        assert!(!outcome.sent.contains("AUTHENTICATE"));
        assert!(matches!(failure(outcome), Failure::Operator(_)));
    }
}

#[test]
fn what_is_no_managesieve_ends_the_login_and_nothing_grows() {
    let endless = "\"X\" \"y\"\r\n".repeat(1000);
    let literal = format!("{{70000}}\r\n{}", "x".repeat(70_000));
    for script in [
        "* OK [CAPABILITY IMAP4rev1] hello\r\n",
        "220 hello\r\n",
        "+OK\r\n",
        "OK\n",
        "\"X\" \"a\\b\"\r\n",
        "\"X\" y\"z\"\r\n",
        &endless,
        &literal,
        &format!("\"{}", "x".repeat(70_000)),
        &format!("{GREETING}\"challenge\"\r\n"),
    ] {
        let outcome = run(plan(alice(), false), &[script.as_bytes()]);
        assert!(matches!(failure(outcome), Failure::Protocol(_)), "{}", &script[..script.len().min(40)]);
    }
}

proptest! {
    #[test]
    fn any_octets_at_any_split_come_to_the_same(
        octets in proptest::collection::vec(prop_oneof![any::<u8>(), proptest::sample::select(b"OKNBYE\"{}5+\r\n (".to_vec())], 0..200),
        at in any::<usize>(),
    ) {
        let script = [GREETING.as_bytes(), &octets].concat();
        let (first, second) = script.split_at(at % (script.len() + 1));
        let whole = run(plan(alice(), false), &[&script]);
        let split = run(plan(alice(), false), &[first, second]);
        prop_assert_eq!(whole.sent, split.sent);
        match (whole.end, split.end) {
            (Some(Ok(_)), Some(Ok(_))) | (None, None) => {}
            (Some(Err(one)), Some(Err(other))) => prop_assert_eq!(one.to_string(), other.to_string()),
            (one, other) => prop_assert!(false, "{one:?} {other:?}"),
        }
    }
}
