use std::{fmt, sync::Arc};

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder, prometheus_text},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Metric, Registry},
};

use super::{Direction, Front, Grant, SignIn, TlsVersion};
use crate::model::{Mechanism, Outcome, Protocol};

/// Upper bounds of the sign-in histogram, in seconds: a cached token and a near mail server take about a
/// millisecond, a delayed refusal some seconds.
const SIGN_IN_BUCKETS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Every metric of this process. Cheap to call: what is counted often is resolved once.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    connections: ByFront<Gauge>,
    sessions: ByProtocol<Gauge>,
    relayed_to_client: ByProtocol<Counter>,
    relayed_to_server: ByProtocol<Counter>,
    sign_ins: Family<SignInLabels, Counter>,
    sign_in_seconds: Histogram,
    validations: Family<ValidationLabels, Counter>,
    backends: Family<BackendLabels, Gauge>,
    backend_servers: Family<BackendServerLabels, Gauge>,
    tokens_issued: Family<GrantLabels, Counter>,
    handshakes: Family<HandshakeLabels, Counter>,
}

impl Metrics {
    /// All at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("bearward");
        let connections = Family::<FrontLabels, Gauge>::default();
        let sessions = Family::<ProtocolLabels, Gauge>::default();
        let relay_bytes = Family::<RelayLabels, Counter>::default();
        let (sign_ins, validations, backends) = (Family::default(), Family::default(), Family::default());
        let (tokens_issued, handshakes) = (Family::default(), Family::default());
        let backend_servers = Family::default();
        let sign_in_seconds = Histogram::new(SIGN_IN_BUCKETS);

        // Counters are registered without `_total`: the encoder adds it.
        add(&mut registry, "connections", "Open connections, signed in or not", &connections);
        add(&mut registry, "sessions", "Sessions that are signed in and relayed", &sessions);
        add(&mut registry, "sign_ins", "Sign-ins by how they ended", &sign_ins);
        add(&mut registry, "sign_in_seconds", "From the sign-in command to its answer", &sign_in_seconds);
        add(&mut registry, "relay_bytes", "Octets relayed, without TLS", &relay_bytes);
        add(&mut registry, "token_validations", "Tokens validated, by issuer and result", &validations);
        add(
            &mut registry,
            "backend_up",
            "Whether the mail server answered last time (1) or not (0)",
            &backends,
        );
        add(&mut registry, "backend_servers", "Mail servers by how they do", &backend_servers);
        add(&mut registry, "tokens_issued", "Access tokens issued", &tokens_issued);
        add(&mut registry, "tls_handshakes", "TLS handshakes finished on listeners", &handshakes);

