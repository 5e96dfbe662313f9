//! Devices without a browser.

use bearward::{
    issuer::DeviceAuthorization,
    store::{Decided, RevocationReason},
    token::{GrantPublicKey, UserCode},
};

use super::*;

async fn start(
    house: &House,
    address: [u8; 4],
    pairs: &[(&str, &str)],
) -> Result<DeviceAuthorization, OAuthError> {
    let params = params(pairs);
    let caller = Caller { address: IpAddr::from(address), certificate: None };
    house.issuer.device_authorization(&call(&params, &caller, NOW)).await
}

async fn started(house: &House) -> DeviceAuthorization {
    start(house, [192, 0, 2, 1], &[("client_id", "open"), ("scope", Scope::MAIL)]).await.unwrap()
}

/// What the browser does: seals the password to the device's public key.
async fn approve(house: &House, device: &DeviceAuthorization) -> GrantId {
    let user_code = UserCode::parse(&device.user_code).unwrap().hash(&house.key).unwrap();
    let record = house.store.device_by_user_code(&user_code, NOW).await.unwrap().unwrap();
    let grant = GrantId::generate();
    let kind = CredentialKind::Password;
    let context = SealContext { grant, user: &alice(), backend: "main", kind };
    let password = Secret::copy_of(PASSWORD);
    let sealed = GrantPublicKey::new(record.public_key).seal(&password, &context).unwrap();
    let new = NewGrant {
        id: grant,
        user: alice(),
        client: record.client,
        scope: record.scope,
        created_at: NOW,
        expires_at: None,
        audience: record.audience,
        auth_time: Some(NOW),
        mailboxes: Vec::new(),
        public_key: record.public_key,
        credentials: vec![SealedCredential { backend: "main".to_owned(), kind, sealed }],
        code: None,
        tokens: Vec::new(),
    };
    assert_eq!(house.store.approve_device(&user_code, new, NOW).await.unwrap(), Decided::Done);
    grant
}

async fn poll(house: &House, device: &DeviceAuthorization, now: UnixTime) -> Result<Value, OAuthError> {
    house.token_at(now, &asking(&text(&device.device_code))).await
}

fn asking(code: &str) -> Vec<(&str, &str)> {
    vec![
        ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
        ("client_id", "open"),
        ("device_code", code),
    ]
}

#[tokio::test]
async fn an_approved_device_gets_tokens_that_open_the_mailbox_once() {
    let house = House::new().await;
    let device = started(&house).await;
    assert_eq!(code_of(poll(&house, &device, later(5)).await), ErrorCode::AuthorizationPending);
    let grant = approve(&house, &device).await;
    let answer = poll(&house, &device, later(20)).await.unwrap();
    assert!(house.opens(member(&answer, "access_token"), later(20)).await);
    let next = house.refresh(later(30), member(&answer, "refresh_token")).await.unwrap();
    assert!(house.opens(member(&next, "access_token"), later(30)).await);

    assert_eq!(code_of(poll(&house, &device, later(60)).await), ErrorCode::InvalidGrant);
    let end = house.store.grant(grant).await.unwrap().unwrap().revoked.unwrap();
    assert_eq!(end.reason, RevocationReason::CodeReplayed);
    assert!(!house.opens(member(&next, "access_token"), later(60)).await);
}

#[tokio::test]
async fn the_answer_says_all_that_rfc_8628_asks_for() {
    let house = House::new().await;
    let device = started(&house).await;
    let answer: Value = serde_json::from_slice(device.to_json().unwrap().expose()).unwrap();
    assert_eq!(answer["verification_uri"], "https://mail.example.org/device");
    assert_eq!(
        member(&answer, "verification_uri_complete"),
        format!("https://mail.example.org/device?user_code={}", member(&answer, "user_code"))
    );
    assert_eq!((answer["expires_in"].as_u64(), answer["interval"].as_u64()), (Some(600), Some(5)));
    assert!(member(&answer, "device_code").starts_with("bwd_"));
    assert!(!format!("{device:?}").contains("bwd_"));
}

#[tokio::test]
async fn a_device_hears_where_its_authorization_stands() {
    let house = House::new().await;
    let device = started(&house).await;
    assert_eq!(code_of(poll(&house, &device, later(5)).await), ErrorCode::AuthorizationPending);
    assert_eq!(code_of(poll(&house, &device, later(7)).await), ErrorCode::SlowDown);
    assert_eq!(code_of(poll(&house, &device, later(14)).await), ErrorCode::SlowDown);
    assert_eq!(code_of(poll(&house, &device, later(40)).await), ErrorCode::AuthorizationPending);
    assert_eq!(code_of(poll(&house, &device, later(600)).await), ErrorCode::ExpiredToken);

    let denied = started(&house).await;
    let user_code = UserCode::parse(&denied.user_code).unwrap().hash(&house.key).unwrap();
    house.store.deny_device(&user_code, NOW).await.unwrap();
    assert_eq!(code_of(poll(&house, &denied, later(5)).await), ErrorCode::AccessDenied);
}

#[tokio::test]
async fn an_approved_device_that_never_asks_gets_nothing_later() {
    let house = House::new().await;
    let device = started(&house).await;
    approve(&house, &device).await;
    assert_eq!(code_of(poll(&house, &device, later(600)).await), ErrorCode::ExpiredToken);
}

