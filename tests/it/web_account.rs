//! The account page, and what strangers, other users and broken browsers send to it.

mod app_password;
mod sign_ins;

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use axum::{
    body::Body,
    http::{Method, Request, StatusCode},
};
use bearward::{
    model::{
        ClientId, GrantId, Login, Mechanism, Protocol, Right, SessionId, TokenHash, TokenKind, UnixTime,
    },
    relay::EndReason,
    session::{Bound, Entry},
    store::{AccountSession, AccountSessions, NewGrant, RevocationReason, Store, UserRecord, Users},
    token::OpaqueToken,
    web::Limits,
};

use crate::{
    store::{new_grant, new_token},
    web::{ALICE, Answer, RIGHT, Web},
    web_pages::{asked, between, form, get},
};

/// A browser with all its cookies.
struct Person<'a> {
    web: &'a Web,
    cookies: BTreeMap<String, String>,
}

impl<'a> Person<'a> {
    fn new(web: &'a Web) -> Self {
        Self { web, cookies: BTreeMap::new() }
    }

    async fn signed_in(web: &'a Web) -> Self {
        let mut person = Self::new(web);
        let page = person.send(get("/account")).await;
        let answer = person.submit(&page, "/oauth/sign-in", &[("login", ALICE), ("password", RIGHT)]).await;
        assert_eq!((answer.status, answer.header("location")), (StatusCode::SEE_OTHER, Some("/account")));
        person
    }

    /// Somebody whose session was opened some time ago.
    async fn of_session(web: &'a Web, user: &str, auth_time: i64) -> Self {
        let token = OpaqueToken::generate(TokenKind::Browser).unwrap();
        let now = UnixTime::now();
        let session = AccountSession {
            lookup: token.lookup().unwrap(),
            user: Login::parse(user).unwrap(),
            auth_time: UnixTime(now.0 + auth_time),
            created_at: now,
            expires_at: UnixTime(now.0 + 600),
        };
        web.store.open_account_session(session).await.unwrap();
        let mut person = Self::new(web);
        let text = token.text();
        person.cookies.insert("__Host-bearward-account".into(), text.expose_str().unwrap().to_owned());
        person
    }

    fn dressed(&self, mut request: Request<Body>) -> Request<Body> {
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let headers = request.headers_mut();
        if !cookies.is_empty() {
            headers.insert("cookie", cookies.join("; ").parse().unwrap());
        }
        request
    }

    async fn send(&mut self, request: Request<Body>) -> Answer {
        let answer = self.web.send(self.dressed(request)).await;
        for set in answer.headers.get_all("set-cookie") {
            let (pair, attributes) = set.to_str().unwrap().split_once("; ").unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            assert!(attributes.ends_with("Path=/; Secure; HttpOnly; SameSite=Lax"), "{attributes}");
            if attributes.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        answer
    }

    /// Sends a form with the state of a page.
    async fn submit(&mut self, page: &Answer, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.send(filled(page, path, fields)).await
    }

    async fn page(&mut self) -> Answer {
        let page = self.send(get("/account")).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.body);
        page
    }
}

fn filled(page: &Answer, path: &str, fields: &[(&str, &str)]) -> Request<Body> {
    let state = between(&page.body, "name=\"state\" value=\"", "\"");
    let mut request = form(path, &[&[("state", state), ("lang", "en")], fields].concat());
    request.headers_mut().insert("sec-fetch-site", "same-origin".parse().unwrap());
    request
}

fn is_signed_in(page: &Answer) -> bool {
    page.body.contains("action=\"/account/sign-out\"")
}

/// A grant of somebody, in the store.
async fn grant(web: &Web, user: &str) -> GrantId {
    let now = UnixTime::now();
    let later = UnixTime(now.0 + 600);
    let token = bearward::store::NewToken { created_at: now, expires_at: later, ..new_token() };
    let grant = NewGrant { created_at: now, expires_at: None, tokens: vec![token], ..new_grant(user) };
    let id = grant.id;
    web.store.create_grant(grant).await.unwrap();
    id
}

