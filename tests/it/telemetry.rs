//! The metrics endpoint over a real loopback connection.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bearward::{
    model::{Mechanism, Outcome, Protocol, SessionId},
    telemetry::{Direction, Front, Grant, Metrics, SignIn, TlsVersion, serve_metrics},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

async fn start(metrics: Metrics, ready: Arc<AtomicBool>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve_metrics(listener, Arc::new(metrics), move || ready.load(Ordering::Relaxed)));
    address
}

async fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(Duration::from_secs(5), stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    answer
}

async fn get(address: SocketAddr, path: &str) -> String {
    ask(address, &format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).await
}

fn busy_metrics() -> Metrics {
    let metrics = Metrics::new();
    std::mem::forget(metrics.connection_opened(Front::Https));
    std::mem::forget(metrics.session_opened(Protocol::Smtp));
    metrics.relayed(Protocol::Imap, Direction::ToClient, 1 << 40);
    metrics.validations("https://mail.example.org").count(Outcome::Ok, false);
    metrics.backend_up(&"main".into(), Protocol::Imap, true);
    metrics.token_issued(Grant::Operator);
    metrics.tls_handshake(TlsVersion::Tls13, true);
    metrics.sign_in(&SignIn {
        session: SessionId::new(1),
        protocol: Protocol::Imap,
        mechanism: Some(Mechanism::OAuthBearer),
        user: None,
        client_id: None,
        issuer: None,
        backend: None,
        client_ip: "::1".parse().unwrap(),
        outcome: Outcome::Ok,
        duration: Duration::from_millis(3),
        detail: None,
    });
    metrics
}

#[tokio::test]
async fn metrics_are_prometheus_text_with_the_documented_names() {
    let address = start(busy_metrics(), Arc::new(AtomicBool::new(true))).await;
    let answer = get(address, "/metrics").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"));
    assert!(answer.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{answer}");
    for line in [
        r#"bearward_connections{protocol="https"} 1"#,
        r#"bearward_sessions{protocol="smtp"} 1"#,
        r#"bearward_sign_ins_total{protocol="imap",mechanism="OAUTHBEARER",outcome="ok"} 1"#,
        "bearward_sign_in_seconds_count 1",
        r#"bearward_sign_in_seconds_bucket{le="0.0025"} 0"#,
        r#"bearward_sign_in_seconds_bucket{le="0.005"} 1"#,
        r#"bearward_relay_bytes_total{protocol="imap",direction="to_client"} 1099511627776"#,
        r#"bearward_token_validations_total{issuer="https://mail.example.org",result="ok",cached="false"} 1"#,
        r#"bearward_backend_up{backend="main",protocol="imap"} 1"#,
        r#"bearward_tokens_issued_total{grant="operator"} 1"#,
        r#"bearward_tls_handshakes_total{version="1.3",resumed="true"} 1"#,
    ] {
        assert!(answer.lines().any(|own| own == line), "{line} is not in\n{answer}");
    }
}

#[tokio::test]
async fn readiness_follows_the_process_and_health_does_not() {
    let ready = Arc::new(AtomicBool::new(false));
    let address = start(Metrics::new(), Arc::clone(&ready)).await;
    assert!(get(address, "/healthz").await.starts_with("HTTP/1.1 200 OK\r\n"));
    assert!(get(address, "/readyz").await.starts_with("HTTP/1.1 503 Service Unavailable\r\n"));
    ready.store(true, Ordering::Relaxed);
    assert!(get(address, "/readyz").await.starts_with("HTTP/1.1 200 OK\r\n"));
}

#[tokio::test]
async fn anything_but_reading_what_is_there_is_refused() {
    let address = start(Metrics::new(), Arc::new(AtomicBool::new(true))).await;
    assert!(get(address, "/secret").await.starts_with("HTTP/1.1 404 Not Found\r\n"));
    let post = "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    assert!(ask(address, post).await.starts_with("HTTP/1.1 405 Method Not Allowed\r\n"));
}

#[tokio::test]
async fn a_head_that_does_not_end_is_cut_off() {
    let address = start(Metrics::new(), Arc::new(AtomicBool::new(true))).await;
    let endless = format!("GET /metrics HTTP/1.1\r\nX: {}", "x".repeat(64 * 1024));
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The peer may reset while this is still being written; either way it must not be kept.
    let _ = stream.write_all(endless.as_bytes()).await;
    let mut answer = Vec::new();
    let read = timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await.unwrap();
    assert!(read.is_err() || answer.starts_with(b"HTTP/1.1 431 "), "{answer:?}");
}
