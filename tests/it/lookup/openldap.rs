//! Look-ups in OpenLDAP.

use bearward::{
    lookup::{Kind, LdapAttributes, LdapConfig, LdapFilter, LdapTls, Lookups, Scope},
    model::{Login, Secret},
};

use super::{EVIL, find, is_operator, is_unavailable, lookups};
use crate::support::{BASE, BIND_DN, BIND_PASSWORD, Serve, Slapd, Upstream, base64, taking, until, xoauth2};

const ALICE: &[(&str, &[u8])] = &[
    ("uid", b"alice@example.org"),
    ("mailHost", b"m1.example.org:143"),
    ("mailPassword", b"hunter2"),
    ("mailAlternateAddress", b"a@example.org"),
    ("mailAlternateAddress", b"@example.net"),
    ("sharedMailbox", b"team@example.org"),
    ("mailBackend", b"main"),
];

/// How to ask `slapd` in this way.
fn config(slapd: &Slapd, tls: LdapTls) -> LdapConfig {
    let attribute = |name: &str| Some(name.to_owned());
    LdapConfig {
        host: "localhost".into(),
        port: if tls == LdapTls::Implicit { slapd.port_tls } else { slapd.port },
        tls,
        bind: Some((BIND_DN.into(), Secret::copy_of(BIND_PASSWORD.as_bytes()))),
        base: BASE.into(),
        scope: Scope::Sub,
        filter: LdapFilter::parse("(uid={user})").unwrap(),
        attributes: LdapAttributes {
            backend: attribute("mailBackend"),
            server: attribute("mailHost"),
            login_name: None,
            password: attribute("mailPassword"),
            addresses: attribute("mailAlternateAddress"),
            mailboxes: attribute("sharedMailbox"),
        },
        ca: Some(slapd.ca()),
    }
}

fn clear(slapd: &Slapd) -> Lookups {
    lookups(Kind::Ldap(config(slapd, LdapTls::Clear)))
}

#[tokio::test]
async fn openldap_answers_in_clear_by_ldaps_and_behind_starttls() {
    let slapd = Slapd::start(&[ALICE]);
    for tls in [LdapTls::Clear, LdapTls::Implicit, LdapTls::StartTls] {
        let people = lookups(Kind::Ldap(config(&slapd, tls)));
        let entry = find(&people, "alice@example.org").await.unwrap().unwrap();
        assert_eq!(entry.server, Some(("m1.example.org".into(), Some(143))), "{tls:?}");
        assert_eq!(entry.password.unwrap().expose(), b"hunter2");
        assert_eq!(entry.addresses, ["a@example.org", "@example.net"]);
        assert_eq!(entry.mailboxes, ["team@example.org"]);
        assert_eq!(entry.backend.as_deref(), Some("main"));
        assert!(find(&people, "bob@example.org").await.unwrap().is_none(), "{tls:?}");
    }
    let log = slapd.log();
    assert_eq!(log.matches("TLS established").count(), 2, "{log}");
    // Three connections for six questions; two binds behind TLS, one in clear where it was asked for.
    assert_eq!(log.matches("method=128").count(), 3, "{log}");
}

#[tokio::test]
async fn a_certificate_of_somebody_else_is_the_operators_fault_and_gets_no_password() {
    let slapd = Slapd::start(&[ALICE]);
    for tls in [LdapTls::Implicit, LdapTls::StartTls] {
        let unknown = LdapConfig { ca: Some(slapd.stranger()), ..config(&slapd, tls) };
        let result = find(&lookups(Kind::Ldap(unknown)), "alice@example.org").await;
        assert!(is_operator(&result), "{tls:?}: {result:?}");
        let misnamed = LdapConfig { host: "localhost.localdomain".into(), ..config(&slapd, tls) };
        let result = find(&lookups(Kind::Ldap(misnamed)), "alice@example.org").await;
        assert!(result.is_err(), "{tls:?}: {result:?}");
    }
    assert!(!slapd.log().contains("BIND"), "{}", slapd.log());
}

#[tokio::test]
async fn a_wrong_bind_password_is_the_operators_fault() {
    let slapd = Slapd::start(&[ALICE]);
    for (name, password) in [(BIND_DN, "wrong"), ("cn=nobody,dc=example,dc=org", "x"), ("no name", "x")] {
        let bind = Some((name.into(), Secret::copy_of(password.as_bytes())));
        let wrong = LdapConfig { bind, ..config(&slapd, LdapTls::Implicit) };
        let result = find(&lookups(Kind::Ldap(wrong)), "alice@example.org").await;
        assert!(is_operator(&result), "{name}: {result:?}");
    }
    assert!(!slapd.log().contains("SRCH"), "{}", slapd.log());
}

