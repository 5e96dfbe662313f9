//! The mailbox password of somebody who signed in elsewhere.

use bearward::{
    issuer::{Answer as Page, Caller, Page as Shown, PageError, Params},
    model::UnixTime,
};

use super::*;

impl House {
    async fn sealed() -> Self {
        let house = Self::new().await;
        *house.mailboxes.seal_for.lock().unwrap() = vec!["main".into()];
        house
    }
}

#[tokio::test]
async fn the_mailbox_password_is_asked_for_once_where_the_mail_server_wants_it() {
    let house = House::sealed().await;
    let mut browser = Browser::new(&house.web);
    let page = house.there_and_back(&mut browser, &[]).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    assert!(page.body.contains("One more step") && page.body.contains(ALICE), "{}", page.body);
    assert!(!page.body.contains("name=\"login\""), "the name cannot be changed: {}", page.body);
    let wrong = browser.submit(&page, &[("password", "wrong")]).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", wrong.body);
    assert!(wrong.body.contains("One more step"), "{}", wrong.body);
    let consent = browser.submit(&wrong, &[("password", RIGHT)]).await;
    assert_consent(&consent);
    assert!(!consent.body.contains(RIGHT));
    let answer = browser.submit(&consent, &[("decision", "allow")]).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
    assert_eq!(*house.mailboxes.tried.lock().unwrap(), [ALICE, ALICE]);
}

#[tokio::test]
async fn the_password_is_that_of_the_person_whom_the_provider_named() {
    let house = House::sealed().await;
    house.provider.claim("email", "bob@example.org".into());
    let mut browser = Browser::new(&house.web);
    let page = house.there_and_back(&mut browser, &[]).await;
    let fields = [("password", RIGHT), ("login", ALICE), ("user", ALICE)];
    let answer = browser.submit(&page, &fields).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", answer.body);
    assert_eq!(*house.mailboxes.tried.lock().unwrap(), ["bob@example.org"]);
}

#[tokio::test]
async fn the_page_is_its_own_browsers_and_guesses_are_counted() {
    let house = House::sealed().await;
    let (mut browser, mut other) = (Browser::new(&house.web), Browser::new(&house.web));
    let page = house.there_and_back(&mut browser, &[]).await;
    assert_stale(&other.submit(&page, &[("password", RIGHT)]).await);
    house.there_and_back(&mut other, &[]).await;
    assert_stale(&other.submit(&page, &[("password", RIGHT)]).await);
    // The sign-in page's own state does not stand for it.
    let first = browser.send(get(&format!("/oauth/authorize?{}", asked(&[])))).await;
    let state = between(&first.body, "name=\"state\" value=\"", "\"").to_owned();
    assert_stale(&browser.send(form("/oauth/mailbox", &[("state", &state), ("password", RIGHT)])).await);
    // Nor does its own stand for the sign-in page's.
    let state = between(&page.body, "name=\"state\" value=\"", "\"").to_owned();
    assert_stale(&browser.send(form("/oauth/outside", &[("state", &state)])).await);
    for _ in 0..4 {
        let wrong = browser.submit(&page, &[("password", "wrong")]).await;
        assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", wrong.body);
    }
    let dead = browser.submit(&page, &[("password", "wrong")]).await;
    assert!(dead.body.contains("Too many wrong passwords"), "{}", dead.body);
    let dead = browser.submit(&page, &[("password", RIGHT)]).await;
    assert!(dead.body.contains("Too many wrong passwords"), "{}", dead.body);
}

#[tokio::test]
async fn somebody_without_a_mail_server_here_gets_no_further() {
    let house = House::new().await;
    let mut browser = Browser::new(&house.web);
    *house.mailboxes.has_route.lock().unwrap() = Some(CheckError::NoRoute);
    assert_refused(&house.there_and_back(&mut browser, &[]).await, 422, "has no mailbox here");
    *house.mailboxes.has_route.lock().unwrap() = Some(CheckError::Unavailable("down".to_owned()));
    let page = house.there_and_back(&mut browser, &[]).await;
    assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE, "{}", page.body);
}

#[tokio::test]
async fn the_page_is_good_for_so_long_as_a_sign_in_may_take() {
    let house = House::sealed().await;
    let caller = Caller { address: "192.0.2.1".parse().unwrap(), certificate: None };
    let (issuer, now) = (&house.web.issuer, UnixTime::now());
    let params = Params::parse(asked(&[]).as_bytes()).unwrap();
    let Page::Page(Shown::SignIn(page)) = issuer.authorize(&params, None, now).await else { panic!() };
    let browser = Some(&page.browser);
    let away = issuer.leave_for_outside(&page.state, browser, &caller, now).await;
    let Page::Redirect(redirect) = away else { panic!("{away:?}") };
    let code = house.provider.agree(&redirect.uri);
    let query = back(&redirect.uri, &[("code", &code)]);
    let params = Params::parse(query.split_once('?').unwrap().1.as_bytes()).unwrap();
    let answer = issuer.return_from_outside(&params, browser, &caller, now).await;
    let Page::Page(Shown::Mailbox(mailbox)) = answer else { panic!("{answer:?}") };
    let password = Secret::copy_of(RIGHT.as_bytes());
    for (later, is_late) in [(901, true), (899, false)] {
        let answer = issuer
            .mailbox_password(&mailbox.state, &password, browser, &caller, UnixTime(now.0 + later))
            .await;
        let is_stale = matches!(answer, Page::Page(Shown::Error(PageError::Stale)));
        assert_eq!(is_stale, is_late, "{answer:?}");
    }
}
