use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{MethodRouter, get},
};
use serde::Serialize;

use super::{House, cors, refusal};
use crate::{
    issuer::{Endpoint, ProtectedResource},
    model::UnixTime,
};

/// How long a copy of the metadata is good, and of the keys: a new key must be seen before it signs.
const METADATA_CACHE: &str = "public, max-age=3600";
const KEYS_CACHE: &str = "public, max-age=300";

/// What the issuer publishes, as it is at the moment: keys come and go while the server runs.
///
/// All at the root of the host: the configuration takes no issuer with a path.
pub(super) fn routes(house: &Arc<House>) -> Router {
    let routes = Router::new()
        .route("/.well-known/oauth-authorization-server", published(metadata))
        .route("/.well-known/openid-configuration", published(metadata))
        .route("/.well-known/oauth-protected-resource", published(protected_resource))
        .route(&house.issuer.path_of(Endpoint::Keys), published(keys))
        .method_not_allowed_fallback(async || refusal(StatusCode::METHOD_NOT_ALLOWED));
    cors::for_everyone(routes.with_state(Arc::clone(house)))
}

fn published(document: fn(&House) -> Response) -> MethodRouter<Arc<House>> {
    get(async move |State(house): State<Arc<House>>| document(&house))
        .options(async || cors::preflight("GET, HEAD"))
}

/// Authorization-server metadata (RFC 8414 §3.2); OpenID Connect Discovery reads the same document.
fn metadata(house: &House) -> Response {
    answer(METADATA_CACHE, house.issuer.metadata())
}

/// RFC 9728 §3.2.
fn protected_resource(house: &House) -> Response {
    let mut document = house.issuer.protected_resource();
    document.authorization_servers.extend(house.trusted.iter().map(ToString::to_string));
    answer(METADATA_CACHE, document)
}

/// What is left where nobody is issued a token here: whose tokens the mail service takes.
pub(super) fn without_issuer(hostname: &str, trusted: &[Arc<str>]) -> Router {
    let document = ProtectedResource {
        resource: format!("https://{hostname}"),
        authorization_servers: trusted.iter().map(ToString::to_string).collect(),
        scopes_supported: Vec::new(),
    };
    let routes = Router::new()
        .route(
            "/.well-known/oauth-protected-resource",
            get(async move || answer(METADATA_CACHE, document))
                .options(async || cors::preflight("GET, HEAD")),
        )
        .method_not_allowed_fallback(async || refusal(StatusCode::METHOD_NOT_ALLOWED));
    cors::for_everyone(routes)
}

/// RFC 7517 §5.
fn keys(house: &House) -> Response {
    answer(KEYS_CACHE, house.issuer.jwks(UnixTime::now()))
}

fn answer(cache: &'static str, document: impl Serialize) -> Response {
    ([(header::CACHE_CONTROL, cache)], Json(document)).into_response()
}
