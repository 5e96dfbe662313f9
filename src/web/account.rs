//! What people do on their account page.
//!
//! A form counts if a page of this server sent it, if somebody is signed in, and if its state was made for that very
//! session. Whatever it names is looked for among what belongs to that person.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};

use super::{
    House,
    messages::Messages,
    pages::{
        self, ACCOUNT_PATH, APP_PASSWORD_PATH, AccountView, DAYS, END_PATH, LANGUAGE_PATH, SEEN_PATH,
        SIGN_OUT_PATH, Typed,
    },
    request::{Form, Problem, Visit},
};
use crate::{
    issuer::{
        AccountGoal, Answer, AppPasswordAnswer, AppPasswordForm, AppPasswordPage, Caller, Page, PageError,
        SignedIn,
    },
    model::{GrantId, Protocol, SessionId, UnixTime},
};

pub(super) fn routes() -> Router<Arc<House>> {
    Router::new()
        .route(ACCOUNT_PATH, get(account))
        .route(APP_PASSWORD_PATH, get(app_password).post(make_app_password))
        .route(END_PATH, post(end))
        .route(SEEN_PATH, post(seen))
        .route(LANGUAGE_PATH, post(language))
        .route(SIGN_OUT_PATH, post(sign_out))
}

/// A form of somebody who is signed in.
struct Own {
    visit: Visit,
    form: Form,
    who: SignedIn,
    now: UnixTime,
}

async fn account(State(house): State<Arc<House>>, request: Request) -> Response {
    let (visit, now) = (Visit::of(&request), UnixTime::now());
    let frame = house.frame(visit.messages, now, None);
    let who = match house.issuer.signed_in_to_account(visit.account.as_ref(), now).await {
        Ok(Some(who)) => who,
        Ok(None) => {
            let goal = AccountGoal::Overview;
            let answer = house.issuer.account_sign_in(goal, None, visit.browser.as_ref(), now);
            return pages::respond(&answer, &frame);
        }
        Err(error) => return pages::respond(&page(error), &frame),
    };
    let told = house.issuer.account(&who, visit.browser.as_ref(), now).await;
    match told.and_then(|account| Ok((account, house.issuer.account_form(&who, now)?))) {
        Ok((account, state)) => {
            let sessions = house.sessions.of_user(who.user());
            let (user, state, sessions) = (who.user(), &*state, &*sessions);
            frame.account(&AccountView { user, state, account: &account, sessions })
        }
        Err(error) => pages::respond(&page(error), &frame),
    }
}

/// Ends a grant or closes a session, whichever the form names.
async fn end(State(house): State<Arc<House>>, request: Request) -> Response {
    let own = match house.own_account_form(request).await {
        Ok(own) => own,
        Err(response) => return *response,
    };
    let named =
        || -> Result<_, Problem> { Ok((own.form.params.one("grant")?, own.form.params.one("session")?)) };
    let ended = match named() {
        Ok((Some(grant), None)) => match grant.parse::<GrantId>() {
            Ok(grant) => house.end_grant(&own, grant).await,
            Err(_) => Err(no_choice()),
        },
        Ok((None, Some(session))) => match session.parse::<SessionId>() {
            Ok(session) => {
                // What has ended by itself is as good as ended.
                house.sessions.kill_of_user(session, own.who.user());
                Ok(())
            }
            Err(_) => Err(no_choice()),
        },
        Ok(_) | Err(_) => Err(no_choice()),
    };
    match ended {
        Ok(()) => to_account(),
        Err(error) => house.account_error(&error, &own.visit),
    }
}

async fn seen(State(house): State<Arc<House>>, request: Request) -> Response {
    let own = match house.own_account_form(request).await {
        Ok(own) => own,
        Err(response) => return *response,
    };
    match house.issuer.news_read(&own.who, own.visit.browser.as_ref()).await {
        Ok(()) => to_account(),
        Err(error) => house.account_error(&error, &own.visit),
    }
}

async fn language(State(house): State<Arc<House>>, request: Request) -> Response {
    let own = match house.own_account_form(request).await {
        Ok(own) => own,
        Err(response) => return *response,
    };
    let chosen = own.form.params.one("language").ok().flatten();
    let chosen = chosen.and_then(|lang| Messages::all().find(|messages| messages.lang == lang));
    let Some(chosen) = chosen else {
        return house.account_error(&no_choice(), &own.visit);
    };
    with_cookie(to_account(), pages::language_cookie(chosen.lang))
}

async fn sign_out(State(house): State<Arc<House>>, request: Request) -> Response {
    let own = match house.own_account_form(request).await {
        Ok(own) => own,
        Err(response) => return *response,
    };
    match house.issuer.sign_out_of_account(&own.who).await {
        Ok(()) => with_cookie(to_account(), pages::no_account_cookie()),
        Err(error) => house.account_error(&error, &own.visit),
    }
}

