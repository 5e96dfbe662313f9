//! The making of tokens: rows for the store, and the answer that holds their texts.

use super::{
    Call, TokenResponse,
    answer::{Tokens, text},
};
use crate::{
    issuer::{AccessTokenFormat, Client, ErrorCode, GrantType, Issuer, IssuerError, OAuthError},
    model::{GrantId, Scope, Secret, TokenKind, UnixTime},
    store::{Grant, NewToken},
    token::{CryptoError, GrantKey, OpaqueToken},
};

/// Whom tokens are made for, and out of which grant.
pub(in crate::issuer) struct Recipient<'a> {
    pub(in crate::issuer) client: &'a Client,
    pub(in crate::issuer) grant: &'a Grant,
    /// Of the access token; a refresh token keeps the grant's.
    pub(in crate::issuer) scope: &'a Scope,
    /// The certificate that the tokens are bound to (RFC 8705 §3).
    pub(in crate::issuer) certificate: Option<[u8; 32]>,
    pub(in crate::issuer) now: UnixTime,
}

/// A token and its row.
pub(in crate::issuer) struct MadeToken {
    pub(in crate::issuer) text: Secret,
    pub(in crate::issuer) row: NewToken,
}

/// An answer and the rows that must be stored before it is given.
pub(super) struct Issued {
    pub(super) response: TokenResponse,
    pub(super) rows: Vec<NewToken>,
}

