//! `[setup]`: what mail clients are told, from what the listeners offer.

use std::{net::IpAddr, sync::Arc};

use crate::{
    config::{ConfigError, address, document::Document, raw},
    http::Url,
    issuer::{self, Endpoint},
    model::{ClientId, Mechanism, Protocol, Scope},
    net::{ListenerConfig, ListenerTls, Service as Spoken},
    setup::{OAuth, Offer, Provider, Security, Service, Site},
    upstream::{self, Route, RouteMatch},
    validator::trusted,
};

/// Longest names in characters (draft-ietf-mailmaint-autoconfig, `displayName` and `displayShortName`).
const LONGEST_NAME: usize = 60;
const LONGEST_SHORT_NAME: usize = 20;

/// What the rest of the configuration says.
pub(super) struct Facts<'a> {
    pub(super) hostname: &'a Arc<str>,
    pub(super) listeners: &'a [ListenerConfig],
    pub(super) routes: &'a [Route],
    pub(super) issuer: &'a issuer::Config,
    pub(super) trusted: &'a [trusted::Config],
    /// Whether `passwords.mode` lets any in. Exceptions to it are not told to everybody.
    pub(super) takes_passwords: bool,
}

impl Facts<'_> {
    /// The mechanisms of a listener by which somebody could sign in.
    fn mechanisms_of(&self, listener: &ListenerConfig) -> Vec<Mechanism> {
        let is_of_use = |mechanism: &Mechanism| mechanism.is_bearer() || self.takes_passwords;
        listener.mechanisms.iter().copied().filter(is_of_use).collect()
    }
}

pub(super) fn setup(
    document: &Document<'_>,
    raw: &mut raw::Setup,
    facts: &Facts<'_>,
) -> Result<Offer, ConfigError> {
    let domains = domains(document, raw, facts)?;
    let site = site(facts);
    Ok(Offer {
        hostname: Arc::clone(facts.hostname),
        provider: provider(document, raw, domains.first().unwrap_or(facts.hostname))?,
        services: services(document, raw, facts)?,
        oauth: match &raw.oauth {
            Some(raw) => Some(outside(document, raw, facts)?),
            None => site.as_ref().and_then(|_| oauth(facts.issuer)),
        },
        site,
        domains,
    })
}

fn domains(
    document: &Document<'_>,
    raw: &raw::Setup,
    facts: &Facts<'_>,
) -> Result<Vec<Arc<str>>, ConfigError> {
    let Some(written) = &raw.domains else { return Ok(known_domains(facts)) };
    if written.is_empty() {
        return Err(document
            .error("setup.domains", "is empty, so no client could be told anything")
            .help("write domains = [\"example.org\"], or leave the key out"));
    }
    let mut domains: Vec<Arc<str>> = Vec::new();
    for (index, domain) in written.iter().enumerate() {
        if !address::is_host_name(domain) || domain.ends_with('.') {
            return Err(document
                .error(&format!("setup.domains[{index}]"), "must be a domain such as \"example.org\"")
                .help("write a name with other than ASCII letters as xn--…"));
        }
        add(&mut domains, domain);
    }
    Ok(domains)
}

/// Domains that other parts of the configuration speak of, or the one that the hostname belongs to.
fn known_domains(facts: &Facts<'_>) -> Vec<Arc<str>> {
    let mut domains = Vec::new();
    for route in facts.routes {
        match &route.matches {
            RouteMatch::Domain(domain) => add(&mut domains, domain),
            RouteMatch::User(user) => {
                if let Some((_, domain)) = user.rsplit_once('@') {
                    add(&mut domains, domain);
                }
            }
            RouteMatch::Listener(_) | RouteMatch::Lookup(_) | RouteMatch::Sni(_) => {}
        }
    }
    facts.trusted.iter().flat_map(|issuer| &issuer.domains).for_each(|domain| add(&mut domains, domain));
    if domains.is_empty() {
        let parent = facts.hostname.split_once('.').map(|(_, parent)| parent);
        let parent = parent.filter(|parent| parent.contains('.'));
        add(&mut domains, parent.unwrap_or(facts.hostname));
    }
    domains
}

fn add(domains: &mut Vec<Arc<str>>, domain: &str) {
    let domain = domain.trim_end_matches('.').to_ascii_lowercase();
    // A route may hold what is no domain at all, and nothing else may come into a document.
    if address::is_host_name(&domain) && !domains.iter().any(|known| **known == *domain) {
        domains.push(domain.into());
    }
}

