//! Management of a registration by its client (RFC 7592).

use super::*;

struct Managed {
    house: House,
    registered: Registered,
}

async fn managed() -> Managed {
    let house = house(Registration::Open).await;
    let registered = house.register(&webmail()).await.unwrap();
    Managed { house, registered }
}

impl Managed {
    fn id(&self) -> &str {
        self.registered.client.id.as_str()
    }

    fn token(&self) -> Option<&Secret> {
        self.registered.management.as_ref()
    }

    async fn read(&self) -> Value {
        document(&self.house.issuer.read_registration(self.id(), self.token()).await.unwrap())
    }

    async fn update(&self, body: &Value) -> Result<Registered, RegistrationError> {
        self.house.issuer.update_registration(self.id(), self.token(), body.to_string().as_bytes()).await
    }

    /// What a client sends back that keeps to the rules.
    fn body(&self) -> Value {
        with(webmail(), "client_id", json!(self.id()))
    }
}

fn unauthorized<T>(result: Result<T, RegistrationError>) -> bool {
    match result {
        Err(RegistrationError::Unauthorized(error)) => error.code == ErrorCode::InvalidToken,
        Err(_) | Ok(_) => false,
    }
}

#[tokio::test]
async fn a_client_reads_what_it_registered_without_its_secret() {
    let managed = managed().await;
    let told = managed.read().await;
    let mut first = document(&managed.registered);
    for gone in ["client_secret", "client_secret_expires_at"] {
        assert!(first.as_object_mut().unwrap().remove(gone).is_some());
    }
    assert_eq!(told, first);
}

#[tokio::test]
async fn a_wrong_token_and_an_unknown_client_look_alike() {
    let managed = managed().await;
    let other = managed.house.register(&webmail()).await.unwrap();
    let issuer = &managed.house.issuer;
    let secret = managed.registered.secret.as_ref();
    let stranger = Secret::copy_of(b"bwm_x");
    let mut seen = Vec::new();
    for token in [other.management.as_ref(), secret, Some(&stranger)] {
        assert!(unauthorized(issuer.update_registration(managed.id(), token, b"{}").await));
        assert!(unauthorized(issuer.delete_registration(managed.id(), token, NOW).await));
        seen.push(issuer.read_registration(managed.id(), token).await.unwrap_err());
    }
    for id in ["open", "bwo_AAAAAAAAAAAAAAAAAAAAAA", "", "a b", "\u{FC}", &"x".repeat(600)] {
        seen.push(issuer.read_registration(id, managed.token()).await.unwrap_err());
    }
    seen.dedup();
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert!(unauthorized(issuer.read_registration(managed.id(), None).await));
    assert!(issuer.client(&managed.registered.client.id).await.unwrap().is_some());
}

#[tokio::test]
async fn an_update_replaces_everything_and_keeps_the_secret() {
    let managed = managed().await;
    let mut body = managed.body();
    body["redirect_uris"] = json!(["https://webmail.example.org/new"]);
    body.as_object_mut().unwrap().remove("client_name");
    body["client_secret"] = json!(managed.registered.secret.as_ref().unwrap().expose_str());
    let told = document(&managed.update(&body).await.unwrap());
    assert_eq!(told["redirect_uris"], body["redirect_uris"]);
    assert_eq!(told["client_secret"], body["client_secret"]);
    assert!(told.get("client_name").is_none());
    assert_eq!(told["client_id"], managed.id());
    let read = managed.read().await;
    assert!(read.get("client_name").is_none());
    let before = managed.house.store.clients().await.unwrap()[0].secret;
    managed.update(&managed.body()).await.unwrap();
    assert_eq!(managed.house.store.clients().await.unwrap()[0].secret, before);
}

#[tokio::test]
async fn an_update_that_breaks_the_rules_changes_nothing() {
    let managed = managed().await;
    let before = managed.read().await;
    let mut bodies = vec![
        webmail(),
        with(managed.body(), "client_id", json!("open")),
        with(managed.body(), "client_secret", json!("chosen")),
        with(managed.body(), "client_secret", json!(7)),
        with(managed.body(), "redirect_uris", json!(["http://evil.example/"])),
        with(managed.body(), "grant_types", json!(["client_credentials"])),
    ];
    for name in [
        "registration_access_token",
        "registration_client_uri",
        "client_secret_expires_at",
        "client_id_issued_at",
    ] {
        bodies.push(with(managed.body(), name, before.get(name).cloned().unwrap_or_else(|| json!(0))));
    }
    for body in bodies {
        assert!(matches!(managed.update(&body).await, Err(RegistrationError::Refused(_))), "{body}");
    }
    assert_eq!(managed.read().await, before);
    let kept = &managed.house.store.clients().await.unwrap()[0].metadata;
    assert!(kept.contains("self_registered"), "{kept}");
}

#[tokio::test]
async fn a_secret_comes_and_goes_with_the_method() {
    let managed = managed().await;
    let first = managed.registered.secret.clone().unwrap();
    let none = with(managed.body(), "token_endpoint_auth_method", json!("none"));
    let told = document(&managed.update(&none).await.unwrap());
    assert!(told.get("client_secret").is_none());
    assert_eq!(managed.house.store.clients().await.unwrap()[0].secret, None);
    let told = document(&managed.update(&managed.body()).await.unwrap());
    let second = told["client_secret"].as_str().unwrap();
    assert_ne!(second.as_bytes(), first.expose());
}

#[tokio::test]
async fn a_client_that_removes_itself_is_gone_and_so_are_its_grants() {
    let managed = managed().await;
    let id = managed.registered.client.id.clone();
    managed.house.grant_to(&id).await;
    managed.house.issuer.delete_registration(managed.id(), managed.token(), NOW).await.unwrap();
    assert!(managed.house.issuer.client(&id).await.unwrap().is_none());
    let filter = bearward::store::GrantFilter { client: Some(id), ..Default::default() };
    let grants = managed.house.store.grants(filter).await.unwrap();
    assert!(grants.iter().all(|grant| grant.revoked.is_some()) && grants.len() == 1);
    assert_eq!(managed.house.store.denied_clients().await.unwrap(), []);
    let again = managed.house.issuer.delete_registration(managed.id(), managed.token(), NOW).await;
    assert!(unauthorized(again));
}

#[tokio::test]
async fn a_client_that_the_operator_removed_manages_nothing() {
    let managed = managed().await;
    managed.house.issuer.remove_client(&managed.registered.client.id, NOW).await.unwrap();
    assert!(unauthorized(managed.update(&managed.body()).await));
    managed.house.issuer.allow_client(&managed.registered.client.id).await.unwrap();
    assert!(unauthorized(managed.update(&managed.body()).await));
}
