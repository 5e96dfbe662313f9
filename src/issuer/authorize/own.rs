//! What people see and end on their account page. Whatever is named is looked for among their own alone.

use std::collections::HashMap;

use super::{
    account::{SignedIn, down},
    page::PageError,
    sign_in::{client_name, is_vouched_for},
};
use crate::{
    issuer::{Issuer, IssuerError},
    model::{ClientId, GrantId, Scope, Secret, UnixTime},
    store::{
        AppPasswordRecord, Ended, GrantFilter, GrantUse, News, RevocationReason, SignInRecord, StoreError,
    },
};

/// What belongs to one person.
#[derive(Clone, Debug)]
pub struct Account {
    /// The applications that they let in, the newest first.
    pub apps: Vec<ConnectedApp>,
    /// Whether there are more than are told.
    pub has_more_apps: bool,
    /// Their app passwords.
    pub app_passwords: Vec<AppPasswordRecord>,
    /// Who has signed in, the newest first.
    pub sign_ins: Vec<SignInShown>,
}

/// An application that somebody let in.
#[derive(Clone, Debug)]
pub struct ConnectedApp {
    /// Its grant.
    pub id: GrantId,
    /// How it calls itself.
    pub name: String,
    /// Whether the operator vouches for that name.
    pub is_vouched_for: bool,
    /// What it may.
    pub scope: Scope,
    /// Since when.
    pub since: UnixTime,
    /// When a mail session last hung on it, if ever.
    pub last_use: Option<GrantUse>,
}

/// Sign-ins as their page shows them.
#[derive(Clone, Debug)]
pub struct SignInShown {
    /// What is known of them.
    pub record: SignInRecord,
    /// How their client is called.
    pub client: Option<String>,
    /// Whether they are to be shown on top: from a browser that was not known, another than this one.
    pub is_news: bool,
}

impl Issuer {
    /// Applications that the account page tells of at once.
    const MAX_APPS_SHOWN: usize = 200;

    /// What belongs to `who`. `browser` is the value of the browser cookie.
    ///
    /// # Errors
    /// [`PageError::Unavailable`].
    pub async fn account(
        &self,
        who: &SignedIn,
        browser: Option<&Secret>,
        now: UnixTime,
    ) -> Result<Account, PageError> {
        self.own(who, browser, now).await.map_err(|store| down(&store))
    }

    async fn own(
        &self,
        who: &SignedIn,
        browser: Option<&Secret>,
        now: UnixTime,
    ) -> Result<Account, StoreError> {
        let user = who.user();
        let filter = GrantFilter { user: Some(user.clone()), active_at: Some(now), ..GrantFilter::default() };
        let mut grants = self.store.grants(filter).await?;
        grants.retain(|grant| grant.client != ClientId::app_password());
        let has_more_apps = grants.len() > Self::MAX_APPS_SHOWN;
        let mut uses: HashMap<GrantId, GrantUse> =
            self.store.grant_uses(user).await?.into_iter().map(|last| (last.grant, last)).collect();
        let mut names = Names::default();
        let mut apps = Vec::new();
        for grant in grants.into_iter().rev().take(Self::MAX_APPS_SHOWN) {
            let (name, is_vouched_for) = names.of(self, &grant.client).await?;
            apps.push(ConnectedApp {
                id: grant.id,
                name,
                is_vouched_for,
                scope: grant.scope,
                since: grant.created_at,
                last_use: uses.remove(&grant.id),
            });
        }
        let mut app_passwords = self.store.app_passwords(Some(user)).await?;
        app_passwords.retain(|password| password.expires_at.is_none_or(|end| now < end));
        let own = self.own_browser(who, browser);
        let mut sign_ins = Vec::new();
        for record in self.store.sign_ins(user).await? {
            let client = match record.client.as_deref().and_then(|id| id.parse::<ClientId>().ok()) {
                Some(id) if id == ClientId::app_password() || id == ClientId::password() => None,
                Some(id) => Some(names.of(self, &id).await?.0),
                None => None,
            };
            let is_news = record.news == News::Untold && record.browser != own;
            sign_ins.push(SignInShown { record, client, is_news });
        }
        Ok(Account { apps, has_more_apps, app_passwords, sign_ins })
    }

    /// Ends a grant of `who`, an app password's among them; `false` where it is not theirs.
    ///
    /// # Errors
    /// [`PageError::Unavailable`].
    pub async fn end_own_grant(
        &self,
        who: &SignedIn,
        grant: GrantId,
        now: UnixTime,
    ) -> Result<bool, PageError> {
        let end = async {
            let found = self.store.grant(grant).await?;
            if found.is_none_or(|found| found.user != *who.user()) {
                return Ok(false);
            }
            let ended = self.store.revoke_grant(grant, RevocationReason::LoggedOut, now).await?;
            tracing::info!(%grant, user = %who.user(), "a person ended a grant");
            Ok(ended != Ended::Unknown)
        };
        end.await.map_err(|store: StoreError| down(&store))
    }

    /// `who` has read of the new browsers.
    ///
    /// # Errors
    /// [`PageError::Unavailable`].
    pub async fn news_read(&self, who: &SignedIn, browser: Option<&Secret>) -> Result<(), PageError> {
        let own = self.own_browser(who, browser);
        self.store.browsers_told(who.user(), own.as_ref()).await.map_err(|store| down(&store))
    }
}

/// How clients are called, each looked up once.
#[derive(Default)]
struct Names(HashMap<ClientId, (String, bool)>);

impl Names {
    async fn of(&mut self, issuer: &Issuer, id: &ClientId) -> Result<(String, bool), StoreError> {
        if let Some(known) = self.0.get(id) {
            return Ok(known.clone());
        }
        let name = match issuer.client(id).await? {
            Some(client) => (client_name(&client), is_vouched_for(&client)),
            // It was removed, or is known to another issuer.
            None => (id.as_str().chars().take(40).collect(), false),
        };
        self.0.insert(id.clone(), name.clone());
        Ok(name)
    }
}

impl From<IssuerError> for PageError {
    fn from(error: IssuerError) -> Self {
        tracing::error!(%error, "the account page");
        Self::Unavailable
    }
}
