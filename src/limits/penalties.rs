use std::{
    hash::{BuildHasher, Hash, RandomState},
    time::Duration,
};

use crate::model::UnixTime;

/// How much may go wrong before it costs time, and how much time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Failures that cost nothing.
    pub free: u32,
    /// One failure is forgiven whenever this has passed: in the long run so many are let through.
    pub forgiven_every: Duration,
    /// The wait after the first failure beyond the free ones. It doubles with each further one.
    pub first_wait: Duration,
    /// The longest wait.
    pub longest_wait: Duration,
    /// Tries at the same time.
    pub at_once: u32,
}

/// Entries that share a bucket.
const WAYS: usize = 8;

/// Counts failures by key, in memory that never grows.
///
/// A key lives in one bucket of eight, chosen by a hash that nobody outside can compute. When all eight are taken,
/// the one with the fewest failures makes room, and the newcomer inherits its count (Space-Saving: Metwally,
/// Agrawal, El Abbadi, 2005). So a count may be too high and never too low: no flood of other keys flushes a
/// penalty.
pub(super) struct Penalties {
    allowance: Allowance,
    hasher: RandomState,
    buckets: Box<[[Entry; WAYS]]>,
}

/// What stands for a key inside its table; hashed so that an entry's size does not depend on the key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Tag(u64);

#[derive(Clone, Copy, Default)]
struct Entry {
    /// Zero where nobody is.
    tag: u64,
    failures: u32,
    /// Tries that have not ended.
    pending: u32,
    /// From when the next forgiveness is counted.
    since: i64,
    blocked_until: i64,
}

impl Penalties {
    pub(super) fn new(allowance: Allowance, buckets: usize) -> Self {
        Self {
            allowance,
            hasher: RandomState::new(),
            buckets: vec![[Entry::default(); WAYS]; buckets.max(1)].into_boxed_slice(),
        }
    }

    pub(super) fn tag(&self, key: impl Hash) -> Tag {
        Tag(self.hasher.hash_one(key).max(1))
    }

    /// Seconds until the next try, if there is a wait.
    pub(super) fn wait(&mut self, tag: Tag, now: UnixTime) -> Option<u64> {
        let longest = seconds(self.allowance.longest_wait);
        let (free, at_once) = (self.allowance.free, self.allowance.at_once);
        let entry = self.entry(tag, now)?;
        // A clock that was set back must not make a wait longer than the longest.
        entry.blocked_until = entry.blocked_until.min(now.0.saturating_add(longest));
        if entry.blocked_until > now.0 {
            return u64::try_from(entry.blocked_until - now.0).ok();
        }
        // What is still being tried may fail as well: within the free failures together, beyond them one by one.
        let crowded = entry.pending >= at_once
            || (entry.failures.saturating_add(entry.pending) >= free && entry.pending > 0);
        crowded.then_some(1)
    }

    /// Notes that a try begins, and says how many there are now.
    pub(super) fn begin(&mut self, tag: Tag, now: UnixTime) -> u32 {
        self.entry(tag, now).map_or(0, |entry| {
            entry.pending = entry.pending.saturating_add(1);
            entry.pending
        })
    }

    /// Notes that a try has ended without a failure.
    pub(super) fn end(&mut self, tag: Tag, now: UnixTime) {
        if let Some(entry) = self.entry(tag, now) {
            entry.pending = entry.pending.saturating_sub(1);
        }
    }

    /// Notes that a try has failed.
    pub(super) fn fail(&mut self, tag: Tag, now: UnixTime) {
        let Allowance { free, first_wait, longest_wait, .. } = self.allowance;
        let Some(entry) = self.entry(tag, now) else { return };
        entry.pending = entry.pending.saturating_sub(1);
        entry.failures = entry.failures.saturating_add(1);
        let Some(over) = entry.failures.saturating_sub(free).checked_sub(1) else { return };
        let doubled = 1i64.checked_shl(over.min(40)).unwrap_or(i64::MAX);
        let wait = seconds(first_wait).saturating_mul(doubled).min(seconds(longest_wait));
        entry.blocked_until = entry.blocked_until.max(now.0.saturating_add(wait));
    }

    /// Forgets every failure of a key.
    pub(super) fn forget(&mut self, tag: Tag, now: UnixTime) {
        if let Some(entry) = self.entry(tag, now) {
            entry.failures = 0;
            entry.blocked_until = 0;
        }
    }

