//! What one client can take of the HTTPS listener: size, time, places.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode},
};
use bearward::{
    issuer::Caller,
    validator::{self, ServerKey, Validator},
    web::{self, Limits, Site, Timeouts},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    store::sqlite,
    web::{ADDRESS, Answer, Web, caller, send, site},
};

const FORM: &str = "application/x-www-form-urlencoded";

fn post(path: &str, content_type: &str, body: impl Into<Body>) -> Request<Body> {
    Request::post(path).header("content-type", content_type).body(body.into()).unwrap()
}

/// Something that no client is refused for but this: no `grant_type` at all.
fn small() -> Request<Body> {
    post("/oauth/introspect", "text/plain", "")
}

fn connect(router: Router) -> DuplexStream {
    let (client, server) = tokio::io::duplex(256 * 1024);
    let caller = Caller { address: ADDRESS.parse().unwrap(), certificate: None };
    let stop = CancellationToken::new();
    tokio::spawn(web::serve_connection_with(server, router, caller, stop, Timeouts::default()));
    client
}

async fn stalled(web: &Web) -> DuplexStream {
    stalled_at(web.router.clone(), "/oauth/token").await
}

/// A connection with a request whose body does not come.
async fn stalled_at(router: Router, path: &str) -> DuplexStream {
    let mut client = connect(router);
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: mail.example.org\r\nContent-Type: {FORM}\r\nContent-Length: 10\r\n\r\na"
    );
    client.write_all(head.as_bytes()).await.unwrap();
    // The server is on this very thread: after these it waits for the body.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    client
}

async fn read_all(stream: &mut DuplexStream) -> String {
    let mut octets = Vec::new();
    let read = timeout(Duration::from_secs(5), stream.read_to_end(&mut octets)).await;
    read.expect("the server closes").unwrap();
    String::from_utf8(octets).unwrap()
}

/// Sends the same until it gets this status.
async fn until(web: &Web, request: impl Fn() -> Request<Body>, status: StatusCode) -> Answer {
    until_at(&web.router, request, status).await
}

async fn until_at(router: &Router, request: impl Fn() -> Request<Body>, status: StatusCode) -> Answer {
    for _ in 0..200 {
        let answer = send(router.clone(), request()).await;
        if answer.status == status {
            return answer;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("never {status}");
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_before_it_is_read() {
    let web = Web::new().await;
    let form = format!("a={}", "b".repeat(64 * 1024));
    let document = format!("{{\"client_name\":\"{}\"}}", "b".repeat(16 * 1024));
    for (path, content_type, body, code) in [
        ("/oauth/token", FORM, &form, "invalid_request"),
        ("/oauth/revoke", FORM, &form, "invalid_request"),
        ("/oauth/introspect", FORM, &form, "invalid_request"),
        ("/oauth/device_authorization", FORM, &form, "invalid_request"),
        ("/oauth/par", FORM, &form, "invalid_request"),
        ("/oauth/userinfo", FORM, &form, "invalid_request"),
        ("/oauth/register", "application/json", &document, "invalid_client_metadata"),
    ] {
        let answer = web.send(post(path, content_type, body.clone())).await;
        assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE, "{path}");
        assert_eq!(answer.json()["error"], code, "{path}");
    }
    for path in ["/oauth/authorize", "/oauth/sign-in", "/oauth/consent", "/device"] {
        let answer = web.send(post(path, FORM, form.clone())).await;
        assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE, "{path}");
        assert!(answer.header("content-type").unwrap().starts_with("text/html"), "{path}");
    }
}

#[tokio::test]
async fn a_body_that_does_not_say_how_long_it_is_ends_at_the_limit() {
    let web = Web::new().await;
    let mut client = connect(web.router.clone());
    let head = format!(
        "POST /oauth/token HTTP/1.1\r\nHost: mail.example.org\r\nContent-Type: {FORM}\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    client.write_all(head.as_bytes()).await.unwrap();
    let chunk = format!("1000\r\n{}\r\n", "a".repeat(0x1000));
    for _ in 0..17 {
        client.write_all(chunk.as_bytes()).await.unwrap();
    }
    let answer = read_all(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("\"error\":\"invalid_request\""), "{answer}");
}

#[tokio::test]
async fn a_body_that_stops_coming_is_not_waited_for() {
    let web = Web::with(Limits { body: Duration::from_millis(100), ..Limits::default() }, |_| ()).await;
    let answer = read_all(&mut stalled(&web).await).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("connection: close\r\n"), "{answer}");
}

#[tokio::test]
async fn a_body_that_trickles_is_not_waited_for_either() {
    let web = Web::with(Limits { body: Duration::from_millis(300), ..Limits::default() }, |_| ()).await;
    let mut client = connect(web.router.clone());
    let head = format!(
        "POST /oauth/token HTTP/1.1\r\nHost: x\r\nContent-Type: {FORM}\r\nContent-Length: 1000\r\n\r\n"
    );
    client.write_all(head.as_bytes()).await.unwrap();
    let (mut reader, mut writer) = tokio::io::split(client);
    let trickle = tokio::spawn(async move {
        while writer.write_all(b"a").await.is_ok() {
            sleep(Duration::from_millis(20)).await;
        }
    });
    let mut start = [0; 13];
    timeout(Duration::from_secs(5), reader.read_exact(&mut start)).await.unwrap().unwrap();
    assert_eq!(&start, b"HTTP/1.1 408 ");
    trickle.abort();
}

#[tokio::test]
async fn a_request_has_its_time() {
    let web = Web::with(Limits { request: Duration::from_millis(100), ..Limits::default() }, |_| ()).await;
    let mut client = stalled(&web).await;
    let mut answer = [0; 512];
    let length = timeout(Duration::from_secs(5), client.read(&mut answer)).await.unwrap().unwrap();
    let answer = std::str::from_utf8(&answer[..length]).unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("retry-after: 5\r\n"), "{answer}");
}

