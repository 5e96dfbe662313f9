use std::{cmp::Reverse, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use serde::Serialize;
use tokio::task::spawn_blocking;

use super::{Config, Issuer, IssuerError, JwkSet};
use crate::{
    model::UnixTime,
    store::{Replaces, SigningKeyRecord, Store, StoreError},
    token::{Algorithm, CryptoError, JoseError, Jwk, PublicKeySet, ServerKey, SigningKey},
};

/// How long before it signs a new key is published.
const KEY_OVERLAP: Duration = Duration::from_secs(24 * 60 * 60);
/// The same for a rotation that the operator asks for: what others may still show or use without looking again,
/// which is 300 s for a copy of the published keys, and a minute for this server's other processes.
const SHORT_OVERLAP: Duration = Duration::from_secs(360);
/// A replaced key is published for at least this long, whatever its tokens' lifetimes are.
const SHORTEST_RETIREMENT: Duration = Duration::from_secs(24 * 60 * 60);
/// How far clocks of two processes may differ: a key whose time comes within this may have signed already.
const CLOCK_SKEW: Duration = Duration::from_secs(60);
/// How often a rotation is tried again that another process came before.
const ATTEMPTS: u32 = 5;

/// How a rotation that the operator asks for goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyRotation {
    /// The new key signs in a few minutes, when everybody can know it; what the old one signed stays valid.
    Soon,
    /// The new key signs at once, and nothing that an older one signed is valid any more: for a stolen key.
    AtOnce,
}

/// A signing key, for the operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyStatus {
    /// Its name.
    pub kid: String,
    /// Its algorithm.
    pub algorithm: &'static str,
    /// Which of the keys of its algorithm it is.
    pub state: KeyState,
    /// Since when.
    pub created_at: UnixTime,
    /// From when on it signs.
    pub signs_from: UnixTime,
    /// When it is no longer published; `None` while none follows it.
    pub retires_at: Option<UnixTime>,
}

/// Which of the keys of its algorithm a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    /// It will sign; it is published.
    Next,
    /// It signs.
    Current,
    /// It no longer signs, but something that it signed may be valid.
    Previous,
}

/// The signing keys of the store as this process knows them: of each algorithm one that signs, perhaps the one
/// that will follow it, and those that signed what still lives.
pub(super) struct KeyRing {
    store: Arc<dyn Store>,
    server_key: ServerKey,
    /// How long a key signs.
    period: Duration,
    /// How long after its last signature a key is published: the longest lifetime of what it signs.
    retirement: Duration,
    held: ArcSwap<Vec<Held>>,
}

#[derive(Clone)]
struct Held {
    key: Arc<SigningKey>,
    created_at: UnixTime,
    signs_from: UnixTime,
    retires_at: Option<UnixTime>,
}

impl Held {
    fn is_published(&self, now: UnixTime) -> bool {
        self.retires_at.is_none_or(|at| now < at)
    }

    /// In the order of the store, by which it knows the newest.
    fn rank(&self) -> (UnixTime, UnixTime, Reverse<&str>) {
        (self.signs_from, self.created_at, Reverse(self.key.kid()))
    }
}

impl KeyRing {
    /// Reads the keys, and makes the first one of each algorithm that has none.
    ///
    /// # Errors
    /// [`IssuerError::WrongServerKey`], or what the store says.
    pub(super) async fn load_or_create(
        config: &Config,
        store: Arc<dyn Store>,
        server_key: ServerKey,
        now: UnixTime,
    ) -> Result<Self, IssuerError> {
        let retirement = config.access_token_lifetime.max(config.id_token_lifetime).max(SHORTEST_RETIREMENT);
        let held = ArcSwap::default();
        let ring = Self { store, server_key, period: config.key_rotation, retirement, held };
        ring.reload(now).await?;
        for algorithm in Algorithm::ALL {
            if ring.newest(algorithm).is_none() {
                // Another process may be first; what is stored counts.
                ring.follow(None, algorithm, now, KeyRotation::Soon, now).await?;
            }
        }
        Ok(ring)
    }

