//! Limits as pure decisions: who may connect, how much, how long.
//!
//! Invariants: what is counted is bounded by what is live, and a count ends with the thing it counts. Nothing here
//! looks at a clock or a socket.

mod connections;
mod penalties;
mod registration;
mod sign_in;

use std::time::Duration;

pub use connections::{Connections, Full, Permit};
pub use penalties::Allowance;
pub use registration::{RegistrationCost, Registrations};
pub use sign_in::{Attempt, SignInConfig, SignInLimits, TooMany};

/// `[limits]` of the configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Connections in all.
    pub connections: usize,
    /// Connections of one address.
    pub per_ip: usize,
    /// Connections of one IPv4 /24.
    pub per_prefix_v4: usize,
    /// Connections of one IPv6 /48.
    pub per_prefix_v6: usize,
    /// Time for the TLS handshake.
    pub handshake_timeout: Duration,
    /// Time from the first octet to the login.
    pub pre_auth_timeout: Duration,
    /// Time for the client's line after an error challenge.
    pub dummy_response_timeout: Duration,
    /// Bad commands per connection.
    pub bad_commands: u32,
    /// Failed sign-ins per connection.
    pub failed_auth: u32,
    /// Longest line before login, in octets.
    pub pre_auth_line: usize,
    /// Longest SASL response in octets of base64.
    pub sasl_response: usize,
    /// Time without an octet either way after login, on IMAP and ManageSieve.
    pub idle_timeout: Duration,
    /// The same on POP3.
    pub idle_timeout_pop3: Duration,
    /// The same on SMTP.
    pub idle_timeout_smtp: Duration,
}
