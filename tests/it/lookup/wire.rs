//! What a client sees of a look-up.

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use crate::support::{ALICE, Act, Serve, Upstream, base64, taking, xoauth2};

const BOB: &str = "bob@example.org";

/// Two backends, a look-up in a file, and routes by it.
struct House {
    one: Upstream,
    two: Upstream,
    serve: Serve,
    folder: tempfile::TempDir,
}

fn write(folder: &Path, text: &str) {
    let (next, path) = (folder.join("next"), folder.join("people.toml"));
    fs::write(&next, text).unwrap();
    fs::set_permissions(&next, fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(next, path).unwrap();
}

fn imap(upstream: &Upstream) -> String {
    format!("imap = [\"imap://127.0.0.1:{}\"]\n", upstream.port())
}

/// `login` are the lines of both backends, `people` the file, `routes` what follows.
fn house(login: &str, people: &str, routes: &str) -> House {
    let (one, two) = (Upstream::start(vec![Act::Close]), Upstream::start(vec![Act::Close]));
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), people);
    let serve = Serve::start(&format!(
        "{}{login}\n[backend.two]\n{}{}\n[lookup.people]\nkind = \"file\"\npath = \"{}\"\n{routes}",
        imap(&one),
        imap(&two),
        login.replace("backend.main", "backend.two"),
        folder.path().join("people.toml").display()
    ));
    House { one, two, serve, folder }
}

/// A service that sends everybody to `main` while it is up, and hangs up while it is not.
fn service(is_up: Arc<AtomicBool>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 4096];
            let asked = stream.read(&mut request).is_ok_and(|read| read > 0);
            if asked && is_up.load(Ordering::SeqCst) {
                let answer = "HTTP/1.1 200 OK\r\nAuth-Status: OK\r\nX-Bearward-Backend: main\r\n\
                    Content-Length: 0\r\nConnection: close\r\n\r\n";
                stream.write_all(answer.as_bytes()).ok();
            }
        }
    });
    port
}

fn sign_in_as(serve: &Serve, user: &str, token: &str, answer: &str) {
    let mut client = serve.connect("imap");
    client.send(format!("a AUTHENTICATE XOAUTH2 {}\r\n", xoauth2(user, token)).as_bytes());
    client.expect(answer);
}

const BY_LOOKUP: &str =
    "[[route]]\nlookup = \"people\"\n[[route]]\ndomain = \"example.net\"\nbackend = \"main\"\n";

fn plain(user: &str, password: &str) -> String {
    format!("AUTHENTICATE PLAIN {}\r\n", base64(format!("\0{user}\0{password}")))
}

#[test]
fn a_user_goes_where_the_look_up_says_and_moves_when_it_changes() {
    let people = "['alice@example.org']\nbackend = 'two'\nlogin_name = 'al'\n";
    let house = house("login = \"trusted\"", people, BY_LOOKUP);
    let token = house.serve.token(ALICE);
    house.two.play(taking("imap", Vec::new()));
    house.serve.sign_in("imap", &token, "").until("a OK");
    house.two.got(&plain("al", "trusted"));

    write(house.folder.path(), "['alice@example.org']\nbackend = 'main'\n");
    house.one.play(taking("imap", Vec::new()));
    house.serve.sign_in("imap", &token, "").until("a OK");
    house.one.got(&plain(ALICE, "trusted"));
}

