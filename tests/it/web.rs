//! What the HTTPS listener answers, by calling the router and over an in-memory connection.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Method, Request, StatusCode},
};
use bearward::{
    directory::{CheckError, PasswordCheck, SignInLog, Verified},
    issuer::{self, Caller, Issuer},
    model::{Login, Mechanism, Protocol, Secret, UnixTime},
    session::Registry,
    setup::{self, OAuth, Offer, Provider, Security, Service},
    telemetry::Metrics,
    token::ServerKey,
    web::{self, Limits, Site, Timeouts},
};
use http_body_util::BodyExt;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::hooked::Hooked;

const METADATA: [&str; 3] = [
    "/.well-known/oauth-authorization-server",
    "/.well-known/openid-configuration",
    "/.well-known/oauth-protected-resource",
];

/// An address of documentation, where clients of these tests are.
pub(crate) const ADDRESS: &str = "192.0.2.1";
pub(crate) const ALICE: &str = "alice@example.org";
/// Alice's password.
pub(crate) const RIGHT: &str = "correct horse";
/// A password that makes the directory panic, one that it is never done with, and one that takes it a while.
pub(crate) const PANIC: &str = "panic";
pub(crate) const HANG: &str = "hang";
pub(crate) const SLOW: &str = "slow";
/// How long that is.
pub(crate) const WHILE: Duration = Duration::from_millis(300);

/// A router with an issuer of its own behind it.
pub(crate) struct Web {
    pub(crate) router: Router,
    pub(crate) issuer: Arc<Issuer>,
    pub(crate) store: Arc<Hooked>,
    /// Passwords that the directory has begun to check, and those that it is done with.
    pub(crate) asked: Arc<AtomicU32>,
    pub(crate) answered: Arc<AtomicU32>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) sessions: Arc<Registry>,
    folder: tempfile::TempDir,
}

/// Knows Alice.
struct Directory {
    asked: Arc<AtomicU32>,
    answered: Arc<AtomicU32>,
}

#[async_trait]
impl PasswordCheck for Directory {
    async fn ask(&self, login: &Login, password: &Secret, _: IpAddr) -> Result<Verified, CheckError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        match password.expose_str() {
            Some(PANIC) => panic!("a directory with a fault"),
            Some(HANG) => std::future::pending().await,
            Some(SLOW) => tokio::time::sleep(WHILE).await,
            _ => {}
        }
        self.answered.fetch_add(1, Ordering::SeqCst);
        match (login.as_str(), password.expose_str()) {
            (ALICE, Some(RIGHT)) => Ok(Verified::default()),
            _ => Err(CheckError::Wrong),
        }
    }
}

impl Web {
    pub(crate) async fn new() -> Self {
        Self::with(Limits::default(), |_| ()).await
    }

    pub(crate) async fn with(limits: Limits, change: impl FnOnce(&mut issuer::Config)) -> Self {
        Self::with_issuer(limits, change, |issuer, directory| issuer.with_directory(directory)).await
    }

    /// With an issuer that `finish` makes ready: it gets the directory that knows Alice.
    pub(crate) async fn with_issuer(
        limits: Limits,
        change: impl FnOnce(&mut issuer::Config),
        finish: impl FnOnce(Issuer, Arc<dyn PasswordCheck>) -> Issuer,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Hooked::over(folder.path()).await);
        Self::over(folder, store, (limits, change), finish).await
    }

    async fn over(
        folder: tempfile::TempDir,
        store: Arc<Hooked>,
        (limits, change): (Limits, impl FnOnce(&mut issuer::Config)),
        finish: impl FnOnce(Issuer, Arc<dyn PasswordCheck>) -> Issuer,
    ) -> Self {
        let mut config = issuer::Config::new("https://mail.example.org");
        config.sign_in.wrong_answer_step = Duration::ZERO;
        change(&mut config);
        let key = ServerKey::generate().unwrap();
        let (asked, answered) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let directory = Arc::new(Directory { asked: Arc::clone(&asked), answered: Arc::clone(&answered) });
        let issuer = Issuer::new(config, store.clone(), key, UnixTime::now()).await.unwrap();
        let issuer = Arc::new(finish(issuer, directory));
        let site = site(Some(Arc::clone(&issuer)), limits);
        let (metrics, sessions) = (Arc::clone(&site.metrics), Arc::clone(&site.sessions));
        Self { router: web::router(site), issuer, store, asked, answered, metrics, sessions, folder }
    }

    /// With a history of sign-ins.
    pub(crate) async fn with_log(limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Hooked::over(folder.path()).await);
        let log = SignInLog::start(store.clone());
        let finish = |issuer: Issuer, directory| issuer.with_directory(directory).with_sign_in_log(log);
        Self::over(folder, store, (limits, |_: &mut issuer::Config| ()), finish).await
    }

    /// All files of the store, but the one that only says who reads now.
    pub(crate) fn stored(&self) -> Vec<u8> {
        let files = std::fs::read_dir(self.folder.path()).unwrap().map(|file| file.unwrap().path());
        let files = files.filter(|file| !file.to_string_lossy().ends_with("-shm"));
        files.flat_map(|file| std::fs::read(file).unwrap_or_default()).collect()
    }

    /// Sends a request, from [`ADDRESS`] unless it says otherwise.
    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        send(self.router.clone(), request).await
    }
}

