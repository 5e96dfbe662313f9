//! Tells of refused connections without letting whoever is refused fill the log.

use std::{
    net::IpAddr,
    sync::atomic::{AtomicI64, AtomicU64, Ordering},
};

use crate::{limits::Full, model::UnixTime};

/// Counts refused connections; the first of each second is told, with how many were not.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    told_at: AtomicI64,
    untold: AtomicU64,
}

impl Refusals {
    /// A connection was refused. Says how many went untold when this one is to be told.
    fn count(&self, now: UnixTime) -> Option<u64> {
        if self.told_at.swap(now.0, Ordering::Relaxed) == now.0 {
            self.untold.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(self.untold.swap(0, Ordering::Relaxed))
    }

    /// Counts the refusal and tells of it when this second has not had one.
    pub(super) fn note(&self, client_ip: IpAddr, limit: Full, now: UnixTime) {
        if let Some(untold) = self.count(now) {
            tracing::warn!(%client_ip, %limit, untold, "connection refused");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_refusal_a_second_is_told_with_the_number_of_the_others() {
        let refusals = Refusals::default();
        assert_eq!(refusals.count(UnixTime(1)), Some(0));
        assert_eq!(refusals.count(UnixTime(1)), None);
        assert_eq!(refusals.count(UnixTime(1)), None);
        assert_eq!(refusals.count(UnixTime(2)), Some(2));
        assert_eq!(refusals.count(UnixTime(3)), Some(0));
    }
}
