use async_trait::async_trait;
use sqlx::{PgConnection, postgres::PgRow, query};

use super::{
    PostgresStore,
    row::{self, column},
    runner::Done,
};
use crate::{
    model::{Login, UnixTime},
    store::{StoreError, UpstreamSecret, UpstreamSecrets},
};

#[async_trait]
impl UpstreamSecrets for PostgresStore {
    async fn set_upstream_secret(&self, secret: UpstreamSecret) -> Result<(), StoreError> {
        self.runner.write(secret, |connection, secret| Box::pin(set(connection, secret))).await
    }

    async fn upstream_secret(
        &self,
        user: &Login,
        backend: &str,
    ) -> Result<Option<UpstreamSecret>, StoreError> {
        let key = (user.clone(), backend.to_owned());
        self.runner.read(key, |connection, key| Box::pin(find(connection, key))).await
    }

    async fn upstream_secrets(&self) -> Result<Vec<UpstreamSecret>, StoreError> {
        self.runner.read((), |connection, ()| Box::pin(list(connection))).await
    }

    async fn remove_upstream_secret(&self, user: &Login, backend: &str) -> Result<bool, StoreError> {
        let key = (user.clone(), backend.to_owned());
        self.runner.write(key, |connection, key| Box::pin(remove(connection, key))).await
    }
}

fn record(row: &PgRow) -> Result<UpstreamSecret, StoreError> {
    Ok(UpstreamSecret {
        user: row::login(row, "login")?,
        backend: column(row, "backend")?,
        sealed: column(row, "sealed")?,
        created_at: UnixTime(column(row, "created_at")?),
    })
}

async fn set(connection: &mut PgConnection, secret: &UpstreamSecret) -> Done<()> {
    query(
        "INSERT INTO upstream_secrets (login, backend, sealed, created_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (login, backend) DO UPDATE SET sealed = excluded.sealed, created_at = excluded.created_at",
    )
    .bind(secret.user.as_str())
    .bind(secret.backend.as_str())
    .bind(secret.sealed.as_slice())
    .bind(secret.created_at.0)
    .execute(connection)
    .await?;
    Ok(())
}

async fn find(
    connection: &mut PgConnection,
    (user, backend): &(Login, String),
) -> Done<Option<UpstreamSecret>> {
    let found = query(
        "SELECT login, backend, sealed, created_at FROM upstream_secrets WHERE login = $1 AND backend = $2",
    )
    .bind(user.as_str())
    .bind(backend.as_str())
    .fetch_optional(connection)
    .await?;
    Ok(found.map(|found| record(&found)).transpose()?)
}

async fn list(connection: &mut PgConnection) -> Done<Vec<UpstreamSecret>> {
    let rows =
        query("SELECT login, backend, sealed, created_at FROM upstream_secrets ORDER BY login, backend")
            .fetch_all(connection)
            .await?;
    Ok(rows.iter().map(record).collect::<Result<_, _>>()?)
}

async fn remove(connection: &mut PgConnection, (user, backend): &(Login, String)) -> Done<bool> {
    let removed = query("DELETE FROM upstream_secrets WHERE login = $1 AND backend = $2")
        .bind(user.as_str())
        .bind(backend.as_str())
        .execute(connection)
        .await?;
    Ok(removed.rows_affected() > 0)
}
