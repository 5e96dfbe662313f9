//! From a bearer token to a [`Principal`], or a typed refusal.
//!
//! What holds:
//! - The checks run in an order in which a refusal tells nothing about anybody else: whoever shows a dead or
//!   foreign token learns only that it is dead, before any name is compared.
//! - A token serves this audience alone, and one that is bound to a certificate serves its holder alone.
//! - A JWT is believed for nothing but what its signature covers, and its grant must be live like any other's.
//! - A fault of the store or of the keys is never a wrong token ([`Rejection::Unavailable`]).
//! - The cache keeps rows as they are stored, sealed; an opened password lives in the answer alone.
//! - After [`Validator::forget_grant`] returned, no cached row of that grant is used again, not even one that
//!   was being looked up meanwhile.
//!
//! It runs without an issuer, must not import one, and must not write logs of its own.

mod cache;
mod checks;
mod explain;
mod jwt;
mod keys;
mod refusal;

use std::sync::Arc;

use thiserror::Error;

use self::{
    cache::{Generation, RecordCache},
    explain::{StepName, Trace},
    jwt::looks_like_jwt,
    keys::VerificationKeys,
};
use crate::{
    model::{
        GrantId, Login, Outcome, Principal, Protocol, Right, SealedPassword, Secret, TokenHash, TokenKind,
        UnixTime,
    },
    store::{Store, TokenRecord},
    token::{CryptoError, GrantKey, GrantPublicKey, InvalidToken, OpaqueToken, SealContext},
};

/// For rooms that know the validator and not the store.
pub use crate::{
    store::{Ended, RevocationReason, Revoked, StoreError},
    token::ServerKey,
};
pub use explain::{Explanation, Step, StepResult};
pub use refusal::{PasswordRefusal, RefusalPolicy, Verdict};

/// Settings of a [`Validator`].
#[derive(Clone, Debug)]
pub struct Config {
    /// The URL of the issuer whose tokens are in the store.
    pub issuer: Arc<str>,
    /// The resource that tokens must be for (RFC 8707 §2).
    pub audience: Arc<str>,
    /// How many tokens are remembered.
    pub cache_entries: usize,
}

/// What a token is asked to do.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// On which protocol.
    pub protocol: Protocol,
    /// As whom, when the client said so.
    pub authzid: Option<&'a str>,
    /// SHA-256 of the certificate that the client has proved to hold on this connection.
    pub certificate: Option<[u8; 32]>,
}

/// Why a token is not taken.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Rejection {
    /// It is no token of this server, or was cut or mistyped.
    #[error("the token is malformed")]
    Malformed,
    /// This server does not know it.
    #[error("the token is unknown")]
    Unknown,
    /// It, or its grant, is past its end.
    #[error("the token has expired")]
    Expired,
    /// It, or its grant, was ended early.
    #[error("the token was revoked")]
    Revoked,
    /// It is for another service.
    #[error("the token is for another service")]
    WrongAudience,
    /// It is bound to a certificate that the connection has not shown, or to a key that it cannot show
    /// (RFC 8705 §3, RFC 9449 §7.2).
    #[error("the token is bound to a key that the connection has not shown")]
    BoundElsewhere,
    /// It is not for this protocol.
    #[error("the token lacks the scope of this protocol")]
    InsufficientScope,
    /// It may not act as the authorization identity asked for.
    #[error("the token does not speak for the user asked for")]
    NotAuthorized,
    /// It cannot be told now; the token is not to blame.
    #[error("the token cannot be validated now: {0}")]
    Unavailable(#[from] StoreError),
}

impl Rejection {
    /// How the sign-in ends.
    pub const fn outcome(&self) -> Outcome {
        match self {
            Self::Malformed | Self::Unknown | Self::Revoked | Self::WrongAudience | Self::BoundElsewhere => {
                Outcome::InvalidToken
            }
            Self::Expired => Outcome::Expired,
            Self::InsufficientScope => Outcome::InsufficientScope,
            Self::NotAuthorized => Outcome::Policy,
            Self::Unavailable(_) => Outcome::IssuerUnreachable,
        }
    }
}

/// A validation and where its answer came from.
#[derive(Debug)]
pub struct Validation {
    /// The answer.
    pub result: Result<Principal, Rejection>,
    /// Whether it was given without asking the store.
    pub cached: bool,
    /// When, for [`Validator::is_still_live`].
    pub seen: Seen,
}

/// A moment in the order of revocations that this process knows of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen(Generation);

/// Validates the tokens of the built-in issuer, opaque ones and those in JWT form (RFC 9068).
pub struct Validator {
    store: Arc<dyn Store>,
    server_key: ServerKey,
    issuer: Arc<str>,
    audience: Arc<str>,
    keys: VerificationKeys,
    cache: RecordCache,
    /// The same for JWTs, under a hash of their text. Which row a text belongs to is not kept, so the end of any one
    /// token empties it.
    jwts: RecordCache,
}