    /// Reads the keys of the store again; on an error those stay that were known.
    ///
    /// # Errors
    /// [`IssuerError::WrongServerKey`], or what the store says.
    pub(super) async fn reload(&self, now: UnixTime) -> Result<(), IssuerError> {
        let known = self.held.load_full();
        let mut held = Vec::new();
        for record in self.store.signing_keys().await? {
            // A later version may keep keys that this one cannot use.
            let Some(algorithm) = Algorithm::from_name(&record.algorithm) else { continue };
            if record.retires_at.is_some_and(|at| at <= now) {
                continue;
            }
            let again = known.iter().find(|one| one.key.kid() == record.kid);
            let key = match again {
                Some(one) => Arc::clone(&one.key),
                None => Arc::new(open(&record, algorithm, &self.server_key)?),
            };
            let SigningKeyRecord { created_at, signs_from, retires_at, .. } = record;
            held.push(Held { key, created_at, signs_from, retires_at });
        }
        self.held.store(Arc::new(held));
        Ok(())
    }

    /// The key that signs with `algorithm` at `now`.
    ///
    /// # Errors
    /// [`IssuerError::Store`] when there is none, which only a store that was changed can bring about.
    pub(super) fn signer(&self, algorithm: Algorithm, now: UnixTime) -> Result<Arc<SigningKey>, IssuerError> {
        let held = self.held.load();
        let keys = || of(&held, algorithm).filter(|one| one.is_published(now));
        let current = keys().filter(|one| one.signs_from <= now).max_by_key(|one| one.rank());
        // A clock that was put back must not leave nothing to sign with.
        let found = current.or_else(|| keys().min_by_key(|one| one.rank()));
        found.map(|one| Arc::clone(&one.key)).ok_or_else(|| {
            StoreError::Corrupt(format!("there is no key that signs with {}", algorithm.as_str())).into()
        })
    }

    /// The public halves of the keys that sign, will sign, or have signed what may still be valid.
    pub(super) fn published(&self, now: UnixTime) -> Vec<Jwk> {
        let held = self.held.load();
        held.iter().filter(|one| one.is_published(now)).map(|one| one.key.jwk().clone()).collect()
    }

    /// The same, for checking what comes back to the issuer, such as an ID token that was signed here.
    ///
    /// # Errors
    /// [`JoseError`] never happens for keys that were made here.
    pub(super) fn public_keys(&self, now: UnixTime) -> Result<PublicKeySet, JoseError> {
        PublicKeySet::of(&self.published(now))
    }

    /// Replaces the keys of `algorithms`.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when other processes came before again and again; what the store says.
    pub(super) async fn rotate(
        &self,
        algorithms: &[Algorithm],
        how: KeyRotation,
        now: UnixTime,
    ) -> Result<(), IssuerError> {
        let signs_from = match how {
            KeyRotation::Soon => now.after(SHORT_OVERLAP),
            KeyRotation::AtOnce => now,
        };
        self.reload(now).await?;
        for algorithm in algorithms {
            let mut attempts = 0;
            while !self.follow(self.newest(*algorithm).as_ref(), *algorithm, signs_from, how, now).await? {
                attempts += 1;
                if attempts == ATTEMPTS {
                    let detail = "other processes rotate the signing keys too".to_owned();
                    return Err(StoreError::Conflict(detail).into());
                }
            }
        }
        Ok(())
    }

    /// Reads the keys again, and publishes the next one of each algorithm whose key will have signed for its time.
    /// Of several processes that do so at once, one succeeds.
    ///
    /// # Errors
    /// What the store says.
    pub(super) async fn rotate_if_due(&self, now: UnixTime) -> Result<(), IssuerError> {
        self.reload(now).await?;
        let overlap = KEY_OVERLAP.min(self.period / 2);
        for algorithm in Algorithm::ALL {
            let newest = self.newest(algorithm);
            let signs_from = match &newest {
                None => now,
                Some(newest) => {
                    // Keys of the first version have no beginning but that they were made.
                    let ends = newest.signs_from.max(newest.created_at).after(self.period);
                    if now.after(overlap) < ends {
                        continue;
                    }
                    ends.max(now.after(overlap))
                }
            };
            self.follow(newest.as_ref(), algorithm, signs_from, KeyRotation::Soon, now).await?;
        }
        Ok(())
    }

    /// The keys, for the operator.
    pub(super) fn status(&self, now: UnixTime) -> Vec<KeyStatus> {
        let held = self.held.load();
        let state = |one: &Held| {
            let signer = self.signer(one.key.algorithm(), now).ok()?;
            Some(if signer.kid() == one.key.kid() {
                KeyState::Current
            } else if one.signs_from > now {
                KeyState::Next
            } else {
                KeyState::Previous
            })
        };
        held.iter()
            .filter(|one| one.is_published(now))
            .filter_map(|one| {
                Some(KeyStatus {
                    kid: one.key.kid().to_owned(),
                    algorithm: one.key.algorithm().as_str(),
                    state: state(one)?,
                    created_at: one.created_at,
                    signs_from: one.signs_from,
                    retires_at: one.retires_at,
                })
            })
            .collect()
    }

