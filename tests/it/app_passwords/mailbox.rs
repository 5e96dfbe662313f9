//! `passwords.mode = "backend"`: the mailbox password itself.

use std::time::{Duration, Instant};

use sqlx::{Connection, SqliteConnection};

use super::{bare, is_taken, make, make_with, offer, plain, sign_in};
use crate::support::{ALICE, Act, Serve, Upstream, answering, base64, taking, until, wait};

const BACKEND: &str = "[passwords]\nmode = \"backend\"\n";

/// The password is `correct horse`, by `openssl passwd -5`.
const PEOPLE: &str = "
    CREATE TABLE people (login TEXT, alias TEXT, password TEXT);
    INSERT INTO people VALUES
    ('alice@example.org', 'al@example.org', '$5$saltsalt$myjXcpMpE2Ofk7fj9hqyNYSn6lmWG4Mqnjx.KIRRr4/');";

fn sealed(upstream: &Upstream, more: &str) -> Serve {
    Serve::start(&format!("imap = [\"imap://127.0.0.1:{}\"]\nlogin = \"sealed\"\n{more}", upstream.port()))
}

#[test]
fn the_password_given_is_the_login_itself_and_is_kept_nowhere() {
    let upstream = Upstream::start(taking("imap", Vec::new()));
    let serve = sealed(&upstream, BACKEND);
    assert!(offer(&serve, "imap").contains("AUTH=PLAIN"));
    let before = upstream.count("AUTHENTICATE");
    let (_session, answer) = sign_in(&serve, "imap", ALICE, "hunter2 und Söhne");
    assert!(is_taken(&answer), "{answer}");
    assert_eq!(upstream.count("AUTHENTICATE"), before + 1);
    assert_eq!(upstream.count(&plain(ALICE, "hunter2 und Söhne")), 1);
    let line = serve.wait_for_log(&["sign_in", ALICE, "outcome=\"ok\""]);
    assert!(!line.contains("hunter2"), "{line}");
    assert_eq!(serve.succeed(&["grant", "list"], "").trim(), "none");
}

#[test]
fn an_app_password_is_taken_first_and_its_form_alone_is_no_reason_to_refuse_a_mailbox_password() {
    let upstream = Upstream::start(taking("imap", Vec::new()));
    let serve = sealed(&upstream, BACKEND);
    let made = make_with(&serve, "imap", ALICE, &["--password-stdin"], "hunter2\n");
    let (_, answer) = sign_in(&serve, "imap", ALICE, &made.password);
    assert!(is_taken(&answer), "{answer}");
    assert_eq!(upstream.count(&plain(ALICE, &made.password)), 0);
    let (_, answer) = sign_in(&serve, "imap", ALICE, "abcdefghjkmnpqrstuvw");
    assert!(is_taken(&answer), "{answer}");
    assert_eq!(upstream.count(&plain(ALICE, "abcdefghjkmnpqrstuvw")), 1);
    let (_, answer) = sign_in(&serve, "imap", "bob@example.org", &made.password);
    assert!(answer.starts_with("a NO [AUTHENTICATIONFAILED]"), "{answer}");
    assert_eq!(upstream.count(&plain("bob@example.org", &made.password)), 0, "no mail server is shown it");
}

#[test]
fn a_wrong_password_counts_and_after_some_the_mail_server_is_not_asked_any_more() {
    let upstream = Upstream::start(answering("imap", "L NO [AUTHENTICATIONFAILED] wrong\r\n"));
    let serve = sealed(&upstream, BACKEND);
    let started = Instant::now();
    // Five slips are free; the sixth is the first that makes the next one wait.
    for number in 0..6 {
        let (_, answer) = sign_in(&serve, "imap", ALICE, &format!("wrong {number}"));
        assert_eq!(bare(&answer), "a NO [AUTHENTICATIONFAILED] Authentication failed");
        if number == 0 {
            assert!(started.elapsed() >= Duration::from_millis(950), "{:?}", started.elapsed());
        }
    }
    let asked = upstream.count("AUTHENTICATE");
    let (_, answer) = sign_in(&serve, "imap", ALICE, "wrong 7");
    assert_eq!(bare(&answer), "a NO [LIMIT] Too many attempts, try again later");
    assert_eq!(upstream.count("AUTHENTICATE"), asked);
    serve.wait_for_log(&["outcome=\"rate_limited\"", ALICE]);
    // The same person's app password is not held back by it.
    upstream.play(taking("imap", Vec::new()));
    let made = make_with(&serve, "imap", ALICE, &["--password-stdin"], "hunter2\n");
    let (_, answer) = sign_in(&serve, "imap", ALICE, &made.password);
    assert!(is_taken(&answer), "{answer}");
}

#[test]
fn an_outage_is_no_wrong_password_and_counts_for_nothing() {
    let upstream = Upstream::start(vec![Act::Close]);
    let serve = sealed(&upstream, BACKEND);
    for _ in 0..12 {
        let (_, answer) = sign_in(&serve, "imap", ALICE, "hunter2");
        assert!(answer.starts_with("a NO [UNAVAILABLE]"), "{answer}");
    }
    upstream.play(taking("imap", Vec::new()));
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let (_, answer) = sign_in(&serve, "imap", ALICE, "hunter2");
        if is_taken(&answer) {
            break;
        }
        assert!(answer.starts_with("a NO [UNAVAILABLE]") && Instant::now() < deadline, "{answer}");
    }
}

