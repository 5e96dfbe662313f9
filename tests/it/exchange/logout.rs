//! Signing out: by the client, and of the client.

use bearward::{
    issuer::{Answer, DonePage, Page, PageError, RedirectMode},
    store::RevocationReason,
    token::{Algorithm, PublicKeySet, verify_jws},
};

use super::*;

const AFTER: &str = "https://webmail.example.org/bye?from=mail";

fn webmail() -> ClientMetadata {
    ClientMetadata {
        post_logout_redirect_uris: vec![AFTER.to_owned()],
        backchannel_logout_uri: Some("https://webmail.example.org/backchannel".to_owned()),
        ..confidential()
    }
}

/// A client, its grant, and the tokens that it got.
async fn signed_in(house: &House, metadata: ClientMetadata) -> (AddedClient, GrantId, Value) {
    let client = house.add_client(metadata).await;
    let id = client.client.id.clone();
    let setup = Setup { client: id.clone(), scope: "openid imap", nonce: None, sealed: true };
    let (code, grant) = house.code_for(setup).await;
    let secret = text(client.secret.as_ref().unwrap());
    let answer = house.token(&by(&redemption(&code), id.as_str(), &secret)).await.unwrap();
    (client, grant, answer)
}

async fn log_out(house: &House, pairs: &[(&str, &str)], now: UnixTime) -> Answer {
    house.issuer.log_out(&params(pairs), now).await
}

fn is_refused(answer: &Answer) -> bool {
    matches!(answer, Answer::Page(Page::Error(PageError::BadRequest(_))))
}

async fn is_live(house: &House, grant: GrantId) -> bool {
    house.store.grant(grant).await.unwrap().unwrap().is_live(NOW)
}

#[tokio::test]
async fn a_client_signs_a_person_out_with_an_id_token_even_an_old_one() {
    let house = House::new().await;
    let (client, grant, answer) = signed_in(&house, webmail()).await;
    let hint = member(&answer, "id_token");
    let pairs = [
        ("id_token_hint", hint),
        ("client_id", client.client.id.as_str()),
        ("post_logout_redirect_uri", AFTER),
        ("state", "a b&c"),
    ];
    let Answer::Redirect(redirect) = log_out(&house, &pairs, later(24 * 3600)).await else {
        panic!("no redirect");
    };
    assert_eq!(redirect.uri, format!("{AFTER}&state=a+b%26c"));
    assert!(matches!(redirect.mode, RedirectMode::Query));
    let ended = house.store.grant(grant).await.unwrap().unwrap().revoked.unwrap();
    assert_eq!(ended.reason, RevocationReason::LoggedOut);
    assert!(!house.opens(member(&answer, "access_token"), NOW).await);
}

#[tokio::test]
async fn a_sign_out_leads_only_to_an_address_that_the_client_registered() {
    let house = House::new().await;
    let (client, grant, answer) = signed_in(&house, webmail()).await;
    let hint = member(&answer, "id_token");
    for bad in [
        "https://evil.example/",
        "https://webmail.example.org/bye",
        "https://webmail.example.org/bye?from=mail#",
    ] {
        let pairs = [("id_token_hint", hint), ("post_logout_redirect_uri", bad)];
        assert!(is_refused(&log_out(&house, &pairs, NOW).await), "{bad}");
        let named = [("client_id", client.client.id.as_str()), ("post_logout_redirect_uri", bad)];
        assert!(is_refused(&log_out(&house, &named, NOW).await), "{bad}");
    }
    assert!(is_refused(&log_out(&house, &[("post_logout_redirect_uri", AFTER)], NOW).await));
    assert!(is_live(&house, grant).await, "a refused request ends nothing");
}

#[tokio::test]
async fn nobody_is_signed_out_without_an_id_token_of_this_server() {
    let house = House::new().await;
    let (client, grant, answer) = signed_in(&house, webmail()).await;
    let done = log_out(&house, &[("client_id", client.client.id.as_str())], NOW).await;
    assert!(matches!(done, Answer::Page(Page::Done(DonePage::LoggedOut))));
    let stranger = House::new().await;
    let (_, _, foreign) = signed_in(&stranger, webmail()).await;
    let hint = member(&answer, "id_token");
    let cut = &hint[..hint.len() - 2];
    for bad in [cut, member(&foreign, "id_token"), member(&answer, "access_token"), "x"] {
        assert!(is_refused(&log_out(&house, &[("id_token_hint", bad)], NOW).await), "{bad}");
    }
    let other = [("id_token_hint", hint), ("client_id", "open")];
    assert!(is_refused(&log_out(&house, &other, NOW).await));
    assert!(is_live(&house, grant).await);
}

#[tokio::test]
async fn a_client_is_told_once_that_its_grant_has_ended() {
    let house = House::new().await;
    let (client, grant, _) = signed_in(&house, webmail()).await;
    assert_eq!(house.issuer.logout_notice(grant, NOW).await.unwrap(), None, "it lives");
    house.store.revoke_grant(grant, RevocationReason::Operator, NOW).await.unwrap();
    let notice = house.issuer.logout_notice(grant, NOW).await.unwrap().unwrap();
    assert_eq!(notice.uri, "https://webmail.example.org/backchannel");
    let keys = PublicKeySet::parse(&serde_json::to_value(house.issuer.jwks(NOW)).unwrap()).unwrap();
    let claims = verify_jws(&notice.token, &keys, &[Algorithm::Rs256], Some(&["logout+jwt"])).unwrap();
    assert_eq!(claims["aud"], client.client.id.as_str());
    assert_eq!(claims["sid"], grant.to_string());
    assert_eq!(claims["sub"], "alice@example.org");
    assert!(claims["events"]["http://schemas.openid.net/event/backchannel-logout"].is_object());
    assert!(!claims.contains_key("nonce"), "a logout token must not pass for an ID token");
    let again = house.another_node().await.logout_notice(grant, NOW).await.unwrap();
    assert_eq!(again, None, "another node tells nobody twice");
}

#[tokio::test]
async fn a_client_without_an_address_is_told_nothing() {
    let house = House::new().await;
    let (_, grant, _) = signed_in(&house, confidential()).await;
    house.store.revoke_grant(grant, RevocationReason::Operator, NOW).await.unwrap();
    assert_eq!(house.issuer.logout_notice(grant, NOW).await.unwrap(), None);
}
