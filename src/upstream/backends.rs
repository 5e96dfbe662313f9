//! All backends with their routes.

use std::sync::Arc;

use super::{Backend, BackendsError, Config, Route, RouteKey, offer::intersection, route::possible_backends};
use crate::{
    model::{Login, Protocol},
    proto::Offer,
    telemetry::Metrics,
};

/// Every backend, and the routes to them.
#[derive(Debug)]
pub struct Backends {
    backends: Vec<Arc<Backend>>,
    routes: Vec<Route>,
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
        Ok(Self { backends: configs.into_iter().map(build).collect::<Result<_, _>>()?, routes })
    }

    /// Every backend.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Backend>> {
        self.backends.iter()
    }

    /// The backend for a session: the first route that matches; without routes, the only backend.
    pub fn route(&self, key: &RouteKey<'_>) -> Option<&Arc<Backend>> {
        if self.routes.is_empty() {
            return match self.backends.as_slice() {
                [only] => Some(only),
                [] | [_, _, ..] => None,
            };
        }
        let name = &self.routes.iter().find(|route| route.matches(key))?.backend;
        self.backends.iter().find(|backend| backend.config().name == *name)
    }

    /// The backends that this user's sessions may go to, the likeliest first.
    pub fn possible(&self, login: &Login) -> Vec<&Arc<Backend>> {
        if self.routes.is_empty() {
            return if let [only] = self.backends.as_slice() { vec![only] } else { Vec::new() };
        }
        let find = |name| self.backends.iter().find(|backend| &*backend.config().name == name);
        possible_backends(&self.routes, login).into_iter().filter_map(find).collect()
    }

    /// What a client may be promised before its backend is known: what all backends of the protocol keep.
    pub fn offer(&self, protocol: Protocol) -> Arc<Offer> {
        let mut offers = self.backends.iter().filter_map(|backend| backend.offer(protocol));
        let Some(first) = offers.next() else { return Arc::default() };
        offers.fold(first, |kept, other| Arc::new(intersection(Some((*kept).clone()), (*other).clone())))
    }
}
