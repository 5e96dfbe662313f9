//! One login to one mail server: connect, PROXY header, TLS, and the protocol's machine until it is ready.

use std::{io, sync::Arc, time::Duration};

use aws_lc_rs::rand;
use thiserror::Error;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, lookup_host},
    time::timeout,
};
use zeroize::Zeroizing;

use super::{Config, Security, Server, login::PlanError, redact::Redactor};
use crate::{
    model::Secret,
    net,
    proto::{
        self, ClientFacts, Failure, LoginAs, Ready, Upstream, UpstreamPlan, UpstreamStep,
        proxy_header::{self, TlsTlv},
        sasl::ClientPolicy,
    },
    tls::{TlsError, UpstreamStream, UpstreamTls},
};

/// A mail server that waits for its user.
#[derive(Debug)]
pub struct LoggedIn {
    /// The connection.
    pub stream: UpstreamStream,
    /// What the server said.
    pub ready: Ready,
}

/// Why there is no logged-in mail server.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LoginError {
    /// It said no, or cannot.
    #[error("{0}")]
    Failure(#[from] Failure),
    /// No login can be made for this user.
    #[error("{0}")]
    Plan(#[from] PlanError),
    /// No connection, no TLS, or no answer in time.
    #[error("{0}")]
    Unreachable(String),
    /// The server cannot prove who it is, or nothing is there to verify it with.
    #[error("{0}")]
    Untrusted(String),
    /// The backend has no server for the protocol.
    #[error("backend {0} has no server for this protocol")]
    NoServer(String),
}

/// Who is to blame for a failed login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The name or the password.
    Credential,
    /// The operator must act.
    Operator,
    /// Nobody: it may work later.
    Passing,
}

impl LoginError {
    /// Who is to blame, when a person gave the password a moment ago. A bare refusal counts as a wrong password
    /// then: the person can say it again.
    pub const fn blame(&self) -> Blame {
        match self {
            Self::Failure(Failure::WrongPassword(_) | Failure::Refused(_)) | Self::Plan(_) => {
                Blame::Credential
            }
            Self::Failure(Failure::Operator(_)) | Self::NoServer(_) | Self::Untrusted(_) => Blame::Operator,
            Self::Failure(Failure::Temporary(_) | Failure::Protocol(_)) | Self::Unreachable(_) => {
                Blame::Passing
            }
        }
    }

    /// Whether another server of the group may do better: with this one there is no connection to log in on.
    pub(super) const fn is_of_one_server(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Untrusted(_))
    }
}

/// How long one address may take to accept: a dead host answers nothing at all, and the next address or server must
/// still get its turn while the client waits.
const CONNECT: Duration = Duration::from_secs(5);

/// Octets read from a mail server at a time while logging in.
const CHUNK: usize = 4096;

/// Connects to `server` and drives the login to its end. The caller bounds the time.
pub(super) async fn open(
    config: &Config,
    tls: &UpstreamTls,
    server: &Server,
    login: LoginAs,
    client: Option<ClientFacts>,
    hostname: Arc<str>,
) -> Result<LoggedIn, LoginError> {
    let place = format!("{}:{}", server.host, server.port);
    let unreachable =
        |what: &str, error: io::Error| LoginError::Unreachable(format!("{what} {place}: {error}"));
    let mut tcp = connect(server).await.map_err(|error| unreachable("cannot connect to", error))?;
    net::prepare_upstream(&tcp);
    if config.proxy_protocol {
        let header = proxy_announcement(client.as_ref());
        tcp.write_all(&header).await.map_err(|error| unreachable("cannot write to", error))?;
    }
    let stream = match server.security {
        Security::Clear | Security::StartTls => UpstreamStream::Clear(tcp),
        Security::Tls => encrypt(tls, tcp, server).await?,
    };
    let redactor = Redactor::new(&login);
    let plan = UpstreamPlan {
        login,
        starttls: server.security == Security::StartTls,
        client,
        hostname,
        xclient: config.xclient,
        imap_id: config.imap_id,
        sasl: policy(config, server)?,
    };
    let machine = proto::upstream(server.protocol, plan);
    let Some(machine) = machine else { return Err(LoginError::NoServer(config.name.to_string())) };
    drive(machine, stream, tls, server).await.map_err(|error| match error {
        LoginError::Failure(failure) => LoginError::Failure(redactor.clean(failure)),
        LoginError::NoServer(_)
        | LoginError::Plan(_)
        | LoginError::Unreachable(_)
        | LoginError::Untrusted(_) => error,
    })
}

