//! Look-ups in an LDAP directory (RFC 4511). One connection serves all; it is made anew when it is lost.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use ldap3::{DerefAliases, Ldap, LdapConnAsync, LdapConnSettings, LdapError, SearchEntry, SearchOptions};
use tokio_util::task::AbortOnDropHandle;

use super::{
    LdapAttributes, LdapConfig, LdapTls, Query, Scope,
    entry::Found,
    guarded::{Fault, Source},
};
use crate::{
    model::Secret,
    tls::{UpstreamConfig, UpstreamTls},
};

/// A directory.
#[derive(Debug)]
pub(super) struct LdapSource(Arc<Directory>);

struct Directory {
    config: LdapConfig,
    tls: UpstreamTls,
    timeout: Duration,
    /// The connection in use, with its number.
    live: Mutex<Option<(u64, Ldap)>>,
    /// Held by whoever connects.
    connecting: tokio::sync::Mutex<u64>,
}

impl LdapSource {
    /// Reads the authorities; connects when it is first asked.
    pub(super) fn new(config: &LdapConfig, timeout: Duration) -> Result<Self, String> {
        let tls = UpstreamConfig { ca: config.ca.clone(), ..UpstreamConfig::default() };
        let tls = UpstreamTls::new(&tls).map_err(|error| error.to_string())?;
        Ok(Self(Arc::new(Directory {
            config: config.clone(),
            tls,
            timeout,
            live: Mutex::new(None),
            connecting: tokio::sync::Mutex::new(0),
        })))
    }
}

#[async_trait]
impl Source for LdapSource {
    async fn ask(&self, query: &Query<'_>) -> Result<Option<Found>, Fault> {
        let filter = self.0.config.filter.render(query.login);
        let directory = Arc::clone(&self.0);
        // In a task of its own: the library takes an entry apart with asserts.
        let asking = AbortOnDropHandle::new(tokio::spawn(async move { directory.ask(&filter).await }));
        let broken = |_| Fault::Unavailable("it answers what LDAP does not allow".into());
        let Some(entry) = asking.await.map_err(broken)?? else { return Ok(None) };
        let values = |name: &str| {
            let named = entry.attrs.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
            named.flat_map(|(_, values)| values).map(String::as_str).collect()
        };
        if !self.0.config.filter.is_met(query.login, values) {
            return Ok(None);
        }
        found(&self.0.config, entry).map(Some)
    }
}

/// Why a search failed.
enum Lost {
    /// With it the connection.
    Connection(Fault),
    /// The search alone.
    Search(Fault),
}

impl Lost {
    fn fault(self) -> Fault {
        match self {
            Self::Connection(fault) | Self::Search(fault) => fault,
        }
    }
}

/// Gives the connection up unless the search came to its end: a server that once hung is connected to anew.
struct Using<'a> {
    directory: &'a Directory,
    number: u64,
    ended: bool,
}

impl Drop for Using<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.directory.give_up(self.number);
        }
    }
}

impl Directory {
    async fn ask(&self, filter: &str) -> Result<Option<SearchEntry>, Fault> {
        let (number, ldap, is_new) = self.connection().await?;
        match self.search(number, ldap, filter).await {
            Ok(entry) => Ok(entry),
            // Servers close what was idle: that is no outage.
            Err(Lost::Connection(_)) if !is_new => {
                let (number, ldap, _) = self.connection().await?;
                self.search(number, ldap, filter).await.map_err(Lost::fault)
            }
            Err(lost) => Err(lost.fault()),
        }
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
        let ldap = self.connect().await?;
        *last += 1;
        let number = *last;
        *self.live.lock().unwrap_or_else(PoisonError::into_inner) = Some((number, ldap.clone()));
        Ok((number, ldap, true))
    }

    async fn connect(&self) -> Result<Ldap, Fault> {
        let mut settings = LdapConnSettings::new().set_conn_timeout(self.timeout);
        let scheme = match self.config.tls {
            LdapTls::Clear | LdapTls::StartTls => "ldap",
            LdapTls::Implicit => "ldaps",
        };
        if self.config.tls != LdapTls::Clear {
            let config = self.tls.client_config().map_err(|error| Fault::Operator(error.to_string()))?;
            settings = settings.set_config(config).set_starttls(self.config.tls == LdapTls::StartTls);
        }
        let host = if self.config.host.contains(':') {
            format!("[{}]", self.config.host)
        } else {
            self.config.host.clone()
        };
        let url = format!("{scheme}://{host}:{}", self.config.port);
        let (connection, mut ldap) =
            LdapConnAsync::with_settings(settings, &url).await.map_err(|error| fault(&error))?;
        tokio::spawn(async move {
            if let Err(error) = connection.drive().await {
                tracing::debug!(%error, "a connection to an LDAP server ended");
            }
        });
        if let Some((name, password)) = &self.config.bind {
            let password = password.expose_str().unwrap_or_default();
            let bound = ldap.with_timeout(self.timeout).simple_bind(name, password).await;
            let bound = bound.and_then(ldap3::LdapResult::success);
            if let Err(error) = bound {
                return Err(match fault(&error) {
                    Fault::Operator(reason) => Fault::Operator(format!("it does not let us bind: {reason}")),
                    unavailable @ Fault::Unavailable(_) => unavailable,
                });
            }
        }
        Ok(ldap)
    }

