//! Sign-in with a password: an app password, or, where that is let, the mailbox password itself.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::time::Instant;

use super::{
    denied::{Denied, denied, rejected},
    line::{Connection, Shared},
    policy::{PasswordMode, PasswordPolicy},
    sign_in::{Trail, Validated},
};
use crate::{
    directory::{CheckError, PasswordGuard},
    limits::{self, TooMany},
    model::{ClientId, Login, Mechanism, Outcome, Principal, Right, Scope, SealedPassword, Secret, UnixTime},
    net::ListenerConfig,
    proto::RefusalKind,
    upstream::{self, Backend, Blame, LoginError},
    validator::{LastUse, NEVER, Presented, Rejection, Request, password_key},
};

/// Longest password that is passed on, in octets: no mail server takes a longer one.
const MAX_PASSWORD: usize = 255;
/// Characters kept of what a client calls itself.
const MAX_SOFTWARE: usize = 128;

/// What sessions know of passwords.
#[derive(Debug)]
pub struct Passwords {
    guard: PasswordGuard,
    /// Whether somebody else than the mail server knows passwords, and must be asked even where the login would tell.
    has_other_sources: bool,
    has_app_passwords: AtomicBool,
}

impl Passwords {
    /// Nobody has an app password yet, as far as is known.
    pub const fn new(guard: PasswordGuard, has_other_sources: bool) -> Self {
        Self { guard, has_other_sources, has_app_passwords: AtomicBool::new(false) }
    }

    /// Notes whether anybody has an app password.
    pub fn set_app_passwords(&self, has: bool) {
        self.has_app_passwords.store(has, Ordering::Release);
    }

    /// What a client at `client` is offered: passwords only where they could let somebody in.
    pub(super) fn mechanisms(
        &self,
        policy: &PasswordPolicy,
        listener: &ListenerConfig,
        client: IpAddr,
    ) -> Arc<[Mechanism]> {
        let may = |mode| policy.may_hold(mode, client, listener.bind);
        let takes_passwords = may(PasswordMode::Backend)
            || (may(PasswordMode::App) && self.has_app_passwords.load(Ordering::Acquire));
        let offered = listener.mechanisms.iter().filter(|mechanism| mechanism.is_bearer() || takes_passwords);
        offered.copied().collect()
    }
}

/// A mailbox password that was let through to be tried. What becomes of it must be told; dropping it counts as wrong.
pub(super) struct Guess {
    attempt: limits::Attempt,
    password: Secret,
    started: Instant,
}

impl Guess {
    pub(super) fn right(self) {
        self.attempt.right(UnixTime::now());
    }

    pub(super) fn not_tried(self) {
        self.attempt.not_tried(UnixTime::now());
    }

    /// Counts it, and answers when it is time to. Nobody is told whether there is such a user.
    pub(super) async fn wrong(self, shared: &Shared, was_asked: bool, detail: String) -> Denied {
        self.attempt.wrong(UnixTime::now());
        shared.passwords.guard.pace.hold(self.started, was_asked).await;
        denied(RefusalKind::InvalidToken, Outcome::InvalidToken, detail)
    }
}

/// Decides about a password as far as that can be done without the mail server.
pub(super) async fn validate(
    shared: &Shared,
    connection: &Connection,
    presented: &Presented<'_>,
    request: &Request<'_>,
    trail: &mut Trail,
    now: UnixTime,
) -> Result<Validated, Denied> {
    let started = Instant::now();
    trail.user = Some(presented.login.to_owned());
    let names = &shared.passwords.guard.names;
    let Some(login) = Login::parse(presented.login).ok().and_then(|login| names.known(&login)) else {
        return Err(denied(
            RefusalKind::InvalidToken,
            Outcome::InvalidToken,
            "it is no login name".to_owned(),
        ));
    };
    let presented = &Presented { login: login.as_str(), password: presented.password };
    let (client, listener) = (connection.peer.ip(), connection.front.listener.bind);
    let mode = shared.config.passwords.mode(client, listener, &login);
    if mode == PasswordMode::Off {
        let detail = "passwords are off (passwords.mode)".to_owned();
        return Err(denied(RefusalKind::Policy, Outcome::Policy, detail));
    }
    let validation = shared.validator.validate_password(presented, request, now).await;
    let rejection = match validation.result {
        Ok(principal) => {
            shared.issuers.count(&validation.issuer, Outcome::Ok, validation.cached);
            trail.issuer = Some(validation.issuer);
            return Ok(Validated { principal, seen: validation.seen, guess: None });
        }
        Err(rejection) => rejection,
    };
    let is_unknown = matches!(rejection, Rejection::NotAppPassword | Rejection::Unknown);
    if rejection != Rejection::NotAppPassword {
        shared.issuers.count(&validation.issuer, rejection.outcome(), validation.cached);
    }
    if !(is_unknown && mode == PasswordMode::Backend) {
        return Err(rejected(&rejection));
    }
    let guess = begin(shared, connection, &login, presented.password, started, now)?;
    Ok(Validated { principal: owner(shared, login), seen: shared.validator.seen(now), guess: Some(guess) })
}

