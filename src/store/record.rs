use std::fmt;

use serde::{Serialize, Serializer};

use super::NewCode;
use crate::model::{
    ClientId, CredentialKind, GrantId, Login, Network, Scope, TokenHash, TokenKind, UnixTime,
};

/// What a person allowed one client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Grant {
    /// Its name.
    pub id: GrantId,
    /// The user.
    pub user: Login,
    /// The client.
    #[serde(rename = "client_id")]
    pub client: ClientId,
    /// What was allowed.
    pub scope: Scope,
    /// Since when.
    pub created_at: UnixTime,
    /// Until when; `None` is without end.
    pub expires_at: Option<UnixTime>,
    /// When and why it was ended early.
    pub revoked: Option<GrantEnd>,
    /// The resource that its tokens are for (RFC 8707).
    pub audience: String,
    /// When the person proved who they are; `None` where nobody signed in.
    pub auth_time: Option<UnixTime>,
    /// Mailboxes that a service client may open: login names, or `*@domain`. Empty for a person's grant, which
    /// opens the user's own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mailboxes: Vec<String>,
    /// The public half of its HPKE key pair.
    #[serde(skip)]
    pub public_key: [u8; 32],
}

impl Grant {
    /// Whether it is neither revoked nor past its end.
    pub fn is_live(&self, now: UnixTime) -> bool {
        self.revoked.is_none() && self.expires_at.is_none_or(|end| now < end)
    }
}

/// When and why a grant was ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct GrantEnd {
    /// When.
    pub at: UnixTime,
    /// Why.
    pub reason: RevocationReason,
}

/// Why a grant was ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevocationReason {
    /// The operator said so.
    Operator,
    /// The mail server no longer takes the sealed password.
    PasswordRefused,
    /// No token of it was left.
    Unused,
    /// Its authorization code or device code was used a second time.
    CodeReplayed,
    /// A refresh token of it was used again after it had been replaced.
    RefreshReused,
    /// The client gave it back (RFC 7009).
    Client,
    /// The client was removed.
    ClientRemoved,
    /// The user was removed.
    UserRemoved,
    /// The user's password was changed.
    PasswordChanged,
    /// The person signed out.
    LoggedOut,
}

impl RevocationReason {
    const ALL: [Self; 10] = [
        Self::Operator,
        Self::PasswordRefused,
        Self::Unused,
        Self::CodeReplayed,
        Self::RefreshReused,
        Self::Client,
        Self::ClientRemoved,
        Self::UserRemoved,
        Self::PasswordChanged,
        Self::LoggedOut,
    ];

    /// Its name in the store and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::PasswordRefused => "password_refused",
            Self::Unused => "unused",
            Self::CodeReplayed => "code_replayed",
            Self::RefreshReused => "refresh_reused",
            Self::Client => "client",
            Self::ClientRemoved => "client_removed",
            Self::UserRemoved => "user_removed",
            Self::PasswordChanged => "password_changed",
            Self::LoggedOut => "logged_out",
        }
    }

    /// The reason of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == name)
    }
}

impl fmt::Display for RevocationReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for RevocationReason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// A grant to be stored, with all that belongs to it from the start.
#[derive(Clone, Debug)]
pub struct NewGrant {
    /// Its name.
    pub id: GrantId,
    /// The user.
    pub user: Login,
    /// The client.
    pub client: ClientId,
    /// What was allowed.
    pub scope: Scope,
    /// Since when.
    pub created_at: UnixTime,
    /// Until when; `None` is without end.
    pub expires_at: Option<UnixTime>,
    /// The resource that its tokens are for (RFC 8707).
    pub audience: String,
    /// When the person proved who they are; `None` where nobody signed in.
    pub auth_time: Option<UnixTime>,
    /// Mailboxes that a service client may open; empty for a person's grant.
    pub mailboxes: Vec<String>,
    /// The public half of its HPKE key pair.
    pub public_key: [u8; 32],
    /// Credentials sealed to that key.
    pub credentials: Vec<SealedCredential>,
    /// The authorization code that will give its first tokens.
    pub code: Option<NewCode>,
    /// Its first tokens.
    pub tokens: Vec<NewToken>,
}

