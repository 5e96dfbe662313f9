//! Grants and the ending of them.

use sqlx::{SqlitePool, query, query_scalar};

use super::{
    fault::fault,
    row::{grant_columns, grant_of},
    token,
    transaction::{Changes, Transaction},
};
use crate::{
    model::{ClientId, GrantId, Login, UnixTime},
    store::{Ended, Grant, GrantFilter, NewGrant, RevocationReason, StoreError},
};

/// Grants that one transaction ends at most, so that the writer is soon free for others.
const STEP: u32 = 100;

pub(super) async fn grant(readers: &SqlitePool, id: GrantId) -> Result<Option<Grant>, StoreError> {
    query(concat!("SELECT ", grant_columns!(), " FROM grants g WHERE g.id = ?1"))
        .bind(id.as_bytes().as_slice())
        .fetch_optional(readers)
        .await
        .map_err(fault)?
        .map(|row| grant_of(&row))
        .transpose()
}

pub(super) async fn holds_credentials(readers: &SqlitePool, id: GrantId) -> Result<bool, StoreError> {
    query_scalar("SELECT EXISTS (SELECT 1 FROM credentials WHERE grant_id = ?1)")
        .bind(id.as_bytes().as_slice())
        .fetch_one(readers)
        .await
        .map_err(fault)
}

/// A list with its first condition, by which the rows are found.
macro_rules! list {
    ($found_by:literal) => {
        concat!(
            "SELECT ",
            grant_columns!(),
            " FROM grants g WHERE ",
            $found_by,
            " AND (?1 IS NULL OR g.user = ?1) AND (?2 IS NULL OR g.client_id = ?2)
              AND (?3 IS NULL OR (g.revoked_at IS NULL AND (g.expires_at IS NULL OR g.expires_at > ?3)
                   AND EXISTS (SELECT 1 FROM tokens t
                               WHERE t.grant_id = g.id AND t.revoked_at IS NULL AND t.used_at IS NULL
                                 AND t.expires_at > ?3)))
              ORDER BY g.created_at, g.id"
        )
    };
}

pub(super) async fn grants(readers: &SqlitePool, filter: &GrantFilter) -> Result<Vec<Grant>, StoreError> {
    let statement = match (&filter.user, &filter.client) {
        (Some(_), _) => list!("g.user = ?1"),
        (None, Some(_)) => list!("substr(g.client_id, -24) = substr(?2, -24)"),
        (None, None) => list!("TRUE"),
    };
    query(statement)
        .bind(filter.user.as_ref().map(Login::as_str))
        .bind(filter.client.as_ref().map(ClientId::as_str))
        .bind(filter.active_at.map(|at| at.0))
        .fetch_all(readers)
        .await
        .map_err(fault)?
        .iter()
        .map(grant_of)
        .collect()
}

/// A grant goes in only while its client is not denied: a removal that was faster wins.
pub(super) async fn create(transaction: &mut Transaction, grant: &NewGrant) -> Result<(), StoreError> {
    let denied: Option<i64> = query_scalar("SELECT 1 FROM denied_clients WHERE client_id = ?1")
        .bind(grant.client.as_str())
        .fetch_optional(transaction.reading())
        .await
        .map_err(fault)?;
    if denied.is_some() {
        return Err(StoreError::GrantEnded);
    }
    let id = grant.id.as_bytes().as_slice();
    let mut changes = Changes::default()
        .and(
            "INSERT INTO grants (id, user, client_id, scope, created_at, expires_at, public_key, audience,
                                 auth_time, mailboxes)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(id)
        .bind(grant.user.as_str())
        .bind(grant.client.as_str())
        .bind(grant.scope.to_string())
        .bind(grant.created_at.0)
        .bind(grant.expires_at.map(|end| end.0))
        .bind(grant.public_key.as_slice())
        .bind(grant.audience.as_str())
        .bind(grant.auth_time.map(|at| at.0))
        .bind(grant.mailboxes.join(" "));
    for credential in &grant.credentials {
        changes = changes
            .and("INSERT INTO credentials (grant_id, backend, kind, sealed) VALUES (?, ?, ?, ?)")
            .bind(id)
            .bind(credential.backend.as_str())
            .bind(credential.kind.as_str())
            .bind(credential.sealed.as_slice());
    }
    if let Some(code) = &grant.code {
        changes = changes
            .and(
                "INSERT INTO codes (lookup, grant_id, details, created_at, expires_at, wrapped_key)
                 VALUES (?, ?, ?, ?, ?, ?)",
            )
            .bind(code.lookup.as_bytes().as_slice())
            .bind(id)
            .bind(code.details.as_str())
            .bind(code.created_at.0)
            .bind(code.expires_at.0)
            .bind(code.wrapped_key.as_slice());
    }
    token::with_tokens(changes, grant.id, &grant.tokens, None).execute(transaction).await
}

