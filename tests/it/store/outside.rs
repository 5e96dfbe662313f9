use std::sync::Arc;

use bearward::store::{OUTSIDE_RETENTION, RevocationFeed, Revoked, Store};

use super::{NOW, later, new_hash};

pub(super) async fn an_end_elsewhere_is_told_and_remembered_by_its_key(store: Arc<dyn Store>) {
    let (key, other) = (new_hash(), new_hash());
    let mut feed = RevocationFeed::start(store.clone()).await.unwrap();
    assert_eq!(store.outside_end(&key).await.unwrap(), None);
    store.end_outside(&key, later(5)).await.unwrap();
    store.end_outside(&key, later(3)).await.unwrap();
    assert_eq!(store.outside_end(&key).await.unwrap(), Some(later(5)), "the latest stays");
    assert_eq!(store.outside_end(&other).await.unwrap(), None);
    let told: Vec<Revoked> = feed.poll().await.unwrap().into_iter().map(|one| one.what).collect();
    assert_eq!(told, [Revoked::Token(key), Revoked::Token(key)]);
}

pub(super) async fn an_end_elsewhere_is_forgotten_after_its_retention(store: Arc<dyn Store>) {
    let key = new_hash();
    store.end_outside(&key, NOW).await.unwrap();
    let kept = i64::try_from(OUTSIDE_RETENTION.as_secs()).unwrap();
    while store.remove_expired(later(kept - 1), 10).await.unwrap() > 0 {}
    assert_eq!(store.outside_end(&key).await.unwrap(), Some(NOW));
    while store.remove_expired(later(kept), 10).await.unwrap() > 0 {}
    assert_eq!(store.outside_end(&key).await.unwrap(), None);
}
