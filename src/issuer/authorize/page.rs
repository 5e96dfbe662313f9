use std::{net::IpAddr, sync::Arc};

use super::account::AccountGoal;
use crate::model::{Login, Scope, Secret, UnixTime};

/// What the browser gets.
#[derive(Clone, Debug)]
pub enum Answer {
    /// A page.
    Page(Page),
    /// The way back to the client.
    Redirect(Redirect),
    /// The way to the account page, on which somebody is signed in now.
    SignedIn(AccountEntry),
}

/// A page, without its looks.
#[derive(Clone, Debug)]
pub enum Page {
    /// Asks for name and password.
    SignIn(SignInPage),
    /// Asks for the mailbox password of somebody who signed in elsewhere.
    Mailbox(MailboxPage),
    /// Asks whether the client may.
    Consent(ConsentPage),
    /// Asks whether to go back to a client that nobody vouches for, with an error.
    Leave(LeavePage),
    /// Asks for the code that a device shows.
    DeviceCode(DeviceCodePage),
    /// Says that all is done, and that the page can be closed.
    Done(DonePage),
    /// Says what went wrong; there is no way back to a client.
    Error(PageError),
}

/// Somebody is signed in to the account page.
#[derive(Clone, Debug)]
pub struct AccountEntry {
    /// The value of the session's cookie.
    pub session: Secret,
    /// What they wanted there.
    pub goal: AccountGoal,
}

/// Asks for name and password.
#[derive(Clone, Debug)]
pub struct SignInPage {
    /// Hidden field `state`: the request, encrypted for the browser that holds the cookie.
    pub state: String,
    /// The cookie's value, to be set with this page.
    pub browser: Secret,
    /// Whether they sign in to the account page; there is no client then.
    pub is_account: bool,
    /// The client's name, as it calls itself.
    pub client_name: String,
    /// Whether the operator vouches for that name.
    pub is_vouched_for: bool,
    /// What the field for the name begins with.
    pub login_hint: Option<String>,
    /// Whether passwords can be checked at all.
    pub has_password: bool,
    /// The way to an outside provider.
    pub outside: Option<OutsideButton>,
    /// What was wrong with the last try.
    pub error: Option<SignInError>,
    /// Source expression for the policy's `form-action`, where the answer to the form may send the browser.
    pub form_target: Option<String>,
}

/// The way to an outside provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutsideButton {
    /// What the operator calls it.
    pub label: Arc<str>,
    /// Source expression for where the way begins, beside all of https.
    pub form_target: Option<String>,
}

/// Asks for the mailbox password of somebody who signed in elsewhere, whom the mail server knows by it alone.
#[derive(Clone, Debug)]
pub struct MailboxPage {
    /// Hidden field `state`.
    pub state: String,
    /// Who signed in. No other name can be given.
    pub user: Login,
    /// The client's name, as it calls itself.
    pub client_name: String,
    /// Whether the operator vouches for that name.
    pub is_vouched_for: bool,
    /// What was wrong with the last try.
    pub error: Option<SignInError>,
    /// Source expression for the policy's `form-action`.
    pub form_target: Option<String>,
}

/// Why a sign-in did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignInError {
    /// Name or password are wrong; which, is not told.
    Wrong,
    /// Too many wrong tries; the mail server was not asked.
    TooMany {
        /// Seconds until the next try.
        retry_after: u64,
    },
    /// It cannot be told now; the password is not to blame.
    Unavailable,
    /// The outside provider cannot be reached, or something between it and us needs the operator.
    OutsideUnavailable,
    /// The outside provider did not sign the person in, or what came back is not to be believed.
    OutsideRefused,
    /// The outside provider named somebody who has no mailbox here.
    OutsideNobody,
}

/// What the sign-in form holds.
#[derive(Debug)]
pub struct SignInForm<'a> {
    /// Hidden field `state`.
    pub state: &'a str,
    /// Field `login`.
    pub login: &'a str,
    /// Field `password`.
    pub password: Secret,
}

/// Asks whether the client may.
#[derive(Clone, Debug)]
pub struct ConsentPage {
    /// Hidden field `state`.
    pub state: String,
    /// Who signed in.
    pub user: Login,
    /// The client's name, as it calls itself.
    pub client_name: String,
    /// Whether the operator vouches for that name.
    pub is_vouched_for: bool,
    /// Where the answer goes: a host, or a scheme; `None` for a device, and for this very machine.
    pub redirect_host: Option<String>,
    /// Whether the answer goes to a program on the person's own machine.
    pub is_local: bool,
    /// What it asks for.
    pub scope: Scope,
    /// For a device: where it is.
    pub device: Option<DevicePlace>,
    /// Source expression for the policy's `form-action`.
    pub form_target: Option<String>,
}

/// Where a device authorization was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DevicePlace {
    /// The code that it shows.
    pub user_code: String,
    /// The address that it came from.
    pub address: IpAddr,
    /// When.
    pub started_at: UnixTime,
}

/// Asks whether to go back to a client that nobody vouches for, with an error.
#[derive(Clone, Debug)]
pub struct LeavePage {
    /// The host that it leads to.
    pub host: String,
    /// What the client did wrong.
    pub description: String,
    /// The way back.
    pub redirect: Redirect,
}

/// Asks for the code that a device shows.
#[derive(Clone, Debug, Default)]
pub struct DeviceCodePage {
    /// What the field begins with.
    pub user_code: Option<String>,
    /// Whether the last code was unknown or has expired.
    pub is_unknown: bool,
    /// Too many wrong codes: seconds until the next try.
    pub retry_after: Option<u64>,
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DonePage {
    /// The device is allowed.
    DeviceAllowed,
    /// The device is refused.
    DeviceDenied,
    /// The person is signed out.
    LoggedOut,
}

/// What went wrong, where no client can be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PageError {
    /// The request is not one that this server takes; the text is for the client's developer.
    BadRequest(String),
    /// The page is too old, belongs to another browser, or was changed.
    Stale,
    /// The request was answered before.
    Answered,
    /// Too many wrong passwords for this request.
    Dead,
    /// Too much failed at this address.
    TooMany {
        /// Seconds until the next try.
        retry_after: u64,
    },
    /// It cannot be done now.
    Unavailable,
}

/// The way back to the client.
#[derive(Clone, PartialEq, Eq)]
pub struct Redirect {
    /// The whole address for [`RedirectMode::Query`], the bare redirect URI for [`RedirectMode::FormPost`].
    pub uri: String,
    /// How the parameters travel.
    pub mode: RedirectMode,
}

/// Without its parameters: one of them may be a code.
impl std::fmt::Debug for Redirect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let bare = self.uri.split('?').next().unwrap_or_default();
        f.debug_struct("Redirect").field("uri", &bare).finish_non_exhaustive()
    }
}

/// How the parameters of an authorization response travel.
#[derive(Clone, PartialEq, Eq)]
pub enum RedirectMode {
    /// In the query of the address.
    Query,
    /// In a form that the browser posts (OAuth 2.0 Form Post Response Mode).
    FormPost(Vec<(String, String)>),
}
