use std::{sync::Arc, time::Duration};

use thiserror::Error;

use super::Client;
use crate::{
    issuer::{Caller, ErrorCode, Issuer, IssuerError, OAuthError},
    model::{Secret, UnixTime},
    store::StoreError,
};

/// A client with what it is told of itself (RFC 7591 §3.2.1, RFC 7592 §3).
#[derive(Clone, Debug)]
pub struct Registered {
    /// The client.
    pub client: Arc<Client>,
    /// Its secret, where it got one now or showed it.
    pub secret: Option<Secret>,
    /// Its registration access token, where it has a row of its own.
    pub management: Option<Secret>,
    /// Where it reads, changes and removes its registration.
    pub management_uri: Option<String>,
    /// Since when; `None` for a client without a row.
    pub issued_at: Option<UnixTime>,
}

impl Registered {
    /// The client information response: the octets of a JSON document, which may hold secrets.
    pub fn document(&self) -> Secret {
        Secret::default()
    }
}

/// Why a registration was not made, shown, changed or removed. Split by the answer that HTTP gives.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RegistrationError {
    /// What was asked for is wrong: 400.
    #[error("{}", .0.description)]
    Refused(OAuthError),
    /// The bearer token is missing (then without a code for the challenge) or wrong: 401.
    #[error("{}", .0.description)]
    Unauthorized(OAuthError),
    /// Nobody may register: 403.
    #[error("only the operator registers clients here")]
    Closed,
    /// Too many registrations: 429.
    #[error("too many registrations, try again in {} s", retry_after.as_secs())]
    TooMany {
        /// How long to wait.
        retry_after: Duration,
    },
    /// It cannot be done now, through no fault of the client: 503, or 500 when its operator must act.
    #[error("{}", .0.description)]
    Fault(OAuthError),
}

impl RegistrationError {
    /// What the client is told.
    pub fn oauth(&self) -> OAuthError {
        match self {
            Self::Refused(error) | Self::Unauthorized(error) | Self::Fault(error) => error.clone(),
            Self::Closed => OAuthError::new(ErrorCode::AccessDenied, self.to_string()),
            Self::TooMany { .. } => OAuthError::new(ErrorCode::TemporarilyUnavailable, self.to_string()),
        }
    }
}

impl From<StoreError> for RegistrationError {
    fn from(error: StoreError) -> Self {
        Self::Fault(error.into())
    }
}

/// An initial access token (RFC 7591 §1.2) that was issued.
#[derive(Clone, Debug)]
pub struct InitialAccess {
    /// The token.
    pub token: Secret,
    /// Until when.
    pub expires_at: UnixTime,
    /// For how many registrations.
    pub uses: u32,
}

impl Issuer {
    /// Registers a client (RFC 7591 §3). `bearer` is the token of the header `Authorization: Bearer`, if there is
    /// that header.
    ///
    /// # Errors
    /// [`RegistrationError`].
    pub async fn register(
        &self,
        _body: &[u8],
        _bearer: Option<&Secret>,
        _caller: &Caller,
        _now: UnixTime,
    ) -> Result<Registered, RegistrationError> {
        Err(RegistrationError::Closed)
    }

    /// Issues a token that lets its holder register clients.
    ///
    /// # Errors
    /// [`IssuerError::Lifetime`], or what store and library say.
    pub async fn issue_initial_access_token(
        &self,
        _lifetime: Duration,
        _uses: u32,
        _now: UnixTime,
    ) -> Result<InitialAccess, IssuerError> {
        Err(IssuerError::Lifetime)
    }

    /// Removes clients that registered themselves and that nobody has ever allowed anything; returns how many.
    /// Call it now and then, with the other housekeeping.
    ///
    /// # Errors
    /// What the store says.
    pub async fn remove_unused_clients(&self, _now: UnixTime) -> Result<u64, StoreError> {
        Ok(0)
    }
}
