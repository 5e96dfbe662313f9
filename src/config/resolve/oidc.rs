//! `[directory.oidc]`.

use super::{Base, trusted};
use crate::{
    config::{ConfigError, document::Document, raw},
    directory::OpenIdConfig,
    http::{Url, may_be_asked},
};

const OIDC: &str = "directory.oidc";

pub(super) fn openid(
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
