//! Tokens of other issuers: from what an issuer says to a [`Principal`].

use std::{sync::Arc, time::Duration};

use super::{
    Rejection, Request, Validator, checks, delegation,
    explain::{StepName, Trace},
    trusted::{Facts, LogoutError, LogoutOf, TrustedIssuer, key_of},
};
use crate::{
    lookup::{LookupError, Query},
    model::{Login, Outside, Principal, Right, Secret, TokenHash, UnixTime},
    store::StoreError,
    token::{sha256, unverified_claims},
};

/// What another look at the token of a live session says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a session whose token has ended must be ended"]
pub enum Recheck {
    /// It is good until then.
    Live(UnixTime),
    /// It is good no more, or for somebody else.
    Ended,
    /// It cannot be told now.
    Unknown,
}

impl LogoutOf {
    /// The hashes under which the end is told: see [`Outside::keys`].
    pub fn keys(&self) -> Vec<TokenHash> {
        let subject = self.subject.as_deref().map(|subject| end_key(&self.issuer, End::Subject, subject));
        let session = self.session.as_deref().map(|session| end_key(&self.issuer, End::Session, session));
        subject.into_iter().chain(session).collect()
    }
}

/// What can end at another issuer, apart from a token.
#[derive(Clone, Copy)]
enum End {
    Session,
    Subject,
}

/// Lengths stand before the texts, so that no two pairs are written alike.
fn end_key(issuer: &str, what: End, name: &str) -> TokenHash {
    let what = match what {
        End::Session => "sid",
        End::Subject => "sub",
    };
    let text = format!("{what} {} {issuer} {} {name}", issuer.len(), name.len());
    TokenHash::new(sha256(text.as_bytes()))
}

impl Validator {
    pub(super) async fn decide_outside(
        &self,
        issuer: &TrustedIssuer,
        token: &Secret,
        request: &Request<'_>,
        now: UnixTime,
        trace: &mut Trace,
    ) -> Result<Principal, Rejection> {
        trace.pass(StepName::Issuer, || format!("a token of {}", issuer.config().url));
        let facts = issuer.facts(token, now, trace).await?;
        let outside = outside(issuer, &facts, token);
        self.not_ended(&outside, &facts, trace).await?;
        checks::bound(facts.certificate, request, trace)?;
        let login = login(issuer, &facts, request, trace).await?;
        trace.found_outside(&login, &facts.client, &facts.scope, facts.expires_at);
        let by_token = |asked: &Login| may_open(issuer, &facts, asked);
        let mailbox = self.mailbox(&login, request, by_token, trace).await?;
        trace.opens(&mailbox);
        if !issuer.config().scopes.cover(request.protocol, |name| facts.scope.contains(name)) {
            let detail = format!("\"{}\" does not cover {}", facts.scope, request.protocol);
            return trace.fail(StepName::Scope, Rejection::InsufficientScope, detail);
        }
        trace.pass(StepName::Scope, || format!("\"{}\" covers {}", facts.scope, request.protocol));
        let mut addresses: Vec<String> =
            facts.addresses.into_iter().filter(|address| address != login.as_str()).collect();
        addresses.sort_unstable();
        addresses.dedup();
        Ok(Principal {
            mailbox,
            right: Right::Outside(outside),
            client: facts.client,
            scope: facts.scope,
            issuer: Arc::clone(&issuer.config().url),
            expires_at: facts.expires_at,
            addresses,
            token: token.clone(),
            passwords: Vec::new(),
            login,
        })
    }

    /// Looks again at the token of a live session, past everything that is remembered.
    pub async fn recheck(&self, outside: &Outside, token: &Secret, now: UnixTime) -> Recheck {
        let Some(issuer) = self.trusted.iter().find(|issuer| issuer.config().url == outside.issuer) else {
            return Recheck::Ended;
        };
        let facts = match issuer.facts_anew(token, now).await {
            Ok(facts) => facts,
            Err(Rejection::Unavailable(_) | Rejection::Unreachable(_) | Rejection::Undecided) => {
                return Recheck::Unknown;
            }
            Err(
                Rejection::Malformed
                | Rejection::Unknown
                | Rejection::Expired
                | Rejection::Revoked
                | Rejection::WrongAudience
                | Rejection::BoundElsewhere
                | Rejection::InsufficientScope
                | Rejection::NotAppPassword
                | Rejection::NotAuthorized
                | Rejection::WrongNetwork
                | Rejection::WrongUser,
            ) => return Recheck::Ended,
        };
        if facts.subject != outside.subject {
            return Recheck::Ended;
        }
        match self.not_ended(outside, &facts, &mut Trace::off()).await {
            Ok(()) => Recheck::Live(facts.expires_at),
            Err(Rejection::Unavailable(_)) => Recheck::Unknown,
            Err(_) => Recheck::Ended,
        }
    }

    /// How often to look again at tokens of an issuer, if at all.
    pub fn recheck_interval(&self, issuer: &str) -> Option<Duration> {
        self.trusted.iter().find(|one| *one.config().url == *issuer)?.config().recheck
    }

