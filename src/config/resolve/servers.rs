//! Servers that are asked about users: databases and LDAP servers.

use std::path::Path;

use super::{Base, store};
use crate::{
    config::{ConfigError, address, document::Document, raw::LdapScope, secret_file, value::Hidden},
    lookup::{Database, LdapTls, Scope},
    model::Secret,
};

pub(super) const DATABASE_HELP: &str =
    "write url = \"sqlite:users.db\" or \"postgres://…\", at best in url_file";
const LDAP_HELP: &str = "write url = \"ldaps://ldap.example.org\"";

/// What is written beside the URL of an LDAP server.
pub(super) struct LdapWishes {
    pub(super) starttls: Option<bool>,
    pub(super) allow_cleartext: bool,
}

/// The database, and how its URL may be shown.
pub(super) fn database(
    document: &Document<'_>,
    base: &Base,
    key: &str,
    url: &str,
) -> Result<(Database, String), ConfigError> {
    if let Some(file) = url.strip_prefix("sqlite:") {
        let file = file.strip_prefix("//").unwrap_or(file);
        if file.is_empty() || file.contains(['?', '\0']) || file == ":memory:" {
            return Err(document.error(key, "must be sqlite: and a file"));
        }
        let file = base.file(document, key, Path::new(file))?;
        let shown = format!("sqlite:{}", file.display());
        return Ok((Database::Sqlite(file), shown));
    }
    let rest = ["postgres://", "postgresql://"].iter().find_map(|name| url.strip_prefix(name));
    let Some(rest) = rest else {
        return Err(document.error(key, "must begin with sqlite: or postgres://").help(DATABASE_HELP));
    };
    let address = store::postgres(document, base, key, rest)?;
    let shown = store::shown(&address);
    Ok((Database::Postgres(address), shown))
}

/// Host, port and TLS of the LDAP server of the section `section`.
pub(super) fn ldap(
    document: &Document<'_>,
    section: &str,
    url: &str,
    wishes: &LdapWishes,
) -> Result<(String, u16, LdapTls), ConfigError> {
    let error = |key: &str, message: &str| document.error(&format!("{section}.{key}"), message);
    let (is_tls, rest) = match (url.strip_prefix("ldaps://"), url.strip_prefix("ldap://")) {
        (Some(rest), _) => (true, rest),
        (None, Some(rest)) => (false, rest),
        (None, None) => {
            return Err(error("url", "must begin with ldaps:// or ldap://").help(LDAP_HELP));
        }
    };
    let (host, port) = address::authority(rest.strip_suffix('/').unwrap_or(rest))
        .map_err(|message| error("url", &message).help(LDAP_HELP))?;
    let port = port.unwrap_or(if is_tls { 636 } else { 389 });
    let is_here = address::is_loopback(&host);
    let starttls = wishes.starttls.unwrap_or(!is_tls && !is_here);
    if is_tls && starttls {
        return Err(error("starttls", "has no effect with ldaps://").help("remove it"));
    }
    if !is_tls && !starttls && !is_here && !wishes.allow_cleartext {
        return Err(error("url", "is a clear connection to another machine")
            .help("write ldaps:// or starttls = true, or allow_cleartext = true if you mean it"));
    }
    let tls = match (is_tls, starttls) {
        (true, _) => LdapTls::Implicit,
        (false, true) => LdapTls::StartTls,
        (false, false) => LdapTls::Clear,
    };
    Ok((host, port, tls))
}

pub(super) const fn scope(scope: LdapScope) -> Scope {
    match scope {
        LdapScope::Base => Scope::Base,
        LdapScope::One => Scope::One,
        LdapScope::Sub => Scope::Sub,
    }
}

/// The name of an attribute, at `key`.
pub(super) fn attribute(
    document: &Document<'_>,
    key: &str,
    name: Option<&str>,
) -> Result<Option<String>, ConfigError> {
    let is_plain = |octet: u8| octet.is_ascii_alphanumeric() || b"-;.".contains(&octet);
    match name {
        Some(name) if name.is_empty() || !name.bytes().all(is_plain) => {
            Err(document.error(key, "must be the name of an attribute"))
        }
        name => Ok(name.map(str::to_owned)),
    }
}

/// Who we are at the LDAP server of the section `section`. A name without a password would be an anonymous bind that
/// looks like another (RFC 4513 §5.1.2).
pub(super) fn bind(
    document: &Document<'_>,
    base: &Base,
    section: &str,
    name: Option<&str>,
    written: Option<&Hidden>,
    file: Option<&Path>,
) -> Result<Option<(String, Secret)>, ConfigError> {
    let error = |key: &str, message: &str| document.error(&format!("{section}.{key}"), message);
    let file = file.map(|file| base.join(file));
    let written = written.map(|password| password.0.as_str());
    let key = format!("{section}.bind_password");
    let password = secret_file::resolve(document, &key, written, file.as_deref())?;
    match (name, password) {
        (None, None) => Ok(None),
        (Some(name), Some(password)) if !name.is_empty() => {
            Ok(Some((name.to_owned(), Secret::copy_of(password.as_bytes()))))
        }
        (Some(_), Some(_)) => Err(error("bind_dn", "is empty")),
        (Some(_), None) => Err(error("bind_dn", "has no password").help("write bind_password_file = …")),
        (None, Some(_)) => Err(error("bind_password", "stands without bind_dn")),
    }
}
