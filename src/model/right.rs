use std::{fmt, sync::Arc};

use super::{GrantId, TokenHash};

/// What a session's right to live hangs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Right {
    /// A token of the built-in issuer; its end, and its grant's, ends the session.
    Grant {
        /// The grant.
        grant: GrantId,
        /// The token's row.
        token: TokenHash,
    },
    /// The mailbox password itself.
    Password {
        /// Under which it is told that the user was removed, or that their password was changed.
        key: TokenHash,
    },
    /// A token of another issuer, of which only that issuer knows whether it was revoked.
    Outside(Outside),
}

/// A token of another issuer, as far as its end can be told by: the token itself, its person, or their sign-in there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outside {
    /// The issuer's URL.
    pub issuer: Arc<str>,
    /// `sub`: the person there. An issuer that names none has no sessions that end by person.
    pub subject: Option<Arc<str>>,
    /// `sid`: their sign-in there (OpenID Connect Back-Channel Logout §2.1).
    pub session: Option<Arc<str>>,
    /// SHA-256 of the token.
    pub token: TokenHash,
    /// The hashes under which its end is told: of the token, of the person, of their sign-in.
    pub keys: Vec<TokenHash>,
}

impl Right {
    /// The grant, where it is one of the built-in issuer's.
    pub const fn grant(&self) -> Option<GrantId> {
        match self {
            Self::Grant { grant, .. } => Some(*grant),
            Self::Outside(_) | Self::Password { .. } => None,
        }
    }
}

/// The grant, or the issuer that the token came from; for logs and lists.
impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Grant { grant, .. } => grant.fmt(f),
            Self::Outside(outside) => write!(f, "a token of {}", outside.issuer),
            Self::Password { .. } => f.write_str("the mailbox password"),
        }
    }
}
