use serde::Serialize;
use zeroize::Zeroize;

use super::super::{ErrorCode, OAuthError};
use crate::model::{Scope, Secret};

/// The answer of the token endpoint (RFC 6749 §5.1), as JSON.
///
/// It is written once and kept as it was written: a refresh token that is used again within the grace gets the
/// same octets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenResponse(Secret);

impl TokenResponse {
    /// The JSON document.
    pub const fn json(&self) -> &Secret {
        &self.0
    }

    pub(super) const fn from_json(json: Secret) -> Self {
        Self(json)
    }

    pub(super) fn write(tokens: &Tokens<'_>) -> Result<Self, OAuthError> {
        json(tokens).map(Self)
    }
}

/// What the answer of the token endpoint holds.
#[derive(Serialize)]
pub(super) struct Tokens<'a> {
    pub(super) access_token: &'a str,
    pub(super) token_type: &'static str,
    pub(super) expires_in: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) refresh_token: Option<&'a str>,
    /// Always there, spelled as it was asked for: clients compare the strings.
    pub(super) scope: &'a Scope,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id_token: Option<&'a str>,
}

/// The answer of the device authorization endpoint (RFC 8628 §3.2).
#[derive(Clone, Debug)]
pub struct DeviceAuthorization {
    /// What the device asks with.
    pub device_code: Secret,
    /// What the person types.
    pub user_code: String,
    /// Where.
    pub verification_uri: String,
    /// The same with the code in it, for a QR code.
    pub verification_uri_complete: String,
    /// Seconds until both codes end.
    pub expires_in: u64,
    /// Seconds between two questions.
    pub interval: u32,
}

impl DeviceAuthorization {
    /// The JSON document.
    ///
    /// # Errors
    /// `server_error`, which does not happen for what this server made.
    pub fn to_json(&self) -> Result<Secret, OAuthError> {
        #[derive(Serialize)]
        struct Document<'a> {
            device_code: &'a str,
            user_code: &'a str,
            verification_uri: &'a str,
            verification_uri_complete: &'a str,
            expires_in: u64,
            interval: u32,
        }
        json(&Document {
            device_code: text(&self.device_code)?,
            user_code: &self.user_code,
            verification_uri: &self.verification_uri,
            verification_uri_complete: &self.verification_uri_complete,
            expires_in: self.expires_in,
            interval: self.interval,
        })
    }
}

/// What introspection tells (RFC 7662 §2.2). A token that is not to be told of has `active` alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Introspection {
    /// Whether it is live.
    pub active: bool,
    /// Everything else.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub token: Option<IntrospectedToken>,
}

/// A live token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IntrospectedToken {
    /// What it may be used for.
    pub scope: Scope,
    /// Whom it was given to.
    pub client_id: String,
    /// The user; left out for a client's own token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// `Bearer`; left out for a refresh token, which is no token that a resource takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_type: Option<&'static str>,
    /// When it ends.
    pub exp: i64,
    /// When it was made.
    pub iat: i64,
    /// Whom it speaks for.
    pub sub: String,
    /// The resource that it is for.
    pub aud: String,
    /// This issuer.
    pub iss: String,
    /// Its name.
    pub jti: String,
    /// What it is bound to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cnf: Option<Confirmation>,
}

/// What a token is bound to (RFC 7800 §3.1, RFC 8705 §3.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Confirmation {
    /// SHA-256 of the client's certificate, base64url.
    #[serde(rename = "x5t#S256")]
    pub certificate: String,
}

/// Who the person is (OpenID Connect Core §5.3.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UserInfo {
    /// The login name: it is what names a mailbox, and is not given to another person while the mailbox exists.
    pub sub: String,
    /// The mail address (scope `email`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Whether the address is the person's: it is, for the mail server let them in (scope `email`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email_verified: Option<bool>,
    /// The login name (scope `profile`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preferred_username: Option<String>,
}

/// The text of a secret that this server made.
pub(super) fn text(secret: &Secret) -> Result<&str, OAuthError> {
    secret.expose_str().ok_or_else(fault)
}

/// Something that cannot happen to what this server made itself.
pub(super) fn fault() -> OAuthError {
    OAuthError::new(ErrorCode::ServerError, "the server has a fault that its operator must see to")
}

fn json(document: &impl Serialize) -> Result<Secret, OAuthError> {
    // Room for everything, so that no smaller buffer with tokens in it is left behind unwiped.
    let mut octets = Vec::with_capacity(16 * 1024);
    let written = serde_json::to_writer(&mut octets, document);
    let secret = Secret::copy_of(&octets);
    octets.zeroize();
    written.map(|()| secret).map_err(|_| fault())
}
