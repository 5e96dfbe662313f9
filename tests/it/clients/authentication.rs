//! Client authentication: the registered method and no other.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use bearward::{
    issuer::{Call, Client, ClientCertificate, OAuthError, Params},
    token::{Algorithm, SigningKey},
};

use super::*;

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A request, as much of it as authenticates.
#[derive(Clone, Default)]
struct Request {
    params: Vec<(&'static str, String)>,
    authorization: Option<String>,
    certificate: Option<ClientCertificate>,
}

impl Request {
    fn named(id: &str) -> Self {
        Self::default().with("client_id", id)
    }

    fn basic(id: &str, secret: &str) -> Self {
        let authorization = format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")));
        Self { authorization: Some(authorization), ..Self::default() }
    }

    fn post(id: &str, secret: &str) -> Self {
        Self::named(id).with("client_secret", secret)
    }

    fn assertion(text: &str) -> Self {
        Self::default().with("client_assertion", text).with("client_assertion_type", ASSERTION_TYPE)
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.params.push((name, value.to_owned()));
        self
    }

    fn certified(mut self, certificate: &ClientCertificate) -> Self {
        self.certificate = Some(certificate.clone());
        self
    }
}

impl House {
    async fn authenticate(&self, request: &Request) -> Result<Arc<Client>, OAuthError> {
        let pairs = request.params.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let params = Params::from_pairs(pairs);
        let authorization = request.authorization.clone().map(Secret::from);
        let caller = Caller { certificate: request.certificate.clone(), ..caller("192.0.2.1") };
        let call = Call { params: &params, authorization: authorization.as_ref(), caller: &caller, now: NOW };
        self.issuer.authenticate(&call).await
    }

    async fn is_taken(&self, request: &Request) -> bool {
        self.authenticate(request).await.is_ok()
    }

    async fn code(&self, request: &Request) -> ErrorCode {
        self.authenticate(request).await.unwrap_err().code
    }
}

fn secret(registered: &Registered) -> String {
    registered.secret.as_ref().unwrap().expose_str().unwrap().to_owned()
}

#[tokio::test]
async fn each_method_takes_what_it_registered_and_no_other() {
    let house = house(Registration::Open).await;
    let basic = house.register(&webmail()).await.unwrap();
    let post = with(webmail(), "token_endpoint_auth_method", json!("client_secret_post"));
    let post = house.register(&post).await.unwrap();
    let public = house.register(&native()).await.unwrap();
    let (basic_id, post_id, public_id) =
        (basic.client.id.as_str(), post.client.id.as_str(), public.client.id.as_str());
    let (basic_secret, post_secret) = (secret(&basic), secret(&post));

    for good in [
        Request::basic(basic_id, &basic_secret),
        Request::basic(basic_id, &basic_secret).with("client_id", basic_id),
        Request::basic(&basic_id.replace('_', "%5F"), &basic_secret.replace('_', "%5f").replace('-', "%2D")),
        Request::post(post_id, &post_secret),
        Request::named(public_id),
        Request::named(public_id).with("client_secret", ""),
        Request::named("open"),
    ] {
        assert!(house.is_taken(&good).await, "{:?}", good.params);
    }
    for bad in [
        Request::post(basic_id, &basic_secret),
        Request::basic(post_id, &post_secret),
        Request::named(basic_id),
        Request::named(post_id),
        Request::basic(public_id, ""),
        Request::post(public_id, &post_secret),
        Request::basic("open", ""),
        Request::basic(basic_id, &post_secret),
        Request::basic(basic_id, ""),
        Request::post(post_id, &basic_secret),
        Request::basic(post_id, &basic_secret),
    ] {
        assert_eq!(house.code(&bad).await, ErrorCode::InvalidClient, "{:?}", bad.params);
    }
}

#[tokio::test]
async fn an_unknown_client_and_a_wrong_secret_look_the_same() {
    let house = house(Registration::Open).await;
    let client = house.register(&webmail()).await.unwrap();
    let id = client.client.id.as_str();
    let other = secret(&house.register(&webmail()).await.unwrap());
    let management = client.management.as_ref().unwrap().expose_str().unwrap();
    let mut seen = Vec::new();
    for request in [
        Request::basic(id, &other),
        Request::basic(id, "wrong"),
        Request::basic(id, management),
        Request::basic("bwo_AAAAAAAAAAAAAAAAAAAAAA", &other),
        Request::basic("stranger", "wrong"),
        Request::basic("", ""),
        Request::basic(&"x".repeat(600), "wrong"),
        Request::post(id, &other),
        Request::post("stranger", &other),
        Request::named(id),
        Request::named("stranger"),
        Request::named("\u{FC}"),
        Request { authorization: Some("Bearer x".to_owned()), ..Request::default() },
        Request { authorization: Some("Basic !!!".to_owned()), ..Request::default() },
    ] {
        seen.push(house.authenticate(&request).await.unwrap_err());
    }
    seen.dedup();
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!(seen[0].code, ErrorCode::InvalidClient);
}

#[tokio::test]
async fn two_ways_at_once_are_no_way() {
    let house = house(Registration::Open).await;
    let client = house.register(&webmail()).await.unwrap();
    let (id, secret) = (client.client.id.as_str(), secret(&client));
    for bad in [
        Request::basic(id, &secret).with("client_secret", &secret),
        Request::basic(id, &secret)
            .with("client_assertion", "a.b.c")
            .with("client_assertion_type", ASSERTION_TYPE),
        Request::post(id, &secret)
            .with("client_assertion", "a.b.c")
            .with("client_assertion_type", ASSERTION_TYPE),
        Request::basic(id, &secret).with("client_id", "open"),
        Request::post(id, &secret).with("client_secret", &secret),
        Request::post(id, &secret).with("client_id", id),
        Request::named("open").with("client_id", "open"),
        Request::named(id).with("client_assertion", "a.b.c"),
        Request::named("open").with("client_assertion_type", ASSERTION_TYPE),
        Request::named(id)
            .with("client_assertion", "a.b.c")
            .with("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"),
        Request::default(),
    ] {
        assert_eq!(house.code(&bad).await, ErrorCode::InvalidRequest, "{:?}", bad.params);
    }
}

#[tokio::test]
async fn a_public_client_is_not_taken_where_a_client_must_prove_itself() {
    let house = house(Registration::Open).await;
    let params = Params::from_pairs(vec![("client_id".to_owned(), "open".to_owned())]);
    let caller = caller("192.0.2.1");
    let call = Call { params: &params, authorization: None, caller: &caller, now: NOW };
    assert!(house.issuer.authenticate(&call).await.is_ok());
    let error = house.issuer.authenticate_confidential(&call).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::InvalidClient);
}