/// The grant as it will be, without what hangs on it.
impl From<Grant> for NewGrant {
    fn from(grant: Grant) -> Self {
        Self {
            id: grant.id,
            user: grant.user,
            client: grant.client,
            scope: grant.scope,
            created_at: grant.created_at,
            expires_at: grant.expires_at,
            audience: grant.audience,
            auth_time: grant.auth_time,
            mailboxes: grant.mailboxes,
            public_key: grant.public_key,
            credentials: Vec::new(),
            code: None,
            tokens: Vec::new(),
        }
    }
}

/// A token to be stored.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// Its row's key.
    pub lookup: TokenHash,
    /// What it is for.
    pub kind: TokenKind,
    /// What it may be used for.
    pub scope: Scope,
    /// The resource that it is for (RFC 8707).
    pub audience: String,
    /// SHA-256 of the client certificate that it is bound to (RFC 8705 §3).
    pub certificate: Option<[u8; 32]>,
    /// Since when.
    pub created_at: UnixTime,
    /// Until when.
    pub expires_at: UnixTime,
    /// The grant's private key, wrapped for this token.
    pub wrapped_key: Vec<u8>,
}

/// A credential as it is stored: sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedCredential {
    /// The backend it belongs to.
    pub backend: String,
    /// What it is.
    pub kind: CredentialKind,
    /// The sealed octets.
    pub sealed: Vec<u8>,
}

/// A stored token with its grant and the grant's sealed credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRecord {
    /// The key of its row.
    pub lookup: TokenHash,
    /// What it is for.
    pub kind: TokenKind,
    /// What it may be used for.
    pub scope: Scope,
    /// The resource that it is for (RFC 8707).
    pub audience: String,
    /// SHA-256 of the client certificate that it is bound to (RFC 8705 §3).
    pub certificate: Option<[u8; 32]>,
    /// Since when.
    pub created_at: UnixTime,
    /// Until when.
    pub expires_at: UnixTime,
    /// When it was ended early, apart from its grant.
    pub revoked_at: Option<UnixTime>,
    /// When a refresh token was replaced by the next one.
    pub used_at: Option<UnixTime>,
    /// The answer that replaced it, encrypted under a key of this token, while it is kept.
    pub answer: Option<Vec<u8>>,
    /// The grant's private key, wrapped for this token; `None` once token or grant have ended.
    pub wrapped_key: Option<Vec<u8>>,
    /// Of an app password: from where it may be used; from everywhere when there is none.
    pub networks: Vec<Network>,
    /// The grant it hangs on.
    pub grant: Grant,
    /// The grant's sealed credentials.
    pub credentials: Vec<SealedCredential>,
}

/// Which grants to list; every given condition must hold.
#[derive(Clone, Debug, Default)]
pub struct GrantFilter {
    /// Of this user.
    pub user: Option<Login>,
    /// Of this client.
    pub client: Option<ClientId>,
    /// Live at this moment, and with a token that is.
    pub active_at: Option<UnixTime>,
}

/// What the ending of something came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It had ended before.
    Before,
    /// It ended now.
    Now,
    /// There is no such thing.
    Unknown,
}

/// A signing key as it is stored: encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningKeyRecord {
    /// Its name.
    pub kid: String,
    /// Its algorithm (RFC 7518 §3.1).
    pub algorithm: String,
    /// The encrypted private key.
    pub sealed: Vec<u8>,
    /// Since when.
    pub created_at: UnixTime,
    /// From when on it signs; it is published before.
    pub signs_from: UnixTime,
    /// From when on nothing that it signed is valid, and it is no longer published; `None` while nothing follows it.
    pub retires_at: Option<UnixTime>,
}

/// The signing key that a new one follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replaces {
    /// Its name.
    pub kid: String,
    /// When it retires.
    pub retires_at: UnixTime,
}

/// One thing that [`crate::store::Store::check`] looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckItem {
    /// What was looked at.
    pub what: &'static str,
    /// Whether it is as it should be.
    pub ok: bool,
    /// What was found.
    pub detail: String,
}
