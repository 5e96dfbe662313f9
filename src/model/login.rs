use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::ClientId;

/// A user's login name: 1 to 255 octets of UTF-8 without controls or white space, its domain in lower case.
///
/// It is compared octet by octet; the local part keeps its case because mail servers may care.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Login(Arc<str>);

/// A text is no login name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a login name has 1 to {} octets and neither white space nor control characters", Login::MAX)]
pub struct InvalidLogin;

impl Login {
    /// Longest login name in octets (RFC 4616 §2 asks servers to take 255).
    pub const MAX: usize = 255;
    const CLIENTS: &'static str = "client.invalid";

    /// Checks and normalises: ASCII letters of the domain become lower case.
    ///
    /// # Errors
    /// [`InvalidLogin`] for an empty or too long text, or one with white space or control characters.
    pub fn parse(text: &str) -> Result<Self, InvalidLogin> {
        if text.is_empty()
            || text.len() > Self::MAX
            || text.chars().any(|c| c.is_control() || c.is_whitespace())
        {
            return Err(InvalidLogin);
        }
        let Some((local, domain)) = text.rsplit_once('@') else { return Ok(Self(text.into())) };
        Ok(Self(format!("{local}@{}", domain.to_ascii_lowercase()).into()))
    }

    /// The name under which a service client's own grants stand. No person has it: nobody can have a mailbox in
    /// a domain below `invalid` (RFC 6761 §6.4), and [`Login::is_client`] lets a sign-in be refused.
    ///
    /// # Errors
    /// [`InvalidLogin`] when the identifier is too long.
    pub fn of_client(client: &ClientId) -> Result<Self, InvalidLogin> {
        Self::parse(&format!("{client}@{}", Self::CLIENTS))
    }

    /// Whether it is the name of a service client.
    pub fn is_client(&self) -> bool {
        self.domain() == Some(Self::CLIENTS)
    }

    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands before the last `@`, or all of it.
    pub fn local(&self) -> &str {
        self.0.rsplit_once('@').map_or(&*self.0, |(local, _)| local)
    }

    /// What stands behind the last `@`.
    pub fn domain(&self) -> Option<&str> {
        self.0.rsplit_once('@').map(|(_, domain)| domain)
    }
}

impl TryFrom<String> for Login {
    type Error = InvalidLogin;

    fn try_from(text: String) -> Result<Self, InvalidLogin> {
        Self::parse(&text)
    }
}

impl From<Login> for String {
    fn from(login: Login) -> Self {
        login.as_str().to_owned()
    }
}

impl fmt::Display for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lowers_the_domain_only() {
        assert_eq!(Login::parse("Alice@Example.ORG").unwrap().as_str(), "Alice@example.org");
    }

    #[test]
    fn the_name_of_a_client_is_known_however_it_is_written() {
        let client = Login::of_client(&ClientId::open()).unwrap();
        assert!(client.is_client());
        assert_eq!(Login::parse("open@Client.INVALID").unwrap(), client);
        assert!(!Login::parse("open").unwrap().is_client());
        assert!(!Login::parse("client.invalid").unwrap().is_client());
        assert!(Login::of_client(&"x".repeat(241).parse().unwrap()).is_err());
    }

    #[test]
    fn refuses_what_could_be_spoken_as_another_line_or_field() {
        for bad in ["", "a b", "a\r\n", "a\0b", "a\u{a0}b", "a\u{7f}", &"x".repeat(256)] {
            assert_eq!(Login::parse(bad), Err(InvalidLogin), "{bad:?}");
        }
    }
}
