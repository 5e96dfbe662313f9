//! A configured backend, and all of them with their routes.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use arc_swap::ArcSwap;
use thiserror::Error;
use tokio::time::timeout;

use super::{
    Config, Login, Route, RouteError, RouteKey, Router, Server, connect, connect::LoggedIn,
    connect::LoginError, login, token_exchange::TokenExchange,
};
use crate::{
    http::HttpError,
    lookup::{self, Lookups},
    model::{Login as UserLogin, Principal, Protocol, Secret, SessionId, UnixTime},
    proto::{ClientFacts, Failure, LoginAs, Offer},
    telemetry::Metrics,
    tls::{TlsError, UpstreamTls},
};

/// A backend ready for logins.
#[derive(Debug)]
pub struct Backend {
    config: Config,
    tls: UpstreamTls,
    hostname: Arc<str>,
    metrics: Arc<Metrics>,
    seen: BTreeMap<Protocol, Seen>,
    /// Where [`Login::Bearer`] exchanges tokens.
    exchange: Option<TokenExchange>,
}

/// What is remembered of a backend's servers for one protocol.
#[derive(Debug, Default)]
struct Seen {
    /// What all that answer keep.
    offer: ArcSwap<Offer>,
    /// The server that took the last connection, by its place in the configuration. The next one is tried
    /// first there, so that a dead server delays one sign-in and not every one.
    preferred: AtomicUsize,
    /// Which servers were found unusable, in the order of the configuration. Only a change is logged.
    down: Vec<AtomicBool>,
}

/// What asking one server came to.
#[derive(Debug)]
pub struct Probe {
    /// Host and port.
    pub server: String,
    /// Whether it answered.
    pub result: Result<(), LoginError>,
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
    fn new(config: Config, hostname: Arc<str>, metrics: Arc<Metrics>) -> Result<Self, BackendsError> {
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
        let mut seen = BTreeMap::<Protocol, Seen>::new();
        for server in &config.servers {
            seen.entry(server.protocol).or_default().down.push(AtomicBool::new(false));
        }
        Ok(Self { config, tls, hostname, metrics, seen, exchange })
    }

    /// Its settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The protocols that it has servers for.
    pub fn protocols(&self) -> impl Iterator<Item = Protocol> {
        self.seen.keys().copied()
    }

    /// What its servers were last seen to offer for `protocol`.
    pub fn offer(&self, protocol: Protocol) -> Option<Arc<Offer>> {
        self.seen.get(&protocol).map(|seen| seen.offer.load_full())
    }

