use std::time::Duration;

use bearward::{
    directory::{
        CheckError, DnTemplate, GroupFilter, LdapDirectory, LdapDirectoryConfig, LdapPlace, Membership, Names,
    },
    lookup::{LdapFilter, LdapServer, LdapTls, Scope},
    model::Secret,
};

use super::{check, is_operator, is_unavailable, right};
use crate::support::{BASE, BIND_DN, BIND_PASSWORD, Person, Slapd};

/// Known by `uid`, and by an alias.
const ALICE: Person<'_> = &[
    ("uid", b"alice@example.org"),
    ("mailAlternateAddress", b"al@example.org"),
    ("mailAlternateAddress", b"al@example.net"),
    ("userPassword", b"Pw4-alice-right"),
    ("sharedMailbox", b"cn=Mail Users, ou=Groups,dc=example,dc=org"),
];
/// Disabled, and in no group.
const BOB: Person<'_> =
    &[("uid", b"bob@example.org"), ("mailHost", b"disabled"), ("userPassword", b"Pw4-bob-right")];
/// Has written another's name into the own entry.
const MALLORY: Person<'_> = &[
    ("uid", b"alice@example.org"),
    ("mailBackend", b"mallory@example.org"),
    ("sharedMailbox", b"al@example.org"),
    ("userPassword", b"Pw4-mallory-right"),
];
/// A group, whose members stand in it by the names of their entries.
const GROUP: Person<'_> = &[
    ("uid", b"group"),
    ("mailBackend", b"group"),
    ("mailAlternateAddress", b"host=p0,ou=people,dc=example,dc=org"),
];

fn config(slapd: &Slapd, filter: &str) -> LdapDirectoryConfig {
    LdapDirectoryConfig {
        server: LdapServer {
            host: "localhost".into(),
            port: slapd.port_tls,
            tls: LdapTls::Implicit,
            bind: Some((BIND_DN.into(), Secret::copy_of(BIND_PASSWORD.as_bytes()))),
            ca: Some(slapd.ca()),
        },
        place: LdapPlace::Search {
            base: BASE.into(),
            scope: Scope::Sub,
            filter: LdapFilter::parse(filter).unwrap(),
        },
        login: None,
        require: None,
        timeout: Duration::from_secs(10),
        domains: Vec::new(),
    }
}

fn directory(config: LdapDirectoryConfig) -> LdapDirectory {
    LdapDirectory::new(config, Names::default()).unwrap()
}

const FILTER: &str = "(&(|(uid={user})(mailAlternateAddress={user}))(!(mailHost=disabled)))";

#[tokio::test]
async fn a_password_is_right_when_its_owner_can_be_bound_with_it() {
    // A server that takes a bind without a password for an anonymous one.
    let slapd = Slapd::start_with(&[ALICE, BOB], "allow bind_anon_dn");
    for (tls, port) in
        [(LdapTls::Clear, slapd.port), (LdapTls::Implicit, slapd.port_tls), (LdapTls::StartTls, slapd.port)]
    {
        let base = config(&slapd, FILTER);
        let server = LdapServer { tls, port, ..base.server.clone() };
        let people = directory(LdapDirectoryConfig { server, ..base });
        assert_eq!(check(&people, "alice@example.org", "Pw4-alice-right").await, right(None), "{tls:?}");
        for wrong in ["Pw4-alice-Right", "", "Pw4-alice-right\0", "\0", "Pw4-bob-right", BIND_PASSWORD] {
            assert_eq!(check(&people, "alice@example.org", wrong).await, Err(CheckError::Wrong), "{wrong:?}");
        }
        for nobody in ["bob@example.org", "carol@example.org", "*", "a)(uid=*", "alice@example.org)(uid=*"] {
            let answer = check(&people, nobody, "Pw4-bob-right").await;
            assert_eq!(answer, Err(CheckError::Wrong), "{nobody}");
        }
    }
    assert!(!slapd.log().contains("BIND dn=\"\""), "nobody was bound without a name: {}", slapd.log());
}

