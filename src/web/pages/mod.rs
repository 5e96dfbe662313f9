//! Turns what the issuer answers into what a browser gets. Markup is in `templates/`, words in `messages`.

mod account;
mod guides;
mod home;
mod html;

use askama::Template;
use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

pub(super) use account::{
    ACCOUNT_PATH, APP_PASSWORD_PATH, AccountView, DAYS, END_PATH, LANGUAGE_PATH, SEEN_PATH, SIGN_OUT_PATH,
    Typed,
};
pub(super) use home::{Home, STYLE_PATH, style};

use self::html::{
    ConsentHtml, DeviceCodeHtml, DeviceHtml, DoneHtml, ErrorHtml, FormPostHtml, LeaveHtml, MailboxHtml,
    SignInHtml, Way,
};
use super::{messages::Messages, qr::qr_svg};
use crate::{
    issuer::{
        AccountEntry, AccountGoal, Answer, ConsentPage, DeviceCodePage, DonePage, LeavePage, MailboxPage,
        Page, PageError, Redirect, RedirectMode, SignInError, SignInPage,
    },
    model::{Secret, UnixTime},
};

/// Where the sign-in page sends its form.
pub(super) const SIGN_IN_PATH: &str = "/oauth/sign-in";
/// Where its button for an outside provider leads.
pub(super) const OUTSIDE_PATH: &str = "/oauth/outside";
/// Where the page for the mailbox password sends its form.
pub(super) const MAILBOX_PATH: &str = "/oauth/mailbox";
/// Where the consent page sends its form.
pub(super) const CONSENT_PATH: &str = "/oauth/consent";
/// The cookie that tells browsers apart. The prefix makes browsers take it from this host over TLS alone, so that
/// no neighbour can plant one (RFC 6265bis §4.1.3.2).
pub(super) const COOKIE: &str = "__Host-bearward-browser";

/// The cookie of whoever is signed in to the account page.
pub(super) const ACCOUNT_COOKIE: &str = "__Host-bearward-account";
/// The cookie with the language that a person has chosen.
pub(super) const LANGUAGE_COOKIE: &str = "__Host-bearward-language";
/// How long browsers keep a cookie at most, in seconds: 400 days (RFC 6265bis §5.5).
const LONGEST_COOKIE: u32 = 34_560_000;

/// Sends the form of the page on. Without it the button does.
const SCRIPT: &str = "document.forms[0].submit()";
/// SHA-256 of [`SCRIPT`] as a source expression.
const SCRIPT_SOURCE: &str = "'sha256-ePniVEkSivX/c7XWBGafqh8tSpiRrKiqYeqbG7N1TOE='";
/// When to come back where nobody knows, in seconds.
const RETRY_AFTER: u64 = 60;

/// What every page needs beside what the issuer says.
pub(super) struct Frame<'a> {
    /// The public name of this server.
    pub(super) host: &'a str,
    pub(super) messages: &'static Messages,
    pub(super) now: UnixTime,
    /// The address of the page that asks for a device's code.
    pub(super) device_url: &'a str,
    /// Its path.
    pub(super) device_path: &'a str,
    /// The user name that the person has typed, to be shown again with an error.
    pub(super) typed: Option<&'a str>,
}

/// What a browser gets.
pub(super) fn respond(answer: &Answer, frame: &Frame<'_>) -> Response {
    match answer {
        Answer::Page(page) => frame.page(page),
        Answer::Redirect(redirect) => frame.redirect(redirect),
        Answer::SignedIn(entry) => frame.to_account(entry),
    }
}

/// An error page with a status of its own.
pub(super) fn refuse(error: &PageError, status: StatusCode, frame: &Frame<'_>) -> Response {
    let mut response = frame.error(error);
    *response.status_mut() = status;
    response
}

