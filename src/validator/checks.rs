//! What a record must stand up to, in this order.

use super::{
    Rejection, Request, delegation, end_of,
    explain::{StepName, Trace},
};
use crate::{
    model::{Login, TokenKind, UnixTime},
    store::TokenRecord,
};

/// That neither the token nor its grant has ended.
pub(super) fn life(
    record: &TokenRecord,
    kind: TokenKind,
    now: UnixTime,
    trace: &mut Trace,
) -> Result<(), Rejection> {
    if record.kind != kind {
        return trace.fail(StepName::Lookup, Rejection::Unknown, "the row is of another kind".to_owned());
    }
    if let Some(end) = record.grant.revoked {
        let detail = format!("the grant was ended at {} ({})", end.at.0, end.reason);
        return trace.fail(StepName::Revocation, Rejection::Revoked, detail);
    }
    if let Some(at) = record.revoked_at {
        let detail = format!("the token was ended at {}", at.0);
        return trace.fail(StepName::Revocation, Rejection::Revoked, detail);
    }
    trace.pass(StepName::Revocation, || "neither token nor grant was revoked".to_owned());
    let end = end_of(record);
    if now >= end {
        return trace.fail(
            StepName::Expiry,
            Rejection::Expired,
            format!("it ended at {}, now is {}", end.0, now.0),
        );
    }
    trace.pass(StepName::Expiry, || format!("it ends at {}, in {} s", end.0, now.until(end).as_secs()));
    Ok(())
}

/// That it is for this service (RFC 8707 §2). Rows of the first version name none: there was one service.
pub(super) fn audience(record: &TokenRecord, own: &str, trace: &mut Trace) -> Result<(), Rejection> {
    if record.audience == own || record.audience.is_empty() {
        trace.pass(StepName::Audience, || format!("it is for {own}"));
        return Ok(());
    }
    let detail = format!("it is for {}, this is {own}", record.audience);
    trace.fail(StepName::Audience, Rejection::WrongAudience, detail)
}

/// That the connection has shown the certificate that it is bound to (RFC 8705 §3).
pub(super) fn binding(
    record: &TokenRecord,
    request: &Request<'_>,
    trace: &mut Trace,
) -> Result<(), Rejection> {
    bound(record.certificate, request, trace)
}

/// The same for the certificate alone.
pub(super) fn bound(
    certificate: Option<[u8; 32]>,
    request: &Request<'_>,
    trace: &mut Trace,
) -> Result<(), Rejection> {
    match (certificate, request.certificate) {
        (None, _) => {
            trace.pass(StepName::Binding, || "it is bound to no certificate".to_owned());
            Ok(())
        }
        (Some(bound), Some(shown)) if bound == shown => {
            trace.pass(StepName::Binding, || "the connection has shown its certificate".to_owned());
            Ok(())
        }
        (Some(_), Some(_)) => {
            let detail = "it is bound to another certificate than the connection has shown".to_owned();
            trace.fail(StepName::Binding, Rejection::BoundElsewhere, detail)
        }
        (Some(_), None) => {
            let detail = "it is bound to a certificate, and the connection has shown none".to_owned();
            trace.fail(StepName::Binding, Rejection::BoundElsewhere, detail)
        }
    }
}

/// Whether it is a service client's, which has no mailbox of its own.
pub(super) fn is_of_service(record: &TokenRecord) -> bool {
    record.grant.user.is_client() || !record.grant.mailboxes.is_empty()
}

/// A service client has no mailbox of its own: it says which of those that it may open.
pub(super) fn mailbox_of_service(
    record: &TokenRecord,
    request: &Request<'_>,
    trace: &mut Trace,
) -> Result<Login, Rejection> {
    let client = &record.grant.client;
    let Some(authzid) = request.authzid else {
        let detail = format!("service client {client} must name a mailbox");
        return trace.fail(StepName::Identity, Rejection::NotAuthorized, detail);
    };
    let login = match Login::parse(authzid) {
        Ok(login) => login,
        Err(error) => return trace.fail(StepName::Identity, Rejection::NotAuthorized, error.to_string()),
    };
    if !login.is_client() && record.grant.mailboxes.iter().any(|entry| delegation::covers(entry, &login)) {
        trace.pass(StepName::Identity, || format!("service client {client} may open {login}"));
        return Ok(login);
    }
    let detail = format!("service client {client} may not open {login}");
    trace.fail(StepName::Identity, Rejection::NotAuthorized, detail)
}

/// That it is for this protocol.
pub(super) fn scope(record: &TokenRecord, request: &Request<'_>, trace: &mut Trace) -> Result<(), Rejection> {
    if request.protocol.is_covered_by(&record.scope) {
        trace.pass(StepName::Scope, || format!("\"{}\" covers {}", record.scope, request.protocol));
        return Ok(());
    }
    let detail = format!("\"{}\" does not cover {}", record.scope, request.protocol);
    trace.fail(StepName::Scope, Rejection::InsufficientScope, detail)
}

/// That it may be used from the client's address.
pub(super) fn network(
    record: &TokenRecord,
    request: &Request<'_>,
    trace: &mut Trace,
) -> Result<(), Rejection> {
    if record.networks.is_empty() {
        trace.pass(StepName::Network, || "it may be used from everywhere".to_owned());
        return Ok(());
    }
    let networks = record.networks.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match request.client {
        Some(client) if record.networks.iter().any(|network| network.contains(client)) => {
            trace.pass(StepName::Network, || format!("{client} is in {networks}"));
            Ok(())
        }
        Some(client) => {
            let detail = format!("{client} is not in {networks}");
            trace.fail(StepName::Network, Rejection::WrongNetwork, detail)
        }
        None => {
            let detail = format!("it may be used from {networks} alone, and no client's address is given");
            trace.fail(StepName::Network, Rejection::WrongNetwork, detail)
        }
    }
}
