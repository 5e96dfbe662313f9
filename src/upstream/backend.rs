//! A configured backend: logins, probes, and what its operator may ask of it.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Instant,
};

use thiserror::Error;

use super::{
    Config, Login,
    connect::{LoggedIn, LoginError, Opener},
    group::{Group, Target},
    health::Standing,
    login,
    offer::intersection,
    token_exchange::TokenExchange,
    warm,
};
use crate::{
    http::HttpError,
    lookup::Entry,
    model::{Login as UserLogin, Principal, Protocol, Secret, SessionId, UnixTime},
    proto::{ClientFacts, Failure, LoginAs, Offer},
    telemetry::Metrics,
    tls::{TlsError, UpstreamTls},
};

/// A backend ready for logins.
#[derive(Debug)]
pub struct Backend {
    opener: Arc<Opener>,
    metrics: Arc<Metrics>,
    groups: BTreeMap<Protocol, Group>,
    /// Where [`Login::Bearer`] exchanges tokens.
    exchange: Option<TokenExchange>,
}

/// What asking one server came to.
#[derive(Debug)]
pub struct Probe {
    /// Host and port.
    pub server: Arc<str>,
    /// Whether it answered.
    pub result: Result<(), LoginError>,
}

/// How one server does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerStatus {
    /// What it speaks.
    pub protocol: Protocol,
    /// Host and port.
    pub server: Arc<str>,
    /// `up`; `failing`, with the others tried first; or `down`, left alone but for a trial from time to time.
    pub state: &'static str,
    /// Whether it gets no new sessions.
    pub drained: bool,
    /// How many connections to it wait for a user.
    pub warm: usize,
}

/// A backend cannot be set up.
#[derive(Debug, Error)]
#[error("backend {backend}: {source}")]
pub struct BackendsError {
    backend: Arc<str>,
    source: SetupError,
}

/// What cannot be set up of a backend.
#[derive(Debug, Error)]
enum SetupError {
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl Backend {
    pub(super) fn new(
        config: Config,
        hostname: Arc<str>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, BackendsError> {
        let failed = |source| BackendsError { backend: Arc::clone(&config.name), source };
        let tls = UpstreamTls::new(&config.tls).map_err(|error| failed(error.into()))?;
        let exchange = match &config.login {
            Login::Bearer(Some(exchange)) => {
                Some(TokenExchange::new((**exchange).clone()).map_err(|error| failed(error.into()))?)
            }
            Login::Authzid(_)
            | Login::Bearer(None)
            | Login::External
            | Login::Master { .. }
            | Login::Sealed
            | Login::Secret(_)
            | Login::Trusted
            | Login::Xclient => None,
        };
        let protocols = config.servers.iter().map(|server| server.protocol);
        let groups = protocols.map(|protocol| (protocol, Group::new(&config, protocol))).collect();
        Ok(Self { opener: Arc::new(Opener { config, tls, hostname }), metrics, groups, exchange })
    }

    /// Its settings.
    pub fn config(&self) -> &Config {
        &self.opener.config
    }

    /// The protocols that it has servers for.
    pub fn protocols(&self) -> impl Iterator<Item = Protocol> {
        self.groups.keys().copied()
    }

    /// What its servers were last seen to offer for `protocol`.
    pub fn offer(&self, protocol: Protocol) -> Option<Arc<Offer>> {
        self.groups.get(&protocol).map(|group| group.offer.load_full())
    }

    /// Whose entry of a look-up [`Backend::login`] wants to be told: the mailbox's, except where the user logs in as
    /// themselves to open it.
    pub fn account<'a>(&self, principal: &'a Principal) -> &'a UserLogin {
        login::account(self.config(), principal)
    }

