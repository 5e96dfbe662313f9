//! What OAuth clients get over HTTP: statuses, headers, and errors as the RFCs write them.

use axum::{
    body::Body,
    http::{Method, Request, StatusCode},
};

use crate::web::{Answer, Web};

const FORM: &str = "application/x-www-form-urlencoded";
/// The endpoints that take a form of a client.
const ENDPOINTS: [&str; 5] =
    ["/oauth/token", "/oauth/revoke", "/oauth/introspect", "/oauth/device_authorization", "/oauth/par"];

fn post(path: &str, content_type: &str, body: impl Into<Body>) -> Request<Body> {
    Request::post(path).header("content-type", content_type).body(body.into()).unwrap()
}

/// An error as RFC 6749 §5.2 has it.
fn assert_error(answer: &Answer, status: StatusCode, code: &str) {
    assert_eq!(answer.status, status, "{}", answer.body);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("pragma"), Some("no-cache"));
    let json = answer.json();
    assert_eq!(json["error"], code);
    assert!(json["error_description"].as_str().is_some_and(|text| !text.is_empty()));
}

#[tokio::test]
async fn only_forms_are_read() {
    let web = Web::new().await;
    for path in ENDPOINTS {
        for content_type in [
            "application/json",
            "text/plain",
            "multipart/form-data; boundary=x",
            "",
            "application/x-www-form",
        ] {
            let answer = web.send(post(path, content_type, "grant_type=client_credentials")).await;
            assert_error(&answer, StatusCode::BAD_REQUEST, "invalid_request");
        }
        let without = Request::post(path).body(Body::from("token=x")).unwrap();
        assert_error(&web.send(without).await, StatusCode::BAD_REQUEST, "invalid_request");
        let twice = Request::post(path)
            .header("content-type", FORM)
            .header("content-type", "text/plain")
            .body(Body::from("token=x"))
            .unwrap();
        assert_error(&web.send(twice).await, StatusCode::BAD_REQUEST, "invalid_request");
    }
}

#[tokio::test]
async fn malformed_forms_are_refused() {
    let web = Web::new().await;
    let many = "a=b&".repeat(100);
    for path in ENDPOINTS {
        for body in ["token=%FF%FE", "%C3=x", many.as_str()] {
            assert_error(
                &web.send(post(path, FORM, body.to_owned())).await,
                StatusCode::BAD_REQUEST,
                "invalid_request",
            );
        }
        let answer = web.send(post(path, FORM, &b"token=\xFF"[..])).await;
        assert_error(&answer, StatusCode::BAD_REQUEST, "invalid_request");
    }
}

#[tokio::test]
async fn a_secret_in_the_address_is_refused_and_not_repeated() {
    let web = Web::new().await;
    for path in ENDPOINTS.into_iter().chain(["/oauth/userinfo", "/oauth/register"]) {
        for name in
            ["access_token", "token", "client_secret", "refresh_token", "code", "password", "access%5ftoken"]
        {
            let uri = format!("{path}?x=y&{name}=s3cr3t-in-the-open");
            let answer = web.send(post(&uri, FORM, "")).await;
            assert_error(&answer, StatusCode::BAD_REQUEST, "invalid_request");
            assert!(!answer.body.contains("s3cr3t"), "{}", answer.body);
        }
    }
    let answer = web.send(Request::get("/oauth/userinfo?access_token=x").body(Body::empty()).unwrap()).await;
    assert_error(&answer, StatusCode::BAD_REQUEST, "invalid_request");
}

#[tokio::test]
async fn one_authorization_header_is_enough() {
    let web = Web::new().await;
    for path in ENDPOINTS.into_iter().chain(["/oauth/userinfo", "/oauth/register"]) {
        let request = Request::post(path)
            .header("content-type", FORM)
            .header("authorization", "Bearer a")
            .header("authorization", "Basic YTpi")
            .body(Body::from("token=x"))
            .unwrap();
        assert_error(&web.send(request).await, StatusCode::BAD_REQUEST, "invalid_request");
    }
}

#[tokio::test]
async fn metadata_of_a_client_is_json_and_says_so() {
    let web = Web::new().await;
    for (method, path) in [(Method::POST, "/oauth/register"), (Method::PUT, "/oauth/register/abc")] {
        for content_type in [FORM, "text/plain", "text/json", "application/jose"] {
            let request = Request::builder()
                .method(method.clone())
                .uri(path)
                .header("content-type", content_type)
                .body(Body::from("{}"))
                .unwrap();
            assert_error(&web.send(request).await, StatusCode::BAD_REQUEST, "invalid_client_metadata");
        }
    }
}
