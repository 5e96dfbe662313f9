//! OAuth decisions, without HTTP.
//!
//! What holds: a token is never given for longer or for more than its grant; no scope is given that this server
//! does not know; the metadata names only what is built. Passwords come in to be sealed and leave no copy.
//!
//! It must not know HTTP, pages or the command line; those ask it and render what it says.

mod app_passwords;
mod authorize;
mod clients;
mod discovery;
mod error;
mod exchange;
mod keys;
mod logout;
mod mint;
mod params;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use thiserror::Error;

/// For rooms that know the issuer and not the store.
pub use crate::{
    store::{
        AppPasswordRecord, Ended, Grant, GrantEnd, GrantFilter, GrantUse, LastUse, News, Place,
        RevocationReason, StoreError,
    },
    token::ServerKey,
};
pub use app_passwords::{AppPasswordFault, MadeAppPassword, NewAppPassword};
pub use authorize::{
    Account, AccountEntry, AccountGoal, Answer, AppPasswordAnswer, AppPasswordError, AppPasswordForm,
    AppPasswordPage, ConnectedApp, ConsentPage, DeviceCodePage, DevicePlace, DonePage, LeavePage,
    MailboxPage, OutsideButton, Page, PageError, Pushed, Redirect, RedirectMode, SignInError, SignInForm,
    SignInPage, SignInShown, SignedIn,
};
pub use clients::{
    AccessTokenFormat, AddedClient, AuthMethod, Client, ClientMetadata, GrantType, InitialAccess,
    InvalidRedirectUri, KnownClient, RedirectUri, Registered, RegistrationError, Standing,
};
pub use discovery::{Endpoint, JwkSet, MutualTlsAliases, ProtectedResource, ServerMetadata};
pub use error::{ErrorCode, OAuthError};
pub use exchange::{
    Call, Caller, ClientCertificate, Confirmation, DeviceAuthorization, IntrospectedToken, Introspection,
    TokenResponse, UserInfo,
};
pub use keys::{KeyRotation, KeyState, KeyStatus};
pub use logout::LogoutNotice;
pub use mint::{MintRequest, Minted};
pub use params::Params;

use crate::{
    limits::{Registrations, SignInConfig},
    model::{ClientId, GrantId, UnixTime},
    store::Store,
    token::CryptoError,
};

/// Settings of the built-in issuer.
#[derive(Clone, Debug)]
pub struct Config {
    /// Whether there is a built-in issuer at all.
    pub enabled: bool,
    /// The issuer identifier: an https URL without query and fragment (RFC 8414 §2).
    pub url: Arc<str>,
    /// Names of the mail service beside the issuer's host, as resource indicators may name it (RFC 8707 §2).
    pub hostnames: Vec<Arc<str>>,
    /// Lifetime of an access token.
    pub access_token_lifetime: Duration,
    /// Idle lifetime of a refresh token.
    pub refresh_token_lifetime: Duration,
    /// A confidential client's refresh token is replaced when less than this is left.
    pub refresh_token_renew: Duration,
    /// How long a replaced refresh token still gets the answer that replaced it.
    pub refresh_grace: Duration,
    /// Absolute lifetime of a grant; `None` is for ever.
    pub grant_lifetime: Option<Duration>,
    /// Lifetime of an authorization code.
    pub authorization_code_lifetime: Duration,
    /// Lifetime of a device code.
    pub device_code_lifetime: Duration,
    /// Lifetime of an ID token.
    pub id_token_lifetime: Duration,
    /// Wrong passwords for one authorization request; then it is dead.
    pub max_sign_in_attempts: u32,
    /// Who may register clients.
    pub registration: Registration,
    /// How long a key signs before the next one takes over.
    pub key_rotation: Duration,
    /// Where clients can show a certificate.
    pub mutual_tls: MutualTls,
    /// What holds guessing of passwords and user codes down.
    pub sign_in: SignInConfig,
}

/// Where OAuth clients can authenticate by a certificate (RFC 8705).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MutualTls {
    /// Nowhere.
    Off,
    /// At the addresses that everybody uses.
    Here,
    /// At the same paths of another origin, such as `https://mail.example.org:8443` (RFC 8705 §5).
    At(Arc<str>),
}

impl Config {
    /// The defaults for an issuer at `url`.
    pub fn new(url: &str) -> Self {
        const DAY: u64 = 24 * 60 * 60;
        Self {
            enabled: true,
            url: url.into(),
            hostnames: Vec::new(),
            access_token_lifetime: Duration::from_secs(60 * 60),
            refresh_token_lifetime: Duration::from_secs(90 * DAY),
            refresh_token_renew: Duration::from_secs(4 * DAY),
            refresh_grace: Duration::from_secs(30),
            grant_lifetime: None,
            authorization_code_lifetime: Duration::from_secs(60),
            device_code_lifetime: Duration::from_secs(10 * 60),
            id_token_lifetime: Duration::from_secs(15 * 60),
            max_sign_in_attempts: 5,
            registration: Registration::Open,
            key_rotation: Duration::from_secs(90 * DAY),
            mutual_tls: MutualTls::Off,
            sign_in: SignInConfig::default(),
        }
    }
}

