use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

/// Names one grant: what a person allowed one client. Sortable by time, and no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GrantId(Uuid);

/// A text is no identifier of that kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not a valid identifier")]
pub struct InvalidId;

impl GrantId {
    /// A new identifier (UUID version 7, RFC 9562 §5.7).
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }

    /// Its sixteen octets, as stored and as bound into sealed credentials.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// From sixteen stored octets.
    ///
    /// # Errors
    /// [`InvalidId`] when there are not sixteen.
    pub fn from_slice(octets: &[u8]) -> Result<Self, InvalidId> {
        Uuid::from_slice(octets).map(Self).map_err(|_| InvalidId)
    }
}

impl FromStr for GrantId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Uuid::try_parse(text).map(Self).map_err(|_| InvalidId)
    }
}

impl fmt::Display for GrantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// An OAuth client identifier: 1 to 512 printable ASCII octets (RFC 6749 appendix A.1, bounded).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClientId(Arc<str>);

impl ClientId {
    /// Longest identifier in octets.
    pub const MAX: usize = 512;

    /// The pre-registered public client.
    pub fn open() -> Self {
        Self("open".into())
    }

    /// Under which grants of app passwords stand. No client can register it.
    pub fn app_password() -> Self {
        Self("app-password".into())
    }

    /// What stands for the client of a session that was signed in to with the mailbox password. No client can
    /// register it.
    pub fn password() -> Self {
        Self("password".into())
    }

    /// The identifier as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ClientId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        if text.is_empty() || text.len() > Self::MAX || !text.bytes().all(|octet| octet.is_ascii_graphic()) {
            return Err(InvalidId);
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for ClientId {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<ClientId> for String {
    fn from(id: ClientId) -> Self {
        id.as_str().to_owned()
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Names one connection in logs, error texts and toward the upstream. Random, 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(u64);

impl SessionId {
    /// From random bits, which the caller draws.
    pub const fn new(bits: u64) -> Self {
        Self(bits)
    }
}

impl FromStr for SessionId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        if text.len() != 16 {
            return Err(InvalidId);
        }
        u64::from_str_radix(text, 16).map(Self).map_err(|_| InvalidId)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}
