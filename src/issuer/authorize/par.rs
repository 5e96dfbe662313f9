use std::time::Duration;

use crate::issuer::{Call, ErrorCode, Issuer, OAuthError};

/// A pushed authorization request that was taken (RFC 9126 §2.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// What the client puts into `request_uri`. Good once.
    pub request_uri: String,
    /// For how long.
    pub expires_in: Duration,
}

impl Issuer {
    /// The pushed-authorization-request endpoint (RFC 9126 §2). The client authenticates as at the token
    /// endpoint.
    ///
    /// # Errors
    /// What the authorization endpoint would say, or `invalid_client`.
    pub async fn push_authorization_request(&self, _call: &Call<'_>) -> Result<Pushed, OAuthError> {
        Err(OAuthError::new(
            ErrorCode::TemporarilyUnavailable,
            "the server cannot do this now, try again soon",
        ))
    }
}
