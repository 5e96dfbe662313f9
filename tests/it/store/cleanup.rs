use std::sync::Arc;

use bearward::model::{ClientId, Scope, UnixTime};
use bearward::store::{
    DEVICE_RETENTION, Decided, DevicePoll, Ended, EphemeralKind, NewDevice, NewGrant, NewToken, RETENTION,
    Redeemed, Replaces, RevocationFeed, RevocationReason, Revoked, Rotated, Rotation, SigningKeyRecord,
    Store,
};

use super::{NOW, later, new_coded_grant, new_grant, new_hash, new_refresh, new_token, told};

/// Cleans up in steps of one row of each kind. Says how many rows that touched.
async fn clean_up(store: &dyn Store, at: UnixTime) -> u64 {
    let mut touched = 0;
    loop {
        match store.remove_expired(at, 1).await.unwrap() {
            0 => return touched,
            rows => touched += rows,
        }
    }
}

fn retention() -> i64 {
    RETENTION.as_secs().cast_signed()
}

fn key(kid: &str) -> SigningKeyRecord {
    SigningKeyRecord {
        kid: kid.into(),
        algorithm: "ES256".into(),
        sealed: vec![1, 2, 3],
        created_at: NOW,
        signs_from: NOW,
        retires_at: None,
    }
}

pub(super) async fn the_first_signing_key_stays_the_first(store: Arc<dyn Store>) {
    assert_eq!(store.signing_keys().await.unwrap(), []);
    assert!(store.add_signing_key(key("one"), None).await.unwrap());
    assert!(!store.add_signing_key(key("two"), None).await.unwrap());
    assert_eq!(store.signing_keys().await.unwrap(), [key("one")]);
}

pub(super) async fn clean_up_wipes_at_once_and_removes_after_the_retention(store: Arc<dyn Store>) {
    let unused = new_grant("alice@example.org");
    let used = NewGrant { expires_at: None, ..new_grant("bob@example.org") };
    for grant in [&unused, &used] {
        store.create_grant(grant.clone()).await.unwrap();
    }
    let retention = RETENTION.as_secs().cast_signed();
    let kept = NewToken { expires_at: later(3600 + retention + 10), ..new_token() };
    store.add_token(used.id, kept.clone(), NOW).await.unwrap();
    let lookup = unused.tokens[0].lookup;
    let mut feed = RevocationFeed::start(store.clone()).await.unwrap();

    assert_eq!(store.remove_expired(later(3599), 10).await.unwrap(), 0);
    assert!(store.token(&lookup).await.unwrap().unwrap().wrapped_key.is_some());
    assert_eq!(store.remove_expired(later(3600), 1).await.unwrap(), 1);
    assert_eq!(store.remove_expired(later(3600), 1).await.unwrap(), 1);
    assert_eq!(store.remove_expired(later(3600), 1).await.unwrap(), 0);
    assert_eq!(store.token(&lookup).await.unwrap().unwrap().wrapped_key, None);

    let end = later(3600 + retention);
    while store.remove_expired(end, 1).await.unwrap() > 0 {}
    assert_eq!(store.token(&lookup).await.unwrap(), None);
    assert_eq!(store.grant(unused.id).await.unwrap(), None);
    assert!(store.grant(used.id).await.unwrap().is_some());
    assert!(store.token(&kept.lookup).await.unwrap().unwrap().wrapped_key.is_some());
    let told: Vec<_> = feed.poll().await.unwrap().into_iter().map(|one| one.what).collect();
    assert_eq!(told, [Revoked::Grant(unused.id)]);

    // Old revocations go too, and the feed goes on behind them.
    let later_still = UnixTime(end.0 + retention);
    while store.remove_expired(later_still, 10).await.unwrap() > 0 {}
    let next = new_grant("carol@example.org");
    store.create_grant(next.clone()).await.unwrap();
    store.revoke_grant(next.id, RevocationReason::Operator, later_still).await.unwrap();
    let told: Vec<_> = feed.poll().await.unwrap().into_iter().map(|one| one.what).collect();
    assert!(told.contains(&Revoked::Grant(next.id)), "{told:?}");
}