    async fn search(&self, number: u64, mut ldap: Ldap, filter: &str) -> Result<Option<SearchEntry>, Lost> {
        let mut using = Using { directory: self, number, ended: false };
        let scope = match self.config.scope {
            Scope::Base => ldap3::Scope::Base,
            Scope::One => ldap3::Scope::OneLevel,
            Scope::Sub => ldap3::Scope::Subtree,
        };
        let options = SearchOptions::new().deref(DerefAliases::Never).sizelimit(2);
        let lost = |error: LdapError| Lost::Connection(fault(&error));
        let mut stream = ldap
            .with_search_options(options)
            .with_timeout(self.timeout)
            .streaming_search(&self.config.base, scope, filter, self.config.names())
            .await
            .map_err(lost)?;
        let mut first = None;
        while let Some(entry) = stream.next().await.map_err(lost)? {
            // Another server may know more; this one does not.
            if entry.is_ref() || entry.is_intermediate() {
                continue;
            }
            if first.is_some() {
                return Err(Lost::Search(several()));
            }
            first = Some(SearchEntry::construct(entry));
        }
        let result = stream.finish().await;
        using.ended = true;
        match result.rc {
            0 => Ok(first),
            // sizeLimitExceeded (RFC 4511 Appendix A.2)
            4 => Err(Lost::Search(several())),
            _ => Err(match fault(&LdapError::from(result)) {
                gone @ Fault::Unavailable(_) => {
                    using.ended = false;
                    Lost::Connection(gone)
                }
                fault @ Fault::Operator(_) => Lost::Search(fault),
            }),
        }
    }
}

fn several() -> Fault {
    Fault::Operator("the filter finds more than one entry for a user".into())
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

impl LdapConfig {
    /// What is asked for: the answer, and what the user was found by. `1.1` asks for nothing but whether there is an
    /// entry (RFC 4511 §4.5.1.8).
    fn names(&self) -> Vec<String> {
        let LdapAttributes { backend, server, login_name, password, addresses, mailboxes } = &self.attributes;
        let all = [backend, server, login_name, password, addresses, mailboxes];
        let mut names: Vec<String> = all.into_iter().flatten().cloned().collect();
        names.extend(self.filter.attributes().map(str::to_owned));
        if names.is_empty() { vec!["1.1".to_owned()] } else { names }
    }
}

fn found(config: &LdapConfig, entry: SearchEntry) -> Result<Found, Fault> {
    let attributes = &config.attributes;
    let list = |name: &Option<String>| -> Result<Vec<String>, Fault> {
        let Some(name) = name else { return Ok(Vec::new()) };
        if entry.bin_attrs.keys().any(|key| key.eq_ignore_ascii_case(name)) {
            return Err(Fault::Operator(format!("the attribute {name} is not UTF-8")));
        }
        // The server has its own way to write the name.
        let key = entry.attrs.keys().find(|key| key.eq_ignore_ascii_case(name)).cloned();
        let values = key.and_then(|key| entry.attrs.get(&key)).cloned().unwrap_or_default();
        Ok(values)
    };
    let addresses = list(&attributes.addresses)?;
    let mailboxes = list(&attributes.mailboxes)?;
    let one = |name: &Option<String>| -> Result<Option<String>, Fault> {
        let mut values = list(name)?.into_iter();
        match (values.next(), values.next()) {
            (value, None) => Ok(value),
            (_, Some(_)) => Err(Fault::Operator(format!(
                "the attribute {} has more than one value",
                name.as_deref().unwrap_or_default()
            ))),
        }
    };
    let found = Found {
        backend: one(&attributes.backend)?,
        server: one(&attributes.server)?,
        login_name: one(&attributes.login_name)?,
        password: one(&attributes.password)?.map(Secret::from),
        addresses,
        mailboxes,
    };
    if found.password.as_ref().is_some_and(is_hash) {
        return Err(Fault::Operator("the password attribute holds a hash, which logs nobody in".into()));
    }
    Ok(found)
}

/// `{SSHA}…` and its like (RFC 2307 §5.3).
fn is_hash(password: &Secret) -> bool {
    const SCHEMES: [&str; 5] = ["{SSHA", "{SHA", "{SMD5}", "{MD5}", "{CRYPT}"];
    let Some(text) = password.expose_str() else { return false };
    SCHEMES.iter().any(|scheme| {
        text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)) && text.contains('}')
    })
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Directory").field("config", &self.config).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_no_password() {
        let is = |text: &str| is_hash(&Secret::copy_of(text.as_bytes()));
        assert!(is("{SSHA}abc") && is("{ssha512}abc") && is("{CRYPT}$6$abc"));
        assert!(!is("{secret}") && !is("plain"));
    }
}
