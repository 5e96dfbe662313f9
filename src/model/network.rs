use std::{fmt, net::IpAddr, str::FromStr};

use thiserror::Error;

/// A network of addresses: `10.0.0.0/8`, `2001:db8::/32`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// A text that names no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InvalidNetwork {
    /// No address, or no length.
    #[error("must be a network such as \"10.0.0.0/8\" or \"2001:db8::/32\", or an address")]
    Malformed,
    /// Bits behind the prefix are set, so that it is not clear what is meant.
    #[error("has bits set behind its prefix")]
    HostBits,
}

impl Network {
    /// Whether `address` is in it. An IPv4 address mapped into IPv6 is that IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                masked(u128::from(own.to_bits()), self.prefix, 32)
                    == masked(u128::from(other.to_bits()), self.prefix, 32)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                masked(own.to_bits(), self.prefix, 128) == masked(other.to_bits(), self.prefix, 128)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

/// The first `prefix` of `width` bits.
fn masked(bits: u128, prefix: u8, width: u8) -> u128 {
    let behind = u32::from(width.saturating_sub(prefix));
    bits.checked_shr(behind).unwrap_or(0)
}

impl FromStr for Network {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
        let address: IpAddr = address.parse().map_err(|_| InvalidNetwork::Malformed)?;
        if address != address.to_canonical() {
            return Err(InvalidNetwork::Malformed);
        }
        let (bits, width) = match address {
            IpAddr::V4(address) => (u128::from(address.to_bits()), 32_u8),
            IpAddr::V6(address) => (address.to_bits(), 128),
        };
        let is_number = |text: &&str| {
            text.bytes().all(|octet| octet.is_ascii_digit()) && (*text == "0" || !text.starts_with('0'))
        };
        let prefix = match prefix {
            None => width,
            Some(text) => {
                let number = Some(text).filter(is_number).and_then(|text| text.parse().ok());
                number.filter(|prefix| *prefix <= width).ok_or(InvalidNetwork::Malformed)?
            }
        };
        let behind = u32::from(width.saturating_sub(prefix));
        if masked(bits, prefix, width).checked_shl(behind).unwrap_or(0) != bits {
            return Err(InvalidNetwork::HostBits);
        }
        Ok(Self { address, prefix })
    }
}

/// As it is written in a configuration.
impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_reads_back_as_it_is_written() {
        for text in ["10.0.0.0/8", "2001:db8::/32", "0.0.0.0/0", "::/0", "192.0.2.1/32"] {
            assert_eq!(text.parse::<Network>().unwrap().to_string(), text);
        }
        assert_eq!("192.0.2.1".parse::<Network>().unwrap().to_string(), "192.0.2.1/32");
    }
}
