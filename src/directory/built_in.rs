//! The built-in directory: login names and password hashes in the store.

use std::{net::IpAddr, sync::Arc};

use async_trait::async_trait;

use super::{CheckError, Hashing, PasswordCheck, Verified};
use crate::{
    model::{Login, Secret},
    store::{Store, UserRecord},
};

/// Looks people up in the store. Its passwords open no mailbox, so nothing is sealed.
pub struct BuiltInDirectory {
    store: Arc<dyn Store>,
    hashing: Arc<Hashing>,
}

impl BuiltInDirectory {
    /// Over `store`.
    pub fn new(store: Arc<dyn Store>, hashing: Arc<Hashing>) -> Self {
        Self { store, hashing }
    }
}

impl BuiltInDirectory {
    /// Hashes a password that was right as it is done today. Without success it stays as it is: it was right.
    async fn renew(&self, user: &UserRecord, password: &Secret) {
        let renewed = match self.hashing.hash(password).await {
            Ok(hash) => self.store.renew_hash(&user.login, &user.password, &hash).await,
            Err(error) => return tracing::debug!(%error, "a hash is not renewed"),
        };
        if let Err(error) = renewed {
            tracing::debug!(%error, "a hash is not renewed");
        }
    }
}

#[async_trait]
impl PasswordCheck for BuiltInDirectory {
    async fn ask(&self, login: &Login, password: &Secret, _: IpAddr) -> Result<Verified, CheckError> {
        let unavailable = |error: &dyn std::fmt::Display| CheckError::Unavailable(error.to_string());
        let user = self.store.user(login).await.map_err(|error| unavailable(&error))?;
        let hashed = user.as_ref().map(|user| user.password.as_str());
        let is_right = self.hashing.verify(password, hashed).await.map_err(|error| unavailable(&error))?;
        match (user, is_right) {
            (Some(user), true) => {
                if Hashing::is_old(&user.password) {
                    self.renew(&user, password).await;
                }
                Ok(Verified::default())
            }
            (Some(_), false) => Err(CheckError::Wrong),
            (None, _) => Err(CheckError::Unknown),
        }
    }
}

/// Without the store.
impl std::fmt::Debug for BuiltInDirectory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BuiltInDirectory")
    }
}
