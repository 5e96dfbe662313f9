//! The token endpoint and its neighbours over a real store: every rule, and what an attacker would try.

mod ask;
mod attacks;
mod code;
mod device;
mod logout;
mod refresh;
mod service;
mod signed;

use std::{
    net::IpAddr,
    sync::{Arc, atomic::Ordering},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bearward::{
    issuer::{
        self, AddedClient, AuthMethod, Call, Caller, ClientCertificate, ClientMetadata, ErrorCode, GrantType,
        Introspection, Issuer, OAuthError, Params, UserInfo,
    },
    model::{ClientId, CredentialKind, GrantId, Login, Protocol, Scope, Secret, TokenKind, UnixTime},
    store::{Exchanges, NewCode, NewGrant, SealedCredential, Store},
    token::{GrantKey, OpaqueToken, SealContext, ServerKey},
    validator::{Config, Request, Validator},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    hooked::Hooked,
    store::NOW,
    validator::{PASSWORD, issuer_config},
};

/// RFC 7636 appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const REDIRECT: &str = "http://127.0.0.1:49152/";
const RESOURCE: &str = "https://mail.example.org";
const IMAP: Request<'static> = Request::new(Protocol::Imap);

fn later(seconds: i64) -> UnixTime {
    UnixTime(NOW.0 + seconds)
}

/// An issuer over a store that can be down.
struct House {
    folder: TempDir,
    store: Arc<Hooked>,
    issuer: Arc<Issuer>,
    key: ServerKey,
}

/// What a code is made from.
struct Setup<'a> {
    client: ClientId,
    scope: &'a str,
    nonce: Option<&'a str>,
    sealed: bool,
}

impl Default for Setup<'_> {
    fn default() -> Self {
        Self { client: ClientId::open(), scope: Scope::MAIL, nonce: None, sealed: true }
    }
}

impl House {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut issuer::Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Hooked::over(folder.path()).await);
        let key = ServerKey::generate().unwrap();
        let mut config = issuer_config();
        change(&mut config);
        let issuer = Issuer::new(config, store.clone(), key.clone(), NOW).await.unwrap();
        Self { folder, store, issuer: Arc::new(issuer), key }
    }

    /// Another process on the same file.
    async fn another_node(&self) -> Issuer {
        let store = crate::store::sqlite(self.folder.path()).await;
        Issuer::new(issuer_config(), store, self.key.clone(), NOW).await.unwrap()
    }

    fn go_down(&self) {
        self.store.down.store(true, Ordering::SeqCst);
    }

    fn come_up(&self) {
        self.store.down.store(false, Ordering::SeqCst);
    }

    async fn code(&self, scope: &str) -> String {
        self.code_for(Setup { scope, ..Setup::default() }).await.0
    }

    async fn code_for(&self, setup: Setup<'_>) -> (String, GrantId) {
        self.code_with_end(setup, None).await
    }

    /// A code as a sign-in leaves it in the store, and its grant with that end.
    async fn code_with_end(&self, setup: Setup<'_>, expires_at: Option<UnixTime>) -> (String, GrantId) {
        let grant = GrantId::generate();
        let key = GrantKey::generate().unwrap();
        let code = OpaqueToken::generate(TokenKind::Code).unwrap();
        let wrapped_key = key.wrap(&code.wrap_key(&self.key).unwrap(), grant, TokenKind::Code).unwrap();
        let details = json!({
            "client": setup.client, "redirect_uri": REDIRECT, "code_challenge": CHALLENGE, "nonce": setup.nonce,
            "scope": setup.scope, "audience": RESOURCE, "auth_time": NOW,
        });
        let new = NewGrant {
            id: grant,
            user: alice(),
            client: setup.client,
            scope: setup.scope.parse().unwrap(),
            created_at: NOW,
            expires_at,
            audience: RESOURCE.to_owned(),
            auth_time: Some(later(-5)),
            mailboxes: Vec::new(),
            public_key: *key.public().as_bytes(),
            credentials: if setup.sealed { vec![sealed(&key, grant)] } else { Vec::new() },
            code: Some(NewCode {
                lookup: code.lookup().unwrap(),
                details: details.to_string(),
                created_at: NOW,
                expires_at: later(60),
                wrapped_key,
            }),
            tokens: Vec::new(),
        };
        self.store.create_grant(new).await.unwrap();
        (text(&code.text()), grant)
    }

    async fn add_client(&self, metadata: ClientMetadata) -> AddedClient {
        self.issuer.add_client(metadata, NOW).await.unwrap()
    }

    async fn token(&self, pairs: &[(&str, &str)]) -> Result<Value, OAuthError> {
        self.token_at(NOW, pairs).await
    }

    async fn token_at(&self, now: UnixTime, pairs: &[(&str, &str)]) -> Result<Value, OAuthError> {
        Ok(serde_json::from_slice(self.raw(now, pairs).await?.expose()).unwrap())
    }

    /// The answer of the token endpoint octet for octet.
    async fn raw(&self, now: UnixTime, pairs: &[(&str, &str)]) -> Result<Secret, OAuthError> {
        raw(&self.issuer, now, pairs).await
    }

    /// Uses a code as the public client `open`.
    async fn redeem(&self, code: &str) -> Result<Value, OAuthError> {
        self.token(&redemption(code)).await
    }

    async fn refresh(&self, now: UnixTime, token: &str) -> Result<Value, OAuthError> {
        self.token_at(now, &refreshing(token)).await
    }

    async fn introspect(&self, as_client: &AddedClient, token: &str, now: UnixTime) -> Introspection {
        let secret = text(as_client.secret.as_ref().unwrap());
        let id = as_client.client.id.as_str();
        let params = params(&[("client_id", id), ("client_secret", &secret), ("token", token)]);
        self.issuer.introspect(&call(&params, &caller(), now)).await.unwrap()
    }

    async fn userinfo(&self, token: &str, now: UnixTime) -> Result<UserInfo, OAuthError> {
        self.issuer.userinfo(Some(&Secret::copy_of(token.as_bytes())), None, now).await
    }

    fn validator(&self) -> Validator {
        let config = Config { issuer: RESOURCE.into(), audience: RESOURCE.into(), cache_entries: 10 };
        Validator::new(&config, self.store.clone(), self.key.clone())
    }

    /// Whether a mail session may be opened with the token, and with which password.
    async fn opens(&self, token: &str, now: UnixTime) -> bool {
        let validated = self.validator().validate(&Secret::copy_of(token.as_bytes()), &IMAP, now).await;
        validated.is_ok_and(|principal| {
            principal.passwords.len() == 1 && principal.passwords[0].password.expose() == PASSWORD
        })
    }
}

