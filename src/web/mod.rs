//! What browsers and OAuth clients reach by HTTPS: the metadata documents, the public keys, one page.
//!
//! Invariants:
//! - this room parses, calls and renders; every decision and every document is the issuer's;
//! - every answer carries the security headers, the refusals too; pages run no script and load nothing from
//!   elsewhere;
//! - another origin may read metadata and keys, and nothing else;
//! - a client that is slow, silent or endless costs one bounded buffer for a bounded time.
//!
//! It must not know sockets, certificates or mail servers: the listener hands it a stream.

mod documents;
mod page;
mod serve;

use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::{HeaderValue, StatusCode, header},
    middleware::map_response,
    response::Response,
    routing::get,
};

pub use documents::Documents;
pub use page::{Endpoint, Security};
pub use serve::{Timeouts, serve_connection, serve_connection_with};

/// Largest request body read, in octets.
const BODY_LIMIT: usize = 64 * 1024;

/// What the HTTPS listeners serve.
#[derive(Clone, Debug)]
pub struct Site {
    /// The public name.
    pub hostname: Arc<str>,
    /// The issuer's documents; `None` without a built-in issuer.
    pub documents: Option<Documents>,
    /// What mail clients can be set up with.
    pub endpoints: Vec<Endpoint>,
}

/// The routes of `site`.
pub fn router(site: Site) -> Router {
    let page = page::Page::render(&site.hostname, &site.endpoints, site.documents.is_some());
    let pages = Router::new()
        .route("/", get(move || async move { page.respond() }))
        .route(page::STYLE_PATH, get(async || page::style()));
    let pages = match site.documents {
        Some(documents) => pages.merge(documents.routes()),
        None => pages,
    };
    pages
        .fallback(async || page::refusal(StatusCode::NOT_FOUND))
        .method_not_allowed_fallback(async || page::refusal(StatusCode::METHOD_NOT_ALLOWED))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(map_response(secure))
}

/// Adds what every answer carries.
async fn secure(mut response: Response) -> Response {
    const POLICY: &str = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; \
                          frame-ancestors 'none'";
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
