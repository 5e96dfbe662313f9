//! The signing keys of the issuer: their schedule, several processes, and what is published when.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
};

use bearward::{
    issuer::{Issuer, IssuerError, KeyRotation, KeyState, KeyStatus},
    model::UnixTime,
    store::{SigningKeyRecord, Store, StoreError},
    token::{Algorithm, ServerKey, SigningKey},
};
use tempfile::TempDir;

use crate::{hooked::Hooked, store::NOW, validator::issuer_config};

const DAY: i64 = 24 * 60 * 60;
const SOON: i64 = 360;

struct House {
    _folder: TempDir,
    store: Arc<Hooked>,
    key: ServerKey,
}

impl House {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Hooked::over(folder.path()).await);
        Self { _folder: folder, store, key: ServerKey::generate().unwrap() }
    }

    async fn start(&self, at: UnixTime) -> Issuer {
        Issuer::new(issuer_config(), self.store.clone(), self.key.clone(), at).await.unwrap()
    }

    async fn clean_up(&self, at: UnixTime) {
        while self.store.remove_expired(at, 100).await.unwrap() > 0 {}
    }
}

fn after(seconds: i64) -> UnixTime {
    UnixTime(NOW.0 + seconds)
}

fn published(issuer: &Issuer, at: UnixTime) -> BTreeSet<String> {
    issuer.jwks(at).keys.into_iter().map(|key| key.kid).collect()
}

/// The names of the keys with `algorithm` that are in `state`.
fn kids(issuer: &Issuer, algorithm: &str, state: KeyState, at: UnixTime) -> Vec<String> {
    let is_asked = |one: &KeyStatus| one.algorithm == algorithm && one.state == state;
    issuer.key_status(at).into_iter().filter(is_asked).map(|one| one.kid).collect()
}

fn signer(issuer: &Issuer, at: UnixTime) -> String {
    let current = kids(issuer, "ES256", KeyState::Current, at);
    assert_eq!(current.len(), 1);
    current[0].clone()
}

#[tokio::test]
async fn each_algorithm_has_a_key_from_the_start() {
    let house = House::new().await;
    let issuer = house.start(NOW).await;
    let keys = issuer.key_status(NOW);
    let algorithms: BTreeSet<_> = keys.iter().map(|key| key.algorithm).collect();
    assert_eq!((keys.len(), algorithms), (3, BTreeSet::from(["EdDSA", "ES256", "RS256"])));
    assert!(keys.iter().all(|key| key.state == KeyState::Current && key.retires_at.is_none()));
    assert_eq!(published(&issuer, NOW), keys.into_iter().map(|key| key.kid).collect());
}

#[tokio::test]
async fn a_new_key_is_published_a_day_before_it_signs_and_the_old_one_a_day_after() {
    let house = House::new().await;
    let issuer = house.start(NOW).await;
    let old = signer(&issuer, NOW);
    issuer.rotate_keys_if_due(after(89 * DAY - 1)).await.unwrap();
    assert_eq!(published(&issuer, after(89 * DAY - 1)).len(), 3);

    let published_at = after(89 * DAY);
    issuer.rotate_keys_if_due(published_at).await.unwrap();
    issuer.rotate_keys_if_due(after(89 * DAY + 60)).await.unwrap();
    assert_eq!(published(&issuer, published_at).len(), 6);
    let next = kids(&issuer, "ES256", KeyState::Next, published_at);
    assert_eq!((next.len(), signer(&issuer, published_at)), (1, old.clone()));
    assert_eq!(signer(&issuer, after(90 * DAY - 1)), old);

    assert_eq!(signer(&issuer, after(90 * DAY)), next[0]);
    assert_eq!(kids(&issuer, "ES256", KeyState::Previous, after(90 * DAY)), [old.as_str()]);
    assert!(published(&issuer, after(91 * DAY - 1)).contains(&old));
    assert!(!published(&issuer, after(91 * DAY)).contains(&old));

    house.clean_up(after(91 * DAY)).await;
    assert_eq!(house.store.signing_keys().await.unwrap().len(), 3);
    issuer.rotate_keys_if_due(after(91 * DAY)).await.unwrap();
    assert_eq!(signer(&issuer, after(91 * DAY)), next[0]);
}

#[tokio::test]
async fn a_key_outlives_the_longest_token_that_it_signs() {
    let house = House::new().await;
    let mut config = issuer_config();
    config.access_token_lifetime = std::time::Duration::from_secs(3 * 24 * 60 * 60);
    let issuer = Issuer::new(config, house.store.clone(), house.key.clone(), NOW).await.unwrap();
    let old = signer(&issuer, NOW);
    issuer.rotate_keys_if_due(after(89 * DAY)).await.unwrap();
    assert!(published(&issuer, after(93 * DAY - 1)).contains(&old));
    assert!(!published(&issuer, after(93 * DAY)).contains(&old));
}

#[tokio::test]
async fn a_server_that_slept_past_the_change_still_publishes_before_it_signs() {
    let house = House::new().await;
    let issuer = house.start(NOW).await;
    let old = signer(&issuer, NOW);
    let late = after(200 * DAY);
    issuer.rotate_keys_if_due(late).await.unwrap();
    assert_eq!(signer(&issuer, late), old);
    assert_ne!(signer(&issuer, after(201 * DAY)), old);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_rotate_at_once_end_with_one_new_key() {
    let house = House::new().await;
    let due = after(89 * DAY);
    let mut rotating = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let issuer = house.start(NOW).await;
        rotating.spawn(async move {
            issuer.rotate_keys_if_due(due).await.unwrap();
            issuer
        });
    }
    let issuers = rotating.join_all().await;
    assert_eq!(house.store.signing_keys().await.unwrap().len(), 6);
    for issuer in &issuers {
        issuer.rotate_keys_if_due(due).await.unwrap();
        assert_eq!(published(issuer, due), published(&issuers[0], due));
    }
}

