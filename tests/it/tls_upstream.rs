//! TLS toward mail servers: who is believed, and who is not.

use std::sync::Arc;

use bearward::{
    model::{Protocol, UnixTime},
    tls::{
        CertificateFiles, Certificates, Config, MailStream, MinVersion, ServerConfig, ServerTls, TlsError,
        UpstreamConfig, UpstreamStream, UpstreamTls, dev, provider,
    },
};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ParsedCertificate, WebPkiClientVerifier},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

struct MailServer {
    folder: TempDir,
    files: CertificateFiles,
    config: Arc<ServerConfig>,
}

fn mail_server() -> MailServer {
    let folder = TempDir::new().unwrap();
    let files = dev::ensure(folder.path(), "mail.example.org", UnixTime::now()).unwrap().server;
    let config = Config {
        default: Some(files.clone()),
        sni: Vec::new(),
        min_version: MinVersion::Tls12,
        client_ca: None,
        hostname: "mail.example.org".into(),
    };
    let tls = ServerTls::new(&Certificates::load(&config).unwrap(), MinVersion::Tls12).unwrap();
    MailServer { folder, files, config: tls.mail(Protocol::Imap) }
}

impl MailServer {
    fn ca(&self) -> UpstreamConfig {
        UpstreamConfig { ca: Some(self.folder.path().join("ca.pem")), ..UpstreamConfig::default() }
    }

    fn pin(&self) -> [u8; 32] {
        let leaf = CertificateDer::from_pem_file(&self.files.certificate).unwrap();
        let key = ParsedCertificate::try_from(&leaf).unwrap().subject_public_key_info();
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &key);
        digest.as_ref().try_into().unwrap()
    }

    /// One connection under the name `host`. The server says what it saw of resumption.
    async fn connect(
        &self,
        tls: &UpstreamTls,
        host: &str,
    ) -> (Result<UpstreamStream, TlsError>, Option<bool>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let config = Arc::clone(&self.config);
        let served = tokio::spawn(async move {
            let (tcp, _) = listener.accept().await.unwrap();
            let mut stream = MailStream::clear(tcp).accept(config).await.ok()?;
            stream.write_all(b"* OK\r\n").await.ok()?;
            let resumed = stream.facts()?.resumed;
            stream.read(&mut Vec::new()).await.ok()?;
            Some(resumed)
        });
        let tcp = TcpStream::connect(address).await.unwrap();
        let mut connected = tls.connect(tcp, host).await;
        if let Ok(stream) = &mut connected {
            // A refused client certificate shows at the first read (TLS 1.3).
            let mut greeting = [0; 6];
            if let Err(error) = stream.read_exact(&mut greeting).await {
                connected = Err(TlsError::Io(error));
            } else {
                stream.write_all(b"x").await.unwrap();
                stream.flush().await.unwrap();
            }
        }
        (connected, served.await.unwrap())
    }
}

#[tokio::test]
async fn a_mail_server_is_believed_by_its_ca_and_name() {
    let server = mail_server();
    let tls = UpstreamTls::new(&server.ca()).unwrap();
    for host in ["mail.example.org", "127.0.0.1", "[::1]", "localhost"] {
        assert!(server.connect(&tls, host).await.0.is_ok(), "{host}");
    }
    let refused = server.connect(&tls, "other.example.org").await.0.unwrap_err();
    assert!(matches!(refused, TlsError::Untrusted(_)), "{refused}");
    let named = UpstreamConfig { server_name: Some("mail.example.org".to_owned()), ..server.ca() };
    let named = UpstreamTls::new(&named).unwrap();
    assert!(server.connect(&named, "other.example.org").await.0.is_ok());
}

#[tokio::test]
async fn a_stranger_is_refused_by_every_way_but_the_dangerous_one() {
    let (server, other) = (mail_server(), mail_server());
    let pinned = UpstreamConfig { pin: Some(other.pin()), ..UpstreamConfig::default() };
    for config in [other.ca(), pinned, UpstreamConfig::default()] {
        let tls = UpstreamTls::new(&config).unwrap();
        let refused = server.connect(&tls, "mail.example.org").await.0.unwrap_err();
        assert!(
            matches!(refused, TlsError::Untrusted(_) | TlsError::NoSystemRoots(_)),
            "{config:?} {refused}"
        );
    }
    let dangerous = UpstreamConfig { insecure_no_verify: true, ..UpstreamConfig::default() };
    let dangerous = UpstreamTls::new(&dangerous).unwrap();
    assert!(server.connect(&dangerous, "mail.example.org").await.0.is_ok());
}

