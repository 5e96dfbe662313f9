//! A source outside of Bearward and of the mail servers: it speaks for its own domains alone, and what it says of a
//! password is not what a mail server says.

use std::{net::IpAddr, sync::Arc};

use async_trait::async_trait;

use super::{CheckError, PasswordCheck, Verified};
use crate::model::{Login, Secret};

/// A source, held to what it may say.
pub struct Confined {
    source: Arc<dyn PasswordCheck>,
    domains: Vec<String>,
    mailboxes: Arc<dyn PasswordCheck>,
}

impl Confined {
    /// `source` knows people of `domains`, of all where there are none. `mailboxes` are the mail servers, which are
    /// asked before a password is sealed for them.
    pub fn new(
        source: Arc<dyn PasswordCheck>,
        domains: Vec<String>,
        mailboxes: Arc<dyn PasswordCheck>,
    ) -> Self {
        Self { source, domains, mailboxes }
    }

    fn is_own(&self, domain: &str) -> bool {
        self.domains.is_empty() || self.domains.iter().any(|own| own == domain)
    }

    /// Whether the source may let somebody who signs in as `login` be `user`. Where it is not said which domains are
    /// its own, it leaves everybody in theirs.
    fn may_be(&self, login: &Login, user: &Login) -> bool {
        match user.domain() {
            Some(domain) if login.domain() != Some(domain) => self.domains.iter().any(|own| own == domain),
            Some(domain) => self.is_own(domain),
            None => login.domain().is_none() && self.domains.is_empty(),
        }
    }

    /// Only what the mail servers take is kept for them.
    async fn sealed(
        &self,
        user: &Login,
        password: &Secret,
        client: IpAddr,
    ) -> Result<Vec<Arc<str>>, CheckError> {
        if self.mailboxes.seal_for(user, client).await?.is_empty() {
            return Ok(Vec::new());
        }
        let answer = self.mailboxes.check(user, password, client).await;
        if answer == Err(CheckError::Wrong) {
            tracing::warn!(%user, "the directory takes a password that the mail server does not");
        }
        Ok(answer?.seal_for)
    }
}

#[async_trait]
impl PasswordCheck for Confined {
    async fn ask(&self, login: &Login, password: &Secret, client: IpAddr) -> Result<Verified, CheckError> {
        if login.domain().is_some_and(|domain| !self.is_own(domain)) {
            return Err(CheckError::Unknown);
        }
        let Verified { login: given, .. } = self.source.ask(login, password, client).await?;
        let user = given.as_ref().unwrap_or(login);
        if !self.may_be(login, user) {
            return Err(CheckError::Operator(format!(
                "the source takes {login} for {user}, whose domain is not among its `domains`"
            )));
        }
        let seal_for = self.sealed(user, password, client).await?;
        Ok(Verified { seal_for, login: given })
    }

    async fn seal_for(&self, login: &Login, client: IpAddr) -> Result<Vec<Arc<str>>, CheckError> {
        self.mailboxes.seal_for(login, client).await
    }
}

/// The domains alone.
impl std::fmt::Debug for Confined {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Confined").field("domains", &self.domains).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "confined_tests.rs"]
mod tests;