#[tokio::test]
async fn one_address_cannot_take_every_place() {
    let web = Web::with(Limits { per_address: 1, ..Limits::default() }, |_| ()).await;
    let stalled = stalled(&web).await;
    // What a client says of its address does not count.
    let disguised = || {
        let mut request = small();
        for name in ["x-forwarded-for", "forwarded", "x-real-ip"] {
            request.headers_mut().insert(name, "198.51.100.1".parse().unwrap());
        }
        request
    };
    let refused = until(&web, disguised, StatusCode::TOO_MANY_REQUESTS).await;
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(refused.json()["error"], "temporarily_unavailable");
    let page = web.send(post("/oauth/sign-in", FORM, "")).await;
    assert_eq!(page.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(page.header("content-type").unwrap().starts_with("text/html"));
    // Published documents are free, and so is the way of another address.
    let mut other = small();
    other.extensions_mut().insert(caller("192.0.2.2"));
    assert_eq!(web.send(other).await.status, StatusCode::BAD_REQUEST);
    let keys = Request::get("/oauth/jwks").body(Body::empty()).unwrap();
    assert_eq!(web.send(keys).await.status, StatusCode::OK);
    // The place comes back when its holder is gone.
    drop(stalled);
    until(&web, small, StatusCode::BAD_REQUEST).await;
}

#[tokio::test]
async fn all_addresses_together_have_only_so_many_places() {
    let web = Web::with(Limits { requests: 1, ..Limits::default() }, |_| ()).await;
    let stalled = stalled(&web).await;
    let other = || {
        let mut request = small();
        request.extensions_mut().insert(caller("2001:db8::1"));
        request
    };
    let refused = until(&web, other, StatusCode::SERVICE_UNAVAILABLE).await;
    assert_eq!(refused.header("retry-after"), Some("1"));
    drop(stalled);
    until(&web, other, StatusCode::BAD_REQUEST).await;
}

/// Anybody may send one, and each may cost a look at an issuer's keys: nobody waits for a place.
#[tokio::test]
async fn logout_tokens_have_a_few_places_of_their_own() {
    const PATH: &str = "/oauth/backchannel-logout";
    let folder = tempfile::tempdir().unwrap();
    let config = validator::Config {
        issuer: "https://mail.example.org".into(),
        audience: "https://mail.example.org".into(),
        cache_entries: 10,
    };
    let validator = Validator::new(&config, sqlite(folder.path()).await, ServerKey::generate().unwrap());
    let router = web::router(Site { sign_outs: Some(Arc::new(validator)), ..site(None, Limits::default()) });
    let logout = || {
        let mut request = post(PATH, FORM, "logout_token=x");
        request.extensions_mut().insert(caller("2001:db8::1"));
        request
    };
    let mut held = Vec::new();
    for _ in 0..7 {
        held.push(stalled_at(router.clone(), PATH).await);
    }
    let answer =
        timeout(Duration::from_secs(5), send(router.clone(), logout())).await.expect("a place is left");
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    held.push(stalled_at(router.clone(), PATH).await);
    let refused = until_at(&router, logout, StatusCode::SERVICE_UNAVAILABLE);
    timeout(Duration::from_secs(5), refused).await.expect("nobody waits");
    let page = Request::get("/").body(Body::empty()).unwrap();
    assert_eq!(send(router.clone(), page).await.status, StatusCode::OK);
    drop(held);
    until_at(&router, logout, StatusCode::BAD_REQUEST).await;
}

#[tokio::test]
async fn without_an_address_nothing_is_answered() {
    let web = Web::new().await;
    let response = tower::ServiceExt::oneshot(web.router.clone(), small()).await.unwrap();
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let mut known = small();
    known.extensions_mut().insert(Arc::clone(&caller(ADDRESS)));
    let response = tower::ServiceExt::oneshot(web.router.clone(), known).await.unwrap();
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
}
