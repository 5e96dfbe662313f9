//! What a token is good for: introspection (RFC 7662), revocation (RFC 7009), userinfo (OpenID Connect Core §5.3).

use super::{
    Call, ClientCertificate, Confirmation, IntrospectedToken, Introspection, UserInfo, presented::Presented,
    signed::jti,
};
use crate::{
    issuer::{ErrorCode, Issuer, OAuthError},
    model::{Secret, TokenKind, UnixTime},
    store::RevocationReason,
};

impl Issuer {
    /// Ends a token that the client no longer needs (RFC 7009). One that is unknown has ended already.
    ///
    /// An access token ends alone. With a refresh token the whole grant ends (§2.1), with all that was sealed to it.
    ///
    /// # Errors
    /// What the client is told.
    pub async fn revoke(&self, call: &Call<'_>) -> Result<(), OAuthError> {
        let client = self.authenticate(call).await?;
        let token = Secret::copy_of(call.params.required("token")?.as_bytes());
        // The hint is only that (§2.1), and a token tells its own kind.
        call.params.one("token_type_hint")?;
        let Some(Presented { lookup, record }) = self.presented(&token, call.now).await? else {
            return Ok(());
        };
        if record.grant.client != client.id {
            return Err(OAuthError::new(ErrorCode::InvalidGrant, "the token was issued to another client"));
        }
        if record.kind == TokenKind::Refresh {
            self.store.revoke_grant(record.grant.id, RevocationReason::Client, call.now).await?;
        } else {
            self.store.revoke_token(&lookup, call.now).await?;
        }
        Ok(())
    }

    /// Tells a resource server of a token (RFC 7662): a client of its own tokens, and of all whom the operator lets.
    /// Of any other token it learns no more than of one that does not exist.
    ///
    /// # Errors
    /// What the caller is told.
    pub async fn introspect(&self, call: &Call<'_>) -> Result<Introspection, OAuthError> {
        let client = self.authenticate_confidential(call).await?;
        let token = Secret::copy_of(call.params.required("token")?.as_bytes());
        call.params.one("token_type_hint")?;
        let Some(presented) = self.presented(&token, call.now).await? else {
            return Ok(Introspection::default());
        };
        let is_own = presented.record.grant.client == client.id;
        if !presented.is_live(call.now) || !(is_own || client.metadata.may_introspect) {
            return Ok(Introspection::default());
        }
        let Presented { lookup, record } = presented;
        let grant = record.grant;
        let login = grant.user.as_str().to_owned();
        Ok(Introspection {
            active: true,
            token: Some(IntrospectedToken {
                scope: record.scope,
                client_id: grant.client.into(),
                username: grant.mailboxes.is_empty().then(|| login.clone()),
                token_type: (record.kind == TokenKind::Access).then_some("Bearer"),
                exp: record.expires_at.0,
                iat: record.created_at.0,
                sub: login,
                aud: record.audience,
                iss: self.config.url.to_string(),
                jti: jti(&lookup),
                cnf: record.certificate.as_ref().map(Confirmation::of),
            }),
        })
    }

    /// Tells a client who the person is (OpenID Connect Core §5.3).
    ///
    /// # Errors
    /// `invalid_token` or `insufficient_scope`, for the header `WWW-Authenticate` (RFC 6750 §3). Without a token
    /// the challenge must hold no error code (RFC 6750 §3.1).
    pub async fn userinfo(
        &self,
        bearer: Option<&Secret>,
        certificate: Option<&ClientCertificate>,
        now: UnixTime,
    ) -> Result<UserInfo, OAuthError> {
        let invalid = |description| OAuthError::new(ErrorCode::InvalidToken, description);
        let Some(token) = bearer else { return Err(invalid("an access token is needed")) };
        let presented = self.presented(token, now).await?;
        let presented =
            presented.filter(|found| found.record.kind == TokenKind::Access && found.is_live(now));
        let Some(Presented { record, .. }) = presented else {
            return Err(invalid("the access token is unknown, expired, or ended"));
        };
        let held = certificate.map(|certificate| certificate.thumbprint);
        if record.certificate.is_some() && record.certificate != held {
            return Err(invalid("the access token is bound to another certificate"));
        }
        if !record.scope.contains("openid") {
            return Err(OAuthError::new(
                ErrorCode::InsufficientScope,
                "the access token lacks the scope openid",
            ));
        }
        let user = record.grant.user;
        let login = user.as_str();
        let has_address = record.scope.contains("email") && user.domain().is_some();
        Ok(UserInfo {
            sub: login.to_owned(),
            email: has_address.then(|| login.to_owned()),
            email_verified: has_address.then_some(true),
            preferred_username: record.scope.contains("profile").then(|| login.to_owned()),
        })
    }
}
