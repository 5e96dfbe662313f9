use sqlx::{PgConnection, query, query_scalar};

use super::{row::column, runner::Done};
use crate::{
    model::UnixTime,
    store::{Replaces, SigningKeyRecord, StoreError},
};

pub(super) async fn list(connection: &mut PgConnection) -> Done<Vec<SigningKeyRecord>> {
    let rows = query(
        "SELECT kid, algorithm, sealed, created_at, signs_from, retires_at FROM signing_keys
         ORDER BY signs_from, created_at, kid",
    )
    .fetch_all(connection)
    .await?;
    let record = |row| {
        Ok(SigningKeyRecord {
            kid: column(row, "kid")?,
            algorithm: column(row, "algorithm")?,
            sealed: column(row, "sealed")?,
            created_at: UnixTime(column(row, "created_at")?),
            signs_from: UnixTime(column(row, "signs_from")?),
            retires_at: column::<Option<i64>>(row, "retires_at")?.map(UnixTime),
        })
    };
    Ok(rows.iter().map(record).collect::<Result<_, StoreError>>()?)
}

pub(super) async fn add(
    connection: &mut PgConnection,
    (key, replaces): &(SigningKeyRecord, Option<Replaces>),
) -> Done<bool> {
    // One at a time: two that each see no newest key would both be the first.
    query("LOCK TABLE signing_keys IN SHARE ROW EXCLUSIVE MODE").execute(&mut *connection).await?;
    let newest: Option<String> = query_scalar(
        "SELECT kid FROM signing_keys WHERE algorithm = $1
         ORDER BY signs_from DESC, created_at DESC, kid LIMIT 1",
    )
    .bind(key.algorithm.as_str())
    .fetch_optional(&mut *connection)
    .await?;
    if newest.as_ref() != replaces.as_ref().map(|old| &old.kid) {
        return Ok(false);
    }
    if let Some(old) = replaces {
        query("UPDATE signing_keys SET retires_at = $2 WHERE kid = $1")
            .bind(old.kid.as_str())
            .bind(old.retires_at.0)
            .execute(&mut *connection)
            .await?;
    }
    query(
        "INSERT INTO signing_keys (kid, algorithm, sealed, created_at, signs_from, retires_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(key.kid.as_str())
    .bind(key.algorithm.as_str())
    .bind(key.sealed.as_slice())
    .bind(key.created_at.0)
    .bind(key.signs_from.0)
    .bind(key.retires_at.map(|at| at.0))
    .execute(connection)
    .await?;
    Ok(true)
}

pub(super) async fn retire(connection: &mut PgConnection, (kid, at): &(String, UnixTime)) -> Done<()> {
    query("UPDATE signing_keys SET retires_at = LEAST(COALESCE(retires_at, $2), $2) WHERE kid = $1")
        .bind(kid.as_str())
        .bind(at.0)
        .execute(connection)
        .await?;
    Ok(())
}
