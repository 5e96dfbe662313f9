//! Sign-in at an outside OpenID provider: through the pages, over HTTP to a provider that can be hostile.

mod attacks;
mod flow;
mod guesses;
mod mailbox;
mod provider;

use std::{
    net::IpAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use axum::http::StatusCode;
use bearward::{
    directory::{CheckError, OpenIdProvider, OutsideDirectory, PasswordCheck, Verified},
    issuer,
    model::{Login, Secret},
    validator::trusted::{Client, ClientAuth, Config},
    web::Limits,
};

use self::provider::{Asked, CLIENT, Provider, SECRET};
use crate::{
    web::{ALICE, Answer, RIGHT, Web},
    web_pages::{Browser, asked, between, form, get},
};

const CALLBACK: &str = "https://mail.example.org/oauth/callback";

/// The mail servers behind: which of them need a password, and who knows it.
#[derive(Default)]
struct Mailboxes {
    seal_for: Mutex<Vec<Arc<str>>>,
    has_route: Mutex<Option<CheckError>>,
    tried: Mutex<Vec<String>>,
}

#[async_trait]
impl PasswordCheck for Mailboxes {
    async fn ask(&self, login: &Login, password: &Secret, _: IpAddr) -> Result<Verified, CheckError> {
        self.tried.lock().unwrap().push(login.as_str().to_owned());
        match (login.as_str(), password.expose_str()) {
            (ALICE, Some(RIGHT)) => Ok(Verified { seal_for: self.seal_for.lock().unwrap().clone() }),
            _ => Err(CheckError::Wrong),
        }
    }

    async fn seal_for(&self, _: &Login, _: IpAddr) -> Result<Vec<Arc<str>>, CheckError> {
        match self.has_route.lock().unwrap().clone() {
            Some(error) => Err(error),
            None => Ok(self.seal_for.lock().unwrap().clone()),
        }
    }
}

/// Bearward's pages, and the provider that they lead to.
struct House {
    web: Web,
    provider: Provider,
    mailboxes: Arc<Mailboxes>,
}

impl House {
    async fn new() -> Self {
        Self::with(true, |_| (), |_| ()).await
    }

    async fn with(
        has_password: bool,
        issuer: impl FnOnce(&mut issuer::Config),
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let provider = Provider::start().await;
        let mailboxes = Arc::new(Mailboxes::default());
        let mut config = Config::new(&provider.url, &[CLIENT], &["example.org"]);
        let secret = Secret::copy_of(SECRET.as_bytes());
        config.client = Some(Client { id: CLIENT.to_owned(), auth: ClientAuth::Basic(secret) });
        config.http.timeout = Duration::from_secs(1);
        change(&mut config);
        let outside = OutsideDirectory::new(
            "Example & Co",
            CLIENT,
            &["openid".to_owned(), "email".to_owned()],
            Arc::new(OpenIdProvider::new(config).unwrap()),
            mailboxes.clone(),
        );
        let web = Web::with_issuer(Limits::default(), issuer, |issuer, directory| {
            let issuer = if has_password { issuer.with_directory(directory) } else { issuer };
            issuer.with_outside(Arc::new(outside))
        })
        .await;
        Self { web, provider, mailboxes }
    }

    /// Sets out; the address at the provider.
    async fn leave(&self, browser: &mut Browser<'_>, more: &[(&str, &str)]) -> String {
        let page = browser.send(get(&format!("/oauth/authorize?{}", asked(more)))).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.body);
        let answer = press(browser, &page).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
        answer.header("location").unwrap().to_owned()
    }

    /// There and back.
    async fn there_and_back(&self, browser: &mut Browser<'_>, more: &[(&str, &str)]) -> Answer {
        let location = self.leave(browser, more).await;
        let code = self.provider.agree(&location);
        browser.send(get(&back(&location, &[("code", &code)]))).await
    }
}

/// Presses the button that leads to the provider.
async fn press(browser: &mut Browser<'_>, page: &Answer) -> Answer {
    let start = page.body.find("action=\"/oauth/outside\"").unwrap_or_else(|| panic!("{}", page.body));
    let only =
        Answer { status: page.status, headers: page.headers.clone(), body: page.body[start..].to_owned() };
    browser.submit(&only, &[]).await
}

/// Where the provider sends whoever was sent to `location`.
fn back(location: &str, more: &[(&str, &str)]) -> String {
    let sent = Asked::of(location);
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("state", sent.get("state")).extend_pairs(more);
    format!("/oauth/callback?{}", query.finish())
}

#[track_caller]
fn assert_consent(page: &Answer) {
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    assert!(page.body.contains("Allow access?") && page.body.contains(ALICE), "{}", page.body);
}

/// The sign-in page again, with the reason and the way to try once more.
#[track_caller]
fn assert_refused(page: &Answer, status: u16, reason: &str) {
    assert_eq!(page.status.as_u16(), status, "{}", page.body);
    assert!(page.body.contains(reason) && page.body.contains("/oauth/outside"), "{}", page.body);
    assert!(!page.body.contains("Allow access?"), "{}", page.body);
}

#[track_caller]
fn assert_stale(page: &Answer) {
    assert_eq!(page.status, StatusCode::BAD_REQUEST, "{}", page.body);
    assert!(page.body.contains("out of date"), "{}", page.body);
}
