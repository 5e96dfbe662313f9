use std::sync::Arc;

use super::Client;
use crate::issuer::{Call, ErrorCode, Issuer, OAuthError};

impl Issuer {
    /// Who calls, by the method that it registered and by no other; a public client names itself by `client_id`.
    ///
    /// # Errors
    /// `invalid_client`, the same for an unknown client and for a wrong secret; `invalid_request` for more than one
    /// method at once.
    pub async fn authenticate(&self, _call: &Call<'_>) -> Result<Arc<Client>, OAuthError> {
        Err(OAuthError::new(ErrorCode::InvalidClient, "not there yet"))
    }

    /// As [`Issuer::authenticate`], for what public clients may not ask: introspection, client credentials.
    ///
    /// # Errors
    /// As there; `invalid_client` for a public client too.
    pub async fn authenticate_confidential(&self, _call: &Call<'_>) -> Result<Arc<Client>, OAuthError> {
        Err(OAuthError::new(ErrorCode::InvalidClient, "not there yet"))
    }
}
