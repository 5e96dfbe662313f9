use std::net::IpAddr;

use tokio::time::Instant;

use super::{
    page::{Answer, Page, PageError, SignInError, SignInForm, SignInPage},
    request::Request,
    state::{Asked, Browser, Place, SignInState},
};
use crate::{
    directory::{CheckError, Verified},
    issuer::{Caller, Client, Issuer, Standing},
    limits::{Attempt, TooMany},
    model::{GrantId, Login, Secret, UnixTime},
    store::{EphemeralKind, StoreError},
    token::{CryptoError, GrantPublicKey},
};

/// What became of a password.
enum Checked {
    Right(Verified),
    Wrong { was_asked: bool, is_last: bool },
    Refused(SignInError),
    Dead,
}

impl Issuer {
    /// The sign-in page for `state`, sealed for `browser`.
    pub(super) fn sign_in_page(&self, client: &Client, state: &SignInState, browser: &Browser) -> Answer {
        match browser.seal(Place::SignIn, state, &self.server_key) {
            Ok(text) => Self::sign_in_page_again(client, state, text, browser, None),
            Err(error) => fault(error),
        }
    }

    fn sign_in_page_again(
        client: &Client,
        state: &SignInState,
        text: String,
        browser: &Browser,
        error: Option<SignInError>,
    ) -> Answer {
        let request = match &state.asked {
            Asked::Client(request) => Some(request),
            Asked::Device(_) => None,
        };
        let redirect = request.and_then(|request| client.redirect(&request.redirect_uri));
        Answer::Page(Page::SignIn(SignInPage {
            state: text,
            browser: browser.cookie(),
            client_name: client_name(client),
            is_vouched_for: is_vouched_for(client),
            login_hint: request.and_then(|request| request.login_hint.clone()),
            error,
            form_target: redirect.map(|redirect| redirect.form_target()),
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
        let Some(browser) = Browser::of_cookie(browser) else { return error(PageError::Stale) };
        let opened: Option<SignInState> = browser.open(Place::SignIn, form.state, &self.server_key);
        let Some(state) = opened.filter(|state| is_fresh(state.asked_at, now)) else {
            return error(PageError::Stale);
        };
        let client = match self.client(state.asked.client()).await {
            Ok(Some(client)) => client,
            Ok(None) => return error(PageError::BadRequest("the client is no longer registered".into())),
            Err(store) => return unavailable(&store),
        };
        let started = Instant::now();
        let login = Login::parse(form.login.trim()).ok();
        let refused = match self.check(login.as_ref(), &form.password, &state, caller.address, now).await {
            Checked::Right(verified) => {
                let Some(login) = login else { return error(PageError::Stale) };
                return self
                    .signed_in(&client, state.asked, login, &form.password, verified, &browser, now)
                    .await;
            }
            Checked::Wrong { was_asked, is_last } => {
                if was_asked {
                    tracing::info!(address = %caller.address, client_id = %client.id, "a sign-in page got a wrong password");
                }
                self.sign_ins.hold(started, was_asked).await;
                if is_last {
                    return error(PageError::Dead);
                }
                SignInError::Wrong
            }
            Checked::Refused(refused) => refused,
            Checked::Dead => return error(PageError::Dead),
        };
        Self::sign_in_page_again(&client, &state, form.state.to_owned(), &browser, Some(refused))
    }

    /// Whether the password is right, asked within all limits.
    async fn check(
        &self,
        login: Option<&Login>,
        password: &Secret,
        state: &SignInState,
        address: IpAddr,
        now: UnixTime,
    ) -> Checked {
        const UNAVAILABLE: Checked = Checked::Refused(SignInError::Unavailable);
        let Some(directory) = self.sign_ins.directory() else { return UNAVAILABLE };
        let id = state.asked.id();
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
            Err(CheckError::Wrong | CheckError::Unknown) => self.wrong(id, attempt, true, now).await,
            Err(CheckError::NoRoute) => self.wrong(id, attempt, false, now).await,
            Err(failure @ (CheckError::Unavailable(_) | CheckError::Operator(_))) => {
                tracing::warn!(%failure, "a sign-in page");
                attempt.not_tried(now);
                UNAVAILABLE
            }
        }
    }

    async fn attempts(&self, id: GrantId, now: UnixTime) -> Result<u32, StoreError> {
        let key = self.attempts_key(id).map_err(|error| StoreError::Unavailable(error.to_string()))?;
        self.store.counted(EphemeralKind::SignInAttempts, &key, now).await
    }

    /// Counts a wrong password where every node sees it.
    async fn wrong(&self, id: GrantId, attempt: Attempt, was_asked: bool, now: UnixTime) -> Checked {
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

    fn attempts_key(&self, id: GrantId) -> Result<crate::model::TokenHash, CryptoError> {
        self.server_key.hash("sign-in attempts", &[id.as_bytes()])
    }
}

impl Asked {
    fn id(&self) -> GrantId {
        match self {
            Self::Client(request) => request.id,
            Self::Device(request) => request.id,
        }
    }

    fn client(&self) -> &crate::model::ClientId {
        match self {
            Self::Client(request) => &request.client,
            Self::Device(request) => &request.client,
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
