use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use super::{
    AuthMethod, Client, ClientMetadata, Registered, RegistrationError, Standing,
    metadata::{self, refused},
    record::Kept,
    rules::{self, Registrant},
    stateless,
};
use crate::{
    issuer::{Caller, ErrorCode, Issuer, IssuerError, OAuthError, Registration},
    limits::RegistrationCost,
    model::{ClientId, Secret, TokenHash, TokenKind, UnixTime},
    store::{ClientRecord, EphemeralKind, GrantFilter, StoreError},
    token::{CryptoError, OpaqueToken},
};

/// Beginning of the identifier of a client that has a row.
const ROW_PREFIX: &str = "bwo_";
/// How long a client that registered itself may stay without being allowed anything.
const UNUSED_LIFETIME: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Most rows of clients that nobody vouches for.
const MAX_SELF_REGISTERED: usize = 10_000;
/// How long to wait when there are that many.
const FULL_WAIT: Duration = Duration::from_secs(60 * 60);
const USES_PURPOSE: &str = "uses of an initial access token";

/// An initial access token (RFC 7591 §1.2) that was issued.
#[derive(Clone, Debug)]
pub struct InitialAccess {
    /// The token.
    pub token: Secret,
    /// Until when.
    pub expires_at: UnixTime,
    /// For how many registrations.
    pub uses: u32,
}

/// What is kept of an initial access token, and the token's look-up hash.
#[derive(Serialize, Deserialize)]
struct Invitation {
    uses: u32,
    until: UnixTime,
    #[serde(skip)]
    lookup: Option<TokenHash>,
}

impl Issuer {
    /// Most registrations with one initial access token.
    pub const MAX_INITIAL_USES: u32 = 10_000;

    /// Registers a client (RFC 7591 §3). `bearer` is the token of the header `Authorization: Bearer`, if there is
    /// that header.
    ///
    /// # Errors
    /// [`RegistrationError`].
    pub async fn register(
        &self,
        body: &[u8],
        bearer: Option<&Secret>,
        caller: &Caller,
        now: UnixTime,
    ) -> Result<Registered, RegistrationError> {
        let invitation = self.invitation(bearer, now).await?;
        if invitation.is_none() {
            self.admit(caller, RegistrationCost::Nothing, now)?;
        }
        let metadata = metadata::read(&metadata::members(body)?)?;
        let metadata = rules::checked(metadata, Registrant::Client)?;
        let standing = if invitation.is_some() { Standing::Invited } else { Standing::SelfRegistered };
        if metadata.token_endpoint_auth_method == AuthMethod::None {
            return self.register_public(metadata, standing, invitation, now).await;
        }
        match invitation {
            Some(invitation) => self.use_up(&invitation, now).await?,
            None => {
                self.admit(caller, RegistrationCost::Row, now)?;
                self.make_room(now).await?;
            }
        }
        let management = OpaqueToken::generate(TokenKind::Registration)?;
        let (client, secret) = self.create(metadata, standing, Some(&management), now).await?;
        Ok(Registered {
            management_uri: Some(self.management_uri(&client.id)),
            client,
            secret,
            management: Some(management.text()),
            issued_at: Some(now),
        })
    }

    /// Its identifier holds all of it, so there is neither a row nor anything to manage.
    async fn register_public(
        &self,
        metadata: ClientMetadata,
        standing: Standing,
        invitation: Option<Invitation>,
        now: UnixTime,
    ) -> Result<Registered, RegistrationError> {
        let Some((id, metadata)) = stateless::encode(&self.server_key, standing, &metadata)? else {
            return Err(RegistrationError::Refused(refused(format!(
                "redirect URIs, name and scope together are too long: a public client has some {} octets for them",
                stateless::MAX
            ))));
        };
        if self.store.client(&id).await?.denied {
            return Err(RegistrationError::Refused(refused(
                "the operator has denied this client".to_owned(),
            )));
        }
        if let Some(invitation) = invitation {
            self.use_up(&invitation, now).await?;
        }
        let client = Arc::new(Client { id, standing, metadata, secret: None });
        Ok(Registered { client, secret: None, management: None, management_uri: None, issued_at: None })
    }

