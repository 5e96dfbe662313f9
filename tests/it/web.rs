//! What the HTTPS listener answers, by calling the router and over an in-memory connection.

use std::time::Duration;

use axum::{
    Router,
    body::Body,
    http::{Method, Request, Response, StatusCode},
};
use bearward::{
    model::{Mechanism, Protocol},
    web::{self, Documents, Endpoint, Security, Site, Timeouts},
};
use http_body_util::BodyExt;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

const METADATA: [&str; 3] = [
    "/.well-known/oauth-authorization-server",
    "/.well-known/openid-configuration",
    "/.well-known/oauth-protected-resource",
];

fn documents() -> Documents {
    Documents {
        metadata: json!({"issuer": "https://mail.example.org"}),
        protected_resource: json!({"resource": "https://mail.example.org"}),
        keys: json!({"keys": []}),
        keys_path: "/oauth/jwks".to_owned(),
    }
}

fn site_with(documents: Option<Documents>) -> Router {
    web::router(Site {
        hostname: "mail.example.org".into(),
        documents,
        endpoints: vec![Endpoint {
            protocol: Protocol::Imap,
            port: 993,
            security: Security::Tls,
            mechanisms: vec![Mechanism::OAuthBearer],
        }],
    })
}

fn site() -> Router {
    site_with(Some(documents()))
}

async fn call(router: Router, method: Method, path: &str) -> (Response<()>, String) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("origin", "https://elsewhere.example")
        .body(Body::empty())
        .unwrap();
    let (head, body) = router.oneshot(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (Response::from_parts(head, ()), String::from_utf8(body.to_vec()).unwrap())
}

fn header<'a>(response: &'a Response<()>, name: &str) -> Option<&'a str> {
    response.headers().get(name).map(|value| value.to_str().unwrap())
}

#[tokio::test]
async fn each_document_is_json_that_every_origin_may_read() {
    for path in METADATA {
        let (response, body) = call(site(), Method::GET, path).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(header(&response, "content-type"), Some("application/json"));
        assert_eq!(header(&response, "access-control-allow-origin"), Some("*"));
        assert_eq!(header(&response, "cache-control"), Some("public, max-age=3600"));
        let member = if path.ends_with("resource") { "resource" } else { "issuer" };
        assert_eq!(serde_json::from_str::<Value>(&body).unwrap()[member], "https://mail.example.org");
    }
    let (response, body) = call(site(), Method::GET, "/oauth/jwks").await;
    assert_eq!(header(&response, "access-control-allow-origin"), Some("*"));
    assert_eq!(header(&response, "cache-control"), Some("public, max-age=300"));
    assert_eq!(body, r#"{"keys":[]}"#);
}

#[tokio::test]
async fn a_browser_may_ask_before_a_script_reads_a_document() {
    let (response, _) = call(site(), Method::OPTIONS, METADATA[0]).await;
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    assert_eq!(header(&response, "access-control-allow-origin"), Some("*"));
    assert_eq!(header(&response, "access-control-allow-methods"), Some("GET, HEAD"));
}

#[tokio::test]
async fn no_other_origin_may_read_a_page() {
    for (method, path) in [(Method::GET, "/"), (Method::OPTIONS, "/"), (Method::GET, "/nothing")] {
        let (response, _) = call(site(), method, path).await;
        assert_eq!(header(&response, "access-control-allow-origin"), None, "{path}");
    }
}

#[tokio::test]
async fn without_an_issuer_there_are_no_documents() {
    for path in METADATA {
        let (response, _) = call(site_with(None), Method::GET, path).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
    }
    let (_, page) = call(site_with(None), Method::GET, "/").await;
    assert!(!page.contains("metadata"));
}

#[tokio::test]
async fn the_page_names_the_settings_and_runs_no_script() {
    let (response, body) = call(site(), Method::GET, "/").await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(header(&response, "content-type"), Some("text/html; charset=utf-8"));
    assert!(body.contains("<td>993</td><td>TLS</td><td>OAUTHBEARER</td>"), "{body}");
    for forbidden in ["<script", "http://", "style=", "onload"] {
        assert!(!body.contains(forbidden), "{forbidden}");
    }
    let (style, _) = call(site(), Method::GET, "/style.css").await;
    assert_eq!(header(&style, "content-type"), Some("text/css; charset=utf-8"));
}

#[tokio::test]
async fn every_answer_carries_the_security_headers() {
    for (method, path) in [
        (Method::GET, "/"),
        (Method::GET, METADATA[0]),
        (Method::OPTIONS, METADATA[0]),
        (Method::GET, "/../../etc/passwd"),
        (Method::POST, "/"),
        (Method::DELETE, "/oauth/jwks"),
    ] {
        let (response, _) = call(site(), method.clone(), path).await;
        let policy = header(&response, "content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none';") && policy.contains("frame-ancestors 'none'"));
        assert_eq!(header(&response, "x-content-type-options"), Some("nosniff"));
        assert_eq!(header(&response, "referrer-policy"), Some("no-referrer"));
        assert!(header(&response, "cache-control").is_some(), "{method} {path}");
    }
}

