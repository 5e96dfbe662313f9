//! Sign-in and consent: what the pages carry, who may send them back, and how often.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bearward::{
    issuer::RevocationReason,
    model::{CredentialKind, GrantId, Scope, TokenKind},
    store::{Exchanges, GrantFilter, NewToken, Redeemed, Store},
    token::{GrantKey, GrantPublicKey, OpaqueToken, SealContext},
};

use super::*;

fn parsed(code: &str) -> OpaqueToken {
    OpaqueToken::parse(code.as_bytes()).unwrap()
}

impl House {
    async fn allow(&self, page: &ConsentPage, browser: &Secret, now: UnixTime) -> Answer {
        self.issuer.decide(&page.state, true, Some(browser), now).await
    }

    async fn deny(&self, page: &ConsentPage, browser: &Secret, now: UnixTime) -> Answer {
        self.issuer.decide(&page.state, false, Some(browser), now).await
    }

    async fn grants(&self) -> usize {
        self.store.grants(GrantFilter::default()).await.unwrap().len()
    }

    async fn redeem(&self, code: &str) -> Redeemed {
        let token = NewToken {
            lookup: OpaqueToken::generate(TokenKind::Access).unwrap().lookup().unwrap(),
            kind: TokenKind::Access,
            scope: Scope::mail(),
            audience: ISSUER.to_owned(),
            certificate: None,
            created_at: NOW,
            expires_at: later(3600),
            wrapped_key: vec![7; 61],
        };
        self.store.redeem_code(&parsed(code).lookup().unwrap(), vec![token], NOW).await.unwrap()
    }
}

#[tokio::test]
async fn a_person_who_allows_sends_the_client_off_with_a_code_for_all_that_was_asked() {
    let house = House::new().await;
    let request = Request::open()
        .and("scope", "openid imap urn:ietf:params:oauth:scope:contacts")
        .and("nonce", "n-1")
        .and("max_age", "60")
        .and("resource", "imap.example.org");
    let (page, browser) = house.consent(&request).await;
    assert_eq!((page.user.as_str(), page.client_name.as_str()), (USER, "open"));
    assert_eq!((page.redirect_host.as_deref(), page.is_local), (Some("127.0.0.1"), true));
    assert_eq!(house.grants().await, 0);

    let code = code(house.allow(&page, &browser, later(5)).await);
    let record = house.store.code(&parsed(&code).lookup().unwrap()).await.unwrap().unwrap();
    assert_eq!(record.expires_at, later(65));
    assert_eq!(record.grant.user.as_str(), USER);
    assert_eq!(record.grant.scope.to_string(), "openid imap");
    assert_eq!((record.grant.auth_time, record.grant.created_at), (Some(NOW), later(5)));
    assert_eq!(record.grant.audience, ISSUER);
    let details: serde_json::Value = serde_json::from_str(&record.details).unwrap();
    assert_eq!(
        details,
        serde_json::json!({
            "client": "open", "redirect_uri": HERE, "code_challenge": CHALLENGE, "nonce": "n-1", "scope": "openid imap",
            "requested_scope": "openid imap urn:ietf:params:oauth:scope:contacts", "audience": ISSUER,
            "resource": ["imap.example.org"], "auth_time": NOW.0, "max_age": 60
        })
    );
}

#[tokio::test]
async fn the_password_opens_with_the_code_and_lies_nowhere_in_clear() {
    let house = House::new().await;
    let (page, browser) = house.consent(&Request::open()).await;
    let code = code(house.allow(&page, &browser, NOW).await);
    let token = parsed(&code);
    let record = house.store.code(&token.lookup().unwrap()).await.unwrap().unwrap();
    let public = GrantPublicKey::new(record.grant.public_key);
    let wrapped = record.wrapped_key.unwrap();
    let key = token.wrap_key(&house.key).unwrap();
    let key = GrantKey::unwrap(&wrapped, &key, record.grant.id, TokenKind::Code, public).unwrap();
    house.redeem(&code).await;
    let sealed = house.credentials(record.grant.id).await;
    let context = SealContext {
        grant: record.grant.id,
        user: &record.grant.user,
        backend: "main",
        kind: CredentialKind::Password,
    };
    assert_eq!(key.open(&sealed, &context).unwrap().expose(), PASSWORD.as_bytes());
    for secret in [PASSWORD.as_bytes(), code.as_bytes(), browser.expose()] {
        let holds = |octets: &[u8]| octets.windows(secret.len()).any(|window| window == secret);
        assert!(!holds(&house.stored()));
        assert!(!holds(&URL_SAFE_NO_PAD.decode(&page.state).unwrap()));
    }
}

