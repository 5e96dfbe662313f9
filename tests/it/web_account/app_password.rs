use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use bearward::{
    directory::{CheckError, PasswordCheck, Verified},
    model::Secret,
};

use super::*;

const PATH: &str = "/account/app-password";

/// A mail server that is logged in to with the mailbox password.
#[derive(Default)]
struct Sealed {
    asked: AtomicU32,
}

#[async_trait]
impl PasswordCheck for Sealed {
    async fn ask(&self, login: &Login, password: &Secret, _: IpAddr) -> Result<Verified, CheckError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        match (login.as_str(), password.expose_str()) {
            (ALICE, Some(RIGHT)) => Ok(Verified { seal_for: vec!["main".into()], login: None }),
            _ => Err(CheckError::Wrong),
        }
    }

    async fn seal_for(&self, _: &Login, _: IpAddr) -> Result<Vec<Arc<str>>, CheckError> {
        Ok(vec!["main".into()])
    }
}

async fn sealed() -> (Web, Arc<Sealed>) {
    let mailboxes = Arc::new(Sealed::default());
    let own = Arc::clone(&mailboxes);
    let finish =
        |issuer: bearward::issuer::Issuer, directory| issuer.with_directory(directory).with_mailboxes(own);
    (Web::with_issuer(Limits::default(), |_| (), finish).await, mailboxes)
}

async fn made(web: &Web) -> Vec<bearward::store::AppPasswordRecord> {
    web.issuer.app_passwords(None).await.unwrap()
}

fn text(page: &Answer) -> &str {
    between(&page.body, "translate=\"no\">", "<")
}

#[tokio::test]
async fn an_app_password_is_made_once_and_shown_once() {
    let web = Web::new().await;
    let mut person = Person::signed_in(&web).await;
    let form = person.send(get(PATH)).await;
    assert!(!form.body.contains("type=\"password\""), "{}", form.body);
    let fields = [
        ("name", " Drucker <i>&\"' 🖨 "),
        ("use", "some"),
        ("imap", "on"),
        ("smtp", "on"),
        ("days", "30"),
        ("networks", "192.0.2.0/24, 2001:db8::/32"),
    ];
    let page = person.submit(&form, PATH, &fields).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    assert_eq!(page.header("cache-control"), Some("no-store"));
    assert!(page.body.contains("Drucker &#60;i&#62;&#38;&#34;&#39; 🖨") && !page.body.contains("<i>"));
    let records = made(&web).await;
    assert_eq!((records.len(), records[0].scope.to_string().as_str()), (1, "imap smtp"));
    assert_eq!(records[0].networks.len(), 2);
    let days = UnixTime::now().until(records[0].expires_at.unwrap()).as_secs().div_ceil(86_400);
    assert_eq!(days, 30);
    // A reload sends the very same form.
    let again = person.submit(&form, PATH, &fields).await;
    assert_eq!(again.status, StatusCode::BAD_REQUEST);
    assert!(again.body.contains("counts once") && !again.body.contains(text(&page)), "{}", again.body);
    assert_eq!(made(&web).await.len(), 1);
    let account = person.page().await;
    assert!(account.body.contains("IMAP, SMTP") && !account.body.contains(text(&page)));
    let ended = person.submit(&account, "/account/end", &[("grant", &records[0].id.to_string())]).await;
    assert_eq!(ended.status, StatusCode::SEE_OTHER);
    assert_eq!(made(&web).await, []);
}

#[tokio::test]
async fn of_the_same_form_sent_many_times_at_once_one_counts() {
    let web = Web::new().await;
    let mut person = Person::signed_in(&web).await;
    let form = person.send(get(PATH)).await;
    let fields = [("name", "Printer"), ("use", "send"), ("days", "0")];
    let sent = (0..8).map(|_| web.send(person.dressed(filled(&form, PATH, &fields))));
    let mut statuses = Vec::new();
    for answer in futures_in_order(sent).await {
        statuses.push(answer.status);
    }
    assert_eq!(statuses.iter().filter(|status| **status == StatusCode::OK).count(), 1, "{statuses:?}");
    assert_eq!(made(&web).await.len(), 1);
    assert_eq!(made(&web).await[0].scope.to_string(), "smtp");
}

/// Runs all at once.
async fn futures_in_order<F: Future<Output = Answer>>(all: impl Iterator<Item = F>) -> Vec<Answer> {
    let mut running: Vec<_> = all.map(Box::pin).collect();
    let mut done: Vec<Option<Answer>> = running.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, place) in running.iter_mut().zip(&mut done) {
            if place.is_none()
                && let std::task::Poll::Ready(answer) = future.as_mut().poll(context)
            {
                *place = Some(answer);
            }
        }
        if done.iter().all(Option::is_some) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}

