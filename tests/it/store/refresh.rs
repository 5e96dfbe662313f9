use std::sync::Arc;

use bearward::{
    model::TokenHash,
    store::{
        NewGrant, NewToken, Renewal, RevocationFeed, RevocationReason, Rotated, Rotation, Store, StoreError,
    },
};
use tokio::task::JoinSet;

use super::{NOW, later, new_grant, new_hash, new_refresh, new_token};

/// A grant with a refresh token, and that token.
async fn refreshable(store: &dyn Store) -> (NewGrant, TokenHash) {
    let refresh = new_refresh();
    let lookup = refresh.lookup;
    let new = NewGrant { tokens: vec![new_token(), refresh], ..new_grant("alice@example.org") };
    store.create_grant(new.clone()).await.unwrap();
    (new, lookup)
}

fn rotation(old: TokenHash, next: NewToken, answer: &[u8]) -> Rotation {
    Rotation {
        old,
        tokens: vec![new_token(), next],
        answer: answer.to_vec(),
        answer_until: later(40),
        now: later(10),
    }
}

fn renewal(refresh: TokenHash) -> Renewal {
    Renewal { refresh, expires_at: later(9000), access: new_token(), now: later(20) }
}

async fn answer(store: &dyn Store, lookup: TokenHash) -> Option<Vec<u8>> {
    store.token(&lookup).await.unwrap().unwrap().answer
}

pub(super) async fn a_rotated_refresh_token_keeps_its_answer_and_no_key(store: Arc<dyn Store>) {
    let (new, old) = refreshable(&*store).await;
    let next = NewToken { certificate: Some([5; 32]), ..new_refresh() };
    let rotation = rotation(old, next.clone(), b"encrypted answer");
    assert_eq!(store.rotate_refresh_token(rotation.clone()).await.unwrap(), Rotated::Done);
    let record = store.token(&old).await.unwrap().unwrap();
    assert_eq!((record.used_at, record.wrapped_key), (Some(later(10)), None));
    assert_eq!(record.answer.as_deref(), Some(b"encrypted answer".as_slice()));
    assert_eq!((record.revoked_at, record.expires_at), (None, later(7000)));
    for token in &rotation.tokens {
        let record = store.token(&token.lookup).await.unwrap().unwrap();
        assert_eq!((record.kind, record.grant.id, record.used_at), (token.kind, new.id, None));
        assert_eq!(record.certificate, token.certificate);
        assert_eq!(record.wrapped_key.as_deref(), Some(token.wrapped_key.as_slice()));
    }
    assert!(store.grant(new.id).await.unwrap().unwrap().revoked.is_none());
}

pub(super) async fn a_second_use_hears_the_first_answer_while_it_is_kept(store: Arc<dyn Store>) {
    let (new, old) = refreshable(&*store).await;
    store.rotate_refresh_token(rotation(old, new_refresh(), b"answer")).await.unwrap();
    let mut feed = RevocationFeed::start(store.clone()).await.unwrap();
    for (at, kept) in [(later(39), Some(b"answer".to_vec())), (later(40), None), (later(7001), None)] {
        let again = Rotation { now: at, ..rotation(old, new_refresh(), b"other answer") };
        let used = Rotated::Used { at: later(10), answer: kept };
        assert_eq!(store.rotate_refresh_token(again.clone()).await.unwrap(), used, "{at:?}");
        assert_eq!(store.token(&again.tokens[0].lookup).await.unwrap(), None);
        let again = Renewal { now: at, ..renewal(old) };
        assert_eq!(store.renew_refresh_token(again.clone()).await.unwrap(), used, "{at:?}");
        assert_eq!(store.token(&again.access.lookup).await.unwrap(), None);
    }
    assert_eq!(answer(&*store, old).await.as_deref(), Some(b"answer".as_slice()));
    // Whether that ends the grant is not the store's to decide.
    assert_eq!(feed.poll().await.unwrap(), []);
    assert!(store.grant(new.id).await.unwrap().unwrap().revoked.is_none());
}

pub(super) async fn the_use_of_a_refresh_token_removes_the_answer_of_its_predecessor(store: Arc<dyn Store>) {
    let (_, first) = refreshable(&*store).await;
    let [second, third] = [new_refresh(), new_refresh()];
    store.rotate_refresh_token(rotation(first, second.clone(), b"first answer")).await.unwrap();
    store.rotate_refresh_token(rotation(second.lookup, third.clone(), b"second answer")).await.unwrap();
    assert_eq!(answer(&*store, first).await, None);
    assert_eq!(answer(&*store, second.lookup).await.as_deref(), Some(b"second answer".as_slice()));
    assert_eq!(store.renew_refresh_token(renewal(third.lookup)).await.unwrap(), Rotated::Done);
    assert_eq!(answer(&*store, second.lookup).await, None);
    let again = store.rotate_refresh_token(rotation(first, new_refresh(), b"other answer")).await.unwrap();
    assert_eq!(again, Rotated::Used { at: later(10), answer: None });
}

pub(super) async fn a_renewed_refresh_token_stays_with_a_later_end(store: Arc<dyn Store>) {
    let (new, refresh) = refreshable(&*store).await;
    for _ in 0..2 {
        let renewal = renewal(refresh);
        assert_eq!(store.renew_refresh_token(renewal.clone()).await.unwrap(), Rotated::Done);
        let record = store.token(&refresh).await.unwrap().unwrap();
        assert_eq!((record.expires_at, record.used_at), (later(9000), None));
        assert!(record.wrapped_key.is_some());
        let access = store.token(&renewal.access.lookup).await.unwrap().unwrap();
        assert_eq!((access.grant.id, access.wrapped_key), (new.id, Some(renewal.access.wrapped_key)));
    }
}

