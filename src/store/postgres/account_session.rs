use async_trait::async_trait;
use sqlx::{PgConnection, query};

use super::{
    PostgresStore,
    row::{self, column},
    runner::Done,
};
use crate::{
    model::{TokenHash, UnixTime},
    store::{ACCOUNT_SESSIONS, AccountSession, AccountSessions, StoreError},
};

#[async_trait]
impl AccountSessions for PostgresStore {
    async fn open_account_session(&self, session: AccountSession) -> Result<(), StoreError> {
        self.runner.write(session, |connection, session| Box::pin(open(connection, session))).await
    }

    async fn account_session(
        &self,
        lookup: &TokenHash,
        now: UnixTime,
    ) -> Result<Option<AccountSession>, StoreError> {
        self.runner.read((*lookup, now), |connection, asked| Box::pin(find(connection, asked))).await
    }

    async fn close_account_session(&self, lookup: &TokenHash) -> Result<bool, StoreError> {
        self.runner.write(*lookup, |connection, lookup| Box::pin(close(connection, lookup))).await
    }
}

async fn open(connection: &mut PgConnection, session: &AccountSession) -> Done<()> {
    query(
        "INSERT INTO account_sessions (lookup, login, auth_time, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(session.lookup.as_bytes().as_slice())
    .bind(session.user.as_str())
    .bind(session.auth_time.0)
    .bind(session.created_at.0)
    .bind(session.expires_at.0)
    .execute(&mut *connection)
    .await?;
    query(
        "DELETE FROM account_sessions WHERE lookup IN
         (SELECT lookup FROM account_sessions WHERE login = $1 AND lookup <> $2
          ORDER BY created_at DESC, lookup OFFSET $3 FOR UPDATE SKIP LOCKED)",
    )
    .bind(session.user.as_str())
    .bind(session.lookup.as_bytes().as_slice())
    .bind(i64::from(ACCOUNT_SESSIONS) - 1)
    .execute(connection)
    .await?;
    Ok(())
}

async fn find(
    connection: &mut PgConnection,
    (lookup, now): &(TokenHash, UnixTime),
) -> Done<Option<AccountSession>> {
    let found = query(
        "SELECT login, auth_time, created_at, expires_at FROM account_sessions
         WHERE lookup = $1 AND expires_at > $2",
    )
    .bind(lookup.as_bytes().as_slice())
    .bind(now.0)
    .fetch_optional(connection)
    .await?;
    let Some(row) = found else { return Ok(None) };
    Ok(Some(AccountSession {
        lookup: *lookup,
        user: row::login(&row, "login")?,
        auth_time: UnixTime(column(&row, "auth_time")?),
        created_at: UnixTime(column(&row, "created_at")?),
        expires_at: UnixTime(column(&row, "expires_at")?),
    }))
}

async fn close(connection: &mut PgConnection, lookup: &TokenHash) -> Done<bool> {
    let closed = query("DELETE FROM account_sessions WHERE lookup = $1")
        .bind(lookup.as_bytes().as_slice())
        .execute(connection)
        .await?;
    Ok(closed.rows_affected() > 0)
}
