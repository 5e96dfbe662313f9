//! Wrong passwords: what they cost, what they tell, and what they cannot do to others.

use std::time::Instant;

use bearward::{issuer::PageError, token::OpaqueToken};

use super::*;

impl House {
    /// One guess in a request of its own.
    async fn guess(&self, login: &str, password: &str, address: &str) -> SignInError {
        let page = self.page(&Request::open()).await;
        sign_in_error(self.sign_in_from(&page, login, password, address).await)
    }
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_user_get_the_same_page() {
    let house = House::new().await;
    let page = house.page(&Request::open().and("login_hint", USER)).await;
    let names = [USER, "nobody@example.org", "nowhere@example.net", "", "a b", "a\0b", "open@client.invalid"];
    let mut answers = Vec::new();
    for (number, login) in names.into_iter().enumerate() {
        if number == 4 {
            break;
        }
        answers.push(format!("{:?}", house.sign_in(&page, login, "wrong").await));
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    for login in names {
        let page = house.page(&Request::open()).await;
        assert_eq!(
            sign_in_error(house.sign_in(&page, login, "wrong").await),
            SignInError::Wrong,
            "{login:?}"
        );
    }
}

#[tokio::test]
async fn the_time_of_a_wrong_answer_does_not_tell_who_exists() {
    let step = Duration::from_millis(400);
    let house = House::with(|config| issuer::Config {
        sign_in: SignInConfig { wrong_answer_step: step, ..SignInConfig::default() },
        ..config
    })
    .await;
    let timed = async |login: &'static str, slow: u64| {
        *house.mail.slow.lock().unwrap() = Duration::from_millis(slow);
        let page = house.page(&Request::open()).await;
        let started = Instant::now();
        assert_eq!(sign_in_error(house.sign_in(&page, login, "wrong").await), SignInError::Wrong);
        started.elapsed()
    };
    for (login, slow) in [(USER, 150), ("nobody@example.org", 0), ("nowhere@example.net", 0), ("a b", 0)] {
        let took = timed(login, slow).await;
        assert!(took >= step && took < step + step / 2, "{login}: {took:?}");
    }
    // Where the mail server is slow, what it is not asked about is slow too.
    assert!(timed(USER, 500).await >= 2 * step);
    assert!(timed("a b", 0).await >= 2 * step);
}

#[tokio::test]
async fn a_request_dies_with_its_last_wrong_password() {
    let house = House::new().await;
    let page = house.page(&Request::open()).await;
    // From several addresses and under several names, so that no other limit stops it first.
    for number in 0..4 {
        let address = format!("198.51.100.{number}");
        let answer = house.sign_in_from(&page, &format!("user{number}"), "wrong", &address).await;
        assert_eq!(sign_in_error(answer), SignInError::Wrong);
    }
    assert_eq!(page_error(house.sign_in(&page, USER, "wrong").await), PageError::Dead);
    assert_eq!(page_error(house.sign_in(&page, USER, PASSWORD).await), PageError::Dead);
    assert_eq!(house.mail.asked(), 5);
    // Another request of the same person lives.
    house.consent(&Request::open()).await;
}

#[tokio::test]
async fn a_dead_request_is_dead_on_every_node() {
    let house = House::new().await;
    let other =
        Issuer::new(issuer::Config::new(ISSUER), house.store.clone(), house.key.clone(), NOW).await.unwrap();
    let other = other.with_directory(house.mail.clone());
    let page = house.page(&Request::open()).await;
    for number in 0..4 {
        sign_in_error(house.sign_in(&page, &format!("user{number}"), "wrong").await);
    }
    let sign_in = async |password: &str| {
        let form =
            SignInForm { state: &page.state, login: USER, password: Secret::copy_of(password.as_bytes()) };
        other.sign_in(form, Some(&page.browser), &caller("203.0.113.1"), NOW).await
    };
    assert_eq!(page_error(sign_in("wrong").await), PageError::Dead);
    assert_eq!(page_error(sign_in(PASSWORD).await), PageError::Dead);
    assert_eq!(page_error(house.sign_in(&page, USER, PASSWORD).await), PageError::Dead);
}

#[tokio::test]
async fn guesses_at_once_get_no_more_than_guesses_one_by_one() {
    let house = House::new().await;
    *house.mail.slow.lock().unwrap() = Duration::from_millis(100);
    let page = house.page(&Request::open()).await;
    let guess = async |number: usize| {
        let (login, address) = (format!("user{number}"), format!("198.51.{number}.1"));
        house.sign_in_from(&page, &login, "wrong", &address).await
    };
    let mut guesses = std::pin::pin!(async {
        tokio::join!(
            guess(0),
            guess(1),
            guess(2),
            guess(3),
            guess(4),
            guess(5),
            guess(6),
            guess(7),
            guess(8),
            guess(9)
        )
    });
    guesses.as_mut().await;
    assert_eq!(house.mail.asked(), 5);
}

#[tokio::test]
async fn two_clicks_with_the_right_password_both_go_through() {
    let house = House::new().await;
    *house.mail.slow.lock().unwrap() = Duration::from_millis(50);
    let page = house.page(&Request::open()).await;
    let (one, two) = tokio::join!(house.sign_in(&page, USER, PASSWORD), house.sign_in(&page, USER, PASSWORD));
    consent_page(one);
    consent_page(two);
}

#[tokio::test]
async fn the_mail_server_is_not_asked_beyond_the_limits() {
    let house = House::new().await;
    for _ in 0..6 {
        assert_eq!(house.guess(USER, "wrong", "198.51.100.7").await, SignInError::Wrong);
    }
    assert_eq!(house.mail.asked(), 6);
    for password in ["wrong", PASSWORD] {
        let refused = house.guess(USER, password, "198.51.100.7").await;
        assert_eq!(refused, SignInError::TooMany { retry_after: 30 });
    }
    assert_eq!(house.mail.asked(), 6);
    // The person elsewhere, and others here, are not held back.
    let page = house.page(&Request::open()).await;
    consent_page(house.sign_in_from(&page, USER, PASSWORD, "203.0.113.9").await);
    assert_eq!(house.guess("bob@example.org", "wrong", "198.51.100.7").await, SignInError::Wrong);
}

#[tokio::test]
async fn limits_tell_nothing_of_who_exists() {
    let house = House::new().await;
    let mut answers = Vec::new();
    for (login, address) in [(USER, "198.51.100.7"), ("nobody@example.org", "203.0.113.7")] {
        let mut heard = Vec::new();
        for _ in 0..8 {
            heard.push(house.guess(login, "wrong", address).await);
        }
        answers.push(heard);
    }
    assert_eq!(answers[0], answers[1]);
}

#[tokio::test]
async fn guessing_from_all_over_keeps_nobody_out_where_they_were_before() {
    let house = House::new().await;
    let home = "192.0.2.44";
    let page = house.page(&Request::open()).await;
    consent_page(house.sign_in_from(&page, USER, PASSWORD, home).await);
    for number in 0..40 {
        house.guess(USER, "wrong", &format!("198.51.{number}.1")).await;
    }
    assert_eq!(house.mail.asked(), 1 + 31);
    assert!(matches!(house.guess(USER, "wrong", "203.0.113.77").await, SignInError::TooMany { .. }));
    let page = house.page(&Request::open()).await;
    consent_page(house.sign_in_from(&page, USER, PASSWORD, home).await);
}

#[tokio::test]
async fn an_outage_counts_for_nothing() {
    let house = House::new().await;
    let page = house.page(&Request::open()).await;
    for error in [CheckError::Unavailable("down".into()), CheckError::Operator("no account".into())] {
        house.mail.says(Some(error));
        for _ in 0..40 {
            assert_eq!(sign_in_error(house.sign_in(&page, USER, "wrong").await), SignInError::Unavailable);
        }
    }
    house.mail.says(None);
    house.store.down.store(true, Ordering::SeqCst);
    house.sign_in(&page, USER, PASSWORD).await;
    house.store.down.store(false, Ordering::SeqCst);
    consent_page(house.sign_in(&page, USER, PASSWORD).await);
}

#[tokio::test]
async fn without_a_directory_nobody_signs_in() {
    let house = House::new().await;
    let issuer =
        Issuer::new(issuer::Config::new(ISSUER), house.store.clone(), house.key.clone(), NOW).await.unwrap();
    let page = house.page(&Request::open()).await;
    let form = SignInForm { state: &page.state, login: USER, password: Secret::copy_of(PASSWORD.as_bytes()) };
    let answer = issuer.sign_in(form, Some(&page.browser), &caller("198.51.100.7"), NOW).await;
    assert_eq!(sign_in_error(answer), SignInError::Unavailable);
}

#[tokio::test]
async fn the_mail_server_is_told_name_and_address_and_nothing_that_would_split_a_line() {
    let house = House::new().await;
    let page = house.page(&Request::open()).await;
    consent_page(house.sign_in_from(&page, " alice@EXAMPLE.org\n", PASSWORD, "2001:db8::7").await);
    let told = house.mail.last.lock().unwrap().clone().unwrap();
    assert_eq!(told, (USER.to_owned(), "2001:db8::7".parse().unwrap()));
    let page = house.page(&Request::open()).await;
    assert_eq!(consent_page(house.sign_in(&page, "alice", PASSWORD).await).user.as_str(), "alice");
    let asked = house.mail.asked();
    let long = "x".repeat(256);
    for password in ["", "a\0b", "a\r", "a\n", &long] {
        assert_eq!(house.guess(USER, password, "198.51.100.7").await, SignInError::Wrong);
    }
    let long = "x".repeat(256);
    for login in ["alice\0", "alice\r\na@b", "al ice", "\u{7f}", "x@client.invalid", &long] {
        assert_eq!(house.guess(login, PASSWORD, "198.51.100.7").await, SignInError::Wrong, "{login:?}");
    }
    assert_eq!(house.mail.asked(), asked);
}

#[tokio::test]
async fn breaking_off_wins_no_guesses() {
    let house = House::new().await;
    *house.mail.slow.lock().unwrap() = Duration::from_secs(600);
    for _ in 0..20 {
        let page = house.page(&Request::open()).await;
        let guess = house.sign_in(&page, USER, "wrong");
        let _ = tokio::time::timeout(Duration::from_millis(20), guess).await;
    }
    assert_eq!(house.mail.asked(), 6);
    *house.mail.slow.lock().unwrap() = Duration::ZERO;
    assert!(matches!(house.guess(USER, PASSWORD, "198.51.100.7").await, SignInError::TooMany { .. }));
}

#[tokio::test]
async fn a_cookie_is_no_key_to_anything_stored() {
    let house = House::new().await;
    let (_, browser) = house.consent(&Request::open()).await;
    let lookup = OpaqueToken::parse(browser.expose()).unwrap().lookup().unwrap();
    assert!(!house.stored().windows(32).any(|window| window == lookup.as_bytes()));
}

#[tokio::test]
async fn what_cannot_be_a_guess_writes_nothing() {
    let house = House::new().await;
    let page = house.page(&Request::open()).await;
    let before = house.stored();
    for (login, password) in [("a b", PASSWORD), (USER, ""), (USER, "a\0b"), ("x@client.invalid", PASSWORD)] {
        for _ in 0..10 {
            assert_eq!(sign_in_error(house.sign_in(&page, login, password).await), SignInError::Wrong);
        }
    }
    assert!(house.stored() == before);
    consent_page(house.sign_in(&page, USER, PASSWORD).await);
}
