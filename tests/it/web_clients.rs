//! What OAuth clients get over HTTP: statuses, headers, and errors as the RFCs write them.

use axum::{
    body::Body,
    http::{Method, Request, StatusCode},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use bearward::{issuer::Registration, web::Limits};

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

fn json(method: Method, path: &str, bearer: Option<&str>, body: &str) -> Request<Body> {
    let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    let request = match bearer {
        Some(bearer) => request.header("authorization", format!("bearer  {bearer}")),
        None => request,
    };
    request.body(Body::from(body.to_owned())).unwrap()
}

const CONFIDENTIAL: &str = r#"{"client_name":"Webmail","redirect_uris":["https://webmail.example/cb"],
    "token_endpoint_auth_method":"client_secret_basic","grant_types":["authorization_code","refresh_token"]}"#;

/// Identifier, secret, registration access token and the path for it.
async fn registered(web: &Web) -> (String, String, String, String) {
    let answer = web.send(json(Method::POST, "/oauth/register", None, CONFIDENTIAL)).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    let document = answer.json();
    let text = |name: &str| document[name].as_str().unwrap().to_owned();
    let uri = text("registration_client_uri");
    let path = uri.strip_prefix("https://mail.example.org").unwrap().to_owned();
    (text("client_id"), text("client_secret"), text("registration_access_token"), path)
}

#[tokio::test]
async fn a_client_reads_changes_and_removes_what_it_registered() {
    let web = Web::new().await;
    let (id, _, token, path) = registered(&web).await;
    let read = web.send(json(Method::GET, &path, Some(&token), "")).await;
    assert_eq!((read.status, &read.json()["client_id"]), (StatusCode::OK, &id.as_str().into()));
    let changed =
        CONFIDENTIAL.replace("Webmail", "Other").replacen('{', &format!("{{\"client_id\":\"{id}\","), 1);
    let update = web.send(json(Method::PUT, &path, Some(&token), &changed)).await;
    assert_eq!(update.status, StatusCode::OK, "{}", update.body);
    assert_eq!(update.json()["client_name"], "Other");
    let token = update.json()["registration_access_token"].as_str().map_or(token, str::to_owned);
    let remove = web.send(json(Method::DELETE, &path, Some(&token), "")).await;
    assert_eq!((remove.status, remove.body.as_str()), (StatusCode::NO_CONTENT, ""));
    let gone = web.send(json(Method::GET, &path, Some(&token), "")).await;
    assert_eq!(gone.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_registration_is_shown_to_its_holder_alone() {
    let web = Web::new().await;
    let (_, secret, _, path) = registered(&web).await;
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        let body = if method == Method::PUT { CONFIDENTIAL } else { "" };
        let nobody = web.send(json(method.clone(), &path, None, body)).await;
        assert_eq!(nobody.status, StatusCode::UNAUTHORIZED, "{method}");
        // Without a token there is no error in the challenge (RFC 6750 §3.1).
        assert_eq!(nobody.header("www-authenticate"), Some("Bearer realm=\"mail.example.org\""));
        let stranger = web.send(json(method.clone(), &path, Some(&secret), body)).await;
        assert_eq!(stranger.status, StatusCode::UNAUTHORIZED, "{method}");
        let challenge = stranger.header("www-authenticate").unwrap();
        assert!(
            challenge.starts_with("Bearer realm=\"mail.example.org\", error=\"invalid_token\""),
            "{challenge}"
        );
        let unknown = web.send(json(method.clone(), "/oauth/register/abc", Some(&secret), body)).await;
        assert_eq!((unknown.status, unknown.body), (stranger.status, stranger.body), "{method}");
    }
    let odd = web.send(json(Method::GET, "/oauth/register/%FF", Some("x"), "")).await;
    assert!(odd.status.is_client_error());
}

#[tokio::test]
async fn each_mode_of_registration_has_its_refusal() {
    let closed = Web::with(Limits::default(), |config| config.registration = Registration::Closed).await;
    let answer = closed.send(json(Method::POST, "/oauth/register", None, CONFIDENTIAL)).await;
    assert_error(&answer, StatusCode::FORBIDDEN, "access_denied");
    let invited = Web::with(Limits::default(), |config| config.registration = Registration::Token).await;
    let answer = invited.send(json(Method::POST, "/oauth/register", None, CONFIDENTIAL)).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"mail.example.org\""));
    let open = Web::new().await;
    for (document, code) in [
        ("{", "invalid_client_metadata"),
        ("[]", "invalid_client_metadata"),
        (r#"{"redirect_uris":["http://evil.example/"]}"#, "invalid_redirect_uri"),
    ] {
        let answer = open.send(json(Method::POST, "/oauth/register", None, document)).await;
        assert_error(&answer, StatusCode::BAD_REQUEST, code);
    }
}

#[tokio::test]
async fn who_registers_without_end_is_told_to_wait() {
    let web = Web::new().await;
    for _ in 0..1000 {
        let answer = web.send(json(Method::POST, "/oauth/register", None, CONFIDENTIAL)).await;
        if answer.status == StatusCode::CREATED {
            continue;
        }
        assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
        let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!(seconds > 0);
        return;
    }
    panic!("no limit");
}

#[tokio::test]
async fn a_client_that_cannot_prove_itself_gets_401_and_a_challenge() {
    let web = Web::new().await;
    let (id, secret, ..) = registered(&web).await;
    let basic = |secret: &str| format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")));
    let push = |authorization: &str| {
        Request::post("/oauth/par")
            .header("content-type", "application/x-www-form-urlencoded; charset=UTF-8")
            .header("authorization", authorization)
            .body(Body::from(
                "response_type=code&redirect_uri=https%3A%2F%2Fwebmail.example%2Fcb&scope=imap\
                 &code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256",
            ))
            .unwrap()
    };
    let wrong = web.send(push(&basic("wrong"))).await;
    assert_error(&wrong, StatusCode::UNAUTHORIZED, "invalid_client");
    assert_eq!(wrong.header("www-authenticate"), Some("Basic realm=\"mail.example.org\", charset=\"UTF-8\""));
    let right = web.send(push(&basic(&secret))).await;
    assert_eq!(right.status, StatusCode::CREATED, "{}", right.body);
    assert_eq!(right.header("cache-control"), Some("no-store"));
    let document = right.json();
    assert!(document["request_uri"].as_str().unwrap().starts_with("urn:ietf:params:oauth:request_uri:"));
    assert!(document["expires_in"].as_u64().unwrap() > 0);
}
