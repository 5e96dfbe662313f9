//! Access tokens in JWT form, certificates that tokens are bound to, audiences, and the mailboxes of service clients.

use std::sync::{Arc, atomic::Ordering};

use bearward::{
    issuer::{Issuer, KeyRotation},
    model::{ClientId, GrantId, Login, Outcome, Principal, Protocol, Scope, Secret, TokenKind, UnixTime},
    store::{NewGrant, NewToken, RevocationReason, SigningKeyRecord, Store},
    token::{Algorithm, GrantKey, OpaqueToken, ServerKey, SigningKey, base64url},
    validator::{Config, Rejection, Request, Validator},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{hooked::Hooked, store::NOW, validator::issuer_config};

const ISSUER: &str = "https://mail.example.org";
const IMAP: Request<'static> = Request::new(Protocol::Imap);
const CERTIFICATE: [u8; 32] = [7; 32];

struct House {
    _folder: TempDir,
    store: Arc<Hooked>,
    issuer: Issuer,
    validator: Validator,
    key: ServerKey,
}

impl House {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Hooked::over(folder.path()).await);
        let key = ServerKey::generate().unwrap();
        let issuer = Issuer::new(issuer_config(), store.clone(), key.clone(), NOW).await.unwrap();
        let settings = Config { issuer: ISSUER.into(), audience: ISSUER.into(), cache_entries: 100 };
        let validator = Validator::new(&settings, store.clone(), key.clone());
        Self { _folder: folder, store, issuer, validator, key }
    }

    /// A grant of alice's.
    async fn grant(&self) -> GrantId {
        self.grant_with(|_| {}).await
    }

    async fn grant_with(&self, change: impl FnOnce(&mut NewGrant)) -> GrantId {
        let mut grant = NewGrant {
            id: GrantId::generate(),
            user: Login::parse("alice@example.org").unwrap(),
            client: ClientId::open(),
            scope: Scope::MAIL.parse().unwrap(),
            created_at: NOW,
            expires_at: None,
            audience: ISSUER.to_owned(),
            auth_time: None,
            mailboxes: Vec::new(),
            public_key: *GrantKey::generate().unwrap().public().as_bytes(),
            credentials: Vec::new(),
            code: None,
            tokens: Vec::new(),
        };
        change(&mut grant);
        let id = grant.id;
        self.store.create_grant(grant).await.unwrap();
        id
    }

    /// An opaque token of a grant without passwords.
    async fn opaque(&self, grant: GrantId, change: impl FnOnce(&mut NewToken)) -> Secret {
        let token = OpaqueToken::generate(TokenKind::Access).unwrap();
        let mut row = NewToken {
            lookup: token.lookup().unwrap(),
            kind: TokenKind::Access,
            scope: Scope::MAIL.parse().unwrap(),
            audience: ISSUER.to_owned(),
            certificate: None,
            created_at: NOW,
            expires_at: later(3600),
            wrapped_key: vec![0],
        };
        change(&mut row);
        self.store.add_token(grant, row, NOW).await.unwrap();
        token.text()
    }

    /// The issuer's own key, as its process holds it.
    async fn signer(&self, algorithm: Algorithm) -> SigningKey {
        let records = self.store.signing_keys().await.unwrap();
        let signs = |record: &&SigningKeyRecord| {
            record.algorithm == algorithm.as_str() && record.retires_at.is_none()
        };
        let record = records.iter().find(signs).unwrap();
        SigningKey::open(&record.sealed, algorithm, &record.kid, &self.key).unwrap()
    }

    async fn jwt(&self, claims: &Value) -> Secret {
        signed(&self.signer(Algorithm::Es256).await, "at+jwt", claims)
    }

    async fn ask(&self, token: &Secret) -> Result<Principal, Rejection> {
        self.validator.validate(token, &IMAP, NOW).await
    }
}

fn later(seconds: i64) -> UnixTime {
    UnixTime(NOW.0 + seconds)
}

fn signed(key: &SigningKey, typ: &str, claims: &Value) -> Secret {
    Secret::from(key.sign_jwt(typ, claims).unwrap())
}

fn claims(grant: GrantId) -> Value {
    json!({
        "iss": ISSUER,
        "aud": ISSUER,
        "sub": "alice@example.org",
        "client_id": "open",
        "iat": NOW.0,
        "exp": NOW.0 + 600,
        "jti": "one",
        "scope": Scope::MAIL,
        "grant_id": grant.to_string(),
    })
}

