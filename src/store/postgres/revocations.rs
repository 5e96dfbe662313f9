use std::sync::atomic::{AtomicI64, Ordering};

use sqlx::{PgConnection, postgres::PgRow, query};

use super::{
    fault::corrupt,
    row::{self, column},
    runner::{Done, Runner},
};
use crate::{
    model::UnixTime,
    store::{Revocation, RevocationCursor, RevocationPage, Revoked, StoreError},
};

/// Where it is told that something was revoked.
pub(super) const CHANNEL: &str = "bearward_revocations";

/// Octets of a revocation's number that hold its place among those of one transaction.
const PLACE_BITS: u32 = 20;

/// Numbers revocations by the transaction that wrote them.
///
/// PostgreSQL tells which transaction is the oldest that still runs. What an older one wrote is visible, and nothing
/// of an older one appears any more; so reading on from there misses nothing, however long a transaction takes.
///
/// A database that was copied into another server counts its transactions anew. Then everything is told once more
/// under higher numbers, which ends what has ended and harms nobody.
#[derive(Default)]
pub(super) struct Numbers {
    /// What is added to the server's count, so that it never goes back.
    offset: AtomicI64,
}

impl Numbers {
    pub(super) async fn read(
        &self,
        runner: &Runner,
        cursor: Option<RevocationCursor>,
    ) -> Result<RevocationPage, StoreError> {
        let offset = self.offset.load(Ordering::Acquire);
        let Some(RevocationCursor(cursor)) = cursor else {
            let oldest = runner.read((), |connection, ()| Box::pin(oldest_running(connection))).await?;
            return Ok(page(Vec::new(), oldest, offset));
        };
        let from = cursor.saturating_sub(offset);
        let (oldest, rows) = runner.read(from, |connection, from| Box::pin(since(connection, *from))).await?;
        if oldest >= from {
            return Ok(page(rows, oldest, offset));
        }
        tracing::warn!("PostgreSQL counts its transactions anew; every revocation is told again");
        self.offset.fetch_max(cursor, Ordering::AcqRel);
        let offset = self.offset.load(Ordering::Acquire);
        let (oldest, rows) = runner.read(0, |connection, from| Box::pin(since(connection, *from))).await?;
        Ok(page(rows, oldest, offset))
    }
}

/// A revocation and the transaction that wrote it.
struct Written {
    by: i64,
    revocation: Revocation,
}

fn page(rows: Vec<Written>, oldest_running: i64, offset: i64) -> RevocationPage {
    let number = |by: i64, place: i64| {
        let place = place & ((1 << PLACE_BITS) - 1);
        by.saturating_add(offset).saturating_mul(1 << PLACE_BITS).saturating_add(place)
    };
    let items = rows
        .into_iter()
        .map(|row| Revocation { sequence: number(row.by, row.revocation.sequence), ..row.revocation })
        .collect();
    RevocationPage {
        items,
        cursor: RevocationCursor(oldest_running.saturating_add(offset)),
        settled: number(oldest_running, 0).saturating_sub(1),
    }
}

async fn oldest_running(connection: &mut PgConnection) -> Done<i64> {
    let found = query("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS oldest")
        .fetch_one(connection)
        .await?;
    Ok(column(&found, "oldest")?)
}

/// What transactions from `from` on have written, and the oldest that still runs, as of one moment.
async fn since(connection: &mut PgConnection, from: i64) -> Done<(i64, Vec<Written>)> {
    let rows = query(
        "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS oldest,
                r.written_by, r.sequence, r.grant_id, r.lookup, r.at
         FROM (SELECT 1) one LEFT JOIN revocations r ON r.written_by >= $1
         ORDER BY r.written_by, r.sequence",
    )
    .bind(from)
    .fetch_all(connection)
    .await?;
    let first = rows.first().ok_or_else(|| corrupt("snapshot"))?;
    let oldest = column(first, "oldest")?;
    let written = rows.iter().filter_map(|row| written(row).transpose()).collect::<Result<_, _>>()?;
    Ok((oldest, written))
}

/// The revocation of a joined row; `None` where there is none.
fn written(row: &PgRow) -> Result<Option<Written>, StoreError> {
    let Some(by) = column::<Option<i64>>(row, "written_by")? else { return Ok(None) };
    let what = match (column::<Option<&[u8]>>(row, "grant_id")?, row::some_hash(row, "lookup")?) {
        (Some(_), None) => Revoked::Grant(row::grant_id(row, "grant_id")?),
        (None, Some(lookup)) => Revoked::Token(lookup),
        (Some(_), Some(_)) | (None, None) => return Err(corrupt("revocation")),
    };
    let revocation =
        Revocation { what, at: UnixTime(column(row, "at")?), sequence: column(row, "sequence")? };
    Ok(Some(Written { by, revocation }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;
    use crate::model::TokenHash;

    fn written(by: i64, place: i64) -> Written {
        let what = Revoked::Token(TokenHash::new([0; 32]));
        Written { by, revocation: Revocation { what, at: UnixTime(0), sequence: place } }
    }

    #[test]
    fn what_the_oldest_running_transaction_writes_is_never_settled() {
        let page = page(vec![written(99, 7), written(100, 5), written(103, 6)], 100, 0);
        let numbers: Vec<i64> = page.items.iter().map(|item| item.sequence).collect();
        assert!(numbers.is_sorted_by(|one, next| one < next), "{numbers:?}");
        assert_eq!(numbers.iter().filter(|number| **number <= page.settled).count(), 1);
        assert_eq!(page.cursor, RevocationCursor(100));
    }

    #[test]
    fn a_count_that_began_anew_goes_on_behind_the_old_one() {
        let before = page(Vec::new(), 5000, 0);
        let after = page(vec![written(3, 1)], 4, 5000);
        assert!(after.items.first().unwrap().sequence > before.settled);
        assert_eq!(after.cursor, RevocationCursor(5004));
    }
}
