//! Client credentials (RFC 6749 §4.4): a service that opens the mailboxes which the operator named for it.

use super::{Call, TokenResponse, issue::Issued};
use crate::{
    issuer::{Client, ErrorCode, Issuer, OAuthError, Standing, discovery::mail_scopes},
    model::{GrantId, Login, Scope},
    store::{Grant, NewGrant},
    token::GrantKey,
};

impl Issuer {
    /// Makes a grant of its own for every token: it ends with the token and is removed after it. There is no
    /// refresh token, since the client can always ask again (RFC 6749 §4.4.3), and no ID token, since nobody signed
    /// in.
    pub(super) async fn serve(&self, call: &Call<'_>, client: &Client) -> Result<TokenResponse, OAuthError> {
        let unauthorized = |description| OAuthError::new(ErrorCode::UnauthorizedClient, description);
        if client.is_public() {
            return Err(unauthorized("a client that cannot prove who it is has no grant of its own"));
        }
        if client.standing != Standing::Operator || client.metadata.mailboxes.is_empty() {
            return Err(unauthorized("the operator has named no mailboxes for this client"));
        }
        let user = Login::of_client(&client.id)
            .map_err(|_| unauthorized("the identifier of this client is too long for a service client"))?;
        let scope = service_scope(call, client)?;
        let audience = self.audience();
        self.check_resources(call.params, &audience)?;
        let key = GrantKey::generate()?;
        let lifetime = self.config.access_token_lifetime;
        let lifetime = self.config.grant_lifetime.map_or(lifetime, |limit| limit.min(lifetime));
        let grant = Grant {
            id: GrantId::generate(),
            user,
            client: client.id.clone(),
            scope,
            created_at: call.now,
            expires_at: Some(call.now.after(lifetime)),
            revoked: None,
            audience,
            auth_time: None,
            mailboxes: client.metadata.mailboxes.clone(),
            public_key: *key.public().as_bytes(),
        };
        let recipient = self.recipient(call, client, &grant)?;
        let access = self.access_token(&recipient, &key)?;
        let Issued { response, rows } = self.issued(&recipient, access, None, None)?;
        self.store.create_grant(NewGrant { tokens: rows, ..grant.into() }).await?;
        Ok(response)
    }
}

/// What the service asks for: mail alone, and no more than it registered. Without a wish, all of that.
fn service_scope(call: &Call<'_>, client: &Client) -> Result<Scope, OAuthError> {
    let invalid = |description| OAuthError::new(ErrorCode::InvalidScope, description);
    let spoken = mail_scopes();
    let is_open = |value: &str| {
        spoken.contains(&value) && client.metadata.scope.as_ref().is_none_or(|own| own.contains(value))
    };
    let requested: Scope = match call.params.one("scope")? {
        None => Scope::default(),
        Some(text) => {
            text.parse().map_err(|_| invalid("scope is not a list of scope values (RFC 6749, 3.3)"))?
        }
    };
    if requested.iter().any(|value| !is_open(value)) {
        return Err(invalid("scope holds a value that this client may not have without a person"));
    }
    if !requested.is_empty() {
        return Ok(requested);
    }
    let Some(registered) = &client.metadata.scope else { return Ok(Scope::mail()) };
    let open: Vec<&str> = registered.iter().filter(|value| is_open(value)).collect();
    match open.join(" ").parse::<Scope>() {
        Ok(scope) if !scope.is_empty() => Ok(scope),
        Ok(_) | Err(_) => Err(invalid("this client registered no scope of the mail service")),
    }
}
