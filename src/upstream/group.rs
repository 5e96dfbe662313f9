//! The servers of a backend for one protocol, and which of them a user's session tries in which order.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use arc_swap::ArcSwap;

use super::{
    Balance, Config, GroupConfig, LoginError, Security, Server, choice,
    connect::place,
    health::{Health, Standing},
    warm::Warm,
};
use crate::{
    model::Protocol,
    proto::{Failure, Offer},
};

/// The servers for one protocol, in the order of the configuration.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) servers: Vec<Arc<Target>>,
    /// What all that answer keep.
    pub(super) offer: ArcSwap<Offer>,
}

/// One server, and how it does.
#[derive(Debug)]
pub(super) struct Target {
    backend: Arc<str>,
    pub(super) server: Server,
    /// Host and port.
    pub(super) place: Arc<str>,
    /// What stands for it when users are shared out: the same for each protocol of a host.
    identity: String,
    weight: u32,
    health: Mutex<Health>,
    drained: AtomicBool,
    pub(super) warm: Warm,
}

/// A try of a server; when it is dropped without an outcome, the next one may try.
#[derive(Debug)]
pub(super) struct Attempt<'a> {
    target: &'a Target,
    is_decided: bool,
}

/// How soon a server is tried: the lower, the sooner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Good,
    /// It is back, and this user is not yet among those that it takes.
    SlowStart,
    Other(Standing),
}

impl Group {
    /// The servers of `config` for `protocol`.
    pub(super) fn new(config: &Config, protocol: Protocol) -> Self {
        let mut servers: Vec<Arc<Target>> = Vec::new();
        for server in config.servers.iter().filter(|server| server.protocol == protocol) {
            let host = server.host.to_ascii_lowercase();
            // Several servers of one host are told apart by their order, because ports differ between protocols.
            let same = servers.iter().filter(|other| other.server.host.eq_ignore_ascii_case(&host)).count();
            let identity = if same == 0 { host.clone() } else { format!("{host}#{same}") };
            let weight = config.group.weights.get(&host).copied().unwrap_or(1);
            let (backend, warm) = (Arc::clone(&config.name), config.warm_connections());
            servers.push(Arc::new(Target::new(backend, server.clone(), identity, weight, warm)));
        }
        Self { servers, offer: ArcSwap::default() }
    }

    /// The servers that the sessions of `user` try, one after the other. Those that are drained are not among them.
    pub(super) fn order(&self, config: &GroupConfig, user: &str, now: Instant) -> Vec<Arc<Target>> {
        let mut servers: Vec<Arc<Target>> =
            self.servers.iter().filter(|target| !target.is_drained()).cloned().collect();
        if config.balance == Balance::Hash {
            let mut scored: Vec<(f64, Arc<Target>)> = servers
                .into_iter()
                .map(|target| (choice::score(&target.identity, target.weight, user), target))
                .collect();
            scored.sort_by(|(a, _), (b, _)| b.total_cmp(a));
            servers = scored.into_iter().map(|(_, target)| target).collect();
        }
        servers.sort_by_cached_key(|target| target.rank(config, user, now));
        servers
    }

    /// The one server that a look-up names for a user. Nothing that a look-up says makes this process speak to a host
    /// that the configuration does not know, unless it allows that.
    ///
    /// # Errors
    /// The operator must act: the look-up names what the configuration does not allow.
    pub(super) fn pinned(
        &self,
        config: &Config,
        protocol: Protocol,
        host: &str,
        port: Option<u16>,
    ) -> Result<Arc<Target>, LoginError> {
        let of_host = |server: &Server| server.host.eq_ignore_ascii_case(host);
        let matches = |target: &&Arc<Target>| {
            of_host(&target.server) && port.is_none_or(|port| port == target.server.port)
        };
        if let Some(target) = self.servers.iter().find(matches) {
            return Ok(Arc::clone(target));
        }
        let refused = |what: &str| {
            let (backend, host) = (&config.name, host.escape_debug());
            let text = format!("a look-up names the server {host}, {what} backend.{backend}");
            Err(LoginError::Failure(Failure::Operator(text)))
        };
        let Some(port) = port else { return refused("without a port, which is no server of") };
        if !config.group.any_server && !config.servers.iter().any(of_host) {
            return refused("which is no host of (any_server = true allows it)");
        }
        let Some(like) = self.servers.iter().map(|target| &target.server).find(|server| of_host(server))
        else {
            return self.elsewhere(config, protocol, host, port);
        };
        Ok(Arc::new(Target::passing(&config.name, Server { port, ..like.clone() })))
    }