/// What a server with these mechanisms offers, IMAP and submission by implicit TLS.
pub(crate) fn offer(mechanisms: &[Mechanism]) -> Offer {
    let service = |protocol, port| Service {
        protocol,
        host: "mail.example.org".into(),
        port,
        security: Security::Tls,
        mechanisms: mechanisms.to_vec(),
    };
    let url = |path: &str| -> Arc<str> { format!("https://mail.example.org{path}").into() };
    Offer {
        hostname: "mail.example.org".into(),
        site: Some(setup::Site { host: "mail.example.org".into(), port: 443 }),
        provider: Provider { name: "Example & Söhne <Mail>".into(), short_name: "Example".into() },
        domains: vec!["example.org".into(), "example.net".into()],
        services: vec![service(Protocol::Imap, 993), service(Protocol::Smtp, 465)],
        oauth: Some(OAuth {
            issuer: url(""),
            authorization_endpoint: url("/oauth/authorize"),
            token_endpoint: url("/oauth/token"),
            device_authorization_endpoint: Some(url("/oauth/device_authorization")),
            scope: "urn:ietf:params:oauth:scope:mail".into(),
            client_id: "open".into(),
            is_public: true,
        }),
    }
}

pub(crate) fn site(issuer: Option<Arc<Issuer>>, limits: Limits) -> Site {
    let mut setup = offer(&[Mechanism::OAuthBearer]);
    setup.oauth = setup.oauth.filter(|_| issuer.is_some());
    Site {
        sign_outs: None,
        hostname: "mail.example.org".into(),
        issuer,
        trusted: Vec::new(),
        setup: Arc::new(setup),
        sessions: Arc::default(),
        limits,
        metrics: Arc::default(),
    }
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.body))
    }
}

pub(crate) fn caller(address: &str) -> Arc<Caller> {
    Arc::new(Caller { address: address.parse().unwrap(), certificate: None })
}

pub(crate) async fn send(router: Router, mut request: Request<Body>) -> Answer {
    if request.extensions().get::<Arc<Caller>>().is_none() {
        request.extensions_mut().insert(caller(ADDRESS));
    }
    let (head, body) = router.oneshot(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer { status: head.status, headers: head.headers, body: String::from_utf8(body.to_vec()).unwrap() }
}

/// A request of a script on a page of another origin.
pub(crate) fn foreign(method: Method, path: &str) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri(path)
        .header("origin", "https://elsewhere.example")
        .body(Body::empty())
        .unwrap()
}

#[tokio::test]
async fn each_document_is_json_that_every_origin_may_read() {
    let web = Web::new().await;
    for path in METADATA {
        let answer = web.send(foreign(Method::GET, path)).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        assert_eq!(answer.header("cache-control"), Some("public, max-age=3600"));
        let member = if path.ends_with("resource") { "resource" } else { "issuer" };
        assert_eq!(answer.json()[member], "https://mail.example.org");
    }
    let answer = web.send(foreign(Method::GET, "/oauth/jwks")).await;
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert_eq!(answer.header("cache-control"), Some("public, max-age=300"));
    assert_eq!(answer.json(), serde_json::to_value(web.issuer.jwks(UnixTime::now())).unwrap());
}

#[tokio::test]
async fn every_address_in_the_metadata_answers() {
    let web = Web::new().await;
    let metadata = serde_json::to_value(web.issuer.metadata()).unwrap();
    let urls = metadata.as_object().unwrap().iter().filter(|(name, _)| {
        name.ends_with("_endpoint") || *name == "jwks_uri" || *name == "service_documentation"
    });
    let mut count = 0;
    for (name, url) in urls {
        let path = url.as_str().unwrap().strip_prefix("https://mail.example.org").unwrap();
        let answer = web.send(foreign(Method::PATCH, path)).await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{name}");
        assert!(answer.header("allow").is_some_and(|allow| !allow.is_empty()), "{name}");
        count += 1;
    }
    assert!(count >= 9, "{count}");
}

