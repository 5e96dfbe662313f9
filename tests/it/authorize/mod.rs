//! The authorization endpoint and its pages over a real store and a mail server that is told what to say.

mod device;
mod guessing;
mod names;
mod pages;
mod pushed;
mod requests;

use std::{
    net::IpAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bearward::{
    directory::{CheckError, PasswordCheck, Verified},
    issuer::{
        self, AccessTokenFormat, Answer, AuthMethod, Caller, ClientMetadata, ConsentPage, GrantType, Issuer,
        Page, PageError, Params, Redirect, RedirectMode, SignInError, SignInForm, SignInPage,
    },
    limits::SignInConfig,
    model::{ClientId, Login, Secret, UnixTime},
    token::ServerKey,
};
use tempfile::TempDir;

use crate::{hooked::Hooked, store::NOW};

const ISSUER: &str = "https://mail.example.org";
const HERE: &str = "http://127.0.0.1:49152/";
const ABROAD: &str = "https://stranger.example/cb";
const WEBMAIL: &str = "https://webmail.example/cb?tenant=7";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const PASSWORD: &str = "correct horse battery";
const USER: &str = "alice@example.org";

fn later(seconds: i64) -> UnixTime {
    UnixTime(NOW.0 + seconds)
}

fn caller(address: &str) -> Caller {
    Caller { address: address.parse().unwrap(), certificate: None }
}

/// Knows one password, counts how often it was asked, and can be slow or down.
#[derive(Default)]
struct MailServer {
    asked: AtomicUsize,
    says: Mutex<Option<CheckError>>,
    slow: Mutex<Duration>,
    last: Mutex<Option<(String, IpAddr)>>,
}

impl MailServer {
    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn says(&self, error: Option<CheckError>) {
        *self.says.lock().unwrap() = error;
    }
}

#[async_trait]
impl PasswordCheck for MailServer {
    async fn ask(&self, login: &Login, password: &Secret, client: IpAddr) -> Result<Verified, CheckError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        *self.last.lock().unwrap() = Some((login.as_str().to_owned(), client));
        let slow = *self.slow.lock().unwrap();
        tokio::time::sleep(slow).await;
        if let Some(error) = self.says.lock().unwrap().clone() {
            return Err(error);
        }
        match (login.as_str(), password.expose_str()) {
            ("nowhere@example.net", _) => Err(CheckError::NoRoute),
            (USER | "alice", Some(PASSWORD)) => Ok(Verified { seal_for: vec!["main".into()], login: None }),
            ("al@example.org", Some(PASSWORD)) => {
                Ok(Verified { seal_for: vec!["main".into()], login: Login::parse(USER).ok() })
            }
            _ => Err(CheckError::Wrong),
        }
    }
}

struct House {
    folder: TempDir,
    store: Arc<Hooked>,
    key: ServerKey,
    mail: Arc<MailServer>,
    issuer: Issuer,
    /// One that registered itself.
    stranger: ClientId,
    /// One of the operator's, with a secret.
    webmail: ClientId,
}

impl House {
    async fn new() -> Self {
        Self::with(|config| config).await
    }

