use std::fmt;

use super::Scope;

/// A mail protocol that a client speaks to Bearward and Bearward speaks to a mail server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// IMAP (RFC 9051, RFC 3501).
    Imap,
    /// POP3 (RFC 1939).
    Pop3,
    /// ManageSieve (RFC 5804).
    Sieve,
    /// Message submission (RFC 6409).
    Smtp,
}

impl Protocol {
    /// Every mail protocol.
    pub const ALL: [Self; 4] = [Self::Imap, Self::Pop3, Self::Sieve, Self::Smtp];

    /// The name used in the configuration, in logs and as the narrow scope.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Imap => "imap",
            Self::Pop3 => "pop3",
            Self::Sieve => "sieve",
            Self::Smtp => "smtp",
        }
    }

    /// The protocol of that name, case-sensitively.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| protocol.as_str() == name)
    }

    /// Whether a token of `scope` may be used on this protocol: the mail scope of the mail profile, or the
    /// narrow scope of this protocol.
    pub fn is_covered_by(self, scope: &Scope) -> bool {
        scope.contains(Scope::MAIL) || scope.contains(self.as_str())
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A SASL mechanism that Bearward speaks as a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// LOGIN (never standardised; draft-murchison-sasl-login).
    Login,
    /// OAUTHBEARER (RFC 7628).
    OAuthBearer,
    /// PLAIN (RFC 4616).
    Plain,
    /// XOAUTH2 (Google's and Microsoft's published description).
    XOAuth2,
}

impl Mechanism {
    /// Every mechanism, in the order in which they are offered.
    pub const ALL: [Self; 4] = [Self::OAuthBearer, Self::XOAuth2, Self::Plain, Self::Login];

    /// The registered name, upper case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Login => "LOGIN",
            Self::OAuthBearer => "OAUTHBEARER",
            Self::Plain => "PLAIN",
            Self::XOAuth2 => "XOAUTH2",
        }
    }

    /// The mechanism of that name in any case (RFC 4422 §3.1 compares as the protocol sends; clients vary).
    pub fn from_name(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|mechanism| mechanism.as_str().as_bytes().eq_ignore_ascii_case(name))
    }

    /// Whether it carries a bearer token, not a password.
    pub const fn is_bearer(self) -> bool {
        matches!(self, Self::OAuthBearer | Self::XOAuth2)
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