#[tokio::test]
async fn nobody_is_bound_on_a_connection_that_somebody_else_was_bound_on() {
    let slapd = Slapd::start(&[ALICE]);
    let people = directory(config(&slapd, FILTER));
    for _ in 0..3 {
        check(&people, "alice@example.org", "Pw4-alice-right").await.unwrap();
        check(&people, "alice@example.org", "wrong").await.unwrap_err();
    }
    let log = slapd.log();
    let mut bound = std::collections::BTreeMap::new();
    for line in log.lines().filter(|line| line.contains(" BIND dn=") && line.contains("method=128")) {
        let connection = line.split_whitespace().find(|word| word.starts_with("conn=")).unwrap();
        *bound.entry(connection.to_owned()).or_insert(0) += 1;
    }
    assert_eq!(bound.len(), 7, "one to search, one for each password: {log}");
    assert!(bound.values().all(|binds| *binds == 1), "{log}");
}

#[tokio::test]
async fn a_person_with_several_names_is_one_and_becomes_nobody_else() {
    let slapd = Slapd::start(&[ALICE, BOB]);
    let named = LdapDirectoryConfig { login: Some("UID".into()), ..config(&slapd, FILTER) };
    let people = directory(named);
    let alice = Some("alice@example.org");
    assert_eq!(check(&people, "alice@example.org", "Pw4-alice-right").await, right(None));
    for alias in ["al@example.org", "al@example.net", "ALICE@example.org"] {
        assert_eq!(check(&people, alias, "Pw4-alice-right").await, right(alice), "{alias}");
        assert_eq!(check(&people, alias, "wrong").await, Err(CheckError::Wrong), "{alias}");
    }
    let without = LdapDirectoryConfig { login: Some("description".into()), ..config(&slapd, FILTER) };
    let answer = check(&directory(without), "alice@example.org", "Pw4-alice-right").await;
    assert!(is_operator(&answer), "{answer:?}");
}

#[tokio::test]
async fn whoever_writes_another_name_into_the_own_entry_does_not_become_that() {
    let slapd = Slapd::start(&[ALICE, MALLORY]);
    // Two entries say that they are alice: nobody is.
    let filter = "(|(mailBackend={user})(uid={user}))";
    let people = directory(LdapDirectoryConfig { login: Some("uid".into()), ..config(&slapd, filter) });
    let answer = check(&people, "mallory@example.org", "Pw4-mallory-right").await;
    assert!(is_operator(&answer), "{answer:?}");
    // The name leads to no entry, or to another than mallory's.
    let filter = "(|(mailBackend={user})(mailAlternateAddress={user}))";
    for attribute in ["uid", "sharedMailbox"] {
        let alias = LdapDirectoryConfig { login: Some(attribute.into()), ..config(&slapd, filter) };
        let answer = check(&directory(alias), "mallory@example.org", "Pw4-mallory-right").await;
        assert!(is_operator(&answer), "{attribute}: {answer:?}");
    }
}

#[tokio::test]
async fn only_members_of_the_group_may_sign_in() {
    let slapd =
        Slapd::start(&[ALICE, &[("uid", b"eve@example.org"), ("userPassword", b"Pw4-eve-right")], GROUP]);
    let by_attribute =
        |group: &str| Membership::Attribute { name: "sharedmailbox".into(), group: group.into() };
    let by_search =
        |filter: &str| Membership::Search { base: BASE.into(), filter: GroupFilter::parse(filter).unwrap() };
    let cases = [
        (by_attribute("CN=mail users,OU=groups,DC=example,DC=org"), true),
        (by_attribute("cn=mail,ou=groups,dc=example,dc=org"), false),
        (by_search("(&(mailBackend=group)(mailAlternateAddress={dn}))"), true),
        (by_search("(&(mailBackend=another)(mailAlternateAddress={dn}))"), false),
    ];
    for (require, is_member) in cases {
        let shown = format!("{require:?}");
        let people = directory(LdapDirectoryConfig { require: Some(require), ..config(&slapd, FILTER) });
        let answer = check(&people, "alice@example.org", "Pw4-alice-right").await;
        assert_eq!(answer, if is_member { right(None) } else { Err(CheckError::Wrong) }, "{shown}");
        let answer = check(&people, "eve@example.org", "Pw4-eve-right").await;
        assert_eq!(answer, Err(CheckError::Wrong), "{shown}");
        assert_eq!(check(&people, "alice@example.org", "wrong").await, Err(CheckError::Wrong), "{shown}");
    }
}