#[tokio::test]
async fn a_pinned_key_counts_more_than_the_name() {
    let server = mail_server();
    let pinned = UpstreamConfig { pin: Some(server.pin()), ..UpstreamConfig::default() };
    let tls = UpstreamTls::new(&pinned).unwrap();
    assert!(server.connect(&tls, "other.example.org").await.0.is_ok());
}

#[tokio::test]
async fn a_pinned_certificate_without_its_key_is_refused() {
    // The certificate is public: whoever shows it must also sign with its key.
    let (server, thief) = (mail_server(), mail_server());
    let chain = vec![CertificateDer::from_pem_file(&server.files.certificate).unwrap()];
    let key = PrivateKeyDer::from_pem_file(thief.files.private_key.as_ref().unwrap()).unwrap();
    let key = provider().key_provider.load_private_key(key).unwrap();
    let stolen = Arc::new(rustls::sign::CertifiedKey::new(chain, key));
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(Arc::clone(&stolen))));
        let thief = MailServer {
            folder: TempDir::new().unwrap(),
            files: server.files.clone(),
            config: Arc::new(config),
        };
        let pinned = UpstreamConfig { pin: Some(server.pin()), ..UpstreamConfig::default() };
        let tls = UpstreamTls::new(&pinned).unwrap();
        assert!(thief.connect(&tls, "mail.example.org").await.0.is_err(), "{version:?}");
    }
}

#[tokio::test]
async fn sessions_with_a_mail_server_are_resumed() {
    let server = mail_server();
    let tls = UpstreamTls::new(&server.ca()).unwrap();
    assert_eq!(server.connect(&tls, "localhost").await.1, Some(false));
    assert_eq!(server.connect(&tls, "localhost").await.1, Some(true));
}

#[tokio::test]
async fn a_client_certificate_is_shown_where_it_is_asked_for() {
    let mut server = mail_server();
    let ours = mail_server();
    let mut roots = RootCertStore::empty();
    // A made leaf stands for server authentication alone; one for clients is made here.
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca = rcgen::CertifiedIssuer::self_signed(params, key).unwrap();
    roots.add(ca.der().clone()).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["bearward.example.org".to_owned()]).unwrap();
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let certificate = params.signed_by(&key, &ca).unwrap();
    let both = ours.folder.path().join("client.pem");
    std::fs::write(&both, format!("{}{}", certificate.pem(), key.serialize_pem())).unwrap();

    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider()).build().unwrap();
    let chain = vec![CertificateDer::from_pem_file(&server.files.certificate).unwrap()];
    let key = PrivateKeyDer::from_pem_file(server.files.private_key.as_ref().unwrap()).unwrap();
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .unwrap();
    server.config = Arc::new(config);

    let without = UpstreamTls::new(&server.ca()).unwrap();
    assert!(server.connect(&without, "localhost").await.0.is_err());
    let client = Some(CertificateFiles { certificate: both, private_key: None });
    let with = UpstreamTls::new(&UpstreamConfig { client, ..server.ca() }).unwrap();
    assert!(server.connect(&with, "localhost").await.0.is_ok());
}

#[tokio::test]
async fn a_server_that_does_not_speak_tls_is_told_apart() {
    let tls = UpstreamTls::new(&mail_server().ca()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let plain = tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        tcp.write_all(b"* OK IMAP4rev1 in clear\r\n").await.unwrap();
        let _ = tcp.read(&mut [0; 1024]).await;
    });
    let tcp = TcpStream::connect(address).await.unwrap();
    let refused = tls.connect(tcp, "localhost").await.unwrap_err();
    assert!(matches!(refused, TlsError::Handshake(_)), "{refused}");
    plain.await.unwrap();
}

#[test]
fn a_server_name_that_cannot_be_one_has_its_sentence() {
    let config = UpstreamConfig { server_name: Some("not a name".to_owned()), ..UpstreamConfig::default() };
    let sentence = UpstreamTls::new(&config).unwrap_err().to_string();
    assert!(sentence.contains("not a name"), "{sentence}");
}
