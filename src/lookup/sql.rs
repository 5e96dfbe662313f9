//! Look-ups in a database. The operator's statement is prepared as it is; names are bound to it and never become
//! a part of it.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::{
    AssertSqlSafe, Column, ColumnIndex, Decode, Error, PgPool, Row, SqlitePool, Type,
    postgres::PgPoolOptions,
    query,
    sqlite::{SqliteConnectOptions, SqlitePoolOptions},
};

use super::{
    Database, Query, SqlConfig,
    entry::{Found, items},
    guarded::{Fault, Source},
};
use crate::model::Secret;

/// Connections at most.
const CONNECTIONS: u32 = 4;
/// Rows that are read; a second one is too many already.
const ROWS: u32 = 2;
const COLUMNS: [&str; 6] = ["backend", "server", "login_name", "password", "addresses", "mailboxes"];

/// One `SELECT` of the operator, with `$1` for the login name and perhaps `$2` for the protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlQuery {
    text: String,
    asks_for_protocol: bool,
}

impl SqlQuery {
    /// Takes the operator's statement. It becomes a part of another that reads at most two rows, so it can change
    /// nothing and need no `LIMIT`.
    ///
    /// # Errors
    /// One sentence, when it has no `$1`, another parameter, or is no `SELECT`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim().trim_end_matches(';').trim_end();
        let first = text.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
        if !["select", "with", "values"].iter().any(|word| first.eq_ignore_ascii_case(word)) {
            return Err("must be one SELECT".into());
        }
        let parameters = parameters(text);
        if !parameters.contains(&1) {
            return Err("must hold $1, which stands for the login name".into());
        }
        if parameters.iter().any(|number| !matches!(number, 1 | 2)) {
            return Err("knows $1 (the login name) and $2 (the protocol) only".into());
        }
        // The end of a line ends a comment too.
        let text = format!("SELECT * FROM (\n{text}\n) AS found LIMIT {ROWS}");
        Ok(Self { text, asks_for_protocol: parameters.contains(&2) })
    }

    /// The statement as it is prepared.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether it has `$2`.
    pub const fn asks_for_protocol(&self) -> bool {
        self.asks_for_protocol
    }
}

/// The numbers behind `$`, outside of quotes.
fn parameters(text: &str) -> Vec<u32> {
    let mut numbers = Vec::new();
    let mut quote = None;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '$') => {
                let mut digits = String::new();
                while let Some(digit) = rest.next_if(char::is_ascii_digit) {
                    digits.push(digit);
                }
                numbers.extend(digits.parse::<u32>().ok());
            }
            (None, _) => {}
        }
    }
    numbers
}

/// A database.
#[derive(Debug)]
pub(super) struct SqlSource {
    pool: SqlPool,
    query: SqlQuery,
}

/// Connections to a database that are only read from.
#[derive(Debug)]
pub(crate) enum SqlPool {
    Postgres(PgPool),
    Sqlite(SqlitePool),
}

impl SqlPool {
    /// Connects when it is first asked.
    pub(crate) fn new(database: &Database, timeout: Duration) -> Self {
        match database {
            Database::Postgres(address) => {
                let millis = timeout.as_millis().to_string();
                let reading = [("default_transaction_read_only", "on"), ("statement_timeout", &millis)];
                let options = address.options().options(reading);
                let pool = PgPoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(timeout);
                Self::Postgres(pool.connect_lazy_with(options))
            }
            Database::Sqlite(path) => {
                let options =
                    SqliteConnectOptions::new().filename(path).read_only(true).busy_timeout(timeout / 2);
                let pool = SqlitePoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(timeout);
                Self::Sqlite(pool.connect_lazy_with(options))
            }
        }
    }
}

impl SqlSource {
    /// Connects when it is first asked.
    pub(super) fn new(config: &SqlConfig, timeout: Duration) -> Self {
        Self { pool: SqlPool::new(&config.database, timeout), query: config.query.clone() }
    }
}

#[async_trait]
impl Source for SqlSource {
    async fn ask(&self, asked: &Query<'_>) -> Result<Option<Found>, Fault> {
        let protocol = asked.protocol.map_or("", |protocol| protocol.as_str());
        let protocol = self.query.asks_for_protocol.then_some(protocol);
        let statement = || AssertSqlSafe(self.query.text.as_str());
        match &self.pool {
            SqlPool::Postgres(pool) => {
                let mut statement = query(statement()).bind(asked.login.as_str());
                if let Some(protocol) = protocol {
                    statement = statement.bind(protocol);
                }
                found(&statement.fetch_all(pool).await.map_err(sql_fault)?, postgres_list)
            }
            SqlPool::Sqlite(pool) => {
                let mut statement = query(statement()).bind(asked.login.as_str());
                if let Some(protocol) = protocol {
                    statement = statement.bind(protocol);
                }
                found(&statement.fetch_all(pool).await.map_err(sql_fault)?, text_list)
            }
        }
    }

