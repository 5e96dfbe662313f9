//! Who we are when the issuer is asked: what it gets to see.

use bearward::{
    model::Secret,
    token::{ClientKey, OutsideAlgorithm, OutsideKeys},
    validator::trusted::{Client, ClientAuth, Validate},
};
use serde_json::{Value, json};

use super::{House, NOW, but, later, settings};
use crate::support::{Asked, HostileIssuer, PrivateKey};

/// What the issuer is asked about two tokens, one after the other.
async fn asked(issuer: &HostileIssuer, id: &str, auth: ClientAuth) -> Vec<Asked> {
    let mut config = settings(issuer, "example.net");
    config.validate = Validate::Introspection;
    config.client = Some(Client { id: id.to_owned(), auth });
    let house = House::trusting(vec![config]).await;
    issuer.say("/introspect", &but(issuer, &json!({ "active": true })));
    for token in ["one", "two"] {
        house.ask(&Secret::copy_of(token.as_bytes())).await.unwrap();
    }
    let asked = issuer.asked("/introspect");
    assert_eq!(asked.len(), 2);
    asked
}

/// The values of a header field.
fn fields<'a>(asked: &'a Asked, name: &str) -> Vec<&'a str> {
    let fields = asked.head.lines().skip(1).filter_map(|line| line.split_once(": "));
    fields.filter(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
}

fn form(asked: &Asked) -> Vec<(String, String)> {
    assert_eq!(fields(asked, "content-type"), ["application/x-www-form-urlencoded"]);
    form_urlencoded::parse(asked.body.as_bytes()).into_owned().collect()
}

#[tokio::test]
async fn a_bearer_token_of_our_own_stands_in_the_header_and_nowhere_else() {
    let issuer = HostileIssuer::start().await;
    let auth = ClientAuth::Bearer(Secret::copy_of(b"0ur~own-_.+/token=="));
    let asked = asked(&issuer, "", auth).await;
    for (asked, token) in asked.iter().zip(["one", "two"]) {
        assert_eq!(fields(asked, "authorization"), ["Bearer 0ur~own-_.+/token=="]);
        assert_eq!(asked.body, format!("token={token}&token_type_hint=access_token"));
        assert_eq!(asked.target, "/introspect");
    }
}

#[tokio::test]
async fn an_assertion_is_ours_for_this_issuer_short_lived_and_never_the_same() {
    for algorithm in OutsideAlgorithm::ALL {
        let issuer = HostileIssuer::start().await;
        let private = PrivateKey::make(algorithm);
        let pem = Secret::from(private.pem());
        let key = ClientKey::from_pem(&pem, algorithm, Some("ours 1".to_owned())).unwrap();
        let asked = asked(&issuer, "bear&ward", ClientAuth::PrivateKey(Box::new(key))).await;
        let mut jwk = private.jwk();
        (jwk["kid"], jwk["alg"]) = (json!("ours 1"), json!(algorithm.as_str()));
        let keys = OutsideKeys::parse(&json!({ "keys": [jwk] })).unwrap();
        let mut seen = Vec::new();
        for asked in &asked {
            assert!(fields(asked, "authorization").is_empty());
            let form = form(asked);
            let names: Vec<_> = form.iter().map(|(name, _)| name.as_str()).collect();
            let expected =
                ["token", "token_type_hint", "client_id", "client_assertion_type", "client_assertion"];
            assert_eq!(names, expected);
            assert_eq!(form[2].1, "bear&ward");
            assert_eq!(form[3].1, "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
            let header: Value =
                serde_json::from_slice(&decoded(form[4].1.split('.').next().unwrap())).unwrap();
            assert_eq!(header, json!({ "typ": "JWT", "alg": algorithm.as_str(), "kid": "ours 1" }));
            let mut claims = keys.verify(&form[4].1, &[algorithm], &["JWT".to_owned()]).unwrap().claims;
            seen.push(claims.remove("jti").unwrap().as_str().unwrap().to_owned());
            let expected = json!({
                "iss": "bear&ward", "sub": "bear&ward", "aud": issuer.url, "iat": NOW.0, "exp": later(60).0,
            });
            assert_eq!(Value::Object(claims), expected);
        }
        assert!(seen[0] != seen[1] && seen.iter().all(|jti| jti.len() >= 16), "{seen:?}");
    }
}

fn decoded(text: &str) -> Vec<u8> {
    base64::Engine::decode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, text).unwrap()
}
