//! By asking the issuer.

use std::time::Duration;

use bearward::{
    model::Secret,
    validator::{
        Recheck, Rejection,
        trusted::{Client, ClientAuth, Validate},
    },
};
use serde_json::json;

use super::{AUDIENCE, House, IMAP, NOW, but, claims, later, settings};
use crate::support::HostileIssuer;

fn asking(issuer: &HostileIssuer) -> bearward::validator::trusted::Config {
    let mut config = settings(issuer, "example.net");
    config.validate = Validate::Introspection;
    let auth = ClientAuth::Basic(Secret::copy_of(b"s3cret"));
    config.client = Some(Client { id: "bearward".to_owned(), auth });
    config
}

fn opaque(text: &str) -> Secret {
    Secret::copy_of(text.as_bytes())
}

#[tokio::test]
async fn an_opaque_token_is_asked_about_once_and_taken_when_it_is_active_and_ours() {
    let issuer = HostileIssuer::start().await;
    let house = House::trusting(vec![asking(&issuer)]).await;
    issuer.say("/introspect", &but(&issuer, &json!({ "active": true, "token_type": "Bearer" })));
    for _ in 0..3 {
        let principal = house.ask(&opaque("to&ken+1")).await.unwrap();
        assert_eq!(principal.login.as_str(), "alice@example.net");
    }
    let asked = issuer.asked("/introspect");
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].body, "token=to%26ken%2B1&token_type_hint=access_token");
    assert!(asked[0].head.to_ascii_lowercase().contains("authorization: basic"));
    let cases = [
        (json!({ "active": false }), Some(Rejection::Unknown)),
        (json!({ "active": true, "aud": "other" }), Some(Rejection::WrongAudience)),
        (json!({ "active": true, "aud": null }), Some(Rejection::WrongAudience)),
        (json!({ "active": true, "iss": "https://other.example" }), Some(Rejection::Malformed)),
        (json!({ "active": true, "exp": NOW.0 - 100 }), Some(Rejection::Expired)),
        (json!({ "active": true, "token_type": "DPoP" }), Some(Rejection::BoundElsewhere)),
        (json!({ "active": true, "token_type": "refresh_token" }), Some(Rejection::BoundElsewhere)),
        (json!({ "active": true, "iss": null, "exp": null }), None),
    ];
    for (index, (changes, expected)) in cases.into_iter().enumerate() {
        issuer.say("/introspect", &but(&issuer, &changes));
        let result = house.ask(&opaque(&format!("token-{index}"))).await;
        assert_eq!(result.err(), expected, "{changes}");
    }
    for (index, strange) in [json!({ "active": "true" }), json!({}), json!([])].iter().enumerate() {
        issuer.say("/introspect", strange);
        let error = house.ask(&opaque(&format!("strange-{index}"))).await.unwrap_err();
        assert!(matches!(error, Rejection::Unreachable(_)), "{strange}: {error:?}");
    }
}

#[tokio::test]
async fn one_question_serves_every_session_that_waits_even_when_the_first_leaves() {
    let issuer = HostileIssuer::start().await;
    let house = std::sync::Arc::new(House::trusting(vec![asking(&issuer)]).await);
    issuer.say("/introspect", &but(&issuer, &json!({ "active": true })));
    issuer.slow_down(Duration::from_millis(500));
    let ask = || {
        let house = std::sync::Arc::clone(&house);
        tokio::spawn(async move { house.ask(&opaque("one")).await.is_ok() })
    };
    let first = ask();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let others: Vec<_> = (0..20).map(|_| ask()).collect();
    first.abort();
    for other in others {
        assert!(other.await.unwrap());
    }
    assert_eq!(issuer.asked("/introspect").len(), 1);
}

#[tokio::test]
async fn a_refused_token_is_not_asked_about_again_at_once_and_an_outage_is_never_remembered() {
    let issuer = HostileIssuer::start().await;
    let house = House::trusting(vec![asking(&issuer)]).await;
    issuer.say("/introspect", &json!({ "active": false }));
    for _ in 0..5 {
        assert_eq!(house.ask(&opaque("bad")).await.unwrap_err(), Rejection::Unknown);
    }
    assert_eq!(issuer.asked("/introspect").len(), 1);
    issuer.answer("/introspect", 503, &json!({}));
    let error = house.ask(&opaque("good")).await.unwrap_err();
    assert!(matches!(error, Rejection::Unreachable(_)), "{error:?}");
    issuer.say("/introspect", &but(&issuer, &json!({ "active": true })));
    house.ask(&opaque("good")).await.unwrap();
    house.validator.validate(&opaque("bad"), &IMAP, later(11)).await.unwrap();
}

#[tokio::test]
async fn an_issuer_that_is_away_is_left_alone_for_a_while() {
    let issuer = HostileIssuer::start().await;
    let house = House::trusting(vec![asking(&issuer)]).await;
    issuer.answer("/introspect", 500, &json!({}));
    for index in 0..50 {
        house.ask(&opaque(&format!("random-{index}"))).await.unwrap_err();
    }
    assert_eq!(issuer.asked("/introspect").len(), 5);
    issuer.say("/introspect", &but(&issuer, &json!({ "active": true })));
    house.validator.validate(&opaque("x"), &IMAP, later(11)).await.unwrap();
}

