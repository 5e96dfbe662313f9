//! From a bearer token, of the built-in issuer or of a trusted one, to a [`Principal`], or a typed refusal.
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
mod choice;
mod delegation;
mod explain;
mod jwt;
mod keys;
mod last_use;
mod outside;
mod password;
mod refusal;
mod rejection;
pub mod trusted;

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use self::{
    cache::{Generation, RecordCache},
    choice::Choice,
    explain::{StepName, Trace},
    jwt::looks_like_jwt,
    keys::VerificationKeys,
    last_use::LastUses,
};
use crate::{
    lookup::Lookup,
    model::{
        GrantId, Login, Outcome, Principal, Protocol, Right, SealedPassword, Secret, TokenHash, TokenKind,
        UnixTime,
    },
    store::{Store, TokenRecord},
    token::{CryptoError, GrantKey, GrantPublicKey, InvalidToken, OpaqueToken, SealContext, WrapKey},
};

/// For rooms that know the validator and not the store.
pub use crate::{
    store::{Ended, LastUse, NEVER, RevocationReason, Revoked, StoreError},
    token::ServerKey,
};
pub use explain::{Explanation, Step, StepResult};
pub use outside::Recheck;
pub use password::{Presented, password_key};
pub use refusal::{PasswordRefusal, RefusalPolicy, Verdict};
pub use rejection::Rejection;
pub use trusted::{LogoutError, LogoutOf, TrustedIssuer};

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
    /// The name that the client asked for in the TLS handshake.
    pub sni: Option<&'a str>,
    /// The listener that it came to.
    pub listener: Option<SocketAddr>,
    /// The client's address.
    pub client: Option<IpAddr>,
}

impl Request<'_> {
    /// On a connection of which nothing is known.
    pub const fn new(protocol: Protocol) -> Self {
        Self { protocol, authzid: None, certificate: None, sni: None, listener: None, client: None }
    }
}

/// A validation and where its answer came from.
#[derive(Debug)]
pub struct Validation {
    /// The answer.
    pub result: Result<Principal, Rejection>,
    /// Whether it was given without asking the store.
    pub cached: bool,
    /// The URL of the issuer that was found to decide: one of the configured ones, whatever the token says.
    pub issuer: Arc<str>,
    /// When, for [`Validator::is_still_live`].
    pub seen: Seen,
}

/// A moment in the order of revocations that this process knows of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen(Generation, UnixTime);

/// How far the clock of another issuer, which says when somebody signed out there, may be behind.
const BEHIND: i64 = 60;

/// Validates the tokens of the built-in issuer, opaque ones and those in JWT form (RFC 9068), and those of trusted
/// issuers.
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
    /// Whether tokens of the built-in issuer are taken.
    is_issuing: bool,
    trusted: Vec<Arc<TrustedIssuer>>,
    /// Knows which mailboxes of others a user may open.
    shared_mailboxes: Option<Arc<dyn Lookup>>,
    last_uses: LastUses,
}

impl Validator {
    /// A validator with an empty cache.
    pub fn new(config: &Config, store: Arc<dyn Store>, server_key: ServerKey) -> Self {
        let cache = RecordCache::new(config.cache_entries);
        let jwts = RecordCache::new(config.cache_entries);
        let keys = VerificationKeys::new(Arc::clone(&store), server_key.clone());
        let (issuer, audience) = (Arc::clone(&config.issuer), Arc::clone(&config.audience));
        Self {
            store,
            server_key,
            issuer,
            audience,
            keys,
            cache,
            jwts,
            is_issuing: true,
            trusted: Vec::new(),
            shared_mailboxes: None,
            last_uses: LastUses::default(),
        }
    }

    /// Takes tokens of these issuers too.
    #[must_use]
    pub fn with_trusted(mut self, trusted: Vec<TrustedIssuer>) -> Self {
        self.trusted = trusted.into_iter().map(Arc::new).collect();
        self
    }

    /// Takes no tokens of the built-in issuer.
    #[must_use]
    pub const fn without_own(mut self) -> Self {
        self.is_issuing = false;
        self
    }

