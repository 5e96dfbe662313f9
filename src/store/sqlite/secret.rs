use async_trait::async_trait;
use sqlx::{query, sqlite::SqliteRow};

use super::{
    SqliteStore,
    fault::fault,
    row::{column, login_of},
    transaction::Transaction,
};
use crate::{
    model::{Login, UnixTime},
    store::{StoreError, UpstreamSecret, UpstreamSecrets},
};

#[async_trait]
impl UpstreamSecrets for SqliteStore {
    async fn set_upstream_secret(&self, secret: UpstreamSecret) -> Result<(), StoreError> {
        self.writer.run(move |transaction| Box::pin(set(transaction, secret))).await
    }

    async fn upstream_secret(
        &self,
        user: &Login,
        backend: &str,
    ) -> Result<Option<UpstreamSecret>, StoreError> {
        query(
            "SELECT user, backend, sealed, created_at FROM upstream_secrets WHERE user = ?1 AND backend = ?2",
        )
        .bind(user.as_str())
        .bind(backend)
        .fetch_optional(&self.readers)
        .await
        .map_err(fault)?
        .as_ref()
        .map(secret_of)
        .transpose()
    }

    async fn upstream_secrets(&self) -> Result<Vec<UpstreamSecret>, StoreError> {
        query("SELECT user, backend, sealed, created_at FROM upstream_secrets ORDER BY user, backend")
            .fetch_all(&self.readers)
            .await
            .map_err(fault)?
            .iter()
            .map(secret_of)
            .collect()
    }

    async fn remove_upstream_secret(&self, user: &Login, backend: &str) -> Result<bool, StoreError> {
        let (user, backend) = (user.clone(), backend.to_owned());
        self.writer.run(move |transaction| Box::pin(remove(transaction, user, backend))).await
    }
}

pub(super) fn secret_of(row: &SqliteRow) -> Result<UpstreamSecret, StoreError> {
    Ok(UpstreamSecret {
        user: login_of(row, "user")?,
        backend: column(row, "backend")?,
        sealed: column(row, "sealed")?,
        created_at: UnixTime(column(row, "created_at")?),
    })
}

async fn set(transaction: &mut Transaction, secret: UpstreamSecret) -> Result<(), StoreError> {
    query(
        "INSERT INTO upstream_secrets (user, backend, sealed, created_at) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (user, backend) DO UPDATE SET sealed = excluded.sealed, created_at = excluded.created_at",
    )
    .bind(secret.user.as_str())
    .bind(secret.backend)
    .bind(secret.sealed)
    .bind(secret.created_at.0)
    .execute(transaction.writing().await?)
    .await
    .map_err(fault)?;
    Ok(())
}

async fn remove(transaction: &mut Transaction, user: Login, backend: String) -> Result<bool, StoreError> {
    let removed = query("DELETE FROM upstream_secrets WHERE user = ?1 AND backend = ?2")
        .bind(user.as_str())
        .bind(backend)
        .execute(transaction.writing().await?)
        .await
        .map_err(fault)?;
    Ok(removed.rows_affected() > 0)
}
