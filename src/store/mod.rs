//! What must outlive the process: grants, tokens, sealed credentials, signing keys.
//!
//! Rooms above see the [`Store`] trait alone; each engine passes the same conformance suite. What holds:
//! - Nothing in a store is a key or a secret in clear: tokens are hashes, passwords are sealed, private keys
//!   are wrapped under keys that are not here.
//! - An outage is never "not found": whoever cannot be asked answers [`StoreError::Unavailable`].
//! - An acknowledged write survives power loss.
//! - Ending a grant also removes what its tokens could open.
//!
//! It must not decide who may do what, and must not import the token formats.

mod account_session;
mod app_password;
mod client;
mod ephemeral;
mod error;
mod exchange;
mod history;
mod outside;
mod postgres;
mod record;
mod revocations;
mod secret;
pub mod server_key;
mod sqlite;
mod user;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;

pub use account_session::{ACCOUNT_SESSIONS, AccountSession, AccountSessions};
pub use app_password::{AppPasswordRecord, AppPasswords, LastUse, NEVER, NewAppPasswordRow};
pub use client::{ClientRecord, ClientState, Clients};
pub use ephemeral::{Ephemeral, EphemeralKind};
pub use error::StoreError;
pub use exchange::{
    CodeRecord, Decided, DevicePoll, DeviceRecord, DeviceState, Exchanges, NewCode, NewDevice, Redeemed,
    Renewal, Rotated, Rotation,
};
pub use history::{
    BROWSER_RETENTION, BROWSER_ROWS, GrantUse, HISTORY_RETENTION, HISTORY_ROWS, History, News, Place,
    SignInBy, SignInNote, SignInRecord, SignInResult,
};
pub use outside::OutsideEnds;
pub use postgres::{PostgresAddress, PostgresHost, PostgresStore, PostgresTls};
pub use record::{
    CheckItem, Ended, Grant, GrantEnd, GrantFilter, NewGrant, NewToken, Replaces, RevocationReason,
    SealedCredential, SigningKeyRecord, TokenRecord,
};
pub use revocations::{Revocation, RevocationCursor, RevocationFeed, RevocationPage, Revoked};
pub use secret::{UpstreamSecret, UpstreamSecrets};
pub use sqlite::SqliteStore;
pub use user::{UserRecord, Users};

use crate::model::{GrantId, TokenHash, UnixTime};

/// How long a token is remembered after its end, so that "expired" is told apart from "unknown", and how long a
/// revocation is told.
pub const RETENTION: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How long a device code that nobody approved is remembered after its end. Anyone may ask for one, so it is short.
pub const DEVICE_RETENTION: Duration = Duration::from_secs(60 * 60);

/// How long it is remembered what was ended at another issuer; its tokens should not live longer.
pub const OUTSIDE_RETENTION: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Where the store is.
#[derive(Clone, Debug)]
pub struct Config {
    /// The engine and its address.
    pub location: Location,
    /// How late a revocation by another process may be noticed.
    pub poll_interval: Duration,
}

/// The engine and its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A PostgreSQL database, which several nodes may share.
    Postgres(PostgresAddress),
    /// A SQLite file.
    Sqlite(PathBuf),
}

/// Opens the store, creating it where there is none, and brings it to this version's form.
///
/// # Errors
/// [`StoreError`]; [`StoreError::Newer`] when a later version of this program has changed it already.
pub async fn open(config: &Config) -> Result<Arc<dyn Store>, StoreError> {
    match &config.location {
        Location::Postgres(address) => Ok(Arc::new(PostgresStore::open(address).await?)),
        Location::Sqlite(path) => Ok(Arc::new(SqliteStore::open(path).await?)),
    }
}

