#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use aws_lc_rs::hmac;
use serde_json::json;

use super::*;
use crate::token::{SigningKey, base64url};

const NOW: UnixTime = UnixTime(1_800_000_000);
const ANY: &[Algorithm] = &Algorithm::ALL;

/// One key of each kind. Making an RSA key takes long, so the tests share it.
fn keys() -> &'static [SigningKey; 3] {
    static KEYS: std::sync::OnceLock<[SigningKey; 3]> = std::sync::OnceLock::new();
    KEYS.get_or_init(|| Algorithm::ALL.map(|algorithm| SigningKey::generate(algorithm).unwrap()))
}

fn set() -> PublicKeySet {
    PublicKeySet::of(keys().iter().map(SigningKey::jwk)).unwrap()
}

fn es256() -> &'static SigningKey {
    keys().iter().find(|key| key.algorithm() == Algorithm::Es256).unwrap()
}

fn token() -> String {
    es256().sign_jwt("at+jwt", &json!({ "sub": "alice" })).unwrap()
}

fn encoded(value: &Value) -> String {
    base64url(value.to_string().as_bytes())
}

/// The same claims and signature behind another header.
fn with_header(text: &str, header: &Value) -> String {
    format!("{}.{}", encoded(header), text.split_once('.').unwrap().1)
}

fn refusal(text: &str) -> JoseError {
    verify_jws(text, &set(), ANY, None).unwrap_err()
}

fn single(key: Value) -> PublicKeySet {
    PublicKeySet::parse(&json!({ "keys": [key] })).unwrap()
}

/// RFC 7515 appendix A.2.
#[test]
fn the_rs256_example_of_rfc_7515_verifies() {
    let n = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2\
             lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBE\
             Ma2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk\
             2PAcDTW9gb54h4FRWyuXpoQ";
    let text = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19y\
                b290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2\
                Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0\
                GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98\
                rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
    let keys = single(json!({ "kty": "RSA", "n": n, "e": "AQAB" }));
    let claims = verify_jws(text, &keys, &[Algorithm::Rs256], None).unwrap();
    assert_eq!((claims["iss"].as_str(), claims["exp"].as_i64()), (Some("joe"), Some(1_300_819_380)));
    assert_eq!(verify_jws(text, &keys, &[Algorithm::Es256], None).unwrap_err(), JoseError::Algorithm);
}

