//! Serves the documents by which mail clients set themselves up.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::Request,
    http::{HeaderMap, Method, StatusCode, header, uri::Authority},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::json;
use tokio::sync::Semaphore;

use super::{Limits, refusal, reply, request};
use crate::setup::{self, Address, ERROR_INVALID_REQUEST, ERROR_UNKNOWN_PROVIDER, Offer, Version};

/// Where clients ask for these in whatever case they like.
const AUTODISCOVER: &str = "/autodiscover/autodiscover.xml";
const AUTODISCOVER_V2: &str = "/autodiscover/autodiscover.json";

pub(super) const ADD_ON: &str = "/mail/thunderbird.xpi";
pub(super) const PREFERENCES: &str = "/mail/thunderbird-prefs.txt";
pub(super) const APPLE: &str = "/mail/apple.mobileconfig";

/// How long a copy is good. Listeners change rarely, and clients ask once.
const CACHE: &str = "public, max-age=3600";
const XML: &str = "text/xml; charset=utf-8";
/// Largest request of Autodiscover, in octets.
const LARGEST_REQUEST: usize = 16 * 1024;
/// Requests of Autodiscover read at once.
const AT_ONCE: usize = 128;

/// What the handlers need.
pub(super) struct Desk {
    offer: Arc<Offer>,
    limits: Limits,
    places: Semaphore,
}

/// The parameter `emailaddress` of a request.
enum Asked {
    Nothing,
    Address(Address),
    Nonsense,
}

impl Desk {
    pub(super) fn new(offer: Arc<Offer>, limits: Limits) -> Arc<Self> {
        Arc::new(Self { offer, limits, places: Semaphore::new(AT_ONCE) })
    }
}

pub(super) fn routes(desk: &Arc<Desk>) -> Router {
    let document = |respond: fn(&Offer, &Request) -> Response| {
        let offer = Arc::clone(&desk.offer);
        get(async move |request: Request| respond(&offer, &request))
    };
    Router::new()
        .route("/mail/config-v1.1.xml", document(|offer, request| autoconfig(offer, request, Version::V1_1)))
        .route(
            "/.well-known/autoconfig/mail/config-v1.1.xml",
            document(|offer, request| autoconfig(offer, request, Version::V1_1)),
        )
        .route("/mail/config-v1.2.xml", document(|offer, request| autoconfig(offer, request, Version::V1_2)))
        .route(
            "/.well-known/autoconfig/mail/config-v1.2.xml",
            document(|offer, request| autoconfig(offer, request, Version::V1_2)),
        )
        .route("/.well-known/user-agent-configuration.json", document(|offer, _| pacc(offer)))
        .route(APPLE, document(apple))
        .route(ADD_ON, document(|offer, _| add_on(offer)))
        .route(PREFERENCES, document(|offer, _| preferences(offer)))
}

/// What has no route of its own: Autodiscover, as its clients do not agree on upper and lower case.
pub(super) async fn fallback(desk: &Desk, request: Request) -> Response {
    let path = request.uri().path();
    if path.eq_ignore_ascii_case(AUTODISCOVER_V2) {
        return autodiscover_v2(&desk.offer, &request);
    }
    if !path.eq_ignore_ascii_case(AUTODISCOVER) {
        return refusal(StatusCode::NOT_FOUND);
    }
    if request.method() != Method::POST {
        let mut response = refusal(StatusCode::METHOD_NOT_ALLOWED);
        response.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static("POST"));
        return response;
    }
    autodiscover(desk, request).await
}

fn autoconfig(offer: &Offer, request: &Request, version: Version) -> Response {
    let address = match asked(request) {
        Asked::Address(address) => Some(address),
        Asked::Nonsense => return refusal(StatusCode::BAD_REQUEST),
        Asked::Nothing => None,
    };
    let domain = offer.domain(address.as_ref(), &host(request));
    match domain.and_then(|domain| setup::autoconfig(offer, domain, version)) {
        Some(document) => published(XML, document),
        None => refusal(StatusCode::NOT_FOUND),
    }
}

fn pacc(offer: &Offer) -> Response {
    setup::pacc(offer)
        .map_or_else(|| refusal(StatusCode::NOT_FOUND), |document| published("application/json", document))
}