    /// Lets users open the mailboxes of others that a look-up says.
    #[must_use]
    pub fn with_shared_mailboxes(mut self, lookup: Arc<dyn Lookup>) -> Self {
        self.shared_mailboxes = Some(lookup);
        self
    }

    /// The trusted issuers.
    pub fn trusted(&self) -> impl Iterator<Item = &TrustedIssuer> {
        self.trusted.iter().map(|issuer| &**issuer)
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
        let seen = Seen(self.cache.generation(), now);
        let mut trace = Trace::off();
        let result = self.decide(token, request, now, &mut trace).await;
        let issuer = trace.issuer.unwrap_or_else(|| Arc::clone(&self.issuer));
        Validation { result, cached: trace.cached, issuer, seen }
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
        let (grant, token) = match right {
            Right::Grant { grant, token } => (grant, token),
            Right::Outside(outside) => {
                let since = UnixTime(seen.1.0.saturating_sub(BEHIND));
                return self.none_ended(&outside.keys, since).await;
            }
            Right::Password { key } => return self.none_ended(&[*key], seen.1).await,
        };
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
        match self.choose(presented, request) {
            Choice::Own => self.decide_own(presented, request, now, trace).await,
            Choice::Outside(issuer) => {
                trace.issuer = Some(Arc::clone(&issuer.config().url));
                self.decide_outside(&issuer, presented, request, now, trace).await
            }
            Choice::Nobody(why) => trace.fail(StepName::Issuer, Rejection::Unknown, why),
        }
    }

    async fn decide_own(
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
        let record = self.record(&lookup, TokenKind::Access, now, trace).await?;
        let who = self.check(&record, request, now, trace).await?;
        let wrap_key = || token.wrap_key(&self.server_key);
        let passwords = match Self::open_passwords(wrap_key, &record) {
            Ok(passwords) => passwords,
            Err(error) => return trace.fail(StepName::Secrets, keys_fault(error), error.to_string()),
        };
        trace.pass(StepName::Secrets, || format!("{} sealed passwords opened", passwords.len()));
        Ok(self.principal(&record, who, presented, passwords))
    }

    /// Every check of a record that was found.
    async fn check(
        &self,
        record: &TokenRecord,
        request: &Request<'_>,
        now: UnixTime,
        trace: &mut Trace,
    ) -> Result<Who, Rejection> {
        trace.found(record);
        checks::life(record, TokenKind::Access, now, trace)?;
        checks::audience(record, &self.audience, trace)?;
        checks::binding(record, request, trace)?;
        let who = if checks::is_of_service(record) {
            let mailbox = checks::mailbox_of_service(record, request, trace)?;
            trace.speaks_for(&mailbox);
            Who { login: mailbox.clone(), mailbox }
        } else {
            let login = record.grant.user.clone();
            let mailbox = self.mailbox(&login, request, |_| false, trace).await?;
            Who { login, mailbox }
        };
        trace.opens(&who.mailbox);
        checks::scope(record, request, trace)?;
        Ok(who)
    }

    fn principal(
        &self,
        record: &TokenRecord,
        who: Who,
        token: &Secret,
        passwords: Vec<SealedPassword>,
    ) -> Principal {
        Principal {
            mailbox: who.mailbox,
            login: who.login,
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
        kind: TokenKind,
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
                if checks::life(&record, kind, now, &mut Trace::off()).is_ok() {
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
        wrap_key: impl FnOnce() -> Result<WrapKey, CryptoError>,
        record: &TokenRecord,
    ) -> Result<Vec<SealedPassword>, CryptoError> {
        if record.credentials.is_empty() {
            return Ok(Vec::new());
        }
        let wrapped = record.wrapped_key.as_deref().ok_or(CryptoError::NotAuthentic)?;
        let public = GrantPublicKey::new(record.grant.public_key);
        let key = GrantKey::unwrap(wrapped, &wrap_key()?, record.grant.id, record.kind, public)?;
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

/// Whom a token speaks for, and whose mailbox it opens.
struct Who {
    login: Login,
    mailbox: Login,
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