impl Frame<'_> {
    fn page(&self, page: &Page) -> Response {
        match page {
            Page::Consent(page) => self.consent(page),
            Page::DeviceCode(page) => self.device_code(page),
            Page::Done(page) => self.done(*page),
            Page::Error(error) => self.error(error),
            Page::Mailbox(page) => self.mailbox(page),
            Page::Leave(page) => self.leave(page),
            Page::SignIn(page) => self.sign_in(page),
        }
    }

    fn sign_in(&self, page: &SignInPage) -> Response {
        let outside = page.outside.as_ref().map(|outside| shown(&outside.label));
        let label = outside.as_deref().unwrap_or_default();
        let (status, error, retry_after) = self.refused(page.error, label);
        let Some(cookie) = cookie(COOKIE, &page.browser, LONGEST_COOKIE) else {
            return self.error(&PageError::Unavailable);
        };
        let html = SignInHtml {
            m: self.messages,
            host: self.host,
            action: SIGN_IN_PATH,
            state: &page.state,
            is_account: page.is_account,
            client_name: &shown(&page.client_name),
            is_vouched_for: page.is_vouched_for,
            has_password: page.has_password,
            outside: outside.as_deref(),
            outside_action: OUTSIDE_PATH,
            login: self.typed.or(page.login_hint.as_deref()).unwrap_or_default(),
            error: error.as_deref(),
        };
        // The provider may send the browser on to others before it shows anything, and Chromium holds all of that to
        // the policy of this page.
        let beyond =
            page.outside.as_ref().map(|outside| ["https:", outside.form_target.as_deref().unwrap_or("")]);
        let targets = page.form_target.as_deref().into_iter().chain(beyond.into_iter().flatten());
        let mut response = respond_with(&html, status, &form_policy_of(targets));
        response.headers_mut().insert(header::SET_COOKIE, cookie);
        retry(response, retry_after)
    }

    /// 303, with the cookie of the session, which ends with that of the browser.
    fn to_account(&self, entry: &AccountEntry) -> Response {
        let path = match entry.goal {
            AccountGoal::NewAppPassword => APP_PASSWORD_PATH,
            AccountGoal::Overview => ACCOUNT_PATH,
        };
        let Some(cookie) = session_cookie(&entry.session) else { return self.error(&PageError::Unavailable) };
        let headers = [(header::LOCATION, HeaderValue::from_static(path)), (header::SET_COOKIE, cookie)];
        (StatusCode::SEE_OTHER, headers).into_response()
    }

    fn mailbox(&self, page: &MailboxPage) -> Response {
        let (status, error, retry_after) = self.refused(page.error, "");
        let html = MailboxHtml {
            m: self.messages,
            host: self.host,
            action: MAILBOX_PATH,
            state: &page.state,
            user: &shown(page.user.as_str()),
            client_name: &shown(&page.client_name),
            is_vouched_for: page.is_vouched_for,
            error: error.as_deref(),
        };
        retry(respond_with(&html, status, &form_policy(page.form_target.as_deref())), retry_after)
    }

    /// Status, text and waiting time of what was wrong with a try; `label` names the outside provider.
    ///
    /// A wrong password is answered with 422: it is shown as any page is, and password managers take a status of 400
    /// and more as a sign not to keep what was typed. 401 would need a challenge that no form can answer.
    fn refused(&self, error: Option<SignInError>, label: &str) -> (StatusCode, Option<String>, Option<u64>) {
        let m = self.messages;
        match error {
            None => (StatusCode::OK, None, None),
            Some(SignInError::Wrong) => (StatusCode::UNPROCESSABLE_ENTITY, Some(m.wrong.to_owned()), None),
            Some(SignInError::TooMany { retry_after }) => {
                (StatusCode::TOO_MANY_REQUESTS, Some(self.too_many(retry_after)), Some(retry_after))
            }
            Some(SignInError::Unavailable) => {
                (StatusCode::SERVICE_UNAVAILABLE, Some(m.unavailable.to_owned()), Some(RETRY_AFTER))
            }
            Some(SignInError::OutsideUnavailable) => {
                (StatusCode::SERVICE_UNAVAILABLE, Some(m.outside_unavailable.with(label)), Some(RETRY_AFTER))
            }
            Some(SignInError::OutsideRefused) => {
                (StatusCode::UNPROCESSABLE_ENTITY, Some(m.outside_refused.with(label)), None)
            }
            Some(SignInError::OutsideNobody) => {
                (StatusCode::UNPROCESSABLE_ENTITY, Some(m.outside_nobody.with(label)), None)
            }
        }
    }

    fn consent(&self, page: &ConsentPage) -> Response {
        let device = page.device.as_ref().map(|device| DeviceHtml {
            user_code: &device.user_code,
            address: device.address,
            started: self.ago(device.started_at),
        });
        let target = page.redirect_host.as_deref().map(shown);
        let html = ConsentHtml {
            m: self.messages,
            host: self.host,
            action: CONSENT_PATH,
            state: &page.state,
            user: &shown(page.user.as_str()),
            client_name: &shown(&page.client_name),
            is_vouched_for: page.is_vouched_for,
            is_local: page.is_local,
            target: target.as_deref(),
            scopes: page.scope.iter().map(|value| self.messages.scope(value)).collect(),
            device: device.as_ref(),
        };
        respond_with(&html, StatusCode::OK, &form_policy(page.form_target.as_deref()))
    }

    /// Nobody but the person may take this way: there is no redirect, and no script.
    fn leave(&self, page: &LeavePage) -> Response {
        let uri = &page.redirect.uri;
        if location(uri).is_none() {
            return self.error(&PageError::Unavailable);
        }
        let (way, policy) = match &page.redirect.mode {
            RedirectMode::Query => (Way::Link(uri), policy("'none'", None)),
            RedirectMode::FormPost(fields) => {
                (Way::Form { uri, fields }, form_policy(source(uri).as_deref()))
            }
        };
        let html = LeaveHtml {
            m: self.messages,
            host: self.host,
            description: &shown(&page.description),
            target: &shown(&page.host),
            way,
        };
        respond_with(&html, StatusCode::BAD_REQUEST, &policy)
    }

    fn device_code(&self, page: &DeviceCodePage) -> Response {
        let (status, error) = match page.retry_after {
            Some(seconds) => (StatusCode::TOO_MANY_REQUESTS, Some(self.too_many(seconds))),
            None if page.is_unknown => {
                (StatusCode::UNPROCESSABLE_ENTITY, Some(self.messages.device_unknown.to_owned()))
            }
            None => (StatusCode::OK, None),
        };
        let user_code = page.user_code.as_deref().unwrap_or_default();
        let complete = (!user_code.is_empty()).then(|| {
            let query =
                form_urlencoded::Serializer::new(String::new()).append_pair("user_code", user_code).finish();
            format!("{}?{query}", self.device_url)
        });
        let html = DeviceCodeHtml {
            m: self.messages,
            host: self.host,
            action: self.device_path,
            user_code,
            error: error.as_deref(),
            qr: complete.and_then(|address| qr_svg(&address)),
        };
        retry(respond_with(&html, status, &form_policy(None)), page.retry_after)
    }

    fn done(&self, page: DonePage) -> Response {
        let text = match page {
            DonePage::DeviceAllowed => self.messages.device_allowed,
            DonePage::DeviceDenied => self.messages.device_denied,
            DonePage::LoggedOut => self.messages.logged_out,
        };
        let html = DoneHtml { m: self.messages, host: self.host, text };
        respond_with(&html, StatusCode::OK, &policy("'none'", None))
    }

    fn error(&self, error: &PageError) -> Response {
        let mut wait = None;
        let (status, text, description) = match error {
            PageError::TooMany { retry_after } => {
                wait = Some(*retry_after);
                (StatusCode::TOO_MANY_REQUESTS, self.messages.too_many_failures, None)
            }
            PageError::Answered => (StatusCode::BAD_REQUEST, self.messages.answered, None),
            PageError::BadRequest(text) => {
                (StatusCode::BAD_REQUEST, self.messages.bad_request, Some(shown(text)))
            }
            PageError::Dead => (StatusCode::BAD_REQUEST, self.messages.dead, None),
            PageError::Stale => (StatusCode::BAD_REQUEST, self.messages.stale, None),
            PageError::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, self.messages.not_now, None),
        };
        let html = ErrorHtml {
            m: self.messages,
            host: self.host,
            text,
            description: description.as_deref(),
            account: None,
        };
        let wait = wait.or_else(|| (status == StatusCode::SERVICE_UNAVAILABLE).then_some(RETRY_AFTER));
        retry(respond_with(&html, status, &policy("'none'", None)), wait)
    }

    /// 303, never 307, which would send the password on (RFC 9700 §4.12).
    fn redirect(&self, redirect: &Redirect) -> Response {
        let Some(location) = location(&redirect.uri) else {
            tracing::error!("the issuer gave a redirect URI that cannot stand in a header");
            return self.error(&PageError::Unavailable);
        };
        match &redirect.mode {
            RedirectMode::Query => (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response(),
            RedirectMode::FormPost(fields) => {
                let html = FormPostHtml {
                    m: self.messages,
                    host: self.host,
                    uri: &redirect.uri,
                    fields,
                    script: SCRIPT,
                };
                let form_action = source(&redirect.uri).unwrap_or_default();
                respond_with(&html, StatusCode::OK, &policy(&form_action, Some(SCRIPT_SOURCE)))
            }
        }
    }

    fn too_many(&self, seconds: u64) -> String {
        self.messages.too_many.with((self.messages.span)(seconds))
    }

    /// How long ago something was, and its time of day.
    fn ago(&self, moment: UnixTime) -> String {
        let minutes = moment.0.rem_euclid(24 * 60 * 60) / 60;
        let ago = self.messages.ago.with((self.messages.span)(moment.until(self.now).as_secs()));
        format!("{ago} ({:02}:{:02} UTC)", minutes / 60, minutes % 60)
    }
}

