//! By the published keys.

use bearward::{
    token::{Algorithm, SigningKey},
    validator::{LogoutError, Recheck, Rejection, Request},
};
use serde_json::json;

use super::{AUDIENCE, House, IMAP, NOW, but, claims, later, settings};
use crate::support::{HostileIssuer, forged, sign_with};

#[tokio::test]
async fn a_good_token_signs_its_user_in() {
    let issuer = HostileIssuer::start().await;
    let house = House::trusting(vec![settings(&issuer, "example.net")]).await;
    let token = issuer.sign(&claims(&issuer));
    let principal = house.ask(&token).await.unwrap();
    assert_eq!(principal.login.as_str(), "alice@example.net");
    assert_eq!(principal.mailbox, principal.login);
    assert_eq!((&*principal.issuer, principal.client.as_str()), (&*issuer.url, "thunderbird"));
    assert_eq!(principal.expires_at, later(600));
    let again = house.validator.validate_noting(&token, &IMAP, later(1)).await;
    assert!(again.cached && again.result.is_ok());
    assert_eq!(*again.issuer, *issuer.url);
    assert_eq!(issuer.asked("/keys").len(), 1);
}

#[tokio::test]
async fn a_claim_that_is_wrong_is_refused_for_what_it_is() {
    let issuer = HostileIssuer::start().await;
    let house = House::trusting(vec![settings(&issuer, "example.net")]).await;
    let cases = [
        (json!({ "aud": "other.example.org" }), Rejection::WrongAudience),
        (json!({ "aud": ["a", "b"] }), Rejection::WrongAudience),
        (json!({ "aud": null }), Rejection::WrongAudience),
        (json!({ "aud": { "imap.example.org": true } }), Rejection::WrongAudience),
        (json!({ "exp": NOW.0 - 61 }), Rejection::Expired),
        (json!({ "exp": null }), Rejection::Malformed),
        (json!({ "exp": "9999999999" }), Rejection::Malformed),
        (json!({ "nbf": NOW.0 + 61 }), Rejection::Malformed),
        (json!({ "iat": NOW.0 + 61 }), Rejection::Malformed),
        (json!({ "sub": null }), Rejection::Malformed),
        (json!({ "sub": 7 }), Rejection::Malformed),
        (json!({ "events": {} , "typ": "Logout" }), Rejection::Malformed),
        (json!({ "typ": "ID" }), Rejection::Malformed),
        (json!({ "token_use": "id" }), Rejection::Malformed),
        (json!({ "cnf": { "jkt": "x" } }), Rejection::BoundElsewhere),
        (json!({ "scope": "openid email" }), Rejection::InsufficientScope),
        (json!({ "scope": null }), Rejection::InsufficientScope),
        (json!({ "iss": "https://nobody.example" }), Rejection::Unknown),
    ];
    for (changes, expected) in cases {
        let result = house.ask(&issuer.sign(&but(&issuer, &changes))).await;
        assert_eq!(result.err(), Some(expected), "{changes}");
    }
    for changes in
        [json!({ "aud": ["x", AUDIENCE] }), json!({ "nbf": NOW.0 + 59 }), json!({ "scp": ["imap"] })]
    {
        house.ask(&issuer.sign(&but(&issuer, &changes))).await.unwrap();
    }
}

#[tokio::test]
async fn a_key_serves_its_own_issuer_alone_whatever_its_name() {
    let (one, other) = (HostileIssuer::start().await, HostileIssuer::start().await);
    let configs = vec![settings(&one, "example.net"), settings(&other, "example.com")];
    let house = House::trusting(configs).await;
    let stolen = sign_with(&other.key, "at+jwt", &claims(&one));
    assert_eq!(house.ask(&stolen).await.unwrap_err(), Rejection::Unknown);
    // The header's name of the key is the other issuer's: both are called alike.
    let part = |token: &bearward::model::Secret, index: usize| {
        token.expose_str().unwrap().split('.').nth(index).unwrap().to_owned()
    };
    let (good, bad) = (one.sign(&claims(&one)), other.sign(&claims(&one)));
    let mixed = format!("{}.{}.{}", part(&good, 0), part(&good, 1), part(&bad, 2));
    assert_eq!(house.ask(&mixed.into()).await.unwrap_err(), Rejection::Malformed);
    // Its own word about people of another's domain counts for nothing.
    let across = but(&other, &json!({ "email": "alice@example.net" }));
    assert_eq!(house.ask(&other.sign(&across)).await.unwrap_err(), Rejection::NotAuthorized);
}

