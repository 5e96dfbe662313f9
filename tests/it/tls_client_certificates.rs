//! Certificates that clients show at listeners that ask for them.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use bearward::{
    model::{Protocol, UnixTime},
    tls::{
        Certificates, ClientAuthorities, Config, MailStream, MinVersion, ServerTls, TlsFacts, dev, provider,
    },
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    version::{TLS12, TLS13},
};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn self_signed() -> Identity {
    let made = rcgen::generate_simple_self_signed(vec!["client".to_owned()]).unwrap();
    (vec![made.cert.der().clone()], PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap())
}

struct Edge {
    folder: TempDir,
    certificates: Arc<Certificates>,
}

fn edge() -> Edge {
    let folder = TempDir::new().unwrap();
    let files = dev::ensure(folder.path(), "mail.example.org", UnixTime::now()).unwrap();
    let config = Config {
        default: Some(files.server),
        sni: Vec::new(),
        min_version: MinVersion::Tls12,
        hostname: "mail.example.org".into(),
        client_ca: None,
    };
    Edge { certificates: Certificates::load(&config).unwrap(), folder }
}

impl Edge {
    fn client(
        &self,
        version: &'static rustls::SupportedProtocolVersion,
        identity: Option<Identity>,
    ) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        for root in CertificateDer::pem_file_iter(self.folder.path().join("ca.pem")).unwrap() {
            roots.add(root.unwrap()).unwrap();
        }
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots);
        Arc::new(match identity {
            Some((chain, key)) => builder.with_client_auth_cert(chain, key).unwrap(),
            None => builder.with_no_client_auth(),
        })
    }

    /// What the server knows after a handshake with `client`, one octet having gone each way.
    async fn meet(&self, tls: &ServerTls, client: Arc<ClientConfig>) -> TlsFacts {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tcp = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        let config = tls.mail(Protocol::Imap);
        let serving = tokio::spawn(async move {
            let mut stream = MailStream::clear(accepted).accept(config).await.unwrap();
            let mut octets = Vec::new();
            stream.read(&mut octets).await.unwrap();
            stream.write_all(&octets).await.unwrap();
            stream.facts().unwrap()
        });
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = TlsConnector::from(client).connect(name, tcp).await.unwrap();
        stream.write_all(b"x").await.unwrap();
        stream.read_u8().await.unwrap();
        serving.await.unwrap()
    }
}

#[tokio::test]
async fn whoever_is_asked_may_show_any_certificate_or_none() {
    let edge = edge();
    let asking = ServerTls::asking(&edge.certificates, MinVersion::Tls12).unwrap();
    for version in [&TLS12, &TLS13] {
        let identity = self_signed();
        let expected = digest(&SHA256, &identity.0[0]);
        let facts = edge.meet(&asking, edge.client(version, Some(identity))).await;
        assert_eq!(facts.certificate.as_ref().map(<[u8; 32]>::as_slice), Some(expected.as_ref()));
        let facts = edge.meet(&asking, edge.client(version, None)).await;
        assert_eq!(facts.certificate, None);
    }
}

#[tokio::test]
async fn whoever_is_not_asked_shows_nothing() {
    let edge = edge();
    let silent = ServerTls::new(&edge.certificates, MinVersion::Tls12).unwrap();
    let facts = edge.meet(&silent, edge.client(&TLS13, Some(self_signed()))).await;
    assert_eq!(facts.certificate, None);
}

#[tokio::test]
async fn a_resumed_session_keeps_the_certificate_that_it_began_with() {
    let edge = edge();
    let asking = ServerTls::asking(&edge.certificates, MinVersion::Tls12).unwrap();
    for version in [&TLS12, &TLS13] {
        let client = edge.client(version, Some(self_signed()));
        let first = edge.meet(&asking, Arc::clone(&client)).await;
        let second = edge.meet(&asking, client).await;
        assert!(!first.resumed && second.resumed);
        assert!(first.certificate.is_some());
        assert_eq!(first.certificate, second.certificate);
    }
}

#[tokio::test]
async fn a_session_of_a_listener_that_does_not_ask_is_not_resumed_where_it_does() {
    let edge = edge();
    let silent = ServerTls::new(&edge.certificates, MinVersion::Tls12).unwrap();
    let asking = ServerTls::asking(&edge.certificates, MinVersion::Tls12).unwrap();
    let client = edge.client(&TLS13, Some(self_signed()));
    edge.meet(&silent, Arc::clone(&client)).await;
    let facts = edge.meet(&asking, client).await;
    assert!(!facts.resumed && facts.certificate.is_some());
}

#[test]
fn only_a_configured_authority_vouches_for_a_certificate() {
    let folder = TempDir::new().unwrap();
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let mut ca = rcgen::CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca_file = folder.path().join("client-ca.pem");
    std::fs::write(&ca_file, ca.self_signed(&ca_key).unwrap().pem()).unwrap();
    let issuer = rcgen::Issuer::new(ca, ca_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let mut leaf = rcgen::CertificateParams::new(vec!["client.example.org".to_owned()]).unwrap();
    leaf.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let vouched = leaf.signed_by(&key, &issuer).unwrap().der().clone();
    let (stranger, _) = self_signed();

    let authorities = ClientAuthorities::load(Some(&ca_file)).unwrap();
    assert!(authorities.examine(Some(std::slice::from_ref(&vouched))).unwrap().is_vouched_for);
    assert!(!authorities.examine(Some(&stranger)).unwrap().is_vouched_for);
    assert_eq!(authorities.examine(None), None);
    assert_eq!(authorities.examine(Some(&[])), None);
    let nobody = ClientAuthorities::load(None).unwrap();
    let seen = nobody.examine(Some(std::slice::from_ref(&vouched))).unwrap();
    assert!(!seen.is_vouched_for);
    assert_eq!(seen.der, vouched.as_ref());
    assert_eq!(seen.thumbprint.as_slice(), digest(&SHA256, &vouched).as_ref());
}
