//! A database knows the passwords: one question finds the stored password of a person, which is compared here.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use sqlx::{AssertSqlSafe, Column, ColumnIndex, Decode, Row, Type, query};
use tokio::time::timeout;

use super::{CheckError, HashError, Hashing, Names, PasswordCheck, Verified, crypt::Hashed};
use crate::{
    lookup::{Database, Fault, SqlPool, SqlQuery, sql_fault},
    model::{Login, Secret},
};

/// `[directory.sql]`.
#[derive(Clone, Debug)]
pub struct SqlDirectoryConfig {
    /// Where it is.
    pub database: Database,
    /// Finds `password`, and perhaps `login` and `active`, of the login name `$1`.
    pub query: SqlQuery,
    /// Whether passwords may be stored in clear.
    pub allow_plain: bool,
    /// Time for one question.
    pub timeout: Duration,
    /// Whose people these are; all where there is none.
    pub domains: Vec<String>,
}

/// A database of people.
pub struct SqlDirectory {
    config: SqlDirectoryConfig,
    pool: SqlPool,
    hashing: Arc<Hashing>,
    names: Names,
    /// What was last compared, with which unknown people take as long as known ones.
    decoy: Mutex<Option<Hashed>>,
}

/// What the database says of a person.
struct Found {
    password: Option<Secret>,
    login: Option<String>,
    is_active: bool,
}

impl SqlDirectory {
    /// Connects when it is first asked.
    pub fn new(config: SqlDirectoryConfig, hashing: Arc<Hashing>, names: Names) -> Self {
        let pool = SqlPool::new(&config.database, config.timeout);
        Self { config, pool, hashing, names, decoy: Mutex::new(None) }
    }

    /// Whether the question can be asked; what it says of somebody whom nobody should know.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub async fn probe(&self, nobody: &Login) -> Result<String, String> {
        match self.find(nobody).await {
            Ok(None) => Ok(format!("answers; it does not know {nobody}")),
            Ok(Some(_)) => Ok(format!("answers; it knows even {nobody}")),
            Err(Fault::Operator(reason) | Fault::Unavailable(reason)) => Err(reason),
        }
    }

    async fn find(&self, login: &Login) -> Result<Option<Found>, Fault> {
        let statement = query_of(&self.config.query);
        let asking = async {
            match &self.pool {
                SqlPool::Postgres(pool) => {
                    let rows = query(statement).bind(login.as_str()).fetch_all(pool).await;
                    found(&rows.map_err(sql_fault)?)
                }
                SqlPool::Sqlite(pool) => {
                    let rows = query(statement).bind(login.as_str()).fetch_all(pool).await;
                    found(&rows.map_err(sql_fault)?)
                }
            }
        };
        let late = || Fault::Unavailable(format!("no answer within {:?}", self.config.timeout));
        timeout(self.config.timeout, asking).await.map_err(|_| late())?
    }

    /// Whether `password` is what is stored. Without anything stored it takes as long.
    async fn compare(&self, password: &Secret, stored: Option<Hashed>) -> Result<bool, HashError> {
        let is_known = stored.is_some();
        let decoy = || self.decoy.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(hashed) = stored.or_else(|| decoy().clone()) else {
            self.hashing.verify(password, None).await?;
            return Ok(false);
        };
        if is_known {
            *decoy() = Some(hashed.clone());
        }
        let password = password.clone();
        Ok(self.hashing.run(move || hashed.is(&password)).await? && is_known)
    }

    /// The name that the database gives to the person, if it knows the person by that name too.
    async fn given(&self, login: &Login, found: &Found) -> Result<Option<Login>, CheckError> {
        let Some(text) = &found.login else { return Ok(None) };
        let Some(given) = self.names.given(login, text)? else { return Ok(None) };
        let again = self.find(&given).await.map_err(error)?;
        let is_same =
            again.is_some_and(|again| again.login == found.login && again.password == found.password);
        if is_same {
            return Ok(Some(given));
        }
        Err(CheckError::Operator(format!(
            "the query finds {given} for {login}, but for {given} it does not find the same person"
        )))
    }
}