    /// Stores a client under a new identifier, with a secret if its method needs one.
    pub(super) async fn create(
        &self,
        metadata: ClientMetadata,
        standing: Standing,
        management: Option<&OpaqueToken>,
        now: UnixTime,
    ) -> Result<(Arc<Client>, Option<Secret>), RegistrationError> {
        let secret = new_secret(metadata.token_endpoint_auth_method)?;
        let record = ClientRecord {
            id: random_id()?,
            secret: secret.as_ref().map(OpaqueToken::lookup).transpose()?,
            management: management.map(OpaqueToken::lookup).transpose()?,
            metadata: Kept { standing, is_used: false, metadata }.write()?,
            created_at: now,
        };
        let client = Client::from_record(&record)?;
        self.store.create_client(record).await?;
        Ok((Arc::new(client), secret.map(|secret| secret.text())))
    }

    fn admit(&self, caller: &Caller, cost: RegistrationCost, now: UnixTime) -> Result<(), RegistrationError> {
        let mut registrations = self.registrations.lock().unwrap_or_else(PoisonError::into_inner);
        let admitted = registrations.admit(caller.address, cost, now);
        admitted.map_err(|retry_after| RegistrationError::TooMany { retry_after })
    }

    /// Rows of clients that nobody vouches for do not grow without end.
    async fn make_room(&self, now: UnixTime) -> Result<(), RegistrationError> {
        let is_full = async || -> Result<bool, StoreError> {
            let records = self.store.clients().await?;
            let own = records.iter().filter(|record| {
                Kept::read(record).is_ok_and(|kept| kept.standing == Standing::SelfRegistered)
            });
            Ok(own.count() >= MAX_SELF_REGISTERED)
        };
        if !is_full().await? {
            return Ok(());
        }
        self.remove_unused_clients(now).await?;
        if is_full().await? {
            tracing::warn!("too many clients have registered themselves; see `bearward client list`");
            return Err(RegistrationError::TooMany { retry_after: FULL_WAIT });
        }
        Ok(())
    }

    /// Removes clients that registered themselves a week ago and that nobody has ever allowed anything; returns how
    /// many. Call it now and then, with the other housekeeping.
    ///
    /// # Errors
    /// What the store says.
    pub async fn remove_unused_clients(&self, now: UnixTime) -> Result<u64, StoreError> {
        let mut removed = 0;
        for record in self.store.clients().await? {
            let Ok(mut kept) = Kept::read(&record) else { continue };
            let is_old = record.created_at.after(UNUSED_LIFETIME) <= now;
            if kept.standing != Standing::SelfRegistered || kept.is_used || !is_old {
                continue;
            }
            let filter = GrantFilter { client: Some(record.id.clone()), ..GrantFilter::default() };
            if self.store.grants(filter).await?.is_empty() {
                self.store.remove_client(&record.id, now).await?;
                // The identifier was random and can never come again; no need to remember it.
                self.store.allow_client(&record.id).await?;
                removed += 1;
            } else {
                kept.is_used = true;
                self.store.update_client(ClientRecord { metadata: kept.write()?, ..record }).await?;
            }
        }
        Ok(removed)
    }

    /// Issues a token that lets its holder register so many clients.
    ///
    /// # Errors
    /// [`IssuerError::Lifetime`], [`IssuerError::Uses`], or what store and library say.
    pub async fn issue_initial_access_token(
        &self,
        lifetime: Duration,
        uses: u32,
        now: UnixTime,
    ) -> Result<InitialAccess, IssuerError> {
        if lifetime < Duration::from_secs(1) || lifetime > Self::MAX_LIFETIME {
            return Err(IssuerError::Lifetime);
        }
        if !(1..=Self::MAX_INITIAL_USES).contains(&uses) {
            return Err(IssuerError::Uses);
        }
        let token = OpaqueToken::generate(TokenKind::InitialAccess)?;
        let expires_at = now.after(lifetime);
        let invitation = Invitation { uses, until: expires_at, lookup: None };
        let value = serde_json::to_vec(&invitation).map_err(|_| CryptoError::Library)?;
        self.store.keep(EphemeralKind::InitialAccess, &token.lookup()?, value, expires_at).await?;
        Ok(InitialAccess { token: token.text(), expires_at, uses })
    }

