//! Back-channel logout against a client that listens.

use std::{
    io::{Read, Write},
    net::TcpListener,
    sync::Arc,
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bearward::tls::provider;
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use serde_json::Value;

use crate::support::{Serve, wait};

/// Takes HTTPS requests one after the other and answers each; what they were.
fn receive(serve: &Serve, listener: &TcpListener, answers: &[&str]) -> Vec<String> {
    let certs = serve.folder().join("certs");
    let chain: Vec<_> =
        CertificateDer::pem_file_iter(certs.join("server.pem")).unwrap().collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_file(certs.join("server.key")).unwrap();
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let config = Arc::new(config);
    let mut requests = Vec::new();
    for answer in answers {
        let (tcp, _) = listener.accept().unwrap();
        tcp.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut tls = StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), tcp);
        let (mut request, mut piece) = (Vec::new(), [0; 4096]);
        while !is_whole(&request) {
            let read = tls.read(&mut piece).unwrap();
            assert_ne!(read, 0, "the request ends early");
            request.extend_from_slice(&piece[..read]);
        }
        tls.write_all(
            format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").as_bytes(),
        )
        .unwrap();
        tls.conn.send_close_notify();
        let _ = tls.flush();
        requests.push(String::from_utf8(request).unwrap());
    }
    requests
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head
        .lines()
        .find_map(|line| line.to_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    length.is_some_and(|length: usize| body.len() >= length)
}

#[test]
fn a_client_that_fails_once_is_told_again_that_its_grant_has_ended() {
    let serve = Serve::start_issuer("imap = [\"imap://127.0.0.1:1\"]\nlogin = \"trusted\"\n");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = format!("https://localhost:{}/backchannel", listener.local_addr().unwrap().port());
    let added = serve.succeed(
        &[
            "client",
            "add",
            "--json",
            "--name",
            "Webmail",
            "--redirect-uri",
            "https://webmail.example.org/cb",
            "--backchannel-logout-uri",
            &uri,
        ],
        "",
    );
    let id = serde_json::from_str::<Value>(&added).unwrap()["client_id"].as_str().unwrap().to_owned();
    let token = serve.succeed(&["token", "issue", "--user", "alice@example.org", "--client", &id], "");
    let grant = serve.grant_of(token.trim());
    serve.succeed(&["grant", "revoke", &grant], "");

    let requests = receive(&serve, &listener, &["503 Service Unavailable", "200 OK"]);
    for request in &requests {
        assert!(request.starts_with("POST /backchannel HTTP/1.1\r\n"), "{request}");
        let (_, body) = request.split_once("\r\n\r\n").unwrap();
        let token = body.strip_prefix("logout_token=").unwrap();
        let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
        let claims: Value = serde_json::from_slice(&claims).unwrap();
        assert_eq!((claims["sid"].as_str(), claims["aud"].as_str()), (Some(&*grant), Some(&*id)));
    }
    wait(Duration::from_millis(1500));
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "whoever has heard it is not told again");
}
