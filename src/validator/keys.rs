use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio::sync::Mutex;

use crate::{
    model::UnixTime,
    store::{Store, StoreError},
    token::{Algorithm, PublicKeySet, ServerKey, SigningKey},
};

/// How long keys are used without a look at the store. A key that was retired for having been stolen is honoured
/// no longer than this.
pub(super) const FRESH_FOR: Duration = Duration::from_secs(60);
/// Between two looks at the store, whatever keys are asked for: anybody can name an unknown one.
const AT_LEAST: Duration = Duration::from_secs(1);

/// The public halves of the issuer's signing keys, by name. They are in the store with the private halves, which
/// are opened for a moment when they are read.
pub(super) struct VerificationKeys {
    store: Arc<dyn Store>,
    server_key: ServerKey,
    known: ArcSwap<Known>,
    /// Held by whoever asks the store; one look answers all who wait.
    asking: Mutex<Option<UnixTime>>,
}

#[derive(Default)]
struct Known {
    keys: Vec<Key>,
    read_at: Option<UnixTime>,
}

#[derive(Clone)]
struct Key {
    kid: String,
    public: Arc<PublicKeySet>,
    retires_at: Option<UnixTime>,
}

impl Known {
    fn key(&self, kid: &str, now: UnixTime) -> Option<Arc<PublicKeySet>> {
        let key = self.keys.iter().find(|key| key.kid == kid)?;
        key.retires_at.is_none_or(|at| now < at).then(|| Arc::clone(&key.public))
    }

    fn is_fresh(&self, now: UnixTime) -> bool {
        self.read_at.is_some_and(|at| at <= now && now < at.after(FRESH_FOR))
    }
}

impl VerificationKeys {
    pub(super) fn new(store: Arc<dyn Store>, server_key: ServerKey) -> Self {
        Self { store, server_key, known: ArcSwap::default(), asking: Mutex::new(None) }
    }

    /// The key of that name, alone in its set; `None` when the issuer has none that is still honoured.
    ///
    /// # Errors
    /// [`StoreError`] when the store must be asked and cannot be.
    pub(super) async fn key(
        &self,
        kid: &str,
        now: UnixTime,
    ) -> Result<Option<Arc<PublicKeySet>>, StoreError> {
        let known = self.known.load();
        let found = known.key(kid, now);
        if found.is_some() && known.is_fresh(now) {
            return Ok(found);
        }
        drop(known);
        let mut asked_at = self.asking.lock().await;
        let known = self.known.load();
        let is_recent = asked_at.is_some_and(|at| at <= now && now < at.after(AT_LEAST));
        if is_recent || (known.is_fresh(now) && known.key(kid, now).is_some()) {
            // Keys that could not be read are no answer to whether there is one of that name.
            return if known.is_fresh(now) {
                Ok(known.key(kid, now))
            } else {
                Err(StoreError::Unavailable("the signing keys could not be read a moment ago".to_owned()))
            };
        }
        drop(known);
        *asked_at = Some(now);
        let read = self.read(now).await?;
        let found = read.key(kid, now);
        self.known.store(Arc::new(read));
        Ok(found)
    }

    async fn read(&self, now: UnixTime) -> Result<Known, StoreError> {
        let before = self.known.load_full();
        let mut keys = Vec::new();
        for record in self.store.signing_keys().await? {
            // A later version may keep keys that this one cannot use.
            let Some(algorithm) = Algorithm::from_name(&record.algorithm) else { continue };
            let public = match before.keys.iter().find(|key| key.kid == record.kid) {
                Some(key) => Arc::clone(&key.public),
                None => {
                    let fault = |error: &dyn std::fmt::Display| {
                        StoreError::Corrupt(format!("signing key {}: {error}", record.kid))
                    };
                    let key = SigningKey::open(&record.sealed, algorithm, &record.kid, &self.server_key)
                        .map_err(|error| fault(&error))?;
                    Arc::new(PublicKeySet::of([key.jwk()]).map_err(|error| fault(&error))?)
                }
            };
            keys.push(Key { kid: record.kid, public, retires_at: record.retires_at });
        }
        Ok(Known { keys, read_at: Some(now) })
    }
}