    /// Ends an initial access token; `false` when there is none.
    ///
    /// # Errors
    /// What store and library say.
    pub async fn revoke_initial_access_token(&self, token: &Secret) -> Result<bool, IssuerError> {
        let Some(lookup) = lookup_of(token, TokenKind::InitialAccess)? else { return Ok(false) };
        Ok(self.store.forget(EphemeralKind::InitialAccess, &lookup).await?)
    }

    /// What the caller's token allows; `None` for a caller who needs none and shows none.
    async fn invitation(
        &self,
        bearer: Option<&Secret>,
        now: UnixTime,
    ) -> Result<Option<Invitation>, RegistrationError> {
        match (self.config.registration, bearer) {
            (Registration::Closed, _) => return Err(RegistrationError::Closed),
            (Registration::Open, None) => return Ok(None),
            (Registration::Token, None) => {
                return Err(unauthorized("registration needs an initial access token from the operator"));
            }
            (Registration::Open | Registration::Token, Some(_)) => {}
        }
        let lookup = bearer.map(|bearer| lookup_of(bearer, TokenKind::InitialAccess)).transpose()?.flatten();
        let lookup = lookup.ok_or_else(wrong_invitation)?;
        let kept = self.store.kept(EphemeralKind::InitialAccess, &lookup, now).await?;
        let invitation = kept.and_then(|value| serde_json::from_slice::<Invitation>(&value).ok());
        let invitation =
            invitation.filter(|invitation| now < invitation.until).ok_or_else(wrong_invitation)?;
        Ok(Some(Invitation { lookup: Some(lookup), ..invitation }))
    }

    /// Counts one use, and refuses the one that is too many. The count is the store's, so that of two at the same
    /// time each is counted.
    async fn use_up(&self, invitation: &Invitation, now: UnixTime) -> Result<(), RegistrationError> {
        let lookup = invitation.lookup.ok_or_else(wrong_invitation)?;
        let key = self.server_key.hash(USES_PURPOSE, &[lookup.as_bytes()])?;
        let used = self.store.count(EphemeralKind::InitialAccess, &key, invitation.until, now).await?;
        if used > invitation.uses { Err(wrong_invitation()) } else { Ok(()) }
    }

    pub(super) fn management_uri(&self, id: &ClientId) -> String {
        format!("{}/{id}", self.url_of(crate::issuer::Endpoint::Registration))
    }
}

/// A new secret for a method that has one.
pub(super) fn new_secret(method: AuthMethod) -> Result<Option<OpaqueToken>, CryptoError> {
    match method {
        AuthMethod::ClientSecretBasic | AuthMethod::ClientSecretPost => {
            OpaqueToken::generate(TokenKind::ClientSecret).map(Some)
        }
        AuthMethod::None
        | AuthMethod::PrivateKeyJwt
        | AuthMethod::TlsClientAuth
        | AuthMethod::SelfSignedTlsClientAuth => Ok(None),
    }
}

/// The look-up hash of a text that is a token of that kind.
pub(super) fn lookup_of(text: &Secret, kind: TokenKind) -> Result<Option<TokenHash>, CryptoError> {
    match OpaqueToken::parse(text.expose()) {
        Ok(token) if token.kind() == kind => token.lookup().map(Some),
        Ok(_) | Err(_) => Ok(None),
    }
}

pub(super) fn unauthorized(description: &'static str) -> RegistrationError {
    RegistrationError::Unauthorized(OAuthError::new(ErrorCode::InvalidToken, description))
}

fn wrong_invitation() -> RegistrationError {
    unauthorized("the initial access token is unknown, used up or has expired")
}

fn random_id() -> Result<ClientId, CryptoError> {
    let mut octets = [0; 16];
    aws_lc_rs::rand::fill(&mut octets)?;
    format!("{ROW_PREFIX}{}", URL_SAFE_NO_PAD.encode(octets)).parse().map_err(|_| CryptoError::Library)
}
