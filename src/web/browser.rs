//! What people reach: the authorization endpoint, the forms of its pages, the page for devices.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    http::{StatusCode, header},
    response::Response,
    routing::{get, post},
};

use super::{
    House,
    messages::Messages,
    pages::{self, CONSENT_PATH, Frame, MAILBOX_PATH, OUTSIDE_PATH, SIGN_IN_PATH},
    refusal,
    request::{Form, Problem, Visit},
};
use crate::{
    issuer::{Answer, Caller, Endpoint, PageError, Params, SignInForm},
    model::{Secret, UnixTime},
};

pub(super) fn routes(house: &Arc<House>) -> Router {
    let path = |endpoint| house.issuer.path_of(endpoint);
    Router::new()
        .route(&path(Endpoint::Authorization), get(authorize).post(authorize_by_form))
        .route(&path(Endpoint::EndSession), get(log_out).post(log_out_by_form))
        .route(SIGN_IN_PATH, post(sign_in))
        .route(OUTSIDE_PATH, post(outside))
        .route(&path(Endpoint::Callback), get(callback))
        .route(MAILBOX_PATH, post(mailbox))
        .route(CONSENT_PATH, post(consent))
        .route(&path(Endpoint::Device), get(device).post(device_code))
        .merge(super::account::routes())
        .method_not_allowed_fallback(async || refusal(StatusCode::METHOD_NOT_ALLOWED))
        .with_state(Arc::clone(house))
}

/// RFC 6749 §3.1.
async fn authorize(State(house): State<Arc<House>>, request: Request) -> Response {
    let visit = Visit::of(&request);
    match Params::parse(request.uri().query().unwrap_or_default().as_bytes()) {
        Ok(params) => house.authorize(visit, &params).await,
        Err(error) => house.refuse(&error.into(), &visit),
    }
}

/// The same, asked by a form (OpenID Connect Core §3.1.2.1), which the client's own page sends: so it may come from
/// anywhere.
async fn authorize_by_form(State(house): State<Arc<House>>, request: Request) -> Response {
    let visit = Visit::of(&request);
    match Form::read(request, &house.limits).await {
        Ok(form) => house.authorize(visit, &form.params).await,
        Err(problem) => house.refuse(&problem, &visit),
    }
}

async fn sign_in(State(house): State<Arc<House>>, request: Request) -> Response {
    let visit = Visit::of(&request);
    let form = match house.own_form(request, &visit).await {
        Ok(form) => form,
        Err(response) => return *response,
    };
    let visit = visit.in_language(language(&form.params));
    let read = || -> Result<_, Problem> {
        let login = form.params.one("login")?.unwrap_or_default();
        let password = form.params.secret("password")?.unwrap_or_default();
        Ok(SignInForm { state: form.params.required("state")?, login, password })
    };
    let fields = match read() {
        Ok(fields) => fields,
        Err(problem) => return house.refuse(&problem, &visit),
    };
    let typed = Some(fields.login).filter(|login| !login.is_empty());
    let now = UnixTime::now();
    let answer = house.issuer.sign_in(fields, visit.browser.as_ref(), &form.head.caller, now).await;
    house.leave_former_account(&answer, &visit, now).await;
    pages::respond(&answer, &house.frame(visit.messages, now, typed))
}

/// The button that leads to an outside provider.
async fn outside(State(house): State<Arc<House>>, request: Request) -> Response {
    let visit = Visit::of(&request);
    let form = match house.own_form(request, &visit).await {
        Ok(form) => form,
        Err(response) => return *response,
    };
    let visit = visit.in_language(language(&form.params));
    let state = match form.params.required("state") {
        Ok(state) => state,
        Err(error) => return house.refuse(&error.into(), &visit),
    };
    let now = UnixTime::now();
    let browser = visit.browser.as_ref();
    let answer = house.issuer.leave_for_outside(state, browser, &form.head.caller, now).await;
    pages::respond(&answer, &house.frame(visit.messages, now, None))
}