async fn is_live(web: &Web, id: GrantId) -> bool {
    web.store.grant(id).await.unwrap().unwrap().is_live(UnixTime::now())
}

/// A mail session of somebody.
fn session(web: &Web, number: u64, user: &str, grant: GrantId) -> Entry {
    let address: IpAddr = "198.51.100.9".parse().unwrap();
    let entry = web.sessions.enter(SessionId::new(number), Protocol::Imap, address, UnixTime::now());
    entry.program_is(Some("<b>Mail</b> 16"));
    entry.bind(Bound {
        right: Right::Grant { grant, token: TokenHash::new([7; 32]) },
        token: None,
        login: Login::parse(user).unwrap(),
        client: ClientId::open(),
        backend: "main".into(),
        expires_at: UnixTime::now(),
        mechanism: Mechanism::OAuthBearer,
        ends_at: None,
    });
    entry
}

#[tokio::test]
async fn whoever_is_not_signed_in_signs_in_and_comes_back_to_nowhere_else() {
    let web = Web::new().await;
    let mut person = Person::new(&web);
    for path in ["/account?return_to=https://evil.example/", "/account/app-password"] {
        let page = person.send(get(path)).await;
        assert_eq!(page.status, StatusCode::OK);
        assert!(page.body.contains("autocomplete=\"current-password\"") && !is_signed_in(&page));
        assert!(!page.body.contains("asks for access"), "there is no app: {}", page.body);
        let policy = page.header("content-security-policy").unwrap();
        assert!(
            policy.contains("form-action 'self';") && policy.starts_with("default-src 'none';"),
            "{policy}"
        );
        assert_eq!(page.header("cache-control"), Some("no-store"));
        let wrong = person.submit(&page, "/oauth/sign-in", &[("login", ALICE), ("password", "x")]).await;
        assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
        let evil =
            [("return_to", "https://evil.example/"), ("redirect_uri", "//evil.example"), ("goal", "x")];
        let fields = [&[("login", ALICE), ("password", RIGHT)], &evil[..]].concat();
        let answer = person.submit(&page, "/oauth/sign-in", &fields).await;
        let expected = path.split('?').next();
        assert_eq!((answer.status, answer.header("location")), (StatusCode::SEE_OTHER, expected));
        let page = person.page().await;
        assert!(is_signed_in(&page) && page.body.contains(ALICE));
        let out = person.submit(&page, "/account/sign-out", &[]).await;
        assert_eq!((out.status, out.header("location")), (StatusCode::SEE_OTHER, Some("/account")));
        assert!(!is_signed_in(&person.page().await));
    }
}

#[tokio::test]
async fn a_sign_in_gives_a_cookie_that_nobody_knew_before() {
    let web = Web::new().await;
    let mut person = Person::new(&web);
    // Somebody else has planted both cookies.
    let planted = OpaqueToken::generate(TokenKind::Browser).unwrap().text();
    for name in ["__Host-bearward-browser", "__Host-bearward-account"] {
        person.cookies.insert(name.to_owned(), planted.expose_str().unwrap().to_owned());
    }
    let page = person.send(get("/account")).await;
    person.submit(&page, "/oauth/sign-in", &[("login", ALICE), ("password", RIGHT)]).await;
    assert!(is_signed_in(&person.page().await));
    assert_ne!(person.cookies["__Host-bearward-account"], planted.expose_str().unwrap());
    let mut thief = Person::new(&web);
    for (name, value) in &person.cookies {
        let value = if name.ends_with("-account") { planted.expose_str().unwrap() } else { value };
        thief.cookies.insert(name.clone(), value.to_owned());
    }
    assert!(!is_signed_in(&thief.page().await));
    // Nor does the cookie of a browser sign anybody in.
    thief
        .cookies
        .insert("__Host-bearward-account".to_owned(), person.cookies["__Host-bearward-browser"].clone());
    assert!(!is_signed_in(&thief.page().await));
    // A new sign-in in the same browser ends the session before it.
    let former = person.cookies["__Host-bearward-account"].clone();
    let page = person.send(get(&format!("/oauth/authorize?{}", asked(&[])))).await;
    assert!(page.body.contains("/oauth/sign-in"));
    let mut again = Person::new(&web);
    again.cookies = person.cookies.clone();
    again.cookies.remove("__Host-bearward-account");
    let page = again.send(get("/account")).await;
    again.cookies.insert("__Host-bearward-account".to_owned(), former.clone());
    again.submit(&page, "/oauth/sign-in", &[("login", ALICE), ("password", RIGHT)]).await;
    assert!(is_signed_in(&again.page().await));
    assert!(!is_signed_in(&person.page().await), "the former session goes on");
    let stored = String::from_utf8_lossy(&web.stored()).into_owned();
    assert!(!stored.contains(&again.cookies["__Host-bearward-account"]), "the store holds a cookie");
}