    /// Whose entry of a look-up [`Backend::login`] wants to be told: the mailbox's, except where the user logs in as
    /// themselves to open it.
    pub const fn account<'a>(&self, principal: &'a Principal) -> &'a UserLogin {
        login::account(&self.config, principal)
    }

    /// Logs in for `principal`. `entry` is what a look-up, or the store, says of [`Backend::account`].
    ///
    /// # Errors
    /// [`LoginError`]; a server that cannot be connected to is passed over for the next of the group.
    pub async fn login(
        &self,
        protocol: Protocol,
        principal: &Principal,
        entry: Option<&lookup::Entry>,
        client: ClientFacts,
    ) -> Result<LoggedIn, LoginError> {
        if client.ttl == 0 {
            let text = "the connection has come through too many proxies: it goes round in a loop";
            return Err(Failure::Operator(text.to_owned()).into());
        }
        // A user without a usable name is nobody to exchange a token for.
        login::login_as(&self.config, principal, entry, &principal.token)?;
        let token = match &self.exchange {
            Some(exchange) => exchange.token(&principal.token, UnixTime::now()).await?,
            None => principal.token.clone(),
        };
        let plan = || Ok(login::login_as(&self.config, principal, entry, &token)?);
        let result = self.open(protocol, plan, Some(client)).await;
        if let (Some(exchange), Err(LoginError::Failure(Failure::WrongPassword(_) | Failure::Refused(_)))) =
            (&self.exchange, &result)
        {
            exchange.forget(&principal.token);
        }
        result
    }

    /// Whether the mailbox password is right, found by logging in with it; the protocol that tells most first.
    /// `client` is the address of whoever signs in.
    ///
    /// # Errors
    /// [`LoginError`], as for a login.
    pub async fn check_password(
        &self,
        user: &UserLogin,
        password: &Secret,
        client: IpAddr,
    ) -> Result<(), LoginError> {
        let name = self.config.login_name.render(user, user)?;
        let known = [Protocol::Imap, Protocol::Pop3, Protocol::Smtp, Protocol::Sieve];
        let protocol = known.into_iter().find(|protocol| self.seen.contains_key(protocol));
        let protocol = protocol.ok_or_else(|| LoginError::NoServer(self.config.name.to_string()))?;
        let plan =
            || Ok(LoginAs::Password { authcid: name.clone(), authzid: None, password: password.clone() });
        // There is no mail connection: only the address of whoever is at the keyboard is known.
        let facts = ClientFacts {
            address: SocketAddr::new(client, 0),
            local: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            name: None,
            session: SessionId::new(0),
            encrypted: true,
            tls: None,
            ttl: 1,
        };
        self.open(protocol, plan, Some(facts)).await.map(drop)
    }

    /// Asks each server of `protocol` what it offers, without logging in; remembers what all that answer keep.
    pub async fn probe(&self, protocol: Protocol) -> Vec<Probe> {
        let mut kept: Option<Offer> = None;
        let mut probes = Vec::new();
        let Some(seen) = self.seen.get(&protocol) else { return probes };
        for (number, server) in self.servers(protocol).enumerate() {
            let opened = self.open_one(server, LoginAs::Nobody, None).await;
            let result =
                opened.map(|logged_in| kept = Some(intersection(kept.take(), logged_in.ready.offer)));
            self.note(seen, number, server, result.as_ref().err());
            probes.push(Probe { server: format!("{}:{}", server.host, server.port), result });
        }
        self.metrics.backend_up(&self.config.name, protocol, kept.is_some());
        if let Some(kept) = kept {
            seen.offer.store(Arc::new(kept));
        }
        probes
    }

    /// Remembers whether a server can be used, and logs when that changes. The next sign-in does not begin with
    /// one that cannot.
    fn note(&self, seen: &Seen, number: usize, server: &Server, error: Option<&LoginError>) {
        let Some(down) = seen.down.get(number) else { return };
        let was_down = down.swap(error.is_some(), Ordering::Relaxed);
        let (backend, protocol) = (&self.config.name, server.protocol);
        let (host, port) = (&server.host, server.port);
        match error {
            Some(error) if !was_down => {
                tracing::warn!(%backend, %protocol, server = %format_args!("{host}:{port}"), %error, "a mail server cannot be used");
            }
            None if was_down => {
                tracing::info!(%backend, %protocol, server = %format_args!("{host}:{port}"), "a mail server can be used again");
            }
            Some(_) | None => {}
        }
        if error.is_some() {
            seen.pass_over(number);
        }
    }

    fn servers(&self, protocol: Protocol) -> impl Iterator<Item = &Server> {
        self.config.servers.iter().filter(move |server| server.protocol == protocol)
    }

    async fn open(
        &self,
        protocol: Protocol,
        plan: impl Fn() -> Result<LoginAs, LoginError>,
        client: Option<ClientFacts>,
    ) -> Result<LoggedIn, LoginError> {
        let none = || LoginError::NoServer(self.config.name.to_string());
        let Some(seen) = self.seen.get(&protocol) else { return Err(none()) };
        let preferred = seen.preferred.load(Ordering::Relaxed);
        let numbered = || self.servers(protocol).enumerate();
        let order = numbered().skip(preferred).chain(numbered().take(preferred));
        let mut last = none();
        for (number, server) in order {
            match self.open_one(server, plan()?, client.clone()).await {
                Err(error) if error.is_of_one_server() => {
                    self.note(seen, number, server, Some(&error));
                    last = error;
                }
                result => {
                    if result.is_ok() {
                        self.note(seen, number, server, None);
                    }
                    seen.preferred.store(number, Ordering::Relaxed);
                    self.metrics.backend_up(&self.config.name, protocol, true);
                    return result;
                }
            }
        }
        self.metrics.backend_up(&self.config.name, protocol, false);
        Err(last)
    }

    async fn open_one(
        &self,
        server: &Server,
        login: LoginAs,
        client: Option<ClientFacts>,
    ) -> Result<LoggedIn, LoginError> {
        let opening =
            connect::open(&self.config, &self.tls, server, login, client, Arc::clone(&self.hostname));
        let result = timeout(self.config.timeout, Box::pin(opening)).await;
        result.unwrap_or_else(|_| {
            let (host, port, time) = (&server.host, server.port, self.config.timeout);
            Err(LoginError::Unreachable(format!("{host}:{port}: no answer within {time:?}")))
        })
    }
}

