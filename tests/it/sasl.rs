#![allow(clippy::wildcard_enum_match_arm, reason = "the arm is a failure")]

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bearward::{
    model::{Mechanism, Secret, SessionId},
    proto::{
        Credentials, Refusal, RefusalKind,
        sasl::{
            SaslStep, ServerExchange, login_response, oauthbearer_response, plain_response, xoauth2_response,
        },
    },
};
use proptest::prelude::*;
use serde_json::{Value, json};

const LIMIT: usize = 16 * 1024;
const BEARERS: [Mechanism; 2] = [Mechanism::OAuthBearer, Mechanism::XOAuth2];

fn vectors() -> Value {
    serde_json::from_str(include_str!("../vectors/sasl.json")).unwrap()
}

fn refusal(kind: RefusalKind) -> Refusal {
    Refusal {
        kind,
        scope: "example_scope".into(),
        openid_configuration: Some("https://example.com/.well-known/openid-config".into()),
        session: SessionId::new(7),
    }
}

/// Hands in a message without the wire's base64.
fn start(mechanism: Mechanism, message: &[u8]) -> (ServerExchange, SaslStep) {
    ServerExchange::start(mechanism, Some(STANDARD.encode(message).as_bytes()), LIMIT)
}

fn good(mechanism: Mechanism) -> &'static [u8] {
    match mechanism {
        Mechanism::OAuthBearer => b"n,a=alice@example.org,\x01auth=Bearer tok\x01\x01",
        Mechanism::XOAuth2 => b"user=alice@example.org\x01auth=Bearer tok\x01\x01",
        Mechanism::Plain => b"\0alice@example.org\0secret",
        Mechanism::Login => b"alice@example.org",
    }
}

#[track_caller]
fn bearer(step: SaslStep) -> (Option<String>, String) {
    match step {
        SaslStep::Attempt(Credentials::Bearer { token, authzid }) => {
            (authzid, token.expose_str().unwrap().to_owned())
        }
        other => panic!("no bearer attempt: {other:?}"),
    }
}

#[track_caller]
fn password(step: SaslStep) -> (Option<String>, String, String) {
    match step {
        SaslStep::Attempt(Credentials::Password { authzid, login, password }) => {
            (authzid, login, password.expose_str().unwrap().to_owned())
        }
        other => panic!("no password attempt: {other:?}"),
    }
}

#[track_caller]
fn challenge(step: SaslStep) -> String {
    match step {
        SaslStep::Challenge(text) => text,
        other => panic!("no challenge: {other:?}"),
    }
}

#[track_caller]
fn error(step: SaslStep) -> Value {
    serde_json::from_slice(&STANDARD.decode(challenge(step)).unwrap()).unwrap()
}

fn is_malformed(step: &SaslStep) -> bool {
    matches!(step, SaslStep::Malformed(_))
}

fn id(name: &str) -> Option<String> {
    Some(name.to_owned())
}

#[test]
fn published_bearer_messages_are_read() {
    for vector in vectors()["bearer"].as_array().unwrap() {
        let mechanism = Mechanism::from_name(vector["mechanism"].as_str().unwrap().as_bytes()).unwrap();
        let wire = vector["wire"].as_str().unwrap();
        let wanted = (id(vector["authzid"].as_str().unwrap()), vector["token"].as_str().unwrap().to_owned());
        let (_, step) = ServerExchange::start(mechanism, Some(wire.as_bytes()), LIMIT);
        assert_eq!(bearer(step), wanted, "{vector}");
        let (mut exchange, step) = ServerExchange::start(mechanism, None, LIMIT);
        assert_eq!(challenge(step), "");
        assert_eq!(bearer(exchange.receive(wire.as_bytes(), false)), wanted, "{vector}");
    }
}

