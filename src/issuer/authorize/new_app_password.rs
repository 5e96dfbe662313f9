//! The making of an app password on the account page.

use std::sync::Arc;

use tokio::time::Instant;

use super::{
    account::{AccountGoal, SignedIn, down, not_now},
    page::{Answer, PageError, SignInError},
    sign_in::{Checked, Try, error},
};
use crate::{
    directory::CheckError,
    issuer::{AppPasswordFault, Caller, Issuer, IssuerError, MadeAppPassword, NewAppPassword},
    model::{GrantId, Network, Protocol, Secret, TokenHash, UnixTime},
    store::EphemeralKind,
};

/// Longest list of networks that is looked at, in octets.
const LONGEST_NETWORKS: usize = 2048;
/// How long a form may be filled in after the sign-in that it needs, in seconds.
const FILLING: i64 = 10 * 60;
/// How long it is remembered that a form was sent: longer than its session lasts.
const SENT: std::time::Duration = std::time::Duration::from_secs(24 * 60 * 60);

/// What the form for a new app password must ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppPasswordPage {
    /// Field `state`, with which one app password can be made.
    pub state: String,
    /// Whether a mail server is logged in to with the mailbox password, which then is asked for.
    pub needs_password: bool,
}

/// What the form holds.
#[derive(Debug)]
pub struct AppPasswordForm<'a> {
    /// Field `state`.
    pub state: &'a str,
    /// What the person calls it.
    pub name: &'a str,
    /// What it is for.
    pub protocols: Vec<Protocol>,
    /// Networks, parted by blanks, commas or lines; from everywhere when there is none.
    pub networks: &'a str,
    /// After how many days it ends; `None` is never.
    pub days: Option<u32>,
    /// The mailbox password, where it is asked for.
    pub password: Secret,
}

/// What is wrong with what was filled in. Nothing of it was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppPasswordError {
    /// It cannot be made so.
    Fault(AppPasswordFault),
    /// A network that is none.
    NoNetwork,
    /// The mailbox password, or that it cannot be checked.
    Password(SignInError),
}

/// What came of a form.
#[derive(Debug)]
pub enum AppPasswordAnswer {
    /// It was made. Its text is told once.
    Made(Box<MadeAppPassword>),
    /// The form is shown again.
    Again(AppPasswordError),
    /// Another page, such as one to sign in again.
    Other(Answer),
}

impl Issuer {
    /// The form for a new app password, for whom it may be shown now.
    ///
    /// # Errors
    /// The page that is shown instead: to sign in again, where no mailbox password is asked for and the last sign-in
    /// is some time ago.
    pub async fn app_password_page(
        &self,
        who: &SignedIn,
        browser: Option<&Secret>,
        caller: &Caller,
        now: UnixTime,
    ) -> Result<AppPasswordPage, Box<Answer>> {
        let sealed = self.own_sealed(who, caller).await?;
        if sealed.is_empty() && !who.is_fresh(now) {
            return Err(Box::new(self.account_sign_in(AccountGoal::NewAppPassword, Some(who), browser, now)));
        }
        let state = self.account_form(who, now).map_err(|failed| Box::new(error(failed)))?;
        Ok(AppPasswordPage { state, needs_password: !sealed.is_empty() })
    }

