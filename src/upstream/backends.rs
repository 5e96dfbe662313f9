//! All backends with their routes.

use std::{net::IpAddr, sync::Arc};

use super::{
    Backend, BackendsError, Config, Destination, Route, RouteError, RouteKey, Router, offer::intersection,
};
use crate::{
    lookup::{Entry, Lookups},
    model::{Login, Protocol},
    proto::Offer,
    telemetry::Metrics,
};

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
    pub async fn route(&self, key: &RouteKey<'_>) -> Result<(&Arc<Backend>, Option<Entry>), RouteError> {
        let destination = self.router.route(key).await?;
        let backend = self.find(&destination.backend).ok_or(RouteError::NoRoute)?;
        Ok((backend, destination.entry))
    }

    /// The backends that this user's sessions may go to, the likeliest first, as [`Router::possible`] says.
    ///
    /// # Errors
    /// [`RouteError`] of a look-up.
    pub async fn possible(
        &self,
        login: &Login,
        client: IpAddr,
    ) -> Result<Vec<(&Arc<Backend>, Option<Entry>)>, RouteError> {
        let destinations = self.router.possible(login, client).await?;
        let found = |to: Destination| Some((self.find(&to.backend)?, to.entry));
        Ok(destinations.into_iter().filter_map(found).collect())
    }

    fn find(&self, name: &str) -> Option<&Arc<Backend>> {
        self.backends.iter().find(|backend| &*backend.config().name == name)
    }

    /// What a client may be promised before its backend is known: what all backends of the protocol keep.
    pub fn offer(&self, protocol: Protocol) -> Arc<Offer> {
        let mut offers = self.backends.iter().filter_map(|backend| backend.offer(protocol));
        let Some(first) = offers.next() else { return Arc::default() };
        offers.fold(first, |kept, other| Arc::new(intersection(Some((*kept).clone()), (*other).clone())))
    }
}
