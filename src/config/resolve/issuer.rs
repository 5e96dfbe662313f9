use super::{address, at_least, at_least_a_second};
use crate::{
    config::{
        ConfigError,
        document::Document,
        raw,
        value::{Limit, Span},
    },
    issuer::{self, MutualTls},
    net::{ListenerConfig, Service},
};

/// RFC 6749 §4.1.2: ten minutes at most.
const LONGEST_CODE: Span = Span::minutes(10);
/// A person needs a while to find the page and to type.
const SHORTEST_DEVICE_CODE: Span = Span::minutes(1);
const LONGEST_DEVICE_CODE: Span = Span::hours(1);
/// Longer, a stolen refresh token would go unnoticed for longer.
const LONGEST_GRACE: Span = Span::minutes(5);
/// A key is published a day before it signs.
const SHORTEST_ROTATION: Span = Span::days(2);
const MOST_ATTEMPTS: u32 = 100;

pub(super) fn issuer(
    document: &Document<'_>,
    raw: &mut raw::Issuer,
    hostname: &str,
    listeners: &[ListenerConfig],
) -> Result<issuer::Config, ConfigError> {
    let url = raw.url.get_or_insert_with(|| format!("https://{hostname}")).clone();
    issuer_url(&url).map_err(|message| {
        document.error("issuer.url", message).help("write an address such as \"https://mail.example.org\"")
    })?;
    tokens(document, raw)?;
    codes(document, raw)?;
    let grant_lifetime = match raw.grant_lifetime {
        Limit::After(span) => {
            at_least_a_second(document, "issuer.grant_lifetime", span)?;
            Some(span.0)
        }
        Limit::Never => None,
    };
    Ok(issuer::Config {
        enabled: raw.enabled,
        hostnames: vec![hostname.into()],
        access_token_lifetime: raw.access_token_lifetime.0,
        refresh_token_lifetime: raw.refresh_token_lifetime.0,
        refresh_token_renew: raw.refresh_token_renew.0,
        refresh_grace: raw.refresh_grace.0,
        grant_lifetime,
        authorization_code_lifetime: raw.authorization_code_lifetime.0,
        device_code_lifetime: raw.device_code_lifetime.0,
        id_token_lifetime: raw.id_token_lifetime.0,
        max_sign_in_attempts: raw.max_sign_in_attempts,
        registration: match raw.registration {
            raw::Registration::Open => issuer::Registration::Open,
            raw::Registration::Token => issuer::Registration::Token,
            raw::Registration::Closed => issuer::Registration::Closed,
        },
        key_rotation: raw.key_rotation.0,
        mutual_tls: mutual_tls(&url, listeners),
        ..issuer::Config::new(&url)
    })
}

/// Clients show certificates at the https listeners that ask for them: at the issuer's own port, or at another.
fn mutual_tls(url: &str, listeners: &[ListenerConfig]) -> MutualTls {
    let mut asking = listeners
        .iter()
        .filter(|listener| listener.service == Service::Https && listener.client_certificates)
        .map(|listener| listener.bind.port());
    let host = url.strip_prefix("https://").unwrap_or(url);
    let (host, port) = match host.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|octet| octet.is_ascii_digit()) => (host, port.parse().ok()),
        Some(_) | None => (host, Some(443)),
    };
    let Some(first) = asking.next() else { return MutualTls::Off };
    if Some(first) == port || asking.any(|other| Some(other) == port) {
        return MutualTls::Here;
    }
    MutualTls::At(format!("https://{host}:{first}").into())
}

fn tokens(document: &Document<'_>, raw: &raw::Issuer) -> Result<(), ConfigError> {
    let key = "issuer.access_token_lifetime";
    at_least_a_second(document, key, raw.access_token_lifetime)?;
    at_most(document, key, raw.access_token_lifetime, Span(issuer::Issuer::MAX_LIFETIME))?;
    at_least_a_second(document, "issuer.refresh_token_lifetime", raw.refresh_token_lifetime)?;
    if raw.refresh_token_renew.0 >= raw.refresh_token_lifetime.0 {
        return Err(document
            .error("issuer.refresh_token_renew", "must be less than refresh_token_lifetime")
            .help("it says how much of that lifetime may be left when a new token is given"));
    }
    at_most(document, "issuer.refresh_grace", raw.refresh_grace, LONGEST_GRACE)?;
    let key = "issuer.id_token_lifetime";
    at_least_a_second(document, key, raw.id_token_lifetime)?;
    at_most(document, key, raw.id_token_lifetime, Span::days(1))?;
    at_least(document, "issuer.key_rotation", raw.key_rotation, SHORTEST_ROTATION)
}

fn codes(document: &Document<'_>, raw: &raw::Issuer) -> Result<(), ConfigError> {
    let key = "issuer.authorization_code_lifetime";
    at_least_a_second(document, key, raw.authorization_code_lifetime)?;
    at_most(document, key, raw.authorization_code_lifetime, LONGEST_CODE)?;
    let key = "issuer.device_code_lifetime";
    at_least(document, key, raw.device_code_lifetime, SHORTEST_DEVICE_CODE)?;
    at_most(document, key, raw.device_code_lifetime, LONGEST_DEVICE_CODE)?;
    if !(1..=MOST_ATTEMPTS).contains(&raw.max_sign_in_attempts) {
        return Err(
            document.error("issuer.max_sign_in_attempts", format!("must be between 1 and {MOST_ATTEMPTS}"))
        );
    }
    Ok(())
}

fn at_most(document: &Document<'_>, key: &str, span: Span, most: Span) -> Result<(), ConfigError> {
    if span.0 > most.0 {
        return Err(document.error(key, format!("must be at most {most}")));
    }
    Ok(())
}

/// RFC 8414 §2: an https URL without query and fragment. Clients compare it octet by octet.
fn issuer_url(url: &str) -> Result<(), &'static str> {
    let Some(rest) = url.strip_prefix("https://") else { return Err("must begin with https://") };
    if rest.contains(['?', '#']) {
        return Err("must have neither query nor fragment (RFC 8414 §2)");
    }
    if rest.contains('/') {
        return Err("must end after host and port; a path is not available in this version");
    }
    address::authority(rest).map(|_| ()).map_err(|_| "holds no valid host and port")
}
