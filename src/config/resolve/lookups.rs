//! `[lookup.NAME]`.

use std::path::PathBuf;

use zeroize::Zeroizing;

use super::{Base, at_least, servers};
use crate::{
    config::{
        ConfigError,
        document::Document,
        raw::{self, AuthMethod, LdapScope, LookupKind},
        secret_file,
        value::Span,
    },
    lookup::{self, AuthMethodName, FileConfig, HttpConfig, Kind, LdapConfig, SqlConfig},
};

/// Reads every look-up.
pub(super) fn lookups(
    document: &Document<'_>,
    base: &Base,
    raw: &mut raw::Root,
) -> Result<Vec<lookup::Config>, ConfigError> {
    raw.lookup.iter_mut().map(|(name, lookup)| one(document, base, name, lookup)).collect()
}

/// A look-up that `key` refers to must be there.
pub(super) fn must_exist(
    document: &Document<'_>,
    raw: &raw::Root,
    key: &str,
    name: &str,
) -> Result<(), ConfigError> {
    if raw.lookup.contains_key(name) {
        return Ok(());
    }
    let known: Vec<&str> = raw.lookup.keys().map(String::as_str).collect();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    Err(document
        .error(key, format!("there is no look-up \"{}\"", name.escape_debug()))
        .help(format!("write [lookup.NAME]; known: {known}")))
}

fn one(
    document: &Document<'_>,
    base: &Base,
    name: &str,
    raw: &mut raw::Lookup,
) -> Result<lookup::Config, ConfigError> {
    let key = format!("lookup.{name}");
    if name.is_empty()
        || !name.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_'))
    {
        return Err(document.error(&key, "a look-up's name has letters, digits, - and _ only"));
    }
    refuse_strangers(document, &key, raw)?;
    at_least(document, &format!("{key}.timeout"), raw.timeout, Span::millis(100))?;
    let cache = raw.cache.unwrap_or(match raw.kind {
        LookupKind::File => Span::seconds(0),
        LookupKind::Http | LookupKind::Ldap | LookupKind::Sql => Span::seconds(30),
    });
    raw.cache = Some(cache);
    let place = Place { document, base, key };
    let kind = match raw.kind {
        LookupKind::File => Kind::File(place.file(raw)?),
        LookupKind::Http => Kind::Http(place.http(raw)?),
        LookupKind::Ldap => Kind::Ldap(place.ldap(raw)?),
        LookupKind::Sql => Kind::Sql(place.sql(raw)?),
    };
    Ok(lookup::Config { name: name.into(), cache: cache.0, timeout: raw.timeout.0, kind })
}

/// A key of another kind would have no effect.
fn refuse_strangers(document: &Document<'_>, key: &str, raw: &raw::Lookup) -> Result<(), ConfigError> {
    const FILE: &[LookupKind] = &[LookupKind::File];
    const HTTP: &[LookupKind] = &[LookupKind::Http];
    const LDAP: &[LookupKind] = &[LookupKind::Ldap];
    const NET: &[LookupKind] = &[LookupKind::Http, LookupKind::Ldap];
    const SQL: &[LookupKind] = &[LookupKind::Sql];
    const URL: &[LookupKind] = &[LookupKind::Http, LookupKind::Ldap, LookupKind::Sql];
    let keys: [(&str, bool, &[LookupKind]); 23] = [
        ("path", raw.path.is_some(), FILE),
        ("url", raw.url.is_some(), URL),
        ("url_file", raw.url_file.is_some(), URL),
        ("query", raw.query.is_some(), SQL),
        ("ca", raw.ca.is_some(), NET),
        ("allow_cleartext", raw.allow_cleartext.is_some(), NET),
        ("starttls", raw.starttls.is_some(), LDAP),
        ("bind_dn", raw.bind_dn.is_some(), LDAP),
        ("bind_password", raw.bind_password.is_some(), LDAP),
        ("bind_password_file", raw.bind_password_file.is_some(), LDAP),
        ("base", raw.base.is_some(), LDAP),
        ("scope", raw.scope.is_some(), LDAP),
        ("filter", raw.filter.is_some(), LDAP),
        ("backend_attribute", raw.backend_attribute.is_some(), LDAP),
        ("server_attribute", raw.server_attribute.is_some(), LDAP),
        ("login_name_attribute", raw.login_name_attribute.is_some(), LDAP),
        ("password_attribute", raw.password_attribute.is_some(), LDAP),
        ("addresses_attribute", raw.addresses_attribute.is_some(), LDAP),
        ("mailboxes_attribute", raw.mailboxes_attribute.is_some(), LDAP),
        ("header", raw.header.is_some(), HTTP),
        ("header_file", raw.header_file.is_some(), HTTP),
        ("auth_method", raw.auth_method.is_some(), HTTP),
        ("kind", false, FILE),
    ];
    match keys.into_iter().find(|(_, is_given, kinds)| *is_given && !kinds.contains(&raw.kind)) {
        Some((name, _, _)) => {
            Err(document.error(&format!("{key}.{name}"), "has no effect with this kind").help("remove it"))
        }
        None => Ok(()),
    }
}

/// Where a look-up is written.
struct Place<'a> {
    document: &'a Document<'a>,
    base: &'a Base,
    key: String,
}

