use std::{pin::Pin, sync::Arc, time::Duration};

use sqlx::{
    Connection, PgConnection, PgPool, Postgres,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::fault::Trouble;
use crate::store::StoreError;

/// Connections that a node holds at most, beside the one that listens.
const CONNECTIONS: u32 = 16;
/// How long a caller waits for a free connection, or for a new one.
const ACQUIRE: Duration = Duration::from_secs(3);
/// How long a caller waits in all.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a connection may have rested and still be taken for alive.
const RESTED: Duration = Duration::from_secs(1);
/// How often a transaction that collided is tried. Locks are taken in one order, so collisions are rare.
const COLLISIONS: u32 = 5;

/// What a piece of work comes to.
pub(super) type Done<T> = Result<T, Trouble>;
pub(super) type Working<'c, T> = Pin<Box<dyn Future<Output = Done<T>> + Send + 'c>>;
/// A piece of work. It may be done more than once, each time from the start.
pub(super) type Work<I, T> = for<'c> fn(&'c mut PgConnection, &'c I) -> Working<'c, T>;

/// Does work on the pool's connections. A caller that goes away stops nothing; a server that does not answer
/// costs [`PATIENCE`].
#[derive(Clone)]
pub(super) struct Runner {
    pool: PgPool,
}

#[derive(Clone, Copy)]
enum Mode {
    /// One statement, whose repetition does no harm.
    Read,
    /// One transaction.
    Write,
}

impl Runner {
    pub(super) fn new(options: PgConnectOptions) -> Self {
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(ACQUIRE)
            .test_before_acquire(false)
            .before_acquire(|connection, usage| {
                Box::pin(async move {
                    if usage.idle_for > RESTED {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .connect_lazy_with(options);
        Self { pool }
    }

    /// Reads; what is read may be read again.
    pub(super) async fn read<I, T>(&self, input: I, work: Work<I, T>) -> Result<T, StoreError>
    where
        I: Send + Sync + 'static,
        T: Send + 'static,
    {
        self.run(Mode::Read, input, work).await
    }

    /// Does `work` in one transaction and returns once it is committed.
    ///
    /// # Errors
    /// What `work` says; [`StoreError::Unavailable`] when it was not committed, or when that is not known.
    pub(super) async fn write<I, T>(&self, input: I, work: Work<I, T>) -> Result<T, StoreError>
    where
        I: Send + Sync + 'static,
        T: Send + 'static,
    {
        self.run(Mode::Write, input, work).await
    }

    async fn run<I, T>(&self, mode: Mode, input: I, work: Work<I, T>) -> Result<T, StoreError>
    where
        I: Send + Sync + 'static,
        T: Send + 'static,
    {
        let pool = self.pool.clone();
        let input = Arc::new(input);
        let running = tokio::spawn(async move { persist(&pool, mode, &*input, work).await });
        running.await.unwrap_or_else(|_| Err(StoreError::Unavailable("the work was stopped".to_owned())))
    }
}

/// Tries until something is final, collisions are too many, or the time is over.
async fn persist<I: Sync, T>(
    pool: &PgPool,
    mode: Mode,
    input: &I,
    work: Work<I, T>,
) -> Result<T, StoreError> {
    let deadline = Instant::now() + PATIENCE;
    let mut collisions = 0;
    // After the server has restarted every connection of the pool may be dead, and one more must be opened.
    for _ in 0..=CONNECTIONS + COLLISIONS {
        let mut connection = timeout_at(deadline, pool.acquire())
            .await
            .map_err(|_| late())?
            .map_err(|error| Trouble::from(error).into_error())?;
        let Ok(done) = timeout_at(deadline, once(&mut connection, mode, input, work)).await else {
            discard(connection);
            return Err(late());
        };
        match done {
            Ok(value) => return Ok(value),
            Err(Trouble::Final(error)) => return Err(error),
            Err(Trouble::Collided(error)) => {
                drop(connection);
                collisions += 1;
                if collisions >= COLLISIONS {
                    return Err(unavailable(error));
                }
                sleep(Duration::from_millis(u64::from(collisions) * 7)).await;
            }
            Err(Trouble::Lost(_)) => discard(connection),
        }
    }
    Err(StoreError::Unavailable("PostgreSQL closes every connection".to_owned()))
}

async fn once<I, T>(connection: &mut PgConnection, mode: Mode, input: &I, work: Work<I, T>) -> Done<T> {
    match mode {
        Mode::Read => work(connection, input).await,
        Mode::Write => in_transaction(connection, input, work).await,
    }
}

/// One transaction around `work`.
pub(super) async fn in_transaction<I, T>(
    connection: &mut PgConnection,
    input: &I,
    work: Work<I, T>,
) -> Done<T> {
    let mut transaction = connection.begin().await?;
    match work(&mut transaction, input).await {
        Ok(value) => match transaction.commit().await.map_err(Trouble::from) {
            Ok(()) => Ok(value),
            Err(Trouble::Lost(error)) => Err(Trouble::Final(unavailable(error))),
            Err(other) => Err(other),
        },
        Err(lost @ Trouble::Lost(_)) => Err(lost),
        Err(error) => {
            // What cannot be rolled back is rolled back by the server when the connection is given up.
            let _ = transaction.rollback().await;
            Err(error)
        }
    }
}

/// Closes a connection at once. Given back to the pool it would be tested, and a server that does not answer would
/// hold its place.
fn discard(connection: PoolConnection<Postgres>) {
    drop(connection.detach());
}

fn late() -> StoreError {
    StoreError::Unavailable(format!("PostgreSQL did not answer within {} s", PATIENCE.as_secs()))
}

/// An error of the connection says nothing about rows.
fn unavailable(error: StoreError) -> StoreError {
    match error {
        StoreError::Conflict(text) | StoreError::Corrupt(text) | StoreError::Newer(text) => {
            StoreError::Unavailable(text)
        }
        StoreError::GrantEnded | StoreError::Unavailable(_) => error,
    }
}

/// Opens a connection of its own, outside the pool.
pub(super) async fn connect(options: &PgConnectOptions) -> Result<PgConnection, Trouble> {
    match timeout(ACQUIRE, PgConnection::connect_with(options)).await {
        Ok(connected) => connected.map_err(Trouble::from),
        Err(_) => Err(Trouble::Lost(StoreError::Unavailable(format!(
            "PostgreSQL did not answer within {} s",
            ACQUIRE.as_secs()
        )))),
    }
}
