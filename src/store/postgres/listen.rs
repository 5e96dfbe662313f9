use std::{sync::Arc, time::Duration};

use sqlx::{
    Connection,
    postgres::{PgConnectOptions, PgListener, PgPoolOptions},
};
use tokio::{
    sync::Notify,
    task::AbortHandle,
    time::{sleep, timeout},
};

use super::revocations::CHANNEL;

/// How long a connection is taken for alive without a sign.
const SILENCE: Duration = Duration::from_secs(15);
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(5);
/// How long the first attempt to connect again waits, and how long the later ones do at most.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// A connection that hears of revocations on other nodes. Whoever is told also reads what was missed, so what goes
/// lost while there is no connection is only late.
pub(super) struct Hints {
    told: Arc<Notify>,
    task: AbortHandle,
}

impl Hints {
    pub(super) fn start(options: PgConnectOptions) -> Self {
        let told = Arc::new(Notify::new());
        let task = tokio::spawn(listen(options, Arc::clone(&told))).abort_handle();
        Self { told, task }
    }

    /// Returns when something may have been revoked.
    pub(super) async fn next(&self) {
        self.told.notified().await;
    }
}

impl Drop for Hints {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listen(options: PgConnectOptions, told: Arc<Notify>) {
    let (first, longest) = BACK_OFF;
    let mut pause = first;
    loop {
        match timeout(ANSWER, open(&options)).await {
            Ok(Ok(listener)) => {
                pause = first;
                tell(&told);
                let why = follow(listener, &told).await;
                tracing::warn!(%why, "PostgreSQL tells of no revocation for now; they are polled");
            }
            Ok(Err(error)) => tracing::debug!(%error, "PostgreSQL cannot be listened to; trying again"),
            Err(_) => tracing::debug!("PostgreSQL does not answer; trying again to listen"),
        }
        sleep(pause).await;
        pause = (pause * 2).min(longest);
    }
}

/// Wakes whoever waits, and whoever waits next, who may just be reading.
fn tell(told: &Notify) {
    told.notify_waiters();
    told.notify_one();
}

/// A pool of its own each time: one whose connection does not answer could not give another.
async fn open(options: &PgConnectOptions) -> Result<PgListener, sqlx::Error> {
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(ANSWER)
        .max_lifetime(None)
        .idle_timeout(None)
        .connect_with(options.clone())
        .await?;
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.eager_reconnect(false);
    listener.listen(CHANNEL).await?;
    Ok(listener)
}

/// Passes on what is heard until the connection is gone; says why it is.
async fn follow(mut listener: PgListener, told: &Notify) -> String {
    loop {
        match timeout(SILENCE, listener.try_recv()).await {
            Ok(Ok(Some(_))) => tell(told),
            Ok(Ok(None)) => return "the connection is closed".to_owned(),
            Ok(Err(error)) => return error.to_string(),
            Err(_) => match timeout(ANSWER, alive(&mut listener)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return error.to_string(),
                Err(_) => return "no answer".to_owned(),
            },
        }
    }
}

async fn alive(listener: &mut PgListener) -> Result<(), sqlx::Error> {
    use sqlx::Acquire;
    listener.acquire().await?.ping().await
}
