use std::sync::Arc;

use bearward::{
    model::{ClientId, Scope, TokenHash},
    store::{
        Decided, DevicePoll, DeviceState, NewDevice, NewGrant, Redeemed, RevocationFeed, RevocationReason,
        Store, StoreError,
    },
};
use tokio::task::JoinSet;

use super::{NOW, later, new_grant, new_hash, new_refresh, new_token, told};

fn new_device() -> NewDevice {
    NewDevice {
        lookup: new_hash(),
        user_code: new_hash(),
        client: ClientId::open(),
        scope: Scope::mail(),
        audience: "https://mail.example.org".into(),
        public_key: [6; 32],
        details: r#"{"place":"192.0.2.1"}"#.into(),
        created_at: NOW,
        expires_at: later(600),
        interval: 5,
    }
}

fn approval() -> NewGrant {
    NewGrant { tokens: Vec::new(), public_key: [6; 32], ..new_grant("alice@example.org") }
}

async fn approved(store: &dyn Store) -> (NewDevice, NewGrant) {
    let (device, grant) = (new_device(), approval());
    store.create_device(device.clone()).await.unwrap();
    let decided = store.approve_device(&device.user_code, grant.clone(), later(30)).await.unwrap();
    assert_eq!(decided, Decided::Done);
    (device, grant)
}

async fn state(store: &dyn Store, device: &NewDevice) -> DeviceState {
    store.device_by_user_code(&device.user_code, NOW).await.unwrap().unwrap().state
}

async fn poll(store: &dyn Store, device: &TokenHash, seconds: i64) -> DevicePoll {
    store.poll_device(device, &ClientId::open(), later(seconds)).await.unwrap()
}

pub(super) async fn a_device_is_found_by_its_user_code_until_its_end(store: Arc<dyn Store>) {
    let new = new_device();
    assert_eq!(store.device_by_user_code(&new.user_code, NOW).await.unwrap(), None);
    store.create_device(new.clone()).await.unwrap();
    let found = store.device_by_user_code(&new.user_code, later(599)).await.unwrap().unwrap();
    assert_eq!((found.lookup, found.state), (new.lookup, DeviceState::Pending));
    assert_eq!((found.client, found.scope, found.audience), (new.client, new.scope, new.audience));
    assert_eq!((found.public_key, found.details), (new.public_key, new.details));
    assert_eq!((found.created_at, found.expires_at), (new.created_at, new.expires_at));
    assert_eq!(store.device_by_user_code(&new.user_code, later(600)).await.unwrap(), None);
    assert_eq!(store.device_by_user_code(&new.lookup, NOW).await.unwrap(), None);
}

pub(super) async fn a_device_code_and_a_user_code_exist_once(store: Arc<dyn Store>) {
    let first = new_device();
    store.create_device(first.clone()).await.unwrap();
    for taken in [
        NewDevice { lookup: first.lookup, ..new_device() },
        NewDevice { user_code: first.user_code, ..new_device() },
    ] {
        assert!(matches!(store.create_device(taken).await, Err(StoreError::Conflict(_))));
    }
}

pub(super) async fn a_device_that_asks_too_often_is_slowed_down_for_good(store: Arc<dyn Store>) {
    let device = new_device();
    store.create_device(device.clone()).await.unwrap();
    let code = device.lookup;
    assert_eq!(poll(&*store, &code, 0).await, DevicePoll::Pending, "the first question is never too early");
    assert_eq!(poll(&*store, &code, 5).await, DevicePoll::Pending);
    assert_eq!(poll(&*store, &code, 9).await, DevicePoll::SlowDown);
    // Ten seconds now, counted from the last question.
    assert_eq!(poll(&*store, &code, 18).await, DevicePoll::SlowDown);
    assert_eq!(poll(&*store, &code, 33).await, DevicePoll::Pending);
    assert_eq!(poll(&*store, &code, 47).await, DevicePoll::SlowDown);
    assert_eq!(poll(&*store, &code, 67).await, DevicePoll::Pending);
    assert_eq!(poll(&*store, &code, 599).await, DevicePoll::Pending);
    assert_eq!(poll(&*store, &code, 600).await, DevicePoll::Expired);
}

