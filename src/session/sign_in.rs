//! One attempt to sign in: validate, route, log in upstream, check the grant once more.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    OnTokenExpiry,
    account::{Sources, account},
    denied::{
        Denied, account_denied, client_left, ended, rejected, route_denied, senders_unknown, too_many_wait,
    },
    guards,
    line::{Connection, Shared},
    noted,
    password::{self, Guess},
    registry::{Bound, Entry},
};
use crate::{
    lookup,
    model::{self, Mechanism, Outcome, Principal, Right, UnixTime},
    proto::{Attempt, ClientFacts, Credentials, Failure, Guard, Refusal, RefusalKind},
    relay::EndReason,
    telemetry::SignIn,
    upstream::{Backend, LoggedIn, Login, LoginError, PlanError, RouteError, RouteKey},
    validator::{PasswordRefusal, Presented, Rejection, Request, Seen, Verdict},
};

/// How many proxies may follow this one.
const PROXY_TTL: u8 = 6;

/// A session that may relay.
pub(super) struct SignedIn {
    pub(super) entry: Entry,
    pub(super) upstream: LoggedIn,
    pub(super) guard: Option<Box<dyn Guard>>,
}

/// What is known of an attempt before a mail server is asked.
pub(super) struct Validated {
    pub(super) principal: Principal,
    pub(super) seen: Seen,
    /// A mailbox password that nobody has found right yet.
    pub(super) guess: Option<Guess>,
}

/// What is known of an attempt when its event is written.
#[derive(Default)]
pub(super) struct Trail {
    pub(super) user: Option<String>,
    client_id: Option<String>,
    /// One of the configured ones, whatever the token says.
    pub(super) issuer: Option<Arc<str>>,
    backend: Option<Arc<str>>,
}

/// Decides one attempt. Exactly one sign-in event is written, whatever happens.
///
/// `left` is ready when the client has gone: nobody waits for the mail server any more then.
pub(super) async fn sign_in(
    shared: &Shared,
    connection: &Connection,
    attempt: Attempt,
    left: impl Future<Output = ()>,
) -> Result<SignedIn, Refusal> {
    let started = Instant::now();
    let mechanism = attempt.mechanism;
    let mut trail = Trail::default();
    let result = attempt_sign_in(shared, connection, attempt, left, &mut trail).await;
    let (outcome, detail) = match &result {
        Ok(_) => (Outcome::Ok, None),
        Err(denied) => (denied.outcome, Some(denied.detail.as_str())),
    };
    let event = SignIn {
        session: connection.id,
        protocol: connection.protocol,
        mechanism: Some(mechanism),
        user: trail.user.as_deref(),
        client_id: trail.client_id.as_deref(),
        issuer: trail.issuer.as_deref(),
        backend: trail.backend.as_deref(),
        client_ip: connection.peer.ip(),
        outcome,
        duration: started.elapsed(),
        detail,
    };
    event.emit();
    shared.metrics.sign_in(&event);
    noted::refused(shared, connection, &event);
    result.map_err(|denied| refusal(shared, connection, denied.kind, trail.user.as_deref()))
}

/// Writes the event of a sign-in that broke the protocol before there was anything to decide.
pub(super) fn spoiled(shared: &Shared, connection: &Connection, mechanism: Mechanism, reason: &'static str) {
    let event = SignIn {
        session: connection.id,
        protocol: connection.protocol,
        mechanism: Some(mechanism),
        user: None,
        client_id: None,
        issuer: None,
        backend: None,
        client_ip: connection.peer.ip(),
        outcome: Outcome::ProtocolError,
        duration: Duration::ZERO,
        detail: Some(reason),
    };
    event.emit();
    shared.metrics.sign_in(&event);
}

/// Names the issuer that serves the user's domain (RFC 7628 §3.2.2).
fn refusal(shared: &Shared, connection: &Connection, kind: RefusalKind, user: Option<&str>) -> Refusal {
    let challenge = shared.issuers.challenge(user, connection.protocol);
    Refusal {
        kind,
        scope: challenge.scope,
        openid_configuration: challenge.openid_configuration,
        session: connection.id,
    }
}

