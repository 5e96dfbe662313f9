use async_trait::async_trait;
use sqlx::{PgConnection, postgres::PgRow, query};

use super::{
    PostgresStore,
    grants::{self, Whose},
    row::{self, column},
    runner::Done,
};
use crate::{
    model::{Login, UnixTime},
    store::{Ended, RevocationReason, StoreError, UserRecord, Users},
};

#[async_trait]
impl Users for PostgresStore {
    async fn add_user(&self, user: UserRecord) -> Result<(), StoreError> {
        self.runner.write(user, |connection, user| Box::pin(add(connection, user))).await
    }

    async fn user(&self, login: &Login) -> Result<Option<UserRecord>, StoreError> {
        self.runner.read(login.clone(), |connection, login| Box::pin(find(connection, login))).await
    }

    async fn users(&self) -> Result<Vec<UserRecord>, StoreError> {
        self.runner.read((), |connection, ()| Box::pin(list(connection))).await
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
            let changed = self
                .runner
                .write(change, |connection, change| Box::pin(change_step(connection, change)))
                .await?;
            if let Some(changed) = changed {
                return Ok(changed);
            }
        }
    }

    async fn remove_user(&self, login: &Login, at: UnixTime) -> Result<Ended, StoreError> {
        loop {
            let user = (login.clone(), at);
            let removed =
                self.runner.write(user, |connection, user| Box::pin(remove_step(connection, user))).await?;
            if let Some(ended) = removed {
                return Ok(ended);
            }
        }
    }
}

fn record(row: &PgRow) -> Result<UserRecord, StoreError> {
    Ok(UserRecord {
        login: row::login(row, "login")?,
        password: column(row, "password")?,
        created_at: UnixTime(column(row, "created_at")?),
        changed_at: UnixTime(column(row, "changed_at")?),
    })
}

async fn add(connection: &mut PgConnection, user: &UserRecord) -> Done<()> {
    query("INSERT INTO users (login, password, created_at, changed_at) VALUES ($1, $2, $3, $4)")
        .bind(user.login.as_str())
        .bind(user.password.as_str())
        .bind(user.created_at.0)
        .bind(user.changed_at.0)
        .execute(connection)
        .await?;
    Ok(())
}

async fn find(connection: &mut PgConnection, login: &Login) -> Done<Option<UserRecord>> {
    let found = query("SELECT login, password, created_at, changed_at FROM users WHERE login = $1")
        .bind(login.as_str())
        .fetch_optional(connection)
        .await?;
    Ok(found.map(|found| record(&found)).transpose()?)
}

async fn list(connection: &mut PgConnection) -> Done<Vec<UserRecord>> {
    let rows = query("SELECT login, password, created_at, changed_at FROM users ORDER BY login")
        .fetch_all(connection)
        .await?;
    Ok(rows.iter().map(record).collect::<Result<_, _>>()?)
}

struct Change {
    login: Login,
    password: String,
    end_grants: bool,
    at: UnixTime,
}

/// One step of a change of password; `None` when grants may be left. The password changes with the last of them.
async fn change_step(connection: &mut PgConnection, change: &Change) -> Done<Option<bool>> {
    if find(connection, &change.login).await?.is_none() {
        return Ok(Some(false));
    }
    let whose = Whose::User(change.login.clone());
    let reason = RevocationReason::PasswordChanged;
    if change.end_grants && !grants::end_some(connection, &whose, reason, change.at).await? {
        return Ok(None);
    }
    let changed = query(
        "UPDATE users SET password = $2, changed_at = CASE WHEN $3 THEN $4 ELSE changed_at END WHERE login = $1",
    )
    .bind(change.login.as_str())
    .bind(change.password.as_str())
    .bind(change.end_grants)
    .bind(change.at.0)
    .execute(connection)
    .await?;
    Ok(Some(changed.rows_affected() > 0))
}

/// One step of the removal; `None` when grants may be left. The user goes with the last of them.
async fn remove_step(connection: &mut PgConnection, (login, at): &(Login, UnixTime)) -> Done<Option<Ended>> {
    if find(connection, login).await?.is_none() {
        return Ok(Some(Ended::Unknown));
    }
    let whose = Whose::User(login.clone());
    if !grants::end_some(connection, &whose, RevocationReason::UserRemoved, *at).await? {
        return Ok(None);
    }
    for kept in ["DELETE FROM consents WHERE login = $1", "DELETE FROM upstream_secrets WHERE login = $1"] {
        query(kept).bind(login.as_str()).execute(&mut *connection).await?;
    }
    let removed =
        query("DELETE FROM users WHERE login = $1").bind(login.as_str()).execute(connection).await?;
    Ok(Some(if removed.rows_affected() > 0 { Ended::Now } else { Ended::Unknown }))
}
