//! What has ended at the issuer: sign-ins by its logout tokens, and tokens that are looked at again.

use std::sync::atomic::Ordering;

use bearward::{
    model::{Outside, Principal, Right, Secret, UnixTime},
    token::{Algorithm, SigningKey},
    validator::{LogoutError, Recheck, Rejection, Revoked, trusted},
};
use serde_json::{Value, json};

use super::{AUDIENCE, House, IMAP, NOW, but, claims, later, settings};
use crate::support::{HostileIssuer, sign_with};

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// An issuer that knows this server as a client.
fn known_to(issuer: &HostileIssuer) -> trusted::Config {
    let mut config = settings(issuer, "example.net");
    let auth = trusted::ClientAuth::None;
    config.client = Some(trusted::Client { id: "bearward".to_owned(), auth });
    config
}

/// A logout token for the sign-in `s1`, with some claims changed; `null` takes a claim away.
fn logout(issuer: &HostileIssuer, typ: &str, changes: &Value) -> String {
    let mut claims = json!({
        "iss": issuer.url, "aud": "bearward", "iat": NOW.0, "exp": NOW.0 + 120, "jti": "l1", "sid": "s1",
        "events": { EVENT: {} },
    });
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    sign_with(&issuer.key, typ, &claims).expose_str().unwrap().to_owned()
}

fn outside(principal: &Principal) -> Outside {
    match &principal.right {
        Right::Outside(outside) => outside.clone(),
        Right::Grant { .. } | Right::Password { .. } => panic!("not a token of another issuer"),
    }
}

#[tokio::test]
async fn what_is_no_logout_token_names_nobody_and_uses_up_no_name() {
    let issuer = HostileIssuer::start().await;
    let house = House::trusting(vec![known_to(&issuer)]).await;
    let typed = ["at+jwt", "application/at+jwt", "secevent+jwt", "dpop+jwt", "logout", "logout+jwt2"];
    let wrongly_typed = typed.map(|typ| (typ, json!({})));
    let wrong = [
        json!({ "jti": null }),
        json!({ "jti": 1 }),
        json!({ "jti": "" }),
        json!({ "sid": null }),
        json!({ "sid": "" }),
        json!({ "sid": ["s1"] }),
        json!({ "sub": 1 }),
        json!({ "exp": NOW.0 - 61 }),
        json!({ "exp": "9999999999" }),
        json!({ "nbf": NOW.0 + 61 }),
        json!({ "iat": null }),
        json!({ "iat": NOW.0 - 361 }),
        json!({ "iat": NOW.0 + 3600 }),
        json!({ "aud": null }),
        json!({ "aud": ["other"] }),
        json!({ "aud": AUDIENCE }),
        json!({ "nonce": "n" }),
        json!({ "nonce": "" }),
        json!({ "events": null }),
        json!({ "events": { EVENT: "" } }),
        json!({ "events": [EVENT] }),
    ];
    for (typ, changes) in wrong.map(|changes| ("logout+jwt", changes)).into_iter().chain(wrongly_typed) {
        let result = house.validator.back_channel_logout(&logout(&issuer, typ, &changes), NOW).await;
        assert!(matches!(result, Err(LogoutError::Token(_))), "{typ} {changes}: {result:?}");
    }
    let stranger = logout(&issuer, "logout+jwt", &json!({ "iss": "https://elsewhere.example" }));
    assert_eq!(house.validator.back_channel_logout(&stranger, NOW).await, Err(LogoutError::Issuer));
    house.ask(&issuer.sign(&claims(&issuer))).await.unwrap();
    for (typ, jti) in [("logout+jwt", "l1"), ("JWT", "l2")] {
        let good = logout(&issuer, typ, &json!({ "jti": jti }));
        house.validator.back_channel_logout(&good, NOW).await.unwrap();
    }
}

