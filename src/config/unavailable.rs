//! Keys that are understood but have no effect yet: at their default they are taken, otherwise refused, so that
//! nothing an operator writes is silently ignored.

use super::{
    ConfigError,
    document::Document,
    raw::{PasswordMode, Root},
};

/// Refuses the first key whose value asks for something that this version cannot do.
pub(super) fn refuse(document: &Document<'_>, raw: &Root) -> Result<(), ConfigError> {
    let not_yet = |path: &str, what: &str| {
        Err(document.error(path, format!("{what} is not available in this version")))
    };
    if document.has("tls.acme") {
        return not_yet("tls.acme", "a certificate by ACME").map_err(|error| {
            error.help("give a certificate and a key as files in tls.certificate and tls.private_key")
        });
    }
    if raw.passwords.mode == PasswordMode::Backend {
        return not_yet("passwords.mode", "passwords.mode = \"backend\"");
    }
    Ok(())
}
