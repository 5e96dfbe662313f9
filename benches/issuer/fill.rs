//! Fills a store with grants, each with a live access token, faster than the issuer would.

use std::path::Path;

use anyhow::Result;
use bearward::{
    model::{GrantId, Secret, TokenKind, UnixTime},
    store::{self, Location},
    token::OpaqueToken,
};
use sqlx::{ConnectOptions, Connection, sqlite::SqliteConnectOptions};

use crate::AUDIENCE;

/// Rows of one transaction.
const BATCH: u64 = 50_000;

/// Makes a store of `size` grants; returns `asked` of their tokens from all over the store, in no order of the store's.
pub(crate) async fn with(file: &Path, size: u64, asked: u64) -> Result<Vec<Secret>> {
    let location = Location::Sqlite(file.to_owned());
    // Opening makes the tables.
    drop(store::open(&store::Config { location, poll_interval: std::time::Duration::from_secs(1) }).await?);
    let mut connection = SqliteConnectOptions::new().filename(file).connect().await?;
    let now = UnixTime::now();
    let mut tokens = Vec::new();
    let every = size / asked;
    let mut next = 0;
    while next < size {
        let mut transaction = connection.begin().await?;
        let end = size.min(next + BATCH);
        for index in next..end {
            let grant = GrantId::generate();
            sqlx::query(
                "INSERT INTO grants (id, user, client_id, scope, created_at, public_key, audience)
                 VALUES (?1, ?2, 'open', 'urn:ietf:params:oauth:scope:mail', ?3, zeroblob(32), ?4)",
            )
            .bind(grant.as_bytes().as_slice())
            .bind(format!("user{index}@example.org"))
            .bind(now.0)
            .bind(AUDIENCE)
            .execute(&mut *transaction)
            .await?;
            let token = OpaqueToken::generate(TokenKind::Access)?;
            sqlx::query(
                "INSERT INTO tokens (lookup, grant_id, kind, scope, created_at, expires_at, wrapped_key, audience)
                 VALUES (?1, ?2, 'access', 'urn:ietf:params:oauth:scope:mail', ?3, ?4, zeroblob(61), ?5)",
            )
            .bind(token.lookup()?.as_bytes().as_slice())
            .bind(grant.as_bytes().as_slice())
            .bind(now.0)
            .bind(now.0 + 86_400)
            .bind(AUDIENCE)
            .execute(&mut *transaction)
            .await?;
            if index % every == 0 {
                tokens.push(token.text());
            }
        }
        transaction.commit().await?;
        next = end;
    }
    connection.close().await?;
    // Neither the order of insertion nor that of the look-up hashes.
    tokens.sort_by_cached_key(|token| token.expose().to_vec());
    Ok(tokens)
}
