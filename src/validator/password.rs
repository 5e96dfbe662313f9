//! Passwords: app passwords, and what tells that a session of the mailbox password must end.

use super::{
    Rejection, Request, Seen, Validation, Validator, Who, checks,
    explain::{Explanation, StepName, Trace},
    keys_fault,
};
use crate::{
    model::{Login, Outcome, Principal, Secret, TokenHash, TokenKind, UnixTime},
    store::TokenRecord,
    token::{AppPassword, sha256},
};

/// What a client presents: a name, and what it says is its password.
#[derive(Clone, Copy, Debug)]
pub struct Presented<'a> {
    /// The login name.
    pub login: &'a str,
    /// The password.
    pub password: &'a Secret,
}

/// Under which it is told, as [`crate::store::OutsideEnds`] tells, that a user was removed or has another password:
/// sessions that were signed in to with the old one hang on nothing else.
pub fn password_key(login: &Login) -> TokenHash {
    TokenHash::new(sha256(format!("password {login}").as_bytes()))
}

impl Validator {
    /// Whom an app password speaks for, if it may do what is requested.
    ///
    /// What is no app password is [`Rejection::NotAppPassword`], before anything is asked. Whoever shows a wrong one
    /// must not be told more than that: unknown, ended, another user's and from a wrong address are for the log.
    pub async fn validate_password(
        &self,
        presented: &Presented<'_>,
        request: &Request<'_>,
        now: UnixTime,
    ) -> Validation {
        let seen = self.seen(now);
        let mut trace = Trace::off();
        let result = self.decide_password(presented, request, now, &mut trace).await;
        Validation { result, cached: trace.cached, issuer: self.issuer.clone(), seen }
    }

    /// The decision that a password would get, step by step, for the operator; as [`Validator::explain`].
    pub async fn explain_password(
        &self,
        presented: &Presented<'_>,
        request: &Request<'_>,
        now: UnixTime,
    ) -> Explanation {
        let mut trace = Trace::on();
        let result = self.decide_password(presented, request, now, &mut trace).await;
        trace.explanation(result.as_ref().map_or_else(Rejection::outcome, |_| Outcome::Ok))
    }

    /// This moment in the order of revocations, for [`Validator::is_still_live`].
    pub fn seen(&self, now: UnixTime) -> Seen {
        Seen(self.cache.generation(), now)
    }

    /// The URL of the built-in issuer.
    pub const fn issuer(&self) -> &std::sync::Arc<str> {
        &self.issuer
    }

    async fn decide_password(
        &self,
        presented: &Presented<'_>,
        request: &Request<'_>,
        now: UnixTime,
        trace: &mut Trace,
    ) -> Result<Principal, Rejection> {
        let password = match AppPassword::parse(presented.password.expose()) {
            Ok(password) => password,
            Err(error) => return trace.fail(StepName::Format, Rejection::NotAppPassword, error.to_string()),
        };
        trace.pass(StepName::Format, || "it has the form of an app password".to_owned());
        let lookup = password.lookup().map_err(keys_fault)?;
        let record = self.record(&lookup, TokenKind::AppPassword, now, trace).await?;
        let who = self.check_password(&record, presented.login, request, now, trace).await?;
        let wrap_key = || password.wrap_key(&self.server_key);
        let passwords = match Self::open_passwords(wrap_key, &record) {
            Ok(passwords) => passwords,
            Err(error) => return trace.fail(StepName::Secrets, keys_fault(error), error.to_string()),
        };
        trace.pass(StepName::Secrets, || format!("{} sealed passwords opened", passwords.len()));
        // The app password is for this server alone: no mail server is shown it in place of a token.
        Ok(self.principal(&record, who, &Secret::default(), passwords))
    }

    async fn check_password(
        &self,
        record: &TokenRecord,
        login: &str,
        request: &Request<'_>,
        now: UnixTime,
        trace: &mut Trace,
    ) -> Result<Who, Rejection> {
        trace.found(record);
        checks::life(record, TokenKind::AppPassword, now, trace)?;
        checks::audience(record, &self.audience, trace)?;
        let user = record.grant.user.clone();
        // The session is the grant's user's whatever the spelling, so that a phone may write it with a capital.
        if !Login::parse(login).is_ok_and(|login| login.as_str().eq_ignore_ascii_case(user.as_str())) {
            let detail = format!("it is {user}'s, and was presented with another name");
            return trace.fail(StepName::Login, Rejection::WrongUser, detail);
        }
        trace.pass(StepName::Login, || format!("it is {user}'s, as the name says"));
        checks::network(record, request, trace)?;
        let mailbox = self.mailbox(&user, request, |_| false, trace).await?;
        trace.opens(&mailbox);
        checks::scope(record, request, trace)?;
        Ok(Who { login: user, mailbox })
    }
}
