//! What a request may say, and who is told when it says something else.

use bearward::issuer::{Answer, LeavePage, Page, PageError, RedirectMode};

use super::*;

fn leave_page(answer: Answer) -> LeavePage {
    let Answer::Page(Page::Leave(page)) = answer else {
        panic!("no page that asks before leaving: {answer:?}")
    };
    page
}

#[tokio::test]
async fn a_request_in_order_shows_the_sign_in_page_and_leaves_nothing_behind() {
    let house = House::new().await;
    let before = house.stored();
    let page = house.page(&Request::of(&house.stranger, ABROAD).and("login_hint", USER)).await;
    assert_eq!(page.client_name, "Stranger");
    assert!(!page.is_vouched_for);
    assert_eq!(page.login_hint.as_deref(), Some(USER));
    assert_eq!(page.form_target.as_deref(), Some("https://stranger.example"));
    assert_eq!(page.error, None);
    assert!(house.page(&Request::of(&house.webmail, WEBMAIL)).await.is_vouched_for);
    assert!(!house.page(&Request::open()).await.is_vouched_for);
    assert!(house.stored() == before);
    assert_eq!(house.mail.asked(), 0);
}

#[tokio::test]
async fn nobody_is_sent_to_where_no_registered_client_may_be_sent() {
    let house = House::new().await;
    let good = Request::of(&house.stranger, ABROAD);
    let mut bad = vec![
        good.clone().without("client_id"),
        good.clone().with("client_id", "somebody"),
        good.clone().with("client_id", "\u{e9}"),
        good.clone().and("client_id", house.stranger.as_str()),
        good.clone().without("redirect_uri"),
        good.clone().and("redirect_uri", ABROAD),
    ];
    for uri in [
        "https://stranger.example/cb/",
        "https://stranger.example/cb?x=1",
        "https://stranger.example/cb#x",
        "https://stranger.example/CB",
        "https://stranger.example/a/../cb",
        "https://stranger.example:444/cb",
        "https://stranger.example@evil.example/cb",
        "https://stranger.example.evil.example/cb",
        "https://stranger.example/%63b",
        "http://stranger.example/cb",
        "http://127.0.0.1:1/",
        "javascript:alert(1)",
        "//stranger.example/cb",
        "",
    ] {
        bad.push(good.clone().with("redirect_uri", uri));
    }
    // Also with a second fault that would be told the client.
    for request in bad.iter().flat_map(|request| [request.clone(), request.clone().without("code_challenge")])
    {
        let error = page_error(house.ask(&request).await);
        assert!(matches!(error, PageError::BadRequest(_)), "{:?}: {error:?}", request.0);
    }
}

#[tokio::test]
async fn every_other_error_goes_back_to_the_client_with_state_and_issuer() {
    let house = House::new().await;
    let good = Request::open();
    let long = "x".repeat(3000);
    for (request, error_code) in [
        (good.clone().without("response_type"), "invalid_request"),
        (good.clone().with("response_type", "token"), "unsupported_response_type"),
        (good.clone().with("response_type", "code id_token"), "unsupported_response_type"),
        (good.clone().and("response_mode", "fragment"), "invalid_request"),
        (good.clone().and("request", "eyJ"), "request_not_supported"),
        (good.clone().and("request_uri", "https://stranger.example/request"), "request_uri_not_supported"),
        (good.clone().and("registration", "{}"), "registration_not_supported"),
        (good.clone().and("nonce", &long), "invalid_request"),
        (good.clone().and("max_age", "-1"), "invalid_request"),
        (good.clone().and("max_age", "+1"), "invalid_request"),
        (good.clone().and("max_age", "soon"), "invalid_request"),
        (good.clone().and("max_age", "99999999999999999999"), "invalid_request"),
        (good.clone().and("prompt", "none"), "login_required"),
        (good.clone().and("prompt", "none login"), "invalid_request"),
        (good.clone().and("prompt", "none none"), "invalid_request"),
        (good.clone().and("prompt", "create"), "invalid_request"),
        (good.clone().and("scope", "contacts"), "invalid_scope"),
        (good.clone().and("scope", "offline_access"), "invalid_scope"),
        (good.clone().and("scope", "im\"ap"), "invalid_scope"),
        (good.clone().and("scope", "im\u{e4}p"), "invalid_scope"),
        (good.clone().and("resource", "https://stranger.example"), "invalid_target"),
    ] {
        let redirect = redirect(house.ask(&request).await);
        assert!(redirect.uri.starts_with(&format!("{HERE}?")), "{}", redirect.uri);
        assert_eq!(error(&redirect), error_code, "{:?}", request.0);
        assert_eq!(Carried::by(&redirect).get("state"), Some("xyz"), "{:?}", request.0);
        assert!(Carried::by(&redirect).get("error_description").is_some_and(|text| !text.is_empty()));
    }
}

