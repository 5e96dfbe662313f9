//! Sign-in at an outside OpenID provider: there, back, and the mailbox password where a backend needs it.

use std::{sync::Arc, time::Duration};

use aws_lc_rs::rand;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{
    consent::{Person, opens_nothing},
    page::{Answer, MailboxPage, Page, PageError, Redirect, RedirectMode, SignInError},
    sign_in::{Checked, Try, client_name, error, fault, is_fresh, is_vouched_for, unavailable},
    state::{Asked, Browser, MailboxState, Place, SignInState},
};
use crate::{
    directory::{
        CheckError, Departure, OutsideDirectory, OutsideError, OutsidePerson, OutsidePrompt, Return, Verified,
    },
    issuer::{Caller, Client, Endpoint, Issuer, Params},
    limits::TooMany,
    model::{Secret, TokenHash, UnixTime},
    store::EphemeralKind,
    token::{CryptoError, base64url, sha256},
};

/// How long a person may stay at the provider.
const LIFETIME: Duration = Duration::from_secs(10 * 60);
/// The longest `state` that is looked at, in octets.
const LONGEST_STATE: usize = 64;
/// The longest code and error that are looked at, in octets.
const LONGEST: usize = 4096;

/// What is kept while a person is at the provider, sealed for their browser: whoever reads the store learns nothing,
/// and no other browser can come back in their place.
#[derive(Serialize, Deserialize)]
struct Kept {
    asked_at: UnixTime,
    asked: Asked,
    left_at: UnixTime,
    /// The issuer identifier of the provider that was asked.
    provider: String,
    nonce: String,
    verifier: String,
    /// What the provider was asked to do.
    #[serde(default)]
    prompt: Option<OutsidePrompt>,
}

impl Kept {
    /// The sign-in page once more. Whoever is signed in at the provider with an account that is of no use here would
    /// come back with it for ever, so they are asked for another. Not every provider knows each way to ask: some
    /// ignore the one that they do not know, others refuse it.
    fn again(self, refused: &SignInError) -> SignInState {
        let other_account = match (refused, self.prompt) {
            (SignInError::OutsideNobody, Some(OutsidePrompt::Login) | None) => {
                Some(OutsidePrompt::SelectAccount)
            }
            (
                SignInError::OutsideNobody | SignInError::OutsideRefused,
                Some(OutsidePrompt::SelectAccount),
            ) => Some(OutsidePrompt::Login),
            (
                SignInError::OutsideRefused
                | SignInError::OutsideUnavailable
                | SignInError::TooMany { .. }
                | SignInError::Unavailable
                | SignInError::Wrong,
                sent,
            ) => sent,
        };
        SignInState { asked_at: self.asked_at, asked: self.asked, other_account }
    }
}

