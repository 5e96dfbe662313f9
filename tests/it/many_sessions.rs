//! How soon a session ends after its right, while thousands of others are idle and new ones sign in.
//!
//! `BEARWARD_MANY_SESSIONS` says how many sessions; each grant holds twenty of them. Every session is one
//! measurement: from before the revocation is asked for until the client has read the end of its stream.

#![allow(clippy::print_stdout, reason = "a measurement is for reading")]

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bearward::{
    admin, app, config,
    issuer::{Issuer, MintRequest},
    model::{ClientId, GrantId, Login, Scope, UnixTime},
};
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::support::{ALICE, Cluster, Serve, xoauth2};

/// Sessions of one grant.
const PER_GRANT: usize = 20;
/// Sign-ins at once while the sessions are opened.
const AT_ONCE: usize = 16;

fn how_many() -> usize {
    std::env::var("BEARWARD_MANY_SESSIONS").ok().and_then(|text| text.parse().ok()).unwrap_or(400)
}

/// A mail server that takes every login and then says nothing.
async fn mail_server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            tokio::spawn(serve_mail(tcp));
        }
    });
    port
}

async fn serve_mail(tcp: TcpStream) -> std::io::Result<()> {
    let mut tcp = BufReader::new(tcp);
    tcp.write_all(b"* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] ready\r\n").await?;
    let mut line = String::new();
    while tcp.read_line(&mut line).await? > 0 {
        let tag = line.split(' ').next().unwrap_or("*").to_owned();
        tcp.write_all(format!("{tag} OK [CAPABILITY IMAP4rev1 IDLE] done\r\n").as_bytes()).await?;
        line.clear();
    }
    Ok(())
}

struct Clients {
    tls: TlsConnector,
}

type Session = BufReader<TlsStream<TcpStream>>;

