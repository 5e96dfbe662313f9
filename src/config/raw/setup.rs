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
    /// Where clients get tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) oauth: Option<SetupOAuth>,
}

/// Where clients get tokens, if not from the built-in issuer: a public client of a trusted issuer that was made for them,
/// whose redirect URIs are http://127.0.0.1 and http://localhost with any port.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct SetupOAuth {
    /// The `url` of a trusted issuer, as it is written there.
    pub(in crate::config) issuer: String,
    /// The client's identifier.
    pub(in crate::config) client_id: String,
    /// Where people sign in.
    pub(in crate::config) authorization_endpoint: String,
    /// Where codes turn into tokens.
    pub(in crate::config) token_endpoint: String,
    /// Where devices without a browser begin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) device_authorization_endpoint: Option<String>,
    /// What to ask for: enough for every protocol, and for a refresh token where the issuer wants to be asked.
    pub(in crate::config) scope: String,
}
