use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::value::Hidden;

/// How a session logs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum LoginKind {
    Sealed,
    Master,
    Authzid,
    Secret,
    Bearer,
    External,
    Xclient,
    Trusted,
}

/// The service account of `master` and `authzid`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct ServiceAccount {
    /// Its login name.
    pub(in crate::config) user: String,
    /// Its password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) password: Option<Hidden>,
    /// A file that holds the password, relative to this file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) password_file: Option<PathBuf>,
    /// What stands between the user's and the service account's name, for `master`.
    #[serde(default = "asterisk")]
    pub(in crate::config) separator: char,
}

const fn asterisk() -> char {
    '*'
}

/// How a token is exchanged for one that the mail servers take (RFC 8693).
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct BackendBearer {
    /// The token endpoint of the mail servers' issuer; `https://`.
    pub(in crate::config) url: String,
    /// This server's client identifier there.
    pub(in crate::config) client_id: String,
    /// Its secret. Without one the identifier alone is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) client_secret: Option<Hidden>,
    /// A file that holds the secret, relative to this file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) client_secret_file: Option<PathBuf>,
    /// Whom the token is for (`audience`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) audience: Option<String>,
    /// The scope to ask for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) scope: Option<String>,
    /// PEM file of the authorities that are trusted instead of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) ca: Option<PathBuf>,
}
