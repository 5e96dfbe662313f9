use async_trait::async_trait;
use sqlx::{query, query_scalar, sqlite::SqliteRow};

use super::{
    SqliteStore,
    fault::fault,
    grant,
    row::{column, grant_columns, grant_of},
    transaction::Transaction,
};
use crate::{
    model::{GrantId, Login, UnixTime},
    store::{
        AppPasswordRecord, AppPasswords, LastUse, NewAppPasswordRow, StoreError,
        app_password::{last_use_of, networks_of, networks_text},
    },
};

/// The columns that [`record_of`] reads, of the tables `g` and `a`.
macro_rules! columns {
    () => {
        concat!(
            grant_columns!(),
            ", a.name, a.networks, a.last_used_at, a.last_address, a.last_protocol, a.last_client"
        )
    };
}

/// A page of the whole table, for whoever examines it.
pub(super) const PAGE: &str = concat!(
    "SELECT a.grant_id AS position, ",
    columns!(),
    " FROM app_passwords a JOIN grants g ON g.id = a.grant_id WHERE a.grant_id > ?1 ORDER BY a.grant_id LIMIT ?2"
);

#[async_trait]
impl AppPasswords for SqliteStore {
    async fn create_app_password(&self, password: NewAppPasswordRow, most: u32) -> Result<bool, StoreError> {
        self.writer.run(move |transaction| Box::pin(create(transaction, password, most))).await
    }

    async fn app_passwords(&self, user: Option<&Login>) -> Result<Vec<AppPasswordRecord>, StoreError> {
        let found = match user {
            Some(user) => query(concat!(
                "SELECT ",
                columns!(),
                " FROM grants g JOIN app_passwords a ON a.grant_id = g.id
                  WHERE g.user = ?1 AND g.revoked_at IS NULL ORDER BY g.created_at, g.id"
            ))
            .bind(user.as_str()),
            None => query(concat!(
                "SELECT ",
                columns!(),
                " FROM app_passwords a JOIN grants g ON g.id = a.grant_id
                  WHERE g.revoked_at IS NULL ORDER BY g.created_at, g.id"
            )),
        };
        found.fetch_all(&self.readers).await.map_err(fault)?.iter().map(record_of).collect()
    }

    async fn has_app_passwords(&self, now: UnixTime) -> Result<bool, StoreError> {
        query_scalar(
            "SELECT EXISTS (SELECT 1 FROM app_passwords a JOIN grants g ON g.id = a.grant_id
             WHERE g.revoked_at IS NULL AND (g.expires_at IS NULL OR g.expires_at > ?1))",
        )
        .bind(now.0)
        .fetch_one(&self.readers)
        .await
        .map_err(fault)
    }

    async fn app_passwords_used(&self, uses: Vec<(GrantId, LastUse)>) -> Result<(), StoreError> {
        self.writer.run(move |transaction| Box::pin(used(transaction, uses))).await
    }
}

pub(super) fn record_of(row: &SqliteRow) -> Result<AppPasswordRecord, StoreError> {
    let grant = grant_of(row)?;
    Ok(AppPasswordRecord {
        id: grant.id,
        user: grant.user,
        name: column(row, "name")?,
        scope: grant.scope,
        networks: networks_of(column(row, "networks")?)?,
        created_at: grant.created_at,
        expires_at: grant.expires_at,
        last_use: last_use_of(
            column(row, "last_used_at")?,
            column(row, "last_address")?,
            column(row, "last_protocol")?,
            column(row, "last_client")?,
        )?,
    })
}

async fn create(
    transaction: &mut Transaction,
    password: NewAppPasswordRow,
    most: u32,
) -> Result<bool, StoreError> {
    let grant = &password.grant;
    let live: i64 = query_scalar(
        "SELECT count(*) FROM grants g JOIN app_passwords a ON a.grant_id = g.id
         WHERE g.user = ?1 AND g.revoked_at IS NULL AND (g.expires_at IS NULL OR g.expires_at > ?2)",
    )
    .bind(grant.user.as_str())
    .bind(grant.created_at.0)
    .fetch_one(transaction.reading())
    .await
    .map_err(fault)?;
    if live >= i64::from(most) {
        return Ok(false);
    }
    grant::create(transaction, grant).await?;
    query("INSERT INTO app_passwords (grant_id, name, networks) VALUES (?1, ?2, ?3)")
        .bind(grant.id.as_bytes().as_slice())
        .bind(password.name.as_str())
        .bind(networks_text(&password.networks))
        .execute(transaction.writing().await?)
        .await
        .map_err(fault)?;
    Ok(true)
}

async fn used(transaction: &mut Transaction, uses: Vec<(GrantId, LastUse)>) -> Result<(), StoreError> {
    for (grant, last) in uses {
        query(
            "UPDATE app_passwords SET last_used_at = ?2, last_address = ?3, last_protocol = ?4, last_client = ?5
             WHERE grant_id = ?1 AND (last_used_at IS NULL OR last_used_at <= ?2)",
        )
        .bind(grant.as_bytes().as_slice())
        .bind(last.at.0)
        .bind(last.address.to_string())
        .bind(last.protocol.as_str())
        .bind(last.client)
        .execute(transaction.writing().await?)
        .await
        .map_err(fault)?;
    }
    Ok(())
}
