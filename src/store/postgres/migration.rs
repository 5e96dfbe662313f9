use sqlx::{Connection, PgConnection, migrate::Migrator, query, query_as, query_scalar};

use super::fault::{fault, migration_fault, newer};
use crate::store::StoreError;

/// The oldest server that has what is needed.
const OLDEST: i32 = 130_000;
/// Names the advisory lock that whoever migrates holds.
const LOCK: i64 = 0x6265_6172_7761_7264;

/// This version's migrations.
pub(super) fn migrations() -> Migrator {
    let mut migrations = sqlx::migrate!("migrations/postgres");
    // The lock is taken here, together with the transaction around all of them.
    migrations.set_locking(false);
    migrations
}

/// Brings the database to this version's form, all of it or nothing. Processes that start together wait for one
/// another. Where there is nothing to do, nothing is written, so that a user who may not create tables suffices.
pub(super) async fn migrate(connection: &mut PgConnection) -> Result<(), StoreError> {
    let version: String = query_scalar("SELECT current_setting('server_version_num')")
        .fetch_one(&mut *connection)
        .await
        .map_err(|error| fault(&error))?;
    if version.parse::<i32>().is_ok_and(|version| version < OLDEST) {
        return Err(StoreError::Unavailable("PostgreSQL is older than version 13".to_owned()));
    }
    let migrations = migrations();
    if is_current(connection, &migrations).await? {
        return Ok(());
    }
    let mut transaction = connection.begin().await.map_err(|error| fault(&error))?;
    // Making an index takes its time; waiting for another process that does it takes as long.
    for statement in ["SET LOCAL statement_timeout = 0", "SET LOCAL lock_timeout = 0"] {
        query(statement).execute(&mut *transaction).await.map_err(|error| fault(&error))?;
    }
    query("SELECT pg_advisory_xact_lock($1)")
        .bind(LOCK)
        .execute(&mut *transaction)
        .await
        .map_err(|error| fault(&error))?;
    migrations.run_direct(None, &mut *transaction, false).await.map_err(migration_fault)?;
    transaction.commit().await.map_err(|error| fault(&error))
}

/// Whether every migration, and no other, was applied as it is here.
async fn is_current(connection: &mut PgConnection, migrations: &Migrator) -> Result<bool, StoreError> {
    let has_table: bool = query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL")
        .fetch_one(&mut *connection)
        .await
        .map_err(|error| fault(&error))?;
    if !has_table {
        return Ok(false);
    }
    let applied: Vec<(i64, Vec<u8>)> =
        query_as("SELECT version, checksum FROM _sqlx_migrations WHERE success ORDER BY version")
            .fetch_all(connection)
            .await
            .map_err(|error| fault(&error))?;
    if let Some((unknown, _)) = applied.iter().find(|(version, _)| !migrations.version_exists(*version)) {
        return Err(newer(*unknown));
    }
    let expected = migrations.iter().map(|migration| (migration.version, migration.checksum.as_ref()));
    Ok(applied.iter().map(|(version, checksum)| (*version, checksum.as_slice())).eq(expected))
}
