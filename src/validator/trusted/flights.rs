use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

/// Work that many wait for and one does.
///
/// It runs in a task of its own, so that whoever asked first may leave without taking the answer from the others.
pub(super) struct Flights<K, T> {
    running: Mutex<HashMap<K, watch::Receiver<Option<T>>>>,
    /// How much may run at a time.
    most: usize,
}

impl<K, T> Flights<K, T>
where
    K: Clone + Eq + Hash + Send + 'static,
    T: Clone + Send + Sync + 'static,
{
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { running: Mutex::default(), most })
    }

    /// The answer of the work that runs for `key`, which is begun if there is none. `None` when too much runs, or
    /// when it broke.
    pub(super) async fn share<F>(self: &Arc<Self>, key: &K, work: impl FnOnce() -> F + Send) -> Option<T>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut answer = self.join(key, work)?;
        let answer = answer.wait_for(Option::is_some).await.ok()?;
        answer.clone()
    }

    fn join<F>(self: &Arc<Self>, key: &K, work: impl FnOnce() -> F) -> Option<watch::Receiver<Option<T>>>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut running = self.locked();
        if let Some(flight) = running.get(key) {
            return Some(flight.clone());
        }
        if running.len() >= self.most {
            return None;
        }
        let (sender, receiver) = watch::channel(None);
        running.insert(key.clone(), receiver.clone());
        drop(running);
        let landing = Landing { flights: Arc::clone(self), key: key.clone() };
        let work = work();
        tokio::spawn(async move {
            let answer = work.await;
            drop(landing);
            sender.send_replace(Some(answer));
        });
        Some(receiver)
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<K, watch::Receiver<Option<T>>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a flight off the list, also when it breaks.
struct Landing<K, T>
where
    K: Clone + Eq + Hash + Send + 'static,
    T: Clone + Send + Sync + 'static,
{
    flights: Arc<Flights<K, T>>,
    key: K,
}

impl<K, T> Drop for Landing<K, T>
where
    K: Clone + Eq + Hash + Send + 'static,
    T: Clone + Send + Sync + 'static,
{
    fn drop(&mut self) {
        self.flights.locked().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        time::Duration,
    };

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_works_and_all_who_wait_get_the_answer_even_when_the_first_leaves() {
        let flights = Flights::<u8, usize>::new(8);
        let begun = Arc::new(AtomicUsize::new(0));
        let work = || {
            let begun = Arc::clone(&begun);
            async move {
                tokio::time::sleep(Duration::from_secs(1)).await;
                begun.fetch_add(1, Ordering::SeqCst) + 41
            }
        };
        let first = tokio::time::timeout(Duration::from_millis(100), flights.share(&7, work)).await;
        assert!(first.is_err());
        let (one, other) = tokio::join!(flights.share(&7, work), flights.share(&7, work));
        assert_eq!((one, other), (Some(41), Some(41)));
        assert_eq!(begun.load(Ordering::SeqCst), 1);
        assert_eq!(flights.share(&7, work).await, Some(42));
    }

    #[tokio::test(start_paused = true)]
    async fn work_beyond_the_limit_is_not_begun() {
        let flights = Flights::<u8, ()>::new(1);
        let slow = || tokio::time::sleep(Duration::from_secs(1));
        let (first, second) = tokio::join!(flights.share(&1, slow), flights.share(&2, slow));
        assert_eq!((first, second), (Some(()), None));
        assert_eq!(flights.share(&2, slow).await, Some(()));
    }

    #[tokio::test]
    async fn work_that_breaks_leaves_nobody_waiting() {
        let flights = Flights::<u8, ()>::new(1);
        let broken = flights.share(&1, || async { std::panic::resume_unwind(Box::new(())) }).await;
        assert_eq!(broken, None);
        assert_eq!(flights.share(&1, || async {}).await, Some(()));
    }
}
