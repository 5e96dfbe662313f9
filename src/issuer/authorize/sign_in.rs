use std::sync::Arc;

use tokio::time::Instant;

use super::{
    consent::Person,
    page::{Answer, OutsideButton, Page, PageError, SignInError, SignInForm, SignInPage},
    request::Request,
    state::{Asked, Browser, Place, SignInState},
};
use crate::{
    directory::{CheckError, OutsidePrompt, PasswordCheck, SignInBy, Verified},
    issuer::{Caller, Client, Issuer, Standing},
    limits::{Attempt, TooMany},
    model::{ClientId, GrantId, Login, Secret, TokenHash, UnixTime},
    store::{EphemeralKind, StoreError},
    token::{CryptoError, GrantPublicKey},
};

/// What became of a password.
pub(super) enum Checked {
    Right(Verified),
    Wrong { was_asked: bool, is_last: bool },
    Refused(SignInError),
    Dead,
}

/// A password to be checked.
pub(super) struct Try<'a> {
    /// `None` for what is no login name.
    pub(super) login: Option<&'a Login>,
    pub(super) password: &'a Secret,
    /// The authorization request.
    pub(super) id: GrantId,
    pub(super) caller: &'a Caller,
}

impl Issuer {
    /// The sign-in page for `state`, sealed for `browser`.
    pub(super) fn sign_in_page(
        &self,
        client: Option<&Client>,
        state: &SignInState,
        browser: &Browser,
    ) -> Answer {
        match browser.seal(Place::SignIn, state, &self.server_key) {
            Ok(text) => self.sign_in_page_again(client, state, text, browser, None),
            Err(error) => fault(error),
        }
    }

    pub(super) fn sign_in_page_again(
        &self,
        client: Option<&Client>,
        state: &SignInState,
        text: String,
        browser: &Browser,
        error: Option<SignInError>,
    ) -> Answer {
        Answer::Page(Page::SignIn(SignInPage {
            state: text,
            browser: browser.cookie(),
            is_account: client.is_none(),
            client_name: client.map(client_name).unwrap_or_default(),
            is_vouched_for: client.is_none_or(is_vouched_for),
            login_hint: state.asked.login_hint().map(str::to_owned),
            has_password: self.sign_ins.directory().is_some(),
            outside: self.sign_ins.outside().map(|outside| OutsideButton {
                label: Arc::clone(outside.label()),
                form_target: outside.form_target(),
            }),
            error,
            form_target: client.and_then(|client| state.asked.form_target(client)),
        }))
    }

    /// The answer to the sign-in page. `browser` is the value of the browser cookie.
    pub async fn sign_in(
        &self,
        form: SignInForm<'_>,
        browser: Option<&Secret>,
        caller: &Caller,
        now: UnixTime,
    ) -> Answer {
        let (browser, state, client) = match self.open_sign_in(form.state, browser, now).await {
            Ok(opened) => opened,
            Err(answer) => return *answer,
        };
        let started = Instant::now();
        let login = Login::parse(form.login.trim()).ok();
        let login = login.and_then(|login| self.sign_ins.names.known(&login));
        let directory = self.sign_ins.directory();
        let try_ = Try { login: login.as_ref(), password: &form.password, id: state.asked.id(), caller };
        let refused = match self.check(directory, &try_, now).await {
            Checked::Right(verified) => {
                // Whoever has several names is one user, under the name that the directory knows.
                let Some(user) = verified.login.clone().or(login) else { return error(PageError::Stale) };
                self.note_page(&user, &state.asked, &browser, caller, now);
                let person = Person { user, password: &form.password, verified, auth_time: now };
                return self.signed_in(client.as_deref(), state.asked, person, &browser, now).await;
            }
            refused @ (Checked::Dead | Checked::Refused(_) | Checked::Wrong { .. }) => {
                match self.refused(refused, started, caller, client.as_deref()).await {
                    Ok(refused) => refused,
                    Err(dead) => return error(dead),
                }
            }
        };
        self.sign_in_page_again(client.as_deref(), &state, form.state.to_owned(), &browser, Some(refused))
    }

    /// What the sign-in page carried, if it is this browser's and not too old, and its client.
    pub(super) async fn open_sign_in(
        &self,
        text: &str,
        browser: Option<&Secret>,
        now: UnixTime,
    ) -> Result<(Browser, SignInState, Option<Arc<Client>>), Box<Answer>> {
        let stale = || Box::new(error(PageError::Stale));
        let browser = Browser::of_cookie(browser).ok_or_else(stale)?;
        let opened: Option<SignInState> = browser.open(Place::SignIn, text, &self.server_key);
        let state = opened.filter(|state| is_fresh(state.asked_at, now)).ok_or_else(stale)?;
        let client = self.client_of(&state.asked).await?;
        Ok((browser, state, client))
    }