fn query_of(query: &SqlQuery) -> AssertSqlSafe<String> {
    AssertSqlSafe(query.text().to_owned())
}

#[async_trait]
impl PasswordCheck for SqlDirectory {
    async fn ask(
        &self,
        login: &Login,
        password: &Secret,
        _: std::net::IpAddr,
    ) -> Result<Verified, CheckError> {
        let found = self.find(login).await.map_err(error)?;
        let stored = match found.as_ref().and_then(|found| found.password.as_ref()) {
            None => None,
            Some(text) => {
                let text = text.expose_str().unwrap_or_default();
                let stored = Hashed::parse(text, self.config.allow_plain);
                Some(stored.map_err(|error| CheckError::Operator(format!("{login}: {error}")))?)
            }
        };
        let compared = self.compare(password, stored).await;
        let is_right = compared.map_err(|error| CheckError::Unavailable(error.to_string()))?;
        let Some(found) = found else { return Err(CheckError::Unknown) };
        if !is_right || !found.is_active {
            return Err(CheckError::Wrong);
        }
        Ok(Verified { login: self.given(login, &found).await?, ..Verified::default() })
    }
}

pub(super) fn error(fault: Fault) -> CheckError {
    match fault {
        Fault::Operator(reason) => CheckError::Operator(reason),
        Fault::Unavailable(reason) => CheckError::Unavailable(reason),
    }
}

fn found<R>(rows: &[R]) -> Result<Option<Found>, Fault>
where
    R: Row,
    for<'a> &'a str: ColumnIndex<R>,
    for<'a> String: Decode<'a, R::Database> + Type<R::Database>,
    for<'a> bool: Decode<'a, R::Database> + Type<R::Database>,
    for<'a> i64: Decode<'a, R::Database> + Type<R::Database>,
    for<'a> i32: Decode<'a, R::Database> + Type<R::Database>,
    for<'a> i16: Decode<'a, R::Database> + Type<R::Database>,
{
    let row = match rows {
        [] => return Ok(None),
        [row] => row,
        [_, _, ..] => return Err(Fault::Operator("the query finds more than one row for a user".into())),
    };
    let has = |name: &str| row.columns().iter().any(|column| column.name() == name);
    if !has("password") {
        return Err(Fault::Operator("the query has no column password".into()));
    }
    let text = |name: &str| match has(name) {
        true => row
            .try_get::<Option<String>, _>(name)
            .map(|text| text.filter(|text| !text.is_empty()))
            .map_err(|_| Fault::Operator(format!("the column {name} is no text"))),
        false => Ok(None),
    };
    let number = |name: &str| {
        let long = row.try_get::<Option<i64>, _>(name);
        let int = long.or_else(|_| row.try_get::<Option<i32>, _>(name).map(|number| number.map(i64::from)));
        int.or_else(|_| row.try_get::<Option<i16>, _>(name).map(|number| number.map(i64::from)))
    };
    let is_active = if has("active") {
        let flag = row.try_get::<Option<bool>, _>("active");
        let flag = flag.or_else(|_| number("active").map(|number| number.map(|number| number != 0)));
        let flag = flag.or_else(|_| {
            row.try_get::<Option<String>, _>("active").map(|text| {
                text.map(|text| ["1", "t", "true", "y", "yes"].contains(&text.to_lowercase().as_str()))
            })
        });
        let flag = flag.map_err(|_| Fault::Operator("the column active is neither true nor false".into()))?;
        flag.unwrap_or(false)
    } else {
        true
    };
    Ok(Some(Found { password: text("password")?.map(Secret::from), login: text("login")?, is_active }))
}

/// Without what it holds.
impl std::fmt::Debug for SqlDirectory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqlDirectory").field("config", &self.config).finish_non_exhaustive()
    }
}
