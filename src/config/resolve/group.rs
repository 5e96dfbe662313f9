//! How the servers of a backend share the work.

use crate::{
    config::{ConfigError, document::Document, raw},
    upstream::{Balance, GroupConfig, Server},
};

/// Largest weight; more would not be finer.
const MAX_WEIGHT: u32 = 1000;
/// Most connections that wait for a user with one server.
const MAX_WARM: usize = 64;

/// Reads the keys of `[backend.NAME]` that say how its servers share the work.
pub(super) fn resolve(
    document: &Document<'_>,
    key: &str,
    raw: &raw::Backend,
    servers: &[Server],
) -> Result<GroupConfig, ConfigError> {
    let balance = match raw.balance {
        raw::Balance::First => Balance::First,
        raw::Balance::Hash => Balance::Hash,
    };
    let weights_key = format!("{key}.weights");
    if balance == Balance::First && !raw.weights.is_empty() {
        return Err(document
            .error(&weights_key, "has no effect with balance = \"first\"")
            .help("write balance = \"hash\", or remove the weights"));
    }
    let is_listed = |host: &str| servers.iter().any(|server| server.host.eq_ignore_ascii_case(host));
    for (host, weight) in &raw.weights {
        if !is_listed(host) {
            return Err(document
                .error(&weights_key, format!("names {}, which is no server here", host.escape_debug())));
        }
        if !(1..=MAX_WEIGHT).contains(weight) {
            return Err(document
                .error(
                    &weights_key,
                    format!("gives {} a weight that is not 1 to {MAX_WEIGHT}", host.escape_debug()),
                )
                .help("`bearward backend drain` keeps users away from a server"));
        }
    }
    if raw.warm > MAX_WARM {
        return Err(document.error(&format!("{key}.warm"), format!("is more than {MAX_WARM}")));
    }
    if raw.warm > 0 && raw.proxy_protocol != raw::ProxyProtocol::Off {
        return Err(document
            .error(&format!("{key}.warm"), "has no effect with proxy_protocol, which names the user first")
            .help("remove one of the two"));
    }
    Ok(GroupConfig {
        balance,
        weights: raw.weights.iter().map(|(host, weight)| (host.to_ascii_lowercase(), *weight)).collect(),
        slow_start: raw.slow_start.0,
        any_server: raw.any_server,
        allow_cleartext: raw.allow_cleartext,
        warm: raw.warm,
    })
}
