use std::sync::Arc;

use bearward::{
    model::{GrantId, Login, Scope, TokenKind},
    store::{Ended, GrantFilter, NewGrant, RevocationFeed, RevocationReason, Revoked, Store, StoreError},
};

use super::{NOW, hash, later, new_grant, new_token};

pub(super) async fn a_grant_comes_back_as_it_went_in(store: Arc<dyn Store>) {
    let new = new_grant("alice@example.org");
    store.create_grant(new.clone()).await.unwrap();
    let record = store.token(&new.tokens[0].lookup).await.unwrap().unwrap();
    assert_eq!(record.kind, TokenKind::Access);
    assert_eq!(record.scope, Scope::mail());
    assert_eq!(record.expires_at, later(3600));
    assert_eq!(record.revoked_at, None);
    assert_eq!(record.wrapped_key.as_deref(), Some([7; 61].as_slice()));
    assert_eq!(record.credentials, new.credentials);
    assert_eq!(record.grant.id, new.id);
    assert_eq!(record.grant.user, new.user);
    assert_eq!(record.grant.client, new.client);
    assert_eq!(record.grant.scope, new.scope);
    assert_eq!(record.grant.created_at, NOW);
    assert_eq!(record.grant.expires_at, Some(later(7200)));
    assert_eq!(record.grant.public_key, [9; 32]);
    assert_eq!(record.grant.revoked, None);
    assert_eq!(store.grant(new.id).await.unwrap().unwrap(), record.grant);
}

pub(super) async fn a_grant_without_credentials_comes_back(store: Arc<dyn Store>) {
    let new = NewGrant { credentials: Vec::new(), expires_at: None, ..new_grant("alice@example.org") };
    store.create_grant(new.clone()).await.unwrap();
    let record = store.token(&new.tokens[0].lookup).await.unwrap().unwrap();
    assert_eq!((record.credentials.len(), record.grant.expires_at), (0, None));
}

pub(super) async fn what_was_never_stored_is_not_found(store: Arc<dyn Store>) {
    assert_eq!(store.token(&hash([3; 16])).await.unwrap(), None);
    assert_eq!(store.grant(GrantId::generate()).await.unwrap(), None);
    let ended = store.revoke_grant(GrantId::generate(), RevocationReason::Operator, NOW).await.unwrap();
    assert_eq!(ended, Ended::Unknown);
    assert_eq!(store.revoke_token(&hash([3; 16]), NOW).await.unwrap(), Ended::Unknown);
}

pub(super) async fn a_grant_is_stored_whole_or_not_at_all(store: Arc<dyn Store>) {
    let first = new_grant("alice@example.org");
    store.create_grant(first.clone()).await.unwrap();
    let second =
        NewGrant { tokens: vec![new_token(), first.tokens[0].clone()], ..new_grant("bob@example.org") };
    let refused = store.create_grant(second.clone()).await.unwrap_err();
    assert!(matches!(refused, StoreError::Conflict(_)), "{refused}");
    assert_eq!(store.grant(second.id).await.unwrap(), None);
    assert_eq!(store.token(&second.tokens[0].lookup).await.unwrap(), None);
    let again = NewGrant { tokens: vec![new_token()], ..first.clone() };
    assert!(matches!(store.create_grant(again).await, Err(StoreError::Conflict(_))));
    assert_eq!(store.token(&first.tokens[0].lookup).await.unwrap().unwrap().grant.user, first.user);
}

