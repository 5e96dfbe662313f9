//! What browsers and OAuth clients reach by HTTPS: the issuer's endpoints, its pages, its documents.
//!
//! Invariants:
//! - this room parses, calls and renders; every decision and every document is the issuer's;
//! - every answer carries the security headers, the refusals too; pages need no script and load nothing from
//!   elsewhere; nothing but published documents is kept in a cache;
//! - scripts of another origin may read metadata and keys, and call the endpoints for tokens, revocation and
//!   registration, and nothing else;
//! - only a page of this server can send its forms: what the browser says of the sender, the cookie, and the state
//!   inside the form must all agree;
//! - a client that is slow, silent or endless costs one bounded buffer for a bounded time, and one address cannot
//!   take every place;
//! - a password, a token or a code is wiped after use and stands in no address, log or error page.
//!
//! It must not know sockets, certificates or mail servers: the listener hands it a stream and says who is there.

mod account;
mod browser;
mod cors;
mod documents;
mod guard;
mod messages;
mod oauth;
mod pages;
mod qr;
mod registration;
mod reply;
mod request;
mod serve;
mod setup;
mod sign_out;
mod userinfo;

use std::sync::Arc;

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    middleware::{from_fn_with_state, map_response},
    response::{IntoResponse, Response},
    routing::get,
};

pub use guard::Limits;
pub use qr::{qr_svg, qr_terminal};
pub use serve::{Timeouts, serve_connection, serve_connection_with};

use self::{
    guard::{Audience, Gate, Guard},
    pages::{Home, STYLE_PATH},
    request::Visit,
};
use crate::{
    issuer::{self, Issuer},
    session::Registry,
    setup::Offer,
    telemetry::Metrics,
    validator::Validator,
};

/// What the HTTPS listeners serve.
#[derive(Clone, Debug)]
pub struct Site {
    /// The public name.
    pub hostname: Arc<str>,
    /// The built-in issuer, if there is one.
    pub issuer: Option<Arc<Issuer>>,
    /// The issuers elsewhere whose tokens the mail service takes.
    pub trusted: Vec<Arc<str>>,
    /// Takes their word that somebody has signed out there; `None` where none of them knows us as a client.
    pub sign_outs: Option<Arc<Validator>>,
    /// What mail clients are told.
    pub setup: Arc<Offer>,
    /// The mail sessions of this process.
    pub sessions: Arc<Registry>,
    /// How much of this server requests can take up.
    pub limits: Limits,
    /// Where issued tokens are counted.
    pub metrics: Arc<Metrics>,
}

/// What every endpoint needs.
struct House {
    hostname: Arc<str>,
    trusted: Vec<Arc<str>>,
    issuer: Arc<Issuer>,
    sessions: Arc<Registry>,
    limits: Limits,
    metrics: Arc<Metrics>,
    gate: Gate,
    device_url: String,
    device_path: String,
    /// Begins the challenge of what takes bearer tokens (RFC 6750 §3, RFC 9728 §5.1).
    challenge: String,
}

/// The routes of `site`. Each request must carry an `Arc<`[`issuer::Caller`]`>` among its extensions, as
/// [`serve_connection`] puts it there.
pub fn router(site: Site) -> Router {
    let hsts = hsts(&site.hostname);
    let device_path = site.issuer.as_ref().map(|issuer| issuer.path_of(issuer::Endpoint::Device));
    let home = Home::new(&site.setup, device_path.as_deref());
    let desk = setup::Desk::new(site.setup, site.limits.clone());
    let mut router = Router::new()
        .route("/", get(async move |request: Request| home.respond(Visit::of(&request).messages)))
        .route(STYLE_PATH, get(async || pages::style()))
        .merge(setup::routes(&desk));
    if let Some(validator) = site.sign_outs {
        router = router.merge(sign_out::routes(validator, site.limits.clone()));
    }
    match site.issuer {
        Some(issuer) => {
            let mut house = House::new(site.hostname, issuer, site.limits, site.metrics);
            house.sessions = site.sessions;
            house.trusted = site.trusted;
            router = router.merge(routes(&Arc::new(house)));
        }
        None if site.trusted.is_empty() => {}
        None => router = router.merge(documents::without_issuer(&site.hostname, &site.trusted)),
    }
    router
        .fallback(async move |request: Request| setup::fallback(&desk, request).await)
        .method_not_allowed_fallback(async || refusal(StatusCode::METHOD_NOT_ALLOWED))
        .layer(map_response(move |response: Response| {
            let secured = secure(response, hsts.as_ref());
            async { secured }
        }))
}

/// Every endpoint of the issuer. The layers stand in this order: what counts requests is inside of what lets other
/// origins read the answers, so that they can read a refusal too.
fn routes(house: &Arc<House>) -> Router {
    let guarded = |routes: Router, audience| {
        let guard = Guard { house: Arc::clone(house), audience };
        routes.layer(DefaultBodyLimit::disable()).layer(from_fn_with_state(guard, guard::guard))
    };
    let open = oauth::open_routes(house).merge(registration::routes(house));
    let closed = oauth::closed_routes(house).merge(userinfo::routes(house));
    documents::routes(house)
        .merge(cors::for_everyone(guarded(open, Audience::Client)))
        .merge(guarded(closed, Audience::Client))
        .merge(guarded(browser::routes(house), Audience::Browser))
}

impl House {
    fn new(hostname: Arc<str>, issuer: Arc<Issuer>, limits: Limits, metrics: Arc<Metrics>) -> Self {
        let resource = issuer.protected_resource().resource;
        Self {
            device_url: issuer.url_of(issuer::Endpoint::Device),
            device_path: issuer.path_of(issuer::Endpoint::Device),
            challenge: format!(
                "Bearer realm=\"{hostname}\", \
                 resource_metadata=\"{resource}/.well-known/oauth-protected-resource\""
            ),
            metrics,
            hostname,
            trusted: Vec::new(),
            sessions: Arc::default(),
            issuer,
            limits,
            gate: Gate::default(),
        }
    }
}

/// An answer that only says its status.
fn refusal(status: StatusCode) -> Response {
    let reason = status.canonical_reason().unwrap_or("refused");
    (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], format!("{reason}\n")).into_response()
}

/// Adds what every answer carries.
fn secure(mut response: Response, hsts: Option<&HeaderValue>) -> Response {
    const ALWAYS: [(HeaderName, &str); 5] = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (
            HeaderName::from_static("permissions-policy"),
            "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
        ),
    ];
    const POLICY: &str = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    let headers = response.headers_mut();
    for (name, value) in ALWAYS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(POLICY));
    if let Some(hsts) = hsts {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, hsts.clone());
    }
    keep_out_of_caches(headers);
    response
}

/// Published documents say themselves how long they are good.
fn keep_out_of_caches(headers: &mut HeaderMap) {
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    }
    if !headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN) {
        headers.insert(
            HeaderName::from_static("cross-origin-resource-policy"),
            HeaderValue::from_static("same-origin"),
        );
    }
}

/// A browser that has once been here comes by TLS alone (RFC 6797). Not on a development machine: there the rule
/// would hold for every port, and so for the http redirects of programs on it (RFC 8252 §7.3).
fn hsts(hostname: &str) -> Option<HeaderValue> {
    let is_local = hostname == "localhost" || hostname.ends_with(".localhost");
    (!is_local).then_some(HeaderValue::from_static("max-age=31536000"))
}