#[tokio::test]
async fn what_is_not_here_and_what_is_not_allowed_are_told_apart() {
    let (response, body) = call(site(), Method::GET, "/token").await;
    assert_eq!((response.status(), body.as_str()), (StatusCode::NOT_FOUND, "Not Found\n"));
    let (response, _) = call(site(), Method::POST, METADATA[0]).await;
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    let (response, body) = call(site(), Method::HEAD, METADATA[0]).await;
    assert_eq!((response.status(), body.as_str()), (StatusCode::OK, ""));
}

const SHORT: Timeouts = Timeouts {
    head: Duration::from_millis(100),
    lifetime: Duration::from_millis(400),
    grace: Duration::from_millis(100),
};

fn connect(router: Router, stop: CancellationToken, timeouts: Timeouts) -> DuplexStream {
    let (client, server) = tokio::io::duplex(64 * 1024);
    tokio::spawn(web::serve_connection_with(server, router, stop, timeouts));
    client
}

async fn read_all(stream: &mut DuplexStream) -> String {
    let mut octets = Vec::new();
    let read = timeout(Duration::from_secs(5), stream.read_to_end(&mut octets)).await;
    read.expect("the server closes").unwrap();
    String::from_utf8(octets).unwrap()
}

#[tokio::test]
async fn http_1_is_spoken_even_when_it_arrives_octet_by_octet() {
    let mut client = connect(site(), CancellationToken::new(), Timeouts::default());
    for octet in b"GET /oauth/jwks HTTP/1.1\r\nHost: mail.example.org\r\nConnection: close\r\n\r\n" {
        client.write_all(&[*octet]).await.unwrap();
        tokio::task::yield_now().await;
    }
    let answer = read_all(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n{\"keys\":[]}"), "{answer}");
}

#[tokio::test]
async fn http_2_is_spoken() {
    let client = connect(site(), CancellationToken::new(), Timeouts::default());
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(client)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get("https://mail.example.org/oauth/jwks").body(Body::empty()).unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), r#"{"keys":[]}"#);
}

#[tokio::test]
async fn a_silent_client_is_closed() {
    let mut client = connect(site(), CancellationToken::new(), SHORT);
    assert_eq!(read_all(&mut client).await, "");
}

#[tokio::test]
async fn a_head_that_never_ends_is_closed() {
    for start in ["GET / HTTP/1.1\r\nHost:", "PRI * HT"] {
        let mut client = connect(site(), CancellationToken::new(), SHORT);
        client.write_all(start.as_bytes()).await.unwrap();
        let answer = read_all(&mut client).await;
        assert!(!answer.contains("200"), "{answer}");
    }
}

#[tokio::test]
async fn too_many_headers_and_too_long_ones_are_refused() {
    let many: String = (0..100).map(|number| format!("X-{number}: y\r\n")).collect();
    let long = format!("X: {}\r\n", "y".repeat(30 * 1024));
    for headers in [many, long] {
        let mut client = connect(site(), CancellationToken::new(), Timeouts::default());
        let request = format!("GET / HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
        let answer = read_all(&mut client).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
}

#[tokio::test]
async fn a_stop_closes_an_idle_connection_at_once() {
    let stop = CancellationToken::new();
    let mut client = connect(site(), stop.clone(), Timeouts::default());
    client.write_all(b"GET /oauth/jwks HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut first = [0; 16];
    client.read_exact(&mut first).await.unwrap();
    stop.cancel();
    read_all(&mut client).await;
}
