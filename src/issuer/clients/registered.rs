use std::{sync::Arc, time::Duration};

use serde::Serialize;
use thiserror::Error;
use zeroize::Zeroizing;

use super::{Client, ClientMetadata};
use crate::{
    issuer::{ErrorCode, OAuthError},
    model::{Secret, UnixTime},
    store::StoreError,
    token::CryptoError,
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

#[derive(Serialize)]
struct Document<'a> {
    client_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id_issued_at: Option<UnixTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<&'a str>,
    /// It never does; the member must stand beside a secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret_expires_at: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    registration_access_token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    registration_client_uri: Option<&'a str>,
    #[serde(flatten)]
    metadata: &'a ClientMetadata,
}

impl Registered {
    /// More than a document can have, so that the buffer never moves and leaves a secret behind.
    const CAPACITY: usize = 64 * 1024;

    /// The client information response: the octets of a JSON document, which may hold secrets.
    pub fn document(&self) -> Secret {
        let document = Document {
            client_id: self.client.id.as_str(),
            client_id_issued_at: self.issued_at,
            client_secret: self.secret.as_ref().and_then(Secret::expose_str),
            client_secret_expires_at: self.secret.is_some().then_some(0),
            registration_access_token: self.management.as_ref().and_then(Secret::expose_str),
            registration_client_uri: self.management_uri.as_deref(),
            metadata: &self.client.metadata,
        };
        let mut octets = Zeroizing::new(Vec::with_capacity(Self::CAPACITY));
        // A struct of texts, numbers and lists can always be written to memory.
        let written = serde_json::to_writer(&mut *octets, &document);
        debug_assert!(written.is_ok());
        Secret::copy_of(&octets)
    }
}

/// Why a registration was not made, shown, changed or removed. Split by the answer that HTTP gives.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RegistrationError {
    /// What was asked for is wrong: 400.
    #[error("{}", .0.description)]
    Refused(OAuthError),
    /// The bearer token is missing or wrong: 401. A challenge names the error only if there was a token
    /// (RFC 6750 §3.1).
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

impl From<OAuthError> for RegistrationError {
    fn from(error: OAuthError) -> Self {
        Self::Refused(error)
    }
}

impl From<StoreError> for RegistrationError {
    fn from(error: StoreError) -> Self {
        Self::Fault(error.into())
    }
}

impl From<CryptoError> for RegistrationError {
    fn from(error: CryptoError) -> Self {
        Self::Fault(error.into())
    }
}
