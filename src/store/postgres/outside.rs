use async_trait::async_trait;
use sqlx::{PgConnection, query};

use super::{PostgresStore, grants, row::column, runner::Done};
use crate::{
    model::{TokenHash, UnixTime},
    store::{OutsideEnds, StoreError},
};

#[async_trait]
impl OutsideEnds for PostgresStore {
    async fn end_outside(&self, key: &TokenHash, at: UnixTime) -> Result<(), StoreError> {
        self.runner.write((*key, at), |connection, end_at| Box::pin(end(connection, end_at))).await
    }

    async fn outside_end(&self, key: &TokenHash) -> Result<Option<UnixTime>, StoreError> {
        self.runner.read(*key, |connection, key| Box::pin(find(connection, key))).await
    }
}

async fn end(connection: &mut PgConnection, (key, at): &(TokenHash, UnixTime)) -> Done<()> {
    query(
        "WITH ended AS (
             INSERT INTO outside_ends AS known (key, at) VALUES ($1, $2)
             ON CONFLICT (key) DO UPDATE SET at = greatest(known.at, excluded.at)
         )
         INSERT INTO revocations (lookup, at) VALUES ($1, $2)",
    )
    .bind(key.as_bytes().as_slice())
    .bind(at.0)
    .execute(&mut *connection)
    .await?;
    grants::notify(connection).await
}

async fn find(connection: &mut PgConnection, key: &TokenHash) -> Done<Option<UnixTime>> {
    let found = query("SELECT at FROM outside_ends WHERE key = $1")
        .bind(key.as_bytes().as_slice())
        .fetch_optional(connection)
        .await?;
    Ok(found.map(|row| column(&row, "at").map(UnixTime)).transpose()?)
}
