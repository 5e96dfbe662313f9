//! Answers for programs.

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use serde_json::json;

use super::request::Problem;
use crate::{
    issuer::{ErrorCode, OAuthError},
    model::Secret,
};

/// When to come back where nobody knows, in seconds.
const RETRY_AFTER: u64 = 5;
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A document with secrets in it, which is wiped when it is sent.
pub(super) fn secret_json(status: StatusCode, document: &Secret) -> Response {
    /// What `Bytes` needs to own a secret.
    struct Octets(Secret);
    impl AsRef<[u8]> for Octets {
        fn as_ref(&self) -> &[u8] {
            self.0.expose()
        }
    }
    let octets = Bytes::from_owner(Octets(document.clone()));
    (status, [(header::CONTENT_TYPE, JSON)], Body::from(octets)).into_response()
}

/// An error as RFC 6749 §5.2 writes it, for a client that authenticates. `realm` is the name of this server.
pub(super) fn oauth_error(error: &OAuthError, realm: &str) -> Response {
    let mut response = error_with_status(status(error.code), error);
    let headers = response.headers_mut();
    // Every 401 has a challenge (RFC 9110 §15.5.2), and this is the one scheme that clients authenticate by.
    if error.code == ErrorCode::InvalidClient
        && let Ok(challenge) = HeaderValue::from_str(&format!("Basic realm=\"{realm}\", charset=\"UTF-8\""))
    {
        headers.insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

/// A request that could not be read.
pub(super) fn problem(problem: &Problem) -> Response {
    let mut response = error_with_status(problem.status, &problem.error);
    // What is left of the body is not wanted.
    if problem.status == StatusCode::REQUEST_TIMEOUT || problem.status == StatusCode::PAYLOAD_TOO_LARGE {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// An error with another status than its own.
pub(super) fn error_with_status(status: StatusCode, error: &OAuthError) -> Response {
    let document = json!({"error": error.code.as_str(), "error_description": &*error.description});
    let mut response = (status, [(header::CONTENT_TYPE, JSON)], document.to_string()).into_response();
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER.into());
    }
    response
}

/// An error of an endpoint that takes bearer tokens (RFC 6750 §3.1). `challenge` begins the header
/// `WWW-Authenticate`; with no token there is no error in it.
pub(super) fn bearer_error(error: &OAuthError, challenge: &str, has_token: bool) -> Response {
    let status = status(error.code);
    let mut response = error_with_status(status, error);
    let is_challenge = status == StatusCode::UNAUTHORIZED || status == StatusCode::FORBIDDEN;
    let challenge = match (is_challenge, has_token) {
        (false, _) => return response,
        (true, false) => challenge.to_owned(),
        (true, true) => format!(
            "{challenge}, error=\"{}\", error_description=\"{}\"",
            error.code.as_str(),
            error.description
        ),
    };
    if let Ok(challenge) = HeaderValue::from_str(&challenge) {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

fn status(code: ErrorCode) -> StatusCode {
    if [ErrorCode::InvalidClient, ErrorCode::InvalidToken].contains(&code) {
        return StatusCode::UNAUTHORIZED;
    }
    if code == ErrorCode::InsufficientScope {
        return StatusCode::FORBIDDEN;
    }
    if code == ErrorCode::TemporarilyUnavailable {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    if code == ErrorCode::ServerError {
        return StatusCode::INTERNAL_SERVER_ERROR;
    }
    StatusCode::BAD_REQUEST
}
