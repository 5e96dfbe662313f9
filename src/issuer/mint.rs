use std::{sync::Arc, time::Duration};

use super::{AccessTokenFormat, Issuer, IssuerError, exchange::Recipient};
use crate::{
    model::{ClientId, CredentialKind, GrantId, Login, Scope, Secret, UnixTime},
    store::{Grant, NewGrant, SealedCredential},
    token::{GrantKey, SealContext},
};

/// A grant that the operator makes without a sign-in. Whoever asks has checked the user and the password.
#[derive(Clone, Debug)]
pub struct MintRequest {
    /// The user.
    pub user: Login,
    /// The client.
    pub client: ClientId,
    /// What the token is for.
    pub scope: Scope,
    /// How long; `None` is the configured lifetime.
    pub lifetime: Option<Duration>,
    /// The backends that log in with the sealed password. Each needs one in `passwords`.
    pub sealed_backends: Vec<Arc<str>>,
    /// Whether a refresh token comes with it.
    pub with_refresh_token: bool,
    /// Mailbox passwords by backend. One for a backend that is not in `sealed_backends` is not kept.
    pub passwords: Vec<(Arc<str>, Secret)>,
}

/// A token that was minted.
#[derive(Clone, Debug)]
pub struct Minted {
    /// The token.
    pub access_token: Secret,
    /// The refresh token, where one was asked for.
    pub refresh_token: Option<Secret>,
    /// The grant that it hangs on.
    pub grant: GrantId,
    /// The user.
    pub user: Login,
    /// The client.
    pub client: ClientId,
    /// What it is for.
    pub scope: Scope,
    /// When it ends.
    pub expires_at: UnixTime,
}

impl Issuer {
    /// Makes a grant and an access token for it.
    ///
    /// # Errors
    /// [`IssuerError`] says what is wrong with the request, or that the store did not take it.
    pub async fn mint(&self, request: MintRequest, now: UnixTime) -> Result<Minted, IssuerError> {
        let lifetime = self.checked(&request)?;
        let Some(client) = self.client(&request.client).await? else {
            return Err(IssuerError::UnknownClient(request.client));
        };
        if client.metadata.access_token_format == AccessTokenFormat::Jwt
            && !request.sealed_backends.is_empty()
        {
            return Err(IssuerError::SealedJwt(request.client));
        }
        let key = GrantKey::generate()?;
        let grant = Grant {
            id: GrantId::generate(),
            user: request.user.clone(),
            client: request.client.clone(),
            scope: request.scope.clone(),
            created_at: now,
            expires_at: self.config.grant_lifetime.map(|lifetime| now.after(lifetime)),
            revoked: None,
            audience: self.audience(),
            auth_time: None,
            mailboxes: Vec::new(),
            public_key: *key.public().as_bytes(),
        };
        let end = now.after(lifetime);
        let expires_at = grant.expires_at.map_or(end, |grant_end| grant_end.min(end));
        let recipient =
            Recipient { client: &client, grant: &grant, scope: &grant.scope, certificate: None, now };
        let token = self.access_token_until(&recipient, &key, expires_at)?;
        let refresh = request.with_refresh_token.then(|| self.refresh_token(&recipient, &key)).transpose()?;
        let id = grant.id;
        let credentials = seal(&key, id, &request.user, &request.sealed_backends, &request.passwords)?;
        let mut tokens = vec![token.row];
        let refresh_token = refresh.map(|made| {
            tokens.push(made.row);
            made.text
        });
        self.store.create_grant(NewGrant { credentials, tokens, ..grant.into() }).await?;
        Ok(Minted {
            access_token: token.text,
            refresh_token,
            grant: id,
            user: request.user,
            client: request.client,
            scope: request.scope,
            expires_at,
        })
    }

    /// The lifetime that the token gets, if everything else is in order.
    fn checked(&self, request: &MintRequest) -> Result<Duration, IssuerError> {
        if request.scope.is_empty() {
            return Err(IssuerError::NoScope);
        }
        if let Some(value) = request.scope.iter().find(|value| !Scope::KNOWN.contains(value)) {
            return Err(IssuerError::UnknownScope(value.to_owned()));
        }
        let lifetime = request.lifetime.unwrap_or(self.config.access_token_lifetime);
        if lifetime < Duration::from_secs(1) || lifetime > Self::MAX_LIFETIME {
            return Err(IssuerError::Lifetime);
        }
        Ok(lifetime)
    }
}

/// Seals the mailbox password of every backend that logs in with it.
pub(super) fn seal(
    key: &GrantKey,
    grant: GrantId,
    user: &Login,
    sealed_backends: &[Arc<str>],
    passwords: &[(Arc<str>, Secret)],
) -> Result<Vec<SealedCredential>, IssuerError> {
    sealed_backends
        .iter()
        .map(|backend| {
            let found = passwords.iter().find(|(name, _)| name == backend);
            let Some((_, password)) = found else {
                return Err(IssuerError::PasswordRequired(backend.clone()));
            };
            if password.is_empty() {
                return Err(IssuerError::BadPassword);
            }
            let kind = CredentialKind::Password;
            let context = SealContext { grant, user, backend, kind };
            let sealed = key.public().seal(password, &context)?;
            Ok(SealedCredential { backend: backend.to_string(), kind, sealed })
        })
        .collect()
}