        let relayed = |direction| {
            ByProtocol::new(|protocol| relay_bytes.get_or_create_owned(&RelayLabels { protocol, direction }))
        };
        Self {
            connections: ByFront {
                https: connections.get_or_create_owned(&FrontLabels { protocol: Front::Https }),
                mail: ByProtocol::new(|protocol| {
                    connections.get_or_create_owned(&FrontLabels { protocol: protocol.into() })
                }),
            },
            sessions: ByProtocol::new(|protocol| sessions.get_or_create_owned(&ProtocolLabels { protocol })),
            relayed_to_client: relayed(Direction::ToClient),
            relayed_to_server: relayed(Direction::ToServer),
            sign_ins,
            sign_in_seconds,
            validations,
            backends,
            backend_servers,
            tokens_issued,
            handshakes,
            registry,
        }
    }

    /// A connection was accepted; it counts until the guard is dropped.
    pub fn connection_opened(&self, front: impl Into<Front>) -> Counted {
        Counted::new(match front.into() {
            Front::Https => &self.connections.https,
            Front::Mail(protocol) => self.connections.mail.of(protocol),
        })
    }

    /// A session was signed in; it counts until the guard is dropped.
    pub fn session_opened(&self, protocol: Protocol) -> Counted {
        Counted::new(self.sessions.of(protocol))
    }

    /// Counts a sign-in and how long it took.
    pub fn sign_in(&self, sign_in: &SignIn<'_>) {
        let SignIn { protocol, mechanism, outcome, .. } = *sign_in;
        let mechanism = MechanismLabel(mechanism);
        self.sign_ins.get_or_create(&SignInLabels { protocol, mechanism, outcome }).inc();
        self.sign_in_seconds.observe(sign_in.duration.as_secs_f64());
    }

    /// Counts `octets` that were relayed.
    pub fn relayed(&self, protocol: Protocol, direction: Direction, octets: u64) {
        let counters = match direction {
            Direction::ToClient => &self.relayed_to_client,
            Direction::ToServer => &self.relayed_to_server,
        };
        counters.of(protocol).inc_by(octets);
    }

    /// Where the validations of one configured issuer are counted. Asked for once an issuer at start: the
    /// name becomes a label, so it must never come from a token.
    pub fn validations(&self, issuer: &str) -> Validations {
        Validations { issuer: issuer.into(), counts: self.validations.clone() }
    }

    /// Shows whether the servers of one configured backend answer; nothing is shown until one was tried.
    pub fn backend_up(&self, backend: &Arc<str>, protocol: Protocol, up: bool) {
        let labels = BackendLabels { backend: Arc::clone(backend), protocol };
        self.backends.get_or_create(&labels).set(i64::from(up));
    }

    /// Shows how many servers of one configured backend are in a state.
    pub fn backend_servers(&self, backend: &Arc<str>, protocol: Protocol, state: &'static str, count: usize) {
        let labels = BackendServerLabels { backend: Arc::clone(backend), protocol, state };
        self.backend_servers.get_or_create(&labels).set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Counts an issued access token.
    pub fn token_issued(&self, grant: Grant) {
        self.tokens_issued.get_or_create(&GrantLabels { grant }).inc();
    }

    /// Counts a finished TLS handshake.
    pub fn tls_handshake(&self, version: TlsVersion, resumed: bool) {
        self.handshakes.get_or_create(&HandshakeLabels { version, resumed }).inc();
    }

    /// All of it in the Prometheus text format 0.0.4.
    ///
    /// # Errors
    /// None that a string could cause; passed on from the encoder.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        prometheus_text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

fn add(registry: &mut Registry, name: &str, help: &str, metric: &(impl Metric + Clone)) {
    registry.register(name, help, metric.clone());
}

/// Something open that a gauge counts until this is dropped.
#[derive(Debug)]
#[must_use = "it stops counting when dropped"]
pub struct Counted(Gauge);

impl Counted {
    fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Counts the validations of one issuer's tokens.
#[derive(Clone, Debug)]
pub struct Validations {
    issuer: Arc<str>,
    counts: Family<ValidationLabels, Counter>,
}

impl Validations {
    /// One token was validated; `cached` says that a cache knew the answer.
    pub fn count(&self, result: Outcome, cached: bool) {
        let issuer = Arc::clone(&self.issuer);
        self.counts.get_or_create(&ValidationLabels { issuer, result, cached }).inc();
    }
}

#[derive(Debug)]
struct ByFront<M> {
    https: M,
    mail: ByProtocol<M>,
}

#[derive(Debug)]
struct ByProtocol<M> {
    imap: M,
    pop3: M,
    sieve: M,
    smtp: M,
}

impl<M> ByProtocol<M> {
    fn new(make: impl Fn(Protocol) -> M) -> Self {
        Self {
            imap: make(Protocol::Imap),
            pop3: make(Protocol::Pop3),
            sieve: make(Protocol::Sieve),
            smtp: make(Protocol::Smtp),
        }
    }

    const fn of(&self, protocol: Protocol) -> &M {
        match protocol {
            Protocol::Imap => &self.imap,
            Protocol::Pop3 => &self.pop3,
            Protocol::Sieve => &self.sieve,
            Protocol::Smtp => &self.smtp,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FrontLabels {
    protocol: Front,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProtocolLabels {
    protocol: Protocol,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RelayLabels {
    protocol: Protocol,
    direction: Direction,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SignInLabels {
    protocol: Protocol,
    mechanism: MechanismLabel,
    outcome: Outcome,
}

/// A mechanism, or `none` where a connection failed before it named one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct MechanismLabel(Option<Mechanism>);

impl EncodeLabelValue for MechanismLabel {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        EncodeLabelValue::encode(&self.0.map_or("none", Mechanism::as_str), encoder)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ValidationLabels {
    issuer: Arc<str>,
    result: Outcome,
    cached: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BackendLabels {
    backend: Arc<str>,
    protocol: Protocol,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BackendServerLabels {
    backend: Arc<str>,
    protocol: Protocol,
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct GrantLabels {
    grant: Grant,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HandshakeLabels {
    version: TlsVersion,
    resumed: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value_of(metrics: &Metrics, series: &str) -> Option<String> {
        let text = metrics.encode().ok()?;
        text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ').map(str::to_owned))
    }

    #[test]
    fn a_gauge_counts_what_is_open_and_no_longer() {
        let metrics = Metrics::new();
        let series = r#"bearward_connections{protocol="imap"}"#;
        let first = metrics.connection_opened(Protocol::Imap);
        let second = metrics.connection_opened(Front::Mail(Protocol::Imap));
        assert_eq!(value_of(&metrics, series).unwrap(), "2");
        drop(first);
        assert_eq!(value_of(&metrics, series).unwrap(), "1");
        drop(second);
        assert_eq!(value_of(&metrics, series).unwrap(), "0");
    }

    #[test]
    fn relayed_octets_add_up_by_protocol_and_direction() {
        let metrics = Metrics::new();
        metrics.relayed(Protocol::Pop3, Direction::ToClient, 40);
        metrics.relayed(Protocol::Pop3, Direction::ToClient, 2);
        metrics.relayed(Protocol::Pop3, Direction::ToServer, 7);
        let to_client = r#"bearward_relay_bytes_total{protocol="pop3",direction="to_client"}"#;
        let to_server = r#"bearward_relay_bytes_total{protocol="pop3",direction="to_server"}"#;
        assert_eq!(value_of(&metrics, to_client).unwrap(), "42");
        assert_eq!(value_of(&metrics, to_server).unwrap(), "7");
    }

    #[test]
    fn a_backend_shows_nothing_until_it_was_tried() {
        let metrics = Metrics::new();
        let series = r#"bearward_backend_up{backend="main",protocol="smtp"}"#;
        let backend = "main".into();
        assert_eq!(value_of(&metrics, series), None);
        metrics.backend_up(&backend, Protocol::Smtp, true);
        assert_eq!(value_of(&metrics, series).unwrap(), "1");
        metrics.backend_up(&backend, Protocol::Smtp, false);
        assert_eq!(value_of(&metrics, series).unwrap(), "0");
    }

    #[test]
    fn a_label_from_the_configuration_cannot_break_the_text() {
        let metrics = Metrics::new();
        metrics.validations("https://a\"\n\\b").count(Outcome::Ok, true);
        let text = metrics.encode().unwrap();
        assert!(text.contains(r#"issuer="https://a\"\n\\b",result="ok",cached="true"} 1"#), "{text}");
    }
}
