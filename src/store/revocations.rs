use std::{collections::BTreeSet, sync::Arc};

use super::{Store, StoreError};
use crate::model::{GrantId, TokenHash, UnixTime};

/// How far the revocations were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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
    /// One token; sessions that it opened live on with their grant.
    Token(TokenHash),
}

/// What was revoked, and from where to read on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocationPage {
    /// In the order of their numbers; some may have been read before.
    pub items: Vec<Revocation>,
    /// From where to read on.
    pub cursor: RevocationCursor,
}

/// Reads revocations as they come, each once.
///
/// Start it before the first token is looked up; then whatever is revoked later is seen by a poll, also what
/// another process revoked, and also what committed late.
pub struct RevocationFeed {
    store: Arc<dyn Store>,
    cursor: RevocationCursor,
    seen: BTreeSet<i64>,
}

impl RevocationFeed {
    /// How many numbers before the cursor are read again. A row that commits later than this many others
    /// would be missed; a node does not write that many within the time of one commit.
    pub const OVERLAP: i64 = 1024;

    /// Starts at what is already revoked.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be asked.
    pub async fn start(store: Arc<dyn Store>) -> Result<Self, StoreError> {
        let cursor = store.revocations(None).await?.cursor;
        let mut feed = Self { store, cursor, seen: BTreeSet::new() };
        feed.poll().await?;
        Ok(feed)
    }

    /// What was revoked since the last call.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be asked; nothing is lost, the next call tells it.
    pub async fn poll(&mut self) -> Result<Vec<Revocation>, StoreError> {
        let page = self.store.revocations(Some(self.cursor)).await?;
        self.cursor = self.cursor.max(page.cursor);
        let fresh = page.items.into_iter().filter(|item| self.seen.insert(item.sequence)).collect();
        self.seen = self.seen.split_off(&self.cursor.0.saturating_sub(Self::OVERLAP));
        Ok(fresh)
    }
}
