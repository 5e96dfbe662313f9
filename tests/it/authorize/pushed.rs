//! Pushed authorization requests (RFC 9126).

use bearward::issuer::{Call, ErrorCode, OAuthError, PageError, Pushed};

use super::*;

impl House {
    async fn push(&self, request: &Request) -> Result<Pushed, OAuthError> {
        self.push_from(request, "198.51.100.7").await
    }

    async fn push_from(&self, request: &Request, address: &str) -> Result<Pushed, OAuthError> {
        let (params, caller) = (request.params(), caller(address));
        let call = Call { params: &params, authorization: None, caller: &caller, now: NOW };
        self.issuer.push_authorization_request(&call).await
    }
}

fn by(client: &ClientId, pushed: &Pushed) -> Request {
    Request(Vec::new()).and("client_id", client.as_str()).and("request_uri", &pushed.request_uri)
}

#[tokio::test]
async fn a_pushed_request_leads_to_a_code_for_what_was_pushed() {
    let house = House::new().await;
    let request = Request::of(&house.stranger, ABROAD).and("scope", "imap");
    let pushed = house.push(&request).await.unwrap();
    assert!(pushed.request_uri.starts_with("urn:ietf:params:oauth:request_uri:"));
    assert_eq!(pushed.expires_in, Duration::from_secs(90));
    // What stands beside it does not count.
    let front = by(&house.stranger, &pushed)
        .and("scope", "smtp")
        .and("redirect_uri", "https://evil.example/")
        .and("state", "injected");
    let (page, browser) = house.consent(&front).await;
    assert_eq!(page.scope.to_string(), "imap");
    let answer = redirect(house.issuer.decide(&page.state, true, Some(&browser), NOW).await);
    assert!(answer.uri.starts_with(&format!("{ABROAD}?code=")));
    assert_eq!(Carried::by(&answer).get("state"), Some("xyz"));
    assert_eq!(Carried::by(&answer).get("iss"), Some(ISSUER));
}

#[tokio::test]
async fn a_pushed_request_is_good_in_one_browser_for_one_client_and_a_minute_and_a_half() {
    let house = House::new().await;
    let request = Request::of(&house.stranger, ABROAD);
    let pushed = house.push(&request).await.unwrap();
    let refused = async |request: &Request, cookie: Option<&Secret>, now| {
        let answer = house.issuer.authorize(&request.params(), cookie, now).await;
        assert!(matches!(page_error(answer), PageError::BadRequest(_)));
    };
    refused(&by(&ClientId::open(), &pushed), None, NOW).await;
    refused(&by(&house.stranger, &pushed), None, later(90)).await;
    let front = by(&house.stranger, &pushed);
    let page = house.page(&front).await;
    refused(&front, None, NOW).await;
    // The browser that was first may load the page again, and yet gets one answer.
    let again = sign_in_page(house.issuer.authorize(&front.params(), Some(&page.browser), later(89)).await);
    assert_eq!(again.browser, page.browser);
    let one = consent_page(house.sign_in(&page, USER, PASSWORD).await);
    let two = consent_page(house.sign_in(&again, USER, PASSWORD).await);
    code(house.issuer.decide(&one.state, true, Some(&page.browser), NOW).await);
    let answer = house.issuer.decide(&two.state, true, Some(&page.browser), NOW).await;
    assert_eq!(page_error(answer), PageError::Answered);
    refused(&front, Some(&page.browser), later(90)).await;
}

#[tokio::test]
async fn of_many_browsers_at_once_one_gets_the_pushed_request() {
    let house = House::new().await;
    let pushed = house.push(&Request::of(&house.stranger, ABROAD)).await.unwrap();
    let front = by(&house.stranger, &pushed);
    let answers = tokio::join!(house.ask(&front), house.ask(&front), house.ask(&front), house.ask(&front));
    let answers = [answers.0, answers.1, answers.2, answers.3];
    let pages = answers.iter().filter(|answer| matches!(answer, Answer::Page(Page::SignIn(_)))).count();
    assert_eq!(pages, 1);
}

#[tokio::test]
async fn nothing_is_pushed_that_would_be_refused_in_front() {
    let house = House::new().await;
    let good = Request::of(&house.stranger, ABROAD);
    let pushed = house.push(&good).await.unwrap();
    for (request, error) in [
        (good.clone().with("redirect_uri", "https://evil.example/"), ErrorCode::InvalidRequest),
        (good.clone().without("redirect_uri"), ErrorCode::InvalidRequest),
        (good.clone().and("request_uri", &pushed.request_uri), ErrorCode::InvalidRequest),
        (good.clone().and("request", "eyJ"), ErrorCode::RequestNotSupported),
        (good.clone().with("code_challenge_method", "plain"), ErrorCode::InvalidRequest),
        (good.clone().and("scope", "contacts"), ErrorCode::InvalidScope),
        (good.clone().and("resource", "evil.example"), ErrorCode::InvalidTarget),
        (good.clone().and("prompt", "none"), ErrorCode::LoginRequired),
        (good.clone().and("claims", &"x".repeat(9000)), ErrorCode::InvalidRequest),
        (good.clone().with("client_id", "nobody"), ErrorCode::InvalidClient),
        (Request::of(&house.webmail, WEBMAIL), ErrorCode::InvalidClient),
    ] {
        assert_eq!(house.push(&request).await.unwrap_err().code, error, "{:?}", request.0);
    }
}

#[tokio::test]
async fn a_made_up_request_uri_leads_nowhere() {
    let house = House::new().await;
    let pushed = house.push(&Request::of(&house.stranger, ABROAD)).await.unwrap();
    let mut cut = pushed.request_uri.clone();
    cut.pop();
    for uri in ["urn:ietf:params:oauth:request_uri:", "urn:ietf:params:oauth:request_uri:x", &cut] {
        let front = Request::of(&house.stranger, ABROAD).and("request_uri", uri);
        assert!(matches!(page_error(house.ask(&front).await), PageError::BadRequest(_)), "{uri}");
    }
}

#[tokio::test]
async fn a_client_that_must_push_is_refused_in_front() {
    let house = House::new().await;
    let metadata = ClientMetadata {
        redirect_uris: vec![WEBMAIL.to_owned()],
        grant_types: vec![GrantType::AuthorizationCode, GrantType::RefreshToken],
        response_types: vec!["code".to_owned()],
        require_pushed_authorization_requests: true,
        ..ClientMetadata::default()
    };
    let client = house.issuer.add_client(metadata, NOW).await.unwrap().client.id.clone();
    let request = Request::of(&client, WEBMAIL);
    assert_eq!(error(&redirect(house.ask(&request).await)), "invalid_request");
    let pushed = house.push(&request).await.unwrap();
    house.page(&by(&client, &pushed)).await;
}

#[tokio::test]
async fn public_clients_cannot_fill_the_store_by_pushing() {
    let house = House::new().await;
    let request = Request::open();
    let mut pushed = 0;
    let refused = loop {
        match house.push(&request).await {
            Ok(_) => pushed += 1,
            Err(refused) => break refused,
        }
    };
    assert_eq!(refused.code, ErrorCode::TemporarilyUnavailable);
    assert_eq!(pushed, 31);
    house.push_from(&request, "203.0.113.1").await.unwrap();
}

#[tokio::test]
async fn what_was_pushed_is_not_readable_in_the_store() {
    let house = House::new().await;
    house.push(&Request::of(&house.stranger, ABROAD).and("login_hint", "someone-special")).await.unwrap();
    assert!(!house.stored().windows(15).any(|window| window == b"someone-special"));
}
