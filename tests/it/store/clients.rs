use std::sync::Arc;

use bearward::{
    model::{ClientId, Login},
    store::{
        ClientRecord, ClientState, Decided, Ended, GrantFilter, NewDevice, NewGrant, RevocationFeed,
        RevocationReason, Store, StoreError,
    },
};
use tokio::task::JoinSet;

use super::{NOW, alice, later, new_coded_grant, new_grant, new_hash, told};

fn webmail() -> ClientId {
    "webmail".parse().unwrap()
}

fn new_client(id: &str) -> ClientRecord {
    ClientRecord {
        id: id.parse().unwrap(),
        secret: Some(new_hash()),
        management: Some(new_hash()),
        metadata: r#"{"client_name":"Webmail"}"#.into(),
        created_at: NOW,
    }
}

pub(super) async fn a_client_comes_back_as_it_went_in(store: Arc<dyn Store>) {
    assert_eq!(store.client(&webmail()).await.unwrap(), ClientState::default());
    let [first, second] = [new_client("webmail"), new_client("archive")];
    let second = ClientRecord { secret: None, management: None, created_at: later(1), ..second };
    for client in [&second, &first] {
        store.create_client(client.clone()).await.unwrap();
        let state = ClientState { record: Some(client.clone()), denied: false };
        assert_eq!(store.client(&client.id).await.unwrap(), state);
    }
    assert_eq!(store.clients().await.unwrap(), [first.clone(), second]);
    let again = store.create_client(new_client("webmail")).await;
    assert!(matches!(again, Err(StoreError::Conflict(_))), "{again:?}");
    assert_eq!(store.client(&webmail()).await.unwrap().record, Some(first));
}

pub(super) async fn a_client_is_replaced_where_there_is_one(store: Arc<dyn Store>) {
    let new = ClientRecord { metadata: "{}".into(), management: None, ..new_client("webmail") };
    assert!(!store.update_client(new.clone()).await.unwrap());
    assert_eq!(store.client(&webmail()).await.unwrap().record, None);
    store.create_client(new_client("webmail")).await.unwrap();
    assert!(store.update_client(new.clone()).await.unwrap());
    assert_eq!(store.client(&webmail()).await.unwrap().record, Some(new));
}

pub(super) async fn a_removed_client_is_denied_and_its_grants_end(store: Arc<dyn Store>) {
    store.create_client(new_client("webmail")).await.unwrap();
    let of = |client: ClientId, grant| NewGrant { client, ..grant };
    let (coded, code) = new_coded_grant();
    let grants = [of(webmail(), new_grant("alice@example.org")), of(webmail(), coded)];
    let other = new_grant("alice@example.org");
    for grant in grants.iter().chain([&other]) {
        store.create_grant(grant.clone()).await.unwrap();
    }
    let (scope, open) = (other.scope.clone(), ClientId::open());
    store.remember_consent(&alice(), &webmail(), &scope, NOW).await.unwrap();
    store.remember_consent(&alice(), &open, &scope, NOW).await.unwrap();
    store.revoke_grant(grants[0].id, RevocationReason::Operator, NOW).await.unwrap();
    let mut feed = RevocationFeed::start(store.clone()).await.unwrap();

    assert_eq!(store.remove_client(&webmail(), later(5)).await.unwrap(), Ended::Now);
    let state = store.client(&webmail()).await.unwrap();
    assert_eq!(state, ClientState { record: None, denied: true });
    assert_eq!(store.denied_clients().await.unwrap(), [(webmail(), later(5))]);
    assert_eq!(store.consent(&alice(), &webmail()).await.unwrap(), None);
    assert_eq!(told(&mut feed).await, [grants[1].id]);
    let mut ends = Vec::new();
    for grant in &grants {
        let end = store.grant(grant.id).await.unwrap().unwrap().revoked.unwrap();
        ends.push((end.at, end.reason));
    }
    let first = (NOW, RevocationReason::Operator);
    assert_eq!(ends, [first, (later(5), RevocationReason::ClientRemoved)], "the first reason stays");
    assert_eq!(store.code(&code).await.unwrap().unwrap().wrapped_key, None);

    let record = store.token(&other.tokens[0].lookup).await.unwrap().unwrap();
    assert!(record.grant.is_live(NOW) && record.wrapped_key.is_some() && record.credentials.len() == 2);
    assert_eq!(store.consent(&alice(), &open).await.unwrap(), Some(scope));
    assert_eq!(store.remove_client(&webmail(), later(6)).await.unwrap(), Ended::Before);
    assert_eq!(store.denied_clients().await.unwrap(), [(webmail(), later(5))]);
}

