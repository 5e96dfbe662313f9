//! Client credentials.

use super::*;

fn archiver() -> ClientMetadata {
    ClientMetadata {
        token_endpoint_auth_method: AuthMethod::ClientSecretPost,
        grant_types: vec![GrantType::ClientCredentials],
        mailboxes: vec!["*@example.org".to_owned()],
        ..ClientMetadata::default()
    }
}

async fn ask(house: &House, client: &AddedClient, more: &[(&str, &str)]) -> Result<Value, OAuthError> {
    let secret = text(client.secret.as_ref().unwrap());
    let mut pairs = vec![
        ("grant_type", "client_credentials"),
        ("client_id", client.client.id.as_str()),
        ("client_secret", &secret),
    ];
    pairs.extend_from_slice(more);
    house.token(&pairs).await
}

#[tokio::test]
async fn a_service_opens_the_mailboxes_that_the_operator_named_and_no_others() {
    let house = House::new().await;
    let client = house.add_client(archiver()).await;
    let answer = ask(&house, &client, &[]).await.unwrap();
    assert_eq!(answer["scope"], Scope::MAIL);
    for absent in ["refresh_token", "id_token"] {
        assert!(answer.get(absent).is_none(), "{absent}");
    }
    let validator = house.validator();
    let token = Secret::copy_of(member(&answer, "access_token").as_bytes());
    for (mailbox, is_open) in [
        (Some("alice@example.org"), true),
        (Some("alice@example.net"), false),
        (Some("x@client.invalid"), false),
        (None, false),
    ] {
        let mailbox = mailbox.map(|mailbox| Login::parse(mailbox).unwrap());
        let request = Request { authzid: mailbox.as_ref().map(Login::as_str), ..IMAP };
        assert_eq!(validator.validate(&token, &request, NOW).await.is_ok(), is_open, "{mailbox:?}");
    }
}

#[tokio::test]
async fn its_grant_is_its_own_and_ends_with_the_token() {
    let house = House::new().await;
    let client = house.add_client(archiver()).await;
    for _ in 0..2 {
        ask(&house, &client, &[]).await.unwrap();
    }
    let grants = house.store.grants(bearward::store::GrantFilter::default()).await.unwrap();
    assert_eq!(grants.len(), 2);
    for grant in grants {
        assert!(grant.user.is_client());
        assert_eq!((grant.expires_at, grant.auth_time), (Some(later(3600)), None));
        assert_eq!(grant.mailboxes, ["*@example.org"]);
    }
}

#[tokio::test]
async fn a_service_gets_mail_scopes_alone_and_no_more_than_it_registered() {
    let house = House::new().await;
    let client = house.add_client(archiver()).await;
    for bad in ["openid", "imap openid", "offline_access", "email", "everything", "im\"ap"] {
        assert_eq!(code_of(ask(&house, &client, &[("scope", bad)]).await), ErrorCode::InvalidScope, "{bad}");
    }
    assert_eq!(ask(&house, &client, &[("scope", "imap smtp")]).await.unwrap()["scope"], "imap smtp");
    let narrow = ClientMetadata { scope: Some("imap pop3".parse().unwrap()), ..archiver() };
    let narrow = house.add_client(narrow).await;
    assert_eq!(ask(&house, &narrow, &[]).await.unwrap()["scope"], "imap pop3");
    assert_eq!(code_of(ask(&house, &narrow, &[("scope", "smtp")]).await), ErrorCode::InvalidScope);
    let elsewhere = [("resource", "https://other.example")];
    assert_eq!(code_of(ask(&house, &narrow, &elsewhere).await), ErrorCode::InvalidTarget);
}

#[tokio::test]
async fn a_client_without_mailboxes_or_with_a_wrong_secret_gets_nothing() {
    let house = House::new().await;
    let both = vec![GrantType::AuthorizationCode, GrantType::RefreshToken];
    let person = house.add_client(ClientMetadata { grant_types: both, ..confidential() }).await;
    assert_eq!(code_of(ask(&house, &person, &[]).await), ErrorCode::UnauthorizedClient);
    let mut client = house.add_client(archiver()).await;
    client.secret = person.secret.clone();
    assert_eq!(code_of(ask(&house, &client, &[]).await), ErrorCode::InvalidClient);
    assert_eq!(house.store.grants(bearward::store::GrantFilter::default()).await.unwrap(), []);
}

#[tokio::test]
async fn while_the_store_is_down_a_service_hears_that_it_is_temporary() {
    let house = House::new().await;
    let client = house.add_client(archiver()).await;
    house.go_down();
    assert_eq!(code_of(ask(&house, &client, &[]).await), ErrorCode::TemporarilyUnavailable);
    house.come_up();
    ask(&house, &client, &[]).await.unwrap();
}
