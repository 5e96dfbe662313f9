use async_trait::async_trait;
use sqlx::{PgConnection, postgres::PgRow, query, query_scalar};

use super::{
    PostgresStore, grants,
    row::{self, column, grant_columns},
    runner::Done,
};
use crate::{
    model::{GrantId, Login, UnixTime},
    store::{
        AppPasswordRecord, AppPasswords, LastUse, NewAppPasswordRow, StoreError,
        app_password::{last_use_of, networks_of, networks_text},
    },
};

#[async_trait]
impl AppPasswords for PostgresStore {
    async fn create_app_password(&self, password: NewAppPasswordRow, most: u32) -> Result<bool, StoreError> {
        let new = (password, most);
        self.runner.write(new, |connection, new| Box::pin(create(connection, new))).await
    }

    async fn app_passwords(&self, user: Option<&Login>) -> Result<Vec<AppPasswordRecord>, StoreError> {
        self.runner.read(user.cloned(), |connection, user| Box::pin(list(connection, user.as_ref()))).await
    }

    async fn has_app_passwords(&self, now: UnixTime) -> Result<bool, StoreError> {
        self.runner.read(now, |connection, now| Box::pin(has(connection, *now))).await
    }

    async fn app_passwords_used(&self, mut uses: Vec<(GrantId, LastUse)>) -> Result<(), StoreError> {
        // In one order everywhere, so that no two nodes wait for each other.
        uses.sort_unstable_by_key(|(grant, _)| *grant);
        self.runner.write(uses, |connection, uses| Box::pin(used(connection, uses))).await
    }
}

fn record(row: &PgRow) -> Result<AppPasswordRecord, StoreError> {
    let grant = row::grant(row)?;
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

async fn create(connection: &mut PgConnection, (password, most): &(NewAppPasswordRow, u32)) -> Done<bool> {
    let grant = &password.grant;
    // One at a time for each user, or two at once could both be the last one.
    query("SELECT pg_advisory_xact_lock(hashtextextended('app passwords of ' || $1, 0))")
        .bind(grant.user.as_str())
        .execute(&mut *connection)
        .await?;
    let live: i64 = query_scalar(
        "SELECT count(*) FROM grants g JOIN app_passwords a ON a.grant_id = g.id
         WHERE g.login = $1 AND g.revoked_at IS NULL AND (g.expires_at IS NULL OR g.expires_at > $2)",
    )
    .bind(grant.user.as_str())
    .bind(grant.created_at.0)
    .fetch_one(&mut *connection)
    .await?;
    if live >= i64::from(*most) {
        return Ok(false);
    }
    grants::create(connection, grant).await?;
    query("INSERT INTO app_passwords (grant_id, name, networks) VALUES ($1, $2, $3)")
        .bind(grant.id.as_bytes().as_slice())
        .bind(password.name.as_str())
        .bind(networks_text(&password.networks))
        .execute(connection)
        .await?;
    Ok(true)
}

async fn list(connection: &mut PgConnection, user: Option<&Login>) -> Done<Vec<AppPasswordRecord>> {
    let rows = query(concat!(
        "SELECT ",
        grant_columns!(),
        ", a.name, a.networks, a.last_used_at, a.last_address, a.last_protocol, a.last_client
         FROM app_passwords a JOIN grants g ON g.id = a.grant_id
         WHERE ($1::text IS NULL OR g.login = $1) AND g.revoked_at IS NULL ORDER BY g.created_at, g.id"
    ))
    .bind(user.map(Login::as_str))
    .fetch_all(connection)
    .await?;
    Ok(rows.iter().map(record).collect::<Result<_, _>>()?)
}

async fn has(connection: &mut PgConnection, now: UnixTime) -> Done<bool> {
    let has = query_scalar(
        "SELECT EXISTS (SELECT 1 FROM app_passwords a JOIN grants g ON g.id = a.grant_id
         WHERE g.revoked_at IS NULL AND (g.expires_at IS NULL OR g.expires_at > $1))",
    )
    .bind(now.0)
    .fetch_one(connection)
    .await?;
    Ok(has)
}

async fn used(connection: &mut PgConnection, uses: &[(GrantId, LastUse)]) -> Done<()> {
    for (grant, last) in uses {
        query(
            "UPDATE app_passwords SET last_used_at = $2, last_address = $3, last_protocol = $4, last_client = $5
             WHERE grant_id = $1 AND (last_used_at IS NULL OR last_used_at <= $2)",
        )
        .bind(grant.as_bytes().as_slice())
        .bind(last.at.0)
        .bind(last.address.to_string())
        .bind(last.protocol.as_str())
        .bind(last.client.as_deref())
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}
