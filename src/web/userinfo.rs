//! Who the person is, for a client that holds a token.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{Method, StatusCode},
    response::Response,
    routing::get,
};

use super::{
    House, refusal, reply,
    request::{Form, Head, Problem},
};
use crate::{
    issuer::{Endpoint, ErrorCode, OAuthError},
    model::{Secret, UnixTime},
};

pub(super) fn routes(house: &Arc<House>) -> Router {
    Router::new()
        .route(&house.issuer.path_of(Endpoint::UserInfo), get(userinfo).post(userinfo))
        .method_not_allowed_fallback(async || refusal(StatusCode::METHOD_NOT_ALLOWED))
        .with_state(Arc::clone(house))
}

/// OpenID Connect Core §5.3.
async fn userinfo(State(house): State<Arc<House>>, request: Request) -> Response {
    let method = request.method().clone();
    let (head, body) = match Head::of(request) {
        Ok(split) => split,
        Err(problem) => return reply::problem(&problem),
    };
    let caller = Arc::clone(&head.caller);
    let bearer = match bearer(head, &method, body, &house).await {
        Ok(bearer) => bearer,
        Err(problem) => return reply::problem(&problem),
    };
    match house.issuer.userinfo(bearer.as_ref(), caller.certificate.as_ref(), UnixTime::now()).await {
        Ok(claims) => house.json(StatusCode::OK, &claims),
        Err(error) => {
            let mut challenge = house.challenge.clone();
            if error.code == ErrorCode::InsufficientScope {
                challenge.push_str(", scope=\"openid\"");
            }
            reply::bearer_error(&error, &challenge, bearer.is_some())
        }
    }
}

/// The token, from the header or from a form (RFC 6750 §2.1, §2.2), never from both.
async fn bearer(head: Head, method: &Method, body: Body, house: &House) -> Result<Option<Secret>, Problem> {
    let in_header = head.bearer();
    if method != Method::POST || !head.is_form() {
        return Ok(in_header);
    }
    let form = Form::read_body(head, body, &house.limits).await?;
    match (in_header, form.params.secret("access_token")?) {
        (Some(_), Some(_)) => Err(OAuthError::new(
            ErrorCode::InvalidRequest,
            "the token stands in the header or in the body, not in both",
        )
        .into()),
        (in_header, in_body) => Ok(in_header.or(in_body)),
    }
}