impl Validator {
    /// A validator with an empty cache.
    pub fn new(config: &Config, store: Arc<dyn Store>, server_key: ServerKey) -> Self {
        let cache = RecordCache::new(config.cache_entries);
        let jwts = RecordCache::new(config.cache_entries);
        let keys = VerificationKeys::new(Arc::clone(&store), server_key.clone());
        let (issuer, audience) = (Arc::clone(&config.issuer), Arc::clone(&config.audience));
        Self { store, server_key, issuer, audience, keys, cache, jwts }
    }

    /// Whom `token` speaks for, if it may do what is requested.
    ///
    /// # Errors
    /// [`Rejection`].
    pub async fn validate(
        &self,
        token: &Secret,
        request: &Request<'_>,
        now: UnixTime,
    ) -> Result<Principal, Rejection> {
        self.validate_noting(token, request, now).await.result
    }

    /// The same, and whether the cache answered.
    pub async fn validate_noting(&self, token: &Secret, request: &Request<'_>, now: UnixTime) -> Validation {
        let seen = Seen(self.cache.generation());
        let mut trace = Trace::off();
        let result = self.decide(token, request, now, &mut trace).await;
        Validation { result, cached: trace.cached, seen }
    }

    /// The decision that `token` would get, step by step, for the operator. It holds no secret, but it does name
    /// the user of a dead token: never show it to whoever presented the token.
    pub async fn explain(&self, token: &Secret, request: &Request<'_>, now: UnixTime) -> Explanation {
        let mut trace = Trace::on();
        let result = self.decide(token, request, now, &mut trace).await;
        trace.explanation(result.as_ref().map_or_else(Rejection::outcome, |_| Outcome::Ok))
    }

    /// Whether what an earlier validation hangs on is live still. Where nothing at all was forgotten since then,
    /// nothing was revoked that this process knows of, and the answer needs no store; else the store is asked.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be told.
    pub async fn is_still_live(&self, right: &Right, seen: Seen, now: UnixTime) -> Result<bool, StoreError> {
        if self.cache.generation() == seen.0 {
            return Ok(true);
        }
        let Right::Grant { grant, token } = right else { return Ok(true) };
        let is_revoked = self.store.token(token).await?.is_some_and(|row| row.revoked_at.is_some());
        Ok(!is_revoked && self.is_live(*grant, now).await?)
    }

    /// Whether the grant is live now. It asks the store, not the cache.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be told.
    pub async fn is_live(&self, grant: GrantId, now: UnixTime) -> Result<bool, StoreError> {
        Ok(self.store.grant(grant).await?.is_some_and(|grant| grant.is_live(now)))
    }

    /// Ends a grant in the store and forgets it here.
    ///
    /// # Errors
    /// [`StoreError`] when the store did not take it; it is forgotten here all the same.
    pub async fn end_grant(
        &self,
        grant: GrantId,
        reason: RevocationReason,
        now: UnixTime,
    ) -> Result<Ended, StoreError> {
        let ended = self.store.revoke_grant(grant, reason, now).await;
        self.forget_grant(grant);
        ended
    }

    /// Ends a grant whose sealed password the mail server no longer takes.
    ///
    /// # Errors
    /// As [`Self::end_grant`].
    pub async fn end_refused_grant(&self, grant: GrantId, now: UnixTime) -> Result<Ended, StoreError> {
        self.end_grant(grant, RevocationReason::PasswordRefused, now).await
    }

    /// Forgets every cached token of a grant that was revoked.
    pub fn forget_grant(&self, grant: GrantId) {
        self.forget(&[Revoked::Grant(grant)]);
    }

    /// Forgets what was revoked; one pass over the cache for all of it.
    pub fn forget(&self, revoked: &[Revoked]) {
        self.cache.forget(revoked);
        if revoked.iter().any(|one| matches!(one, Revoked::Token(_))) {
            self.jwts.clear();
        }
        self.jwts.forget(revoked);
    }

