use std::path::Path;

use bearward::{
    config,
    directory::{LdapPlace, Source},
    lookup::LdapTls,
};

const MINIMAL: &str = "hostname = \"mail.example.org\"\n[backend.main]\nimap = [\"imaps://10.0.0.5\"]\n";

fn read(more: &str) -> Result<config::Loaded, String> {
    let file = Path::new("/nowhere/bearward.toml");
    config::parse(&format!("{MINIMAL}{more}"), file, []).map_err(|error| error.to_string())
}

const LDAP: &str = "[directory]\nsource = [\"ldap\"]\n[directory.ldap]\nurl = \"ldap://ldap.example.org\"\n";

#[test]
fn every_source_takes_effect() {
    let four = "[directory]\nsource = [\"sql\", \"ldap\", \"dovecot-auth\", \"saslauthd\"]\n\
        default_domain = \"Example.ORG\"\nlowercase = true\n\
        [directory.sql]\nurl = \"postgres://u:s3cret@localhost/mail\"\n\
        query = \"SELECT password FROM people WHERE login = $1\"\ndomains = [\"example.com\"]\n\
        [directory.ldap]\nurl = \"ldap://ldap.example.org\"\nbind_dn = \"cn=b\"\nbind_password = \"s3cret\"\n\
        base = \"dc=example\"\nfilter = \"(uid={user})\"\ngroup_filter = \"(member={dn})\"\n\
        domains = [\"Example.NET\"]\n\
        [directory.dovecot_auth]\npath = \"auth\"\ndomains = [\"example.org\"]\n\
        [directory.saslauthd]\nsplit_realm = true\ndomains = [\"example.edu\"]\n";
    let loaded = read(four).unwrap();
    let directory = &loaded.config.directory;
    let order = [Source::Sql, Source::Ldap, Source::DovecotAuth, Source::Saslauthd];
    assert_eq!(directory.sources, order);
    assert_eq!(directory.names.default_domain.as_deref(), Some("example.org"));
    let ldap = directory.ldap.as_ref().unwrap();
    assert_eq!((ldap.server.port, ldap.server.tls), (389, LdapTls::StartTls));
    assert_eq!(ldap.domains, ["example.net"]);
    assert!(matches!(ldap.place, LdapPlace::Search { .. }) && ldap.require.is_some());
    let dovecot = directory.dovecot_auth.as_ref().unwrap();
    assert_eq!(dovecot.path, Path::new("/nowhere/auth"));
    let saslauthd = directory.saslauthd.as_ref().unwrap();
    assert_eq!(saslauthd.path, Path::new("/run/saslauthd/mux"));
    assert!(saslauthd.split_realm);
    assert!(!loaded.to_toml().contains("s3cret"), "{}", loaded.to_toml());
    assert!(!format!("{directory:?}").contains("s3cret"));
}

#[test]
fn what_does_not_fit_is_said_with_its_key() {
    let ldap = |more: &str| format!("{LDAP}{more}");
    let found = "base = \"dc=example\"\nfilter = \"(uid={user})\"\n";
    let cases = [
        ("[directory]\nsource = [\"ldap\"]\n".into(), "nothing says where that is"),
        ("[directory]\nsource = [\"dovecot-auth\"]\n".into(), "[directory.dovecot_auth]"),
        ("[directory.saslauthd]\n".into(), "has no effect"),
        (
            "[directory]\nsource = [\"saslauthd\", \"backend\"]\n[directory.saslauthd]\n".into(),
            "saslauthd.domains",
        ),
        (
            "[directory]\nsource = [\"saslauthd\"]\n[directory.saslauthd]\nservice = \"a\\tb\"\n".into(),
            "service",
        ),
        ("[directory]\ndefault_domain = \"@x\"\n".into(), "directory.default_domain"),
        (ldap(""), "directory.ldap.base"),
        (ldap("base = \"dc=example\"\n"), "directory.ldap.filter"),
        (ldap("base = \"dc=example\"\nfilter = \"(uid=alice)\"\n"), "directory.ldap.filter"),
        (ldap(&format!("{found}dn_template = \"uid={{user}}\"\n")), "directory.ldap.dn_template"),
        (ldap("dn_template = \"uid=alice\"\n"), "directory.ldap.dn_template"),
        (ldap(&format!("{found}starttls = false\n")), "directory.ldap.url"),
        (ldap(&format!("{found}bind_dn = \"cn=b\"\n")), "directory.ldap.bind_dn"),
        (ldap(&format!("{found}require_group = \"cn=mail\"\n")), "directory.ldap.require_group"),
        (ldap(&format!("{found}groups_attribute = \"memberOf\"\n")), "directory.ldap.require_group"),
        (ldap(&format!("{found}group_filter = \"(cn=mail)\"\n")), "directory.ldap.group_filter"),
        (ldap(&format!("{found}login_attribute = \"ma il\"\n")), "directory.ldap.login_attribute"),
        (ldap(&format!("{found}timeout = \"1ms\"\n")), "directory.ldap.timeout"),
        (ldap(&format!("{found}domains = [\"@x\"]\n")), "directory.ldap.domains"),
        (
            "[directory]\nsource = [\"sql\"]\n[directory.sql]\nurl = \"postgres://localhost/m\"\n".into(),
            "directory.sql.query",
        ),
        (
            "[directory]\nsource = [\"sql\"]\n[directory.sql]\nurl = \"postgres://localhost/m\"\n\
             query = \"SELECT password FROM people WHERE login = $1 AND p = $2\"\n"
                .into(),
            "directory.sql.query",
        ),
        ("[directory]\nsource = [\"sql\"]\n[directory.sql]\n".into(), "directory.sql.url"),
    ];
    for (more, said) in cases {
        let error = read(&more).expect_err(&more);
        assert!(error.contains(said), "{more}\n  {error}\n  {said}");
    }
}