pub(super) async fn what_is_no_live_refresh_token_gives_nothing(store: Arc<dyn Store>) {
    let expect = async |lookup: TokenHash, now, expected: Rotated| {
        let rotation = Rotation { now, ..rotation(lookup, new_refresh(), b"answer") };
        assert_eq!(store.rotate_refresh_token(rotation.clone()).await.unwrap(), expected);
        assert_eq!(store.token(&rotation.tokens[1].lookup).await.unwrap(), None);
        let renewal = Renewal { now, ..renewal(lookup) };
        assert_eq!(store.renew_refresh_token(renewal.clone()).await.unwrap(), expected);
        assert_eq!(store.token(&renewal.access.lookup).await.unwrap(), None);
    };
    expect(new_hash(), NOW, Rotated::Unknown).await;
    let (new, refresh) = refreshable(&*store).await;
    expect(new.tokens[0].lookup, NOW, Rotated::Unknown).await;
    expect(refresh, later(7000), Rotated::Ended).await;
    expect(refresh, later(7200), Rotated::Ended).await;
    store.revoke_token(&refresh, NOW).await.unwrap();
    expect(refresh, NOW, Rotated::Ended).await;
    let (new, refresh) = refreshable(&*store).await;
    store.revoke_grant(new.id, RevocationReason::Client, NOW).await.unwrap();
    expect(refresh, NOW, Rotated::Ended).await;
    let (_, refresh) = refreshable(&*store).await;
    let last = Rotation { now: later(6999), ..rotation(refresh, new_refresh(), b"answer") };
    assert_eq!(store.rotate_refresh_token(last).await.unwrap(), Rotated::Done);
}

pub(super) async fn a_rotation_that_cannot_store_its_tokens_changes_nothing(store: Arc<dyn Store>) {
    let (new, first) = refreshable(&*store).await;
    let second = new_refresh();
    store.rotate_refresh_token(rotation(first, second.clone(), b"first answer")).await.unwrap();
    let taken = new.tokens[0].clone();
    let refused = store.rotate_refresh_token(rotation(second.lookup, taken.clone(), b"answer")).await;
    assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");
    let refused = store.renew_refresh_token(Renewal { access: taken, ..renewal(second.lookup) }).await;
    assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");
    let record = store.token(&second.lookup).await.unwrap().unwrap();
    assert_eq!((record.used_at, record.answer, record.expires_at), (None, None, later(7000)));
    assert!(record.wrapped_key.is_some());
    assert_eq!(answer(&*store, first).await.as_deref(), Some(b"first answer".as_slice()));
}

pub(super) async fn what_is_revoked_keeps_no_answer(store: Arc<dyn Store>) {
    let (new, one) = refreshable(&*store).await;
    store.rotate_refresh_token(rotation(one, new_refresh(), b"answer")).await.unwrap();
    store.revoke_grant(new.id, RevocationReason::RefreshReused, NOW).await.unwrap();
    assert_eq!(answer(&*store, one).await, None);
    let (_, two) = refreshable(&*store).await;
    store.rotate_refresh_token(rotation(two, new_refresh(), b"answer")).await.unwrap();
    store.revoke_token(&two, NOW).await.unwrap();
    assert_eq!(answer(&*store, two).await, None);
}

/// Thirty-two uses of one refresh token at once, half of them by another process.
pub(super) async fn of_many_rotations_at_once_one_wins_and_the_rest_hear_its_answer(
    one: Arc<dyn Store>,
    other: Arc<dyn Store>,
) {
    for _ in 0..4 {
        let (_, old) = refreshable(&*one).await;
        let mut tasks = JoinSet::new();
        for count in 0..32_u8 {
            let store = if count % 2 == 0 { one.clone() } else { other.clone() };
            tasks.spawn(async move {
                let rotation = rotation(old, new_refresh(), &[count; 4]);
                let lookups = [rotation.tokens[0].lookup, rotation.tokens[1].lookup];
                (count, lookups, store.rotate_refresh_token(rotation).await.unwrap())
            });
        }
        let (mut winners, mut answers) = (Vec::new(), Vec::new());
        for (count, lookups, rotated) in tasks.join_all().await {
            for lookup in lookups {
                let stored = one.token(&lookup).await.unwrap();
                assert_eq!(stored.is_some(), rotated == Rotated::Done);
            }
            match rotated {
                Rotated::Done => winners.push(count),
                Rotated::Used { answer, .. } => answers.push(answer.unwrap()),
                unexpected @ (Rotated::Ended | Rotated::Unknown) => panic!("{unexpected:?}"),
            }
        }
        let [winner] = winners.as_slice() else { panic!("{winners:?}") };
        assert_eq!(answers, vec![vec![*winner; 4]; 31]);
    }
}

/// A rotation and a renewal of one token meet: the renewal gives nothing once it is replaced.
pub(super) async fn a_refresh_token_is_not_renewed_after_it_was_replaced(
    one: Arc<dyn Store>,
    other: Arc<dyn Store>,
) {
    for _ in 0..16 {
        let (_, old) = refreshable(&*one).await;
        let rotate = one.rotate_refresh_token(rotation(old, new_refresh(), b"answer"));
        let renewal = renewal(old);
        let renew = other.renew_refresh_token(renewal.clone());
        let (rotated, renewed) = tokio::join!(rotate, renew);
        assert_eq!(rotated.unwrap(), Rotated::Done);
        let renewed = renewed.unwrap();
        let stored = one.token(&renewal.access.lookup).await.unwrap().is_some();
        assert_eq!(stored, renewed == Rotated::Done, "{renewed:?}");
        assert!(one.token(&old).await.unwrap().unwrap().used_at.is_some());
    }
}
