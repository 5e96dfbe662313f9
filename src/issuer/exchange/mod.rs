//! The token endpoint and its neighbours: what a client that has authenticated can do.
//!
//! What holds:
//! - All that can be wrong with a request is found before the one call that uses something up; that call is one
//!   transaction of the store. So a refused request, or a store that is down, uses up nothing.
//! - The grant's private key is in memory only between the token that brought it and the tokens that take it on.
//! - No token outlives its grant, and none is for more than its grant.
//! - What is shown as a code or token and is none gets one answer, whatever the reason.
//!
//! It must not ask for passwords, and must not know who let the person in.

mod answer;
mod ask;
mod code;
mod device;
mod issue;
mod pending;
mod pkce;
mod presented;
mod refresh;
mod service;
mod signed;

use std::net::IpAddr;

pub use answer::{
    Confirmation, DeviceAuthorization, IntrospectedToken, Introspection, TokenResponse, UserInfo,
};

pub(super) use issue::Recipient;
pub(super) use pending::PendingDevices;

use super::{ErrorCode, GrantType, Issuer, OAuthError, Params};
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
    /// Turns a grant into tokens (RFC 6749 §3.2). No password grant, and nothing implicit (RFC 9700 §2.4, §2.1.2).
    ///
    /// # Errors
    /// What the client is told. After one, nothing is used up that the client could use again.
    pub async fn token(&self, call: &Call<'_>) -> Result<TokenResponse, OAuthError> {
        let Some(grant_type) = GrantType::from_name(call.params.required("grant_type")?) else {
            return Err(OAuthError::new(
                ErrorCode::UnsupportedGrantType,
                "the metadata names the grant types that this server knows (grant_types_supported)",
            ));
        };
        let client = self.authenticate(call).await?;
        if !client.may_use(grant_type) {
            return Err(OAuthError::new(
                ErrorCode::UnauthorizedClient,
                "this client is not registered for that grant type",
            ));
        }
        match grant_type {
            GrantType::AuthorizationCode => self.redeem_code(call, &client).await,
            GrantType::RefreshToken => self.refresh(call, &client).await,
            GrantType::ClientCredentials => self.serve(call, &client).await,
            GrantType::DeviceCode => self.redeem_device(call, &client).await,
        }
    }

    /// Every resource that a request names must be the one that its grant is for (RFC 8707 §2.2).
    fn check_resources(&self, params: &Params, audience: &str) -> Result<(), OAuthError> {
        if params.all("resource").all(|resource| self.audience_of(resource).as_deref() == Some(audience)) {
            return Ok(());
        }
        Err(OAuthError::new(ErrorCode::InvalidTarget, "resource is not what was granted"))
    }
}
