use std::{
    collections::{HashMap, VecDeque},
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, PoisonError},
};

use crate::model::UnixTime;

/// How many devices wait to be approved. Each has a row, and each makes a guessed user code more likely to be one,
/// so there may not be any number of them: 2^34 codes hold 10,000 of them in one of 2.5 million.
///
/// It counts on this node alone, and what was approved counts until its end.
#[derive(Debug, Default)]
pub(in crate::issuer) struct PendingDevices(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    /// In the order of their ends, as all live equally long.
    ends: VecDeque<(UnixTime, IpAddr)>,
    by_network: HashMap<IpAddr, usize>,
}

impl PendingDevices {
    /// Most devices that wait, in all.
    pub(super) const MAX: usize = 10_000;
    /// Most devices of one IPv4 address, or of one IPv6 /64.
    pub(super) const MAX_PER_NETWORK: usize = 50;

    /// Counts one more; `false`, and nothing is counted, when there are too many.
    pub(super) fn start(&self, address: IpAddr, now: UnixTime, expires_at: UnixTime) -> bool {
        let mut guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = &mut *guard;
        while let Some((_, network)) = waiting.ends.pop_front_if(|(end, _)| *end <= now) {
            if let Some(count) = waiting.by_network.get_mut(&network) {
                *count -= 1;
                if *count == 0 {
                    waiting.by_network.remove(&network);
                }
            }
        }
        let network = network(address);
        let own = waiting.by_network.get(&network).copied().unwrap_or_default();
        if waiting.ends.len() >= Self::MAX || own >= Self::MAX_PER_NETWORK {
            return false;
        }
        waiting.ends.push_back((expires_at, network));
        waiting.by_network.insert(network, own + 1);
        true
    }
}

fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_network_waits_for_its_own_devices_and_no_other_does() {
        let devices = PendingDevices::default();
        let (now, end) = (UnixTime(0), UnixTime(600));
        let start = |address: &str, now| devices.start(address.parse().unwrap(), now, end);
        for last in 0..PendingDevices::MAX_PER_NETWORK {
            assert!(start(&format!("2001:db8::{last:x}"), now));
            assert!(start("192.0.2.1", now));
        }
        assert!(!start("2001:db8::ffff:ffff", now));
        assert!(!start("::ffff:192.0.2.1", now));
        assert!(start("2001:db8:0:1::", now));
        assert!(start("192.0.2.2", now));
        assert!(!start("192.0.2.1", UnixTime(599)));
        assert!(start("192.0.2.1", end));
    }

    #[test]
    fn there_is_an_end_for_all_together() {
        let devices = PendingDevices::default();
        for n in 0..PendingDevices::MAX {
            let address = std::net::Ipv4Addr::from_bits(u32::try_from(n).unwrap());
            assert!(devices.start(address.into(), UnixTime(0), UnixTime(600)));
        }
        let another = IpAddr::from([198, 51, 100, 7]);
        assert!(!devices.start(another, UnixTime(0), UnixTime(600)));
        assert!(devices.start(another, UnixTime(600), UnixTime(1200)));
        assert_eq!(devices.0.lock().unwrap().ends.len(), 1);
        assert_eq!(devices.0.lock().unwrap().by_network.len(), 1);
    }
}
