use std::{net::SocketAddr, sync::Arc};

use base64::prelude::{BASE64_STANDARD, Engine};

use super::{Base, backend_login};
use crate::{
    config::{ConfigError, address, document::Document, raw, value::Span},
    model::{Login as UserLogin, Protocol},
    net::ListenerConfig,
    tls,
    upstream::{self, Route, RouteMatch, Security, Server},
};

/// Reads every backend.
pub(super) fn backends(
    document: &Document<'_>,
    base: &Base,
    raw: &mut raw::Root,
) -> Result<Vec<upstream::Config>, ConfigError> {
    if raw.backend.is_empty() {
        return Err(document
            .error("backend", "there is no mail server to log in to")
            .help("write [backend.main] with imap = [\"imaps://…\"]"));
    }
    raw.backend.iter_mut().map(|(name, backend)| one(document, base, name, backend)).collect()
}

fn one(
    document: &Document<'_>,
    base: &Base,
    name: &str,
    raw: &mut raw::Backend,
) -> Result<upstream::Config, ConfigError> {
    let key = format!("backend.{name}");
    if name.is_empty()
        || !name.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_'))
    {
        return Err(document.error(&key, "a backend's name has letters, digits, - and _ only"));
    }
    super::at_least(document, &format!("{key}.timeout"), raw.timeout, Span::seconds(1))?;
    let servers = servers(document, &key, raw)?;
    Ok(upstream::Config {
        name: name.into(),
        login: backend_login::login(document, base, &key, raw, &servers)?,
        servers,
        login_name: backend_login::login_name(document, &key, &raw.login_name)?,
        shared_login_name: backend_login::shared_login_name(document, &key, raw)?,
        mechanisms: backend_login::mechanisms(document, &key, raw)?,
        tls: tls(document, base, &key, &mut raw.tls)?,
        xclient: raw.xclient == raw::Xclient::Auto,
        proxy_protocol: raw.proxy_protocol == raw::ProxyProtocol::V2,
        imap_id: raw.imap_id,
        timeout: raw.timeout.0,
    })
}

fn servers(document: &Document<'_>, key: &str, raw: &raw::Backend) -> Result<Vec<Server>, ConfigError> {
    let mut servers = Vec::new();
    let groups = [
        (Protocol::Imap, &raw.imap),
        (Protocol::Pop3, &raw.pop3),
        (Protocol::Sieve, &raw.sieve),
        (Protocol::Smtp, &raw.smtp),
    ];
    for (protocol, addresses) in groups {
        for (index, text) in addresses.iter().enumerate() {
            let at = format!("{key}.{protocol}[{index}]");
            let server = address::server(protocol, text).map_err(|message| document.error(&at, message))?;
            if server.security == Security::Clear
                && !raw.allow_cleartext
                && !address::is_loopback(&server.host)
            {
                return Err(document.error(&at, "is a clear connection to another machine").help(format!(
                    "write {protocol}s:// or {protocol}+starttls://, or allow_cleartext = true if you mean it"
                )));
            }
            servers.push(server);
        }
    }
    if servers.is_empty() {
        return Err(document
            .error(key, "has no servers")
            .help("write imap = [\"imaps://…\"], smtp, pop3 or sieve"));
    }
    Ok(servers)
}

fn tls(
    document: &Document<'_>,
    base: &Base,
    key: &str,
    raw: &mut raw::BackendTls,
) -> Result<tls::UpstreamConfig, ConfigError> {
    let key = format!("{key}.tls");
    let ca = raw.ca.as_deref().map(|ca| base.file(document, &format!("{key}.ca"), ca)).transpose()?;
    raw.ca.clone_from(&ca);
    let client = super::pair(document, base, &key, raw.certificate.as_deref(), raw.private_key.as_deref())?;
    raw.certificate = client.as_ref().map(|files| files.certificate.clone());
    raw.private_key = client.as_ref().and_then(|files| files.private_key.clone());
    let pin = raw.pin.as_deref().map(|text| {
        pin(text).ok_or_else(|| {
            document.error(&format!("{key}.pin"), "must be a SHA-256 value in hexadecimal or base64").help(
                "openssl x509 -pubkey -noout | openssl pkey -pubin -outform der | openssl dgst -sha256 makes one",
            )
        })
    });
    let pin = pin.transpose()?;
    if let Some(name) = &raw.server_name
        && !address::is_host_name(name)
    {
        return Err(document.error(&format!("{key}.server_name"), "must be a host name"));
    }
    if !raw.verify && (pin.is_some() || ca.is_some() || raw.server_name.is_some()) {
        return Err(document
            .error(&format!("{key}.verify"), "is false beside a key that says what to verify")
            .help("remove one of the two"));
    }
    Ok(tls::UpstreamConfig {
        ca,
        pin,
        server_name: raw.server_name.clone(),
        client,
        insecure_no_verify: !raw.verify,
    })
}

