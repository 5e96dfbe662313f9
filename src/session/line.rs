//! The way of one mail connection, top to bottom.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use aws_lc_rs::rand;
use tokio::{net::TcpStream, time::Instant};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::{
    Config,
    issuers::Issuers,
    password::Passwords,
    registry::Registry,
    sign_in::{SignedIn, sign_in, spoiled},
};
use crate::{
    directory::Secrets,
    limits,
    lookup::Lookups,
    model::{Protocol, SessionId},
    net::{ListenerConfig, ListenerTls, Peers},
    proto::{self, Accepted, Answer, Banner, Close, FrontConfig, Question, Step, TlsFacts, TlsState},
    relay::{self, EndReason, RelayEnd},
    telemetry::{Direction, Metrics, TlsVersion},
    tls::{MailStream, ServerConfig, TlsError},
    upstream::Backends,
    validator::{RefusalPolicy, Validator},
};

/// What all sessions of a process share.
#[derive(Debug)]
pub struct Shared {
    /// `[session]`.
    pub config: Config,
    /// `[limits]`.
    pub limits: limits::Config,
    /// The public name.
    pub hostname: Arc<str>,
    /// The issuers of the tokens.
    pub issuers: Issuers,
    /// Decides about tokens.
    pub validator: Arc<Validator>,
    /// Decides when a refused mailbox password ends its grant.
    pub refusals: RefusalPolicy,
    /// Where sessions go.
    pub backends: Arc<Backends>,
    /// Directories that are asked about users.
    pub lookups: Lookups,
    /// Passwords of users at mail servers that the store keeps.
    pub secrets: Arc<Secrets>,
    /// Which passwords are taken, and what holds guessing down.
    pub passwords: Passwords,
    /// Live sessions.
    pub registry: Arc<Registry>,
    /// Figures.
    pub metrics: Arc<Metrics>,
    /// Cancelled when the process stops taking sign-ins.
    pub drain: CancellationToken,
}

/// One listener, as its connections see it.
#[derive(Debug)]
pub struct Front {
    /// Its settings.
    pub listener: ListenerConfig,
    /// What it speaks.
    pub protocol: Protocol,
    /// TLS toward its clients.
    pub tls: Arc<ServerConfig>,
}

/// What is known of a connection before anyone signed in.
pub(super) struct Connection {
    pub(super) id: SessionId,
    pub(super) protocol: Protocol,
    pub(super) peer: SocketAddr,
    pub(super) local: SocketAddr,
    /// How many more proxies may follow, where the proxy before this one says so.
    pub(super) ttl: Option<u8>,
    pub(super) sni: Option<Arc<str>>,
    /// SHA-256 of the certificate that the client has shown.
    pub(super) certificate: Option<[u8; 32]>,
    /// What mail servers are told of its TLS.
    pub(super) tls: Option<TlsFacts>,
    pub(super) front: Arc<Front>,
}

/// A session that is ready to relay.
struct Handover {
    client: MailStream,
    signed_in: SignedIn,
    /// Octets that the client had pipelined behind its login.
    first: Vec<u8>,
}

/// Octets read from a client at a time before the login.
const CHUNK: usize = 4096;

/// Octets kept of what a client sends while its sign-in is decided; the rest waits in its own connection.
const MAX_BEHIND: usize = 16 * 1024;

/// Time to say goodbye to a client that may not listen.
const GOODBYE: Duration = Duration::from_secs(1);

/// Runs one connection between `peers` to its end. `admission` is held until then.
pub async fn run<P: Send + 'static>(
    shared: Arc<Shared>,
    front: Arc<Front>,
    tcp: TcpStream,
    peers: Peers,
    banner: Banner,
    admission: P,
) {
    let protocol = front.protocol;
    let counted = shared.metrics.connection_opened(protocol);
    let Some(handover) = Box::pin(until_login(&shared, front, tcp, peers, banner)).await else { return };
    // A task of its own: the dialogue's future, which is large, is gone while the session lives on.
    let held = (admission, counted, shared.metrics.session_opened(protocol));
    tokio::spawn(relay_session(Arc::clone(&shared.metrics), protocol, handover, held));
}

async fn relay_session<H>(metrics: Arc<Metrics>, protocol: Protocol, handover: Handover, held: H) {
    let Handover { client, signed_in, first } = handover;
    let SignedIn { entry, upstream, guard } = signed_in;
    let switch = Arc::clone(&entry.live().switch);
    let goodbye = goodbye_of(protocol);
    let end: RelayEnd =
        relay::relay(client, upstream.stream, first, upstream.ready.leftover, guard, switch, goodbye).await;
    metrics.relayed(protocol, Direction::ToServer, end.up);
    metrics.relayed(protocol, Direction::ToClient, end.down);
    drop(held);
    tracing::info!(session = %entry.live().id, %protocol, reason = %end.reason, octets_up = end.up, octets_down = end.down, "session ended");
}

