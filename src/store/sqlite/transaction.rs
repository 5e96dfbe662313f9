use sqlx::{
    Arguments, AssertSqlSafe, Encode, Sqlite, SqliteConnection, Type, error::BoxDynError, query, query_with,
    sqlite::SqliteArguments,
};

use super::fault::fault;
use crate::store::StoreError;

/// Savepoints take turns, so that one that could not be set is never taken for the one before.
#[derive(Clone, Copy)]
enum Savepoint {
    Even,
    Odd,
}

impl Savepoint {
    const fn next(self) -> Self {
        match self {
            Self::Even => Self::Odd,
            Self::Odd => Self::Even,
        }
    }

    /// Makes what was written since this savepoint stay, and sets the next one.
    const fn keep(self) -> &'static str {
        match self {
            Self::Even => "RELEASE even; SAVEPOINT odd",
            Self::Odd => "RELEASE odd; SAVEPOINT even",
        }
    }

    const fn undo(self) -> &'static str {
        match self {
            Self::Even => "ROLLBACK TO even",
            Self::Odd => "ROLLBACK TO odd",
        }
    }
}

/// The transaction that jobs share. Each may fail and undo what it wrote itself; the others' writes stay.
///
/// A savepoint is open at any time. Every statement is a way to the connection's thread and back, which costs more
/// than a short statement does, so it is moved on only when the next job really writes, and then, if that can be,
/// together with what it writes.
pub(super) struct Transaction {
    connection: SqliteConnection,
    savepoint: Savepoint,
    /// Whether the savepoint holds writes of a job that is done.
    holds_others: bool,
}

impl Transaction {
    pub(super) async fn begin(mut connection: SqliteConnection) -> Result<Self, StoreError> {
        query("BEGIN IMMEDIATE; SAVEPOINT even").execute(&mut connection).await.map_err(fault)?;
        Ok(Self { connection, savepoint: Savepoint::Even, holds_others: false })
    }

    /// # Errors
    /// [`StoreError`]: nothing may be committed any more.
    pub(super) async fn commit(mut self) -> Result<SqliteConnection, StoreError> {
        query("COMMIT").execute(&mut self.connection).await.map_err(fault)?;
        Ok(self.connection)
    }

    /// # Errors
    /// [`StoreError`] when what the job wrote could not be undone: nothing may be committed any more.
    pub(super) async fn end_of_job(&mut self, stays: bool) -> Result<(), StoreError> {
        if stays {
            self.holds_others = true;
            return Ok(());
        }
        if self.holds_others {
            // The job has written nothing, or the savepoint would be its own.
            return Ok(());
        }
        query(self.savepoint.undo()).execute(&mut self.connection).await.map_err(fault)?;
        Ok(())
    }

    /// What has to be run before the first write of a job.
    fn take_turn(&mut self) -> Option<&'static str> {
        if !self.holds_others {
            return None;
        }
        let keep = self.savepoint.keep();
        self.savepoint = self.savepoint.next();
        self.holds_others = false;
        Some(keep)
    }

    /// For statements that read.
    pub(super) fn reading(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }

    /// For statements that write.
    pub(super) async fn writing(&mut self) -> Result<&mut SqliteConnection, StoreError> {
        if let Some(keep) = self.take_turn() {
            query(keep).execute(&mut self.connection).await.map_err(fault)?;
        }
        Ok(&mut self.connection)
    }
}

/// Statements that are run together, in their order.
///
/// Values are bound to `?` in their order, through all the statements. Numbered ones would not do: sqlx counts the
/// numbers that a statement leaves out.
#[derive(Default)]
pub(super) struct Changes {
    statements: String,
    values: SqliteArguments,
    unbound: Option<BoxDynError>,
}

impl Changes {
    /// Adds a statement.
    pub(super) fn and(mut self, statement: &'static str) -> Self {
        if !self.statements.is_empty() {
            self.statements.push(';');
        }
        self.statements.push_str(statement);
        self
    }

    /// The value of the next `?`.
    pub(super) fn bind<'v>(mut self, value: impl Encode<'v, Sqlite> + Type<Sqlite>) -> Self {
        if let Err(error) = self.values.add(value) {
            self.unbound = Some(error);
        }
        self
    }

    /// # Errors
    /// That of the first statement that fails; those before it stand until the job has failed.
    pub(super) async fn execute(mut self, transaction: &mut Transaction) -> Result<(), StoreError> {
        if let Some(error) = self.unbound {
            return Err(fault(sqlx::Error::Encode(error)));
        }
        if let Some(keep) = transaction.take_turn() {
            self.statements.insert(0, ';');
            self.statements.insert_str(0, keep);
        }
        // Only literals are in it, so that each combination is prepared once.
        let changes = query_with(AssertSqlSafe(self.statements), self.values);
        changes.execute(&mut transaction.connection).await.map_err(fault)?;
        Ok(())
    }
}
