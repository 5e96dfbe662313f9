//! Listeners and sockets.
//!
//! It knows options of sockets, the ways in which accepting fails, and the PROXY header before a session; it knows
//! nothing of what is spoken.

mod listener;
mod proxied;

use std::net::SocketAddr;

pub use listener::{NetError, accept, bind, canonical, prepare, prepare_upstream};
pub use proxied::{Peers, ProxyRefusal, peers};

use crate::model::{Mechanism, Network, Protocol};

/// One listening socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerConfig {
    /// What is spoken there.
    pub service: Service,
    /// Where it listens. `[::]` also takes IPv4.
    pub bind: SocketAddr,
    /// How TLS starts.
    pub tls: ListenerTls,
    /// Mechanisms offered, in order.
    pub mechanisms: Vec<Mechanism>,
    /// Whether clients are asked for a certificate, which tokens may be bound to (RFC 8705).
    pub client_certificates: bool,
    /// The networks whose connections begin with a PROXY header; nobody else may connect. Empty: there is none.
    pub proxy_protocol_from: Vec<Network>,
}

/// What a listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Service {
    /// HTTPS: metadata and pages.
    Https,
    /// A mail protocol.
    Mail(Protocol),
}

/// How TLS starts on a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ListenerTls {
    /// From the first octet (RFC 8314).
    Implicit,
    /// Never.
    None,
    /// By STARTTLS or STLS.
    StartTls,
}
