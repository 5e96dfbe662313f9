//! Signing out: a client ends its grant (OpenID Connect RP-Initiated Logout), and a client is told that a grant of it
//! has ended (OpenID Connect Back-Channel Logout).
//!
//! There is no session of the browser here, so what is signed out is the grant that an ID token names in `sid`: its
//! tokens and mail sessions end. Only who holds the ID token can ask for that, so no confirmation is asked for, and
//! another site cannot sign a person out.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{
    Client, Issuer, IssuerError, OAuthError, Params,
    authorize::{Answer, DonePage, Page, PageError, Redirect, RedirectMode},
};
use crate::{
    model::{ClientId, GrantId, UnixTime},
    store::{EphemeralKind, RevocationReason, StoreError},
    token::{Algorithm, base64url, verify_jws},
};

/// How long a client that was told is remembered, so that another node does not tell it again.
const TOLD_FOR: std::time::Duration = std::time::Duration::from_secs(24 * 60 * 60);
/// Lifetime of a logout token (OpenID Connect Back-Channel Logout §2.4 advises two minutes at most).
const LOGOUT_TOKEN_LIFETIME: i64 = 120;

/// What a client is to be told: a logout token, to be posted as `logout_token`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogoutNotice {
    /// Where to.
    pub uri: String,
    /// The token, which is no secret to whom it is addressed.
    pub token: String,
    /// To whom.
    pub client: ClientId,
}

/// OpenID Connect Back-Channel Logout §2.4.
#[derive(Serialize)]
struct LogoutClaims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    iat: i64,
    exp: i64,
    jti: String,
    sid: String,
    events: Value,
}

impl Issuer {
    /// The end-session endpoint (RP-Initiated Logout §2).
    pub async fn log_out(&self, params: &Params, now: UnixTime) -> Answer {
        match self.end_session(params, now).await {
            Ok(answer) => answer,
            Err(Refused::Request(error)) => {
                Answer::Page(Page::Error(PageError::BadRequest(error.description.into_owned())))
            }
            Err(Refused::Store(error)) => {
                tracing::warn!(%error, "a sign-out cannot use the store");
                Answer::Page(Page::Error(PageError::Unavailable))
            }
        }
    }

    async fn end_session(&self, params: &Params, now: UnixTime) -> Result<Answer, Refused> {
        let hint = params.one("id_token_hint")?.map(|hint| self.hint(hint, now)).transpose()?;
        let named = params.one("client_id")?;
        if let (Some(hint), Some(named)) = (&hint, named)
            && hint.client.as_str() != named
        {
            return Err(invalid("client_id is not the client that the ID token was given to"));
        }
        let id = match (&hint, named) {
            (Some(hint), _) => Some(hint.client.clone()),
            (None, Some(named)) => Some(named.parse().map_err(|_| invalid("client_id is malformed"))?),
            (None, None) => None,
        };
        let client = match &id {
            Some(id) => self.client(id).await?,
            None => None,
        };
        let redirect = match params.one("post_logout_redirect_uri")? {
            Some(uri) => Some(self.way_out(client.as_deref(), uri, params.one("state")?)?),
            None => None,
        };
        if let Some(hint) = hint {
            self.end_grant_of(&hint, now).await?;
        }
        Ok(redirect.map_or(Answer::Page(Page::Done(DonePage::LoggedOut)), Answer::Redirect))
    }

    /// A registered address, octet by octet, or none at all (RP-Initiated Logout §3).
    fn way_out(&self, client: Option<&Client>, uri: &str, state: Option<&str>) -> Result<Redirect, Refused> {
        let registered = client.is_some_and(|client| {
            client.metadata.post_logout_redirect_uris.iter().any(|registered| registered == uri)
        });
        if !registered {
            return Err(invalid("post_logout_redirect_uri is none that the client registered"));
        }
        let mut uri = uri.to_owned();
        if let Some(state) = state {
            uri.push(if uri.contains('?') { '&' } else { '?' });
            uri.push_str("state=");
            uri.extend(form_urlencoded::byte_serialize(state.as_bytes()));
        }
        Ok(Redirect { uri, mode: RedirectMode::Query })
    }

    /// Reads an ID token of this issuer, expired or not (RP-Initiated Logout §2).
    fn hint(&self, text: &str, now: UnixTime) -> Result<Hint, Refused> {
        let unknown = || invalid("id_token_hint is no ID token of this server, or one whose key is gone");
        let keys = self.keys.public_keys(now).map_err(|_| unknown())?;
        let claims = verify_jws(text, &keys, &Algorithm::ALL, Some(&["JWT"])).map_err(|_| unknown())?;
        if text_of(&claims, "iss") != Some(&*self.config.url) {
            return Err(unknown());
        }
        let client = text_of(&claims, "aud").and_then(|aud| aud.parse().ok()).ok_or_else(unknown)?;
        let grant = text_of(&claims, "sid").and_then(|sid| sid.parse().ok()).ok_or_else(unknown)?;
        Ok(Hint { client, grant })
    }

    async fn end_grant_of(&self, hint: &Hint, now: UnixTime) -> Result<(), StoreError> {
        let Some(grant) = self.store.grant(hint.grant).await? else { return Ok(()) };
        if grant.client == hint.client {
            self.store.revoke_grant(grant.id, RevocationReason::LoggedOut, now).await?;
            tracing::info!(grant = %grant.id, client_id = %grant.client, "a person signed out");
        }
        Ok(())
    }

    /// Whom to tell that a grant has ended, if anybody; each grant is told of once, whatever node asks first.
    ///
    /// # Errors
    /// [`IssuerError`] when the store or the keys cannot be used; ask again then.
    pub async fn logout_notice(
        &self,
        grant: GrantId,
        now: UnixTime,
    ) -> Result<Option<LogoutNotice>, IssuerError> {
        let Some(grant) = self.store.grant(grant).await? else { return Ok(None) };
        if grant.revoked.is_none() {
            return Ok(None);
        }
        let Some(client) = self.client(&grant.client).await? else { return Ok(None) };
        let Some(uri) = client.metadata.backchannel_logout_uri.clone() else { return Ok(None) };
        let key = self.server_key.hash("logout notice", &[grant.id.as_bytes()])?;
        if !self.store.claim(EphemeralKind::LogoutNotice, &key, now.after(TOLD_FOR)).await? {
            return Ok(None);
        }
        let claims = LogoutClaims {
            iss: &self.config.url,
            sub: grant.user.as_str(),
            aud: client.id.as_str(),
            iat: now.0,
            exp: now.0 + LOGOUT_TOKEN_LIFETIME,
            jti: base64url(key.as_bytes()),
            sid: grant.id.to_string(),
            events: json!({ "http://schemas.openid.net/event/backchannel-logout": {} }),
        };
        let algorithm = client.metadata.id_token_signed_response_alg.as_deref();
        let algorithm = algorithm.and_then(Algorithm::from_name).unwrap_or(Algorithm::Rs256);
        let token = self.keys.signer(algorithm, now)?.sign_jwt("logout+jwt", &claims)?;
        Ok(Some(LogoutNotice { uri, token, client: client.id.clone() }))
    }
}

/// What an ID token says of its grant.
struct Hint {
    client: ClientId,
    grant: GrantId,
}

enum Refused {
    Request(OAuthError),
    Store(StoreError),
}

impl From<OAuthError> for Refused {
    fn from(error: OAuthError) -> Self {
        Self::Request(error)
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

fn invalid(description: &'static str) -> Refused {
    Refused::Request(OAuthError::new(super::ErrorCode::InvalidRequest, description))
}

fn text_of<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    claims.get(name).and_then(Value::as_str)
}
