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

/// Every so many rows one has a token that can be presented.
const KNOWN_EVERY: u64 = 97;
/// Rows of one transaction.
const BATCH: u64 = 50_000;

/// Makes the store hold `to` grants where it held `from`; returns tokens out of the new ones.
pub(crate) async fn up_to(file: &Path, from: u64, to: u64) -> Result<Vec<Secret>> {
    let location = Location::Sqlite(file.to_owned());
    // Opening makes the tables.
    drop(store::open(&store::Config { location, poll_interval: std::time::Duration::from_secs(1) }).await?);
    let mut connection = SqliteConnectOptions::new().filename(file).connect().await?;
    let now = UnixTime::now();
    let mut tokens = Vec::new();
    let mut next = from;
    while next < to {
        let mut transaction = connection.begin().await?;
        let end = to.min(next + BATCH);
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
            if index % KNOWN_EVERY == 0 {
                tokens.push(token.text());
            }
        }
        transaction.commit().await?;
        next = end;
    }
    connection.close().await?;
    Ok(tokens)
}
