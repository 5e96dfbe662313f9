//! The token endpoint and its neighbours: what a client that has authenticated can do.

mod answer;

use std::net::IpAddr;

pub use answer::{
    Confirmation, DeviceAuthorization, IntrospectedToken, Introspection, TokenResponse, UserInfo,
};

use super::{Issuer, OAuthError, Params};
use crate::model::{Secret, UnixTime};

/// Who is at the other end of a request, as far as the connection tells.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The address.
    pub address: IpAddr,
    /// The certificate that the connection has proved to hold (RFC 8705).
    pub certificate: Option<ClientCertificate>,
}

/// A certificate whose private key the other end has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The whole certificate, DER.
    pub der: Vec<u8>,
    /// SHA-256 of it (`x5t#S256`, RFC 8705 §3.1).
    pub thumbprint: [u8; 32],
    /// Whether one of the configured authorities vouches for it.
    pub is_vouched_for: bool,
}

/// A client's request to an endpoint that it authenticates to.
#[derive(Debug)]
pub struct Call<'a> {
    /// The body's parameters.
    pub params: &'a Params,
    /// The value of the header `Authorization`.
    pub authorization: Option<&'a Secret>,
    /// Who sent it.
    pub caller: &'a Caller,
    /// The moment.
    pub now: UnixTime,
}

impl Issuer {
    /// Turns a grant into tokens (RFC 6749 §3.2).
    ///
    /// # Errors
    /// What the client is told.
    pub async fn token(&self, _call: &Call<'_>) -> Result<TokenResponse, OAuthError> {
        unimplemented!()
    }

    /// Starts the authorization of a device (RFC 8628 §3.1).
    ///
    /// # Errors
    /// What the client is told.
    pub async fn device_authorization(&self, _call: &Call<'_>) -> Result<DeviceAuthorization, OAuthError> {
        unimplemented!()
    }

    /// Ends a token that the client no longer needs (RFC 7009). One that is unknown has ended already.
    ///
    /// # Errors
    /// What the client is told.
    pub async fn revoke(&self, _call: &Call<'_>) -> Result<(), OAuthError> {
        unimplemented!()
    }

    /// Tells a resource server of a token (RFC 7662).
    ///
    /// # Errors
    /// What the caller is told.
    pub async fn introspect(&self, _call: &Call<'_>) -> Result<Introspection, OAuthError> {
        unimplemented!()
    }

    /// Tells a client who the person is (OpenID Connect Core §5.3).
    ///
    /// # Errors
    /// `invalid_token` or `insufficient_scope`, for the header `WWW-Authenticate` (RFC 6750 §3). Without a token
    /// the challenge must hold no error code (RFC 6750 §3.1).
    pub async fn userinfo(
        &self,
        _bearer: Option<&Secret>,
        _certificate: Option<&ClientCertificate>,
        _now: UnixTime,
    ) -> Result<UserInfo, OAuthError> {
        unimplemented!()
    }
}