    /// Logs in for `principal`. `entry` is what a look-up, or the store, says of [`Backend::account`].
    ///
    /// # Errors
    /// [`LoginError`]; a server that cannot be used is passed over for the next of the group, as long as nothing of
    /// the login was sent to it.
    pub async fn login(
        &self,
        protocol: Protocol,
        principal: &Principal,
        entry: Option<&Entry>,
        client: ClientFacts,
    ) -> Result<LoggedIn, LoginError> {
        if client.ttl == 0 {
            let text = "the connection has come through too many proxies: it goes round in a loop";
            return Err(Failure::Operator(text.to_owned()).into());
        }
        // A user without a usable name is nobody to exchange a token for.
        login::login_as(self.config(), principal, entry, &principal.token)?;
        let token = match &self.exchange {
            Some(exchange) => exchange.token(&principal.token, UnixTime::now()).await?,
            None => principal.token.clone(),
        };
        let login = login::login_as(self.config(), principal, entry, &token)?;
        let targets = self.destinations(protocol, &principal.mailbox, entry)?;
        let result = self.log_in(protocol, targets, login, client).await;
        if let (Some(exchange), Err(LoginError::Failure(Failure::WrongPassword(_) | Failure::Refused(_)))) =
            (&self.exchange, &result)
        {
            exchange.forget(&principal.token);
        }
        result
    }

    /// Whether the mailbox password is right, found by logging in with it; the protocol that tells most first.
    /// `entry` is what a look-up says of the user, `client` the address of whoever signs in.
    ///
    /// # Errors
    /// [`LoginError`], as for a login.
    pub async fn check_password(
        &self,
        user: &UserLogin,
        entry: Option<&Entry>,
        password: &Secret,
        client: IpAddr,
    ) -> Result<(), LoginError> {
        let name = login::own_name(self.config(), user, entry)?;
        let known = [Protocol::Imap, Protocol::Pop3, Protocol::Smtp, Protocol::Sieve];
        let protocol = known.into_iter().find(|protocol| self.groups.contains_key(protocol));
        let protocol = protocol.ok_or_else(|| self.no_server())?;
        let login = LoginAs::Password { authcid: name, authzid: None, password: password.clone() };
        // There is no mail connection: only the address of whoever is at the keyboard is known.
        let facts = ClientFacts {
            address: SocketAddr::new(client, 0),
            local: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            name: None,
            session: SessionId::new(0),
            encrypted: true,
            tls: None,
            utf8: false,
            ttl: 1,
        };
        self.log_in(protocol, self.destinations(protocol, user, entry)?, login, facts).await.map(drop)
    }

    /// Asks each server of `protocol` what it offers, without logging in; remembers what all that answer keep.
    pub async fn probe(&self, protocol: Protocol) -> Vec<Probe> {
        let mut kept: Option<Offer> = None;
        let mut probes = Vec::new();
        let Some(group) = self.groups.get(&protocol) else { return probes };
        for target in &group.servers {
            let greeted = self.opener.greet(&target.server, None).await;
            target.note(greeted.as_ref().err());
            let result = greeted.map(|greeted| kept = Some(intersection(kept.take(), greeted.offer)));
            probes.push(Probe { server: Arc::clone(&target.place), result });
        }
        self.metrics.backend_up(&self.config().name, protocol, kept.is_some());
        if let Some(kept) = kept {
            group.offer.store(Arc::new(kept));
        }
        probes
    }

    /// Asks the servers of `protocol` that did not answer last time whether they are back.
    pub async fn probe_failing(&self, protocol: Protocol) {
        let Some(group) = self.groups.get(&protocol) else { return };
        let now = Instant::now();
        let failing = group.servers.iter().filter(|target| target.standing(now) != Standing::Good);
        for target in failing {
            target.note(self.opener.greet(&target.server, None).await.err().as_ref());
        }
        let is_up = group.servers.iter().any(|target| target.standing(now) == Standing::Good);
        self.metrics.backend_up(&self.config().name, protocol, is_up);
    }

    /// Opens the connections ahead that are missing, and shows how the servers do; nothing is waited for. Called every
    /// second.
    pub fn tend(&self) {
        for target in self.targets() {
            warm::tend(target, &self.opener);
        }
        let servers = self.servers();
        for protocol in self.protocols() {
            for state in ["up", "failing", "down", "drained"] {
                let is_in = |status: &&ServerStatus| {
                    let own = if status.drained { "drained" } else { status.state };
                    status.protocol == protocol && own == state
                };
                let count = servers.iter().filter(is_in).count();
                self.metrics.backend_servers(&self.config().name, protocol, state, count);
            }
        }
    }

