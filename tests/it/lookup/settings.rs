use std::path::Path;

use bearward::config::parse;

fn fault(lookup: &str) -> Option<(String, String)> {
    let text = format!(
        "hostname = \"mail.example.org\"\n[backend.main]\nimap = [\"imaps://10.0.0.5\"]\n[lookup.people]\n{lookup}"
    );
    let error = parse(&text, Path::new("/nowhere/bearward.toml"), []).err()?;
    let shown = error.to_string();
    assert!(!shown.contains("hunter2"), "{shown}");
    Some((error.key.unwrap_or_default(), shown))
}

#[test]
fn each_kind_needs_its_own_keys_and_takes_no_others() {
    const SQL: &str = "kind = \"sql\"\nurl = \"postgres://u:hunter2@localhost/d\"\n";
    const LDAP: &str = "kind = \"ldap\"\nurl = \"ldaps://h\"\nbase = \"dc=x\"\n";
    const HTTP: &str = "kind = \"http\"\nurl = \"https://h/x\"\n";
    for (text, key) in [
        ("kind = \"file\"\n".to_owned(), "lookup.people"),
        ("kind = \"file\"\npath = \"gone.toml\"\n".to_owned(), "lookup.people.path"),
        ("kind = \"file\"\nquery = \"SELECT $1\"\n".to_owned(), "lookup.people.query"),
        (SQL.to_owned(), "lookup.people"),
        (format!("{SQL}query = \"SELECT 1\"\n"), "lookup.people.query"),
        (format!("{SQL}query = \"DELETE FROM x WHERE y = $1\"\n"), "lookup.people.query"),
        (format!("{SQL}query = \"SELECT $1\"\nheader = \"X: hunter2\"\n"), "lookup.people.header"),
        ("kind = \"sql\"\nurl = \"mysql://u:hunter2@h/d\"\nquery = \"SELECT $1\"\n".to_owned(), "lookup.people.url"),
        (LDAP.to_owned(), "lookup.people"),
        (format!("{LDAP}filter = \"(objectClass=*)\"\n"), "lookup.people.filter"),
        (format!("{LDAP}filter = \"(mail={{user}})\"\nbind_dn = \"cn=x\"\n"), "lookup.people.bind_dn"),
        (format!("{LDAP}filter = \"(mail={{user}})\"\nbind_password = \"hunter2\"\n"), "lookup.people.bind_password"),
        (format!("{LDAP}filter = \"(mail={{user}})\"\nstarttls = true\n"), "lookup.people.starttls"),
        (
            "kind = \"ldap\"\nurl = \"ldap://h\"\nstarttls = false\nbase = \"dc=x\"\nfilter = \"(mail={user})\"\n".to_owned(),
            "lookup.people.url",
        ),
        ("kind = \"http\"\n".to_owned(), "lookup.people"),
        ("kind = \"http\"\nurl = \"http://example.org/\"\n".to_owned(), "lookup.people.url"),
        ("kind = \"http\"\nurl = \"https://u:hunter2@h/\"\n".to_owned(), "lookup.people.url"),
        (format!("{HTTP}header = \"hunter2\"\n"), "lookup.people.header"),
        (format!("{HTTP}header = \"Auth-User: hunter2\"\n"), "lookup.people.header"),
        (format!("{HTTP}timeout = \"1ms\"\n"), "lookup.people.timeout"),
    ] {
        let (found, shown) = fault(&text).unwrap_or_else(|| panic!("{text} is taken"));
        assert_eq!(found, key, "{text}: {shown}");
    }
    for good in [
        format!("{SQL}query = \"SELECT backend FROM p WHERE login = $1\"\n"),
        format!("{LDAP}filter = \"(mail={{user}})\"\nbind_dn = \"cn=x\"\nbind_password = \"hunter2\"\n"),
        format!("{HTTP}header = \"X-Key: hunter2\"\n"),
    ] {
        assert_eq!(fault(&good), None);
    }
}

#[test]
fn no_secret_of_a_look_up_is_shown() {
    let text = "hostname = \"mail.example.org\"\n[backend.main]\nimap = [\"imaps://10.0.0.5\"]\n\
        [lookup.a]\nkind = \"sql\"\nurl = \"postgres://u:hunter2@localhost/d\"\nquery = \"SELECT $1\"\n\
        [lookup.b]\nkind = \"http\"\nurl = \"https://h/\"\nheader = \"X-Key: hunter2\"\n\
        [lookup.c]\nkind = \"ldap\"\nurl = \"ldaps://h\"\nbase = \"dc=x\"\nfilter = \"(uid={local})\"\n\
        bind_dn = \"cn=x\"\nbind_password = \"hunter2\"\n";
    let loaded = parse(text, Path::new("/nowhere/bearward.toml"), []).unwrap();
    assert_eq!(loaded.config.lookups.len(), 3);
    for shown in [loaded.to_toml(), loaded.to_json().to_string(), format!("{:?}", loaded.config)] {
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