impl Issuer {
    /// The answer to the button of the sign-in page that leads to the outside provider. `browser` is the value of the
    /// browser cookie.
    pub async fn leave_for_outside(
        &self,
        state: &str,
        browser: Option<&Secret>,
        caller: &Caller,
        now: UnixTime,
    ) -> Answer {
        let (browser, opened, client) = match self.open_sign_in(state, browser, now).await {
            Ok(opened) => opened,
            Err(answer) => return *answer,
        };
        let Some(outside) = self.sign_ins.outside() else { return error(PageError::Stale) };
        match self.attempts(opened.asked.id(), now).await {
            Ok(failed) if failed >= self.config.max_sign_in_attempts => return error(PageError::Dead),
            Ok(_) => {}
            Err(store) => return unavailable(&store),
        }
        let again = |opened: &SignInState, refused| {
            self.sign_in_page_again(&client, opened, state.to_owned(), &browser, Some(refused))
        };
        if let Err(TooMany { retry_after }) = self.sign_ins.limits.leave(caller.address, now) {
            return again(&opened, SignInError::TooMany { retry_after });
        }
        let (state_key, nonce, verifier) = match (random(), random(), random()) {
            (Ok(state), Ok(nonce), Ok(verifier)) => (state, nonce, verifier),
            (Err(failed), _, _) | (_, Err(failed), _) | (_, _, Err(failed)) => return fault(failed),
        };
        let departure = self.departure(&opened, &state_key, &nonce, &verifier);
        let uri = match outside.departure(&departure, now).await {
            Ok(uri) => uri,
            Err(failure) => {
                tracing::warn!(%failure, "nobody can be sent to the outside provider");
                return again(&opened, SignInError::OutsideUnavailable);
            }
        };
        let provider = outside.issuer().to_string();
        let SignInState { asked_at, asked, .. } = opened;
        let kept =
            Kept { asked_at, asked, left_at: now, provider, nonce, verifier, prompt: departure.prompt };
        let sealed = self
            .return_key(&state_key)
            .and_then(|key| Ok((key, browser.seal(Place::Outside, &kept, &self.server_key)?)));
        let (key, sealed) = match sealed {
            Ok(sealed) => sealed,
            Err(failed) => return fault(failed),
        };
        let until = now.after(LIFETIME);
        match self.store.keep(EphemeralKind::OutsideSignIn, &key, sealed.into_bytes(), until).await {
            Ok(()) => Answer::Redirect(Redirect { uri, mode: RedirectMode::Query }),
            Err(store) => unavailable(&store),
        }
    }

    fn departure(&self, opened: &SignInState, state: &str, nonce: &str, verifier: &str) -> Departure {
        let request = match &opened.asked {
            Asked::Client(request) => Some(request),
            Asked::Device(_) => None,
        };
        let prompt = match request.and_then(|request| request.outside_prompt) {
            Some(OutsidePrompt::Login) => Some(OutsidePrompt::Login),
            wanted @ (Some(OutsidePrompt::SelectAccount) | None) => opened.other_account.or(wanted),
        };
        Departure {
            redirect_uri: self.url_of(Endpoint::Callback),
            state: state.to_owned(),
            nonce: nonce.to_owned(),
            code_challenge: base64url(&sha256(verifier.as_bytes())),
            login_hint: request.and_then(|request| request.login_hint.clone()),
            max_age: request.and_then(|request| request.max_age),
            prompt,
        }
    }

    /// Where the outside provider sends people back to (OpenID Connect Core §3.1.2.5). `browser` is the value of the
    /// browser cookie.
    pub async fn return_from_outside(
        &self,
        params: &Params,
        browser: Option<&Secret>,
        caller: &Caller,
        now: UnixTime,
    ) -> Answer {
        let Some(outside) = self.sign_ins.outside() else { return error(PageError::Stale) };
        // Who set out has the cookie. Without it nothing is looked up.
        let Some(browser) = Browser::of_cookie(browser) else { return error(PageError::Stale) };
        let attempt = match self.sign_ins.limits.begin_return(caller.address, now) {
            Ok(attempt) => attempt,
            Err(TooMany { retry_after }) => return error(PageError::TooMany { retry_after }),
        };
        let kept = match self.take_kept(params, &browser, now).await {
            Ok(Some(kept)) if kept.provider == **outside.issuer() && is_fresh(kept.asked_at, now) => kept,
            Ok(_) => {
                attempt.wrong(now);
                return error(PageError::Stale);
            }
            Err(answer) => {
                attempt.not_tried(now);
                return *answer;
            }
        };
        let id = kept.asked.id();
        let client = match (self.client_of(&kept.asked).await, self.attempts(id, now).await) {
            (Ok(_), Ok(failed)) if failed >= self.config.max_sign_in_attempts => {
                attempt.not_tried(now);
                return error(PageError::Dead);
            }
            (Ok(client), Ok(_)) => client,
            (Err(answer), _) => {
                attempt.not_tried(now);
                return *answer;
            }
            (_, Err(store)) => {
                attempt.not_tried(now);
                return unavailable(&store);
            }
        };
        let failure = match self.person(outside, params, &kept, now).await {
            Ok(person) => {
                attempt.right(now);
                return self.outside_signed_in(outside, &client, kept, person, (&browser, caller), now).await;
            }
            Err(failure) => failure,
        };
        tracing::info!(address = %caller.address, client_id = %client.id, %failure, "a sign-in at the outside provider failed");
        let mut counted = None;
        let refused = match failure {
            OutsideError::Unavailable(_) | OutsideError::Operator(_) => {
                attempt.not_tried(now);
                SignInError::OutsideUnavailable
            }
            // The person may have changed their mind, so the request lives on.
            OutsideError::Declined(_) => {
                attempt.wrong(now);
                SignInError::OutsideRefused
            }
            OutsideError::Refused(_) => {
                counted = Some(self.wrong(id, attempt, true, now).await);
                SignInError::OutsideRefused
            }
            OutsideError::Nobody(_) => {
                counted = Some(self.wrong(id, attempt, true, now).await);
                SignInError::OutsideNobody
            }
        };
        if let Some(Checked::Wrong { is_last: true, .. }) = counted {
            return error(PageError::Dead);
        }
        let state = kept.again(&refused);
        self.sign_in_page_with(&client, &state, &browser, refused)
    }

