use std::sync::Arc;

use super::{Client, ClientMetadata, RegistrationError};
use crate::{
    issuer::{Issuer, IssuerError},
    model::{ClientId, Login, Secret, UnixTime},
    store::Ended,
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
    /// The client; `None` when all that is known is that it is denied.
    pub client: Option<Arc<Client>>,
    /// Since when it has a row.
    pub created_at: Option<UnixTime>,
    /// Whether it is on the deny list, and since when if that is known.
    pub denied_at: Option<UnixTime>,
}

impl Client {
    /// Whether the operator lets it open a mailbox by client credentials.
    pub fn may_open(&self, _mailbox: &Login) -> bool {
        false
    }
}

impl Issuer {
    /// Adds a client that the operator vouches for.
    ///
    /// # Errors
    /// [`RegistrationError::Refused`] says which member is wrong.
    pub async fn add_client(
        &self,
        _metadata: ClientMetadata,
        _now: UnixTime,
    ) -> Result<AddedClient, RegistrationError> {
        Err(RegistrationError::Closed)
    }

    /// `open`, every client with a row, the oldest first, and every other one that is denied.
    ///
    /// # Errors
    /// [`IssuerError::Store`].
    pub async fn list_clients(&self) -> Result<Vec<KnownClient>, IssuerError> {
        Ok(Vec::new())
    }

    /// One client, denied or not, with a row or without; `None` when the identifier is not one of this server.
    ///
    /// # Errors
    /// [`IssuerError::Store`].
    pub async fn show_client(&self, _id: &ClientId) -> Result<Option<KnownClient>, IssuerError> {
        Ok(None)
    }

    /// Removes a client's row, denies its identifier from now on and ends its grants.
    ///
    /// # Errors
    /// [`IssuerError::Store`].
    pub async fn remove_client(&self, id: &ClientId, now: UnixTime) -> Result<Ended, IssuerError> {
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
}