fn with(mut claims: Value, name: &str, value: Value) -> Value {
    claims[name] = value;
    claims
}

fn refused(result: Result<Principal, Rejection>) -> Rejection {
    let rejection = result.unwrap_err();
    assert!(matches!(rejection.outcome(), Outcome::InvalidToken | Outcome::Expired), "{rejection:?}");
    rejection
}

#[tokio::test]
async fn a_jwt_of_each_algorithm_speaks_for_its_grant_and_opens_no_password() {
    let house = House::new().await;
    let grant = house.grant().await;
    for algorithm in Algorithm::ALL {
        for typ in ["at+jwt", "application/at+jwt", "AT+JWT"] {
            let token = signed(&house.signer(algorithm).await, typ, &claims(grant));
            for cached in [false, true] {
                let validation = house.validator.validate_noting(&token, &IMAP, NOW).await;
                assert_eq!(validation.cached, cached);
                let principal = validation.result.unwrap();
                assert_eq!((principal.right.grant(), principal.expires_at), (Some(grant), later(600)));
                assert_eq!(principal.login.as_str(), "alice@example.org");
                assert_eq!((principal.client, &*principal.issuer), (ClientId::open(), ISSUER));
                assert!(principal.passwords.is_empty());
            }
        }
    }
}

#[tokio::test]
async fn every_claim_is_needed_and_looked_at() {
    let house = House::new().await;
    let grant = house.grant().await;
    house.ask(&house.jwt(&claims(grant)).await).await.unwrap();
    for name in ["iss", "aud", "sub", "client_id", "iat", "exp", "jti", "grant_id"] {
        let mut missing = claims(grant);
        missing.as_object_mut().unwrap().remove(name);
        assert_eq!(refused(house.ask(&house.jwt(&missing).await).await), Rejection::Malformed, "{name}");
        for value in [json!(null), json!([]), json!({}), json!(true)] {
            let odd = with(claims(grant), name, value);
            refused(house.ask(&house.jwt(&odd).await).await);
        }
    }
    for (name, value, expected) in [
        ("iss", json!("https://mail.example.org/"), Rejection::Malformed),
        ("iss", json!("https://evil.example"), Rejection::Malformed),
        ("iss", json!([ISSUER]), Rejection::Malformed),
        ("aud", json!("https://other.example"), Rejection::WrongAudience),
        ("aud", json!(["https://other.example"]), Rejection::WrongAudience),
        ("aud", json!([[ISSUER]]), Rejection::WrongAudience),
        ("aud", json!("https://mail.example.org.evil"), Rejection::WrongAudience),
        ("client_id", json!("another"), Rejection::Unknown),
        ("grant_id", json!(GrantId::generate().to_string()), Rejection::Unknown),
        ("grant_id", json!("../grant"), Rejection::Malformed),
        ("sub", json!(""), Rejection::Malformed),
        ("exp", json!(NOW.0), Rejection::Expired),
        ("exp", json!(NOW.0 - 3600), Rejection::Expired),
        ("exp", json!("soon"), Rejection::Malformed),
        ("iat", json!(NOW.0 + 61), Rejection::Malformed),
        ("nbf", json!(NOW.0 + 61), Rejection::Malformed),
        ("scope", json!(1), Rejection::Malformed),
    ] {
        let token = house.jwt(&with(claims(grant), name, value.clone())).await;
        assert_eq!(refused(house.ask(&token).await), expected, "{name}: {value}");
    }
    let several = with(claims(grant), "aud", json!(["https://other.example", ISSUER]));
    house.ask(&house.jwt(&several).await).await.unwrap();
}

#[tokio::test]
async fn a_scope_that_is_not_there_opens_nothing() {
    let house = House::new().await;
    let grant = house.grant().await;
    let mut bare = claims(grant);
    bare.as_object_mut().unwrap().remove("scope");
    for claims in [bare, with(claims(grant), "scope", json!("smtp openid"))] {
        let result = house.ask(&house.jwt(&claims).await).await;
        assert_eq!(result.unwrap_err(), Rejection::InsufficientScope);
    }
}

#[tokio::test]
async fn a_token_of_another_sort_is_refused_although_we_signed_it() {
    let house = House::new().await;
    let grant = house.grant().await;
    let key = house.signer(Algorithm::Es256).await;
    for typ in ["JWT", "", "logout+jwt", "jwt", "at", "text/at+jwt"] {
        let token = signed(&key, typ, &claims(grant));
        assert_eq!(refused(house.ask(&token).await), Rejection::Malformed, "{typ}");
    }
}

