use std::collections::BTreeSet;

use sqlx::{SqliteConnection, query, query_scalar};

use super::{fault, fault::corrupt};
use crate::{
    model::{GrantId, TokenHash, UnixTime},
    store::{Ended, NewGrant, NewToken, RETENTION, Replaces, RevocationReason, SigningKeyRecord, StoreError},
};

pub(super) async fn create_grant(
    connection: &mut SqliteConnection,
    grant: NewGrant,
) -> Result<(), StoreError> {
    query(
        "INSERT INTO grants
           (id, user, client_id, scope, created_at, expires_at, public_key, audience, auth_time, mailboxes)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )
    .bind(grant.id.as_bytes().as_slice())
    .bind(grant.user.as_str())
    .bind(grant.client.as_str())
    .bind(grant.scope.to_string())
    .bind(grant.created_at.0)
    .bind(grant.expires_at.map(|end| end.0))
    .bind(grant.public_key.as_slice())
    .bind(grant.audience.as_str())
    .bind(grant.auth_time.map(|at| at.0))
    .bind(grant.mailboxes.join(" "))
    .execute(&mut *connection)
    .await
    .map_err(fault)?;
    for credential in &grant.credentials {
        query("INSERT INTO credentials (grant_id, backend, kind, sealed) VALUES (?1, ?2, ?3, ?4)")
            .bind(grant.id.as_bytes().as_slice())
            .bind(credential.backend.as_str())
            .bind(credential.kind.as_str())
            .bind(credential.sealed.as_slice())
            .execute(&mut *connection)
            .await
            .map_err(fault)?;
    }
    for token in &grant.tokens {
        add_token(connection, grant.id, token.clone(), grant.created_at).await?;
    }
    Ok(())
}

/// The row goes in only while the grant is live: a revocation that was faster wins.
pub(super) async fn add_token(
    connection: &mut SqliteConnection,
    grant: GrantId,
    token: NewToken,
    now: UnixTime,
) -> Result<(), StoreError> {
    let added = query(
        "INSERT INTO tokens
           (lookup, grant_id, kind, scope, created_at, expires_at, wrapped_key, audience, certificate)
         SELECT ?1, id, ?3, ?4, ?5, ?6, ?7, ?9, ?10 FROM grants
         WHERE id = ?2 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?8)",
    )
    .bind(token.lookup.as_bytes().as_slice())
    .bind(grant.as_bytes().as_slice())
    .bind(token.kind.as_str())
    .bind(token.scope.to_string())
    .bind(token.created_at.0)
    .bind(token.expires_at.0)
    .bind(token.wrapped_key.as_slice())
    .bind(now.0)
    .bind(token.audience.as_str())
    .bind(token.certificate.as_ref().map(<[u8; 32]>::as_slice))
    .execute(connection)
    .await
    .map_err(fault)?;
    if added.rows_affected() == 1 { Ok(()) } else { Err(StoreError::GrantEnded) }
}

pub(super) async fn revoke_grant(
    connection: &mut SqliteConnection,
    id: GrantId,
    reason: RevocationReason,
    at: UnixTime,
) -> Result<Ended, StoreError> {
    let id = id.as_bytes().as_slice();
    let changed =
        query("UPDATE grants SET revoked_at = ?2, revoked_reason = ?3 WHERE id = ?1 AND revoked_at IS NULL")
            .bind(id)
            .bind(at.0)
            .bind(reason.as_str())
            .execute(&mut *connection)
            .await
            .map_err(fault)?;
    if changed.rows_affected() == 0 {
        let known: Option<i64> = query_scalar("SELECT 1 FROM grants WHERE id = ?1")
            .bind(id)
            .fetch_optional(connection)
            .await
            .map_err(fault)?;
        return Ok(if known.is_some() { Ended::Before } else { Ended::Unknown });
    }
    for statement in [
        "DELETE FROM credentials WHERE grant_id = ?1",
        "UPDATE tokens SET wrapped_key = NULL WHERE grant_id = ?1",
    ] {
        query(statement).bind(id).execute(&mut *connection).await.map_err(fault)?;
    }
    tell_grant(connection, id, at).await?;
    Ok(Ended::Now)
}

pub(super) async fn revoke_token(
    connection: &mut SqliteConnection,
    lookup: TokenHash,
    at: UnixTime,
) -> Result<Ended, StoreError> {
    let lookup = lookup.as_bytes().as_slice();
    let changed = query(
        "UPDATE tokens SET revoked_at = ?2, wrapped_key = NULL WHERE lookup = ?1 AND revoked_at IS NULL",
    )
    .bind(lookup)
    .bind(at.0)
    .execute(&mut *connection)
    .await
    .map_err(fault)?;
    if changed.rows_affected() == 0 {
        let known: Option<i64> = query_scalar("SELECT 1 FROM tokens WHERE lookup = ?1")
            .bind(lookup)
            .fetch_optional(connection)
            .await
            .map_err(fault)?;
        return Ok(if known.is_some() { Ended::Before } else { Ended::Unknown });
    }
    query("INSERT INTO revocations (lookup, at) VALUES (?1, ?2)")
        .bind(lookup)
        .bind(at.0)
        .execute(connection)
        .await
        .map_err(fault)?;
    Ok(Ended::Now)
}

