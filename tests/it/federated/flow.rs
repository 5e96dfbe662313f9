//! What should happen.

use bearward::model::UnixTime;
use serde_json::json;

use super::*;

#[tokio::test]
async fn a_person_signs_in_elsewhere_allows_and_is_sent_back_with_a_code() {
    let house = House::new().await;
    let mut browser = Browser::new(&house.web);
    let page =
        browser.send(get(&format!("/oauth/authorize?{}", asked(&[("login_hint", "a@example.org")])))).await;
    for part in ["Continue with <bdi>Example &amp;", "name=\"password\"", ">or<"] {
        let escaped = page.body.replace("&#38;", "&amp;");
        assert!(escaped.contains(part), "{part} in {}", page.body);
    }
    let policy = page.header("content-security-policy").unwrap();
    let allowed = between(policy, "form-action ", ";");
    assert_eq!(allowed, format!("'self' http://127.0.0.1:* https: {}", house.provider.url));
    let answer = press(&mut browser, &page).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
    let location = answer.header("location").unwrap();
    assert!(location.starts_with(&format!("{}/authorize?tenant=7&response_type=code&", house.provider.url)));
    let sent = Asked::of(location);
    for (name, value) in [
        ("client_id", CLIENT),
        ("redirect_uri", CALLBACK),
        ("scope", "openid email"),
        ("code_challenge_method", "S256"),
        ("login_hint", "a@example.org"),
        ("prompt", ""),
        ("max_age", ""),
    ] {
        assert_eq!(sent.get(name), value, "{name}");
    }
    for name in ["state", "nonce", "code_challenge"] {
        assert_eq!(sent.get(name).len(), 43, "{name}");
    }
    let code = house.provider.agree(location);
    let page = browser.send(get(&back(location, &[("code", &code)]))).await;
    assert_consent(&page);
    let answer = browser.submit(&page, &[("decision", "allow")]).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
    assert!(answer.header("location").unwrap().contains("code="));
    assert_eq!(house.mailboxes.tried.lock().unwrap().len(), 0, "nobody needed a password");
}

#[tokio::test]
async fn the_page_shows_the_provider_alone_where_no_password_can_be_checked() {
    let house = House::with(false, |_| (), |_| ()).await;
    let mut browser = Browser::new(&house.web);
    let german = [("ui_locales", "de")];
    let page = browser.send(get(&format!("/oauth/authorize?{}", asked(&german)))).await;
    assert!(page.body.contains("Weiter mit") && !page.body.contains("password"), "{}", page.body);
    assert_consent(&house.there_and_back(&mut browser, &[]).await);
}

#[tokio::test]
async fn without_a_provider_there_is_no_button_and_no_way() {
    let web = Web::new().await;
    let mut browser = Browser::new(&web);
    let page = browser.send(get(&format!("/oauth/authorize?{}", asked(&[])))).await;
    assert!(!page.body.contains("/oauth/outside"), "{}", page.body);
    let state = between(&page.body, "name=\"state\" value=\"", "\"").to_owned();
    assert_stale(&browser.send(form("/oauth/outside", &[("state", &state)])).await);
    assert_stale(&browser.send(form("/oauth/mailbox", &[("state", &state), ("password", "x")])).await);
    assert_stale(&browser.send(get("/oauth/callback?code=x&state=y")).await);
}

#[tokio::test]
async fn a_device_is_connected_by_whoever_signs_in_elsewhere() {
    let house = House::new().await;
    let started = form("/oauth/device_authorization", &[("client_id", "open"), ("scope", "imap")]);
    let device = house.web.send(started).await.json();
    let user_code = device["user_code"].as_str().unwrap();
    let mut browser = Browser::new(&house.web);
    let page = browser.send(get("/device")).await;
    let page = browser.submit(&page, &[("user_code", user_code)]).await;
    let answer = press(&mut browser, &page).await;
    let location = answer.header("location").unwrap().to_owned();
    let code = house.provider.agree(&location);
    let page = browser.send(get(&back(&location, &[("code", &code)]))).await;
    assert_consent(&page);
    assert!(page.body.contains(user_code), "{}", page.body);
    let done = browser.submit(&page, &[("decision", "allow")]).await;
    assert!(done.body.contains("The device is connected"), "{}", done.body);
}

#[tokio::test]
async fn an_address_that_only_userinfo_tells_counts_if_it_is_verified_and_the_same_persons() {
    let house = House::new().await;
    house.provider.claim("email", json!(null));
    let mut browser = Browser::new(&house.web);
    let says = |said| house.provider.behave(|behaviour| behaviour.userinfo = Some(said));
    let sub = "248289761001";
    says(json!({ "sub": sub, "email": ALICE, "email_verified": true }));
    assert_consent(&house.there_and_back(&mut browser, &[]).await);
    says(json!({ "sub": "another", "email": ALICE, "email_verified": true }));
    assert_refused(&house.there_and_back(&mut browser, &[]).await, 422, "did not sign you in");
    // Who says the address must be who says that it is verified.
    for said in [json!({ "sub": sub, "email": ALICE }), json!({ "sub": sub })] {
        says(said);
        assert_refused(&house.there_and_back(&mut browser, &[]).await, 422, "has no mailbox here");
    }
}

