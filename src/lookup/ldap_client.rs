//! Connections to an LDAP server (RFC 4511). One of them serves all questions, bound as ourselves, and is made anew when
//! it is lost. Whoever proves a password gets a connection of their own, so that nobody is ever asked for as somebody
//! else.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ldap3::{
    DerefAliases, Ldap, LdapConnAsync, LdapConnSettings, LdapError, LdapResult, SearchEntry, SearchOptions,
};
use tokio_util::task::AbortOnDropHandle;

use super::{LdapServer, LdapTls, Scope, guarded::Fault};
use crate::{
    model::Secret,
    tls::{UpstreamConfig, UpstreamTls},
};

/// One server.
#[derive(Clone, Debug)]
pub(crate) struct LdapClient(Arc<Inner>);

struct Inner {
    server: LdapServer,
    tls: UpstreamTls,
    timeout: Duration,
    /// The connection in use, with its number.
    live: Mutex<Option<(u64, Ldap)>>,
    /// Held by whoever connects.
    connecting: tokio::sync::Mutex<u64>,
}

/// What is searched for.
#[derive(Clone, Debug)]
pub(crate) struct LdapSearch {
    /// Where it begins.
    pub(crate) base: String,
    /// How deep it goes.
    pub(crate) scope: Scope,
    /// RFC 4515.
    pub(crate) filter: String,
    /// What is wanted of the entry.
    pub(crate) attributes: Vec<String>,
}

/// What a search has found.
#[derive(Debug)]
pub(crate) enum Hits {
    /// No entry.
    Nothing,
    /// This entry alone.
    One(LdapEntry),
    /// More than one.
    Several,
}

/// An entry.
#[derive(Debug)]
pub(crate) struct LdapEntry(SearchEntry);

/// The answer to a bind.
pub(crate) enum Bind {
    /// The password is right; the connection is bound as its owner.
    Right(LdapPerson),
    /// It is not, or its owner may not use it; the result code.
    Refused(u32),
    /// There is no such entry.
    Nobody,
}

/// A connection that is bound as somebody. It ends with this.
pub(crate) struct LdapPerson {
    ldap: Ldap,
    timeout: Duration,
}

/// Why a search failed.
enum Lost {
    /// With it the connection.
    Connection(Fault),
    /// The search alone.
    Search(Fault),
}

impl LdapClient {
    /// Reads the authorities; connects when it is first asked. `timeout` bounds each step.
    pub(crate) fn new(server: LdapServer, timeout: Duration) -> Result<Self, String> {
        let tls = UpstreamConfig { ca: server.ca.clone(), ..UpstreamConfig::default() };
        let tls = UpstreamTls::new(&tls).map_err(|error| error.to_string())?;
        let (live, connecting) = (Mutex::new(None), tokio::sync::Mutex::new(0));
        Ok(Self(Arc::new(Inner { server, tls, timeout, live, connecting })))
    }

    /// Searches as ourselves.
    pub(crate) async fn search(&self, search: LdapSearch) -> Result<Hits, Fault> {
        let inner = Arc::clone(&self.0);
        apart(async move { inner.search(&search).await }).await
    }

    /// Binds as `name` with its password on a connection of its own. An empty password would be no proof: servers take
    /// it for somebody without a name and say yes (RFC 4513 §5.1.2).
    pub(crate) async fn bind(&self, name: &str, password: &Secret) -> Result<Bind, Fault> {
        const REFUSED: Result<Bind, Fault> = Ok(Bind::Refused(INVALID_CREDENTIALS));
        let Some(text) = password.expose_str() else { return REFUSED };
        if text.is_empty() || text.contains('\0') || name.is_empty() {
            return REFUSED;
        }
        let (inner, name, password) = (Arc::clone(&self.0), name.to_owned(), password.clone());
        apart(async move { inner.bind(&name, &password).await }).await
    }

    /// Whether the server can be reached and lets us bind.
    pub(crate) async fn probe(&self) -> Result<(), Fault> {
        let inner = Arc::clone(&self.0);
        apart(async move { inner.connection().await.map(drop) }).await
    }
}

impl LdapPerson {
    /// Searches as the person.
    pub(crate) async fn search(&self, search: LdapSearch) -> Result<Hits, Fault> {
        let (ldap, timeout) = (self.ldap.clone(), self.timeout);
        apart(async move { searched(ldap, timeout, &search).await.map_err(Lost::fault) }).await
    }
}

impl LdapEntry {
    /// Its distinguished name.
    pub(crate) fn name(&self) -> &str {
        &self.0.dn
    }