#[tokio::test]
async fn a_header_cannot_choose_how_it_is_checked() {
    let house = House::new().await;
    let grant = house.grant().await;
    let payload = base64url(claims(grant).to_string().as_bytes());
    let foreign = SigningKey::generate(Algorithm::Es256).unwrap();
    for algorithm in Algorithm::ALL {
        let key = house.signer(algorithm).await;
        let good = key.sign_jwt("at+jwt", &claims(grant)).unwrap();
        let signature = good.rsplit_once('.').unwrap().1.to_owned();
        let public = serde_json::to_string(key.jwk()).unwrap();
        let header = |alg: &str, kid: &str| json!({ "typ": "at+jwt", "alg": alg, "kid": kid });
        let forge = |header: Value, signature: &str| {
            let header = base64url(header.to_string().as_bytes());
            Secret::from(format!("{header}.{payload}.{signature}"))
        };
        let hmac = |header: Value| {
            let message = format!("{}.{payload}", base64url(header.to_string().as_bytes()));
            let secret = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, public.as_bytes());
            let tag = aws_lc_rs::hmac::sign(&secret, message.as_bytes());
            Secret::from(format!("{message}.{}", base64url(tag.as_ref())))
        };
        let mut forged = vec![
            forge(header("none", key.kid()), ""),
            forge(header("none", key.kid()), &signature),
            hmac(header("HS256", key.kid())),
            hmac(header(algorithm.as_str(), key.kid())),
            forge(header(algorithm.as_str(), "../../../../dev/null"), &signature),
            forge(header(algorithm.as_str(), "' OR 1=1 --"), &signature),
            forge(json!({ "typ": "at+jwt", "alg": algorithm.as_str() }), &signature),
            forge(header(algorithm.as_str(), foreign.kid()), &signature),
            signed(&foreign, "at+jwt", &claims(grant)),
        ];
        for other in Algorithm::ALL.into_iter().filter(|other| *other != algorithm) {
            forged.push(forge(header(other.as_str(), key.kid()), &signature));
            forged.push(forge(header(other.as_str(), house.signer(other).await.kid()), &signature));
        }
        for token in forged {
            refused(house.ask(&token).await);
        }
    }
}

#[tokio::test]
async fn nothing_that_only_looks_like_a_jwt_passes() {
    let house = House::new().await;
    let grant = house.grant().await;
    let good = house.jwt(&claims(grant)).await;
    let text = good.expose_str().unwrap();
    let long = format!("{}{text}", "ey".repeat(9000));
    for token in
        ["ey.", "ey..", "eyJ.eyJ.eyJ", &text[1..], &text[..text.len() - 1], &format!("{text}."), &long]
    {
        assert_eq!(refused(house.ask(&Secret::copy_of(token.as_bytes())).await), Rejection::Malformed);
    }
    let mut octets = text.as_bytes().to_vec();
    octets.push(0xff);
    assert_eq!(refused(house.ask(&Secret::new(octets)).await), Rejection::Malformed);
}

#[tokio::test]
async fn a_jwt_ends_with_its_grant_also_in_the_cache() {
    let house = House::new().await;
    let (one, other) = (house.grant().await, house.grant().await);
    let (token, kept) = (house.jwt(&claims(one)).await, house.jwt(&claims(other)).await);
    house.ask(&token).await.unwrap();
    house.ask(&kept).await.unwrap();
    house.validator.end_grant(one, RevocationReason::Operator, NOW).await.unwrap();
    assert_eq!(refused(house.ask(&token).await), Rejection::Revoked);
    assert!(house.validator.validate_noting(&kept, &IMAP, NOW).await.cached);

    let short = house.grant_with(|grant| grant.expires_at = Some(later(30))).await;
    let token = house.jwt(&claims(short)).await;
    assert_eq!(house.ask(&token).await.unwrap().expires_at, later(30));
    assert_eq!(refused(house.validator.validate(&token, &IMAP, later(30)).await), Rejection::Expired);
}

#[tokio::test]
async fn a_jwt_is_looked_at_again_after_a_minute() {
    let house = House::new().await;
    let token = house.jwt(&claims(house.grant().await)).await;
    house.ask(&token).await.unwrap();
    assert!(house.validator.validate_noting(&token, &IMAP, later(59)).await.cached);
    let again = house.validator.validate_noting(&token, &IMAP, later(60)).await;
    assert!(!again.cached && again.result.is_ok());
}

