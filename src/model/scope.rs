use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A set of OAuth scope values in the order in which they were asked for (RFC 6749 §3.3).
///
/// The order is kept because clients compare the granted string with the requested one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Scope(Vec<Box<str>>);

/// A scope string breaks RFC 6749 §3.3.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "a scope holds printable ASCII without quotes and backslashes, values parted by single spaces, at most {} octets",
    Scope::MAX
)]
pub struct InvalidScope;

impl Scope {
    /// The mail scope of the mail profile: every mail protocol.
    pub const MAIL: &'static str = "urn:ietf:params:oauth:scope:mail";
    /// Longest scope string accepted, in octets.
    pub const MAX: usize = 1024;
    /// Every scope value that this server knows.
    pub const KNOWN: [&'static str; 9] =
        [Self::MAIL, "imap", "smtp", "pop3", "sieve", "openid", "profile", "email", "offline_access"];

    /// The mail scope alone.
    pub fn mail() -> Self {
        Self(vec![Self::MAIL.into()])
    }

    /// Whether the value is in the set.
    pub fn contains(&self, value: &str) -> bool {
        self.0.iter().any(|own| **own == *value)
    }

    /// The values in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|value| &**value)
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromStr for Scope {
    type Err = InvalidScope;

    fn from_str(text: &str) -> Result<Self, InvalidScope> {
        if text.len() > Self::MAX {
            return Err(InvalidScope);
        }
        let mut values: Vec<Box<str>> = Vec::new();
        for value in text.split(' ').filter(|value| !value.is_empty()) {
            if !value.bytes().all(|octet| matches!(octet, 0x21 | 0x23..=0x5B | 0x5D..=0x7E)) {
                return Err(InvalidScope);
            }
            if !values.iter().any(|own| **own == *value) {
                values.push(value.into());
            }
        }
        Ok(Self(values))
    }
}

impl TryFrom<String> for Scope {
    type Error = InvalidScope;

    fn try_from(text: String) -> Result<Self, InvalidScope> {
        text.parse()
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> Self {
        scope.to_string()
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, value) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            f.write_str(value)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_order_and_drops_repeats() {
        let scope: Scope = "openid imap openid".parse().unwrap();
        assert_eq!(scope.to_string(), "openid imap");
    }

    #[test]
    fn refuses_quotes_controls_and_length() {
        for bad in ["a\"b", "a\\b", "a\tb", "ä", &"x".repeat(Scope::MAX + 1)] {
            assert_eq!(bad.parse::<Scope>(), Err(InvalidScope), "{bad}");
        }
    }
}
