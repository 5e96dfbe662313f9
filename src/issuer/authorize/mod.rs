//! From an authorization request to a code: sign-in, consent, and what the pages show.
//!
//! Invariants:
//! - Nothing is stored before a person has given the right password and said yes, but counts of wrong passwords,
//!   pushed requests, and what a person at an outside provider comes back to. What lies between travels inside the pages, encrypted under a key of the browser's cookie and
//!   the server key: so no other site can send a form here in the person's name, and the password is sealed the
//!   moment it was found right.
//! - No error goes to a redirect URI that the client did not register, and none to a stranger's without asking the
//!   person.
//! - One request is allowed once: the request's name is the grant's.
//! - Whoever comes back from an outside provider set out from the same browser, for the same request, and comes
//!   back once; the mailbox password that is then asked for is that of the person whom the provider named.
//! - What a page says, and when, does not depend on whether a user exists.
//!
//! It must not know cookies' attributes or HTML: the caller renders [`Answer`].

mod consent;
mod details;
mod device;
mod outside;
mod page;
mod par;
mod reply;
mod request;
mod resource;
mod sign_in;
mod sign_ins;
mod state;

pub(super) use details::{CodeDetails, DeviceDetails};
pub use page::{
    Answer, ConsentPage, DeviceCodePage, DevicePlace, DonePage, LeavePage, MailboxPage, OutsideButton, Page,
    PageError, Redirect, RedirectMode, SignInError, SignInForm, SignInPage,
};
pub use par::Pushed;
pub(super) use request::select_scope;
pub(super) use sign_ins::SignIns;

use std::sync::Arc;

use self::{
    request::Request,
    sign_in::{error, fault, unavailable},
    state::{Asked, Browser, SignInState},
};
use super::{Client, ErrorCode, Issuer, OAuthError, Params};
use crate::{
    directory::{OutsideDirectory, PasswordCheck, PasswordGuard},
    model::{ClientId, GrantId, Secret, UnixTime},
};

impl Issuer {
    /// Lets people sign in: `directory` knows their passwords. Without one, sign-in is not available.
    #[must_use]
    pub fn with_directory(mut self, directory: Arc<dyn PasswordCheck>) -> Self {
        self.sign_ins.ask(directory);
        self
    }

    /// Lets people sign in at an outside provider, beside the passwords or instead of them.
    #[must_use]
    pub fn with_outside(mut self, outside: Arc<OutsideDirectory>) -> Self {
        self.sign_ins.ask_outside(outside);
        self
    }

    /// Who knows the passwords, and what holds guessing down: for whoever takes passwords elsewhere, so that all of it
    /// counts together.
    pub fn password_guard(&self) -> PasswordGuard {
        PasswordGuard {
            directory: self.sign_ins.directory.clone(),
            limits: self.sign_ins.limits.clone(),
            pace: Arc::clone(&self.sign_ins.pace),
        }
    }

    /// The authorization endpoint (RFC 6749 §3.1). `params` are the query's, or the body's for a POST; `browser`
    /// is the value of the browser cookie, if one came. Nothing is stored.
    pub async fn authorize(&self, params: &Params, browser: Option<&Secret>, now: UnixTime) -> Answer {
        if !request::is_bounded(params) {
            return bad_request("the request is too long");
        }
        let client = match self.named_client(params).await {
            Ok(client) => client,
            Err(answer) => return *answer,
        };
        let browser = match Browser::of_cookie_or_new(browser) {
            Ok(browser) => browser,
            Err(error) => return fault(error),
        };
        let request = match params.one("request_uri") {
            Ok(Some(uri)) if par::is_pushed(uri) => self.asked_by_push(&client, uri, &browser, now).await,
            Ok(_) | Err(_) => self.asked_in_front(&client, params),
        };
        match request {
            Ok(request) => {
                let state = SignInState { asked_at: now, asked: Asked::Client(request), other_account: None };
                self.sign_in_page(&client, &state, &browser)
            }
            Err(answer) => *answer,
        }
    }

    /// The client that a request names.
    async fn named_client(&self, params: &Params) -> Result<Arc<Client>, Box<Answer>> {
        let named =
            params.required("client_id").map_err(|error| Box::new(bad_request(&error.description)))?;
        let unknown = || Box::new(bad_request("client_id names no client that is registered here"));
        let id: ClientId = named.parse().map_err(|_| unknown())?;
        match self.client(&id).await {
            Ok(client) => client.ok_or_else(unknown),
            Err(store) => Err(Box::new(unavailable(&store))),
        }
    }

    fn asked_in_front(&self, client: &Client, params: &Params) -> Result<Request, Box<Answer>> {
        let way =
            request::way_back(client, params).map_err(|error| Box::new(bad_request(&error.description)))?;
        let refuse = |error: OAuthError| Box::new(self.refuse(client, &way, &error));
        if client.metadata.require_pushed_authorization_requests {
            let text = "this client must push its authorization requests (RFC 9126)";
            return Err(refuse(OAuthError::new(ErrorCode::InvalidRequest, text)));
        }
        self.read_request(client, &way, params, GrantId::generate()).map_err(refuse)
    }

    /// Where the request cannot be found there is no way back either: what stands beside `request_uri` does not count
    /// (RFC 9126 §4).
    async fn asked_by_push(
        &self,
        client: &Client,
        request_uri: &str,
        browser: &Browser,
        now: UnixTime,
    ) -> Result<Request, Box<Answer>> {
        let request = match self.pushed_request(client, request_uri, browser, now).await {
            Ok(request) => request,
            Err(refused) if refused.code == ErrorCode::InvalidRequestUri => {
                return Err(Box::new(bad_request(&refused.description)));
            }
            Err(_) => return Err(Box::new(error(PageError::Unavailable))),
        };
        if request.way_back(client).is_none() {
            return Err(Box::new(bad_request("the client no longer has the redirect URI of its request")));
        }
        Ok(request)
    }
}

fn bad_request(description: &str) -> Answer {
    error(PageError::BadRequest(description.to_owned()))
}
