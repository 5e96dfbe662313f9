//! What the operator does with clients.

use bearward::{
    issuer::{ClientMetadata, IssuerError, KnownClient},
    model::Login,
    store::Ended,
};

use super::*;

fn archiver() -> ClientMetadata {
    ClientMetadata {
        token_endpoint_auth_method: AuthMethod::ClientSecretBasic,
        grant_types: vec![GrantType::ClientCredentials],
        mailboxes: vec!["*@example.org".to_owned(), "post@example.com".to_owned()],
        ..ClientMetadata::default()
    }
}

#[tokio::test]
async fn the_operator_gives_what_nobody_can_take() {
    let house = house(Registration::Closed).await;
    let added = house.issuer.add_client(archiver(), NOW).await.unwrap();
    assert!(added.secret.is_some());
    let client = house.issuer.client(&added.client.id).await.unwrap().unwrap();
    assert_eq!(client.standing, Standing::Operator);
    assert_eq!(client.metadata.mailboxes, archiver().mailboxes);
    assert_eq!(client.metadata.response_types, Vec::<String>::new());

    let asker = ClientMetadata {
        token_endpoint_auth_method: AuthMethod::ClientSecretPost,
        may_introspect: true,
        ..ClientMetadata::default()
    };
    let added = house.issuer.add_client(asker, NOW).await.unwrap();
    assert!(added.client.metadata.may_introspect && added.client.metadata.grant_types.is_empty());
    let unused = house.issuer.remove_unused_clients(later(90 * 86_400)).await.unwrap();
    assert_eq!(unused, 0);
}

#[tokio::test]
async fn a_service_client_opens_the_mailboxes_of_its_policy_and_no_other() {
    let house = house(Registration::Closed).await;
    let client = house.issuer.add_client(archiver(), NOW).await.unwrap().client;
    for (login, may) in [
        ("alice@example.org", true),
        ("alice@EXAMPLE.org", true),
        ("post@example.com", true),
        ("Post@example.com", false),
        ("alice@example.com", false),
        ("alice@sub.example.org", false),
        ("alice@badexample.org", false),
        ("alice@example.org@evil.example", false),
        ("alice", false),
        ("*@example.org", true),
    ] {
        assert_eq!(client.may_open(&Login::parse(login).unwrap()), may, "{login}");
    }
    assert!(
        !house
            .issuer
            .client(&ClientId::open())
            .await
            .unwrap()
            .unwrap()
            .may_open(&Login::parse("a@b").unwrap())
    );
}

#[tokio::test]
async fn what_the_operator_mistypes_is_refused_with_the_reason() {
    let house = house(Registration::Closed).await;
    let bad = |change: &dyn Fn(&mut ClientMetadata)| {
        let mut metadata = archiver();
        change(&mut metadata);
        metadata
    };
    for (metadata, word) in [
        (bad(&|m| m.mailboxes = vec!["*".to_owned()]), "mailboxes"),
        (bad(&|m| m.mailboxes = vec!["a*@example.org".to_owned()]), "mailboxes"),
        (bad(&|m| m.mailboxes = vec!["*@".to_owned()]), "mailboxes"),
        (bad(&|m| m.mailboxes = vec!["*@*.org".to_owned()]), "mailboxes"),
        (bad(&|m| m.mailboxes = vec!["@example.org".to_owned()]), "mailboxes"),
        (bad(&|m| m.mailboxes = vec!["a@Example.org".to_owned()]), "mailboxes"),
        (bad(&|m| m.mailboxes.clear()), "mailboxes"),
        (bad(&|m| m.token_endpoint_auth_method = AuthMethod::None), "client_credentials"),
        (bad(&|m| m.token_endpoint_auth_method = AuthMethod::PrivateKeyJwt), "jwks"),
        (bad(&|m| m.token_endpoint_auth_method = AuthMethod::TlsClientAuth), "tls_client_auth_subject_dn"),
        (
            bad(&|m| m.backchannel_logout_uri = Some("http://example.org/".to_owned())),
            "backchannel_logout_uri",
        ),
        (bad(&|m| m.redirect_uris = vec!["http://example.org/".to_owned()]), "redirect_uris[0]"),
    ] {
        let error = house.issuer.add_client(metadata, NOW).await.unwrap_err();
        assert!(matches!(error, RegistrationError::Refused(_)));
        assert!(error.to_string().contains(word), "{error}");
    }
    assert_eq!(house.store.clients().await.unwrap(), []);
}

#[tokio::test]
async fn the_list_shows_what_is_built_in_what_has_a_row_and_what_is_denied() {
    let house = house(Registration::Open).await;
    let row = house.issuer.add_client(archiver(), NOW).await.unwrap().client.id.clone();
    let native = house.register(&native()).await.unwrap().client.id.clone();
    assert_eq!(house.issuer.remove_client(&native, NOW).await.unwrap(), Ended::Now);
    let listed = house.issuer.list_clients().await.unwrap();
    let told: Vec<_> = listed
        .iter()
        .map(|KnownClient { id, client, denied_at, .. }| (id, client.is_some(), *denied_at))
        .collect();
    assert_eq!(told, [(&ClientId::open(), true, None), (&row, true, None), (&native, true, Some(NOW))]);
    let shown = house.issuer.show_client(&native).await.unwrap().unwrap();
    assert_eq!((shown.denied_at, shown.created_at), (Some(NOW), None));
    assert!(house.issuer.show_client(&"stranger".parse().unwrap()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_denied_client_is_none_until_it_is_allowed_again() {
    let house = house(Registration::Open).await;
    let id = house.register(&native()).await.unwrap().client.id.clone();
    for id in [id.clone(), ClientId::open()] {
        house.grant_to(&id).await;
        house.issuer.remove_client(&id, NOW).await.unwrap();
        assert!(house.issuer.client(&id).await.unwrap().is_none());
        let filter = bearward::store::GrantFilter { client: Some(id.clone()), ..Default::default() };
        assert!(house.store.grants(filter).await.unwrap().iter().all(|grant| grant.revoked.is_some()));
    }
    assert_eq!(house.refusal(&native()).await.0, ErrorCode::InvalidClientMetadata);
    assert!(house.issuer.allow_client(&id).await.unwrap());
    assert!(!house.issuer.allow_client(&id).await.unwrap());
    assert!(house.issuer.client(&id).await.unwrap().is_some());
    assert!(house.register(&native()).await.is_ok());
}

#[tokio::test]
async fn only_what_this_server_gave_can_be_removed() {
    let house = house(Registration::Open).await;
    let stranger: ClientId = "stranger".parse().unwrap();
    let removed = house.issuer.remove_client(&stranger, NOW).await;
    assert_eq!(removed, Err(IssuerError::UnknownClient(stranger)));
    assert_eq!(house.store.denied_clients().await.unwrap(), []);
}