#[tokio::test]
async fn a_denied_client_proves_nothing() {
    let house = house(Registration::Open).await;
    let client = house.register(&webmail()).await.unwrap();
    let request = Request::basic(client.client.id.as_str(), &secret(&client));
    assert!(house.is_taken(&request).await);
    house.issuer.remove_client(&client.client.id, NOW).await.unwrap();
    assert_eq!(house.code(&request).await, ErrorCode::InvalidClient);
}

/// A client that signs.
struct Signer {
    house: House,
    key: SigningKey,
    id: String,
}

async fn signer(algorithm: Algorithm) -> Signer {
    let house = house(Registration::Open).await;
    let key = SigningKey::generate(algorithm).unwrap();
    let mut body = with(webmail(), "token_endpoint_auth_method", json!("private_key_jwt"));
    body["jwks"] = json!({ "keys": [key.jwk()] });
    let registered = house.register(&body).await.unwrap();
    assert!(registered.secret.is_none());
    assert_eq!(document(&registered)["jwks"], body["jwks"]);
    let id = registered.client.id.to_string();
    Signer { house, key, id }
}

impl Signer {
    fn claims(&self, jti: &str) -> Value {
        json!({
            "iss": self.id, "sub": self.id, "aud": "https://mail.example.org",
            "iat": NOW.0, "exp": NOW.0 + 60, "jti": jti,
        })
    }

    fn sign(&self, claims: &Value) -> Request {
        Request::assertion(&self.key.sign_jwt("JWT", claims).unwrap())
    }
}

#[tokio::test]
async fn an_assertion_is_taken_once_with_each_algorithm() {
    for algorithm in Algorithm::ALL {
        let signer = signer(algorithm).await;
        let request = signer.sign(&signer.claims("one"));
        assert_eq!(signer.house.authenticate(&request).await.unwrap().id.as_str(), signer.id);
        assert_eq!(signer.house.code(&request).await, ErrorCode::InvalidClient);
        let again = signer.sign(&signer.claims("one"));
        assert_eq!(signer.house.code(&again).await, ErrorCode::InvalidClient);
        let named = signer.sign(&signer.claims("two")).with("client_id", &signer.id);
        assert!(signer.house.is_taken(&named).await);
        let other = signer.sign(&signer.claims("three")).with("client_id", "open");
        assert_eq!(signer.house.code(&other).await, ErrorCode::InvalidRequest);
    }
}

