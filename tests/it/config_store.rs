//! `store.url`: what it may be, what it comes to, and that it is not shown.

use std::path::{Path, PathBuf};

use bearward::{
    config::{self, ConfigError, Loaded},
    store::{Location, PostgresAddress, PostgresHost, PostgresTls},
};

const MINIMAL: &str =
    "hostname = \"mail.example.org\"\n[backend.main]\nimap = [\"imaps://10.0.0.5\"]\nlogin = \"sealed\"\n";

fn read(folder: &Path, url: &str) -> Result<Loaded, ConfigError> {
    let text = format!("{MINIMAL}[store]\nurl = '{url}'\n");
    config::parse(&text, &folder.join("bearward.toml"), [])
}

fn address(url: &str) -> PostgresAddress {
    let loaded = read(Path::new("/etc/bearward"), url).unwrap_or_else(|error| panic!("{url}: {error}"));
    match loaded.config.store.location {
        Location::Postgres(address) => address,
        Location::Sqlite(path) => panic!("{}", path.display()),
    }
}

fn name(host: &str) -> PostgresHost {
    PostgresHost::Name(host.into())
}

#[test]
fn a_postgresql_address_is_read_as_libpq_reads_it() {
    let folder = |path: &str| PostgresHost::Folder(path.into());
    for (url, host, port) in [
        ("postgres://db.example.org/mail", name("db.example.org"), 5432),
        ("postgresql://db.example.org:6543/mail", name("db.example.org"), 6543),
        ("postgres://[2001:db8::5]:6543/mail", name("2001:db8::5"), 6543),
        ("postgres://[2001:db8::5]/mail", name("2001:db8::5"), 5432),
        ("postgres://192.0.2.5/mail", name("192.0.2.5"), 5432),
        ("postgres:///mail", folder("/var/run/postgresql"), 5432),
        ("postgres:///mail?host=/run/pg&port=5433", folder("/run/pg"), 5433),
        ("postgres://%2Frun%2Fpg:5433/mail", folder("/run/pg"), 5433),
        ("postgres://:5433/mail?host=db.example.org", name("db.example.org"), 5433),
    ] {
        let address = address(url);
        assert_eq!((address.host, address.port), (host, port), "{url}");
        assert_eq!(address.database.as_deref(), Some("mail"), "{url}");
        assert_eq!((address.user, address.password.is_some()), (None, false), "{url}");
    }
    for url in [
        "postgres://be%40rward:p%40ss%2Fw%3A%C3%A9@db.example.org/m%20ail",
        "postgres://db.example.org?user=be%40rward&password=p%40ss%2Fw%3A%C3%A9&dbname=m%20ail",
    ] {
        let address = address(url);
        assert_eq!(address.user.as_deref(), Some("be@rward"));
        assert_eq!(address.password.unwrap().expose_str(), Some("p@ss/w:é"));
        assert_eq!(address.database.as_deref(), Some("m ail"));
    }
}

/// Whoever stands in between must not be taken for the server, unless the operator says that nobody does.
#[test]
fn a_server_elsewhere_must_prove_who_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let roots = folder.path().join("db-ca.pem");
    std::fs::write(&roots, "").unwrap();
    let some = || Some(roots.clone());
    for (url, tls) in [
        ("postgres://db.example.org/m", PostgresTls::Verified { roots: None }),
        ("postgres://192.0.2.5/m", PostgresTls::Verified { roots: None }),
        ("postgres://db.example.org/m?sslrootcert=system", PostgresTls::Verified { roots: None }),
        ("postgres://db.example.org/m?sslrootcert=db-ca.pem", PostgresTls::Verified { roots: some() }),
        ("postgres://localhost/m?sslrootcert=db-ca.pem", PostgresTls::Verified { roots: some() }),
        (
            "postgres://db.example.org/m?sslmode=verify-full&sslrootcert=db-ca.pem",
            PostgresTls::Verified { roots: some() },
        ),
        (
            "postgres://db.example.org/m?sslmode=verify-ca&sslrootcert=db-ca.pem",
            PostgresTls::Authority { roots: some() },
        ),
        (
            "postgres://db.example.org/m?sslmode=require&sslrootcert=db-ca.pem",
            PostgresTls::Authority { roots: some() },
        ),
        ("postgres://db.example.org/m?sslmode=require", PostgresTls::Unverified),
        ("postgres://db.example.org/m?sslmode=disable", PostgresTls::Off),
        ("postgres://localhost/m", PostgresTls::Opportunistic),
        ("postgres://127.0.0.1/m", PostgresTls::Opportunistic),
        ("postgres://[::1]/m?sslmode=prefer", PostgresTls::Opportunistic),
        ("postgres://localhost/m?sslmode=verify-full", PostgresTls::Verified { roots: None }),
        ("postgres:///m", PostgresTls::Off),
    ] {
        let loaded = read(folder.path(), url).unwrap_or_else(|error| panic!("{url}: {error}"));
        let Location::Postgres(address) = loaded.config.store.location else { panic!("{url}") };
        assert_eq!(address.tls, tls, "{url}");
    }
}