#[tokio::test]
async fn a_base_that_is_not_there_and_a_server_that_wants_tls_are_the_operators_fault() {
    let slapd = Slapd::start_with(&[ALICE], "security simple_bind=128\n");
    let result = find(&clear(&slapd), "alice@example.org").await;
    assert!(is_operator(&result), "confidentialityRequired: {result:?}");
    let missing = LdapConfig { base: "dc=example,dc=net".into(), ..config(&slapd, LdapTls::StartTls) };
    let result = find(&lookups(Kind::Ldap(missing)), "alice@example.org").await;
    assert!(is_operator(&result), "noSuchObject: {result:?}");
}

#[tokio::test]
async fn a_name_matches_itself_alone_whatever_it_holds() {
    let mut names = EVIL.to_vec();
    names.extend([
        "j\u{fc}rgen@example.org",
        "a(b@example.org",
        "a)b@example.org",
        "a\\b@example.org",
        "\u{65e5}@example.org",
    ]);
    let people: Vec<Vec<(&str, &[u8])>> =
        names.iter().map(|name| vec![("uid", name.as_bytes()), ("mailPassword", name.as_bytes())]).collect();
    let mut people: Vec<_> = people.iter().map(Vec::as_slice).collect();
    people.push(ALICE);
    let slapd = Slapd::start(&people);
    let directory = clear(&slapd);
    for name in &names {
        let entry = find(&directory, name).await.unwrap().unwrap_or_else(|| panic!("{name} is not found"));
        assert_eq!(entry.password.unwrap().expose(), name.as_bytes(), "{name}");
    }
    for name in [
        "*",
        "a*@example.org",
        "alice*",
        "alice@example.org)(uid=*",
        "a?b@example.org",
        "\\61lice@example.org",
    ] {
        assert!(find(&directory, name).await.unwrap().is_none(), "{name}");
    }
    assert!(Login::parse("alice\0@example.org").is_err());
}

#[tokio::test]
async fn a_name_that_only_looks_like_another_is_nobody() {
    let umlaut: &[(&str, &[u8])] = &[("uid", "j\u{fc}rgen@example.org".as_bytes()), ("mailPassword", b"x")];
    let slapd = Slapd::start(&[ALICE, umlaut]);
    let directory = clear(&slapd);
    for name in [
        "ali\u{ad}ce@example.org",
        "alice\u{200b}@example.org",
        "\u{ff41}lice@example.org",
        "al\u{131}ce@example.org",
        "ju\u{308}rgen@example.org",
        "j\u{dc}rgen@example.org",
        "alice\u{fe0f}@example.org",
    ] {
        let found = find(&directory, name).await.unwrap();
        assert!(found.is_none(), "{name:?}: {found:?}");
    }
}

#[tokio::test]
async fn two_entries_for_one_name_are_refused() {
    let other: &[(&str, &[u8])] = &[("uid", b"alice@example.org"), ("mailPassword", b"other")];
    let slapd = Slapd::start(&[ALICE, other]);
    let result = find(&clear(&slapd), "alice@example.org").await;
    assert!(is_operator(&result), "{result:?}");
}

#[tokio::test]
async fn binary_huge_and_countless_values_are_the_operators_fault_and_harm_nobody_else() {
    let huge = vec![b'x'; 6 << 20];
    let addresses: Vec<String> = (0..1001).map(|number| format!("a{number}@example.org")).collect();
    let mut many: Vec<(&str, &[u8])> = vec![("uid", b"many@example.org")];
    many.extend(addresses.iter().map(|address| ("mailAlternateAddress", address.as_bytes())));
    let slapd = Slapd::start(&[
        ALICE,
        &[("uid", b"binary@example.org"), ("mailPassword", b"\xff\xfe\0")],
        &[("uid", b"nul@example.org"), ("mailPassword", b"a\0b")],
        &[("uid", b"huge@example.org"), ("mailPassword", &huge)],
        &many,
    ]);
    let directory = clear(&slapd);
    for name in ["binary@example.org", "nul@example.org", "many@example.org"] {
        let result = find(&directory, name).await;
        assert!(is_operator(&result), "{name}: {result:?}");
    }
    let result = find(&directory, "huge@example.org").await;
    assert!(result.is_err(), "{result:?}");
    assert!(find(&directory, "alice@example.org").await.unwrap().is_some());
}

#[tokio::test]
async fn a_server_that_was_stopped_is_asked_again_when_it_is_back() {
    let mut slapd = Slapd::start(&[ALICE]);
    for tls in [LdapTls::Clear, LdapTls::Implicit, LdapTls::StartTls] {
        let people = lookups(Kind::Ldap(config(&slapd, tls)));
        assert!(find(&people, "alice@example.org").await.unwrap().is_some());
        slapd.stop();
        let result = find(&people, "alice@example.org").await;
        assert!(is_unavailable(&result), "{tls:?}: {result:?}");
        slapd.start_again();
        assert!(find(&people, "alice@example.org").await.unwrap().is_some(), "{tls:?}");
    }
}

