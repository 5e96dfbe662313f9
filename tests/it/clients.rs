//! Clients: how they register, what is refused, what is kept, and how they go again.

mod authentication;
mod initial_access;
mod management;
mod operator;

use std::{net::IpAddr, sync::Arc, time::Duration};

use bearward::{
    issuer::{
        AuthMethod, Caller, ErrorCode, GrantType, Issuer, Registered, Registration, RegistrationError,
        Standing,
    },
    model::{ClientId, Secret, UnixTime},
    store::Store,
    token::ServerKey,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    store::{NOW, sqlite},
    validator::{issuer_config, mint_request},
};

/// An issuer on a store of its own.
pub(crate) struct House {
    pub(crate) issuer: Issuer,
    pub(crate) store: Arc<dyn Store>,
    _folder: TempDir,
}

pub(crate) async fn house(registration: Registration) -> House {
    let folder = tempfile::tempdir().unwrap();
    let store = sqlite(folder.path()).await;
    let mut config = issuer_config();
    config.registration = registration;
    let key = ServerKey::from_secret(Secret::new(vec![7; ServerKey::LEN])).unwrap();
    let issuer = Issuer::new(config, store.clone(), key, NOW).await.unwrap();
    House { issuer, store, _folder: folder }
}

pub(crate) fn caller(address: &str) -> Caller {
    Caller { address: address.parse().unwrap(), certificate: None }
}

impl House {
    pub(crate) async fn register(&self, body: &Value) -> Result<Registered, RegistrationError> {
        self.register_octets(body.to_string().as_bytes()).await
    }

    async fn register_octets(&self, body: &[u8]) -> Result<Registered, RegistrationError> {
        self.issuer.register(body, None, &caller("127.0.0.1"), NOW).await
    }

    /// What is told of a registration that is refused.
    async fn refusal(&self, body: &Value) -> (ErrorCode, String) {
        match self.register(body).await {
            Err(RegistrationError::Refused(error)) => (error.code, error.description.into_owned()),
            other => panic!("{body} came to {other:?}"),
        }
    }
}

/// What a mail client that follows the profile sends.
pub(crate) fn native() -> Value {
    json!({
        "redirect_uris": ["http://127.0.0.1/"],
        "token_endpoint_auth_method": "none",
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "scope": "urn:ietf:params:oauth:scope:mail",
        "client_name": "A mail client",
        "client_uri": "https://client.example/",
        "software_id": "client.example",
        "software_version": "1.0",
    })
}

/// What a webmail sends.
pub(crate) fn webmail() -> Value {
    json!({
        "redirect_uris": ["https://webmail.example.org/oauth/cb"],
        "token_endpoint_auth_method": "client_secret_basic",
        "client_name": "Webmail",
    })
}

fn with(mut body: Value, name: &str, value: Value) -> Value {
    body[name] = value;
    body
}

pub(crate) fn document(registered: &Registered) -> Value {
    serde_json::from_slice(registered.document().expose()).unwrap()
}

#[tokio::test]
async fn a_native_client_gets_an_identifier_that_holds_it_all_and_leaves_no_row() {
    let house = house(Registration::Open).await;
    let registered = house.register(&native()).await.unwrap();
    let told = document(&registered);
    assert_eq!(told["client_id"], registered.client.id.as_str());
    assert_eq!(told["redirect_uris"], native()["redirect_uris"]);
    assert_eq!(told["grant_types"], native()["grant_types"]);
    assert_eq!(told["scope"], native()["scope"]);
    assert_eq!(told["client_name"], "A mail client");
    assert_eq!(told["token_endpoint_auth_method"], "none");
    for absent in
        ["client_secret", "client_secret_expires_at", "registration_access_token", "registration_client_uri"]
    {
        assert!(told.get(absent).is_none(), "{absent}");
    }
    assert_eq!(house.store.clients().await.unwrap(), []);

    let found = house.issuer.client(&registered.client.id).await.unwrap().unwrap();
    assert_eq!(found.metadata, registered.client.metadata);
    assert_eq!(found.standing, Standing::SelfRegistered);
    assert!(found.redirect("http://127.0.0.1:50000/").is_some());
    assert_eq!(house.register(&native()).await.unwrap().client.id, registered.client.id);
}

