//! An LDAP server knows the passwords: a password is right when its owner's entry can be bound with it (RFC 4511 §4.2).
//!
//! The entry is searched for as ourselves, or its name is made from the login name. Each person is bound on a
//! connection of their own, and nobody's is used for another.

use std::{net::IpAddr, time::Duration};

use async_trait::async_trait;
use tokio::{sync::Semaphore, time::timeout};

use super::{
    CheckError, DnTemplate, Membership, Names, PasswordCheck, Verified, ldap_names::is_same_name, sql::error,
};
use crate::{
    lookup::{
        Bind, Fault, Hits, LdapClient, LdapEntry, LdapFilter, LdapPerson, LdapSearch, LdapServer, Scope,
    },
    model::{Login, Secret},
};

/// People who are bound at once; others wait.
const AT_ONCE: usize = 8;

/// `[directory.ldap]`.
#[derive(Clone, Debug)]
pub struct LdapDirectoryConfig {
    /// The server, and who we are there.
    pub server: LdapServer,
    /// Where people's entries are.
    pub place: LdapPlace,
    /// The attribute with the name that a person is known by here.
    pub login: Option<String>,
    /// Who may sign in; everybody where it is not said.
    pub require: Option<Membership>,
    /// Time for one person, all questions together.
    pub timeout: Duration,
    /// Whose people these are; all where there is none.
    pub domains: Vec<String>,
}

/// Where people's entries are.
#[derive(Clone, Debug)]
pub enum LdapPlace {
    /// Where a search finds them.
    Search {
        /// Where it begins.
        base: String,
        /// How deep it goes.
        scope: Scope,
        /// What it looks for.
        filter: LdapFilter,
    },
    /// Under a name that is made of the login name.
    Template(DnTemplate),
}

/// A directory of people.
#[derive(Debug)]
pub struct LdapDirectory {
    client: LdapClient,
    config: LdapDirectoryConfig,
    names: Names,
    binding: Semaphore,
}

impl LdapDirectory {
    /// Reads the authorities; connects when it is first asked.
    ///
    /// # Errors
    /// A sentence about a file that cannot be used.
    pub fn new(config: LdapDirectoryConfig, names: Names) -> Result<Self, String> {
        let client = LdapClient::new(config.server.clone(), config.timeout)?;
        Ok(Self { client, config, names, binding: Semaphore::new(AT_ONCE) })
    }

