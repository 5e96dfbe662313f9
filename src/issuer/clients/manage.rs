use std::sync::Arc;

use serde_json::{Map, Value};
use subtle::ConstantTimeEq;

use super::{
    AuthMethod, Client, Registered, RegistrationError,
    metadata::{self, refused},
    record::Kept,
    register::{lookup_of, new_secret, unauthorized},
    rules::{self, Registrant},
};
use crate::{
    issuer::{Issuer, OAuthError},
    model::{ClientId, Secret, TokenHash, TokenKind, UnixTime},
    store::ClientRecord,
    token::OpaqueToken,
};

/// What a client may read and must not send back (RFC 7592 §2.2).
const FORBIDDEN: [&str; 4] = [
    "registration_access_token",
    "registration_client_uri",
    "client_secret_expires_at",
    "client_id_issued_at",
];

impl Issuer {
    /// What a client registered (RFC 7592 §2.1), without its secret, which is not kept. `id` is the last segment of
    /// the path, decoded.
    ///
    /// # Errors
    /// [`RegistrationError::Unauthorized`] for a wrong token and for an unknown client alike.
    pub async fn read_registration(
        &self,
        id: &str,
        bearer: Option<&Secret>,
    ) -> Result<Registered, RegistrationError> {
        let record = self.managed(id, bearer).await?;
        self.registered(&record, None, bearer)
    }

    /// Replaces what a client registered (RFC 7592 §2.2). Its secret stays, unless its authentication method begins
    /// or ceases to need one.
    ///
    /// # Errors
    /// [`RegistrationError::Unauthorized`], or [`RegistrationError::Refused`] with nothing changed.
    pub async fn update_registration(
        &self,
        id: &str,
        bearer: Option<&Secret>,
        body: &[u8],
    ) -> Result<Registered, RegistrationError> {
        let record = self.managed(id, bearer).await?;
        let members = metadata::members(body)?;
        let shown = check_members(&members, &record)?;
        let metadata = rules::checked(metadata::read(&members)?, Registrant::Client)?;

        let kept = Kept::read(&record)?;
        let method = metadata.token_endpoint_auth_method;
        let (hash, secret) = match record.secret {
            Some(hash) if has_secret(method) => (Some(hash), shown),
            Some(_) | None => {
                let new = new_secret(method)?;
                (new.as_ref().map(OpaqueToken::lookup).transpose()?, new.map(|new| new.text()))
            }
        };
        let metadata = Kept { metadata, ..kept }.write()?;
        let record = ClientRecord { secret: hash, metadata, ..record };
        if !self.store.update_client(record.clone()).await? {
            return Err(wrong_token());
        }
        self.registered(&record, secret, bearer)
    }

    /// Removes a client and ends its grants (RFC 7592 §2.3).
    ///
    /// # Errors
    /// [`RegistrationError::Unauthorized`] for a wrong token and for an unknown client alike.
    pub async fn delete_registration(
        &self,
        id: &str,
        bearer: Option<&Secret>,
        now: UnixTime,
    ) -> Result<(), RegistrationError> {
        let record = self.managed(id, bearer).await?;
        self.store.remove_client(&record.id, now).await?;
        // The identifier was random and can never come again, and the deny list is not to grow by others' doing.
        self.store.allow_client(&record.id).await?;
        Ok(())
    }

    /// The row of the client that holds the registration access token.
    async fn managed(&self, id: &str, bearer: Option<&Secret>) -> Result<ClientRecord, RegistrationError> {
        let Some(bearer) = bearer else {
            return Err(unauthorized("the registration access token is missing"));
        };
        let shown = lookup_of(bearer, TokenKind::Registration)?;
        let id: ClientId = id.parse().map_err(|_| wrong_token())?;
        let state = self.store.client(&id).await?;
        let record = state.record.filter(|_| !state.denied);
        let expected = record.as_ref().and_then(|record| record.management);
        match record {
            Some(record) if is_same(expected, shown) => Ok(record),
            Some(_) | None => Err(wrong_token()),
        }
    }

    fn registered(
        &self,
        record: &ClientRecord,
        secret: Option<Secret>,
        bearer: Option<&Secret>,
    ) -> Result<Registered, RegistrationError> {
        let client = Arc::new(Client::from_record(record)?);
        Ok(Registered {
            management_uri: Some(self.management_uri(&client.id)),
            client,
            secret,
            management: bearer.cloned(),
            issued_at: Some(record.created_at),
        })
    }
}

/// The secret, if the client sends it along; it must be the one that it has.
fn check_members(members: &Map<String, Value>, record: &ClientRecord) -> Result<Option<Secret>, OAuthError> {
    if let Some(name) = FORBIDDEN.into_iter().find(|name| members.contains_key(*name)) {
        return Err(refused(format!("{name} cannot be changed; leave it out")));
    }
    if members.get("client_id").and_then(Value::as_str) != Some(record.id.as_str()) {
        return Err(refused("client_id must be that of the client".to_owned()));
    }
    let Some(secret) = members.get("client_secret").filter(|secret| !secret.is_null()) else {
        return Ok(None);
    };
    let secret = Secret::copy_of(secret.as_str().unwrap_or_default().as_bytes());
    let shown = lookup_of(&secret, TokenKind::ClientSecret).ok().flatten();
    if is_same(record.secret, shown) {
        return Ok(Some(secret));
    }
    Err(refused("client_secret is not the one that the client has; a client cannot choose it".to_owned()))
}

/// Whether both are there and the same, in constant time.
pub(super) fn is_same(expected: Option<TokenHash>, shown: Option<TokenHash>) -> bool {
    // What is missing is compared too, so that it takes as long.
    let missing = TokenHash::new([0; 32]);
    let (is_there, expected) = (expected.is_some() && shown.is_some(), expected.unwrap_or(missing));
    let is_equal = bool::from(expected.as_bytes().ct_eq(shown.unwrap_or(missing).as_bytes()));
    is_equal && is_there
}

const fn has_secret(method: AuthMethod) -> bool {
    match method {
        AuthMethod::ClientSecretBasic | AuthMethod::ClientSecretPost => true,
        AuthMethod::None
        | AuthMethod::PrivateKeyJwt
        | AuthMethod::TlsClientAuth
        | AuthMethod::SelfSignedTlsClientAuth => false,
    }
}

fn wrong_token() -> RegistrationError {
    unauthorized("the registration access token is not that of a client of this name")
}