    /// A server that the group does not know, spoken to as the group's first is.
    fn elsewhere(
        &self,
        config: &Config,
        protocol: Protocol,
        host: &str,
        port: u16,
    ) -> Result<Arc<Target>, LoginError> {
        let none = || LoginError::NoServer(config.name.to_string());
        let security = self.servers.first().map(|target| target.server.security).ok_or_else(none)?;
        if security == Security::Clear && !config.group.allow_cleartext && !is_loopback(host) {
            let text = format!(
                "a look-up names the server {}, to which backend.{} would speak in clear",
                host.escape_debug(),
                config.name
            );
            return Err(LoginError::Failure(Failure::Operator(text)));
        }
        Ok(Arc::new(Target::passing(
            &config.name,
            Server { protocol, host: host.to_owned(), port, security },
        )))
    }
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse().is_ok_and(|address: std::net::IpAddr| address.to_canonical().is_loopback())
}

impl Target {
    fn new(backend: Arc<str>, server: Server, identity: String, weight: u32, warm: usize) -> Self {
        Self {
            backend,
            place: place(&server),
            server,
            identity,
            weight,
            health: Mutex::default(),
            drained: AtomicBool::new(false),
            warm: Warm::new(warm),
        }
    }

    /// One of which nothing is remembered.
    fn passing(backend: &Arc<str>, server: Server) -> Self {
        Self::new(Arc::clone(backend), server, String::new(), 1, 0)
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rank(&self, config: &GroupConfig, user: &str, now: Instant) -> Rank {
        let health = *self.health();
        match health.standing(now) {
            Standing::Good
                if choice::position(&self.identity, user) < health.share(now, config.slow_start) =>
            {
                Rank::Good
            }
            Standing::Good => Rank::SlowStart,
            other @ (Standing::Doubtful | Standing::Due | Standing::Shunned | Standing::OnTrial) => {
                Rank::Other(other)
            }
        }
    }

    /// How it stands.
    pub(super) fn standing(&self, now: Instant) -> Standing {
        self.health().standing(now)
    }

    /// Begins a try; `None` while another's trial of a server that fails is under way.
    pub(super) fn attempt(&self) -> Option<Attempt<'_>> {
        self.health().begin().then_some(Attempt { target: self, is_decided: false })
    }

    /// It answered, or could not be used because of `error`. Only a change is logged.
    pub(super) fn note(&self, error: Option<&LoginError>) {
        let now = Instant::now();
        let was_good = {
            let mut health = self.health();
            let was_good = health.standing(now) == Standing::Good;
            if error.is_some() {
                health.failed(now)
            } else {
                health.succeeded(now)
            }
            was_good
        };
        let Self { backend, place, server: Server { protocol, .. }, .. } = self;
        match error {
            Some(error) if was_good => {
                tracing::warn!(%backend, %protocol, server = %place, %error, "a mail server cannot be used");
            }
            None if !was_good => {
                tracing::info!(%backend, %protocol, server = %place, "a mail server can be used again");
            }
            Some(_) | None => {}
        }
    }

    /// Whether it gets no new sessions.
    pub(super) fn is_drained(&self) -> bool {
        self.drained.load(Ordering::Relaxed)
    }

    pub(super) fn drain(&self, drained: bool) {
        self.drained.store(drained, Ordering::Relaxed);
    }
}

impl Attempt<'_> {
    /// Its outcome.
    pub(super) fn note(mut self, error: Option<&LoginError>) {
        self.is_decided = true;
        self.target.note(error);
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if !self.is_decided {
            self.target.health().given_up(Instant::now());
        }
    }
}