#[test]
fn published_messages_are_what_the_client_side_writes() {
    let google = &vectors()["bearer"][2];
    let token = Secret::copy_of(google["token"].as_str().unwrap().as_bytes());
    let wire = xoauth2_response(google["authzid"].as_str().unwrap(), &token);
    assert_eq!(wire.expose_str(), google["wire"].as_str());

    let plain = plain_response("user@example.com", "proxy", &Secret::copy_of(b"secret"));
    assert_eq!(plain.expose_str(), vectors()["plain"]["wire"].as_str());
    assert_eq!(login_response(b"Username:").expose_str(), Some("VXNlcm5hbWU6"));
}

#[test]
fn a_discovery_probe_gets_the_published_challenge() {
    let vectors = vectors();
    let wire = vectors["bearer"][1]["wire"].as_str().unwrap();
    let (mut exchange, _) = ServerExchange::start(Mechanism::OAuthBearer, Some(wire.as_bytes()), LIMIT);
    let answer = challenge(exchange.refuse(refusal(RefusalKind::InvalidToken)));
    assert_eq!(Some(answer.as_str()), vectors["invalid_token_challenge"]["wire"].as_str());
}

#[test]
fn each_refusal_of_a_token_has_its_challenge() {
    let cases = [
        (RefusalKind::InvalidToken, "invalid_token", "400"),
        (RefusalKind::Pointless, "invalid_token", "401"),
        (RefusalKind::NotAuthorized, "invalid_token", "401"),
        (RefusalKind::InsufficientScope, "insufficient_scope", "403"),
    ];
    let discovery = "https://example.com/.well-known/openid-config";
    for (kind, code, http) in cases {
        let (mut exchange, _) = start(Mechanism::OAuthBearer, good(Mechanism::OAuthBearer));
        assert_eq!(
            error(exchange.refuse(refusal(kind))),
            json!({"status": code, "scope": "example_scope", "openid-configuration": discovery})
        );
        let (mut exchange, _) = start(Mechanism::XOAuth2, good(Mechanism::XOAuth2));
        assert_eq!(
            error(exchange.refuse(refusal(kind))),
            json!({"status": http, "schemes": "bearer", "scope": "example_scope", "openid-configuration": discovery})
        );
    }
}

#[test]
fn an_outage_or_a_policy_is_no_error_challenge() {
    let kinds = [
        RefusalKind::Unavailable,
        RefusalKind::Undecided,
        RefusalKind::OperatorFault,
        RefusalKind::Policy,
        RefusalKind::RateLimited,
    ];
    for mechanism in Mechanism::ALL {
        for kind in kinds {
            let (mut exchange, _) = start(mechanism, good(mechanism));
            match exchange.refuse(refusal(kind)) {
                SaslStep::Failed(said) => assert_eq!(said.kind, kind),
                other => panic!("{mechanism} {kind:?}: {other:?}"),
            }
            assert!(!exchange.awaits_dummy_response());
        }
    }
}

#[test]
fn a_wrong_password_fails_at_once() {
    for mechanism in [Mechanism::Plain, Mechanism::Login] {
        let (mut exchange, _) = start(mechanism, good(mechanism));
        assert!(matches!(exchange.refuse(refusal(RefusalKind::InvalidToken)), SaslStep::Failed(_)));
    }
}

#[test]
fn whatever_follows_an_error_challenge_ends_the_exchange_and_does_nothing_else() {
    let token_again = STANDARD.encode(good(Mechanism::XOAuth2));
    let lines: [&[u8]; 9] = [
        b"AQ==",
        b"",
        b"=",
        b"  ",
        b"\x01",
        b"\x01a0002 AUTHENTICATE OAUTHBEARER bixhPQ==",
        b"QUIT",
        b"\0\xff\r garbage",
        token_again.as_bytes(),
    ];
    for mechanism in BEARERS {
        for line in lines {
            for too_long in [false, true] {
                let (mut exchange, _) = start(mechanism, good(mechanism));
                let _ = challenge(exchange.refuse(refusal(RefusalKind::InvalidToken)));
                assert!(exchange.awaits_dummy_response());
                match exchange.receive(line, too_long) {
                    SaslStep::Failed(said) => assert_eq!(said, refusal(RefusalKind::InvalidToken)),
                    other => panic!("{line:?}: {other:?}"),
                }
                assert!(!exchange.awaits_dummy_response());
                assert!(exchange.was_refused());
            }
        }
    }
}

