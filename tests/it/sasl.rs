#![allow(clippy::wildcard_enum_match_arm, reason = "the arm is a failure")]

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bearward::{
    model::{Mechanism, SessionId},
    proto::{
        Credentials, Refusal, RefusalKind,
        sasl::{SaslStep, ServerExchange},
    },
};

const LIMIT: usize = 16 * 1024;

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
fn challenge(step: SaslStep) -> String {
    match step {
        SaslStep::Challenge(text) => text,
        other => panic!("no challenge: {other:?}"),
    }
}

fn id(name: &str) -> Option<String> {
    Some(name.to_owned())
}

#[test]
fn the_rfc_7628_example_is_read() {
    let vector = b"bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9MTQzAWF1dGg9QmVhcmVyIHZGOWRmdDRxbVRjMk52YjNSbGNrQmhiSFJoZG1semRHRXVZMjl0Q2c9PQEB";
    let (_, step) = ServerExchange::start(Mechanism::OAuthBearer, Some(vector), LIMIT);
    assert_eq!(bearer(step), (id("user@example.com"), "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==".into()));
}

#[test]
fn the_rfc_7628_probe_is_answered_with_the_rfc_7628_challenge() {
    let vector = b"bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9MTQzAWF1dGg9AQE=";
    let (mut exchange, step) = ServerExchange::start(Mechanism::OAuthBearer, Some(vector), LIMIT);
    assert_eq!(bearer(step), (id("user@example.com"), String::new()));
    assert_eq!(
        challenge(exchange.refuse(refusal(RefusalKind::InvalidToken))),
        "eyJzdGF0dXMiOiJpbnZhbGlkX3Rva2VuIiwic2NvcGUiOiJleGFtcGxlX3Njb3BlIiwib3BlbmlkLWNvbmZpZ3VyYXRpb24iOiJodHRwczovL2V4YW1wbGUuY29tLy53ZWxsLWtub3duL29wZW5pZC1jb25maWcifQ=="
    );
}

#[test]
fn the_published_xoauth2_example_is_read() {
    let vector = b"dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB5YTI5LnZGOWRmdDRxbVRjMk52YjNSbGNrQmhkSFJoZG1semRHRXVZMjl0Q2cBAQ==";
    let (_, step) = ServerExchange::start(Mechanism::XOAuth2, Some(vector), LIMIT);
    assert_eq!(
        bearer(step),
        (id("someuser@example.com"), "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg".into())
    );
}

#[test]
fn an_escaped_identity_and_a_lower_case_scheme_are_read() {
    let vector = b"bixhPWE9MkNiPTNEY0BleGFtcGxlLmNvbSwBYXV0aD1iZWFyZXIgdG9rAQE=";
    let (_, step) = ServerExchange::start(Mechanism::OAuthBearer, Some(vector), LIMIT);
    assert_eq!(bearer(step), (id("a,b=c@example.com"), "tok".into()));
    let (_, step) = start(Mechanism::OAuthBearer, b"n,a=a=2cb=3dc,\x01auth=Bearer tok\x01\x01");
    assert_eq!(bearer(step).0, id("a,b=c"));
}