    /// Makes an app password of `who`, once for each form.
    pub async fn make_own_app_password(
        &self,
        who: &SignedIn,
        form: AppPasswordForm<'_>,
        (browser, caller): (Option<&Secret>, &Caller),
        now: UnixTime,
    ) -> AppPasswordAnswer {
        let Some(opened) = self.opened_form(who, form.state) else { return other(PageError::Stale) };
        let Ok(key) = self.server_key.hash("account form", &[opened.id.as_bytes()]) else {
            return AppPasswordAnswer::Other(not_now());
        };
        match self.store.kept(EphemeralKind::Answered, &key, now).await {
            Ok(None) => {}
            Ok(Some(_)) => return other(PageError::Answered),
            Err(store) => return other(down(&store)),
        }
        let sealed = match self.own_sealed(who, caller).await {
            Ok(sealed) => sealed,
            Err(answer) => return AppPasswordAnswer::Other(*answer),
        };
        if sealed.is_empty() && !who.is_fresh(UnixTime(now.0 - FILLING)) {
            let again = self.account_sign_in(AccountGoal::NewAppPassword, Some(who), browser, now);
            return AppPasswordAnswer::Other(again);
        }
        let Some(networks) = networks(form.networks) else {
            return AppPasswordAnswer::Again(AppPasswordError::NoNetwork);
        };
        let days = form.days.map(|days| now.after(std::time::Duration::from_secs(u64::from(days) * 86_400)));
        let mut new = NewAppPassword {
            user: who.user().clone(),
            name: form.name.to_owned(),
            protocols: form.protocols,
            networks,
            expires_at: days,
            sealed_backends: Vec::new(),
            passwords: Vec::new(),
        };
        if let Err(fault) = new.check(now) {
            return AppPasswordAnswer::Again(AppPasswordError::Fault(fault));
        }
        if !sealed.is_empty() {
            match self.own_password(who, opened.id, &form.password, caller, now).await {
                Ok(backends) => {
                    new.passwords =
                        backends.iter().map(|backend| (Arc::clone(backend), form.password.clone())).collect();
                    new.sealed_backends = backends;
                }
                Err(refused) => return refused,
            }
        }
        self.make_once(new, &key, now).await
    }

    /// Of forms that were sent twice, on whatever nodes, one makes an app password.
    async fn make_once(&self, new: NewAppPassword, key: &TokenHash, now: UnixTime) -> AppPasswordAnswer {
        match self.store.claim(EphemeralKind::Answered, key, now.after(SENT)).await {
            Ok(true) => {}
            Ok(false) => return other(PageError::Answered),
            Err(store) => return other(down(&store)),
        }
        let user = new.user.clone();
        let failed = match self.make_app_password(new, now).await {
            Ok(made) => {
                tracing::info!(%user, grant = %made.record.id, "a person made an app password");
                return AppPasswordAnswer::Made(Box::new(made));
            }
            Err(failed) => failed,
        };
        // Nothing was made, so the form is good for another try.
        if let Err(store) = self.store.forget(EphemeralKind::Answered, key).await {
            return other(down(&store));
        }
        if let IssuerError::AppPassword(fault) = failed {
            return AppPasswordAnswer::Again(AppPasswordError::Fault(fault));
        }
        other(failed.into())
    }

    /// The mailbox password, checked within the limits of every sign-in: it is what a stranger at an open browser does
    /// not know.
    async fn own_password(
        &self,
        who: &SignedIn,
        id: GrantId,
        password: &Secret,
        caller: &Caller,
        now: UnixTime,
    ) -> Result<Vec<Arc<str>>, AppPasswordAnswer> {
        let started = Instant::now();
        let try_ = Try { login: Some(who.user()), password, id, caller };
        match self.check(self.sign_ins.mailboxes(), &try_, now).await {
            Checked::Right(verified) => Ok(verified.seal_for),
            refused @ (Checked::Dead | Checked::Refused(_) | Checked::Wrong { .. }) => {
                Err(match self.refused(refused, started, caller, None).await {
                    Ok(refused) => AppPasswordAnswer::Again(AppPasswordError::Password(refused)),
                    Err(dead) => other(dead),
                })
            }
        }
    }

    /// The mail servers that are logged in to with the mailbox password.
    async fn own_sealed(&self, who: &SignedIn, caller: &Caller) -> Result<Vec<Arc<str>>, Box<Answer>> {
        let Some(mailboxes) = self.sign_ins.mailboxes() else { return Ok(Vec::new()) };
        match mailboxes.seal_for(who.user(), caller.address).await {
            Ok(sealed) => Ok(sealed),
            Err(CheckError::NoRoute | CheckError::Unknown | CheckError::Wrong) => Ok(Vec::new()),
            Err(failure @ (CheckError::Operator(_) | CheckError::Unavailable(_))) => {
                tracing::warn!(%failure, "the account page cannot tell a mail server");
                Err(Box::new(not_now()))
            }
        }
    }
}

fn other(failed: PageError) -> AppPasswordAnswer {
    AppPasswordAnswer::Other(error(failed))
}

/// `None` where one is no network.
fn networks(text: &str) -> Option<Vec<Network>> {
    if text.len() > LONGEST_NETWORKS {
        return None;
    }
    let names = text.split(|c: char| c.is_whitespace() || c == ',' || c == ';');
    names.filter(|name| !name.is_empty()).map(|name| name.parse().ok()).collect()
}