/// The line that ends a session from our side.
fn goodbye_of(protocol: Protocol) -> fn(EndReason) -> &'static [u8] {
    match protocol {
        Protocol::Imap => |_| b"* BYE session ended by the server\r\n",
        Protocol::Pop3 => |_| b"-ERR [SYS/TEMP] session ended by the server\r\n",
        Protocol::Sieve => |_| b"BYE \"session ended by the server\"\r\n",
        Protocol::Smtp => |_| b"421 4.3.2 session ended by the server\r\n",
    }
}

async fn until_login(
    shared: &Arc<Shared>,
    front: Arc<Front>,
    tcp: TcpStream,
    peers: Peers,
    banner: Banner,
) -> Option<Handover> {
    let mut connection = Connection {
        id: session_id(),
        protocol: front.protocol,
        peer: peers.client,
        local: peers.local,
        ttl: peers.ttl,
        sni: None,
        certificate: None,
        tls: None,
        front,
    };
    let mut client = MailStream::clear(tcp);
    if connection.front.listener.tls == ListenerTls::Implicit {
        client = handshake(shared, &mut connection, client).await?;
    }
    let machine = proto::downstream(connection.protocol, banner, front_config(shared, &connection))?;
    dialogue(shared, connection, client, machine).await
}

async fn dialogue(
    shared: &Arc<Shared>,
    mut connection: Connection,
    mut client: MailStream,
    mut machine: Box<dyn proto::Downstream>,
) -> Option<Handover> {
    let deadline = Instant::now() + shared.limits.pre_auth_timeout;
    let mut signed_in = None;
    let mut outgoing = Vec::new();
    let mut incoming = Zeroizing::new(Vec::with_capacity(CHUNK));
    // What the client sends while its sign-in is decided. Every question is followed by an answer, and so emptied.
    let mut behind = Zeroizing::new(Vec::new());
    loop {
        match machine.poll() {
            Step::Send(octets) => {
                outgoing.extend_from_slice(&octets);
                // A client that pipelines small commands and reads nothing must not make us keep the answers.
                if outgoing.len() >= CHUNK {
                    flush(&mut client, &mut outgoing, deadline).await?;
                }
            }
            Step::Ask(Question::Authenticate(attempt)) => {
                let left = until_left(&mut client, &mut behind);
                let answer = match sign_in(shared, &connection, attempt, left).await {
                    Ok(ready) => {
                        let capabilities = ready.upstream.ready.capabilities.clone();
                        signed_in = Some(ready);
                        Answer::Accepted(Accepted { capabilities })
                    }
                    Err(refusal) => Answer::Refused(refusal),
                };
                machine.answer(answer);
            }
            Step::Spoiled { mechanism, reason } => spoiled(shared, &connection, mechanism, reason),
            Step::Handover(mut first) => {
                first.append(&mut behind);
                flush(&mut client, &mut outgoing, deadline).await?;
                return Some(Handover { client, signed_in: signed_in?, first });
            }
            Step::StartTls => {
                flush(&mut client, &mut outgoing, deadline).await?;
                client = handshake(shared, &mut connection, client).await?;
                machine.tls_started();
            }
            Step::Close(reason) => {
                close(&connection, client, &outgoing, reason).await;
                return None;
            }
            Step::NeedInput => {
                flush(&mut client, &mut outgoing, deadline).await?;
                if !behind.is_empty() {
                    machine.receive(&behind);
                    zeroize::Zeroize::zeroize(&mut *behind);
                    continue;
                }
                match receive(shared, &mut client, &mut incoming, machine.awaits_dummy_response(), deadline)
                    .await
                {
                    Received::Octets => {
                        machine.receive(&incoming);
                        zeroize::Zeroize::zeroize(&mut *incoming);
                    }
                    Received::NoDummyResponse => machine.dummy_response_timed_out(),
                    Received::Ended(reason) => {
                        if let Some(reason) = reason {
                            say_goodbye(client, &machine.goodbye(reason)).await;
                        }
                        return None;
                    }
                }
            }
        }
    }
}

