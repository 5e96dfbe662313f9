//! OAuth decisions, without HTTP.

use std::{sync::Arc, time::Duration};

/// Settings of the built-in issuer.
#[derive(Clone, Debug)]
pub struct Config {
    /// Whether there is a built-in issuer at all.
    pub enabled: bool,
    /// The issuer identifier: an https URL without query and fragment (RFC 8414 §2).
    pub url: Arc<str>,
    /// Lifetime of an access token.
    pub access_token_lifetime: Duration,
    /// Idle lifetime of a refresh token.
    pub refresh_token_lifetime: Duration,
    /// Absolute lifetime of a grant; `None` is for ever.
    pub grant_lifetime: Option<Duration>,
}
