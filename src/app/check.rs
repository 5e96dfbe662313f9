//! `bearward check`: tries what the configuration names, a line each.

use std::sync::Arc;

use serde::Serialize;

use super::{Config, people, storage::open_store};
use crate::{
    directory::{OpenIdConfig, OpenIdProvider},
    lookup::{LookupError, Lookups, Query},
    model::{Login, Protocol, UnixTime},
    telemetry::Metrics,
    tls::Certificates,
    upstream::{Backend, Backends},
    validator::{TrustedIssuer, trusted},
};

/// A name that no directory should know (RFC 2606 §2).
const NOBODY: &str = "bearward-check@nobody.invalid";

/// What was tried, and how it went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckLine {
    /// What was tried.
    pub what: String,
    /// Whether it works.
    pub ok: bool,
    /// What was seen, or what is wrong and what to do.
    pub detail: String,
}

/// Tries certificates, store and, unless `offline`, every look-up and every server of every backend.
pub async fn check(config: &Config, offline: bool) -> Vec<CheckLine> {
    let mut lines = vec![certificates(config), store(config).await];
    if let Some(openid) = &config.directory.openid {
        lines.push(openid_provider(openid, offline).await);
    }
    if let Ok(nobody) = Login::parse(NOBODY) {
        lines.extend(people::check(&config.directory, &nobody, offline).await);
    }
    for issuer in &config.trusted {
        lines.push(trusted(issuer, offline).await);
    }
    lines.extend(lookups(config, offline).await);
    let metrics = Arc::new(Metrics::new());
    let backends = Backends::new(config.backends.clone(), config.routes.clone(), &config.hostname, &metrics);
    match backends {
        Ok(backends) if !offline => {
            for backend in backends.iter() {
                lines.extend(servers(backend).await);
            }
        }
        Ok(backends) => lines.extend(backends.iter().map(|backend| {
            CheckLine::good(
                format!("backend {}", backend.config().name),
                "TLS files read; not connected (--offline)",
            )
        })),
        Err(error) => lines.push(CheckLine::bad("backends", error.to_string())),
    }
    lines
}

/// Whether people can be sent to the OpenID provider and back.
async fn openid_provider(config: &OpenIdConfig, offline: bool) -> CheckLine {
    let what = format!("OpenID provider {}", config.provider.url);
    let provider = match OpenIdProvider::new(config.provider.clone()) {
        Ok(provider) => provider,
        Err(error) => return CheckLine::bad(what, error.to_string()),
    };
    if offline {
        return CheckLine::good(what, "files read; not asked (--offline)");
    }
    match provider.probe(UnixTime::now()).await {
        Ok(found) => CheckLine::good(what, found),
        Err(fault) => CheckLine::bad(what, fault),
    }
}

/// Whether a trusted issuer's discovery document and keys can be read.
async fn trusted(config: &trusted::Config, offline: bool) -> CheckLine {
    let what = format!("trusted issuer {}", config.url);
    let issuer = match TrustedIssuer::new(config.clone(), None) {
        Ok(issuer) => issuer,
        Err(error) => return CheckLine::bad(what, error.to_string()),
    };
    if offline {
        return CheckLine::good(what, "files read; not asked (--offline)");
    }
    match issuer.probe(UnixTime::now()).await {
        Ok(found) => CheckLine::good(what, found),
        Err(fault) => CheckLine::bad(what, fault),
    }
}

fn certificates(config: &Config) -> CheckLine {
    let what = "certificates";
    match Certificates::load(&config.tls) {
        Ok(_) if config.tls.default.is_none() => {
            CheckLine::good(what, "none configured: a self-signed one will be shown, which clients refuse")
        }
        Ok(_) => CheckLine::good(what, format!("{} read, keys match", config.tls.sni.len() + 1)),
        Err(error) => CheckLine::bad(what, error.to_string()),
    }
}

async fn store(config: &Config) -> CheckLine {
    let what = "store";
    let store = match open_store(config).await {
        Ok((store, _)) => store,
        Err(error) => return CheckLine::bad(what, error.to_string()),
    };
    match store.check().await {
        Ok(items) => match items.iter().find(|item| !item.ok) {
            Some(item) => CheckLine::bad(what, format!("{}: {}", item.what, item.detail)),
            None => CheckLine::good(what, "opened, migrated and sound"),
        },
        Err(error) => CheckLine::bad(what, error.to_string()),
    }
}

/// Asks each look-up about somebody whom none should know.
async fn lookups(config: &Config, offline: bool) -> Vec<CheckLine> {
    let mut lines = Vec::new();
    for one in &config.lookups {
        let what = format!("look-up {}", one.name);
        let lookup = match Lookups::new(std::slice::from_ref(one)) {
            Ok(lookups) => lookups.get(&one.name),
            Err(error) => {
                lines.push(CheckLine::bad(what, error.reason));
                continue;
            }
        };
        let (Some(lookup), Ok(login)) = (lookup, Login::parse(NOBODY)) else { continue };
        if offline {
            lines.push(CheckLine::good(what, "its files read; not asked (--offline)"));
            continue;
        }
        let query = Query { login: &login, protocol: Some(Protocol::Imap), client: None };
        lines.push(match lookup.find(&query).await {
            Ok(None) => CheckLine::good(what, format!("answers; it does not know {NOBODY}")),
            Ok(Some(_)) => CheckLine::good(what, format!("answers; it knows even {NOBODY}")),
            Err(LookupError::Operator { reason, .. } | LookupError::Unavailable { reason, .. }) => {
                CheckLine::bad(what, reason)
            }
        });
    }
    lines
}

async fn servers(backend: &Backend) -> Vec<CheckLine> {
    let mut lines = Vec::new();
    for protocol in backend.protocols() {
        for probe in backend.probe(protocol).await {
            let what = format!("backend {} {protocol} {}", backend.config().name, probe.server);
            lines.push(match probe.result {
                Ok(()) => CheckLine::good(what, "answers"),
                Err(error) => CheckLine::bad(what, error.to_string()),
            });
        }
    }
    lines
}

impl CheckLine {
    pub(super) fn good(what: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { what: what.into(), ok: true, detail: detail.into() }
    }

    pub(super) fn bad(what: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { what: what.into(), ok: false, detail: detail.into() }
    }
}
