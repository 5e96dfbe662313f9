use std::net::IpAddr;

use async_trait::async_trait;
use serde::Serialize;

use super::{NewGrant, StoreError};
use crate::model::{GrantId, Login, Network, Protocol, Scope, UnixTime};

/// When what never ends would end.
pub const NEVER: UnixTime = UnixTime(253_402_300_799);

/// App passwords: grants whose one token a person carries to a program by hand. One is ended by ending its grant.
#[async_trait]
pub trait AppPasswords: Send + Sync {
    /// Stores a new one with its grant and its token, all of it or nothing; `false`, with nothing stored, where the user
    /// has `most` live ones already.
    ///
    /// # Errors
    /// As [`super::Store::create_grant`].
    async fn create_app_password(&self, password: NewAppPasswordRow, most: u32) -> Result<bool, StoreError>;

    /// Those of one user, or of all, that were not revoked, the oldest first. Those past their end are among them
    /// until they are removed.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when a row cannot be read as what it should be.
    async fn app_passwords(&self, user: Option<&Login>) -> Result<Vec<AppPasswordRecord>, StoreError>;

    /// Whether anybody has one that is live at `now`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] alone.
    async fn has_app_passwords(&self, now: UnixTime) -> Result<bool, StoreError>;

    /// Notes when app passwords were used last. What is older than what is known changes nothing.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] alone.
    async fn app_passwords_used(&self, uses: Vec<(GrantId, LastUse)>) -> Result<(), StoreError>;
}

/// An app password to be stored.
#[derive(Clone, Debug)]
pub struct NewAppPasswordRow {
    /// Its grant, with its token.
    pub grant: NewGrant,
    /// What its owner calls it.
    pub name: String,
    /// From where it may be used; from everywhere when there is none.
    pub networks: Vec<Network>,
}

/// What is told of an app password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppPasswordRecord {
    /// Its grant.
    pub id: GrantId,
    /// Whose it is.
    pub user: Login,
    /// What its owner calls it.
    pub name: String,
    /// The protocols that it is for.
    pub scope: Scope,
    /// From where it may be used; from everywhere when there is none.
    pub networks: Vec<Network>,
    /// Since when.
    pub created_at: UnixTime,
    /// Until when; `None` is without end.
    pub expires_at: Option<UnixTime>,
    /// When it was used last, if ever.
    pub last_use: Option<LastUse>,
}

/// When and by whom an app password was used last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LastUse {
    /// When.
    pub at: UnixTime,
    /// From where.
    pub address: IpAddr,
    /// For what.
    #[serde(serialize_with = "protocol_name")]
    pub protocol: Protocol,
    /// What the program calls itself, where the protocol lets it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn protocol_name<S: serde::Serializer>(protocol: &Protocol, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(protocol.as_str())
}

/// Networks as they are stored.
pub(super) fn networks_text(networks: &[Network]) -> String {
    networks.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// Stored networks.
pub(super) fn networks_of(text: &str) -> Result<Vec<Network>, StoreError> {
    let read = |text: &str| text.parse().map_err(|_| StoreError::Corrupt("a network".to_owned()));
    text.split_whitespace().map(read).collect()
}

/// A stored last use.
pub(super) fn last_use_of(
    at: Option<i64>,
    address: Option<&str>,
    protocol: Option<&str>,
    client: Option<String>,
) -> Result<Option<LastUse>, StoreError> {
    let (Some(at), Some(address), Some(protocol)) = (at, address, protocol) else { return Ok(None) };
    let corrupt = || StoreError::Corrupt("a last use".to_owned());
    Ok(Some(LastUse {
        at: UnixTime(at),
        address: address.parse().map_err(|_| corrupt())?,
        protocol: Protocol::from_name(protocol).ok_or_else(corrupt)?,
        client,
    }))
}
