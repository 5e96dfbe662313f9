//! Passwords of users at mail servers, for backends with `login = "secret"`: sealed in the store under a key that is
//! derived from the server key, so that neither the store nor a backup of it opens one.

use std::sync::Arc;

use thiserror::Error;

use crate::{
    model::{Login, Secret, UnixTime},
    store::{Store, StoreError, UpstreamSecret},
    token::{CryptoError, ServerKey, WrapKey},
};

const PURPOSE: &str = "upstream secret";

/// A password cannot be had or kept.
#[derive(Debug, Error)]
pub enum SecretError {
    /// The store cannot be asked.
    #[error("the store cannot be asked for the user's password at the mail server: {0}")]
    Store(#[from] StoreError),
    /// It does not open with this server's key, for this user and backend.
    #[error("the user's password in the store does not open; set it again with `bearward secret set`")]
    Unreadable,
    /// The library failed.
    #[error("the password cannot be sealed: {0}")]
    Crypto(#[from] CryptoError),
    /// No mail server takes such a password.
    #[error("a password has 1 to {} octets and holds no NUL, CR and LF", Secrets::MAX)]
    BadPassword,
}

/// The passwords of the store.
pub struct Secrets {
    store: Arc<dyn Store>,
    key: WrapKey,
}

impl Secrets {
    /// Longest password in octets.
    pub const MAX: usize = 1024;

    /// Over `store`, sealed for this server.
    ///
    /// # Errors
    /// [`SecretError::Crypto`] when the library fails.
    pub fn new(store: Arc<dyn Store>, server_key: &ServerKey) -> Result<Self, SecretError> {
        Ok(Self { store, key: server_key.wrap_key_for(PURPOSE)? })
    }

    /// The password of a user at a backend.
    ///
    /// # Errors
    /// [`SecretError::Store`], [`SecretError::Unreadable`].
    pub async fn open(&self, user: &Login, backend: &str) -> Result<Option<Secret>, SecretError> {
        let Some(kept) = self.store.upstream_secret(user, backend).await? else { return Ok(None) };
        let opened = self.key.decrypt(&kept.sealed, &context(user, backend));
        opened.map(Some).map_err(|_| SecretError::Unreadable)
    }

    /// Keeps a password in place of the one before.
    ///
    /// # Errors
    /// [`SecretError`].
    pub async fn set(
        &self,
        user: &Login,
        backend: &str,
        password: &Secret,
        now: UnixTime,
    ) -> Result<(), SecretError> {
        let is_evil = |octet: &u8| matches!(octet, 0 | b'\r' | b'\n');
        if password.is_empty() || password.len() > Self::MAX || password.expose().iter().any(is_evil) {
            return Err(SecretError::BadPassword);
        }
        let sealed = self.key.encrypt(password.expose(), &context(user, backend))?;
        let secret =
            UpstreamSecret { user: user.clone(), backend: backend.to_owned(), sealed, created_at: now };
        Ok(self.store.set_upstream_secret(secret).await?)
    }
}

/// What a password is bound to. The length parts the two names, whatever they hold.
fn context(user: &Login, backend: &str) -> Vec<u8> {
    let length = (user.as_str().len() as u64).to_be_bytes();
    [&length, user.as_str().as_bytes(), backend.as_bytes()].concat()
}

/// Without the store.
impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::SqliteStore;

    #[tokio::test]
    async fn a_password_opens_for_its_user_its_backend_and_its_server_alone() {
        let folder = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> =
            Arc::new(SqliteStore::open(&folder.path().join("store.db")).await.unwrap());
        let key = ServerKey::generate().unwrap();
        let secrets = Secrets::new(Arc::clone(&store), &key).unwrap();
        let login = |name: &str| Login::parse(name).unwrap();
        let (alice, bob, password) =
            (login("alice@example.org"), login("bob@example.org"), Secret::copy_of(b"hunter2"));
        secrets.set(&alice, "main", &password, UnixTime(1)).await.unwrap();
        assert_eq!(secrets.open(&alice, "main").await.unwrap(), Some(password));
        assert_eq!(secrets.open(&alice, "other").await.unwrap(), None);
        assert_eq!(secrets.open(&bob, "main").await.unwrap(), None);

        // Whoever writes to the store can move a row, and gains nothing.
        let kept = store.upstream_secret(&alice, "main").await.unwrap().unwrap();
        assert!(!kept.sealed.windows(7).any(|octets| octets == b"hunter2"));
        let moved = UpstreamSecret { user: bob.clone(), ..kept.clone() };
        store.set_upstream_secret(moved).await.unwrap();
        assert!(matches!(secrets.open(&bob, "main").await, Err(SecretError::Unreadable)));
        let moved = UpstreamSecret { backend: "other".into(), ..kept };
        store.set_upstream_secret(moved).await.unwrap();
        assert!(matches!(secrets.open(&alice, "other").await, Err(SecretError::Unreadable)));
        let elsewhere = Secrets::new(store, &ServerKey::generate().unwrap()).unwrap();
        assert!(matches!(elsewhere.open(&alice, "main").await, Err(SecretError::Unreadable)));
    }

    #[tokio::test]
    async fn what_ends_a_line_at_a_mail_server_is_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("store.db")).await.unwrap();
        let secrets = Secrets::new(Arc::new(store), &ServerKey::generate().unwrap()).unwrap();
        let alice = Login::parse("alice@example.org").unwrap();
        for bad in [&b""[..], b"a\r\nb", b"a\0b", &[b'x'; Secrets::MAX + 1]] {
            let result = secrets.set(&alice, "main", &Secret::copy_of(bad), UnixTime(1)).await;
            assert!(matches!(result, Err(SecretError::BadPassword)));
        }
    }
}
