//! Keys that are understood but have no effect yet: at their default they are taken, otherwise refused, so that
//! nothing an operator writes is silently ignored.

use super::{
    ConfigError,
    document::Document,
    raw::{DirectorySource, Issuer, LoginKind, PasswordMode, Root, Service},
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
    for (index, listener) in raw.listener.iter().flatten().enumerate() {
        if listener.protocol == Service::Sieve {
            return not_yet(&format!("listener[{index}].protocol"), "a listener for ManageSieve");
        }
        if !listener.proxy_protocol_from.is_empty() {
            return not_yet(&format!("listener[{index}].proxy_protocol_from"), "taking PROXY headers");
        }
    }
    for (name, backend) in &raw.backend {
        if !backend.sieve.is_empty() {
            return not_yet(&format!("backend.{name}.sieve"), "ManageSieve");
        }
        let login = match backend.login {
            LoginKind::Authzid | LoginKind::Master | LoginKind::Sealed | LoginKind::Trusted => continue,
            LoginKind::Bearer => "login = \"bearer\"",
            LoginKind::External => "login = \"external\"",
            LoginKind::Secret => "login = \"secret\"",
            LoginKind::Xclient => "login = \"xclient\"",
        };
        return not_yet(&format!("backend.{name}.login"), login)
            .map_err(|error| error.help("choose sealed, master, authzid or trusted"));
    }
    for (index, route) in raw.route.iter().enumerate() {
        if route.lookup.is_some() {
            return not_yet(&format!("route[{index}].lookup"), "routing by a look-up");
        }
    }
    if !raw.trusted_issuer.is_empty() {
        return not_yet("trusted_issuer", "trusting another issuer");
    }
    if !raw.issuer.enabled {
        return not_yet("issuer.enabled", "running without the built-in issuer");
    }
    if raw.directory.source != [DirectorySource::Backend] {
        return not_yet("directory.source", "a source other than \"backend\"");
    }
    if raw.passwords.mode == PasswordMode::Backend {
        return not_yet("passwords.mode", "passwords.mode = \"backend\"");
    }
    issuer(document, &raw.issuer)
}

fn issuer(document: &Document<'_>, raw: &Issuer) -> Result<(), ConfigError> {
    let default = Issuer::default();
    let unchanged = [
        ("refresh_token_renew", raw.refresh_token_renew == default.refresh_token_renew),
        ("refresh_grace", raw.refresh_grace == default.refresh_grace),
        (
            "authorization_code_lifetime",
            raw.authorization_code_lifetime == default.authorization_code_lifetime,
        ),
        ("device_code_lifetime", raw.device_code_lifetime == default.device_code_lifetime),
        ("id_token_lifetime", raw.id_token_lifetime == default.id_token_lifetime),
        ("max_sign_in_attempts", raw.max_sign_in_attempts == default.max_sign_in_attempts),
        ("registration", raw.registration == default.registration),
    ];
    for (key, is_default) in unchanged {
        if !is_default {
            return Err(document
                .error(
                    &format!("issuer.{key}"),
                    "a value other than the default is not available in this version",
                )
                .help("leave the key out"));
        }
    }
    Ok(())
}
