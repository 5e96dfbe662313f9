//! Revocation, introspection, userinfo.

use bearward::store::RevocationReason;

use super::*;

async fn revoke(house: &House, pairs: &[(&str, &str)]) -> Result<(), OAuthError> {
    let params = params(pairs);
    house.issuer.revoke(&call(&params, &caller(), NOW)).await
}

/// A client that may ask about every token.
async fn reader(house: &House) -> AddedClient {
    house.add_client(ClientMetadata { may_introspect: true, ..confidential() }).await
}

#[tokio::test]
async fn an_access_token_ends_alone() {
    let house = House::new().await;
    let answer = house.redeem(&house.code(Scope::MAIL).await).await.unwrap();
    let access = member(&answer, "access_token");
    for _ in 0..2 {
        let hint = ("token_type_hint", "refresh_token");
        revoke(&house, &[("client_id", "open"), ("token", access), hint]).await.unwrap();
    }
    assert!(!house.opens(access, NOW).await);
    house.refresh(NOW, member(&answer, "refresh_token")).await.unwrap();
}

#[tokio::test]
async fn with_a_refresh_token_the_whole_grant_ends() {
    let house = House::new().await;
    let (code, grant) = house.code_for(Setup::default()).await;
    let answer = house.redeem(&code).await.unwrap();
    let hint = ("token_type_hint", "something_else");
    revoke(&house, &[("client_id", "open"), ("token", member(&answer, "refresh_token")), hint])
        .await
        .unwrap();
    assert!(!house.opens(member(&answer, "access_token"), NOW).await);
    assert_eq!(code_of(house.refresh(NOW, member(&answer, "refresh_token")).await), ErrorCode::InvalidGrant);
    let end = house.store.grant(grant).await.unwrap().unwrap().revoked.unwrap();
    assert_eq!(end.reason, RevocationReason::Client);
    assert!(!house.store.holds_credentials(grant).await.unwrap());
}

#[tokio::test]
async fn another_client_can_end_no_token() {
    let house = House::new().await;
    let answer = house.redeem(&house.code(Scope::MAIL).await).await.unwrap();
    let other = reader(&house).await;
    let secret = text(other.secret.as_ref().unwrap());
    for name in ["access_token", "refresh_token"] {
        let pairs = [
            ("client_id", other.client.id.as_str()),
            ("client_secret", &secret),
            ("token", member(&answer, name)),
        ];
        assert_eq!(code_of(revoke(&house, &pairs).await), ErrorCode::InvalidGrant);
    }
    assert!(house.opens(member(&answer, "access_token"), NOW).await);
    house.refresh(NOW, member(&answer, "refresh_token")).await.unwrap();
}

#[tokio::test]
async fn what_is_no_token_has_ended_already() {
    let house = House::new().await;
    let code = house.code(Scope::MAIL).await;
    let unknown = text(&OpaqueToken::generate(TokenKind::Access).unwrap().text());
    for token in [code.as_str(), &unknown, "x", "a.b.c", "ey.ey.ey"] {
        revoke(&house, &[("client_id", "open"), ("token", token)]).await.unwrap();
    }
    house.redeem(&code).await.unwrap();
    assert_eq!(code_of(revoke(&house, &[("client_id", "open")]).await), ErrorCode::InvalidRequest);
    assert_eq!(code_of(revoke(&house, &[("token", "x")]).await), ErrorCode::InvalidRequest);
    house.go_down();
    let pairs = [("client_id", "open"), ("token", &*unknown)];
    assert_eq!(code_of(revoke(&house, &pairs).await), ErrorCode::TemporarilyUnavailable);
}

