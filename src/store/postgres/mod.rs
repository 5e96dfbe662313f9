//! The engine for several nodes: PostgreSQL 13 or later, which is all that nodes share.
//!
//! What holds:
//! - Each use of something is one transaction at READ COMMITTED. It locks the grant's row first, then changes what
//!   hangs on the grant, so that of two uses one wins and nobody waits in a circle.
//! - A commit is on disk before it is acknowledged, whatever the server's default is.
//! - A server that does not answer costs a caller a few seconds; whatever the caller does, nothing stays behind.
//! - Revocations are read by the transactions that wrote them, so that none is missed ([`revocations`]).

mod account_session;
mod address;
mod app_password;
mod check;
mod cleanup;
mod client;
mod device;
mod ephemeral;
mod exchange;
mod fault;
mod grants;
mod history;
mod listen;
mod migration;
mod outside;
mod revocations;
mod row;
mod runner;
mod secret;
mod signing_key;
mod user;

use std::{fmt, path::Path};

use async_trait::async_trait;
use sqlx::{Connection, postgres::PgConnectOptions};

pub use self::address::{PostgresAddress, PostgresHost, PostgresTls};
use self::{fault::Trouble, listen::Hints, revocations::Numbers, runner::Runner};
use super::{
    CheckItem, CodeRecord, Decided, DevicePoll, DeviceRecord, Ended, Exchanges, Grant, GrantFilter,
    NewDevice, NewGrant, NewToken, Redeemed, Renewal, Replaces, RevocationCursor, RevocationPage,
    RevocationReason, Rotated, Rotation, SigningKeyRecord, Store, StoreError, TokenRecord,
};
use crate::model::{ClientId, GrantId, TokenHash, UnixTime};

/// The store that several nodes share.
pub struct PostgresStore {
    /// Holds the password.
    options: PgConnectOptions,
    runner: Runner,
    numbers: Numbers,
    hints: Hints,
}

/// Without the password.
impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore")
            .field("host", &self.options.get_host())
            .field("database", &self.options.get_database())
            .finish_non_exhaustive()
    }
}

impl PostgresStore {
    /// Connects, and brings the database to this version's form.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn open(address: &PostgresAddress) -> Result<Self, StoreError> {
        let options = address.options();
        let place = |error| match &error {
            StoreError::Unavailable(why) => StoreError::Unavailable(format!("{address}: {why}")),
            StoreError::Conflict(_)
            | StoreError::Corrupt(_)
            | StoreError::GrantEnded
            | StoreError::Newer(_) => error,
        };
        let mut connection = runner::connect(&options).await.map_err(Trouble::into_error).map_err(place)?;
        migration::migrate(&mut connection).await.map_err(place)?;
        // It is of no use any more, whether it closes well or not.
        let _ = connection.close().await;
        Ok(Self {
            runner: Runner::new(options.clone()),
            numbers: Numbers::default(),
            hints: Hints::start(options.clone()),
            options,
        })
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn create_grant(&self, grant: NewGrant) -> Result<(), StoreError> {
        self.runner.write(grant, |connection, grant| Box::pin(grants::create(connection, grant))).await
    }

    async fn add_token(&self, grant: GrantId, token: NewToken, now: UnixTime) -> Result<(), StoreError> {
        let added = (grant, token, now);
        self.runner.write(added, |connection, added| Box::pin(grants::add_token(connection, added))).await
    }

    async fn token(&self, lookup: &TokenHash) -> Result<Option<TokenRecord>, StoreError> {
        self.runner.read(*lookup, |connection, lookup| Box::pin(grants::token(connection, lookup))).await
    }

    async fn grant(&self, id: GrantId) -> Result<Option<Grant>, StoreError> {
        self.runner.read(id, |connection, id| Box::pin(grants::grant(connection, id))).await
    }

    async fn grants(&self, filter: GrantFilter) -> Result<Vec<Grant>, StoreError> {
        self.runner.read(filter, |connection, filter| Box::pin(grants::list(connection, filter))).await
    }

    async fn revoke_grant(
        &self,
        id: GrantId,
        reason: RevocationReason,
        at: UnixTime,
    ) -> Result<Ended, StoreError> {
        let end = (id, reason, at);
        self.runner.write(end, |connection, end| Box::pin(grants::revoke(connection, end))).await
    }

    async fn revoke_token(&self, lookup: &TokenHash, at: UnixTime) -> Result<Ended, StoreError> {
        let end = (*lookup, at);
        self.runner.write(end, |connection, end| Box::pin(grants::revoke_token(connection, end))).await
    }

