//! `[[trusted_issuer]]`.

use std::{collections::BTreeMap, net::SocketAddr, path::Path, str::FromStr};

use super::{Base, at_least_a_second, lookups};
use crate::{
    config::{ConfigError, address, document::Document, raw, secret_file},
    http::{self, Url, may_be_asked},
    model::{Protocol, Secret},
    net::ListenerConfig,
    token::{ClientKey, OutsideAlgorithm},
    validator::trusted::{Client, ClientAuth, Config, Endpoints, Mapping, ScopeNames, Template, Validate},
};

/// Where Google says what a token is.
const GOOGLE_TOKENINFO: &str = "https://oauth2.googleapis.com/tokeninfo";
/// Microsoft's issuers of both versions of its tokens, around the tenant.
const MICROSOFT: (&str, &str) = ("https://login.microsoftonline.com/", "/v2.0");
const MICROSOFT_V1: &str = "https://sts.windows.net/";

/// What one section is read with.
struct Section<'a> {
    document: &'a Document<'a>,
    base: &'a Base,
    key: String,
    raw: &'a raw::TrustedIssuer,
}

pub(super) fn trusted(
    document: &Document<'_>,
    base: &Base,
    raw: &mut raw::Root,
    own: &str,
    listeners: &[ListenerConfig],
) -> Result<Vec<Config>, ConfigError> {
    if !raw.issuer.enabled && raw.trusted_issuer.is_empty() {
        return Err(document
            .error("issuer.enabled", "is false, and no other issuer is trusted, so nobody could sign in")
            .help("write a [[trusted_issuer]]"));
    }
    let count = raw.trusted_issuer.len() + usize::from(raw.issuer.enabled);
    for (index, issuer) in raw.trusted_issuer.iter().enumerate() {
        if let Some(name) = &issuer.login_lookup {
            lookups::must_exist(document, raw, &format!("trusted_issuer[{index}].login_lookup"), name)?;
        }
    }
    let mut configs: Vec<Config> = Vec::new();
    for (index, raw) in raw.trusted_issuer.iter_mut().enumerate() {
        preset(raw);
        let section = Section { document, base, key: format!("trusted_issuer[{index}]"), raw };
        let config = section.config(listeners)?;
        if count > 1 && config.domains.is_empty() {
            return Err(section
                .error("domains", "must name the domains of its users, since there is more than one issuer")
                .help("write domains = [\"example.net\"]"));
        }
        let taken = |name: &str| {
            *name == *own || configs.iter().any(|other| *other.url == *name || other.has_name(name))
        };
        if taken(&config.url) || config.also.iter().any(|name| taken(name)) {
            return Err(section.error("url", "is the name of two issuers").help("remove one"));
        }
        configs.push(config);
    }
    Ok(configs)
}

/// An issuer as another section, of the name `key`, describes it.
pub(super) fn of_section(
    document: &Document<'_>,
    base: &Base,
    key: &str,
    raw: &raw::TrustedIssuer,
) -> Result<Config, ConfigError> {
    Section { document, base, key: key.to_owned(), raw }.config(&[])
}

/// Fills in what is not set.
fn preset(raw: &mut raw::TrustedIssuer) {
    match raw.preset {
        Some(raw::Preset::Google) => {
            if raw.url.is_empty() {
                raw.url = "https://accounts.google.com".to_owned();
            }
            raw.validate.get_or_insert(raw::Validate::Tokeninfo);
            raw.tokeninfo_endpoint.get_or_insert_with(|| GOOGLE_TOKENINFO.to_owned());
            let mail = || BTreeMap::from([("mail".to_owned(), "https://mail.google.com/".to_owned())]);
            raw.scopes.get_or_insert_with(mail);
            if raw.also.is_empty() {
                raw.also.push("accounts.google.com".to_owned());
            }
        }
        Some(raw::Preset::Microsoft) => {
            if raw.login_template.is_none() {
                raw.login_claim.get_or_insert_with(|| "upn".to_owned());
            }
            let tenant = raw.url.strip_prefix(MICROSOFT.0).and_then(|rest| rest.strip_suffix(MICROSOFT.1));
            if let (Some(tenant), true) = (tenant, raw.also.is_empty()) {
                raw.also.push(format!("{MICROSOFT_V1}{tenant}/"));
            }
        }
        None => {}
    }
}