/// Keeps what the client sends while its sign-in is decided, as far as there is room; ready when it has left.
async fn until_left(client: &mut MailStream, behind: &mut Vec<u8>) {
    while behind.len() < MAX_BEHIND {
        match client.read(behind).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
    std::future::pending().await
}

/// What waiting for the client came to.
enum Received {
    /// Octets, in the buffer.
    Octets,
    /// The line after an error challenge did not come in time.
    NoDummyResponse,
    /// The connection ends; with a reason when the client is to be told.
    Ended(Option<&'static str>),
}

async fn receive(
    shared: &Shared,
    client: &mut MailStream,
    incoming: &mut Vec<u8>,
    awaits_dummy_response: bool,
    deadline: Instant,
) -> Received {
    let now = Instant::now();
    // Also for a client that always has something to say: below, what it says comes first.
    if now >= deadline {
        return Received::Ended(Some("too slow to sign in"));
    }
    let dummy = now + shared.limits.dummy_response_timeout;
    let wait = if awaits_dummy_response { deadline.min(dummy) } else { deadline };
    tokio::select! {
        biased;
        () = shared.drain.cancelled() => Received::Ended(Some("the server is shutting down")),
        read = client.read(incoming) => match read {
            Ok(0) | Err(_) => Received::Ended(None),
            Ok(_) => Received::Octets,
        },
        () = tokio::time::sleep_until(wait) => {
            if awaits_dummy_response && wait < deadline { Received::NoDummyResponse }
            else { Received::Ended(Some("too slow to sign in")) }
        }
    }
}

async fn handshake(shared: &Shared, connection: &mut Connection, client: MailStream) -> Option<MailStream> {
    let accept = client.accept(Arc::clone(&connection.front.tls));
    match tokio::time::timeout(shared.limits.handshake_timeout, accept).await {
        Ok(Ok(client)) => {
            if let Some(facts) = client.facts() {
                let version = if facts.version == "TLSv1.2" { TlsVersion::Tls12 } else { TlsVersion::Tls13 };
                shared.metrics.tls_handshake(version, facts.resumed);
                connection.tls = Some(TlsFacts {
                    version: facts.version.into(),
                    cipher: Some(facts.cipher.into()),
                    sni: facts.sni.clone(),
                    client_certificate: facts.certificate.is_some(),
                });
                connection.sni = facts.sni;
                connection.certificate = facts.certificate;
            }
            Some(client)
        }
        Ok(Err(error)) => {
            log_handshake(connection, &error);
            None
        }
        Err(_) => {
            tracing::debug!(session = %connection.id, client_ip = %connection.peer.ip(), "TLS handshake too slow");
            None
        }
    }
}

fn log_handshake(connection: &Connection, error: &TlsError) {
    tracing::debug!(session = %connection.id, client_ip = %connection.peer.ip(), %error, "TLS handshake failed");
}

async fn flush(client: &mut MailStream, outgoing: &mut Vec<u8>, deadline: Instant) -> Option<()> {
    if outgoing.is_empty() {
        return Some(());
    }
    let written = tokio::time::timeout_at(deadline, client.write_all(outgoing)).await;
    outgoing.clear();
    written.ok()?.ok()
}

async fn close(connection: &Connection, mut client: MailStream, outgoing: &[u8], reason: Close) {
    if reason != Close::ClientLeft {
        tracing::info!(session = %connection.id, protocol = %connection.protocol, client_ip = %connection.peer.ip(), %reason, "connection closed before sign-in");
    }
    if reason == Close::Busy {
        // It has no place among the limits, so nobody waits for it to end: it is told what fits, and gone.
        let _ = tokio::time::timeout(Duration::ZERO, client.write_all(outgoing)).await;
        return;
    }
    say_goodbye(client, outgoing).await;
}

async fn say_goodbye(mut client: MailStream, octets: &[u8]) {
    let farewell = async {
        if client.write_all(octets).await.is_ok() {
            let _ = client.close().await;
        }
    };
    let _ = tokio::time::timeout(GOODBYE, farewell).await;
}

fn front_config(shared: &Shared, connection: &Connection) -> FrontConfig {
    let listener = &connection.front.listener;
    FrontConfig {
        hostname: Arc::clone(&shared.hostname),
        tls: match listener.tls {
            ListenerTls::Implicit => TlsState::Encrypted,
            ListenerTls::None => TlsState::Clear,
            ListenerTls::StartTls => TlsState::ClearStartTls,
        },
        mechanisms: shared.passwords.mechanisms(&shared.config.passwords, listener, connection.peer.ip()),
        offer: shared.backends.offer(connection.protocol),
        line_limit: shared.limits.pre_auth_line,
        sasl_limit: shared.limits.sasl_response,
        bad_commands: shared.limits.bad_commands,
        failed_auth: shared.limits.failed_auth,
    }
}

fn session_id() -> SessionId {
    let mut bits = [0; 8];
    // A name is no secret. Without randomness, which does not happen, sessions would share one.
    let _ = rand::fill(&mut bits);
    SessionId::new(u64::from_be_bytes(bits))
}