/// The mailbox is opened by the service account, whoever asks; a sender must still be one of the two.
#[test]
fn a_user_opens_the_mailboxes_that_the_look_up_gives_and_no_other() {
    // The last two name no mailbox, whatever the look-up says.
    let people = "['alice@example.org']\nmailboxes = ['team@example.org', '*@shared.example.org', '@example.org', \
         '*@client.invalid']\n";
    let house = house(
        "login = \"master\"\n[backend.main.master]\nuser = \"proxy\"\npassword = \"secret\"",
        people,
        "[shared_mailboxes]\nlookup = \"people\"\n[[route]]\ndomain = \"example.org\"\nbackend = \"main\"\n\
         [[route]]\ndomain = \"shared.example.org\"\nbackend = \"main\"\n",
    );
    let token = house.serve.token(ALICE);
    for mailbox in ["team@example.org", "sales@shared.example.org", ALICE] {
        house.one.play(taking("imap", Vec::new()));
        let mut client = house.serve.connect("imap");
        client.send(format!("a AUTHENTICATE XOAUTH2 {}\r\n", xoauth2(mailbox, &token)).as_bytes());
        client.until("a OK");
        house.one.got(&plain(&format!("{mailbox}*proxy"), "secret"));
    }
    let before = house.one.connections();
    let others = [
        BOB,
        "team@example.net",
        "*@shared.example.org",
        "@shared.example.org",
        "x@team@example.org",
        "@example.org",
        "open@client.invalid",
    ];
    for other in others {
        let mut client = house.serve.connect("imap");
        client.send(format!("a AUTHENTICATE XOAUTH2 {}\r\n\r\n", xoauth2(other, &token)).as_bytes());
        client.until("a NO [AUTHORIZATIONFAILED]");
    }
    assert_eq!(house.one.connections(), before, "the mail server hears of none of them");
}

#[test]
fn whom_the_look_up_does_not_know_and_no_route_takes_is_told_to_ask_the_operator() {
    let people = "['alice@example.org']\nbackend = 'two'\n";
    let house = house("login = \"trusted\"", people, BY_LOOKUP);
    let token = house.serve.token(ALICE);
    write(house.folder.path(), "['bob@example.org']\nbackend = 'two'\n");
    house.serve.sign_in("imap", &token, "").expect("a NO [CONTACTADMIN]");
    house.serve.wait_for_log(&["no route leads this user to a backend"]);
    write(house.folder.path(), people);
    house.two.play(taking("imap", Vec::new()));
    house.serve.sign_in("imap", &token, "").until("a OK");
}

#[test]
fn a_backend_that_the_look_up_makes_up_is_the_operators_fault() {
    let house = house("login = \"trusted\"", "['alice@example.org']\nbackend = 'two'\n", BY_LOOKUP);
    let token = house.serve.token(ALICE);
    let before = (house.one.connections(), house.two.connections());
    write(house.folder.path(), "['alice@example.org']\nbackend = 'three'\n");
    house.serve.sign_in("imap", &token, "").expect("a NO [CONTACTADMIN]");
    house.serve.wait_for_log(&["the operator must act", "names backend three"]);
    assert_eq!((house.one.connections(), house.two.connections()), before, "no default is taken");
}

#[test]
fn a_look_up_that_is_down_is_an_outage_and_no_other_route_is_taken() {
    let upstream = Upstream::start(vec![Act::Close]);
    let is_up = Arc::new(AtomicBool::new(true));
    let port = service(Arc::clone(&is_up));
    let serve = Serve::start(&format!(
        "{}login = \"trusted\"\n[lookup.people]\nkind = \"http\"\ncache = \"0s\"\n\
         url = \"http://127.0.0.1:{port}/\"\n[[route]]\nlookup = \"people\"\n\
         [[route]]\ndomain = \"example.org\"\nbackend = \"main\"\n",
        imap(&upstream)
    ));
    let token = serve.token(ALICE);
    is_up.store(false, Ordering::SeqCst);
    let before = upstream.connections();
    serve.sign_in("imap", &token, "").expect("a NO [UNAVAILABLE]");
    assert_eq!(upstream.connections(), before);

    let refused = serve.command(&["token", "issue", "--user", ALICE], "");
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("look-up people cannot be asked now"));
    let checked = serve.command(&["check"], "");
    let lines = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(
        lines.lines().any(|line| line.contains("look-up people") && line.contains("127.0.0.1")),
        "{lines}"
    );

    is_up.store(true, Ordering::SeqCst);
    upstream.play(taking("imap", Vec::new()));
    serve.sign_in("imap", &token, "").until("a OK");
}