fn pin(text: &str) -> Option<[u8; 32]> {
    let text = text.strip_prefix("sha256//").or_else(|| text.strip_prefix("sha256:")).unwrap_or(text);
    let digits: String = text.chars().filter(|c| *c != ':').collect();
    if digits.len() == 64 && digits.bytes().all(|octet| octet.is_ascii_hexdigit()) {
        let mut octets = [0; 32];
        for (octet, pair) in octets.iter_mut().zip(digits.as_bytes().chunks(2)) {
            *octet = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        return Some(octets);
    }
    BASE64_STANDARD.decode(text).ok()?.try_into().ok()
}

/// Reads the routes, which may be left out only where there is nothing to choose.
pub(super) fn routes(
    document: &Document<'_>,
    raw: &raw::Root,
    backends: &[upstream::Config],
    listeners: &[ListenerConfig],
) -> Result<Vec<Route>, ConfigError> {
    if raw.route.is_empty() && backends.len() > 1 {
        let names: Vec<&str> = backends.iter().map(|backend| &*backend.name).collect();
        return Err(document
            .error("backend", format!("there are several ({}) and no route between them", names.join(", ")))
            .help("write [[route]] with domain = … and backend = …"));
    }
    let mut routes = Vec::new();
    for (index, route) in raw.route.iter().enumerate() {
        let key = format!("route[{index}]");
        let backend = match &route.backend {
            Some(name) => Some(existing(document, &key, name, backends)?),
            None if route.lookup.is_some() => None,
            None => {
                return Err(document.error(&key, "leads to no backend").help("write backend = \"main\""));
            }
        };
        if let Some(name) = &route.lookup {
            super::lookups::must_exist(document, raw, &format!("{key}.lookup"), name)?;
        }
        let matches = condition(document, &key, route, listeners)?;
        routes.push(Route { matches, backend });
    }
    Ok(routes)
}

fn existing(
    document: &Document<'_>,
    key: &str,
    name: &str,
    backends: &[upstream::Config],
) -> Result<Arc<str>, ConfigError> {
    let backend = backends.iter().find(|backend| *backend.name == *name);
    backend.map(|backend| Arc::clone(&backend.name)).ok_or_else(|| {
        let known: Vec<&str> = backends.iter().map(|backend| &*backend.name).collect();
        document
            .error(&format!("{key}.backend"), format!("there is no backend \"{}\"", name.escape_debug()))
            .help(format!("known: {}", known.join(", ")))
    })
}

fn condition(
    document: &Document<'_>,
    key: &str,
    route: &raw::Route,
    listeners: &[ListenerConfig],
) -> Result<RouteMatch, ConfigError> {
    let wrong = |name: &str, message: &str| document.error(&format!("{key}.{name}"), message);
    match (&route.domain, &route.user, &route.listener, &route.sni, &route.lookup) {
        (Some(domain), None, None, None, None) => {
            let domain = domain.to_ascii_lowercase();
            // Login names are UTF-8, so their domains may be too.
            UserLogin::parse(&format!("a@{domain}"))
                .ok()
                .filter(|_| !domain.is_empty() && !domain.contains('@'))
                .map(|_| RouteMatch::Domain(domain))
                .ok_or_else(|| wrong("domain", "must be a domain such as \"example.org\""))
        }
        (None, Some(user), None, None, None) => UserLogin::parse(user)
            .map(|login| RouteMatch::User(login.as_str().to_owned()))
            .map_err(|error| wrong("user", &error.to_string())),
        (None, None, Some(listener), None, None) => {
            let bind: Option<SocketAddr> = listener.parse().ok();
            bind.filter(|bind| listeners.iter().any(|listener| listener.bind == *bind))
                .map(RouteMatch::Listener)
                .ok_or_else(|| wrong("listener", "must be the bind of a listener"))
        }
        (None, None, None, Some(sni), None) => {
            if !address::is_host_name(sni) {
                return Err(wrong("sni", "must be a host name"));
            }
            Ok(RouteMatch::Sni(sni.to_ascii_lowercase()))
        }
        (None, None, None, None, Some(name)) => Ok(RouteMatch::Lookup(name.as_str().into())),
        (None, None, None, None, None) => Err(document
            .error(key, "says nothing to match")
            .help("write one of domain, user, listener, sni and lookup")),
        _ => Err(document
            .error(key, "has more than one condition")
            .help("keep one, and write a route for each")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_hexadecimal_or_base64() {
        let hex = "ab".repeat(32);
        assert_eq!(pin(&hex), Some([0xab; 32]));
        assert_eq!(pin(&format!("sha256:{hex}")), Some([0xab; 32]));
        assert_eq!(pin(&vec!["AB"; 32].join(":")), Some([0xab; 32]));
        assert_eq!(pin(&format!("sha256//{}", BASE64_STANDARD.encode([0xab; 32]))), Some([0xab; 32]));
        for bad in ["", "abcd", &"zz".repeat(32), &BASE64_STANDARD.encode([0; 31])] {
            assert_eq!(pin(bad), None, "{bad}");
        }
    }
}