async fn attempt_sign_in(
    shared: &Shared,
    connection: &Connection,
    attempt: Attempt,
    left: impl Future<Output = ()>,
    trail: &mut Trail,
) -> Result<SignedIn, Denied> {
    let now = UnixTime::now();
    let entry = shared.registry.enter(connection.id, connection.protocol, connection.peer.ip(), now);
    entry.program_is(attempt.client_software.as_deref());
    let Validated { mut principal, seen, mut guess } =
        validate(shared, connection, &attempt, trail, now).await?;
    trail.user = Some(principal.login.to_string());
    trail.client_id = Some(principal.client.to_string());
    let waiting = shared.registry.wait(&principal.login).ok_or_else(too_many_wait);
    let mechanism = attempt.mechanism;
    let submission = &shared.config.submission;
    let lookup = submission.sender_lookup.as_deref().and_then(|name| shared.lookups.get(name));
    let client = connection.peer.ip();
    let senders =
        guards::senders(submission, lookup.as_deref(), connection.protocol, &principal, client).await;
    let (_waiting, senders) = match (waiting, senders.map_err(|error| senders_unknown(&error))) {
        (Ok(waiting), Ok(senders)) => (waiting, senders),
        (Err(denied), _) | (_, Err(denied)) => {
            password::spare(guess);
            return Err(denied);
        }
    };
    let software = attempt.client_software.or_else(|| attempt.client_name.clone());
    let facts = ClientFacts {
        address: connection.peer,
        local: connection.local,
        name: attempt.client_name,
        session: connection.id,
        encrypted: connection.tls.is_some(),
        tls: connection.tls.clone(),
        utf8: attempt.utf8,
        // A connection that comes round in a loop has less left each time.
        ttl: attempt
            .ttl
            .into_iter()
            .chain(connection.ttl)
            .min()
            .map_or(PROXY_TTL, |left| PROXY_TTL.min(left.saturating_sub(1))),
    };
    // Only this wait is cut short: what follows a mail server's answer is done to its end.
    let who = (&mut principal, &mut guess, mechanism);
    let answered = tokio::select! {
        biased;
        reason = entry.live().switch.thrown() => Err(ended(reason)),
        () = shared.drain.cancelled() => Err(ended(EndReason::Drain)),
        // A password counts as wrong then.
        () = left => return Err(client_left()),
        answered = Box::pin(reach(shared, connection, (&entry, trail), who, facts)) => answered,
    };
    let (backend, answered) = match answered {
        Ok(answered) => answered,
        Err(denied) => {
            password::spare(guess);
            return Err(denied);
        }
    };
    let upstream = match answered {
        Ok(upstream) => upstream,
        Err(error) => {
            let error = password::judge(shared, guess, error).await?;
            return Err(login_denied(shared, backend, &principal, error).await);
        }
    };
    if let Some(guess) = guess {
        guess.right();
    }
    entry.logged_in_at(Arc::clone(&upstream.server));
    if let (true, Right::Grant { grant, .. }) = (is_sealed(backend), &principal.right) {
        shared.refusals.login_succeeded(*grant, &backend.config().name, UnixTime::now());
    }
    check_again(shared, &entry, &principal, seen).await?;
    noted::signed_in(shared, &entry, &principal, now);
    password::note_use(shared, connection, &principal, software);
    let guard = guards::choose(connection.protocol, &upstream.ready, submission, senders);
    Ok(SignedIn { entry, upstream, guard })
}

/// The servers of a mailbox.
async fn route<'a>(
    shared: &'a Shared,
    connection: &Connection,
    mailbox: &model::Login,
) -> Result<(&'a Arc<Backend>, Option<lookup::Entry>), RouteError> {
    let key = RouteKey {
        login: mailbox,
        listener: connection.front.listener.bind,
        sni: connection.sni.as_deref(),
        protocol: connection.protocol,
        client: connection.peer.ip(),
    };
    shared.backends.route(&key).await
}

