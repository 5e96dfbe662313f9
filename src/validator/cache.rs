use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use quick_cache::sync::Cache;

use crate::{
    model::{TokenHash, UnixTime},
    store::{Revoked, TokenRecord},
};

/// How many unknown tokens are remembered, whatever the size of the cache. They have a cache of their own, so
/// that a flood of them pushes out no good token.
const UNKNOWN_ENTRIES: usize = 1024;
/// How long an unknown token stays unknown without a look. A token is random, so it cannot become known, unless
/// the operator restores a store.
const UNKNOWN_FOR: Duration = Duration::from_secs(30);

/// Rows of live tokens as they are stored.
pub(super) struct RecordCache {
    records: Cache<TokenHash, Entry>,
    unknown: Cache<TokenHash, UnixTime>,
    /// Counts revocations. Held while rows go in or out, so that a row read before a revocation cannot go in
    /// after it.
    generation: Mutex<Generation>,
}

/// How many revocations had been seen when a look-up began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Generation(u64);

#[derive(Clone)]
struct Entry {
    record: Arc<TokenRecord>,
    until: UnixTime,
}

impl RecordCache {
    pub(super) fn new(entries: usize) -> Self {
        Self {
            records: Cache::new(entries),
            unknown: Cache::new(UNKNOWN_ENTRIES),
            generation: Mutex::new(Generation(0)),
        }
    }

    /// The cached row, if it has not expired.
    pub(super) fn record(&self, lookup: &TokenHash, now: UnixTime) -> Option<Arc<TokenRecord>> {
        let entry = self.records.get(lookup)?;
        if now < entry.until {
            return Some(entry.record);
        }
        self.records.remove(lookup);
        None
    }

    pub(super) fn is_known_unknown(&self, lookup: &TokenHash, now: UnixTime) -> bool {
        self.unknown.get(lookup).is_some_and(|since| since <= now && now < since.after(UNKNOWN_FOR))
    }

    /// To be asked before the store is.
    pub(super) fn generation(&self) -> Generation {
        *self.locked()
    }

    /// Keeps the row until `until`, unless something was revoked since `generation`.
    pub(super) fn insert(
        &self,
        lookup: TokenHash,
        record: &Arc<TokenRecord>,
        until: UnixTime,
        generation: Generation,
    ) {
        let current = self.locked();
        if *current == generation {
            self.records.insert(lookup, Entry { record: record.clone(), until });
        }
    }

    pub(super) fn insert_unknown(&self, lookup: TokenHash, now: UnixTime) {
        self.unknown.insert(lookup, now);
    }

    pub(super) fn forget(&self, revoked: &[Revoked]) {
        let mut grants = HashSet::new();
        let mut current = self.locked();
        current.0 = current.0.wrapping_add(1);
        for one in revoked {
            match one {
                Revoked::Grant(grant) => {
                    grants.insert(*grant);
                }
                Revoked::Token(lookup) => {
                    self.records.remove(lookup);
                }
            }
        }
        if !grants.is_empty() {
            self.records.retain(|_, entry| !grants.contains(&entry.record.grant.id));
        }
    }

    /// Forgets every row, also those that are being looked up.
    pub(super) fn clear(&self) {
        let mut current = self.locked();
        current.0 = current.0.wrapping_add(1);
        self.records.clear();
    }

    fn locked(&self) -> MutexGuard<'_, Generation> {
        self.generation.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