/// Bearward that asks `slapd` for everything, in front of a server for each of two backends.
fn serve(slapd: &Slapd, one: &Upstream, two: &Upstream, ca: &std::path::Path, bind_password: &str) -> Serve {
    let servers = |upstream: &Upstream| {
        format!("imap = [\"imap://127.0.0.1:{0}\"]\nsmtp = [\"smtp://127.0.0.1:{0}\"]\n", upstream.port())
    };
    let secret = "login = \"secret\"\nsecrets = \"people\"\n";
    Serve::start(&format!(
        "{}{secret}[backend.two]\n{}{secret}\
         [[route]]\nlookup = \"people\"\n[shared_mailboxes]\nlookup = \"people\"\n\
         [submission]\nsender = \"own\"\nsender_lookup = \"people\"\n\
         [lookup.people]\nkind = \"ldap\"\nurl = \"ldap://localhost:{}\"\nstarttls = true\nca = \"{}\"\n\
         bind_dn = \"{BIND_DN}\"\nbind_password = \"{bind_password}\"\nbase = \"{BASE}\"\n\
         filter = \"(uid={{user}})\"\nbackend_attribute = \"mailBackend\"\npassword_attribute = \"mailPassword\"\n\
         addresses_attribute = \"mailAlternateAddress\"\nmailboxes_attribute = \"sharedMailbox\"\ncache = \"0s\"\n",
        servers(one),
        servers(two),
        slapd.port,
        ca.display(),
    ))
}

fn login(protocol: &str, user: &str, password: &str) -> String {
    let response = base64(format!("\0{user}\0{password}"));
    let verb = if protocol == "imap" { "AUTHENTICATE" } else { "AUTH" };
    format!("{verb} PLAIN {response}\r\n")
}

#[test]
fn one_sign_in_takes_route_password_addresses_and_mailboxes_from_openldap() {
    let alice: &[(&str, &[u8])] = &[
        ("uid", b"alice@example.org"),
        ("mailBackend", b"two"),
        ("mailPassword", b"hunter2"),
        ("mailAlternateAddress", b"a@example.org"),
        ("sharedMailbox", b"team@example.org"),
    ];
    let team: &[(&str, &[u8])] =
        &[("uid", b"team@example.org"), ("mailBackend", b"main"), ("mailPassword", b"teampw")];
    let slapd = Slapd::start(&[alice, team]);
    let (one, two) =
        (Upstream::start(taking("imap", Vec::new())), Upstream::start(taking("imap", Vec::new())));
    let serve = serve(&slapd, &one, &two, &slapd.ca(), BIND_PASSWORD);
    let token = serve.token("alice@example.org");
    serve.sign_in("imap", &token, "").until("a OK");
    two.got(&login("imap", "alice@example.org", "hunter2"));

    let mut client = serve.connect("imap");
    client.say(&format!("a AUTHENTICATE XOAUTH2 {}", xoauth2("team@example.org", &token)));
    client.until("a OK");
    one.got(&login("imap", "team@example.org", "teampw"));

    two.play(taking("smtp", vec![until("a@example.org")]));
    let mut client = serve.sign_in("smtp", &token, "");
    client.until("235 ");
    client.say("MAIL FROM:<bob@example.org>");
    client.say("MAIL FROM:<a@example.org>");
    let text = two.got("MAIL FROM:<a@example.org>").text();
    assert!(!text.contains("bob@example.org"), "{text}");
    assert!(text.contains(&login("smtp", "alice@example.org", "hunter2")), "{text}");
}

#[test]
fn an_openldap_that_is_not_to_be_trusted_or_does_not_let_us_bind_is_the_operators_fault() {
    for (old, new) in [("/certs/", "/stranger/"), (BIND_PASSWORD, "another")] {
        let mut slapd = Slapd::start(&[ALICE]);
        slapd.stranger();
        let script = taking("imap", Vec::new());
        let (one, two) = (Upstream::start(script.clone()), Upstream::start(script));
        let serve = serve(&slapd, &one, &two, &slapd.ca(), BIND_PASSWORD);
        let token = serve.token("alice@example.org");
        slapd.change(old, new);
        serve.sign_in("imap", &token, "").until("a NO [CONTACTADMIN]");
        let line = serve.wait_for_log(&["ERROR", "the operator must act: a look-up has no usable answer"]);
        assert!(!line.contains(BIND_PASSWORD), "{line}");
        assert_eq!(one.count("AUTHENTICATE") + two.count("AUTHENTICATE"), 0);
    }
}

#[test]
fn a_sign_in_while_openldap_is_away_is_temporary_and_works_when_it_is_back() {
    let mut slapd = Slapd::start(&[ALICE]);
    let (one, two) =
        (Upstream::start(taking("imap", Vec::new())), Upstream::start(taking("imap", Vec::new())));
    let serve = serve(&slapd, &one, &two, &slapd.ca(), BIND_PASSWORD);
    let token = serve.token("alice@example.org");
    serve.sign_in("imap", &token, "").until("a OK");
    slapd.stop();
    serve.sign_in("imap", &token, "").until("a NO [UNAVAILABLE]");
    slapd.start_again();
    serve.sign_in("imap", &token, "").until("a OK");
}