pub(super) async fn a_device_code_is_its_clients_alone(store: Arc<dyn Store>) {
    let (device, _) = approved(&*store).await;
    let other: ClientId = "other".parse().unwrap();
    assert_eq!(store.poll_device(&device.lookup, &other, NOW).await.unwrap(), DevicePoll::Unknown);
    assert_eq!(poll(&*store, &new_hash(), 0).await, DevicePoll::Unknown);
    assert_eq!(poll(&*store, &device.user_code, 0).await, DevicePoll::Unknown);
}

pub(super) async fn an_approved_device_gets_its_tokens_once(store: Arc<dyn Store>) {
    let (device, grant) = approved(&*store).await;
    assert_eq!(state(&*store, &device).await, DeviceState::Approved);
    // However soon it asks.
    for _ in 0..2 {
        let DevicePoll::Approved(found) = poll(&*store, &device.lookup, 31).await else { panic!() };
        assert_eq!((found.id, found.public_key), (grant.id, [6; 32]));
    }
    let tokens = vec![new_token(), new_refresh()];
    let redeemed = store.redeem_device(&device.lookup, tokens.clone(), later(32)).await.unwrap();
    assert_eq!(redeemed, Redeemed::Done);
    for token in tokens {
        let record = store.token(&token.lookup).await.unwrap().unwrap();
        assert_eq!((record.grant.id, record.credentials), (grant.id, grant.credentials.clone()));
    }
    assert_eq!(state(&*store, &device).await, DeviceState::Used);
    for at in [33, 600] {
        assert_eq!(poll(&*store, &device.lookup, at).await, DevicePoll::Used(grant.id));
    }
}

pub(super) async fn a_device_code_used_twice_ends_its_grant(store: Arc<dyn Store>) {
    let (device, grant) = approved(&*store).await;
    let token = new_token();
    store.redeem_device(&device.lookup, vec![token.clone()], later(32)).await.unwrap();
    let mut feed = RevocationFeed::start(store.clone()).await.unwrap();
    let replay = store.redeem_device(&device.lookup, vec![new_token()], later(700)).await.unwrap();
    assert_eq!(replay, Redeemed::Replayed(grant.id));
    let end = store.grant(grant.id).await.unwrap().unwrap().revoked.unwrap();
    assert_eq!((end.at, end.reason), (later(700), RevocationReason::CodeReplayed));
    assert_eq!(store.token(&token.lookup).await.unwrap().unwrap().wrapped_key, None);
    assert_eq!(told(&mut feed).await, [grant.id]);
}

pub(super) async fn a_device_that_was_not_approved_gets_nothing(store: Arc<dyn Store>) {
    let [pending, denied] = [new_device(), new_device()];
    for device in [&pending, &denied] {
        store.create_device(device.clone()).await.unwrap();
    }
    assert_eq!(store.deny_device(&denied.user_code, later(10)).await.unwrap(), Decided::Done);
    assert_eq!(state(&*store, &denied).await, DeviceState::Denied);
    assert_eq!(poll(&*store, &denied.lookup, 11).await, DevicePoll::Denied);
    for device in [&pending, &denied] {
        let token = new_token();
        let redeem = |at| store.redeem_device(&device.lookup, vec![token.clone()], later(at));
        assert_eq!(redeem(11).await.unwrap(), Redeemed::GrantEnded);
        assert_eq!(redeem(600).await.unwrap(), Redeemed::Expired);
        assert_eq!(store.token(&token.lookup).await.unwrap(), None);
    }
    let unknown = store.redeem_device(&new_hash(), vec![new_token()], NOW).await.unwrap();
    assert_eq!(unknown, Redeemed::Unknown);
}

pub(super) async fn an_approved_device_that_never_asks_gets_nothing_after_its_end(store: Arc<dyn Store>) {
    let (device, grant) = approved(&*store).await;
    assert_eq!(poll(&*store, &device.lookup, 600).await, DevicePoll::Expired);
    let late = store.redeem_device(&device.lookup, vec![new_token()], later(600)).await.unwrap();
    assert_eq!(late, Redeemed::Expired);
    store.revoke_grant(grant.id, RevocationReason::Operator, NOW).await.unwrap();
    let ended = store.redeem_device(&device.lookup, vec![new_token()], later(599)).await.unwrap();
    assert_eq!(ended, Redeemed::GrantEnded);
}