#[tokio::test]
async fn the_page_lists_what_is_connected_and_ends_it() {
    let web = Web::new().await;
    let (mine, bobs) = (grant(&web, ALICE).await, grant(&web, "bob@example.org").await);
    let live = session(&web, 1, ALICE, mine);
    let _bobs = session(&web, 2, "bob@example.org", bobs);
    let mut person = Person::signed_in(&web).await;
    let page = person.page().await;
    for part in [
        "Read, send and delete your mail",
        &mine.to_string(),
        "&#60;b&#62;Mail&#60;/b&#62; 16",
        "198.51.100.9",
        "value=\"0000000000000001\"",
        "name=\"language\"",
        "never",
    ] {
        assert!(page.body.contains(part), "{part} in {}", page.body);
    }
    for part in [bobs.to_string().as_str(), "0000000000000002", "<script", "<b>Mail", "style="] {
        assert!(!page.body.contains(part), "{part} in {}", page.body);
    }
    let answer = person.submit(&page, "/account/end", &[("grant", &mine.to_string())]).await;
    assert_eq!((answer.status, answer.header("location")), (StatusCode::SEE_OTHER, Some("/account")));
    assert!(!is_live(&web, mine).await && is_live(&web, bobs).await);
    assert_eq!(live.live().switch.killed(), Some(EndReason::Revoked));
    let ended = web.store.grant(mine).await.unwrap().unwrap().revoked.unwrap();
    assert_eq!(ended.reason, RevocationReason::LoggedOut);
    assert!(!person.page().await.body.contains(&mine.to_string()));
}

#[tokio::test]
async fn nobody_ends_what_is_anothers() {
    let web = Web::new().await;
    let bobs = grant(&web, "bob@example.org").await;
    let theirs = session(&web, 0xb0b, "bob@example.org", bobs);
    let own = session(&web, 0xa11ce, ALICE, grant(&web, ALICE).await);
    let mut person = Person::signed_in(&web).await;
    let page = person.page().await;
    let bobs_text = bobs.to_string();
    for fields in [[("grant", bobs_text.as_str())], [("session", "0000000000000b0b")]] {
        // As if it were not there: whoever names it learns nothing.
        let answer = person.submit(&page, "/account/end", &fields).await;
        assert_eq!((answer.status, answer.header("location")), (StatusCode::SEE_OTHER, Some("/account")));
    }
    let both = [("grant", bobs_text.as_str()), ("session", "00000000000a11ce")];
    for fields in [&[][..], &both, &[("grant", "x")], &[("session", "x")], &[("session", "-00000000000b0b0")]]
    {
        let answer = person.submit(&page, "/account/end", fields).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{fields:?}");
    }
    assert!(is_live(&web, bobs).await);
    assert_eq!((theirs.live().switch.killed(), own.live().switch.killed()), (None, None));
    person.submit(&page, "/account/end", &[("session", "00000000000a11ce")]).await;
    assert_eq!(own.live().switch.killed(), Some(EndReason::Killed));
}

