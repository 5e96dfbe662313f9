use super::{Registered, RegistrationError};
use crate::{
    issuer::Issuer,
    model::{Secret, UnixTime},
};

impl Issuer {
    /// What a client registered (RFC 7592 §2.1). `id` is the last segment of the path, decoded.
    ///
    /// # Errors
    /// [`RegistrationError::Unauthorized`] for a wrong token and for an unknown client alike.
    pub async fn read_registration(
        &self,
        _id: &str,
        _bearer: Option<&Secret>,
    ) -> Result<Registered, RegistrationError> {
        Err(RegistrationError::Closed)
    }

    /// Replaces what a client registered (RFC 7592 §2.2).
    ///
    /// # Errors
    /// [`RegistrationError::Unauthorized`], or [`RegistrationError::Refused`] with nothing changed.
    pub async fn update_registration(
        &self,
        _id: &str,
        _bearer: Option<&Secret>,
        _body: &[u8],
    ) -> Result<Registered, RegistrationError> {
        Err(RegistrationError::Closed)
    }

    /// Removes a client and ends its grants (RFC 7592 §2.3).
    ///
    /// # Errors
    /// [`RegistrationError::Unauthorized`] for a wrong token and for an unknown client alike.
    pub async fn delete_registration(
        &self,
        _id: &str,
        _bearer: Option<&Secret>,
        _now: UnixTime,
    ) -> Result<(), RegistrationError> {
        Err(RegistrationError::Closed)
    }
}
