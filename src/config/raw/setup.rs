use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What mail clients are told so that they set themselves up: by autoconfig, Autodiscover, configuration profiles, the
/// page of this server, and the records that `bearward dns` prints.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Setup {
    /// The domains of the addresses that have mailboxes here, the most common one first. A client with an address of
    /// another domain is told nothing. Without this key: the domains of the routes and of the trusted issuers; without
    /// those, what follows the first dot of hostname.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) domains: Option<Vec<String>>,
    /// What people call whoever runs this server, in at most 60 characters. Without this key: the first domain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) provider_name: Option<String>,
    /// The same in at most 20 characters, for narrow places. Without this key: the beginning of the name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) provider_short_name: Option<String>,
    /// Where clients find IMAP, the best first, if not at the listeners of this server under its hostname, as behind a
    /// balancer. An empty list tells nobody of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) imap: Option<Vec<String>>,
    /// The same for SMTP submission.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) smtp: Option<Vec<String>>,
    /// The same for POP3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) pop3: Option<Vec<String>>,
    /// The same for ManageSieve.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) sieve: Option<Vec<String>>,
}
