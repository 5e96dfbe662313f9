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
use crate::{issuer::Endpoint, model::UnixTime};

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
    answer(METADATA_CACHE, house.issuer.protected_resource())
}

/// RFC 7517 §5.
fn keys(house: &House) -> Response {
    answer(KEYS_CACHE, house.issuer.jwks(UnixTime::now()))
}

fn answer(cache: &'static str, document: impl Serialize) -> Response {
    ([(header::CACHE_CONTROL, cache)], Json(document)).into_response()
}