pub(super) async fn a_revoked_grant_keeps_its_first_reason_and_nothing_that_opens(store: Arc<dyn Store>) {
    let new = new_grant("alice@example.org");
    store.create_grant(new.clone()).await.unwrap();
    let revoke = |reason, at| store.revoke_grant(new.id, reason, at);
    assert_eq!(revoke(RevocationReason::PasswordRefused, later(5)).await.unwrap(), Ended::Now);
    assert_eq!(revoke(RevocationReason::Operator, later(6)).await.unwrap(), Ended::Before);
    let record = store.token(&new.tokens[0].lookup).await.unwrap().unwrap();
    let end = record.grant.revoked.unwrap();
    assert_eq!((end.at, end.reason), (later(5), RevocationReason::PasswordRefused));
    assert_eq!((record.wrapped_key, record.credentials.len()), (None, 0));
    assert!(!record.grant.is_live(later(7)));
}

pub(super) async fn a_revoked_token_leaves_its_grant_alone(store: Arc<dyn Store>) {
    let new = NewGrant { tokens: vec![new_token(), new_token()], ..new_grant("alice@example.org") };
    store.create_grant(new.clone()).await.unwrap();
    let [one, other] = [new.tokens[0].lookup, new.tokens[1].lookup];
    assert_eq!(store.revoke_token(&one, later(5)).await.unwrap(), Ended::Now);
    assert_eq!(store.revoke_token(&one, later(6)).await.unwrap(), Ended::Before);
    let record = store.token(&one).await.unwrap().unwrap();
    assert_eq!((record.revoked_at, record.wrapped_key), (Some(later(5)), None));
    let record = store.token(&other).await.unwrap().unwrap();
    assert_eq!((record.revoked_at, record.wrapped_key.is_some()), (None, true));
    assert!(record.grant.is_live(later(7)));
}

pub(super) async fn a_token_is_added_to_a_live_grant_only(store: Arc<dyn Store>) {
    let new = new_grant("alice@example.org");
    store.create_grant(new.clone()).await.unwrap();
    let token = new_token();
    store.add_token(new.id, token.clone(), NOW).await.unwrap();
    assert_eq!(store.token(&token.lookup).await.unwrap().unwrap().grant.id, new.id);
    assert!(matches!(store.add_token(new.id, token, NOW).await, Err(StoreError::Conflict(_))));
    assert_eq!(store.add_token(new.id, new_token(), later(7200)).await, Err(StoreError::GrantEnded));
    assert_eq!(store.add_token(GrantId::generate(), new_token(), NOW).await, Err(StoreError::GrantEnded));
    store.revoke_grant(new.id, RevocationReason::Operator, NOW).await.unwrap();
    assert_eq!(store.add_token(new.id, new_token(), NOW).await, Err(StoreError::GrantEnded));
}

pub(super) async fn a_list_holds_what_the_filter_lets_through(store: Arc<dyn Store>) {
    let [alice, bob] = ["alice@example.org", "bob@example.org"].map(new_grant);
    let ended = new_grant("alice@example.org");
    for grant in [&alice, &bob, &ended] {
        store.create_grant(grant.clone()).await.unwrap();
    }
    store.revoke_grant(ended.id, RevocationReason::Operator, NOW).await.unwrap();
    let list = async |filter| {
        let grants = store.grants(filter).await.unwrap();
        grants.into_iter().map(|grant| grant.id).collect::<Vec<_>>()
    };
    assert_eq!(list(GrantFilter::default()).await, [alice.id, bob.id, ended.id]);
    let of_alice = GrantFilter { user: Some(alice.user.clone()), ..GrantFilter::default() };
    assert_eq!(list(of_alice.clone()).await, [alice.id, ended.id]);
    assert_eq!(list(GrantFilter { active_at: Some(NOW), ..of_alice }).await, [alice.id]);
    let active = |at| GrantFilter { active_at: Some(at), ..GrantFilter::default() };
    assert_eq!(list(active(NOW)).await, [alice.id, bob.id]);
    assert_eq!(list(active(later(3600))).await, []);
    let other = GrantFilter { client: Some("other".parse().unwrap()), ..GrantFilter::default() };
    assert_eq!(list(other).await, []);
    // A name is bound, never spliced in.
    let hostile = GrantFilter { user: Some(Login::parse("x'OR'1'='1").unwrap()), ..GrantFilter::default() };
    assert_eq!(list(hostile).await, []);
}