pub(super) async fn add_signing_key(
    connection: &mut SqliteConnection,
    key: SigningKeyRecord,
    replaces: Option<Replaces>,
) -> Result<bool, StoreError> {
    let newest: Option<String> = query_scalar(
        "SELECT kid FROM signing_keys WHERE algorithm = ?1 ORDER BY signs_from DESC, created_at DESC, kid LIMIT 1",
    )
    .bind(key.algorithm.as_str())
    .fetch_optional(&mut *connection)
    .await
    .map_err(fault)?;
    if newest.as_ref() != replaces.as_ref().map(|old| &old.kid) {
        return Ok(false);
    }
    if let Some(old) = replaces {
        query("UPDATE signing_keys SET retires_at = ?2 WHERE kid = ?1")
            .bind(old.kid)
            .bind(old.retires_at.0)
            .execute(&mut *connection)
            .await
            .map_err(fault)?;
    }
    query(
        "INSERT INTO signing_keys (kid, algorithm, sealed, created_at, signs_from, retires_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )
    .bind(key.kid)
    .bind(key.algorithm)
    .bind(key.sealed)
    .bind(key.created_at.0)
    .bind(key.signs_from.0)
    .bind(key.retires_at.map(|at| at.0))
    .execute(connection)
    .await
    .map_err(fault)?;
    Ok(true)
}

pub(super) async fn remove_expired(
    connection: &mut SqliteConnection,
    now: UnixTime,
    limit: u32,
) -> Result<u64, StoreError> {
    let retention = i64::try_from(RETENTION.as_secs()).unwrap_or(i64::MAX);
    let old = UnixTime(now.0.saturating_sub(retention));
    let wiped = query(
        "UPDATE tokens SET wrapped_key = NULL WHERE lookup IN
         (SELECT lookup FROM tokens WHERE wrapped_key IS NOT NULL AND expires_at <= ?1 LIMIT ?2)",
    )
    .bind(now.0)
    .bind(limit)
    .execute(&mut *connection)
    .await
    .map_err(fault)?;
    let grants: Vec<Vec<u8>> = query_scalar(
        "DELETE FROM tokens WHERE lookup IN (SELECT lookup FROM tokens WHERE expires_at <= ?1 LIMIT ?2)
         RETURNING grant_id",
    )
    .bind(old.0)
    .bind(limit)
    .fetch_all(&mut *connection)
    .await
    .map_err(fault)?;
    let mut touched = wiped.rows_affected() + u64::try_from(grants.len()).unwrap_or(u64::MAX);
    for grant in grants.into_iter().collect::<BTreeSet<_>>() {
        touched += remove_if_unused(connection, &grant, now).await?;
    }
    let told = query(
        "DELETE FROM revocations WHERE sequence IN (SELECT sequence FROM revocations WHERE at <= ?1 LIMIT ?2)",
    )
    .bind(old.0)
    .bind(limit)
    .execute(connection)
    .await
    .map_err(fault)?;
    Ok(touched + told.rows_affected())
}

/// Removes a grant that no token is left of. A session that still hangs on it must end, so it is told.
async fn remove_if_unused(
    connection: &mut SqliteConnection,
    grant: &[u8],
    now: UnixTime,
) -> Result<u64, StoreError> {
    let revoked_at: Option<Option<i64>> = query_scalar(
        "DELETE FROM grants WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM tokens WHERE grant_id = ?1)
         RETURNING revoked_at",
    )
    .bind(grant)
    .fetch_optional(&mut *connection)
    .await
    .map_err(fault)?;
    match revoked_at {
        None => Ok(0),
        Some(Some(_)) => Ok(1),
        Some(None) => {
            let id = GrantId::from_slice(grant).map_err(|_| corrupt("grant"))?;
            tell_grant(connection, id.as_bytes(), now).await?;
            Ok(1)
        }
    }
}

async fn tell_grant(connection: &mut SqliteConnection, id: &[u8], at: UnixTime) -> Result<(), StoreError> {
    query("INSERT INTO revocations (grant_id, at) VALUES (?1, ?2)")
        .bind(id)
        .bind(at.0)
        .execute(connection)
        .await
        .map_err(fault)?;
    Ok(())
}
