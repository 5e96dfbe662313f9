use sqlx::{SqlitePool, query, query_scalar, sqlite::SqliteRow};

use super::{
    fault::{corrupt, fault},
    row::{column, grant_id_of, hash_of},
};
use crate::{
    model::UnixTime,
    store::{Revocation, RevocationCursor, RevocationPage, Revoked, StoreError},
};

/// SQLite has one writer at a time, so what commits later has a higher number: whatever is read is settled.
pub(super) async fn revocations(
    readers: &SqlitePool,
    cursor: Option<RevocationCursor>,
) -> Result<RevocationPage, StoreError> {
    let Some(cursor) = cursor else {
        // Old rows are removed, but the counter stays.
        let last: Option<i64> = query_scalar("SELECT seq FROM sqlite_sequence WHERE name = 'revocations'")
            .fetch_optional(readers)
            .await
            .map_err(fault)?;
        return Ok(page(Vec::new(), last.unwrap_or(0)));
    };
    let rows =
        query("SELECT sequence, grant_id, lookup, at FROM revocations WHERE sequence > ?1 ORDER BY sequence")
            .bind(cursor.0)
            .fetch_all(readers)
            .await
            .map_err(fault)?;
    let items = rows.iter().map(revocation_of).collect::<Result<Vec<_>, _>>()?;
    let last = items.last().map_or(cursor.0, |last| last.sequence);
    Ok(page(items, last))
}

fn page(items: Vec<Revocation>, last: i64) -> RevocationPage {
    RevocationPage { items, cursor: RevocationCursor(last), settled: last }
}

fn revocation_of(row: &SqliteRow) -> Result<Revocation, StoreError> {
    let what = match (column::<Option<&[u8]>>(row, "grant_id")?, column::<Option<&[u8]>>(row, "lookup")?) {
        (Some(grant), None) => Revoked::Grant(grant_id_of(grant)?),
        (None, Some(lookup)) => Revoked::Token(hash_of(lookup)?),
        (Some(_), Some(_)) | (None, None) => return Err(corrupt("revocation")),
    };
    Ok(Revocation { what, at: UnixTime(column(row, "at")?), sequence: column(row, "sequence")? })
}