impl Issuer {
    /// The recipient of a grant's whole scope.
    ///
    /// # Errors
    /// `invalid_request` when the client's tokens are to be bound to a certificate and there is none.
    pub(super) fn recipient<'a>(
        &self,
        call: &Call<'_>,
        client: &'a Client,
        grant: &'a Grant,
    ) -> Result<Recipient<'a>, OAuthError> {
        let certificate = match &call.caller.certificate {
            _ if !client.metadata.tls_client_certificate_bound_access_tokens => None,
            Some(certificate) => Some(certificate.thumbprint),
            None => {
                return Err(OAuthError::new(
                    ErrorCode::InvalidRequest,
                    "this client's tokens are bound to its certificate; connect with it",
                ));
            }
        };
        Ok(Recipient { client, grant, scope: &grant.scope, certificate, now: call.now })
    }

    /// Refuses what cannot work: a JWT holds no key, so it opens no mailbox password that was sealed to its grant.
    pub(super) async fn check_unsealed(&self, client: &Client, grant: &Grant) -> Result<(), OAuthError> {
        match client.metadata.access_token_format {
            AccessTokenFormat::Jwt if self.store.holds_credentials(grant.id).await? => Err(OAuthError::new(
                ErrorCode::UnauthorizedClient,
                "this client is registered for JWT access tokens, and the mail server needs the mailbox password, \
                 which only an opaque token opens; register it with access_token_format opaque",
            )),
            AccessTokenFormat::Jwt | AccessTokenFormat::Opaque => Ok(()),
        }
    }

    /// The tokens that a code gives: access, refresh where the client uses it, ID token where it was asked for.
    pub(super) fn first_tokens(
        &self,
        recipient: &Recipient<'_>,
        key: &GrantKey,
        nonce: Option<&str>,
    ) -> Result<Issued, OAuthError> {
        let access = self.access_token(recipient, key)?;
        let refresh = recipient
            .client
            .may_use(GrantType::RefreshToken)
            .then(|| self.refresh_token(recipient, key))
            .transpose()?;
        self.issued(recipient, access, refresh, nonce)
    }

    /// The answer with these tokens, and an ID token where the scope holds `openid`.
    pub(super) fn issued(
        &self,
        recipient: &Recipient<'_>,
        access: MadeToken,
        refresh: Option<MadeToken>,
        nonce: Option<&str>,
    ) -> Result<Issued, OAuthError> {
        let id_token = recipient
            .scope
            .contains("openid")
            .then(|| self.id_token(recipient, &access.text, nonce))
            .transpose()?;
        let response = TokenResponse::write(&Tokens {
            access_token: text(&access.text)?,
            token_type: "Bearer",
            expires_in: recipient.now.until(access.row.expires_at).as_secs(),
            refresh_token: refresh.as_ref().map(|refresh| text(&refresh.text)).transpose()?,
            scope: recipient.scope,
            id_token: id_token.as_ref().map(text).transpose()?,
        })?;
        let rows = std::iter::once(access).chain(refresh).map(|token| token.row).collect();
        Ok(Issued { response, rows })
    }

    /// An access token in the form that the client registered for. It outlives no grant.
    pub(in crate::issuer) fn access_token(
        &self,
        recipient: &Recipient<'_>,
        key: &GrantKey,
    ) -> Result<MadeToken, IssuerError> {
        let end = within(recipient.grant, recipient.now.after(self.config.access_token_lifetime));
        self.access_token_until(recipient, key, end)
    }

    /// An access token with that end.
    ///
    /// A JWT has a row too, named by its `jti`, so that it can be ended and asked about like any other, and so
    /// that its grant is not removed as one without tokens. What is wrapped there opens with nothing: the token
    /// whose key it was is thrown away, and the JWT holds no key.
    pub(in crate::issuer) fn access_token_until(
        &self,
        recipient: &Recipient<'_>,
        key: &GrantKey,
        end: UnixTime,
    ) -> Result<MadeToken, IssuerError> {
        let token = OpaqueToken::generate(TokenKind::Access)?;
        let scope = recipient.scope;
        match recipient.client.metadata.access_token_format {
            AccessTokenFormat::Opaque => {
                let wrapped = self.wrapped(key, &token, recipient.grant.id)?;
                let row = row(recipient, &token, scope, end, wrapped)?;
                Ok(MadeToken { text: token.text(), row })
            }
            AccessTokenFormat::Jwt => {
                let row = row(recipient, &token, scope, end, Vec::new())?;
                Ok(MadeToken { text: self.jwt_access_token(recipient, &row)?, row })
            }
        }
    }

    /// A refresh token of the grant's whole scope (RFC 6749 §6). A public client's is bound to the certificate
    /// too, for nothing else keeps it from others (RFC 8705 §4).
    pub(in crate::issuer) fn refresh_token(
        &self,
        recipient: &Recipient<'_>,
        key: &GrantKey,
    ) -> Result<MadeToken, IssuerError> {
        let token = OpaqueToken::generate(TokenKind::Refresh)?;
        let wrapped = self.wrapped(key, &token, recipient.grant.id)?;
        let end = self.refresh_end(recipient.grant, recipient.now);
        let mut row = row(recipient, &token, &recipient.grant.scope, end, wrapped)?;
        row.certificate = row.certificate.filter(|_| recipient.client.is_public());
        Ok(MadeToken { text: token.text(), row })
    }

    /// When a refresh token ends that is given or used now.
    pub(super) fn refresh_end(&self, grant: &Grant, now: UnixTime) -> UnixTime {
        within(grant, now.after(self.config.refresh_token_lifetime))
    }

    fn wrapped(&self, key: &GrantKey, token: &OpaqueToken, grant: GrantId) -> Result<Vec<u8>, CryptoError> {
        key.wrap(&token.wrap_key(&self.server_key)?, grant, token.kind())
    }
}

/// `invalid_grant`.
pub(super) fn refused(description: &'static str) -> OAuthError {
    OAuthError::new(ErrorCode::InvalidGrant, description)
}

fn row(
    recipient: &Recipient<'_>,
    token: &OpaqueToken,
    scope: &Scope,
    end: UnixTime,
    wrapped_key: Vec<u8>,
) -> Result<NewToken, CryptoError> {
    Ok(NewToken {
        lookup: token.lookup()?,
        kind: token.kind(),
        scope: scope.clone(),
        audience: recipient.grant.audience.clone(),
        certificate: recipient.certificate,
        created_at: recipient.now,
        expires_at: end,
        wrapped_key,
    })
}

fn within(grant: &Grant, end: UnixTime) -> UnixTime {
    grant.expires_at.map_or(end, |grant_end| grant_end.min(end))
}
