//! The embedded engine: one SQLite file in WAL mode, read by a small pool, written by one connection.

mod account_session;
mod app_password;
mod check;
mod cleanup;
mod client;
mod code;
mod device;
mod ephemeral;
mod exchange;
mod fault;
mod file;
mod grant;
mod history;
mod outside;
#[cfg(test)]
mod plans;
mod revocation;
mod row;
mod secret;
mod signing_key;
mod token;
mod transaction;
mod user;
mod writer;

use std::{path::Path, time::Duration};

use async_trait::async_trait;
use sqlx::{
    ConnectOptions, Connection, SqliteConnection, SqlitePool,
    migrate::Migrator,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use tokio::time::{Instant, sleep};

use self::{
    fault::{fault, migration_fault},
    writer::Writer,
};
use super::{
    CheckItem, Ended, Grant, GrantFilter, NewGrant, NewToken, Replaces, RevocationCursor, RevocationPage,
    RevocationReason, SigningKeyRecord, Store, StoreError, TokenRecord,
};
use crate::model::{GrantId, TokenHash, UnixTime};

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

/// How long a connection waits for another process that writes.
const BUSY: Duration = Duration::from_secs(5);
/// How often it looks again where SQLite does not wait by itself.
const BUSY_STEP: Duration = Duration::from_millis(20);
const READERS: u32 = 4;
/// Cache of the writing connection, in KiB where negative. It alone writes, so what it has read stays true: the
/// inner pages of a store of a million grants fit in.
const WRITER_CACHE: &str = "-65536";
/// Cache of each reading connection. Every commit empties it, so that it serves within one question and while nobody
/// writes; behind it stands the system's own cache. The file is not mapped into memory: a disk that fails would then
/// be a signal that ends the process, and no error.
const READER_CACHE: &str = "-8192";
/// After how many pages the log is written back into the file. The more, the fewer pages are written twice.
const CHECKPOINT: &str = "4000";
/// What the log is cut to after a burst, in octets.
const LOG_LIMIT: &str = "67108864";

/// The embedded store.
#[derive(Debug)]
pub struct SqliteStore {
    options: SqliteConnectOptions,
    readers: SqlitePool,
    writer: Writer,
}

impl SqliteStore {
    /// Opens the file, creating it with mode 0600 where there is none, and brings it to this version's form.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        file::prepare(path)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            // A commit that was acknowledged must survive power loss, which NORMAL does not promise in WAL mode.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY)
            .foreign_keys(true)
            // What is deleted is overwritten, so that a removed key does not linger in free pages.
            .pragma("secure_delete", "ON")
            // What a savepoint needs to undo it stays in memory.
            .pragma("temp_store", "MEMORY")
            .disable_statement_logging();
        let writing = options
            .clone()
            .pragma("cache_size", WRITER_CACHE)
            .pragma("wal_autocheckpoint", CHECKPOINT)
            .pragma("journal_size_limit", LOG_LIMIT);
        let mut connection = connect(&writing).await?;
        migrate(&mut connection).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(BUSY)
            // The file does not hang up: asking before each use would double the time of a look-up.
            .test_before_acquire(false)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(options.clone().pragma("query_only", "ON").pragma("cache_size", READER_CACHE))
            .await
            .map_err(fault)?;
        let writer = Writer::start(connection, writing, readers.clone());
        Ok(Self { options, readers, writer })
    }
}

/// Opens the first connection. While another process turns a new file into WAL mode SQLite says "busy" at once,
/// whatever its busy timeout, so the waiting is done here.
async fn connect(options: &SqliteConnectOptions) -> Result<SqliteConnection, StoreError> {
    let deadline = Instant::now() + BUSY;
    loop {
        match options.connect().await {
            Err(error) if is_busy(&error) && Instant::now() < deadline => sleep(BUSY_STEP).await,
            result => return result.map_err(fault),
        }
    }
}

/// `SQLITE_BUSY` and its extended forms.
fn is_busy(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.and_then(|code| code.parse::<u32>().ok()).is_some_and(|code| code & 0xFF == 5)
}

/// Runs what is missing, all of it or nothing. Processes that start together wait for one another.
async fn migrate(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(fault)?;
    // `Migrator::run` on a borrowed connection makes a future that cannot be spawned; this is what it calls.
    MIGRATIONS.run_direct(None, &mut *transaction, false).await.map_err(migration_fault)?;
    transaction.commit().await.map_err(fault)
}

#[async_trait]
impl Store for SqliteStore {
    async fn create_grant(&self, grant: NewGrant) -> Result<(), StoreError> {
        self.writer
            .run(move |transaction| Box::pin(async move { grant::create(transaction, &grant).await }))
            .await
    }

    async fn add_token(&self, grant: GrantId, token: NewToken, now: UnixTime) -> Result<(), StoreError> {
        self.writer.run(move |transaction| Box::pin(token::add(transaction, grant, token, now))).await
    }

    async fn token(&self, lookup: &TokenHash) -> Result<Option<TokenRecord>, StoreError> {
        token::token(&self.readers, lookup).await
    }

    async fn grant(&self, id: GrantId) -> Result<Option<Grant>, StoreError> {
        grant::grant(&self.readers, id).await
    }

    async fn grants(&self, filter: GrantFilter) -> Result<Vec<Grant>, StoreError> {
        grant::grants(&self.readers, &filter).await
    }

    async fn revoke_grant(
        &self,
        id: GrantId,
        reason: RevocationReason,
        at: UnixTime,
    ) -> Result<Ended, StoreError> {
        self.writer.run(move |transaction| Box::pin(grant::revoke(transaction, id, reason, at))).await
    }

    async fn revoke_token(&self, lookup: &TokenHash, at: UnixTime) -> Result<Ended, StoreError> {
        let lookup = *lookup;
        self.writer.run(move |transaction| Box::pin(token::revoke(transaction, lookup, at))).await
    }

    async fn revocations(&self, cursor: Option<RevocationCursor>) -> Result<RevocationPage, StoreError> {
        revocation::revocations(&self.readers, cursor).await
    }

    /// What this process commits; another one's is found by polling.
    async fn revocation_hint(&self) {
        self.writer.committed().await;
    }

    async fn signing_keys(&self) -> Result<Vec<SigningKeyRecord>, StoreError> {
        signing_key::signing_keys(&self.readers).await
    }

    async fn add_signing_key(
        &self,
        key: SigningKeyRecord,
        replaces: Option<Replaces>,
    ) -> Result<bool, StoreError> {
        self.writer.run(move |transaction| Box::pin(signing_key::add(transaction, key, replaces))).await
    }

    async fn retire_signing_key(&self, kid: &str, at: UnixTime) -> Result<(), StoreError> {
        let kid = kid.to_owned();
        self.writer.run(move |connection| Box::pin(signing_key::retire(connection, kid, at))).await
    }

    async fn remove_expired(&self, now: UnixTime, limit: u32) -> Result<u64, StoreError> {
        cleanup::remove_expired(&self.writer, now, limit).await
    }

    async fn backup(&self, path: &Path) -> Result<(), StoreError> {
        file::backup(&self.options, path).await
    }

    async fn check(&self) -> Result<Vec<CheckItem>, StoreError> {
        check::check(&self.readers, &MIGRATIONS).await
    }
}
