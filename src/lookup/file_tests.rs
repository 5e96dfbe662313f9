#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::{fs, os::unix::fs::PermissionsExt};

use super::*;

fn login(name: &str) -> Login {
    Login::parse(name).unwrap()
}

fn write(path: &Path, text: &str, mode: u32) {
    // Under another name first, as an editor or `mv` would: the change is seen whatever the clock says.
    let next = path.with_extension("next");
    fs::write(&next, text).unwrap();
    fs::set_permissions(&next, fs::Permissions::from_mode(mode)).unwrap();
    fs::rename(&next, path).unwrap();
}

async fn ask(source: &FileSource, name: &str) -> Option<Found> {
    let login = login(name);
    source.ask(&Query { login: &login, protocol: None, client: None }).await.unwrap()
}

#[test]
fn a_user_has_what_stands_there_and_the_rest_from_the_domain() {
    let users = parse(
        "['@Example.org']\nbackend = 'main'\nserver = 'm1:143'\naddresses = ['@example.org']\n\
         ['alice@EXAMPLE.org']\nlogin_name = 'alice'\npassword = 'pw'\nmailboxes = ['team@example.org']\n\
         ['bob@example.org']\nbackend = 'other'\n",
    )
    .unwrap();
    let alice = find(&users, &login("alice@example.org")).unwrap();
    assert_eq!(alice.backend.as_deref(), Some("main"));
    assert_eq!(alice.server.as_deref(), Some("m1:143"));
    assert_eq!(alice.login_name.as_deref(), Some("alice"));
    assert_eq!(alice.addresses, ["@example.org"]);
    assert_eq!(alice.mailboxes, ["team@example.org"]);
    let bob = find(&users, &login("bob@example.org")).unwrap();
    assert_eq!((bob.backend.as_deref(), bob.server), (Some("other"), None), "no server of another backend");
    let carol = find(&users, &login("carol@example.org")).unwrap();
    assert_eq!(carol.backend.as_deref(), Some("main"));
    assert!(find(&users, &login("alice@example.net")).is_none());
    assert!(
        find(&users, &login("Alice@example.org")).unwrap().password.is_none(),
        "local parts keep their case"
    );
}

#[test]
fn nobody_is_found_under_the_name_of_a_domain() {
    let users = parse("['@example.org']\nbackend = 'main'\n['alice']\nbackend = 'main'\n").unwrap();
    assert!(find(&users, &login("alice")).is_some());
    assert!(find(&users, &login("bob")).is_none());
}

#[test]
fn what_is_wrong_is_said_without_a_value() {
    for (text, says) in [
        ("['a@b']\npassword = 'hunter2", "line 2"),
        ("['a@b']\npassword = hunter2", "line 2"),
        ("['a@b']\npassword = ['hunter2']", "password must be a text"),
        ("['a@b']\npassword = \"hunter2\\n\"", "no NUL, CR and LF"),
        ("['a@b']\naddresses = 'hunter2'", "addresses must be a list"),
        ("['a@b']\npasword = 'hunter2'", "not pasword"),
        ("['a@b']\nserver = 'hunter2 x'", "its server"),
        ("['a b']\npassword = 'hunter2'", "a login name"),
        ("password = 'hunter2'", "is no table"),
        ("['@b']\npassword = 'hunter2'", "would share a mailbox"),
        ("['@b']\nlogin_name = 'hunter2'", "would share a mailbox"),
        ("['a@b']\npassword = 'hunter2'\n['a@B']", "twice"),
    ] {
        let error = parse(text).unwrap_err();
        assert!(error.contains(says), "{text:?}: {error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[tokio::test]
async fn a_changed_file_is_read_again_and_a_broken_one_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("people.toml");
    write(&path, "['alice@example.org']\nbackend = 'one'\n", 0o644);
    let source = FileSource::open(&"people".into(), &FileConfig { path: path.clone() }).unwrap();
    assert_eq!(ask(&source, "alice@example.org").await.unwrap().backend.as_deref(), Some("one"));
    write(&path, "['alice@example.org']\nbackend = 'two'\n", 0o644);
    assert_eq!(ask(&source, "alice@example.org").await.unwrap().backend.as_deref(), Some("two"));
    for broken in ["['alice@example.org'", "['alice@example.org']\nbackend = 3\n"] {
        write(&path, broken, 0o644);
        assert_eq!(ask(&source, "alice@example.org").await.unwrap().backend.as_deref(), Some("two"));
    }
    fs::remove_file(&path).unwrap();
    assert_eq!(ask(&source, "alice@example.org").await.unwrap().backend.as_deref(), Some("two"));
    write(&path, "['bob@example.org']\nbackend = 'two'\n", 0o644);
    assert!(ask(&source, "alice@example.org").await.is_none(), "a removed user is gone");
}

#[test]
fn passwords_stand_in_no_file_that_others_may_open() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("people.toml");
    for (mode, is_taken) in [(0o600, true), (0o640, true), (0o644, false), (0o660, false), (0o602, false)] {
        write(&path, "['alice@example.org']\npassword = 'pw'\n", mode);
        assert_eq!(read(&path).is_ok(), is_taken, "{mode:o}");
    }
    write(&path, "['alice@example.org']\nbackend = 'main'\n", 0o644);
    assert!(read(&path).is_ok(), "without passwords anybody may read it");
}

#[test]
fn a_file_too_long_or_none_at_all_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("people.toml");
    let file = File::create(&path).unwrap();
    file.set_len(MAX + 1).unwrap();
    assert!(read(&path).unwrap_err().contains("16 MiB"));
    assert!(read(folder.path()).is_err());
    assert!(read(Path::new("/dev/zero")).is_err());
}