async fn raw(issuer: &Issuer, now: UnixTime, pairs: &[(&str, &str)]) -> Result<Secret, OAuthError> {
    let params = params(pairs);
    issuer.token(&call(&params, &caller(), now)).await.map(|response| response.json().clone())
}

fn redemption(code: &str) -> Vec<(&str, &str)> {
    vec![
        ("grant_type", "authorization_code"),
        ("client_id", "open"),
        ("code", code),
        ("redirect_uri", REDIRECT),
        ("code_verifier", VERIFIER),
    ]
}

fn refreshing(token: &str) -> Vec<(&str, &str)> {
    vec![("grant_type", "refresh_token"), ("client_id", "open"), ("refresh_token", token)]
}

/// The same pairs with one parameter changed, or, for an empty value, left out.
fn changed<'a>(pairs: &[(&'a str, &'a str)], name: &'a str, value: &'a str) -> Vec<(&'a str, &'a str)> {
    let others = pairs.iter().copied().filter(|(own, _)| *own != name);
    others.chain((!value.is_empty()).then_some((name, value))).collect()
}

/// The same pairs as another client that has a secret.
fn by<'a>(pairs: &[(&'a str, &'a str)], id: &'a str, secret: &'a str) -> Vec<(&'a str, &'a str)> {
    let mut pairs = changed(pairs, "client_id", id);
    pairs.push(("client_secret", secret));
    pairs
}

fn params(pairs: &[(&str, &str)]) -> Params {
    Params::from_pairs(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
}

fn caller() -> Caller {
    Caller { address: IpAddr::from([192, 0, 2, 1]), certificate: None }
}

fn call<'a>(params: &'a Params, caller: &'a Caller, now: UnixTime) -> Call<'a> {
    Call { params, authorization: None, caller, now }
}

fn certificate(octet: u8) -> ClientCertificate {
    ClientCertificate { der: vec![octet], thumbprint: [octet; 32], is_vouched_for: false }
}

fn alice() -> Login {
    Login::parse("alice@example.org").unwrap()
}

fn sealed(key: &GrantKey, grant: GrantId) -> SealedCredential {
    let kind = CredentialKind::Password;
    let context = SealContext { grant, user: &alice(), backend: "main", kind };
    let sealed = key.public().seal(&Secret::copy_of(PASSWORD), &context).unwrap();
    SealedCredential { backend: "main".to_owned(), kind, sealed }
}

/// A client with a secret in the body that may use every grant of a person.
fn confidential() -> ClientMetadata {
    ClientMetadata {
        redirect_uris: vec!["https://webmail.example.org/callback".to_owned()],
        token_endpoint_auth_method: AuthMethod::ClientSecretPost,
        grant_types: vec![GrantType::AuthorizationCode, GrantType::RefreshToken],
        response_types: vec!["code".to_owned()],
        ..ClientMetadata::default()
    }
}

fn text(secret: &Secret) -> String {
    secret.expose_str().unwrap().to_owned()
}

fn member<'a>(answer: &'a Value, name: &str) -> &'a str {
    answer[name].as_str().unwrap_or_else(|| panic!("no {name} in the answer"))
}

fn code_of<T: std::fmt::Debug>(result: Result<T, OAuthError>) -> ErrorCode {
    result.unwrap_err().code
}

/// The claims of a JWT, unverified.
fn claims(jwt: &str) -> Value {
    let part = jwt.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}
