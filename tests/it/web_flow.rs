//! Tokens over HTTP: from the code or the device to the answers about them.

use std::sync::atomic::Ordering;

use axum::{
    body::Body,
    http::{Method, Request, StatusCode},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;

use crate::{
    web::{Answer, Web},
    web_pages::{Browser, FORM, REDIRECT, asked, between, form, get},
};

/// RFC 7636 appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "Bearer realm=\"mail.example.org\", resource_metadata=\"https://mail.example.org/.well-known/oauth-protected-resource\"";

/// A code of the client `open`, with these parameters beside the usual ones.
async fn code(web: &Web, scope: &str) -> String {
    let mut browser = Browser::new(web);
    let query = asked(&[]).replace("scope=imap+smtp", &format!("scope={scope}"));
    let page = browser.send(get(&format!("/oauth/authorize?{query}"))).await;
    let page = browser.sign_in(&page).await;
    let answer = browser.submit(&page, &[("decision", "allow")]).await;
    between(answer.header("location").unwrap(), "code=", "&").to_owned()
}

fn exchange(code: &str) -> Request<Body> {
    form(
        "/oauth/token",
        &[
            ("grant_type", "authorization_code"),
            ("client_id", "open"),
            ("redirect_uri", REDIRECT),
            ("code", code),
            ("code_verifier", VERIFIER),
        ],
    )
}

async fn tokens(web: &Web, scope: &str) -> Value {
    let answer = web.send(exchange(&code(web, scope).await)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    answer.json()
}

fn userinfo(token: &str) -> Request<Body> {
    Request::get("/oauth/userinfo")
        .header("authorization", format!("Bearer {token}"))
        .body(Body::empty())
        .unwrap()
}

fn assert_error(answer: &Answer, status: StatusCode, code: &str) {
    assert_eq!((answer.status, &answer.json()["error"]), (status, &code.into()), "{}", answer.body);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn a_code_gives_tokens_once_to_scripts_as_well() {
    let web = Web::new().await;
    let code = code(&web, "imap").await;
    let mut request = exchange(&code);
    request.headers_mut().insert("origin", "https://app.example".parse().unwrap());
    let answer = web.send(request).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    for (name, value) in [
        ("content-type", "application/json"),
        ("cache-control", "no-store"),
        ("pragma", "no-cache"),
        ("access-control-allow-origin", "*"),
    ] {
        assert_eq!(answer.header(name), Some(value));
    }
    let tokens = answer.json();
    assert_eq!((&tokens["token_type"], &tokens["scope"]), (&"Bearer".into(), &"imap".into()));
    assert!(tokens["access_token"].is_string() && tokens["expires_in"].is_u64());
    assert_error(&web.send(exchange(&code)).await, StatusCode::BAD_REQUEST, "invalid_grant");
    let metrics = web.metrics.encode().unwrap();
    let counted = "bearward_tokens_issued_total{grant=\"authorization_code\"} 1";
    assert!(metrics.contains(counted), "what was refused is not counted: {metrics}");
}

#[tokio::test]
async fn a_grant_that_nobody_knows_is_named_so() {
    let web = Web::new().await;
    let odd = form("/oauth/token", &[("grant_type", "password"), ("client_id", "open")]);
    assert_error(&web.send(odd).await, StatusCode::BAD_REQUEST, "unsupported_grant_type");
    let unknown = form(
        "/oauth/token",
        &[("grant_type", "refresh_token"), ("client_id", "nobody"), ("refresh_token", "x")],
    );
    let answer = web.send(unknown).await;
    assert_error(&answer, StatusCode::UNAUTHORIZED, "invalid_client");
    assert!(answer.header("www-authenticate").is_some_and(|challenge| challenge.starts_with("Basic ")));
}

#[tokio::test]
async fn userinfo_answers_as_bearer_tokens_are_answered() {
    let web = Web::new().await;
    let narrow = tokens(&web, "imap").await;
    let broad = tokens(&web, "openid+email").await;
    let token = broad["access_token"].as_str().unwrap();
    let good = web.send(userinfo(token)).await;
    assert_eq!((good.status, &good.json()["email"]), (StatusCode::OK, &"alice@example.org".into()));
    assert_eq!(good.header("cache-control"), Some("no-store"));
    let nothing = web.send(get("/oauth/userinfo")).await;
    assert_eq!(
        (nothing.status, nothing.header("www-authenticate")),
        (StatusCode::UNAUTHORIZED, Some(CHALLENGE))
    );
    let other_scheme =
        Request::get("/oauth/userinfo").header("authorization", "Basic YTpi").body(Body::empty());
    let other_scheme = web.send(other_scheme.unwrap()).await;
    assert_eq!(other_scheme.header("www-authenticate"), Some(CHALLENGE));
    let wrong = web.send(userinfo("wrong")).await;
    assert_error(&wrong, StatusCode::UNAUTHORIZED, "invalid_token");
    let challenge = wrong.header("www-authenticate").unwrap();
    assert!(
        challenge.starts_with(&format!("{CHALLENGE}, error=\"invalid_token\", error_description=\"")),
        "{challenge}"
    );
    let low = web.send(userinfo(narrow["access_token"].as_str().unwrap())).await;
    assert_error(&low, StatusCode::FORBIDDEN, "insufficient_scope");
    let challenge = low.header("www-authenticate").unwrap();
    assert!(
        challenge.contains("error=\"insufficient_scope\"") && challenge.contains("scope=\"openid\""),
        "{challenge}"
    );
    // By POST the token may stand in the form, though not in both places.
    let posted = web.send(form("/oauth/userinfo", &[("access_token", token)])).await;
    assert_eq!(posted.status, StatusCode::OK, "{}", posted.body);
    let mut both = form("/oauth/userinfo", &[("access_token", token)]);
    both.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    assert_error(&web.send(both).await, StatusCode::BAD_REQUEST, "invalid_request");
    let mut bare = Request::post("/oauth/userinfo").body(Body::empty()).unwrap();
    bare.headers_mut().insert("authorization", format!("bEARER {token}").parse().unwrap());
    assert_eq!(web.send(bare).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_token_is_told_of_and_given_back() {
    let web = Web::new().await;
    let issued = tokens(&web, "openid").await;
    let token = issued["access_token"].as_str().unwrap();
    let public = web.send(form("/oauth/introspect", &[("client_id", "open"), ("token", token)])).await;
    assert_error(&public, StatusCode::UNAUTHORIZED, "invalid_client");
    let document = r#"{"client_name":"W","redirect_uris":["https://w.example/cb"],
        "token_endpoint_auth_method":"client_secret_basic","grant_types":["authorization_code","refresh_token"]}"#;
    let register = Request::post("/oauth/register")
        .header("content-type", "application/json")
        .body(Body::from(document))
        .unwrap();
    let client = web.send(register).await.json();
    let pair =
        format!("{}:{}", client["client_id"].as_str().unwrap(), client["client_secret"].as_str().unwrap());
    let mut stranger = form("/oauth/introspect", &[("token", token)]);
    let basic = format!("Basic {}", STANDARD.encode(pair));
    stranger.headers_mut().insert("authorization", basic.parse().unwrap());
    let answer = web.send(stranger).await;
    assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, r#"{"active":false}"#));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(web.send(userinfo(token)).await.status, StatusCode::OK);
    for token in [token, "unknown"] {
        let revoked = web.send(form("/oauth/revoke", &[("client_id", "open"), ("token", token)])).await;
        assert_eq!((revoked.status, revoked.body.as_str()), (StatusCode::OK, ""), "{token}");
    }
    assert_eq!(web.send(userinfo(token)).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_device_is_let_in_from_the_browser() {
    let web = Web::new().await;
    let started =
        web.send(form("/oauth/device_authorization", &[("client_id", "open"), ("scope", "imap")])).await;
    assert_eq!(started.status, StatusCode::OK, "{}", started.body);
    assert_eq!(started.header("cache-control"), Some("no-store"));
    let device = started.json();
    let text = |name: &str| device[name].as_str().unwrap();
    let poll = || {
        let grant = "urn:ietf:params:oauth:grant-type:device_code";
        form(
            "/oauth/token",
            &[("grant_type", grant), ("client_id", "open"), ("device_code", text("device_code"))],
        )
    };
    assert_error(&web.send(poll()).await, StatusCode::BAD_REQUEST, "authorization_pending");
    assert_error(&web.send(poll()).await, StatusCode::BAD_REQUEST, "slow_down");
    let mut browser = Browser::new(&web);
    let path = text("verification_uri_complete").strip_prefix("https://mail.example.org").unwrap();
    let page = browser.send(get(path)).await;
    assert!(page.body.contains(&format!("value=\"{}\"", text("user_code"))), "{}", page.body);
    assert_eq!(page.header("set-cookie"), None);
    let page = browser.submit(&page, &[("user_code", text("user_code"))]).await;
    let page = browser.sign_in(&page).await;
    for part in [text("user_code"), "192.0.2.1", "only if you started it yourself", "ago ("] {
        assert!(page.body.contains(part), "{part} in {}", page.body);
    }
    let done = browser.submit(&page, &[("decision", "allow")]).await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.body);
    assert!(done.body.contains("The device is connected"), "{}", done.body);
    let unknown = browser.send(form("/device", &[("user_code", "BBBB-BBBB")])).await;
    assert_eq!(unknown.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn an_outage_is_temporary_everywhere_and_says_when_to_come_back() {
    let web = Web::new().await;
    let mut browser = Browser::new(&web);
    let page = browser.consent_page().await;
    web.store.down.store(true, Ordering::SeqCst);
    for request in [
        exchange("x"),
        form("/oauth/revoke", &[("client_id", "open"), ("token", "bwa_x")]),
        form("/oauth/device_authorization", &[("client_id", "open"), ("scope", "imap")]),
        form("/oauth/par", &[("client_id", "open")]),
    ] {
        let path = request.uri().path().to_owned();
        let answer = web.send(request).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{path} {}", answer.body);
        assert_eq!(answer.json()["error"], "temporarily_unavailable");
        assert!(answer.header("retry-after").is_some(), "{path}");
    }
    let answer = browser.submit(&page, &[("decision", "allow")]).await;
    assert_eq!((answer.status, answer.header("location")), (StatusCode::SERVICE_UNAVAILABLE, None));
    assert!(answer.header("retry-after").is_some());
    // It recovers by itself, and the page that was open still counts.
    web.store.down.store(false, Ordering::SeqCst);
    let answer = browser.submit(&page, &[("decision", "allow")]).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
}

#[tokio::test]
async fn the_token_endpoint_takes_no_other_method_and_no_other_place_for_its_parameters() {
    let web = Web::new().await;
    let code = code(&web, "imap").await;
    let get = Request::builder().method(Method::GET).uri("/oauth/token").body(Body::empty()).unwrap();
    assert_eq!(web.send(get).await.status, StatusCode::METHOD_NOT_ALLOWED);
    let uri = format!(
        "/oauth/token?grant_type=authorization_code&client_id=open&redirect_uri=http%3A%2F%2F127.0.0.1%3A4711%2F&code_verifier={VERIFIER}&code={code}"
    );
    let in_address = Request::post(uri).header("content-type", FORM).body(Body::empty()).unwrap();
    assert_error(&web.send(in_address).await, StatusCode::BAD_REQUEST, "invalid_request");
    assert_eq!(web.send(exchange(&code)).await.status, StatusCode::OK, "the code is not used up");
}
