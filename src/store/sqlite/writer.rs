use std::{pin::Pin, time::Duration};

use sqlx::{ConnectOptions, Connection, Sqlite, SqliteConnection, Transaction, sqlite::SqliteConnectOptions};
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
type Job = Box<dyn for<'c> FnOnce(&'c mut Transaction<'_, Sqlite>) -> Running<'c> + Send>;
type Running<'c> = Pin<Box<dyn Future<Output = Done> + Send + 'c>>;
/// Tells the caller, once it is known whether the commit stands.
type Acknowledge = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// A job whose savepoint has ended.
struct Done {
    acknowledge: Acknowledge,
    /// What is wrong with the whole transaction: the savepoint could not be ended.
    broken: Option<StoreError>,
}

/// The one connection that writes. Writes that wait together share one commit, and so one `fsync`; each is a
/// savepoint of its own, so that one which fails undoes itself alone.
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
        let job: Job = Box::new(move |transaction| {
            Box::pin(async move {
                let (result, ended) = in_savepoint(transaction, work).await;
                let acknowledge: Acknowledge = Box::new(move |committed| {
                    // A caller that went away needs no answer.
                    let _ = tell.send(result.and_then(|value| committed.map(|()| value)));
                });
                Done { acknowledge, broken: ended.err() }
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
    let Ok(mut transaction) = connection.begin_with("BEGIN IMMEDIATE").await else { return false };
    let mut acknowledges = Vec::new();
    let mut next = Some(first);
    let mut committed = Ok(());
    while let Some(job) = next {
        let done = job(&mut transaction).await;
        acknowledges.push(done.acknowledge);
        if let Some(broken) = done.broken {
            committed = Err(broken);
            break;
        }
        next = if acknowledges.len() < BATCH { jobs.try_recv().ok() } else { None };
    }
    if committed.is_ok() {
        committed = transaction.commit().await.map_err(fault);
    } else {
        drop(transaction);
    }
    let good = committed.is_ok();
    for acknowledge in acknowledges {
        acknowledge(committed.clone());
    }
    good
}

async fn in_savepoint<T, W>(
    transaction: &mut Transaction<'_, Sqlite>,
    work: W,
) -> (Result<T, StoreError>, Result<(), StoreError>)
where
    W: for<'c> FnOnce(&'c mut SqliteConnection) -> Written<'c, T>,
{
    let mut savepoint = match transaction.begin().await {
        Ok(savepoint) => savepoint,
        Err(error) => {
            let error = fault(error);
            return (Err(error.clone()), Err(error));
        }
    };
    let result = work(&mut savepoint).await;
    let ended = if result.is_ok() { savepoint.commit().await } else { savepoint.rollback().await };
    (result, ended.map_err(fault))
}

fn stopped() -> StoreError {
    StoreError::Unavailable("the store is locked by another process, or cannot be written".to_owned())
}
