//! What counts against whom, when it fails.

use super::*;

/// Comes back from the page's way out with these parameters, or with a code.
async fn once(house: &House, browser: &mut Browser<'_>, page: &Answer, error: Option<&str>) -> Answer {
    let answer = press(browser, page).await;
    let location = answer.header("location").unwrap_or_else(|| panic!("{}", answer.body)).to_owned();
    let there = match error {
        Some(error) => back(&location, &[("error", error)]),
        None => back(&location, &[("code", &house.provider.agree(&location))]),
    };
    browser.send(get(&there)).await
}

#[tokio::test]
async fn accounts_of_no_use_are_tried_so_often_and_not_without_end() {
    let house = House::new().await;
    house.provider.claim("email", "mallory@example.net".into());
    let mut browser = Browser::new(&house.web);
    let mut page = browser.send(get(&format!("/oauth/authorize?{}", asked(&[])))).await;
    for _ in 0..4 {
        page = once(&house, &mut browser, &page, None).await;
        assert_refused(&page, 422, "has no mailbox here");
    }
    let dead = once(&house, &mut browser, &page, None).await;
    assert!(dead.body.contains("This request has ended"), "{}", dead.body);
}

#[tokio::test]
async fn who_changes_their_mind_again_and_again_is_held_back_for_a_while() {
    let house = House::with(true, |config| config.sign_in.address.free = 3, |_| ()).await;
    let mut browser = Browser::new(&house.web);
    let mut page = browser.send(get(&format!("/oauth/authorize?{}", asked(&[])))).await;
    for _ in 0..4 {
        page = once(&house, &mut browser, &page, Some("access_denied")).await;
        assert_refused(&page, 422, "did not sign you in");
    }
    let held = once(&house, &mut browser, &page, Some("access_denied")).await;
    assert_eq!(held.status, StatusCode::TOO_MANY_REQUESTS, "{}", held.body);
}

#[tokio::test]
async fn an_outage_there_counts_neither_against_the_request_nor_against_the_address() {
    let house = House::with(true, |config| config.sign_in.address.free = 3, |_| ()).await;
    let mut browser = Browser::new(&house.web);
    let mut page = browser.send(get(&format!("/oauth/authorize?{}", asked(&[])))).await;
    for _ in 0..8 {
        page = once(&house, &mut browser, &page, Some("server_error")).await;
        assert_refused(&page, 503, "cannot be reached right now");
    }
    assert_consent(&once(&house, &mut browser, &page, None).await);
}
