//! What must not happen.

use std::sync::atomic::Ordering;

use bearward::{
    issuer::{Answer as Page, Caller, Page as Shown, PageError, Params},
    model::UnixTime,
};
use serde_json::{Value, json};

use super::{
    provider::{Signature, TokenAnswer},
    *,
};

const REFUSED: &str = "did not sign you in";
const NOBODY: &str = "has no mailbox here";

#[tokio::test]
async fn only_the_browser_that_set_out_comes_back_and_it_comes_back_once() {
    let house = House::new().await;
    let (mut victim, mut attacker) = (Browser::new(&house.web), Browser::new(&house.web));
    let location = house.leave(&mut attacker, &[]).await;
    let code = house.provider.agree(&location);
    let there = back(&location, &[("code", &code)]);
    // The attacker's sign-in is pushed on a person who has not set out, and on one who has.
    assert_stale(&victim.send(get(&there)).await);
    let own = house.leave(&mut victim, &[]).await;
    assert_stale(&victim.send(get(&there)).await);
    assert_eq!(house.provider.asked("token"), 0, "nobody showed the code");
    // Neither used it up.
    assert_consent(&attacker.send(get(&there)).await);
    assert_stale(&attacker.send(get(&there)).await);
    assert_eq!(house.provider.asked("token"), 1);
    // A state of the own browser with a code that the provider gave for another sign-in: the proof key does not fit.
    let other = house.leave(&mut attacker, &[]).await;
    let stolen = house.provider.agree(&other);
    assert_refused(&victim.send(get(&back(&own, &[("code", &stolen)]))).await, 422, REFUSED);
}

#[tokio::test]
async fn a_callback_without_a_start_looks_nothing_up() {
    let house = House::new().await;
    let mut browser = Browser::new(&house.web);
    house.web.store.down.store(true, Ordering::SeqCst);
    let long = "x".repeat(5000);
    for query in ["", "?code=x", "?state=x&code=y", "?state=&code=y", &format!("?code=x&state={long}")] {
        assert_stale(&browser.send(get(&format!("/oauth/callback{query}"))).await);
    }
    house.web.store.down.store(false, Ordering::SeqCst);
    house.leave(&mut browser, &[]).await;
    for query in ["?state=x&code=y", "?state=x&state=y&code=z", "?code=x"] {
        assert_stale(&browser.send(get(&format!("/oauth/callback{query}"))).await);
    }
    assert_eq!(house.provider.asked("token"), 0);
}

#[tokio::test]
async fn no_id_token_but_the_providers_own_for_us_and_this_sign_in_is_believed() {
    let now = UnixTime::now().0;
    let cases: &[(&str, Value)] = &[
        ("iss", json!("https://elsewhere.example")),
        ("iss", json!(null)),
        ("aud", json!("another-client")),
        ("aud", json!(["another-client"])),
        ("aud", json!([CLIENT, "another-client"])),
        ("aud", json!(null)),
        ("azp", json!("another-client")),
        ("nonce", json!("another")),
        ("nonce", json!(null)),
        ("nonce", json!("")),
        ("exp", json!(now - 120)),
        ("exp", json!(null)),
        ("iat", json!(now + 3600)),
        ("iat", json!(null)),
        ("nbf", json!(now + 3600)),
        ("sub", json!(null)),
        ("sub", json!("")),
        ("at_hash", json!("AAAAAAAAAAAAAAAAAAAAAA")),
        ("at_hash", json!(7)),
        ("events", json!({ "http://schemas.openid.net/event/backchannel-logout": {} })),
    ];
    let house = House::new().await;
    for (name, value) in cases {
        let mut browser = Browser::new(&house.web);
        house.provider.behave(|behaviour| behaviour.claims.clear());
        house.provider.claim(name, value.clone());
        let page = house.there_and_back(&mut browser, &[]).await;
        assert_refused_as(&page, REFUSED, &format!("{name} = {value}"));
    }
    house.provider.behave(|behaviour| behaviour.claims.clear());
    house.provider.claim("aud", json!([CLIENT, "another-client"]));
    house.provider.claim("azp", json!(CLIENT));
    assert_consent(&house.there_and_back(&mut Browser::new(&house.web), &[]).await);
}

#[track_caller]
fn assert_refused_as(page: &Answer, reason: &str, case: &str) {
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY, "{case}: {}", page.body);
    assert!(page.body.contains(reason), "{case}: {}", page.body);
}

