use std::sync::Arc;

use bearward::{
    model::{ClientId, Login, Scope},
    store::{Ended, RevocationFeed, RevocationReason, Store, StoreError, UpstreamSecret, UserRecord},
};

use super::{NOW, alice, later, new_grant, told};

fn new_user(login: &str) -> UserRecord {
    UserRecord {
        login: Login::parse(login).unwrap(),
        password: "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA".into(),
        created_at: NOW,
        changed_at: NOW,
    }
}

pub(super) async fn a_user_comes_back_as_it_went_in(store: Arc<dyn Store>) {
    assert_eq!(store.user(&alice()).await.unwrap(), None);
    let [bob, alice] = ["bob@example.org", "alice@example.org"].map(new_user);
    for user in [&bob, &alice] {
        store.add_user(user.clone()).await.unwrap();
        assert_eq!(store.user(&user.login).await.unwrap().as_ref(), Some(user));
    }
    assert_eq!(store.users().await.unwrap(), [alice.clone(), bob]);
    let again = UserRecord { password: "other".into(), ..alice.clone() };
    assert!(matches!(store.add_user(again).await, Err(StoreError::Conflict(_))));
    assert_eq!(store.user(&alice.login).await.unwrap(), Some(alice));
}

pub(super) async fn a_changed_password_ends_the_users_grants_and_a_new_hash_does_not(store: Arc<dyn Store>) {
    let grants = ["alice@example.org", "bob@example.org"].map(new_grant);
    for grant in &grants {
        store.create_grant(grant.clone()).await.unwrap();
    }
    let mut feed = RevocationFeed::start(store.clone()).await.unwrap();
    assert!(!store.set_password(&alice(), "hash", true, later(1)).await.unwrap());
    assert_eq!(told(&mut feed).await, [], "there is no such user");
    store.add_user(new_user("alice@example.org")).await.unwrap();

    assert!(store.set_password(&alice(), "made anew", false, later(2)).await.unwrap());
    let user = store.user(&alice()).await.unwrap().unwrap();
    assert_eq!((user.password.as_str(), user.created_at, user.changed_at), ("made anew", NOW, NOW));
    assert_eq!(told(&mut feed).await, []);

    assert!(store.set_password(&alice(), "changed", true, later(3)).await.unwrap());
    let user = store.user(&alice()).await.unwrap().unwrap();
    assert_eq!((user.password.as_str(), user.created_at, user.changed_at), ("changed", NOW, later(3)));
    assert_eq!(told(&mut feed).await, [grants[0].id]);
    let record = store.token(&grants[0].tokens[0].lookup).await.unwrap().unwrap();
    let end = record.grant.revoked.unwrap();
    assert_eq!((end.at, end.reason), (later(3), RevocationReason::PasswordChanged));
    assert_eq!((record.wrapped_key, record.credentials.len()), (None, 0));
    assert!(store.grant(grants[1].id).await.unwrap().unwrap().is_live(NOW));
}

pub(super) async fn a_removed_user_leaves_no_grant_no_consent_and_no_password(store: Arc<dyn Store>) {
    let grants = ["alice@example.org", "bob@example.org"].map(new_grant);
    for grant in &grants {
        store.create_grant(grant.clone()).await.unwrap();
    }
    store.remember_consent(&alice(), &ClientId::open(), &Scope::mail(), NOW).await.unwrap();
    let secrets = [("alice", "main"), ("alice", "other"), ("alicia", "main"), ("bob", "main")].map(
        |(user, backend)| {
            let user = Login::parse(&format!("{user}@example.org")).unwrap();
            UpstreamSecret { user, backend: backend.into(), sealed: vec![1; 40], created_at: NOW }
        },
    );
    for secret in &secrets {
        store.set_upstream_secret(secret.clone()).await.unwrap();
    }
    let mut feed = RevocationFeed::start(store.clone()).await.unwrap();
    assert_eq!(store.remove_user(&alice(), later(1)).await.unwrap(), Ended::Unknown);
    assert_eq!(told(&mut feed).await, [], "there is no such user");
    assert_eq!(store.upstream_secrets().await.unwrap(), secrets, "they hang on no user of ours");
    store.add_user(new_user("alice@example.org")).await.unwrap();
    assert_eq!(store.remove_user(&alice(), later(1)).await.unwrap(), Ended::Now);
    assert_eq!(store.user(&alice()).await.unwrap(), None);
    assert_eq!(store.consent(&alice(), &ClientId::open()).await.unwrap(), None);
    assert_eq!(store.upstream_secrets().await.unwrap(), secrets[2..], "others keep theirs");
    assert_eq!(told(&mut feed).await, [grants[0].id]);
    let end = store.grant(grants[0].id).await.unwrap().unwrap().revoked.unwrap();
    assert_eq!((end.at, end.reason), (later(1), RevocationReason::UserRemoved));
    assert!(store.grant(grants[1].id).await.unwrap().unwrap().is_live(NOW));
    assert_eq!(store.remove_user(&alice(), later(2)).await.unwrap(), Ended::Unknown);
    store.add_user(new_user("alice@example.org")).await.unwrap();
}
