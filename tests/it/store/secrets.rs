use std::sync::Arc;

use bearward::{
    model::Login,
    store::{Store, UpstreamSecret},
};

use super::{NOW, alice, later};

fn secret(user: &str, backend: &str, octet: u8) -> UpstreamSecret {
    let user = Login::parse(user).unwrap();
    UpstreamSecret { user, backend: backend.into(), sealed: vec![octet; 40], created_at: NOW }
}

pub(super) async fn an_upstream_secret_is_one_users_at_one_backend(store: Arc<dyn Store>) {
    assert_eq!(store.upstream_secret(&alice(), "main").await.unwrap(), None);
    let all = [
        secret("alice@example.org", "main", 1),
        secret("alice@example.org", "other", 2),
        secret("bob@example.org", "main", 3),
    ];
    for secret in all.iter().rev() {
        store.set_upstream_secret(secret.clone()).await.unwrap();
    }
    assert_eq!(store.upstream_secrets().await.unwrap(), all);
    for secret in &all {
        let found = store.upstream_secret(&secret.user, &secret.backend).await.unwrap();
        assert_eq!(found.as_ref(), Some(secret));
    }
    assert_eq!(store.upstream_secret(&alice(), "Main").await.unwrap(), None);

    let again = UpstreamSecret { sealed: vec![9], created_at: later(5), ..all[0].clone() };
    store.set_upstream_secret(again.clone()).await.unwrap();
    assert_eq!(store.upstream_secret(&alice(), "main").await.unwrap(), Some(again));

    assert!(store.remove_upstream_secret(&alice(), "main").await.unwrap());
    assert!(!store.remove_upstream_secret(&alice(), "main").await.unwrap());
    assert_eq!(store.upstream_secrets().await.unwrap(), all[1..]);
    assert!(store.check().await.unwrap().iter().all(|item| item.ok));
}