impl Section<'_> {
    fn error(&self, key: &str, message: impl Into<String>) -> ConfigError {
        self.document.error(&format!("{}.{key}", self.key), message)
    }

    fn config(&self, listeners: &[ListenerConfig]) -> Result<Config, ConfigError> {
        let raw = self.raw;
        self.url()?;
        let validate = match raw.validate {
            None | Some(raw::Validate::Jwt) => Validate::Jwt,
            Some(raw::Validate::Introspection) => Validate::Introspection,
            Some(raw::Validate::Tokeninfo) => Validate::Tokeninfo,
            Some(raw::Validate::Userinfo) => Validate::Userinfo,
        };
        self.meant_for_us(validate)?;
        for (key, span) in [("timeout", raw.timeout), ("cache", raw.cache), ("lifetime", raw.lifetime)]
            .into_iter()
            .chain(raw.recheck.map(|span| ("recheck", span)))
        {
            at_least_a_second(self.document, &format!("{}.{key}", self.key), span)?;
        }
        if !(1..=1000).contains(&raw.concurrency) {
            return Err(self.error("concurrency", "must be between 1 and 1000"));
        }
        let client = self.client()?;
        let identity = match (&raw.client_certificate, client.as_ref().map(|client| &client.auth)) {
            (Some(certificate), Some(ClientAuth::Tls)) => {
                Some((self.file("client_certificate", certificate)?, self.key_file()?))
            }
            _ => None,
        };
        Ok(Config {
            also: raw.also.clone(),
            validate,
            fetch_userinfo: raw.fetch_userinfo,
            allow_any_client: raw.allow_any_client,
            clients: raw.clients.clone(),
            domains: self.domains()?,
            algorithms: self.algorithms()?,
            types: raw.types.clone(),
            required_claims: raw.required_claims.clone(),
            scope_claims: raw.scope_claims.clone(),
            scopes: self.scopes()?,
            mapping: self.mapping()?,
            login_lookup: raw.login_lookup.as_deref().map(Into::into),
            endpoints: self.endpoints(validate)?,
            client,
            http: http::Config {
                ca: raw.ca.as_ref().map(|ca| self.file("ca", ca)).transpose()?,
                identity,
                timeout: raw.timeout.0,
                ..http::Config::default()
            },
            leeway: raw.leeway.0,
            stale_keys: raw.stale_keys.0,
            cache: raw.cache.0,
            lifetime: raw.lifetime.0,
            recheck: raw.recheck.map(|span| span.0),
            concurrency: raw.concurrency,
            sni: raw.sni.iter().map(|name| name.to_ascii_lowercase()).collect(),
            listeners: self.listeners(listeners)?,
            ..Config::new(&raw.url, &raw.audience.iter().map(String::as_str).collect::<Vec<_>>(), &[])
        })
    }

    fn url(&self) -> Result<(), ConfigError> {
        let is_good = self.raw.url.parse::<Url>().is_ok_and(|url| may_be_asked(&url))
            && !self.raw.url.contains(['?', '#']);
        if is_good {
            return Ok(());
        }
        Err(self
            .error("url", "must be the https address that names the issuer")
            .help("copy \"issuer\" from its discovery document, letter by letter"))
    }

    /// A token for somebody else must not be taken unless that was said aloud.
    fn meant_for_us(&self, validate: Validate) -> Result<(), ConfigError> {
        if self.raw.allow_any_client {
            return Ok(());
        }
        if validate == Validate::Userinfo {
            return Err(self
                .error("validate", "by userinfo cannot tell whom a token is for")
                .help("use introspection, or write allow_any_client = true and trust every client there"));
        }
        if self.raw.audience.is_empty() {
            return Err(self
                .error("audience", "names no audience, so every client's token would be taken")
                .help("write audience = [\"imap.example.org\"], or allow_any_client = true"));
        }
        Ok(())
    }

    fn domains(&self) -> Result<Vec<String>, ConfigError> {
        let checked = |domain: &String| {
            let domain = domain.to_ascii_lowercase();
            let is_name = address::is_host_name(&domain) && !domain.ends_with('.');
            is_name.then_some(domain).ok_or_else(|| {
                self.error("domains", "must hold domains such as \"example.net\", others than ASCII as xn--…")
            })
        };
        self.raw.domains.iter().map(checked).collect()
    }

    fn algorithms(&self) -> Result<Vec<OutsideAlgorithm>, ConfigError> {
        if self.raw.algorithms.is_empty() {
            return Err(self
                .error("algorithms", "names none, so no token could be verified")
                .help("leave it out, or write algorithms = [\"ES256\"]"));
        }
        self.raw.algorithms.iter().map(|name| self.algorithm("algorithms", name)).collect()
    }

    fn algorithm(&self, key: &str, name: &str) -> Result<OutsideAlgorithm, ConfigError> {
        OutsideAlgorithm::from_name(name).ok_or_else(|| {
            let known: Vec<_> = OutsideAlgorithm::ALL.iter().map(|algorithm| algorithm.as_str()).collect();
            self.error(key, format!("{name:?} is not taken"))
                .help(format!("choose among {}", known.join(", ")))
        })
    }

    fn scopes(&self) -> Result<ScopeNames, ConfigError> {
        let mut scopes = ScopeNames::default();
        for (name, scope) in self.raw.scopes.iter().flatten() {
            let is_scope = !scope.is_empty() && !scope.contains(char::is_whitespace);
            match (Protocol::from_name(name), is_scope) {
                (Some(protocol), true) => drop(scopes.narrow.insert(protocol, scope.clone())),
                (None, true) if name == "mail" => scopes.mail = Some(scope.clone()),
                (_, true) => {
                    return Err(self
                        .error("scopes", format!("\"{name}\" is no protocol"))
                        .help("write imap, smtp, pop3, sieve, or mail for all of them"));
                }
                (_, false) => return Err(self.error("scopes", "must name one scope each, or \"*\" for any")),
            }
        }
        Ok(scopes)
    }

    fn mapping(&self) -> Result<Mapping, ConfigError> {
        let raw = self.raw;
        let login = match (&raw.login_claim, &raw.login_template) {
            (Some(_), Some(_)) => {
                return Err(self.error("login_template", "stands beside login_claim").help("keep one"));
            }
            (claim, None) => Template::claim(claim.as_deref().unwrap_or("email")),
            (None, Some(template)) => Template::parse(template).map_err(|why| {
                self.error("login_template", why)
                    .help("write claims in braces, as in \"{preferred_username}@example.net\"")
            })?,
        };
        let mailbox_group = raw.mailbox_group.as_deref().map(Template::parse).transpose();
        let mailbox_group = mailbox_group.map_err(|why| self.error("mailbox_group", why))?;
        if mailbox_group.as_ref().is_some_and(|template| template.names().any(|name| name != "mailbox")) {
            return Err(self.error("mailbox_group", "may hold {mailbox} and fixed text"));
        }
        Ok(Mapping {
            login,
            trust_email: raw.trust_email,
            addresses_claim: raw.addresses_claim.clone(),
            groups_claim: raw.groups_claim.clone(),
            require_group: raw.require_group.clone(),
            mailboxes_claim: raw.mailboxes_claim.clone(),
            mailbox_group,
        })
    }

    fn endpoints(&self, validate: Validate) -> Result<Endpoints, ConfigError> {
        let raw = self.raw;
        let address = |key: &str, text: &Option<String>| {
            let Some(text) = text else { return Ok(None) };
            match Url::from_str(text).ok().filter(may_be_asked) {
                Some(url) => Ok(Some(url)),
                None => Err(self.error(key, "must be an https address")),
            }
        };
        if validate == Validate::Tokeninfo && raw.tokeninfo_endpoint.is_none() {
            return Err(self.error("tokeninfo_endpoint", "is missing, and no discovery document names it"));
        }
        Ok(Endpoints {
            discovery: address("discovery", &raw.discovery)?,
            jwks: address("jwks_uri", &raw.jwks_uri)?,
            introspection: address("introspection_endpoint", &raw.introspection_endpoint)?,
            userinfo: address("userinfo_endpoint", &raw.userinfo_endpoint)?,
            tokeninfo: address("tokeninfo_endpoint", &raw.tokeninfo_endpoint)?,
        })
    }

    fn client(&self) -> Result<Option<Client>, ConfigError> {
        let raw = self.raw;
        let file = raw.client_secret_file.as_deref().map(|file| self.base.join(file));
        let written = raw.client_secret.as_ref().map(|secret| secret.0.as_str());
        let key = format!("{}.client_secret", self.key);
        let secret = secret_file::resolve(self.document, &key, written, file.as_deref())?;
        let secret = secret.map(|secret| Secret::copy_of(secret.as_bytes()));
        let needed = |auth: fn(Secret) -> ClientAuth| {
            secret.clone().map(auth).ok_or_else(|| {
                self.error("client_auth", "needs client_secret")
                    .help("write client_secret or client_secret_file, or choose another client_auth")
            })
        };
        let auth = match (raw.client_auth, &secret) {
            (None, Some(_)) | (Some(raw::ClientAuthName::Basic), _) => needed(ClientAuth::Basic)?,
            (None, None) | (Some(raw::ClientAuthName::None), _) => ClientAuth::None,
            (Some(raw::ClientAuthName::Post), _) => needed(ClientAuth::Post)?,
            (Some(raw::ClientAuthName::Bearer), _) => needed(ClientAuth::Bearer)?,
            (Some(raw::ClientAuthName::PrivateKeyJwt), _) => self.private_key()?,
            (Some(raw::ClientAuthName::Tls), _) if raw.client_certificate.is_some() => ClientAuth::Tls,
            (Some(raw::ClientAuthName::Tls), _) => {
                return Err(self
                    .error("client_auth", "needs client_certificate and client_key")
                    .help("write the PEM files, or choose another client_auth"));
            }
        };
        match (&raw.client_id, &auth) {
            (Some(id), _) => Ok(Some(Client { id: id.clone(), auth })),
            (None, ClientAuth::Bearer(_)) => Ok(Some(Client { id: String::new(), auth })),
            (None, ClientAuth::None) => Ok(None),
            (None, _) => Err(self.error("client_id", "is missing beside what proves who we are")),
        }
    }

    fn private_key(&self) -> Result<ClientAuth, ConfigError> {
        let path = self.key_file()?;
        let algorithm = self.algorithm("client_key_algorithm", &self.raw.client_key_algorithm)?;
        let unusable = || {
            self.error("client_key", format!("{} holds no key for {}", path.display(), algorithm.as_str()))
        };
        let pem = std::fs::read(&path).map(Secret::from).map_err(|_| unusable())?;
        let key = ClientKey::from_pem(&pem, algorithm, self.raw.client_key_id.clone());
        key.map(|key| ClientAuth::PrivateKey(Box::new(key))).map_err(|_| unusable())
    }

    fn key_file(&self) -> Result<std::path::PathBuf, ConfigError> {
        let Some(path) = &self.raw.client_key else {
            return Err(self
                .error("client_auth", "needs client_key")
                .help("write the PEM file of the key, or choose another client_auth"));
        };
        self.file("client_key", path)
    }

    fn file(&self, key: &str, path: &Path) -> Result<std::path::PathBuf, ConfigError> {
        self.base.file(self.document, &format!("{}.{key}", self.key), path)
    }

    fn listeners(&self, listeners: &[ListenerConfig]) -> Result<Vec<SocketAddr>, ConfigError> {
        let known = |bind: &String| {
            let bind = bind.parse::<SocketAddr>().ok();
            bind.filter(|bind| listeners.iter().any(|listener| listener.bind == *bind)).ok_or_else(|| {
                self.error("listener", "is no listener's bind")
                    .help("write it as bind of a [[listener]] says")
            })
        };
        self.raw.listener.iter().map(known).collect()
    }
}