pub(super) async fn a_feed_tells_each_revocation_once(store: Arc<dyn Store>) {
    let [early, late] = [new_grant("alice@example.org"), new_grant("alice@example.org")];
    for grant in [&early, &late] {
        store.create_grant(grant.clone()).await.unwrap();
    }
    store.revoke_grant(early.id, RevocationReason::Operator, NOW).await.unwrap();
    let mut feed = RevocationFeed::start(store.clone()).await.unwrap();
    assert_eq!(feed.poll().await.unwrap(), []);
    store.revoke_token(&late.tokens[0].lookup, NOW).await.unwrap();
    store.revoke_grant(late.id, RevocationReason::Operator, NOW).await.unwrap();
    store.revoke_grant(late.id, RevocationReason::Operator, NOW).await.unwrap();
    let told: Vec<_> = feed.poll().await.unwrap().into_iter().map(|one| one.what).collect();
    assert_eq!(told, [Revoked::Token(late.tokens[0].lookup), Revoked::Grant(late.id)]);
    assert_eq!(feed.poll().await.unwrap(), []);
}

pub(super) async fn of_many_revocations_at_once_exactly_one_is_the_first(store: Arc<dyn Store>) {
    let new = new_grant("alice@example.org");
    store.create_grant(new.clone()).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..32 {
        let (store, id) = (store.clone(), new.id);
        tasks.spawn(async move { store.revoke_grant(id, RevocationReason::Operator, NOW).await.unwrap() });
    }
    let ended = tasks.join_all().await;
    assert_eq!(ended.iter().filter(|ended| **ended == Ended::Now).count(), 1);
    assert_eq!(ended.iter().filter(|ended| **ended == Ended::Before).count(), 31);
}

pub(super) async fn tokens_added_while_the_grant_is_revoked_open_nothing_afterwards(store: Arc<dyn Store>) {
    let new = new_grant("alice@example.org");
    store.create_grant(new.clone()).await.unwrap();
    let mut adding = tokio::task::JoinSet::new();
    for count in 0..64 {
        let (store, id) = (store.clone(), new.id);
        adding.spawn(async move {
            if count == 32 {
                store.revoke_grant(id, RevocationReason::Operator, NOW).await.unwrap();
                return None;
            }
            let token = new_token();
            store.add_token(id, token.clone(), NOW).await.ok().map(|()| token.lookup)
        });
    }
    for lookup in adding.join_all().await.into_iter().flatten() {
        assert_eq!(store.token(&lookup).await.unwrap().unwrap().wrapped_key, None);
    }
}

/// Writes that wait together may share a transaction: some that fail after they wrote, some that fail before, and
/// some that do not fail.
pub(super) async fn a_write_that_fails_undoes_no_other(store: Arc<dyn Store>) {
    let taken = new_grant("alice@example.org");
    store.create_grant(taken.clone()).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for count in 0..96 {
        let (store, taken) = (store.clone(), taken.tokens[0].clone());
        tasks.spawn(async move {
            let new = new_grant("bob@example.org");
            match count % 4 {
                0 => {
                    let refused = NewGrant { tokens: vec![taken], ..new };
                    let result = store.create_grant(refused.clone()).await;
                    assert!(matches!(result, Err(StoreError::Conflict(_))), "{result:?}");
                    (refused.id, false)
                }
                1 => {
                    let result = store.add_token(new.id, new_token(), NOW).await;
                    assert_eq!(result, Err(StoreError::GrantEnded));
                    (new.id, false)
                }
                _ => {
                    store.create_grant(new.clone()).await.unwrap();
                    (new.id, true)
                }
            }
        });
    }
    for (grant, stays) in tasks.join_all().await {
        assert_eq!(store.grant(grant).await.unwrap().is_some(), stays);
    }
}