    /// The client that a person signs in for; none for the account page.
    pub(super) async fn client_of(&self, asked: &Asked) -> Result<Option<Arc<Client>>, Box<Answer>> {
        let Some(id) = asked.client() else { return Ok(None) };
        match self.client(id).await {
            Ok(Some(client)) => Ok(Some(client)),
            Ok(None) => {
                Err(Box::new(error(PageError::BadRequest("the client is no longer registered".into()))))
            }
            Err(store) => Err(Box::new(unavailable(&store))),
        }
    }

    /// What to tell whoever gave a password that was not found right; after a wrong one, in due time.
    ///
    /// # Errors
    /// The page that ends the request.
    pub(super) async fn refused(
        &self,
        checked: Checked,
        started: Instant,
        caller: &Caller,
        client: Option<&Client>,
    ) -> Result<SignInError, PageError> {
        match checked {
            Checked::Wrong { was_asked, is_last } => {
                if was_asked {
                    let client_id = client.map_or("", |client| client.id.as_str());
                    tracing::info!(address = %caller.address, client_id, "a sign-in page got a wrong password");
                }
                self.sign_ins.hold(started, was_asked).await;
                if is_last { Err(PageError::Dead) } else { Ok(SignInError::Wrong) }
            }
            Checked::Refused(refused) => Ok(refused),
            Checked::Dead => Err(PageError::Dead),
            Checked::Right(_) => Err(PageError::Stale),
        }
    }

    /// Whether the password is right, asked within all limits.
    pub(super) async fn check(
        &self,
        directory: Option<&dyn PasswordCheck>,
        try_: &Try<'_>,
        now: UnixTime,
    ) -> Checked {
        const UNAVAILABLE: Checked = Checked::Refused(SignInError::Unavailable);
        let Some(directory) = directory else { return UNAVAILABLE };
        let Try { login, password, id, caller: Caller { address, .. } } = *try_;
        let address = *address;
        // The name of a service client is no person's. None of this is a guess, so it counts for nothing: it is
        // also not bounded by name, and whoever likes could fill the store with counts.
        let Some(login) = login.filter(|login| !login.is_client() && is_password(password)) else {
            return Checked::Wrong { was_asked: false, is_last: false };
        };
        let attempt = match self.sign_ins.limits.begin_password(login, address, id.as_bytes(), now) {
            Ok(attempt) => attempt,
            Err(TooMany { retry_after }) => return Checked::Refused(SignInError::TooMany { retry_after }),
        };
        // Read after the try was noted: what runs beside it is either counted already or still noted.
        let Ok(before) = self.attempts(id, now).await else {
            attempt.not_tried(now);
            return UNAVAILABLE;
        };
        if before >= self.config.max_sign_in_attempts {
            attempt.not_tried(now);
            return Checked::Dead;
        }
        if before.saturating_add(attempt.at_once()) > self.config.max_sign_in_attempts {
            attempt.not_tried(now);
            return Checked::Refused(SignInError::TooMany { retry_after: 1 });
        }
        let Some(turn) = self.sign_ins.turn(attempt.is_known()).await else {
            tracing::warn!("too many passwords wait to be checked");
            attempt.not_tried(now);
            return UNAVAILABLE;
        };
        let answer = directory.check(login, password, address).await;
        drop(turn);
        match answer {
            Ok(verified) => {
                attempt.right(now);
                Checked::Right(verified)
            }
            Err(CheckError::Wrong | CheckError::Unknown) => {
                self.sign_ins.note(login, None, now);
                self.wrong(id, attempt, true, now).await
            }
            Err(CheckError::NoRoute) => self.wrong(id, attempt, false, now).await,
            Err(failure @ (CheckError::Unavailable(_) | CheckError::Operator(_))) => {
                tracing::warn!(%failure, "a sign-in page");
                attempt.not_tried(now);
                UNAVAILABLE
            }
        }
    }

    /// Notes for the user to see that they, or somebody who knows their password, signed in with this browser.
    pub(super) fn note_page(
        &self,
        user: &Login,
        asked: &Asked,
        browser: &Browser,
        caller: &Caller,
        now: UnixTime,
    ) {
        let by = SignInBy {
            address: caller.address,
            client: asked.client().map(ToString::to_string),
            program: None,
            browser: self.known_browser(user, browser),
            grant: None,
        };
        self.sign_ins.note(user, Some(by), now);
    }

    /// Under which a browser is known to one user. Nobody can tell from it that two users share one.
    pub(super) fn known_browser(&self, user: &Login, browser: &Browser) -> Option<TokenHash> {
        let hash = browser.hash().ok()?;
        self.server_key.hash("known browser", &[user.as_str().as_bytes(), hash.as_bytes()]).ok()
    }

