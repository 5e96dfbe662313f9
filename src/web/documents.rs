use std::sync::Arc;

use async_trait::async_trait;
use axum::{
    Json, Router,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{MethodRouter, get},
};
use serde_json::Value;
use thiserror::Error;

use super::page;

/// How long a copy of the metadata is good, and of the keys: a new key must be seen before it signs.
const METADATA_CACHE: &str = "public, max-age=3600";
const KEYS_CACHE: &str = "public, max-age=300";

/// The documents that an issuer publishes.
#[async_trait]
pub trait Documents: Send + Sync + 'static {
    /// Authorization-server metadata (RFC 8414 §2).
    fn authorization_server(&self) -> Value;

    /// OpenID Provider metadata (OpenID Connect Discovery 1.0 §3).
    fn openid_configuration(&self) -> Value;

    /// Protected-resource metadata (RFC 9728 §2).
    fn protected_resource(&self) -> Value;

    /// The path of the keys, as `jwks_uri` names it.
    fn jwks_path(&self) -> &str;

    /// The public keys (RFC 7517 §5).
    async fn jwks(&self) -> Result<Value, Unavailable>;
}

/// A document cannot be read just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the document cannot be read just now")]
pub struct Unavailable;

pub(super) fn routes(documents: Arc<dyn Documents>) -> Router {
    let keys = Arc::clone(&documents);
    let keys_path = documents.jwks_path().to_owned();
    Router::new()
        .route("/.well-known/oauth-authorization-server", fixed(documents.authorization_server()))
        .route("/.well-known/openid-configuration", fixed(documents.openid_configuration()))
        .route("/.well-known/oauth-protected-resource", fixed(documents.protected_resource()))
        .route(&keys_path, readable_by_all(get(move || respond_keys(Arc::clone(&keys)))))
}

fn fixed(document: Value) -> MethodRouter {
    readable_by_all(get(async move || published(METADATA_CACHE, document.clone())))
}

async fn respond_keys(documents: Arc<dyn Documents>) -> Response {
    match documents.jwks().await {
        Ok(keys) => published(KEYS_CACHE, keys),
        Err(Unavailable) => {
            let mut response = page::refusal(StatusCode::SERVICE_UNAVAILABLE);
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
            response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            response
        }
    }
}

fn published(cache: &'static str, document: Value) -> Response {
    let headers = [(header::CACHE_CONTROL, cache), (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*")];
    (headers, Json(document)).into_response()
}

/// Answers the question that a browser asks before a script of another origin may read.
fn readable_by_all(route: MethodRouter) -> MethodRouter {
    route.options(async || {
        let headers = [
            (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
            (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD"),
            (header::ACCESS_CONTROL_ALLOW_HEADERS, "*"),
            (header::ACCESS_CONTROL_MAX_AGE, "86400"),
        ];
        (StatusCode::NO_CONTENT, headers)
    })
}
