use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use crate::{
    config::{ConfigError, document::Document, raw},
    model::{InvalidNetwork, Mechanism, Network, Protocol},
    net::{ListenerConfig, ListenerTls, Service},
    upstream,
};

/// The standard ports: RFC 8314 §3, RFC 9051 §2.1, RFC 6409 §3.1, RFC 1939 §3, RFC 5804 §1.8.
const STANDARD: [(raw::Service, u16, raw::ListenerTls); 8] = [
    (raw::Service::Imap, 993, raw::ListenerTls::Implicit),
    (raw::Service::Imap, 143, raw::ListenerTls::StartTls),
    (raw::Service::Smtp, 465, raw::ListenerTls::Implicit),
    (raw::Service::Smtp, 587, raw::ListenerTls::StartTls),
    (raw::Service::Pop3, 995, raw::ListenerTls::Implicit),
    (raw::Service::Pop3, 110, raw::ListenerTls::StartTls),
    (raw::Service::Sieve, 4190, raw::ListenerTls::StartTls),
    (raw::Service::Https, 443, raw::ListenerTls::Implicit),
];

/// The standard listeners for the protocols that `speaks` accepts.
pub(in crate::config) fn standard(speaks: impl Fn(Protocol) -> bool) -> Vec<raw::Listener> {
    let listener = |(protocol, port, tls): (raw::Service, u16, raw::ListenerTls)| raw::Listener {
        protocol,
        bind: format!("[::]:{port}"),
        tls,
        allow_cleartext: false,
        proxy_protocol_from: Vec::new(),
        mechanisms: None,
        client_certificates: false,
    };
    let wanted = |protocol| match service(protocol) {
        Service::Https => true,
        Service::Mail(protocol) => speaks(protocol),
    };
    STANDARD.into_iter().filter(|(protocol, ..)| wanted(*protocol)).map(listener).collect()
}

/// Reads the listeners, or fills in the standard ones.
pub(super) fn listeners(
    document: &Document<'_>,
    raw: &mut raw::Root,
    backends: &[upstream::Config],
) -> Result<Vec<ListenerConfig>, ConfigError> {
    let serves = |protocol: Protocol| {
        backends.iter().flat_map(|backend| &backend.servers).any(|server| server.protocol == protocol)
    };
    let written = raw.listener.get_or_insert_with(|| standard(serves));
    if written.is_empty() {
        return Err(document
            .error("listener", "is empty, so nobody could connect")
            .help("leave it out for the standard ports"));
    }
    let mut listeners: Vec<ListenerConfig> = Vec::new();
    for (index, listener) in written.iter().enumerate() {
        let read = one(document, &format!("listener[{index}]"), listener)?;
        if let Service::Mail(protocol) = read.service
            && !serves(protocol)
        {
            return Err(document
                .error(
                    &format!("listener[{index}].protocol"),
                    format!("no backend has servers for {protocol}"),
                )
                .help(format!(
                    "write {protocol} = [\"{protocol}+starttls://…\"] in a backend, or remove the listener"
                )));
        }
        if let Some(other) = listeners.iter().find(|other| overlap(other.bind, read.bind)) {
            return Err(document
                .error(
                    &format!("listener[{index}].bind"),
                    format!("{} is taken by the listener on {}", read.bind, other.bind),
                )
                .help("give each listener an address of its own"));
        }
        if let Some(server) = backends.iter().find_map(|backend| loops(backend, read.bind)) {
            return Err(document
                .error(&format!("listener[{index}].bind"), format!("a backend points here: {server}"))
                .help("give the mail server or this listener another port"));
        }
        listeners.push(read);
    }
    Ok(listeners)
}

/// The metrics listener must not stand where another one stands.
pub(super) fn refuse_taken(
    document: &Document<'_>,
    listeners: &[ListenerConfig],
    metrics: Option<SocketAddr>,
) -> Result<(), ConfigError> {
    let taken = metrics.and_then(|bind| listeners.iter().find(|listener| overlap(listener.bind, bind)));
    taken.map_or(Ok(()), |listener| {
        Err(document
            .error("telemetry.metrics", format!("is taken by the listener on {}", listener.bind))
            .help("choose another port"))
    })
}

