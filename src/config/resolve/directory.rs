//! `[directory]` and the sections of its sources.

use std::path::Path;

use super::{Base, at_least, oidc::openid, servers};
use crate::{
    config::{ConfigError, address, document::Document, raw, secret_file, value::Span},
    directory::{
        self, DnTemplate, DovecotAuthConfig, GroupFilter, LdapDirectoryConfig, LdapPlace, Membership, Names,
        SaslauthdConfig, Source, SqlDirectoryConfig,
    },
    lookup::{LdapFilter, LdapServer, LdapTls, SqlQuery},
    upstream,
};

const SOURCE: &str = "directory.source";

pub(super) fn directory(
    document: &Document<'_>,
    base: &Base,
    raw: &mut raw::Root,
    own: &str,
    backends: &[upstream::Config],
) -> Result<directory::Config, ConfigError> {
    let sources = sources(document, raw, backends)?;
    let openid = match &raw.directory.oidc {
        Some(oidc) => Some(Box::new(openid(document, base, raw, oidc, own)?)),
        None => None,
    };
    let is_alone = raw.directory.source.len() == 1 && raw.trusted_issuer.is_empty();
    let of = |name| Place { document, base, section: format!("directory.{name}"), is_alone };
    let names = names(document, &raw.directory)?;
    let directory = &mut raw.directory;
    Ok(directory::Config {
        sources,
        names,
        openid,
        ldap: directory.ldap.as_mut().map(|raw| of("ldap").ldap(raw)).transpose()?.map(Box::new),
        sql: directory.sql.as_mut().map(|raw| of("sql").sql(raw)).transpose()?.map(Box::new),
        dovecot_auth: directory
            .dovecot_auth
            .as_mut()
            .map(|raw| of("dovecot_auth").dovecot_auth(raw))
            .transpose()?,
        saslauthd: directory.saslauthd.as_mut().map(|raw| of("saslauthd").saslauthd(raw)).transpose()?,
    })
}

fn sources(
    document: &Document<'_>,
    raw: &raw::Root,
    backends: &[upstream::Config],
) -> Result<Vec<Source>, ConfigError> {
    if raw.directory.source.is_empty() {
        return Err(document
            .error(SOURCE, "names no source, so nobody could sign in")
            .help("write source = [\"backend\"]"));
    }
    let mut sources = Vec::new();
    for source in &raw.directory.source {
        let source = match source {
            raw::DirectorySource::Backend => Source::Backend,
            raw::DirectorySource::DovecotAuth => Source::DovecotAuth,
            raw::DirectorySource::Ldap => Source::Ldap,
            raw::DirectorySource::Oidc => Source::Oidc,
            raw::DirectorySource::Saslauthd => Source::Saslauthd,
            raw::DirectorySource::Sql => Source::Sql,
            raw::DirectorySource::Store => Source::Store,
        };
        if sources.contains(&source) {
            return Err(document.error(SOURCE, "names a source twice").help("remove one"));
        }
        sources.push(source);
    }
    let sealed = backends.iter().find(|backend| matches!(backend.login, upstream::Login::Sealed));
    if let (true, Some(backend)) = (sources.contains(&Source::Store), sealed) {
        return Err(document
            .error(
                SOURCE,
                format!(
                    "holds \"store\", but backend \"{}\" logs in with the mailbox password, which the built-in \
                     directory does not know",
                    backend.name
                ),
            )
            .help("let the backend log in by master, authzid or trusted, or leave \"store\" out"));
    }
    let sections = [
        (Source::DovecotAuth, "dovecot-auth", "dovecot_auth", raw.directory.dovecot_auth.is_some()),
        (Source::Ldap, "ldap", "ldap", raw.directory.ldap.is_some()),
        (Source::Oidc, "oidc", "oidc", raw.directory.oidc.is_some()),
        (Source::Saslauthd, "saslauthd", "saslauthd", raw.directory.saslauthd.is_some()),
        (Source::Sql, "sql", "sql", raw.directory.sql.is_some()),
    ];
    for (source, name, section, is_written) in sections {
        match (sources.contains(&source), is_written) {
            (true, false) => {
                return Err(document
                    .error(SOURCE, format!("holds \"{name}\", but nothing says where that is"))
                    .help(format!("write a section [directory.{section}]")));
            }
            (false, true) => {
                return Err(document
                    .error(
                        &format!("directory.{section}"),
                        format!("has no effect, because directory.source does not hold \"{name}\""),
                    )
                    .help(format!("write source = [\"{name}\"], or leave the section out")));
            }
            (true, true) | (false, false) => {}
        }
    }
    Ok(sources)
}