fn provider(document: &Document<'_>, raw: &raw::Setup, domain: &str) -> Result<Provider, ConfigError> {
    let beginning = |text: &str, length| text.chars().take(length).collect::<String>();
    let name = raw.provider_name.clone().unwrap_or_else(|| beginning(domain, LONGEST_NAME));
    let short_name = raw.provider_short_name.clone().unwrap_or_else(|| beginning(&name, LONGEST_SHORT_NAME));
    for (key, text, longest) in [
        ("setup.provider_name", &name, LONGEST_NAME),
        ("setup.provider_short_name", &short_name, LONGEST_SHORT_NAME),
    ] {
        if text.trim().is_empty() || text.chars().count() > longest || text.chars().any(char::is_control) {
            return Err(document.error(key, format!("must be one line of 1 to {longest} characters")));
        }
    }
    Ok(Provider { name: name.trim().into(), short_name: short_name.trim().into() })
}

/// The issuer's host where there is one, as that is where a sign-in leads; else the https listener.
fn site(facts: &Facts<'_>) -> Option<Site> {
    let mut ports = facts.listeners.iter().filter(|listener| listener.service == Spoken::Https);
    let mut port = ports.next()?.bind.port();
    if ports.any(|listener| listener.bind.port() == 443) {
        port = 443;
    }
    if !facts.issuer.enabled {
        return Some(Site { host: Arc::clone(facts.hostname), port });
    }
    let url = facts.issuer.audience();
    let (host, port) = address::authority(url.strip_prefix("https://")?).ok()?;
    Some(Site { host: host.into(), port: port.unwrap_or(443) })
}

fn oauth(issuer: &issuer::Config) -> Option<OAuth> {
    let url = |endpoint: Endpoint| -> Arc<str> {
        format!("{}{}", issuer.url.trim_end_matches('/'), endpoint.path()).into()
    };
    issuer.enabled.then(|| OAuth {
        issuer: Arc::clone(&issuer.url),
        authorization_endpoint: url(Endpoint::Authorization),
        token_endpoint: url(Endpoint::Token),
        device_authorization_endpoint: Some(url(Endpoint::DeviceAuthorization)),
        scope: Scope::MAIL.into(),
        client_id: ClientId::open().to_string().into(),
        is_public: true,
    })
}

/// What `[setup.oauth]` says of a trusted issuer.
fn outside(document: &Document<'_>, raw: &raw::SetupOAuth, facts: &Facts<'_>) -> Result<OAuth, ConfigError> {
    if !facts.trusted.iter().any(|issuer| *issuer.url == *raw.issuer) {
        return Err(document
            .error("setup.oauth.issuer", "is not the url of a trusted issuer, so its tokens would be refused")
            .help(
                "write it as it stands in [[trusted_issuer]]; the built-in issuer needs no [setup.oauth]",
            ));
    }
    for (key, text) in [("setup.oauth.client_id", &raw.client_id), ("setup.oauth.scope", &raw.scope)] {
        let is_good = !text.trim().is_empty() && text.bytes().all(|octet| (b' '..=b'~').contains(&octet));
        if !is_good {
            return Err(document.error(key, "must be printable ASCII, and not empty"));
        }
    }
    let url = |name: &str, text: &str| -> Result<Arc<str>, ConfigError> {
        let is_good =
            text.parse::<Url>().is_ok_and(|url| url.scheme() == "https" && url.fragment().is_none());
        let key = format!("setup.oauth.{name}");
        is_good.then(|| text.into()).ok_or_else(|| document.error(&key, "must be an https:// address"))
    };
    let device = raw.device_authorization_endpoint.as_deref();
    Ok(OAuth {
        issuer: raw.issuer.as_str().into(),
        authorization_endpoint: url("authorization_endpoint", &raw.authorization_endpoint)?,
        token_endpoint: url("token_endpoint", &raw.token_endpoint)?,
        device_authorization_endpoint: device
            .map(|text| url("device_authorization_endpoint", text))
            .transpose()?,
        scope: raw.scope.as_str().into(),
        client_id: raw.client_id.as_str().into(),
        is_public: false,
    })
}