#[test]
fn a_secret_from_the_store_logs_in_and_is_nobody_elses() {
    let house = house("login = \"secret\"", "['@example.org']\nbackend = 'two'\n", BY_LOOKUP);
    let (alice, bob) = (house.serve.token(ALICE), house.serve.token(BOB));
    house.serve.succeed(&["secret", "set", "--user", ALICE, "--password-stdin"], "hunter2\n");
    let listed = house.serve.succeed(&["secret", "list", "--json"], "");
    assert!(listed.contains(ALICE) && listed.contains("\"two\"") && !listed.contains("hunter2"), "{listed}");

    house.two.play(taking("imap", Vec::new()));
    house.serve.sign_in("imap", &alice, "").until("a OK");
    house.two.got(&plain(ALICE, "hunter2"));
    let before = house.two.connections();
    sign_in_as(&house.serve, BOB, &bob, "a NO [CONTACTADMIN]");
    house.serve.wait_for_log(&["no password is kept for this user"]);
    assert_eq!(house.two.connections(), before, "nothing is tried without a password");

    house.serve.succeed(&["secret", "remove", "--user", ALICE], "");
    let again = house.serve.command(&["secret", "remove", "--user", ALICE], "");
    assert!(!again.status.success());
    sign_in_as(&house.serve, ALICE, &alice, "a NO [CONTACTADMIN]");
    let log = house.serve.log();
    assert!(!log.contains("hunter2"), "{log}");
}

#[test]
fn a_secret_from_a_look_up_logs_in_under_its_own_name() {
    let people = "['alice@example.org']\nlogin_name = 'al'\npassword = 'hunter2'\n";
    let routes = "[[route]]\ndomain = \"example.org\"\nbackend = \"main\"\n";
    let house = house("login = \"secret\"\nsecrets = \"people\"", people, routes);
    let token = house.serve.token(ALICE);
    house.one.play(taking("imap", Vec::new()));
    house.serve.sign_in("imap", &token, "").until("a OK");
    house.one.got(&plain("al", "hunter2"));
}

#[test]
fn a_password_is_checked_at_the_server_and_under_the_name_that_the_look_up_says() {
    let (pinned, other) = (Upstream::start(vec![Act::Close]), Upstream::start(vec![Act::Close]));
    let folder = tempfile::tempdir().unwrap();
    let place = format!("127.0.0.1:{}", pinned.port());
    write(folder.path(), &format!("['alice@example.org']\nserver = '{place}'\nlogin_name = 'al'\n"));
    let serve = Serve::start(&format!(
        "imap = [\"imap://127.0.0.1:{}\", \"imap://{place}\"]\nlogin = \"sealed\"\n[lookup.people]\n\
         kind = \"file\"\npath = \"{}\"\n[[route]]\nlookup = \"people\"\nbackend = \"main\"\n",
        other.port(),
        folder.path().join("people.toml").display()
    ));
    pinned.play(taking("imap", Vec::new()));
    let before = other.connections();
    let token = serve.sealed_token(ALICE, "hunter2");
    pinned.got(&plain("al", "hunter2"));
    assert_eq!(other.connections(), before);
    serve.sign_in("imap", &token, "").until("a OK");
}

#[test]
fn a_secret_is_refused_for_a_backend_that_takes_none() {
    let house = house("login = \"trusted\"", "['@example.org']\nbackend = 'two'\n", BY_LOOKUP);
    for arguments in [
        &["secret", "set", "--user", ALICE, "--backend", "two", "--password-stdin"][..],
        &["secret", "set", "--user", ALICE, "--password-stdin"],
        &["secret", "set", "--user", ALICE, "--backend", "three", "--password-stdin"],
    ] {
        let refused = house.serve.command(arguments, "hunter2\n");
        assert_eq!(refused.status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn a_route_to_a_look_up_that_is_not_there_does_not_start() {
    let upstream = Upstream::start(vec![Act::Close]);
    let log = Serve::refused(&format!("{}[[route]]\nlookup = \"persons\"\n", imap(&upstream)), None);
    assert!(log.contains("there is no look-up") && log.contains("persons"), "{log}");
}
