//! One login to one mail server: connect, PROXY header, TLS, and the protocol's machine until it is ready.

use std::{fmt, io, sync::Arc};

use aws_lc_rs::rand;
use thiserror::Error;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use zeroize::Zeroizing;

use super::{Config, Security, Server, dial, login::PlanError, redact::Redactor};
use crate::{
    model::Secret,
    net,
    proto::{
        self, ClientFacts, Failure, LoginAs, Offer, Ready, Upstream, UpstreamPlan, UpstreamStep,
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
    /// Host and port of the server.
    pub server: Arc<str>,
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
}

/// Octets read from a mail server at a time while logging in.
const CHUNK: usize = 4096;

/// Opens connections to the servers of one backend.
#[derive(Debug)]
pub(super) struct Opener {
    pub(super) config: Config,
    pub(super) tls: UpstreamTls,
    pub(super) hostname: Arc<str>,
}

/// A mail server that has greeted and said what it offers. Nobody has logged in, and nothing of a login was sent.
pub(super) struct Greeted {
    pub(super) stream: UpstreamStream,
    machine: Box<dyn Upstream>,
    pub(super) offer: Offer,
}

impl fmt::Debug for Greeted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Greeted").field("stream", &self.stream).finish_non_exhaustive()
    }
}

impl Opener {
    /// Connects to `server` and asks what it offers; tells it of `client` what must be told before. Whatever fails
    /// here has cost no login.
    pub(super) async fn greet(
        &self,
        server: &Server,
        client: Option<&ClientFacts>,
    ) -> Result<Greeted, LoginError> {
        self.in_time(server, Box::pin(self.greet_whenever(server, client))).await
    }

    /// Logs in where `greeted` waits.
    pub(super) async fn log_in(
        &self,
        server: &Server,
        greeted: Greeted,
        login: LoginAs,
        client: Option<ClientFacts>,
    ) -> Result<LoggedIn, LoginError> {
        let Greeted { stream, mut machine, .. } = greeted;
        let redactor = Redactor::new(&login);
        machine.log_in(login, client);
        let driven = self.in_time(server, Box::pin(self.drive(machine, stream, server))).await;
        let (_, stream, ready) = driven.map_err(|error| match error {
            LoginError::Failure(failure) => LoginError::Failure(redactor.clean(failure)),
            LoginError::NoServer(_)
            | LoginError::Plan(_)
            | LoginError::Unreachable(_)
            | LoginError::Untrusted(_) => error,
        })?;
        Ok(LoggedIn { stream, ready, server: place(server) })
    }

    async fn in_time<T>(
        &self,
        server: &Server,
        work: impl Future<Output = Result<T, LoginError>>,
    ) -> Result<T, LoginError> {
        let limit = self.config.timeout;
        timeout(limit, work).await.unwrap_or_else(|_| {
            Err(LoginError::Unreachable(format!("{}: no answer within {limit:?}", place(server))))
        })
    }

    async fn greet_whenever(
        &self,
        server: &Server,
        client: Option<&ClientFacts>,
    ) -> Result<Greeted, LoginError> {
        let unreachable = |what: &str, error: io::Error| {
            LoginError::Unreachable(format!("{what} {}: {error}", place(server)))
        };
        let mut tcp = dial::connect(&server.host, server.port)
            .await
            .map_err(|error| unreachable("cannot connect to", error))?;
        net::prepare_upstream(&tcp);
        if self.config.proxy_protocol {
            let header = proxy_announcement(client);
            tcp.write_all(&header).await.map_err(|error| unreachable("cannot write to", error))?;
        }
        let stream = match server.security {
            Security::Clear | Security::StartTls => UpstreamStream::Clear(tcp),
            Security::Tls => encrypt(&self.tls, tcp, server).await?,
        };
        let plan = UpstreamPlan {
            login: LoginAs::Nobody,
            starttls: server.security == Security::StartTls,
            client: client.cloned(),
            hostname: Arc::clone(&self.hostname),
            xclient: self.config.xclient,
            imap_id: self.config.imap_id,
            sasl: policy(&self.config, server)?,
        };
        let machine = proto::upstream(server.protocol, plan);
        let Some(machine) = machine else {
            return Err(LoginError::NoServer(self.config.name.to_string()));
        };
        let (mut machine, stream, ready) = self.drive(machine, stream, server).await?;
        // What came in the same breath may be a goodbye.
        if let UpstreamStep::Failed(failure) = machine.poll() {
            return Err(failure.into());
        }
        Ok(Greeted { stream, machine, offer: ready.offer })
    }