#[tokio::test]
async fn a_form_counts_in_the_session_that_it_was_made_for_alone() {
    let web = Web::new().await;
    let mine = grant(&web, ALICE).await;
    let id = mine.to_string();
    let mut person = Person::signed_in(&web).await;
    let page = person.page().await;
    // Bob, and alice herself in another browser, send the form of this one.
    for user in ["bob@example.org", ALICE] {
        let mut other = Person::of_session(&web, user, 0).await;
        let answer = other.submit(&page, "/account/end", &[("grant", &id)]).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{user}");
        assert!(answer.body.contains("out of date") && answer.body.contains("href=\"/account\""));
    }
    let mut consent = Person::new(&web);
    let sign_in = consent.send(get(&format!("/oauth/authorize?{}", asked(&[])))).await;
    let sign_in_state = between(&sign_in.body, "name=\"state\" value=\"", "\"");
    let state = between(&page.body, "name=\"state\" value=\"", "\"").to_owned();
    let cut = &state[..state.len() - 2];
    let paths =
        ["/account/end", "/account/seen", "/account/language", "/account/sign-out", "/account/app-password"];
    for path in paths {
        for forged in ["", "x", cut, sign_in_state, &"A".repeat(60_000)] {
            let fields = [("state", forged), ("grant", &id), ("language", "de")];
            let mut request = form(path, &fields);
            request.headers_mut().insert("sec-fetch-site", "same-origin".parse().unwrap());
            let answer = person.send(request).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path} {forged:.20}");
        }
        for site in ["cross-site", "same-site"] {
            let mut request = filled(&page, path, &[("grant", &id), ("language", "de")]);
            request.headers_mut().insert("sec-fetch-site", site.parse().unwrap());
            assert_eq!(person.send(request).await.status, StatusCode::FORBIDDEN, "{path} {site}");
        }
        let mut request = filled(&page, path, &[("grant", &id)]);
        request.headers_mut().remove("sec-fetch-site");
        request.headers_mut().insert("host", "mail.example.org".parse().unwrap());
        request.headers_mut().insert("origin", "https://evil.example".parse().unwrap());
        assert_eq!(person.send(request).await.status, StatusCode::FORBIDDEN, "{path}");
    }
    assert!(is_live(&web, mine).await && is_signed_in(&person.page().await));
    assert!(!person.cookies.contains_key("__Host-bearward-language"));
}

