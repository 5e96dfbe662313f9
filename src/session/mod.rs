//! The straight line of one session, and the registry of live sessions.

use std::time::Duration;

/// `[session]` of the configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// What happens to a live session when its token expires.
    pub on_token_expiry: OnTokenExpiry,
    /// How long after the expiry.
    pub expiry_grace: Duration,
    /// How long a drain waits for sessions to end by themselves.
    pub drain_timeout: Duration,
}

/// What happens to a live session when its token expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnTokenExpiry {
    /// It is closed.
    Close,
    /// It lives on until its grant ends.
    Keep,
}