#[tokio::test]
async fn a_token_that_several_issuers_could_have_made_is_shown_to_the_one_of_the_users_domain() {
    let (one, other) = (HostileIssuer::start().await, HostileIssuer::start().await);
    let mut second = asking(&other);
    second.domains = vec!["example.com".to_owned()];
    let house = House::trusting(vec![asking(&one), second]).await;
    one.say("/introspect", &but(&one, &json!({ "active": true })));
    assert_eq!(house.ask(&opaque("x")).await.unwrap_err(), Rejection::Unknown);
    assert!(one.asked("/introspect").is_empty() && other.asked("/introspect").is_empty());
    house.ask_as(&opaque("x"), "alice@example.net").await.unwrap();
    assert!(other.asked("/introspect").is_empty());
}

#[tokio::test]
async fn a_token_of_another_issuer_is_looked_at_again_past_what_is_remembered() {
    let issuer = HostileIssuer::start().await;
    let house = House::trusting(vec![asking(&issuer)]).await;
    issuer.say("/introspect", &but(&issuer, &json!({ "active": true })));
    let token = opaque("x");
    let principal = house.ask(&token).await.unwrap();
    let bearward::model::Right::Outside(outside) = principal.right else { panic!() };
    assert_eq!(house.validator.recheck(&outside, &token, NOW).await, Recheck::Live(later(600)));
    issuer.answer("/introspect", 503, &json!({}));
    assert_eq!(house.validator.recheck(&outside, &token, NOW).await, Recheck::Unknown);
    issuer.say("/introspect", &but(&issuer, &json!({ "active": true, "sub": "2" })));
    assert_eq!(house.validator.recheck(&outside, &token, NOW).await, Recheck::Ended);
    issuer.say("/introspect", &json!({ "active": false }));
    assert_eq!(house.validator.recheck(&outside, &token, NOW).await, Recheck::Ended);
    assert_eq!(house.ask(&token).await.unwrap_err(), Rejection::Unknown);
}

#[tokio::test]
async fn googles_form_is_understood() {
    let issuer = HostileIssuer::start().await;
    let mut config = settings(&issuer, "example.net");
    config.validate = Validate::Tokeninfo;
    config.endpoints.tokeninfo = Some(format!("{}/tokeninfo", issuer.url).parse().unwrap());
    config.scopes.mail = Some("https://mail.google.com/".to_owned());
    let house = House::trusting(vec![config]).await;
    let info = |aud: &str| {
        json!({ "azp": AUDIENCE, "aud": aud, "sub": "1077", "scope": "openid https://mail.google.com/",
            "exp": (NOW.0 + 600).to_string(), "expires_in": "600", "email": "alice@example.net",
            "email_verified": "true", "access_type": "offline" })
    };
    issuer.say("/tokeninfo", &info(AUDIENCE));
    let principal = house.ask(&opaque("ya29.a0")).await.unwrap();
    assert_eq!((principal.login.as_str(), principal.expires_at), ("alice@example.net", later(600)));
    assert_eq!(issuer.asked("/tokeninfo")[0].target, "/tokeninfo?access_token=ya29.a0");
    issuer.say("/tokeninfo", &info("another-app"));
    assert_eq!(house.ask(&opaque("ya29.b")).await.unwrap_err(), Rejection::WrongAudience);
    issuer.answer(
        "/tokeninfo",
        400,
        &json!({ "error": "invalid_token", "error_description": "Invalid Value" }),
    );
    assert_eq!(house.ask(&opaque("ya29.c")).await.unwrap_err(), Rejection::Unknown);
    issuer.answer("/tokeninfo", 400, &json!({ "error": "invalid_request" }));
    assert!(matches!(house.ask(&opaque("ya29.d")).await.unwrap_err(), Rejection::Unreachable(_)));
}

#[tokio::test]
async fn microsofts_forms_are_understood() {
    let issuer = HostileIssuer::start().await;
    let mut config = settings(&issuer, "example.net");
    config.also = vec!["https://sts.windows.example/tenant/".to_owned()];
    config.mapping.login = bearward::validator::trusted::Template::claim("upn");
    let house = House::trusting(vec![config]).await;
    let second = json!({ "iss": issuer.url, "sub": "pairwise", "aud": AUDIENCE, "azp": "c0ffee", "scp": "imap",
        "exp": NOW.0 + 600, "iat": NOW.0, "ver": "2.0", "upn": "alice@example.net" });
    let mut first = second.clone();
    first["iss"] = json!("https://sts.windows.example/tenant/");
    first["appid"] = json!("c0ffee");
    for claims in [&first, &second] {
        let token = crate::support::sign_with(&issuer.key, "JWT", claims);
        assert_eq!(house.ask(&token).await.unwrap().client.as_str(), "c0ffee");
    }
    let mut guest = second.clone();
    guest["upn"] = json!("eve_evil.example#EXT#@tenant.onmicrosoft.example");
    let token = crate::support::sign_with(&issuer.key, "JWT", &guest);
    assert_eq!(house.ask(&token).await.unwrap_err(), Rejection::NotAuthorized);
}

#[tokio::test]
async fn userinfo_alone_is_taken_where_any_client_will_do() {
    let issuer = HostileIssuer::start().await;
    let mut config = settings(&issuer, "example.net");
    config.validate = Validate::Userinfo;
    config.allow_any_client = true;
    config.audience = Vec::new();
    config.scopes.mail = Some("*".to_owned());
    let house = House::trusting(vec![config]).await;
    issuer.say("/userinfo", &claims(&issuer));
    assert_eq!(house.ask(&opaque("u")).await.unwrap().expires_at, later(3600));
    issuer.answer("/userinfo", 401, &json!({}));
    assert_eq!(house.ask(&opaque("v")).await.unwrap_err(), Rejection::Unknown);
    issuer.answer("/userinfo", 403, &json!({}));
    assert!(matches!(house.ask(&opaque("w")).await.unwrap_err(), Rejection::Unreachable(_)));
}