#[tokio::test]
async fn who_must_prove_anew_who_they_are_is_made_to_and_the_proof_is_looked_at() {
    let house = House::new().await;
    let mut browser = Browser::new(&house.web);
    let now = UnixTime::now().0;
    for (more, prompt, max_age, old) in [
        (("prompt", "login"), "login", "0", 120),
        (("max_age", "600"), "", "600", 800),
        (("prompt", "select_account"), "select_account", "", i64::MAX),
    ] {
        let sent = Asked::of(&house.leave(&mut browser, &[more]).await);
        assert_eq!((sent.get("prompt"), sent.get("max_age")), (prompt, max_age));
        house.provider.claim("auth_time", json!(now));
        assert_consent(&house.there_and_back(&mut browser, &[more]).await);
        if old == i64::MAX {
            continue;
        }
        for auth_time in [json!(now - old), json!(null), json!(now + 3600), json!("x")] {
            house.provider.claim("auth_time", auth_time);
            assert_refused(&house.there_and_back(&mut browser, &[more]).await, 422, "did not sign you in");
        }
    }
    // Who was signed in there for long needs no more than that, if nobody asks for more.
    house.provider.claim("auth_time", json!(now - 86_400));
    let page = house.there_and_back(&mut browser, &[]).await;
    assert_consent(&page);
    let answer = browser.submit(&page, &[("decision", "allow")]).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
}

#[tokio::test]
async fn who_refuses_or_is_refused_there_may_try_again() {
    let house = House::new().await;
    let mut browser = Browser::new(&house.web);
    for _ in 0..8 {
        let location = house.leave(&mut browser, &[]).await;
        let page = browser.send(get(&back(&location, &[("error", "access_denied")]))).await;
        assert_refused(&page, 422, "did not sign you in. You can try again");
        let answer = press(&mut browser, &page).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER);
    }
    let location = house.leave(&mut browser, &[]).await;
    let page = browser.send(get(&back(&location, &[("error", "temporarily_unavailable")]))).await;
    assert_refused(&page, 503, "cannot be reached right now");
    assert_eq!(house.provider.asked("token"), 0);
}

#[tokio::test]
async fn an_outage_there_is_nobodys_fault_and_passes() {
    let house = House::new().await;
    let away = |is_away| house.provider.behave(|behaviour| behaviour.is_away = is_away);
    let mut browser = Browser::new(&house.web);
    let location = house.leave(&mut browser, &[]).await;
    let code = house.provider.agree(&location);
    away(true);
    let page = browser.send(get(&back(&location, &[("code", &code)]))).await;
    assert_refused(&page, 503, "cannot be reached right now");
    assert_eq!(page.header("retry-after"), Some("60"));
    away(false);
    assert_consent(&house.there_and_back(&mut browser, &[]).await);

    let fresh = House::new().await;
    fresh.provider.behave(|behaviour| behaviour.is_away = true);
    let mut browser = Browser::new(&fresh.web);
    let page = browser.send(get(&format!("/oauth/authorize?{}", asked(&[])))).await;
    assert_refused(&press(&mut browser, &page).await, 503, "cannot be reached right now");
    assert_consent(&browser.sign_in(&page).await);
}

#[tokio::test]
async fn whoever_came_with_an_account_of_no_use_is_asked_for_another_one_way_or_the_other() {
    let house = House::new().await;
    let mut browser = Browser::new(&house.web);
    house.provider.claim("email", json!("mallory@example.net"));
    let mut page = browser.send(get(&format!("/oauth/authorize?{}", asked(&[])))).await;
    for (prompt, refusal) in [
        ("", None),
        ("select_account", None),
        ("login", None),
        ("select_account", Some("invalid_request")),
        ("login", Some("access_denied")),
    ] {
        let answer = press(&mut browser, &page).await;
        let location = answer.header("location").unwrap().to_owned();
        assert_eq!(Asked::of(&location).get("prompt"), prompt);
        page = match refusal {
            None => {
                let code = house.provider.agree(&location);
                let page = browser.send(get(&back(&location, &[("code", &code)]))).await;
                assert_refused(&page, 422, "has no mailbox here");
                page
            }
            Some(error) => {
                let page = browser.send(get(&back(&location, &[("error", error)]))).await;
                assert_refused(&page, 422, "did not sign you in");
                page
            }
        };
    }
    // Only the client's own wish is held against what the provider says of it.
    house.provider.claim("email", json!(ALICE));
    house.provider.claim("auth_time", json!(UnixTime::now().0 - 86_400));
    let answer = press(&mut browser, &page).await;
    let location = answer.header("location").unwrap().to_owned();
    assert_eq!(Asked::of(&location).get("prompt"), "login");
    let code = house.provider.agree(&location);
    assert_consent(&browser.send(get(&back(&location, &[("code", &code)]))).await);
}
