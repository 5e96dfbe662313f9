#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use serde_json::json;

use super::*;
use crate::token::{SigningKey, base64url};

fn jwk(algorithm: Algorithm) -> Value {
    serde_json::to_value(SigningKey::generate(algorithm).unwrap().jwk()).unwrap()
}

fn parse(keys: &[Value]) -> Result<PublicKeySet, JoseError> {
    PublicKeySet::parse(&json!({ "keys": keys }))
}

fn with(mut key: Value, member: &str, value: Value) -> Value {
    key[member] = value;
    key
}

#[test]
fn our_own_published_keys_are_read() {
    let keys = Algorithm::ALL.map(jwk);
    let set = parse(&keys).unwrap();
    assert_eq!(set.len(), 3);
    for key in &keys {
        assert!(set.contains(key["kid"].as_str().unwrap()));
    }
    assert!(!set.contains("another"));
}

#[test]
fn keys_of_another_kind_or_use_are_left_out() {
    let good = jwk(Algorithm::Es256);
    let others = [
        with(jwk(Algorithm::Es256), "use", json!("enc")),
        with(jwk(Algorithm::Es256), "key_ops", json!(["sign"])),
        with(jwk(Algorithm::Es256), "alg", json!("ECDH-ES")),
        with(jwk(Algorithm::Rs256), "alg", json!("PS256")),
        with(jwk(Algorithm::Es256), "crv", json!("P-384")),
        with(jwk(Algorithm::EdDsa), "crv", json!("X25519")),
        with(jwk(Algorithm::EdDsa), "kty", json!("AKP")),
    ];
    for other in others {
        assert_eq!(parse(&[good.clone(), other.clone()]).unwrap().len(), 1, "{other}");
        assert_eq!(parse(std::slice::from_ref(&other)).unwrap_err(), JoseError::NoKey, "{other}");
    }
}

#[test]
fn a_key_without_alg_and_use_is_taken_for_its_own_algorithm() {
    let mut key = jwk(Algorithm::Rs256);
    let members = key.as_object_mut().unwrap();
    for member in ["alg", "use", "kid"] {
        members.remove(member);
    }
    members.insert("key_ops".to_owned(), json!(["verify"]));
    let set = parse(&[key]).unwrap();
    assert_eq!(set.candidates(Some("any"), Algorithm::Rs256).count(), 1);
    assert_eq!(set.candidates(None, Algorithm::Rs256).count(), 1);
    assert_eq!(set.candidates(None, Algorithm::Es256).count(), 0);
}

#[test]
fn a_name_picks_its_own_key() {
    let (one, two) = (jwk(Algorithm::Es256), jwk(Algorithm::Es256));
    let set = parse(&[one.clone(), two]).unwrap();
    assert_eq!(set.candidates(one["kid"].as_str(), Algorithm::Es256).count(), 1);
    assert_eq!(set.candidates(None, Algorithm::Es256).count(), 2);
    assert_eq!(set.candidates(Some("../../../dev/null"), Algorithm::Es256).count(), 0);
}

#[test]
fn a_private_or_shared_key_spoils_the_set() {
    for member in PRIVATE {
        let key = with(jwk(Algorithm::Es256), member, json!("AAAA"));
        assert_eq!(parse(&[jwk(Algorithm::EdDsa), key]).unwrap_err(), JoseError::PrivateKey, "{member}");
    }
    let shared = json!({ "kty": "oct", "k": "c2VjcmV0" });
    assert_eq!(parse(&[shared]).unwrap_err(), JoseError::PrivateKey);
}

#[test]
fn a_short_a_long_and_an_odd_rsa_key_are_refused() {
    let key = jwk(Algorithm::Rs256);
    let modulus = decode(key["n"].as_str().unwrap()).unwrap();
    let sized = |n: &[u8]| parse(&[with(key.clone(), "n", json!(base64url(n)))]).unwrap_err();
    assert_eq!(sized(&modulus[1..]), JoseError::KeyLength);
    assert_eq!(sized(&[&[0x7f], &modulus[1..]].concat()), JoseError::KeyLength);
    assert_eq!(sized(&[&[0], &modulus[1..]].concat()), JoseError::KeyLength);
    assert_eq!(sized(&[modulus.as_slice(), &modulus, &[1]].concat()), JoseError::KeyLength);
    assert_eq!(sized(&[]), JoseError::KeyLength);
    for exponent in [vec![], vec![0], vec![1], vec![2], vec![1, 0, 0, 0, 1]] {
        let odd = with(key.clone(), "e", json!(base64url(&exponent)));
        assert!(matches!(parse(&[odd]).unwrap_err(), JoseError::KeySet(_)), "{exponent:?}");
    }
    // A leading zero changes no number.
    let led = with(key, "n", json!(base64url(&[&[0], modulus.as_slice()].concat())));
    assert!(parse(&[led]).is_ok());
}

#[test]
fn a_point_that_is_not_on_the_curve_is_refused() {
    let key = jwk(Algorithm::Es256);
    let mut y = decode(key["y"].as_str().unwrap()).unwrap();
    y[31] ^= 1;
    for (member, value) in [
        ("y", json!(base64url(&y))),
        ("y", json!(base64url(&y[1..]))),
        ("x", json!("")),
        ("x", json!("not base64url")),
        ("x", json!(7)),
        ("x", Value::Null),
    ] {
        let wrong = with(key.clone(), member, value);
        assert!(matches!(parse(std::slice::from_ref(&wrong)).unwrap_err(), JoseError::KeySet(_)), "{wrong}");
    }
    let mut short = key;
    short.as_object_mut().unwrap().remove("y");
    assert!(matches!(parse(&[short]).unwrap_err(), JoseError::KeySet(_)));
    let edwards = with(jwk(Algorithm::EdDsa), "x", json!(base64url(&[7; 31])));
    assert!(matches!(parse(&[edwards]).unwrap_err(), JoseError::KeySet(_)));
}

#[test]
fn what_is_no_key_set_is_refused() {
    for document in [
        json!(null),
        json!([]),
        json!({}),
        json!({ "keys": {} }),
        json!({ "keys": ["key"] }),
        json!({ "keys": [{}] }),
        json!({ "keys": [{ "kty": 1 }] }),
        json!({ "keys": [{ "kty": "EC", "crv": "P-256", "key_ops": "verify" }] }),
        json!({ "keys": [with(jwk(Algorithm::EdDsa), "kid", json!(1))] }),
    ] {
        assert!(matches!(PublicKeySet::parse(&document).unwrap_err(), JoseError::KeySet(_)), "{document}");
    }
    assert_eq!(parse(&[]).unwrap_err(), JoseError::NoKey);
}

#[test]
fn a_set_is_bounded() {
    let key = jwk(Algorithm::EdDsa);
    assert_eq!(parse(&vec![key.clone(); PublicKeySet::MAX_KEYS]).unwrap().len(), PublicKeySet::MAX_KEYS);
    assert_eq!(parse(&vec![key; PublicKeySet::MAX_KEYS + 1]).unwrap_err(), JoseError::TooManyKeys);
}