#[tokio::test]
async fn introspection_tells_those_who_may_know_and_nobody_else() {
    let house = House::new().await;
    let answer = house.redeem(&house.code("imap smtp").await).await.unwrap();
    let (access, refresh) = (member(&answer, "access_token"), member(&answer, "refresh_token"));
    let reader = reader(&house).await;
    let told = serde_json::to_value(house.introspect(&reader, access, NOW).await).unwrap();
    let jti = OpaqueToken::parse(access.as_bytes()).unwrap().lookup().unwrap();
    let expected = json!({
        "active": true, "scope": "imap smtp", "client_id": "open", "username": "alice@example.org",
        "token_type": "Bearer", "exp": NOW.0 + 3600, "iat": NOW.0, "sub": "alice@example.org", "aud": RESOURCE,
        "iss": "https://mail.example.org", "jti": URL_SAFE_NO_PAD.encode(jti.as_bytes()),
    });
    assert_eq!(told, expected);
    let told = serde_json::to_value(house.introspect(&reader, refresh, NOW).await).unwrap();
    assert!(told["active"] == true && told.get("token_type").is_none());

    let other = house.add_client(confidential()).await;
    let nothing = json!({"active": false});
    for token in [access, refresh, "x"] {
        assert_eq!(serde_json::to_value(house.introspect(&other, token, NOW).await).unwrap(), nothing);
    }
    let params = params(&[("client_id", "open"), ("token", access)]);
    let public = house.issuer.introspect(&call(&params, &caller(), NOW)).await;
    assert_eq!(code_of(public), ErrorCode::InvalidClient);
}

#[tokio::test]
async fn a_token_that_is_not_live_is_told_as_inactive_and_no_more() {
    let house = House::new().await;
    let reader = reader(&house).await;
    let code = house.code(Scope::MAIL).await;
    let nothing = Introspection::default();
    assert_eq!(house.introspect(&reader, &code, NOW).await, nothing, "a code is no token");
    let answer = house.redeem(&code).await.unwrap();
    let (access, refresh) = (member(&answer, "access_token"), member(&answer, "refresh_token"));
    assert_eq!(house.introspect(&reader, access, later(3600)).await, nothing, "expired");
    house.refresh(later(1), refresh).await.unwrap();
    assert_eq!(house.introspect(&reader, refresh, later(1)).await, nothing, "replaced");
    revoke(&house, &[("client_id", "open"), ("token", refresh)]).await.unwrap();
    assert_eq!(house.introspect(&reader, access, later(1)).await, nothing, "its grant has ended");
}

#[tokio::test]
async fn userinfo_tells_what_the_scope_allows() {
    let house = House::new().await;
    for (scope, expected) in [
        ("openid", json!({"sub": "alice@example.org"})),
        (
            "openid email",
            json!({"sub": "alice@example.org", "email": "alice@example.org", "email_verified": true}),
        ),
        ("profile openid", json!({"sub": "alice@example.org", "preferred_username": "alice@example.org"})),
    ] {
        let answer = house.redeem(&house.code(scope).await).await.unwrap();
        let told = house.userinfo(member(&answer, "access_token"), NOW).await.unwrap();
        assert_eq!(serde_json::to_value(told).unwrap(), expected, "{scope}");
    }
}

#[tokio::test]
async fn userinfo_takes_live_access_tokens_with_openid_alone() {
    let house = House::new().await;
    let answer = house.redeem(&house.code("openid").await).await.unwrap();
    let mail = house.redeem(&house.code("imap email").await).await.unwrap();
    let access = member(&answer, "access_token");
    let lacking = house.userinfo(member(&mail, "access_token"), NOW).await;
    assert_eq!(code_of(lacking), ErrorCode::InsufficientScope);
    for bad in [member(&answer, "refresh_token"), member(&answer, "id_token"), "x", ""] {
        assert_eq!(code_of(house.userinfo(bad, NOW).await), ErrorCode::InvalidToken);
    }
    assert_eq!(code_of(house.userinfo(access, later(3600)).await), ErrorCode::InvalidToken);
    assert_eq!(code_of(house.issuer.userinfo(None, None, NOW).await), ErrorCode::InvalidToken);
    house.go_down();
    assert_eq!(code_of(house.userinfo(access, NOW).await), ErrorCode::TemporarilyUnavailable);
    house.come_up();
    house.userinfo(access, NOW).await.unwrap();
}