    /// The key of `algorithm` that none follows.
    fn newest(&self, algorithm: Algorithm) -> Option<Held> {
        let held = self.held.load();
        of(&held, algorithm).filter(|one| one.retires_at.is_none()).max_by_key(|one| one.rank()).cloned()
    }

    /// Stores a new key behind `newest` and has the older ones retire; `false` when another process came before.
    async fn follow(
        &self,
        newest: Option<&Held>,
        algorithm: Algorithm,
        signs_from: UnixTime,
        how: KeyRotation,
        now: UnixTime,
    ) -> Result<bool, IssuerError> {
        let mut older = self.store.signing_keys().await?;
        older.retain(|one| one.algorithm == algorithm.as_str());
        let rank = |one: &&SigningKeyRecord| (one.signs_from, one.created_at, Reverse(one.kid.clone()));
        let open_ended = older.iter().filter(|one| one.retires_at.is_none()).max_by_key(rank);
        if open_ended.map(|one| one.kid.as_str()) != newest.map(|known| known.key.kid()) {
            self.reload(now).await?;
            return Ok(false);
        }
        let end = |one: &SigningKeyRecord| {
            let has_signed = one.signs_from <= now.after(CLOCK_SKEW);
            let end = match how {
                KeyRotation::Soon if has_signed => signs_from.after(self.retirement),
                KeyRotation::Soon | KeyRotation::AtOnce => now,
            };
            one.retires_at.map_or(end, |at| at.min(end))
        };
        let last = older.iter().max_by_key(rank);
        let replaces = last.map(|one| Replaces { kid: one.kid.clone(), retires_at: end(one) });

        let key = spawn_blocking(move || SigningKey::generate(algorithm));
        let key = key.await.map_err(|_| CryptoError::Library)??;
        let record = SigningKeyRecord {
            kid: key.kid().to_owned(),
            algorithm: algorithm.as_str().to_owned(),
            sealed: key.seal(&self.server_key)?,
            created_at: now,
            signs_from,
            retires_at: None,
        };
        let is_added = self.store.add_signing_key(record, replaces).await?;
        if is_added {
            for one in &older {
                if one.retires_at.is_none_or(|at| end(one) < at) {
                    self.store.retire_signing_key(&one.kid, end(one)).await?;
                }
            }
        }
        self.reload(now).await?;
        Ok(is_added)
    }
}

impl Issuer {
    /// The public keys: of every algorithm those that sign, that will sign, and that have signed what still lives.
    pub fn jwks(&self, now: UnixTime) -> JwkSet {
        JwkSet { keys: self.keys.published(now) }
    }

    /// Makes the next key of each algorithm when it is time, and learns what other processes have made. To be
    /// called every minute.
    ///
    /// # Errors
    /// What the store says; the keys stay as they were.
    pub async fn rotate_keys_if_due(&self, now: UnixTime) -> Result<(), IssuerError> {
        self.keys.rotate_if_due(now).await
    }

    /// Replaces the keys of `algorithms` now. Other processes learn of it within a minute.
    ///
    /// # Errors
    /// What the store says.
    pub async fn rotate_keys(
        &self,
        algorithms: &[Algorithm],
        how: KeyRotation,
        now: UnixTime,
    ) -> Result<(), IssuerError> {
        self.keys.rotate(algorithms, how, now).await
    }

    /// The signing keys, for the operator.
    pub fn key_status(&self, now: UnixTime) -> Vec<KeyStatus> {
        self.keys.status(now)
    }
}

fn of(held: &[Held], algorithm: Algorithm) -> impl Iterator<Item = &Held> {
    held.iter().filter(move |one| one.key.algorithm() == algorithm)
}

fn open(
    record: &SigningKeyRecord,
    algorithm: Algorithm,
    server_key: &ServerKey,
) -> Result<SigningKey, IssuerError> {
    SigningKey::open(&record.sealed, algorithm, &record.kid, server_key).map_err(|error| match error {
        CryptoError::NotAuthentic => IssuerError::WrongServerKey,
        CryptoError::BadKey | CryptoError::Library | CryptoError::NotJson | CryptoError::PasswordTooLong => {
            error.into()
        }
    })
}
