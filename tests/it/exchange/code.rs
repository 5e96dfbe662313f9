//! The authorization code.

use bearward::store::RevocationReason;

use super::*;

#[tokio::test]
async fn a_code_gives_tokens_that_open_the_mailbox() {
    let house = House::new().await;
    let answer =
        house.redeem(&house.code("urn:ietf:params:oauth:scope:mail offline_access").await).await.unwrap();
    assert_eq!(answer["token_type"], "Bearer");
    assert_eq!(answer["expires_in"], 3600);
    assert_eq!(answer["scope"], "urn:ietf:params:oauth:scope:mail offline_access");
    assert!(answer.get("id_token").is_none());
    assert!(member(&answer, "refresh_token").starts_with("bwr_"));
    assert!(member(&answer, "access_token").len() <= 96);
    assert!(house.opens(member(&answer, "access_token"), NOW).await);
    assert!(house.opens(member(&answer, "access_token"), later(3599)).await);
    assert!(!house.opens(member(&answer, "access_token"), later(3600)).await);
    assert!(!house.opens(member(&answer, "refresh_token"), NOW).await);
}

#[tokio::test]
async fn a_client_that_does_not_refresh_gets_no_refresh_token() {
    let house = House::new().await;
    let metadata = ClientMetadata { grant_types: vec![GrantType::AuthorizationCode], ..confidential() };
    let added = house.add_client(metadata).await;
    let (id, secret) = (added.client.id.clone(), text(added.secret.as_ref().unwrap()));
    let (code, _) = house.code_for(Setup { client: id.clone(), ..Setup::default() }).await;
    let answer = house.token(&by(&redemption(&code), id.as_str(), &secret)).await.unwrap();
    assert!(answer.get("refresh_token").is_none());
}

#[tokio::test]
async fn a_code_is_bound_to_client_redirect_uri_and_verifier_and_a_wrong_try_uses_nothing_up() {
    let house = House::new().await;
    let added = house.add_client(confidential()).await;
    let (id, secret) = (added.client.id.to_string(), text(added.secret.as_ref().unwrap()));
    let code = house.code(Scope::MAIL).await;
    let good = redemption(&code);
    let long = "a".repeat(43);
    for (what, pairs) in [
        ("another client", by(&good, &id, &secret)),
        ("another path", changed(&good, "redirect_uri", "http://127.0.0.1:49152/x")),
        ("no slash", changed(&good, "redirect_uri", "http://127.0.0.1:49152")),
        ("another port", changed(&good, "redirect_uri", "http://127.0.0.1:49153/")),
        ("another verifier", changed(&good, "code_verifier", &long)),
        ("the challenge itself", changed(&good, "code_verifier", CHALLENGE)),
        ("a short verifier", changed(&good, "code_verifier", "short")),
        ("another code", changed(&good, "code", "bwc_AAAA")),
    ] {
        assert_eq!(code_of(house.token(&pairs).await), ErrorCode::InvalidGrant, "{what}");
    }
    for name in ["code", "redirect_uri", "code_verifier", "grant_type"] {
        assert_eq!(
            code_of(house.token(&changed(&good, name, "")).await),
            ErrorCode::InvalidRequest,
            "{name}"
        );
        let twice: Vec<_> = good.iter().copied().chain([(name, "x")]).collect();
        assert_eq!(code_of(house.token(&twice).await), ErrorCode::InvalidRequest, "{name} twice");
    }
    let elsewhere: Vec<_> = good.iter().copied().chain([("resource", "https://other.example")]).collect();
    assert_eq!(code_of(house.token(&elsewhere).await), ErrorCode::InvalidTarget);
    let more = [("audience", "x"), ("resource", "imap://mail.example.org")];
    house.token(&[&good[..], &more].concat()).await.unwrap();
}

#[tokio::test]
async fn a_code_of_another_kind_of_token_is_none() {
    let house = House::new().await;
    let answer = house.redeem(&house.code(Scope::MAIL).await).await.unwrap();
    for name in ["access_token", "refresh_token"] {
        let posed = format!("bwc_{}", &member(&answer, name)[4..]);
        for text in [member(&answer, name), &posed] {
            assert_eq!(code_of(house.redeem(text).await), ErrorCode::InvalidGrant);
        }
    }
}

#[tokio::test]
async fn a_code_ends_at_its_minute() {
    let house = House::new().await;
    let (early, late) = (house.code(Scope::MAIL).await, house.code(Scope::MAIL).await);
    house.token_at(later(59), &redemption(&early)).await.unwrap();
    assert_eq!(code_of(house.token_at(later(60), &redemption(&late)).await), ErrorCode::InvalidGrant);
}

#[tokio::test]
async fn a_code_of_a_grant_that_was_ended_gives_nothing() {
    let house = House::new().await;
    let (code, grant) = house.code_for(Setup::default()).await;
    house.issuer.revoke_grant(grant, RevocationReason::Operator, NOW).await.unwrap();
    assert_eq!(code_of(house.redeem(&code).await), ErrorCode::InvalidGrant);
}

#[tokio::test]
async fn only_grants_that_the_client_registered_for_are_taken() {
    let house = House::new().await;
    let grant = |grant_type| vec![("grant_type", grant_type), ("client_id", "open")];
    for unknown in
        ["password", "implicit", "urn:ietf:params:oauth:grant-type:jwt-bearer", "Authorization_Code"]
    {
        assert_eq!(code_of(house.token(&grant(unknown)).await), ErrorCode::UnsupportedGrantType, "{unknown}");
    }
    assert_eq!(code_of(house.token(&grant("client_credentials")).await), ErrorCode::UnauthorizedClient);
    assert_eq!(code_of(house.token(&[("client_id", "open")]).await), ErrorCode::InvalidRequest);
    let stranger = [("grant_type", "authorization_code"), ("client_id", "stranger")];
    assert_eq!(code_of(house.token(&stranger).await), ErrorCode::InvalidClient);
}

#[tokio::test]
async fn while_the_store_is_down_a_code_is_not_used_up() {
    let house = House::new().await;
    let code = house.code(Scope::MAIL).await;
    house.go_down();
    assert_eq!(code_of(house.redeem(&code).await), ErrorCode::TemporarilyUnavailable);
    house.come_up();
    house.redeem(&code).await.unwrap();
}

#[tokio::test]
async fn an_answer_shows_no_token_in_its_debug_form() {
    let house = House::new().await;
    let code = house.code(Scope::MAIL).await;
    let params = params(&redemption(&code));
    let answer = house.issuer.token(&call(&params, &caller(), NOW)).await.unwrap();
    assert!(!format!("{answer:?} {params:?}").contains("bw"));
}
