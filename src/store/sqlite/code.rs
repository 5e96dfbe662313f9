//! Authorization codes.

use sqlx::{SqlitePool, query};

use super::{
    fault::fault,
    grant,
    row::{column, grant_columns, grant_id_of, grant_of, time_of},
    token,
    transaction::{Changes, Transaction},
};
use crate::{
    model::{GrantId, TokenHash, UnixTime},
    store::{CodeRecord, NewToken, Redeemed, RevocationReason, StoreError},
};

pub(super) async fn code(readers: &SqlitePool, lookup: &TokenHash) -> Result<Option<CodeRecord>, StoreError> {
    let row = query(concat!(
        "SELECT ",
        grant_columns!(),
        ", c.details, c.expires_at AS code_expires_at, c.used_at, c.wrapped_key
         FROM codes c JOIN grants g ON g.id = c.grant_id WHERE c.lookup = ?1"
    ))
    .bind(lookup.as_bytes().as_slice())
    .fetch_optional(readers)
    .await
    .map_err(fault)?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(CodeRecord {
        details: column(&row, "details")?,
        expires_at: UnixTime(column(&row, "code_expires_at")?),
        used_at: time_of(&row, "used_at")?,
        wrapped_key: column(&row, "wrapped_key")?,
        grant: grant_of(&row)?,
    }))
}

pub(super) async fn redeem(
    transaction: &mut Transaction,
    code: TokenHash,
    tokens: Vec<NewToken>,
    now: UnixTime,
) -> Result<Redeemed, StoreError> {
    let row = query(
        "SELECT c.grant_id, c.expires_at > ?2 AS unexpired, c.used_at IS NOT NULL AS used,
                g.revoked_at IS NULL AND (g.expires_at IS NULL OR g.expires_at > ?2) AS live
         FROM codes c JOIN grants g ON g.id = c.grant_id WHERE c.lookup = ?1",
    )
    .bind(code.as_bytes().as_slice())
    .bind(now.0)
    .fetch_optional(transaction.reading())
    .await
    .map_err(fault)?;
    let Some(row) = row else { return Ok(Redeemed::Unknown) };
    let grant = grant_id_of(column(&row, "grant_id")?)?;
    if column(&row, "used")? {
        return replayed(transaction, grant, now).await;
    }
    if !column::<bool>(&row, "unexpired")? {
        return Ok(Redeemed::Expired);
    }
    if !column::<bool>(&row, "live")? {
        return Ok(Redeemed::GrantEnded);
    }
    let used = Changes::default()
        .and("UPDATE codes SET used_at = ?, wrapped_key = NULL WHERE lookup = ?")
        .bind(now.0)
        .bind(code.as_bytes().as_slice());
    token::with_tokens(used, grant, &tokens, None).execute(transaction).await?;
    Ok(Redeemed::Done)
}

/// A code or device code that is used twice is known to someone else: what it gave ends (RFC 6749 §4.1.2).
pub(super) async fn replayed(
    transaction: &mut Transaction,
    grant: GrantId,
    now: UnixTime,
) -> Result<Redeemed, StoreError> {
    grant::revoke(transaction, grant, RevocationReason::CodeReplayed, now).await?;
    Ok(Redeemed::Replayed(grant))
}