impl House {
    /// The one sealed credential of a grant.
    async fn credentials(&self, grant: GrantId) -> Vec<u8> {
        let token = OpaqueToken::generate(TokenKind::Access).unwrap().lookup().unwrap();
        let new = NewToken {
            lookup: token,
            kind: TokenKind::Access,
            scope: Scope::mail(),
            audience: ISSUER.to_owned(),
            certificate: None,
            created_at: NOW,
            expires_at: later(3600),
            wrapped_key: vec![7; 61],
        };
        self.store.add_token(grant, new, NOW).await.unwrap();
        let record = self.store.token(&token).await.unwrap().unwrap();
        assert_eq!(record.credentials.len(), 1);
        record.credentials[0].sealed.clone()
    }
}

#[tokio::test]
async fn no_other_browser_can_send_a_page_back() {
    let house = House::new().await;
    let page = house.page(&Request::open()).await;
    let (consent, browser) = house.consent(&Request::open()).await;
    let other = house.page(&Request::open()).await.browser;
    let token = |kind| OpaqueToken::generate(kind).unwrap().text();
    let mut changed = browser.expose().to_vec();
    changed[20] ^= 1;
    let cookies = [
        None,
        Some(Secret::default()),
        Some(other),
        Some(token(TokenKind::Access)),
        Some(token(TokenKind::Browser)),
        Some(Secret::from(changed)),
    ];
    for cookie in cookies {
        let form =
            SignInForm { state: &page.state, login: USER, password: Secret::copy_of(PASSWORD.as_bytes()) };
        let answer = house.issuer.sign_in(form, cookie.as_ref(), &caller("198.51.100.7"), NOW).await;
        assert_eq!(page_error(answer), PageError::Stale, "{cookie:?}");
        for allow in [true, false] {
            let answer = house.issuer.decide(&consent.state, allow, cookie.as_ref(), NOW).await;
            assert_eq!(page_error(answer), PageError::Stale, "{cookie:?}");
        }
    }
    // Nor another server with the same cookie.
    let elsewhere = House::new().await;
    assert_eq!(page_error(elsewhere.allow(&consent, &browser, NOW).await), PageError::Stale);
    assert_eq!(house.mail.asked(), 1);
    assert_eq!(house.grants().await, 0);
    code(house.allow(&consent, &browser, NOW).await);
}

#[tokio::test]
async fn a_browser_keeps_its_cookie_and_a_made_up_one_is_replaced() {
    let house = House::new().await;
    let first = house.page(&Request::open()).await.browser;
    let again = async |cookie: &Secret| {
        sign_in_page(house.issuer.authorize(&Request::open().params(), Some(cookie), NOW).await).browser
    };
    assert_eq!(again(&first).await, first);
    let fixed = Secret::copy_of(b"bwb_fixed");
    assert_ne!(again(&fixed).await, fixed);
    let refresh = OpaqueToken::generate(TokenKind::Refresh).unwrap().text();
    assert_ne!(again(&refresh).await, refresh);
}

#[tokio::test]
async fn a_state_that_was_changed_anywhere_or_belongs_to_the_other_page_is_refused() {
    let house = House::new().await;
    let page = house.page(&Request::open()).await;
    let (consent, browser) = house.consent(&Request::open()).await;
    for (state, other, browser) in
        [(&page.state, &consent.state, &page.browser), (&consent.state, &page.state, &browser)]
    {
        let octets = URL_SAFE_NO_PAD.decode(state).unwrap();
        let mut texts: Vec<String> = (0..octets.len())
            .map(|place| {
                let mut changed = octets.clone();
                changed[place] ^= 0x40;
                URL_SAFE_NO_PAD.encode(changed)
            })
            .collect();
        texts.extend((0..state.len()).step_by(97).map(|length| state[..length].to_owned()));
        texts.extend([format!("{state}="), format!("{state}A"), "A".repeat(100_000), "\0".to_owned()]);
        for text in &texts {
            let form =
                SignInForm { state: text, login: USER, password: Secret::copy_of(PASSWORD.as_bytes()) };
            let signed_in = house.issuer.sign_in(form, Some(browser), &caller("198.51.100.7"), NOW).await;
            assert_eq!(page_error(signed_in), PageError::Stale);
            let decided = house.issuer.decide(text, true, Some(browser), NOW).await;
            assert_eq!(page_error(decided), PageError::Stale);
        }
        assert_ne!(state, other);
    }
    // Each page's state at the place of the other, with the cookie that it was made for.
    let decided = house.issuer.decide(&page.state, true, Some(&page.browser), NOW).await;
    assert_eq!(page_error(decided), PageError::Stale);
    let form =
        SignInForm { state: &consent.state, login: USER, password: Secret::copy_of(PASSWORD.as_bytes()) };
    let signed_in = house.issuer.sign_in(form, Some(&browser), &caller("198.51.100.7"), NOW).await;
    assert_eq!(page_error(signed_in), PageError::Stale);
}