#[tokio::test]
async fn no_other_method_and_no_address_does_anything() {
    let web = Web::new().await;
    let mine = grant(&web, ALICE).await;
    let mut person = Person::signed_in(&web).await;
    let page = person.page().await;
    let state = between(&page.body, "name=\"state\" value=\"", "\"");
    for path in ["/account/end", "/account/seen", "/account/language", "/account/sign-out"] {
        for method in [Method::GET, Method::HEAD, Method::PUT, Method::DELETE, Method::PATCH] {
            let uri = format!("{path}?state={state}&grant={mine}&language=de");
            let request = Request::builder().method(method.clone()).uri(uri).body(Body::empty()).unwrap();
            assert_eq!(person.send(request).await.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
        }
        // What stands in the address does not count, and neither does another kind of body.
        let uri = format!("{path}?state={state}&grant={mine}&language=de");
        assert_eq!(person.send(form(&uri, &[])).await.status, StatusCode::BAD_REQUEST, "{path}");
        let json =
            Request::post(path).header("content-type", "application/json").body(Body::from("{}")).unwrap();
        assert_eq!(person.send(json).await.status, StatusCode::BAD_REQUEST, "{path}");
    }
    let post = person.submit(&page, "/account", &[]).await;
    assert_eq!(post.status, StatusCode::METHOD_NOT_ALLOWED);
    assert!(is_live(&web, mine).await && is_signed_in(&person.page().await));
}

#[tokio::test]
async fn an_ended_session_opens_nothing_and_does_nothing() {
    let web = Web::new().await;
    let mine = grant(&web, ALICE).await;
    let id = mine.to_string();
    let mut person = Person::signed_in(&web).await;
    let page = person.page().await;
    let cookies = person.cookies.clone();
    person.submit(&page, "/account/sign-out", &[]).await;
    assert!(!person.cookies.contains_key("__Host-bearward-account"), "the cookie is taken away");
    person.cookies = cookies;
    let answer = person.submit(&page, "/account/end", &[("grant", &id)]).await;
    assert_eq!((answer.status, answer.header("location")), (StatusCode::SEE_OTHER, Some("/account")));
    assert!(is_live(&web, mine).await && !is_signed_in(&person.page().await));
    let form = person.send(get("/account/app-password")).await;
    assert!(!form.body.contains("name=\"networks\""), "{}", form.body);
    // One that has had its time is no better.
    let token = OpaqueToken::generate(TokenKind::Browser).unwrap();
    let now = UnixTime::now();
    let (lookup, user) = (token.lookup().unwrap(), Login::parse(ALICE).unwrap());
    let over = AccountSession { lookup, user, auth_time: now, created_at: now, expires_at: now };
    web.store.open_account_session(over).await.unwrap();
    let text = token.text();
    person.cookies.insert("__Host-bearward-account".into(), text.expose_str().unwrap().to_owned());
    assert!(!is_signed_in(&person.page().await));
}

#[tokio::test]
async fn a_removed_user_is_signed_out_everywhere() {
    let web = Web::new().await;
    let user = Login::parse(ALICE).unwrap();
    let now = UnixTime::now();
    let record = UserRecord { login: user.clone(), password: "x".into(), created_at: now, changed_at: now };
    web.store.add_user(record).await.unwrap();
    let mut person = Person::signed_in(&web).await;
    let page = person.page().await;
    web.store.remove_user(&user, now).await.unwrap();
    assert!(!is_signed_in(&person.page().await));
    let made = [("name", "x"), ("use", "send"), ("days", "0")];
    let answer = person.submit(&page, "/account/app-password", &made).await;
    assert_eq!((answer.status, answer.header("location")), (StatusCode::SEE_OTHER, Some("/account")));
    assert_eq!(web.issuer.app_passwords(None).await.unwrap(), []);
}

#[tokio::test]
async fn a_language_is_chosen_and_kept() {
    let web = Web::new().await;
    let mut person = Person::signed_in(&web).await;
    let page = person.page().await;
    assert!(page.body.contains("<html lang=\"en\">"));
    for bad in ["xx", "", "de; Path=/evil", "../de", "de\r\nSet-Cookie: a=b"] {
        let answer = person.submit(&page, "/account/language", &[("language", bad)]).await;
        assert_eq!((answer.status, answer.header("set-cookie")), (StatusCode::BAD_REQUEST, None), "{bad:?}");
    }
    let answer = person.submit(&page, "/account/language", &[("language", "de")]).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    for path in ["/account", "/", "/device"] {
        let mut request = get(path);
        request.headers_mut().insert("accept-language", "en".parse().unwrap());
        assert!(person.send(request).await.body.contains("<html lang=\"de\">"), "{path}");
    }
    person.cookies.insert("__Host-bearward-language".to_owned(), "\u{7f}<script>".to_owned());
    person.cookies.retain(|_, value| value.is_ascii());
    person.cookies.insert("__Host-bearward-language".to_owned(), "<script>".to_owned());
    assert!(person.page().await.body.contains("<html lang=\"en\">"));
}

#[tokio::test]
async fn an_outage_of_the_store_signs_nobody_out() {
    let web = Web::new().await;
    let mut person = Person::signed_in(&web).await;
    let page = person.page().await;
    web.store.down.store(true, std::sync::atomic::Ordering::SeqCst);
    for request in [
        get("/account"),
        get("/account/app-password"),
        filled(&page, "/account/end", &[("session", "0000000000000001")]),
        filled(&page, "/account/sign-out", &[]),
    ] {
        let answer = person.send(request).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(answer.header("retry-after").is_some());
    }
    web.store.down.store(false, std::sync::atomic::Ordering::SeqCst);
    assert!(is_signed_in(&person.page().await));
}
