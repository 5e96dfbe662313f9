//! What a source answers, and the check that makes an [`Entry`] of it.

use std::sync::Arc;

use super::Entry;
use crate::model::{Login, Secret};

/// Addresses and mailboxes of one user at most; more is surely a wrong answer.
const MANY: usize = 1000;
/// Longest password in octets.
const PASSWORD: usize = 1024;

/// An answer as it came.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    pub(super) backend: Option<String>,
    pub(super) server: Option<String>,
    pub(super) login_name: Option<String>,
    pub(super) password: Option<Secret>,
    pub(super) addresses: Vec<String>,
    pub(super) mailboxes: Vec<String>,
}

impl Found {
    /// Checks every value. The reason names what is wrong and repeats no value, which may stand in the wrong field
    /// and be a password.
    pub(super) fn checked(self) -> Result<Entry, String> {
        Ok(Entry {
            backend: self.backend.map(backend).transpose()?,
            server: self.server.map(|server| host_and_port(&server)).transpose()?,
            login_name: self.login_name.map(login_name).transpose()?,
            password: self.password.map(password).transpose()?,
            addresses: all(self.addresses, "addresses", address)?,
            mailboxes: all(self.mailboxes, "mailboxes", mailbox)?,
        })
    }
}

/// The items of a list that is written as one text, with commas or white space between.
pub(super) fn items(text: &str) -> Vec<String> {
    let parts = text.split(|c: char| c == ',' || c.is_whitespace());
    parts.filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

fn backend(name: String) -> Result<Arc<str>, String> {
    let is_plain = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_');
    if name.is_empty() || name.len() > 255 || !name.bytes().all(is_plain) {
        return Err("its backend is no name of a backend".into());
    }
    Ok(name.into())
}

/// `host`, `host:port`, `[2001:db8::1]:port`, or an IPv6 address alone.
fn host_and_port(text: &str) -> Result<(String, Option<u16>), String> {
    let wrong = || "its server must be a host, or host:port".to_owned();
    let bare_v6 = text.parse::<std::net::Ipv6Addr>().is_ok();
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !bare_v6 && !port.contains(']') => (host, Some(port)),
        Some(_) | None => (text, None),
    };
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_address = |host: &str| host.parse::<std::net::Ipv6Addr>().is_ok();
    let host = match bracketed {
        Some(host) if is_address(host) => host,
        Some(_) => return Err(wrong()),
        None if bare_v6 => text,
        None => host,
    };
    let is_plain = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'_');
    let is_name = !host.is_empty() && host.len() <= 253 && host.bytes().all(is_plain);
    if !is_name && !is_address(host) {
        return Err(wrong());
    }
    let digits = |port: &str| port.bytes().all(|digit| digit.is_ascii_digit());
    let number = |port: &str| port.parse().ok().filter(|number| *number != 0 && digits(port));
    let port = port.map(|port| number(port).ok_or_else(wrong)).transpose()?;
    Ok((host.to_ascii_lowercase(), port))
}

/// As it is: a mail server may care for the case of the domain too.
fn login_name(name: String) -> Result<String, String> {
    match Login::parse(&name) {
        Ok(_) => Ok(name),
        Err(error) => Err(format!("its login_name cannot be one: {error}")),
    }
}

/// What could end a line or a field at some mail server is in no password.
fn password(password: Secret) -> Result<Secret, String> {
    if password.is_empty() || password.len() > PASSWORD {
        return Err(format!("its password must have 1 to {PASSWORD} octets"));
    }
    if password.expose().iter().any(|octet| matches!(octet, 0 | b'\r' | b'\n')) {
        return Err("its password must hold no NUL, CR and LF".into());
    }
    Ok(password)
}

fn all(texts: Vec<String>, field: &str, one: impl Fn(&str) -> Option<String>) -> Result<Vec<String>, String> {
    if texts.len() > MANY {
        return Err(format!("it has more than {MANY} {field}"));
    }
    let wrong = || format!("one of its {field} cannot be one");
    texts.iter().map(|text| one(text).ok_or_else(wrong)).collect()
}

/// `local@domain`, or `@domain` for all of a domain.
fn address(text: &str) -> Option<String> {
    let login = Login::parse(text).ok()?;
    login.domain().is_some_and(|domain| !domain.is_empty()).then(|| login.as_str().to_owned())
}

/// A login name, or `*@domain`. A lone `*` would be everybody's, which nobody means.
fn mailbox(text: &str) -> Option<String> {
    let login = Login::parse(text).ok()?;
    let is_one = match login.as_str().split_once('*') {
        None => true,
        Some((before, rest)) => {
            before.is_empty()
                && rest
                    .strip_prefix('@')
                    .is_some_and(|domain| !domain.is_empty() && !domain.contains(['*', '@']))
        }
    };
    is_one.then(|| login.as_str().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_a_host_with_or_without_port() {
        let is = |text: &str, host: &str, port| {
            assert_eq!(host_and_port(text).unwrap(), (host.to_owned(), port), "{text}");
        };
        is("Mail1.example.org", "mail1.example.org", None);
        is("10.0.0.1:143", "10.0.0.1", Some(143));
        is("[2001:db8::1]:993", "2001:db8::1", Some(993));
        is("[2001:db8::1]", "2001:db8::1", None);
        is("2001:db8::1", "2001:db8::1", None);
        for bad in [
            "", ":143", "a:0", "a:65536", "a:+1", "a b", "a\r\nb", "[a]:1", "a:1:2", "a/b", "u@h", "[::1",
            "::1]:2",
        ] {
            assert!(host_and_port(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_could_end_a_line_is_in_no_value() {
        for evil in ["a\r\nb", "a\0b", "a\nb", ""] {
            let text = || Some(evil.to_owned());
            let list = || vec![format!("{evil}@example.org"), evil.to_owned()];
            for found in [
                Found { backend: text(), ..Found::default() },
                Found { server: text(), ..Found::default() },
                Found { login_name: text(), ..Found::default() },
                Found { password: Some(Secret::copy_of(evil.as_bytes())), ..Found::default() },
                Found { addresses: list(), ..Found::default() },
                Found { mailboxes: list(), ..Found::default() },
            ] {
                assert!(found.checked().is_err(), "{evil:?}");
            }
        }
    }

    #[test]
    fn a_wrong_value_is_not_repeated() {
        let found = Found { login_name: Some("hunter2 with a space".into()), ..Found::default() };
        assert!(!found.checked().unwrap_err().contains("hunter2"));
    }

    #[test]
    fn lists_hold_whole_domains_only_in_their_own_way() {
        let found = Found {
            addresses: items("a@Example.org, @example.net"),
            mailboxes: items("team@example.org *@Example.net shared"),
            ..Found::default()
        };
        let entry = found.checked().unwrap();
        assert_eq!(entry.addresses, ["a@example.org", "@example.net"]);
        assert_eq!(entry.mailboxes, ["team@example.org", "*@example.net", "shared"]);
        for bad in ["*", "*x@example.org", "*@", "a*@example.org", "*@*", "*@a@b"] {
            assert_eq!(mailbox(bad), None, "{bad}");
        }
        for bad in ["a", "a@", "@"] {
            assert_eq!(address(bad), None, "{bad}");
        }
    }
}
