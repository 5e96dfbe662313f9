use sqlx::{AssertSqlSafe, Encode, Sqlite, SqliteConnection, Type, query_with, sqlite::SqliteArguments};

use super::fault::fault;
use crate::store::StoreError;

/// Statements that are run together, in their order. The way to the connection's thread and back costs more than a
/// short statement, and this goes it once.
///
/// Values are bound to `?` in their order, through all the statements. Numbered ones would not do: sqlx counts the
/// numbers that a statement leaves out.
#[derive(Default)]
pub(super) struct Changes {
    statements: String,
    values: SqliteArguments,
    unbound: Option<sqlx::error::BoxDynError>,
}

impl Changes {
    /// Adds a statement. It must not depend on anything from outside, so that it is prepared once.
    pub(super) fn and(mut self, statement: &'static str) -> Self {
        if !self.statements.is_empty() {
            self.statements.push(';');
        }
        self.statements.push_str(statement);
        self
    }

    /// The value of the next `?`.
    pub(super) fn bind<'v>(mut self, value: impl Encode<'v, Sqlite> + Type<Sqlite>) -> Self {
        if let Err(error) = sqlx::Arguments::add(&mut self.values, value) {
            self.unbound = Some(error);
        }
        self
    }

    /// # Errors
    /// That of the first statement that fails; those before it stand, until the transaction is undone.
    pub(super) async fn execute(self, connection: &mut SqliteConnection) -> Result<(), StoreError> {
        if let Some(error) = self.unbound {
            return Err(fault(sqlx::Error::Encode(error)));
        }
        // Only literals are in it.
        query_with(AssertSqlSafe(self.statements), self.values).execute(connection).await.map_err(fault)?;
        Ok(())
    }
}