/// The way back from there. Another site sends the browser here, so nothing but the cookie says whose it is.
async fn callback(State(house): State<Arc<House>>, request: Request) -> Response {
    let visit = Visit::of(&request);
    let params = match Params::parse(request.uri().query().unwrap_or_default().as_bytes()) {
        Ok(params) => params,
        Err(error) => return house.refuse(&error.into(), &visit),
    };
    let Some(caller) = request.extensions().get::<Arc<Caller>>() else {
        return refusal(StatusCode::INTERNAL_SERVER_ERROR);
    };
    let now = UnixTime::now();
    let answer = house.issuer.return_from_outside(&params, visit.browser.as_ref(), caller, now).await;
    house.leave_former_account(&answer, &visit, now).await;
    pages::respond(&answer, &house.frame(visit.messages, now, None))
}

/// The mailbox password of somebody who signed in elsewhere.
async fn mailbox(State(house): State<Arc<House>>, request: Request) -> Response {
    let visit = Visit::of(&request);
    let form = match house.own_form(request, &visit).await {
        Ok(form) => form,
        Err(response) => return *response,
    };
    let visit = visit.in_language(language(&form.params));
    let read = || -> Result<_, Problem> {
        Ok((form.params.required("state")?, form.params.secret("password")?.unwrap_or_default()))
    };
    let (state, password) = match read() {
        Ok(fields) => fields,
        Err(problem) => return house.refuse(&problem, &visit),
    };
    let now = UnixTime::now();
    let browser = visit.browser.as_ref();
    let answer = house.issuer.mailbox_password(state, &password, browser, &form.head.caller, now).await;
    pages::respond(&answer, &house.frame(visit.messages, now, None))
}

async fn consent(State(house): State<Arc<House>>, request: Request) -> Response {
    let visit = Visit::of(&request);
    let form = match house.own_form(request, &visit).await {
        Ok(form) => form,
        Err(response) => return *response,
    };
    let visit = visit.in_language(language(&form.params));
    let read =
        || -> Result<_, Problem> { Ok((form.params.required("state")?, form.params.required("decision")?)) };
    let (state, allow) = match read() {
        Ok((state, "allow")) => (state, true),
        Ok((state, "deny")) => (state, false),
        Ok(_) => return house.stale(StatusCode::BAD_REQUEST, &visit),
        Err(problem) => return house.refuse(&problem, &visit),
    };
    let now = UnixTime::now();
    let answer = house.issuer.decide(state, allow, visit.browser.as_ref(), now).await;
    pages::respond(&answer, &house.frame(visit.messages, now, None))
}

/// OpenID Connect RP-Initiated Logout §2: who holds the ID token may ask, from anywhere.
async fn log_out(State(house): State<Arc<House>>, request: Request) -> Response {
    let visit = Visit::of(&request);
    match Params::parse(request.uri().query().unwrap_or_default().as_bytes()) {
        Ok(params) => house.log_out(visit, &params).await,
        Err(error) => house.refuse(&error.into(), &visit),
    }
}

async fn log_out_by_form(State(house): State<Arc<House>>, request: Request) -> Response {
    let visit = Visit::of(&request);
    match Form::read(request, &house.limits).await {
        Ok(form) => house.log_out(visit, &form.params).await,
        Err(problem) => house.refuse(&problem, &visit),
    }
}

/// RFC 8628 §3.3.
async fn device(State(house): State<Arc<House>>, request: Request) -> Response {
    let visit = Visit::of(&request);
    let params = match Params::parse(request.uri().query().unwrap_or_default().as_bytes()) {
        Ok(params) => params,
        Err(error) => return house.refuse(&error.into(), &visit),
    };
    let user_code = match params.one("user_code") {
        Ok(user_code) => user_code,
        Err(error) => return house.refuse(&error.into(), &visit),
    };
    let answer = house.issuer.device_page(user_code);
    pages::respond(&answer, &house.frame(visit.messages, UnixTime::now(), None))
}

