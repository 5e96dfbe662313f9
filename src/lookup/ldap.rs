//! Look-ups in an LDAP directory (RFC 4511).

use std::time::Duration;

use async_trait::async_trait;

use super::{
    LdapAttributes, LdapConfig, LdapServer, Query,
    entry::Found,
    guarded::{Fault, Source},
    ldap_client::{Hits, LdapClient, LdapEntry, LdapSearch},
};
use crate::model::Secret;

/// A directory.
#[derive(Debug)]
pub(super) struct LdapSource {
    client: LdapClient,
    config: LdapConfig,
}

impl LdapSource {
    /// Reads the authorities; connects when it is first asked.
    pub(super) fn new(config: &LdapConfig, timeout: Duration) -> Result<Self, String> {
        let server = LdapServer {
            host: config.host.clone(),
            port: config.port,
            tls: config.tls,
            bind: config.bind.clone(),
            ca: config.ca.clone(),
        };
        Ok(Self { client: LdapClient::new(server, timeout)?, config: config.clone() })
    }
}

#[async_trait]
impl Source for LdapSource {
    async fn ask(&self, query: &Query<'_>) -> Result<Option<Found>, Fault> {
        let search = LdapSearch {
            base: self.config.base.clone(),
            scope: self.config.scope,
            filter: self.config.filter.render(query.login),
            attributes: self.config.names(),
        };
        let entry = match self.client.search(search).await? {
            Hits::Nothing => return Ok(None),
            Hits::One(entry) => entry,
            Hits::Several => {
                return Err(Fault::Operator("the filter finds more than one entry for a user".into()));
            }
        };
        if !self.config.filter.is_met(query.login, |name| entry.values(name)) {
            return Ok(None);
        }
        found(&self.config, &entry).map(Some)
    }
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

fn found(config: &LdapConfig, entry: &LdapEntry) -> Result<Found, Fault> {
    let attributes = &config.attributes;
    let list = |name: &Option<String>| name.as_deref().map_or(Ok(Vec::new()), |name| entry.list(name));
    let one = |name: &Option<String>| name.as_deref().map_or(Ok(None), |name| entry.one(name));
    let found = Found {
        backend: one(&attributes.backend)?,
        server: one(&attributes.server)?,
        login_name: one(&attributes.login_name)?,
        password: one(&attributes.password)?.map(Secret::from),
        addresses: list(&attributes.addresses)?,
        mailboxes: list(&attributes.mailboxes)?,
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
