use std::{pin::Pin, sync::Arc, time::Duration};

use sqlx::{ConnectOptions, Connection, SqliteConnection, SqlitePool, sqlite::SqliteConnectOptions};
use tokio::{
    sync::{Notify, mpsc, oneshot},
    time::timeout,
};

use super::transaction::Transaction;
use crate::store::StoreError;

/// Writes that wait at most.
const QUEUE: usize = 256;
/// Writes that share one commit at most.
const BATCH: usize = 64;
/// How long a caller waits for its write.
const PATIENCE: Duration = Duration::from_secs(15);

type Written<'c, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'c>>;
type Job = Box<dyn for<'c> FnOnce(&'c mut Transaction) -> Running<'c> + Send>;
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
#[derive(Debug)]
pub(super) struct Writer {
    jobs: mpsc::Sender<Job>,
    committed: Arc<Notify>,
}

impl Writer {
    /// Ends when the `Writer` is dropped, and closes the readers then, itself last.
    pub(super) fn start(
        connection: SqliteConnection,
        options: SqliteConnectOptions,
        readers: SqlitePool,
    ) -> Self {
        let (jobs, waiting) = mpsc::channel(QUEUE);
        let committed = Arc::new(Notify::new());
        let told = Arc::clone(&committed);
        tokio::spawn(async move {
            let left = run(connection, options, waiting, told).await;
            // The last one to close writes the log back into the file, and a reader may not. What cannot be closed is
            // recovered at the next start.
            readers.close().await;
            if let Some(connection) = left {
                let _ = connection.close().await;
            }
        });
        Self { jobs, committed }
    }

    /// Returns once something was committed since the last time. There is one listener.
    pub(super) async fn committed(&self) {
        self.committed.notified().await;
    }

    /// Does `work` in a transaction and returns once it is committed. A caller that goes away does not stop it.
    ///
    /// # Errors
    /// What `work` says; [`StoreError::Unavailable`] when it was not committed, or, after some time, when that is
    /// not known.
    pub(super) async fn run<T, W>(&self, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: for<'c> FnOnce(&'c mut Transaction) -> Written<'c, T> + Send + 'static,
    {
        let (tell, told) = oneshot::channel();
        let job: Job = Box::new(move |transaction| {
            Box::pin(async move {
                let result = work(transaction).await;
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

async fn run(
    connection: SqliteConnection,
    options: SqliteConnectOptions,
    mut jobs: mpsc::Receiver<Job>,
    committed: Arc<Notify>,
) -> Option<SqliteConnection> {
    let mut open = Some(connection);
    while let Some(first) = jobs.recv().await {
        // A connection that failed may have lost count of its transactions, so it is used no more. While none can
        // be opened, jobs are dropped unrun, which tells their callers.
        let connection = match open.take() {
            Some(connection) => Ok(connection),
            None => options.connect().await,
        };
        let Ok(connection) = connection else { continue };
        let Ok(transaction) = Transaction::begin(connection).await else { continue };
        open = commit(transaction, first, &mut jobs).await;
        committed.notify_one();
    }
    open
}

/// Does `first` and whatever else waits in one transaction. Gives the connection back if it is still good; if not,
/// it is closed, which undoes everything.
async fn commit(
    mut transaction: Transaction,
    first: Job,
    jobs: &mut mpsc::Receiver<Job>,
) -> Option<SqliteConnection> {
    let mut acknowledges = Vec::new();
    let mut next = Some(first);
    let mut whole = Ok(());
    while let Some(job) = next {
        let done = job(&mut transaction).await;
        acknowledges.push(done.acknowledge);
        whole = transaction.end_of_job(done.stays).await;
        let goes_on = whole.is_ok() && acknowledges.len() < BATCH;
        next = if goes_on { jobs.try_recv().ok() } else { None };
    }
    let ended = match whole {
        Ok(()) => transaction.commit().await,
        Err(broken) => Err(broken),
    };
    let committed = ended.as_ref().map(|_| ()).map_err(Clone::clone);
    for acknowledge in acknowledges {
        acknowledge(committed.clone());
    }
    ended.ok()
}

fn stopped() -> StoreError {
    StoreError::Unavailable("the store is locked by another process, or cannot be written".to_owned())
}
