use sqlx::{SqlitePool, query, query_scalar};

use super::{
    fault::fault,
    row::{column, time_of},
    transaction::Transaction,
};
use crate::{
    model::UnixTime,
    store::{Replaces, SigningKeyRecord, StoreError},
};

pub(super) async fn signing_keys(readers: &SqlitePool) -> Result<Vec<SigningKeyRecord>, StoreError> {
    query(
        "SELECT kid, algorithm, sealed, created_at, signs_from, retires_at FROM signing_keys
         ORDER BY signs_from, created_at, kid",
    )
    .fetch_all(readers)
    .await
    .map_err(fault)?
    .iter()
    .map(|row| {
        Ok(SigningKeyRecord {
            kid: column(row, "kid")?,
            algorithm: column(row, "algorithm")?,
            sealed: column(row, "sealed")?,
            created_at: UnixTime(column(row, "created_at")?),
            signs_from: UnixTime(column(row, "signs_from")?),
            retires_at: time_of(row, "retires_at")?,
        })
    })
    .collect()
}

pub(super) async fn add(
    transaction: &mut Transaction,
    key: SigningKeyRecord,
    replaces: Option<Replaces>,
) -> Result<bool, StoreError> {
    let newest: Option<String> = query_scalar(
        "SELECT kid FROM signing_keys WHERE algorithm = ?1 ORDER BY signs_from DESC, created_at DESC, kid LIMIT 1",
    )
    .bind(key.algorithm.as_str())
    .fetch_optional(transaction.reading())
    .await
    .map_err(fault)?;
    if newest.as_ref() != replaces.as_ref().map(|old| &old.kid) {
        return Ok(false);
    }
    if let Some(old) = replaces {
        query("UPDATE signing_keys SET retires_at = ?2 WHERE kid = ?1")
            .bind(old.kid)
            .bind(old.retires_at.0)
            .execute(transaction.writing().await?)
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
    .execute(transaction.writing().await?)
    .await
    .map_err(fault)?;
    Ok(true)
}

pub(super) async fn retire(
    transaction: &mut Transaction,
    kid: String,
    at: UnixTime,
) -> Result<(), StoreError> {
    query("UPDATE signing_keys SET retires_at = min(coalesce(retires_at, ?2), ?2) WHERE kid = ?1")
        .bind(kid)
        .bind(at.0)
        .execute(transaction.writing().await?)
        .await
        .map_err(fault)?;
    Ok(())
}
