//! Clients register and manage themselves (RFC 7591, RFC 7592).

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Path, Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use zeroize::Zeroizing;

use super::{
    House, cors, refusal, reply,
    request::{self, Head, Problem},
};
use crate::{
    issuer::{Endpoint, ErrorCode, OAuthError, Registered, RegistrationError},
    model::UnixTime,
};

pub(super) fn routes(house: &Arc<House>) -> Router {
    let path = house.issuer.path_of(Endpoint::Registration);
    let managed =
        get(read).put(update).delete(remove).options(async || cors::preflight("GET, HEAD, PUT, DELETE"));
    Router::new()
        .route(&path, post(register).options(async || cors::preflight("POST")))
        .route(&format!("{path}/{{client_id}}"), managed)
        .method_not_allowed_fallback(async || refusal(StatusCode::METHOD_NOT_ALLOWED))
        .with_state(Arc::clone(house))
}

/// RFC 7591 §3.1.
async fn register(State(house): State<Arc<House>>, request: Request) -> Response {
    let (head, body) = match Head::of(request) {
        Ok(split) => split,
        Err(problem) => return reply::problem(&problem),
    };
    let document = match document(&head, body, &house).await {
        Ok(document) => document,
        Err(problem) => return reply::problem(&problem),
    };
    let bearer = head.bearer();
    let registered = house.issuer.register(&document, bearer.as_ref(), &head.caller, UnixTime::now()).await;
    house.registration(StatusCode::CREATED, registered, bearer.is_some())
}

/// RFC 7592 §2.1.
async fn read(State(house): State<Arc<House>>, Path(id): Path<String>, request: Request) -> Response {
    let (head, _) = match Head::of(request) {
        Ok(split) => split,
        Err(problem) => return reply::problem(&problem),
    };
    let bearer = head.bearer();
    let registered = house.issuer.read_registration(&id, bearer.as_ref()).await;
    house.registration(StatusCode::OK, registered, bearer.is_some())
}

/// RFC 7592 §2.2.
async fn update(State(house): State<Arc<House>>, Path(id): Path<String>, request: Request) -> Response {
    let (head, body) = match Head::of(request) {
        Ok(split) => split,
        Err(problem) => return reply::problem(&problem),
    };
    let document = match document(&head, body, &house).await {
        Ok(document) => document,
        Err(problem) => return reply::problem(&problem),
    };
    let bearer = head.bearer();
    let registered = house.issuer.update_registration(&id, bearer.as_ref(), &document).await;
    house.registration(StatusCode::OK, registered, bearer.is_some())
}

/// RFC 7592 §2.3.
async fn remove(State(house): State<Arc<House>>, Path(id): Path<String>, request: Request) -> Response {
    let (head, _) = match Head::of(request) {
        Ok(split) => split,
        Err(problem) => return reply::problem(&problem),
    };
    let bearer = head.bearer();
    match house.issuer.delete_registration(&id, bearer.as_ref(), UnixTime::now()).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => house.registration_error(&error, bearer.is_some()),
    }
}

/// A body that cannot be read is metadata that is not valid: the code that RFC 7591 §3.2.2 has for it.
async fn document(head: &Head, body: Body, house: &House) -> Result<Zeroizing<Vec<u8>>, Problem> {
    request::document(head, body, &house.limits).await.map_err(|problem| Problem {
        status: problem.status,
        error: OAuthError { code: ErrorCode::InvalidClientMetadata, ..problem.error },
    })
}

impl House {
    fn registration(
        &self,
        status: StatusCode,
        registered: Result<Registered, RegistrationError>,
        has_token: bool,
    ) -> Response {
        match registered {
            Ok(registered) => reply::secret_json(status, &registered.document()),
            Err(error) => self.registration_error(&error, has_token),
        }
    }

    fn registration_error(&self, error: &RegistrationError, has_token: bool) -> Response {
        let told = error.oauth();
        match error {
            RegistrationError::Closed => reply::error_with_status(StatusCode::FORBIDDEN, &told),
            RegistrationError::Fault(_) | RegistrationError::Refused(_) => {
                reply::oauth_error(&told, &self.hostname)
            }
            RegistrationError::TooMany { retry_after } => {
                let mut response = reply::error_with_status(StatusCode::TOO_MANY_REQUESTS, &told);
                response.headers_mut().insert(header::RETRY_AFTER, retry_after.as_secs().max(1).into());
                response
            }
            RegistrationError::Unauthorized(_) => {
                reply::bearer_error(&told, &format!("Bearer realm=\"{}\"", self.hostname), has_token)
            }
        }
    }
}