#[tokio::test]
async fn headers_choose_neither_algorithm_nor_key() {
    let issuer = HostileIssuer::start().await;
    let house = House::trusting(vec![settings(&issuer, "example.net")]).await;
    let kid = issuer.key.kid();
    for header in [
        json!({ "alg": "ES256", "typ": "at+jwt", "kid": "../../etc/passwd" }),
        json!({ "alg": "none", "typ": "at+jwt", "kid": kid }),
        json!({ "alg": "HS256", "typ": "at+jwt", "kid": kid }),
        json!({ "alg": "RS256", "typ": "at+jwt", "kid": kid }),
        json!({ "alg": "ES384", "typ": "at+jwt", "kid": kid }),
        json!({ "alg": "ES256", "typ": "at+jwt", "kid": kid, "crit": ["b64"], "b64": false }),
        json!({ "alg": "ES256", "typ": "dpop+jwt", "kid": kid }),
        json!({ "alg": "ES256", "typ": "at+jwt", "kid": kid, "jku": "https://evil.example/keys" }),
    ] {
        let result = house.ask(&forged(&header, &claims(&issuer))).await;
        assert!(matches!(result, Err(Rejection::Malformed | Rejection::Unknown)), "{header}: {result:?}");
    }
}

#[tokio::test]
async fn an_id_token_is_no_access_token() {
    let issuer = HostileIssuer::start().await;
    let house = House::trusting(vec![settings(&issuer, "example.net")]).await;
    let plain = |changes| sign_with(&issuer.key, "JWT", &but(&issuer, &changes));
    house.ask(&plain(json!({}))).await.unwrap();
    for mark in ["nonce", "at_hash", "c_hash"] {
        assert_eq!(
            house.ask(&plain(json!({ mark: "x" }))).await.unwrap_err(),
            Rejection::Malformed,
            "{mark}"
        );
    }
}

#[tokio::test]
async fn unknown_keys_are_looked_for_but_not_at_everybodys_will() {
    let issuer = HostileIssuer::start().await;
    let house = House::trusting(vec![settings(&issuer, "example.net")]).await;
    house.ask(&issuer.sign(&claims(&issuer))).await.unwrap();
    let next = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let rotated = sign_with(&next, "at+jwt", &claims(&issuer));
    for _ in 0..20 {
        assert_eq!(house.ask(&rotated).await.unwrap_err(), Rejection::Undecided);
    }
    assert_eq!(issuer.asked("/keys").len(), 1);
    issuer.publish(&[&issuer.key, &next]);
    house.validator.validate(&rotated, &IMAP, later(6)).await.unwrap();
    assert_eq!(issuer.asked("/keys").len(), 2);
}

#[tokio::test]
async fn keys_outlive_an_outage_for_a_set_time_and_an_outage_is_no_wrong_token() {
    let issuer = HostileIssuer::start().await;
    let house = House::trusting(vec![settings(&issuer, "example.net")]).await;
    let token = issuer.sign(&but(&issuer, &json!({ "exp": NOW.0 + 100_000 })));
    house.ask(&token).await.unwrap();
    issuer.leave(true);
    house.validator.validate(&token, &IMAP, later(3000)).await.unwrap();
    let error = house.validator.validate(&token, &IMAP, later(3700)).await.unwrap_err();
    assert!(matches!(error, Rejection::Unreachable(_)), "{error:?}");
    issuer.leave(false);
    house.validator.validate(&token, &IMAP, later(3720)).await.unwrap();
}

#[tokio::test]
async fn a_key_that_was_withdrawn_serves_no_more() {
    let issuer = HostileIssuer::start().await;
    let house = House::trusting(vec![settings(&issuer, "example.net")]).await;
    let token = issuer.sign(&claims(&issuer));
    house.ask(&token).await.unwrap();
    issuer.publish(&[&SigningKey::generate(Algorithm::Es256).unwrap()]);
    assert_eq!(house.validator.validate(&token, &IMAP, later(301)).await.unwrap_err(), Rejection::Unknown);
}

