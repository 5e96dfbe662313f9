//! The authorization code (RFC 6749 §4.1.3, RFC 7636).

use subtle::ConstantTimeEq;

use super::{Call, TokenResponse, issue::refused, pkce, presented::opaque};
use crate::{
    issuer::{Client, Issuer, OAuthError, authorize::CodeDetails, exchange::answer::fault},
    model::{TokenHash, TokenKind},
    store::{CodeRecord, Redeemed},
    token::{GrantKey, GrantPublicKey, OpaqueToken},
};

impl Issuer {
    /// Uses an authorization code.
    ///
    /// What binds the code is examined before the code is used: one who has it without the verifier, or as
    /// another client, can neither use it up nor, by using it a second time, end the grant that it gave.
    pub(super) async fn redeem_code(
        &self,
        call: &Call<'_>,
        client: &Client,
    ) -> Result<TokenResponse, OAuthError> {
        let code = call.params.required("code")?;
        let redirect_uri = call.params.required("redirect_uri")?;
        let verifier = call.params.required("code_verifier")?;
        let Some(code) = opaque(code.as_bytes(), TokenKind::Code) else { return Err(unknown()) };
        let lookup = code.lookup()?;
        let Some(record) = self.store.code(&lookup).await? else { return Err(unknown()) };
        let details: CodeDetails = serde_json::from_str(&record.details).map_err(|_| fault())?;
        if details.client != client.id || record.grant.client != client.id {
            return Err(unknown());
        }
        let is_same_uri = redirect_uri.as_bytes().ct_eq(details.redirect_uri.as_bytes());
        if !bool::from(is_same_uri) {
            return Err(refused("redirect_uri is not the one of the authorization request"));
        }
        if !pkce::verifies(verifier, &details.code_challenge) {
            return Err(refused("code_verifier does not fit the code_challenge"));
        }
        self.check_resources(call.params, &record.grant.audience)?;
        if record.used_at.is_some() {
            return Err(self.replayed(&lookup, call).await);
        }
        let key = self.key_of_code(&record, &code, call)?;
        let recipient = self.recipient(call, client, &record.grant)?;
        self.check_unsealed(client, &record.grant).await?;
        let issued = self.first_tokens(&recipient, &key, details.nonce.as_deref())?;
        match self.store.redeem_code(&lookup, issued.rows, call.now).await? {
            Redeemed::Done => Ok(issued.response),
            Redeemed::Replayed(grant) => {
                tracing::warn!(%grant, client_id = %client.id, "an authorization code was used twice");
                Err(unknown())
            }
            Redeemed::Expired | Redeemed::GrantEnded | Redeemed::Unknown => Err(unknown()),
        }
    }

    /// Ends the grant of a code that was used before, and says what the client is told.
    async fn replayed(&self, lookup: &TokenHash, call: &Call<'_>) -> OAuthError {
        match self.store.redeem_code(lookup, Vec::new(), call.now).await {
            Ok(Redeemed::Replayed(grant)) => {
                tracing::warn!(%grant, "an authorization code was used twice");
                unknown()
            }
            Ok(Redeemed::Done | Redeemed::Expired | Redeemed::GrantEnded | Redeemed::Unknown) => unknown(),
            Err(error) => error.into(),
        }
    }

    fn key_of_code(
        &self,
        record: &CodeRecord,
        code: &OpaqueToken,
        call: &Call<'_>,
    ) -> Result<GrantKey, OAuthError> {
        if record.expires_at <= call.now || !record.grant.is_live(call.now) {
            return Err(unknown());
        }
        let Some(wrapped) = record.wrapped_key.as_deref() else { return Err(unknown()) };
        let wrap = code.wrap_key(&self.server_key)?;
        let public = GrantPublicKey::new(record.grant.public_key);
        GrantKey::unwrap(wrapped, &wrap, record.grant.id, TokenKind::Code, public).map_err(OAuthError::from)
    }
}

/// One answer for every code that is none, so that nobody learns which it is.
fn unknown() -> OAuthError {
    refused("the code is unknown, used, expired, or another client's; start a new authorization request")
}
