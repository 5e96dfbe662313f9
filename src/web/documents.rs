use axum::{
    Json, Router,
    http::{HeaderName, StatusCode, header},
    response::IntoResponse,
    routing::{MethodRouter, get},
};
use serde::Serialize;
use serde_json::Value;

use crate::issuer::{Issuer, IssuerError};

/// How long a copy of the metadata is good, and of the keys: a new key must be seen before it signs.
const METADATA_CACHE: &str = "public, max-age=3600";
const KEYS_CACHE: &str = "public, max-age=300";

/// The documents that an issuer publishes, as they are when this is made.
#[derive(Clone, Debug)]
pub struct Documents {
    /// Authorization-server metadata (RFC 8414 §2); OpenID Connect Discovery reads the same document.
    pub metadata: Value,
    /// Protected-resource metadata (RFC 9728 §2).
    pub protected_resource: Value,
    /// The public keys (RFC 7517 §5).
    pub keys: Value,
    /// The path of the keys, as `jwks_uri` names it.
    pub keys_path: String,
}

impl Documents {
    /// Reads them from `issuer`.
    ///
    /// # Errors
    /// [`IssuerError`] when a key cannot be shown.
    pub fn of(issuer: &Issuer) -> Result<Self, IssuerError> {
        Ok(Self {
            metadata: json(issuer.metadata()),
            protected_resource: json(issuer.protected_resource()),
            keys: json(issuer.jwks()?),
            keys_path: issuer.jwks_path(),
        })
    }

    /// All at the root of the host: the configuration takes no issuer with a path.
    pub(super) fn routes(self) -> Router {
        Router::new()
            .route(
                "/.well-known/oauth-authorization-server",
                published(METADATA_CACHE, self.metadata.clone()),
            )
            .route("/.well-known/openid-configuration", published(METADATA_CACHE, self.metadata))
            .route(
                "/.well-known/oauth-protected-resource",
                published(METADATA_CACHE, self.protected_resource),
            )
            .route(&self.keys_path, published(KEYS_CACHE, self.keys))
    }
}

/// The documents are plain records; a record always is JSON.
fn json(document: impl Serialize) -> Value {
    serde_json::to_value(document).unwrap_or_default()
}

/// A document that scripts of every origin may read, and the answer to the question that a browser asks before.
fn published(cache: &'static str, document: Value) -> MethodRouter {
    const EVERYONE: (HeaderName, &str) = (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*");
    get(async move || ([EVERYONE, (header::CACHE_CONTROL, cache)], Json(document.clone())).into_response())
        .options(async || {
            let headers = [
                EVERYONE,
                (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD"),
                (header::ACCESS_CONTROL_ALLOW_HEADERS, "*"),
                (header::ACCESS_CONTROL_MAX_AGE, "86400"),
            ];
            (StatusCode::NO_CONTENT, headers)
        })
}
