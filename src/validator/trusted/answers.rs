use std::{sync::Arc, time::Duration};

use quick_cache::sync::Cache;

use super::claims::Evidence;
use crate::model::{TokenHash, UnixTime};

/// How many tokens that the issuer did not know are remembered. They have a cache of their own, so that a flood of
/// them pushes out no good token.
const REFUSED_ENTRIES: usize = 4096;
/// How long such a token is not asked about again.
const REFUSED_FOR: Duration = Duration::from_secs(10);

/// What one issuer said of tokens, by their SHA-256. That it could not be asked is never remembered.
pub(super) struct Answers {
    good: Cache<TokenHash, Good>,
    refused: Cache<TokenHash, UnixTime>,
}

#[derive(Clone)]
struct Good {
    evidence: Arc<Evidence>,
    until: UnixTime,
}

impl Answers {
    pub(super) fn new(entries: usize) -> Self {
        Self { good: Cache::new(entries), refused: Cache::new(REFUSED_ENTRIES) }
    }

    pub(super) fn good(&self, token: &TokenHash, now: UnixTime) -> Option<Arc<Evidence>> {
        let entry = self.good.get(token)?;
        if entry.evidence.seen_at <= now && now < entry.until {
            return Some(entry.evidence);
        }
        self.good.remove(token);
        None
    }

    pub(super) fn is_refused(&self, token: &TokenHash, now: UnixTime) -> bool {
        self.refused.get(token).is_some_and(|since| since <= now && now < since.after(REFUSED_FOR))
    }

    pub(super) fn keep(&self, token: TokenHash, evidence: Arc<Evidence>, until: UnixTime) {
        self.good.insert(token, Good { evidence, until });
    }

    pub(super) fn refuse(&self, token: TokenHash, now: UnixTime) {
        self.good.remove(&token);
        self.refused.insert(token, now);
    }

    pub(super) fn clear(&self) {
        self.good.clear();
    }
}