    fn sign_in_page_with(
        &self,
        client: &Client,
        state: &SignInState,
        browser: &Browser,
        refused: SignInError,
    ) -> Answer {
        match browser.seal(Place::SignIn, state, &self.server_key) {
            Ok(text) => self.sign_in_page_again(client, state, text, browser, Some(refused)),
            Err(failed) => fault(failed),
        }
    }

    /// What this browser set out with, once. What is another browser's stays there for that one.
    async fn take_kept(
        &self,
        params: &Params,
        browser: &Browser,
        now: UnixTime,
    ) -> Result<Option<Kept>, Box<Answer>> {
        let state = params.one("state").ok().flatten().filter(|state| state.len() <= LONGEST_STATE);
        let Some(state) = state else { return Ok(None) };
        let key = self.return_key(state).map_err(|failed| Box::new(fault(failed)))?;
        let down = |store| Box::new(unavailable(&store));
        let sealed = self.store.kept(EphemeralKind::OutsideSignIn, &key, now).await.map_err(down)?;
        let sealed = sealed.and_then(|octets| String::from_utf8(octets).ok());
        let Some(kept) = sealed.and_then(|text| browser.open(Place::Outside, &text, &self.server_key)) else {
            return Ok(None);
        };
        // Of many that come at the same time, on whatever nodes, one goes on.
        let is_first = self.store.forget(EphemeralKind::OutsideSignIn, &key).await.map_err(down)?;
        Ok(is_first.then_some(kept))
    }

    async fn person(
        &self,
        outside: &OutsideDirectory,
        params: &Params,
        kept: &Kept,
        now: UnixTime,
    ) -> Result<OutsidePerson, OutsideError> {
        let bounded = |name: &str| match params.one(name) {
            Ok(value) if value.is_none_or(|value| value.len() <= LONGEST) => Ok(value),
            Ok(_) | Err(_) => Err(OutsideError::Refused("the answer is malformed".to_owned())),
        };
        let request = match &kept.asked {
            Asked::Client(request) => Some(request),
            Asked::Device(_) => None,
        };
        let back = Return {
            code: bounded("code")?,
            error: bounded("error")?,
            iss: bounded("iss")?,
            redirect_uri: &self.url_of(Endpoint::Callback),
            nonce: &kept.nonce,
            code_verifier: &kept.verifier,
            left_at: kept.left_at,
            max_age: request.and_then(|request| request.max_age),
            prompt: request.and_then(|request| request.outside_prompt),
        };
        outside.person(&back, now).await
    }