#[tokio::test]
async fn a_confidential_client_gets_a_secret_once_and_an_address_to_manage_it() {
    let house = house(Registration::Open).await;
    let registered = house.register(&webmail()).await.unwrap();
    let told = document(&registered);
    let secret = told["client_secret"].as_str().unwrap();
    assert!(secret.starts_with("bws_"));
    assert_eq!(told["client_secret_expires_at"], 0);
    assert_eq!(told["client_id_issued_at"], NOW.0);
    assert!(told["registration_access_token"].as_str().unwrap().starts_with("bwm_"));
    let id = registered.client.id.as_str();
    assert_eq!(told["registration_client_uri"], format!("https://mail.example.org/oauth/register/{id}"));
    assert_eq!(told["grant_types"], json!(["authorization_code", "refresh_token"]));
    assert_eq!(told["response_types"], json!(["code"]));
    let rows = format!("{:?}", house.store.clients().await.unwrap());
    assert!(rows.contains(id) && !rows.contains(secret));
    assert_ne!(house.register(&webmail()).await.unwrap().client.id, registered.client.id);
}

#[tokio::test]
async fn a_missing_method_is_none_and_missing_grants_are_those_of_a_mail_client() {
    let house = house(Registration::Open).await;
    let registered = house.register(&json!({ "redirect_uris": ["com.example.app:/cb"] })).await.unwrap();
    let metadata = &registered.client.metadata;
    assert_eq!(metadata.token_endpoint_auth_method, AuthMethod::None);
    assert_eq!(metadata.grant_types, [GrantType::AuthorizationCode, GrantType::RefreshToken]);
    assert_eq!(metadata.scope, None);
    assert!(registered.client.may_use(GrantType::RefreshToken));
    assert!(!registered.client.may_use(GrantType::DeviceCode));
}

#[tokio::test]
async fn what_is_not_understood_is_ignored_and_null_is_nothing() {
    let house = house(Registration::Open).await;
    let mut body = native();
    for (name, value) in [
        (
            "software_statement",
            json!("eyJhbGciOiJub25lIn0.eyJyZWRpcmVjdF91cmlzIjpbImh0dHBzOi8vZXZpbC5leGFtcGxlIl19."),
        ),
        ("request_uris", json!(["https://client.example/r"])),
        ("sector_identifier_uri", json!("https://client.example/s")),
        ("jwks_uri", json!("http://169.254.169.254/")),
        ("dpop_bound_access_tokens", json!(true)),
        ("client_id", json!("chosen")),
        ("client_secret", json!("chosen")),
        ("mailboxes", json!(["*@example.org"])),
        ("may_introspect", json!(true)),
        ("standing", json!("operator")),
        ("backchannel_logout_uri", json!("https://client.example/out")),
        ("logo_uri", json!(null)),
        ("contacts", json!(null)),
    ] {
        body[name] = value;
    }
    let registered = house.register(&body).await.unwrap();
    assert_eq!(registered.client.id, house.register(&native()).await.unwrap().client.id);
    let confidential = with(body, "token_endpoint_auth_method", json!("client_secret_post"));
    let metadata = house.register(&confidential).await.unwrap().client.metadata.clone();
    assert_eq!(metadata.redirect_uris, ["http://127.0.0.1/"]);
    assert!(metadata.mailboxes.is_empty() && !metadata.may_introspect);
    assert_eq!(metadata.backchannel_logout_uri, None);
}

