use thiserror::Error;

use crate::{model::Outcome, store::StoreError};

/// Why a token is not taken.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Rejection {
    /// It is no token of this server, or was cut or mistyped.
    #[error("the token is malformed")]
    Malformed,
    /// This server does not know it.
    #[error("the token is unknown")]
    Unknown,
    /// It, or its grant, is past its end.
    #[error("the token has expired")]
    Expired,
    /// It, or its grant, was ended early.
    #[error("the token was revoked")]
    Revoked,
    /// It is for another service.
    #[error("the token is for another service")]
    WrongAudience,
    /// It is bound to a certificate that the connection has not shown, or to a key that it cannot show
    /// (RFC 8705 §3, RFC 9449 §7.2).
    #[error("the token is bound to a key that the connection has not shown")]
    BoundElsewhere,
    /// It is not for this protocol.
    #[error("the token lacks the scope of this protocol")]
    InsufficientScope,
    /// It may not act as the authorization identity asked for.
    #[error("the token does not speak for the user asked for")]
    NotAuthorized,
    /// It is no app password, and no other password is taken.
    #[error("it is no app password, and no other password is taken here")]
    NotAppPassword,
    /// It is the app password of another user.
    #[error("the app password is another user's")]
    WrongUser,
    /// It may not be used from this address.
    #[error("the app password may not be used from this address")]
    WrongNetwork,
    /// It cannot be told now; the token is not to blame.
    #[error("the token cannot be validated now: {0}")]
    Unavailable(#[from] StoreError),
    /// Its issuer, or a look-up, cannot be asked now; the token is not to blame.
    #[error("the token cannot be validated now: {0}")]
    Unreachable(String),
    /// No key of the name that it gives is known, and its issuer's keys cannot be read again yet. It may be good, and
    /// anybody can write such a token.
    #[error("the token cannot be validated yet: its issuer's keys must be read again first")]
    Undecided,
}

impl Rejection {
    /// How the sign-in ends.
    pub const fn outcome(&self) -> Outcome {
        match self {
            Self::Malformed
            | Self::Unknown
            | Self::Revoked
            | Self::WrongAudience
            | Self::BoundElsewhere
            | Self::WrongUser => Outcome::InvalidToken,
            Self::Expired => Outcome::Expired,
            Self::InsufficientScope => Outcome::InsufficientScope,
            Self::NotAuthorized | Self::NotAppPassword | Self::WrongNetwork => Outcome::Policy,
            Self::Unavailable(_) | Self::Unreachable(_) => Outcome::IssuerUnreachable,
            // No operator is needed: strangers may bring it about as often as they like.
            Self::Undecided => Outcome::RateLimited,
        }
    }
}