#[tokio::test]
async fn no_known_parameter_comes_twice_and_unknown_ones_are_ignored() {
    let house = House::new().await;
    for name in [
        "response_type",
        "code_challenge",
        "code_challenge_method",
        "scope",
        "nonce",
        "prompt",
        "max_age",
        "login_hint",
        "claims",
        "ui_locales",
        "id_token_hint",
        "response_mode",
    ] {
        let value = if name == "response_mode" { "query" } else { "code" };
        let request = Request::open().with(name, value).and(name, value);
        assert_eq!(error(&redirect(house.ask(&request).await)), "invalid_request", "{name}");
    }
    let twice = redirect(house.ask(&Request::open().and("state", "abc")).await);
    assert_eq!(error(&twice), "invalid_request");
    assert_eq!(Carried::by(&twice).get("state"), None);
    // Without a value it counts as left out.
    house
        .page(
            &Request::open().and("state", "").and("utm_source", "a").and("utm_source", "b").and("prompt", ""),
        )
        .await;
    house
        .page(
            &Request::open()
                .and("claims", "{}")
                .and("id_token_hint", "x")
                .and("ui_locales", "de")
                .and("dpop_jkt", "x"),
        )
        .await;
}

#[tokio::test]
async fn no_client_gets_by_without_a_hashed_challenge() {
    let house = House::new().await;
    for (client, uri) in [(ClientId::open(), HERE), (house.webmail.clone(), WEBMAIL)] {
        let good = Request::of(&client, uri);
        let mut bad = vec![
            good.clone().without("code_challenge"),
            good.clone().without("code_challenge_method"),
            good.clone().without("code_challenge").without("code_challenge_method"),
            good.clone().with("code_challenge_method", "plain"),
            good.clone().with("code_challenge_method", "s256"),
            good.clone().with("code_challenge_method", "S512"),
        ];
        let lengths = [0, 1, 42, 44, 128].map(|length| "a".repeat(length));
        let others = [
            "=".repeat(43),
            format!("{}=", &CHALLENGE[..42]),
            CHALLENGE.replace('-', "+"),
            format!("{}.", &CHALLENGE[..42]),
        ];
        bad.extend(
            lengths.iter().chain(&others).map(|challenge| good.clone().with("code_challenge", challenge)),
        );
        for request in bad {
            assert_eq!(error(&redirect(house.ask(&request).await)), "invalid_request", "{:?}", request.0);
        }
    }
}

#[tokio::test]
async fn a_stranger_makes_no_open_redirector_of_this_server() {
    let house = House::new().await;
    for wrong in ["prompt", "scope"] {
        let request = |client, uri| Request::of(client, uri).and(wrong, "none");
        let page = leave_page(house.ask(&request(&house.stranger, ABROAD)).await);
        assert_eq!(page.host, "stranger.example");
        assert!(page.redirect.uri.starts_with("https://stranger.example/cb?error="));
        assert!(!error(&page.redirect).is_empty());
        let app = redirect(house.ask(&request(&house.stranger, "org.example.app:/cb")).await);
        assert!(app.uri.starts_with("org.example.app:/cb?error="), "{}", app.uri);
        let vouched = redirect(house.ask(&request(&house.webmail, WEBMAIL)).await);
        assert!(vouched.uri.starts_with("https://webmail.example/cb?tenant=7&error="), "{}", vouched.uri);
    }
}

#[tokio::test]
async fn scope_is_what_the_client_asks_for_as_far_as_it_may() {
    let house = House::new().await;
    let consented = async |request: Request| house.consent(&request).await.0.scope.to_string();
    let mail = "urn:ietf:params:oauth:scope:mail";
    assert_eq!(consented(Request::open()).await, mail);
    assert_eq!(consented(Request::open().and("scope", " ")).await, mail);
    let all = format!("offline_access smtp {mail} urn:ietf:params:oauth:scope:contacts imap");
    assert_eq!(
        consented(Request::open().and("scope", &all)).await,
        format!("offline_access smtp {mail} imap")
    );
    let webmail = Request::of(&house.webmail, WEBMAIL);
    assert_eq!(consented(webmail.clone()).await, "openid imap smtp");
    assert_eq!(consented(webmail.clone().and("scope", "pop3 smtp imap")).await, "smtp imap");
    let refused = redirect(house.ask(&webmail.and("scope", "pop3")).await);
    assert_eq!(error(&refused), "invalid_scope");
}