pub(super) async fn a_retired_signing_key_is_removed_at_its_end(store: Arc<dyn Store>) {
    assert!(store.add_signing_key(key("one"), None).await.unwrap());
    let two = SigningKeyRecord { signs_from: later(10), ..key("two") };
    let replaces = Replaces { kid: "one".into(), retires_at: later(100) };
    assert!(store.add_signing_key(two.clone(), Some(replaces)).await.unwrap());
    let retired = SigningKeyRecord { retires_at: Some(later(100)), ..key("one") };
    assert_eq!(store.signing_keys().await.unwrap(), [retired, two.clone()]);
    assert_eq!(clean_up(&*store, later(99)).await, 0);
    assert_eq!(store.signing_keys().await.unwrap().len(), 2);
    assert_eq!(clean_up(&*store, later(100)).await, 1);
    assert_eq!(store.signing_keys().await.unwrap(), [two]);

    // An end can come nearer, and never further away.
    for (at, expected) in [(300, 300), (400, 300), (200, 200)] {
        store.retire_signing_key("two", later(at)).await.unwrap();
        assert_eq!(store.signing_keys().await.unwrap()[0].retires_at, Some(later(expected)));
    }
    store.retire_signing_key("unknown", later(1)).await.unwrap();
    assert_eq!(clean_up(&*store, later(200)).await, 1);
}

pub(super) async fn an_unused_code_keeps_its_grant_until_both_are_removed(store: Arc<dyn Store>) {
    let (new, code) = new_coded_grant();
    store.create_grant(new.clone()).await.unwrap();
    let mut feed = RevocationFeed::start(store.clone()).await.unwrap();
    assert_eq!(clean_up(&*store, later(59)).await, 0);
    assert!(store.code(&code).await.unwrap().unwrap().wrapped_key.is_some());
    assert_eq!(clean_up(&*store, later(60)).await, 1);
    assert_eq!(store.code(&code).await.unwrap().unwrap().wrapped_key, None);
    assert_eq!(store.redeem_code(&code, vec![new_token()], later(61)).await.unwrap(), Redeemed::Expired);
    assert_eq!(clean_up(&*store, later(59 + retention())).await, 0);
    assert!(store.grant(new.id).await.unwrap().is_some());
    assert_eq!(told(&mut feed).await, []);
    clean_up(&*store, later(60 + retention())).await;
    assert_eq!(store.code(&code).await.unwrap(), None);
    assert_eq!(store.grant(new.id).await.unwrap(), None);
    assert_eq!(told(&mut feed).await, [new.id]);
}

pub(super) async fn a_used_code_goes_and_leaves_what_it_gave(store: Arc<dyn Store>) {
    let (new, code) = new_coded_grant();
    store.create_grant(NewGrant { expires_at: None, ..new.clone() }).await.unwrap();
    let token = NewToken { expires_at: later(2 * retention()), ..new_token() };
    store.redeem_code(&code, vec![token.clone()], NOW).await.unwrap();
    assert_eq!(clean_up(&*store, later(59 + retention())).await, 0);
    assert_eq!(clean_up(&*store, later(60 + retention())).await, 1);
    assert_eq!(store.code(&code).await.unwrap(), None);
    let record = store.token(&token.lookup).await.unwrap().unwrap();
    assert!(record.wrapped_key.is_some() && record.grant.revoked.is_none());
}

/// Tokens of a grant are removed while a code of it is still remembered: the grant stays as long.
pub(super) async fn a_grant_goes_with_the_last_of_what_it_has(store: Arc<dyn Store>) {
    let (new, code) = new_coded_grant();
    let short = NewToken { expires_at: later(10), ..new_token() };
    store.create_grant(NewGrant { tokens: vec![short.clone()], ..new.clone() }).await.unwrap();
    clean_up(&*store, later(10 + retention())).await;
    assert_eq!(store.token(&short.lookup).await.unwrap(), None);
    assert!(store.code(&code).await.unwrap().is_some());
    clean_up(&*store, later(60 + retention())).await;
    assert_eq!(store.grant(new.id).await.unwrap(), None);
}

