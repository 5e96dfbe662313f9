use sqlx::{Error, migrate::MigrateError};

use crate::store::StoreError;

/// SQLite's primary result codes (<https://sqlite.org/rescode.html>) that say more than "not now".
const CONSTRAINT: i32 = 19;
const CORRUPT: i32 = 11;
const NOT_A_DATABASE: i32 = 26;

/// Whose fault it is. Whatever is not known to be something else is an outage.
pub(super) fn fault(error: Error) -> StoreError {
    if let Error::Database(database) = &error {
        if database.is_unique_violation() {
            return StoreError::Conflict("the row".to_owned());
        }
        let code = database.code().and_then(|code| code.parse::<i32>().ok()).map(|code| code & 0xff);
        if matches!(code, Some(CORRUPT | CONSTRAINT | NOT_A_DATABASE)) {
            return StoreError::Corrupt(database.message().to_owned());
        }
    }
    if matches!(
        error,
        Error::ColumnDecode { .. } | Error::ColumnNotFound(_) | Error::Decode(_) | Error::TypeNotFound { .. }
    ) {
        return StoreError::Corrupt(error.to_string());
    }
    StoreError::Unavailable(error.to_string())
}

pub(super) fn migration_fault(error: MigrateError) -> StoreError {
    if let MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) = error {
        return fault(error);
    }
    if let MigrateError::VersionMissing(version) = error {
        return StoreError::Newer(format!("migration {version} is unknown here"));
    }
    StoreError::Corrupt(error.to_string())
}

/// A row does not hold what it should.
pub(super) fn corrupt(what: &str) -> StoreError {
    StoreError::Corrupt(format!("a row holds no {what}"))
}
