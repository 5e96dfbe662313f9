//! What the issuer hands out, and what it says of itself.

use std::{sync::Arc, time::Duration};

use bearward::{
    issuer::{self, Issuer, IssuerError, MutualTls},
    model::{Scope, Secret, UnixTime},
    store::{Ended, GrantFilter, RevocationReason, Store, StoreError},
    token::ServerKey,
};

use crate::{
    store::{NOW, sqlite},
    validator::{issuer_config, mint_request},
};

async fn issuer(store: &Arc<dyn Store>) -> Issuer {
    Issuer::new(issuer_config(), store.clone(), ServerKey::generate().unwrap(), NOW).await.unwrap()
}

#[tokio::test]
async fn a_minted_token_has_the_lifetime_asked_for_within_bounds() {
    let folder = tempfile::tempdir().unwrap();
    let issuer = issuer(&sqlite(folder.path()).await).await;
    let mint = async |lifetime| {
        let mut request = mint_request(Scope::MAIL);
        request.lifetime = lifetime;
        issuer.mint(request, NOW).await.map(|minted| minted.expires_at.0 - NOW.0)
    };
    assert_eq!(mint(None).await, Ok(3600));
    assert_eq!(mint(Some(Duration::from_secs(1))).await, Ok(1));
    assert_eq!(mint(Some(Issuer::MAX_LIFETIME)).await, Ok(365 * 86400));
    let too_long = Issuer::MAX_LIFETIME + Duration::from_secs(1);
    for bad in [Duration::ZERO, Duration::from_millis(999), too_long, Duration::MAX] {
        assert_eq!(mint(Some(bad)).await, Err(IssuerError::Lifetime), "{bad:?}");
    }
}

#[tokio::test]
async fn no_token_outlives_its_grant() {
    let folder = tempfile::tempdir().unwrap();
    let store = sqlite(folder.path()).await;
    let config = issuer::Config { grant_lifetime: Some(Duration::from_secs(600)), ..issuer_config() };
    let issuer = Issuer::new(config, store.clone(), ServerKey::generate().unwrap(), NOW).await.unwrap();
    let minted = issuer.mint(mint_request(Scope::MAIL), NOW).await.unwrap();
    assert_eq!(minted.expires_at, UnixTime(NOW.0 + 600));
    assert_eq!(store.grant(minted.grant).await.unwrap().unwrap().expires_at, Some(UnixTime(NOW.0 + 600)));
}

#[tokio::test]
async fn what_cannot_be_given_is_refused_and_leaves_no_row() {
    let folder = tempfile::tempdir().unwrap();
    let store = sqlite(folder.path()).await;
    let issuer = issuer(&store).await;
    let good = || mint_request(Scope::MAIL);
    let mut empty_scope = good();
    empty_scope.scope = Scope::default();
    let unknown_scope = mint_request("imap everything");
    let mut unknown_client = good();
    unknown_client.client = "stranger".parse().unwrap();
    let mut no_password = good();
    no_password.passwords.clear();
    let mut password_of_another = good();
    password_of_another.passwords[0].0 = "other".into();
    let with_password = |octets: Vec<u8>| {
        let mut request = good();
        request.passwords[0].1 = Secret::new(octets);
        request
    };
    for (request, error) in [
        (empty_scope, IssuerError::NoScope),
        (unknown_scope, IssuerError::UnknownScope("everything".into())),
        (unknown_client, IssuerError::UnknownClient("stranger".parse().unwrap())),
        (no_password, IssuerError::PasswordRequired("main".into())),
        (password_of_another, IssuerError::PasswordRequired("main".into())),
        (with_password(Vec::new()), IssuerError::BadPassword),
        (with_password(vec![b'x'; 256]), IssuerError::BadPassword),
    ] {
        assert_eq!(issuer.mint(request, NOW).await.unwrap_err(), error);
    }
    assert_eq!(store.grants(GrantFilter::default()).await.unwrap(), []);
    issuer.mint(with_password(vec![b'x'; 255]), NOW).await.unwrap();
}

#[tokio::test]
async fn a_password_that_no_backend_needs_is_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let store = sqlite(folder.path()).await;
    let issuer = issuer(&store).await;
    let mut request = mint_request(Scope::MAIL);
    request.sealed_backends.clear();
    let minted = issuer.mint(request, NOW).await.unwrap();
    let token = bearward::token::OpaqueToken::parse(minted.access_token.expose()).unwrap();
    let record = store.token(&token.lookup().unwrap()).await.unwrap().unwrap();
    assert_eq!(record.credentials, []);
}