pub(super) async fn a_client_without_a_row_is_denied_and_allowed_again(store: Arc<dyn Store>) {
    assert_eq!(store.denied_clients().await.unwrap(), []);
    assert!(!store.allow_client(&webmail()).await.unwrap());
    assert_eq!(store.remove_client(&webmail(), NOW).await.unwrap(), Ended::Now);
    assert!(store.client(&webmail()).await.unwrap().denied);
    assert!(store.allow_client(&webmail()).await.unwrap());
    assert_eq!(store.client(&webmail()).await.unwrap(), ClientState::default());
    assert!(!store.allow_client(&webmail()).await.unwrap());
}

pub(super) async fn a_denied_client_gets_no_grant(store: Arc<dyn Store>) {
    store.remove_client(&webmail(), NOW).await.unwrap();
    let grant = NewGrant { client: webmail(), ..new_grant("alice@example.org") };
    assert_eq!(store.create_grant(grant.clone()).await, Err(StoreError::GrantEnded));
    assert_eq!(store.grant(grant.id).await.unwrap(), None);
    let device = NewDevice {
        lookup: new_hash(),
        user_code: new_hash(),
        client: webmail(),
        scope: grant.scope.clone(),
        audience: grant.audience.clone(),
        public_key: [9; 32],
        details: String::new(),
        created_at: NOW,
        expires_at: later(600),
        interval: 5,
    };
    store.create_device(device.clone()).await.unwrap();
    let refused = store.approve_device(&device.user_code, grant.clone(), NOW).await;
    assert_eq!(refused, Err(StoreError::GrantEnded));
    store.allow_client(&webmail()).await.unwrap();
    assert_eq!(store.approve_device(&device.user_code, grant, NOW).await.unwrap(), Decided::Done);
}

pub(super) async fn a_consent_is_remembered_for_one_person_and_one_client(store: Arc<dyn Store>) {
    let scope = |text: &str| text.parse().unwrap();
    assert_eq!(store.consent(&alice(), &webmail()).await.unwrap(), None);
    store.remember_consent(&alice(), &webmail(), &scope("imap smtp"), NOW).await.unwrap();
    assert_eq!(store.consent(&alice(), &webmail()).await.unwrap(), Some(scope("imap smtp")));
    store.remember_consent(&alice(), &webmail(), &scope("pop3"), later(1)).await.unwrap();
    assert_eq!(store.consent(&alice(), &webmail()).await.unwrap(), Some(scope("pop3")));
    assert_eq!(store.consent(&alice(), &ClientId::open()).await.unwrap(), None);
    let bob = Login::parse("bob@example.org").unwrap();
    assert_eq!(store.consent(&bob, &webmail()).await.unwrap(), None);
}

/// More grants than one step ends, and new ones meanwhile, half of them by another process.
pub(super) async fn no_grant_of_a_removed_client_is_live_afterwards(
    one: Arc<dyn Store>,
    other: Arc<dyn Store>,
) {
    let mut feed = RevocationFeed::start(other.clone()).await.unwrap();
    let mut tasks = JoinSet::new();
    let grant = || NewGrant { client: webmail(), ..new_grant("alice@example.org") };
    for _ in 0..1200 {
        let store = one.clone();
        tasks.spawn(async move { store.create_grant(grant()).await.map_err(|error| error.to_string()) });
    }
    assert_eq!(tasks.join_all().await.iter().filter(|created| created.is_ok()).count(), 1200);
    let mut tasks = JoinSet::new();
    for count in 0..256 {
        let store = if count % 2 == 0 { one.clone() } else { other.clone() };
        tasks.spawn(async move {
            match store.create_grant(grant()).await {
                Ok(()) => 1,
                Err(StoreError::GrantEnded) => 0,
                Err(error) => panic!("{error}"),
            }
        });
    }
    assert_eq!(other.remove_client(&webmail(), later(5)).await.unwrap(), Ended::Now);
    let live = one.grants(GrantFilter { active_at: Some(NOW), ..GrantFilter::default() }).await.unwrap();
    assert_eq!(live.len(), 0);
    let created = 1200 + tasks.join_all().await.into_iter().sum::<usize>();
    let all = one.grants(GrantFilter { client: Some(webmail()), ..GrantFilter::default() }).await.unwrap();
    assert_eq!(all.len(), created);
    assert!(all.iter().all(|grant| grant.revoked.is_some()));
    let (mut told, mut all) =
        (told(&mut feed).await, all.into_iter().map(|grant| grant.id).collect::<Vec<_>>());
    told.sort_unstable();
    all.sort_unstable();
    assert_eq!(told, all);
}
