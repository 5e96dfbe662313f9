//! A token of the mail server's issuer for the one that was presented (RFC 8693).

use super::{accepted, needs_operator, scene, temporary};
use crate::support::{ALICE, Act, Serve, Upstream, base64, send, until};

fn http(status: &str, body: &str) -> Vec<Act> {
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    vec![until("\r\n\r\n"), until("subject_token="), send(&answer), Act::Close]
}

fn given(token: &str) -> Vec<Act> {
    http("200 OK", &format!(r#"{{"access_token":"{token}","token_type":"Bearer","expires_in":300}}"#))
}

/// An IMAP server that takes tokens, and an issuer beside it.
fn house(answer: Vec<Act>) -> (Upstream, Upstream, Serve) {
    let issuer = Upstream::start(answer);
    let more = format!(
        "login = \"bearer\"\n[backend.main.bearer]\nurl = \"http://127.0.0.1:{}/token\"\nclient_id = \"bear\"\n\
         client_secret = \"hush\"\naudience = \"mail\"\n",
        issuer.port()
    );
    let (upstream, serve) = scene("imap", &more, mail("L OK [CAPABILITY IMAP4rev1] in\r\n"));
    (issuer, upstream, serve)
}

fn mail(answer: &str) -> Vec<Act> {
    vec![
        send("* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=XOAUTH2] hello\r\n"),
        until("L AUTHENTICATE XOAUTH2 "),
        until("\r\n"),
        send(answer),
    ]
}

fn response(token: &str) -> String {
    base64(format!("user={ALICE}\x01auth=Bearer {token}\x01\x01"))
}

#[test]
fn an_exchanged_token_is_sent_and_kept_for_the_sessions_that_follow() {
    let (issuer, upstream, serve) = house(given("other.token"));
    let token = serve.token(ALICE);
    for _ in 0..3 {
        serve.sign_in("imap", &token, "NOOP\r\n").until(accepted("imap"));
        let text = upstream.got("NOOP\r\n").text();
        assert_eq!(text, format!("L AUTHENTICATE XOAUTH2 {}\r\nNOOP\r\n", response("other.token")));
    }
    assert_eq!(issuer.connections(), 1);
    let request = issuer.got("subject_token=").text();
    assert!(request.starts_with("POST /token HTTP/1.1\r\n"), "{request}");
    for part in [
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange",
        &format!("subject_token={token}"),
        "audience=mail",
        &format!("Basic {}", base64("bear:hush")),
    ] {
        assert!(request.contains(part), "{part} is missing in {request}");
    }
    let log = serve.log();
    assert!(!log.contains("other.token") && !log.contains("hush"), "{log}");
}

#[test]
fn a_failed_exchange_is_blamed_on_whom_it_concerns_and_reaches_no_server() {
    for (answer, expected) in [
        (http("400 Bad Request", r#"{"error":"invalid_grant"}"#), "+ "),
        (http("401 Unauthorized", r#"{"error":"invalid_client"}"#), needs_operator("imap")),
        (http("503 Service Unavailable", "{}"), temporary("imap")),
        (vec![Act::Close], temporary("imap")),
        (given("not a token"), needs_operator("imap")),
    ] {
        let (_issuer, upstream, serve) = house(answer);
        let token = serve.token(ALICE);
        let before = upstream.connections();
        serve.sign_in("imap", &token, "").expect(expected);
        assert_eq!(upstream.connections(), before, "{expected}");
    }
}

#[test]
fn an_exchanged_token_that_the_server_refuses_is_fetched_anew() {
    let (issuer, upstream, serve) = house(given("first"));
    let token = serve.token(ALICE);
    upstream.play(mail("L NO [AUTHENTICATIONFAILED] no\r\n"));
    serve.sign_in("imap", &token, "").expect(needs_operator("imap"));
    issuer.play(given("second"));
    upstream.play(mail("L OK [CAPABILITY IMAP4rev1] in\r\n"));
    serve.sign_in("imap", &token, "NOOP\r\n").until(accepted("imap"));
    assert!(upstream.got("NOOP\r\n").text().contains(&response("second")));
}