fn policy(config: &Config, server: &Server) -> Result<ClientPolicy, LoginError> {
    let mut nonce = [0; 18];
    let failed = |_| Failure::Temporary("this machine has no randomness to give".to_owned());
    rand::fill(&mut nonce).map_err(failed)?;
    let encrypted = server.security == Security::Tls;
    Ok(ClientPolicy { allowed: Arc::clone(&config.mechanisms), encrypted, nonce })
}

/// Tries the addresses of a name in turn.
async fn connect(server: &Server) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "its name has no address");
    for address in lookup_host((server.host.as_str(), server.port)).await? {
        match timeout(CONNECT, TcpStream::connect(address)).await {
            Ok(Ok(tcp)) => return Ok(tcp),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {CONNECT:?}")),
        }
    }
    Err(last)
}

fn proxy_announcement(client: Option<&ClientFacts>) -> Vec<u8> {
    match client {
        Some(client) => {
            let id = client.session.to_string();
            let tls = client.tls.as_ref().map(|tls| TlsTlv {
                version: &tls.version,
                cipher: tls.cipher.as_deref(),
                authority: tls.sni.as_deref(),
                client_certificate: tls.client_certificate,
            });
            proxy_header::encode_v2(client.address, client.local, tls.as_ref(), Some(id.as_bytes()))
        }
        None => proxy_header::encode_v2_local(),
    }
}

async fn encrypt(tls: &UpstreamTls, tcp: TcpStream, server: &Server) -> Result<UpstreamStream, LoginError> {
    tls.connect(tcp, &server.host).await.map_err(|error| {
        let text = format!("{}:{}: {error}", server.host, server.port);
        // What else can be wrong is a wire, a peer, or a file that was read at the start.
        let is_untrusted =
            matches!(error, TlsError::BadServerName(_) | TlsError::NoSystemRoots(_) | TlsError::Untrusted(_));
        if is_untrusted { LoginError::Untrusted(text) } else { LoginError::Unreachable(text) }
    })
}

/// Lets the machine compute on a thread of its own.
async fn compute(
    mut machine: Box<dyn Upstream>,
    octets: &[u8],
) -> Result<(Box<dyn Upstream>, UpstreamStep), LoginError> {
    let octets = Secret::copy_of(octets);
    let worked = tokio::task::spawn_blocking(move || {
        machine.receive(octets.expose());
        let step = machine.poll();
        (machine, step)
    });
    worked.await.map_err(|_| Failure::Temporary("the login's computation was given up".to_owned()).into())
}

async fn drive(
    mut machine: Box<dyn Upstream>,
    mut stream: UpstreamStream,
    tls: &UpstreamTls,
    server: &Server,
) -> Result<LoggedIn, LoginError> {
    let lost =
        |error: io::Error| LoginError::Unreachable(format!("{}:{}: {error}", server.host, server.port));
    let mut chunk = Zeroizing::new(vec![0; CHUNK]);
    let mut computed = None;
    loop {
        match computed.take().unwrap_or_else(|| machine.poll()) {
            UpstreamStep::Failed(failure) => return Err(failure.into()),
            UpstreamStep::NeedInput => {
                let read = stream.read(&mut chunk).await.map_err(lost)?;
                let octets = chunk.get(..read).unwrap_or_default();
                if octets.is_empty() {
                    return Err(lost(io::Error::other("it closed the connection before the login was done")));
                }
                if machine.is_costly() {
                    let (worked, step) = compute(machine, octets).await?;
                    (machine, computed) = (worked, Some(step));
                } else {
                    machine.receive(octets);
                }
            }
            UpstreamStep::Ready(ready) => return Ok(LoggedIn { stream, ready }),
            UpstreamStep::Send(octets) => {
                stream.write_all(octets.expose()).await.map_err(lost)?;
                stream.flush().await.map_err(lost)?;
            }
            UpstreamStep::StartTls => {
                let UpstreamStream::Clear(tcp) = stream else {
                    return Err(Failure::Protocol("STARTTLS inside TLS".into()).into());
                };
                stream = encrypt(tls, tcp, server).await?;
                machine.tls_started();
            }
        }
    }
}