impl Clients {
    fn new(serve: &Serve) -> Self {
        let mut roots = rustls::RootCertStore::empty();
        let ca = serve.folder().join("certs/ca.pem");
        for root in CertificateDer::pem_file_iter(ca).unwrap() {
            roots.add(root.unwrap()).unwrap();
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self { tls: TlsConnector::from(Arc::new(config)) }
    }

    /// A session that has signed in; `None` when the token is refused.
    async fn sign_in(&self, address: SocketAddr, token: &str) -> Option<Session> {
        let tcp = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let mut client = BufReader::new(self.tls.connect(name, tcp).await.unwrap());
        client
            .write_all(format!("a AUTHENTICATE XOAUTH2 {}\r\n", xoauth2(ALICE, token)).as_bytes())
            .await
            .ok()?;
        let mut line = String::new();
        while client.read_line(&mut line).await.ok()? > 0 {
            if line.starts_with("a OK") {
                return Some(client);
            }
            if line.starts_with("a NO") {
                return None;
            }
            if line.starts_with("+ ") {
                client.write_all(b"\r\n").await.ok()?;
            }
            line.clear();
        }
        None
    }
}

/// Waits until the session has ended; what it was told, and when.
async fn end_of(mut session: Session) -> (String, Instant) {
    let mut rest = Vec::new();
    let _ = session.read_to_end(&mut rest).await;
    (String::from_utf8_lossy(&rest).into_owned(), Instant::now())
}

/// Mints beside the servers, as another process would.
async fn mint(serve: &Serve, grants: usize) -> Vec<(GrantId, String)> {
    let config = config::load_with(Some(&serve.folder().join("bearward.toml")), []).unwrap().config;
    let (store, key) = app::open_store(&config).await.unwrap();
    let issuer = Issuer::new(config.issuer.clone(), store, key, UnixTime::now()).await.unwrap();
    let mut minted = Vec::new();
    for _ in 0..grants {
        let request = MintRequest {
            user: Login::parse(ALICE).unwrap(),
            client: ClientId::open(),
            scope: Scope::mail(),
            lifetime: None,
            sealed_backends: Vec::new(),
            with_refresh_token: false,
            passwords: Vec::new(),
        };
        let one = issuer.mint(request, UnixTime::now()).await.unwrap();
        minted.push((one.grant, String::from_utf8(one.access_token.expose().to_vec()).unwrap()));
    }
    minted
}

fn admin_of(serve: &Serve) -> admin::Client {
    let file = serve.folder().join("bearward.toml");
    admin::Client::new(&config::load_with(Some(&file), []).unwrap().config.admin)
}

/// Opens sessions on `there`, ends their grants on `here`, and measures how long each lived on.
async fn measure(here: &Serve, there: &Serve, sessions: usize) -> Vec<Duration> {
    let clients = Arc::new(Clients::new(there));
    let address = there.address("imap");
    let grants = mint(here, sessions.div_ceil(PER_GRANT)).await;
    let mut open: Vec<(GrantId, Vec<Session>)> = Vec::new();
    for (grant, token) in &grants {
        let mut of_grant = Vec::new();
        while of_grant.len() < PER_GRANT {
            let mut signing_in = JoinSet::new();
            for _ in 0..AT_ONCE.min(PER_GRANT - of_grant.len()) {
                let (clients, token) = (Arc::clone(&clients), token.clone());
                signing_in.spawn(async move { clients.sign_in(address, &token).await });
            }
            of_grant.extend(signing_in.join_all().await.into_iter().map(Option::unwrap));
        }
        open.push((*grant, of_grant));
    }

    // Somebody always signs in with a token that is about to end: no such session may be left behind.
    let racing = Arc::new(AtomicBool::new(true));
    let tokens: Vec<String> = grants.iter().map(|(_, token)| token.clone()).collect();
    let (go_on, with) = (Arc::clone(&racing), Arc::clone(&clients));
    let racers = tokio::spawn(async move {
        let mut ends = JoinSet::new();
        let mut next = 0_usize;
        while go_on.load(Ordering::Relaxed) {
            let token = &tokens[next % tokens.len()];
            next += 1;
            if let Some(session) = with.sign_in(address, token).await {
                ends.spawn(end_of(session));
            }
        }
        ends
    });

    let admin = admin_of(here);
    let mut took = Vec::new();
    for (grant, of_grant) in open {
        let waiting: JoinSet<_> = of_grant.into_iter().map(end_of).collect();
        let before = Instant::now();
        admin.revoke(grant).await.unwrap();
        for (told, at) in waiting.join_all().await {
            assert!(told.contains("* BYE"), "{told:?}");
            took.push(at.duration_since(before));
        }
    }
    racing.store(false, Ordering::Relaxed);
    let left = racers.await.unwrap();
    let all_ended = tokio::time::timeout(Duration::from_secs(5), left.join_all()).await;
    assert!(all_ended.is_ok(), "a session that raced its revocation lives on");
    took
}

fn report(what: &str, mut took: Vec<Duration>) {
    took.sort_unstable();
    let at = |part: usize| took[(took.len() * part / 100).min(took.len() - 1)];
    println!(
        "{what}: {} sessions, p50 {:?}, p99 {:?}, longest {:?}",
        took.len(),
        at(50),
        at(99),
        took[took.len() - 1]
    );
    assert!(at(99) < Duration::from_secs(1), "{:?}", at(99));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn among_thousands_of_idle_sessions_those_of_a_revoked_grant_end_within_a_second() {
    let backend = format!("imap = [\"imap://127.0.0.1:{}\"]\nlogin = \"trusted\"\n", mail_server().await);
    let serve = tokio::task::spawn_blocking(move || Serve::start(&backend)).await.unwrap();
    report("one node on SQLite", measure(&serve, &serve, how_many()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn among_thousands_of_idle_sessions_those_of_a_grant_revoked_on_another_node_end_within_a_second() {
    let cluster = tokio::task::spawn_blocking(|| Cluster::start(&[])).await.unwrap();
    let url = cluster.url(&cluster.database("many").await);
    // So seldom that a poll cannot be what ends the sessions.
    let backend = format!(
        "imap = [\"imap://127.0.0.1:{}\"]\nlogin = \"trusted\"\n[store]\nurl = \"{url}\"\npoll_interval = \"1h\"\n",
        mail_server().await
    );
    let nodes = tokio::task::spawn_blocking(move || {
        let here = Serve::start(&backend);
        let there = Serve::start_beside(&here, &backend);
        (here, there)
    });
    let (here, there) = nodes.await.unwrap();
    report("two nodes on PostgreSQL", measure(&here, &there, how_many()).await);
}
