use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use base64::{Engine, prelude::BASE64_STANDARD};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::CertificateDer;
use tokio::{net::TcpStream, time::sleep};

use crate::{
    process::PROXY_CORE,
    upstream::{Bulk, PASSWORD, USER, Upstream, UpstreamKind},
};

const BEARWARD: &str = env!("CARGO_BIN_EXE_bearward");
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// A proxy that can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    HaProxy,
    Bearward,
}

impl Kind {
    pub(crate) const ALL: [Self; 2] = [Self::HaProxy, Self::Bearward];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Bearward => "bearward",
            Self::HaProxy => "haproxy",
        }
    }
}

/// A certificate for `localhost` (ECDSA P-256) under a root of its own, made for this run.
pub(crate) struct Certificate {
    pub(crate) root: CertificateDer<'static>,
    chain: PathBuf,
    key: PathBuf,
    both: PathBuf,
}

impl Certificate {
    pub(crate) fn generate(folder: &Path) -> Result<Self> {
        let mut root = CertificateParams::new(Vec::new())?;
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root_key = KeyPair::generate()?;
        let root_certificate = root.self_signed(&root_key)?;
        let leaf_key = KeyPair::generate()?;
        let issuer = Issuer::new(root, root_key);
        let leaf = CertificateParams::new(vec!["localhost".into()])?.signed_by(&leaf_key, &issuer)?;
        let (chain, key) = (folder.join("chain.pem"), folder.join("key.pem"));
        let both = folder.join("both.pem");
        fs::write(&chain, leaf.pem())?;
        fs::write(&key, leaf_key.serialize_pem())?;
        fs::write(&both, leaf.pem() + &leaf_key.serialize_pem())?;
        Ok(Self { root: root_certificate.der().clone(), chain, key, both })
    }
}

/// A running proxy; dropping it ends it.
pub(crate) struct Subject {
    child: Child,
    output: PathBuf,
    /// Where it takes clients.
    pub(crate) address: SocketAddr,
    /// What a client sends to sign in through it.
    pub(crate) sign_in: Arc<str>,
    /// How a client downloads through it.
    pub(crate) bulk: Bulk,
}

impl Subject {
    /// Starts it on the proxy's core and waits until it takes connections.
    pub(crate) async fn start(
        kind: Kind,
        folder: &Path,
        certificate: &Certificate,
        upstream: &Upstream,
    ) -> Result<Self> {
        let folder = folder.join(kind.name());
        fs::create_dir_all(&folder)?;
        let address = free_address()?;
        let (command, sign_in) = match kind {
            Kind::Bearward => bearward(&folder, certificate, upstream, address).await?,
            Kind::HaProxy => haproxy(&folder, certificate, upstream.address, address)?,
        };
        let output = folder.join("output");
        let log = File::create(&output)?;
        let child = Command::new("taskset")
            .args(["-c", &PROXY_CORE.to_string()])
            .args(command)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("taskset cannot be run")?;
        let mut subject = Self { child, output, address, sign_in: sign_in.into(), bulk: upstream.bulk };
        subject.wait_until_it_listens().await?;
        Ok(subject)
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The end of what it has printed.
    pub(crate) fn output(&self) -> String {
        let text = fs::read_to_string(&self.output).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines.get(lines.len().saturating_sub(20)..).unwrap_or_default().join("\n")
    }

    async fn wait_until_it_listens(&mut self) -> Result<()> {
        let step = Duration::from_millis(50);
        let mut waited = Duration::ZERO;
        while waited < START_TIMEOUT {
            if let Some(status) = self.child.try_wait()? {
                bail!("the proxy ended with {status}:\n{}", self.output());
            }
            if TcpStream::connect(self.address).await.is_ok() {
                return Ok(());
            }
            sleep(step).await;
            waited += step;
        }
        bail!("the proxy does not listen:\n{}", self.output())
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        // It may have ended by itself, which the measurement has reported then.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// One process and thread, TLS alone, bytes passed on.
fn haproxy(
    folder: &Path,
    certificate: &Certificate,
    upstream: SocketAddr,
    address: SocketAddr,
) -> Result<(Vec<String>, String)> {
    let config = folder.join("haproxy.cfg");
    fs::write(
        &config,
        format!(
            "global\n  maxconn 4000\n  nbthread 1\n  ssl-default-bind-curves X25519\n  \
             ssl-default-bind-ciphersuites TLS_AES_128_GCM_SHA256\n  \
             ssl-default-bind-options ssl-min-ver TLSv1.3\n\
             defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 1h\n  timeout server 1h\n\
             frontend imaps\n  bind {address} ssl crt {}\n  default_backend mail\n\
             backend mail\n  server mail {upstream}\n",
            certificate.both.display()
        ),
    )?;
    let command = vec!["haproxy".into(), "-db".into(), "-f".into(), config.display().to_string()];
    Ok((command, format!("a LOGIN {USER} {PASSWORD}\r\n")))
}

/// The whole of Bearward with its default log, logging in upstream by a service account or with sealed passwords.
async fn bearward(
    folder: &Path,
    certificate: &Certificate,
    upstream: &Upstream,
    address: SocketAddr,
) -> Result<(Vec<String>, String)> {
    let login = match upstream.kind {
        UpstreamKind::Fake => {
            "login = \"master\"\n[backend.main.master]\nuser = \"master\"\npassword = \"secret\"\n"
        }
        UpstreamKind::Sample => "login = \"sealed\"\n",
    };
    let config = folder.join("bearward.toml");
    fs::write(
        &config,
        format!(
            "hostname = \"localhost\"\ndata_dir = \"{}\"\n\
             [tls]\ncertificate = \"{}\"\nprivate_key = \"{}\"\n\
             [[listener]]\nprotocol = \"imap\"\nbind = \"{address}\"\ntls = \"implicit\"\n\
             [backend.main]\nimap = [\"imap://{}\"]\n{login}",
            folder.join("data").display(),
            certificate.chain.display(),
            certificate.key.display(),
            upstream.address,
        ),
    )?;
    let config = config.display().to_string();
    let mut issue = Command::new(BEARWARD);
    issue.args(["token", "issue", "--user", USER, "--lifetime", "1d", "-c", &config, "--password-stdin"]);
    let password = folder.join("password");
    fs::write(&password, PASSWORD)?;
    issue.stdin(File::open(&password)?);
    // The sample server, which is asked about the password, lives on this thread.
    let issued = tokio::task::spawn_blocking(move || issue.output())
        .await?
        .with_context(|| format!("{BEARWARD} cannot be run"))?;
    if !issued.status.success() {
        bail!("no token was issued: {}", String::from_utf8_lossy(&issued.stderr));
    }
    let token = String::from_utf8(issued.stdout)?;
    let response = format!("n,a={USER},\x01auth=Bearer {}\x01\x01", token.trim());
    let sign_in = format!("a AUTHENTICATE OAUTHBEARER {}\r\n", BASE64_STANDARD.encode(response));
    Ok((vec![BEARWARD.into(), "serve".into(), "-c".into(), config], sign_in))
}