pub(super) async fn revoke(
    transaction: &mut Transaction,
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
            .execute(transaction.writing().await?)
            .await
            .map_err(fault)?;
    if changed.rows_affected() == 0 {
        let known: Option<i64> = query_scalar("SELECT 1 FROM grants WHERE id = ?1")
            .bind(id)
            .fetch_optional(transaction.reading())
            .await
            .map_err(fault)?;
        return Ok(if known.is_some() { Ended::Before } else { Ended::Unknown });
    }
    query(
        "DELETE FROM credentials WHERE grant_id = $1;
         UPDATE tokens SET wrapped_key = NULL, answer = NULL, answer_until = NULL
         WHERE grant_id = $1 AND (wrapped_key IS NOT NULL OR answer IS NOT NULL);
         UPDATE tokens SET expires_at = min(expires_at, $2) WHERE grant_id = $1 AND kind = 'app password';
         UPDATE codes SET wrapped_key = NULL WHERE grant_id = $1 AND wrapped_key IS NOT NULL;
         INSERT INTO revocations (grant_id, at) VALUES ($1, $2)",
    )
    .bind(id)
    .bind(at.0)
    .execute(transaction.writing().await?)
    .await
    .map_err(fault)?;
    Ok(Ended::Now)
}

/// Tells that some grants end: `?1` says whose, `?2` when, `?3` how many at most.
const TELL_OF_CLIENT: &str = "INSERT INTO revocations (grant_id, at)
    SELECT id, ?2 FROM grants
    WHERE substr(client_id, -24) = substr(?1, -24) AND client_id = ?1 AND revoked_at IS NULL LIMIT ?3";
const TELL_OF_USER: &str = "INSERT INTO revocations (grant_id, at)
    SELECT id, ?2 FROM grants WHERE user = ?1 AND revoked_at IS NULL LIMIT ?3";
/// Ends the grants that were told after number `$1`, at `$2` and for the reason `$3`.
const END_TOLD: &str = "DELETE FROM credentials
    WHERE grant_id IN (SELECT grant_id FROM revocations WHERE sequence > $1);
    UPDATE tokens SET wrapped_key = NULL, answer = NULL, answer_until = NULL
    WHERE grant_id IN (SELECT grant_id FROM revocations WHERE sequence > $1)
      AND (wrapped_key IS NOT NULL OR answer IS NOT NULL);
    UPDATE tokens SET expires_at = min(expires_at, $2)
    WHERE grant_id IN (SELECT grant_id FROM revocations WHERE sequence > $1) AND kind = 'app password';
    UPDATE codes SET wrapped_key = NULL
    WHERE grant_id IN (SELECT grant_id FROM revocations WHERE sequence > $1) AND wrapped_key IS NOT NULL;
    UPDATE grants SET revoked_at = $2, revoked_reason = $3
    WHERE id IN (SELECT grant_id FROM revocations WHERE sequence > $1)";

/// Whose grants are to end.
#[derive(Clone, Copy)]
pub(super) enum Whose<'a> {
    Client(&'a ClientId),
    User(&'a Login),
}

/// Ends some grants. Says whether none is left; if so, the caller's change goes into the same transaction, and if
/// not, there is a next step.
pub(super) async fn revoke_step(
    transaction: &mut Transaction,
    whose: Whose<'_>,
    reason: RevocationReason,
    at: UnixTime,
) -> Result<bool, StoreError> {
    let (statement, name) = match whose {
        Whose::Client(client) => (TELL_OF_CLIENT, client.as_str()),
        Whose::User(user) => (TELL_OF_USER, user.as_str()),
    };
    let told = query(statement)
        .bind(name)
        .bind(at.0)
        .bind(STEP)
        .execute(transaction.writing().await?)
        .await
        .map_err(fault)?;
    let count = told.rows_affected();
    if count == 0 {
        return Ok(true);
    }
    // Nobody else writes meanwhile, so the last `count` numbers are those of these grants.
    query(END_TOLD)
        .bind(told.last_insert_rowid().saturating_sub_unsigned(count))
        .bind(at.0)
        .bind(reason.as_str())
        .execute(transaction.writing().await?)
        .await
        .map_err(fault)?;
    Ok(count < u64::from(STEP))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::plans::plan;

    #[tokio::test]
    async fn the_ending_of_many_grants_scans_no_table() {
        let folder = tempfile::tempdir().unwrap();
        for (statement, index) in [
            (TELL_OF_CLIENT, "grants_by_client (<expr>=? AND revoked_at=?)"),
            (TELL_OF_USER, "grants_by_user (user=? AND revoked_at=?)"),
        ] {
            let plan = plan(&folder, statement).await;
            assert!(plan.contains(index), "{plan}");
        }
        for statement in END_TOLD.split(';') {
            let plan = plan(&folder, statement).await;
            assert!(plan.contains("SEARCH revocations USING INTEGER PRIMARY KEY (rowid>?)"), "{plan}");
            assert!(!plan.contains("SCAN"), "{plan}");
        }
    }
}