    fn asks_for_protocol(&self) -> bool {
        self.query.asks_for_protocol
    }
}

/// What the rows say of the user.
fn found<R>(rows: &[R], list: fn(&R, &str) -> Result<Vec<String>, Error>) -> Result<Option<Found>, Fault>
where
    R: Row,
    for<'a> &'a str: ColumnIndex<R>,
    for<'a> String: Decode<'a, R::Database> + Type<R::Database>,
{
    let row = match rows {
        [] => return Ok(None),
        [row] => row,
        [_, _, ..] => return Err(Fault::Operator("the query finds more than one row for a user".into())),
    };
    let has = |name: &str| row.columns().iter().any(|column| column.name() == name);
    if !COLUMNS.iter().any(|name| has(name)) {
        return Err(Fault::Operator(format!("the query has none of the columns {}", COLUMNS.join(", "))));
    }
    let wrong = |name: &str| Fault::Operator(format!("the column {name} is no text"));
    let text = |name: &str| match has(name) {
        true => row.try_get::<Option<String>, _>(name).map_err(|_| wrong(name)),
        false => Ok(None),
    };
    let many = |name: &str| match has(name) {
        true => list(row, name).map_err(|_| wrong(name)),
        false => Ok(Vec::new()),
    };
    // A database has its own ways to say "nothing".
    let some = |text: Option<String>| text.filter(|text| !text.is_empty());
    Ok(Some(Found {
        backend: some(text("backend")?),
        server: some(text("server")?),
        login_name: some(text("login_name")?),
        password: some(text("password")?).map(Secret::from),
        addresses: many("addresses")?,
        mailboxes: many("mailboxes")?,
    }))
}

fn text_list<R>(row: &R, name: &str) -> Result<Vec<String>, Error>
where
    R: Row,
    for<'a> &'a str: ColumnIndex<R>,
    for<'a> String: Decode<'a, R::Database> + Type<R::Database>,
{
    Ok(row.try_get::<Option<String>, _>(name)?.map(|text| items(&text)).unwrap_or_default())
}

/// PostgreSQL has arrays too.
fn postgres_list(row: &sqlx::postgres::PgRow, name: &str) -> Result<Vec<String>, Error> {
    match row.try_get::<Option<Vec<String>>, _>(name) {
        Ok(list) => Ok(list.unwrap_or_default()),
        Err(_) => text_list(row, name),
    }
}

/// Whether the database or the statement is to blame.
pub(crate) fn sql_fault(error: Error) -> Fault {
    let Some(database) = error.as_database_error() else {
        let is_lost = matches!(
            error,
            Error::Io(_) | Error::PoolClosed | Error::PoolTimedOut | Error::Tls(_) | Error::WorkerCrashed
        );
        return if is_lost {
            Fault::Unavailable(format!("no connection to the database: {error}"))
        } else {
            Fault::Operator(error.to_string())
        };
    };
    let code = database.code().unwrap_or_default().into_owned();
    let reason = database.message().to_owned();
    // SQLite's numbers: busy, locked, I/O, and a file that cannot be opened. PostgreSQL's classes: connection,
    // rollback, resources, intervention, system.
    let passing_number = code.parse::<u32>().is_ok_and(|code| matches!(code & 0xFF, 5 | 6 | 10 | 14));
    let passing_class = ["08", "40", "53", "57", "58"].iter().any(|class| code.starts_with(class));
    let is_sqlite = database.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some();
    if if is_sqlite { passing_number } else { passing_class } {
        Fault::Unavailable(reason)
    } else {
        Fault::Operator(reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_has_the_login_name_and_perhaps_the_protocol() {
        let parse = SqlQuery::parse;
        assert!(!parse("SELECT backend FROM users WHERE login = $1;").unwrap().asks_for_protocol);
        assert!(parse("select 1 where $1 = $2").unwrap().asks_for_protocol);
        assert!(parse("SELECT '$1'").is_err(), "a text is no parameter");
        assert!(!parse("SELECT '$2y$' WHERE $1 = ''").unwrap().asks_for_protocol);
        for bad in ["", "SELECT 1", "SELECT $1, $3", "DELETE FROM users WHERE login = $1", "SELECT $12"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