    async fn decide(
        &self,
        presented: &Secret,
        request: &Request<'_>,
        now: UnixTime,
        trace: &mut Trace,
    ) -> Result<Principal, Rejection> {
        let parsed = OpaqueToken::parse(presented.expose());
        let token = match parsed {
            Err(InvalidToken::Foreign) if looks_like_jwt(presented.expose()) => {
                return self.decide_jwt(presented, request, now, trace).await;
            }
            Ok(token) if token.kind() == TokenKind::Access => token,
            Ok(token) => {
                let detail = format!("a {} token is no access token", token.kind().as_str());
                return trace.fail(StepName::Format, Rejection::Malformed, detail);
            }
            Err(error) => return trace.fail(StepName::Format, Rejection::Malformed, error.to_string()),
        };
        trace.pass(StepName::Format, || "an access token of this server, its checksum is right".to_owned());

        let lookup = token.lookup().map_err(keys_fault)?;
        let record = self.record(&lookup, now, trace).await?;
        let login = self.check(&record, request, now, trace)?;
        let passwords = match self.open_passwords(&token, &record) {
            Ok(passwords) => passwords,
            Err(error) => return trace.fail(StepName::Secrets, keys_fault(error), error.to_string()),
        };
        trace.pass(StepName::Secrets, || format!("{} sealed passwords opened", passwords.len()));
        Ok(self.principal(&record, login, presented, passwords))
    }

    /// Every check of a record that was found.
    fn check(
        &self,
        record: &TokenRecord,
        request: &Request<'_>,
        now: UnixTime,
        trace: &mut Trace,
    ) -> Result<Login, Rejection> {
        trace.found(record);
        checks::life(record, now, trace)?;
        checks::audience(record, &self.audience, trace)?;
        checks::binding(record, request, trace)?;
        let login = checks::identity(record, request, trace)?;
        trace.speaks_for(&login);
        checks::scope(record, request, trace)?;
        Ok(login)
    }

    fn principal(
        &self,
        record: &TokenRecord,
        login: Login,
        token: &Secret,
        passwords: Vec<SealedPassword>,
    ) -> Principal {
        Principal {
            mailbox: login.clone(),
            login,
            right: Right::Grant { grant: record.grant.id, token: record.lookup },
            client: record.grant.client.clone(),
            scope: record.scope.clone(),
            issuer: self.issuer.clone(),
            expires_at: end_of(record),
            addresses: Vec::new(),
            token: token.clone(),
            passwords,
        }
    }

    async fn record(
        &self,
        lookup: &TokenHash,
        now: UnixTime,
        trace: &mut Trace,
    ) -> Result<Arc<TokenRecord>, Rejection> {
        if let Some(record) = self.cache.record(lookup, now) {
            trace.cached = true;
            trace.pass(StepName::Lookup, || "known, from the cache".to_owned());
            return Ok(record);
        }
        if self.cache.is_known_unknown(lookup, now) {
            trace.cached = true;
            return trace.fail(StepName::Lookup, Rejection::Unknown, "unknown, from the cache".to_owned());
        }
        let generation = self.cache.generation();
        match self.store.token(lookup).await {
            Ok(Some(record)) => {
                let record = Arc::new(record);
                if checks::life(&record, now, &mut Trace::off()).is_ok() {
                    self.cache.insert(*lookup, &record, end_of(&record), generation);
                }
                trace.pass(StepName::Lookup, || "known, from the store".to_owned());
                Ok(record)
            }
            Ok(None) => {
                self.cache.insert_unknown(*lookup, now);
                trace.fail(StepName::Lookup, Rejection::Unknown, "the store does not know it".to_owned())
            }
            Err(error) => {
                let detail = error.to_string();
                trace.fail(StepName::Lookup, Rejection::Unavailable(error), detail)
            }
        }
    }

    fn open_passwords(
        &self,
        token: &OpaqueToken,
        record: &TokenRecord,
    ) -> Result<Vec<SealedPassword>, CryptoError> {
        if record.credentials.is_empty() {
            return Ok(Vec::new());
        }
        let wrapped = record.wrapped_key.as_deref().ok_or(CryptoError::NotAuthentic)?;
        let public = GrantPublicKey::new(record.grant.public_key);
        let wrap_key = token.wrap_key(&self.server_key)?;
        let key = GrantKey::unwrap(wrapped, &wrap_key, record.grant.id, record.kind, public)?;
        record
            .credentials
            .iter()
            .map(|credential| {
                let context = SealContext {
                    grant: record.grant.id,
                    user: &record.grant.user,
                    backend: &credential.backend,
                    kind: credential.kind,
                };
                let password = key.open(&credential.sealed, &context)?;
                Ok(SealedPassword { backend: credential.backend.as_str().into(), password })
            })
            .collect()
    }
}

/// Without keys and cache.
impl std::fmt::Debug for Validator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Validator").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

/// When the token ends: no later than its grant.
fn end_of(record: &TokenRecord) -> UnixTime {
    record.grant.expires_at.map_or(record.expires_at, |end| end.min(record.expires_at))
}

/// Keys that do not fit are the server's fault: another server key, or a store that was changed.
fn keys_fault(error: CryptoError) -> Rejection {
    Rejection::Unavailable(StoreError::Corrupt(format!("a grant's keys: {error}")))
}