#[tokio::test]
async fn metadata_of_another_issuer_is_not_believed() {
    let (issuer, other) = (HostileIssuer::start().await, HostileIssuer::start().await);
    let document = json!({ "issuer": other.url, "jwks_uri": format!("{}/keys", issuer.url) });
    issuer.say("/.well-known/openid-configuration", &document);
    let house = House::trusting(vec![settings(&issuer, "example.net")]).await;
    let error = house.ask(&issuer.sign(&claims(&issuer))).await.unwrap_err();
    assert!(matches!(error, Rejection::Unreachable(_)), "{error:?}");
    assert!(issuer.asked("/keys").is_empty());
}

#[tokio::test]
async fn listed_clients_required_claims_and_names_of_the_place_are_kept_to() {
    let issuer = HostileIssuer::start().await;
    let mut config = settings(&issuer, "example.net");
    config.clients = vec!["thunderbird".to_owned()];
    config.required_claims.insert("acr".to_owned(), "2".to_owned());
    config.sni = vec!["imap.example.net".to_owned()];
    let house = House::trusting(vec![config]).await;
    let there = Request { sni: Some("IMAP.example.net"), ..IMAP };
    let good = but(&issuer, &json!({ "acr": "2" }));
    house.validator.validate(&issuer.sign(&good), &there, NOW).await.unwrap();
    assert_eq!(house.ask(&issuer.sign(&good)).await.unwrap_err(), Rejection::Unknown);
    let cases = [
        (json!({ "acr": "2", "client_id": "evil" }), Rejection::WrongAudience),
        (json!({ "acr": "2", "azp": "evil" }), Rejection::WrongAudience),
        (json!({ "acr": "2", "client_id": null }), Rejection::WrongAudience),
        (json!({ "acr": "1" }), Rejection::NotAuthorized),
        (json!({}), Rejection::NotAuthorized),
    ];
    for (changes, expected) in cases {
        let token = issuer.sign(&but(&issuer, &changes));
        assert_eq!(house.validator.validate(&token, &there, NOW).await.err(), Some(expected), "{changes}");
    }
}

#[tokio::test]
async fn whoever_signed_out_at_the_issuer_is_out_here_too() {
    const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
    let issuer = HostileIssuer::start().await;
    let mut config = settings(&issuer, "example.net");
    let auth = bearward::validator::trusted::ClientAuth::None;
    config.client = Some(bearward::validator::trusted::Client { id: "bearward".to_owned(), auth });
    let house = House::trusting(vec![config]).await;
    let token = issuer.sign(&claims(&issuer));
    let principal = house.ask(&token).await.unwrap();
    let logout = |changes: serde_json::Value| {
        let mut claims = json!({ "iss": issuer.url, "aud": "bearward", "iat": NOW.0, "jti": "l1", "sid": "s1",
            "events": { EVENT: {} } });
        changes.as_object().unwrap().iter().for_each(|(name, value)| claims[name] = value.clone());
        sign_with(&issuer.key, "logout+jwt", &claims).expose_str().unwrap().to_owned()
    };
    for bad in [
        json!({ "aud": "other" }),
        json!({ "nonce": "x" }),
        json!({ "events": {} }),
        json!({ "iat": NOW.0 - 1000 }),
        json!({ "jti": "" }),
        json!({ "sid": "" }),
    ] {
        let result = house.validator.logout_token(&logout(bad.clone()), NOW).await;
        assert!(matches!(result, Err(LogoutError::Token(_))), "{bad}: {result:?}");
    }
    let ended = house.validator.logout_token(&logout(json!({})), NOW).await.unwrap();
    assert_eq!((ended.session.as_deref(), ended.subject.as_deref()), (Some("s1"), None));
    let again = house.validator.logout_token(&logout(json!({})), NOW).await;
    assert_eq!(again, Err(LogoutError::Replayed));
    let bearward::model::Right::Outside(outside) = &principal.right else { panic!() };
    assert_eq!(house.validator.recheck(outside, &token, NOW).await, Recheck::Live(later(600)));
    for key in ended.keys() {
        assert!(outside.keys.contains(&key));
        house.store.end_outside(&key, NOW).await.unwrap();
    }
    assert_eq!(house.ask(&token).await.unwrap_err(), Rejection::Revoked);
    assert_eq!(house.validator.recheck(outside, &token, NOW).await, Recheck::Ended);
}
