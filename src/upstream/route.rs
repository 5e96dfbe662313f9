//! Which backend a session goes to.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use super::{Config, Route, RouteMatch};
use crate::{
    lookup::{Entry, LookupError, Lookups, Query},
    model::{Login, Protocol},
};

/// What a route can look at.
#[derive(Clone, Copy, Debug)]
pub struct RouteKey<'a> {
    /// The user.
    pub login: &'a Login,
    /// The listener's configured address.
    pub listener: SocketAddr,
    /// The server name of the TLS handshake.
    pub sni: Option<&'a str>,
    /// What is spoken.
    pub protocol: Protocol,
    /// The client's address.
    pub client: IpAddr,
}

/// Where a session goes.
#[derive(Clone, Debug)]
pub struct Target {
    /// The backend's name.
    pub backend: Arc<str>,
    /// What the look-up that led there says of the user.
    pub entry: Option<Entry>,
}

/// A session goes nowhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// No route matches, or there are several backends and no route.
    #[error("no route leads this user to a backend")]
    NoRoute,
    /// A look-up cannot be asked. That is never "no route".
    #[error("{0}")]
    Lookup(#[from] LookupError),
    /// A look-up names a backend that the configuration does not have.
    #[error("look-up {lookup} names backend {backend} for a user, and there is none of that name")]
    UnknownBackend {
        /// The look-up.
        lookup: Arc<str>,
        /// The backend that it names.
        backend: Arc<str>,
    },
    /// A look-up knows the user, and neither it nor its route names a backend.
    #[error("look-up {0} names no backend for a user, and its route has none either")]
    NoBackend(Arc<str>),
}

/// The routes, with the look-ups that they ask.
#[derive(Clone, Debug, Default)]
pub struct Router {
    routes: Vec<Route>,
    backends: Vec<Arc<str>>,
    protocols: Vec<Protocol>,
    lookups: Lookups,
}

/// How one route judges a user.
enum Verdict {
    /// It takes the session.
    Takes(Target),
    /// It does not.
    Passes,
    /// It looks at what is not known yet.
    Unknown,
}

impl Router {
    /// Over `routes` to `backends`. Without routes everybody goes to the only backend.
    pub fn new(routes: Vec<Route>, backends: &[Config], lookups: Lookups) -> Self {
        let serves = |protocol: &Protocol| {
            backends.iter().flat_map(|backend| &backend.servers).any(|server| server.protocol == *protocol)
        };
        let all = [Protocol::Imap, Protocol::Pop3, Protocol::Smtp, Protocol::Sieve];
        Self {
            routes,
            backends: backends.iter().map(|backend| Arc::clone(&backend.name)).collect(),
            protocols: all.into_iter().filter(serves).collect(),
            lookups,
        }
    }

    /// The same with these look-ups.
    #[must_use]
    pub fn with_lookups(self, lookups: Lookups) -> Self {
        Self { lookups, ..self }
    }

    /// Where a session goes: the first route that matches.
    ///
    /// # Errors
    /// [`RouteError`].
    pub async fn route(&self, key: &RouteKey<'_>) -> Result<Target, RouteError> {
        if self.routes.is_empty() {
            return self.only();
        }
        let query = Query { login: key.login, protocol: Some(key.protocol), client: Some(key.client) };
        for route in &self.routes {
            if let Verdict::Takes(target) = self.judge(route, &query, Some((key.listener, key.sni))).await? {
                return Ok(target);
            }
        }
        Err(RouteError::NoRoute)
    }

    /// Where this user's sessions may go, the likeliest first, each backend once. Routes by listener and server name
    /// are all taken for possible, because the session that they would be judged by does not exist yet. `client` is
    /// the address of whoever asks.
    ///
    /// # Errors
    /// [`RouteError`] of a look-up; where no route leads anywhere there are no targets.
    pub async fn possible(&self, login: &Login, client: IpAddr) -> Result<Vec<Target>, RouteError> {
        if self.routes.is_empty() {
            return Ok(self.only().into_iter().collect());
        }
        let mut targets: Vec<Target> = Vec::new();
        for protocol in &self.protocols {
            let query = Query { login, protocol: Some(*protocol), client: Some(client) };
            for target in self.possible_for(&query).await? {
                if targets.iter().all(|known| known.backend != target.backend) {
                    targets.push(target);
                }
            }
            // Only a look-up can tell one protocol from another.
            if !self.routes.iter().any(|route| matches!(route.matches, RouteMatch::Lookup(_))) {
                break;
            }
        }
        Ok(targets)
    }

    async fn possible_for(&self, query: &Query<'_>) -> Result<Vec<Target>, RouteError> {
        let mut targets = Vec::new();
        for route in &self.routes {
            match self.judge(route, query, None).await? {
                Verdict::Takes(target) => {
                    targets.insert(0, target);
                    break;
                }
                Verdict::Passes => {}
                Verdict::Unknown => {
                    let to = |backend: &Arc<str>| Target { backend: Arc::clone(backend), entry: None };
                    targets.extend(route.backend.as_ref().map(to));
                }
            }
        }
        Ok(targets)
    }

    fn only(&self) -> Result<Target, RouteError> {
        match self.backends.as_slice() {
            [only] => Ok(Target { backend: Arc::clone(only), entry: None }),
            [] | [_, _, ..] => Err(RouteError::NoRoute),
        }
    }

    /// Domains and server names compare without case. `session` is the listener's address and the server name.
    async fn judge(
        &self,
        route: &Route,
        query: &Query<'_>,
        session: Option<(SocketAddr, Option<&str>)>,
    ) -> Result<Verdict, RouteError> {
        let takes = match (&route.matches, session) {
            (RouteMatch::Domain(domain), _) => {
                query.login.domain().is_some_and(|own| own.eq_ignore_ascii_case(domain))
            }
            (RouteMatch::Listener(address), Some((listener, _))) => listener == *address,
            (RouteMatch::Lookup(name), _) => return self.ask(name, route.backend.as_ref(), query).await,
            (RouteMatch::Sni(name), Some((_, sni))) => sni.is_some_and(|sni| sni.eq_ignore_ascii_case(name)),
            (RouteMatch::Listener(_) | RouteMatch::Sni(_), None) => return Ok(Verdict::Unknown),
            (RouteMatch::User(user), _) => query.login.as_str() == user,
        };
        Ok(match &route.backend {
            Some(backend) if takes => Verdict::Takes(Target { backend: Arc::clone(backend), entry: None }),
            Some(_) | None => Verdict::Passes,
        })
    }

    async fn ask(
        &self,
        name: &Arc<str>,
        default: Option<&Arc<str>>,
        query: &Query<'_>,
    ) -> Result<Verdict, RouteError> {
        let Some(lookup) = self.lookups.get(name) else {
            return Err(
                LookupError::Operator { name: Arc::clone(name), reason: "there is none".into() }.into()
            );
        };
        let Some(entry) = lookup.find(query).await? else { return Ok(Verdict::Passes) };
        let Some(backend) = entry.backend.as_ref().or(default).map(Arc::clone) else {
            return Err(RouteError::NoBackend(Arc::clone(name)));
        };
        if !self.backends.contains(&backend) {
            return Err(RouteError::UnknownBackend { lookup: Arc::clone(name), backend });
        }
        Ok(Verdict::Takes(Target { backend, entry: Some(entry) }))
    }
}

#[cfg(test)]
#[path = "route_tests.rs"]
mod tests;
