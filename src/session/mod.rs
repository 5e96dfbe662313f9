//! The straight line of one session, and the registry of live sessions.
//!
//! A session is read top to bottom in [`mod@line`]: accept, speak, validate, route, log in, relay. Until the relay it
//! runs in one boxed future that is dropped as a whole; the relay is a small task of its own.
//!
//! Invariants:
//! - a session is in the registry before its token is looked up, and its grant is checked once more after the
//!   upstream login, so that no revocation falls between;
//! - whoever ends a session (revocation, operator, drain, a client that leaves) ends the wait for its mail server too;
//! - a token that is not good never causes a connection to a mail server;
//! - an outage is answered as temporary and never as a wrong credential;
//! - a password is counted before any mail server hears it, and breaking off wins nothing.
//!
//! This room must not parse a protocol and must not decide about tokens.

mod account;
mod denied;
mod guards;
mod issuers;
mod line;
mod noted;
mod password;
mod policy;
mod registry;
mod sign_in;

pub use issuers::{Issuers, KnownIssuer};
pub use line::{Front, Shared, run};
pub use password::Passwords;
pub use policy::{PasswordMode, PasswordOverride, PasswordPolicy};
pub use registry::{Bound, Entry, Live, Registry};

use std::{sync::Arc, time::Duration};

use crate::proto::smtp::BareNewline;

/// `[session]` of the configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// What happens to a live session when its token expires.
    pub on_token_expiry: OnTokenExpiry,
    /// How long after the expiry.
    pub expiry_grace: Duration,
    /// How long a drain waits for sessions to end by themselves.
    pub drain_timeout: Duration,
    /// What may be sent.
    pub submission: Submission,
    /// Which passwords are taken.
    pub passwords: PasswordPolicy,
}

/// `[submission]` of the configuration.
#[derive(Clone, Debug, Default)]
pub struct Submission {
    /// What becomes of a message with a bare CR or LF.
    pub bare_newline: BareNewline,
    /// Whether a sender's address must be the user's own.
    pub own_senders: bool,
    /// The name of the look-up that knows more of the user's addresses.
    pub sender_lookup: Option<Arc<str>>,
}

/// What happens to a live session when its token expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnTokenExpiry {
    /// It is closed.
    Close,
    /// It lives on until its grant ends.
    Keep,
}
