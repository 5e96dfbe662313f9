//! Which passwords are taken.

use std::net::SocketAddr;

use super::{ConfigError, Document, Root, raw};
use crate::{
    directory,
    model::{InvalidLogin, InvalidNetwork, Login},
    net::{ListenerConfig, Service},
    session::{PasswordMode, PasswordOverride, PasswordPolicy},
};

/// The settings of `[passwords]`.
pub(super) fn passwords(
    document: &Document<'_>,
    raw: &Root,
    listeners: &[ListenerConfig],
    sources: &[directory::Source],
) -> Result<PasswordPolicy, ConfigError> {
    let mut overrides = Vec::new();
    for (index, one) in raw.passwords.overrides.iter().enumerate() {
        let section = Section { document, key: format!("passwords.override[{index}]"), raw: one };
        overrides.push(section.resolve(listeners)?);
    }
    let policy = PasswordPolicy { mode: mode(raw.passwords.mode), overrides };
    if policy.takes_mailbox_passwords() && !sources.iter().any(knows_passwords) {
        return Err(document
            .error("passwords.mode", "is \"backend\", and no source of directory.source knows passwords")
            .help("write mode = \"app\", or add \"backend\" to directory.source"));
    }
    let is_mute = |listener: &ListenerConfig| {
        matches!(listener.service, Service::Mail(_))
            && !policy.takes_any()
            && !listener.mechanisms.iter().any(|mechanism| mechanism.is_bearer())
    };
    if let Some(index) = listeners.iter().position(is_mute) {
        return Err(document
            .error(&format!("listener[{index}].mechanisms"), "names passwords alone, and passwords are off")
            .help("add \"OAUTHBEARER\" and \"XOAUTH2\", or write passwords.mode = \"app\""));
    }
    Ok(policy)
}

const fn mode(raw: raw::PasswordMode) -> PasswordMode {
    match raw {
        raw::PasswordMode::App => PasswordMode::App,
        raw::PasswordMode::Backend => PasswordMode::Backend,
        raw::PasswordMode::Off => PasswordMode::Off,
    }
}

const fn knows_passwords(source: &directory::Source) -> bool {
    !matches!(source, directory::Source::Oidc)
}

struct Section<'a> {
    document: &'a Document<'a>,
    key: String,
    raw: &'a raw::PasswordOverride,
}

impl Section<'_> {
    fn resolve(&self, listeners: &[ListenerConfig]) -> Result<PasswordOverride, ConfigError> {
        let raw = self.raw;
        if raw.network.is_empty() && raw.listener.is_empty() && raw.user.is_empty() && raw.domain.is_empty() {
            return Err(self
                .document
                .error(&self.key, "has no condition, so it would always hold")
                .help("give it network, listener, user or domain; or change passwords.mode"));
        }
        Ok(PasswordOverride {
            networks: self.each("network", &raw.network, |text| {
                text.parse().map_err(|error: InvalidNetwork| error.to_string())
            })?,
            listeners: self.each("listener", &raw.listener, |text| listener(text, listeners))?,
            users: self.each("user", &raw.user, |text| {
                Login::parse(text).map_err(|error: InvalidLogin| error.to_string())
            })?,
            domains: raw.domain.iter().map(|domain| domain.to_ascii_lowercase()).collect(),
            mode: mode(raw.mode),
        })
    }

    fn each<T>(
        &self,
        name: &str,
        texts: &[String],
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Vec<T>, ConfigError> {
        let one = |(index, text): (usize, &String)| {
            let key = format!("{}.{name}[{index}]", self.key);
            read(text).map_err(|error| self.document.error(&key, error))
        };
        texts.iter().enumerate().map(one).collect()
    }
}

fn listener(text: &str, listeners: &[ListenerConfig]) -> Result<SocketAddr, String> {
    let bind = text.parse().map_err(|_| "must be the bind of a listener, such as \"[::]:993\"".to_owned())?;
    if listeners.iter().any(|listener| listener.bind == bind) {
        return Ok(bind);
    }
    Err(format!("is {text}, and no listener is bound there"))
}