/// A profile without a password, which the device asks for.
fn apple(offer: &Offer, request: &Request) -> Response {
    let Asked::Address(address) = asked(request) else { return refusal(StatusCode::BAD_REQUEST) };
    match setup::mobile_profile(offer, &address, None) {
        Some(profile) => {
            let mut response = attachment(
                "application/x-apple-aspen-config",
                "mail.mobileconfig",
                profile.expose().to_vec(),
            );
            // It is about one person.
            response.headers_mut().remove(header::CACHE_CONTROL);
            response
        }
        None => refusal(StatusCode::NOT_FOUND),
    }
}

fn add_on(offer: &Offer) -> Response {
    setup::add_on(offer).map_or_else(
        || refusal(StatusCode::NOT_FOUND),
        // Under its own type Firefox would take it for one of its own, and refuse to install it.
        |add_on| attachment("application/octet-stream", "thunderbird.xpi", add_on),
    )
}

fn preferences(offer: &Offer) -> Response {
    setup::preferences(offer).map_or_else(
        || refusal(StatusCode::NOT_FOUND),
        |preferences| published("text/plain; charset=utf-8", preferences),
    )
}

async fn autodiscover(desk: &Desk, request: Request) -> Response {
    let Ok(_place) = desk.places.try_acquire() else { return refusal(StatusCode::SERVICE_UNAVAILABLE) };
    let body = match request::octets(request.into_body(), LARGEST_REQUEST, desk.limits.body).await {
        Ok(body) => body,
        Err(problem) => return reply::problem(&problem),
    };
    // Clients take the refusal from the document, not from the status.
    let document = match setup::requested_address(&body) {
        None => setup::autodiscover_error(ERROR_INVALID_REQUEST, "Invalid Request"),
        Some(address) => setup::autodiscover(&desk.offer, &address).unwrap_or_else(|| {
            setup::autodiscover_error(ERROR_UNKNOWN_PROVIDER, "There is nothing for this address")
        }),
    };
    ([(header::CONTENT_TYPE, XML)], document).into_response()
}

/// Autodiscover by JSON is Exchange's own; what is left of it here is where the XML one is.
fn autodiscover_v2(offer: &Offer, request: &Request) -> Response {
    let query = request.uri().query().unwrap_or_default();
    let is_v1 = form_urlencoded::parse(query.as_bytes()).any(|(name, value)| {
        name.eq_ignore_ascii_case("protocol") && value.eq_ignore_ascii_case("autodiscoverv1")
    });
    let url = offer.page(AUTODISCOVER).filter(|_| is_v1 && offer.takes_passwords());
    match url {
        Some(url) => Json(json!({ "Protocol": "AutodiscoverV1", "Url": url })).into_response(),
        None => {
            let error = json!({
                "ErrorCode": "InvalidProtocol",
                "ErrorMessage": "This server has no Exchange protocol. Ask for AutodiscoverV1, or use IMAP and SMTP.",
            });
            (StatusCode::BAD_REQUEST, Json(error)).into_response()
        }
    }
}

fn asked(request: &Request) -> Asked {
    let query = request.uri().query().unwrap_or_default();
    let mut values = form_urlencoded::parse(query.as_bytes())
        .filter(|(name, _)| name.eq_ignore_ascii_case("emailaddress"))
        .map(|(_, value)| value);
    match (values.next(), values.next()) {
        (None, _) => Asked::Nothing,
        (Some(value), None) => Address::parse(&value).map_or(Asked::Nonsense, Asked::Address),
        (Some(_), Some(_)) => Asked::Nonsense,
    }
}

/// The host that was asked, HTTP/2 first; empty if it is no text.
fn host(request: &Request) -> String {
    let of_header = |headers: &HeaderMap| headers.get(header::HOST)?.to_str().ok().map(str::to_owned);
    let authority = request.uri().authority().map(Authority::to_string);
    authority.or_else(|| of_header(request.headers())).unwrap_or_default()
}

fn published(media_type: &'static str, document: String) -> Response {
    ([(header::CONTENT_TYPE, media_type), (header::CACHE_CONTROL, CACHE)], document).into_response()
}

fn attachment(media_type: &'static str, name: &str, octets: Vec<u8>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, media_type.to_owned()),
        (header::CACHE_CONTROL, CACHE.to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
    ];
    (headers, octets).into_response()
}
