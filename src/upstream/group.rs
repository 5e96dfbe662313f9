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
        // One that is not begun must not be made either: its drop would end the other's trial.
        let begins = self.health().begin();
        begins.then(|| Attempt { target: self, is_decided: false })
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use super::*;
    use crate::{
        tls,
        upstream::{Login, LoginName},
    };

    fn server(protocol: Protocol, host: &str, port: u16, security: Security) -> Server {
        Server { protocol, host: host.into(), port, security }
    }

    fn config(servers: Vec<Server>, group: GroupConfig) -> Config {
        Config {
            name: "main".into(),
            servers,
            login: Login::Sealed,
            login_name: LoginName::whole(),
            shared_login_name: None,
            mechanisms: Arc::from([]),
            tls: tls::UpstreamConfig::default(),
            xclient: true,
            proxy_protocol: false,
            imap_id: true,
            timeout: Duration::from_secs(1),
            group,
        }
    }

    fn hosts(names: &[&str], group: GroupConfig) -> Config {
        let servers = names.iter().map(|host| server(Protocol::Imap, host, 993, Security::Tls));
        config(servers.collect(), group)
    }

    fn order(group: &Group, config: &GroupConfig, user: &str) -> Vec<String> {
        group.order(config, user, Instant::now()).iter().map(|target| target.server.host.clone()).collect()
    }

    fn error() -> LoginError {
        LoginError::Unreachable("it is down".into())
    }

    fn fail(target: &Target, times: usize) {
        for _ in 0..times {
            if let Some(attempt) = target.attempt() {
                attempt.note(Some(&error()));
            }
        }
    }

    #[test]
    fn the_first_that_works_comes_first_and_those_that_fail_last() {
        let config = hosts(&["a", "b", "c"], GroupConfig::default());
        let group = Group::new(&config, Protocol::Imap);
        assert_eq!(order(&group, &config.group, "alice"), ["a", "b", "c"]);
        fail(&group.servers[0], 1);
        assert_eq!(order(&group, &config.group, "alice"), ["b", "c", "a"]);
        fail(&group.servers[1], 3);
        assert_eq!(order(&group, &config.group, "alice"), ["c", "a", "b"]);
        group.servers[0].note(None);
        assert_eq!(order(&group, &config.group, "alice"), ["a", "c", "b"]);
        group.servers[0].drain(true);
        assert_eq!(order(&group, &config.group, "alice"), ["c", "b"]);
    }

    #[test]
    fn a_user_has_the_same_host_in_each_protocol() {
        let group = GroupConfig { balance: Balance::Hash, ..GroupConfig::default() };
        let servers = ["a", "b", "c"].into_iter().flat_map(|host| {
            let smtp = server(Protocol::Smtp, host, 465, Security::Tls);
            [server(Protocol::Imap, host, 993, Security::Tls), smtp]
        });
        let config = config(servers.collect(), group);
        let [imap, smtp] = [Protocol::Imap, Protocol::Smtp].map(|protocol| Group::new(&config, protocol));
        let mut firsts = BTreeMap::<String, usize>::new();
        for number in 0..300 {
            let user = format!("user{number}@example.org");
            let hosts = order(&imap, &config.group, &user);
            assert_eq!(hosts, order(&smtp, &config.group, &user));
            *firsts.entry(hosts[0].clone()).or_default() += 1;
        }
        assert!(firsts.len() == 3 && firsts.values().all(|users| *users > 60), "{firsts:?}");
    }

    #[test]
    fn a_server_that_is_back_takes_a_part_of_its_users_at_first() {
        let group = GroupConfig { slow_start: Duration::from_secs(3600), ..GroupConfig::default() };
        let config = hosts(&["a", "b"], group);
        let group = Group::new(&config, Protocol::Imap);
        fail(&group.servers[0], 3);
        group.servers[0].note(None);
        let users = (0..1000).map(|number| format!("user{number}"));
        let at_a = users.filter(|user| order(&group, &config.group, user)[0] == "a").count();
        assert!((60..140).contains(&at_a), "{at_a} of 1000, where a tenth is due");
    }

    #[test]
    fn one_trial_at_a_time_and_one_that_was_dropped_counts_for_nothing() {
        let config = hosts(&["a"], GroupConfig::default());
        let group = Group::new(&config, Protocol::Imap);
        let target = &group.servers[0];
        fail(target, 3);
        let trial = target.attempt().unwrap();
        assert!(target.attempt().is_none());
        drop(trial);
        target.attempt().unwrap().note(None);
        assert_eq!(target.standing(Instant::now()), Standing::Good);
    }

    fn pinned(config: &Config, host: &str, port: Option<u16>) -> Option<String> {
        let group = Group::new(config, Protocol::Imap);
        group.pinned(config, Protocol::Imap, host, port).ok().map(|target| target.place.to_string())
    }

    #[test]
    fn a_look_up_names_a_host_of_the_backend_and_no_other() {
        let config = hosts(&["a.example.org", "b.example.org"], GroupConfig::default());
        assert_eq!(pinned(&config, "B.example.org", None).unwrap(), "b.example.org:993");
        assert_eq!(pinned(&config, "b.example.org", Some(1993)).unwrap(), "b.example.org:1993");
        for elsewhere in ["169.254.169.254", "localhost", "evil.example.net", "a.example.org.evil.net", ""] {
            assert_eq!(pinned(&config, elsewhere, None), None, "{elsewhere}");
            assert_eq!(pinned(&config, elsewhere, Some(993)), None, "{elsewhere}");
        }
    }

    #[test]
    fn any_server_needs_a_port_and_is_spoken_to_like_the_group() {
        let any = GroupConfig { any_server: true, ..GroupConfig::default() };
        let one = hosts(&["a.example.org"], any.clone());
        assert_eq!(pinned(&one, "c.example.net", None), None);
        let group = Group::new(&one, Protocol::Imap);
        let target = group.pinned(&one, Protocol::Imap, "c.example.net", Some(993)).unwrap();
        assert_eq!(target.server, server(Protocol::Imap, "c.example.net", 993, Security::Tls));
        let clear = |group| config(vec![server(Protocol::Imap, "127.0.0.1", 143, Security::Clear)], group);
        assert_eq!(pinned(&clear(any.clone()), "c.example.net", Some(143)), None, "a password in clear");
        assert!(pinned(&clear(any.clone()), "127.0.0.2", Some(143)).is_some());
        let allowed = GroupConfig { allow_cleartext: true, ..any };
        assert!(pinned(&clear(allowed), "c.example.net", Some(143)).is_some());
    }
}