#[tokio::test]
async fn an_entry_whose_name_is_made_needs_no_search_and_is_read_by_its_owner() {
    let slapd = Slapd::start(&[ALICE, BOB]);
    let mut made = config(&slapd, FILTER);
    made.place = LdapPlace::Template(DnTemplate::parse("host={local},ou=people,dc=example,dc=org").unwrap());
    made.server.bind = None;
    let people = directory(made.clone());
    assert_eq!(check(&people, "p0@example.org", "Pw4-alice-right").await, right(None));
    for (login, password) in [
        ("p0@example.org", "wrong"),
        ("p0@example.org", ""),
        ("p9@example.org", "Pw4-alice-right"),
        ("p0,ou=people@example.org", "Pw4-alice-right"),
        ("\u{ff50}0@example.org", "Pw4-alice-right"),
    ] {
        assert_eq!(check(&people, login, password).await, Err(CheckError::Wrong), "{login}");
    }
    let group = Membership::Attribute {
        name: "sharedMailbox".into(),
        group: "cn=Mail Users,ou=Groups,dc=example,dc=org".into(),
    };
    let people = directory(LdapDirectoryConfig { require: Some(group), ..made.clone() });
    assert_eq!(check(&people, "p0@example.org", "Pw4-alice-right").await, right(None));
    assert_eq!(check(&people, "p1@example.org", "Pw4-bob-right").await, Err(CheckError::Wrong));
    // The name in the entry leads to another entry, or to none.
    let people = directory(LdapDirectoryConfig { login: Some("uid".into()), ..made });
    let answer = check(&people, "p0@example.org", "Pw4-alice-right").await;
    assert!(is_operator(&answer), "{answer:?}");
}

#[tokio::test]
async fn an_outage_and_the_operators_faults_are_no_wrong_password() {
    let mut slapd = Slapd::start(&[ALICE, &[("uid", b"alice@example.org"), ("userPassword", b"Pw4-2")]]);
    let ask = async |config: LdapDirectoryConfig| {
        check(&directory(config), "alice@example.org", "Pw4-alice-right").await
    };
    let twice = ask(config(&slapd, "(uid={user})")).await;
    assert!(is_operator(&twice), "two entries are nobody: {twice:?}");
    let mut wrong = config(&slapd, "(&(uid={user})(host=p0))");
    assert_eq!(ask(wrong.clone()).await, right(None));
    wrong.server.bind = Some((BIND_DN.into(), Secret::copy_of(b"not ours")));
    let answer = ask(wrong).await;
    assert!(is_operator(&answer), "our own password is not the person's: {answer:?}");
    let mut stranger = config(&slapd, "(&(uid={user})(host=p0))");
    stranger.server.ca = Some(slapd.stranger());
    let answer = ask(stranger).await;
    assert!(is_operator(&answer), "{answer:?}");
    let people = directory(config(&slapd, "(&(uid={user})(host=p0))"));
    check(&people, "alice@example.org", "Pw4-alice-right").await.unwrap();
    slapd.stop();
    let answer = check(&people, "alice@example.org", "Pw4-alice-right").await;
    assert!(is_unavailable(&answer), "{answer:?}");
    slapd.start_again();
    assert_eq!(check(&people, "alice@example.org", "Pw4-alice-right").await, right(None));
}
