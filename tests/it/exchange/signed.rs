//! JWT access tokens, ID tokens, and tokens that are bound to a certificate.

use aws_lc_rs::digest;
use bearward::{
    issuer::{AccessTokenFormat, IssuerError, MintRequest},
    model::TokenHash,
    token::{Algorithm, PublicKeySet, parse_thumbprint, verify_jws},
    validator::{Rejection, Revoked},
};

use super::*;
use crate::validator::mint_request;

fn jwt_client() -> ClientMetadata {
    ClientMetadata { access_token_format: AccessTokenFormat::Jwt, ..confidential() }
}

async fn redeem_as(
    house: &House,
    client: &AddedClient,
    scope: &str,
    sealed: bool,
) -> Result<Value, OAuthError> {
    let id = client.client.id.clone();
    let (code, _) =
        house.code_for(Setup { client: id.clone(), scope, sealed, nonce: Some("n-0S6_WzA2Mj") }).await;
    let secret = text(client.secret.as_ref().unwrap());
    house.token(&by(&redemption(&code), id.as_str(), &secret)).await
}

fn header(jwt: &str) -> Value {
    let part = jwt.split('.').next().unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

fn keys(house: &House) -> PublicKeySet {
    PublicKeySet::parse(&serde_json::to_value(house.issuer.jwks(NOW)).unwrap()).unwrap()
}

#[tokio::test]
async fn a_jwt_says_all_that_rfc_9068_asks_for_under_a_published_key() {
    let house = House::new().await;
    let client = house.add_client(jwt_client()).await;
    let answer = redeem_as(&house, &client, "imap offline_access", false).await.unwrap();
    let token = member(&answer, "access_token");
    assert_eq!(
        (header(token)["typ"].as_str(), header(token)["alg"].as_str()),
        (Some("at+jwt"), Some("ES256"))
    );
    let verified = verify_jws(token, &keys(&house), &[Algorithm::Es256], Some(&["at+jwt"])).unwrap();
    let mut names: Vec<_> = verified.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        ["aud", "auth_time", "client_id", "exp", "grant_id", "iat", "iss", "jti", "scope", "sub"]
    );
    let claims = claims(token);
    assert_eq!(claims["iss"], "https://mail.example.org");
    assert_eq!(claims["aud"], RESOURCE);
    assert_eq!(claims["sub"], "alice@example.org");
    assert_eq!(claims["client_id"], client.client.id.as_str());
    assert_eq!(claims["scope"], "imap offline_access");
    assert_eq!((claims["iat"].as_i64(), claims["exp"].as_i64()), (Some(NOW.0), Some(NOW.0 + 3600)));
    assert_eq!(claims["auth_time"].as_i64(), Some(NOW.0 - 5));
    assert!(member(&answer, "refresh_token").starts_with("bwr_"));
}

#[tokio::test]
async fn a_jwt_can_be_ended_and_asked_about_like_any_token() {
    let house = House::new().await;
    let client = house.add_client(jwt_client()).await;
    let answer = redeem_as(&house, &client, "openid imap", false).await.unwrap();
    let token = member(&answer, "access_token");
    let told = house.introspect(&client, token, NOW).await.token.unwrap();
    let said = claims(token);
    assert_eq!(told.jti, said["jti"]);
    assert_eq!((told.exp, told.iat), (NOW.0 + 3600, NOW.0));
    assert_eq!(house.userinfo(token, NOW).await.unwrap().sub, "alice@example.org");
    assert!(!house.introspect(&client, token, later(3600)).await.active);

    let secret = text(client.secret.as_ref().unwrap());
    let id = client.client.id.as_str();
    let params = params(&[("client_id", id), ("client_secret", &secret), ("token", token)]);
    house.issuer.revoke(&call(&params, &caller(), NOW)).await.unwrap();
    assert!(!house.introspect(&client, token, NOW).await.active);
    assert_eq!(code_of(house.userinfo(token, NOW).await), ErrorCode::InvalidToken);
}

#[tokio::test]
async fn a_jwt_that_ended_alone_opens_no_mailbox_although_its_grant_lives() {
    let house = House::new().await;
    let client = house.add_client(jwt_client()).await;
    let answer = redeem_as(&house, &client, "imap", false).await.unwrap();
    let token = Secret::copy_of(member(&answer, "access_token").as_bytes());
    let validator = house.validator();
    let first = validator.validate(&token, &IMAP, NOW).await.unwrap();
    assert!(validator.validate_noting(&token, &IMAP, NOW).await.cached);
    let said = claims(member(&answer, "access_token"));
    let row = TokenHash::new(parse_thumbprint(said["jti"].as_str().unwrap()).unwrap());
    house.store.revoke_token(&row, NOW).await.unwrap();
    assert_eq!(house.validator().validate(&token, &IMAP, NOW).await.unwrap_err(), Rejection::Revoked);
    validator.forget(&[Revoked::Token(row)]);
    assert_eq!(validator.validate(&token, &IMAP, NOW).await.unwrap_err(), Rejection::Revoked);
    assert!(validator.is_live(first.right.grant().unwrap(), NOW).await.unwrap());
}