    async fn drive(
        &self,
        mut machine: Box<dyn Upstream>,
        mut stream: UpstreamStream,
        server: &Server,
    ) -> Result<(Box<dyn Upstream>, UpstreamStream, Ready), LoginError> {
        let lost = |error: io::Error| LoginError::Unreachable(format!("{}: {error}", place(server)));
        let mut chunk = Zeroizing::new(vec![0; CHUNK]);
        let mut computed = None;
        loop {
            match computed.take().unwrap_or_else(|| machine.poll()) {
                UpstreamStep::Failed(failure) => return Err(failure.into()),
                UpstreamStep::NeedInput => {
                    let read = stream.read(&mut chunk).await.map_err(lost)?;
                    let octets = chunk.get(..read).unwrap_or_default();
                    if octets.is_empty() {
                        return Err(lost(io::Error::other(
                            "it closed the connection before the login was done",
                        )));
                    }
                    if machine.is_costly() {
                        let (worked, step) = compute(machine, octets).await?;
                        (machine, computed) = (worked, Some(step));
                    } else {
                        machine.receive(octets);
                    }
                }
                UpstreamStep::Ready(ready) => return Ok((machine, stream, ready)),
                UpstreamStep::Send(octets) => {
                    stream.write_all(octets.expose()).await.map_err(lost)?;
                    stream.flush().await.map_err(lost)?;
                }
                UpstreamStep::StartTls => {
                    let UpstreamStream::Clear(tcp) = stream else {
                        return Err(Failure::Protocol("STARTTLS inside TLS".into()).into());
                    };
                    stream = encrypt(&self.tls, tcp, server).await?;
                    machine.tls_started();
                }
            }
        }
    }
}

/// Host and port, as people write them.
pub(super) fn place(server: &Server) -> Arc<str> {
    let Server { host, port, .. } = server;
    if host.contains(':') { format!("[{host}]:{port}").into() } else { format!("{host}:{port}").into() }
}

fn policy(config: &Config, server: &Server) -> Result<ClientPolicy, LoginError> {
    let mut nonce = [0; 18];
    let failed = |_| Failure::Temporary("this machine has no randomness to give".to_owned());
    rand::fill(&mut nonce).map_err(failed)?;
    let encrypted = server.security == Security::Tls;
    Ok(ClientPolicy { allowed: Arc::clone(&config.mechanisms), encrypted, nonce })
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
            proxy_header::encode_v2(
                client.address,
                client.local,
                tls.as_ref(),
                Some(id.as_bytes()),
                Some(client.ttl),
            )
        }
        None => proxy_header::encode_v2_local(),
    }
}

async fn encrypt(tls: &UpstreamTls, tcp: TcpStream, server: &Server) -> Result<UpstreamStream, LoginError> {
    tls.connect(tcp, &server.host).await.map_err(|error| {
        let text = format!("{}: {error}", place(server));
        // What else can be wrong is a wire, a peer, or a file that was read at the start.
        let is_untrusted =
            matches!(error, TlsError::BadServerName(_) | TlsError::NoSystemRoots(_) | TlsError::Untrusted(_));
        if is_untrusted { LoginError::Untrusted(text) } else { LoginError::Unreachable(text) }
    })
}
