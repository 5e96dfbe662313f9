//! The refresh token.

use std::time::Duration;

use bearward::store::RevocationReason;

use super::*;

async fn first(house: &House) -> String {
    member(&house.redeem(&house.code(Scope::MAIL).await).await.unwrap(), "refresh_token").to_owned()
}

#[tokio::test]
async fn a_public_client_gets_another_refresh_token_on_every_use() {
    let house = House::new().await;
    let mut token = first(&house).await;
    for round in 1..=5 {
        let now = later(round * 1000);
        let answer = house.refresh(now, &token).await.unwrap();
        assert_ne!(member(&answer, "refresh_token"), token);
        assert_eq!(answer["expires_in"], 3600);
        assert!(house.opens(member(&answer, "access_token"), now).await);
        token = member(&answer, "refresh_token").to_owned();
    }
}

#[tokio::test]
async fn a_lost_answer_can_be_had_again_octet_for_octet_within_the_grace() {
    let house = House::new().await;
    let token = first(&house).await;
    let answer = house.raw(later(100), &refreshing(&token)).await.unwrap();
    for seconds in [100, 101, 129] {
        assert_eq!(house.raw(later(seconds), &refreshing(&token)).await.unwrap(), answer);
    }
    assert_eq!(house.raw(later(99), &refreshing(&token)).await.unwrap(), answer, "a clock behind");
    assert_eq!(code_of(house.raw(later(130), &refreshing(&token)).await), ErrorCode::InvalidGrant);
    let answer: Value = serde_json::from_slice(answer.expose()).unwrap();
    let dead = house.refresh(later(130), member(&answer, "refresh_token")).await;
    assert_eq!(code_of(dead), ErrorCode::InvalidGrant);
}

#[tokio::test]
async fn the_answer_is_gone_once_the_next_token_was_used() {
    let house = House::new().await;
    let old = first(&house).await;
    let new = house.refresh(later(1), &old).await.unwrap();
    let last = house.refresh(later(2), member(&new, "refresh_token")).await.unwrap();
    assert_eq!(code_of(house.refresh(later(3), &old).await), ErrorCode::InvalidGrant);
    assert!(!house.opens(member(&last, "access_token"), later(3)).await);
}

#[tokio::test]
async fn without_grace_a_second_use_ends_the_grant() {
    let house = House::with(|config| config.refresh_grace = Duration::ZERO).await;
    let token = first(&house).await;
    house.refresh(later(1), &token).await.unwrap();
    assert_eq!(code_of(house.refresh(later(2), &token).await), ErrorCode::InvalidGrant);
}

#[tokio::test]
async fn a_confidential_client_keeps_its_refresh_token_until_its_end_is_near() {
    let house = House::new().await;
    let added = house.add_client(confidential()).await;
    let (id, secret) = (added.client.id.clone(), text(added.secret.as_ref().unwrap()));
    let (code, _) = house.code_for(Setup { client: id.clone(), ..Setup::default() }).await;
    let answer = house.token(&by(&redemption(&code), id.as_str(), &secret)).await.unwrap();
    let token = member(&answer, "refresh_token").to_owned();
    let refreshing = refreshing(&token);
    let pairs = by(&refreshing, id.as_str(), &secret);
    let day = 24 * 60 * 60;
    // Each use moves the end, so 80 days and 80 days are fine although 90 are the limit.
    for days in [0, 80, 160] {
        let now = later(days * day);
        let answer = house.token_at(now, &pairs).await.unwrap();
        assert!(answer.get("refresh_token").is_none(), "day {days}");
        assert!(house.opens(member(&answer, "access_token"), now).await);
    }
    let answer = house.token_at(later((160 + 87) * day), &pairs).await.unwrap();
    assert_ne!(member(&answer, "refresh_token"), token);
}

#[tokio::test]
async fn an_unused_refresh_token_ends_at_its_lifetime() {
    let house = House::new().await;
    let (early, late) = (first(&house).await, first(&house).await);
    let lifetime = 90 * 24 * 60 * 60;
    house.refresh(later(lifetime - 1), &early).await.unwrap();
    assert_eq!(code_of(house.refresh(later(lifetime), &late).await), ErrorCode::InvalidGrant);
}