#[tokio::test]
async fn a_jwt_that_another_signed_or_that_is_no_access_token_ends_and_tells_nothing() {
    let house = House::new().await;
    let client = house.add_client(jwt_client()).await;
    let answer = redeem_as(&house, &client, "openid imap", false).await.unwrap();
    let token = member(&answer, "access_token");
    let stranger = bearward::token::SigningKey::generate(Algorithm::Es256).unwrap();
    let forged = stranger.sign_jwt("at+jwt", &claims(token)).unwrap();
    let mut parts: Vec<_> = token.split('.').collect();
    parts[2] = "";
    let unsigned = parts.join(".");
    let none = URL_SAFE_NO_PAD.encode(r#"{"typ":"at+jwt","alg":"none"}"#);
    let none = format!("{none}.{}.", parts[1]);
    for bad in [forged.as_str(), &unsigned, &none, member(&answer, "id_token")] {
        assert!(!house.introspect(&client, bad, NOW).await.active);
        assert_eq!(code_of(house.userinfo(bad, NOW).await), ErrorCode::InvalidToken);
        let secret = text(client.secret.as_ref().unwrap());
        let id = client.client.id.as_str();
        let params = params(&[("client_id", id), ("client_secret", &secret), ("token", bad)]);
        house.issuer.revoke(&call(&params, &caller(), NOW)).await.unwrap();
    }
    assert!(house.introspect(&client, token, NOW).await.active, "nothing was ended");
}

#[tokio::test]
async fn a_code_used_twice_ends_the_jwt_that_it_gave() {
    let house = House::new().await;
    let client = house.add_client(jwt_client()).await;
    let id = client.client.id.clone();
    let secret = text(client.secret.as_ref().unwrap());
    let (code, _) = house.code_for(Setup { client: id.clone(), sealed: false, ..Setup::default() }).await;
    let redemption = redemption(&code);
    let pairs = by(&redemption, id.as_str(), &secret);
    let answer = house.token(&pairs).await.unwrap();
    assert!(house.introspect(&client, member(&answer, "access_token"), NOW).await.active);
    assert_eq!(code_of(house.token(&pairs).await), ErrorCode::InvalidGrant);
    assert!(!house.introspect(&client, member(&answer, "access_token"), NOW).await.active);
}

#[tokio::test]
async fn a_jwt_for_a_sealed_password_is_refused_and_uses_nothing_up() {
    let house = House::new().await;
    let client = house.add_client(jwt_client()).await;
    let id = client.client.id.clone();
    let secret = text(client.secret.as_ref().unwrap());
    let (code, grant) = house.code_for(Setup { client: id.clone(), ..Setup::default() }).await;
    let redemption = redemption(&code);
    let error = house.token(&by(&redemption, id.as_str(), &secret)).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::UnauthorizedClient);
    assert!(error.description.contains("opaque"), "{}", error.description);
    let code = OpaqueToken::parse(code.as_bytes()).unwrap().lookup().unwrap();
    assert_eq!(house.store.code(&code).await.unwrap().unwrap().used_at, None);
    assert!(house.store.grant(grant).await.unwrap().unwrap().is_live(NOW));
}

#[tokio::test]
async fn the_operator_mints_what_the_client_registered_for() {
    let house = House::new().await;
    let client = house.add_client(jwt_client()).await;
    let sealed = MintRequest { client: client.client.id.clone(), ..mint_request("imap") };
    let mut unsealed = sealed.clone();
    unsealed.sealed_backends.clear();
    let refused = house.issuer.mint(sealed, NOW).await.unwrap_err();
    assert_eq!(refused, IssuerError::SealedJwt(client.client.id.clone()));
    let minted = house.issuer.mint(unsealed, NOW).await.unwrap();
    let token = text(&minted.access_token);
    assert_eq!(header(&token)["typ"], "at+jwt");
    assert!(claims(&token).get("auth_time").is_none());
    assert!(house.introspect(&client, &token, NOW).await.active);
}