/// A page as an answer.
fn respond_with(html: &impl Template, status: StatusCode, policy: &str) -> Response {
    let (Ok(html), Ok(policy)) = (html.render(), HeaderValue::from_str(policy)) else {
        tracing::error!("a page cannot be written");
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, policy),
    ];
    (status, headers, html).into_response()
}

fn retry(mut response: Response, seconds: Option<u64>) -> Response {
    if let Some(seconds) = seconds {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

/// The policy of a page whose form comes back here. Chromium holds every redirect that answers the form to
/// `form-action` too, so the client's address must stand there.
fn form_policy(target: Option<&str>) -> String {
    form_policy_of(target.into_iter())
}

fn form_policy_of<'a>(targets: impl Iterator<Item = &'a str>) -> String {
    let mut sources = "'self'".to_owned();
    for target in targets.filter(|target| is_source(target)) {
        sources.push(' ');
        sources.push_str(target);
    }
    policy(&sources, None)
}

/// The policy of a page.
pub(super) fn policy(form_action: &str, script: Option<&str>) -> String {
    let script = script.map(|source| format!("script-src {source}; ")).unwrap_or_default();
    format!(
        "default-src 'none'; {script}style-src 'self'; base-uri 'none'; form-action {form_action}; \
         frame-ancestors 'none'"
    )
}

/// Whether a text is one source expression and nothing beside it.
fn is_source(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|octet| octet.is_ascii_alphanumeric() || b":/.-_+*%".contains(&octet))
}

