use std::net::Ipv4Addr;

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::STANDARD};
use http_body_util::BodyExt;

use super::*;
use crate::{
    issuer::DevicePlace,
    model::{Login, Scope},
};

const NOW: UnixTime = UnixTime(1_800_000_000);
/// A text that is HTML, ends an attribute and turns the reading direction.
const HOSTILE: &str = "<script>x</script>\"' onfocus=alert(1)\u{202E}\u{200B}&";
const STATE: &str = "c3RhdGU";

fn frame() -> Frame<'static> {
    Frame {
        host: "mail.example.org",
        messages: Messages::of_header(""),
        now: NOW,
        device_url: "https://mail.example.org/device",
        device_path: "/device",
        typed: None,
    }
}

struct Shown {
    status: StatusCode,
    headers: axum::http::HeaderMap,
    html: String,
}

#[allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]
impl Shown {
    async fn of(response: Response) -> Self {
        let (head, body) = response.into_parts();
        let html = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        Self { status: head.status, headers: head.headers, html }
    }

    async fn page(page: Page) -> Self {
        Self::of(respond(&Answer::Page(page), &frame())).await
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    /// Whatever a stranger wrote must be text, and nothing else.
    fn assert_is_harmless(&self) {
        for bad in ["<script>x", "\"' on", "\u{202E}", "\u{200B}"] {
            assert!(!self.html.contains(bad), "{bad:?} in {}", self.html);
        }
        assert!(self.html.contains("&#60;script&#62;x&#60;/script&#62;"), "{}", self.html);
    }
}

fn sign_in_page() -> SignInPage {
    SignInPage {
        state: STATE.to_owned(),
        browser: Secret::copy_of(b"bwb_abc-DEF_1"),
        is_account: false,
        client_name: "Thunderbird".to_owned(),
        is_vouched_for: false,
        login_hint: None,
        error: None,
        has_password: true,
        outside: None,
        form_target: Some("http://127.0.0.1:*".to_owned()),
    }
}

#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
fn consent_page() -> ConsentPage {
    ConsentPage {
        state: STATE.to_owned(),
        user: Login::parse("alice@example.org").unwrap(),
        client_name: "Thunderbird".to_owned(),
        is_vouched_for: false,
        redirect_host: Some("app.example".to_owned()),
        is_local: false,
        scope: format!("{} openid x-other", Scope::MAIL).parse().unwrap(),
        device: None,
        form_target: Some("https://app.example".to_owned()),
    }
}

#[tokio::test]
async fn the_sign_in_page_has_what_password_managers_and_screen_readers_look_for() {
    let page = Shown::page(Page::SignIn(sign_in_page())).await;
    assert_eq!(page.status, StatusCode::OK);
    for part in [
        "<html lang=\"en\">",
        "<form method=\"post\" action=\"/oauth/sign-in\">",
        "<input type=\"hidden\" name=\"state\" value=\"c3RhdGU\">",
        "<label for=\"login\">",
        "autocomplete=\"username\"",
        "<label for=\"password\">",
        "type=\"password\" autocomplete=\"current-password\"",
        "<bdi>Thunderbird</bdi>",
        "nobody has checked it",
    ] {
        assert!(page.html.contains(part), "{part} in {}", page.html);
    }
    assert!(!page.html.contains("role=\"alert\""));
    let cookie =
        "__Host-bearward-browser=bwb_abc-DEF_1; Max-Age=34560000; Path=/; Secure; HttpOnly; SameSite=Lax";
    assert_eq!(page.header("set-cookie"), cookie);
}

#[tokio::test]
async fn a_vouched_for_client_bears_no_warning() {
    let sign_in = SignInPage { is_vouched_for: true, ..sign_in_page() };
    let consent = ConsentPage { is_vouched_for: true, ..consent_page() };
    for page in [Page::SignIn(sign_in), Page::Consent(consent)] {
        assert!(!Shown::page(page).await.html.contains("nobody has checked"));
    }
}

#[tokio::test]
async fn each_reason_of_a_failed_sign_in_has_its_status() {
    for (error, status, wait, words) in [
        (SignInError::Wrong, 422, "", "password is wrong"),
        (SignInError::TooMany { retry_after: 90 }, 429, "90", "Wait 2 minutes"),
        (SignInError::Unavailable, 503, "60", "not to blame"),
    ] {
        let page = Shown::page(Page::SignIn(SignInPage { error: Some(error), ..sign_in_page() })).await;
        assert_eq!((page.status.as_u16(), page.header("retry-after")), (status, wait));
        assert!(page.html.contains("role=\"alert\"") && page.html.contains(words), "{}", page.html);
        assert!(page.html.contains("aria-describedby=\"error"));
    }
}

#[tokio::test]
async fn the_name_that_was_typed_stays_and_the_hint_gives_way() {
    let answer =
        Answer::Page(Page::SignIn(SignInPage { login_hint: Some("hint@a".to_owned()), ..sign_in_page() }));
    let page = Shown::of(respond(&answer, &frame())).await;
    assert!(page.html.contains("value=\"hint@a\""));
    let page = Shown::of(respond(&answer, &Frame { typed: Some("typed@a"), ..frame() })).await;
    assert!(page.html.contains("value=\"typed@a\"") && !page.html.contains("hint@a"));
}

#[tokio::test]
async fn what_strangers_write_stays_text() {
    let redirect = Redirect { uri: "https://a.example/".to_owned(), mode: RedirectMode::Query };
    let fields = vec![("state".to_owned(), HOSTILE.to_owned())];
    let form = Redirect { uri: "https://a.example/".to_owned(), mode: RedirectMode::FormPost(fields) };
    let pages = [
        Page::SignIn(SignInPage {
            client_name: HOSTILE.to_owned(),
            login_hint: Some(shown(HOSTILE)),
            state: shown(HOSTILE),
            ..sign_in_page()
        }),
        Page::Consent(ConsentPage {
            client_name: HOSTILE.to_owned(),
            redirect_host: Some(HOSTILE.to_owned()),
            ..consent_page()
        }),
        Page::Leave(LeavePage {
            host: HOSTILE.to_owned(),
            description: HOSTILE.to_owned(),
            redirect: redirect.clone(),
        }),
        Page::DeviceCode(DeviceCodePage { user_code: Some(shown(HOSTILE)), ..DeviceCodePage::default() }),
        Page::Error(PageError::BadRequest(HOSTILE.to_owned())),
    ];
    for page in pages {
        Shown::page(page).await.assert_is_harmless();
    }
    let page = Shown::of(respond(&Answer::Redirect(form), &frame())).await;
    assert!(page.html.contains("&#60;script&#62;x&#60;/script&#62;&#34;&#39; onfocus"), "{}", page.html);
}

#[tokio::test]
async fn consent_names_who_and_what_and_where_to() {
    let page = Shown::page(Page::Consent(consent_page())).await;
    for part in [
        "alice@example.org",
        "<bdi>Thunderbird</bdi>",
        "<li><bdi>Read, send and delete your mail</bdi></li>",
        "<li><bdi>Know who you are</bdi></li>",
        "<li><bdi>x-other</bdi></li>",
        "<bdi>app.example</bdi>",
        "<form method=\"post\" action=\"/oauth/consent\">",
        "name=\"decision\" value=\"allow\"",
        "name=\"decision\" value=\"deny\"",
    ] {
        assert!(page.html.contains(part), "{part} in {}", page.html);
    }
    assert!(!page.html.contains("an app on this device") && !page.html.contains("sent you here"));
    let local = ConsentPage { is_local: true, redirect_host: None, ..consent_page() };
    assert!(Shown::page(Page::Consent(local)).await.html.contains("an app on this device"));
}

#[tokio::test]
async fn consent_for_a_device_names_code_place_and_time_and_warns() {
    let device = DevicePlace {
        user_code: "WDJB-MJHT".to_owned(),
        address: Ipv4Addr::new(192, 0, 2, 7).into(),
        started_at: UnixTime(NOW.0 - 130),
    };
    let page = ConsentPage { device: Some(device), redirect_host: None, form_target: None, ..consent_page() };
    let page = Shown::page(Page::Consent(page)).await;
    for part in ["WDJB-MJHT", "192.0.2.7", "3 minutes ago (07:57 UTC)", "only if you started it yourself"] {
        assert!(page.html.contains(part), "{part} in {}", page.html);
    }
    assert!(page.header("content-security-policy").contains("form-action 'self';"));
}

#[tokio::test]
async fn a_policy_names_the_way_back_and_takes_nothing_else_in() {
    let policy = async |form_target: Option<&str>| {
        let page = SignInPage { form_target: form_target.map(str::to_owned), ..sign_in_page() };
        let page = Shown::page(Page::SignIn(page)).await;
        page.header("content-security-policy").to_owned()
    };
    let with = |form_action: &str| {
        format!(
            "default-src 'none'; style-src 'self'; base-uri 'none'; form-action {form_action}; frame-ancestors 'none'"
        )
    };
    for target in ["http://127.0.0.1:*", "https://app.example:8443", "com.example.app:", "http:"] {
        assert_eq!(policy(Some(target)).await, with(&format!("'self' {target}")));
    }
    for bad in ["https://a.example; script-src *", "https://a.example *,", "'unsafe-inline'", "https://ä", ""]
    {
        assert_eq!(policy(Some(bad)).await, with("'self'"), "{bad}");
    }
    assert_eq!(policy(None).await, with("'self'"));
}

#[tokio::test]
async fn a_redirect_goes_out_octet_by_octet() {
    let uri = "https://app.example/cb?a=%2F%2f+&b=~!*'()&code=x&state=%22%3Cy";
    let answer = Answer::Redirect(Redirect { uri: uri.to_owned(), mode: RedirectMode::Query });
    let shown = Shown::of(respond(&answer, &frame())).await;
    assert_eq!((shown.status, shown.header("location")), (StatusCode::SEE_OTHER, uri));
    assert_eq!(shown.html, "");
}

#[tokio::test]
async fn no_redirect_splits_the_answer_or_runs_a_script() {
    for bad in [
        "https://app.example/\r\nSet-Cookie: a=b",
        "https://app.example/\n",
        "https://app.example/ x",
        "https://app.example/ä",
        "javascript:alert(1)",
        "data:text/html,x",
        "vbscript:x",
        "JavaScript:x",
        "javascript\t:x.y",
        "/oauth/authorize",
        "",
    ] {
        for mode in [RedirectMode::Query, RedirectMode::FormPost(Vec::new())] {
            let redirect = Redirect { uri: bad.to_owned(), mode };
            let leave = LeavePage {
                host: "app.example".to_owned(),
                description: String::new(),
                redirect: redirect.clone(),
            };
            for answer in [Answer::Redirect(redirect), Answer::Page(Page::Leave(leave))] {
                let shown = Shown::of(respond(&answer, &frame())).await;
                assert_eq!(shown.status, StatusCode::SERVICE_UNAVAILABLE, "{bad:?}");
                assert_eq!(shown.header("location"), "");
                assert!(!shown.html.contains("javascript"));
            }
        }
    }
    for good in ["http://[::1]:4000/", "http://127.0.0.1:4000", "com.example.app:/cb"] {
        assert!(location(good).is_some(), "{good}");
    }
}

#[tokio::test]
async fn a_form_that_is_posted_back_has_a_button_and_one_known_script() {
    let fields = vec![("code".to_owned(), "c".to_owned()), ("state".to_owned(), "s".to_owned())];
    let redirect =
        Redirect { uri: "https://app.example/cb".to_owned(), mode: RedirectMode::FormPost(fields) };
    let shown = Shown::of(respond(&Answer::Redirect(redirect), &frame())).await;
    for part in [
        "<form method=\"post\" action=\"https://app.example/cb\">",
        "<input type=\"hidden\" name=\"code\" value=\"c\">",
        "<button type=\"submit\">",
        &format!("<script>{SCRIPT}</script>"),
    ] {
        assert!(shown.html.contains(part), "{part} in {}", shown.html);
    }
    let hash = STANDARD.encode(digest(&SHA256, SCRIPT.as_bytes()));
    let policy = shown.header("content-security-policy");
    assert!(policy.contains(&format!("script-src 'sha256-{hash}';")), "{policy}");
    assert!(policy.contains("form-action https://app.example;"), "{policy}");
}

#[test]
fn a_redirect_uri_has_a_source_expression() {
    for (uri, expected) in [
        ("https://app.example/cb?x=y", "https://app.example"),
        ("https://app.example:8443", "https://app.example:8443"),
        ("http://127.0.0.1:4000/", "http://127.0.0.1:4000"),
        ("http://localhost:4000/", "http://localhost:4000"),
        ("http://[::1]:4000/", "http:"),
        ("https://192.0.2.1/cb", "https:"),
        ("com.example.app:/cb", "com.example.app:"),
    ] {
        assert_eq!(source(uri).as_deref(), Some(expected), "{uri}");
    }
}

#[tokio::test]
async fn no_one_leaves_for_a_stranger_without_choosing_to() {
    let redirect =
        Redirect { uri: "https://evil.example/cb?error=invalid_scope".to_owned(), mode: RedirectMode::Query };
    let page = Page::Leave(LeavePage {
        host: "evil.example".to_owned(),
        description: "the scope is not known".to_owned(),
        redirect: redirect.clone(),
    });
    let page = Shown::page(page).await;
    assert_eq!((page.status, page.header("location")), (StatusCode::BAD_REQUEST, ""));
    assert!(page.html.contains("href=\"https://evil.example/cb?error=invalid_scope\" rel=\"noreferrer\""));
    assert!(page.html.contains("the scope is not known") && !page.html.contains("<script"));
}

#[tokio::test]
async fn the_device_page_shows_a_code_to_carry_on_with_elsewhere() {
    let page = DeviceCodePage { user_code: Some("WDJB-MJHT".to_owned()), ..DeviceCodePage::default() };
    let page = Shown::page(Page::DeviceCode(page)).await;
    assert!(page.html.contains("value=\"WDJB-MJHT\"") && page.html.contains("<svg "), "{}", page.html);
    assert!(page.html.contains("<form method=\"post\" action=\"/device\">"));
    let page = Shown::page(Page::DeviceCode(DeviceCodePage::default())).await;
    assert!(!page.html.contains("<svg "));
    let unknown = DeviceCodePage { is_unknown: true, ..DeviceCodePage::default() };
    assert_eq!(Shown::page(Page::DeviceCode(unknown)).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    let limited = DeviceCodePage { retry_after: Some(7), ..DeviceCodePage::default() };
    let limited = Shown::page(Page::DeviceCode(limited)).await;
    assert_eq!((limited.status.as_u16(), limited.header("retry-after")), (429, "7"));
}

#[tokio::test]
async fn each_error_has_its_status_and_words() {
    for (error, status, words) in [
        (PageError::BadRequest("no such client".to_owned()), 400, "no such client"),
        (PageError::Stale, 400, "out of date"),
        (PageError::Answered, 400, "answered before"),
        (PageError::Dead, 400, "Too many wrong passwords"),
        (PageError::Unavailable, 503, "Try again in a minute"),
    ] {
        let page = Shown::page(Page::Error(error)).await;
        assert_eq!(page.status.as_u16(), status, "{words}");
        assert!(page.html.contains(words), "{}", page.html);
        assert_eq!(page.header("retry-after"), if status == 503 { "60" } else { "" });
    }
    for (done, words) in [
        (DonePage::DeviceAllowed, "is connected"),
        (DonePage::DeviceDenied, "gets no access"),
        (DonePage::LoggedOut, "Signed out"),
    ] {
        let page = Shown::page(Page::Done(done)).await;
        assert_eq!(page.status, StatusCode::OK);
        assert!(page.html.contains(words), "{}", page.html);
    }
}

#[tokio::test]
async fn pages_speak_german_too() {
    let frame = Frame { messages: Messages::of_header("de-CH"), ..frame() };
    let page = Shown::of(respond(&Answer::Page(Page::Consent(consent_page())), &frame)).await;
    for part in ["<html lang=\"de\">", "name=\"lang\" value=\"de\"", "Erlauben", "E-Mails lesen"] {
        assert!(page.html.contains(part), "{part} in {}", page.html);
    }
}

#[tokio::test]
async fn no_page_runs_or_loads_anything_from_elsewhere() {
    let device = DeviceCodePage { user_code: Some("WDJB-MJHT".to_owned()), ..DeviceCodePage::default() };
    for page in [
        Page::SignIn(sign_in_page()),
        Page::Consent(consent_page()),
        Page::DeviceCode(device),
        Page::Done(DonePage::DeviceAllowed),
        Page::Error(PageError::Stale),
    ] {
        let page = Shown::page(page).await;
        for bad in ["<script", "src=", "style=", "onload", "onclick", "<iframe", "<img"] {
            assert!(!page.html.contains(bad), "{bad} in {}", page.html);
        }
        assert_eq!(page.html.matches("href=").count(), 1, "the stylesheet alone: {}", page.html);
    }
}

#[test]
fn a_cookie_takes_no_attribute_in() {
    for bad in ["a;b", "a b", "a\r\n", "a,b", "ä"] {
        assert_eq!(cookie(COOKIE, &Secret::copy_of(bad.as_bytes()), 1), None, "{bad:?}");
    }
    assert!(cookie(COOKIE, &Secret::copy_of(b"abc"), 1).is_some_and(|header| header.is_sensitive()));
}

#[test]
fn an_endless_name_ends() {
    assert_eq!(shown(&"x".repeat(1000)).chars().count(), 201);
    assert_eq!(shown("a\u{202E}b\nc"), "abc");
}
