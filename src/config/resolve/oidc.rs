//! `[directory]` and `[directory.oidc]`.

use super::{Base, trusted};
use crate::{
    config::{ConfigError, document::Document, raw},
    directory::{self, OpenIdConfig},
    http::{Url, may_be_asked},
    upstream,
};

const SOURCE: &str = "directory.source";
const OIDC: &str = "directory.oidc";

pub(super) fn directory(
    document: &Document<'_>,
    base: &Base,
    raw: &raw::Root,
    own: &str,
    backends: &[upstream::Config],
) -> Result<directory::Config, ConfigError> {
    if raw.directory.source.is_empty() {
        return Err(document
            .error(SOURCE, "names no source, so nobody could sign in")
            .help("write source = [\"backend\"]"));
    }
    let mut sources = Vec::new();
    for source in &raw.directory.source {
        let source = match source {
            raw::DirectorySource::Backend => directory::Source::Backend,
            raw::DirectorySource::Oidc => directory::Source::Oidc,
            raw::DirectorySource::Store => directory::Source::Store,
            raw::DirectorySource::DovecotAuth
            | raw::DirectorySource::Ldap
            | raw::DirectorySource::Saslauthd
            | raw::DirectorySource::Sql => continue,
        };
        if sources.contains(&source) {
            return Err(document.error(SOURCE, "names a source twice").help("remove one"));
        }
        sources.push(source);
    }
    let sealed = backends.iter().find(|backend| matches!(backend.login, upstream::Login::Sealed));
    if let (true, Some(backend)) = (sources.contains(&directory::Source::Store), sealed) {
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
    let openid = match (&raw.directory.oidc, sources.contains(&directory::Source::Oidc)) {
        (Some(oidc), true) => Some(Box::new(openid(document, base, raw, oidc, own)?)),
        (None, true) => {
            return Err(document
                .error(SOURCE, "holds \"oidc\", but nothing says which provider that is")
                .help("write a section [directory.oidc] with issuer, client_id and client_secret"));
        }
        (Some(_), false) => {
            return Err(document
                .error(OIDC, "has no effect, because directory.source does not hold \"oidc\"")
                .help("write source = [\"oidc\"], or leave the section out"));
        }
        (None, false) => None,
    };
    Ok(directory::Config { sources, openid })
}

fn openid(
    document: &Document<'_>,
    base: &Base,
    raw: &raw::Root,
    oidc: &raw::Oidc,
    own: &str,
) -> Result<OpenIdConfig, ConfigError> {
    let error = |key: &str, message: &str| document.error(&format!("{OIDC}.{key}"), message);
    if !raw.issuer.enabled {
        return Err(error("issuer", "is of no use without the built-in issuer, whose page leads there")
            .help("write issuer.enabled = true; tokens of the provider itself are for [[trusted_issuer]]"));
    }
    let url: Option<Url> = oidc.issuer.parse().ok();
    let is_plain = |url: &Url| may_be_asked(url) && url.query().is_none() && url.fragment().is_none();
    let Some(url) = url.filter(is_plain) else {
        return Err(error("issuer", "must be the https address that the provider calls itself by")
            .help("write issuer = \"https://login.example.net/realms/main\""));
    };
    if oidc.issuer.trim_end_matches('/') == own.trim_end_matches('/') {
        return Err(error("issuer", "is this very server, which would send people to itself")
            .help("name the provider elsewhere, or leave \"oidc\" out of directory.source"));
    }
    if oidc.client_id.is_empty() {
        return Err(error("client_id", "is missing")
            .help("register this server at the provider, and write the client_id that you get"));
    }
    if oidc.client_auth == Some(raw::ClientAuthName::Bearer) {
        return Err(error("client_auth", "cannot be bearer at a token endpoint")
            .help("choose basic, post, private_key_jwt, tls or none"));
    }
    if !oidc.scopes.iter().any(|scope| scope == "openid") {
        return Err(error("scopes", "must hold \"openid\", or the provider does not say who signed in")
            .help("write scopes = [\"openid\", \"email\"]"));
    }
    let is_value = |scope: &String| !scope.is_empty() && scope.bytes().all(|octet| octet.is_ascii_graphic());
    if !oidc.scopes.iter().all(is_value) {
        return Err(
            error("scopes", "must hold one scope value each").help("write scopes = [\"openid\", \"email\"]")
        );
    }
    let is_alone = raw.directory.source.len() == 1 && raw.trusted_issuer.is_empty();
    if oidc.domains.is_empty() && !is_alone {
        return Err(error("domains", "must name the domains of its users, since others vouch for users too")
            .help("write domains = [\"example.net\"]"));
    }
    let label = oidc.label.clone().unwrap_or_else(|| url.host_str().unwrap_or_default().to_owned());
    if label.trim().is_empty() || label.chars().count() > 64 || label.chars().any(char::is_control) {
        return Err(error("label", "must be a short name")
            .help("write at most 64 characters, such as label = \"Example Login\""));
    }
    let provider = trusted::of_section(document, base, OIDC, &oidc.as_issuer())?;
    Ok(OpenIdConfig { provider, scopes: oidc.scopes.clone(), label })
}