#[tokio::test]
async fn what_is_filled_in_wrongly_is_told_and_nothing_of_it_is_lost() {
    let web = Web::new().await;
    let mut person = Person::signed_in(&web).await;
    let form = person.send(get(PATH)).await;
    let long = "ü".repeat(65);
    let many = (0..17).map(|n| format!("192.0.2.{n}/32 ")).collect::<String>();
    let endless = "1".repeat(3000);
    for (name, networks, protocol) in [
        ("", "", "imap"),
        ("   ", "", "imap"),
        (long.as_str(), "", "imap"),
        ("a\r\nb", "", "imap"),
        ("a\u{0}b", "", "imap"),
        ("a\u{1b}[0m", "", "imap"),
        ("x", "192.0.2.0/33", "imap"),
        ("x", "\"><script>", "imap"),
        ("x", "example.org", "imap"),
        ("x", many.as_str(), "imap"),
        ("x", endless.as_str(), "imap"),
        ("x", "192.0.2.7", "lang"),
    ] {
        let value = if protocol == "lang" { "en" } else { "on" };
        let fields =
            [("name", name), ("use", "some"), ("days", "90"), ("networks", networks), (protocol, value)];
        let fields = if protocol == "lang" { &fields[..4] } else { &fields };
        let page = person.submit(&form, PATH, fields).await;
        assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY, "{name:?} {networks:?}: {}", page.body);
        assert!(page.body.contains("role=\"alert\"") && page.body.contains("value=\"90\" selected"));
        assert!(!page.body.contains("<script"), "{}", page.body);
    }
    for odd in [
        &[("name", "x"), ("use", "all"), ("days", "0")][..],
        &[("name", "x"), ("use", "send"), ("days", "1")],
        &[("name", "x"), ("use", "send"), ("days", "-1")],
        &[("name", "x"), ("use", "send")],
        &[("name", "x"), ("use", "some"), ("days", "0"), ("imap", "off")],
        &[("name", "x"), ("name", "y"), ("use", "send"), ("days", "0")],
        &[("name", "x"), ("use", "send"), ("use", "some"), ("days", "0")],
    ] {
        let page = person.submit(&form, PATH, odd).await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST, "{odd:?}");
    }
    assert_eq!(made(&web).await, []);
    // The form is as good as before.
    let fields = [("name", "a\u{202e}b 名前"), ("use", "send"), ("days", "365")];
    let page = person.submit(&form, PATH, &fields).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    assert!(page.body.contains("<bdi>ab 名前</bdi>"), "{}", page.body);
}

#[tokio::test]
async fn without_a_mailbox_password_the_sign_in_must_be_fresh() {
    let web = Web::new().await;
    let fields = [("name", "Printer"), ("use", "send"), ("days", "0")];
    let mut old = Person::of_session(&web, ALICE, -301).await;
    let page = old.send(get(PATH)).await;
    assert!(
        page.body.contains("name=\"login\"") && !page.body.contains("name=\"networks\""),
        "{}",
        page.body
    );
    assert!(page.body.contains(&format!("value=\"{ALICE}\"")), "who it is stands there already");
    // A form of the page itself is no way round, whatever it was made for.
    let mut ancient = Person::of_session(&web, ALICE, -1000).await;
    let account = ancient.page().await;
    let answer = ancient.submit(&account, PATH, &fields).await;
    assert!(answer.body.contains("type=\"password\"") && made(&web).await.is_empty(), "{}", answer.body);

    let back = old.submit(&page, "/oauth/sign-in", &[("login", ALICE), ("password", RIGHT)]).await;
    assert_eq!((back.status, back.header("location")), (StatusCode::SEE_OTHER, Some(PATH)));
    let form = old.send(get(PATH)).await;
    assert_eq!(old.submit(&form, PATH, &fields).await.status, StatusCode::OK);
    assert_eq!(made(&web).await.len(), 1);
}

#[tokio::test]
async fn where_the_mail_server_wants_it_the_mailbox_password_is_asked_for_within_the_limits() {
    let (web, mailboxes) = sealed().await;
    // It is the proof, so an old sign-in does.
    let mut person = Person::of_session(&web, ALICE, -3000).await;
    let form = person.send(get(PATH)).await;
    assert!(form.body.contains("name=\"password\" type=\"password\""), "{}", form.body);
    let with = |password| [("name", "Printer"), ("use", "send"), ("days", "0"), ("password", password)];
    for password in ["", "wrong", "x\r\ny"] {
        let page = person.submit(&form, PATH, &with(password)).await;
        assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY, "{password:?} {}", page.body);
        assert!(page.body.contains("value=\"Printer\"") && !page.body.contains("value=\"wrong\""));
        assert!(page.body.contains("name=\"password\" type=\"password\""), "it can be typed again");
    }
    assert_eq!(mailboxes.asked.load(Ordering::SeqCst), 1, "what cannot be a password is not asked about");
    let page = person.submit(&form, PATH, &with(RIGHT)).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    let record = made(&web).await.remove(0);
    let text: String = text(&page).to_owned();
    let token = bearward::token::AppPassword::parse(text.as_bytes()).unwrap();
    let stored = web.store.token(&token.lookup().unwrap()).await.unwrap().unwrap();
    assert_eq!((stored.grant.id, stored.credentials.len()), (record.id, 1));
    assert!(!web.stored().windows(RIGHT.len()).any(|octets| octets == RIGHT.as_bytes()));

    let form = person.send(get(PATH)).await;
    let mut statuses = Vec::new();
    for _ in 0..6 {
        statuses.push(person.submit(&form, PATH, &with("wrong")).await.status.as_u16());
    }
    assert!(statuses.iter().any(|status| [400, 429].contains(status)), "{statuses:?}");
    let asked = mailboxes.asked.load(Ordering::SeqCst);
    assert!(asked <= 2 + 5, "{asked}");
    let late = person.submit(&form, PATH, &with(RIGHT)).await;
    assert!([400, 429].contains(&late.status.as_u16()), "{}", late.status);
    assert_eq!(made(&web).await.len(), 1);
}