#[tokio::test]
async fn members_of_the_wrong_type_are_refused_by_name() {
    let house = house(Registration::Open).await;
    for (name, value) in [
        ("redirect_uris", json!("http://127.0.0.1/")),
        ("redirect_uris", json!([1])),
        ("token_endpoint_auth_method", json!(1)),
        ("token_endpoint_auth_method", json!("client_secret_jwt")),
        ("grant_types", json!({})),
        ("response_types", json!("code")),
        ("client_name", json!(["a"])),
        ("scope", json!(["imap"])),
        ("scope", json!("a\"b")),
        ("contacts", json!("a@b")),
        ("require_pushed_authorization_requests", json!("yes")),
        ("application_type", json!("desktop")),
        ("id_token_signed_response_alg", json!("none")),
        ("id_token_signed_response_alg", json!("HS256")),
        ("access_token_format", json!("saml")),
        ("subject_type", json!("pairwise")),
        ("logo_uri", json!("javascript:alert(1)")),
        ("client_uri", json!("https://user@client.example/")),
        ("policy_uri", json!("https://client.example/\"onclick=")),
    ] {
        let (code, description) = house.refusal(&with(native(), name, value.clone())).await;
        assert_eq!(code, ErrorCode::InvalidClientMetadata, "{name}: {value}");
        assert!(description.contains(name), "{name}: {description}");
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_or_no_object_is_refused() {
    let house = house(Registration::Open).await;
    let mut large = native().to_string().into_bytes();
    large.resize(16 * 1024, b' ');
    assert!(house.register_octets(&large).await.is_ok());
    large.push(b' ');
    let deep = "[".repeat(10_000);
    let nested = format!("{{\"jwks\":{}}}", "[".repeat(8_000));
    for body in [&large[..], b"", b"[]", b"null", b"{", b"{}x", b"\xFF", deep.as_bytes(), nested.as_bytes()] {
        let error = house.register_octets(body).await.unwrap_err();
        assert_eq!(error.oauth().code, ErrorCode::InvalidClientMetadata);
    }
}

#[tokio::test]
async fn sizes_and_numbers_are_bounded() {
    let house = house(Registration::Open).await;
    let uris = |count: usize| json!((0..count).map(|at| format!("com.example.a{at}:/")).collect::<Vec<_>>());
    assert!(house.register(&with(native(), "redirect_uris", uris(8))).await.is_ok());
    assert!(house.register(&with(native(), "client_name", json!("ü".repeat(64)))).await.is_ok());
    for (name, value) in [
        ("redirect_uris", uris(9)),
        ("client_name", json!("u".repeat(65))),
        ("software_id", json!("u".repeat(256))),
        ("client_uri", json!(format!("https://client.example/{}", "u".repeat(500)))),
        ("contacts", json!(vec!["a@example.org"; 9])),
    ] {
        let (code, _) = house.refusal(&with(native(), name, value)).await;
        assert_eq!(code, ErrorCode::InvalidClientMetadata, "{name}");
    }
    let long = format!("https://client.example/{}", "u".repeat(400));
    let (code, description) = house.refusal(&with(native(), "redirect_uris", json!([long]))).await;
    assert_eq!(code, ErrorCode::InvalidClientMetadata);
    assert!(description.contains("too long"), "{description}");
}

#[tokio::test]
async fn a_name_cannot_turn_hide_or_break_what_stands_beside_it() {
    let house = house(Registration::Open).await;
    for bad in [
        "a\u{202E}b",
        "a\u{2066}b",
        "a\u{200B}b",
        "a\nb",
        "a\0b",
        "a\u{FEFF}b",
        "\u{3164}",
        "a\u{2028}b",
        "a\u{AD}",
    ] {
        let (code, description) = house.refusal(&with(native(), "client_name", json!(bad))).await;
        assert_eq!(code, ErrorCode::InvalidClientMetadata, "{bad:?}");
        assert!(description.contains("client_name"));
    }
    let blank = house.register(&with(native(), "client_name", json!("   "))).await.unwrap();
    assert_eq!(blank.client.metadata.client_name, None);
}

#[tokio::test]
async fn redirect_uris_are_checked_and_the_error_says_which() {
    let house = house(Registration::Open).await;
    for bad in [
        "http://app.example/",
        "https://app.example/#",
        "https://app.example/../",
        "https://user@app.example/",
        "http://127.0.0.1.evil.example/",
        "http://127.0.0.1@evil.example/",
        "javascript:alert(1)",
        "myapp:/cb",
        "https://müller.example/",
        "",
    ] {
        let uris = json!(["http://127.0.0.1/", bad]);
        let (code, description) = house.refusal(&with(native(), "redirect_uris", uris.clone())).await;
        assert_eq!(code, ErrorCode::InvalidRedirectUri, "{bad}");
        assert!(description.contains("redirect_uris[1]"), "{description}");
        let body = with(webmail(), "redirect_uris", uris);
        assert_eq!(house.refusal(&body).await.0, ErrorCode::InvalidRedirectUri, "{bad}");
    }
    let none = with(native(), "redirect_uris", json!([]));
    assert_eq!(house.refusal(&none).await.0, ErrorCode::InvalidRedirectUri);
    let web = with(native(), "application_type", json!("web"));
    assert_eq!(house.refusal(&web).await.0, ErrorCode::InvalidRedirectUri);
}

#[tokio::test]
async fn grants_that_make_no_sense_together_are_refused() {
    let house = house(Registration::Open).await;
    const DEVICE: &str = "urn:ietf:params:oauth:grant-type:device_code";
    for bad in [
        json!(["authorization_code"]),
        json!(["refresh_token"]),
        json!(["implicit", "password"]),
        json!(["authorization_code", "refresh_token", "client_credentials"]),
        json!(["client_credentials"]),
    ] {
        let (code, _) = house.refusal(&with(native(), "grant_types", bad.clone())).await;
        assert_eq!(code, ErrorCode::InvalidClientMetadata, "{bad}");
    }
    let credentials = with(webmail(), "grant_types", json!(["authorization_code", "client_credentials"]));
    assert_eq!(house.refusal(&credentials).await.0, ErrorCode::InvalidClientMetadata);
    let implicit = with(native(), "response_types", json!(["token"]));
    assert_eq!(house.refusal(&implicit).await.0, ErrorCode::InvalidClientMetadata);

    let more = json!(["authorization_code", "refresh_token", "implicit"]);
    let told = document(&house.register(&with(native(), "grant_types", more)).await.unwrap());
    assert_eq!(told["grant_types"], json!(["authorization_code", "refresh_token"]));
    let device = json!({ "grant_types": [DEVICE, "refresh_token"] });
    let told = document(&house.register(&device).await.unwrap());
    assert_eq!((&told["response_types"], &told["redirect_uris"]), (&json!([]), &json!([])));
    let alone = with(webmail(), "grant_types", json!(["authorization_code"]));
    assert!(house.register(&alone).await.is_ok());
}

#[tokio::test]
async fn scope_values_of_other_services_are_dropped_and_the_answer_says_so() {
    let house = house(Registration::Open).await;
    let scope = json!("urn:ietf:params:oauth:scope:contacts openid imap");
    let told = document(&house.register(&with(native(), "scope", scope)).await.unwrap());
    assert_eq!(told["scope"], "openid imap");
    let none = with(native(), "scope", json!("urn:ietf:params:oauth:scope:contacts"));
    assert_eq!(house.refusal(&none).await.0, ErrorCode::InvalidClientMetadata);
    let told = document(&house.register(&with(native(), "scope", json!(""))).await.unwrap());
    assert!(told.get("scope").is_none());
}

#[tokio::test]
async fn a_flood_of_registrations_meets_a_limit_and_says_how_long_to_wait() {
    let house = house(Registration::Open).await;
    let from = async |address: &str, body: &Value| {
        house.issuer.register(body.to_string().as_bytes(), None, &caller(address), NOW).await
    };
    let mut made = 0;
    for _ in 0..40 {
        match from("192.0.2.1", &webmail()).await {
            Ok(_) => made += 1,
            Err(RegistrationError::TooMany { retry_after }) => assert!(retry_after > Duration::ZERO),
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(made, 10);
    assert_eq!(house.store.clients().await.unwrap().len(), 10);
    assert!(from("192.0.2.2", &webmail()).await.is_ok());
    for at in 0..300_u32 {
        let address = IpAddr::from((0x0b00_0000 + at).to_be_bytes()).to_string();
        let _ = from(&address, &webmail()).await;
    }
    assert_eq!(house.store.clients().await.unwrap().len(), 100);
}

#[tokio::test]
async fn a_body_that_is_refused_counts_as_a_try() {
    let house = house(Registration::Open).await;
    let tries = async || {
        let mut refused = 0;
        while !matches!(
            house.issuer.register(b"{", None, &caller("192.0.2.1"), NOW).await,
            Err(RegistrationError::TooMany { .. })
        ) {
            refused += 1;
            assert!(refused < 1000);
        }
        refused
    };
    assert_eq!(tries().await, 30);
}

#[tokio::test]
async fn a_client_that_nobody_ever_allowed_anything_goes_after_a_week() {
    let house = house(Registration::Open).await;
    let unused = house.register(&webmail()).await.unwrap().client.id.clone();
    let used = house.register(&webmail()).await.unwrap().client.id.clone();
    house.grant_to(&used).await;
    let after = |days: u64| NOW.after(Duration::from_secs(days * 24 * 60 * 60));
    assert_eq!(house.issuer.remove_unused_clients(after(6)).await.unwrap(), 0);
    assert_eq!(house.issuer.remove_unused_clients(after(7)).await.unwrap(), 1);
    assert!(house.issuer.client(&unused).await.unwrap().is_none());
    assert!(house.issuer.client(&used).await.unwrap().is_some());
    assert_eq!(house.store.denied_clients().await.unwrap(), []);
    assert_eq!(house.issuer.remove_unused_clients(after(900)).await.unwrap(), 0);
}

impl House {
    /// A grant of somebody to a client.
    async fn grant_to(&self, client: &ClientId) {
        let minted = self.issuer.mint(mint_request("imap"), NOW).await.unwrap();
        let grant = self.store.grant(minted.grant).await.unwrap().unwrap();
        let new = bearward::store::NewGrant {
            id: bearward::model::GrantId::generate(),
            user: grant.user,
            client: client.clone(),
            scope: grant.scope,
            created_at: NOW,
            expires_at: None,
            audience: grant.audience,
            auth_time: None,
            mailboxes: Vec::new(),
            code: None,
            public_key: grant.public_key,
            credentials: Vec::new(),
            tokens: Vec::new(),
        };
        self.store.create_grant(new).await.unwrap();
    }
}

#[tokio::test]
async fn nobody_registers_where_registration_is_closed() {
    let house = house(Registration::Closed).await;
    for body in [native(), webmail()] {
        assert_eq!(house.register(&body).await.unwrap_err(), RegistrationError::Closed);
    }
}

#[tokio::test]
async fn an_identifier_that_this_server_did_not_make_is_no_client() {
    let house = house(Registration::Open).await;
    let id = house.register(&native()).await.unwrap().client.id.clone();
    for text in [
        format!("{id}A"),
        id.as_str().replacen("bwn_", "bwo_", 1),
        id.as_str().to_ascii_lowercase(),
        "bwn_".to_owned(),
        "stranger".to_owned(),
        "Open".to_owned(),
    ] {
        assert!(house.issuer.client(&text.parse().unwrap()).await.unwrap().is_none(), "{text}");
    }
    let other = Issuer::new(issuer_config(), house.store.clone(), ServerKey::generate().unwrap(), NOW).await;
    assert!(other.is_err(), "a foreign key opens nothing, and so makes no clients either");
}

const fn later(seconds: i64) -> UnixTime {
    UnixTime(NOW.0 + seconds)
}
