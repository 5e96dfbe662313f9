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
        self.read_at <= now && now < self.read_at.after(age)
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
    ) -> Result<Arc<Held<T>>, Fault>
    where
        F: Future<Output = Result<T, Fault>> + Send + 'static,
    {
        let old = self.held.load_full().filter(|held| held.is_younger(ages.stale, now));
        if let Some(recent) = self.recent(now) {
            return old.ok_or_else(|| {
                recent.unwrap_or_else(|| Fault::Unreachable("it was asked a moment ago".to_owned()))
            });
        }
        let (held, last) = (Arc::clone(&self.held), Arc::clone(&self.last));
        let work = || {
            let read = read();
            async move {
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
            (Some(Ok(read)), _) => Ok(read),
            (_, Some(old)) => Ok(old),
            (Some(Err(fault)), None) => Err(fault),
            (None, None) => Err(Fault::Unreachable("the look at it broke off".to_owned())),
        }
    }

    /// What became of a look a moment ago.
    fn recent(&self, now: UnixTime) -> Option<Option<Fault>> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let attempt = last.as_ref().filter(|last| last.at <= now && now < last.at.after(AT_LEAST))?;
        Some(attempt.fault.clone())
    }
}
