//! An issuer that says whatever a test lets it say, over TLS under an authority of its own.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use bearward::{
    model::{Secret, UnixTime},
    tls::{CertificateFiles, dev},
    token::{Algorithm, SigningKey},
};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

/// One request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) target: String,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// Status and body for a path.
type Script = HashMap<String, (u16, String)>;

pub(crate) struct HostileIssuer {
    folder: TempDir,
    pub(crate) url: String,
    pub(crate) key: SigningKey,
    script: Arc<Mutex<Script>>,
    asked: Arc<Mutex<Vec<Asked>>>,
    is_away: Arc<AtomicBool>,
    turned_away: Arc<AtomicUsize>,
    slow: Arc<Mutex<Duration>>,
    task: tokio::task::JoinHandle<()>,
}

impl HostileIssuer {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let files = dev::ensure(folder.path(), "localhost", UnixTime::now()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let (script, asked) = (Arc::new(Mutex::new(Script::new())), Arc::new(Mutex::new(Vec::new())));
        let (is_away, slow) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Duration::ZERO)));
        let turned_away = Arc::new(AtomicUsize::new(0));
        let (acceptor, turned) = (acceptor(&files.server), Arc::clone(&turned_away));
        let shared = (Arc::clone(&script), Arc::clone(&asked), Arc::clone(&is_away), Arc::clone(&slow));
        let task = tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (acceptor, shared, turned) = (acceptor.clone(), shared.clone(), Arc::clone(&turned));
                tokio::spawn(async move {
                    let (script, asked, is_away, slow) = shared;
                    if is_away.load(Ordering::SeqCst) {
                        turned.fetch_add(1, Ordering::SeqCst);
                        return;
                    }
                    let Ok(mut stream) = acceptor.accept(tcp).await else { return };
                    let Some(request) = read(&mut stream).await else { return };
                    let path = request.target.split('?').next().unwrap().to_owned();
                    asked.lock().unwrap().push(request);
                    let wait = *slow.lock().unwrap();
                    tokio::time::sleep(wait).await;
                    let found = script.lock().unwrap().get(&path).cloned();
                    let (status, body) = found.unwrap_or((404, String::new()));
                    let answer = format!(
                        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nConnection: close\r\n\
                         Content-Length: {}\r\n\r\n{body}",
                        body.len()
                    );
                    let _ = stream.write_all(answer.as_bytes()).await;
                    let _ = stream.shutdown().await;
                });
            }
        });
        let key = SigningKey::generate(Algorithm::Es256).unwrap();
        let issuer = Self { folder, url, key, script, asked, is_away, turned_away, slow, task };
        issuer.say(
            "/.well-known/openid-configuration",
            &json!({
                "issuer": issuer.url,
                "jwks_uri": format!("{}/keys", issuer.url),
                "introspection_endpoint": format!("{}/introspect", issuer.url),
                "userinfo_endpoint": format!("{}/userinfo", issuer.url),
            }),
        );
        issuer.publish(&[&issuer.key]);
        issuer
    }

    pub(crate) fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    pub(crate) fn say(&self, path: &str, document: &Value) {
        self.answer(path, 200, document);
    }

    pub(crate) fn answer(&self, path: &str, status: u16, document: &Value) {
        self.script.lock().unwrap().insert(path.to_owned(), (status, document.to_string()));
    }

    pub(crate) fn publish(&self, keys: &[&SigningKey]) {
        let keys: Vec<_> = keys.iter().map(|key| key.jwk()).collect();
        self.say("/keys", &json!({ "keys": keys }));
    }

    /// Connections are taken and dropped from now on, or no more.
    pub(crate) fn leave(&self, away: bool) {
        self.is_away.store(away, Ordering::SeqCst);
    }

    /// How many connections were dropped so.
    pub(crate) fn turned_away(&self) -> usize {
        self.turned_away.load(Ordering::SeqCst)
    }

    pub(crate) fn slow_down(&self, wait: Duration) {
        *self.slow.lock().unwrap() = wait;
    }

    pub(crate) fn asked(&self, path: &str) -> Vec<Asked> {
        let is_it = |asked: &&Asked| asked.target.split('?').next() == Some(path);
        self.asked.lock().unwrap().iter().filter(is_it).cloned().collect()
    }

    pub(crate) fn sign(&self, claims: &Value) -> Secret {
        sign_with(&self.key, "at+jwt", claims)
    }
}

impl Drop for HostileIssuer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) fn sign_with(key: &SigningKey, typ: &str, claims: &Value) -> Secret {
    Secret::from(key.sign_jwt(typ, claims).unwrap())
}

/// A token whose header is free and whose signature is nonsense.
pub(crate) fn forged(header: &Value, claims: &Value) -> Secret {
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    Secret::from(format!("{}.{}.{}", part(header), part(claims), BASE64_URL_SAFE_NO_PAD.encode([1; 64])))
}

fn acceptor(files: &CertificateFiles) -> TlsAcceptor {
    let chain = CertificateDer::pem_file_iter(&files.certificate).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(files.private_key.as_ref().unwrap()).unwrap();
    let config = ServerConfig::builder_with_provider(bearward::tls::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

async fn read(stream: &mut (impl AsyncReadExt + Unpin)) -> Option<Asked> {
    let mut octets = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&octets).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .filter_map(|line| line.split_once(':'))
                .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
                .map_or(0, |(_, value)| value.trim().parse().unwrap());
            if body.len() >= length {
                let target = head.split(' ').nth(1)?.to_owned();
                return Some(Asked { target, head: head.to_owned(), body: body.to_owned() });
            }
        }
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return None,
            Ok(count) => octets.extend_from_slice(&buffer[..count]),
        }
    }
}
