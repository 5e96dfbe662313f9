use sqlx::{PgConnection, Row, query, query_scalar};

use super::{
    fault::Trouble,
    revocations::CHANNEL,
    row::{self, grant_columns},
    runner::Done,
};
use crate::{
    model::{ClientId, GrantId, Login, TokenHash, UnixTime},
    store::{
        Ended, Grant, GrantFilter, NewCode, NewGrant, NewToken, RevocationReason, StoreError, TokenRecord,
    },
};

/// Grants ended in one transaction.
const BATCH: i64 = 500;

pub(super) async fn create(connection: &mut PgConnection, grant: &NewGrant) -> Done<()> {
    while_not_denied(connection, &grant.client).await?;
    insert(connection, grant).await
}

/// Holds off whoever denies this client until the end of the transaction, so that no grant is stored behind the
/// back of the one who ends all of them.
pub(super) async fn while_not_denied(connection: &mut PgConnection, client: &ClientId) -> Done<()> {
    query("SELECT pg_advisory_xact_lock_shared(hashtextextended($1, 0))")
        .bind(client.as_str())
        .execute(&mut *connection)
        .await?;
    // Another statement, because a statement does not see what was committed while it waited for a lock.
    let denied: bool = query_scalar("SELECT EXISTS (SELECT 1 FROM denied_clients WHERE client_id = $1)")
        .bind(client.as_str())
        .fetch_one(connection)
        .await?;
    if denied { Err(StoreError::GrantEnded.into()) } else { Ok(()) }
}

