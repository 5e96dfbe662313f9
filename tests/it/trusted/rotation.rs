//! Keys that are new, or withdrawn, or nobody's, while strangers use up every look at the published ones.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bearward::{
    model::Secret,
    token::{Algorithm, SigningKey},
    validator::Rejection,
};
use serde_json::{Value, json};

use super::{House, IMAP, NOW, but, claims, later, settings};
use crate::support::{HostileIssuer, forged, sign_with};

/// A stranger's token: anybody can write one.
fn strange(issuer: &HostileIssuer, kid: &str, changes: &Value) -> Secret {
    forged(&json!({ "alg": "ES256", "typ": "at+jwt", "kid": kid }), &but(issuer, changes))
}

/// Until the issuer was asked so often for its keys.
async fn until_asked(issuer: &HostileIssuer, times: usize) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while issuer.asked("/keys").len() < times {
        assert!(Instant::now() < deadline, "the keys are not asked for");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_token_of_a_new_key_is_not_called_wrong_before_the_keys_could_be_read_again() {
    let issuer = HostileIssuer::start().await;
    let house = House::trusting(vec![settings(&issuer, "example.net")]).await;
    house.ask(&issuer.sign(&claims(&issuer))).await.unwrap();
    let next = SigningKey::generate(Algorithm::EdDsa).unwrap();
    issuer.publish(&[&issuer.key, &next]);
    let new = sign_with(&next, "at+jwt", &claims(&issuer));
    for seconds in [0, 1, 4] {
        let result = house.validator.validate(&new, &IMAP, later(seconds)).await;
        assert_eq!(result.unwrap_err(), Rejection::Undecided, "{seconds}");
    }
    assert_eq!(issuer.asked("/keys").len(), 1);
    house.validator.validate(&new, &IMAP, later(5)).await.unwrap();
    assert_eq!(issuer.asked("/keys").len(), 2);
}

#[tokio::test]
async fn strangers_can_delay_a_new_key_by_one_window_and_make_nobodys_token_wrong() {
    let issuer = HostileIssuer::start().await;
    let house = House::trusting(vec![settings(&issuer, "example.net")]).await;
    house.ask(&issuer.sign(&claims(&issuer))).await.unwrap();
    let next = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let mut is_known = false;
    for seconds in 0..60 {
        let now = later(seconds);
        for index in 0..5 {
            let garbage = strange(&issuer, &format!("{seconds}-{index}"), &json!({}));
            let error = house.validator.validate(&garbage, &IMAP, now).await.unwrap_err();
            // The one that has the keys read is told so.
            assert!(matches!(error, Rejection::Undecided | Rejection::Unknown), "{error:?}");
        }
        let old = issuer.sign(&but(&issuer, &json!({ "jti": seconds })));
        house.validator.validate(&old, &IMAP, now).await.unwrap();
        if seconds < 12 {
            continue;
        }
        issuer.publish(&[&issuer.key, &next]);
        let new = sign_with(&next, "at+jwt", &but(&issuer, &json!({ "iat": now.0, "jti": seconds })));
        match house.validator.validate(&new, &IMAP, now).await {
            Ok(_) => is_known = true,
            Err(error) => {
                assert_eq!(error, Rejection::Undecided);
                assert!(!is_known && seconds < 12 + 5, "{seconds}");
            }
        }
    }
    assert!(is_known);
    assert_eq!(issuer.asked("/keys").len(), 60 / 5);
}

#[tokio::test]
async fn a_withdrawn_keys_token_is_wrong_at_once_where_it_is_older_than_the_keys() {
    let issuer = HostileIssuer::start().await;
    let house = House::trusting(vec![settings(&issuer, "example.net")]).await;
    issuer.publish(&[&SigningKey::generate(Algorithm::Es256).unwrap()]);
    let at = |seconds: i64, token: Secret| {
        let house = &house;
        async move { house.validator.validate(&token, &IMAP, later(seconds)).await.unwrap_err() }
    };
    assert_eq!(at(61, strange(&issuer, "x", &json!({}))).await, Rejection::Unknown);
    let old = |iat: Value| issuer.sign(&but(&issuer, &json!({ "iat": iat })));
    // The keys were read in second 61, and a minute is allowed for clocks.
    assert_eq!(at(62, old(json!(NOW.0))).await, Rejection::Unknown);
    for iat in [json!(NOW.0 + 1), json!(NOW.0 + 61), json!("0"), json!(-1), Value::Null] {
        assert_eq!(at(62, old(iat.clone())).await, Rejection::Undecided, "{iat}");
    }
    assert_eq!(issuer.asked("/keys").len(), 1);
}

#[tokio::test]
async fn a_look_that_ran_before_a_token_came_does_not_make_it_wrong() {
    let issuer = HostileIssuer::start().await;
    let house = Arc::new(House::trusting(vec![settings(&issuer, "example.net")]).await);
    issuer.slow_down(Duration::from_millis(300));
    let first = tokio::spawn({
        let (house, garbage) = (Arc::clone(&house), strange(&issuer, "x", &json!({})));
        async move { house.ask(&garbage).await }
    });
    until_asked(&issuer, 1).await;
    let next = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let new = sign_with(&next, "at+jwt", &claims(&issuer));
    assert_eq!(house.ask(&new).await.unwrap_err(), Rejection::Undecided);
    assert_eq!(first.await.unwrap().unwrap_err(), Rejection::Unknown);
    assert_eq!(issuer.asked("/keys").len(), 1);
}

#[tokio::test]
async fn whoever_waits_for_new_keys_takes_no_place_from_those_whose_key_is_known() {
    let issuer = HostileIssuer::start().await;
    let house = Arc::new(House::trusting(vec![settings(&issuer, "example.net")]).await);
    house.ask(&issuer.sign(&claims(&issuer))).await.unwrap();
    issuer.slow_down(Duration::from_millis(500));
    let mut strangers = tokio::task::JoinSet::new();
    for index in 0..1500 {
        let (house, garbage) = (Arc::clone(&house), strange(&issuer, &index.to_string(), &json!({})));
        strangers
            .spawn(async move { house.validator.validate(&garbage, &IMAP, later(6)).await.unwrap_err() });
    }
    until_asked(&issuer, 2).await;
    let good = issuer.sign(&but(&issuer, &json!({ "jti": "another" })));
    house.validator.validate(&good, &IMAP, later(6)).await.unwrap();
    let told = strangers.join_all().await;
    let is_temporary = |error: &&Rejection| **error == Rejection::Undecided;
    assert!(told.iter().filter(is_temporary).count() >= 1499, "{told:?}");
    assert_eq!(issuer.asked("/keys").len(), 2);
}

#[tokio::test]
async fn a_look_at_the_end_of_a_second_keeps_no_key_from_whoever_came_in_it() {
    let issuer = HostileIssuer::start().await;
    let house = House::trusting(vec![settings(&issuer, "example.net")]).await;
    house.validator.validate(&issuer.sign(&claims(&issuer)), &IMAP, later(1)).await.unwrap();
    house.ask(&issuer.sign(&but(&issuer, &json!({ "jti": "another" })))).await.unwrap();
    assert_eq!(house.ask(&strange(&issuer, "x", &json!({}))).await.unwrap_err(), Rejection::Undecided);
    assert_eq!(issuer.asked("/keys").len(), 1);
}

#[tokio::test]
async fn a_new_key_without_a_name_is_looked_for_too() {
    let issuer = HostileIssuer::start().await;
    let house = House::trusting(vec![settings(&issuer, "example.net")]).await;
    let mut made =
        [(); 2].map(|()| crate::support::PrivateKey::make(bearward::token::OutsideAlgorithm::Es256));
    let token = |key: &crate::support::PrivateKey| {
        let header = json!({ "alg": "ES256", "typ": "at+jwt" });
        key.sign(bearward::token::OutsideAlgorithm::Es256, &header, &claims(&issuer))
    };
    let publish = |key: &crate::support::PrivateKey| issuer.say("/keys", &json!({ "keys": [key.jwk()] }));
    publish(&made[0]);
    house.ask(&token(&made[0])).await.unwrap();
    made.swap(0, 1);
    publish(&made[0]);
    let new = token(&made[0]);
    assert_eq!(house.ask(&new).await.unwrap_err(), Rejection::Undecided);
    house.validator.validate(&new, &IMAP, later(5)).await.unwrap();
}