/// The store's operations. Every one may answer [`StoreError::Unavailable`].
#[async_trait]
pub trait Store:
    AccountSessions
    + AppPasswords
    + Clients
    + Ephemeral
    + Exchanges
    + History
    + OutsideEnds
    + UpstreamSecrets
    + Users
    + Send
    + Sync
    + 'static
{
    /// Stores a grant, its sealed credentials, its code and its first tokens: all of it or nothing.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the grant, the code or a token exists already; [`StoreError::GrantEnded`]
    /// when the client is on the deny list.
    async fn create_grant(&self, grant: NewGrant) -> Result<(), StoreError>;

    /// Adds a token to a grant that is live at `now`.
    ///
    /// # Errors
    /// [`StoreError::GrantEnded`] when the grant is unknown, revoked or past its end;
    /// [`StoreError::Conflict`] when the token exists already.
    async fn add_token(&self, grant: GrantId, token: NewToken, now: UnixTime) -> Result<(), StoreError>;

    /// A token with its grant and the grant's sealed credentials, whether live or not.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when the row cannot be read as what it should be.
    async fn token(&self, lookup: &TokenHash) -> Result<Option<TokenRecord>, StoreError>;

    /// A grant, whether live or not.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when the row cannot be read as what it should be.
    async fn grant(&self, id: GrantId) -> Result<Option<Grant>, StoreError>;

    /// Grants in the order in which they were created.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when a row cannot be read as what it should be.
    async fn grants(&self, filter: GrantFilter) -> Result<Vec<Grant>, StoreError>;

    /// Ends a grant and removes its sealed credentials, its wrapped keys (those of codes too) and kept answers; an
    /// app password ends with it, however far its end was. The first reason stays.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] alone.
    async fn revoke_grant(
        &self,
        id: GrantId,
        reason: RevocationReason,
        at: UnixTime,
    ) -> Result<Ended, StoreError>;

    /// Ends one token and removes its wrapped key and kept answer; its grant lives on.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] alone.
    async fn revoke_token(&self, lookup: &TokenHash, at: UnixTime) -> Result<Ended, StoreError>;

    /// What was revoked since `cursor`, or, without one, nothing but the cursor of now and what is settled. Where
    /// rows may commit out of order, some come again; [`RevocationFeed`] removes the repeats.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when a row cannot be read as what it should be.
    async fn revocations(&self, cursor: Option<RevocationCursor>) -> Result<RevocationPage, StoreError>;

    /// Every signing key, the oldest first.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] alone.
    async fn signing_keys(&self) -> Result<Vec<SigningKeyRecord>, StoreError>;

    /// Stores a signing key if the newest key of its algorithm is the one that it replaces (none at all, for the
    /// first), whose end is then set; `false`, with nothing changed, when another process was faster.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] alone.
    async fn add_signing_key(
        &self,
        key: SigningKeyRecord,
        replaces: Option<Replaces>,
    ) -> Result<bool, StoreError>;

    /// Has a signing key retire at `at`, if it would not earlier.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] alone.
    async fn retire_signing_key(&self, kid: &str, at: UnixTime) -> Result<(), StoreError>;

    /// Returns when something may have been revoked; never where nobody tells. There is one who waits, and it polls
    /// too, because a notification can be lost.
    async fn revocation_hint(&self) {
        std::future::pending().await
    }

    /// Removes what has had its time, at most `limit` rows of each kind. Returns how many rows it touched; call
    /// again until that is zero.
    ///
    /// - At its end: the wrapped key of a token or code, a kept answer, an ephemeral fact, a signing key, a session of
    ///   the account page.
    /// - [`HISTORY_RETENTION`] after it: a sign-in. [`BROWSER_RETENTION`] after its last sign-in: a browser.
    /// - [`RETENTION`] after its end: a token, a code, an approved device code, and, counted from its use, a
    ///   refresh token that was replaced; a revocation, counted from when it was told.
    /// - [`OUTSIDE_RETENTION`] after it: an end at another issuer.
    /// - [`DEVICE_RETENTION`] after its end: a device code that was not approved.
    ///
    /// A grant that no token, code or device code is left of goes too, and is told as a revocation if it had not
    /// ended.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] alone.
    async fn remove_expired(&self, now: UnixTime, limit: u32) -> Result<u64, StoreError>;

    /// Writes a consistent copy to a new file of mode 0600.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the file exists; it is never overwritten.
    async fn backup(&self, path: &Path) -> Result<(), StoreError>;

    /// Examines the whole store.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when it cannot be examined; what is wrong with it is in the items.
    async fn check(&self) -> Result<Vec<CheckItem>, StoreError>;
}