/// Lets a mailbox password be tried, if there were not too many wrong ones. What cannot be one is nothing to count.
fn begin(
    shared: &Shared,
    connection: &Connection,
    login: &Login,
    password: &Secret,
    started: Instant,
    now: UnixTime,
) -> Result<Guess, Denied> {
    let is_sayable = !password.expose().iter().any(|octet| matches!(octet, 0 | b'\r' | b'\n'));
    if login.is_client() || !is_sayable || !(1..=MAX_PASSWORD).contains(&password.len()) {
        let detail = "it is no mailbox password".to_owned();
        return Err(denied(RefusalKind::InvalidToken, Outcome::InvalidToken, detail));
    }
    let request = connection.id.to_string();
    let limits = &shared.passwords.guard.limits;
    match limits.begin_password(login, connection.peer.ip(), request.as_bytes(), now) {
        Ok(attempt) => Ok(Guess { attempt, password: password.clone(), started }),
        Err(TooMany { retry_after }) => {
            let detail = format!("too many wrong passwords; the next try in {retry_after} seconds");
            Err(denied(RefusalKind::RateLimited, Outcome::RateLimited, detail))
        }
    }
}

/// Whom the mailbox password of `login` would speak for.
fn owner(shared: &Shared, login: Login) -> Principal {
    Principal {
        mailbox: login.clone(),
        right: Right::Password { key: password_key(&login) },
        client: ClientId::password(),
        scope: Scope::mail(),
        issuer: Arc::clone(shared.validator.issuer()),
        expires_at: NEVER,
        addresses: Vec::new(),
        token: Secret::default(),
        passwords: Vec::new(),
        login,
    }
}

/// Has the principal of a mailbox password speak for `login`, under which its person is known.
pub(super) fn know_as(principal: &mut Principal, login: Login) {
    principal.right = Right::Password { key: password_key(&login) };
    principal.mailbox = login.clone();
    principal.login = login;
}

/// Whether the password is right, where the login to `backend` does not tell. Where it does, the password is what the
/// login is made with. The name under which the person is known, where it is another one.
///
/// # Errors
/// The answer; the guess was counted then.
pub(super) async fn prove(
    shared: &Shared,
    backend: &Backend,
    principal: &mut Principal,
    guess: &mut Option<Guess>,
    client: IpAddr,
) -> Result<Option<Login>, Denied> {
    let Some(password) = guess.as_ref().map(|tried| tried.password.clone()) else { return Ok(None) };
    if matches!(backend.config().login, upstream::Login::Sealed) {
        let backend = Arc::clone(&backend.config().name);
        principal.passwords.push(SealedPassword { backend, password: password.clone() });
        if !shared.passwords.has_other_sources {
            return Ok(None);
        }
    }
    let Some(directory) = &shared.passwords.guard.directory else {
        let detail = "no directory knows passwords (directory.source)".to_owned();
        return Err(denied(RefusalKind::OperatorFault, Outcome::Policy, detail));
    };
    // The guess stays with the caller meanwhile: whoever breaks off has guessed.
    let answer = directory.check(&principal.login, &password, client).await;
    let Some(tried) = guess.take() else { return Ok(None) };
    match answer {
        Ok(verified) => {
            tried.right();
            Ok(verified.login.filter(|known| *known != principal.login))
        }
        Err(error @ (CheckError::Unknown | CheckError::Wrong)) => {
            Err(tried.wrong(shared, true, error.to_string()).await)
        }
        Err(error @ CheckError::NoRoute) => Err(tried.wrong(shared, false, error.to_string()).await),
        Err(error @ CheckError::Operator(_)) => {
            tried.not_tried();
            tracing::error!(%error, "the operator must act");
            Err(denied(RefusalKind::OperatorFault, Outcome::Policy, error.to_string()))
        }
        Err(error @ CheckError::Unavailable(_)) => {
            tried.not_tried();
            Err(denied(RefusalKind::Unavailable, Outcome::BackendUnreachable, error.to_string()))
        }
    }
}

/// What a failed login means for the password that it was made with; gives the error back where the password is not to
/// blame.
///
/// # Errors
/// The answer to a wrong password.
pub(super) async fn judge(
    shared: &Shared,
    guess: Option<Guess>,
    error: LoginError,
) -> Result<LoginError, Denied> {
    let Some(guess) = guess else { return Ok(error) };
    match error.blame() {
        Blame::Credential => Err(guess.wrong(shared, true, error.to_string()).await),
        Blame::Operator | Blame::Passing => {
            guess.not_tried();
            Ok(error)
        }
    }
}

/// The end of a guess that came to nothing for reasons of ours.
pub(super) fn spare(guess: Option<Guess>) {
    if let Some(guess) = guess {
        guess.not_tried();
    }
}

/// Notes who has used the app password of a session, if that is what it hangs on.
pub(super) fn note_use(
    shared: &Shared,
    connection: &Connection,
    principal: &Principal,
    software: Option<String>,
) {
    if principal.client != ClientId::app_password() {
        return;
    }
    let client = software.map(|software| software.chars().take(MAX_SOFTWARE).collect());
    let (address, protocol) = (connection.peer.ip(), connection.protocol);
    let last = LastUse { at: UnixTime::now(), address, protocol, client };
    shared.validator.note_use(&principal.right, last);
}
