//! `bearward try`: the whole product on embedded defaults, loopback only.

use std::{
    fmt::Write as _,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Serialize;
use thiserror::Error;

use super::{AppError, Config, serve, storage::open_store};
use crate::{
    config::{self, ConfigError},
    issuer::{Issuer, MintRequest},
    model::{ClientId, Login, Scope, Secret, UnixTime},
    sample::{Addresses, SampleServer, User},
    telemetry::{self, LogError},
    tls::dev,
};

/// How `try` was asked to run.
#[derive(Clone, Debug)]
pub struct TrialOptions {
    /// What is added to the standard ports.
    pub port_offset: u16,
    /// Where state goes; a folder in the temporary directory when not given.
    pub data: Option<PathBuf>,
}

/// `try` cannot run.
#[derive(Debug, Error)]
pub enum TrialError {
    /// The server cannot start.
    #[error("{0}")]
    App(#[from] AppError),
    /// The configuration that it wrote for itself is not accepted.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// A file or a socket cannot be made.
    #[error("{0}: {1}")]
    Io(String, io::Error),
    /// The log cannot be set up.
    #[error("{0}")]
    Log(#[from] LogError),
    /// The first token cannot be minted.
    #[error("the first access token cannot be minted: {0}")]
    Token(String),
    /// The port offset leads beyond 65535.
    #[error("--port-offset {0} leads beyond port 65535; choose one of at most 56000")]
    Ports(u16),
}

/// What a person or a test needs to use a running `try`; the first line of `try --json`.
#[derive(Clone, Debug, Serialize)]
pub struct TrialDocument {
    /// The name to connect to.
    pub hostname: String,
    /// The issuer's URL.
    pub issuer: String,
    /// The certificate authority that clients must trust.
    pub ca_file: PathBuf,
    /// Where state lives.
    pub data_dir: PathBuf,
    /// The configuration that other commands take with `-c`.
    pub config_file: PathBuf,
    /// Ports by service.
    pub ports: Ports,
    /// The sample users.
    pub users: Vec<TrialUser>,
    /// The pre-registered public client.
    pub client_id: String,
    /// An access token of the first user.
    pub access_token: String,
    /// A refresh token of the same grant.
    pub refresh_token: String,
}

/// Ports of `try`.
#[derive(Clone, Copy, Debug, Serialize)]
#[expect(missing_docs, reason = "each field is the port of the service it is named after")]
pub struct Ports {
    pub imap: u16,
    pub imaps: u16,
    pub smtp: u16,
    pub smtps: u16,
    pub pop3: u16,
    pub pop3s: u16,
    pub https: u16,
    pub sieve: u16,
    #[serde(skip)]
    pub metrics: u16,
    #[serde(skip)]
    pub only_xoauth2: OnlyXoauth2,
}

/// Ports with implicit TLS that offer XOAUTH2 and nothing else, one above the others: curl takes OAUTHBEARER
/// wherever it is offered, so it shows XOAUTH2 only there.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "each field is the port of the service it is named after")]
pub struct OnlyXoauth2 {
    pub imaps: u16,
    pub smtps: u16,
    pub pop3s: u16,
}

/// A sample user.
#[derive(Clone, Debug, Serialize)]
pub struct TrialUser {
    /// The login name.
    pub login: String,
    /// The password at the sample mail server.
    pub password: String,
}

const HOSTNAME: &str = "localhost";
/// The domain of their addresses.
const DOMAIN: &str = "example.org";
/// The people of the sample mail server; the first one gets the access token.
const PEOPLE: [&str; 2] = ["alice@example.org", "bob@example.org"];
/// How long the token of `try` lives.
const TOKEN_LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// `try` ends soon after Ctrl-C.
const DRAIN: Duration = Duration::from_secs(2);

/// Runs `try` until a signal; `ready` gets the document once every port accepts.
///
/// # Errors
/// [`TrialError`] when it cannot start.
pub async fn try_run(options: TrialOptions, ready: impl FnOnce(&TrialDocument)) -> Result<(), TrialError> {
    let ports = Ports::from_offset(options.port_offset)?;
    let data_dir = options.data.unwrap_or_else(|| default_data_dir(options.port_offset));
    let io_error = |what: &str| {
        let what = what.to_owned();
        move |error| TrialError::Io(what, error)
    };

    private_folder(&data_dir).map_err(io_error(&data_dir.display().to_string()))?;
    let data_dir = data_dir.canonicalize().map_err(io_error("data folder"))?;
    let identity = dev::ensure(&data_dir.join("certs"), HOSTNAME, UnixTime::now())
        .map_err(|error| TrialError::App(error.into()))?;
    let users: Vec<TrialUser> = PEOPLE.into_iter().map(TrialUser::new).collect::<Result<_, _>>()?;
    let sample = start_sample(&users).map_err(io_error("sample mail server"))?;
    let config_file = data_dir.join("bearward.toml");
    let text = configuration(&data_dir, &identity, ports, sample.addresses());
    std::fs::write(&config_file, text).map_err(io_error("bearward.toml"))?;

    let mut config = config::load(Some(&config_file))?.config;
    let _log = telemetry::init(&config.telemetry)?;
    // Nobody guesses passwords from this very machine, and people who try things mistype.
    config.issuer.sign_in.exempt_loopback = true;
    config.session.drain_timeout = config.session.drain_timeout.min(DRAIN);
    let (access_token, refresh_token) = first_tokens(&config, &users).await?;
    let document = TrialDocument {
        hostname: HOSTNAME.to_owned(),
        issuer: config.issuer.url.to_string(),
        ca_file: identity.ca.clone(),
        data_dir,
        config_file,
        ports,
        users,
        client_id: ClientId::open().to_string(),
        access_token,
        refresh_token,
    };
    serve(config, || ready(&document)).await?;
    Ok(())
}

impl Ports {
    fn from_offset(offset: u16) -> Result<Self, TrialError> {
        let port = |standard: u16| standard.checked_add(offset).ok_or(TrialError::Ports(offset));
        Ok(Self {
            imap: port(143)?,
            imaps: port(993)?,
            smtp: port(587)?,
            smtps: port(465)?,
            pop3: port(110)?,
            pop3s: port(995)?,
            https: port(443)?,
            sieve: port(4190)?,
            metrics: port(9464)?,
            only_xoauth2: OnlyXoauth2 { imaps: port(994)?, smtps: port(466)?, pop3s: port(996)? },
        })
    }

    /// Protocol, port, TLS, and one more line of each listener.
    fn listeners(self) -> [(&'static str, u16, &'static str, &'static str); 11] {
        const XOAUTH2: &str = "mechanisms = [\"XOAUTH2\"]\n";
        [
            ("imap", self.imaps, "implicit", ""),
            ("imap", self.imap, "starttls", ""),
            ("smtp", self.smtps, "implicit", ""),
            ("smtp", self.smtp, "starttls", ""),
            ("pop3", self.pop3s, "implicit", ""),
            ("pop3", self.pop3, "starttls", ""),
            ("https", self.https, "implicit", ""),
            ("sieve", self.sieve, "starttls", ""),
            ("imap", self.only_xoauth2.imaps, "implicit", XOAUTH2),
            ("smtp", self.only_xoauth2.smtps, "implicit", XOAUTH2),
            ("pop3", self.only_xoauth2.pop3s, "implicit", XOAUTH2),
        ]
    }
}

impl TrialUser {
    /// A user with a new random password, which is told to the person at the terminal and stored nowhere.
    fn new(login: &str) -> Result<Self, TrialError> {
        let mut bits = [0; 9];
        aws_lc_rs::rand::fill(&mut bits)
            .map_err(|_| TrialError::Io("random numbers".into(), io::Error::other("not available")))?;
        let password = bits.iter().fold(String::new(), |mut text, octet| {
            let _ = write!(text, "{octet:02x}");
            text
        });
        Ok(Self { login: login.to_owned(), password })
    }
}

fn default_data_dir(offset: u16) -> PathBuf {
    std::env::temp_dir().join(format!("bearward-try-{offset}"))
}

fn private_folder(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let metadata = std::fs::symlink_metadata(path)?;
    // A folder that somebody else left at this name in the temporary directory would own our keys.
    if !metadata.is_dir() || metadata.uid() != own_uid()? {
        return Err(io::Error::other("it belongs to another user; choose another with --data"));
    }
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))
}

/// The user that this process runs as, read from its own /proc entry.
fn own_uid() -> io::Result<u32> {
    use std::os::unix::fs::MetadataExt;
    Ok(std::fs::metadata("/proc/self")?.uid())
}

fn start_sample(users: &[TrialUser]) -> io::Result<SampleServer> {
    let user = |user: &TrialUser| {
        let login = Login::parse(&user.login).map_err(io::Error::other)?;
        Ok(User { login, password: Secret::copy_of(user.password.as_bytes()) })
    };
    SampleServer::start(users.iter().map(user).collect::<io::Result<_>>()?)
}

fn configuration(data_dir: &Path, identity: &dev::DevFiles, ports: Ports, sample: Addresses) -> String {
    let quote = |path: &Path| toml::Value::String(path.display().to_string()).to_string();
    let server = |scheme: &str, address: SocketAddr| format!("[\"{scheme}://{address}\"]");
    let mut text = format!(
        "# Written by `bearward try` at each start.\n\
         hostname = \"{HOSTNAME}\"\n\
         data_dir = {data}\n\n\
         [tls]\ncertificate = {certificate}\nprivate_key = {key}\n\n\
         [issuer]\nurl = \"https://{HOSTNAME}:{https}\"\n\n\
         [setup]\ndomains = [\"{DOMAIN}\"]\nprovider_name = \"Bearward on trial\"\n\n\
         [telemetry]\nmetrics = \"{metrics}\"\n\n\
         [backend.sample]\nlogin = \"sealed\"\nimap = {imap}\nsmtp = {smtp}\npop3 = {pop3}\n\
         sieve = {sieve}\n",
        data = quote(data_dir),
        certificate = quote(&identity.server.certificate),
        key = quote(identity.server.private_key.as_ref().unwrap_or(&identity.server.certificate)),
        https = ports.https,
        metrics = metrics_address(ports.metrics),
        imap = server("imap", sample.imap),
        smtp = server("smtp", sample.smtp),
        pop3 = server("pop3", sample.pop3),
        sieve = server("sieve", sample.sieve),
    );
    // Some machines have no IPv6 at all; on the others a client may try ::1 first.
    let has_ipv6 = std::net::UdpSocket::bind("[::1]:0").is_ok();
    let addresses: &[&str] = if has_ipv6 { &["127.0.0.1", "[::1]"] } else { &["127.0.0.1"] };
    for (protocol, port, tls, more) in ports.listeners() {
        for address in addresses {
            let _ = write!(
                text,
                "\n[[listener]]\nprotocol = \"{protocol}\"\nbind = \"{address}:{port}\"\ntls = \"{tls}\"\n{more}"
            );
        }
    }
    text
}

/// Where metrics are served. They are beside the point of a trial, so a taken port does not stop it.
fn metrics_address(port: u16) -> String {
    let address = format!("127.0.0.1:{port}");
    if std::net::TcpListener::bind(&address).is_ok() { address } else { "off".to_owned() }
}

async fn first_tokens(config: &Config, users: &[TrialUser]) -> Result<(String, String), TrialError> {
    let failed = |error: &dyn std::fmt::Display| TrialError::Token(error.to_string());
    let Some(user) = users.first() else { return Err(failed(&"there is no user")) };
    let (store, key) = open_store(config).await?;
    let issuer = Issuer::new(config.issuer.clone(), store, key, UnixTime::now());
    let issuer = issuer.await.map_err(|error| failed(&error))?;
    let request = MintRequest {
        user: Login::parse(&user.login).map_err(|error| failed(&error))?,
        client: ClientId::open(),
        scope: Scope::mail(),
        lifetime: Some(TOKEN_LIFETIME),
        sealed_backends: vec!["sample".into()],
        with_refresh_token: true,
        passwords: vec![("sample".into(), Secret::copy_of(user.password.as_bytes()))],
    };
    let minted = issuer.mint(request, UnixTime::now()).await.map_err(|error| failed(&error))?;
    let text = |secret: &Secret| secret.expose_str().map(str::to_owned);
    let tokens = text(&minted.access_token).zip(minted.refresh_token.as_ref().and_then(text));
    tokens.ok_or_else(|| failed(&"it is not text"))
}
