//! The admin socket: how commands reach a running server.
//!
//! HTTP/1.1 with JSON over a Unix socket. The server half parses, asks a [`Control`] and renders; it decides
//! nothing. Who may open the socket (mode 0600 in a folder of mode 0700) may do everything: the file system is
//! the only gate, so nothing here listens on a network.
//!
//! Only one process serves a socket: a lock beside it is held as long as the process lives, so a socket left
//! behind by a crash is told from one that is in use without asking anybody.

mod client;
mod server;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests;

use std::path::PathBuf;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use client::{Client, ClientError};
pub use server::{AdminSocket, BindError};

use crate::model::{GrantId, SessionId};

/// `[admin]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The Unix socket, mode 0600.
    pub socket: PathBuf,
}

/// What the admin socket can ask of the running server.
#[async_trait]
pub trait Control: Send + Sync + 'static {
    /// The live sessions.
    async fn sessions(&self) -> Vec<SessionInfo>;

    /// Closes a session; `false` when there is none of that name.
    async fn kill(&self, session: SessionId) -> bool;

    /// The grants that the filter lets through.
    ///
    /// # Errors
    /// The store cannot be read.
    async fn grants(&self, filter: GrantFilter) -> Result<Vec<GrantInfo>, ControlError>;

    /// Ends a grant and closes its sessions; `None` when there is none of that name.
    ///
    /// # Errors
    /// The store cannot be written.
    async fn revoke(&self, grant: GrantId) -> Result<Option<Revoked>, ControlError>;

    /// Every server of every backend.
    async fn backends(&self) -> Vec<BackendInfo>;

    /// Stops new sessions at servers of a backend, or lets them in again; `None` when there are none of that name.
    async fn drain(&self, backend: &str, request: &DrainRequest) -> Option<Drained>;

    /// Another process has ended something in the store: what it was is looked for at once.
    async fn look(&self);

    /// How the server does.
    async fn status(&self) -> Status;
}

/// The server could not do what was asked; a later try may succeed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct ControlError(pub String);

/// Which grants are meant. Empty means all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantFilter {
    /// Only of this user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Only of this client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
}

/// One live session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionInfo {
    /// Its name, as in the log.
    pub session: String,
    /// The protocol.
    pub protocol: String,
    /// The user.
    pub user: String,
    /// The client that the grant was given to.
    pub client_id: String,
    /// The grant that it hangs on.
    pub grant_id: String,
    /// The backend that it is relayed to.
    pub backend: String,
    /// The mail client's address.
    pub client_ip: String,
    /// When it signed in, in seconds since 1970.
    pub started_at: i64,
    /// When its token expires, in seconds since 1970.
    pub expires_at: i64,
}

/// One grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantInfo {
    /// Its name.
    pub grant_id: String,
    /// The user.
    pub user: String,
    /// The client.
    pub client_id: String,
    /// What it allows.
    pub scope: String,
    /// When it was given, in seconds since 1970.
    pub created_at: i64,
    /// When it ends by itself, in seconds since 1970.
    pub expires_at: Option<i64>,
    /// When it was revoked, in seconds since 1970.
    pub revoked_at: Option<i64>,
}

/// One server of a backend for one protocol.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendInfo {
    /// The backend's name.
    pub backend: String,
    /// The protocol.
    pub protocol: String,
    /// Host and port.
    pub server: String,
    /// `up`; `failing`, with the others tried first; or `down`, left alone but for a trial from time to time.
    pub state: String,
    /// Whether it gets no new sessions.
    pub drained: bool,
    /// Live sessions there.
    pub sessions: usize,
    /// Connections that wait for a user.
    pub warm: usize,
}

/// Which servers of a backend are drained or let in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrainRequest {
    /// Only the servers of this host, or of this host and port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// `false` lets new sessions in again.
    pub drained: bool,
    /// Whether the sessions there are closed.
    #[serde(default)]
    pub close: bool,
}

/// What a drain did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drained {
    /// The backend's name.
    pub backend: String,
    /// Hosts and ports.
    pub servers: Vec<String>,
    /// Whether they get no new sessions now.
    pub drained: bool,
    /// Live sessions that were there.
    pub sessions: usize,
    /// How many of them were closed.
    pub sessions_closed: usize,
}

/// What a revocation did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoked {
    /// The grant.
    pub grant_id: String,
    /// How many live sessions hung on it; they are closed. `None` when no server runs.
    pub sessions_closed: Option<usize>,
}

/// How the server does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The version.
    pub version: String,
    /// When it started, in seconds since 1970.
    pub started_at: i64,
    /// Live sessions.
    pub sessions: usize,
    /// Open client connections, signed in or not.
    pub connections: usize,
    /// Whether it drains: it takes no new connections and waits for the sessions to end.
    pub draining: bool,
}

/// What a refused request is answered with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Refused {
    message: String,
}
