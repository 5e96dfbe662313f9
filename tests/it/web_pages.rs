//! What browsers get: the way from an authorization request to a code, and what attackers do to it.

use std::{sync::atomic::Ordering, time::Duration};

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use bearward::web::{self, Limits, Timeouts};
use tokio::{io::AsyncWriteExt, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::web::{ALICE, Answer, HANG, PANIC, RIGHT, SLOW, WHILE, Web, caller};

pub(crate) const FORM: &str = "application/x-www-form-urlencoded";
pub(crate) const REDIRECT: &str = "http://127.0.0.1:4711/";
/// RFC 7636 appendix B.
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const COOKIE: &str = "__Host-bearward-browser=";

pub(crate) fn encoded(pairs: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// An authorization request of the client `open`, with other parameters behind.
pub(crate) fn asked(more: &[(&str, &str)]) -> String {
    let pairs = [
        ("response_type", "code"),
        ("client_id", "open"),
        ("redirect_uri", REDIRECT),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
        ("scope", "imap smtp"),
        ("state", "a b\"<&"),
    ];
    let more: String = more.iter().map(|pair| format!("&{}", encoded(&[*pair]))).collect();
    format!("{}{more}", encoded(&pairs))
}

pub(crate) fn get(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

pub(crate) fn form(path: &str, pairs: &[(&str, &str)]) -> Request<Body> {
    Request::post(path).header("content-type", FORM).body(Body::from(encoded(pairs))).unwrap()
}

/// A browser that keeps the one cookie, and sends what browsers send.
pub(crate) struct Browser<'a> {
    web: &'a Web,
    cookie: Option<String>,
}

impl<'a> Browser<'a> {
    pub(crate) fn new(web: &'a Web) -> Self {
        Self { web, cookie: None }
    }

    pub(crate) async fn send(&mut self, mut request: Request<Body>) -> Answer {
        let headers = request.headers_mut();
        if let Some(cookie) = &self.cookie {
            headers.insert("cookie", format!("other=1; {COOKIE}{cookie}").parse().unwrap());
        }
        let answer = self.web.send(request).await;
        if let Some(set) = answer.header("set-cookie") {
            let value = set.strip_prefix(COOKIE).unwrap().split(';').next().unwrap();
            self.cookie = Some(value.to_owned());
        }
        answer
    }

    /// Fills the form of a page in, and sends it as its page would be sent.
    pub(crate) async fn submit(&mut self, page: &Answer, fields: &[(&str, &str)]) -> Answer {
        self.send(self.filled(page, fields)).await
    }

    fn filled(&self, page: &Answer, fields: &[(&str, &str)]) -> Request<Body> {
        let action = between(&page.body, "action=\"", "\"");
        let mut pairs = vec![("lang", between(&page.body, "name=\"lang\" value=\"", "\""))];
        if page.body.contains("name=\"state\"") {
            pairs.push(("state", between(&page.body, "name=\"state\" value=\"", "\"")));
        }
        pairs.extend(fields);
        let mut request = form(action, &pairs);
        let headers = request.headers_mut();
        headers.insert("host", "mail.example.org".parse().unwrap());
        // From a page without referrer the origin is not told (Fetch §3.2).
        headers.insert("origin", "null".parse().unwrap());
        headers.insert("sec-fetch-site", "same-origin".parse().unwrap());
        request
    }

    pub(crate) async fn consent_page(&mut self) -> Answer {
        let page = self.send(get(&format!("/oauth/authorize?{}", asked(&[])))).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.body);
        self.sign_in(&page).await
    }

    /// From the sign-in page to the consent page.
    pub(crate) async fn sign_in(&mut self, page: &Answer) -> Answer {
        let page = self.submit(page, &[("login", ALICE), ("password", RIGHT)]).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.body);
        page
    }
}

pub(crate) fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let rest = text.split_once(before).unwrap_or_else(|| panic!("no {before} in {text}")).1;
    rest.split_once(after).unwrap().0
}