    async fn revocations(&self, cursor: Option<RevocationCursor>) -> Result<RevocationPage, StoreError> {
        self.numbers.read(&self.runner, cursor).await
    }

    async fn signing_keys(&self) -> Result<Vec<SigningKeyRecord>, StoreError> {
        self.runner.read((), |connection, ()| Box::pin(signing_key::list(connection))).await
    }

    async fn add_signing_key(
        &self,
        key: SigningKeyRecord,
        replaces: Option<Replaces>,
    ) -> Result<bool, StoreError> {
        let added = (key, replaces);
        self.runner.write(added, |connection, added| Box::pin(signing_key::add(connection, added))).await
    }

    async fn retire_signing_key(&self, kid: &str, at: UnixTime) -> Result<(), StoreError> {
        let retired = (kid.to_owned(), at);
        self.runner
            .write(retired, |connection, retired| Box::pin(signing_key::retire(connection, retired)))
            .await
    }

    async fn revocation_hint(&self) {
        self.hints.next().await;
    }

    async fn remove_expired(&self, now: UnixTime, limit: u32) -> Result<u64, StoreError> {
        cleanup::remove_expired(&self.runner, now, limit).await
    }

    /// PostgreSQL's own tools do it, which know the server's version and its other databases.
    async fn backup(&self, _: &Path) -> Result<(), StoreError> {
        Err(StoreError::Unavailable("a PostgreSQL store is copied with pg_dump".to_owned()))
    }

    async fn check(&self) -> Result<Vec<CheckItem>, StoreError> {
        check::check(&self.options).await
    }
}

#[async_trait]
impl Exchanges for PostgresStore {
    async fn code(&self, lookup: &TokenHash) -> Result<Option<CodeRecord>, StoreError> {
        self.runner.read(*lookup, |connection, lookup| Box::pin(exchange::code(connection, lookup))).await
    }

    async fn holds_credentials(&self, grant: GrantId) -> Result<bool, StoreError> {
        self.runner
            .read(grant, |connection, grant| Box::pin(grants::holds_credentials(connection, grant)))
            .await
    }

    async fn redeem_code(
        &self,
        code: &TokenHash,
        tokens: Vec<NewToken>,
        now: UnixTime,
    ) -> Result<Redeemed, StoreError> {
        let used = (*code, tokens, now);
        self.runner.write(used, |connection, used| Box::pin(exchange::redeem_code(connection, used))).await
    }

    async fn rotate_refresh_token(&self, rotation: Rotation) -> Result<Rotated, StoreError> {
        self.runner
            .write(rotation, |connection, rotation| Box::pin(exchange::rotate(connection, rotation)))
            .await
    }

    async fn renew_refresh_token(&self, renewal: Renewal) -> Result<Rotated, StoreError> {
        self.runner.write(renewal, |connection, renewal| Box::pin(exchange::renew(connection, renewal))).await
    }

    async fn create_device(&self, device: NewDevice) -> Result<(), StoreError> {
        self.runner.write(device, |connection, device| Box::pin(device::create(connection, device))).await
    }

    async fn device_by_user_code(
        &self,
        user_code: &TokenHash,
        now: UnixTime,
    ) -> Result<Option<DeviceRecord>, StoreError> {
        let shown = (*user_code, now);
        self.runner.read(shown, |connection, shown| Box::pin(device::by_user_code(connection, shown))).await
    }

    async fn approve_device(
        &self,
        user_code: &TokenHash,
        grant: NewGrant,
        now: UnixTime,
    ) -> Result<Decided, StoreError> {
        let approval = (*user_code, grant, now);
        self.runner
            .write(approval, |connection, approval| Box::pin(device::approve(connection, approval)))
            .await
    }

    async fn deny_device(&self, user_code: &TokenHash, now: UnixTime) -> Result<Decided, StoreError> {
        let denial = (*user_code, now);
        self.runner.write(denial, |connection, denial| Box::pin(device::deny(connection, denial))).await
    }

    async fn poll_device(
        &self,
        lookup: &TokenHash,
        client: &ClientId,
        now: UnixTime,
    ) -> Result<DevicePoll, StoreError> {
        let asking = (*lookup, client.clone(), now);
        self.runner.write(asking, |connection, asking| Box::pin(device::poll(connection, asking))).await
    }

    async fn redeem_device(
        &self,
        device: &TokenHash,
        tokens: Vec<NewToken>,
        now: UnixTime,
    ) -> Result<Redeemed, StoreError> {
        let used = (*device, tokens, now);
        self.runner.write(used, |connection, used| Box::pin(device::redeem(connection, used))).await
    }
}
