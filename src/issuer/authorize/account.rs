//! Who is signed in to the account page of this server: there is no OAuth client, and nowhere to go but that page.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    consent::Person,
    page::{AccountEntry, Answer, PageError},
    sign_in::{error, fault, unavailable},
    state::{Asked, Browser, Place, SignInState},
};
use crate::{
    issuer::Issuer,
    model::{GrantId, Login, Secret, TokenHash, TokenKind, UnixTime},
    store::{AccountSession, StoreError},
    token::OpaqueToken,
};

/// How long somebody stays signed in.
const SESSION: Duration = Duration::from_secs(12 * 60 * 60);
/// How long ago somebody may have proved who they are, where that counts.
const FRESH: Duration = Duration::from_secs(5 * 60);

/// What somebody wants on the account page. It is all that a sign-in can lead to, so it leads to no other site.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountGoal {
    /// To see it.
    #[default]
    Overview,
    /// To make an app password.
    NewAppPassword,
}

/// A sign-in for the account page.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct AccountRequest {
    /// Names the request, whose wrong passwords are counted.
    pub(super) id: GrantId,
    goal: AccountGoal,
    /// Whether somebody is signed in already and must prove it again.
    pub(super) is_step_up: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) login_hint: Option<String>,
}

/// Somebody who is signed in to the account page.
pub struct SignedIn {
    session: Browser,
    stored: AccountSession,
}

/// What a form of the account page carries, so that no other site can send one, and which may be sent once.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct AccountForm {
    pub(super) id: GrantId,
    user: Login,
    pub(super) asked_at: UnixTime,
}

impl SignedIn {
    /// Who it is.
    pub const fn user(&self) -> &Login {
        &self.stored.user
    }

    pub(super) fn is_fresh(&self, now: UnixTime) -> bool {
        now < self.stored.auth_time.after(FRESH)
    }
}

/// Without the cookie.
impl std::fmt::Debug for SignedIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignedIn").field("stored", &self.stored).finish_non_exhaustive()
    }
}

impl Issuer {
    /// The sign-in page for the account page. `browser` is the value of the browser cookie; `again` is who has to
    /// prove once more who they are. Nothing is stored.
    pub fn account_sign_in(
        &self,
        goal: AccountGoal,
        again: Option<&SignedIn>,
        browser: Option<&Secret>,
        now: UnixTime,
    ) -> Answer {
        let browser = match Browser::of_cookie_or_new(browser) {
            Ok(browser) => browser,
            Err(error) => return fault(error),
        };
        let request = AccountRequest {
            id: GrantId::generate(),
            goal,
            is_step_up: again.is_some(),
            login_hint: again.map(|again| again.user().to_string()),
        };
        let state = SignInState { asked_at: now, asked: Asked::Account(request), other_account: None };
        self.sign_in_page(None, &state, &browser)
    }

    /// After the right password. The session has a cookie that nobody knew before, so that whoever has planted or
    /// seen another one is not signed in with it.
    pub(super) async fn account_signed_in(
        &self,
        request: &AccountRequest,
        person: Person<'_>,
        now: UnixTime,
    ) -> Answer {
        let made = OpaqueToken::generate(TokenKind::Browser).and_then(|token| Ok((token.lookup()?, token)));
        let (lookup, token) = match made {
            Ok(made) => made,
            Err(failed) => return fault(failed),
        };
        let session = AccountSession {
            lookup,
            user: person.user,
            auth_time: person.auth_time,
            created_at: now,
            expires_at: now.after(SESSION),
        };
        match self.store.open_account_session(session).await {
            Ok(()) => Answer::SignedIn(AccountEntry { session: token.text(), goal: request.goal }),
            Err(store) => unavailable(&store),
        }
    }

    /// Who is signed in, by the value of the session's cookie.
    ///
    /// # Errors
    /// [`PageError::Unavailable`].
    pub async fn signed_in_to_account(
        &self,
        cookie: Option<&Secret>,
        now: UnixTime,
    ) -> Result<Option<SignedIn>, PageError> {
        let Some(session) = Browser::of_cookie(cookie) else { return Ok(None) };
        let lookup = session.hash().map_err(|_| PageError::Unavailable)?;
        let stored = self.store.account_session(&lookup, now).await.map_err(|store| down(&store))?;
        Ok(stored.map(|stored| SignedIn { session, stored }))
    }

    /// Ends a session of the account page.
    ///
    /// # Errors
    /// [`PageError::Unavailable`].
    pub async fn sign_out_of_account(&self, who: &SignedIn) -> Result<(), PageError> {
        self.store.close_account_session(&who.stored.lookup).await.map_err(|store| down(&store))?;
        Ok(())
    }

    /// Field `state` of a form of the account page.
    ///
    /// # Errors
    /// [`PageError::Unavailable`].
    pub fn account_form(&self, who: &SignedIn, now: UnixTime) -> Result<String, PageError> {
        let form = AccountForm { id: GrantId::generate(), user: who.user().clone(), asked_at: now };
        who.session.seal(Place::Account, &form, &self.server_key).map_err(|failed| {
            tracing::error!(error = %failed, "a page cannot be made");
            PageError::Unavailable
        })
    }

    /// Whether a form was made for this very session.
    pub fn is_account_form(&self, who: &SignedIn, state: &str) -> bool {
        self.opened_form(who, state).is_some()
    }

    pub(super) fn opened_form(&self, who: &SignedIn, state: &str) -> Option<AccountForm> {
        let form: AccountForm = who.session.open(Place::Account, state, &self.server_key)?;
        (form.user == *who.user()).then_some(form)
    }

    /// Under which the browser with this cookie is known to whoever is signed in.
    pub(super) fn own_browser(&self, who: &SignedIn, browser: Option<&Secret>) -> Option<TokenHash> {
        self.known_browser(who.user(), &Browser::of_cookie(browser)?)
    }
}

pub(super) fn down(store: &StoreError) -> PageError {
    tracing::warn!(%store, "the account page cannot use the store");
    PageError::Unavailable
}

/// The page that says that something is not possible now.
pub(super) fn not_now() -> Answer {
    error(PageError::Unavailable)
}