#[tokio::test]
async fn only_five_kinds_of_address_are_open_to_scripts_of_other_origins() {
    let web = Web::new().await;
    for (path, methods) in [
        (METADATA[0], "GET, HEAD"),
        (METADATA[1], "GET, HEAD"),
        (METADATA[2], "GET, HEAD"),
        ("/oauth/jwks", "GET, HEAD"),
        ("/oauth/token", "POST"),
        ("/oauth/revoke", "POST"),
        ("/oauth/register", "POST"),
        ("/oauth/register/abc", "GET, HEAD, PUT, DELETE"),
    ] {
        let answer = web.send(foreign(Method::OPTIONS, path)).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{path}");
        assert_eq!(answer.header("access-control-allow-methods"), Some(methods), "{path}");
        assert_eq!(answer.header("access-control-allow-headers"), Some("authorization, content-type"));
        assert_eq!(answer.header("access-control-allow-credentials"), None);
        let refused = web.send(foreign(Method::PATCH, path)).await;
        assert_eq!(refused.header("access-control-allow-origin"), Some("*"), "refusals too: {path}");
    }
    for path in [
        "/",
        "/style.css",
        "/nothing",
        "/device",
        "/oauth/authorize",
        "/oauth/sign-in",
        "/oauth/consent",
        "/oauth/introspect",
        "/oauth/userinfo",
        "/oauth/device_authorization",
        "/oauth/par",
    ] {
        for method in [Method::GET, Method::POST, Method::OPTIONS] {
            let answer = web.send(foreign(method.clone(), path)).await;
            let open = answer.headers.keys().find(|name| name.as_str().starts_with("access-control"));
            assert_eq!(open, None, "{method} {path}");
            assert_eq!(answer.header("cross-origin-resource-policy"), Some("same-origin"));
        }
    }
}

#[tokio::test]
async fn without_an_issuer_there_are_no_documents_and_no_endpoints() {
    let router = web::router(site(None, Limits::default()));
    for path in METADATA.into_iter().chain(["/oauth/token", "/oauth/authorize", "/device"]) {
        let answer = send(router.clone(), foreign(Method::GET, path)).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
    }
    let page = send(router, foreign(Method::GET, "/")).await;
    assert!(!page.body.contains("metadata") && !page.body.contains("/device"));
    let trusted = vec!["https://login.example.net".into()];
    let router = web::router(Site { trusted, ..site(None, Limits::default()) });
    let answer = send(router.clone(), foreign(Method::GET, "/.well-known/oauth-protected-resource")).await;
    assert!(
        answer.body.contains(r#""authorization_servers":["https://login.example.net"]"#),
        "{}",
        answer.body
    );
    let answer = send(router, foreign(Method::GET, "/.well-known/openid-configuration")).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_page_names_the_settings_and_runs_no_script() {
    let web = Web::new().await;
    let answer = web.send(foreign(Method::GET, "/")).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(answer.header("vary"), Some("Accept-Language, Cookie"));
    assert!(answer.body.contains("<td>993</td><td>TLS</td><td>OAUTHBEARER</td>"), "{}", answer.body);
    for forbidden in ["<script", "http://", "style=", "onload"] {
        assert!(!answer.body.contains(forbidden), "{forbidden}");
    }
    let style = web.send(foreign(Method::GET, "/style.css")).await;
    assert_eq!(style.header("content-type"), Some("text/css; charset=utf-8"));
    let mut german = foreign(Method::GET, "/");
    german.headers_mut().insert("accept-language", "de-AT,en;q=0.5".parse().unwrap());
    assert!(web.send(german).await.body.contains("<html lang=\"de\">"));
}

#[tokio::test]
async fn every_answer_carries_the_security_headers() {
    let web = Web::new().await;
    for (method, path) in [
        (Method::GET, "/"),
        (Method::GET, METADATA[0]),
        (Method::OPTIONS, METADATA[0]),
        (Method::GET, "/../../etc/passwd"),
        (Method::POST, "/"),
        (Method::DELETE, "/oauth/jwks"),
        (Method::GET, "/oauth/authorize"),
        (Method::POST, "/oauth/sign-in"),
        (Method::POST, "/oauth/consent"),
        (Method::POST, "/oauth/token"),
        (Method::GET, "/oauth/token"),
        (Method::POST, "/oauth/register"),
        (Method::GET, "/oauth/userinfo"),
        (Method::GET, "/device"),
        (Method::POST, "/device"),
    ] {
        let answer = web.send(foreign(method.clone(), path)).await;
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none';") && policy.contains("frame-ancestors 'none'"));
        assert!(policy.contains("base-uri 'none'") && policy.contains("form-action "));
        assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
            ("strict-transport-security", "max-age=31536000"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{method} {path}");
        }
        assert!(answer.header("permissions-policy").is_some());
        let is_published = answer.status.is_success() && (path == "/" || path == METADATA[0]);
        let cache = answer.header("cache-control").unwrap();
        assert_eq!(cache == "no-store", !is_published || method == Method::OPTIONS, "{method} {path}");
        assert_eq!(answer.header("pragma") == Some("no-cache"), cache == "no-store");
    }
}

#[tokio::test]
async fn a_development_machine_keeps_its_other_ports() {
    let hostname = "localhost".into();
    let router = web::router(Site { hostname, ..site(None, Limits::default()) });
    let answer = send(router, foreign(Method::GET, "/")).await;
    assert_eq!(answer.header("strict-transport-security"), None);
}

#[tokio::test]
async fn what_is_not_here_and_what_is_not_allowed_are_told_apart() {
    let web = Web::new().await;
    let answer = web.send(foreign(Method::GET, "/token")).await;
    assert_eq!((answer.status, answer.body.as_str()), (StatusCode::NOT_FOUND, "Not Found\n"));
    for (method, path, allow) in [
        (Method::POST, METADATA[0], "GET,HEAD,OPTIONS"),
        (Method::GET, "/oauth/token", "POST,OPTIONS"),
        (Method::GET, "/oauth/par", "POST"),
        (Method::GET, "/oauth/consent", "POST"),
        (Method::POST, "/oauth/register/abc", "GET,HEAD,PUT,DELETE,OPTIONS"),
        (Method::PUT, "/oauth/userinfo", "GET,HEAD,POST"),
        (Method::OPTIONS, "/device", "GET,HEAD,POST"),
    ] {
        let answer = web.send(foreign(method, path)).await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
        assert_eq!(answer.header("allow"), Some(allow), "{path}");
    }
    for path in [METADATA[0], "/oauth/jwks", "/device", "/"] {
        let answer = web.send(foreign(Method::HEAD, path)).await;
        assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, ""), "{path}");
    }
}

