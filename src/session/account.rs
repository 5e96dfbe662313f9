//! What an operator's directories and the store know of the account that a session logs in to.

use std::net::IpAddr;

use crate::{
    directory::{SecretError, Secrets},
    lookup::{Entry, LookupError, Lookups, Query},
    model::{Principal, Protocol},
    upstream::{Backend, Login, SecretSource},
};

/// It is not known, and the reason is no fault of the user's.
#[derive(Debug, thiserror::Error)]
pub(super) enum AccountError {
    /// A look-up has no answer.
    #[error("{0}")]
    Lookup(#[from] LookupError),
    /// The store has none.
    #[error("{0}")]
    Secret(#[from] SecretError),
}

/// Where it is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sources<'a> {
    pub(super) lookups: &'a Lookups,
    pub(super) secrets: &'a Secrets,
}

/// What is known of the account of `principal` at `backend`. `routed` is what the look-up said that led there, of the
/// mailbox: of it a name counts only where the login is the mailbox's own, and a password never, because only the
/// backend's own setting says where passwords are kept.
pub(super) async fn account(
    sources: Sources<'_>,
    backend: &Backend,
    principal: &Principal,
    routed: Option<Entry>,
    (protocol, client): (Protocol, IpAddr),
) -> Result<Option<Entry>, AccountError> {
    let name = backend.account(principal);
    let routed = routed.map(|entry| Entry {
        login_name: entry.login_name.filter(|_| *name == principal.mailbox),
        password: None,
        ..entry
    });
    let Login::Secret(source) = &backend.config().login else { return Ok(routed) };
    let found = match source {
        SecretSource::Lookup(lookup) => {
            let Some(lookup) = sources.lookups.get(lookup) else {
                let (name, reason) = (lookup.clone(), "there is none".to_owned());
                return Err(LookupError::Operator { name, reason }.into());
            };
            let query = Query { login: name, protocol: Some(protocol), client: Some(client) };
            lookup.find(&query).await?
        }
        SecretSource::Store => {
            let password = sources.secrets.open(name, &backend.config().name).await?;
            password.map(|password| Entry { password: Some(password), ..Entry::default() })
        }
    };
    let Some(found) = found else { return Ok(routed) };
    let routed = routed.unwrap_or_default();
    Ok(Some(Entry { login_name: found.login_name.or(routed.login_name), password: found.password, ..routed }))
}