pub(super) async fn answers_and_replaced_refresh_tokens_go_in_their_time(store: Arc<dyn Store>) {
    let old = NewToken { expires_at: later(4 * retention()), ..new_refresh() };
    let next = NewToken { expires_at: later(4 * retention()), ..new_refresh() };
    let new = NewGrant { tokens: vec![old.clone()], expires_at: None, ..new_grant("alice@example.org") };
    store.create_grant(new).await.unwrap();
    let rotation = Rotation {
        old: old.lookup,
        tokens: vec![next.clone()],
        answer: b"answer".to_vec(),
        answer_until: later(40),
        now: later(10),
    };
    assert_eq!(store.rotate_refresh_token(rotation).await.unwrap(), Rotated::Done);
    assert_eq!(clean_up(&*store, later(39)).await, 0);
    assert_eq!(clean_up(&*store, later(40)).await, 1);
    let record = store.token(&old.lookup).await.unwrap().unwrap();
    assert_eq!((record.answer, record.used_at), (None, Some(later(10))));
    assert_eq!(clean_up(&*store, later(9 + retention())).await, 0);
    assert_eq!(clean_up(&*store, later(10 + retention())).await, 1);
    assert_eq!(store.token(&old.lookup).await.unwrap(), None);
    assert!(store.token(&next.lookup).await.unwrap().unwrap().wrapped_key.is_some());
}

pub(super) async fn device_codes_go_sooner_when_nobody_approved_them(store: Arc<dyn Store>) {
    let [pending, denied, approved] = [(); 3].map(|()| NewDevice {
        lookup: new_hash(),
        user_code: new_hash(),
        client: ClientId::open(),
        scope: Scope::mail(),
        audience: String::new(),
        public_key: [6; 32],
        details: String::new(),
        created_at: NOW,
        expires_at: later(600),
        interval: 5,
    });
    for device in [&pending, &denied, &approved] {
        store.create_device(device.clone()).await.unwrap();
    }
    let grant = NewGrant { tokens: Vec::new(), ..new_grant("alice@example.org") };
    assert_eq!(store.deny_device(&denied.user_code, NOW).await.unwrap(), Decided::Done);
    let decided = store.approve_device(&approved.user_code, grant.clone(), NOW).await.unwrap();
    assert_eq!(decided, Decided::Done);
    let mut feed = RevocationFeed::start(store.clone()).await.unwrap();
    let poll = async |device: &NewDevice| {
        store.poll_device(&device.lookup, &ClientId::open(), later(600)).await.unwrap()
    };
    let short = DEVICE_RETENTION.as_secs().cast_signed();
    assert_eq!(clean_up(&*store, later(599 + short)).await, 0);
    assert_eq!(poll(&pending).await, DevicePoll::Expired);
    assert_eq!(clean_up(&*store, later(600 + short)).await, 2);
    assert_eq!((poll(&pending).await, poll(&denied).await), (DevicePoll::Unknown, DevicePoll::Unknown));
    assert_eq!(clean_up(&*store, later(599 + retention())).await, 0);
    assert_eq!(poll(&approved).await, DevicePoll::Expired);
    assert!(store.grant(grant.id).await.unwrap().is_some());
    clean_up(&*store, later(600 + retention())).await;
    assert_eq!(poll(&approved).await, DevicePoll::Unknown);
    assert_eq!(store.grant(grant.id).await.unwrap(), None);
    assert_eq!(told(&mut feed).await, [grant.id]);
}

pub(super) async fn ephemeral_facts_go_at_their_end(store: Arc<dyn Store>) {
    let key = new_hash();
    assert!(store.claim(EphemeralKind::Assertion, &key, later(60)).await.unwrap());
    store.count(EphemeralKind::SignInAttempts, &key, later(60), NOW).await.unwrap();
    store.keep(EphemeralKind::Pushed, &key, b"request".to_vec(), later(60)).await.unwrap();
    assert_eq!(clean_up(&*store, later(59)).await, 0);
    assert!(!store.claim(EphemeralKind::Assertion, &key, later(60)).await.unwrap());
    assert_eq!(clean_up(&*store, later(60)).await, 3);
    assert!(store.claim(EphemeralKind::Assertion, &key, later(120)).await.unwrap());
}

/// A grant that ended and is removed later is not told twice.
pub(super) async fn a_grant_that_had_ended_is_removed_without_a_word(store: Arc<dyn Store>) {
    let new = new_grant("alice@example.org");
    store.create_grant(new.clone()).await.unwrap();
    let ended = store.revoke_grant(new.id, RevocationReason::Client, later(5)).await.unwrap();
    assert_eq!(ended, Ended::Now);
    let mut feed = RevocationFeed::start(store.clone()).await.unwrap();
    clean_up(&*store, later(3600 + retention())).await;
    assert_eq!(store.grant(new.id).await.unwrap(), None);
    assert_eq!(told(&mut feed).await, []);
}
