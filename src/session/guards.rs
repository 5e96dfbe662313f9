//! Which guard follows a session after its login, and from whose addresses its client may send.

use std::net::IpAddr;

use super::Submission;
use crate::{
    lookup::{Lookup, LookupError, Query},
    model::{Principal, Protocol},
    proto::{
        Guard, Ready,
        imap::ImapGuard,
        smtp::{SenderPolicy, SmtpGuard},
    },
};

/// The guard of a session whose mail server is `ready`; `None` where it cannot let its client become someone else.
pub(super) fn choose(
    protocol: Protocol,
    ready: &Ready,
    submission: &Submission,
    senders: Option<SenderPolicy>,
) -> Option<Box<dyn Guard>> {
    match protocol {
        Protocol::Smtp => {
            let guard = SmtpGuard::new(&ready.offer).with_bare_newlines(submission.bare_newline);
            Some(match senders {
                Some(senders) => Box::new(guard.with_senders(senders)),
                None => Box::new(guard),
            })
        }
        Protocol::Imap if ready.unauthenticate => Some(Box::new(ImapGuard::new())),
        Protocol::Imap | Protocol::Pop3 | Protocol::Sieve => None,
    }
}

/// The addresses that a session may send from; `None` where nobody asks. They are the user's login name and the
/// mailbox that is opened, the addresses that the token vouches for, and what a look-up says of that mailbox.
///
/// # Errors
/// [`LookupError`]: what the user may do is not known.
pub(super) async fn senders(
    submission: &Submission,
    lookup: Option<&dyn Lookup>,
    protocol: Protocol,
    principal: &Principal,
    client: IpAddr,
) -> Result<Option<SenderPolicy>, LookupError> {
    if protocol != Protocol::Smtp || !submission.own_senders {
        return Ok(None);
    }
    let query = Query { login: &principal.mailbox, protocol: Some(protocol), client: Some(client) };
    let entry = match lookup {
        Some(lookup) => lookup.find(&query).await?.unwrap_or_default(),
        None => crate::lookup::Entry::default(),
    };
    // A login name or a claim that begins with `@` must not open a whole domain: only an operator's entry may.
    let names = [principal.login.as_str(), principal.mailbox.as_str()];
    let own = names.into_iter().chain(principal.addresses.iter().map(String::as_str));
    let own = own.filter(|name| !name.starts_with('@'));
    Ok(Some(SenderPolicy::new(own.chain(entry.addresses.iter().map(String::as_str)))))
}
