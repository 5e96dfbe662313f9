use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Sign-in with a password instead of a token.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Passwords {
    /// `off`; `app`: app passwords only, which is like `off` while there are none; or `backend`: app passwords, and any
    /// password that the mail server takes, or that the sources of `directory.source` know.
    pub(in crate::config) mode: PasswordMode,
    /// Exceptions; the first one whose conditions all hold decides.
    #[serde(rename = "override", skip_serializing_if = "Vec::is_empty")]
    pub(in crate::config) overrides: Vec<PasswordOverride>,
}

impl Default for Passwords {
    fn default() -> Self {
        Self { mode: PasswordMode::App, overrides: Vec::new() }
    }
}

/// Which passwords clients may sign in with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum PasswordMode {
    Off,
    App,
    Backend,
}

/// An exception to `passwords.mode`. Conditions that are left out hold always; at least one must be there.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct PasswordOverride {
    /// Networks of clients, such as those of printers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(in crate::config) network: Vec<String>,
    /// Listeners, as their `bind` says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(in crate::config) listener: Vec<String>,
    /// Login names. Whether passwords are offered to a client is decided before it says its name: they are offered
    /// where any user could use one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(in crate::config) user: Vec<String>,
    /// Domains of login names. A user of `user` or of `domain` is meant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(in crate::config) domain: Vec<String>,
    /// What holds then.
    pub(in crate::config) mode: PasswordMode,
}