fn one(document: &Document<'_>, key: &str, raw: &raw::Listener) -> Result<ListenerConfig, ConfigError> {
    let bind: SocketAddr = raw.bind.parse().map_err(|_| {
        document
            .error(&format!("{key}.bind"), "must be an address and a port")
            .help("write bind = \"[::]:993\", or \"127.0.0.1:993\" for this machine only")
    })?;
    let tls = match raw.tls {
        raw::ListenerTls::Implicit => ListenerTls::Implicit,
        raw::ListenerTls::None => ListenerTls::None,
        raw::ListenerTls::StartTls => ListenerTls::StartTls,
    };
    if tls == ListenerTls::None && !bind.ip().to_canonical().is_loopback() && !raw.allow_cleartext {
        return Err(document
            .error(&format!("{key}.tls"), format!("is \"none\", and {bind} is not a loopback address"))
            .help("write tls = \"implicit\", or allow_cleartext = true if you mean it"));
    }
    let service = service(raw.protocol);
    if service == Service::Https && tls == ListenerTls::StartTls {
        return Err(document.error(&format!("{key}.tls"), "must be \"implicit\" for https"));
    }
    let mechanisms = mechanisms(service, raw.mechanisms.as_deref())
        .map_err(|message| document.error(&format!("{key}.mechanisms"), message))?;
    if raw.client_certificates && tls == ListenerTls::None {
        return Err(document
            .error(&format!("{key}.client_certificates"), "needs TLS, and tls is \"none\"")
            .help("remove it, or write tls = \"implicit\""));
    }
    let mut proxies = Vec::new();
    for (index, text) in raw.proxy_protocol_from.iter().enumerate() {
        let network: Network = text.parse().map_err(|error: InvalidNetwork| {
            document.error(&format!("{key}.proxy_protocol_from[{index}]"), error.to_string())
        })?;
        proxies.push(network);
    }
    Ok(ListenerConfig {
        service,
        bind,
        tls,
        mechanisms,
        client_certificates: raw.client_certificates,
        proxy_protocol_from: proxies,
    })
}

const fn service(raw: raw::Service) -> Service {
    match raw {
        raw::Service::Https => Service::Https,
        raw::Service::Imap => Service::Mail(Protocol::Imap),
        raw::Service::Pop3 => Service::Mail(Protocol::Pop3),
        raw::Service::Sieve => Service::Mail(Protocol::Sieve),
        raw::Service::Smtp => Service::Mail(Protocol::Smtp),
    }
}

fn mechanisms(service: Service, names: Option<&[String]>) -> Result<Vec<Mechanism>, String> {
    let Some(names) = names else {
        return Ok(match service {
            Service::Https => Vec::new(),
            Service::Mail(_) => Mechanism::ALL.to_vec(),
        });
    };
    if service == Service::Https {
        return Err("belongs to mail protocols, not to https".into());
    }
    let mut mechanisms = Vec::new();
    for name in names {
        match Mechanism::from_name(name.as_bytes()) {
            Some(mechanism) if mechanisms.contains(&mechanism) => {
                return Err(format!("names {mechanism} twice"));
            }
            Some(mechanism) => mechanisms.push(mechanism),
            None => {
                return Err("must be a list of \"OAUTHBEARER\", \"XOAUTH2\", \"PLAIN\" and \"LOGIN\"".into());
            }
        }
    }
    if mechanisms.is_empty() {
        return Err("is empty, so nobody could sign in".into());
    }
    Ok(mechanisms)
}

/// Whether the two cannot be bound both. `[::]` also takes IPv4.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let covers = |wide: IpAddr, narrow: IpAddr| match wide {
        IpAddr::V4(address) => address.is_unspecified() && narrow.is_ipv4(),
        IpAddr::V6(address) => address == Ipv6Addr::UNSPECIFIED,
    };
    let (a, b) = (one.ip().to_canonical(), other.ip().to_canonical());
    one.port() == other.port() && one.port() != 0 && (a == b || covers(a, b) || covers(b, a))
}

/// The server of `backend` that this listener itself would answer for.
fn loops(backend: &upstream::Config, bind: SocketAddr) -> Option<String> {
    let here = |host: &str| match host.parse::<IpAddr>() {
        Ok(address) => address.is_loopback() && overlap(SocketAddr::new(address, bind.port()), bind),
        Err(_) => host == "localhost" && (bind.ip().is_unspecified() || bind.ip().is_loopback()),
    };
    let server = backend.servers.iter().find(|server| server.port == bind.port() && here(&server.host))?;
    Some(format!("{} in backend.{}", server.protocol, backend.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_take_the_port_of_every_address() {
        let overlapping = [
            ("[::]:993", "0.0.0.0:993"),
            ("[::]:993", "127.0.0.1:993"),
            ("0.0.0.0:993", "10.0.0.1:993"),
            ("[::1]:993", "[::1]:993"),
            ("[::ffff:127.0.0.1]:993", "127.0.0.1:993"),
        ];
        for (a, b) in overlapping {
            assert!(overlap(a.parse().unwrap(), b.parse().unwrap()), "{a} {b}");
            assert!(overlap(b.parse().unwrap(), a.parse().unwrap()), "{b} {a}");
        }
        let apart = [
            ("[::]:993", "[::]:143"),
            ("127.0.0.1:993", "127.0.0.2:993"),
            ("0.0.0.0:993", "[::1]:993"),
            ("127.0.0.1:0", "127.0.0.1:0"),
        ];
        for (a, b) in apart {
            assert!(!overlap(a.parse().unwrap(), b.parse().unwrap()), "{a} {b}");
        }
    }
}
