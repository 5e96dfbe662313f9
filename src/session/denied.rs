//! Why an attempt failed.

use super::account::AccountError;
use crate::{
    directory::SecretError, lookup::LookupError, model::Outcome, proto::RefusalKind, relay::EndReason,
    upstream::RouteError, validator::Rejection,
};

/// Why an attempt failed: what the client is told, and what the operator reads.
pub(super) struct Denied {
    pub(super) kind: RefusalKind,
    pub(super) outcome: Outcome,
    pub(super) detail: String,
}

pub(super) const fn denied(kind: RefusalKind, outcome: Outcome, detail: String) -> Denied {
    Denied { kind, outcome, detail }
}

pub(super) fn too_many_wait() -> Denied {
    let detail = "too many sign-ins of this user wait for mail servers".to_owned();
    tracing::error!(
        detail,
        "the operator must act: a backend leads back here in a loop, or its servers hang"
    );
    Denied { kind: RefusalKind::Unavailable, outcome: Outcome::BackendUnreachable, detail }
}

/// Whose addresses a client may send from is not known: it must not be told that its token is to blame.
pub(super) fn senders_unknown(error: &LookupError) -> Denied {
    let detail = error.to_string();
    match error {
        LookupError::Unavailable { .. } => {
            Denied { kind: RefusalKind::Unavailable, outcome: Outcome::IssuerUnreachable, detail }
        }
        LookupError::Operator { .. } => {
            tracing::error!(detail, "the operator must act: submission.sender_lookup cannot be used");
            Denied { kind: RefusalKind::OperatorFault, outcome: Outcome::Policy, detail }
        }
    }
}

pub(super) fn rejected(rejection: &Rejection) -> Denied {
    denied(rejection_kind(rejection), rejection.outcome(), rejection.to_string())
}

fn rejection_kind(rejection: &Rejection) -> RefusalKind {
    match rejection {
        Rejection::Malformed
        | Rejection::Unknown
        | Rejection::Expired
        | Rejection::Revoked
        | Rejection::WrongAudience
        | Rejection::BoundElsewhere
        | Rejection::NotAppPassword
        | Rejection::WrongNetwork
        | Rejection::WrongUser => RefusalKind::InvalidToken,
        Rejection::InsufficientScope => RefusalKind::InsufficientScope,
        Rejection::NotAuthorized => RefusalKind::NotAuthorized,
        Rejection::Unavailable(_) | Rejection::Unreachable(_) => RefusalKind::Unavailable,
        Rejection::Undecided => RefusalKind::Undecided,
    }
}

/// A sign-in that was ended from here. Only the end of its right is the token's fault.
pub(super) fn ended(reason: EndReason) -> Denied {
    let (kind, outcome) = match reason {
        EndReason::Expired => (RefusalKind::InvalidToken, Outcome::Expired),
        EndReason::Revoked => (RefusalKind::InvalidToken, Outcome::InvalidToken),
        EndReason::ClientClosed
        | EndReason::ClientIo
        | EndReason::Drain
        | EndReason::GuardViolation
        | EndReason::Idle
        | EndReason::Killed
        | EndReason::ServerClosed
        | EndReason::ServerIo => (RefusalKind::Unavailable, Outcome::Policy),
    };
    Denied { kind, outcome, detail: format!("ended during the sign-in: {reason}") }
}

pub(super) fn client_left() -> Denied {
    let detail = "the client left while the mail server was asked".to_owned();
    Denied { kind: RefusalKind::Unavailable, outcome: Outcome::ProtocolError, detail }
}

/// A directory that is down is told from a user whom nobody serves: only the first passes by itself.
pub(super) fn route_denied(error: &RouteError) -> Denied {
    let detail = error.to_string();
    let (kind, outcome) = match error {
        RouteError::Lookup(LookupError::Unavailable { .. }) => {
            (RefusalKind::Unavailable, Outcome::BackendUnreachable)
        }
        RouteError::Lookup(LookupError::Operator { .. }) => (RefusalKind::OperatorFault, Outcome::Policy),
        RouteError::NoBackend(_) | RouteError::UnknownBackend { .. } => {
            tracing::error!(detail, "the operator must act: a look-up leads nowhere");
            (RefusalKind::OperatorFault, Outcome::Policy)
        }
        RouteError::NoRoute => (RefusalKind::OperatorFault, Outcome::Policy),
    };
    Denied { kind, outcome, detail }
}

pub(super) fn account_denied(error: AccountError) -> Denied {
    let detail = error.to_string();
    match error {
        AccountError::Lookup(error) => route_denied(&error.into()),
        AccountError::Secret(SecretError::Store(_)) => {
            Denied { kind: RefusalKind::Unavailable, outcome: Outcome::IssuerUnreachable, detail }
        }
        AccountError::Secret(SecretError::BadPassword | SecretError::Crypto(_) | SecretError::Unreadable) => {
            tracing::error!(detail, "the operator must act: a kept password does not open");
            Denied { kind: RefusalKind::OperatorFault, outcome: Outcome::Policy, detail }
        }
    }
}