#[test]
fn a_cancel_after_an_error_challenge_is_a_cancel_of_a_refused_attempt() {
    let (mut exchange, _) = start(Mechanism::XOAuth2, good(Mechanism::XOAuth2));
    let _ = challenge(exchange.refuse(refusal(RefusalKind::InvalidToken)));
    assert!(matches!(exchange.receive(b"*", false), SaslStep::Cancelled));
    assert!(exchange.was_refused());
}

#[test]
fn silence_after_an_error_challenge_is_an_empty_line() {
    let (mut exchange, _) = start(Mechanism::OAuthBearer, good(Mechanism::OAuthBearer));
    let _ = challenge(exchange.refuse(refusal(RefusalKind::Pointless)));
    assert!(matches!(exchange.dummy_response_timed_out(), SaslStep::Failed(_)));
}

#[test]
fn nothing_is_taken_while_an_attempt_is_open_or_after_the_end() {
    for mechanism in BEARERS {
        let (mut exchange, _) = start(mechanism, good(mechanism));
        let again = STANDARD.encode(good(mechanism));
        assert!(is_malformed(&exchange.receive(again.as_bytes(), false)));
        assert!(is_malformed(&exchange.receive(again.as_bytes(), false)));
    }
}

#[test]
fn a_message_that_breaks_the_grammar_gets_invalid_request_and_its_line_is_swallowed() {
    let bad: [&[u8]; 20] = [
        b"",
        b"n,a=alice@example.org,",
        b"n,a=alice@example.org,\x01",
        b"n,a=alice@example.org,\x01\x01",
        b"n,a=alice@example.org\x01auth=Bearer tok\x01\x01",
        b"n,b=alice@example.org,\x01auth=Bearer tok\x01\x01",
        b"p=tls-exporter,a=alice@example.org,\x01auth=Bearer tok\x01\x01",
        b"z,,\x01auth=Bearer tok\x01\x01",
        b"n,,\x01auth=Bearer tok",
        b"n,,\x01auth=Bearer tok\x01\x01\x01",
        b"n,,\x01auth=Bearer tok\x01\x01x",
        b"n,,\x01auth=Bearer one\x01auth=Bearer two\x01\x01",
        b"n,,\x01auth=Basic dXNlcg==\x01\x01",
        b"n,,\x01auth=tok\x01\x01",
        b"n,,\x01auth=Bearertok\x01\x01",
        b"n,,\x01auth=Bearer t\"k\x01\x01",
        b"n,,\x01auth=Bearer to k\x01\x01",
        b"n,,\x01auth=Bearer t\xc3\xb6k\x01\x01",
        b"n,a=al\0ice,\x01auth=Bearer tok\x01\x01",
        b"n,a=al\xffice,\x01auth=Bearer tok\x01\x01",
    ];
    for message in bad {
        let (mut exchange, step) = start(Mechanism::OAuthBearer, message);
        assert_eq!(error(step), json!({"status": "invalid_request"}), "{message:?}");
        assert!(exchange.awaits_dummy_response());
        assert!(is_malformed(&exchange.receive(b"AQ==", false)), "{message:?}");
        assert!(!exchange.was_refused());
    }
    let bad: [&[u8]; 4] = [
        b"",
        b"n,a=alice@example.org,\x01auth=Bearer tok\x01\x01",
        b"user=al\rice\x01auth=Bearer tok\x01\x01",
        b"user=alice@example.org",
    ];
    for message in bad {
        let (mut exchange, step) = start(Mechanism::XOAuth2, message);
        assert_eq!(error(step), json!({"status": "400", "schemes": "bearer"}), "{message:?}");
        assert!(is_malformed(&exchange.receive(b"", false)));
    }
}

