use async_trait::async_trait;
use sqlx::{query, query_scalar, sqlite::SqliteRow};

use super::{
    SqliteStore,
    fault::fault,
    grant::{self, Whose},
    row::{column, login_of},
    transaction::Transaction,
};
use crate::{
    model::{Login, UnixTime},
    store::{Ended, RevocationReason, StoreError, UserRecord, Users},
};

#[async_trait]
impl Users for SqliteStore {
    async fn add_user(&self, user: UserRecord) -> Result<(), StoreError> {
        self.writer.run(move |transaction| Box::pin(add(transaction, user))).await
    }

    async fn user(&self, login: &Login) -> Result<Option<UserRecord>, StoreError> {
        query("SELECT login, password, created_at, changed_at FROM users WHERE login = ?1")
            .bind(login.as_str())
            .fetch_optional(&self.readers)
            .await
            .map_err(fault)?
            .map(|row| user_of(&row))
            .transpose()
    }

    async fn users(&self) -> Result<Vec<UserRecord>, StoreError> {
        query("SELECT login, password, created_at, changed_at FROM users ORDER BY login")
            .fetch_all(&self.readers)
            .await
            .map_err(fault)?
            .iter()
            .map(user_of)
            .collect()
    }

    async fn set_password(
        &self,
        login: &Login,
        password: &str,
        end_grants: bool,
        at: UnixTime,
    ) -> Result<bool, StoreError> {
        loop {
            let change = Change { login: login.clone(), password: password.to_owned(), end_grants, at };
            let changed =
                self.writer.run(move |transaction| Box::pin(change_step(transaction, change))).await?;
            if let Some(changed) = changed {
                return Ok(changed);
            }
        }
    }

    async fn remove_user(&self, login: &Login, at: UnixTime) -> Result<Ended, StoreError> {
        loop {
            let login = login.clone();
            let removed =
                self.writer.run(move |transaction| Box::pin(remove(transaction, login, at))).await?;
            if let Some(ended) = removed {
                return Ok(ended);
            }
        }
    }
}

pub(super) fn user_of(row: &SqliteRow) -> Result<UserRecord, StoreError> {
    Ok(UserRecord {
        login: login_of(row, "login")?,
        password: column(row, "password")?,
        created_at: UnixTime(column(row, "created_at")?),
        changed_at: UnixTime(column(row, "changed_at")?),
    })
}

async fn add(transaction: &mut Transaction, user: UserRecord) -> Result<(), StoreError> {
    query("INSERT INTO users (login, password, created_at, changed_at) VALUES (?1, ?2, ?3, ?4)")
        .bind(user.login.as_str())
        .bind(user.password)
        .bind(user.created_at.0)
        .bind(user.changed_at.0)
        .execute(transaction.writing().await?)
        .await
        .map_err(fault)?;
    Ok(())
}

async fn is_known(transaction: &mut Transaction, login: &Login) -> Result<bool, StoreError> {
    let known: Option<i64> = query_scalar("SELECT 1 FROM users WHERE login = ?1")
        .bind(login.as_str())
        .fetch_optional(transaction.reading())
        .await
        .map_err(fault)?;
    Ok(known.is_some())
}

struct Change {
    login: Login,
    password: String,
    end_grants: bool,
    at: UnixTime,
}

/// One step of a change of password; `None` when grants are left. The password changes with the last of them.
async fn change_step(transaction: &mut Transaction, change: Change) -> Result<Option<bool>, StoreError> {
    let Change { login, password, end_grants, at } = change;
    if !is_known(transaction, &login).await? {
        return Ok(Some(false));
    }
    let reason = RevocationReason::PasswordChanged;
    if end_grants && !grant::revoke_step(transaction, Whose::User(&login), reason, at).await? {
        return Ok(None);
    }
    query("UPDATE users SET password = ?2, changed_at = iif(?3, ?4, changed_at) WHERE login = ?1")
        .bind(login.as_str())
        .bind(password)
        .bind(end_grants)
        .bind(at.0)
        .execute(transaction.writing().await?)
        .await
        .map_err(fault)?;
    Ok(Some(true))
}

/// One step of the removal; `None` when grants are left. The user goes with the last of them.
async fn remove(
    transaction: &mut Transaction,
    login: Login,
    at: UnixTime,
) -> Result<Option<Ended>, StoreError> {
    if !is_known(transaction, &login).await? {
        return Ok(Some(Ended::Unknown));
    }
    let whose = Whose::User(&login);
    if !grant::revoke_step(transaction, whose, RevocationReason::UserRemoved, at).await? {
        return Ok(None);
    }
    query(
        "DELETE FROM users WHERE login = $1; DELETE FROM consents WHERE user = $1;
         DELETE FROM upstream_secrets WHERE user = $1",
    )
    .bind(login.as_str())
    .execute(transaction.writing().await?)
    .await
    .map_err(fault)?;
    Ok(Some(Ended::Now))
}
