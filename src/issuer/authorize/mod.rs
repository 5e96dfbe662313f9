//! From an authorization request to a code: sign-in, consent, and what the pages show.

mod details;
mod page;
mod par;
mod sign_ins;

pub(super) use details::{CodeDetails, DeviceDetails};
pub use page::{
    Answer, ConsentPage, DeviceCodePage, DevicePlace, DonePage, LeavePage, Page, PageError, Redirect,
    RedirectMode, SignInError, SignInForm, SignInPage,
};
pub use par::Pushed;
pub(super) use sign_ins::SignIns;

use std::sync::Arc;

use super::{Caller, Issuer, Params};
use crate::{
    directory::PasswordCheck,
    model::{Secret, UnixTime},
};

impl Issuer {
    /// Lets people sign in: `directory` knows their passwords. Without one, sign-in is not available.
    #[must_use]
    pub fn with_directory(mut self, directory: Arc<dyn PasswordCheck>) -> Self {
        self.sign_ins = SignIns::new(directory, &self.config.sign_in);
        self
    }

    /// The authorization endpoint (RFC 6749 §3.1). `params` are the query's, or the body's for a POST; `browser`
    /// is the value of the browser cookie, if one came. Nothing is stored.
    pub async fn authorize(&self, _params: &Params, _browser: Option<&Secret>, _now: UnixTime) -> Answer {
        Answer::Page(Page::Error(PageError::Unavailable))
    }

    /// The answer to the sign-in page. `browser` is the value of the browser cookie.
    pub async fn sign_in(
        &self,
        _form: SignInForm<'_>,
        _browser: Option<&Secret>,
        _caller: &Caller,
        _now: UnixTime,
    ) -> Answer {
        Answer::Page(Page::Error(PageError::Unavailable))
    }

    /// The answer to the consent page: whether the client may. `browser` is the value of the browser cookie.
    pub async fn decide(
        &self,
        _state: &str,
        _allow: bool,
        _browser: Option<&Secret>,
        _now: UnixTime,
    ) -> Answer {
        Answer::Page(Page::Error(PageError::Unavailable))
    }

    /// The page that asks for a device's code (RFC 8628 §3.3); a code in the address only fills the field
    /// (§3.3.1), because the person must compare it.
    pub fn device_page(&self, user_code: Option<&str>) -> Answer {
        let user_code = user_code.map(str::to_owned);
        Answer::Page(Page::DeviceCode(DeviceCodePage { user_code, ..DeviceCodePage::default() }))
    }

    /// The answer to the page that asks for a device's code: the sign-in page, or the same page again.
    pub async fn device_lookup(
        &self,
        _user_code: &str,
        _browser: Option<&Secret>,
        _caller: &Caller,
        _now: UnixTime,
    ) -> Answer {
        Answer::Page(Page::Error(PageError::Unavailable))
    }
}
