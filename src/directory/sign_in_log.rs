//! Who has signed in, written where nobody waits for it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::mpsc, time::sleep};

use crate::store::{SignInNote, Store};

/// Notes that wait. Of more at once, some are lost: they are for people to look at, and nothing is decided by them.
const WAITING: usize = 4096;
/// Notes that are written at once.
const BATCH: usize = 256;
/// How long notes are gathered.
const PAUSE: Duration = Duration::from_millis(200);

/// Takes notes of sign-ins.
#[derive(Debug)]
pub struct SignInLog {
    notes: mpsc::Sender<SignInNote>,
    lost: AtomicU64,
}

impl SignInLog {
    /// Starts writing; it ends when nobody holds the log any more.
    pub fn start(store: Arc<dyn Store>) -> Arc<Self> {
        let (notes, waiting) = mpsc::channel(WAITING);
        tokio::spawn(write(store, waiting));
        Arc::new(Self { notes, lost: AtomicU64::new(0) })
    }

    /// Notes a sign-in, or loses it where too many wait. Never waits.
    pub fn note(&self, note: SignInNote) {
        if self.notes.try_send(note).is_err()
            && self.lost.fetch_add(1, Ordering::Relaxed).is_multiple_of(1000)
        {
            tracing::warn!("too many sign-ins at once: some are missing in the histories of their users");
        }
    }
}

async fn write(store: Arc<dyn Store>, mut waiting: mpsc::Receiver<SignInNote>) {
    let mut batch = Vec::with_capacity(BATCH);
    while waiting.recv_many(&mut batch, BATCH).await > 0 {
        if let Err(error) = store.note_sign_ins(batch.split_off(0)).await {
            tracing::warn!(%error, "sign-ins cannot be noted; they are missing in the histories of their users");
        }
        sleep(PAUSE).await;
    }
}
