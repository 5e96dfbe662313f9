//! What all look-ups have in common: a time limit, a cache, one question at a time for each user, checked answers.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use quick_cache::unsync::Cache;
use tokio::{
    sync::OnceCell,
    time::{Instant, timeout},
};

use super::{
    Config, Entry, Kind, Lookup, LookupError, Query, entry::Found, file::FileSource, http::HttpSource,
    ldap::LdapSource, sql::SqlSource,
};
use crate::model::{Login, Protocol};

/// Answers kept at most.
const KEPT: usize = 20_000;
/// How long a failure is answered again without asking, so that a directory that is down is not run over.
const PAUSE: Duration = Duration::from_secs(1);

/// Who can be asked, without what all have in common.
#[async_trait]
pub(super) trait Source: fmt::Debug + Send + Sync {
    /// Asks; the caller bounds the time.
    async fn ask(&self, query: &Query<'_>) -> Result<Option<Found>, Fault>;

    /// Whether the answer may depend on the protocol.
    fn asks_for_protocol(&self) -> bool {
        false
    }
}

/// There is no answer. The reason holds no secret.
#[derive(Debug)]
pub(crate) enum Fault {
    /// It may work later.
    Unavailable(String),
    /// The operator must act.
    Operator(String),
}

/// A look-up of the configuration.
pub(super) struct Guarded {
    name: Arc<str>,
    source: Box<dyn Source>,
    cache: Duration,
    timeout: Duration,
    flights: Mutex<Cache<Key, Arc<Flight>>>,
}

type Key = (Login, Option<Protocol>);
type Answer = Result<Option<Entry>, LookupError>;

/// One question, which everybody who asks the same meanwhile waits for; afterwards its answer.
#[derive(Debug, Default)]
struct Flight(OnceCell<(Answer, Instant)>);

impl Guarded {
    /// Reads what the source needs.
    pub(super) fn new(config: &Config) -> Result<Self, String> {
        let source: Box<dyn Source> = match &config.kind {
            Kind::File(file) => Box::new(FileSource::open(&config.name, file)?),
            Kind::Http(http) => Box::new(HttpSource::new(http, config.timeout)?),
            Kind::Ldap(ldap) => Box::new(LdapSource::new(ldap, config.timeout)?),
            Kind::Sql(sql) => Box::new(SqlSource::new(sql, config.timeout)),
        };
        Ok(Self::over(config, source))
    }

    fn over(config: &Config, source: Box<dyn Source>) -> Self {
        Self {
            name: Arc::clone(&config.name),
            source,
            cache: config.cache,
            timeout: config.timeout,
            flights: Mutex::new(Cache::new(KEPT)),
        }
    }

    /// The question that is under way or was answered lately, or a new one.
    fn flight(&self, key: Key) -> Arc<Flight> {
        let now = Instant::now();
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = flights.get(&key)
            && flight.0.get().is_none_or(|(_, until)| now < *until)
        {
            return Arc::clone(flight);
        }
        let flight = Arc::new(Flight::default());
        flights.insert(key, Arc::clone(&flight));
        flight
    }

    async fn ask(&self, query: &Query<'_>) -> (Answer, Instant) {
        let asked = timeout(self.timeout, self.source.ask(query)).await;
        let answer = match asked {
            Ok(Ok(None)) => Ok(None),
            Ok(Ok(Some(found))) => found.checked().map(Some).map_err(Fault::Operator),
            Ok(Err(fault)) => Err(fault),
            Err(_) => Err(Fault::Unavailable(format!("no answer within {:?}", self.timeout))),
        };
        let answer = answer.map_err(|fault| self.error(fault));
        let keep = if answer.is_ok() { self.cache } else { self.cache.min(PAUSE) };
        (answer, Instant::now() + keep)
    }

    /// Every failure that was not answered from memory is in the log once.
    fn error(&self, fault: Fault) -> LookupError {
        let name = Arc::clone(&self.name);
        match fault {
            Fault::Unavailable(reason) => {
                tracing::warn!(lookup = %name, reason, "a look-up cannot be asked");
                LookupError::Unavailable { name, reason }
            }
            Fault::Operator(reason) => {
                tracing::error!(lookup = %name, reason, "the operator must act: a look-up has no usable answer");
                LookupError::Operator { name, reason }
            }
        }
    }
}

#[async_trait]
impl Lookup for Guarded {
    fn name(&self) -> &Arc<str> {
        &self.name
    }

    async fn find(&self, query: &Query<'_>) -> Answer {
        let protocol = query.protocol.filter(|_| self.source.asks_for_protocol());
        let flight = self.flight((query.login.clone(), protocol));
        // Whoever asked first may leave before the answer; the next who waits asks then.
        let (answer, _) = flight.0.get_or_init(|| self.ask(query)).await;
        answer.clone()
    }
}

impl fmt::Debug for Guarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guarded")
            .field("name", &self.name)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "guarded_tests.rs"]
mod tests;
