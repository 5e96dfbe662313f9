use std::{
    collections::{HashMap, hash_map::Entry},
    hash::Hash,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use thiserror::Error;

use super::Config;

/// Counts live connections: in all, by address, and by network.
///
/// One lock guards the counts. It is held for three look-ups, once as a connection comes and once as it goes.
#[derive(Clone, Debug)]
pub struct Connections {
    shared: Arc<Shared>,
}

/// A connection that was admitted. Dropping it gives its place back.
#[derive(Debug)]
#[must_use = "dropping the permit gives the place back"]
pub struct Permit {
    shared: Arc<Shared>,
    ip: IpAddr,
}

/// Which limit is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Full {
    /// `limits.per_ip`.
    #[error("too many connections from this address")]
    Address,
    /// `limits.per_prefix_v4` or `limits.per_prefix_v6`.
    #[error("too many connections from this network")]
    Network,
    /// `limits.connections`.
    #[error("too many connections")]
    Total,
}

#[derive(Debug)]
struct Shared {
    total: usize,
    per_ip: usize,
    per_prefix_v4: usize,
    per_prefix_v6: usize,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
    by_network: HashMap<Network, usize>,
}

/// An IPv4 /24 or an IPv6 /48.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Network {
    V4([u8; 3]),
    V6([u16; 3]),
}

impl Connections {
    /// Nothing is counted yet.
    pub fn new(config: &Config) -> Self {
        Self {
            shared: Arc::new(Shared {
                total: config.connections,
                per_ip: config.per_ip,
                per_prefix_v4: config.per_prefix_v4,
                per_prefix_v6: config.per_prefix_v6,
                counts: Mutex::default(),
            }),
        }
    }

    /// Counts a connection of `ip`, unless a limit is reached. An IPv4 address mapped into IPv6 is that IPv4 address.
    ///
    /// # Errors
    /// The limit that is reached; nothing was counted.
    pub fn try_admit(&self, ip: IpAddr) -> Result<Permit, Full> {
        let ip = ip.to_canonical();
        let network = Network::of(ip);
        let shared = &self.shared;
        let per_prefix = match network {
            Network::V4(_) => shared.per_prefix_v4,
            Network::V6(_) => shared.per_prefix_v6,
        };
        let mut counts = shared.counts();
        if counts.total >= shared.total {
            return Err(Full::Total);
        }
        if count(&counts.by_address, &ip) >= shared.per_ip {
            return Err(Full::Address);
        }
        if count(&counts.by_network, &network) >= per_prefix {
            return Err(Full::Network);
        }
        counts.total += 1;
        *counts.by_address.entry(ip).or_default() += 1;
        *counts.by_network.entry(network).or_default() += 1;
        Ok(Permit { shared: Arc::clone(shared), ip })
    }

    /// How many are live.
    pub fn live(&self) -> usize {
        self.shared.counts().total
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut counts = self.shared.counts();
        counts.total = counts.total.saturating_sub(1);
        release(&mut counts.by_address, self.ip);
        release(&mut counts.by_network, Network::of(self.ip));
    }
}

impl Shared {
    /// The counts. Nothing panics while they are held, so a poisoned lock holds good ones.
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Network {
    fn of(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(v4) => Self::of_v4(v4),
            IpAddr::V6(v6) => Self::of_v6(v6),
        }
    }

    fn of_v4(ip: Ipv4Addr) -> Self {
        let [a, b, c, _] = ip.octets();
        Self::V4([a, b, c])
    }

    fn of_v6(ip: Ipv6Addr) -> Self {
        let [a, b, c, ..] = ip.segments();
        Self::V6([a, b, c])
    }
}

fn count<K: Eq + Hash>(counts: &HashMap<K, usize>, key: &K) -> usize {
    counts.get(key).copied().unwrap_or(0)
}

fn release<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: K) {
    let Entry::Occupied(mut held) = counts.entry(key) else { return };
    match held.get().checked_sub(1) {
        Some(0) | None => {
            held.remove();
        }
        Some(fewer) => *held.get_mut() = fewer,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn limits(total: usize, per_ip: usize, v4: usize, v6: usize) -> Connections {
        Connections::new(&Config {
            connections: total,
            per_ip,
            per_prefix_v4: v4,
            per_prefix_v6: v6,
            handshake_timeout: Duration::ZERO,
            pre_auth_timeout: Duration::ZERO,
            dummy_response_timeout: Duration::ZERO,
            bad_commands: 0,
            failed_auth: 0,
            pre_auth_line: 0,
            sasl_response: 0,
            idle_timeout: Duration::ZERO,
            idle_timeout_pop3: Duration::ZERO,
            idle_timeout_smtp: Duration::ZERO,
        })
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn each_limit_refuses_by_its_own_name() {
        let total = limits(1, 9, 9, 9);
        let _held = total.try_admit(ip("192.0.2.1")).unwrap();
        assert_eq!(total.try_admit(ip("2001:db8::1")).unwrap_err(), Full::Total);

        let address = limits(9, 1, 9, 9);
        let _held = address.try_admit(ip("192.0.2.1")).unwrap();
        assert_eq!(address.try_admit(ip("192.0.2.1")).unwrap_err(), Full::Address);
        assert!(address.try_admit(ip("192.0.2.2")).is_ok());

        let network = limits(9, 9, 1, 1);
        let _held = network.try_admit(ip("192.0.2.1")).unwrap();
        assert_eq!(network.try_admit(ip("192.0.2.200")).unwrap_err(), Full::Network);
        assert!(network.try_admit(ip("192.0.3.1")).is_ok());
        let _held = network.try_admit(ip("2001:db8:1:2::3")).unwrap();
        assert_eq!(network.try_admit(ip("2001:db8:1:ffff::3")).unwrap_err(), Full::Network);
        assert!(network.try_admit(ip("2001:db8:2::3")).is_ok());
    }

    #[test]
    fn a_mapped_address_is_its_ipv4_address() {
        let limits = limits(9, 1, 9, 9);
        let _held = limits.try_admit(ip("::ffff:192.0.2.1")).unwrap();
        assert_eq!(limits.try_admit(ip("192.0.2.1")).unwrap_err(), Full::Address);
    }

    #[test]
    fn a_refusal_counts_nothing() {
        let limits = limits(9, 9, 1, 9);
        let held = limits.try_admit(ip("192.0.2.1")).unwrap();
        for _ in 0..20 {
            assert!(limits.try_admit(ip("192.0.2.2")).is_err());
        }
        assert_eq!(limits.live(), 1);
        drop(held);
        assert!(limits.try_admit(ip("192.0.2.2")).is_ok());
    }

    proptest! {
        #[test]
        fn what_left_leaves_nothing_behind(hosts in prop::collection::vec(0u8..6, 1..60)) {
            let limits = limits(20, 5, 12, 12);
            let mut held = Vec::new();
            for host in &hosts {
                if host % 3 == 0 && !held.is_empty() {
                    drop(held.swap_remove(0));
                }
                if let Ok(permit) = limits.try_admit(IpAddr::from([192, 0, 2 + host % 2, *host])) {
                    held.push(permit);
                }
                prop_assert_eq!(limits.live(), held.len());
                prop_assert!(held.len() <= 20);
            }
            held.clear();
            let counts = limits.shared.counts();
            prop_assert_eq!(counts.total, 0);
            prop_assert!(counts.by_address.is_empty() && counts.by_network.is_empty());
        }
    }
}