#[tokio::test]
async fn an_assertion_is_for_this_server_alone() {
    let signer = signer(Algorithm::Es256).await;
    let aud = |at: usize, aud: Value| signer.sign(&with(signer.claims(&format!("jti {at}")), "aud", aud));
    let good = [
        json!("https://mail.example.org"),
        json!("https://mail.example.org/oauth/token"),
        json!("https://mail.example.org/oauth/par"),
        json!(["https://mail.example.org", "https://mail.example.org/oauth/token"]),
    ];
    for (at, audience) in good.into_iter().enumerate() {
        assert!(signer.house.is_taken(&aud(at, audience.clone())).await, "{audience}");
    }
    let bad = [
        json!("https://mail.example.org/"),
        json!("https://other.example"),
        json!("https://mail.example.org.evil.example"),
        json!(["https://mail.example.org", "https://other.example"]),
        json!([]),
        json!([["https://mail.example.org"]]),
        json!(null),
        json!(1),
    ];
    for (at, audience) in bad.into_iter().enumerate() {
        assert_eq!(
            signer.house.code(&aud(100 + at, audience.clone())).await,
            ErrorCode::InvalidClient,
            "{audience}"
        );
    }
}

#[tokio::test]
async fn an_assertion_that_lacks_or_stretches_a_claim_is_refused() {
    let signer = signer(Algorithm::EdDsa).await;
    let other = signer.house.register(&webmail()).await.unwrap().client.id.to_string();
    for (at, (name, value)) in [
        ("iss", json!("open")),
        ("iss", json!(null)),
        ("sub", json!(other)),
        ("sub", json!(null)),
        ("sub", json!("open")),
        ("exp", json!(null)),
        ("exp", json!("soon")),
        ("exp", json!(NOW.0 - 60)),
        ("exp", json!(NOW.0 + 3661)),
        ("exp", json!(i64::MAX)),
        ("nbf", json!(NOW.0 + 61)),
        ("iat", json!(NOW.0 + 61)),
        ("jti", json!(null)),
        ("jti", json!("")),
        ("jti", json!("j".repeat(257))),
        ("jti", json!(7)),
    ]
    .into_iter()
    .enumerate()
    {
        let mut claims = signer.claims(&format!("jti {at}"));
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
        assert_eq!(
            signer.house.code(&signer.sign(&claims)).await,
            ErrorCode::InvalidClient,
            "{name}: {value}"
        );
    }
    let longest = with(signer.claims("longest"), "exp", json!(NOW.0 + 3660));
    assert!(signer.house.is_taken(&signer.sign(&longest)).await);
}

#[tokio::test]
async fn nobody_signs_for_another() {
    let signer = signer(Algorithm::Es256).await;
    let stranger = SigningKey::generate(Algorithm::Es256).unwrap();
    let forged = stranger.sign_jwt("JWT", &signer.claims("forged")).unwrap();
    assert_eq!(signer.house.code(&Request::assertion(&forged)).await, ErrorCode::InvalidClient);

    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let none = format!("{}.{}.", encode(&json!({ "alg": "none" })), encode(&signer.claims("none")));
    let shared = format!("{}.{}.AAAA", encode(&json!({ "alg": "HS256" })), encode(&signer.claims("shared")));
    let brought = json!({ "alg": "ES256", "jwk": stranger.jwk() });
    let brought = format!("{}.{}.AAAA", encode(&brought), encode(&signer.claims("brought")));
    let typed = signer.key.sign_jwt("at+jwt", &signer.claims("typed")).unwrap();
    for bad in [&none, &shared, &brought, &typed, "a.b.c", "..", &"a".repeat(9000)] {
        assert_eq!(signer.house.code(&Request::assertion(bad)).await, ErrorCode::InvalidClient, "{bad}");
    }
    // None of the tries has used up an identifier that the client itself may use.
    for jti in ["forged", "none", "shared", "brought", "typed"] {
        assert!(signer.house.is_taken(&signer.sign(&signer.claims(jti))).await, "{jti}");
    }
    // The key alone does not let a client in that registered another method.
    let basic = signer.house.register(&webmail()).await.unwrap().client.id.to_string();
    let mut claims = signer.claims("basic");
    (claims["iss"], claims["sub"]) = (json!(basic), json!(basic));
    assert_eq!(signer.house.code(&signer.sign(&claims)).await, ErrorCode::InvalidClient);
}