#[tokio::test]
async fn a_named_sign_in_ends_alone_whether_or_not_its_person_is_named_too() {
    let issuer = HostileIssuer::start().await;
    for person in [json!({}), json!({ "sub": "1" })] {
        let house = House::trusting(vec![known_to(&issuer)]).await;
        let [one, other] = ["s1", "s2"].map(|sid| issuer.sign(&but(&issuer, &json!({ "sid": sid }))));
        for token in [&one, &other] {
            house.ask(token).await.unwrap();
        }
        let token = logout(&issuer, "logout+jwt", &person);
        let ended = house.validator.back_channel_logout(&token, NOW).await.unwrap();
        assert_eq!((ended.subject.as_deref(), ended.session.as_deref()), (None, Some("s1")));
        assert_eq!(house.ask(&one).await.unwrap_err(), Rejection::Revoked, "{person}");
        house.ask(&other).await.unwrap();
    }
}

#[tokio::test]
async fn an_issuer_ends_nothing_of_another_and_no_namesakes_of_a_sign_in() {
    let (issuer, other) = (HostileIssuer::start().await, HostileIssuer::start().await);
    let mut second = known_to(&other);
    second.domains = vec!["example.com".to_owned()];
    let house = House::trusting(vec![known_to(&issuer), second]).await;
    let token = issuer.sign(&claims(&issuer));
    // The same person and sign-in by name at another issuer; a person who is called like the sign-in, and vice versa.
    for (by, changes) in [
        (&other, json!({})),
        (&other, json!({ "jti": "l2", "sid": null, "sub": "1" })),
        (&issuer, json!({ "jti": "l3", "sid": null, "sub": "s1" })),
        (&issuer, json!({ "jti": "l4", "sid": "1" })),
    ] {
        house.validator.back_channel_logout(&logout(by, "logout+jwt", &changes), NOW).await.unwrap();
        house.ask(&token).await.unwrap();
    }
    let forged = logout(&other, "logout+jwt", &json!({ "iss": issuer.url, "iat": NOW.0 - 200 }));
    let result = house.validator.back_channel_logout(&forged, NOW).await;
    assert!(matches!(result, Err(LogoutError::Token(_))), "{result:?}");
    house.ask(&token).await.unwrap();
}

#[tokio::test]
async fn while_the_store_is_down_nothing_counts_as_ended_and_a_logout_token_can_be_sent_again() {
    let issuer = HostileIssuer::start().await;
    let (store, house) = House::hooked(vec![known_to(&issuer)]).await;
    let token = issuer.sign(&claims(&issuer));
    let outside = outside(&house.ask(&token).await.unwrap());
    let logout = logout(&issuer, "logout+jwt", &json!({}));

    store.down.store(true, Ordering::SeqCst);
    assert_eq!(house.validator.recheck(&outside, &token, NOW).await, Recheck::Unknown);
    assert!(matches!(house.ask(&token).await, Err(Rejection::Unavailable(_))));
    for _ in 0..2 {
        let result = house.validator.back_channel_logout(&logout, NOW).await;
        assert!(matches!(result, Err(LogoutError::Store(_))), "{result:?}");
    }

    store.down.store(false, Ordering::SeqCst);
    assert_eq!(house.validator.recheck(&outside, &token, NOW).await, Recheck::Live(later(600)));
    house.validator.back_channel_logout(&logout, NOW).await.unwrap();
    assert_eq!(house.validator.recheck(&outside, &token, NOW).await, Recheck::Ended);
    assert_eq!(house.validator.back_channel_logout(&logout, NOW).await, Err(LogoutError::Replayed));
}