fn services(
    document: &Document<'_>,
    raw: &raw::Setup,
    facts: &Facts<'_>,
) -> Result<Vec<Service>, ConfigError> {
    let mut services = Vec::new();
    for (protocol, written) in [
        (Protocol::Imap, &raw.imap),
        (Protocol::Pop3, &raw.pop3),
        (Protocol::Smtp, &raw.smtp),
        (Protocol::Sieve, &raw.sieve),
    ] {
        match written {
            Some(written) => services.extend(published(document, protocol, written, facts)?),
            None => services.extend(
                [Security::Tls, Security::StartTls]
                    .into_iter()
                    .filter_map(|security| offered(facts, protocol, security)),
            ),
        }
    }
    Ok(services)
}

/// What the listeners offer, at the standard port if there is one: clients have no use for a second.
fn offered(facts: &Facts<'_>, protocol: Protocol, security: Security) -> Option<Service> {
    let services = facts
        .listeners
        .iter()
        .filter(|listener| speaks(listener, protocol) && begins(listener) == Some(security))
        .map(|listener| Service {
            protocol,
            host: Arc::clone(facts.hostname),
            port: listener.bind.port(),
            security,
            mechanisms: facts.mechanisms_of(listener),
        });
    services.reduce(|first, other| if !first.is_standard() && other.is_standard() { other } else { first })
}

/// What the operator says of a protocol; how clients sign in there is what the listeners say.
fn published(
    document: &Document<'_>,
    protocol: Protocol,
    written: &[String],
    facts: &Facts<'_>,
) -> Result<Vec<Service>, ConfigError> {
    let mut services: Vec<Service> = Vec::new();
    for (index, text) in written.iter().enumerate() {
        let key = format!("setup.{protocol}[{index}]");
        let server = address::server(protocol, text).map_err(|message| document.error(&key, message))?;
        let security = match server.security {
            upstream::Security::Clear => {
                return Err(document
                    .error(&key, "has no TLS, and nobody is sent there")
                    .help(format!("write {protocol}s:// or {protocol}+starttls://")));
            }
            upstream::Security::StartTls => Security::StartTls,
            upstream::Security::Tls => Security::Tls,
        };
        let is_address = server.host.parse::<IpAddr>().is_ok();
        if is_address || !address::is_host_name(&server.host) || server.host.ends_with('.') {
            return Err(document.error(&key, "must name a host, not an address"));
        }
        let mechanisms = mechanisms(facts, protocol, security).ok_or_else(|| {
            document
                .error(&key, format!("no listener speaks {protocol}"))
                .help("add a listener for it, or remove this")
        })?;
        let host = server.host.to_ascii_lowercase().into();
        services.push(Service { protocol, host, port: server.port, security, mechanisms });
    }
    Ok(services)
}

fn mechanisms(facts: &Facts<'_>, protocol: Protocol, security: Security) -> Option<Vec<Mechanism>> {
    let mut speaking = facts.listeners.iter().filter(|listener| speaks(listener, protocol));
    let first = speaking.clone().next()?;
    let same = speaking.find(|listener| begins(listener) == Some(security));
    Some(facts.mechanisms_of(same.unwrap_or(first)))
}

fn speaks(listener: &ListenerConfig, protocol: Protocol) -> bool {
    listener.service == Spoken::Mail(protocol)
}

const fn begins(listener: &ListenerConfig) -> Option<Security> {
    match listener.tls {
        ListenerTls::Implicit => Some(Security::Tls),
        ListenerTls::None => None,
        ListenerTls::StartTls => Some(Security::StartTls),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_promised_only_where_they_are_taken() {
        let issuer = issuer::Config::new("https://mail.example.org");
        let listener = ListenerConfig {
            service: Spoken::Mail(Protocol::Imap),
            bind: ([0, 0, 0, 0], 993).into(),
            tls: ListenerTls::Implicit,
            mechanisms: Mechanism::ALL.to_vec(),
            client_certificates: false,
            proxy_protocol_from: Vec::new(),
        };
        let listeners = [listener];
        let hostname: Arc<str> = "mail.example.org".into();
        let promised = |takes_passwords| {
            let facts = Facts {
                hostname: &hostname,
                listeners: &listeners,
                routes: &[],
                issuer: &issuer,
                trusted: &[],
                takes_passwords,
            };
            offered(&facts, Protocol::Imap, Security::Tls).unwrap().takes_passwords()
        };
        assert!(promised(true));
        assert!(!promised(false));
    }
}
