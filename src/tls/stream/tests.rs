#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::{future::poll_fn, sync::Arc, task::Poll, time::Duration};

use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::*;
use crate::{
    model::{Protocol, UnixTime},
    tls::{Certificates, Config, MinVersion, ServerTls, dev, material, provider},
};

/// Both ends of an encrypted connection.
async fn encrypted() -> (TlsStream<TcpStream>, MailStream) {
    let folder = tempfile::TempDir::new().unwrap();
    let files = dev::ensure(folder.path(), "mail.example.org", UnixTime::now()).unwrap();
    let config = Config {
        default: Some(files.server),
        sni: Vec::new(),
        min_version: MinVersion::Tls12,
        hostname: "mail.example.org".into(),
        client_ca: None,
    };
    let server = ServerTls::new(&Certificates::load(&config).unwrap(), MinVersion::Tls12).unwrap();
    let roots: Arc<RootCertStore> = material::roots(&files.ca).unwrap();
    let client = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (connected, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    let connector = TlsConnector::from(Arc::new(client));
    let connecting = connector.connect(ServerName::try_from("localhost").unwrap(), connected.unwrap());
    let accepting = MailStream::clear(accepted.unwrap().0).accept(server.mail(Protocol::Imap));
    let (client, stream) = tokio::join!(connecting, accepting);
    (client.unwrap(), stream.unwrap())
}

fn owned(stream: &MailStream) -> usize {
    stream.partial.capacity() + stream.early.capacity() + stream.backlog.capacity()
}

#[tokio::test]
async fn an_idle_session_owns_no_octet() {
    let (mut client, mut stream) = encrypted().await;
    for _ in 0..3 {
        stream.write_all(&[b'x'; 40_000]).await.unwrap();
        client.read_exact(&mut [0; 40_000]).await.unwrap();
        client.write_all(&[b'y'; 40_000]).await.unwrap();
        client.flush().await.unwrap();
        let mut got = Vec::new();
        while got.len() < 40_000 {
            stream.read(&mut got).await.unwrap();
        }
        assert_eq!(owned(&stream), 0);
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_makes_a_session_own_one_write_and_no_more() {
    let (client, mut stream) = encrypted().await;
    let octets = vec![b'x'; Worker::READ];
    let mut sent = 0;
    // As the relay does: nothing more is sent while something waits.
    while poll_fn(|cx| {
        let sending = Worker::lend(|worker| stream.poll_send(cx, &octets, &mut worker.output));
        Poll::Ready(sending.map(Result::unwrap))
    })
    .await
    .is_ready()
    {
        sent += octets.len();
        assert!(sent < 100_000_000, "the socket takes everything");
    }
    assert!(owned(&stream) > 0);
    assert!(owned(&stream) < 2 * Worker::READ, "{}", owned(&stream));
    drop(client);
}

#[tokio::test]
async fn what_passed_before_login_is_wiped_from_the_workers_buffers() {
    let (mut client, mut stream) = encrypted().await;
    client.write_all(b"a LOGIN alice correct-horse\r\n").await.unwrap();
    client.flush().await.unwrap();
    let mut got = Vec::new();
    stream.read(&mut got).await.unwrap();
    assert_eq!(got, b"a LOGIN alice correct-horse\r\n");
    Worker::lend(|worker| {
        assert!(!worker.input.windows(7).any(|seen| seen == b"correct"));
    });
}

#[tokio::test]
async fn last_words_arrive_although_the_client_keeps_sending() {
    let (mut client, mut stream) = encrypted().await;
    client.write_all(&[b'x'; 200_000]).await.unwrap();
    client.flush().await.unwrap();
    stream.read(&mut Vec::new()).await.unwrap();
    stream.write_all(b"* BYE\r\n").await.unwrap();
    let closing = tokio::spawn(stream.close());
    for _ in 0..3 {
        // A reset would show here.
        tokio::time::sleep(Duration::from_millis(20)).await;
        client.write_all(b"more").await.unwrap();
        client.flush().await.unwrap();
    }
    let mut words = Vec::new();
    client.read_to_end(&mut words).await.unwrap();
    assert_eq!(words, b"* BYE\r\n");
    client.shutdown().await.unwrap();
    closing.await.unwrap().unwrap();
}

#[test]
fn a_stream_is_small() {
    assert!(size_of::<MailStream>() <= 160, "{}", size_of::<MailStream>());
}