#[tokio::test]
async fn a_page_lasts_a_quarter_of_an_hour() {
    let house = House::new().await;
    let page = house.page(&Request::open()).await;
    let sign_in = async |now| {
        let form =
            SignInForm { state: &page.state, login: USER, password: Secret::copy_of(PASSWORD.as_bytes()) };
        house.issuer.sign_in(form, Some(&page.browser), &caller("198.51.100.7"), now).await
    };
    assert_eq!(page_error(sign_in(later(900)).await), PageError::Stale);
    let consent = consent_page(sign_in(later(899)).await);
    assert_eq!(page_error(house.allow(&consent, &page.browser, later(899 + 900)).await), PageError::Stale);
    code(house.allow(&consent, &page.browser, later(899 + 899)).await);
}

#[tokio::test]
async fn allowing_twice_gives_the_same_code_while_it_is_good() {
    let house = House::new().await;
    let (page, browser) = house.consent(&Request::open()).await;
    let first = redirect(house.allow(&page, &browser, NOW).await);
    let again = redirect(house.allow(&page, &browser, later(59)).await);
    assert!(first == again);
    assert_eq!(house.grants().await, 1);
    assert_eq!(page_error(house.allow(&page, &browser, later(60)).await), PageError::Answered);
}

#[tokio::test]
async fn two_clicks_at_once_make_one_grant() {
    let house = House::new().await;
    let (page, browser) = house.consent(&Request::open()).await;
    let (one, two) = tokio::join!(house.allow(&page, &browser, NOW), house.allow(&page, &browser, NOW));
    assert_eq!(code(one), code(two));
    assert_eq!(house.grants().await, 1);
}

#[tokio::test]
async fn a_page_whose_code_was_used_or_revoked_gives_nothing_more() {
    let house = House::new().await;
    let (page, browser) = house.consent(&Request::open()).await;
    let code_text = code(house.allow(&page, &browser, NOW).await);
    assert_eq!(house.redeem(&code_text).await, Redeemed::Done);
    assert_eq!(page_error(house.allow(&page, &browser, later(1)).await), PageError::Answered);
    let (page, browser) = house.consent(&Request::open()).await;
    let code_text = code(house.allow(&page, &browser, NOW).await);
    let record = house.store.code(&parsed(&code_text).lookup().unwrap()).await.unwrap().unwrap();
    house.store.revoke_grant(record.grant.id, RevocationReason::Operator, NOW).await.unwrap();
    assert_eq!(page_error(house.allow(&page, &browser, later(1)).await), PageError::Answered);
}

#[tokio::test]
async fn a_request_is_answered_once_however_the_person_goes_back() {
    let house = House::new().await;
    // Back to the sign-in page and through it again: a second consent page of the same request.
    let page = house.page(&Request::open()).await;
    let one = consent_page(house.sign_in(&page, USER, PASSWORD).await);
    let two = consent_page(house.sign_in(&page, USER, PASSWORD).await);
    code(house.allow(&one, &page.browser, NOW).await);
    assert_eq!(page_error(house.allow(&two, &page.browser, NOW).await), PageError::Answered);
    assert_eq!(page_error(house.deny(&one, &page.browser, NOW).await), PageError::Answered);
    let three = consent_page(house.sign_in(&page, USER, PASSWORD).await);
    assert_eq!(page_error(house.allow(&three, &page.browser, NOW).await), PageError::Answered);
    assert_eq!(house.grants().await, 1);
}

#[tokio::test]
async fn what_was_refused_stays_refused() {
    let house = House::new().await;
    let page = house.page(&Request::open()).await;
    let one = consent_page(house.sign_in(&page, USER, PASSWORD).await);
    let denied = redirect(house.deny(&one, &page.browser, NOW).await);
    assert_eq!(error(&denied), "access_denied");
    assert_eq!(Carried::by(&denied).get("state"), Some("xyz"));
    assert!(redirect(house.deny(&one, &page.browser, NOW).await) == denied);
    assert_eq!(page_error(house.allow(&one, &page.browser, NOW).await), PageError::Answered);
    let two = consent_page(house.sign_in(&page, USER, PASSWORD).await);
    assert_eq!(page_error(house.allow(&two, &page.browser, NOW).await), PageError::Answered);
    assert_eq!(house.grants().await, 0);
}

