//! Access and refresh tokens.

use sqlx::{SqlitePool, query, query_scalar, sqlite::SqliteRow};

use super::{
    fault::{corrupt, fault},
    row::{column, grant_columns, grant_id_of, grant_of, scope_of, time_of},
    transaction::{Changes, Transaction},
};
use crate::{
    model::{CredentialKind, GrantId, TokenHash, TokenKind, UnixTime},
    store::{
        Ended, NewToken, Renewal, Rotated, Rotation, SealedCredential, StoreError, TokenRecord,
        app_password::networks_of,
    },
};

pub(super) async fn token(
    readers: &SqlitePool,
    lookup: &TokenHash,
) -> Result<Option<TokenRecord>, StoreError> {
    let rows = query(concat!(
        "SELECT ",
        grant_columns!(),
        ", t.kind AS token_kind, t.scope AS token_scope, t.created_at AS token_created_at,
           t.expires_at AS token_expires_at, t.revoked_at AS token_revoked_at, t.audience AS token_audience,
           t.certificate, t.used_at, t.answer, t.wrapped_key, a.networks, c.backend, c.kind, c.sealed
         FROM tokens t JOIN grants g ON g.id = t.grant_id LEFT JOIN credentials c ON c.grant_id = g.id
           LEFT JOIN app_passwords a ON a.grant_id = g.id
         WHERE t.lookup = ?1 ORDER BY c.backend, c.kind"
    ))
    .bind(lookup.as_bytes().as_slice())
    .fetch_all(readers)
    .await
    .map_err(fault)?;
    let Some(row) = rows.first() else { return Ok(None) };
    let kind: &str = column(row, "token_kind")?;
    Ok(Some(TokenRecord {
        lookup: *lookup,
        kind: TokenKind::from_name(kind).ok_or_else(|| corrupt("token kind"))?,
        scope: scope_of(row, "token_scope")?,
        audience: column(row, "token_audience")?,
        certificate: column::<Option<&[u8]>>(row, "certificate")?
            .map(|octets| octets.try_into().map_err(|_| corrupt("certificate")))
            .transpose()?,
        created_at: UnixTime(column(row, "token_created_at")?),
        expires_at: UnixTime(column(row, "token_expires_at")?),
        revoked_at: time_of(row, "token_revoked_at")?,
        used_at: time_of(row, "used_at")?,
        answer: column(row, "answer")?,
        wrapped_key: column(row, "wrapped_key")?,
        networks: networks_of(column::<Option<&str>>(row, "networks")?.unwrap_or_default())?,
        grant: grant_of(row)?,
        credentials: rows
            .iter()
            .filter_map(|row| credential_of(row).transpose())
            .collect::<Result<_, _>>()?,
    }))
}

/// The credential of a joined row; `None` where the grant has none.
pub(super) fn credential_of(row: &SqliteRow) -> Result<Option<SealedCredential>, StoreError> {
    let Some(backend) = column::<Option<String>>(row, "backend")? else { return Ok(None) };
    let kind = CredentialKind::from_name(column(row, "kind")?).ok_or_else(|| corrupt("credential kind"))?;
    Ok(Some(SealedCredential { backend, kind, sealed: column(row, "sealed")? }))
}

/// Puts tokens of a grant that is known to be live behind other changes: all of them are one way to the transaction's
/// thread and back. Refresh tokens among them remember their predecessor.
pub(super) fn with_tokens(
    mut changes: Changes,
    grant: GrantId,
    tokens: &[NewToken],
    predecessor: Option<&TokenHash>,
) -> Changes {
    for token in tokens {
        let predecessor = predecessor.filter(|_| token.kind == TokenKind::Refresh);
        changes = changes
            .and(
                "INSERT INTO tokens (lookup, grant_id, kind, scope, created_at, expires_at, wrapped_key, audience,
                                     certificate, predecessor)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
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
            .bind(predecessor.map(|lookup| lookup.as_bytes().as_slice()));
    }
    changes
}

/// A token goes in only while its grant is live: a revocation that was faster wins.
pub(super) async fn add(
    transaction: &mut Transaction,
    grant: GrantId,
    token: NewToken,
    now: UnixTime,
) -> Result<(), StoreError> {
    let live: Option<i64> = query_scalar(
        "SELECT 1 FROM grants
         WHERE id = ?1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?2)",
    )
    .bind(grant.as_bytes().as_slice())
    .bind(now.0)
    .fetch_optional(transaction.reading())
    .await
    .map_err(fault)?;
    if live.is_none() {
        return Err(StoreError::GrantEnded);
    }
    with_tokens(Changes::default(), grant, &[token], None).execute(transaction).await
}