#[tokio::test]
async fn keys_must_be_public_few_and_given_by_value() {
    let house = house(Registration::Open).await;
    let key = json!(SigningKey::generate(Algorithm::Es256).unwrap().jwk());
    let body = |jwks: Value| {
        with(with(webmail(), "token_endpoint_auth_method", json!("private_key_jwt")), "jwks", jwks)
    };
    assert!(house.register(&body(json!({ "keys": [key] }))).await.is_ok());
    for bad in [
        json!(null),
        json!({}),
        json!([key]),
        json!({ "keys": [] }),
        json!({ "keys": [key.to_string()] }),
        json!({ "keys": vec![key.clone(); 9] }),
        json!({ "keys": [with(key.clone(), "d", json!("AAAA"))] }),
        json!({ "keys": [key, { "kty": "oct", "k": "AAAA" }] }),
        json!({ "keys": [{ "kty": "EC" }] }),
        json!({ "keys": [key], "padding": "x".repeat(9000) }),
    ] {
        assert_eq!(house.refusal(&body(bad.clone())).await.0, ErrorCode::InvalidClientMetadata, "{bad}");
    }
    let mut fetched = body(json!(null));
    fetched["jwks_uri"] = json!("https://client.example/keys");
    assert!(house.refusal(&fetched).await.1.contains("jwks_uri"));
}

/// A certificate that its holder made, as a connection shows it.
fn certificate(name: &str, is_vouched_for: bool) -> ClientCertificate {
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::OrganizationName, "Example");
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    let made = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
    let der = made.der().to_vec();
    let thumbprint = bearward::token::certificate_thumbprint(&der);
    ClientCertificate { der, thumbprint, is_vouched_for }
}

#[tokio::test]
async fn a_client_with_a_certificate_of_its_own_is_taken_with_that_one_alone() {
    let house = house(Registration::Open).await;
    let own = certificate("webmail", false);
    let mut body = with(webmail(), "token_endpoint_auth_method", json!("self_signed_tls_client_auth"));
    assert_eq!(house.refusal(&body).await.0, ErrorCode::InvalidClientMetadata);
    body["jwks"] = json!({ "keys": [{ "kty": "EC", "x5c": [STANDARD.encode(&own.der)] }] });
    let id = house.register(&body).await.unwrap().client.id.to_string();
    assert!(house.is_taken(&Request::named(&id).certified(&own)).await);
    let others = [certificate("webmail", false), certificate("webmail", true)];
    for other in &others {
        assert_eq!(house.code(&Request::named(&id).certified(other)).await, ErrorCode::InvalidClient);
    }
    assert_eq!(house.code(&Request::named(&id)).await, ErrorCode::InvalidClient);
    let mixed = Request::post(&id, "bws_x").certified(&own);
    assert_eq!(house.code(&mixed).await, ErrorCode::InvalidClient);
}

#[tokio::test]
async fn a_subject_counts_only_where_an_authority_vouches_for_it() {
    let house = house(Registration::Open).await;
    let mut body = with(webmail(), "token_endpoint_auth_method", json!("tls_client_auth"));
    for bad in [json!(null), json!(""), json!("webmail"), json!("CN=a+CN=b"), json!("CN=a\u{202E}b")] {
        body["tls_client_auth_subject_dn"] = bad;
        assert_eq!(house.refusal(&body).await.0, ErrorCode::InvalidClientMetadata);
    }
    body["tls_client_auth_subject_dn"] = json!("CN=webmail,O=Example");
    let id = house.register(&body).await.unwrap().client.id.to_string();
    let with_certificate = |certificate: &ClientCertificate| Request::named(&id).certified(certificate);
    assert!(house.is_taken(&with_certificate(&certificate("webmail", true))).await);
    for other in
        [certificate("webmail", false), certificate("Webmail", true), certificate("webmail,O=Example", true)]
    {
        assert_eq!(house.code(&with_certificate(&other)).await, ErrorCode::InvalidClient);
    }
    assert_eq!(house.code(&Request::named(&id)).await, ErrorCode::InvalidClient);
}