/// RFC 7515 appendix A.3.
#[test]
fn the_es256_example_of_rfc_7515_verifies() {
    let keys = single(json!({
        "kty": "EC",
        "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    }));
    let text = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19y\
                b290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    let claims = verify_jws(text, &keys, &[Algorithm::Es256], None).unwrap();
    assert_eq!(claims["iss"], "joe");
    assert_eq!(verify_jws(text, &keys, &[Algorithm::Es256], Some(&["JWT"])).unwrap_err(), JoseError::Type);
}

/// RFC 8037 appendix A.4. What it signs is no JSON, and that is looked at after the signature.
#[test]
fn the_eddsa_example_of_rfc_8037_has_a_good_signature() {
    let keys = single(json!({
        "kty": "OKP",
        "crv": "Ed25519",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    }));
    let text = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6d\
                WbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    let verify = |text: &str| verify_jws(text, &keys, &[Algorithm::EdDsa], None).unwrap_err();
    assert_eq!(verify(text), JoseError::Malformed);
    assert_eq!(verify(&text.replace("RXhh", "RXhi")), JoseError::Signature);
}

#[test]
fn what_we_sign_verifies_with_each_algorithm() {
    for key in keys() {
        let text = key.sign_jwt("at+jwt", &json!({ "sub": "alice", "aud": ["a", "b"], "exp": 1 })).unwrap();
        let claims = verify_jws(&text, &set(), &[key.algorithm()], Some(&["at+jwt"])).unwrap();
        assert_eq!(Value::Object(claims), json!({ "sub": "alice", "aud": ["a", "b"], "exp": 1 }));
    }
}

#[test]
fn an_algorithm_that_is_not_allowed_is_refused_although_the_key_is_there() {
    for key in keys() {
        let text = key.sign_jwt("JWT", &json!({})).unwrap();
        let others: Vec<_> = Algorithm::ALL.into_iter().filter(|other| *other != key.algorithm()).collect();
        assert_eq!(verify_jws(&text, &set(), &others, None).unwrap_err(), JoseError::Algorithm);
        assert_eq!(verify_jws(&text, &set(), &[], None).unwrap_err(), JoseError::Algorithm);
    }
}

#[test]
fn no_signature_at_all_is_refused() {
    let claims = encoded(&json!({ "sub": "alice" }));
    for name in ["none", "None", "NONE", "nOnE", ""] {
        for header in [json!({ "alg": name }), json!({ "alg": name, "kid": es256().kid() })] {
            assert_eq!(refusal(&format!("{}.{claims}.", encoded(&header))), JoseError::Algorithm, "{name}");
        }
    }
    for header in [json!({}), json!({ "alg": null }), json!({ "alg": 1 }), json!({ "alg": ["ES256"] })] {
        assert_eq!(refusal(&format!("{}.{claims}.", encoded(&header))), JoseError::Malformed, "{header}");
    }
    let bare = format!("{}.{claims}.", encoded(&json!({ "alg": "ES256" })));
    assert_eq!(refusal(&bare), JoseError::Signature);
}

#[test]
fn the_public_key_is_no_shared_secret() {
    for key in keys() {
        let jwk = serde_json::to_value(key.jwk()).unwrap();
        let numbers = ["x", "y", "n"].into_iter().filter_map(|name| jwk[name].as_str());
        let raw = numbers.clone().map(|text| URL_SAFE_NO_PAD.decode(text).unwrap());
        let secrets = numbers.map(|text| text.as_bytes().to_vec()).chain(raw);
        for secret in secrets.chain([jwk.to_string().into_bytes(), Vec::new()]) {
            let header = encoded(&json!({ "alg": "HS256", "kid": key.kid() }));
            let message = format!("{header}.{}", encoded(&json!({ "sub": "alice" })));
            let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), message.as_bytes());
            assert_eq!(refusal(&format!("{message}.{}", base64url(tag.as_ref()))), JoseError::Algorithm);
        }
    }
}

#[test]
fn a_header_cannot_have_a_key_used_with_another_algorithm() {
    for key in keys() {
        let text = key.sign_jwt("JWT", &json!({ "sub": "alice" })).unwrap();
        for other in Algorithm::ALL.into_iter().filter(|other| *other != key.algorithm()) {
            let named = with_header(&text, &json!({ "alg": other.as_str(), "kid": key.kid() }));
            assert_eq!(refusal(&named), JoseError::UnknownKey);
            let unnamed = with_header(&text, &json!({ "alg": other.as_str() }));
            assert_eq!(refusal(&unnamed), JoseError::Signature);
        }
        for other in ["PS256", "RS512", "ES384", "HS256", "Ed25519"] {
            assert_eq!(refusal(&with_header(&text, &json!({ "alg": other }))), JoseError::Algorithm);
        }
    }
}

#[test]
fn a_key_that_the_token_brings_along_is_not_looked_at() {
    let foreign = SigningKey::generate(Algorithm::Es256).unwrap();
    let claims = encoded(&json!({ "sub": "alice" }));
    for kid in [json!(foreign.kid()), json!(es256().kid()), Value::Null] {
        let mut header = json!({
            "alg": "ES256",
            "kid": kid,
            "jwk": serde_json::to_value(foreign.jwk()).unwrap(),
            "jku": "https://evil.example/jwks",
            "x5u": "https://evil.example/chain",
        });
        if kid.is_null() {
            header.as_object_mut().unwrap().remove("kid");
        }
        let message = format!("{}.{claims}", encoded(&header));
        let text = format!("{message}.{}", base64url(&signature_of(&foreign, &message)));
        let own = PublicKeySet::of([foreign.jwk()]).unwrap();
        let ours = verify_jws(&text, &set(), ANY, None).unwrap_err();
        assert!(matches!(ours, JoseError::Signature | JoseError::UnknownKey), "{ours:?}");
        if kid != json!(es256().kid()) {
            assert!(verify_jws(&text, &own, ANY, None).is_ok());
        }
    }
}

fn signature_of(key: &SigningKey, message: &str) -> Vec<u8> {
    key.sign(message.as_bytes()).unwrap()
}

#[test]
fn a_kid_only_picks_among_the_keys() {
    for kid in ["../../../../dev/null", "' OR '1'='1", "https://evil.example/key", "", &"k".repeat(4000)] {
        let text = with_header(&token(), &json!({ "alg": "ES256", "kid": kid }));
        assert_eq!(refusal(&text), JoseError::UnknownKey, "{kid}");
    }
    for kid in [json!(7), json!(null), json!([es256().kid()])] {
        assert_eq!(
            refusal(&with_header(&token(), &json!({ "alg": "ES256", "kid": kid }))),
            JoseError::Malformed
        );
    }
}

#[test]
fn critical_members_are_refused_even_under_a_good_signature() {
    for crit in [json!(["b64"]), json!([]), json!(null), json!(["exp"])] {
        let header = encoded(&json!({ "alg": "ES256", "kid": es256().kid(), "crit": crit, "b64": false }));
        let message = format!("{header}.{}", encoded(&json!({ "sub": "alice" })));
        let text = format!("{message}.{}", base64url(&signature_of(es256(), &message)));
        assert_eq!(refusal(&text), JoseError::Critical, "{crit}");
    }
}

#[test]
fn a_header_that_says_two_things_is_refused() {
    for twice in [r#"{"alg":"ES256","alg":"none"}"#, r#"{"alg":"none","alg":"ES256"}"#] {
        let message = format!("{}.{}", base64url(twice.as_bytes()), encoded(&json!({ "sub": "alice" })));
        let text = format!("{message}.{}", base64url(&signature_of(es256(), &message)));
        assert!(matches!(refusal(&text), JoseError::Malformed | JoseError::Algorithm), "{twice}");
    }
}

#[test]
fn types_are_compared_as_media_types() {
    let typ = |typ: &str, taken: &[&str]| {
        let text = es256().sign_jwt(typ, &json!({})).unwrap();
        verify_jws(&text, &set(), ANY, Some(taken)).map(|_| ())
    };
    for same in ["at+jwt", "AT+JWT", "application/at+jwt", "Application/At+Jwt"] {
        assert_eq!(typ(same, &["at+jwt"]), Ok(()), "{same}");
        assert_eq!(typ(same, &["application/at+jwt"]), Ok(()), "{same}");
    }
    for other in ["JWT", "", "at", "text/at+jwt", "application/x/at+jwt", "at+jwt2", " at+jwt"] {
        assert_eq!(typ(other, &["at+jwt"]), Err(JoseError::Type), "{other}");
    }
    assert_eq!(typ("JWT", &[]), Err(JoseError::Type));
    let untyped = with_header(&token(), &json!({ "alg": "ES256" }));
    assert_eq!(verify_jws(&untyped, &set(), ANY, Some(&["at+jwt"])).unwrap_err(), JoseError::Type);
}

#[test]
fn no_changed_octet_passes() {
    for key in keys() {
        let text = key.sign_jwt("at+jwt", &json!({ "sub": "alice" })).unwrap();
        for place in 0..text.len() {
            for octet in *b"AQw_.=" {
                let mut changed = text.clone().into_bytes();
                if changed[place] != octet {
                    changed[place] = octet;
                    let changed = String::from_utf8(changed).unwrap();
                    assert!(verify_jws(&changed, &set(), ANY, None).is_err(), "{place}: {changed}");
                }
            }
        }
    }
}

#[test]
fn no_cut_lengthened_or_padded_text_passes() {
    let text = token();
    for length in 0..text.len() {
        assert!(verify_jws(&text[..length], &set(), ANY, None).is_err());
    }
    for tail in ["=", ".", ".A", "A", "\n", " ", "\0"] {
        assert!(verify_jws(&format!("{text}{tail}"), &set(), ANY, None).is_err(), "{tail:?}");
        assert!(verify_jws(&format!("{tail}{text}"), &set(), ANY, None).is_err(), "{tail:?}");
    }
    for text in ["", ".", "..", "...", "a.b", "a.b.c", "ü.ü.ü", "e30.e30.e30"] {
        assert_eq!(refusal(text), JoseError::Malformed, "{text}");
    }
}

#[test]
fn a_text_is_bounded_before_anything_is_decoded() {
    let claims = json!({ "pad": "a".repeat(MAX_JWS * 3 / 4) });
    assert_eq!(refusal(&es256().sign_jwt("JWT", &claims).unwrap()), JoseError::TooLong);
    let fits = json!({ "pad": "a".repeat(MAX_JWS / 2) });
    assert!(verify_jws(&es256().sign_jwt("JWT", &fits).unwrap(), &set(), ANY, None).is_ok());
    assert_eq!(unverified_kid(&"a".repeat(MAX_JWS + 1)).unwrap_err(), JoseError::TooLong);
}

#[test]
fn claims_that_are_no_object_are_refused() {
    for claims in [json!([1]), json!("text"), json!(1), json!(null)] {
        assert_eq!(refusal(&es256().sign_jwt("JWT", &claims).unwrap()), JoseError::Malformed);
    }
}

fn times(claims: Value, require_exp: bool) -> Result<(), JoseError> {
    let Value::Object(claims) = claims else { unreachable!() };
    check_times(&claims, NOW, Duration::from_secs(10), require_exp)
}

#[test]
fn a_token_ends_at_its_exp_and_the_leeway() {
    assert_eq!(times(json!({ "exp": NOW.0 + 1 }), true), Ok(()));
    assert_eq!(times(json!({ "exp": NOW.0 - 9 }), true), Ok(()));
    assert_eq!(times(json!({ "exp": NOW.0 - 10 }), true), Err(JoseError::Expired));
    assert_eq!(times(json!({ "exp": 0 }), false), Err(JoseError::Expired));
    assert_eq!(times(json!({}), true), Err(JoseError::Claim("exp")));
    assert_eq!(times(json!({}), false), Ok(()));
}

#[test]
fn a_token_from_the_future_is_refused() {
    for name in ["nbf", "iat"] {
        assert_eq!(times(json!({ name: NOW.0 + 10 }), false), Ok(()));
        assert_eq!(times(json!({ name: NOW.0 + 11 }), false), Err(JoseError::NotYetValid));
    }
}

#[test]
fn a_time_is_a_number_of_seconds() {
    for name in ["exp", "nbf", "iat"] {
        for value in
            [json!("1"), json!(null), json!([1]), json!(-1), json!(1e300), json!(u64::MAX), json!(-0.5)]
        {
            assert_eq!(times(json!({ name: value }), false), Err(JoseError::Claim(name)), "{value}");
        }
    }
    let claims = json!({ "exp": 1.9, "iat": 7 });
    assert_eq!(time(claims.as_object().unwrap(), "exp"), Ok(Some(UnixTime(1))));
    assert_eq!(time(claims.as_object().unwrap(), "iat"), Ok(Some(UnixTime(7))));
    assert_eq!(time(claims.as_object().unwrap(), "nbf"), Ok(None));
    assert_eq!(times(json!({ "exp": i64::MAX }), true), Ok(()));
}
