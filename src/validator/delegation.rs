//! Which mailbox a token opens: its user's own, or another that its user may open.

use super::{
    Rejection, Request, Validator,
    explain::{StepName, Trace},
};
use crate::{lookup::Query, model::Login};

impl Validator {
    /// The mailbox that is asked for, if `login` may open it: by what the token says (`by_token`), else by the
    /// operator's look-up. Nobody is told which of the two said no.
    pub(super) async fn mailbox(
        &self,
        login: &Login,
        request: &Request<'_>,
        by_token: impl Fn(&Login) -> bool + Send,
        trace: &mut Trace,
    ) -> Result<Login, Rejection> {
        let Some(authzid) = request.authzid else {
            trace.pass(StepName::Identity, || format!("none asked for; the token's is {login}"));
            return Ok(login.clone());
        };
        let asked = match Login::parse(authzid) {
            Ok(asked) => asked,
            Err(error) => {
                return trace.fail(StepName::Identity, Rejection::NotAuthorized, error.to_string());
            }
        };
        if asked == *login {
            trace.pass(StepName::Identity, || format!("{login} is the token's user"));
            return Ok(asked);
        }
        if asked.is_client() || asked.local().is_empty() {
            let detail = format!("{asked} is no mailbox");
            return trace.fail(StepName::Identity, Rejection::NotAuthorized, detail);
        }
        if by_token(&asked) {
            trace.pass(StepName::Delegation, || format!("the token lets {login} open {asked}"));
            return Ok(asked);
        }
        if self.is_shared(login, &asked, request, trace).await? {
            trace.pass(StepName::Delegation, || format!("the look-up lets {login} open {asked}"));
            return Ok(asked);
        }
        let detail = format!("asked for {asked}, the token's user is {login}");
        trace.fail(StepName::Identity, Rejection::NotAuthorized, detail)
    }

    async fn is_shared(
        &self,
        login: &Login,
        asked: &Login,
        request: &Request<'_>,
        trace: &mut Trace,
    ) -> Result<bool, Rejection> {
        let Some(lookup) = &self.shared_mailboxes else { return Ok(false) };
        let query = Query { login, protocol: Some(request.protocol), client: None };
        match lookup.find(&query).await {
            Ok(entry) => {
                let mailboxes = entry.map(|entry| entry.mailboxes).unwrap_or_default();
                Ok(mailboxes.iter().any(|entry| covers(entry, asked)))
            }
            Err(error) => {
                let detail = error.to_string();
                trace.fail(StepName::Delegation, Rejection::Unreachable(detail.clone()), detail)
            }
        }
    }
}

/// Whether `entry`, a login name or `*@domain`, names the mailbox. A name with a star in it is never meant by a
/// whole domain: mail servers split names at it.
pub(super) fn covers(entry: &str, login: &Login) -> bool {
    match entry.strip_prefix("*@") {
        Some(domain) => {
            login.domain().is_some_and(|own| own.eq_ignore_ascii_case(domain))
                && !login.local().is_empty()
                && !login.local().contains('*')
        }
        None => Login::parse(entry).is_ok_and(|named| named == *login),
    }
}