impl Place<'_> {
    fn at(&self, name: &str) -> String {
        format!("{}.{name}", self.key)
    }

    fn error(&self, name: &str, message: impl Into<String>) -> ConfigError {
        self.document.error(&self.at(name), message)
    }

    fn required<'a>(
        &self,
        name: &str,
        value: Option<&'a String>,
        help: &str,
    ) -> Result<&'a str, ConfigError> {
        match value {
            Some(value) if !value.is_empty() => Ok(value),
            Some(_) => Err(self.error(name, "is empty")),
            None => Err(self.document.error(&self.key, format!("has no {name}")).help(help)),
        }
    }

    /// The URL, which is taken out of what can be shown, because it may hold a password.
    fn url(&self, raw: &mut raw::Lookup, help: &str) -> Result<Zeroizing<String>, ConfigError> {
        let file = raw.url_file.as_deref().map(|file| self.base.join(file));
        let written = raw.url.take().map(Zeroizing::new);
        let written = written.as_ref().map(|url| url.as_str());
        secret_file::resolve(self.document, &self.at("url"), written, file.as_deref())?
            .ok_or_else(|| self.document.error(&self.key, "has no url").help(help))
    }

    fn ca(&self, raw: &mut raw::Lookup) -> Result<Option<PathBuf>, ConfigError> {
        let ca = raw.ca.as_deref().map(|ca| self.base.file(self.document, &self.at("ca"), ca)).transpose()?;
        raw.ca.clone_from(&ca);
        Ok(ca)
    }

    fn file(&self, raw: &mut raw::Lookup) -> Result<FileConfig, ConfigError> {
        let Some(path) = &raw.path else {
            return Err(self.document.error(&self.key, "has no path").help("write path = \"users.toml\""));
        };
        let path = self.base.file(self.document, &self.at("path"), path)?;
        raw.path = Some(path.clone());
        Ok(FileConfig { path })
    }

    fn sql(&self, raw: &mut raw::Lookup) -> Result<SqlConfig, ConfigError> {
        let url = self.url(raw, servers::DATABASE_HELP)?;
        let (database, shown) = servers::database(self.document, self.base, &self.at("url"), &url)?;
        if raw.url_file.is_none() {
            raw.url = Some(shown);
        }
        let help = "write query = \"SELECT backend FROM users WHERE login = $1\"";
        let query = self.required("query", raw.query.as_ref(), help)?;
        let query =
            lookup::SqlQuery::parse(query).map_err(|message| self.error("query", message).help(help))?;
        Ok(SqlConfig { database, query })
    }

    fn ldap(&self, raw: &mut raw::Lookup) -> Result<LdapConfig, ConfigError> {
        let help = "write url = \"ldaps://ldap.example.org\"";
        let url = self.url(raw, help)?;
        if raw.url_file.is_none() {
            raw.url = Some(url.as_str().to_owned());
        }
        let wishes = servers::LdapWishes {
            starttls: raw.starttls,
            allow_cleartext: raw.allow_cleartext == Some(true),
        };
        let (host, port, tls) = servers::ldap(self.document, &self.key, &url, &wishes)?;
        raw.starttls = Some(tls == lookup::LdapTls::StartTls);
        let base =
            self.required("base", raw.base.as_ref(), "write base = \"ou=people,dc=example,dc=org\"")?;
        let help = "write filter = \"(mail={user})\"";
        let filter = self.required("filter", raw.filter.as_ref(), help)?;
        let filter =
            lookup::LdapFilter::parse(filter).map_err(|message| self.error("filter", message).help(help))?;
        let attributes = lookup::LdapAttributes {
            backend: self.attribute("backend_attribute", raw.backend_attribute.as_deref())?,
            server: self.attribute("server_attribute", raw.server_attribute.as_deref())?,
            login_name: self.attribute("login_name_attribute", raw.login_name_attribute.as_deref())?,
            password: self.attribute("password_attribute", raw.password_attribute.as_deref())?,
            addresses: self.attribute("addresses_attribute", raw.addresses_attribute.as_deref())?,
            mailboxes: self.attribute("mailboxes_attribute", raw.mailboxes_attribute.as_deref())?,
        };
        Ok(LdapConfig {
            host,
            port,
            tls,
            bind: servers::bind(
                self.document,
                self.base,
                &self.key,
                raw.bind_dn.as_deref(),
                raw.bind_password.as_ref(),
                raw.bind_password_file.as_deref(),
            )?,
            base: base.to_owned(),
            scope: servers::scope(raw.scope.unwrap_or(LdapScope::Sub)),
            filter,
            attributes,
            ca: self.ca(raw)?,
        })
    }

    fn attribute(&self, key: &str, name: Option<&str>) -> Result<Option<String>, ConfigError> {
        servers::attribute(self.document, &self.at(key), name)
    }

    fn http(&self, raw: &mut raw::Lookup) -> Result<HttpConfig, ConfigError> {
        let help = "write url = \"https://auth.example.org/lookup\"";
        let text = self.url(raw, help)?;
        let url = lookup::url(&text).map_err(|message| self.error("url", message).help(help))?;
        if raw.url_file.is_none() {
            raw.url = Some(text.as_str().to_owned());
        }
        let allow_cleartext = raw.allow_cleartext == Some(true);
        if !allow_cleartext && !crate::http::may_be_asked(&url) {
            return Err(self
                .error("url", "is neither https nor on this machine")
                .help("write https://, or allow_cleartext = true if you mean it"));
        }
        let file = raw.header_file.as_deref().map(|file| self.base.join(file));
        let written = raw.header.as_ref().map(|header| header.0.as_str());
        let header = secret_file::resolve(self.document, &self.at("header"), written, file.as_deref())?;
        let header = header.map(|text| lookup::Header::parse(&text)).transpose().map_err(|message| {
            self.error("header", message).help("write header = \"X-Key: …\", at best in header_file")
        })?;
        let method = match raw.auth_method.unwrap_or(AuthMethod::Plain) {
            AuthMethod::External => AuthMethodName::External,
            AuthMethod::None => AuthMethodName::None,
            AuthMethod::Plain => AuthMethodName::Plain,
        };
        Ok(HttpConfig { url, header, method, ca: self.ca(raw)?, allow_cleartext })
    }
}
