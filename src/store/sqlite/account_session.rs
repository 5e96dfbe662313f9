use async_trait::async_trait;
use sqlx::query;

use super::{
    SqliteStore,
    fault::fault,
    row::{column, hash_of, login_of},
    transaction::Transaction,
};
use crate::{
    model::{TokenHash, UnixTime},
    store::{ACCOUNT_SESSIONS, AccountSession, AccountSessions, StoreError},
};

#[async_trait]
impl AccountSessions for SqliteStore {
    async fn open_account_session(&self, session: AccountSession) -> Result<(), StoreError> {
        self.writer.run(move |transaction| Box::pin(open(transaction, session))).await
    }

    async fn account_session(
        &self,
        lookup: &TokenHash,
        now: UnixTime,
    ) -> Result<Option<AccountSession>, StoreError> {
        let found = query(
            "SELECT lookup, login, auth_time, created_at, expires_at FROM account_sessions
             WHERE lookup = ?1 AND expires_at > ?2",
        )
        .bind(lookup.as_bytes().as_slice())
        .bind(now.0)
        .fetch_optional(&self.readers)
        .await
        .map_err(fault)?;
        let Some(row) = found else { return Ok(None) };
        Ok(Some(AccountSession {
            lookup: hash_of(column(&row, "lookup")?)?,
            user: login_of(&row, "login")?,
            auth_time: UnixTime(column(&row, "auth_time")?),
            created_at: UnixTime(column(&row, "created_at")?),
            expires_at: UnixTime(column(&row, "expires_at")?),
        }))
    }

    async fn close_account_session(&self, lookup: &TokenHash) -> Result<bool, StoreError> {
        let lookup = *lookup;
        self.writer.run(move |transaction| Box::pin(close(transaction, lookup))).await
    }
}

async fn open(transaction: &mut Transaction, session: AccountSession) -> Result<(), StoreError> {
    query(
        "INSERT INTO account_sessions (lookup, login, auth_time, created_at, expires_at)
         VALUES (?1, ?2, ?3, ?4, ?5)",
    )
    .bind(session.lookup.as_bytes().as_slice())
    .bind(session.user.as_str())
    .bind(session.auth_time.0)
    .bind(session.created_at.0)
    .bind(session.expires_at.0)
    .execute(transaction.writing().await?)
    .await
    .map_err(fault)?;
    query(
        "DELETE FROM account_sessions WHERE login = ?1 AND lookup <> ?2 AND lookup NOT IN
         (SELECT lookup FROM account_sessions WHERE login = ?1 AND lookup <> ?2
          ORDER BY created_at DESC LIMIT ?3)",
    )
    .bind(session.user.as_str())
    .bind(session.lookup.as_bytes().as_slice())
    .bind(ACCOUNT_SESSIONS - 1)
    .execute(transaction.writing().await?)
    .await
    .map_err(fault)?;
    Ok(())
}

async fn close(transaction: &mut Transaction, lookup: TokenHash) -> Result<bool, StoreError> {
    let closed = query("DELETE FROM account_sessions WHERE lookup = ?1")
        .bind(lookup.as_bytes().as_slice())
        .execute(transaction.writing().await?)
        .await
        .map_err(fault)?;
    Ok(closed.rows_affected() > 0)
}
