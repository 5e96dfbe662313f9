//! When app passwords were used last: remembered here, and written where nobody waits for it.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::Validator;
use crate::{
    model::{GrantId, Right, UnixTime},
    store::{LastUse, StoreError},
};

/// Seconds between two writes for one app password. A program that polls would write all the time.
const INTERVAL: i64 = 60;
/// App passwords that are remembered. Of more at once, some last uses are lost.
const CAPACITY: usize = 10_000;
/// Last uses that are written at once.
const BATCH: usize = 500;

/// What is to be written, and what was lately.
#[derive(Default)]
pub(super) struct LastUses(Mutex<Uses>);

#[derive(Default)]
struct Uses {
    waiting: HashMap<GrantId, LastUse>,
    written: HashMap<GrantId, UnixTime>,
}

impl LastUses {
    fn note(&self, grant: GrantId, last: LastUse) {
        let mut uses = self.locked();
        if uses.waiting.len() < CAPACITY || uses.waiting.contains_key(&grant) {
            uses.waiting.insert(grant, last);
        }
    }

    /// Takes out what is to be written now; all of it where `is_last`.
    fn due(&self, now: UnixTime, is_last: bool) -> Vec<(GrantId, LastUse)> {
        let mut uses = self.locked();
        // A clock that was set back holds nothing up.
        uses.written.retain(|_, at| (0..INTERVAL).contains(&now.0.saturating_sub(at.0)));
        let is_due = |grant: &&GrantId| is_last || !uses.written.contains_key(*grant);
        let due: Vec<GrantId> = uses.waiting.keys().filter(is_due).take(BATCH).copied().collect();
        let mut taken = Vec::with_capacity(due.len());
        for grant in due {
            if let Some(last) = uses.waiting.remove(&grant) {
                uses.written.insert(grant, now);
                taken.push((grant, last));
            }
        }
        taken
    }

    /// Puts back what could not be written, unless something later came.
    fn put_back(&self, uses: Vec<(GrantId, LastUse)>) {
        let mut locked = self.locked();
        for (grant, last) in uses {
            locked.written.remove(&grant);
            if locked.waiting.len() < CAPACITY {
                locked.waiting.entry(grant).or_insert(last);
            }
        }
    }

    fn locked(&self) -> MutexGuard<'_, Uses> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Validator {
    /// Notes that the app password that a session hangs on was used. Nothing is written yet.
    pub fn note_use(&self, right: &Right, last: LastUse) {
        if let Some(grant) = right.grant() {
            self.last_uses.note(grant, last);
        }
    }

    /// Writes the noted uses, each app password's once a minute at most; all of them where `is_last`. To be called from
    /// time to time.
    ///
    /// # Errors
    /// [`StoreError`]; they are tried again the next time.
    pub async fn write_uses(&self, now: UnixTime, is_last: bool) -> Result<(), StoreError> {
        loop {
            let due = self.last_uses.due(now, is_last);
            if due.is_empty() {
                return Ok(());
            }
            if let Err(error) = self.store.app_passwords_used(due.clone()).await {
                self.last_uses.put_back(due);
                return Err(error);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Protocol;

    fn last(at: i64) -> LastUse {
        let address = std::net::IpAddr::from([192, 0, 2, 1]);
        LastUse { at: UnixTime(at), address, protocol: Protocol::Imap, client: None }
    }

    #[test]
    fn one_app_password_is_written_once_a_minute_with_its_latest_use() {
        let (uses, grant) = (LastUses::default(), GrantId::generate());
        let due = |now| uses.due(UnixTime(now), false);
        uses.note(grant, last(100));
        assert_eq!(due(100), [(grant, last(100))]);
        assert_eq!(due(100), []);
        uses.note(grant, last(101));
        uses.note(grant, last(150));
        assert_eq!(due(159), []);
        assert_eq!(due(160), [(grant, last(150))]);
        uses.note(grant, last(161));
        assert_eq!(uses.due(UnixTime(161), true), [(grant, last(161))], "the last words");
    }

    #[test]
    fn what_could_not_be_written_comes_again_unless_something_later_came() {
        let uses = LastUses::default();
        let (one, two) = (GrantId::generate(), GrantId::generate());
        uses.note(one, last(100));
        uses.note(two, last(100));
        let failed = uses.due(UnixTime(100), false);
        uses.note(two, last(101));
        uses.put_back(failed);
        let mut due = uses.due(UnixTime(101), false);
        due.sort_by_key(|(grant, _)| *grant != one);
        assert_eq!(due, [(one, last(100)), (two, last(101))]);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let uses = LastUses::default();
        for _ in 0..2 * CAPACITY {
            uses.note(GrantId::generate(), last(1));
        }
        assert_eq!(uses.locked().waiting.len(), CAPACITY);
        let mut written = 0;
        loop {
            let due = uses.due(UnixTime(1), false).len();
            assert!(due <= BATCH);
            if due == 0 {
                break;
            }
            written += due;
        }
        assert_eq!(written, CAPACITY);
        uses.due(UnixTime(1 + INTERVAL), false);
        assert!(uses.locked().written.is_empty());
    }
}