    async fn with(change: impl FnOnce(issuer::Config) -> issuer::Config) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Hooked::over(folder.path()).await);
        let key = ServerKey::generate().unwrap();
        let mail = Arc::new(MailServer::default());
        let config = change(issuer::Config {
            hostnames: vec!["imap.example.org".into()],
            sign_in: SignInConfig { wrong_answer_step: Duration::ZERO, ..SignInConfig::default() },
            ..issuer::Config::new(ISSUER)
        });
        let issuer = Issuer::new(config, store.clone(), key.clone(), NOW).await.unwrap();
        let issuer = issuer.with_directory(mail.clone());
        let body = format!(
            r#"{{"redirect_uris":["{ABROAD}","org.example.app:/cb"],"client_name":"Stranger","token_endpoint_auth_method":"none",
                "grant_types":["authorization_code","refresh_token"],"response_types":["code"]}}"#
        );
        let registered = issuer.register(body.as_bytes(), None, &caller("192.0.2.1"), NOW).await.unwrap();
        let webmail = ClientMetadata {
            redirect_uris: vec![WEBMAIL.to_owned()],
            token_endpoint_auth_method: AuthMethod::ClientSecretBasic,
            grant_types: vec![GrantType::AuthorizationCode, GrantType::RefreshToken],
            response_types: vec!["code".to_owned()],
            client_name: Some("Webmail".to_owned()),
            scope: Some("openid imap smtp".parse().unwrap()),
            ..ClientMetadata::default()
        };
        let webmail = issuer.add_client(webmail, NOW).await.unwrap().client.id.clone();
        Self { folder, store, key, mail, issuer, stranger: registered.client.id.clone(), webmail }
    }

    async fn ask(&self, request: &Request) -> Answer {
        self.issuer.authorize(&request.params(), None, NOW).await
    }

    async fn page(&self, request: &Request) -> SignInPage {
        sign_in_page(self.ask(request).await)
    }

    async fn sign_in(&self, page: &SignInPage, login: &str, password: &str) -> Answer {
        self.sign_in_from(page, login, password, "198.51.100.7").await
    }

    async fn sign_in_from(&self, page: &SignInPage, login: &str, password: &str, address: &str) -> Answer {
        let form = SignInForm { state: &page.state, login, password: Secret::copy_of(password.as_bytes()) };
        self.issuer.sign_in(form, Some(&page.browser), &caller(address), NOW).await
    }

    /// The consent page of a new request, with the browser's cookie.
    async fn consent(&self, request: &Request) -> (ConsentPage, Secret) {
        let page = self.page(request).await;
        let answer = self.sign_in(&page, USER, PASSWORD).await;
        (consent_page(answer), page.browser)
    }

    /// All files of the store, but the one that only says who reads now.
    fn stored(&self) -> Vec<u8> {
        let mut files: Vec<_> =
            std::fs::read_dir(self.folder.path()).unwrap().map(|file| file.unwrap().path()).collect();
        files.retain(|file| !file.to_string_lossy().ends_with("-shm"));
        files.sort();
        files.iter().flat_map(|file| std::fs::read(file).unwrap_or_default()).collect()
    }
}

/// A request, parameter by parameter.
#[derive(Clone)]
struct Request(Vec<(String, String)>);

impl Request {
    fn of(client: &ClientId, redirect_uri: &str) -> Self {
        Self(Vec::new())
            .and("response_type", "code")
            .and("client_id", client.as_str())
            .and("redirect_uri", redirect_uri)
            .and("code_challenge", CHALLENGE)
            .and("code_challenge_method", "S256")
            .and("state", "xyz")
    }

    fn open() -> Self {
        Self::of(&ClientId::open(), HERE)
    }

    fn and(mut self, name: &str, value: &str) -> Self {
        self.0.push((name.to_owned(), value.to_owned()));
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.0.retain(|(own, _)| own != name);
        self
    }

    fn with(self, name: &str, value: &str) -> Self {
        self.without(name).and(name, value)
    }

    fn params(&self) -> Params {
        Params::from_pairs(self.0.clone())
    }
}

fn sign_in_page(answer: Answer) -> SignInPage {
    let Answer::Page(Page::SignIn(page)) = answer else { panic!("no sign-in page: {answer:?}") };
    page
}

fn consent_page(answer: Answer) -> ConsentPage {
    let Answer::Page(Page::Consent(page)) = answer else { panic!("no consent page: {answer:?}") };
    page
}

fn page_error(answer: Answer) -> PageError {
    let Answer::Page(Page::Error(error)) = answer else { panic!("no error page: {answer:?}") };
    error
}

fn sign_in_error(answer: Answer) -> SignInError {
    sign_in_page(answer).error.expect("the page names no error")
}

fn redirect(answer: Answer) -> Redirect {
    let Answer::Redirect(redirect) = answer else { panic!("no redirect: {answer:?}") };
    redirect
}

/// What an answer carries, by name.
struct Carried(Vec<(String, String)>);

impl Carried {
    fn by(redirect: &Redirect) -> Self {
        match &redirect.mode {
            RedirectMode::Query => {
                let query = redirect.uri.split_once('?').unwrap().1;
                Self(form_urlencoded::parse(query.as_bytes()).into_owned().collect())
            }
            RedirectMode::FormPost(pairs) => Self(pairs.clone()),
        }
    }

    fn get(&self, name: &str) -> Option<&str> {
        let mut values = self.0.iter().filter(|(own, _)| own == name);
        let first = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "{name} comes twice");
        first
    }
}

/// The code of an answer that has nothing but what it should.
fn code(answer: Answer) -> String {
    let carried = Carried::by(&redirect(answer));
    assert_eq!(carried.get("iss"), Some(ISSUER));
    assert_eq!(carried.get("error"), None);
    carried.get("code").expect("no code").to_owned()
}

/// The error of an answer that has nothing but what it should.
fn error(redirect: &Redirect) -> String {
    let carried = Carried::by(redirect);
    assert_eq!(carried.get("iss"), Some(ISSUER));
    assert_eq!(carried.get("code"), None);
    carried.get("error").expect("no error").to_owned()
}
