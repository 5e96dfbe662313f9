//! One person under several names.

use bearward::directory::Names;

use super::{House, PASSWORD, Request, SignInError, consent_page, sign_in_error};

#[tokio::test]
async fn whoever_has_several_names_is_one_user() {
    let mut house = House::new().await;
    let names = Names { default_domain: Some("example.org".into()), lowercase: true };
    house.issuer = house.issuer.with_names(names);
    for name in ["alice", "ALICE", "Alice@Example.org", " alice@example.org ", "al", "AL@example.org"] {
        let page = house.page(&Request::open()).await;
        let consent = consent_page(house.sign_in(&page, name, PASSWORD).await);
        assert_eq!(consent.user.as_str(), "alice@example.org", "{name}");
    }
    let asked = house.mail.last.lock().unwrap().clone().unwrap().0;
    assert_eq!(asked, "al@example.org", "the source hears the name as it is written here");
    let page = house.page(&Request::open()).await;
    let other = house.sign_in(&page, "alice@example.net", PASSWORD).await;
    assert_eq!(sign_in_error(other), SignInError::Wrong);
}

#[tokio::test]
async fn a_password_with_a_nul_and_an_empty_one_reach_nobody() {
    let house = House::new().await;
    for password in ["", "\0", "correct horse battery\0"] {
        let page = house.page(&Request::open()).await;
        let answer = house.sign_in(&page, "alice@example.org", password).await;
        assert_eq!(sign_in_error(answer), SignInError::Wrong, "{password:?}");
    }
    for name in
        ["alice\0@example.org", "alice\u{7f}@example.org", "ali\tce@example.org", "alice\r\n@example.org"]
    {
        let page = house.page(&Request::open()).await;
        let answer = house.sign_in(&page, name, PASSWORD).await;
        assert_eq!(sign_in_error(answer), SignInError::Wrong, "{name:?}");
    }
    assert_eq!(house.mail.asked(), 0);
}
