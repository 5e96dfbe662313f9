use std::{collections::hash_map::RandomState, hash::BuildHasher, net::IpAddr, time::Duration};

use crate::model::UnixTime;

/// What a registration leaves in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistrationCost {
    /// Nothing: its identifier holds it.
    Nothing,
    /// A row.
    Row,
}

/// Limits of registrations that nobody vouches for: in all, and by network (an IPv4 address, an IPv6 /64).
///
/// The table of networks never grows: each network has one of [`Registrations::PLACES`] places by a hash that
/// nobody outside can foresee, and the few that share a place share its allowance. Loopback addresses count in the
/// whole alone: behind one stands the operator, or a reverse proxy that speaks for everybody.
#[derive(Debug)]
pub struct Registrations {
    hasher: RandomState,
    all: Allowance,
    rows: Allowance,
    by_network: Vec<Place>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Place {
    all: Allowance,
    rows: Allowance,
}

/// When the last allowed event would have come, had they come evenly; in milliseconds.
#[derive(Clone, Copy, Debug, Default)]
struct Allowance(i64);

/// So many at once, and then one in so many milliseconds.
#[derive(Clone, Copy, Debug)]
struct Rate {
    burst: i64,
    interval: i64,
}

impl Registrations {
    /// How many networks are told apart.
    pub const PLACES: usize = 4096;
    const ALL: Rate = Rate { burst: 600, interval: 100 };
    const ROWS: Rate = Rate { burst: 100, interval: 60_000 };
    const ALL_OF_NETWORK: Rate = Rate { burst: 30, interval: 20_000 };
    const ROWS_OF_NETWORK: Rate = Rate { burst: 10, interval: 300_000 };

    /// Counts one registration.
    ///
    /// # Errors
    /// How long to wait; nothing was counted.
    pub fn admit(&mut self, address: IpAddr, cost: RegistrationCost, now: UnixTime) -> Result<(), Duration> {
        let now = now.0.saturating_mul(1000);
        let (all, rows) = (&mut self.all, &mut self.rows);
        let mut counts = match cost {
            RegistrationCost::Nothing => vec![(all, Self::ALL)],
            RegistrationCost::Row => vec![(rows, Self::ROWS)],
        };
        let place = network(address).and_then(|network| {
            let places = self.by_network.len().max(1) as u64;
            let at = usize::try_from(self.hasher.hash_one(network) % places).ok()?;
            self.by_network.get_mut(at)
        });
        if let Some(place) = place {
            counts.push(match cost {
                RegistrationCost::Nothing => (&mut place.all, Self::ALL_OF_NETWORK),
                RegistrationCost::Row => (&mut place.rows, Self::ROWS_OF_NETWORK),
            });
        }
        let wait = counts.iter().map(|(count, rate)| count.wait(*rate, now)).max().unwrap_or_default();
        if wait > 0 {
            return Err(Duration::from_secs(wait.unsigned_abs().div_ceil(1000)));
        }
        for (count, rate) in counts {
            count.take(rate, now);
        }
        Ok(())
    }
}

impl Default for Registrations {
    fn default() -> Self {
        Self {
            hasher: RandomState::new(),
            all: Allowance::default(),
            rows: Allowance::default(),
            by_network: vec![Place::default(); Self::PLACES],
        }
    }
}

impl Allowance {
    /// Milliseconds until one more is allowed. A clock that was set back makes nobody wait longer than an empty
    /// allowance does.
    fn wait(self, rate: Rate, now: i64) -> i64 {
        let ahead = self.0.saturating_sub(now).min(rate.burst * rate.interval);
        ahead.saturating_sub((rate.burst - 1) * rate.interval).max(0)
    }

    fn take(&mut self, rate: Rate, now: i64) {
        let latest = now.saturating_add((rate.burst - 1) * rate.interval);
        self.0 = self.0.clamp(now, latest).saturating_add(rate.interval);
    }
}

/// Whoever has one address of these has them all.
fn network(address: IpAddr) -> Option<(u64, bool)> {
    match address.to_canonical() {
        address if address.is_loopback() => None,
        IpAddr::V4(v4) => Some((u64::from(v4.to_bits()), false)),
        IpAddr::V6(v6) => Some(((v6.to_bits() >> 64) as u64, true)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime(1_800_000_000);

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// How many of `tries` get through at one moment.
    fn through(limits: &mut Registrations, address: &str, cost: RegistrationCost, tries: u32) -> usize {
        (0..tries).filter(|_| limits.admit(ip(address), cost, NOW).is_ok()).count()
    }

    #[test]
    fn one_network_gets_its_burst_and_then_one_at_a_time() {
        let mut limits = Registrations::default();
        assert_eq!(through(&mut limits, "192.0.2.1", RegistrationCost::Nothing, 1000), 30);
        assert_eq!(through(&mut limits, "192.0.2.1", RegistrationCost::Row, 1000), 10);
        let wait = limits.admit(ip("192.0.2.1"), RegistrationCost::Nothing, NOW).unwrap_err();
        assert_eq!(wait, Duration::from_secs(20));
        let later = NOW.after(wait);
        assert!(limits.admit(ip("192.0.2.1"), RegistrationCost::Nothing, later).is_ok());
        assert!(limits.admit(ip("192.0.2.1"), RegistrationCost::Nothing, later).is_err());
    }

    #[test]
    fn addresses_of_one_ipv6_network_share_its_allowance_and_mapped_ones_are_ipv4() {
        let mut limits = Registrations::default();
        assert_eq!(through(&mut limits, "2001:db8::1", RegistrationCost::Row, 99), 10);
        assert_eq!(through(&mut limits, "2001:db8::ffff:1", RegistrationCost::Row, 99), 0);
        assert_eq!(through(&mut limits, "192.0.2.9", RegistrationCost::Row, 99), 10);
        assert_eq!(through(&mut limits, "::ffff:192.0.2.9", RegistrationCost::Row, 99), 0);
    }

    #[test]
    fn a_flood_from_everywhere_meets_the_limit_of_all_and_the_table_does_not_grow() {
        let mut limits = Registrations::default();
        let mut rows = 0;
        for bits in 0..200_000_u32 {
            let address = IpAddr::from(std::net::Ipv4Addr::from_bits(0x0b00_0000 + bits));
            rows += usize::from(limits.admit(address, RegistrationCost::Row, NOW).is_ok());
        }
        assert_eq!(rows, 100);
        assert_eq!(limits.by_network.len(), Registrations::PLACES);
    }

    #[test]
    fn a_refusal_counts_nothing() {
        let mut limits = Registrations::default();
        through(&mut limits, "192.0.2.1", RegistrationCost::Row, 5000);
        assert_eq!(through(&mut limits, "127.0.0.1", RegistrationCost::Row, 5000), 90);
    }

    #[test]
    fn a_clock_that_was_set_back_locks_nobody_out() {
        let mut limits = Registrations::default();
        through(&mut limits, "192.0.2.1", RegistrationCost::Nothing, 99);
        let before = UnixTime(NOW.0 - 1_000_000);
        let wait = limits.admit(ip("192.0.2.1"), RegistrationCost::Nothing, before).unwrap_err();
        assert!(wait <= Duration::from_secs(20), "{wait:?}");
        for extreme in [i64::MIN, i64::MAX, 0] {
            let _ = limits.admit(ip("192.0.2.1"), RegistrationCost::Nothing, UnixTime(extreme));
        }
    }
}