    /// The entry of a key, which takes over the least of its bucket where it has none. There always is one.
    fn entry(&mut self, tag: Tag, now: UnixTime) -> Option<&mut Entry> {
        let every = seconds(self.allowance.forgiven_every).max(1);
        let place = usize::try_from(tag.0 % self.buckets.len() as u64).ok()?;
        let bucket = self.buckets.get_mut(place)?;
        for entry in bucket.iter_mut() {
            entry.forgive(every, now);
        }
        let entry = bucket.iter_mut().min_by_key(|entry| {
            (entry.tag != tag.0, entry.pending > 0, entry.failures, entry.blocked_until)
        })?;
        if entry.tag != tag.0 {
            *entry = Entry { tag: tag.0, pending: 0, ..*entry };
        }
        Some(entry)
    }
}

impl Entry {
    fn forgive(&mut self, every: i64, now: UnixTime) {
        let times = now.0.saturating_sub(self.since).max(0) / every;
        self.failures = self.failures.saturating_sub(u32::try_from(times).unwrap_or(u32::MAX));
        self.since = if self.failures == 0 { now.0 } else { self.since.saturating_add(times * every) };
    }
}

fn seconds(span: Duration) -> i64 {
    i64::try_from(span.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime(1_800_000_000);

    fn allowance() -> Allowance {
        Allowance {
            free: 3,
            forgiven_every: Duration::from_secs(1000),
            first_wait: Duration::from_secs(10),
            longest_wait: Duration::from_secs(60),
            at_once: 2,
        }
    }

    fn later(seconds: i64) -> UnixTime {
        UnixTime(NOW.0 + seconds)
    }

    #[test]
    fn the_wait_doubles_beyond_the_free_failures_up_to_the_longest() {
        let mut table = Penalties::new(allowance(), 4);
        let tag = table.tag("a");
        let mut waits = Vec::new();
        let mut now = NOW;
        for _ in 0..8 {
            table.fail(tag, now);
            let wait = table.wait(tag, now).unwrap_or(0);
            waits.push(wait);
            now = UnixTime(now.0 + i64::try_from(wait).unwrap());
            assert_eq!(table.wait(tag, now), None);
        }
        assert_eq!(waits, [0, 0, 0, 10, 20, 40, 60, 60]);
    }

    #[test]
    fn failures_are_forgiven_one_by_one() {
        let mut table = Penalties::new(allowance(), 4);
        let tag = table.tag("a");
        for _ in 0..4 {
            table.fail(tag, NOW);
        }
        assert_eq!(table.wait(tag, later(10)), None);
        table.fail(tag, later(999));
        assert_eq!(table.wait(tag, later(999)), Some(20));
        table.fail(tag, later(3999));
        assert_eq!(table.wait(tag, later(3999)), None, "four were forgiven, one came");
    }

    #[test]
    fn tries_at_the_same_time_cannot_outrun_the_count() {
        let mut table = Penalties::new(Allowance { at_once: 100, ..allowance() }, 4);
        let tag = table.tag("a");
        let mut admitted = 0;
        while table.wait(tag, NOW).is_none() {
            table.begin(tag, NOW);
            admitted += 1;
        }
        assert_eq!(admitted, 3);
        for _ in 0..3 {
            table.fail(tag, NOW);
        }
        assert_eq!(table.wait(tag, NOW), None, "beyond the free ones, one at a time");
        table.begin(tag, NOW);
        assert_eq!(table.wait(tag, NOW), Some(1));
    }

    #[test]
    fn no_flood_of_other_keys_flushes_a_penalty() {
        let mut table = Penalties::new(allowance(), 2);
        let own = table.tag("own");
        for _ in 0..5 {
            table.fail(own, NOW);
        }
        for other in 0..10_000 {
            let tag = table.tag(other);
            table.wait(tag, NOW);
            table.begin(tag, NOW);
            table.fail(tag, NOW);
        }
        assert!(table.wait(own, NOW).is_some());
    }

    #[test]
    fn a_clock_set_back_makes_no_wait_longer_than_the_longest() {
        let mut table = Penalties::new(allowance(), 4);
        let tag = table.tag("a");
        for _ in 0..9 {
            table.fail(tag, later(1_000_000));
        }
        assert_eq!(table.wait(tag, NOW), Some(60));
        assert_eq!(table.wait(tag, later(60)), None);
    }

    proptest::proptest! {
        #[test]
        fn no_order_of_events_counts_less_than_the_failures(
            events in proptest::collection::vec((0u8..40, proptest::bool::ANY), 1..300),
        ) {
            let lasting = Allowance { forgiven_every: Duration::from_secs(1 << 40), ..allowance() };
            let mut table = Penalties::new(lasting, 2);
            let mut failures = [0u32; 40];
            for (key, fails) in events {
                let tag = table.tag(key);
                table.begin(tag, NOW);
                if fails {
                    table.fail(tag, NOW);
                    failures[usize::from(key)] += 1;
                } else {
                    table.end(tag, NOW);
                }
                let counted = table.entry(tag, NOW).unwrap().failures;
                proptest::prop_assert!(counted >= failures[usize::from(key)]);
            }
        }
    }
}
