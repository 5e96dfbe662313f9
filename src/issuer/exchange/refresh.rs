//! The refresh token (RFC 6749 §6, RFC 9700 §4.14).

use super::{
    Call, TokenResponse,
    answer::fault,
    issue::{Recipient, refused},
    presented::opaque,
};
use crate::{
    issuer::{Client, ErrorCode, Issuer, OAuthError},
    model::{Scope, TokenHash, TokenKind, UnixTime},
    store::{Grant, Renewal, RevocationReason, Rotated, Rotation, TokenRecord},
    token::{GrantKey, GrantPublicKey, KeyPurpose, OpaqueToken},
};

/// A refresh token that the right client shows.
struct Shown<'a> {
    token: OpaqueToken,
    lookup: TokenHash,
    record: &'a TokenRecord,
}

impl Issuer {
    /// Uses a refresh token.
    ///
    /// A public client gets another one on every use: whoever uses the old one again is then known to be one too
    /// many. A confidential client proves who it is, so it keeps its own until that is near its end.
    pub(super) async fn refresh(
        &self,
        call: &Call<'_>,
        client: &Client,
    ) -> Result<TokenResponse, OAuthError> {
        let token = call.params.required("refresh_token")?;
        let Some(token) = opaque(token.as_bytes(), TokenKind::Refresh) else { return Err(unknown()) };
        let lookup = token.lookup()?;
        let Some(record) = self.store.token(&lookup).await? else { return Err(unknown()) };
        let shown = Shown { token, lookup, record: &record };
        if record.kind != TokenKind::Refresh || record.grant.client != client.id {
            return Err(unknown());
        }
        let held = call.caller.certificate.as_ref().map(|certificate| certificate.thumbprint);
        if record.certificate.is_some() && record.certificate != held {
            return Err(refused("the refresh token is bound to another certificate"));
        }
        let scope = narrowed(call, &record.scope)?;
        self.check_resources(call.params, &record.grant.audience)?;
        if record.revoked_at.is_some() || !record.grant.is_live(call.now) {
            return Err(unknown());
        }
        if let Some(at) = record.used_at {
            return self.used_before(&shown, at, record.answer.as_deref(), call.now).await;
        }
        if record.expires_at <= call.now {
            return Err(unknown());
        }
        self.check_unsealed(client, &record.grant).await?;
        let recipient = Recipient { scope: &scope, ..self.recipient(call, client, &record.grant)? };
        let is_near_its_end = call.now.until(record.expires_at) < self.config.refresh_token_renew;
        if client.is_public() || is_near_its_end {
            self.rotate(&shown, &recipient).await
        } else {
            self.renew(&shown, &recipient).await
        }
    }

    async fn rotate(
        &self,
        shown: &Shown<'_>,
        recipient: &Recipient<'_>,
    ) -> Result<TokenResponse, OAuthError> {
        let key = self.key_of(shown)?;
        let access = self.access_token(recipient, &key)?;
        let refresh = self.refresh_token(recipient, &key)?;
        let issued = self.issued(recipient, access, Some(refresh), None)?;
        let answer = shown
            .token
            .purpose_key(&self.server_key, KeyPurpose::Answer)
            .and_then(|key| key.encrypt(issued.response.json().expose(), &context(&shown.record.grant)))?;
        let rotation = Rotation {
            old: shown.lookup,
            tokens: issued.rows,
            answer,
            answer_until: recipient.now.after(self.config.refresh_grace),
            now: recipient.now,
        };
        let rotated = self.store.rotate_refresh_token(rotation).await?;
        self.given(rotated, issued.response, shown, recipient.now).await
    }

    async fn renew(&self, shown: &Shown<'_>, recipient: &Recipient<'_>) -> Result<TokenResponse, OAuthError> {
        let key = self.key_of(shown)?;
        let access = self.access_token(recipient, &key)?;
        let row = access.row.clone();
        let issued = self.issued(recipient, access, None, None)?;
        let renewal = Renewal {
            refresh: shown.lookup,
            expires_at: self.refresh_end(recipient.grant, recipient.now),
            access: row,
            now: recipient.now,
        };
        let renewed = self.store.renew_refresh_token(renewal).await?;
        self.given(renewed, issued.response, shown, recipient.now).await
    }

    /// The answer, once the store has taken what is in it.
    async fn given(
        &self,
        rotated: Rotated,
        response: TokenResponse,
        shown: &Shown<'_>,
        now: UnixTime,
    ) -> Result<TokenResponse, OAuthError> {
        match rotated {
            Rotated::Done => Ok(response),
            Rotated::Used { at, answer } => self.used_before(shown, at, answer.as_deref(), now).await,
            Rotated::Ended | Rotated::Unknown => Err(unknown()),
        }
    }

    /// A used token gets the same answer for a while: the first one may have been lost, and several threads of one
    /// client may use the token at once. Later only a thief, or the client after a thief, can come with it; which
    /// of the two cannot be told, so the grant ends.
    async fn used_before(
        &self,
        shown: &Shown<'_>,
        at: UnixTime,
        answer: Option<&[u8]>,
        now: UnixTime,
    ) -> Result<TokenResponse, OAuthError> {
        let grant = &shown.record.grant;
        // Within one second it cannot be told who was first, so that is at the same time even without a grace.
        let is_in_grace = at.until(now) < self.config.refresh_grace || at == now;
        if let Some(answer) = answer.filter(|_| is_in_grace) {
            let key = shown.token.purpose_key(&self.server_key, KeyPurpose::Answer)?;
            return key
                .decrypt(answer, &context(grant))
                .map(TokenResponse::from_json)
                .map_err(OAuthError::from);
        }
        self.store.revoke_grant(grant.id, RevocationReason::RefreshReused, now).await?;
        tracing::warn!(grant = %grant.id, client_id = %grant.client, "a refresh token was used after it had been replaced");
        Err(unknown())
    }

    fn key_of(&self, shown: &Shown<'_>) -> Result<GrantKey, OAuthError> {
        let Some(wrapped) = shown.record.wrapped_key.as_deref() else { return Err(fault()) };
        let grant = &shown.record.grant;
        let public = GrantPublicKey::new(grant.public_key);
        let wrap = shown.token.wrap_key(&self.server_key)?;
        GrantKey::unwrap(wrapped, &wrap, grant.id, TokenKind::Refresh, public).map_err(OAuthError::from)
    }
}

/// The scope asked for, which may only be narrower than what was granted (RFC 6749 §6).
fn narrowed(call: &Call<'_>, granted: &Scope) -> Result<Scope, OAuthError> {
    let Some(requested) = call.params.one("scope")? else { return Ok(granted.clone()) };
    let requested: Scope = requested.parse().map_err(|_| {
        OAuthError::new(ErrorCode::InvalidScope, "scope is not a list of scope values (RFC 6749, 3.3)")
    })?;
    if requested.is_empty() {
        return Ok(granted.clone());
    }
    if requested.iter().all(|value| granted.contains(value)) {
        return Ok(requested);
    }
    Err(OAuthError::new(ErrorCode::InvalidScope, "scope holds a value that was not granted"))
}

/// What the kept answer is bound to.
fn context(grant: &Grant) -> Vec<u8> {
    grant.id.as_bytes().to_vec()
}

/// One answer for every refresh token that is none, so that nobody learns which it is.
fn unknown() -> OAuthError {
    refused("the refresh token is unknown, used, expired, ended, or another client's; sign in again")
}