pub(super) async fn insert(connection: &mut PgConnection, grant: &NewGrant) -> Done<()> {
    query(
        "INSERT INTO grants
           (id, login, client_id, scope, created_at, expires_at, public_key, audience, auth_time, mailboxes)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
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
    .await?;
    for credential in &grant.credentials {
        query("INSERT INTO credentials (grant_id, backend, kind, sealed) VALUES ($1, $2, $3, $4)")
            .bind(grant.id.as_bytes().as_slice())
            .bind(credential.backend.as_str())
            .bind(credential.kind.as_str())
            .bind(credential.sealed.as_slice())
            .execute(&mut *connection)
            .await?;
    }
    if let Some(code) = &grant.code {
        insert_code(connection, grant.id, code).await?;
    }
    for token in &grant.tokens {
        insert_token(connection, grant.id, token, None).await?;
    }
    Ok(())
}

async fn insert_code(connection: &mut PgConnection, grant: GrantId, code: &NewCode) -> Done<()> {
    query(
        "INSERT INTO codes (lookup, grant_id, details, created_at, expires_at, wrapped_key)
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(code.lookup.as_bytes().as_slice())
    .bind(grant.as_bytes().as_slice())
    .bind(code.details.as_str())
    .bind(code.created_at.0)
    .bind(code.expires_at.0)
    .bind(code.wrapped_key.as_slice())
    .execute(connection)
    .await?;
    Ok(())
}

/// Stores a token of a grant whose row this transaction has locked or made.
pub(super) async fn insert_token(
    connection: &mut PgConnection,
    grant: GrantId,
    token: &NewToken,
    predecessor: Option<&TokenHash>,
) -> Done<()> {
    query(
        "INSERT INTO tokens
           (lookup, grant_id, kind, scope, created_at, expires_at, wrapped_key, audience, certificate, predecessor)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(token.lookup.as_bytes().as_slice())
    .bind(grant.as_bytes().as_slice())
    .bind(token.kind.as_str())
    .bind(token.scope.to_string())
    .bind(token.created_at.0)
    .bind(token.expires_at.0)
    .bind(token.wrapped_key.as_slice())
    .bind(token.audience.as_str())
    .bind(token.certificate.as_ref().map(<[u8; 32]>::as_slice))
    .bind(predecessor.map(|lookup| lookup.as_bytes().as_slice()))
    .execute(connection)
    .await?;
    Ok(())
}

/// The row goes in only while the grant is live: a revocation that was faster wins, and one that is slower waits.
pub(super) async fn add_token(
    connection: &mut PgConnection,
    (grant, token, now): &(GrantId, NewToken, UnixTime),
) -> Done<()> {
    let live: Option<i32> = query_scalar(
        "SELECT 1 FROM grants
         WHERE id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)
         FOR NO KEY UPDATE",
    )
    .bind(grant.as_bytes().as_slice())
    .bind(now.0)
    .fetch_optional(&mut *connection)
    .await?;
    if live.is_none() {
        return Err(StoreError::GrantEnded.into());
    }
    insert_token(connection, *grant, token, None).await
}

pub(super) async fn token(connection: &mut PgConnection, lookup: &TokenHash) -> Done<Option<TokenRecord>> {
    let rows = query(concat!(
        "SELECT ",
        grant_columns!(),
        ", t.kind AS token_kind, t.scope AS token_scope, t.created_at AS token_created_at,
           t.expires_at AS token_expires_at, t.revoked_at AS token_revoked_at, t.audience AS token_audience,
           t.certificate, t.used_at, t.answer, t.wrapped_key, a.networks, c.backend, c.kind, c.sealed
         FROM tokens t JOIN grants g ON g.id = t.grant_id LEFT JOIN credentials c ON c.grant_id = g.id
           LEFT JOIN app_passwords a ON a.grant_id = g.id
         WHERE t.lookup = $1 ORDER BY c.backend, c.kind"
    ))
    .bind(lookup.as_bytes().as_slice())
    .fetch_all(connection)
    .await?;
    Ok(row::token(lookup, &rows)?)
}

pub(super) async fn grant(connection: &mut PgConnection, id: &GrantId) -> Done<Option<Grant>> {
    let found = query(concat!("SELECT ", grant_columns!(), " FROM grants g WHERE g.id = $1"))
        .bind(id.as_bytes().as_slice())
        .fetch_optional(connection)
        .await?;
    Ok(found.map(|found| row::grant(&found)).transpose()?)
}

pub(super) async fn holds_credentials(connection: &mut PgConnection, grant: &GrantId) -> Done<bool> {
    let holds = query_scalar("SELECT EXISTS (SELECT 1 FROM credentials WHERE grant_id = $1)")
        .bind(grant.as_bytes().as_slice())
        .fetch_one(connection)
        .await?;
    Ok(holds)
}

pub(super) async fn list(connection: &mut PgConnection, filter: &GrantFilter) -> Done<Vec<Grant>> {
    let rows = query(concat!(
        "SELECT ",
        grant_columns!(),
        " FROM grants g
         WHERE ($1::text IS NULL OR g.login = $1) 
           AND ($2::text IS NULL OR (g.client_id = $2 AND right(g.client_id, 24) = right($2, 24)))
           AND ($3::bigint IS NULL OR (g.revoked_at IS NULL AND (g.expires_at IS NULL OR g.expires_at > $3)
                AND EXISTS (SELECT 1 FROM tokens t
                            WHERE t.grant_id = g.id AND t.revoked_at IS NULL AND t.expires_at > $3)))
         ORDER BY g.created_at, g.id"
    ))
    .bind(filter.user.as_ref().map(Login::as_str))
    .bind(filter.client.as_ref().map(ClientId::as_str))
    .bind(filter.active_at.map(|at| at.0))
    .fetch_all(connection)
    .await?;
    Ok(rows.iter().map(row::grant).collect::<Result<_, _>>()?)
}

pub(super) async fn revoke(
    connection: &mut PgConnection,
    (id, reason, at): &(GrantId, RevocationReason, UnixTime),
) -> Done<Ended> {
    let live: Option<bool> =
        query_scalar("SELECT revoked_at IS NULL FROM grants WHERE id = $1 FOR NO KEY UPDATE")
            .bind(id.as_bytes().as_slice())
            .fetch_optional(&mut *connection)
            .await?;
    match live {
        None => Ok(Ended::Unknown),
        Some(false) => Ok(Ended::Before),
        Some(true) => {
            end(connection, &[id.as_bytes().to_vec()], *reason, *at).await?;
            Ok(Ended::Now)
        }
    }
}

/// Ends grants whose rows this transaction has locked, removes whatever opens their credentials, and tells it.
pub(super) async fn end(
    connection: &mut PgConnection,
    grants: &[Vec<u8>],
    reason: RevocationReason,
    at: UnixTime,
) -> Done<()> {
    query(
        "WITH ended AS (
             UPDATE grants SET revoked_at = $2, revoked_reason = $3
             WHERE id = ANY($1) AND revoked_at IS NULL RETURNING id
         ), unsealed AS (
             DELETE FROM credentials WHERE grant_id = ANY($1)
         ), unwrapped AS (
             UPDATE tokens SET wrapped_key = NULL, answer = NULL, answer_until = NULL,
               expires_at = CASE WHEN kind = 'app password' THEN LEAST(expires_at, $2) ELSE expires_at END
             WHERE grant_id = ANY($1) AND (wrapped_key IS NOT NULL OR answer IS NOT NULL)
         ), unused AS (
             UPDATE codes SET wrapped_key = NULL WHERE grant_id = ANY($1) AND wrapped_key IS NOT NULL
         )
         INSERT INTO revocations (grant_id, at) SELECT id, $2 FROM ended",
    )
    .bind(grants)
    .bind(at.0)
    .bind(reason.as_str())
    .execute(&mut *connection)
    .await?;
    notify(connection).await
}

/// Whose grants are to end.
#[derive(Clone, Debug)]
pub(super) enum Whose {
    Client(ClientId),
    User(Login),
}

/// Ends some of the grants of a user or a client; says whether that were all of them.
pub(super) async fn end_some(
    connection: &mut PgConnection,
    whose: &Whose,
    reason: RevocationReason,
    at: UnixTime,
) -> Done<bool> {
    let (statement, name) = match whose {
        Whose::Client(client) => (
            "SELECT id FROM grants
             WHERE client_id = $1 AND right(client_id, 24) = right($1, 24) AND revoked_at IS NULL
             ORDER BY id LIMIT $2 FOR NO KEY UPDATE",
            client.as_str(),
        ),
        Whose::User(login) => (
            "SELECT id FROM grants WHERE login = $1 AND revoked_at IS NULL
             ORDER BY id LIMIT $2 FOR NO KEY UPDATE",
            login.as_str(),
        ),
    };
    let grants: Vec<Vec<u8>> =
        query_scalar(statement).bind(name).bind(BATCH).fetch_all(&mut *connection).await?;
    if grants.is_empty() {
        return Ok(true);
    }
    end(connection, &grants, reason, at).await?;
    // One that another transaction ended meanwhile shortens the list, and does not mean that it was the last.
    Ok(false)
}

pub(super) async fn revoke_token(
    connection: &mut PgConnection,
    (lookup, at): &(TokenHash, UnixTime),
) -> Done<Ended> {
    let changed = query(
        "WITH ended AS (
             UPDATE tokens SET revoked_at = $2, wrapped_key = NULL, answer = NULL, answer_until = NULL
             WHERE lookup = $1 AND revoked_at IS NULL RETURNING lookup
         )
         INSERT INTO revocations (lookup, at) SELECT lookup, $2 FROM ended",
    )
    .bind(lookup.as_bytes().as_slice())
    .bind(at.0)
    .execute(&mut *connection)
    .await?;
    if changed.rows_affected() > 0 {
        notify(connection).await?;
        return Ok(Ended::Now);
    }
    let known = query("SELECT 1 FROM tokens WHERE lookup = $1")
        .bind(lookup.as_bytes().as_slice())
        .fetch_optional(connection)
        .await?;
    Ok(if known.is_some() { Ended::Before } else { Ended::Unknown })
}

