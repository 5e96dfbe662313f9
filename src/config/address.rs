//! Addresses of mail servers: `imap+starttls://host:port`.

use std::net::{IpAddr, Ipv6Addr};

use crate::{
    model::Protocol,
    upstream::{Security, Server},
};

/// Reads the address of a server for `protocol`.
///
/// # Errors
/// One sentence about what is wrong.
pub(super) fn server(protocol: Protocol, text: &str) -> Result<Server, String> {
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(format!("must be an address such as \"{protocol}s://mail.example.org\""));
    };
    let (name, security) = scheme_parts(scheme);
    if name != protocol.as_str() {
        return Err(format!("must begin with {protocol}://, {protocol}s:// or {protocol}+starttls://"));
    }
    let Some(security) = security else {
        return Err(format!("must begin with {protocol}://, {protocol}s:// or {protocol}+starttls://"));
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains(['/', '?', '#', '@']) {
        return Err("must hold a host and a port only; user names and paths have no place here".into());
    }
    let (host, port) = authority(rest)?;
    Ok(Server { protocol, host, port: port.unwrap_or_else(|| standard_port(protocol, security)), security })
}

/// Whether the host is this machine, as far as its name tells.
pub(super) fn is_loopback(host: &str) -> bool {
    host.parse::<IpAddr>().map_or_else(|_| is_localhost(host), |address| address.is_loopback())
}

fn is_localhost(host: &str) -> bool {
    host == "localhost" || host.ends_with(".localhost")
}

/// A host name or an address, without port; an IPv6 address may stand in brackets.
pub(super) fn host(text: &str) -> Result<String, String> {
    let (host, port) = authority(text)?;
    match port {
        None => Ok(host),
        Some(_) => Err("must be a host without a port".into()),
    }
}

fn scheme_parts(scheme: &str) -> (&str, Option<Security>) {
    if let Some(name) = scheme.strip_suffix("+starttls") {
        return (name, Some(Security::StartTls));
    }
    if let Some((name, _)) = scheme.split_once('+') {
        return (name, None);
    }
    match scheme.strip_suffix('s') {
        Some(name) => (name, Some(Security::Tls)),
        None => (scheme, Some(Security::Clear)),
    }
}

/// A host and, where it is written, a port.
pub(super) fn authority(text: &str) -> Result<(String, Option<u16>), String> {
    if let Some(rest) = text.strip_prefix('[') {
        let Some((address, after)) = rest.split_once(']') else {
            return Err("has an opening bracket without a closing one".into());
        };
        let address: Ipv6Addr =
            address.parse().map_err(|_| "holds no IPv6 address in its brackets".to_owned())?;
        let port = match after.strip_prefix(':') {
            Some(port) => Some(parse_port(port)?),
            None if after.is_empty() => None,
            None => return Err("has something other than a port behind the bracket".into()),
        };
        return Ok((address.to_string(), port));
    }
    if text.matches(':').count() > 1 {
        let whole: Result<Ipv6Addr, _> = text.parse();
        return whole.map(|address| (address.to_string(), None)).map_err(|_| {
            "must hold a host and a port; IPv6 addresses stand in brackets: [2001:db8::5]:143".into()
        });
    }
    let (name, port) = match text.split_once(':') {
        Some((name, port)) => (name, Some(parse_port(port)?)),
        None => (text, None),
    };
    if !is_host_name(name) {
        return Err("holds no valid host name".into());
    }
    Ok((name.to_ascii_lowercase(), port))
}

/// Letters, digits, hyphens and underscores between dots; at most 253 octets (RFC 1035 §2.3.4).
pub(super) fn is_host_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-' || octet == b'_')
    };
    name.len() <= 253 && name.strip_suffix('.').unwrap_or(name).split('.').all(label)
}

fn parse_port(text: &str) -> Result<u16, String> {
    let digits = text.bytes().all(|octet| octet.is_ascii_digit());
    let port = text.parse().ok().filter(|port| digits && *port != 0);
    port.ok_or_else(|| "has a port that is no number from 1 to 65535".into())
}

const fn standard_port(protocol: Protocol, security: Security) -> u16 {
    match (protocol, security) {
        (Protocol::Imap, Security::Tls) => 993,
        (Protocol::Imap, Security::Clear | Security::StartTls) => 143,
        (Protocol::Pop3, Security::Tls) => 995,
        (Protocol::Pop3, Security::Clear | Security::StartTls) => 110,
        // RFC 5804 has no port for implicit TLS; where an operator runs one, it is most often the same.
        (Protocol::Sieve, _) => 4190,
        (Protocol::Smtp, Security::Tls) => 465,
        (Protocol::Smtp, Security::Clear | Security::StartTls) => 587,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_a_port_has_the_standard_one() {
        let cases = [
            (Protocol::Imap, "imap://a", 143, Security::Clear),
            (Protocol::Imap, "imaps://a", 993, Security::Tls),
            (Protocol::Imap, "imap+starttls://a", 143, Security::StartTls),
            (Protocol::Smtp, "smtp://a", 587, Security::Clear),
            (Protocol::Smtp, "smtps://a", 465, Security::Tls),
            (Protocol::Smtp, "smtp+starttls://a", 587, Security::StartTls),
            (Protocol::Pop3, "pop3s://a/", 995, Security::Tls),
            (Protocol::Pop3, "pop3+starttls://a", 110, Security::StartTls),
            (Protocol::Sieve, "sieve+starttls://a", 4190, Security::StartTls),
            (Protocol::Sieve, "sieves://a", 4190, Security::Tls),
        ];
        for (protocol, text, port, security) in cases {
            let expected = Server { protocol, host: "a".into(), port, security };
            assert_eq!(server(protocol, text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn ipv6_addresses_stand_in_brackets() {
        let read = server(Protocol::Imap, "imaps://[2001:DB8::5]:1993").unwrap();
        assert_eq!((read.host.as_str(), read.port), ("2001:db8::5", 1993));
        assert_eq!(server(Protocol::Imap, "imap://[::1]").unwrap().host, "::1");
        assert!(server(Protocol::Imap, "imaps://2001:db8::5:1993:143:1:2:3").is_err());
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for bad in [
            "",
            "a",
            "imaps:a",
            "http://a",
            "smtp://a",
            "imap+tls://a",
            "imap://",
            "imap://a:0",
            "imap://a:65536",
            "imap://a:+1",
            "imap://a:",
            "imap://u@a",
            "imap://a/b",
            "imap://a?x",
            "imap://a b",
            "imap://[::1",
            "imap://[::1]x",
            "imap://[a]",
            "imap://-a",
            "imap://a..b",
            "imap://a\r\nb",
        ] {
            assert!(server(Protocol::Imap, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_this_machine_is_loopback() {
        for host in ["127.0.0.1", "127.9.9.9", "::1", "localhost", "a.localhost"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["10.0.0.1", "localhost.example.org", "::", "0.0.0.0", "127.0.0.1.example.org"] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