#[test]
fn an_initial_response_of_one_equals_sign_is_the_empty_message() {
    let (exchange, step) = ServerExchange::start(Mechanism::OAuthBearer, Some(b"="), LIMIT);
    assert_eq!(error(step), json!({"status": "invalid_request"}));
    assert!(exchange.awaits_dummy_response());
    for mechanism in [Mechanism::Plain, Mechanism::Login] {
        assert!(is_malformed(&ServerExchange::start(mechanism, Some(b"="), LIMIT).1));
    }
    let (mut exchange, _) = ServerExchange::start(Mechanism::OAuthBearer, None, LIMIT);
    assert!(is_malformed(&exchange.receive(b"=", false)), "it means that in an initial response only");
}

#[test]
fn a_lone_separator_as_the_first_message_fails_without_a_challenge() {
    for mechanism in BEARERS {
        assert!(is_malformed(&start(mechanism, b"\x01").1));
    }
}

#[test]
fn an_absent_identity_is_none() {
    for message in [
        &b"n,,\x01auth=Bearer tok\x01\x01"[..],
        b"y,,\x01auth=Bearer tok\x01\x01",
        b"F,n,,\x01auth=Bearer tok\x01\x01",
        b"n,a=,\x01auth=Bearer tok\x01\x01",
    ] {
        assert_eq!(bearer(start(Mechanism::OAuthBearer, message).1), (None, "tok".into()));
    }
    assert_eq!(bearer(start(Mechanism::XOAuth2, b"user=\x01auth=Bearer tok\x01\x01").1).0, None);
}

#[test]
fn names_are_read_as_clients_write_them() {
    let cases: [(&[u8], &str); 7] = [
        (b"n,a=a=2Cb=3Dc,\x01auth=Bearer tok\x01\x01", "a,b=c"),
        (b"n,a=a=2cb=3dc,\x01auth=Bearer tok\x01\x01", "a,b=c"),
        // Escaped once, undone once.
        (b"n,a=a=3D2Cb,\x01auth=Bearer tok\x01\x01", "a=2Cb"),
        // MailKit does not escape.
        (b"n,a=a,b=c@example.org,\x01auth=Bearer tok\x01\x01", "a,b=c@example.org"),
        // RFC 7628's SMTP example.
        (b"n,user=bob@example.org,\x01auth=Bearer tok\x01\x01", "bob@example.org"),
        // cURL before 7.66.
        (b"user=bob@example.org\x01auth=Bearer tok\x01\x01", "bob@example.org"),
        (b"n,a=j\xc3\xbcrg,\x01auth=Bearer tok\x01\x01", "jürg"),
    ];
    for (message, name) in cases {
        assert_eq!(bearer(start(Mechanism::OAuthBearer, message).1), (id(name), "tok".into()), "{message:?}");
    }
    let (_, step) = start(Mechanism::XOAuth2, b"user=a=2Cb\x01auth=Bearer tok\x01\x01");
    assert_eq!(bearer(step).0, id("a=2Cb"), "XOAUTH2 has no escapes");
}

#[test]
fn tokens_are_read_as_clients_write_them() {
    let cases: [(&[u8], &str); 12] = [
        (b"n,,\x01auth=Bearer aZ0-._~+/==\x01\x01", "aZ0-._~+/=="),
        (b"n,,\x01auth=bearer tok\x01\x01", "tok"),
        (b"n,,\x01auth=BeArEr    tok\x01\x01", "tok"),
        (b"n,,\x01auth=Bearer tok\n\x01\x01", "tok"),
        (b"n,,\x01auth=Bearer tok \r\n\x01\x01", "tok"),
        (b"n,,\x01auth=Bearer tok\x01", "tok"),
        (b"n,,\x01host=imap.example.org\x01port=993\x01auth=Bearer tok\x01\x01", "tok"),
        (b"n,,\x01auth=Bearer tok\x01qs=a=b\x01surprise=\x01\x01", "tok"),
        (b"n,,\x01auth=\x01\x01", ""),
        (b"n,,\x01auth=Bearer\x01\x01", ""),
        (b"n,,\x01auth=Bearer \x01\x01", ""),
        (b"user=\x01auth=Bearer tok\x01", "tok"),
    ];
    for (message, token) in cases {
        assert_eq!(bearer(start(Mechanism::OAuthBearer, message).1), (None, token.into()), "{message:?}");
    }
}