#[tokio::test]
async fn consent_is_remembered_only_of_a_client_that_can_prove_who_it_is() {
    let house = House::new().await;
    for request in [Request::open(), Request::of(&house.stranger, ABROAD)] {
        for _ in 0..2 {
            let (page, browser) = house.consent(&request).await;
            code(house.allow(&page, &browser, NOW).await);
        }
    }
    let webmail = Request::of(&house.webmail, WEBMAIL);
    let narrow = webmail.clone().and("scope", "imap");
    let (page, browser) = house.consent(&narrow).await;
    assert!(page.is_vouched_for);
    redirect(house.deny(&page, &browser, NOW).await);
    let (page, browser) = house.consent(&narrow).await;
    code(house.allow(&page, &browser, NOW).await);
    let sign_in = async |request: &Request| {
        let page = house.page(request).await;
        house.sign_in(&page, USER, PASSWORD).await
    };
    code(sign_in(&narrow).await);
    consent_page(sign_in(&narrow.clone().and("prompt", "consent")).await);
    consent_page(sign_in(&webmail.and("scope", "imap smtp")).await);
    let page = house.page(&narrow).await;
    consent_page(house.sign_in(&page, "alice", PASSWORD).await);
}

#[tokio::test]
async fn a_jwt_that_could_open_no_mailbox_is_refused_before_consent() {
    let house = House::new().await;
    let jwt = ClientMetadata {
        redirect_uris: vec![WEBMAIL.to_owned()],
        token_endpoint_auth_method: AuthMethod::ClientSecretBasic,
        grant_types: vec![GrantType::AuthorizationCode, GrantType::RefreshToken],
        response_types: vec!["code".to_owned()],
        client_name: Some("Archive".to_owned()),
        access_token_format: AccessTokenFormat::Jwt,
        ..ClientMetadata::default()
    };
    let id = house.issuer.add_client(jwt, NOW).await.unwrap().client.id.clone();
    let page = house.page(&Request::of(&id, WEBMAIL)).await;
    let answer = redirect(house.sign_in(&page, USER, PASSWORD).await);
    assert!(
        answer.uri.contains("error=unauthorized_client") && answer.uri.contains("sealed"),
        "{}",
        answer.uri
    );
    assert_eq!(house.grants().await, 0);
}

#[tokio::test]
async fn a_client_that_was_removed_meanwhile_gets_nothing() {
    let house = House::new().await;
    let request = Request::of(&house.stranger, ABROAD);
    let page = house.page(&request).await;
    let (consent, browser) = house.consent(&request).await;
    house.issuer.remove_client(&house.stranger, NOW).await.unwrap();
    for answer in [
        house.sign_in(&page, USER, PASSWORD).await,
        house.allow(&consent, &browser, NOW).await,
        house.deny(&consent, &browser, NOW).await,
    ] {
        assert!(matches!(page_error(answer), PageError::BadRequest(_)));
    }
    assert_eq!((house.mail.asked(), house.grants().await), (1, 0));
}

#[tokio::test]
async fn a_store_that_is_down_makes_no_grant_and_can_be_tried_again() {
    let house = House::new().await;
    let (page, browser) = house.consent(&Request::open()).await;
    house.store.down.store(true, Ordering::SeqCst);
    match house.allow(&page, &browser, NOW).await {
        Answer::Page(Page::Error(PageError::Unavailable)) => {}
        Answer::Redirect(redirect) => assert_eq!(error(&redirect), "temporarily_unavailable"),
        answer @ (Answer::Page(_) | Answer::SignedIn(_)) => panic!("{answer:?}"),
    }
    house.store.down.store(false, Ordering::SeqCst);
    code(house.allow(&page, &browser, NOW).await);
}

#[tokio::test]
async fn no_answer_prints_its_code() {
    let house = House::new().await;
    for mode in ["query", "form_post"] {
        let (page, browser) = house.consent(&Request::open().and("response_mode", mode)).await;
        let answer = house.allow(&page, &browser, NOW).await;
        let printed = format!("{answer:?}");
        assert!(!printed.contains(&code(answer)) && !printed.contains("bwc_"), "{printed}");
    }
}
