use std::fmt;

/// How a sign-in ended. A closed set: it labels metrics and the sign-in event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The mail server refused the login that Bearward made.
    BackendRefused,
    /// The mail server could not be reached, or answered as temporarily unavailable.
    BackendUnreachable,
    /// The token is past its expiry.
    Expired,
    /// The token lacks the scope of this protocol.
    InsufficientScope,
    /// The token is unknown, malformed or revoked.
    InvalidToken,
    /// The issuer or the store could not be asked.
    IssuerUnreachable,
    /// Signed in.
    Ok,
    /// A rule forbids it: wrong authorization identity, mechanism not allowed, no route.
    Policy,
    /// The client broke the protocol.
    ProtocolError,
    /// Too many attempts, or an unknown key in the token whose issuer's keys cannot be read again yet.
    RateLimited,
}

impl Outcome {
    /// Its name in logs, metrics and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BackendRefused => "backend_refused",
            Self::BackendUnreachable => "backend_unreachable",
            Self::Expired => "expired",
            Self::InsufficientScope => "insufficient_scope",
            Self::InvalidToken => "invalid_token",
            Self::IssuerUnreachable => "issuer_unreachable",
            Self::Ok => "ok",
            Self::Policy => "policy",
            Self::ProtocolError => "protocol_error",
            Self::RateLimited => "rate_limited",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