#[tokio::test]
async fn every_name_of_the_mail_service_is_the_same_resource() {
    let house = House::new().await;
    for resource in [
        "https://mail.example.org",
        "https://mail.example.org/",
        "mail.example.org",
        "IMAP.example.org",
        "imap://imap.example.org",
        "imaps://imap.example.org:993",
        "smtp://mail.example.org",
        "submission://mail.example.org",
        "pop://mail.example.org/",
        "sieve://imap.example.org",
    ] {
        house.page(&Request::open().and("resource", resource)).await;
    }
    house
        .page(&Request::open().and("resource", "mail.example.org").and("resource", "imap.example.org"))
        .await;
    for resource in [
        "https://mail.example.org#x",
        "https://mail.example.org@evil.example",
        "mail.example.org.evil.example",
        "ftp://mail.example.org",
        "https://",
        "example.org",
        "imap://mail.example.org@evil.example/",
        "https://evil.example/mail.example.org",
    ] {
        let request = Request::open().and("resource", "mail.example.org").and("resource", resource);
        assert_eq!(error(&redirect(house.ask(&request).await)), "invalid_target", "{resource}");
    }
    let many = (0..17).fold(Request::open(), |request, _| request.and("resource", "mail.example.org"));
    assert_eq!(error(&redirect(house.ask(&many).await)), "invalid_target");
}

#[tokio::test]
async fn prompts_that_a_password_satisfies_show_the_page() {
    let house = House::new().await;
    for prompt in ["login", "consent", "select_account", "login consent", " login  select_account "] {
        house.page(&Request::open().and("prompt", prompt).and("max_age", "0")).await;
    }
}

#[tokio::test]
async fn state_comes_back_exactly_and_adds_no_parameter_of_its_own() {
    let house = House::new().await;
    for state in [
        "a b+c%20d",
        "&code=evil&iss=https://evil.example",
        "x#y?z=1",
        "\u{e4}\u{1f4a9}\"<>",
        "'--;",
        &"s".repeat(2048),
    ] {
        for mode in ["query", "form_post"] {
            let request = Request::open().with("state", state).and("response_mode", mode);
            let (page, browser) = house.consent(&request).await;
            let answer = redirect(house.issuer.decide(&page.state, true, Some(&browser), NOW).await);
            assert_eq!(Carried::by(&answer).get("state"), Some(state));
            assert_eq!(Carried::by(&answer).get("iss"), Some(ISSUER));
            assert!(Carried::by(&answer).get("code").unwrap().starts_with("bwc_"));
            assert_eq!(matches!(answer.mode, RedirectMode::FormPost(_)), mode == "form_post");
            assert_eq!(answer.uri == HERE, mode == "form_post");
            let denied = house.ask(&request.and("prompt", "none")).await;
            assert_eq!(Carried::by(&redirect(denied)).get("state"), Some(state));
        }
    }
    for state in ["x".repeat(2049), "a\r\nb".to_owned(), "\0".to_owned()] {
        let refused = redirect(house.ask(&Request::open().with("state", &state)).await);
        assert_eq!(error(&refused), "invalid_request");
        assert_eq!(Carried::by(&refused).get("state"), None);
    }
}

#[tokio::test]
async fn without_state_none_is_made_up() {
    let house = House::new().await;
    let (page, browser) = house.consent(&Request::open().without("state")).await;
    let answer = redirect(house.issuer.decide(&page.state, true, Some(&browser), NOW).await);
    assert_eq!(Carried::by(&answer).get("state"), None);
}

#[tokio::test]
async fn a_request_that_is_too_long_is_not_looked_at() {
    let house = House::new().await;
    let error = page_error(house.ask(&Request::open().and("claims", &"x".repeat(9000))).await);
    assert!(matches!(error, PageError::BadRequest(_)), "{error:?}");
}

#[tokio::test]
async fn a_store_that_is_down_is_no_fault_of_the_request() {
    let house = House::new().await;
    house.store.down.store(true, Ordering::SeqCst);
    assert_eq!(page_error(house.ask(&Request::of(&house.stranger, ABROAD)).await), PageError::Unavailable);
}