#[tokio::test]
async fn another_client_with_the_device_code_learns_and_gets_nothing() {
    let house = House::new().await;
    let device = GrantType::DeviceCode;
    let metadata = ClientMetadata { grant_types: vec![device, GrantType::RefreshToken], ..confidential() };
    let metadata = ClientMetadata { redirect_uris: Vec::new(), response_types: Vec::new(), ..metadata };
    let added = house.add_client(metadata).await;
    let (id, secret) = (added.client.id.to_string(), text(added.secret.as_ref().unwrap()));
    let device = started(&house).await;
    let code = text(&device.device_code);
    let asking = asking(&code);
    let theft = by(&asking, &id, &secret);
    assert_eq!(code_of(house.token(&theft).await), ErrorCode::InvalidGrant);
    approve(&house, &device).await;
    assert_eq!(code_of(house.token_at(later(5), &theft).await), ErrorCode::InvalidGrant);
    poll(&house, &device, later(10)).await.unwrap();
    assert_eq!(code_of(house.token_at(later(60), &theft).await), ErrorCode::InvalidGrant);
}

#[tokio::test]
async fn a_grant_with_another_key_than_the_devices_gives_nothing() {
    let house = House::new().await;
    let device = started(&house).await;
    let user_code = UserCode::parse(&device.user_code).unwrap().hash(&house.key).unwrap();
    let record = house.store.device_by_user_code(&user_code, NOW).await.unwrap().unwrap();
    let other = GrantKey::generate().unwrap();
    let grant = GrantId::generate();
    let new = NewGrant {
        id: grant,
        user: alice(),
        client: record.client,
        scope: record.scope,
        created_at: NOW,
        expires_at: None,
        audience: record.audience,
        auth_time: Some(NOW),
        mailboxes: Vec::new(),
        public_key: *other.public().as_bytes(),
        credentials: vec![sealed(&other, grant)],
        code: None,
        tokens: Vec::new(),
    };
    house.store.approve_device(&user_code, new, NOW).await.unwrap();
    assert_eq!(code_of(poll(&house, &device, later(5)).await), ErrorCode::ServerError);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_fifty_uses_of_one_device_code_at_once_one_wins() {
    let house = House::new().await;
    let device = started(&house).await;
    approve(&house, &device).await;
    let mut uses = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (issuer, code) = (house.issuer.clone(), text(&device.device_code));
        uses.spawn(async move { raw(&issuer, later(5), &asking(&code)).await.is_ok() });
    }
    assert_eq!(uses.join_all().await.into_iter().filter(|won| *won).count(), 1);
}

#[tokio::test]
async fn what_a_device_may_not_ask_for_is_refused() {
    let house = House::new().await;
    let ask = async |pairs: &[(&str, &str)]| start(&house, [192, 0, 2, 7], pairs).await.map(|_| ());
    let open = ("client_id", "open");
    assert_eq!(code_of(ask(&[open, ("scope", "everything")]).await), ErrorCode::InvalidScope);
    assert_eq!(code_of(ask(&[open, ("scope", "im\"ap")]).await), ErrorCode::InvalidScope);
    assert_eq!(code_of(ask(&[open, ("resource", "https://other.example")]).await), ErrorCode::InvalidTarget);
    assert_eq!(code_of(ask(&[open, ("scope", "imap"), ("scope", "imap")]).await), ErrorCode::InvalidRequest);
    assert_eq!(code_of(ask(&[("client_id", "stranger")]).await), ErrorCode::InvalidClient);
    ask(&[open, ("resource", "imap://mail.example.org"), ("scope", "imap offline_access")]).await.unwrap();
    ask(&[open, ("scope", "imap everything")]).await.expect("what is unknown is left out, as from a browser");
    ask(&[open]).await.unwrap();

    let added = house.add_client(confidential()).await;
    let secret = text(added.secret.as_ref().unwrap());
    let pairs = [("client_id", added.client.id.as_str()), ("client_secret", &*secret)];
    assert_eq!(code_of(ask(&pairs).await), ErrorCode::UnauthorizedClient);
}

#[tokio::test]
async fn one_address_cannot_start_any_number_of_devices() {
    let house = House::new().await;
    let mut refused = None;
    for n in 0..1000 {
        if let Err(error) = start(&house, [192, 0, 2, 9], &[("client_id", "open")]).await {
            refused = Some((n, error.code));
            break;
        }
    }
    assert_eq!(refused, Some((50, ErrorCode::TemporarilyUnavailable)));
    start(&house, [192, 0, 2, 10], &[("client_id", "open")]).await.unwrap();
}

#[tokio::test]
async fn while_the_store_is_down_a_device_code_is_not_used_up() {
    let house = House::new().await;
    let device = started(&house).await;
    approve(&house, &device).await;
    house.go_down();
    assert_eq!(code_of(poll(&house, &device, later(5)).await), ErrorCode::TemporarilyUnavailable);
    let pairs = [("client_id", "open")];
    assert_eq!(code_of(start(&house, [192, 0, 2, 1], &pairs).await), ErrorCode::TemporarilyUnavailable);
    house.come_up();
    poll(&house, &device, later(10)).await.unwrap();
}