/// Routes, asks what is known of the account, and logs in.
async fn reach<'a>(
    shared: &'a Shared,
    connection: &Connection,
    (entry, trail): (&Entry, &mut Trail),
    (principal, guess, mechanism): (&mut Principal, &mut Option<Guess>, Mechanism),
    facts: ClientFacts,
) -> Result<(&'a Arc<Backend>, Result<LoggedIn, LoginError>), Denied> {
    let (protocol, client) = (connection.protocol, connection.peer.ip());
    let (mut backend, mut routed) = match route(shared, connection, &principal.mailbox).await {
        Ok(routed) => routed,
        Err(error) => {
            return Err(match guess.take_if(|_| matches!(error, RouteError::NoRoute)) {
                Some(guess) => guess.wrong(shared, false, error.to_string()).await,
                None => route_denied(&error),
            });
        }
    };
    trail.backend = Some(Arc::clone(&backend.config().name));
    if let Some(known) = password::prove(shared, backend, principal, guess, client).await? {
        trail.user = Some(known.to_string());
        password::know_as(principal, known);
        (backend, routed) =
            route(shared, connection, &principal.mailbox).await.map_err(|error| route_denied(&error))?;
        trail.backend = Some(Arc::clone(&backend.config().name));
    }
    bind(shared, entry, principal, &backend.config().name, mechanism);
    let sources = Sources { lookups: &shared.lookups, secrets: &shared.secrets };
    let known = account(sources, backend, principal, routed, (protocol, client)).await;
    let known = known.map_err(account_denied)?;
    Ok((backend, backend.login(protocol, principal, known.as_ref(), facts).await))
}

async fn validate(
    shared: &Shared,
    connection: &Connection,
    attempt: &Attempt,
    trail: &mut Trail,
    now: UnixTime,
) -> Result<Validated, Denied> {
    let (Credentials::Bearer { authzid, .. } | Credentials::Password { authzid, .. }) = &attempt.credentials;
    let request = Request {
        protocol: connection.protocol,
        authzid: authzid.as_deref(),
        certificate: connection.certificate,
        sni: connection.sni.as_deref(),
        listener: Some(connection.front.listener.bind),
        client: Some(connection.peer.ip()),
    };
    let token = match &attempt.credentials {
        Credentials::Bearer { token, .. } => token,
        Credentials::Password { login, password, .. } => {
            let presented = Presented { login, password };
            return password::validate(shared, connection, &presented, &request, trail, now).await;
        }
    };
    trail.user.clone_from(authzid);
    let validation = shared.validator.validate_noting(token, &request, now).await;
    let outcome = validation.result.as_ref().map_or_else(Rejection::outcome, |_| Outcome::Ok);
    shared.issuers.count(&validation.issuer, outcome, validation.cached);
    trail.issuer = Some(validation.issuer);
    match validation.result {
        Ok(principal) => Ok(Validated { principal, seen: validation.seen, guess: None }),
        Err(rejection) => Err(rejected(&rejection)),
    }
}

fn bind(shared: &Shared, entry: &Entry, principal: &Principal, backend: &Arc<str>, mechanism: Mechanism) {
    let ends_at = match shared.config.on_token_expiry {
        OnTokenExpiry::Close => Some(principal.expires_at.after(shared.config.expiry_grace)),
        OnTokenExpiry::Keep => None,
    };
    entry.bind(Bound {
        right: principal.right.clone(),
        token: shared.validator.recheck_interval(&principal.issuer).map(|_| principal.token.clone()),
        login: principal.login.clone(),
        client: principal.client.clone(),
        backend: Arc::clone(backend),
        expires_at: principal.expires_at,
        mechanism,
        ends_at,
    });
}

/// The last look before the relay: a revocation since the validation is found either here, or by the registry,
/// which knows the grant since before the upstream login.
async fn check_again(
    shared: &Shared,
    entry: &Entry,
    principal: &Principal,
    seen: Seen,
) -> Result<(), Denied> {
    match shared.validator.is_still_live(&principal.right, seen, UnixTime::now()).await {
        Ok(true) => {}
        Ok(false) => return Err(ended(EndReason::Revoked)),
        Err(error) => {
            let detail = error.to_string();
            return Err(Denied {
                kind: RefusalKind::Unavailable,
                outcome: Outcome::IssuerUnreachable,
                detail,
            });
        }
    }
    entry.live().switch.killed().map_or(Ok(()), |reason| Err(ended(reason)))
}