async fn app_password(State(house): State<Arc<House>>, request: Request) -> Response {
    let (visit, now) = (Visit::of(&request), UnixTime::now());
    let Some(caller) = request.extensions().get::<Arc<Caller>>() else {
        return super::refusal(StatusCode::INTERNAL_SERVER_ERROR);
    };
    let frame = house.frame(visit.messages, now, None);
    let browser = visit.browser.as_ref();
    let who = match house.issuer.signed_in_to_account(visit.account.as_ref(), now).await {
        Ok(Some(who)) => who,
        Ok(None) => {
            let answer = house.issuer.account_sign_in(AccountGoal::NewAppPassword, None, browser, now);
            return pages::respond(&answer, &frame);
        }
        Err(error) => return pages::respond(&page(error), &frame),
    };
    match house.issuer.app_password_page(&who, browser, caller, now).await {
        Ok(page) => {
            let protocols = vec![Protocol::Imap, Protocol::Smtp];
            let typed = Typed { protocols, days: "0".to_owned(), ..Typed::default() };
            frame.app_password(who.user(), &page, &typed, None)
        }
        Err(answer) => pages::respond(&answer, &frame),
    }
}

async fn make_app_password(State(house): State<Arc<House>>, request: Request) -> Response {
    let own = match house.own_account_form(request).await {
        Ok(own) => own,
        Err(response) => return *response,
    };
    let Own { visit, form, who, now } = own;
    let read = || -> Result<_, Problem> {
        let state = form.params.required("state")?;
        let password = form.params.secret("password")?;
        Ok((state, password, typed(&form)?))
    };
    let Ok((state, password, typed)) = read() else {
        return house.account_error(&no_choice(), &visit);
    };
    let needs_password = password.is_some() || form.params.iter().any(|(name, _)| name == "password");
    let filled = AppPasswordForm {
        state,
        name: &typed.name,
        protocols: if typed.is_send_only { vec![Protocol::Smtp] } else { typed.protocols.clone() },
        networks: &typed.networks,
        days: typed.days.parse().ok().filter(|days| *days > 0),
        password: password.unwrap_or_default(),
    };
    let browser = visit.browser.as_ref();
    let answer = house.issuer.make_own_app_password(&who, filled, (browser, &form.head.caller), now).await;
    let frame = house.frame(visit.messages, now, None);
    match answer {
        AppPasswordAnswer::Made(made) => frame.app_password_made(&made),
        AppPasswordAnswer::Again(error) => {
            let page = AppPasswordPage { state: state.to_owned(), needs_password };
            frame.app_password(who.user(), &page, &typed, Some(error))
        }
        AppPasswordAnswer::Other(Answer::Page(Page::Error(error))) => house.account_error(&error, &visit),
        AppPasswordAnswer::Other(answer) => pages::respond(&answer, &frame),
    }
}

/// What the page offers nobody.
const fn no_choice() -> PageError {
    PageError::BadRequest(String::new())
}

/// What was filled in. A browser sends nothing that the page does not offer.
fn typed(form: &Form) -> Result<Typed, Problem> {
    const LONGEST: usize = 4096;
    let text = |name: &str| -> Result<String, Problem> {
        let text = form.params.one(name)?.unwrap_or_default();
        Ok(text.chars().take(LONGEST).collect())
    };
    let odd =
        || Problem::from(crate::issuer::OAuthError::new(crate::issuer::ErrorCode::InvalidRequest, "odd"));
    let mut protocols = Vec::new();
    for protocol in Protocol::ALL {
        match form.params.one(protocol.as_str())? {
            None => {}
            Some("on") => protocols.push(protocol),
            Some(_) => return Err(odd()),
        }
    }
    let is_send_only = match form.params.one("use")? {
        Some("send") => true,
        Some("some") => false,
        Some(_) | None => return Err(odd()),
    };
    let days = text("days")?;
    if !DAYS.contains(&&*days) {
        return Err(odd());
    }
    Ok(Typed { name: text("name")?, protocols, is_send_only, networks: text("networks")?, days })
}

impl House {
    async fn own_account_form(&self, request: Request) -> Result<Own, Box<Response>> {
        let (visit, now) = (Visit::of(&request), UnixTime::now());
        let form = self.own_form(request, &visit).await?;
        let visit = visit.in_language(super::browser::language(&form.params));
        let who = match self.issuer.signed_in_to_account(visit.account.as_ref(), now).await {
            Ok(Some(who)) => who,
            // To the sign-in page.
            Ok(None) => return Err(Box::new(to_account())),
            Err(error) => return Err(Box::new(self.account_error(&error, &visit))),
        };
        let state = form.params.one("state").ok().flatten().unwrap_or_default();
        if !self.issuer.is_account_form(&who, state) {
            return Err(Box::new(self.account_error(&PageError::Stale, &visit)));
        }
        Ok(Own { visit, form, who, now })
    }

    /// What the form names and is not the person's is as if it were not there.
    async fn end_grant(&self, own: &Own, grant: GrantId) -> Result<(), PageError> {
        if self.issuer.end_own_grant(&own.who, grant, own.now).await? {
            // The feed tells every node, this one too; here nobody waits for it.
            self.sessions.end_grant(grant);
        }
        Ok(())
    }

    fn account_error(&self, error: &PageError, visit: &Visit) -> Response {
        let status = match error {
            PageError::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
            PageError::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            PageError::Answered | PageError::BadRequest(_) | PageError::Dead | PageError::Stale => {
                StatusCode::BAD_REQUEST
            }
        };
        self.frame(visit.messages, UnixTime::now(), None).account_error(error, status)
    }
}

fn page(error: PageError) -> Answer {
    Answer::Page(Page::Error(error))
}

/// 303, so that a reload sends no form again.
fn to_account() -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, ACCOUNT_PATH)]).into_response()
}

fn with_cookie(mut response: Response, cookie: HeaderValue) -> Response {
    response.headers_mut().append(header::SET_COOKIE, cookie);
    response
}