    /// Stops new sessions at the servers at `place` (host and port), or at all; `drained = false` lets them in
    /// again. Those that are meant.
    pub fn drain(&self, place: Option<&str>, drained: bool) -> Vec<Arc<str>> {
        let meant = |target: &&Arc<Target>| {
            place.is_none_or(|place| {
                target.place.eq_ignore_ascii_case(place) || target.server.host.eq_ignore_ascii_case(place)
            })
        };
        let mut places: Vec<Arc<str>> = Vec::new();
        for target in self.targets().filter(meant) {
            target.drain(drained);
            warm::tend(target, &self.opener);
            let place = Arc::clone(&target.place);
            tracing::info!(backend = %self.config().name, server = %place, drained, "a mail server was drained or let in");
            places.push(place);
        }
        places
    }

    /// How its servers do.
    pub fn servers(&self) -> Vec<ServerStatus> {
        let now = Instant::now();
        let status = |target: &Arc<Target>| ServerStatus {
            protocol: target.server.protocol,
            server: Arc::clone(&target.place),
            state: match target.standing(now) {
                Standing::Good => "up",
                Standing::Doubtful => "failing",
                Standing::Due | Standing::Shunned | Standing::OnTrial => "down",
            },
            drained: target.is_drained(),
            warm: target.warm.len(),
        };
        self.targets().map(status).collect()
    }

    fn targets(&self) -> impl Iterator<Item = &Arc<Target>> {
        self.groups.values().flat_map(|group| &group.servers)
    }

    fn group(&self, protocol: Protocol) -> Result<&Group, LoginError> {
        self.groups.get(&protocol).ok_or_else(|| self.no_server())
    }

    /// The servers to try: the one that a look-up names, or those of the group in the mailbox's order.
    fn destinations(
        &self,
        protocol: Protocol,
        mailbox: &UserLogin,
        entry: Option<&Entry>,
    ) -> Result<Vec<Arc<Target>>, LoginError> {
        match entry.and_then(|entry| entry.server.as_ref()) {
            Some((host, port)) => {
                Ok(vec![self.group(protocol)?.pinned(self.config(), protocol, host, *port)?])
            }
            None => self.order(protocol, mailbox),
        }
    }

    fn order(&self, protocol: Protocol, user: &UserLogin) -> Result<Vec<Arc<Target>>, LoginError> {
        Ok(self.group(protocol)?.order(&self.config().group, user.as_str(), Instant::now()))
    }

    fn no_server(&self) -> LoginError {
        LoginError::NoServer(self.config().name.to_string())
    }

    async fn log_in(
        &self,
        protocol: Protocol,
        targets: Vec<Arc<Target>>,
        login: LoginAs,
        client: ClientFacts,
    ) -> Result<LoggedIn, LoginError> {
        let name = &self.config().name;
        let mut last = LoginError::Unreachable(format!("every server of backend {name} is drained"));
        for target in targets.iter().filter(|target| !target.is_drained()) {
            let place = &target.place;
            let Some(attempt) = target.attempt() else {
                last = LoginError::Unreachable(format!("{place}: it failed, and is being tried just now"));
                continue;
            };
            let greeted = match target.warm.take().await {
                Some(waiting) => Ok(waiting),
                None => self.opener.greet(&target.server, Some(&client)).await,
            };
            warm::tend(target, &self.opener);
            match greeted {
                Ok(greeted) => {
                    let result = self.opener.log_in(&target.server, greeted, login, Some(client)).await;
                    let broken =
                        result.as_ref().err().filter(|error| matches!(error, LoginError::Unreachable(_)));
                    attempt.note(broken);
                    self.metrics.backend_up(name, protocol, true);
                    return result;
                }
                Err(error) => {
                    attempt.note(Some(&error));
                    last = error;
                }
            }
        }
        self.metrics.backend_up(name, protocol, false);
        Err(last)
    }
}
