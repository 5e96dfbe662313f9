use sqlx::{Connection, PgConnection, postgres::PgConnectOptions, query, query_as, query_scalar};

use super::{fault::fault, migration::migrations, runner::connect};
use crate::store::{CheckItem, StoreError};

/// How long one look may take. The tables are read once.
const PATIENCE: &str = "SET statement_timeout = '120s'";

/// Examines what PostgreSQL does not see to by itself, on a connection of its own, because it may take long.
pub(super) async fn check(options: &PgConnectOptions) -> Result<Vec<CheckItem>, StoreError> {
    let mut connection = connect(options).await.map_err(super::fault::Trouble::into_error)?;
    let items = examine(&mut connection).await.map_err(|error| fault(&error))?;
    // It is of no use any more, whether it closes well or not.
    let _ = connection.close().await;
    Ok(items)
}

async fn examine(connection: &mut PgConnection) -> Result<Vec<CheckItem>, sqlx::Error> {
    query(PATIENCE).execute(&mut *connection).await?;
    Ok(vec![
        indexes(connection).await?,
        references(connection).await?,
        applied(connection).await?,
        durability(connection).await?,
    ])
}

/// An index that could not be built, or is to be built anew, is silently not used.
async fn indexes(connection: &mut PgConnection) -> Result<CheckItem, sqlx::Error> {
    let invalid: Vec<String> = query_scalar(
        "SELECT c.relname::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
         WHERE c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = to_regclass('grants'))
           AND NOT (i.indisvalid AND i.indisready) ORDER BY 1",
    )
    .fetch_all(connection)
    .await?;
    let detail = if invalid.is_empty() {
        "all are valid".to_owned()
    } else {
        format!("{}: not valid; run REINDEX", invalid.join(", "))
    };
    Ok(CheckItem { what: "indexes", ok: invalid.is_empty(), detail })
}

/// Constraints forbid orphans; a restored table or a switched-off trigger may still leave some.
async fn references(connection: &mut PgConnection) -> Result<CheckItem, sqlx::Error> {
    let orphans: i64 = query_scalar(
        "SELECT count(*) FROM (
             SELECT grant_id FROM tokens UNION ALL SELECT grant_id FROM credentials
             UNION ALL SELECT grant_id FROM codes UNION ALL SELECT grant_id FROM app_passwords
             UNION ALL SELECT grant_id FROM grant_uses
             UNION ALL SELECT grant_id FROM devices WHERE grant_id IS NOT NULL
         ) part LEFT JOIN grants g ON g.id = part.grant_id WHERE g.id IS NULL",
    )
    .fetch_one(connection)
    .await?;
    Ok(CheckItem { what: "references", ok: orphans == 0, detail: format!("{orphans} rows refer to nothing") })
}

async fn applied(connection: &mut PgConnection) -> Result<CheckItem, sqlx::Error> {
    let applied: Vec<i64> =
        query_scalar("SELECT version FROM _sqlx_migrations WHERE success ORDER BY version")
            .fetch_all(connection)
            .await?;
    let expected: Vec<i64> = migrations().iter().map(|migration| migration.version).collect();
    Ok(CheckItem {
        what: "migrations",
        ok: applied == expected,
        detail: format!("{} of {} applied", applied.len(), expected.len()),
    })
}

/// What the server promises of a commit. Sessions see to `synchronous_commit` themselves.
async fn durability(connection: &mut PgConnection) -> Result<CheckItem, sqlx::Error> {
    let settings: Vec<(String, String)> = query_as(
        "SELECT name, setting FROM pg_settings
         WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit') ORDER BY name",
    )
    .fetch_all(connection)
    .await?;
    let lacking: Vec<String> = settings
        .iter()
        .filter(|(_, setting)| setting != "on")
        .map(|(name, setting)| format!("{name} = {setting}"))
        .collect();
    let detail = if lacking.is_empty() {
        "a commit survives power loss".to_owned()
    } else {
        format!(
            "{}: a commit may be lost with the power; switch it on in postgresql.conf",
            lacking.join(", ")
        )
    };
    Ok(CheckItem { what: "durability", ok: lacking.is_empty(), detail })
}