#[tokio::test]
async fn a_rotation_by_hand_is_known_to_all_before_the_new_key_signs() {
    let house = House::new().await;
    let (server, command) = (house.start(NOW).await, house.start(NOW).await);
    let old = signer(&server, NOW);
    command.rotate_keys(&[Algorithm::Es256], KeyRotation::Soon, NOW).await.unwrap();
    server.rotate_keys_if_due(after(60)).await.unwrap();
    assert_eq!(published(&server, after(60)).len(), 4);
    assert_eq!(signer(&server, after(SOON - 1)), old);
    let new = signer(&server, after(SOON));
    assert_ne!(new, old);
    assert!(published(&server, after(SOON + DAY - 1)).contains(&old));
    assert!(!published(&server, after(SOON + DAY)).contains(&old));
    assert!(kids(&server, "RS256", KeyState::Next, after(60)).is_empty());
}

#[tokio::test]
async fn a_rotation_for_a_stolen_key_leaves_no_older_key_of_that_algorithm() {
    let house = House::new().await;
    let (server, command) = (house.start(NOW).await, house.start(NOW).await);
    // One that signs and one that is to follow: both may be stolen.
    let now = after(89 * DAY);
    server.rotate_keys_if_due(now).await.unwrap();
    let stolen: Vec<_> = [KeyState::Current, KeyState::Next]
        .into_iter()
        .flat_map(|state| kids(&server, "ES256", state, now))
        .collect();
    assert_eq!(stolen.len(), 2);
    command.rotate_keys(&[Algorithm::Es256], KeyRotation::AtOnce, now).await.unwrap();
    server.rotate_keys_if_due(now).await.unwrap();
    for issuer in [&server, &command, &house.start(now).await] {
        assert!(stolen.iter().all(|kid| !published(issuer, now).contains(kid)));
        assert!(!stolen.contains(&signer(issuer, now)));
        assert_eq!(published(issuer, now).len(), 5);
    }
    // The retired rows that are still there do not confuse what follows.
    let new = signer(&server, now);
    command.rotate_keys(&[Algorithm::Es256], KeyRotation::AtOnce, now).await.unwrap();
    server.rotate_keys_if_due(now).await.unwrap();
    assert_ne!(signer(&server, now), new);
    assert!(!published(&server, now).contains(&new));
    house.clean_up(now).await;
    let later = after(91 * DAY);
    server.rotate_keys_if_due(later).await.unwrap();
    assert_eq!(kids(&server, "ES256", KeyState::Current, later).len(), 1);
    assert_eq!(kids(&server, "ES256", KeyState::Next, later).len(), 0);
}

#[tokio::test]
async fn a_rotation_by_hand_comes_before_the_one_that_was_planned() {
    let house = House::new().await;
    let issuer = house.start(NOW).await;
    let now = after(89 * DAY);
    issuer.rotate_keys_if_due(now).await.unwrap();
    let planned = kids(&issuer, "ES256", KeyState::Next, now).remove(0);
    issuer.rotate_keys(&[Algorithm::Es256], KeyRotation::Soon, now).await.unwrap();
    assert!(!published(&issuer, now).contains(&planned));
    let signs = UnixTime(now.0 + SOON);
    let new = signer(&issuer, signs);
    assert_eq!(signer(&issuer, after(100 * DAY)), new);
    assert_eq!(kids(&issuer, "ES256", KeyState::Previous, signs).len(), 1);
}

#[tokio::test]
async fn an_outage_leaves_the_keys_as_they_were() {
    let house = House::new().await;
    let issuer = house.start(NOW).await;
    let before = issuer.jwks(NOW);
    house.store.down.store(true, Ordering::SeqCst);
    let error = issuer.rotate_keys_if_due(after(89 * DAY)).await.unwrap_err();
    assert!(matches!(error, IssuerError::Store(StoreError::Unavailable(_))));
    assert_eq!(issuer.jwks(after(89 * DAY)), before);
}

#[tokio::test]
async fn a_key_of_the_first_version_signs_until_its_follower_is_known() {
    let house = House::new().await;
    let key = SigningKey::generate(Algorithm::Es256).unwrap();
    let record = |kid: &str, algorithm: &str| SigningKeyRecord {
        kid: kid.to_owned(),
        algorithm: algorithm.to_owned(),
        sealed: key.seal(&house.key).unwrap(),
        created_at: NOW,
        signs_from: UnixTime(0),
        retires_at: None,
    };
    assert!(house.store.add_signing_key(record(key.kid(), "ES256"), None).await.unwrap());
    // One of a later version is left alone.
    assert!(house.store.add_signing_key(record("later", "ML-DSA-44"), None).await.unwrap());
    let issuer = house.start(after(DAY)).await;
    assert_eq!(published(&issuer, after(DAY)).len(), 3);
    assert_eq!(signer(&issuer, after(DAY)), key.kid());
    issuer.rotate_keys_if_due(after(DAY)).await.unwrap();
    assert_eq!(published(&issuer, after(DAY)).len(), 3);
    issuer.rotate_keys_if_due(after(89 * DAY)).await.unwrap();
    assert_eq!(signer(&issuer, after(89 * DAY)), key.kid());
    assert_ne!(signer(&issuer, after(90 * DAY)), key.kid());
    let rows = house.store.signing_keys().await.unwrap();
    assert!(rows.iter().any(|row| row.kid == "later" && row.retires_at.is_none()));
}
