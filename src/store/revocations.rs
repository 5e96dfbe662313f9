use std::{collections::BTreeSet, sync::Arc};

use super::{Store, StoreError};
use crate::model::{GrantId, TokenHash, UnixTime};

/// How far the revocations were read. What the number means is the engine's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RevocationCursor(pub(super) i64);

/// Something that was ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// What.
    pub what: Revoked,
    /// When.
    pub at: UnixTime,
    pub(super) sequence: i64,
}

/// What was ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revoked {
    /// A grant with all its tokens and sessions.
    Grant(GrantId),
    /// One token with its sessions; or what a token of another issuer hangs on there
    /// ([`super::OutsideEnds`]).
    Token(TokenHash),
}

/// What was revoked, and from where to read on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocationPage {
    /// In the order of their numbers; some may have been read before.
    pub items: Vec<Revocation>,
    /// From where to read on.
    pub cursor: RevocationCursor,
    /// No revocation of this number or a lower one appears any more that did not appear up to this page.
    pub settled: i64,
}

/// Reads revocations as they come, each once.
///
/// Start it before the first token is looked up; then whatever is revoked later is seen by a poll, also what
/// another process revoked, and also what committed late.
pub struct RevocationFeed {
    store: Arc<dyn Store>,
    cursor: RevocationCursor,
    seen: Seen,
}

impl RevocationFeed {
    /// Starts at what is already revoked.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be asked.
    pub async fn start(store: Arc<dyn Store>) -> Result<Self, StoreError> {
        let page = store.revocations(None).await?;
        let mut feed = Self { store, cursor: page.cursor, seen: Seen::default() };
        feed.seen.fresh(page);
        feed.poll().await?;
        Ok(feed)
    }

    /// What was revoked since the last call.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be asked; nothing is lost, the next call tells it.
    pub async fn poll(&mut self) -> Result<Vec<Revocation>, StoreError> {
        let page = self.store.revocations(Some(self.cursor)).await?;
        self.cursor = page.cursor;
        Ok(self.seen.fresh(page))
    }
}

/// The numbers that were told. Those up to `settled` all were, so that only the later ones are kept one by one.
#[derive(Default)]
struct Seen {
    settled: i64,
    later: BTreeSet<i64>,
}

impl Seen {
    /// What of a page was not told before.
    fn fresh(&mut self, page: RevocationPage) -> Vec<Revocation> {
        let is_new = |item: &Revocation| item.sequence > self.settled && self.later.insert(item.sequence);
        let fresh = page.items.into_iter().filter(is_new).collect();
        self.settled = self.settled.max(page.settled);
        self.later = self.later.split_off(&self.settled.saturating_add(1));
        fresh
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(numbers: &[i64], settled: i64) -> RevocationPage {
        let revocation = |sequence: &i64| Revocation {
            what: Revoked::Token(TokenHash::new([0; 32])),
            at: UnixTime(0),
            sequence: *sequence,
        };
        let items = numbers.iter().map(revocation).collect();
        RevocationPage { items, cursor: RevocationCursor(0), settled }
    }

    fn told(seen: &mut Seen, numbers: &[i64], settled: i64) -> Vec<i64> {
        seen.fresh(page(numbers, settled)).iter().map(|item| item.sequence).collect()
    }

    /// Rows commit out of order where several nodes write: a lower number may appear behind a higher one.
    #[test]
    fn a_revocation_that_commits_late_is_still_told() {
        let mut seen = Seen::default();
        assert_eq!(told(&mut seen, &[12], 10), [12]);
        assert_eq!(told(&mut seen, &[11, 12], 10), [11]);
        assert_eq!(told(&mut seen, &[11, 12], 12), [0; 0]);
        assert_eq!(told(&mut seen, &[12, 13], 13), [13]);
    }

    #[test]
    fn what_is_settled_is_neither_told_again_nor_remembered_one_by_one() {
        let mut seen = Seen::default();
        assert_eq!(told(&mut seen, &[], 7), [0; 0]);
        assert_eq!(told(&mut seen, &[6, 7, 8, 9], 8), [8, 9]);
        assert_eq!(seen.later.iter().copied().collect::<Vec<_>>(), [9]);
        assert_eq!(told(&mut seen, &[8, 9], 3), [0; 0], "it never goes back");
    }
}