#[test]
fn where_the_login_does_not_tell_the_directory_is_asked_first() {
    let upstream = Upstream::start(taking("imap", Vec::new()));
    let serve = Serve::start(&format!(
        "imap = [\"imap://127.0.0.1:{}\"]\n{}{BACKEND}",
        upstream.port(),
        super::MASTER
    ));
    let (_, answer) = sign_in(&serve, "imap", ALICE, "hunter2");
    assert!(is_taken(&answer), "{answer}");
    assert_eq!(upstream.count(&plain(ALICE, "hunter2")), 1);
    assert_eq!(upstream.count(&base64(format!("\0{ALICE}*proxy\0upstream-secret"))), 1);
    upstream.play(answering("imap", "L NO [AUTHENTICATIONFAILED] wrong\r\n"));
    let (_, answer) = sign_in(&serve, "imap", ALICE, "wrong");
    assert_eq!(bare(&answer), "a NO [AUTHENTICATIONFAILED] Authentication failed");
    assert_eq!(upstream.count(&base64(format!("\0{ALICE}*proxy\0upstream-secret"))), 1);
}

#[tokio::test]
async fn somebody_with_several_names_is_the_one_whom_the_directory_knows() {
    let folder = tempfile::tempdir().unwrap();
    let people = folder.path().join("people.db");
    let mut made =
        SqliteConnection::connect(&format!("sqlite://{}?mode=rwc", people.display())).await.unwrap();
    sqlx::raw_sql(PEOPLE).execute(&mut made).await.unwrap();
    made.close().await.unwrap();
    let run = move || {
        let upstream = Upstream::start(taking("imap", Vec::new()));
        let query = "SELECT login, password FROM people WHERE login = $1 OR alias = $1";
        let serve = Serve::start(&format!(
            "imap = [\"imap://127.0.0.1:{}\"]\n{}{BACKEND}[directory]\nsource = [\"sql\"]\n\
             default_domain = \"example.org\"\n[directory.sql]\nurl = \"sqlite:{}\"\nquery = \"{query}\"\n",
            upstream.port(),
            super::MASTER,
            people.display()
        ));
        let login = base64(format!("\0{ALICE}*proxy\0upstream-secret"));
        for (count, name) in [(1, ALICE), (2, "al@example.org"), (3, "al"), (4, "alice")] {
            let (_session, answer) = sign_in(&serve, "imap", name, "correct horse");
            assert!(is_taken(&answer), "{name}: {answer}");
            assert_eq!(upstream.count(&login), count, "{name}");
        }
        let told = || serve.log().matches(&format!("user=\"{ALICE}\"")).count();
        let deadline = Instant::now() + Duration::from_secs(10);
        while told() < 4 && Instant::now() < deadline {
            wait(Duration::from_millis(20));
        }
        assert_eq!(told(), 4, "{}", serve.log());
        for name in ["al@example.org", "al@elsewhere.example", "bob"] {
            let (_, answer) = sign_in(&serve, "imap", name, "wrong");
            assert_eq!(bare(&answer), "a NO [AUTHENTICATIONFAILED] Authentication failed", "{name}");
        }
        assert_eq!(upstream.count(&login), 4);
        // An app password of the one person serves under each name that the server itself can tell.
        let made = make(&serve, "imap", ALICE, &[]);
        let (_, answer) = sign_in(&serve, "imap", "alice", &made.password);
        assert!(is_taken(&answer), "{answer}");
    };
    tokio::task::spawn_blocking(run).await.unwrap();
}

#[test]
fn a_changed_password_and_a_removed_user_close_sessions_of_the_password_within_a_second() {
    let upstream = Upstream::start(taking("imap", vec![until("x NOOP")]));
    let serve = Serve::start(&format!(
        "imap = [\"imap://127.0.0.1:{}\"]\n{}[directory]\nsource = [\"store\"]\n{BACKEND}",
        upstream.port(),
        super::MASTER
    ));
    serve.succeed(&["user", "add", ALICE, "--password-stdin"], "first\n");
    let steps: [(&str, &[&str]); 2] =
        [("first", &["user", "passwd", ALICE, "--password-stdin"]), ("second", &["user", "remove", ALICE])];
    for (password, command) in steps {
        let (mut session, answer) = sign_in(&serve, "imap", ALICE, password);
        assert!(is_taken(&answer), "{answer}");
        serve.succeed(command, "second\n");
        let changed = Instant::now();
        assert!(session.rest().contains("* BYE"));
        assert!(changed.elapsed() < Duration::from_secs(1), "{:?}", changed.elapsed());
        let (_, answer) = sign_in(&serve, "imap", ALICE, password);
        assert!(answer.starts_with("a NO [AUTHENTICATIONFAILED]"), "{answer}");
    }
    assert_eq!(upstream.count(&plain(ALICE, "first")), 0, "the mail server never hears it");
}

#[test]
fn an_override_decides_by_network_and_user() {
    let upstream = Upstream::start(taking("imap", Vec::new()));
    let here = "[[passwords.override]]\nnetwork = [\"127.0.0.0/8\"]\n";
    let off = sealed(&upstream, &format!("{BACKEND}{here}mode = \"off\"\n"));
    assert!(!offer(&off, "imap").contains("PLAIN"));
    let (_, answer) = sign_in(&off, "imap", ALICE, "hunter2");
    assert!(answer.starts_with("a NO The mechanism is not offered here"), "{answer}");

    let one = format!("[passwords]\nmode = \"off\"\n{here}user = [\"{ALICE}\"]\nmode = \"backend\"\n");
    let serve = sealed(&upstream, &one);
    assert!(offer(&serve, "imap").contains("AUTH=PLAIN"), "for the one who may");
    let (_, answer) = sign_in(&serve, "imap", ALICE, "hunter2");
    assert!(is_taken(&answer), "{answer}");
    let (_, answer) = sign_in(&serve, "imap", "bob@example.org", "hunter2");
    assert!(answer.starts_with("a NO [CONTACTADMIN]"), "{answer}");
    assert_eq!(upstream.count(&plain("bob@example.org", "hunter2")), 0);
}