#[tokio::test]
async fn an_id_token_is_signed_as_the_client_asked_and_names_its_access_token() {
    let house = House::new().await;
    for (asked, algorithm) in [
        (None, Algorithm::Rs256),
        (Some("RS256"), Algorithm::Rs256),
        (Some("ES256"), Algorithm::Es256),
        (Some("EdDSA"), Algorithm::EdDsa),
    ] {
        let metadata =
            ClientMetadata { id_token_signed_response_alg: asked.map(str::to_owned), ..confidential() };
        let client = house.add_client(metadata).await;
        let answer = redeem_as(&house, &client, "openid imap", true).await.unwrap();
        let id_token = member(&answer, "id_token");
        let said = Value::from(verify_jws(id_token, &keys(&house), &[algorithm], Some(&["JWT"])).unwrap());
        let access = member(&answer, "access_token").as_bytes();
        let function = if algorithm == Algorithm::EdDsa { &digest::SHA512 } else { &digest::SHA256 };
        let hash = digest::digest(function, access);
        assert_eq!(said["at_hash"], URL_SAFE_NO_PAD.encode(&hash.as_ref()[..hash.as_ref().len() / 2]));
        let id = client.client.id.as_str();
        assert_eq!(
            (&said["iss"], &said["sub"]),
            (&json!("https://mail.example.org"), &json!("alice@example.org"))
        );
        assert_eq!((&said["aud"], &said["azp"]), (&json!(id), &json!(id)));
        assert_eq!(said["nonce"], "n-0S6_WzA2Mj");
        assert_eq!((said["iat"].as_i64(), said["exp"].as_i64()), (Some(NOW.0), Some(NOW.0 + 900)));
        assert_eq!(said["auth_time"].as_i64(), Some(NOW.0 - 5));
        assert!(said["sid"].as_str().unwrap().parse::<GrantId>().is_ok());
        assert!(said.get("email").is_none());
    }
}

/// OpenID Connect Core §12.2.
#[tokio::test]
async fn a_refresh_gives_an_id_token_of_the_same_sign_in_without_the_nonce() {
    let house = House::new().await;
    let setup = Setup { scope: "openid imap", nonce: Some("once"), ..Setup::default() };
    let first = house.redeem(&house.code_for(setup).await.0).await.unwrap();
    let second = house.refresh(later(100), member(&first, "refresh_token")).await.unwrap();
    let (first, again) = (claims(member(&first, "id_token")), claims(member(&second, "id_token")));
    for same in ["iss", "sub", "aud", "auth_time", "sid"] {
        assert_eq!(first[same], again[same], "{same}");
    }
    assert_eq!(again["iat"].as_i64(), Some(NOW.0 + 100));
    assert_ne!(first["at_hash"], again["at_hash"]);
    assert!(again.get("nonce").is_none());
    let token = member(&second, "refresh_token").to_owned();
    let refreshing = refreshing(&token);
    let narrow = changed(&refreshing, "scope", "imap");
    assert!(house.token_at(later(200), &narrow).await.unwrap().get("id_token").is_none());
}

#[tokio::test]
async fn a_bound_token_works_with_its_certificate_alone() {
    let house = House::new().await;
    let metadata = ClientMetadata {
        token_endpoint_auth_method: AuthMethod::None,
        tls_client_certificate_bound_access_tokens: true,
        redirect_uris: vec!["http://127.0.0.1/".to_owned()],
        ..confidential()
    };
    let client = house.add_client(metadata).await;
    let id = client.client.id.clone();
    let own = Caller { certificate: Some(certificate(7)), ..caller() };
    let other = Caller { certificate: Some(certificate(8)), ..caller() };
    let setup = Setup { client: id.clone(), scope: "openid imap", ..Setup::default() };
    let (code, _) = house.code_for(setup).await;
    let ask = async |pairs: &[(&str, &str)], caller: &Caller| {
        let params = params(pairs);
        let answer = house.issuer.token(&call(&params, caller, NOW)).await?;
        Ok::<Value, OAuthError>(serde_json::from_slice(answer.json().expose()).unwrap())
    };
    let redemption = redemption(&code);
    let redemption = changed(&redemption, "client_id", id.as_str());
    assert_eq!(code_of(ask(&redemption, &caller()).await), ErrorCode::InvalidRequest);
    let answer = ask(&redemption, &own).await.unwrap();

    let access = Secret::copy_of(member(&answer, "access_token").as_bytes());
    let tell = async |held| house.issuer.userinfo(Some(&access), held, NOW).await;
    let another = certificate(8);
    for wrong in [None, Some(&another)] {
        assert_eq!(code_of(tell(wrong).await), ErrorCode::InvalidToken);
    }
    tell(Some(&certificate(7))).await.unwrap();
    let reader = house.add_client(ClientMetadata { may_introspect: true, ..confidential() }).await;
    let told = house.introspect(&reader, member(&answer, "access_token"), NOW).await.token.unwrap();
    assert_eq!(told.cnf.unwrap().certificate, URL_SAFE_NO_PAD.encode([7; 32]));

    let refresh = member(&answer, "refresh_token").to_owned();
    let refreshing = refreshing(&refresh);
    let refreshing = changed(&refreshing, "client_id", id.as_str());
    assert_eq!(code_of(ask(&refreshing, &other).await), ErrorCode::InvalidGrant);
    ask(&refreshing, &own).await.unwrap();
}
