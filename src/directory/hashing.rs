//! Password hashes of the built-in directory: Argon2id (RFC 9106), as PHC strings. And where all hashes are computed:
//! on threads of their own, a few at once.

use std::sync::Arc;

use argon2::{
    Argon2, Params,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use thiserror::Error;
use tokio::sync::Semaphore;

use crate::model::Secret;

/// Hashes that are computed at once. Each takes 19 MiB and a core for some ten milliseconds.
const AT_ONCE: usize = 2;
/// Callers that wait at most; more are turned away, so that a flood of sign-ins costs bounded memory and time.
const WAITING: usize = 64;

/// A hash was not computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HashError {
    /// Too many callers wait already.
    #[error("too many passwords are being checked")]
    Busy,
    /// The library failed.
    #[error("the password cannot be hashed")]
    Library,
}

/// Computes password hashes on threads of their own, a few at once.
#[derive(Debug)]
pub struct Hashing {
    working: Arc<Semaphore>,
    waiting: Semaphore,
    /// A hash of nobody's password, with which unknown users take as long as known ones.
    decoy: String,
}

impl Hashing {
    /// Ready to work.
    ///
    /// # Errors
    /// [`HashError::Library`] without random octets.
    pub fn new() -> Result<Self, HashError> {
        let mut nobody = [0; 16];
        aws_lc_rs::rand::fill(&mut nobody).map_err(|_| HashError::Library)?;
        Ok(Self {
            working: Arc::new(Semaphore::new(AT_ONCE)),
            waiting: Semaphore::new(WAITING),
            decoy: hash(&Secret::copy_of(&nobody))?,
        })
    }

    /// The PHC string of a password, with a new salt.
    ///
    /// # Errors
    /// [`HashError`].
    pub async fn hash(&self, password: &Secret) -> Result<String, HashError> {
        let password = password.clone();
        self.run(move || hash(&password)).await?
    }

    /// Whether the password is the one that was hashed. Without a hash it takes as long, and is not.
    ///
    /// # Errors
    /// [`HashError`].
    pub async fn verify(&self, password: &Secret, hashed: Option<&str>) -> Result<bool, HashError> {
        let (password, known) = (password.clone(), hashed.is_some());
        let hashed = hashed.unwrap_or(&self.decoy).to_owned();
        let is_right = self.run(move || verify(&password, &hashed)).await?;
        Ok(is_right && known)
    }

    /// Whether a hash is weaker than one that is made now.
    pub fn is_old(hashed: &str) -> bool {
        let now = Params::default();
        let Ok(hash) = PasswordHash::new(hashed) else { return false };
        let Ok(then) = Params::try_from(&hash) else { return false };
        hash.algorithm.as_str() != "argon2id" || then.m_cost() < now.m_cost() || then.t_cost() < now.t_cost()
    }

    /// Works on a thread of its own, among the few at once.
    ///
    /// # Errors
    /// [`HashError`].
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, HashError> {
        let _waiting = self.waiting.try_acquire().map_err(|_| HashError::Busy)?;
        let working = Arc::clone(&self.working).acquire_owned().await.map_err(|_| HashError::Library)?;
        tokio::task::spawn_blocking(move || {
            let result = work();
            drop(working);
            result
        })
        .await
        .map_err(|_| HashError::Library)
    }
}

/// With the parameters of the crate's default: 19 MiB, two passes, one lane, as OWASP's minimum says.
fn hash(password: &Secret) -> Result<String, HashError> {
    let hashed = Argon2::default().hash_password(password.expose()).map_err(|_| HashError::Library)?;
    Ok(hashed.to_string())
}

fn verify(password: &Secret, hashed: &str) -> bool {
    let Ok(hashed) = PasswordHash::new(hashed) else { return false };
    Argon2::default().verify_password(password.expose(), &hashed).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::copy_of(text.as_bytes())
    }

    #[tokio::test]
    async fn a_password_is_known_by_its_hash_alone() {
        let hashing = Hashing::new().unwrap();
        let hashed = hashing.hash(&secret("correct horse")).await.unwrap();
        assert!(hashed.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hashed}");
        assert!(hashing.verify(&secret("correct horse"), Some(&hashed)).await.unwrap());
        assert!(!hashing.verify(&secret("correct hors"), Some(&hashed)).await.unwrap());
        assert_ne!(hashing.hash(&secret("correct horse")).await.unwrap(), hashed);
    }

    #[tokio::test]
    async fn nobody_and_a_damaged_hash_have_no_password() {
        let hashing = Hashing::new().unwrap();
        assert!(!hashing.verify(&secret("x"), None).await.unwrap());
        assert!(!hashing.verify(&secret(""), None).await.unwrap());
        assert!(!hashing.verify(&secret("x"), Some("$argon2id$nonsense")).await.unwrap());
    }

    #[tokio::test]
    async fn a_flood_is_turned_away_and_does_not_pile_up() {
        let hashing = Arc::new(Hashing::new().unwrap());
        let flood: Vec<_> = (0..WAITING + 8)
            .map(|_| {
                let hashing = Arc::clone(&hashing);
                tokio::spawn(async move { hashing.verify(&secret("x"), None).await })
            })
            .collect();
        let mut busy = 0;
        for one in flood {
            busy += usize::from(one.await.unwrap() == Err(HashError::Busy));
        }
        assert!((1..=8).contains(&busy), "{busy} were turned away");
        assert!(!hashing.verify(&secret("x"), None).await.unwrap(), "afterwards it works again");
    }
}
