//! The endpoints that programs call with a form, and authenticate to.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::post,
};
use serde::Serialize;
use serde_json::json;

use super::{House, cors, refusal, reply, request::Form};
use crate::{
    issuer::{Endpoint, ErrorCode, GrantType, OAuthError, Params},
    model::{Secret, UnixTime},
    telemetry::Grant,
};

/// The endpoints that clients in a browser call as well.
pub(super) fn open_routes(house: &Arc<House>) -> Router {
    let path = |endpoint| house.issuer.path_of(endpoint);
    let preflight = async || cors::preflight("POST");
    Router::new()
        .route(&path(Endpoint::Token), post(token).options(preflight))
        .route(&path(Endpoint::Revocation), post(revoke).options(preflight))
        .method_not_allowed_fallback(async || refusal(StatusCode::METHOD_NOT_ALLOWED))
        .with_state(Arc::clone(house))
}

/// The endpoints that no page of another origin may call.
pub(super) fn closed_routes(house: &Arc<House>) -> Router {
    let path = |endpoint| house.issuer.path_of(endpoint);
    Router::new()
        .route(&path(Endpoint::Introspection), post(introspect))
        .route(&path(Endpoint::DeviceAuthorization), post(device_authorization))
        .route(&path(Endpoint::PushedAuthorization), post(push))
        .method_not_allowed_fallback(async || refusal(StatusCode::METHOD_NOT_ALLOWED))
        .with_state(Arc::clone(house))
}

/// RFC 6749 §3.2.
async fn token(State(house): State<Arc<House>>, request: Request) -> Response {
    let form = match Form::read(request, &house.limits).await {
        Ok(form) => form,
        Err(problem) => return reply::problem(&problem),
    };
    match house.issuer.token(&form.call(UnixTime::now())).await {
        Ok(tokens) => {
            if let Some(grant) = grant(&form.params) {
                house.metrics.token_issued(grant);
            }
            reply::secret_json(StatusCode::OK, tokens.json())
        }
        Err(error) => house.oauth_error(&error),
    }
}

/// What a request that succeeded was counted as.
fn grant(params: &Params) -> Option<Grant> {
    Some(match GrantType::from_name(params.one("grant_type").ok()??)? {
        GrantType::AuthorizationCode => Grant::AuthorizationCode,
        GrantType::ClientCredentials => Grant::ClientCredentials,
        GrantType::DeviceCode => Grant::DeviceCode,
        GrantType::RefreshToken => Grant::RefreshToken,
    })
}

/// RFC 7009 §2.
async fn revoke(State(house): State<Arc<House>>, request: Request) -> Response {
    let form = match Form::read(request, &house.limits).await {
        Ok(form) => form,
        Err(problem) => return reply::problem(&problem),
    };
    match house.issuer.revoke(&form.call(UnixTime::now())).await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(error) => house.oauth_error(&error),
    }
}

/// RFC 7662 §2.
async fn introspect(State(house): State<Arc<House>>, request: Request) -> Response {
    let form = match Form::read(request, &house.limits).await {
        Ok(form) => form,
        Err(problem) => return reply::problem(&problem),
    };
    match house.issuer.introspect(&form.call(UnixTime::now())).await {
        Ok(introspection) => house.json(StatusCode::OK, &introspection),
        Err(error) => house.oauth_error(&error),
    }
}

/// RFC 8628 §3.1.
async fn device_authorization(State(house): State<Arc<House>>, request: Request) -> Response {
    let form = match Form::read(request, &house.limits).await {
        Ok(form) => form,
        Err(problem) => return reply::problem(&problem),
    };
    let answer = house.issuer.device_authorization(&form.call(UnixTime::now())).await;
    match answer.and_then(|device| device.to_json()) {
        Ok(document) => reply::secret_json(StatusCode::OK, &document),
        Err(error) => house.oauth_error(&error),
    }
}

/// RFC 9126 §2.
async fn push(State(house): State<Arc<House>>, request: Request) -> Response {
    let form = match Form::read(request, &house.limits).await {
        Ok(form) => form,
        Err(problem) => return reply::problem(&problem),
    };
    match house.issuer.push_authorization_request(&form.call(UnixTime::now())).await {
        Ok(pushed) => {
            let document =
                json!({"request_uri": pushed.request_uri, "expires_in": pushed.expires_in.as_secs()});
            house.json(StatusCode::CREATED, &document)
        }
        Err(error) => house.oauth_error(&error),
    }
}

impl House {
    fn oauth_error(&self, error: &OAuthError) -> Response {
        reply::oauth_error(error, &self.hostname)
    }

    pub(super) fn json(&self, status: StatusCode, document: &impl Serialize) -> Response {
        match serde_json::to_vec(document) {
            Ok(octets) => reply::secret_json(status, &Secret::from(octets)),
            Err(_) => {
                let error = OAuthError::new(ErrorCode::ServerError, "the answer cannot be written");
                reply::error_with_status(StatusCode::INTERNAL_SERVER_ERROR, &error)
            }
        }
    }
}