/// Tells every node, once this transaction is committed, that something was revoked.
pub(super) async fn notify(connection: &mut PgConnection) -> Done<()> {
    query("SELECT pg_notify($1, '')").bind(CHANNEL).execute(connection).await?;
    Ok(())
}

/// A grant whose row is locked until the end of the transaction.
pub(super) struct Locked {
    pub(super) id: GrantId,
    pub(super) is_revoked: bool,
    pub(super) is_live: bool,
}

/// Locks the grant that `statement` finds for `lookup`. Whatever hangs on a grant is changed under this lock, and
/// nothing is waited for while another row is locked: so no two transactions wait for each other.
pub(super) async fn lock(
    connection: &mut PgConnection,
    statement: &'static str,
    lookup: &TokenHash,
    now: UnixTime,
) -> Done<Option<Locked>> {
    let found =
        query(statement).bind(lookup.as_bytes().as_slice()).bind(now.0).fetch_optional(connection).await?;
    let Some(found) = found else { return Ok(None) };
    let locked = Locked {
        id: row::grant_id(&found, "id")?,
        is_revoked: found.try_get("is_revoked").map_err(Trouble::from)?,
        is_live: found.try_get("is_live").map_err(Trouble::from)?,
    };
    Ok(Some(locked))
}

/// The statement of [`lock`] for a table.
macro_rules! lock_grant_of {
    ($table:literal) => {
        concat!(
            "SELECT id, revoked_at IS NOT NULL AS is_revoked,
                    revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2) AS is_live
             FROM grants WHERE id = (SELECT grant_id FROM ",
            $table,
            " WHERE lookup = $1) FOR NO KEY UPDATE"
        )
    };
}
pub(super) use lock_grant_of;
