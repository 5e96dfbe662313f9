//! The pages on which a person lets a device in (RFC 8628 §3.3).

use bearward::{
    issuer::{DeviceCodePage, DonePage, PageError},
    model::{CredentialKind, Scope, TokenKind},
    store::{DevicePoll, DeviceState, Exchanges, GrantFilter, NewDevice, NewToken, Redeemed, Store},
    token::{GrantKey, OpaqueToken, SealContext, UserCode},
};

use super::*;

struct Device {
    token: OpaqueToken,
    user_code: UserCode,
}

impl House {
    async fn device(&self) -> Device {
        let token = OpaqueToken::generate(TokenKind::Device).unwrap();
        let user_code = UserCode::generate().unwrap();
        let key = GrantKey::of_device_code(&token, &self.key).unwrap();
        let new = NewDevice {
            lookup: token.lookup().unwrap(),
            user_code: user_code.hash(&self.key).unwrap(),
            client: ClientId::open(),
            scope: "imap smtp".parse().unwrap(),
            audience: ISSUER.to_owned(),
            public_key: *key.public().as_bytes(),
            details: serde_json::json!({ "address": "203.0.113.50", "user_code": user_code.text() })
                .to_string(),
            created_at: later(-20),
            expires_at: later(580),
            interval: 5,
        };
        self.store.create_device(new).await.unwrap();
        Device { token, user_code }
    }

    async fn look_up(&self, code: &str, address: &str) -> Answer {
        self.issuer.device_lookup(code, None, &caller(address), NOW).await
    }

    async fn device_consent(&self, device: &Device) -> (ConsentPage, Secret) {
        let page = sign_in_page(self.look_up(&device.user_code.text(), "198.51.100.7").await);
        let consent = consent_page(self.sign_in(&page, USER, PASSWORD).await);
        (consent, page.browser)
    }

    async fn state_of(&self, device: &Device) -> DeviceState {
        let hash = device.user_code.hash(&self.key).unwrap();
        self.store.device_by_user_code(&hash, NOW).await.unwrap().unwrap().state
    }
}

fn code_page(answer: Answer) -> DeviceCodePage {
    let Answer::Page(Page::DeviceCode(page)) = answer else { panic!("no page for a code: {answer:?}") };
    page
}

fn done(answer: Answer) -> DonePage {
    let Answer::Page(Page::Done(page)) = answer else { panic!("not done: {answer:?}") };
    page
}

#[tokio::test]
async fn a_code_in_the_address_only_fills_the_field() {
    let house = House::new().await;
    let device = house.device().await;
    let text = device.user_code.text();
    assert_eq!(code_page(house.issuer.device_page(Some(&text.to_lowercase()))).user_code, Some(text));
    for other in [None, Some(""), Some("<script>"), Some("AEIOU-123")] {
        assert_eq!(code_page(house.issuer.device_page(other)).user_code, None);
    }
}

#[tokio::test]
async fn a_person_lets_a_device_in_and_only_the_device_opens_the_password() {
    let house = House::new().await;
    let device = house.device().await;
    let (page, browser) = house.device_consent(&device).await;
    assert_eq!(page.scope.to_string(), "imap smtp");
    assert_eq!(
        (page.redirect_host.as_deref(), page.is_local, page.form_target.as_deref()),
        (None, false, None)
    );
    let place = page.device.clone().unwrap();
    assert_eq!(place.user_code, device.user_code.text());
    assert_eq!((place.address, place.started_at), ("203.0.113.50".parse().unwrap(), later(-20)));
    assert_eq!(house.state_of(&device).await, DeviceState::Pending);

    let allow = async || house.issuer.decide(&page.state, true, Some(&browser), NOW).await;
    assert_eq!(done(allow().await), DonePage::DeviceAllowed);
    assert_eq!(done(allow().await), DonePage::DeviceAllowed, "a form sent twice");
    assert_eq!(house.store.grants(GrantFilter::default()).await.unwrap().len(), 1);

    let lookup = device.token.lookup().unwrap();
    let polled = house.store.poll_device(&lookup, &ClientId::open(), NOW).await.unwrap();
    let DevicePoll::Approved(grant) = polled else { panic!("{polled:?}") };
    assert_eq!((grant.user.as_str(), grant.auth_time), (USER, Some(NOW)));
    let access = OpaqueToken::generate(TokenKind::Access).unwrap().lookup().unwrap();
    let token = NewToken {
        lookup: access,
        kind: TokenKind::Access,
        scope: Scope::mail(),
        audience: ISSUER.to_owned(),
        certificate: None,
        created_at: NOW,
        expires_at: later(3600),
        wrapped_key: vec![7; 61],
    };
    assert_eq!(house.store.redeem_device(&lookup, vec![token], NOW).await.unwrap(), Redeemed::Done);
    let record = house.store.token(&access).await.unwrap().unwrap();
    let kind = CredentialKind::Password;
    let context = SealContext { grant: grant.id, user: &grant.user, backend: "main", kind };
    let key = GrantKey::of_device_code(&device.token, &house.key).unwrap();
    assert_eq!(key.open(&record.credentials[0].sealed, &context).unwrap().expose(), PASSWORD.as_bytes());
}

