use std::sync::Arc;

use bearward::store::{EphemeralKind, Store, StoreError};
use tokio::task::JoinSet;

use super::{NOW, later, new_hash};

pub(super) async fn a_claim_is_taken_once_for_its_kind(store: Arc<dyn Store>) {
    let [key, other] = [new_hash(), new_hash()];
    let claim = async |kind, key| store.claim(kind, &key, later(60)).await.unwrap();
    assert!(claim(EphemeralKind::Assertion, key).await);
    assert!(!claim(EphemeralKind::Assertion, key).await);
    assert!(claim(EphemeralKind::Answered, key).await);
    assert!(claim(EphemeralKind::Assertion, other).await);
    assert!(store.forget(EphemeralKind::Assertion, &key).await.unwrap());
    assert!(claim(EphemeralKind::Assertion, key).await);
    assert!(!claim(EphemeralKind::Answered, key).await);
}

pub(super) async fn a_count_goes_up_until_the_end_that_its_first_set(store: Arc<dyn Store>) {
    let (key, kind) = (new_hash(), EphemeralKind::SignInAttempts);
    let count = async |until, now| store.count(kind, &key, later(until), later(now)).await.unwrap();
    let counted = async |now| store.counted(kind, &key, later(now)).await.unwrap();
    assert_eq!(counted(0).await, 0);
    assert_eq!(count(60, 0).await, 1);
    assert_eq!(count(90, 30).await, 2);
    assert_eq!((counted(59).await, counted(60).await), (2, 0));
    assert_eq!(store.counted(EphemeralKind::InitialAccess, &key, NOW).await.unwrap(), 0);
    assert_eq!(store.counted(kind, &new_hash(), NOW).await.unwrap(), 0);
    assert_eq!(count(120, 60).await, 1);
    assert_eq!((counted(61).await, counted(119).await, counted(120).await), (1, 1, 0));
    assert!(store.forget(kind, &key).await.unwrap());
    assert_eq!(counted(61).await, 0);
}

pub(super) async fn a_value_is_kept_until_its_end_or_until_it_is_forgotten(store: Arc<dyn Store>) {
    let (key, kind) = (new_hash(), EphemeralKind::Pushed);
    let kept = async |now| store.kept(kind, &key, later(now)).await.unwrap();
    assert_eq!(kept(0).await, None);
    assert!(!store.forget(kind, &key).await.unwrap());
    store.keep(kind, &key, b"request".to_vec(), later(60)).await.unwrap();
    assert_eq!((kept(59).await, kept(60).await), (Some(b"request".to_vec()), None));
    let again = store.keep(kind, &key, b"other".to_vec(), later(90)).await;
    assert!(matches!(again, Err(StoreError::Conflict(_))), "{again:?}");
    assert_eq!(kept(59).await, Some(b"request".to_vec()));
    assert_eq!(store.kept(EphemeralKind::Answered, &key, NOW).await.unwrap(), None);
    assert!(store.forget(kind, &key).await.unwrap());
    assert!(!store.forget(kind, &key).await.unwrap());
    assert_eq!(kept(59).await, None);
}

/// A pushed request is used by whoever forgets it, an assertion by whoever claims it: one of many, whatever
/// process they ask. No wrong password is left uncounted.
pub(super) async fn what_may_happen_once_happens_once(one: Arc<dyn Store>, other: Arc<dyn Store>) {
    let key = new_hash();
    one.keep(EphemeralKind::Pushed, &key, b"request".to_vec(), later(60)).await.unwrap();
    let mut tasks = JoinSet::new();
    for count in 0..32 {
        let store = if count % 2 == 0 { one.clone() } else { other.clone() };
        tasks.spawn(async move {
            let claimed = store.claim(EphemeralKind::Assertion, &key, later(60)).await.unwrap();
            let forgotten = store.forget(EphemeralKind::Pushed, &key).await.unwrap();
            let count = store.count(EphemeralKind::SignInAttempts, &key, later(60), NOW).await.unwrap();
            (claimed, forgotten, count)
        });
    }
    let results = tasks.join_all().await;
    assert_eq!(results.iter().filter(|(claimed, ..)| *claimed).count(), 1);
    assert_eq!(results.iter().filter(|(_, forgotten, _)| *forgotten).count(), 1);
    let mut counts: Vec<_> = results.iter().map(|(.., count)| *count).collect();
    counts.sort_unstable();
    assert_eq!(counts, (1..=32).collect::<Vec<u32>>());
}