#[test]
fn only_canonical_base64_is_taken() {
    let bad: [&[u8]; 11] = [
        b"AHAAcQ==\n",
        b"AHAAcQ",
        b"AHAAcQ=",
        b"AHAAcQ===",
        b"AHAA=cQ=",
        b"AH AAcQ==",
        b"AHAAcR==",
        b"A_-AcQ==",
        b"AHAAcQ==\r",
        b"AHAAcQ==\0",
        b"{8}",
    ];
    for text in bad {
        for mechanism in Mechanism::ALL {
            assert!(is_malformed(&ServerExchange::start(mechanism, Some(text), LIMIT).1), "{text:?}");
            let (mut exchange, _) = ServerExchange::start(mechanism, None, LIMIT);
            assert!(is_malformed(&exchange.receive(text, false)), "{text:?}");
        }
    }
    let (_, step) = ServerExchange::start(Mechanism::Plain, Some(b"AHAAcQ== \t "), LIMIT);
    assert_eq!(password(step), (None, "p".into(), "q".into()));
}

#[test]
fn a_response_is_measured_before_it_is_decoded() {
    for mechanism in Mechanism::ALL {
        let longest = vec![b'!'; 64];
        assert!(is_malformed(&ServerExchange::start(mechanism, Some(&longest), 64).1));
        let longer = vec![b'!'; 65];
        assert!(matches!(ServerExchange::start(mechanism, Some(&longer), 64).1, SaslStep::TooLong));
        let (mut exchange, _) = ServerExchange::start(mechanism, None, 64);
        assert!(matches!(exchange.receive(&longer, false), SaslStep::TooLong));
        let (mut exchange, _) = ServerExchange::start(mechanism, None, 64);
        assert!(matches!(exchange.receive(b"AHAAcQ==", true), SaslStep::TooLong));
        assert!(is_malformed(&exchange.receive(b"AHAAcQ==", false)), "the exchange is over");
    }
}

#[test]
fn a_star_cancels_at_every_step() {
    for mechanism in Mechanism::ALL {
        let (mut exchange, _) = ServerExchange::start(mechanism, None, LIMIT);
        assert!(matches!(exchange.receive(b"*", false), SaslStep::Cancelled));
        assert!(!exchange.was_refused());
    }
    let (mut exchange, _) = ServerExchange::start(Mechanism::Login, Some(b"cA=="), LIMIT);
    assert!(matches!(exchange.receive(b"* ", false), SaslStep::Cancelled));
}

#[test]
fn plain_is_read_in_its_three_parts() {
    assert_eq!(
        password(start(Mechanism::Plain, b"\0alice\0se cret").1),
        (None, "alice".into(), "se cret".into())
    );
    assert_eq!(
        password(start(Mechanism::Plain, b"user@example.com\0proxy\0secret").1),
        (id("user@example.com"), "proxy".into(), "secret".into())
    );
    let bad: [&[u8]; 9] = [
        b"",
        b"alice",
        b"alice\0secret",
        b"\0\0secret",
        b"\0alice\0",
        b"\0alice\0sec\0ret",
        b"\0al\nice\0secret",
        b"a\rb\0alice\0secret",
        b"\0al\xffice\0secret",
    ];
    for message in bad {
        assert!(is_malformed(&start(Mechanism::Plain, message).1), "{message:?}");
    }
}

