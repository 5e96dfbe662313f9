use std::sync::Arc;

use bearward::store::{Ended, NewGrant, Redeemed, RevocationFeed, RevocationReason, Store, StoreError};
use tokio::task::JoinSet;

use super::{NOW, later, new_coded_grant, new_grant, new_hash, new_refresh, new_token, told};

pub(super) async fn a_code_comes_back_with_its_grant(store: Arc<dyn Store>) {
    let (new, code) = new_coded_grant();
    assert_eq!(store.code(&code).await.unwrap(), None);
    store.create_grant(new.clone()).await.unwrap();
    let record = store.code(&code).await.unwrap().unwrap();
    assert_eq!(record.details, r#"{"nonce":"n"}"#);
    assert_eq!((record.expires_at, record.used_at), (later(60), None));
    assert_eq!(record.wrapped_key.as_deref(), Some([8; 61].as_slice()));
    assert_eq!(record.grant, store.grant(new.id).await.unwrap().unwrap());
    assert_eq!(store.token(&code).await.unwrap(), None, "a code is no token");
}

pub(super) async fn a_code_exists_once_or_nothing_of_its_grant_does(store: Arc<dyn Store>) {
    let (first, code) = new_coded_grant();
    store.create_grant(first.clone()).await.unwrap();
    let second = NewGrant { code: first.code.clone(), ..new_grant("bob@example.org") };
    assert!(matches!(store.create_grant(second.clone()).await, Err(StoreError::Conflict(_))));
    assert_eq!(store.grant(second.id).await.unwrap(), None);
    assert_eq!(store.code(&code).await.unwrap().unwrap().grant.id, first.id);
}

pub(super) async fn a_code_gives_tokens_once_and_keeps_no_key(store: Arc<dyn Store>) {
    let (new, code) = new_coded_grant();
    store.create_grant(new.clone()).await.unwrap();
    let tokens = vec![new_token(), new_refresh()];
    assert_eq!(store.redeem_code(&code, tokens.clone(), later(59)).await.unwrap(), Redeemed::Done);
    for token in &tokens {
        let record = store.token(&token.lookup).await.unwrap().unwrap();
        assert_eq!((record.kind, record.expires_at, record.grant.id), (token.kind, token.expires_at, new.id));
        assert_eq!(record.wrapped_key.as_deref(), Some(token.wrapped_key.as_slice()));
        assert_eq!(record.credentials, new.credentials);
    }
    let record = store.code(&code).await.unwrap().unwrap();
    assert_eq!((record.used_at, record.wrapped_key), (Some(later(59)), None));
}

pub(super) async fn a_code_ends_at_its_end(store: Arc<dyn Store>) {
    let (new, code) = new_coded_grant();
    store.create_grant(new.clone()).await.unwrap();
    let token = new_token();
    assert_eq!(store.redeem_code(&code, vec![token.clone()], later(60)).await.unwrap(), Redeemed::Expired);
    assert_eq!(store.token(&token.lookup).await.unwrap(), None);
    assert!(store.grant(new.id).await.unwrap().unwrap().revoked.is_none());
    assert_eq!(store.code(&code).await.unwrap().unwrap().used_at, None);
    let unknown = store.redeem_code(&new_hash(), vec![new_token()], NOW).await.unwrap();
    assert_eq!(unknown, Redeemed::Unknown);
}

pub(super) async fn a_code_used_twice_ends_its_grant_and_all_tokens_of_it(store: Arc<dyn Store>) {
    let (new, code) = new_coded_grant();
    store.create_grant(new.clone()).await.unwrap();
    let [token, stolen] = [new_token(), new_token()];
    store.redeem_code(&code, vec![token.clone()], later(1)).await.unwrap();
    let mut feed = RevocationFeed::start(store.clone()).await.unwrap();
    // Also long after its end: someone has had it all the time.
    let replay = store.redeem_code(&code, vec![stolen.clone()], later(3000)).await.unwrap();
    assert_eq!(replay, Redeemed::Replayed(new.id));
    let end = store.grant(new.id).await.unwrap().unwrap().revoked.unwrap();
    assert_eq!((end.at, end.reason), (later(3000), RevocationReason::CodeReplayed));
    let record = store.token(&token.lookup).await.unwrap().unwrap();
    assert_eq!((record.wrapped_key, record.credentials.len()), (None, 0));
    assert_eq!(store.token(&stolen.lookup).await.unwrap(), None);
    assert_eq!(told(&mut feed).await, [new.id]);
    let again = store.redeem_code(&code, vec![new_token()], later(3001)).await.unwrap();
    assert_eq!(again, Redeemed::Replayed(new.id));
    assert_eq!(told(&mut feed).await, []);
    let end = store.grant(new.id).await.unwrap().unwrap().revoked.unwrap();
    assert_eq!(end.at, later(3000), "the first reason stays");
}

pub(super) async fn a_code_of_an_ended_grant_gives_nothing(store: Arc<dyn Store>) {
    let (revoked, code) = new_coded_grant();
    store.create_grant(revoked.clone()).await.unwrap();
    assert_eq!(store.revoke_grant(revoked.id, RevocationReason::Operator, NOW).await.unwrap(), Ended::Now);
    let record = store.code(&code).await.unwrap().unwrap();
    assert_eq!((record.used_at, record.wrapped_key), (None, None));
    assert_eq!(store.redeem_code(&code, vec![new_token()], NOW).await.unwrap(), Redeemed::GrantEnded);
    let (new, code) = new_coded_grant();
    let over = NewGrant { expires_at: Some(later(10)), ..new };
    store.create_grant(over).await.unwrap();
    assert_eq!(store.redeem_code(&code, vec![new_token()], later(10)).await.unwrap(), Redeemed::GrantEnded);
    assert_eq!(store.redeem_code(&code, vec![new_token()], later(9)).await.unwrap(), Redeemed::Done);
}

pub(super) async fn a_code_stays_unused_when_its_tokens_cannot_be_stored(store: Arc<dyn Store>) {
    let (new, code) = new_coded_grant();
    store.create_grant(new).await.unwrap();
    let taken = new_grant("bob@example.org");
    store.create_grant(taken.clone()).await.unwrap();
    let first = new_token();
    let refused = store.redeem_code(&code, vec![first.clone(), taken.tokens[0].clone()], NOW).await;
    assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");
    assert_eq!(store.token(&first.lookup).await.unwrap(), None);
    let record = store.code(&code).await.unwrap().unwrap();
    assert_eq!((record.used_at, record.wrapped_key.is_some()), (None, true));
    assert_eq!(store.redeem_code(&code, vec![first], NOW).await.unwrap(), Redeemed::Done);
}

/// Thirty-two uses of one code at once, half of them by another process.
pub(super) async fn of_many_uses_of_a_code_at_once_one_wins_and_the_rest_end_the_grant(
    one: Arc<dyn Store>,
    other: Arc<dyn Store>,
) {
    for _ in 0..4 {
        let (new, code) = new_coded_grant();
        one.create_grant(new.clone()).await.unwrap();
        let mut feed = RevocationFeed::start(other.clone()).await.unwrap();
        let mut tasks = JoinSet::new();
        for count in 0..32 {
            let store = if count % 2 == 0 { one.clone() } else { other.clone() };
            tasks.spawn(async move {
                let token = new_token();
                (token.lookup, store.redeem_code(&code, vec![token], NOW).await.unwrap())
            });
        }
        let mut won = 0;
        for (lookup, redeemed) in tasks.join_all().await {
            let stored = other.token(&lookup).await.unwrap();
            match redeemed {
                Redeemed::Done => {
                    won += 1;
                    assert_eq!(stored.unwrap().wrapped_key, None, "the replay took it back");
                }
                Redeemed::Replayed(grant) => assert_eq!((grant, stored), (new.id, None)),
                unexpected @ (Redeemed::Expired | Redeemed::GrantEnded | Redeemed::Unknown) => {
                    panic!("{unexpected:?}")
                }
            }
        }
        assert_eq!(won, 1);
        assert_eq!(told(&mut feed).await, [new.id]);
    }
}

/// A revocation and the use of a code meet: whatever comes first, nothing of the grant opens anything afterwards.
pub(super) async fn a_code_used_while_its_grant_is_revoked_opens_nothing_afterwards(
    one: Arc<dyn Store>,
    other: Arc<dyn Store>,
) {
    for _ in 0..16 {
        let (new, code) = new_coded_grant();
        one.create_grant(new.clone()).await.unwrap();
        let token = new_token();
        let use_it = one.redeem_code(&code, vec![token.clone()], NOW);
        let revoke = other.revoke_grant(new.id, RevocationReason::Operator, NOW);
        let (redeemed, ended): (_, Result<Ended, _>) = tokio::join!(use_it, revoke);
        assert!(matches!(redeemed, Ok(Redeemed::Done | Redeemed::GrantEnded)), "{redeemed:?}");
        assert_eq!(ended.unwrap(), Ended::Now);
        let left = one.token(&token.lookup).await.unwrap();
        assert_eq!(left.and_then(|record| record.wrapped_key), None);
        assert_eq!(one.code(&code).await.unwrap().unwrap().wrapped_key, None);
    }
}