impl Config {
    /// The identifier of the mail service as a resource, which every token is for. Its document stands at the root
    /// of the host, so it has no path (RFC 9728 §3.1).
    pub fn audience(&self) -> String {
        let url = &*self.url;
        let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
        let host = rest.split_once('/').map_or(rest, |(host, _)| host);
        format!("{scheme}://{host}")
    }
}

/// Who may register clients (RFC 7591 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registration {
    /// Everybody.
    Open,
    /// Who holds an initial access token.
    Token,
    /// The operator alone.
    Closed,
}

/// Why the issuer did not do what it was asked. Split by who must act.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum IssuerError {
    /// An app password that cannot be made so.
    #[error(transparent)]
    AppPassword(AppPasswordFault),
    /// No scope was asked for.
    #[error("at least one scope value is needed")]
    NoScope,
    /// A scope value that this server does not know.
    #[error("unknown scope value \"{0}\"")]
    UnknownScope(String),
    /// A lifetime of zero, or of more than [`Issuer::MAX_LIFETIME`].
    #[error("a lifetime must be more than zero and at most 365 days")]
    Lifetime,
    /// An initial access token for no registrations, or for more than [`Issuer::MAX_INITIAL_USES`].
    #[error("an initial access token is good for 1 to {} registrations", Issuer::MAX_INITIAL_USES)]
    Uses,
    /// A client that is not registered.
    #[error("no client \"{0}\" is registered")]
    UnknownClient(ClientId),
    /// A JWT that should open a sealed password. It holds no key.
    #[error(
        "client \"{0}\" gets JWT access tokens, which cannot open a sealed mailbox password; use a client with opaque tokens, or another login for the backend"
    )]
    SealedJwt(ClientId),
    /// A backend logs in with the mailbox password, and none was given.
    #[error("backend \"{0}\" logs in with the sealed mailbox password, so the password is needed")]
    PasswordRequired(Arc<str>),
    /// A password that no mail server would take: empty, or longer than can be sealed.
    #[error("a password has 1 to 255 octets")]
    BadPassword,
    /// The server key is not the one that the store's keys were encrypted under.
    #[error(
        "the server key does not belong to this store; put back the key file that was made with it, or start with an empty store"
    )]
    WrongServerKey,
    /// The store did not take or give something.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The cryptographic library failed.
    #[error(transparent)]
    Crypto(CryptoError),
}

impl From<CryptoError> for IssuerError {
    fn from(error: CryptoError) -> Self {
        match error {
            CryptoError::PasswordTooLong => Self::BadPassword,
            CryptoError::BadKey | CryptoError::Library | CryptoError::NotAuthentic | CryptoError::NotJson => {
                Self::Crypto(error)
            }
        }
    }
}

/// The built-in issuer.
pub struct Issuer {
    config: Config,
    store: Arc<dyn Store>,
    server_key: ServerKey,
    keys: keys::KeyRing,
    sign_ins: authorize::SignIns,
    registrations: Mutex<Registrations>,
    devices: exchange::PendingDevices,
}

impl Issuer {
    /// Longest lifetime of an access token.
    pub const MAX_LIFETIME: Duration = Duration::from_secs(365 * 24 * 60 * 60);

    /// Reads the signing keys, and makes the first one of each algorithm that has none.
    ///
    /// # Errors
    /// [`IssuerError::WrongServerKey`], or what the store says.
    pub async fn new(
        config: Config,
        store: Arc<dyn Store>,
        server_key: ServerKey,
        now: UnixTime,
    ) -> Result<Self, IssuerError> {
        let keys =
            keys::KeyRing::load_or_create(&config, Arc::clone(&store), server_key.clone(), now).await?;
        let sign_ins = authorize::SignIns::new(&config.sign_in);
        Ok(Self {
            config,
            store,
            server_key,
            keys,
            sign_ins,
            registrations: Mutex::default(),
            devices: exchange::PendingDevices::default(),
        })
    }

    /// The issuer identifier.
    pub fn url(&self) -> &Arc<str> {
        &self.config.url
    }

    /// Ends a grant in the store. Whoever keeps copies in memory must be told apart: the revocation feed does.
    ///
    /// # Errors
    /// [`IssuerError::Store`].
    pub async fn revoke_grant(
        &self,
        grant: GrantId,
        reason: RevocationReason,
        now: UnixTime,
    ) -> Result<Ended, IssuerError> {
        Ok(self.store.revoke_grant(grant, reason, now).await?)
    }

    /// The grants that pass the filter, the oldest first.
    ///
    /// # Errors
    /// [`IssuerError::Store`].
    pub async fn list_grants(&self, filter: GrantFilter) -> Result<Vec<Grant>, IssuerError> {
        Ok(self.store.grants(filter).await?)
    }
}

/// Without keys.
impl std::fmt::Debug for Issuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issuer").field("config", &self.config).finish_non_exhaustive()
    }
}
