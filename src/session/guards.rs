//! Which guard follows a session after its login.

use crate::{
    model::Protocol,
    proto::{Guard, Ready, sieve::SieveGuard, smtp::SmtpGuard},
};

/// The guard of a session whose mail server is `ready`; `None` where it cannot let its client become someone else.
pub(super) fn choose(protocol: Protocol, ready: &Ready) -> Option<Box<dyn Guard>> {
    match protocol {
        Protocol::Smtp => Some(Box::new(SmtpGuard::new(&ready.offer))),
        Protocol::Sieve => Some(Box::new(SieveGuard::new())),
        Protocol::Imap | Protocol::Pop3 => None,
    }
}