    pub(super) async fn attempts(&self, id: GrantId, now: UnixTime) -> Result<u32, StoreError> {
        let key = self.attempts_key(id).map_err(|error| StoreError::Unavailable(error.to_string()))?;
        self.store.counted(EphemeralKind::SignInAttempts, &key, now).await
    }

    /// Counts a wrong password where every node sees it.
    pub(super) async fn wrong(
        &self,
        id: GrantId,
        attempt: Attempt,
        was_asked: bool,
        now: UnixTime,
    ) -> Checked {
        let until = now.after(Request::LIFETIME);
        let counted = match self.attempts_key(id) {
            Ok(key) => self.store.count(EphemeralKind::SignInAttempts, &key, until, now).await,
            Err(error) => Err(StoreError::Unavailable(error.to_string())),
        };
        attempt.wrong(now);
        match counted {
            Ok(count) => {
                let is_last = count >= self.config.max_sign_in_attempts;
                Checked::Wrong { was_asked, is_last }
            }
            Err(store) => {
                tracing::warn!(%store, "a wrong password cannot be counted");
                Checked::Refused(SignInError::Unavailable)
            }
        }
    }

    fn attempts_key(&self, id: GrantId) -> Result<TokenHash, CryptoError> {
        self.server_key.hash("sign-in attempts", &[id.as_bytes()])
    }
}

/// What an outside provider is told of a request.
#[derive(Default)]
pub(super) struct ForOutside {
    pub(super) login_hint: Option<String>,
    pub(super) max_age: Option<u64>,
    pub(super) prompt: Option<OutsidePrompt>,
}

impl Asked {
    /// Where the answer to a form may send the browser.
    pub(super) fn form_target(&self, client: &Client) -> Option<String> {
        match self {
            Self::Client(request) => {
                client.redirect(&request.redirect_uri).map(|redirect| redirect.form_target())
            }
            Self::Account(_) | Self::Device(_) => None,
        }
    }

    pub(super) fn id(&self) -> GrantId {
        match self {
            Self::Client(request) => request.id,
            Self::Device(request) => request.id,
            Self::Account(request) => request.id,
        }
    }

    fn client(&self) -> Option<&ClientId> {
        match self {
            Self::Client(request) => Some(&request.client),
            Self::Device(request) => Some(&request.client),
            Self::Account(_) => None,
        }
    }

    fn login_hint(&self) -> Option<&str> {
        match self {
            Self::Client(request) => request.login_hint.as_deref(),
            Self::Device(_) => None,
            Self::Account(request) => request.login_hint.as_deref(),
        }
    }

    /// What an outside provider is told of the request.
    pub(super) fn for_outside(&self) -> ForOutside {
        let login_hint = self.login_hint().map(str::to_owned);
        match self {
            Self::Client(request) => {
                ForOutside { login_hint, max_age: request.max_age, prompt: request.outside_prompt }
            }
            Self::Device(_) => ForOutside::default(),
            Self::Account(request) => {
                let prompt = request.is_step_up.then_some(OutsidePrompt::Login);
                ForOutside { login_hint, max_age: None, prompt }
            }
        }
    }
}

/// What no mail server takes for a password is not asked about: nothing at all, more than can be sealed, and what
/// would end a field or a line where it is spoken in clear.
fn is_password(password: &Secret) -> bool {
    (1..=GrantPublicKey::MAX_PASSWORD).contains(&password.len())
        && !password.expose().iter().any(|octet| matches!(octet, 0 | b'\r' | b'\n'))
}

pub(super) fn is_fresh(asked_at: UnixTime, now: UnixTime) -> bool {
    now < asked_at.after(Request::LIFETIME)
}

/// How the client is called on the pages: by its own name, or else by its identifier if that is short.
pub(super) fn client_name(client: &Client) -> String {
    let name = client.metadata.client_name.as_deref().unwrap_or(client.id.as_str());
    let mut short: String = name.chars().take(64).collect();
    if short.len() < name.len() {
        short.push('…');
    }
    short
}

/// Whether the operator has looked at who the client is. Everybody is `open`.
pub(super) fn is_vouched_for(client: &Client) -> bool {
    matches!(client.standing, Standing::Operator | Standing::Invited)
}

pub(super) fn error(error: PageError) -> Answer {
    Answer::Page(Page::Error(error))
}

pub(super) fn unavailable(store: &StoreError) -> Answer {
    tracing::warn!(%store, "a page cannot use the store");
    error(PageError::Unavailable)
}

pub(super) fn fault(crypto: CryptoError) -> Answer {
    tracing::error!(error = %crypto, "a page cannot be made");
    error(PageError::Unavailable)
}
