use std::time::Duration;

use super::*;

/// A site that keeps a history of sign-ins.
async fn site() -> Web {
    Web::with_log(Limits::default()).await
}

/// What a page says of sign-ins, once it says `part`.
async fn history(person: &mut Person<'_>, part: &str) -> String {
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    loop {
        let page = person.page().await;
        if page.body.contains(part) {
            return page.body;
        }
        assert!(std::time::Instant::now() < deadline, "no {part} in {}", page.body);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_new_browser_is_told_of_to_the_known_one() {
    let web = site().await;
    let mut known = Person::signed_in(&web).await;
    let body = history(&mut known, "<td>Web page</td>").await;
    assert!(!body.contains("new browser"), "the first of all is no news: {body}");
    let mut stranger = Person::signed_in(&web).await;
    let body = history(&mut known, "Sign-in from a new browser").await;
    assert!(body.contains("192.0.2.1"), "{body}");
    // In the new browser itself it is no notice that could be waved away before its owner sees it.
    let page = stranger.page().await;
    assert!(!page.body.contains("Sign-in from a new browser"), "{}", page.body);
    stranger.submit(&page, "/account/seen", &[]).await;
    let page = known.page().await;
    assert!(page.body.contains("Sign-in from a new browser"));
    known.submit(&page, "/account/seen", &[]).await;
    let page = known.page().await;
    assert!(!page.body.contains("Sign-in from a new browser") && page.body.contains("new browser"));
}

#[tokio::test]
async fn a_sign_in_for_an_app_is_in_the_history_and_wrong_passwords_are_counted() {
    let web = site().await;
    let mut person = Person::signed_in(&web).await;
    history(&mut person, "<td>Web page</td>").await;
    let page = person.send(get(&format!("/oauth/authorize?{}", asked(&[])))).await;
    for (login, password) in [(ALICE, "x"), (ALICE, "y"), ("nobody@example.org", "x"), (ALICE, RIGHT)] {
        person.submit(&page, "/oauth/sign-in", &[("login", login), ("password", password)]).await;
    }
    let body = history(&mut person, "<bdi>open</bdi>").await;
    assert!(body.contains("<strong>failed</strong>, 2 times"), "{body}");
    assert!(!body.contains("new browser"));
    let nobody = Login::parse("nobody@example.org").unwrap();
    assert_eq!(bearward::store::History::sign_ins(&*web.store, &nobody).await.unwrap(), []);
}