/// A redirect URI as a header, octet by octet; `None` for what must not be sent: line ends, and schemes that a
/// browser would run.
fn location(uri: &str) -> Option<HeaderValue> {
    let (scheme, _) = uri.split_once(':')?;
    let is_private_use =
        scheme.contains('.') && scheme.bytes().all(|c| c.is_ascii_alphanumeric() || b".-+".contains(&c));
    if !is_private_use && !["http", "https"].contains(&scheme) {
        return None;
    }
    uri.bytes().all(|octet| octet.is_ascii_graphic()).then(|| HeaderValue::from_str(uri).ok()).flatten()
}

/// The source expression that stands for a redirect URI. A policy can name no IP address but 127.0.0.1 (CSP3
/// §6.7.2.8); for others the scheme has to do.
fn source(uri: &str) -> Option<String> {
    let (scheme, rest) = uri.split_once(':')?;
    let authority = rest.strip_prefix("//").and_then(|rest| rest.split(['/', '?', '#']).next());
    let host = authority.map(|authority| authority.split_once(':').map_or(authority, |(host, _)| host));
    let source = match (authority, host) {
        (Some(authority), Some(host))
            if host == "127.0.0.1"
                || (host.parse::<std::net::Ipv4Addr>().is_err() && is_source(authority)) =>
        {
            format!("{scheme}://{authority}")
        }
        _ => format!("{scheme}:"),
    };
    is_source(&source).then_some(source)
}

const ATTRIBUTES: &str = "Path=/; Secure; HttpOnly; SameSite=Lax";

/// A cookie for so many seconds. `Lax`: it must come along when the client sends the person here, and stay away when
/// another site sends a form.
fn cookie(name: &str, value: &Secret, seconds: u32) -> Option<HeaderValue> {
    let value = value.expose_str().filter(|value| is_cookie_value(value))?;
    let mut header =
        HeaderValue::from_str(&format!("{name}={value}; Max-Age={seconds}; {ATTRIBUTES}")).ok()?;
    header.set_sensitive(true);
    Some(header)
}

/// The cookie of the account page, until the browser is closed.
fn session_cookie(value: &Secret) -> Option<HeaderValue> {
    let value = value.expose_str().filter(|value| is_cookie_value(value))?;
    let mut header = HeaderValue::from_str(&format!("{ACCOUNT_COOKIE}={value}; {ATTRIBUTES}")).ok()?;
    header.set_sensitive(true);
    Some(header)
}

fn is_cookie_value(value: &str) -> bool {
    value.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-_.~".contains(&octet))
}

/// The cookie with a language.
pub(super) fn language_cookie(lang: &str) -> HeaderValue {
    cookie(LANGUAGE_COOKIE, &Secret::copy_of(lang.as_bytes()), LONGEST_COOKIE)
        .unwrap_or(HeaderValue::from_static(""))
}

/// Takes the cookie of the account page away.
pub(super) fn no_account_cookie() -> HeaderValue {
    cookie(ACCOUNT_COOKIE, &Secret::default(), 0).unwrap_or(HeaderValue::from_static(""))
}

/// A text of a stranger, fit to be shown: without characters that turn the words around it about or hide, and not
/// endless.
fn shown(text: &str) -> String {
    const LONGEST: usize = 200;
    let is_shown = |c: &char| {
        !c.is_control()
            && !matches!(*c, '\u{200B}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{2069}' | '\u{FEFF}')
    };
    let mut rest = text.chars().filter(is_shown);
    let mut shown: String = rest.by_ref().take(LONGEST).collect();
    if rest.next().is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests;
