use async_trait::async_trait;
use sqlx::{query, query_scalar};

use super::{SqliteStore, fault::fault, transaction::Transaction};
use crate::{
    model::{TokenHash, UnixTime},
    store::{OutsideEnds, StoreError},
};

#[async_trait]
impl OutsideEnds for SqliteStore {
    async fn end_outside(&self, key: &TokenHash, at: UnixTime) -> Result<(), StoreError> {
        let key = *key;
        self.writer.run(move |transaction| Box::pin(end(transaction, key, at))).await
    }

    async fn outside_end(&self, key: &TokenHash) -> Result<Option<UnixTime>, StoreError> {
        let at: Option<i64> = query_scalar("SELECT at FROM outside_ends WHERE key = ?1")
            .bind(key.as_bytes().as_slice())
            .fetch_optional(&self.readers)
            .await
            .map_err(fault)?;
        Ok(at.map(UnixTime))
    }
}

async fn end(transaction: &mut Transaction, key: TokenHash, at: UnixTime) -> Result<(), StoreError> {
    query(
        "INSERT INTO outside_ends (key, at) VALUES (?1, ?2)
         ON CONFLICT (key) DO UPDATE SET at = max(at, excluded.at)",
    )
    .bind(key.as_bytes().as_slice())
    .bind(at.0)
    .execute(transaction.writing().await?)
    .await
    .map_err(fault)?;
    query("INSERT INTO revocations (lookup, at) VALUES (?1, ?2)")
        .bind(key.as_bytes().as_slice())
        .bind(at.0)
        .execute(transaction.writing().await?)
        .await
        .map_err(fault)?;
    Ok(())
}
