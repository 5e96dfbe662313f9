use std::{sync::Arc, time::Duration};

use super::{Issuer, IssuerError};
use crate::{
    model::{ClientId, CredentialKind, GrantId, Login, Scope, Secret, TokenKind, UnixTime},
    store::{NewGrant, NewToken, SealedCredential},
    token::{GrantKey, OpaqueToken, SealContext},
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
    /// Mailbox passwords by backend. One for a backend that is not in `sealed_backends` is not kept.
    pub passwords: Vec<(Arc<str>, Secret)>,
}

/// A token that was minted.
#[derive(Clone, Debug)]
pub struct Minted {
    /// The token.
    pub access_token: Secret,
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
        let grant = GrantId::generate();
        let grant_end = self.config.grant_lifetime.map(|lifetime| now.after(lifetime));
        let token_end = now.after(lifetime);
        let expires_at = grant_end.map_or(token_end, |end| end.min(token_end));

        let key = GrantKey::generate()?;
        let token = OpaqueToken::generate(TokenKind::Access)?;
        let wrapped_key = key.wrap(&token.wrap_key(&self.server_key)?, grant, token.kind())?;
        let new = NewGrant {
            id: grant,
            user: request.user.clone(),
            client: request.client.clone(),
            scope: request.scope.clone(),
            created_at: now,
            expires_at: grant_end,
            audience: self.audience(),
            auth_time: None,
            mailboxes: Vec::new(),
            code: None,
            public_key: *key.public().as_bytes(),
            credentials: seal(&key, grant, &request)?,
            tokens: vec![NewToken {
                lookup: token.lookup()?,
                kind: token.kind(),
                scope: request.scope.clone(),
                audience: self.audience(),
                certificate: None,
                created_at: now,
                expires_at,
                wrapped_key,
            }],
        };
        self.store.create_grant(new).await?;
        Ok(Minted {
            access_token: token.text(),
            grant,
            user: request.user,
            client: request.client,
            scope: request.scope,
            expires_at,
        })
    }

    /// The lifetime that the token gets, if everything else is in order.
    fn checked(&self, request: &MintRequest) -> Result<Duration, IssuerError> {
        if request.client != ClientId::open() {
            return Err(IssuerError::UnknownClient(request.client.clone()));
        }
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

fn seal(key: &GrantKey, grant: GrantId, request: &MintRequest) -> Result<Vec<SealedCredential>, IssuerError> {
    request
        .sealed_backends
        .iter()
        .map(|backend| {
            let found = request.passwords.iter().find(|(name, _)| name == backend);
            let Some((_, password)) = found else {
                return Err(IssuerError::PasswordRequired(backend.clone()));
            };
            if password.is_empty() {
                return Err(IssuerError::BadPassword);
            }
            let kind = CredentialKind::Password;
            let context = SealContext { grant, user: &request.user, backend, kind };
            let sealed = key.public().seal(password, &context)?;
            Ok(SealedCredential { backend: backend.to_string(), kind, sealed })
        })
        .collect()
}