#[test]
fn an_address_that_cannot_be_meant_is_one_sentence_without_the_password() {
    for (url, says) in [
        ("mysql://u:hunter2@db/m", "must begin with sqlite: or postgres://"),
        ("postgres:hunter2", "must begin with sqlite: or postgres://"),
        ("postgres://u:hunter2@db example/m", "holds no valid host name"),
        ("postgres://u:hunter2/x@db/m", "has a port that is no number"),
        ("postgres://u:7/hunter2@db/m?ssl=on", "has a parameter other than dbname"),
        ("postgres://u:x?hunter2@db/m", "has a parameter without a value"),
        ("postgres://u:x?hunter2=1@db/m", "has a parameter other than dbname"),
        ("postgres://u:hunter2#@db/m", "must have no #"),
        ("postgres://u:hunter2%@db/m", "has a % that no two hexadecimal digits follow"),
        ("postgres://u:hunter2%f@db/m", "has a % that no two hexadecimal digits follow"),
        ("postgres://u:hunter2%ff@db/m", "is not UTF-8"),
        ("postgres://u:hunter2%00@db/m", "or holds a NUL"),
        ("postgres://u:hunter2@db:0/m", "has a port that is no number"),
        ("postgres://u:hunter2@db:99999/m", "has a port that is no number"),
        ("postgres://u:hunter2@db:+80/m", "has a port that is no number"),
        ("postgres://u:hunter2@a,b/m", "must name one host"),
        ("postgres://u:hunter2@a/m?host=b", "says twice what host is"),
        ("postgres://u:hunter2@a:1/m?port=2", "says twice what port is"),
        ("postgres://u:hunter2@a/m?user=v", "says twice what user is"),
        ("postgres://u:hunter2@a/m?sslmode=on", "has an sslmode that does not exist"),
        ("postgres://u:hunter2@a/m?sslmode=prefer", "can switch off"),
        ("postgres://u:hunter2@a/m?sslmode=allow", "can switch off"),
        ("postgres://u:hunter2@a/m?sslmode=verify-ca", "without sslrootcert"),
        ("postgres://u:hunter2@a/m?sslmode=disable&sslrootcert=system", "checks nothing"),
        ("postgres://u:hunter2@a/m?sslrootcert=no-such-file.pem", "cannot open"),
        ("postgres://u:hunter2@a/m?sslcert=x", "both of sslcert and sslkey"),
    ] {
        let error = read(Path::new("/etc/bearward"), url).expect_err(url);
        let text = error.to_string();
        assert!(text.contains(says), "{url}: {text}");
        assert!(!text.contains("hunter2"), "{url}: {text}");
        assert_eq!(error.key.as_deref(), Some("store.url"), "{url}");
    }
}

#[test]
fn the_password_of_an_address_is_masked_wherever_it_is_shown() {
    let loaded = read(Path::new("/etc"), "postgres://bearward:hunter2@db.example.org/mail").unwrap();
    let shown = "postgres://bearward:********@db.example.org:5432/mail?sslmode=verify-full";
    assert!(loaded.to_toml().contains(shown), "{}", loaded.to_toml());
    for text in [loaded.to_toml(), loaded.to_json().to_string(), format!("{loaded:?}")] {
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[test]
fn an_address_in_a_file_of_its_own_is_read_and_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file: PathBuf = folder.path().join("store.url");
    std::fs::write(&file, "postgres://bearward:hunter2@localhost/mail\n").unwrap();
    let text = format!("{MINIMAL}[store]\nurl_file = \"store.url\"\n");
    let loaded = config::parse(&text, &folder.path().join("bearward.toml"), []).unwrap();
    let Location::Postgres(address) = &loaded.config.store.location else { panic!() };
    assert_eq!((&address.host, address.password.is_some()), (&name("localhost"), true));
    for text in [loaded.to_toml(), format!("{loaded:?}")] {
        assert!(!text.contains("hunter2") && !text.contains("localhost/mail"), "{text}");
    }
}