    /// Whose sign-in a logout token ends (OpenID Connect Back-Channel Logout §2.6). It must be told to the store,
    /// under [`LogoutOf::keys`], so that every node ends the sessions.
    ///
    /// # Errors
    /// [`LogoutError`].
    pub async fn logout_token(&self, jwt: &str, now: UnixTime) -> Result<LogoutOf, LogoutError> {
        let claims = unverified_claims(jwt)?;
        let iss = claims.get("iss").and_then(|iss| iss.as_str()).unwrap_or_default();
        let issuer = self.trusted.iter().find(|issuer| issuer.is_called(iss));
        issuer.ok_or(LogoutError::Issuer)?.logout(jwt, now).await
    }

    /// Takes a logout token, and has every node end what it names.
    ///
    /// # Errors
    /// [`LogoutError`]; where the store is to blame the same token is taken again.
    pub async fn back_channel_logout(&self, jwt: &str, now: UnixTime) -> Result<LogoutOf, LogoutError> {
        let logout = self.logout_token(jwt, now).await?;
        for key in logout.keys() {
            if let Err(error) = self.store.end_outside(&key, logout.at).await {
                let issuer = self.trusted.iter().find(|issuer| issuer.config().url == logout.issuer);
                issuer.into_iter().for_each(|issuer| issuer.take_again(&logout));
                return Err(LogoutError::Store(error));
            }
        }
        Ok(logout)
    }

    /// Whether nothing that a session hangs on, by these hashes, was ended since `since`.
    pub(super) async fn none_ended(&self, keys: &[TokenHash], since: UnixTime) -> Result<bool, StoreError> {
        for key in keys {
            if self.store.outside_end(key).await?.is_some_and(|at| at >= since) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// That neither the token nor the sign-in behind it was ended at its issuer.
    async fn not_ended(&self, outside: &Outside, facts: &Facts, trace: &mut Trace) -> Result<(), Rejection> {
        let person =
            outside.subject.as_deref().map(|subject| end_key(&outside.issuer, End::Subject, subject));
        for key in &outside.keys {
            let at = match self.store.outside_end(key).await {
                Ok(at) => at,
                Err(error) => {
                    let detail = error.to_string();
                    return trace.fail(StepName::Revocation, Rejection::Unavailable(error), detail);
                }
            };
            // A person may sign in again; a token from before they signed out stays dead.
            let is_older = |at: UnixTime| {
                Some(*key) != person || facts.issued_at.is_some_and(|issued_at| issued_at <= at)
            };
            if at.is_some_and(is_older) {
                let detail = "its user has signed out at its issuer, or it was revoked".to_owned();
                return trace.fail(StepName::Revocation, Rejection::Revoked, detail);
            }
        }
        trace.pass(StepName::Revocation, || "nothing that it hangs on was ended at its issuer".to_owned());
        Ok(())
    }
}

fn outside(issuer: &TrustedIssuer, facts: &Facts, token: &Secret) -> Outside {
    let url = Arc::clone(&issuer.config().url);
    let token = key_of(token);
    let subject = facts.subject.as_deref().map(|subject| end_key(&url, End::Subject, subject));
    let session = facts.session.as_deref().map(|session| end_key(&url, End::Session, session));
    let keys = [token].into_iter().chain(subject).chain(session).collect();
    Outside { issuer: url, subject: facts.subject.clone(), session: facts.session.clone(), token, keys }
}

/// The login name of the token's user, who must be of a domain that its issuer speaks for.
async fn login(
    issuer: &TrustedIssuer,
    facts: &Facts,
    request: &Request<'_>,
    trace: &mut Trace,
) -> Result<Login, Rejection> {
    let named = match &issuer.lookup {
        None => Ok(Some(facts.named.clone())),
        Some(lookup) => match Login::parse(&facts.named) {
            Ok(login) => {
                let query = Query { login: &login, protocol: Some(request.protocol), client: None };
                lookup.find(&query).await.map(|entry| entry.and_then(|entry| entry.login_name))
            }
            Err(error) => {
                return trace.fail(StepName::Login, Rejection::NotAuthorized, error.to_string());
            }
        },
    };
    let found = match named {
        Ok(Some(named)) => issuer.login(&named),
        Ok(None) => Err("the look-up knows no such user".to_owned()),
        Err(error @ (LookupError::Operator { .. } | LookupError::Unavailable { .. })) => {
            let detail = error.to_string();
            return trace.fail(StepName::Login, Rejection::Unreachable(detail.clone()), detail);
        }
    };
    match found {
        Ok(login) => {
            trace.pass(StepName::Login, || format!("its user is {login}"));
            Ok(login)
        }
        Err(detail) => trace.fail(StepName::Login, Rejection::NotAuthorized, detail),
    }
}

/// Whether the token lets its user open another's mailbox, which must be in a domain of its issuer too.
fn may_open(issuer: &TrustedIssuer, facts: &Facts, asked: &Login) -> bool {
    if issuer.login(asked.as_str()).is_err() {
        return false;
    }
    let in_group = issuer.config().mapping.mailbox_group.as_ref().is_some_and(|template| {
        let group = template.fill(|_| Ok::<_, ()>(asked.as_str().to_owned()));
        group.is_ok_and(|group| facts.groups.contains(&group))
    });
    in_group || facts.mailboxes.iter().any(|entry| delegation::covers(entry, asked))
}