pub(super) async fn a_device_is_decided_once(store: Arc<dyn Store>) {
    let [approved, denied, late] = [new_device(), new_device(), new_device()];
    for device in [&approved, &denied, &late] {
        store.create_device(device.clone()).await.unwrap();
    }
    let approve = async |device: &NewDevice, at| {
        let grant = approval();
        let decided = store.approve_device(&device.user_code, grant.clone(), later(at)).await.unwrap();
        assert_eq!(store.grant(grant.id).await.unwrap().is_some(), decided == Decided::Done);
        decided
    };
    assert_eq!(approve(&approved, 1).await, Decided::Done);
    assert_eq!(approve(&approved, 2).await, Decided::Before);
    assert_eq!(store.deny_device(&approved.user_code, later(3)).await.unwrap(), Decided::Before);
    assert_eq!(store.deny_device(&denied.user_code, later(1)).await.unwrap(), Decided::Done);
    assert_eq!(store.deny_device(&denied.user_code, later(2)).await.unwrap(), Decided::Before);
    assert_eq!(approve(&denied, 3).await, Decided::Before);
    assert_eq!(approve(&late, 600).await, Decided::Unknown);
    assert_eq!(store.deny_device(&late.user_code, later(600)).await.unwrap(), Decided::Unknown);
    assert_eq!(approve(&new_device(), 1).await, Decided::Unknown);
    assert_eq!(store.deny_device(&new_hash(), NOW).await.unwrap(), Decided::Unknown);
}

pub(super) async fn an_approval_whose_grant_cannot_be_stored_decides_nothing(store: Arc<dyn Store>) {
    let (device, taken) = (new_device(), new_grant("bob@example.org"));
    store.create_device(device.clone()).await.unwrap();
    store.create_grant(taken.clone()).await.unwrap();
    let refused = store.approve_device(&device.user_code, NewGrant { id: taken.id, ..approval() }, NOW).await;
    assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");
    assert_eq!(state(&*store, &device).await, DeviceState::Pending);
    let (used, _) = approved(&*store).await;
    let refused = store.redeem_device(&used.lookup, vec![taken.tokens[0].clone()], later(40)).await;
    assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");
    assert_eq!(state(&*store, &used).await, DeviceState::Approved);
}

/// Sixteen approvals and sixteen refusals at once, then thirty-two uses, half of each by another process.
pub(super) async fn a_device_is_decided_once_and_used_once_by_many(
    one: Arc<dyn Store>,
    other: Arc<dyn Store>,
) {
    let device = new_device();
    one.create_device(device.clone()).await.unwrap();
    let mut tasks = JoinSet::new();
    for count in 0..32 {
        let store = if count % 4 < 2 { one.clone() } else { other.clone() };
        let code = device.user_code;
        tasks.spawn(async move {
            match count % 2 {
                0 => store.approve_device(&code, approval(), NOW).await.unwrap(),
                _ => store.deny_device(&code, NOW).await.unwrap(),
            }
        });
    }
    let decided = tasks.join_all().await;
    assert_eq!(decided.iter().filter(|decided| **decided == Decided::Done).count(), 1);
    assert_eq!(decided.iter().filter(|decided| **decided == Decided::Before).count(), 31);

    let (device, grant) = approved(&*one).await;
    let mut tasks = JoinSet::new();
    for count in 0..32 {
        let store = if count % 2 == 0 { one.clone() } else { other.clone() };
        let code = device.lookup;
        tasks.spawn(async move { store.redeem_device(&code, vec![new_token()], later(40)).await.unwrap() });
    }
    let redeemed = tasks.join_all().await;
    assert_eq!(redeemed.iter().filter(|redeemed| **redeemed == Redeemed::Done).count(), 1);
    let replayed = Redeemed::Replayed(grant.id);
    assert_eq!(redeemed.iter().filter(|redeemed| **redeemed == replayed).count(), 31);
}