    /// Whether the server lets us bind and search; what was seen.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub async fn probe(&self, nobody: &Login) -> Result<String, String> {
        let probing = async {
            match &self.config.place {
                LdapPlace::Search { .. } => self.searched(nobody).await.map(|entry| match entry {
                    None => format!("answers; it does not know {nobody}"),
                    Some(_) => format!("answers; it knows even {nobody}"),
                }),
                LdapPlace::Template(_) => self.client.probe().await.map(|()| "answers".to_owned()),
            }
        };
        let late = Err(Fault::Unavailable(self.late()));
        timeout(self.config.timeout, probing).await.unwrap_or(late).map_err(|fault| match fault {
            Fault::Operator(reason) | Fault::Unavailable(reason) => reason,
        })
    }

    fn late(&self) -> String {
        format!("no answer within {:?}", self.config.timeout)
    }

    async fn verified(&self, login: &Login, password: &Secret) -> Result<Verified, CheckError> {
        let found = match &self.config.place {
            LdapPlace::Search { .. } => {
                Some(self.searched(login).await.map_err(error)?.ok_or(CheckError::Unknown)?)
            }
            LdapPlace::Template(_) => None,
        };
        let name = match (&found, &self.config.place) {
            (Some(entry), _) => entry.name().to_owned(),
            (None, LdapPlace::Template(template)) => template.render(login).ok_or(CheckError::Unknown)?,
            (None, LdapPlace::Search { .. }) => return Err(CheckError::Unknown),
        };
        let person = match self.client.bind(&name, password).await.map_err(error)? {
            Bind::Right(person) => person,
            Bind::Refused(code) => {
                tracing::debug!(%login, code, "an LDAP server refuses a password");
                return Err(CheckError::Wrong);
            }
            // Found by a search, it may have gone meanwhile; or it can be read but not be bound.
            Bind::Nobody if found.is_some() => return Err(CheckError::Wrong),
            Bind::Nobody => return Err(CheckError::Unknown),
        };
        let entry = match found {
            Some(entry) => Some(entry),
            None if self.wanted().is_empty() => None,
            None => Some(self.own_entry(&name, &person).await?),
        };
        if !self.is_member(login, &name, entry.as_ref(), &person).await? {
            tracing::info!(%login, "somebody with the right password is not in the group that may sign in");
            return Err(CheckError::Wrong);
        }
        let login = self.given(login, &name, entry.as_ref()).await?;
        Ok(Verified { login, ..Verified::default() })
    }

    /// The one entry of `login`.
    async fn searched(&self, login: &Login) -> Result<Option<LdapEntry>, Fault> {
        let LdapPlace::Search { base, scope, filter } = &self.config.place else { return Ok(None) };
        let mut attributes = self.wanted();
        attributes.extend(filter.attributes().map(str::to_owned));
        let (base, filter_text) = (base.clone(), filter.render(login));
        let search = LdapSearch { base, scope: *scope, filter: filter_text, attributes: or_none(attributes) };
        match self.client.search(search).await? {
            Hits::Nothing => Ok(None),
            Hits::One(entry) if !filter.is_met(login, |name| entry.values(name)) => Ok(None),
            // An entry without a name would be bound as nobody, which needs no password.
            Hits::One(entry) if entry.name().is_empty() => Ok(None),
            Hits::One(entry) => Ok(Some(entry)),
            Hits::Several => Err(Fault::Operator("the filter finds more than one entry for a user".into())),
        }
    }

    /// The entry of a person whose name is made, read by themselves.
    async fn own_entry(&self, name: &str, person: &LdapPerson) -> Result<LdapEntry, CheckError> {
        let search = LdapSearch {
            base: name.to_owned(),
            scope: Scope::Base,
            filter: "(objectClass=*)".into(),
            attributes: self.wanted(),
        };
        match person.search(search).await.map_err(error)? {
            Hits::One(entry) => Ok(entry),
            Hits::Nothing | Hits::Several => Err(CheckError::Operator(
                "people cannot read their own entry, in which login_attribute and groups_attribute are"
                    .into(),
            )),
        }
    }

    fn wanted(&self) -> Vec<String> {
        let group = match &self.config.require {
            Some(Membership::Attribute { name, .. }) => Some(name),
            Some(Membership::Search { .. }) | None => None,
        };
        self.config.login.iter().chain(group).cloned().collect()
    }

    async fn is_member(
        &self,
        login: &Login,
        name: &str,
        entry: Option<&LdapEntry>,
        person: &LdapPerson,
    ) -> Result<bool, CheckError> {
        match &self.config.require {
            None => Ok(true),
            Some(Membership::Attribute { name, group }) => {
                let groups = entry.map(|entry| entry.list(name)).transpose().map_err(error)?;
                Ok(groups.unwrap_or_default().iter().any(|one| is_same_name(one, group)))
            }
            Some(Membership::Search { base, filter }) => {
                let search = LdapSearch {
                    base: base.clone(),
                    scope: Scope::Sub,
                    filter: filter.render(name, login),
                    attributes: or_none(Vec::new()),
                };
                let hits = if self.config.server.bind.is_some() {
                    self.client.search(search).await
                } else {
                    person.search(search).await
                };
                Ok(!matches!(hits.map_err(error)?, Hits::Nothing))
            }
        }
    }

    /// The name that the entry gives to the person. It must lead to the same entry: whoever can write into their own
    /// entry must not become somebody else by it.
    async fn given(
        &self,
        login: &Login,
        name: &str,
        entry: Option<&LdapEntry>,
    ) -> Result<Option<Login>, CheckError> {
        let (Some(attribute), Some(entry)) = (&self.config.login, entry) else { return Ok(None) };
        let Some(text) = entry.one(attribute).map_err(error)? else {
            return Err(CheckError::Operator(format!("the entry of {login} has no attribute {attribute}")));
        };
        let Some(given) = self.names.given(login, &text)? else { return Ok(None) };
        let leads_to = match &self.config.place {
            LdapPlace::Search { .. } => {
                self.searched(&given).await.map_err(error)?.map(|entry| entry.name().to_owned())
            }
            LdapPlace::Template(template) => template.render(&given),
        };
        if leads_to.is_some_and(|other| is_same_name(&other, name)) {
            return Ok(Some(given));
        }
        Err(CheckError::Operator(format!(
            "the entry of {login} says {given} in {attribute}, but {given} does not lead to that entry"
        )))
    }
}

/// `1.1` asks for nothing but whether there is an entry (RFC 4511 §4.5.1.8).
fn or_none(attributes: Vec<String>) -> Vec<String> {
    if attributes.is_empty() { vec!["1.1".to_owned()] } else { attributes }
}

#[async_trait]
impl PasswordCheck for LdapDirectory {
    async fn ask(&self, login: &Login, password: &Secret, _: IpAddr) -> Result<Verified, CheckError> {
        let asking = async {
            let Ok(_turn) = self.binding.acquire().await else { return Err(CheckError::Wrong) };
            self.verified(login, password).await
        };
        let late = Err(CheckError::Unavailable(self.late()));
        timeout(self.config.timeout, asking).await.unwrap_or(late)
    }
}
