#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::*;

fn octets(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

/// Verifies without anything of this room.
fn verifies(jwk: &Jwk, message: &[u8], signature: &[u8]) -> bool {
    match &jwk.key {
        KeyParameters::Okp { x, .. } => {
            UnparsedPublicKey::new(&ED25519, octets(x)).verify(message, signature).is_ok()
        }
        KeyParameters::Ec { x, y, .. } => {
            let point = [vec![4], octets(x), octets(y)].concat();
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature).is_ok()
        }
        KeyParameters::Rsa { n, e, .. } => RsaPublicKeyComponents { n: octets(n), e: octets(e) }
            .verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
            .is_ok(),
    }
}

#[test]
fn every_algorithm_has_its_registered_name_and_no_other() {
    for (algorithm, name) in
        [(Algorithm::EdDsa, "EdDSA"), (Algorithm::Es256, "ES256"), (Algorithm::Rs256, "RS256")]
    {
        assert_eq!(algorithm.as_str(), name);
        assert_eq!(Algorithm::from_name(name), Some(algorithm));
    }
    for name in ["none", "", "es256", "EDDSA", "HS256", "PS256", "ES384", "Ed25519"] {
        assert_eq!(Algorithm::from_name(name), None, "{name}");
    }
}

#[test]
fn a_stored_key_signs_what_its_published_half_verifies() {
    let server = ServerKey::generate().unwrap();
    for algorithm in Algorithm::ALL {
        let key = SigningKey::generate(algorithm).unwrap();
        let sealed = key.seal(&server).unwrap();
        let again = SigningKey::open(&sealed, algorithm, key.kid(), &server).unwrap();
        assert_eq!((again.algorithm(), again.jwk()), (algorithm, key.jwk()));
        let signature = again.sign(b"message").unwrap();
        assert!(verifies(key.jwk(), b"message", &signature));
        assert!(!verifies(key.jwk(), b"another", &signature));
        assert!(!verifies(SigningKey::generate(algorithm).unwrap().jwk(), b"message", &signature));
    }
}

#[test]
fn a_jwt_has_the_header_and_the_claims_that_were_given() {
    for algorithm in Algorithm::ALL {
        let key = SigningKey::generate(algorithm).unwrap();
        let text = key.sign_jwt("at+jwt", &json!({ "sub": "alice" })).unwrap();
        let (message, signature) = text.rsplit_once('.').unwrap();
        let (header, claims) = message.split_once('.').unwrap();
        assert!(verifies(key.jwk(), message.as_bytes(), &octets(signature)));
        let header: Value = serde_json::from_slice(&octets(header)).unwrap();
        assert_eq!(header, json!({ "typ": "at+jwt", "alg": algorithm.as_str(), "kid": key.kid() }));
        assert_eq!(serde_json::from_slice::<Value>(&octets(claims)).unwrap(), json!({ "sub": "alice" }));
    }
}

#[test]
fn a_stored_key_opens_under_its_own_server_key_algorithm_and_name_only() {
    let (server, other) = (ServerKey::generate().unwrap(), ServerKey::generate().unwrap());
    let key = SigningKey::generate(Algorithm::Es256).unwrap();
    let (sealed, kid) = (key.seal(&server).unwrap(), key.kid());
    let open = |algorithm, kid, server| SigningKey::open(&sealed, algorithm, kid, server).unwrap_err();
    assert_eq!(open(Algorithm::Es256, kid, &other), CryptoError::NotAuthentic);
    assert_eq!(open(Algorithm::Es256, "another", &server), CryptoError::NotAuthentic);
    assert_eq!(open(Algorithm::EdDsa, kid, &server), CryptoError::NotAuthentic);
    assert_eq!(open(Algorithm::Rs256, kid, &server), CryptoError::NotAuthentic);
}

/// The form that the first version stored: the algorithm's name, then the key's, each behind its length.
#[test]
fn a_key_that_the_first_version_stored_still_opens() {
    let server = ServerKey::generate().unwrap();
    let key = SigningKey::generate(Algorithm::Es256).unwrap();
    let Pair::P256(pair) = &key.pair else { unreachable!() };
    let context =
        [5_u64.to_be_bytes().as_slice(), b"ES256", 43_u64.to_be_bytes().as_slice(), key.kid().as_bytes()]
            .concat();
    let wrap = server.purpose(b"bearward signing key v1").unwrap();
    let sealed = wrap.encrypt(pair.to_pkcs8v1().unwrap().as_ref(), &context).unwrap();
    let again = SigningKey::open(&sealed, Algorithm::Es256, key.kid(), &server).unwrap();
    assert_eq!(again.jwk(), key.jwk());
}

#[test]
fn a_key_under_a_name_that_is_not_its_own_is_refused() {
    let server = ServerKey::generate().unwrap();
    let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let Pair::Ed25519(pair) = &key.pair else { unreachable!() };
    let wrap = server.purpose(PURPOSE).unwrap();
    let context = SigningKey::context(Algorithm::EdDsa, "another");
    let sealed = wrap.encrypt(pair.to_pkcs8v1().unwrap().as_ref(), &context).unwrap();
    let opened = SigningKey::open(&sealed, Algorithm::EdDsa, "another", &server);
    assert_eq!(opened.unwrap_err(), CryptoError::BadKey);
}

#[test]
fn a_stored_key_shows_nothing_of_its_private_half() {
    let server = ServerKey::generate().unwrap();
    let key = SigningKey::generate(Algorithm::Es256).unwrap();
    let Pair::P256(pair) = &key.pair else { unreachable!() };
    let document = pair.to_pkcs8v1().unwrap();
    let sealed = key.seal(&server).unwrap();
    assert!(!sealed.windows(16).any(|window| document.as_ref().windows(16).any(|plain| plain == window)));
}

#[test]
fn the_published_half_holds_no_private_member() {
    for (algorithm, expected) in [
        (Algorithm::EdDsa, vec!["alg", "crv", "kid", "kty", "use", "x"]),
        (Algorithm::Es256, vec!["alg", "crv", "kid", "kty", "use", "x", "y"]),
        (Algorithm::Rs256, vec!["alg", "e", "kid", "kty", "n", "use"]),
    ] {
        let jwk = serde_json::to_value(SigningKey::generate(algorithm).unwrap().jwk()).unwrap();
        let mut members: Vec<_> = jwk.as_object().unwrap().keys().map(String::as_str).collect();
        members.sort_unstable();
        assert_eq!(members, expected);
        assert_eq!(jwk["alg"], algorithm.as_str());
        assert_eq!(jwk["use"], "sig");
    }
}

#[test]
fn an_rsa_key_has_2048_bits() {
    let key = SigningKey::generate(Algorithm::Rs256).unwrap();
    let KeyParameters::Rsa { n, e, .. } = &key.jwk().key else { unreachable!() };
    assert_eq!(octets(n).len(), 256);
    assert!(octets(n)[0] & 0x80 != 0);
    assert_eq!(e, "AQAB");
}

#[test]
fn debug_prints_the_name_alone() {
    let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
    assert_eq!(format!("{key:?}"), format!("SigningKey(EdDSA {})", key.kid()));
}