#[tokio::test]
async fn what_a_stolen_key_signed_is_refused_a_minute_later_even_if_it_was_cached() {
    let house = House::new().await;
    let grant = house.grant().await;
    let stolen = house.signer(Algorithm::Es256).await;
    let token = signed(&stolen, "at+jwt", &claims(grant));
    house.ask(&token).await.unwrap();
    house.issuer.rotate_keys(&[Algorithm::Es256], KeyRotation::AtOnce, NOW).await.unwrap();
    assert_eq!(refused(house.validator.validate(&token, &IMAP, later(60)).await), Rejection::Unknown);
    let fresh = signed(&stolen, "at+jwt", &with(claims(grant), "jti", json!("two")));
    assert_eq!(refused(house.validator.validate(&fresh, &IMAP, later(60)).await), Rejection::Unknown);
    // What the new key signs is taken.
    let token = house.jwt(&claims(grant)).await;
    house.validator.validate(&token, &IMAP, later(61)).await.unwrap();
}

#[tokio::test]
async fn a_new_key_is_found_without_waiting_and_unknown_names_ask_the_store_once_a_second() {
    let house = House::new().await;
    let grant = house.grant().await;
    house.ask(&house.jwt(&claims(grant)).await).await.unwrap();
    house.issuer.rotate_keys(&[Algorithm::Es256], KeyRotation::AtOnce, later(1)).await.unwrap();
    let token = house.jwt(&claims(grant)).await;
    house.validator.validate(&token, &IMAP, later(1)).await.unwrap();

    let before = house.store.keys_read();
    for _ in 0..50 {
        let foreign = SigningKey::generate(Algorithm::EdDsa).unwrap();
        let token = signed(&foreign, "at+jwt", &claims(grant));
        assert_eq!(refused(house.validator.validate(&token, &IMAP, later(2)).await), Rejection::Unknown);
    }
    assert_eq!(house.store.keys_read(), before + 1);
}

#[tokio::test]
async fn an_outage_is_never_a_wrong_jwt() {
    let house = House::new().await;
    let grant = house.grant().await;
    let (known, fresh) =
        (house.jwt(&claims(grant)).await, house.jwt(&with(claims(grant), "jti", json!("2"))).await);
    house.store.down.store(true, Ordering::SeqCst);
    for _ in 0..2 {
        assert_eq!(house.ask(&known).await.unwrap_err().outcome(), Outcome::IssuerUnreachable);
    }
    house.store.down.store(false, Ordering::SeqCst);
    house.validator.validate(&known, &IMAP, later(1)).await.unwrap();
    house.store.down.store(true, Ordering::SeqCst);
    house.validator.validate(&known, &IMAP, later(2)).await.unwrap();
    let error = house.validator.validate(&fresh, &IMAP, later(2)).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::IssuerUnreachable);
    let error = house.validator.validate(&known, &IMAP, later(100)).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::IssuerUnreachable);
}

#[tokio::test]
async fn a_row_that_changed_hands_under_another_server_key_is_the_servers_fault() {
    let house = House::new().await;
    let token = house.jwt(&claims(house.grant().await)).await;
    let settings = Config { issuer: ISSUER.into(), audience: ISSUER.into(), cache_entries: 1 };
    let other = Validator::new(&settings, house.store.clone(), ServerKey::generate().unwrap());
    let error = other.validate(&token, &IMAP, NOW).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::IssuerUnreachable);
}

#[tokio::test]
async fn a_bound_token_needs_its_certificate_on_the_connection() {
    let house = House::new().await;
    let grant = house.grant().await;
    let cnf = json!({ "x5t#S256": base64url(&CERTIFICATE) });
    let tokens = [
        house.opaque(grant, |row| row.certificate = Some(CERTIFICATE)).await,
        house.jwt(&with(claims(grant), "cnf", cnf)).await,
    ];
    for token in &tokens {
        for _ in 0..2 {
            for certificate in [None, Some([8; 32])] {
                let request = Request { certificate, ..IMAP };
                let result = house.validator.validate(token, &request, NOW).await;
                assert_eq!(refused(result), Rejection::BoundElsewhere);
            }
            let request = Request { certificate: Some(CERTIFICATE), ..IMAP };
            house.validator.validate(token, &request, NOW).await.unwrap();
        }
    }
    // A token that is bound to none can be used over any connection.
    let free = house.opaque(grant, |_| {}).await;
    house.validator.validate(&free, &Request { certificate: Some(CERTIFICATE), ..IMAP }, NOW).await.unwrap();
}

