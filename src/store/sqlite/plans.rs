use sqlx::{AssertSqlSafe, Row, query};
use tempfile::TempDir;

use super::SqliteStore;

/// How SQLite means to run a statement: a line for each table that it looks into.
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
pub(super) async fn plan(folder: &TempDir, statement: &str) -> String {
    let store = SqliteStore::open(&folder.path().join("bearward.db")).await.unwrap();
    let rows = query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}")));
    let rows = rows.fetch_all(&store.readers).await.unwrap();
    rows.iter().map(|row| row.get::<String, _>("detail") + "\n").collect()
}