    /// Goes on to consent, or first asks for the mailbox password where the mail server is logged in to with it.
    async fn outside_signed_in(
        &self,
        outside: &OutsideDirectory,
        client: &Arc<Client>,
        kept: Kept,
        person: OutsidePerson,
        (browser, caller): (&Browser, &Caller),
        now: UnixTime,
    ) -> Answer {
        let OutsidePerson { login: user, auth_time } = person;
        let seal_for = match outside.mailboxes().seal_for(&user, caller.address).await {
            Ok(seal_for) => seal_for,
            Err(CheckError::NoRoute | CheckError::Unknown | CheckError::Wrong) => {
                let state = kept.again(&SignInError::OutsideNobody);
                return self.sign_in_page_with(client, &state, browser, SignInError::OutsideNobody);
            }
            Err(failure @ (CheckError::Operator(_) | CheckError::Unavailable(_))) => {
                tracing::warn!(%failure, "somebody who signed in elsewhere");
                return error(PageError::Unavailable);
            }
        };
        let verified = Verified { seal_for };
        // Where nothing is sealed no password is needed; where it would open nothing none is asked for.
        if verified.seal_for.is_empty() || opens_nothing(client, &verified) {
            let person = Person { user, password: &Secret::default(), verified, auth_time };
            return self.signed_in(client, kept.asked, person, browser, now).await;
        }
        let state = MailboxState { user, auth_time, asked_at: now, asked: kept.asked };
        match browser.seal(Place::Mailbox, &state, &self.server_key) {
            Ok(text) => mailbox_page(client, &state, text, None),
            Err(failed) => fault(failed),
        }
    }

    /// The answer to the page that asks for the mailbox password of somebody who signed in elsewhere. `browser` is the
    /// value of the browser cookie.
    pub async fn mailbox_password(
        &self,
        state: &str,
        password: &Secret,
        browser: Option<&Secret>,
        caller: &Caller,
        now: UnixTime,
    ) -> Answer {
        let Some(outside) = self.sign_ins.outside() else { return error(PageError::Stale) };
        let Some(browser) = Browser::of_cookie(browser) else { return error(PageError::Stale) };
        let opened: Option<MailboxState> = browser.open(Place::Mailbox, state, &self.server_key);
        let Some(opened) = opened.filter(|opened| is_fresh(opened.asked_at, now)) else {
            return error(PageError::Stale);
        };
        let client = match self.client_of(&opened.asked).await {
            Ok(client) => client,
            Err(answer) => return *answer,
        };
        let started = Instant::now();
        let try_ = Try { login: Some(&opened.user), password, id: opened.asked.id(), caller };
        let refused = match self.check(Some(outside.mailboxes()), &try_, now).await {
            Checked::Right(verified) => {
                let MailboxState { user, auth_time, asked, .. } = opened;
                let person = Person { user, password, verified, auth_time };
                return self.signed_in(&client, asked, person, &browser, now).await;
            }
            refused @ (Checked::Dead | Checked::Refused(_) | Checked::Wrong { .. }) => {
                match self.refused(refused, started, caller, &client).await {
                    Ok(refused) => refused,
                    Err(dead) => return error(dead),
                }
            }
        };
        mailbox_page(&client, &opened, state.to_owned(), Some(refused))
    }

    fn return_key(&self, state: &str) -> Result<TokenHash, CryptoError> {
        self.server_key.hash("way back from an outside provider", &[state.as_bytes()])
    }
}

fn mailbox_page(client: &Client, state: &MailboxState, text: String, error: Option<SignInError>) -> Answer {
    Answer::Page(Page::Mailbox(MailboxPage {
        state: text,
        user: state.user.clone(),
        client_name: client_name(client),
        is_vouched_for: is_vouched_for(client),
        error,
        form_target: state.asked.form_target(client),
    }))
}

/// 256 bits as 43 characters, which also fit for a verifier (RFC 7636 §4.1).
fn random() -> Result<String, CryptoError> {
    let mut octets = [0; 32];
    rand::fill(&mut octets).map_err(|_| CryptoError::Library)?;
    Ok(base64url(&octets))
}