#[tokio::test]
async fn a_binding_that_cannot_be_shown_here_is_refused() {
    let house = House::new().await;
    let grant = house.grant().await;
    let own = base64url(&CERTIFICATE);
    for cnf in [
        json!({ "jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" }),
        json!({ "x5t#S256": own, "jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" }),
        json!({ "x5t#S256": "short" }),
        json!({ "x5t#S256": 7 }),
        json!({ "jwk": {} }),
        json!({}),
        json!(null),
        json!(own),
    ] {
        let token = house.jwt(&with(claims(grant), "cnf", cnf.clone())).await;
        let request = Request { certificate: Some(CERTIFICATE), ..IMAP };
        let result = house.validator.validate(&token, &request, NOW).await;
        assert_eq!(refused(result), Rejection::BoundElsewhere, "{cnf}");
    }
}

#[tokio::test]
async fn a_token_for_another_service_is_refused() {
    let house = House::new().await;
    let grant = house.grant().await;
    let foreign = house.opaque(grant, |row| row.audience = "https://other.example".to_owned()).await;
    for _ in 0..2 {
        assert_eq!(refused(house.ask(&foreign).await), Rejection::WrongAudience);
    }
    // Rows of the first version name none.
    let old = house.opaque(grant, |row| row.audience = String::new()).await;
    house.ask(&old).await.unwrap();
}

#[tokio::test]
async fn a_service_client_opens_the_mailboxes_that_it_may_and_says_which() {
    let house = House::new().await;
    let grant = house
        .grant_with(|grant| {
            grant.user = Login::of_client(&ClientId::open()).unwrap();
            grant.mailboxes = vec!["bob@example.org".to_owned(), "*@Example.net".to_owned()];
        })
        .await;
    for token in [house.opaque(grant, |_| {}).await, house.jwt(&claims(grant)).await] {
        let ask = async |authzid: Option<&str>| {
            house.validator.validate(&token, &Request { authzid, ..IMAP }, NOW).await
        };
        for good in ["bob@example.org", "bob@EXAMPLE.org", "anyone@example.net", "x@Example.NET"] {
            assert_eq!(ask(Some(good)).await.unwrap().login, Login::parse(good).unwrap());
        }
        for bad in [
            "alice@example.org",
            "Bob@example.org",
            "bob",
            "*@example.net",
            "a*master@example.net",
            "@example.net",
            "x@sub.example.net",
            "x@example.net@evil.example",
            "x@example.net ",
            "",
            "*@Example.net",
            "open@client.invalid",
        ] {
            assert_eq!(ask(Some(bad)).await.unwrap_err(), Rejection::NotAuthorized, "{bad}");
        }
        assert_eq!(ask(None).await.unwrap_err(), Rejection::NotAuthorized);
    }
}

#[tokio::test]
async fn a_service_client_without_mailboxes_opens_none() {
    let house = House::new().await;
    let own = Login::of_client(&ClientId::open()).unwrap();
    let grant = house.grant_with(|grant| grant.user = own.clone()).await;
    let wide = house
        .grant_with(|grant| {
            grant.user = own.clone();
            grant.mailboxes = vec!["*@client.invalid".to_owned()];
        })
        .await;
    for token in [house.jwt(&claims(grant)).await, house.jwt(&claims(wide)).await] {
        for authzid in [None, Some(own.as_str()), Some("alice@example.org")] {
            let result = house.validator.validate(&token, &Request { authzid, ..IMAP }, NOW).await;
            assert_eq!(result.unwrap_err(), Rejection::NotAuthorized);
        }
    }
}

#[tokio::test]
async fn an_explanation_of_a_jwt_names_each_step_and_holds_nothing_of_it() {
    let house = House::new().await;
    let grant = house.grant().await;
    let token = house.jwt(&claims(grant)).await;
    let explanation = house.validator.explain(&token, &IMAP, NOW).await;
    assert_eq!((explanation.outcome, explanation.grant_id), (Outcome::Ok, Some(grant)));
    let steps: Vec<_> = explanation.steps.iter().map(|step| step.step).collect();
    let expected = [
        "format",
        "signature",
        "claims",
        "lookup",
        "revocation",
        "expiry",
        "audience",
        "binding",
        "identity",
        "scope",
        "secrets",
    ];
    assert_eq!(steps, expected);
    let text = serde_json::to_string(&explanation).unwrap();
    assert!(!text.contains(token.expose_str().unwrap().rsplit_once('.').unwrap().1));
}
