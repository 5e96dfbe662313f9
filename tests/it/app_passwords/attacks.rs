//! What an app password must not open, and what must end it.

use std::time::{Duration, Instant};

use super::{MASTER, bare, is_taken, make, sign_in};
use crate::support::{ALICE, Serve, Upstream, base64, taking, until, wait};

fn scene() -> (Upstream, Serve) {
    let upstream = Upstream::start(taking("imap", vec![until("x NOOP")]));
    let serve = Serve::start(&format!("imap = [\"imap://127.0.0.1:{}\"]\n{MASTER}", upstream.port()));
    (upstream, serve)
}

#[test]
fn what_is_not_good_here_gets_one_answer_and_no_connection() {
    let (upstream, serve) = scene();
    let good = make(&serve, "imap", ALICE, &[]);
    let sending = make(&serve, "imap", ALICE, &["--protocols", "smtp"]);
    let elsewhere = make(&serve, "imap", ALICE, &["--network", "192.0.2.0/24", "--network", "2001:db8::/32"]);
    let brief = make(&serve, "imap", ALICE, &["--expires", "1s"]);
    let removed = make(&serve, "imap", ALICE, &[]);
    serve.succeed(&["app-password", "remove", &removed.id], "");
    wait(Duration::from_millis(1100));
    let connections = upstream.connections();
    let refused = "a NO [AUTHENTICATIONFAILED] Authentication failed";
    for (what, user, password) in [
        ("another's", "bob@example.org", &good.password),
        ("unknown", ALICE, &"abcd-efgh-jkmn-pqrs-tuvw".to_owned()),
        ("for another protocol", ALICE, &sending.password),
        ("from another network", ALICE, &elsewhere.password),
        ("expired", ALICE, &brief.password),
        ("removed", ALICE, &removed.password),
        ("a mailbox password", ALICE, &"hunter2".to_owned()),
        ("cut", ALICE, &good.password[..23].to_owned()),
    ] {
        let (_, answer) = sign_in(&serve, "imap", user, password);
        assert_eq!(bare(&answer), refused, "{what}");
    }
    assert_eq!(upstream.connections(), connections);
    let (_, answer) = sign_in(&serve, "imap", "Alice@Example.ORG", &good.password);
    assert!(is_taken(&answer), "the name in another case: {answer}");
    for detail in ["another user's", "from this address", "has expired", "was revoked", "no app password"] {
        serve.wait_for_log(&[detail]);
    }
}

#[test]
fn an_app_password_opens_no_other_mailbox_and_is_no_token() {
    let (upstream, serve) = scene();
    let made = make(&serve, "imap", ALICE, &[]);
    let connections = upstream.connections();
    let mut client = serve.connect("imap");
    client.say(&format!(
        "a AUTHENTICATE PLAIN {}",
        base64(format!("bob@example.org\0{ALICE}\0{}", made.password))
    ));
    client.expect("a NO [AUTHORIZATIONFAILED]");
    let mut client = serve.sign_in("imap", &made.password, "\r\n");
    client.until("a NO [AUTHENTICATIONFAILED]");
    let token = serve.token(ALICE);
    let (_, answer) = sign_in(&serve, "imap", ALICE, &token);
    assert!(answer.starts_with("a NO [AUTHENTICATIONFAILED]"), "a token is no password: {answer}");
    assert_eq!(upstream.connections(), connections);
}

#[test]
fn removing_an_app_password_closes_its_idle_session_within_a_second_and_no_other() {
    let (_upstream, serve) = scene();
    let (doomed, kept) = (make(&serve, "imap", ALICE, &[]), make(&serve, "imap", ALICE, &[]));
    let (mut session, answer) = sign_in(&serve, "imap", ALICE, &doomed.password);
    assert!(is_taken(&answer), "{answer}");
    let (_other, answer) = sign_in(&serve, "imap", ALICE, &kept.password);
    assert!(is_taken(&answer), "{answer}");
    serve.succeed(&["app-password", "remove", &doomed.id], "");
    let removed = Instant::now();
    assert!(session.rest().contains("* BYE"));
    assert!(removed.elapsed() < Duration::from_secs(1), "{:?}", removed.elapsed());
    let deadline = Instant::now() + Duration::from_secs(5);
    while serve.sessions() != 1 {
        assert!(Instant::now() < deadline, "{} sessions", serve.sessions());
    }
    let again = serve.command(&["app-password", "remove", "01890000-0000-7000-8000-000000000000"], "");
    assert_eq!(again.status.code(), Some(1));
}

#[test]
fn a_flood_of_guesses_ends_each_connection_and_reaches_no_mail_server() {
    let (upstream, serve) = scene();
    let made = make(&serve, "imap", ALICE, &[]);
    let connections = upstream.connections();
    for _ in 0..3 {
        let mut client = serve.connect("imap");
        for number in 0..6 {
            client.say(&format!("g{number} LOGIN {ALICE} abcd-efgh-jkmn-pqrs-tuv{}", number + 2));
        }
        let heard = client.rest();
        assert_eq!(heard.matches("NO [AUTHENTICATIONFAILED]").count(), 6, "{heard}");
        assert!(heard.contains("* BYE"), "{heard}");
    }
    assert_eq!(upstream.connections(), connections);
    let (_, answer) = sign_in(&serve, "imap", ALICE, &made.password);
    assert!(is_taken(&answer), "whoever has it is not kept out: {answer}");
}

#[test]
fn what_cannot_be_a_password_is_refused_before_anything_is_asked() {
    let (upstream, serve) = scene();
    make(&serve, "imap", ALICE, &[]);
    let connections = upstream.connections();
    let long = "x".repeat(2000);
    let mut client = serve.connect("imap");
    for (message, answer) in [
        (format!("\0{ALICE}\0"), "a BAD"),
        (format!("\0{ALICE}\0a\0b"), "a BAD"),
        ("\0\0password".to_owned(), "a BAD"),
        (format!("\0{ALICE}\0{long}"), "a NO [AUTHENTICATIONFAILED]"),
        (format!("\0{ALICE}\0пароль"), "a NO [AUTHENTICATIONFAILED]"),
        (format!("\0{long}\0abcd-efgh-jkmn-pqrs-tuvw"), "a NO [AUTHENTICATIONFAILED]"),
    ] {
        client.say(&format!("a AUTHENTICATE PLAIN {}", base64(&message)));
        client.expect(answer);
    }
    assert_eq!(upstream.connections(), connections);
}