#[tokio::test]
async fn a_device_is_answered_once() {
    let house = House::new().await;
    let device = house.device().await;
    let (one, first) = house.device_consent(&device).await;
    let (two, second) = house.device_consent(&device).await;
    let decide = async |page: &ConsentPage, browser: &Secret, allow| {
        house.issuer.decide(&page.state, allow, Some(browser), NOW).await
    };
    assert_eq!(done(decide(&one, &first, false).await), DonePage::DeviceDenied);
    assert_eq!(done(decide(&one, &first, false).await), DonePage::DeviceDenied, "a form sent twice");
    for (page, browser) in [(&one, &first), (&two, &second)] {
        assert_eq!(page_error(decide(page, browser, true).await), PageError::Answered);
    }
    assert_eq!(house.state_of(&device).await, DeviceState::Denied);
    assert!(code_page(house.look_up(&device.user_code.text(), "198.51.100.7").await).is_unknown);

    let device = house.device().await;
    let (one, first) = house.device_consent(&device).await;
    let (two, second) = house.device_consent(&device).await;
    done(decide(&one, &first, true).await);
    assert_eq!(page_error(decide(&one, &first, false).await), PageError::Answered);
    assert_eq!(page_error(decide(&two, &second, true).await), PageError::Answered);
    assert_eq!(house.store.grants(GrantFilter::default()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn no_other_browser_lets_a_device_in() {
    let house = House::new().await;
    let device = house.device().await;
    let (page, _) = house.device_consent(&device).await;
    let (_, other) = house.device_consent(&device).await;
    for cookie in [None, Some(&other)] {
        let answer = house.issuer.decide(&page.state, true, cookie, NOW).await;
        assert_eq!(page_error(answer), PageError::Stale);
    }
    assert_eq!(house.state_of(&device).await, DeviceState::Pending);
}

#[tokio::test]
async fn unknown_answered_and_expired_codes_look_alike() {
    let house = House::new().await;
    let device = house.device().await;
    let unknown = format!("{:?}", house.look_up("BCDF-GHJK", "198.51.100.7").await);
    let expired =
        house.issuer.device_lookup(&device.user_code.text(), None, &caller("198.51.100.7"), later(580)).await;
    assert_eq!(format!("{expired:?}"), unknown);
    let none = house.look_up("not a code", "198.51.100.7").await;
    assert_eq!(format!("{none:?}"), unknown);
    assert!(code_page(none).is_unknown);
}

#[tokio::test]
async fn a_device_that_expires_while_the_person_thinks_is_not_let_in() {
    let house = House::new().await;
    let device = house.device().await;
    let (page, browser) = house.device_consent(&device).await;
    let answer = house.issuer.decide(&page.state, true, Some(&browser), later(580)).await;
    assert_eq!(page_error(answer), PageError::Stale);
    assert_eq!(house.store.grants(GrantFilter::default()).await.unwrap(), []);
}

#[tokio::test]
async fn guessing_codes_ends_soon_and_a_right_code_counts_for_nothing() {
    let house = House::new().await;
    let device = house.device().await;
    let text = device.user_code.text();
    for _ in 0..30 {
        sign_in_page(house.look_up(&text, "198.51.100.7").await);
        assert!(code_page(house.look_up("no code at all", "198.51.100.7").await).is_unknown);
    }
    let mut guesses = 0;
    while code_page(house.look_up(&UserCode::generate().unwrap().text(), "198.51.100.7").await).is_unknown {
        guesses += 1;
    }
    assert_eq!(guesses, 11);
    let page = code_page(house.look_up(&text, "198.51.100.7").await);
    assert_eq!((page.is_unknown, page.retry_after), (false, Some(30)));
    sign_in_page(house.look_up(&text, "203.0.113.1").await);
}

#[tokio::test]
async fn wrong_passwords_are_bounded_here_as_well() {
    let house = House::new().await;
    let device = house.device().await;
    let page = sign_in_page(house.look_up(&device.user_code.text(), "198.51.100.7").await);
    assert_eq!(page.client_name, "open");
    for _ in 0..4 {
        assert_eq!(sign_in_error(house.sign_in(&page, USER, "wrong").await), SignInError::Wrong);
    }
    assert_eq!(page_error(house.sign_in(&page, USER, "wrong").await), PageError::Dead);
    assert_eq!(page_error(house.sign_in(&page, USER, PASSWORD).await), PageError::Dead);
}