#[tokio::test]
async fn a_token_lives_on_only_for_its_person_and_only_while_its_issuer_is_trusted() {
    let issuer = HostileIssuer::start().await;
    let house = House::trusting(vec![settings(&issuer, "example.net")]).await;
    let token = issuer.sign(&claims(&issuer));
    let outside = outside(&house.ask(&token).await.unwrap());
    let recheck = |outside: Outside, token: Secret, now| {
        let validator = &house.validator;
        async move { validator.recheck(&outside, &token, now).await }
    };
    assert_eq!(recheck(outside.clone(), token.clone(), NOW).await, Recheck::Live(later(600)));
    assert_eq!(recheck(outside.clone(), token.clone(), later(661)).await, Recheck::Ended, "it expired");
    let anothers = issuer.sign(&but(&issuer, &json!({ "sub": "2" })));
    assert_eq!(recheck(outside.clone(), anothers, NOW).await, Recheck::Ended, "it is another's");
    // Its key may be one that the issuer has had for a moment, which nobody can tell yet.
    let new = SigningKey::generate(Algorithm::Es256).unwrap();
    let undecided = sign_with(&new, "at+jwt", &claims(&issuer));
    assert_eq!(recheck(outside.clone(), undecided, NOW).await, Recheck::Unknown);

    let nobody = House::trusting(Vec::new()).await;
    assert_eq!(nobody.validator.recheck(&outside, &token, NOW).await, Recheck::Ended);
}

/// A look-up, or a mail server, can take a while.
#[tokio::test]
async fn what_ends_while_a_sign_in_waits_ends_the_sign_in() {
    let issuer = HostileIssuer::start().await;
    let ends = |at: UnixTime| {
        let issuer = &issuer;
        async move {
            let house = House::trusting(vec![known_to(issuer)]).await;
            let validation = house.validator.validate_noting(&issuer.sign(&claims(issuer)), &IMAP, NOW).await;
            let right = validation.result.unwrap().right;
            let Right::Outside(outside) = &right else { panic!("a token of another issuer") };
            let is_live = || house.validator.is_still_live(&right, validation.seen, NOW);
            assert!(is_live().await.unwrap());
            for key in &outside.keys {
                house.store.end_outside(key, at).await.unwrap();
                house.validator.forget(&[Revoked::Token(*key)]);
            }
            !is_live().await.unwrap()
        }
    };
    assert!(ends(NOW).await);
    assert!(ends(later(-60)).await, "the issuer's clock may be behind");
    assert!(!ends(later(-61)).await, "the person has signed in again since");
}

#[tokio::test]
async fn after_a_persons_sign_out_only_tokens_made_since_are_good() {
    let issuer = HostileIssuer::start().await;
    let house = House::trusting(vec![known_to(&issuer)]).await;
    let by_person = json!({ "sid": null, "sub": "1" });
    house.validator.back_channel_logout(&logout(&issuer, "logout+jwt", &by_person), NOW).await.unwrap();
    for (iat, is_good) in [(json!(NOW.0), false), (json!(NOW.0 + 1), true), (Value::Null, false)] {
        let token = issuer.sign(&but(&issuer, &json!({ "iat": iat, "sid": "s9" })));
        assert_eq!(house.ask(&token).await.is_ok(), is_good, "{iat}");
    }
}

/// Where the issuer is asked, its word counts that was given after the sign-out.
#[tokio::test]
async fn a_token_that_does_not_say_when_it_was_made_is_as_new_as_its_issuers_last_word() {
    let issuer = HostileIssuer::start().await;
    let mut config = known_to(&issuer);
    config.validate = trusted::Validate::Introspection;
    let house = House::trusting(vec![config]).await;
    issuer.say("/introspect", &but(&issuer, &json!({ "active": true, "iat": null, "iss": null })));
    let token = Secret::copy_of(b"an-opaque-token");
    let ask = |now| house.validator.validate(&token, &IMAP, now);
    ask(NOW).await.unwrap();
    let by_person = json!({ "sid": null, "sub": "1", "iat": NOW.0 + 2 });
    house.validator.back_channel_logout(&logout(&issuer, "logout+jwt", &by_person), later(2)).await.unwrap();
    assert_eq!(ask(later(2)).await.unwrap_err(), Rejection::Revoked);
    assert_eq!(ask(later(3)).await.unwrap_err(), Rejection::Revoked, "that is what is remembered");
    ask(later(100)).await.unwrap();
}
