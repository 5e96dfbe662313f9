use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    request::{self, Request},
    state::{Browser, Octets},
};
use crate::{
    issuer::{Call, Client, ErrorCode, Issuer, OAuthError},
    limits::TooMany,
    model::{GrantId, TokenKind, UnixTime},
    store::EphemeralKind,
    token::{CryptoError, OpaqueToken},
};

/// What every `request_uri` of this server begins with (RFC 9126 §2.2).
const PREFIX: &str = "urn:ietf:params:oauth:request_uri:";
/// A person is on the way already, so it is short.
const LIFETIME: Duration = Duration::from_secs(90);
const CONTEXT: &[u8] = b"bearward pushed request v1";

/// A pushed authorization request that was taken (RFC 9126 §2.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// What the client puts into `request_uri`. Good once.
    pub request_uri: String,
    /// For how long.
    pub expires_in: Duration,
}

/// A pushed request as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    request: Request,
    /// The browser that it was used in, by the hash of its cookie.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    browser: Option<Octets>,
    expires_at: UnixTime,
}

impl Issuer {
    /// The pushed-authorization-request endpoint (RFC 9126 §2). The client authenticates as at the token
    /// endpoint.
    ///
    /// # Errors
    /// What the authorization endpoint would say, `invalid_client`, or `temporarily_unavailable` where a public
    /// client's address has pushed too much.
    pub async fn push_authorization_request(&self, call: &Call<'_>) -> Result<Pushed, OAuthError> {
        let client = self.authenticate(call).await?;
        if !request::is_bounded(call.params) {
            return Err(invalid("the request is too long"));
        }
        if call.params.one("request_uri")?.is_some() {
            return Err(invalid("request_uri must not be pushed (RFC 9126, 2.1)"));
        }
        let way = request::way_back(&client, call.params)?;
        let request = self.read_request(&client, &way, call.params, GrantId::generate())?;
        if client.is_public() {
            self.sign_ins.limits.push(call.caller.address, call.now).map_err(|TooMany { retry_after }| {
                let text = format!("too many pushed requests, try again in {retry_after} seconds");
                OAuthError::new(ErrorCode::TemporarilyUnavailable, text)
            })?;
        }
        let token = OpaqueToken::generate(TokenKind::Pushed).map_err(fault)?;
        let kept = Kept { request, browser: None, expires_at: call.now.after(LIFETIME) };
        self.keep_pushed(&token, &kept).await?;
        let text = token.text();
        let request_uri = format!("{PREFIX}{}", text.expose_str().unwrap_or_default());
        Ok(Pushed { request_uri, expires_in: LIFETIME })
    }

    /// The request behind a `request_uri`, for the one browser that brings it first. That browser may load the page
    /// again; anybody else gets nothing (RFC 9126 §4).
    ///
    /// # Errors
    /// `invalid_request_uri`; or what the store says.
    pub(super) async fn pushed_request(
        &self,
        client: &Client,
        request_uri: &str,
        browser: &Browser,
        now: UnixTime,
    ) -> Result<Request, OAuthError> {
        let text = request_uri.strip_prefix(PREFIX).ok_or_else(unknown)?;
        let token = OpaqueToken::parse(text.as_bytes()).map_err(|_| unknown())?;
        if token.kind() != TokenKind::Pushed {
            return Err(unknown());
        }
        let lookup = token.lookup().map_err(fault)?;
        let Some(sealed) = self.store.kept(EphemeralKind::Pushed, &lookup, now).await? else {
            return Err(unknown());
        };
        let key = token.wrap_key(&self.server_key).map_err(fault)?;
        let plain = key.decrypt(&sealed, CONTEXT).map_err(fault)?;
        let kept: Kept =
            serde_json::from_slice(plain.expose()).map_err(|_| fault(CryptoError::NotAuthentic))?;
        // Another client's request is not used up by whoever only saw its name.
        if kept.request.client != client.id {
            return Err(unknown());
        }
        let own = Octets(browser.hash().map_err(fault)?.as_bytes().to_vec());
        match kept.browser {
            Some(used_in) if used_in.0 == own.0 => Ok(kept.request),
            Some(_) => Err(unknown()),
            None => {
                // Of many that bring it at the same time, on whatever nodes, one claims it.
                let used =
                    self.server_key.hash("used pushed request", &[lookup.as_bytes()]).map_err(fault)?;
                if !self.store.claim(EphemeralKind::Pushed, &used, kept.expires_at).await? {
                    return Err(unknown());
                }
                self.store.forget(EphemeralKind::Pushed, &lookup).await?;
                let kept = Kept { browser: Some(own), ..kept };
                self.keep_pushed(&token, &kept).await?;
                Ok(kept.request)
            }
        }
    }

    /// Encrypted under a key of the `request_uri`: who reads the store learns nothing of the request.
    async fn keep_pushed(&self, token: &OpaqueToken, kept: &Kept) -> Result<(), OAuthError> {
        let plain = serde_json::to_vec(kept).map_err(|_| fault(CryptoError::Library))?;
        let key = token.wrap_key(&self.server_key).map_err(fault)?;
        let sealed = key.encrypt(&plain, CONTEXT).map_err(fault)?;
        let lookup = token.lookup().map_err(fault)?;
        Ok(self.store.keep(EphemeralKind::Pushed, &lookup, sealed, kept.expires_at).await?)
    }
}

/// Whether a `request_uri` is meant to be one of a pushed request.
pub(super) fn is_pushed(request_uri: &str) -> bool {
    request_uri.starts_with(PREFIX)
}

fn invalid(description: &'static str) -> OAuthError {
    OAuthError::new(ErrorCode::InvalidRequest, description)
}

fn unknown() -> OAuthError {
    let text = "request_uri is unknown, has expired, or was used; the program must push its request again";
    OAuthError::new(ErrorCode::InvalidRequestUri, text)
}

fn fault(error: CryptoError) -> OAuthError {
    tracing::error!(%error, "a pushed request");
    OAuthError::new(ErrorCode::ServerError, "the server has a fault that its operator must see to")
}