    /// The values of an attribute, however the server writes its name.
    pub(crate) fn values(&self, name: &str) -> Vec<&str> {
        let named = self.0.attrs.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
        named.flat_map(|(_, values)| values).map(String::as_str).collect()
    }

    /// The same, of an attribute that must be text.
    pub(crate) fn list(&self, name: &str) -> Result<Vec<String>, Fault> {
        if self.0.bin_attrs.keys().any(|key| key.eq_ignore_ascii_case(name)) {
            return Err(Fault::Operator(format!("the attribute {name} is not UTF-8")));
        }
        Ok(self.values(name).into_iter().map(str::to_owned).collect())
    }

    /// The value of an attribute that must have one at most.
    pub(crate) fn one(&self, name: &str) -> Result<Option<String>, Fault> {
        let mut values = self.list(name)?.into_iter();
        match (values.next(), values.next()) {
            (value, None) => Ok(value),
            (_, Some(_)) => Err(Fault::Operator(format!("the attribute {name} has more than one value"))),
        }
    }
}

/// In a task of its own: the library takes an answer apart with asserts.
async fn apart<T: Send + 'static>(
    asking: impl Future<Output = Result<T, Fault>> + Send + 'static,
) -> Result<T, Fault> {
    let broken = |_| Fault::Unavailable("it answers what LDAP does not allow".into());
    AbortOnDropHandle::new(tokio::spawn(asking)).await.map_err(broken)?
}

/// RFC 4511 Appendix A.2.
const INVALID_CREDENTIALS: u32 = 49;

impl Lost {
    fn fault(self) -> Fault {
        match self {
            Self::Connection(fault) | Self::Search(fault) => fault,
        }
    }
}

/// Gives the connection up unless the search came to its end: a server that once hung is connected to anew.
struct Using<'a> {
    inner: &'a Inner,
    number: u64,
    ended: bool,
}

impl Drop for Using<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.inner.give_up(self.number);
        }
    }
}

impl Inner {
    async fn search(&self, search: &LdapSearch) -> Result<Hits, Fault> {
        let (number, ldap, is_new) = self.connection().await?;
        match self.search_on(number, ldap, search).await {
            Ok(hits) => Ok(hits),
            // Servers close what was idle: that is no outage.
            Err(Lost::Connection(_)) if !is_new => {
                let (number, ldap, _) = self.connection().await?;
                self.search_on(number, ldap, search).await.map_err(Lost::fault)
            }
            Err(lost) => Err(lost.fault()),
        }
    }

    async fn search_on(&self, number: u64, ldap: Ldap, search: &LdapSearch) -> Result<Hits, Lost> {
        let mut using = Using { inner: self, number, ended: false };
        let hits = searched(ldap, self.timeout, search).await;
        // Behind a second entry there may be more to read, which is left to the connection's end.
        using.ended = matches!(hits, Ok(Hits::Nothing | Hits::One(_)) | Err(Lost::Search(_)));
        hits
    }

    fn live(&self) -> Option<(u64, Ldap)> {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        if live.as_mut().is_some_and(|(_, ldap)| ldap.is_closed()) {
            *live = None;
        }
        live.clone()
    }

    fn give_up(&self, number: u64) {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        if live.as_ref().is_some_and(|(current, _)| *current == number) {
            *live = None;
        }
    }

    /// A connection, its number, and whether it was made just now.
    async fn connection(&self) -> Result<(u64, Ldap, bool), Fault> {
        if let Some((number, ldap)) = self.live() {
            return Ok((number, ldap, false));
        }
        let mut last = self.connecting.lock().await;
        if let Some((number, ldap)) = self.live() {
            return Ok((number, ldap, false));
        }
        let ldap = self.connect_as_ourselves().await?;
        *last += 1;
        let number = *last;
        *self.live.lock().unwrap_or_else(PoisonError::into_inner) = Some((number, ldap.clone()));
        Ok((number, ldap, true))
    }

    async fn connect_as_ourselves(&self) -> Result<Ldap, Fault> {
        let mut ldap = self.connect().await?;
        if let Some((name, password)) = &self.server.bind {
            let password = password.expose_str().unwrap_or_default();
            let bound = ldap.with_timeout(self.timeout).simple_bind(name, password).await;
            let bound = bound.and_then(LdapResult::success);
            if let Err(error) = bound {
                return Err(match fault(&error) {
                    Fault::Operator(reason) => Fault::Operator(format!("it does not let us bind: {reason}")),
                    unavailable @ Fault::Unavailable(_) => unavailable,
                });
            }
        }
        Ok(ldap)
    }