#[tokio::test]
async fn a_person_signs_in_allows_and_is_sent_back_with_a_code() {
    let web = Web::new().await;
    let mut browser = Browser::new(&web);
    let page = browser.consent_page().await;
    assert!(page.body.contains(ALICE) && page.body.contains("Send mail in your name"), "{}", page.body);
    assert!(!page.body.contains(RIGHT), "the password is not in the page");
    let answer = browser.submit(&page, &[("decision", "allow")]).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
    let location = answer.header("location").unwrap();
    assert!(location.starts_with("http://127.0.0.1:4711/?code="), "{location}");
    let query = location.split_once('?').unwrap().1;
    let pairs: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    assert_eq!(pairs[1], ("state".to_owned(), "a b\"<&".to_owned()));
    assert_eq!(pairs[2], ("iss".to_owned(), "https://mail.example.org".to_owned()));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn a_person_who_denies_gives_nothing() {
    let web = Web::new().await;
    let mut browser = Browser::new(&web);
    let page = browser.consent_page().await;
    let answer = browser.submit(&page, &[("decision", "deny")]).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    let location = answer.header("location").unwrap();
    assert!(location.contains("?error=access_denied&") && !location.contains("code="), "{location}");
}

#[tokio::test]
async fn only_a_clear_yes_is_a_yes() {
    let web = Web::new().await;
    let mut browser = Browser::new(&web);
    let page = browser.consent_page().await;
    for fields in [
        &[][..],
        &[("decision", "")],
        &[("decision", "Allow")],
        &[("decision", "allow"), ("decision", "deny")],
    ] {
        let answer = browser.submit(&page, fields).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{fields:?}");
        assert_eq!(answer.header("location"), None);
    }
    assert_eq!(browser.submit(&page, &[("decision", "allow")]).await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn the_cookie_stays_with_this_host_and_off_scripts() {
    let web = Web::new().await;
    let mut browser = Browser::new(&web);
    let page = browser.send(get(&format!("/oauth/authorize?{}", asked(&[])))).await;
    let cookie = page.header("set-cookie").unwrap();
    let (pair, attributes) = cookie.split_once("; ").unwrap();
    assert!(pair.starts_with(COOKIE) && pair.len() > COOKIE.len() + 40, "{pair}");
    assert_eq!(attributes, "Max-Age=34560000; Path=/; Secure; HttpOnly; SameSite=Lax");
    let value = browser.cookie.clone();
    // A second request in the same browser does not make the first one's page useless.
    browser.send(get(&format!("/oauth/authorize?{}", asked(&[])))).await;
    assert_eq!(browser.cookie, value);
    let answer = browser.submit(&page, &[("login", ALICE), ("password", RIGHT)]).await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn no_other_site_sends_our_forms() {
    let web = Web::new().await;
    let mut browser = Browser::new(&web);
    let sign_in = browser.send(get(&format!("/oauth/authorize?{}", asked(&[])))).await;
    let consent = browser.consent_page().await;
    for (origin, site) in [
        (Some("https://evil.example"), None),
        (Some("https://mail.example.org.evil.example"), None),
        (Some("http://mail.example.org"), None),
        (Some("null"), Some("cross-site")),
        (Some("https://mail.example.org"), Some("cross-site")),
        (None, Some("cross-site")),
        (None, Some("same-site")),
    ] {
        let fields: &[(&str, &str)] = &[("login", ALICE), ("password", RIGHT)];
        for (page, fields) in [(&sign_in, fields), (&consent, &[("decision", "allow")])] {
            let mut request = browser.filled(page, fields);
            for (name, value) in [("origin", origin), ("sec-fetch-site", site)] {
                request.headers_mut().remove(name);
                value.map(|value| request.headers_mut().insert(name, value.parse().unwrap()));
            }
            let answer = browser.send(request).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{origin:?} {site:?}");
            assert_eq!(answer.header("location"), None);
        }
    }
    let mut device = form("/device", &[("user_code", "BCDFGHJK")]);
    device.headers_mut().insert("origin", "https://evil.example".parse().unwrap());
    assert_eq!(web.send(device).await.status, StatusCode::FORBIDDEN);
    assert_eq!(web.asked.load(Ordering::SeqCst), 1, "no password but the honest one was checked");
}

#[tokio::test]
async fn a_form_without_the_browsers_cookie_is_worth_nothing() {
    let web = Web::new().await;
    let mut browser = Browser::new(&web);
    let page = browser.consent_page().await;
    let mut other = Browser::new(&web);
    let refused = other.submit(&page, &[("decision", "allow")]).await;
    assert_eq!((refused.status, refused.header("location")), (StatusCode::BAD_REQUEST, None));
    other.send(get(&format!("/oauth/authorize?{}", asked(&[])))).await;
    let refused = other.submit(&page, &[("decision", "allow")]).await;
    assert_eq!((refused.status, refused.header("location")), (StatusCode::BAD_REQUEST, None));
    assert!(refused.body.contains("out of date"), "{}", refused.body);
}

#[tokio::test]
async fn a_wrong_password_gets_the_page_again_with_the_name_and_without_the_password() {
    let web = Web::new().await;
    let mut browser = Browser::new(&web);
    let page = browser
        .send(get(&format!("/oauth/authorize?{}", asked(&[("login_hint", "hint@example.org")]))))
        .await;
    assert!(page.body.contains("value=\"hint@example.org\""));
    let again = browser.submit(&page, &[("login", ALICE), ("password", "wr0ng-but-secret")]).await;
    assert_eq!(again.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(again.body.contains("role=\"alert\"") && again.body.contains(&format!("value=\"{ALICE}\"")));
    assert!(!again.body.contains("wr0ng-but-secret"));
    // What is left out or sent twice is no password.
    for fields in [&[][..], &[("login", ALICE)], &[("password", RIGHT)]] {
        let answer = browser.submit(&again, fields).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{fields:?}");
    }
    let twice = [("login", ALICE), ("password", RIGHT), ("password", RIGHT)];
    assert_eq!(browser.submit(&again, &twice).await.status, StatusCode::BAD_REQUEST);
    let right = browser.submit(&again, &[("login", ALICE), ("password", RIGHT)]).await;
    assert_eq!(right.status, StatusCode::OK, "{}", right.body);
}

#[tokio::test]
async fn an_account_that_is_guessed_at_rests_for_a_while() {
    let web = Web::with(Limits::default(), |config| config.max_sign_in_attempts = 100).await;
    let mut browser = Browser::new(&web);
    let page = browser.send(get(&format!("/oauth/authorize?{}", asked(&[])))).await;
    let mut last = None;
    for _ in 0..20 {
        let answer = browser.submit(&page, &[("login", ALICE), ("password", "guess")]).await;
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            last = Some(answer);
            break;
        }
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    }
    let limited = last.expect("a limit");
    let seconds: u64 = limited.header("retry-after").unwrap().parse().unwrap();
    assert!(seconds > 0 && limited.body.contains("Too many tries"), "{}", limited.body);
}

#[tokio::test]
async fn what_strangers_write_into_a_request_stays_text() {
    let web = Web::new().await;
    let hostile = "\"><script>alert(1)</script>";
    let mut browser = Browser::new(&web);
    let hinted = browser.send(get(&format!("/oauth/authorize?{}", asked(&[("login_hint", hostile)])))).await;
    let typed = browser.submit(&hinted, &[("login", hostile), ("password", "x")]).await;
    let unknown = web.send(get(&format!("/oauth/authorize?{}", encoded(&[("client_id", hostile)])))).await;
    let twice = web.send(get(&format!("/oauth/authorize?{}&client_id=x", asked(&[])))).await;
    let device = web.send(get(&format!("/device?{}", encoded(&[("user_code", hostile)])))).await;
    let code = web.send(form("/device", &[("user_code", hostile)])).await;
    let document = r#"{"client_name":"\"><script>alert(1)</script>","redirect_uris":["https://app.example/cb"],
            "token_endpoint_auth_method":"none","grant_types":["authorization_code","refresh_token"]}"#;
    let register = Request::post("/oauth/register")
        .header("content-type", "application/json")
        .body(Body::from(document))
        .unwrap();
    let registered = web.send(register).await;
    assert_eq!(registered.status, StatusCode::CREATED, "{}", registered.body);
    let client = registered.json()["client_id"].as_str().unwrap().to_owned();
    let query = encoded(&[
        ("response_type", "code"),
        ("client_id", &client),
        ("redirect_uri", "https://app.example/cb"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
        ("scope", "imap"),
    ]);
    let named = browser.send(get(&format!("/oauth/authorize?{query}"))).await;
    assert!(named.body.contains("&#60;script&#62;alert(1)&#60;/script&#62;"), "{}", named.body);
    assert!(named.body.contains("nobody has checked it"));
    let policy = named.header("content-security-policy").unwrap();
    assert!(policy.contains("form-action 'self' https://app.example;"), "{policy}");
    let consent = browser.submit(&named, &[("login", ALICE), ("password", RIGHT)]).await;
    assert!(consent.body.contains("<bdi>app.example</bdi>"), "{}", consent.body);
    for answer in [hinted, typed, unknown, twice, device, code, named, consent] {
        assert!(answer.header("content-type").unwrap().starts_with("text/html"));
        assert!(!answer.body.contains("<script"), "{}", answer.body);
    }
}

#[tokio::test]
async fn a_request_that_no_client_can_be_told_of_is_refused_on_the_spot() {
    let web = Web::new().await;
    for query in
        ["", "client_id=open", "client_id=stranger&redirect_uri=https%3A%2F%2Fevil.example", "%FF=%FF"]
    {
        let answer = web.send(get(&format!("/oauth/authorize?{query}"))).await;
        assert_eq!((answer.status, answer.header("location")), (StatusCode::BAD_REQUEST, None), "{query}");
        assert_eq!(answer.header("set-cookie"), None);
    }
}

#[tokio::test]
async fn a_client_may_ask_by_a_form_from_its_own_site() {
    let web = Web::new().await;
    let mut request =
        Request::post("/oauth/authorize").header("content-type", FORM).body(Body::from(asked(&[]))).unwrap();
    request.headers_mut().insert("origin", "https://app.example".parse().unwrap());
    request.headers_mut().insert("sec-fetch-site", "cross-site".parse().unwrap());
    let page = web.send(request).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    assert!(page.body.contains("name=\"password\""));
    let wrong =
        Request::post("/oauth/authorize").header("content-type", "text/plain").body(Body::from(asked(&[])));
    assert_eq!(web.send(wrong.unwrap()).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn the_language_is_the_clients_wish_then_the_browsers_and_stays() {
    let web = Web::new().await;
    let mut browser = Browser::new(&web);
    let page = browser.send(get(&format!("/oauth/authorize?{}", asked(&[("ui_locales", "fr de en")])))).await;
    assert!(page.body.contains("<html lang=\"de\">"), "{}", page.body);
    let next = browser.submit(&page, &[("login", ALICE), ("password", "wrong")]).await;
    assert!(next.body.contains("<html lang=\"de\">") && next.body.contains("ist falsch"), "{}", next.body);
    let mut request = get("/device");
    request.headers_mut().insert("accept-language", "de".parse().unwrap());
    assert!(web.send(request).await.body.contains("<html lang=\"de\">"));
    let metadata = serde_json::to_value(web.issuer.metadata()).unwrap();
    assert_eq!(metadata["ui_locales_supported"], serde_json::json!(["en", "de"]));
}

#[tokio::test]
async fn the_answer_is_posted_where_the_client_wants_it_so() {
    let web = Web::new().await;
    let mut browser = Browser::new(&web);
    let page =
        browser.send(get(&format!("/oauth/authorize?{}", asked(&[("response_mode", "form_post")])))).await;
    let page = browser.submit(&page, &[("login", ALICE), ("password", RIGHT)]).await;
    let answer = browser.submit(&page, &[("decision", "allow")]).await;
    assert_eq!((answer.status, answer.header("location")), (StatusCode::OK, None));
    assert!(
        answer.body.contains(&format!("<form method=\"post\" action=\"{REDIRECT}\">")),
        "{}",
        answer.body
    );
    assert!(answer.body.contains("name=\"code\" value=\""));
    assert!(answer.body.contains("name=\"state\" value=\"a b&#34;&#60;&#38;\""));
    let policy = answer.header("content-security-policy").unwrap();
    assert!(policy.contains("form-action http://127.0.0.1:4711;") && policy.contains("script-src 'sha256-"));
}

#[tokio::test]
async fn a_fault_behind_a_page_tells_nothing() {
    let web = Web::new().await;
    let mut browser = Browser::new(&web);
    let page = browser.send(get(&format!("/oauth/authorize?{}", asked(&[])))).await;
    let answer = browser.submit(&page, &[("login", ALICE), ("password", PANIC)]).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(answer.body, "Internal Server Error\n");
    assert_eq!(answer.header("x-frame-options"), Some("DENY"));
    let answer = browser.submit(&page, &[("login", ALICE), ("password", RIGHT)]).await;
    assert_eq!(answer.status, StatusCode::OK, "the server goes on");
}

#[tokio::test]
async fn a_mail_server_that_never_answers_does_not_hold_the_page_for_ever() {
    let limits = Limits { request: Duration::from_millis(300), ..Limits::default() };
    let web = Web::with(limits, |_| ()).await;
    let mut browser = Browser::new(&web);
    let page = browser.send(get(&format!("/oauth/authorize?{}", asked(&[])))).await;
    let answer = browser.submit(&page, &[("login", ALICE), ("password", HANG)]).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.header("retry-after").is_some() && answer.body.contains("Not possible right now"));
}

#[tokio::test]
async fn going_away_stops_no_check_half_way() {
    let web = Web::new().await;
    let mut browser = Browser::new(&web);
    let page = browser.send(get(&format!("/oauth/authorize?{}", asked(&[])))).await;
    let cookie = browser.cookie.clone().unwrap();
    let state = between(&page.body, "name=\"state\" value=\"", "\"");
    let body = encoded(&[("state", state), ("login", ALICE), ("password", SLOW)]);
    let (mut client, server) = tokio::io::duplex(64 * 1024);
    let who = caller("192.0.2.9").as_ref().clone();
    let stop = CancellationToken::new();
    let connection =
        tokio::spawn(web::serve_connection_with(server, web.router.clone(), who, stop, Timeouts::default()));
    let head = format!(
        "POST /oauth/sign-in HTTP/1.1\r\nHost: mail.example.org\r\nCookie: {COOKIE}{cookie}\r\n\
         Content-Type: {FORM}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    client.write_all(head.as_bytes()).await.unwrap();
    while web.asked.load(Ordering::SeqCst) == 0 {
        sleep(Duration::from_millis(5)).await;
    }
    drop(client);
    connection.await.unwrap();
    assert_eq!(web.answered.load(Ordering::SeqCst), 0);
    sleep(WHILE * 2).await;
    assert_eq!(web.answered.load(Ordering::SeqCst), 1, "the guess counts");
}
