use async_trait::async_trait;
use sqlx::{PgConnection, query, query_scalar};

use super::{PostgresStore, runner::Done};
use crate::{
    model::{TokenHash, UnixTime},
    store::{Ephemeral, EphemeralKind, StoreError},
};

/// The key of a row.
type Name = (EphemeralKind, TokenHash);

#[async_trait]
impl Ephemeral for PostgresStore {
    async fn claim(
        &self,
        kind: EphemeralKind,
        key: &TokenHash,
        expires_at: UnixTime,
    ) -> Result<bool, StoreError> {
        let fact = ((kind, *key), expires_at);
        self.runner.write(fact, |connection, fact| Box::pin(claim(connection, fact))).await
    }

    async fn count(
        &self,
        kind: EphemeralKind,
        key: &TokenHash,
        expires_at: UnixTime,
        now: UnixTime,
    ) -> Result<u32, StoreError> {
        let fact = ((kind, *key), expires_at, now);
        self.runner.write(fact, |connection, fact| Box::pin(count(connection, fact))).await
    }

    async fn counted(&self, kind: EphemeralKind, key: &TokenHash, now: UnixTime) -> Result<u32, StoreError> {
        let fact = ((kind, *key), now);
        self.runner.read(fact, |connection, fact| Box::pin(counted(connection, fact))).await
    }

    async fn keep(
        &self,
        kind: EphemeralKind,
        key: &TokenHash,
        value: Vec<u8>,
        expires_at: UnixTime,
    ) -> Result<(), StoreError> {
        let fact = ((kind, *key), value, expires_at);
        self.runner.write(fact, |connection, fact| Box::pin(keep(connection, fact))).await
    }

    async fn kept(
        &self,
        kind: EphemeralKind,
        key: &TokenHash,
        now: UnixTime,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let fact = ((kind, *key), now);
        self.runner.read(fact, |connection, fact| Box::pin(kept(connection, fact))).await
    }

    async fn forget(&self, kind: EphemeralKind, key: &TokenHash) -> Result<bool, StoreError> {
        self.runner.write((kind, *key), |connection, name| Box::pin(forget(connection, name))).await
    }
}

async fn claim(connection: &mut PgConnection, ((kind, key), expires_at): &(Name, UnixTime)) -> Done<bool> {
    let taken =
        query("INSERT INTO ephemeral (kind, key, expires_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING")
            .bind(kind.as_str())
            .bind(key.as_bytes().as_slice())
            .bind(expires_at.0)
            .execute(connection)
            .await?;
    Ok(taken.rows_affected() > 0)
}

async fn count(
    connection: &mut PgConnection,
    ((kind, key), expires_at, now): &(Name, UnixTime, UnixTime),
) -> Done<u32> {
    let count: i64 = query_scalar(
        "INSERT INTO ephemeral AS e (kind, key, count, expires_at) VALUES ($1, $2, 1, $3)
         ON CONFLICT (kind, key) DO UPDATE
         SET count = CASE WHEN e.expires_at > $4 THEN e.count + 1 ELSE 1 END,
             expires_at = CASE WHEN e.expires_at > $4 THEN e.expires_at ELSE EXCLUDED.expires_at END
         RETURNING e.count",
    )
    .bind(kind.as_str())
    .bind(key.as_bytes().as_slice())
    .bind(expires_at.0)
    .bind(now.0)
    .fetch_one(connection)
    .await?;
    Ok(small(count))
}

fn small(count: i64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

async fn counted(connection: &mut PgConnection, ((kind, key), now): &(Name, UnixTime)) -> Done<u32> {
    let count: Option<i64> =
        query_scalar("SELECT count FROM ephemeral WHERE kind = $1 AND key = $2 AND expires_at > $3")
            .bind(kind.as_str())
            .bind(key.as_bytes().as_slice())
            .bind(now.0)
            .fetch_optional(connection)
            .await?;
    Ok(count.map_or(0, small))
}

async fn keep(
    connection: &mut PgConnection,
    ((kind, key), value, expires_at): &(Name, Vec<u8>, UnixTime),
) -> Done<()> {
    query("INSERT INTO ephemeral (kind, key, value, expires_at) VALUES ($1, $2, $3, $4)")
        .bind(kind.as_str())
        .bind(key.as_bytes().as_slice())
        .bind(value.as_slice())
        .bind(expires_at.0)
        .execute(connection)
        .await?;
    Ok(())
}

async fn kept(connection: &mut PgConnection, ((kind, key), now): &(Name, UnixTime)) -> Done<Option<Vec<u8>>> {
    let value: Option<Option<Vec<u8>>> =
        query_scalar("SELECT value FROM ephemeral WHERE kind = $1 AND key = $2 AND expires_at > $3")
            .bind(kind.as_str())
            .bind(key.as_bytes().as_slice())
            .bind(now.0)
            .fetch_optional(connection)
            .await?;
    Ok(value.flatten())
}

async fn forget(connection: &mut PgConnection, (kind, key): &Name) -> Done<bool> {
    let removed = query("DELETE FROM ephemeral WHERE kind = $1 AND key = $2")
        .bind(kind.as_str())
        .bind(key.as_bytes().as_slice())
        .execute(connection)
        .await?;
    Ok(removed.rows_affected() > 0)
}
