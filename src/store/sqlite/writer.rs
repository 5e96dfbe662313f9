use std::{pin::Pin, time::Duration};

use sqlx::{ConnectOptions, Connection, SqliteConnection, query, sqlite::SqliteConnectOptions};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::fault;
use crate::store::StoreError;

/// Writes that wait at most.
const QUEUE: usize = 256;
/// Writes that share one commit at most.
const BATCH: usize = 64;
/// How long a caller waits for its write.
const PATIENCE: Duration = Duration::from_secs(15);

type Written<'c, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'c>>;
type Job = Box<dyn for<'c> FnOnce(&'c mut SqliteConnection) -> Running<'c> + Send>;
type Running<'c> = Pin<Box<dyn Future<Output = Done> + Send + 'c>>;
/// Tells the caller, once it is known whether the commit stands.
type Acknowledge = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// A job that was run.
struct Done {
    acknowledge: Acknowledge,
    /// Whether what it wrote is to stay.
    stays: bool,
}

/// The one connection that writes. Writes that wait together share one commit, and so one `fsync`; each is a
/// savepoint of its own, so that one which fails undoes itself alone.
///
/// Every statement costs a way to the connection's thread and back, so those around a job go together.
#[derive(Debug)]
pub(super) struct Writer {
    jobs: mpsc::Sender<Job>,
}

impl Writer {
    /// Ends when the `Writer` is dropped.
    pub(super) fn start(connection: SqliteConnection, options: SqliteConnectOptions) -> Self {
        let (jobs, waiting) = mpsc::channel(QUEUE);
        tokio::spawn(run(connection, options, waiting));
        Self { jobs }
    }

    /// Does `work` in a transaction and returns once it is committed. A caller that goes away does not stop it.
    ///
    /// # Errors
    /// What `work` says; [`StoreError::Unavailable`] when it was not committed, or, after some time, when that is
    /// not known.
    pub(super) async fn run<T, W>(&self, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: for<'c> FnOnce(&'c mut SqliteConnection) -> Written<'c, T> + Send + 'static,
    {
        let (tell, told) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            Box::pin(async move {
                let result = work(connection).await;
                let stays = result.is_ok();
                let acknowledge: Acknowledge = Box::new(move |committed| {
                    // A caller that went away needs no answer.
                    let _ = tell.send(result.and_then(|value| committed.map(|()| value)));
                });
                Done { acknowledge, stays }
            })
        });
        let written = async {
            self.jobs.send(job).await.map_err(|_| stopped())?;
            told.await.map_err(|_| stopped())?
        };
        match timeout(PATIENCE, written).await {
            Ok(result) => result,
            Err(_) => Err(StoreError::Unavailable("a write takes too long".to_owned())),
        }
    }
}

async fn run(connection: SqliteConnection, options: SqliteConnectOptions, mut jobs: mpsc::Receiver<Job>) {
    let mut open = Some(connection);
    while let Some(first) = jobs.recv().await {
        // A connection that failed may have lost count of its transactions, so it is used no more. While none can
        // be opened, jobs are dropped unrun, which tells their callers.
        let connection = match open.take() {
            Some(connection) => Ok(connection),
            None => options.connect().await,
        };
        let Ok(mut connection) = connection else { continue };
        if commit(&mut connection, first, &mut jobs).await {
            open = Some(connection);
        }
    }
    if let Some(connection) = open {
        // Closing writes the log back into the file. What cannot be closed is recovered at the next start.
        let _ = connection.close().await;
    }
}

/// Does `first` and whatever else waits in one transaction. Says whether the connection is still good.
async fn commit(connection: &mut SqliteConnection, first: Job, jobs: &mut mpsc::Receiver<Job>) -> bool {
    if execute(connection, "BEGIN IMMEDIATE; SAVEPOINT job").await.is_err() {
        return false;
    }
    let mut acknowledges = Vec::new();
    let mut committed = do_jobs(connection, first, jobs, &mut acknowledges).await;
    if committed.is_ok() {
        committed = execute(connection, "COMMIT").await;
    }
    // Where something is wrong with the whole transaction, the connection is closed, which undoes it.
    let good = committed.is_ok();
    for acknowledge in acknowledges {
        acknowledge(committed.clone());
    }
    good
}

/// # Errors
/// [`StoreError`] when a job could not be undone: the transaction must not be committed.
async fn do_jobs(
    connection: &mut SqliteConnection,
    first: Job,
    jobs: &mut mpsc::Receiver<Job>,
    acknowledges: &mut Vec<Acknowledge>,
) -> Result<(), StoreError> {
    let mut job = first;
    loop {
        let done = job(connection).await;
        acknowledges.push(done.acknowledge);
        if !done.stays {
            execute(connection, "ROLLBACK TO job").await?;
        }
        if acknowledges.len() >= BATCH {
            return Ok(());
        }
        let Ok(next) = jobs.try_recv() else { return Ok(()) };
        if done.stays {
            execute(connection, "RELEASE job; SAVEPOINT job").await?;
        }
        job = next;
    }
}

async fn execute(connection: &mut SqliteConnection, statement: &'static str) -> Result<(), StoreError> {
    query(statement).execute(connection).await.map(drop).map_err(fault)
}

fn stopped() -> StoreError {
    StoreError::Unavailable("the store is locked by another process, or cannot be written".to_owned())
}