pub(super) async fn revoke(
    transaction: &mut Transaction,
    lookup: TokenHash,
    at: UnixTime,
) -> Result<Ended, StoreError> {
    let lookup = lookup.as_bytes().as_slice();
    let changed = query(
        "UPDATE tokens SET revoked_at = ?2, wrapped_key = NULL, answer = NULL, answer_until = NULL
         WHERE lookup = ?1 AND revoked_at IS NULL",
    )
    .bind(lookup)
    .bind(at.0)
    .execute(transaction.writing().await?)
    .await
    .map_err(fault)?;
    if changed.rows_affected() == 0 {
        let known: Option<i64> = query_scalar("SELECT 1 FROM tokens WHERE lookup = ?1")
            .bind(lookup)
            .fetch_optional(transaction.reading())
            .await
            .map_err(fault)?;
        return Ok(if known.is_some() { Ended::Before } else { Ended::Unknown });
    }
    query("INSERT INTO revocations (lookup, at) VALUES (?1, ?2)")
        .bind(lookup)
        .bind(at.0)
        .execute(transaction.writing().await?)
        .await
        .map_err(fault)?;
    Ok(Ended::Now)
}

/// A refresh token that may be used.
struct Usable {
    grant: GrantId,
    predecessor: Option<Vec<u8>>,
}

impl Usable {
    /// Whoever uses it has got it, and with it the answer that its predecessor kept.
    fn forget_answer(&self, changes: Changes) -> Changes {
        let Some(predecessor) = &self.predecessor else { return changes };
        changes
            .and(
                "UPDATE tokens SET answer = NULL, answer_until = NULL
                 WHERE lookup = ? AND answer IS NOT NULL",
            )
            .bind(predecessor.as_slice())
    }
}

/// What stands against the use of a refresh token, or nothing.
async fn usable(
    transaction: &mut Transaction,
    lookup: &TokenHash,
    now: UnixTime,
) -> Result<Result<Usable, Rotated>, StoreError> {
    let row = query(
        "SELECT t.grant_id, t.predecessor, t.expires_at, t.used_at,
                CASE WHEN t.answer_until > ?2 THEN t.answer END AS answer,
                t.revoked_at IS NULL AND g.revoked_at IS NULL AND (g.expires_at IS NULL OR g.expires_at > ?2)
                  AS live
         FROM tokens t JOIN grants g ON g.id = t.grant_id
         WHERE t.lookup = ?1 AND t.kind = ?3",
    )
    .bind(lookup.as_bytes().as_slice())
    .bind(now.0)
    .bind(TokenKind::Refresh.as_str())
    .fetch_optional(transaction.reading())
    .await
    .map_err(fault)?;
    let Some(row) = row else { return Ok(Err(Rotated::Unknown)) };
    if !column::<bool>(&row, "live")? {
        return Ok(Err(Rotated::Ended));
    }
    if let Some(at) = time_of(&row, "used_at")? {
        return Ok(Err(Rotated::Used { at, answer: column(&row, "answer")? }));
    }
    if column::<i64>(&row, "expires_at")? <= now.0 {
        return Ok(Err(Rotated::Ended));
    }
    let grant = grant_id_of(column(&row, "grant_id")?)?;
    Ok(Ok(Usable { grant, predecessor: column(&row, "predecessor")? }))
}

pub(super) async fn rotate(transaction: &mut Transaction, rotation: Rotation) -> Result<Rotated, StoreError> {
    let usable = match usable(transaction, &rotation.old, rotation.now).await? {
        Ok(usable) => usable,
        Err(refused) => return Ok(refused),
    };
    let changes = Changes::default()
        .and(
            "UPDATE tokens SET used_at = ?, wrapped_key = NULL, answer = ?, answer_until = ? WHERE lookup = ?",
        )
        .bind(rotation.now.0)
        .bind(rotation.answer.as_slice())
        .bind(rotation.answer_until.0)
        .bind(rotation.old.as_bytes().as_slice());
    with_tokens(usable.forget_answer(changes), usable.grant, &rotation.tokens, Some(&rotation.old))
        .execute(transaction)
        .await?;
    Ok(Rotated::Done)
}

pub(super) async fn renew(transaction: &mut Transaction, renewal: Renewal) -> Result<Rotated, StoreError> {
    let usable = match usable(transaction, &renewal.refresh, renewal.now).await? {
        Ok(usable) => usable,
        Err(refused) => return Ok(refused),
    };
    let changes = Changes::default()
        .and("UPDATE tokens SET expires_at = ? WHERE lookup = ?")
        .bind(renewal.expires_at.0)
        .bind(renewal.refresh.as_bytes().as_slice());
    with_tokens(usable.forget_answer(changes), usable.grant, &[renewal.access], None)
        .execute(transaction)
        .await?;
    Ok(Rotated::Done)
}