const SHORT: Timeouts = Timeouts {
    head: Duration::from_millis(100),
    lifetime: Duration::from_millis(400),
    grace: Duration::from_millis(100),
};

/// Without an issuer: the connection is what counts.
fn router() -> Router {
    web::router(site(None, Limits::default()))
}

fn connect(router: Router, stop: CancellationToken, timeouts: Timeouts) -> DuplexStream {
    let (client, server) = tokio::io::duplex(64 * 1024);
    let caller = Caller { address: ADDRESS.parse().unwrap(), certificate: None };
    tokio::spawn(web::serve_connection_with(server, router, caller, stop, timeouts));
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
    let mut client = connect(router(), CancellationToken::new(), Timeouts::default());
    for octet in b"GET /style.css HTTP/1.1\r\nHost: mail.example.org\r\nConnection: close\r\n\r\n" {
        client.write_all(&[*octet]).await.unwrap();
        tokio::task::yield_now().await;
    }
    let answer = read_all(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with("}\n"), "{answer}");
}

#[tokio::test]
async fn http_2_is_spoken() {
    let client = connect(router(), CancellationToken::new(), Timeouts::default());
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(client)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get("https://mail.example.org/style.css").body(Body::empty()).unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert!(!response.into_body().collect().await.unwrap().to_bytes().is_empty());
}

#[tokio::test]
async fn a_silent_client_is_closed() {
    let mut client = connect(router(), CancellationToken::new(), SHORT);
    assert_eq!(read_all(&mut client).await, "");
}

#[tokio::test]
async fn a_head_that_never_ends_is_closed() {
    for start in ["GET / HTTP/1.1\r\nHost:", "PRI * HT"] {
        let mut client = connect(router(), CancellationToken::new(), SHORT);
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
        let mut client = connect(router(), CancellationToken::new(), Timeouts::default());
        let request = format!("GET / HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
        let answer = read_all(&mut client).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
}

#[tokio::test]
async fn a_stop_closes_an_idle_connection_at_once() {
    let stop = CancellationToken::new();
    let mut client = connect(router(), stop.clone(), Timeouts::default());
    client.write_all(b"GET /style.css HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut first = [0; 16];
    client.read_exact(&mut first).await.unwrap();
    stop.cancel();
    read_all(&mut client).await;
}