impl Seen {
    /// The server at `number` cannot be used: sign-ins begin with the next that can, if there is one.
    fn pass_over(&self, number: usize) {
        let is_up = |other: usize| self.down.get(other).is_some_and(|down| !down.load(Ordering::Relaxed));
        let count = self.down.len();
        let next = (number + 1..count).chain(0..number).find(|other| is_up(*other));
        if let Some(next) = next {
            let _ = self.preferred.compare_exchange(number, next, Ordering::Relaxed, Ordering::Relaxed);
        }
    }
}

/// Every backend, and the routes to them.
#[derive(Debug)]
pub struct Backends {
    backends: Vec<Arc<Backend>>,
    router: Router,
}

impl Backends {
    /// Sets every backend up; connects to none.
    ///
    /// # Errors
    /// [`BackendsError`] when a backend's TLS files cannot be used.
    pub fn new(
        configs: Vec<Config>,
        routes: Vec<Route>,
        hostname: &Arc<str>,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, BackendsError> {
        let build = |config| Backend::new(config, Arc::clone(hostname), Arc::clone(metrics)).map(Arc::new);
        let router = Router::new(routes, &configs, Lookups::default());
        Ok(Self { backends: configs.into_iter().map(build).collect::<Result<_, _>>()?, router })
    }

    /// The same, with the look-ups that its routes name.
    #[must_use]
    pub fn with_lookups(self, lookups: Lookups) -> Self {
        Self { router: self.router.with_lookups(lookups), ..self }
    }

    /// Every backend.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Backend>> {
        self.backends.iter()
    }

    /// The backend for a session, and what the look-up that led there says of the user.
    ///
    /// # Errors
    /// [`RouteError`].
    pub async fn route(
        &self,
        key: &RouteKey<'_>,
    ) -> Result<(&Arc<Backend>, Option<lookup::Entry>), RouteError> {
        let target = self.router.route(key).await?;
        let backend = self.find(&target.backend).ok_or(RouteError::NoRoute)?;
        Ok((backend, target.entry))
    }

    /// The backends that this user's sessions may go to, the likeliest first, as [`Router::possible`] says.
    ///
    /// # Errors
    /// [`RouteError`] of a look-up.
    pub async fn possible(
        &self,
        login: &UserLogin,
        client: IpAddr,
    ) -> Result<Vec<(&Arc<Backend>, Option<lookup::Entry>)>, RouteError> {
        let targets = self.router.possible(login, client).await?;
        let found = |target: super::Target| Some((self.find(&target.backend)?, target.entry));
        Ok(targets.into_iter().filter_map(found).collect())
    }

    fn find(&self, name: &str) -> Option<&Arc<Backend>> {
        self.backends.iter().find(|backend| &*backend.config.name == name)
    }

    /// What a client may be promised before its backend is known: what all backends of the protocol keep.
    pub fn offer(&self, protocol: Protocol) -> Arc<Offer> {
        let mut offers = self.backends.iter().filter_map(|backend| backend.offer(protocol));
        let Some(first) = offers.next() else { return Arc::default() };
        offers.fold(first, |kept, other| Arc::new(intersection(Some((*kept).clone()), (*other).clone())))
    }
}

/// What both keep. `SIZE n` lines become the smaller size.
fn intersection(kept: Option<Offer>, other: Offer) -> Offer {
    let Some(kept) = kept else { return other };
    let size =
        |offer: &Offer| offer.lines.iter().find_map(|line| line.strip_prefix("SIZE ")?.parse::<u64>().ok());
    let smaller =
        size(&kept).zip(size(&other)).map(|(a, b)| if a == 0 || b == 0 { a.max(b) } else { a.min(b) });
    let mut lines: Vec<String> = kept.lines.into_iter().filter(|line| other.lines.contains(line)).collect();
    if let Some(size) = smaller {
        lines.retain(|line| !line.starts_with("SIZE "));
        lines.push(format!("SIZE {size}"));
    }
    Offer { lines }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(lines: &[&str]) -> Offer {
        Offer { lines: lines.iter().map(|line| (*line).to_owned()).collect() }
    }

    #[test]
    fn a_promise_is_what_every_server_keeps() {
        let kept =
            intersection(Some(offer(&["PIPELINING", "SIZE 100", "DSN"])), offer(&["SIZE 50", "PIPELINING"]));
        assert_eq!(kept, offer(&["PIPELINING", "SIZE 50"]));
    }

    #[test]
    fn a_size_without_limit_gives_way_to_one_with() {
        assert_eq!(intersection(Some(offer(&["SIZE 0"])), offer(&["SIZE 50"])), offer(&["SIZE 50"]));
    }
}