async fn device_code(State(house): State<Arc<House>>, request: Request) -> Response {
    let visit = Visit::of(&request);
    let form = match house.own_form(request, &visit).await {
        Ok(form) => form,
        Err(response) => return *response,
    };
    let visit = visit.in_language(language(&form.params));
    let user_code = match form.params.one("user_code") {
        Ok(user_code) => user_code.unwrap_or_default(),
        Err(error) => return house.refuse(&Problem::from(error), &visit),
    };
    let now = UnixTime::now();
    let browser: Option<&Secret> = visit.browser.as_ref();
    let answer = house.issuer.device_lookup(user_code, browser, &form.head.caller, now).await;
    pages::respond(&answer, &house.frame(visit.messages, now, None))
}

/// The language that a page of ours was in.
pub(super) fn language(params: &Params) -> Option<&'static Messages> {
    params.one("lang").ok().flatten().and_then(Messages::named)
}

impl House {
    async fn authorize(&self, visit: Visit, params: &Params) -> Response {
        let locales = params.one("ui_locales").ok().flatten();
        let visit = visit.in_language(locales.and_then(Messages::of_locales));
        let now = UnixTime::now();
        let answer: Answer = self.issuer.authorize(params, visit.browser.as_ref(), now).await;
        pages::respond(&answer, &self.frame(visit.messages, now, None))
    }

    async fn log_out(&self, visit: Visit, params: &Params) -> Response {
        let locales = params.one("ui_locales").ok().flatten();
        let visit = visit.in_language(locales.and_then(Messages::of_locales));
        let now = UnixTime::now();
        let answer = self.issuer.log_out(params, now).await;
        pages::respond(&answer, &self.frame(visit.messages, now, None))
    }

    /// Who signs in to the account page anew is signed out of where this browser was before. That it cannot be ended
    /// now does no harm: it ends by itself.
    async fn leave_former_account(&self, answer: &Answer, visit: &Visit, now: UnixTime) {
        if !matches!(answer, Answer::SignedIn(_)) {
            return;
        }
        if let Ok(Some(former)) = self.issuer.signed_in_to_account(visit.account.as_ref(), now).await {
            let _ = self.issuer.sign_out_of_account(&former).await;
        }
    }

    /// Reads a form that only a page of this server may send.
    pub(super) async fn own_form(&self, request: Request, visit: &Visit) -> Result<Form, Box<Response>> {
        if !visit.is_ours {
            return Err(Box::new(self.stale(StatusCode::FORBIDDEN, visit)));
        }
        Form::read(request, &self.limits).await.map_err(|problem| Box::new(self.refuse(&problem, visit)))
    }

    fn stale(&self, status: StatusCode, visit: &Visit) -> Response {
        pages::refuse(&PageError::Stale, status, &self.frame(visit.messages, UnixTime::now(), None))
    }

    fn refuse(&self, problem: &Problem, visit: &Visit) -> Response {
        let error = PageError::BadRequest(problem.error.description.to_string());
        let frame = self.frame(visit.messages, UnixTime::now(), None);
        let mut response = pages::refuse(&error, problem.status, &frame);
        if problem.status == StatusCode::REQUEST_TIMEOUT || problem.status == StatusCode::PAYLOAD_TOO_LARGE {
            response.headers_mut().insert(header::CONNECTION, axum::http::HeaderValue::from_static("close"));
        }
        response
    }

    /// What every page needs.
    pub(super) fn frame<'a>(
        &'a self,
        messages: &'static Messages,
        now: UnixTime,
        typed: Option<&'a str>,
    ) -> Frame<'a> {
        Frame {
            host: &self.hostname,
            messages,
            now,
            device_url: &self.device_url,
            device_path: &self.device_path,
            typed,
        }
    }
}