    async fn bind(&self, name: &str, password: &Secret) -> Result<Bind, Fault> {
        let mut ldap = self.connect().await?;
        let password = password.expose_str().unwrap_or_default();
        let bound = ldap.with_timeout(self.timeout).simple_bind(name, password).await;
        let result = bound.map_err(|error| fault(&error))?;
        match result.rc {
            0 => Ok(Bind::Right(LdapPerson { ldap, timeout: self.timeout })),
            32 => Ok(Bind::Nobody),
            // constraintViolation and unwillingToPerform are how some servers say that an account is locked,
            // inappropriateAuthentication that it has no password.
            code @ (19 | 48 | INVALID_CREDENTIALS | 53) => Ok(Bind::Refused(code)),
            _ => Err(fault(&LdapError::from(result))),
        }
    }

    /// A connection that is bound as nobody yet.
    async fn connect(&self) -> Result<Ldap, Fault> {
        let server = &self.server;
        let mut settings = LdapConnSettings::new().set_conn_timeout(self.timeout);
        let scheme = match server.tls {
            LdapTls::Clear | LdapTls::StartTls => "ldap",
            LdapTls::Implicit => "ldaps",
        };
        if server.tls != LdapTls::Clear {
            let config = self.tls.client_config().map_err(|error| Fault::Operator(error.to_string()))?;
            settings = settings.set_config(config).set_starttls(server.tls == LdapTls::StartTls);
        }
        let host = if server.host.contains(':') { format!("[{}]", server.host) } else { server.host.clone() };
        let url = format!("{scheme}://{host}:{}", server.port);
        let (connection, ldap) =
            LdapConnAsync::with_settings(settings, &url).await.map_err(|error| fault(&error))?;
        tokio::spawn(async move {
            if let Err(error) = connection.drive().await {
                tracing::debug!(%error, "a connection to an LDAP server ended");
            }
        });
        Ok(ldap)
    }
}

/// Reads two entries at most. Referrals are not followed.
async fn searched(mut ldap: Ldap, timeout: Duration, search: &LdapSearch) -> Result<Hits, Lost> {
    let scope = match search.scope {
        Scope::Base => ldap3::Scope::Base,
        Scope::One => ldap3::Scope::OneLevel,
        Scope::Sub => ldap3::Scope::Subtree,
    };
    let options = SearchOptions::new().deref(DerefAliases::Never).sizelimit(2);
    let lost = |error: LdapError| Lost::Connection(fault(&error));
    let mut stream = ldap
        .with_search_options(options)
        .with_timeout(timeout)
        .streaming_search(&search.base, scope, &search.filter, search.attributes.clone())
        .await
        .map_err(lost)?;
    let mut first = None;
    while let Some(entry) = stream.next().await.map_err(lost)? {
        // Another server may know more; this one does not.
        if entry.is_ref() || entry.is_intermediate() {
            continue;
        }
        if first.is_some() {
            return Ok(Hits::Several);
        }
        first = Some(SearchEntry::construct(entry));
    }
    let result = stream.finish().await;
    match result.rc {
        0 => Ok(first.map_or(Hits::Nothing, |entry| Hits::One(LdapEntry(entry)))),
        // sizeLimitExceeded (RFC 4511 Appendix A.2)
        4 => Ok(Hits::Several),
        _ => Err(match fault(&LdapError::from(result)) {
            gone @ Fault::Unavailable(_) => Lost::Connection(gone),
            fault @ Fault::Operator(_) => Lost::Search(fault),
        }),
    }
}

/// Whether it is the settings, or the server.
fn fault(error: &LdapError) -> Fault {
    if let LdapError::LdapResult { result } = error {
        let text: String = result.text.chars().filter(|c| !c.is_control()).take(200).collect();
        let reason = format!("result {}: {text}", result.rc);
        // timeLimitExceeded, adminLimitExceeded, busy, unavailable, and what the library makes of a lost
        // connection (RFC 4511 Appendix A.2).
        return if matches!(result.rc, 3 | 11 | 51 | 52 | 80 | 88) {
            Fault::Unavailable(reason)
        } else {
            Fault::Operator(reason)
        };
    }
    let reason = error.to_string();
    if reason.contains("certificate") {
        return Fault::Operator(reason);
    }
    Fault::Unavailable(reason)
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LdapClient").field("server", &self.server).finish_non_exhaustive()
    }
}