#[tokio::test]
async fn grants_are_listed_and_revoked_once() {
    let folder = tempfile::tempdir().unwrap();
    let issuer = issuer(&sqlite(folder.path()).await).await;
    let minted = issuer.mint(mint_request(Scope::MAIL), NOW).await.unwrap();
    let listed =
        issuer.list_grants(GrantFilter { active_at: Some(NOW), ..GrantFilter::default() }).await.unwrap();
    let json = serde_json::to_value(&listed).unwrap();
    assert_eq!(json[0]["id"], minted.grant.to_string());
    assert_eq!(json[0]["client_id"], "open");
    assert!(json[0].get("public_key").is_none());
    let revoke = || issuer.revoke_grant(minted.grant, RevocationReason::Operator, NOW);
    assert_eq!(revoke().await, Ok(Ended::Now));
    assert_eq!(revoke().await, Ok(Ended::Before));
    let active = GrantFilter { active_at: Some(NOW), ..GrantFilter::default() };
    assert_eq!(issuer.list_grants(active).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_grant_minted_while_others_are_revoked_stands() {
    let folder = tempfile::tempdir().unwrap();
    let issuer = Arc::new(issuer(&sqlite(folder.path()).await).await);
    let mut tasks = tokio::task::JoinSet::new();
    for count in 0..40 {
        let issuer = issuer.clone();
        tasks.spawn(async move {
            let minted = issuer.mint(mint_request(Scope::MAIL), NOW).await.unwrap();
            if count % 2 == 0 {
                issuer.revoke_grant(minted.grant, RevocationReason::Operator, NOW).await.unwrap();
            }
        });
    }
    tasks.join_all().await;
    let active = GrantFilter { active_at: Some(NOW), ..GrantFilter::default() };
    assert_eq!(issuer.list_grants(active).await.unwrap().len(), 20);
    assert_eq!(issuer.list_grants(GrantFilter::default()).await.unwrap().len(), 40);
}

#[tokio::test]
async fn the_signing_key_outlives_the_process_and_needs_its_server_key() {
    let folder = tempfile::tempdir().unwrap();
    let store = sqlite(folder.path()).await;
    let key = ServerKey::generate().unwrap();
    let start = async |key: &ServerKey| Issuer::new(issuer_config(), store.clone(), key.clone(), NOW).await;
    let keys = start(&key).await.unwrap().jwks(NOW);
    assert_eq!(keys.keys.len(), 3);
    assert_eq!(start(&key).await.unwrap().jwks(NOW), keys);
    let other = start(&ServerKey::generate().unwrap()).await.unwrap_err();
    assert_eq!(other, IssuerError::WrongServerKey);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_start_together_publish_the_same_key() {
    let folder = tempfile::tempdir().unwrap();
    let store = sqlite(folder.path()).await;
    let key = ServerKey::generate().unwrap();
    let mut starting = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (store, key) = (store.clone(), key.clone());
        starting.spawn(async move { Issuer::new(issuer_config(), store, key, NOW).await.unwrap().jwks(NOW) });
    }
    let sets = starting.join_all().await;
    assert!(sets.iter().all(|set| *set == sets[0] && set.keys.len() == 3));
}

#[tokio::test]
async fn certificates_are_announced_only_where_they_can_be_shown() {
    let folder = tempfile::tempdir().unwrap();
    let store = sqlite(folder.path()).await;
    let metadata = async |mutual_tls| {
        let config = issuer::Config { mutual_tls, ..issuer_config() };
        let issuer = Issuer::new(
            config,
            store.clone(),
            ServerKey::from_secret(Secret::new(vec![7; 32])).unwrap(),
            NOW,
        );
        serde_json::to_value(issuer.await.unwrap().metadata()).unwrap()
    };
    let off = metadata(MutualTls::Off).await;
    let methods = &off["token_endpoint_auth_methods_supported"];
    assert_eq!(
        *methods,
        serde_json::json!(["none", "client_secret_basic", "client_secret_post", "private_key_jwt"])
    );
    assert!(off.get("mtls_endpoint_aliases").is_none());
    let here = metadata(MutualTls::Here).await;
    assert_eq!(here["token_endpoint_auth_methods_supported"].as_array().unwrap().len(), 6);
    assert!(here.get("mtls_endpoint_aliases").is_none());
    assert_eq!(here["tls_client_certificate_bound_access_tokens"], true);
    let apart = metadata(MutualTls::At("https://mail.example.org:8443".into())).await;
    let aliases = &apart["mtls_endpoint_aliases"];
    assert_eq!(aliases["token_endpoint"], "https://mail.example.org:8443/oauth/token");
    assert_eq!(apart["token_endpoint"], "https://mail.example.org/oauth/token");
}

#[tokio::test]
async fn the_metadata_names_what_is_built_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let issuer = issuer(&sqlite(folder.path()).await).await;
    let metadata = serde_json::to_value(issuer.metadata()).unwrap();
    assert_eq!(metadata["issuer"], "https://mail.example.org");
    let mut endpoints: Vec<_> = metadata
        .as_object()
        .unwrap()
        .iter()
        .filter(|(name, _)| name.ends_with("_endpoint") || *name == "jwks_uri")
        .map(|(name, url)| {
            (name.as_str(), url.as_str().unwrap().strip_prefix("https://mail.example.org/oauth/").unwrap())
        })
        .collect();
    endpoints.sort_unstable();
    assert_eq!(
        endpoints,
        [
            ("authorization_endpoint", "authorize"),
            ("device_authorization_endpoint", "device_authorization"),
            ("end_session_endpoint", "logout"),
            ("introspection_endpoint", "introspect"),
            ("jwks_uri", "jwks"),
            ("pushed_authorization_request_endpoint", "par"),
            ("registration_endpoint", "register"),
            ("revocation_endpoint", "revoke"),
            ("token_endpoint", "token"),
            ("userinfo_endpoint", "userinfo"),
        ]
    );
    for (member, value) in [
        ("response_types_supported", serde_json::json!(["code"])),
        ("response_modes_supported", serde_json::json!(["query", "form_post"])),
        (
            "grant_types_supported",
            serde_json::json!([
                "authorization_code",
                "refresh_token",
                "urn:ietf:params:oauth:grant-type:device_code",
                "client_credentials"
            ]),
        ),
        ("code_challenge_methods_supported", serde_json::json!(["S256"])),
        ("authorization_response_iss_parameter_supported", serde_json::json!(true)),
        ("require_pushed_authorization_requests", serde_json::json!(false)),
        ("request_uri_parameter_supported", serde_json::json!(false)),
        ("tls_client_certificate_bound_access_tokens", serde_json::json!(false)),
        ("id_token_signing_alg_values_supported", serde_json::json!(["RS256", "ES256", "EdDSA"])),
        ("protected_resources", serde_json::json!(["https://mail.example.org"])),
        (
            "scopes_supported",
            serde_json::json!([
                "urn:ietf:params:oauth:scope:mail",
                "imap",
                "pop3",
                "sieve",
                "smtp",
                "openid",
                "profile",
                "email",
                "offline_access"
            ]),
        ),
    ] {
        assert_eq!(metadata[member], value, "{member}");
    }
    let methods = |member: &str| metadata[member].as_array().unwrap().contains(&"none".into());
    assert!(methods("token_endpoint_auth_methods_supported"));
    assert!(methods("revocation_endpoint_auth_methods_supported"));
    assert!(!methods("introspection_endpoint_auth_methods_supported"));
    let resource = serde_json::to_value(issuer.protected_resource()).unwrap();
    assert_eq!(resource["resource"], "https://mail.example.org");
    assert_eq!(resource["authorization_servers"], serde_json::json!(["https://mail.example.org"]));
}

#[tokio::test]
async fn a_closed_registration_has_no_endpoint() {
    let folder = tempfile::tempdir().unwrap();
    let store = sqlite(folder.path()).await;
    let key = ServerKey::generate().unwrap();
    for (registration, is_named) in [
        (issuer::Registration::Open, true),
        (issuer::Registration::Token, true),
        (issuer::Registration::Closed, false),
    ] {
        let config = issuer::Config { registration, ..issuer_config() };
        let issuer = Issuer::new(config, store.clone(), key.clone(), NOW).await.unwrap();
        assert_eq!(issuer.metadata().registration_endpoint.is_some(), is_named, "{registration:?}");
    }
}

#[tokio::test]
async fn an_issuer_below_a_path_keeps_its_spelling() {
    let folder = tempfile::tempdir().unwrap();
    let store = sqlite(folder.path()).await;
    let key = ServerKey::generate().unwrap();
    for (url, keys, path) in [
        ("https://id.example.org", "https://id.example.org/oauth/jwks", "/oauth/jwks"),
        ("https://id.example.org/", "https://id.example.org/oauth/jwks", "/oauth/jwks"),
        ("https://id.example.org:8443/a/b/", "https://id.example.org:8443/a/b/oauth/jwks", "/a/b/oauth/jwks"),
    ] {
        let config = issuer::Config { url: url.into(), ..issuer_config() };
        let issuer = Issuer::new(config, store.clone(), key.clone(), NOW).await.unwrap();
        assert_eq!(issuer.metadata().issuer, url);
        assert_eq!(issuer.metadata().jwks_uri, keys);
        assert_eq!(issuer.jwks_path(), path);
        assert!(!issuer.protected_resource().resource.trim_start_matches("https://").contains('/'));
        assert!(!issuer.openid_configuration().trim_start_matches("https://").contains("//"));
    }
}

#[tokio::test]
async fn a_store_that_fails_is_no_fault_of_the_request() {
    let folder = tempfile::tempdir().unwrap();
    let store = sqlite(folder.path()).await;
    let issuer = issuer(&store).await;
    crate::store::raw(&folder, &["DROP TABLE tokens"]).await;
    let error = issuer.mint(mint_request(Scope::MAIL), NOW).await.unwrap_err();
    assert!(matches!(error, IssuerError::Store(StoreError::Unavailable(_))), "{error}");
}
