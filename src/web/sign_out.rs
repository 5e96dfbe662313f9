//! Where trusted issuers tell that a person has signed out there (OpenID Connect Back-Channel Logout 1.0).

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::json;
use tokio::sync::Semaphore;

use super::{Limits, refusal, reply, request::Form};
use crate::{
    model::UnixTime,
    validator::{LogoutError, Validator},
};

/// Where the issuers send their logout tokens.
pub(super) const PATH: &str = "/oauth/backchannel-logout";

/// Tokens looked at at once. Anyone may send one, and each may cost a look at an issuer's keys.
const AT_ONCE: usize = 8;

struct Desk {
    validator: Arc<Validator>,
    limits: Limits,
    places: Semaphore,
}

pub(super) fn routes(validator: Arc<Validator>, limits: Limits) -> Router {
    let desk = Arc::new(Desk { validator, limits, places: Semaphore::new(AT_ONCE) });
    Router::new()
        .route(PATH, post(take))
        .method_not_allowed_fallback(async || refusal(StatusCode::METHOD_NOT_ALLOWED))
        .with_state(desk)
}

/// §2.7: 200 when the person is signed out here, 400 when the token is not good.
async fn take(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    let Ok(_place) = desk.places.try_acquire() else { return refusal(StatusCode::SERVICE_UNAVAILABLE) };
    let form = match Form::read(request, &desk.limits).await {
        Ok(form) => form,
        Err(problem) => return reply::problem(&problem),
    };
    let token = match form.params.required("logout_token") {
        Ok(token) => token,
        Err(error) => return refused(&error.to_string()),
    };
    match desk.validator.back_channel_logout(token, UnixTime::now()).await {
        Ok(logout) => {
            tracing::info!(issuer = %logout.issuer, "an issuer has signed somebody out");
            (StatusCode::OK, [(header::CACHE_CONTROL, "no-store")]).into_response()
        }
        Err(error @ (LogoutError::Store(_) | LogoutError::Unreachable(_))) => {
            tracing::warn!(%error, "an issuer's sign-out cannot be carried out now");
            refusal(StatusCode::SERVICE_UNAVAILABLE)
        }
        Err(error @ (LogoutError::Issuer | LogoutError::Replayed | LogoutError::Token(_))) => {
            refused(&error.to_string())
        }
    }
}

fn refused(description: &str) -> Response {
    let body = json!({ "error": "invalid_request", "error_description": description });
    (StatusCode::BAD_REQUEST, [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}
