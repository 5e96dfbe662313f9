use sqlx::{Error, migrate::MigrateError};

use crate::store::StoreError;

/// Why a transaction did not come to its end, and whether it may be done again.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The server undid it in favour of another one; nothing of it stands.
    Collided(StoreError),
    /// The connection is gone. Nothing stands, unless the commit was already under way.
    Lost(StoreError),
    /// Doing it again would change nothing.
    Final(StoreError),
}

impl Trouble {
    pub(super) fn into_error(self) -> StoreError {
        match self {
            Self::Collided(error) | Self::Lost(error) | Self::Final(error) => error,
        }
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Final(error)
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        let code = code_of(&error);
        let error_of = fault(&error);
        match code.as_deref() {
            Some("40001" | "40P01") => Self::Collided(error_of),
            // The server goes away, or ended this session.
            Some("57P01" | "57P02" | "57P03" | "57P05" | "25P03") => Self::Lost(error_of),
            Some(code) if code.starts_with("08") => Self::Lost(error_of),
            Some(_) => Self::Final(error_of),
            None if matches!(
                error,
                Error::Io(_) | Error::Protocol(_) | Error::Tls(_) | Error::BeginFailed
            ) =>
            {
                Self::Lost(error_of)
            }
            None => Self::Final(error_of),
        }
    }
}

/// Whose fault it is. Whatever is not known to be something else is an outage.
pub(super) fn fault(error: &Error) -> StoreError {
    if let Error::Database(database) = error {
        if database.is_unique_violation() {
            return StoreError::Conflict("the row".to_owned());
        }
        if database.code().is_some_and(|code| is_damage(&code)) {
            return StoreError::Corrupt(database.message().to_owned());
        }
        return StoreError::Unavailable(database.message().to_owned());
    }
    if matches!(
        error,
        Error::ColumnDecode { .. }
            | Error::ColumnIndexOutOfBounds { .. }
            | Error::ColumnNotFound(_)
            | Error::Decode(_)
            | Error::TypeNotFound { .. }
    ) {
        return StoreError::Corrupt(error.to_string());
    }
    if matches!(error, Error::PoolTimedOut) {
        return StoreError::Unavailable("PostgreSQL does not answer".to_owned());
    }
    StoreError::Unavailable(error.to_string())
}

/// SQLSTATE (<https://www.postgresql.org/docs/current/errcodes-appendix.html>): a violated constraint, a table or
/// column that is not what the migrations made, damaged data.
fn is_damage(code: &str) -> bool {
    code.starts_with("23")
        || matches!(code, "42P01" | "42703" | "42704" | "42804" | "42883" | "3F000" | "XX001" | "XX002")
}

fn code_of(error: &Error) -> Option<String> {
    error.as_database_error().and_then(|database| database.code()).map(|code| code.into_owned())
}

pub(super) fn migration_fault(error: MigrateError) -> StoreError {
    if let MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) = error {
        return fault(&error);
    }
    if let MigrateError::VersionMissing(version) = error {
        return newer(version);
    }
    StoreError::Corrupt(error.to_string())
}

pub(super) fn newer(version: i64) -> StoreError {
    StoreError::Newer(format!("migration {version} is unknown here"))
}

/// A row does not hold what it should.
pub(super) fn corrupt(what: &str) -> StoreError {
    StoreError::Corrupt(format!("a row holds no {what}"))
}