#[tokio::test]
async fn scope_can_only_narrow_and_the_refresh_token_keeps_all_of_it() {
    let house = House::new().await;
    let token = house.redeem(&house.code("imap smtp offline_access").await).await.unwrap();
    let token = member(&token, "refresh_token").to_owned();
    let refreshing = refreshing(&token);
    for wider in ["imap pop3", "urn:ietf:params:oauth:scope:mail", "openid", "im\"ap", "x"] {
        let pairs = changed(&refreshing, "scope", wider);
        assert_eq!(code_of(house.token(&pairs).await), ErrorCode::InvalidScope, "{wider}");
    }
    let narrow = house.token(&changed(&refreshing, "scope", "smtp")).await.unwrap();
    assert_eq!(narrow["scope"], "smtp");
    assert!(!house.opens(member(&narrow, "access_token"), NOW).await, "imap was left out");
    let whole = house.refresh(later(1), member(&narrow, "refresh_token")).await.unwrap();
    assert_eq!(whole["scope"], "imap smtp offline_access");
    assert!(house.opens(member(&whole, "access_token"), later(1)).await);
}

#[tokio::test]
async fn a_resource_that_was_not_granted_is_refused_and_uses_nothing_up() {
    let house = House::new().await;
    let token = first(&house).await;
    let mut good = refreshing(&token);
    for bad in
        ["https://other.example", "https://mail.example.org@other.example/", "mail.example.org#x", "x:y"]
    {
        let pairs = changed(&good, "resource", bad);
        assert_eq!(code_of(house.token(&pairs).await), ErrorCode::InvalidTarget, "{bad}");
    }
    good.extend([("resource", "https://mail.example.org"), ("resource", "imaps://MAIL.example.org:993")]);
    house.token(&good).await.unwrap();
}

#[tokio::test]
async fn nothing_outlives_the_grant() {
    let house = House::new().await;
    let (code, grant) = house.code_with_end(Setup::default(), Some(later(5000))).await;
    let answer = house.redeem(&code).await.unwrap();
    let answer = house.refresh(later(4000), member(&answer, "refresh_token")).await.unwrap();
    assert_eq!(answer["expires_in"], 1000);
    assert!(house.opens(member(&answer, "access_token"), later(4999)).await);
    assert!(!house.opens(member(&answer, "access_token"), later(5000)).await);
    let late = house.refresh(later(5000), member(&answer, "refresh_token")).await;
    assert_eq!(code_of(late), ErrorCode::InvalidGrant);
    assert!(house.store.grant(grant).await.unwrap().unwrap().revoked.is_none());
}

#[tokio::test]
async fn a_grant_that_was_ended_refreshes_no_more_even_within_the_grace() {
    let house = House::new().await;
    let (code, grant) = house.code_for(Setup::default()).await;
    let token = member(&house.redeem(&code).await.unwrap(), "refresh_token").to_owned();
    house.refresh(later(1), &token).await.unwrap();
    house.issuer.revoke_grant(grant, RevocationReason::Operator, later(2)).await.unwrap();
    assert_eq!(code_of(house.refresh(later(3), &token).await), ErrorCode::InvalidGrant);
    let reason = house.store.grant(grant).await.unwrap().unwrap().revoked.unwrap().reason;
    assert_eq!(reason, RevocationReason::Operator);
}

#[tokio::test]
async fn what_is_no_refresh_token_is_refused() {
    let house = House::new().await;
    let answer = house.redeem(&house.code(Scope::MAIL).await).await.unwrap();
    let unknown = text(&OpaqueToken::generate(TokenKind::Refresh).unwrap().text());
    for bad in [member(&answer, "access_token"), &unknown, "bwr_", "ä", "x"] {
        assert_eq!(code_of(house.refresh(NOW, bad).await), ErrorCode::InvalidGrant, "{bad}");
    }
    assert_eq!(code_of(house.token(&refreshing("")).await), ErrorCode::InvalidRequest);
}

#[tokio::test]
async fn while_the_store_is_down_a_refresh_token_is_not_used_up() {
    let house = House::new().await;
    let token = first(&house).await;
    house.go_down();
    assert_eq!(code_of(house.refresh(later(1), &token).await), ErrorCode::TemporarilyUnavailable);
    house.come_up();
    let answer = house.refresh(later(2), &token).await.unwrap();
    house.go_down();
    assert_eq!(code_of(house.refresh(later(100), &token).await), ErrorCode::TemporarilyUnavailable);
    house.come_up();
    house.refresh(later(101), member(&answer, "refresh_token")).await.unwrap();
}
