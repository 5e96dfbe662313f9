use async_trait::async_trait;
use sqlx::{query, query_scalar};

use super::{SqliteStore, fault::fault, transaction::Transaction};
use crate::{
    model::{TokenHash, UnixTime},
    store::{Ephemeral, EphemeralKind, StoreError},
};

#[async_trait]
impl Ephemeral for SqliteStore {
    async fn claim(
        &self,
        kind: EphemeralKind,
        key: &TokenHash,
        expires_at: UnixTime,
    ) -> Result<bool, StoreError> {
        let key = *key;
        self.writer.run(move |transaction| Box::pin(claim(transaction, kind, key, expires_at))).await
    }

    async fn count(
        &self,
        kind: EphemeralKind,
        key: &TokenHash,
        expires_at: UnixTime,
        now: UnixTime,
    ) -> Result<u32, StoreError> {
        let key = *key;
        self.writer.run(move |transaction| Box::pin(count(transaction, kind, key, expires_at, now))).await
    }

    async fn counted(&self, kind: EphemeralKind, key: &TokenHash, now: UnixTime) -> Result<u32, StoreError> {
        let count: Option<i64> =
            query_scalar("SELECT count FROM ephemeral WHERE kind = ?1 AND key = ?2 AND expires_at > ?3")
                .bind(kind.as_str())
                .bind(key.as_bytes().as_slice())
                .bind(now.0)
                .fetch_optional(&self.readers)
                .await
                .map_err(fault)?;
        Ok(count.map_or(0, small))
    }

    async fn keep(
        &self,
        kind: EphemeralKind,
        key: &TokenHash,
        value: Vec<u8>,
        expires_at: UnixTime,
    ) -> Result<(), StoreError> {
        let key = *key;
        self.writer.run(move |transaction| Box::pin(keep(transaction, kind, key, value, expires_at))).await
    }

    async fn kept(
        &self,
        kind: EphemeralKind,
        key: &TokenHash,
        now: UnixTime,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let value: Option<Option<Vec<u8>>> =
            query_scalar("SELECT value FROM ephemeral WHERE kind = ?1 AND key = ?2 AND expires_at > ?3")
                .bind(kind.as_str())
                .bind(key.as_bytes().as_slice())
                .bind(now.0)
                .fetch_optional(&self.readers)
                .await
                .map_err(fault)?;
        Ok(value.flatten())
    }

    async fn forget(&self, kind: EphemeralKind, key: &TokenHash) -> Result<bool, StoreError> {
        let key = *key;
        self.writer.run(move |transaction| Box::pin(forget(transaction, kind, key))).await
    }
}

async fn claim(
    transaction: &mut Transaction,
    kind: EphemeralKind,
    key: TokenHash,
    expires_at: UnixTime,
) -> Result<bool, StoreError> {
    let taken =
        query("INSERT INTO ephemeral (kind, key, expires_at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")
            .bind(kind.as_str())
            .bind(key.as_bytes().as_slice())
            .bind(expires_at.0)
            .execute(transaction.writing().await?)
            .await
            .map_err(fault)?;
    Ok(taken.rows_affected() > 0)
}

async fn count(
    transaction: &mut Transaction,
    kind: EphemeralKind,
    key: TokenHash,
    expires_at: UnixTime,
    now: UnixTime,
) -> Result<u32, StoreError> {
    let count: i64 = query_scalar(
        "INSERT INTO ephemeral (kind, key, count, expires_at) VALUES (?1, ?2, 1, ?3)
         ON CONFLICT DO UPDATE SET count = iif(expires_at > ?4, count + 1, 1),
                                   expires_at = iif(expires_at > ?4, expires_at, ?3)
         RETURNING count",
    )
    .bind(kind.as_str())
    .bind(key.as_bytes().as_slice())
    .bind(expires_at.0)
    .bind(now.0)
    .fetch_one(transaction.writing().await?)
    .await
    .map_err(fault)?;
    Ok(small(count))
}

fn small(count: i64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

async fn keep(
    transaction: &mut Transaction,
    kind: EphemeralKind,
    key: TokenHash,
    value: Vec<u8>,
    expires_at: UnixTime,
) -> Result<(), StoreError> {
    query("INSERT INTO ephemeral (kind, key, value, expires_at) VALUES (?1, ?2, ?3, ?4)")
        .bind(kind.as_str())
        .bind(key.as_bytes().as_slice())
        .bind(value)
        .bind(expires_at.0)
        .execute(transaction.writing().await?)
        .await
        .map_err(fault)?;
    Ok(())
}

async fn forget(
    transaction: &mut Transaction,
    kind: EphemeralKind,
    key: TokenHash,
) -> Result<bool, StoreError> {
    let removed = query("DELETE FROM ephemeral WHERE kind = ?1 AND key = ?2")
        .bind(kind.as_str())
        .bind(key.as_bytes().as_slice())
        .execute(transaction.writing().await?)
        .await
        .map_err(fault)?;
    Ok(removed.rows_affected() > 0)
}