#[tokio::test]
async fn no_signature_but_by_the_providers_own_key_is_good() {
    let house = House::new().await;
    for signature in [Signature::OtherKey, Signature::Hs256, Signature::None, Signature::AccessToken] {
        house.provider.behave(|behaviour| behaviour.signature = signature);
        let page = house.there_and_back(&mut Browser::new(&house.web), &[]).await;
        assert_refused(&page, 422, REFUSED);
    }
}

#[tokio::test]
async fn nobody_gets_in_but_by_a_verified_address_of_the_providers_own_domains() {
    let house = House::new().await;
    let cases: &[(&str, Value)] = &[
        ("email_verified", json!(false)),
        ("email_verified", json!("true")),
        ("email_verified", json!(1)),
        ("email_verified", json!(null)),
        ("email", json!("alice@example.net")),
        ("email", json!("alice@example.org.example.net")),
        ("email", json!("alice@sub.example.org")),
        ("email", json!("alice@ex\u{430}mple.org")),
        ("email", json!("alice")),
        ("email", json!("@example.org")),
        ("email", json!("alice@example.net@example.org")),
        ("email", json!("alice\u{0}@example.org")),
        ("email", json!("alice\r\nx@example.org")),
        ("email", json!("alice\u{7}@example.org")),
        ("email", json!("alice\u{202e}\n@example.org")),
        ("email", json!(format!("{}@example.org", "a".repeat(300)))),
        ("email", json!(["alice@example.org"])),
        ("email", json!("")),
    ];
    for (name, value) in cases {
        house.provider.behave(|behaviour| behaviour.claims.clear());
        house.provider.claim(name, value.clone());
        let page = house.there_and_back(&mut Browser::new(&house.web), &[]).await;
        assert_refused_as(&page, NOBODY, &format!("{name} = {value}"));
    }
    assert_eq!(house.mailboxes.tried.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn an_address_that_nobody_verified_counts_only_where_the_operator_says_so() {
    let house = House::with(true, |_| (), |config| config.mapping.trust_email = true).await;
    house.provider.claim("email_verified", json!(null));
    assert_consent(&house.there_and_back(&mut Browser::new(&house.web), &[]).await);
}

#[tokio::test]
async fn an_answer_in_the_name_of_another_provider_never_shows_it_the_code() {
    let house = House::new().await;
    house.provider.behave(|behaviour| behaviour.names_itself = true);
    let url = house.provider.url.clone();
    let slash = format!("{url}/");
    for iss in [None, Some("https://elsewhere.example"), Some(""), Some(slash.as_str())] {
        let mut browser = Browser::new(&house.web);
        let location = house.leave(&mut browser, &[]).await;
        let code = house.provider.agree(&location);
        let mut more = vec![("code", code.as_str())];
        more.extend(iss.map(|iss| ("iss", iss)));
        assert_refused(&browser.send(get(&back(&location, &more))).await, 422, REFUSED);
        // Nor is an error believed.
        let location = house.leave(&mut browser, &[]).await;
        let mut more = vec![("error", "temporarily_unavailable")];
        more.extend(iss.map(|iss| ("iss", iss)));
        assert_refused(&browser.send(get(&back(&location, &more))).await, 422, REFUSED);
    }
    assert_eq!(house.provider.asked("token"), 0);
    let mut browser = Browser::new(&house.web);
    let location = house.leave(&mut browser, &[]).await;
    let code = house.provider.agree(&location);
    assert_consent(&browser.send(get(&back(&location, &[("code", &code), ("iss", &url)]))).await);
    // One that did not announce it is held to what it says all the same.
    let plain = House::new().await;
    let mut browser = Browser::new(&plain.web);
    let location = plain.leave(&mut browser, &[]).await;
    let code = plain.provider.agree(&location);
    let more = [("code", code.as_str()), ("iss", "https://elsewhere.example")];
    assert_refused(&browser.send(get(&back(&location, &more))).await, 422, REFUSED);
}

#[tokio::test]
async fn an_answer_that_is_both_or_neither_shows_nobody_the_code() {
    let house = House::new().await;
    let mut browser = Browser::new(&house.web);
    for more in [&[("code", "x"), ("error", "access_denied")][..], &[("code", "")], &[]] {
        let location = house.leave(&mut browser, &[]).await;
        assert_refused(&browser.send(get(&back(&location, more))).await, 422, REFUSED);
    }
    assert_eq!(house.provider.asked("token"), 0);
}

#[tokio::test]
async fn nobody_is_sent_anywhere_in_the_clear_nor_with_what_a_fragment_hides() {
    for (endpoint, is_good) in
        [("http://login.example.net/authorize", false), ("https://login.example.net/authorize#x", true)]
    {
        let house = House::new().await;
        house.provider.behave(|behaviour| behaviour.authorization = Some(endpoint));
        let mut browser = Browser::new(&house.web);
        let page = browser.send(get(&format!("/oauth/authorize?{}", asked(&[])))).await;
        let answer = press(&mut browser, &page).await;
        if is_good {
            let location = answer.header("location").unwrap();
            assert!(location.starts_with("https://login.example.net/authorize?response_type=code&"));
            assert!(!location.contains('#'), "{location}");
        } else {
            assert_refused(&answer, 503, "cannot be reached right now");
        }
    }
}

#[tokio::test]
async fn whatever_the_token_endpoint_answers_is_bounded_and_signs_nobody_in() {
    let token = json!({ "access_token": "x", "token_type": "Bearer", "id_token": "y".repeat(1 << 17) });
    let answers = [
        (TokenAnswer::Html, 503),
        (TokenAnswer::Huge, 503),
        (TokenAnswer::Redirect, 503),
        (TokenAnswer::Slow, 503),
        (TokenAnswer::Says(401, json!({ "error": "invalid_client" })), 503),
        (TokenAnswer::Says(400, json!({ "error": "invalid_grant" })), 422),
        (TokenAnswer::Says(200, json!({ "access_token": "x", "token_type": "Bearer" })), 503),
        (
            TokenAnswer::Says(200, json!({ "access_token": "x", "token_type": "DPoP", "id_token": "a.b.c" })),
            503,
        ),
        (
            TokenAnswer::Says(
                200,
                json!({ "access_token": "x", "token_type": "Bearer", "id_token": "a.b.c" }),
            ),
            422,
        ),
        (TokenAnswer::Says(200, token), 503),
        (TokenAnswer::Says(200, json!([])), 503),
    ];
    for (answer, status) in answers {
        let house = House::new().await;
        house.provider.behave(|behaviour| behaviour.token = answer);
        let page = house.there_and_back(&mut Browser::new(&house.web), &[]).await;
        let reason = if status == 503 { "cannot be reached right now" } else { REFUSED };
        assert_refused(&page, status, reason);
        assert_eq!(house.provider.asked("token"), 1, "no redirect was followed");
    }
}

#[tokio::test]
async fn what_fails_too_often_ends_the_request_and_holds_the_address_back() {
    let house = House::with(true, |config| config.sign_in.address.free = 7, |_| ()).await;
    house.provider.claim("nonce", json!("another"));
    let mut browser = Browser::new(&house.web);
    let first = browser.send(get(&format!("/oauth/authorize?{}", asked(&[])))).await;
    let mut page = Answer { status: first.status, headers: first.headers.clone(), body: first.body.clone() };
    // In another tab somebody is still there.
    let pending = press(&mut browser, &page).await.header("location").unwrap().to_owned();
    for _ in 0..5 {
        let answer = press(&mut browser, &page).await;
        let location = answer.header("location").unwrap().to_owned();
        let code = house.provider.agree(&location);
        let next = browser.send(get(&back(&location, &[("code", &code)]))).await;
        if next.body.contains("/oauth/outside") {
            page = next;
        } else {
            assert!(next.body.contains("This request has ended"), "{}", next.body);
        }
    }
    let dead = press(&mut browser, &first).await;
    assert!(dead.body.contains("This request has ended"), "{}", dead.body);
    house.provider.behave(|behaviour| behaviour.claims.clear());
    let code = house.provider.agree(&pending);
    let dead = browser.send(get(&back(&pending, &[("code", &code)]))).await;
    assert!(dead.body.contains("This request has ended"), "{}", dead.body);
    for _ in 0..3 {
        assert_stale(&browser.send(get("/oauth/callback?state=x&code=y")).await);
    }
    let held = browser.send(get("/oauth/callback?state=x&code=y")).await;
    assert_eq!(held.status, StatusCode::TOO_MANY_REQUESTS, "{}", held.body);
    assert!(held.header("retry-after").is_some());
}

#[tokio::test]
async fn nobody_sets_out_without_end() {
    let house = House::with(true, |config| config.sign_in.outside_address.free = 3, |_| ()).await;
    let mut browser = Browser::new(&house.web);
    let page = browser.send(get(&format!("/oauth/authorize?{}", asked(&[])))).await;
    for _ in 0..4 {
        assert_eq!(press(&mut browser, &page).await.status, StatusCode::SEE_OTHER);
    }
    assert_refused(&press(&mut browser, &page).await, 429, "Too many tries");
    assert!(house.provider.asked("metadata") <= 1);
}

#[tokio::test]
async fn nobody_comes_back_to_a_request_that_has_died_meanwhile() {
    let house = House::new().await;
    let caller = Caller { address: "192.0.2.1".parse().unwrap(), certificate: None };
    let issuer = &house.web.issuer;
    for (waits, stays, is_late) in
        [(0, 599, false), (0, 601, true), (0, 901, true), (500, 399, false), (500, 401, true)]
    {
        let now = UnixTime::now();
        let params = Params::parse(asked(&[]).as_bytes()).unwrap();
        let Page::Page(Shown::SignIn(page)) = issuer.authorize(&params, None, now).await else { panic!() };
        let left_at = UnixTime(now.0 + waits);
        let away = issuer.leave_for_outside(&page.state, Some(&page.browser), &caller, left_at).await;
        let Page::Redirect(redirect) = away else { panic!("{away:?}") };
        let code = house.provider.agree(&redirect.uri);
        let query = back(&redirect.uri, &[("code", &code)]);
        let params = Params::parse(query.split_once('?').unwrap().1.as_bytes()).unwrap();
        let later = UnixTime(left_at.0 + stays);
        // The ID token is of now, and good until later.
        house.provider.claim("exp", json!(now.0 + 1000));
        let answer = issuer.return_from_outside(&params, Some(&page.browser), &caller, later).await;
        let is_stale = matches!(answer, Page::Page(Shown::Error(PageError::Stale)));
        assert_eq!(is_stale, is_late, "{answer:?}");
        assert!(is_late || matches!(answer, Page::Page(Shown::Consent(_))), "{answer:?}");
    }
}

#[tokio::test]
async fn of_two_that_come_back_at_the_same_moment_one_goes_on() {
    let house = House::new().await;
    let caller = Caller { address: "192.0.2.1".parse().unwrap(), certificate: None };
    let issuer = &house.web.issuer;
    let now = UnixTime::now();
    let params = Params::parse(asked(&[]).as_bytes()).unwrap();
    let Page::Page(Shown::SignIn(page)) = issuer.authorize(&params, None, now).await else { panic!() };
    let away = issuer.leave_for_outside(&page.state, Some(&page.browser), &caller, now).await;
    let Page::Redirect(redirect) = away else { panic!("{away:?}") };
    let code = house.provider.agree(&redirect.uri);
    let query = back(&redirect.uri, &[("code", &code)]);
    let params = Params::parse(query.split_once('?').unwrap().1.as_bytes()).unwrap();
    let again = || issuer.return_from_outside(&params, Some(&page.browser), &caller, now);
    let (one, two) = tokio::join!(again(), again());
    let is_consent = |answer: &Page| matches!(answer, Page::Page(Shown::Consent(_)));
    assert!(is_consent(&one) != is_consent(&two), "{one:?} {two:?}");
    assert_eq!(house.provider.asked("token"), 1);
}

#[tokio::test]
async fn what_is_kept_meanwhile_opens_to_nobody_who_reads_the_store() {
    let house = House::new().await;
    let mut browser = Browser::new(&house.web);
    let location = house.leave(&mut browser, &[]).await;
    let sent = Asked::of(&location);
    let stored = house.web.stored();
    let holds = |text: &str| stored.windows(text.len()).any(|window| window == text.as_bytes());
    for name in ["state", "nonce", "code_challenge"] {
        assert!(!holds(sent.get(name)), "{name}");
    }
    assert!(holds("outside_sign_in"), "it is kept at all");
}

#[tokio::test]
async fn a_form_of_another_site_sends_nobody_away() {
    let house = House::new().await;
    let mut browser = Browser::new(&house.web);
    let page = browser.send(get(&format!("/oauth/authorize?{}", asked(&[])))).await;
    let state = between(&page.body, "name=\"state\" value=\"", "\"").to_owned();
    for path in ["/oauth/outside", "/oauth/mailbox"] {
        let mut foreign = form(path, &[("state", &state), ("password", RIGHT)]);
        foreign.headers_mut().insert("sec-fetch-site", "cross-site".parse().unwrap());
        assert_eq!(browser.send(foreign).await.status, StatusCode::FORBIDDEN, "{path}");
        assert_eq!(browser.send(get(path)).await.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
    }
}