#[test]
fn login_asks_for_name_and_password_in_the_words_that_clients_compare() {
    for initial in [None, Some(&b"YWxpY2U="[..])] {
        let (mut exchange, mut step) = ServerExchange::start(Mechanism::Login, initial, LIMIT);
        if initial.is_none() {
            assert_eq!(challenge(step), "VXNlcm5hbWU6");
            step = exchange.receive(b"YWxpY2U=", false);
        }
        assert_eq!(challenge(step), "UGFzc3dvcmQ6");
        assert_eq!(password(exchange.receive(b"c2VjcmV0", false)), (None, "alice".into(), "secret".into()));
    }
    for bad in ["", "YWwAaWNl"] {
        let (mut exchange, _) = ServerExchange::start(Mechanism::Login, None, LIMIT);
        assert!(is_malformed(&exchange.receive(bad.as_bytes(), false)));
    }
    for bad in ["", "c2UAYw=="] {
        let (mut exchange, _) = ServerExchange::start(Mechanism::Login, Some(b"YWxpY2U="), LIMIT);
        assert!(is_malformed(&exchange.receive(bad.as_bytes(), false)));
    }
}

#[test]
fn a_nul_cannot_shift_the_parts_of_a_plain_response() {
    let secret = Secret::copy_of(b"secret");
    for (authzid, authcid) in [("victim\0proxy", "x"), ("", "a\0b")] {
        assert!(plain_response(authzid, authcid, &secret).is_empty());
    }
    assert!(plain_response("", "a", &Secret::copy_of(b"b\0c")).is_empty());
}

#[test]
fn an_exchange_shows_no_credential_when_it_is_printed() {
    let (exchange, step) = start(Mechanism::Plain, b"\0alice\0hunter2");
    assert!(!format!("{exchange:?}{step:?}").contains("hunter2"));
    let (exchange, step) = start(Mechanism::XOAuth2, b"user=a\x01auth=Bearer hunter2\x01\x01");
    assert!(!format!("{exchange:?}{step:?}").contains("hunter2"));
}

proptest! {
    #[test]
    fn no_octets_make_an_exchange_panic(
        mechanism in proptest::sample::select(Mechanism::ALL.to_vec()),
        lines in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..80), any::<bool>(), any::<bool>()), 1..5),
    ) {
        let (mut exchange, _) = ServerExchange::start(mechanism, None, 64);
        for (line, encode, too_long) in lines {
            let line = if encode { STANDARD.encode(line).into_bytes() } else { line };
            let _ = ServerExchange::start(mechanism, Some(&line), 64);
            if matches!(exchange.receive(&line, too_long), SaslStep::Attempt(_)) {
                let _ = exchange.refuse(refusal(RefusalKind::InvalidToken));
            }
        }
    }

    #[test]
    fn any_message_between_the_separators_is_read_or_refused(middle in "[nyF,a=2CDcd\u{1}auth=Ber tok]{0,60}") {
        let (_, step) = start(Mechanism::OAuthBearer, format!("n,a={middle}\u{1}\u{1}").as_bytes());
        let known = matches!(step, SaslStep::Attempt(Credentials::Bearer { .. }) | SaslStep::Challenge(_));
        prop_assert!(known);
    }

    #[test]
    fn an_escaped_identity_comes_back_as_it_was(name in "[^\\p{Cc}]{1,60}", token in "[A-Za-z0-9._~+/-]{1,60}={0,2}") {
        let wire = oauthbearer_response(Some(&name), &Secret::copy_of(token.as_bytes()));
        let (_, step) = ServerExchange::start(Mechanism::OAuthBearer, Some(wire.expose()), LIMIT);
        prop_assert_eq!(bearer(step), (Some(name), token));
    }

    #[test]
    fn a_plain_response_comes_back_as_it_was(authzid in "[^\\p{Cc}]{0,40}", login in "[^\\p{Cc}]{1,40}", secret in "[^\0]{1,40}") {
        let wire = plain_response(&authzid, &login, &Secret::copy_of(secret.as_bytes()));
        let (_, step) = ServerExchange::start(Mechanism::Plain, Some(wire.expose()), LIMIT);
        let authzid = (!authzid.is_empty()).then_some(authzid);
        prop_assert_eq!(password(step), (authzid, login, secret));
    }
}
