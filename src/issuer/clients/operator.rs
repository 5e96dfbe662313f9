use std::sync::Arc;

use super::{
    Client, ClientMetadata, RegistrationError, Standing,
    rules::{self, Registrant},
    stateless,
};
use crate::{
    issuer::{Issuer, IssuerError},
    model::{ClientId, Login, Secret, UnixTime},
    store::{Ended, StoreError},
};

/// A client that the operator added.
#[derive(Clone, Debug)]
pub struct AddedClient {
    /// The client.
    pub client: Arc<Client>,
    /// Its secret, shown this once; `None` where it authenticates otherwise, or not at all.
    pub secret: Option<Secret>,
}

/// A client as the operator sees it.
#[derive(Clone, Debug)]
pub struct KnownClient {
    /// Its identifier.
    pub id: ClientId,
    /// The client; `None` when its row is gone and all that is known is that it is denied.
    pub client: Option<Arc<Client>>,
    /// Since when it has a row.
    pub created_at: Option<UnixTime>,
    /// Since when it is on the deny list.
    pub denied_at: Option<UnixTime>,
}

impl Client {
    /// Whether the operator lets it open a mailbox by client credentials.
    pub fn may_open(&self, mailbox: &Login) -> bool {
        self.metadata.mailboxes.iter().any(|pattern| match pattern.strip_prefix("*@") {
            Some(domain) => mailbox.domain() == Some(domain),
            None => pattern == mailbox.as_str(),
        })
    }
}

impl Issuer {
    /// Adds a client that the operator vouches for.
    ///
    /// # Errors
    /// [`RegistrationError::Refused`] says which member is wrong.
    pub async fn add_client(
        &self,
        metadata: ClientMetadata,
        now: UnixTime,
    ) -> Result<AddedClient, RegistrationError> {
        let metadata = rules::checked(metadata, Registrant::Operator)?;
        let (client, secret) = self.create(metadata, Standing::Operator, None, now).await?;
        Ok(AddedClient { client, secret })
    }

    /// `open`, every client with a row, the oldest first, and every other one that is denied.
    ///
    /// # Errors
    /// [`IssuerError::Store`], also when a row cannot be read.
    pub async fn list_clients(&self) -> Result<Vec<KnownClient>, IssuerError> {
        let mut denied = self.store.denied_clients().await?;
        let mut denied_at = |id: &ClientId| {
            let at = denied.iter().position(|(denied, _)| denied == id)?;
            Some(denied.swap_remove(at).1)
        };
        let open = Client::open();
        let mut known = vec![KnownClient {
            id: open.id.clone(),
            denied_at: denied_at(&open.id),
            client: Some(Arc::new(open)),
            created_at: None,
        }];
        for record in self.store.clients().await? {
            known.push(KnownClient {
                client: Some(Arc::new(Client::from_record(&record)?)),
                created_at: Some(record.created_at),
                denied_at: denied_at(&record.id),
                id: record.id,
            });
        }
        for (id, at) in denied {
            let client = self.without_row(&id)?.map(Arc::new);
            known.push(KnownClient { id, client, created_at: None, denied_at: Some(at) });
        }
        Ok(known)
    }

    /// One client, denied or not, with a row or without; `None` when nothing is known of the identifier.
    ///
    /// # Errors
    /// [`IssuerError::Store`].
    pub async fn show_client(&self, id: &ClientId) -> Result<Option<KnownClient>, IssuerError> {
        let state = self.store.client(id).await?;
        let denied_at = if state.denied {
            let denied = self.store.denied_clients().await?;
            denied.into_iter().find(|(denied, _)| denied == id).map(|(_, at)| at)
        } else {
            None
        };
        let created_at = state.record.as_ref().map(|record| record.created_at);
        let client = match &state.record {
            Some(record) => Some(Client::from_record(record)?),
            None => self.without_row(id)?,
        };
        if client.is_none() && denied_at.is_none() {
            return Ok(None);
        }
        Ok(Some(KnownClient { id: id.clone(), client: client.map(Arc::new), created_at, denied_at }))
    }

    /// Removes a client's row, denies its identifier from now on and ends its grants.
    ///
    /// # Errors
    /// [`IssuerError::UnknownClient`] for an identifier that this server never gave; [`IssuerError::Store`].
    pub async fn remove_client(&self, id: &ClientId, now: UnixTime) -> Result<Ended, IssuerError> {
        if self.show_client(id).await?.is_none() {
            return Err(IssuerError::UnknownClient(id.clone()));
        }
        Ok(self.store.remove_client(id, now).await?)
    }

    /// Takes an identifier off the deny list; `false` when it was not on it. A client that had a row does not
    /// come back.
    ///
    /// # Errors
    /// [`IssuerError::Store`].
    pub async fn allow_client(&self, id: &ClientId) -> Result<bool, IssuerError> {
        Ok(self.store.allow_client(id).await?)
    }

    /// `open`, or a client whose identifier holds all of it.
    pub(super) fn without_row(&self, id: &ClientId) -> Result<Option<Client>, StoreError> {
        let open = Client::open();
        if *id == open.id {
            return Ok(Some(open));
        }
        let held = stateless::decode(&self.server_key, id)
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        Ok(held.map(|(standing, metadata)| Client { id: id.clone(), standing, metadata, secret: None }))
    }
}
