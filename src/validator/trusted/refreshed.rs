use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwapOption;

use super::{Fault, flights::Flights};
use crate::model::UnixTime;

/// Between two looks at the issuer, whatever is asked for: anybody can name an unknown key.
pub(super) const AT_LEAST: Duration = Duration::from_secs(5);
/// How long a sign-in waits for a new copy while the old one may still be used.
const PATIENCE: Duration = Duration::from_secs(1);

/// A document of the issuer that is read again now and then.
pub(super) struct Refreshed<T> {
    held: Arc<ArcSwapOption<Held<T>>>,
    last: Arc<Mutex<Option<Attempt>>>,
    flights: Arc<Flights<(), Look<T>>>,
}

/// What a look at the issuer gave.
type Look<T> = Result<Arc<Held<T>>, Fault>;

/// A copy, and when it was read.
pub(super) struct Held<T> {
    pub(super) value: T,
    pub(super) read_at: UnixTime,
}

/// What a look came to.
pub(super) struct Looked<T> {
    pub(super) held: Arc<Held<T>>,
    /// Whether the copy was asked for only after whoever looks had come, so that it is no older than the question.
    pub(super) is_anew: bool,
}

struct Attempt {
    at: UnixTime,
    fault: Option<Fault>,
}

/// How old a copy may be.
#[derive(Clone, Copy)]
pub(super) struct Ages {
    /// Without another look.
    pub(super) fresh: Duration,
    /// While the issuer cannot be asked.
    pub(super) stale: Duration,
}

impl<T> Held<T> {
    pub(super) fn is_younger(&self, age: Duration, now: UnixTime) -> bool {
        // Who came first may get here last: a copy may seem to be from a little later.
        self.read_at < now.after(AT_LEAST) && now < self.read_at.after(age)
    }
}

impl<T: Send + Sync + 'static> Refreshed<T> {
    pub(super) fn new() -> Self {
        Self { held: Arc::default(), last: Arc::default(), flights: Flights::new(1) }
    }

    /// The copy at hand, if it is fresh.
    pub(super) fn fresh(&self, ages: Ages, now: UnixTime) -> Option<Arc<Held<T>>> {
        self.held.load_full().filter(|held| held.is_younger(ages.fresh, now))
    }

    /// Looks again, but not more often than [`AT_LEAST`]; while that fails, the old copy serves as long as it may.
    pub(super) async fn look<F>(
        &self,
        ages: Ages,
        now: UnixTime,
        read: impl FnOnce() -> F + Send,
    ) -> Result<Looked<T>, Fault>
    where
        F: Future<Output = Result<T, Fault>> + Send + 'static,
    {
        let old = self.held.load_full().filter(|held| held.is_younger(ages.stale, now));
        if let Some(recent) = self.recent(now) {
            let held = old.ok_or_else(|| recent.unwrap_or_else(asked_lately))?;
            return Ok(Looked { held, is_anew: false });
        }
        let (held, last) = (Arc::clone(&self.held), Arc::clone(&self.last));
        let mut is_own = false;
        let work = || {
            // A look may have ended since; no other begins before this one ends.
            let recent = self.recent(now);
            is_own = recent.is_none();
            let read = is_own.then(read);
            async move {
                let Some(read) = read else {
                    let fault = recent.flatten();
                    return fault.map_or_else(|| held.load_full().ok_or_else(asked_lately), Err);
                };
                let read = read.await.map(|value| Arc::new(Held { value, read_at: now }));
                let fault = read.as_ref().err().cloned();
                *last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Attempt { at: now, fault });
                if let Ok(read) = &read {
                    held.store(Some(Arc::clone(read)));
                }
                read
            }
        };
        let flight = self.flights.share(&(), work);
        let answer = match &old {
            Some(_) => tokio::time::timeout(PATIENCE, flight).await.ok().flatten(),
            None => flight.await,
        };
        match (answer, old) {
            (Some(Ok(held)), _) => Ok(Looked { held, is_anew: is_own }),
            (_, Some(held)) => Ok(Looked { held, is_anew: false }),
            (Some(Err(fault)), None) => Err(fault),
            (None, None) => Err(Fault::Unreachable("the look at it broke off".to_owned())),
        }
    }

    /// What became of a look a moment ago.
    fn recent(&self, now: UnixTime) -> Option<Option<Fault>> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let is_recent = |last: &&Attempt| last.at < now.after(AT_LEAST) && now < last.at.after(AT_LEAST);
        last.as_ref().filter(is_recent).map(|attempt| attempt.fault.clone())
    }
}

fn asked_lately() -> Fault {
    Fault::Unreachable("it was asked a moment ago".to_owned())
}