async fn login_denied(
    shared: &Shared,
    backend: &Backend,
    principal: &Principal,
    error: LoginError,
) -> Denied {
    let detail = error.to_string();
    let denied = |kind, outcome| Denied { kind, outcome, detail: detail.clone() };
    let login = &backend.config().login;
    match &error {
        LoginError::Failure(Failure::Temporary(_) | Failure::Protocol(_)) | LoginError::Unreachable(_) => {
            denied(RefusalKind::Unavailable, Outcome::BackendUnreachable)
        }
        LoginError::Failure(Failure::Operator(_)) | LoginError::NoServer(_) | LoginError::Untrusted(_) => {
            operators_fault(backend, &detail);
            denied(RefusalKind::OperatorFault, Outcome::BackendRefused)
        }
        LoginError::Plan(PlanError::NoPassword(_)) => {
            denied(RefusalKind::InvalidToken, Outcome::InvalidToken)
        }
        LoginError::Plan(PlanError::TokenRefused(_)) => {
            denied(RefusalKind::InvalidToken, Outcome::BackendRefused)
        }
        LoginError::Plan(PlanError::NoToken(_)) => denied(RefusalKind::Policy, Outcome::Policy),
        LoginError::Plan(PlanError::Shared(_)) => denied(RefusalKind::NotAuthorized, Outcome::Policy),
        // The token is good, and another would change nothing: the operator keeps no password.
        LoginError::Plan(PlanError::NoSecret(_)) => denied(RefusalKind::OperatorFault, Outcome::Policy),
        LoginError::Plan(PlanError::UnsafeName(_)) => denied(RefusalKind::Pointless, Outcome::Policy),
        // The mail server says of the very token that it is no good: a new one may be.
        LoginError::Failure(Failure::WrongPassword(_)) if matches!(login, Login::Bearer(None)) => {
            tracing::warn!(backend = %backend.config().name, detail, "a mail server takes no token that is good here");
            denied(RefusalKind::InvalidToken, Outcome::BackendRefused)
        }
        LoginError::Failure(Failure::WrongPassword(_)) if is_sealed(backend) => {
            refused_password(shared, backend, principal, PasswordRefusal::Unambiguous, detail).await
        }
        LoginError::Failure(Failure::Refused(_)) if is_sealed(backend) => {
            refused_password(shared, backend, principal, PasswordRefusal::Bare, detail).await
        }
        LoginError::Failure(Failure::WrongPassword(_) | Failure::Refused(_)) => {
            operators_fault(backend, &detail);
            denied(RefusalKind::OperatorFault, Outcome::BackendRefused)
        }
    }
}

fn operators_fault(backend: &Backend, detail: &str) {
    tracing::error!(backend = %backend.config().name, detail, "the operator must act: this backend takes no login");
}

fn is_sealed(backend: &Backend) -> bool {
    matches!(backend.config().login, Login::Sealed)
}

/// A refused sealed password ends the grant when the policy says that the password is to blame.
async fn refused_password(
    shared: &Shared,
    backend: &Backend,
    principal: &Principal,
    refusal: PasswordRefusal,
    detail: String,
) -> Denied {
    let now = UnixTime::now();
    let outcome = Outcome::BackendRefused;
    let grant = match &principal.right {
        Right::Grant { grant, .. } => *grant,
        Right::Outside(_) => return Denied { kind: RefusalKind::Unavailable, outcome, detail },
        // Another directory has just found it right.
        Right::Password { .. } => return Denied { kind: RefusalKind::InvalidToken, outcome, detail },
    };
    match shared.refusals.observe(grant, &backend.config().name, refusal, now) {
        Verdict::Temporary => Denied { kind: RefusalKind::Unavailable, outcome, detail },
        Verdict::EndGrant => {
            let ended = shared.validator.end_refused_grant(grant, now).await;
            shared.registry.end_grant(grant);
            match ended {
                Ok(_) => Denied { kind: RefusalKind::InvalidToken, outcome, detail },
                Err(error) => {
                    tracing::error!(%grant, %error, "a grant whose password is wrong could not be ended");
                    Denied { kind: RefusalKind::Unavailable, outcome, detail }
                }
            }
        }
    }
}