fn names(document: &Document<'_>, raw: &raw::Directory) -> Result<Names, ConfigError> {
    let default_domain = match &raw.default_domain {
        None => None,
        Some(domain) => Some(
            domain_name(domain)
                .ok_or_else(|| {
                    document
                        .error("directory.default_domain", "must be a domain, others than ASCII as xn--…")
                        .help("write default_domain = \"example.org\"")
                })?
                .into(),
        ),
    };
    Ok(Names { default_domain, lowercase: raw.lowercase })
}

fn domain_name(text: &str) -> Option<String> {
    let domain = text.to_ascii_lowercase();
    (address::is_host_name(&domain) && !domain.ends_with('.')).then_some(domain)
}

/// Where a source is written.
struct Place<'a> {
    document: &'a Document<'a>,
    base: &'a Base,
    section: String,
    is_alone: bool,
}

impl Place<'_> {
    fn at(&self, key: &str) -> String {
        format!("{}.{key}", self.section)
    }

    fn error(&self, key: &str, message: impl Into<String>) -> ConfigError {
        self.document.error(&self.at(key), message)
    }

    fn domains(&self, domains: &[String]) -> Result<Vec<String>, ConfigError> {
        if domains.is_empty() && !self.is_alone {
            return Err(self
                .error("domains", "must name the domains of its people, since others vouch for people too")
                .help("write domains = [\"example.org\"]"));
        }
        let checked = |domain: &String| {
            domain_name(domain).ok_or_else(|| {
                self.error("domains", "must hold domains such as \"example.net\", others than ASCII as xn--…")
            })
        };
        domains.iter().map(checked).collect()
    }

    fn timeout(&self, timeout: Span) -> Result<std::time::Duration, ConfigError> {
        at_least(self.document, &self.at("timeout"), timeout, Span::millis(100))?;
        Ok(timeout.0)
    }

    fn ldap(&self, raw: &mut raw::LdapDirectory) -> Result<LdapDirectoryConfig, ConfigError> {
        let wishes = servers::LdapWishes { starttls: raw.starttls, allow_cleartext: raw.allow_cleartext };
        let (host, port, tls) = servers::ldap(self.document, &self.section, &raw.url, &wishes)?;
        raw.starttls = Some(tls == LdapTls::StartTls);
        let ca = raw.ca.as_deref().map(|ca| self.base.file(self.document, &self.at("ca"), ca)).transpose()?;
        raw.ca.clone_from(&ca);
        let bind = servers::bind(
            self.document,
            self.base,
            &self.section,
            raw.bind_dn.as_deref(),
            raw.bind_password.as_ref(),
            raw.bind_password_file.as_deref(),
        )?;
        let attribute = |key: &str, name: &Option<String>| {
            servers::attribute(self.document, &self.at(key), name.as_deref())
        };
        Ok(LdapDirectoryConfig {
            server: LdapServer { host, port, tls, bind, ca },
            place: self.ldap_place(raw)?,
            login: attribute("login_attribute", &raw.login_attribute)?,
            require: self.membership(raw, attribute("groups_attribute", &raw.groups_attribute)?)?,
            timeout: self.timeout(raw.timeout)?,
            domains: self.domains(&raw.domains)?,
        })
    }

    fn ldap_place(&self, raw: &raw::LdapDirectory) -> Result<LdapPlace, ConfigError> {
        if let Some(template) = &raw.dn_template {
            if raw.filter.is_some() || raw.base.is_some() {
                return Err(self
                    .error("dn_template", "stands beside base or filter, which search for the entry")
                    .help("keep one way"));
            }
            let template = DnTemplate::parse(template).map_err(|message| {
                self.error("dn_template", message)
                    .help("write dn_template = \"uid={local},ou=people,dc=example,dc=org\"")
            })?;
            return Ok(LdapPlace::Template(template));
        }
        let Some(base) = raw.base.clone().filter(|base| !base.is_empty()) else {
            return Err(self
                .error("base", "is missing")
                .help("write base = \"ou=people,dc=example,dc=org\", or dn_template"));
        };
        let help = "write filter = \"(mail={user})\"";
        let Some(filter) = &raw.filter else { return Err(self.error("filter", "is missing").help(help)) };
        let filter = LdapFilter::parse(filter).map_err(|message| self.error("filter", message).help(help))?;
        Ok(LdapPlace::Search { base, scope: servers::scope(raw.scope), filter })
    }

    fn membership(
        &self,
        raw: &raw::LdapDirectory,
        attribute: Option<String>,
    ) -> Result<Option<Membership>, ConfigError> {
        match (attribute, &raw.require_group, &raw.group_filter) {
            (None, None, None) if raw.group_base.is_some() => {
                Err(self.error("group_base", "has no effect without group_filter").help("remove it"))
            }
            (None, None, None) => Ok(None),
            (Some(name), Some(group), None) if !group.is_empty() => {
                Ok(Some(Membership::Attribute { name, group: group.clone() }))
            }
            (None, None, Some(filter)) => {
                let filter = GroupFilter::parse(filter).map_err(|message| {
                    self.error("group_filter", message)
                        .help("write group_filter = \"(&(cn=mail)(member={dn}))\"")
                })?;
                let Some(base) = raw.group_base.clone().or_else(|| raw.base.clone()) else {
                    return Err(self
                        .error("group_base", "is missing")
                        .help("write group_base = \"ou=groups,dc=example,dc=org\""));
                };
                Ok(Some(Membership::Search { base, filter }))
            }
            (_, _, _) => Err(self
                .error("require_group", "does not say which group in which attribute")
                .help("write groups_attribute and require_group, or group_filter alone")),
        }
    }

    fn sql(&self, raw: &mut raw::SqlDirectory) -> Result<SqlDirectoryConfig, ConfigError> {
        let file = raw.url_file.as_deref().map(|file| self.base.join(file));
        let written = raw.url.take().map(zeroize::Zeroizing::new);
        let written = written.as_ref().map(|url| url.as_str());
        let url = secret_file::resolve(self.document, &self.at("url"), written, file.as_deref())?;
        let url = url.ok_or_else(|| self.error("url", "is missing").help(servers::DATABASE_HELP))?;
        let (database, shown) = servers::database(self.document, self.base, &self.at("url"), &url)?;
        if raw.url_file.is_none() {
            raw.url = Some(shown);
        }
        let help = "write query = \"SELECT password FROM users WHERE login = $1\"";
        let query = SqlQuery::parse(&raw.query).map_err(|message| self.error("query", message).help(help))?;
        if query.asks_for_protocol() {
            return Err(self.error("query", "knows $1 (the login name) only").help(help));
        }
        Ok(SqlDirectoryConfig {
            database,
            query,
            allow_plain: raw.allow_plain,
            timeout: self.timeout(raw.timeout)?,
            domains: self.domains(&raw.domains)?,
        })
    }

    fn dovecot_auth(&self, raw: &mut raw::DovecotAuth) -> Result<DovecotAuthConfig, ConfigError> {
        raw.path = self.socket(&raw.path)?;
        Ok(DovecotAuthConfig {
            path: raw.path.clone(),
            service: self.service(&raw.service)?,
            timeout: self.timeout(raw.timeout)?,
            domains: self.domains(&raw.domains)?,
        })
    }

    fn saslauthd(&self, raw: &mut raw::Saslauthd) -> Result<SaslauthdConfig, ConfigError> {
        raw.path = self.socket(&raw.path)?;
        Ok(SaslauthdConfig {
            path: raw.path.clone(),
            service: self.service(&raw.service)?,
            split_realm: raw.split_realm,
            timeout: self.timeout(raw.timeout)?,
            domains: self.domains(&raw.domains)?,
        })
    }

    /// It need not be there yet. The kernel takes no longer path (unix(7)).
    fn socket(&self, path: &Path) -> Result<std::path::PathBuf, ConfigError> {
        let path = self.base.join(path);
        if path.as_os_str().len() > 107 {
            return Err(self.error("path", "is longer than the 107 octets that a socket may have"));
        }
        Ok(path)
    }

    fn service(&self, name: &str) -> Result<String, ConfigError> {
        let is_plain = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'.');
        if name.is_empty() || name.len() > 64 || !name.bytes().all(is_plain) {
            return Err(self.error("service", "must be a short name of letters, digits, -, _ and ."));
        }
        Ok(name.to_owned())
    }
}
