use std::borrow::Cow;

use thiserror::Error;

use super::IssuerError;
use crate::{store::StoreError, token::CryptoError};

/// What an OAuth client is told when it does not get what it asked for.
///
/// The description is for the developer of the client. It holds only `%x20-21 / %x23-5B / %x5D-7E`
/// (RFC 6749 §5.2), and nothing that was secret in the request.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}: {description}", code.as_str())]
pub struct OAuthError {
    /// The code.
    pub code: ErrorCode,
    /// What is wrong and what to do.
    pub description: Cow<'static, str>,
}

/// The error codes of the RFCs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// RFC 6749 §4.1.2.1.
    AccessDenied,
    /// RFC 8628 §3.5.
    AuthorizationPending,
    /// OpenID Connect Core §3.1.2.6.
    ConsentRequired,
    /// RFC 8628 §3.5.
    ExpiredToken,
    /// RFC 6750 §3.1.
    InsufficientScope,
    /// OpenID Connect Core §3.1.2.6.
    InteractionRequired,
    /// RFC 6749 §5.2.
    InvalidClient,
    /// RFC 7591 §3.2.2.
    InvalidClientMetadata,
    /// RFC 6749 §5.2.
    InvalidGrant,
    /// RFC 7591 §3.2.2.
    InvalidRedirectUri,
    /// RFC 6749 §4.1.2.1 and §5.2.
    InvalidRequest,
    /// OpenID Connect Core §3.1.2.6, RFC 9126 §2.
    InvalidRequestUri,
    /// RFC 6749 §4.1.2.1 and §5.2.
    InvalidScope,
    /// RFC 7591 §3.2.2.
    InvalidSoftwareStatement,
    /// RFC 8707 §2.
    InvalidTarget,
    /// RFC 6750 §3.1.
    InvalidToken,
    /// OpenID Connect Core §3.1.2.6.
    LoginRequired,
    /// OpenID Connect Core §3.1.2.6.
    RegistrationNotSupported,
    /// OpenID Connect Core §3.1.2.6.
    RequestNotSupported,
    /// OpenID Connect Core §3.1.2.6.
    RequestUriNotSupported,
    /// RFC 6749 §4.1.2.1.
    ServerError,
    /// RFC 8628 §3.5.
    SlowDown,
    /// RFC 6749 §4.1.2.1.
    TemporarilyUnavailable,
    /// RFC 6749 §4.1.2.1 and §5.2.
    UnauthorizedClient,
    /// RFC 6749 §5.2.
    UnsupportedGrantType,
    /// RFC 6749 §4.1.2.1.
    UnsupportedResponseType,
    /// RFC 7009 §2.2.1.
    UnsupportedTokenType,
}

impl ErrorCode {
    /// Its registered name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AccessDenied => "access_denied",
            Self::AuthorizationPending => "authorization_pending",
            Self::ConsentRequired => "consent_required",
            Self::ExpiredToken => "expired_token",
            Self::InsufficientScope => "insufficient_scope",
            Self::InteractionRequired => "interaction_required",
            Self::InvalidClient => "invalid_client",
            Self::InvalidClientMetadata => "invalid_client_metadata",
            Self::InvalidGrant => "invalid_grant",
            Self::InvalidRedirectUri => "invalid_redirect_uri",
            Self::InvalidRequest => "invalid_request",
            Self::InvalidRequestUri => "invalid_request_uri",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidSoftwareStatement => "invalid_software_statement",
            Self::InvalidTarget => "invalid_target",
            Self::InvalidToken => "invalid_token",
            Self::LoginRequired => "login_required",
            Self::RegistrationNotSupported => "registration_not_supported",
            Self::RequestNotSupported => "request_not_supported",
            Self::RequestUriNotSupported => "request_uri_not_supported",
            Self::ServerError => "server_error",
            Self::SlowDown => "slow_down",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::UnsupportedResponseType => "unsupported_response_type",
            Self::UnsupportedTokenType => "unsupported_token_type",
        }
    }
}

impl OAuthError {
    /// An error. Characters that RFC 6749 §5.2 does not allow in the description become `?`.
    pub fn new(code: ErrorCode, description: impl Into<Cow<'static, str>>) -> Self {
        let description = description.into();
        let is_allowed = |c: char| matches!(c, ' '..='!' | '#'..='[' | ']'..='~');
        if description.chars().all(is_allowed) {
            return Self { code, description };
        }
        let clean: String = description.chars().map(|c| if is_allowed(c) { c } else { '?' }).collect();
        Self { code, description: clean.into() }
    }
}

/// A store that cannot be asked is no fault of the client, and a passing one.
impl From<StoreError> for OAuthError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) => {
                tracing::warn!(%error, "the issuer cannot use its store");
                Self::new(ErrorCode::TemporarilyUnavailable, "the server cannot do this now, try again soon")
            }
            StoreError::GrantEnded => Self::new(ErrorCode::InvalidGrant, "the grant has ended"),
            StoreError::Conflict(_) | StoreError::Corrupt(_) | StoreError::Newer(_) => {
                tracing::error!(%error, "the issuer's store");
                Self::new(ErrorCode::ServerError, "the server has a fault that its operator must see to")
            }
        }
    }
}

/// What goes wrong inside when a client asks.
impl From<IssuerError> for OAuthError {
    fn from(error: IssuerError) -> Self {
        match error {
            IssuerError::Store(error) => error.into(),
            IssuerError::Crypto(error) => error.into(),
            IssuerError::BadPassword
            | IssuerError::Lifetime
            | IssuerError::NoScope
            | IssuerError::PasswordRequired(_)
            | IssuerError::SealedJwt(_)
            | IssuerError::UnknownClient(_)
            | IssuerError::UnknownScope(_)
            | IssuerError::AppPassword(_)
            | IssuerError::Uses
            | IssuerError::WrongServerKey => {
                tracing::error!(%error, "the issuer");
                Self::new(ErrorCode::ServerError, "the server has a fault that its operator must see to")
            }
        }
    }
}

/// A cryptographic library that fails is no fault of the client.
impl From<CryptoError> for OAuthError {
    fn from(error: CryptoError) -> Self {
        tracing::error!(%error, "the issuer's cryptography");
        Self::new(ErrorCode::ServerError, "the server has a fault that its operator must see to")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_holds_only_what_rfc_6749_allows() {
        let error = OAuthError::new(ErrorCode::InvalidRequest, "a \"b\" \\ c\r\nd \u{e4} e\u{7f}");
        assert_eq!(error.description, "a ?b? ? c??d ? e?");
        let plain = OAuthError::new(ErrorCode::InvalidScope, "plain text, with (all) [signs]!");
        assert_eq!(plain.description, "plain text, with (all) [signs]!");
    }
}
