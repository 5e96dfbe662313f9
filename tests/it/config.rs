//! The configuration: layers, defaults, and one sentence for each fault.

use std::{ffi::OsString, fs, path::Path, time::Duration};

use bearward::{
    config::{self, ConfigError, Loaded},
    directory,
    issuer::Registration,
    model::{Mechanism, Protocol},
    net::{ListenerTls, Service},
    store::Location,
    upstream::{Login, RouteMatch, Security},
};
use proptest::prelude::*;

const MINIMAL: &str = "hostname = \"mail.example.org\"\n[backend.main]\nimap = [\"imaps://10.0.0.5\"]\n";

fn read(text: &str) -> Result<Loaded, ConfigError> {
    config::parse(text, Path::new("bearward.toml"), [])
}

fn read_with(text: &str, variables: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    let variables = variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    config::parse(text, Path::new("bearward.toml"), variables)
}

/// The sentence about the fault in `text`.
fn fault(text: &str) -> String {
    read(text).expect_err("must be refused").to_string()
}

/// The sentence about `more` below the minimal file, whose last line is 3.
fn fault_in(more: &str) -> String {
    fault(&format!("{MINIMAL}{more}"))
}

#[test]
fn a_name_and_a_backend_make_a_working_server_on_the_standard_ports() {
    let config = read(MINIMAL).unwrap().config;
    let ports: Vec<_> = config
        .listeners
        .iter()
        .map(|listener| (listener.service, listener.bind.port(), listener.tls))
        .collect();
    let imap = Service::Mail(Protocol::Imap);
    assert_eq!(
        ports,
        [
            (imap, 993, ListenerTls::Implicit),
            (imap, 143, ListenerTls::StartTls),
            (Service::Https, 443, ListenerTls::Implicit),
        ]
    );
    assert_eq!(config.listeners[0].mechanisms, Mechanism::ALL);
    assert_eq!(&*config.issuer.url, "https://mail.example.org");
    assert!(matches!(config.backends[0].login, Login::Sealed));
    assert_eq!(config.data_dir, Path::new("/var/lib/bearward"));
    assert_eq!(config.admin.socket, Path::new("/var/lib/bearward/admin.sock"));
    assert_eq!(config.store.location, Location::Sqlite("/var/lib/bearward/bearward.db".into()));
}

#[test]
fn the_flags_alone_make_a_working_server() {
    let config = config::from_flags("mail.example.org", "mail.internal", []).unwrap().config;
    assert_eq!(config.listeners.len(), 8);
    let servers: Vec<_> = config.backends[0]
        .servers
        .iter()
        .map(|server| (server.protocol, server.port, server.security))
        .collect();
    assert_eq!(
        servers,
        [
            (Protocol::Imap, 993, Security::Tls),
            (Protocol::Imap, 143, Security::StartTls),
            (Protocol::Pop3, 995, Security::Tls),
            (Protocol::Pop3, 110, Security::StartTls),
            (Protocol::Sieve, 4190, Security::StartTls),
            (Protocol::Smtp, 465, Security::Tls),
            (Protocol::Smtp, 587, Security::StartTls),
        ]
    );
    assert!(!config.backends[0].tls.insecure_no_verify);
    assert_eq!(
        config::from_flags("a.example", "2001:db8::5", []).unwrap().config.backends[0].servers[0].host,
        "2001:db8::5"
    );
    for (hostname, upstream) in [("mail", "a:993"), ("mail", "a/b"), ("ma il", "a"), ("", "a"), ("mail", "")]
    {
        assert!(config::from_flags(hostname, upstream, []).is_err(), "{hostname:?} {upstream:?}");
    }
}

#[test]
fn a_server_in_front_of_itself_is_refused() {
    let error = config::from_flags("mail.example.org", "127.0.0.1", []).unwrap_err();
    assert!(error.to_string().contains("a backend points here"), "{error}");
    let text = "hostname = \"a\"\n[backend.main]\nimap = [\"imaps://localhost:9993\"]\n\
        [[listener]]\nprotocol = \"imap\"\nbind = \"127.0.0.1:9993\"\n";
    assert!(
        fault(text).starts_with("bearward.toml:6: listener[0].bind: a backend points here"),
        "{}",
        fault(text)
    );
}

#[test]
fn an_unknown_key_names_the_nearest_one_with_file_and_line() {
    assert_eq!(
        fault_in("[limits]\nconections = 5\n"),
        "bearward.toml:5: limits.conections: unknown key `conections`; did you mean `connections`?"
    );
    assert!(fault("hostnam = \"a\"\n").ends_with("did you mean `hostname`?"));
    assert!(fault_in("xyzzy = 1\n").contains("backend.main.xyzzy: unknown key `xyzzy`; known here: imap, "));
}

#[test]
fn every_fault_is_one_sentence_with_file_line_and_key() {
    let cases: &[(&str, &str)] = &[
        ("[limits]\nper_ip = 0\n", "bearward.toml:5: limits.per_ip: must not be zero"),
        ("[limits]\nper_ip = -1\n", "bearward.toml:5: limits.per_ip: must be a whole number"),
        ("[limits]\nper_ip = \"many\"\n", "bearward.toml:5: limits.per_ip: must be a whole number"),
        (
            "[limits]\nidle_timeout = 30\n",
            "bearward.toml:5: limits.idle_timeout: must be a text, not a number",
        ),
        ("[limits]\nidle_timeout = \"30\"\n", "bearward.toml:5: limits.idle_timeout: must be a duration"),
        (
            "[limits]\nhandshake_timeout = \"0s\"\n",
            "bearward.toml:5: limits.handshake_timeout: must not be zero",
        ),
        ("[limits]\npre_auth_line = \"2GiB\"\n", "bearward.toml:5: limits.pre_auth_line: must be between"),
        ("login = \"seeled\"\n", "bearward.toml:4: backend.main.login: must be one of \"sealed\""),
        ("login = \"master\"\n", "bearward.toml:4: backend.main.login: needs a service account"),
        (
            "smtp = [\"smtps://a\", \"imaps://a\"]\n",
            "bearward.toml:4: backend.main.smtp[1]: must begin with smtp://",
        ),
        ("pop3 = [\"pop3://10.0.0.5\"]\n", "bearward.toml:4: backend.main.pop3[0]: is a clear connection"),
        ("login_name = \"x\"\n", "bearward.toml:4: backend.main.login_name: must hold {user}"),
        ("[backend.main.tls]\nca = \"no-such.pem\"\n", "bearward.toml:5: backend.main.tls.ca: cannot open"),
        ("[backend.main.tls]\npin = \"abc\"\n", "bearward.toml:5: backend.main.tls.pin: must be a SHA-256"),
        ("[backend.other]\n", "bearward.toml:4: backend.other: has no servers"),
        (
            "[backend.other]\nimap = [\"imaps://b\"]\n",
            "bearward.toml:2: backend: there are several (main, other)",
        ),
        (
            "[[route]]\ndomain = \"a\"\nbackend = \"man\"\n",
            "bearward.toml:6: route[0].backend: there is no backend",
        ),
        ("[[route]]\nbackend = \"main\"\n", "bearward.toml:4: route[0]: says nothing to match"),
        (
            "[[route]]\nsni = \"a\"\nuser = \"b\"\nbackend = \"main\"\n",
            "bearward.toml:4: route[0]: has more than one",
        ),
        (
            "[[route]]\nlistener = \"[::]:1\"\nbackend = \"main\"\n",
            "bearward.toml:5: route[0].listener: must be",
        ),
        ("[tls]\ncertificate = \"no-such.pem\"\n", "bearward.toml:5: tls.certificate: cannot open"),
        (
            "[tls]\nprivate_key = \"key.pem\"\n",
            "bearward.toml:5: tls.private_key: stands without a certificate",
        ),
        (
            "[tls]\nmin_version = \"1.1\"\n",
            "bearward.toml:5: tls.min_version: must be one of \"1.2\", \"1.3\"",
        ),
        ("[issuer]\nurl = \"http://a\"\n", "bearward.toml:5: issuer.url: must begin with https://"),
        (
            "[issuer]\nurl = \"https://a?b\"\n",
            "bearward.toml:5: issuer.url: must have neither query nor fragment",
        ),
        (
            "[issuer]\nurl = \"https://a#b\"\n",
            "bearward.toml:5: issuer.url: must have neither query nor fragment",
        ),
        ("[issuer]\nurl = \"https://u@a\"\n", "bearward.toml:5: issuer.url: holds no valid host"),
        ("[telemetry]\nlog = \"a=b=c\"\n", "bearward.toml:5: telemetry.log: is no log filter"),
        (
            "[telemetry]\nmetrics = \"9464\"\n",
            "bearward.toml:5: telemetry.metrics: must be an address and a port",
        ),
        (
            "[telemetry]\nmetrics = \"[::]:443\"\n",
            "bearward.toml:5: telemetry.metrics: is taken by the listener",
        ),
        (
            "[store]\nurl = \"mysql:x\"\n",
            "bearward.toml:5: store.url: must begin with sqlite: or postgres://",
        ),
        (
            "[store]\nurl = \"sqlite:x\"\nurl_file = \"y\"\n",
            "bearward.toml:6: store.url_file: stands beside `url`",
        ),
        ("[store]\npoll_interval = \"0s\"\n", "bearward.toml:5: store.poll_interval: must be at least"),
    ];
    for (more, sentence) in cases {
        let said = fault_in(more);
        assert!(said.starts_with(sentence), "{more}\n  {said}\n  {sentence}");
    }
}

#[test]
fn a_fault_in_a_listener_is_one_sentence() {
    let cases: &[(&str, &str)] = &[
        ("protocol = \"imap\"\n", "listener[0]: `bind` is missing"),
        ("protocol = \"imap\"\nbind = \"993\"\n", "listener[0].bind: must be an address and a port"),
        ("protocol = \"jmap\"\nbind = \"[::]:1\"\n", "listener[0].protocol: must be one of"),
        ("protocol = \"pop3\"\nbind = \"[::]:1\"\n", "listener[0].protocol: no backend has servers for pop3"),
        ("protocol = \"imap\"\nbind = \"[::]:1\"\ntls = \"none\"\n", "listener[0].tls: is \"none\""),
        ("protocol = \"imap\"\nbind = \"0.0.0.0:1\"\ntls = \"none\"\n", "listener[0].tls: is \"none\""),
        (
            "protocol = \"https\"\nbind = \"[::]:1\"\ntls = \"starttls\"\n",
            "listener[0].tls: must be \"implicit\"",
        ),
        ("protocol = \"imap\"\nbind = \"[::]:1\"\nmechanisms = []\n", "listener[0].mechanisms: is empty"),
        (
            "protocol = \"imap\"\nbind = \"[::]:1\"\nmechanisms = [\"X\"]\n",
            "listener[0].mechanisms: must be a list",
        ),
        (
            "protocol = \"imap\"\nbind = \"[::]:1\"\n[[listener]]\nprotocol = \"https\"\nbind = \"0.0.0.0:1\"\n",
            "listener[1].bind: 0.0.0.0:1 is taken by the listener on [::]:1",
        ),
    ];
    for (listener, sentence) in cases {
        let said = fault_in(&format!("[[listener]]\n{listener}"));
        assert!(said.contains(sentence), "{listener}\n  {said}\n  {sentence}");
    }
    let allowed =
        "[[listener]]\nprotocol = \"imap\"\nbind = \"[::]:1\"\ntls = \"none\"\nallow_cleartext = true\n";
    assert_eq!(read(&format!("{MINIMAL}{allowed}")).unwrap().config.listeners[0].tls, ListenerTls::None);
    let loopback = "[[listener]]\nprotocol = \"imap\"\nbind = \"[::1]:1\"\ntls = \"none\"\n";
    assert!(read(&format!("{MINIMAL}{loopback}")).is_ok());
}

#[test]
fn what_this_version_cannot_do_is_refused_and_never_ignored() {
    let cases = [
        ("[tls.acme]\ndirectory = \"https://a\"\n", "tls.acme"),
        ("[directory]\nsource = [\"ldap\"]\n", "directory.source"),
    ];
    for (more, key) in cases {
        let error = read(&format!("{MINIMAL}{more}")).expect_err(more);
        assert!(error.message.contains("is not available in this version"), "{more}: {error}");
        assert_eq!(error.key.as_deref(), Some(key), "{more}: {error}");
        assert!(error.line.is_some_and(|line| line > 3), "{more}: {error}");
    }
    let defaults =
        "[issuer]\nregistration = \"open\"\nrefresh_grace = \"30s\"\n[passwords]\nmode = \"off\"\n";
    assert!(read(&format!("{MINIMAL}{defaults}")).is_ok());
}

#[test]
fn every_lifetime_of_the_issuer_takes_effect() {
    let issuer = read(&format!(
        "{MINIMAL}[issuer]\naccess_token_lifetime = \"2h\"\nrefresh_token_lifetime = \"30d\"\n\
         refresh_token_renew = \"1d\"\nrefresh_grace = \"10s\"\ngrant_lifetime = \"365d\"\n\
         authorization_code_lifetime = \"2m\"\ndevice_code_lifetime = \"5m\"\nid_token_lifetime = \"1m\"\n\
         max_sign_in_attempts = 3\nregistration = \"token\"\nkey_rotation = \"30d\"\n"
    ))
    .unwrap()
    .config
    .issuer;
    const HOUR: u64 = 3600;
    assert_eq!(issuer.access_token_lifetime, Duration::from_secs(2 * HOUR));
    assert_eq!(issuer.refresh_token_lifetime, Duration::from_secs(30 * 24 * HOUR));
    assert_eq!(issuer.refresh_token_renew, Duration::from_secs(24 * HOUR));
    assert_eq!(issuer.refresh_grace, Duration::from_secs(10));
    assert_eq!(issuer.grant_lifetime, Some(Duration::from_secs(365 * 24 * HOUR)));
    assert_eq!(issuer.authorization_code_lifetime, Duration::from_secs(120));
    assert_eq!(issuer.device_code_lifetime, Duration::from_secs(300));
    assert_eq!(issuer.id_token_lifetime, Duration::from_secs(60));
    assert_eq!(issuer.max_sign_in_attempts, 3);
    assert_eq!(issuer.registration, Registration::Token);
    assert_eq!(issuer.key_rotation, Duration::from_secs(30 * 24 * HOUR));
}

#[test]
fn a_bad_value_of_the_issuer_is_told_with_file_line_and_key() {
    let cases = [
        ("access_token_lifetime", "\"0s\"", "must be at least 1s"),
        ("access_token_lifetime", "\"366d\"", "must be at most 365d"),
        ("refresh_token_lifetime", "\"0s\"", "must be at least 1s"),
        ("refresh_token_renew", "\"90d\"", "must be less than refresh_token_lifetime"),
        ("refresh_grace", "\"6m\"", "must be at most 5m"),
        ("grant_lifetime", "\"0s\"", "must be at least 1s"),
        ("authorization_code_lifetime", "\"0s\"", "must be at least 1s"),
        ("authorization_code_lifetime", "\"11m\"", "must be at most 10m"),
        ("device_code_lifetime", "\"59s\"", "must be at least 1m"),
        ("device_code_lifetime", "\"2h\"", "must be at most 1h"),
        ("id_token_lifetime", "\"0s\"", "must be at least 1s"),
        ("id_token_lifetime", "\"2d\"", "must be at most 1d"),
        ("max_sign_in_attempts", "0", "must be between 1 and 100"),
        ("max_sign_in_attempts", "101", "must be between 1 and 100"),
        ("key_rotation", "\"1d\"", "must be at least 2d"),
    ];
    for (key, value, message) in cases {
        let sentence = fault_in(&format!("[issuer]\n{key} = {value}\n"));
        let expected = format!("bearward.toml:5: issuer.{key}: {message}");
        assert!(sentence.starts_with(&expected), "{sentence}\ninstead of\n{expected}");
    }
    assert!(
        fault_in("[issuer]\nregistration = \"maybe\"\n").starts_with("bearward.toml:5: issuer.registration")
    );
}

#[test]
fn the_built_in_directory_stands_beside_no_sealed_backend() {
    let sentence = fault_in("[directory]\nsource = [\"store\"]\n");
    assert!(sentence.starts_with("bearward.toml:5: directory.source: holds \"store\", but backend \"main\""));
    assert!(fault_in("[directory]\nsource = []\n").contains("directory.source: names no source"));
    assert!(fault_in("[directory]\nsource = [\"backend\", \"backend\"]\n").contains("names a source twice"));
    let trusted = format!("{MINIMAL}login = \"trusted\"\n[directory]\nsource = [\"store\", \"backend\"]\n");
    let sources = read(&trusted).unwrap().config.directory.sources;
    assert_eq!(sources, [directory::Source::Store, directory::Source::Backend]);
}

#[test]
fn broken_toml_is_told_with_its_line() {
    assert!(fault("hostname = \"a\"\nx y\n").starts_with("bearward.toml:2: not valid TOML: "));
    assert!(fault("a = 1\na = 2\n").starts_with("bearward.toml:2: not valid TOML: "));
}

#[test]
fn the_environment_lies_over_the_file() {
    let config = read_with(
        MINIMAL,
        &[
            ("BEARWARD_HOSTNAME", "other.example.org"),
            ("BEARWARD_LIMITS__PER_IP", "7"),
            ("BEARWARD_LIMITS__IDLE_TIMEOUT", "40m"),
            ("BEARWARD_BACKEND__MAIN__IMAP_ID", "false"),
            ("BEARWARD_BACKEND__MAIN__SMTP", "smtps://a, smtps://b"),
            ("BEARWARD_BACKEND__MAIN__POP3", "[\"pop3s://c\"]"),
            ("BEARWARD_BACKEND__SECOND__IMAP__0", "imaps://d"),
            ("BEARWARD_ROUTE", "[{ domain = \"example.net\", backend = \"second\" }]"),
            ("BEARWARD_LISTENER__0__PROTOCOL", "imap"),
            ("BEARWARD_LISTENER__0__BIND", "[::1]:9993"),
            ("OTHER_LIMITS__PER_IP", "0"),
            ("BEARWARD_SERVICE_HOST", "10.96.0.1"),
        ],
    )
    .unwrap()
    .config;
    assert_eq!(&*config.hostname, "other.example.org");
    assert_eq!(&*config.issuer.url, "https://other.example.org");
    assert_eq!(config.limits.per_ip, 7);
    assert_eq!(config.limits.idle_timeout, Duration::from_secs(2400));
    assert!(!config.backends[0].imap_id);
    assert_eq!(config.backends[0].servers.len(), 4);
    assert_eq!(config.routes[0].matches, RouteMatch::Domain("example.net".into()));
    assert_eq!(config.listeners.len(), 1);
    assert_eq!(config.listeners[0].bind, "[::1]:9993".parse().unwrap());
}

#[test]
fn a_fault_in_the_environment_names_the_variable() {
    let cases = [
        ("BEARWARD_LIMITS__PER_IP", "many", "BEARWARD_LIMITS__PER_IP: must be a whole number"),
        ("BEARWARD_LIMITS__PER_IP", "0", "BEARWARD_LIMITS__PER_IP: must not be zero"),
        (
            "BEARWARD_LIMITS__PERIP",
            "5",
            "BEARWARD_LIMITS__PERIP: unknown key `perip`; did you mean `per_ip`?",
        ),
        (
            "BEARWARD_HOSTNAM",
            "a",
            "BEARWARD_HOSTNAM: names no key of the configuration; did you mean BEARWARD_HOSTNAME?",
        ),
        ("BEARWARD_HOSTNAME__X", "a", "BEARWARD_HOSTNAME__X: leads through a key"),
        ("BEARWARD_LISTENER__5__BIND", "a", "BEARWARD_LISTENER__5__BIND: leads through a key"),
    ];
    for (name, value, sentence) in cases {
        let said = read_with(
            &format!("{MINIMAL}[[listener]]\nprotocol = \"imap\"\nbind = \"[::]:1\"\n"),
            &[(name, value)],
        );
        let said = said.expect_err(name).to_string();
        assert!(said.starts_with(sentence), "{said}");
    }
}

#[test]
fn a_secret_may_stand_in_a_file_beside_the_configuration_and_is_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bearward.toml");
    let text = format!(
        "{MINIMAL}login = \"master\"\n[backend.main.master]\nuser = \"m\"\npassword_file = \"secret\"\n"
    );
    let missing = config::parse(&text, &file, []).unwrap_err();
    assert_eq!((missing.line, missing.key.as_deref()), (Some(7), Some("backend.main.master.password_file")));

    fs::write(folder.path().join("secret"), "hunter2\r\n").unwrap();
    let loaded = config::parse(&text, &file, []).unwrap();
    let Login::Master { account, separator } = &loaded.config.backends[0].login else { panic!("not master") };
    assert_eq!((account.password.expose(), *separator), (&b"hunter2"[..], '*'));

    let both = format!("{text}password = \"swordfish\"\n");
    let error = config::parse(&both, &file, []).unwrap_err().to_string();
    assert!(error.contains("stands beside `password`") && !error.contains("swordfish"), "{error}");
    for bad in [&b""[..], b"\n", b"\xff\xfe", &[b'x'; (64 << 10) + 1]] {
        fs::write(folder.path().join("secret"), bad).unwrap();
        assert!(config::parse(&text, &file, []).is_err());
    }

    let written = text.replace("password_file = \"secret\"", "password = \"swordfish\"");
    let loaded = config::parse(&written, &file, []).unwrap();
    for shown in [loaded.to_toml(), loaded.to_json().to_string(), format!("{loaded:?}")] {
        assert!(!shown.contains("swordfish") && shown.contains("******"), "{shown}");
    }
    assert!(toml::from_str::<toml::Table>(&loaded.to_toml()).is_ok());
}

#[test]
fn a_secret_of_the_wrong_kind_is_not_repeated_in_the_error() {
    let account = "login = \"master\"\n[backend.main.master]\nuser = \"m\"\npassword = 271828\n";
    let said = fault_in(account);
    assert!(said.contains("must be a text, not a number") && !said.contains("271828"), "{said}");
    for broken in
        ["swordfish", "\"swordfish", "'swordfish", "\"swordfish\\q\"", "\"\"\"swordfish", "[\"swordfish\"]"]
    {
        let said = fault_in(&account.replace("271828", broken));
        assert!(!said.contains("swordfish"), "{said}");
    }
}

#[test]
fn relative_paths_begin_at_the_folder_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("certs")).unwrap();
    fs::write(folder.path().join("certs/a.pem"), "").unwrap();
    let text = format!("data_dir = \"state\"\n{MINIMAL}[tls]\ncertificate = \"certs/a.pem\"\n");
    let config = config::parse(&text, &folder.path().join("bearward.toml"), []).unwrap().config;
    assert_eq!(config.tls.default.unwrap().certificate, folder.path().join("certs/a.pem"));
    assert_eq!(config.data_dir, folder.path().join("state"));
    assert_eq!(config.admin.socket, folder.path().join("state/admin.sock"));
    assert_eq!(config.store.location, Location::Sqlite(folder.path().join("state/bearward.db")));
}

#[test]
fn the_files_in_the_tree_are_what_the_program_prints() {
    let tree = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let read = |name: &str| fs::read_to_string(tree.join(name)).unwrap();
    assert_eq!(
        read("bearward.toml"),
        config::reference(),
        "run `bearward config default > config/bearward.toml`"
    );
    let schema = serde_json::to_string_pretty(&config::schema()).unwrap() + "\n";
    assert_eq!(read("schema.json"), schema, "run `bearward config schema > config/schema.json`");
}

#[test]
fn every_example_is_accepted() {
    let tree = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("certs")).unwrap();
    for name in ["certs/fullchain.pem", "certs/privkey.pem", "master.password"] {
        fs::write(folder.path().join(name), "x").unwrap();
    }
    for name in
        ["bearward.toml", "courier.toml", "cyrus.toml", "dovecot.toml", "minimal.toml", "postfix.toml"]
    {
        let text = fs::read_to_string(tree.join(name)).unwrap();
        let loaded = config::parse(&text, &folder.path().join(name), []);
        assert!(loaded.is_ok(), "{name}: {}", loaded.unwrap_err());
    }
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in "\\PC*") {
        let _ = read(&text);
        let _ = read(&format!("{MINIMAL}{text}"));
        let _ = read_with(MINIMAL, &[("BEARWARD_LIMITS__PER_IP", &text), ("BEARWARD_BACKEND", &text)]);
    }

    #[test]
    fn arbitrary_values_never_panic(
        key in "(hostname|data_dir|listener|backend|route|issuer\\.url|limits\\.[a-z_]*|tls\\.sni|backend\\.main\\.[a-z]*)",
        value in "(\"[ -~&&[^\"\\\\]]{0,40}\"|-?[0-9]{1,20}|\\[(\"[a-z:/+.\\[\\]0-9]{0,20}\",?)*\\]|\\{[a-z=\"]{0,10}\\}|true)",
    ) {
        let _ = read(&format!("{key} = {value}\n{MINIMAL}"));
        let _ = read(&format!("hostname = \"a\"\nbackend.main.imap = [\"imaps://a\"]\n{key} = {value}\n"));
    }

    #[test]
    fn arbitrary_variables_never_panic(name in "BEARWARD_[A-Z0-9_]{0,30}", value in "\\PC{0,40}") {
        let _ = read_with(MINIMAL, &[(&name, &value)]);
    }
}

#[test]
fn a_login_that_does_not_go_with_its_backend_is_refused_with_what_to_do() {
    let bearer = "login = \"bearer\"\n[backend.main.bearer]\nclient_id = \"x\"\nurl = ";
    for (more, key) in [
        ("login = \"external\"\n", "backend.main.login"),
        ("login = \"xclient\"\n", "backend.main.login"),
        ("secrets = \"people\"\n", "backend.main.secrets"),
        ("login = \"secret\"\nsecrets = \"nobody\"\n", "backend.main.secrets"),
        ("[backend.main.bearer]\nurl = \"https://a/t\"\nclient_id = \"x\"\n", "backend.main.bearer"),
        (&format!("{bearer}\"http://a.example/t\"\n"), "backend.main.bearer.url"),
        (&format!("{bearer}\"https://u:p@a.example/t\"\n"), "backend.main.bearer.url"),
        ("mechanisms = [\"EXTERNAL\"]\n", "backend.main.mechanisms[0]"),
        ("mechanisms = [\"PLAIN\", \"APOP\"]\n", "backend.main.mechanisms[1]"),
        ("login = \"bearer\"\nmechanisms = [\"PLAIN\"]\n", "backend.main.mechanisms[0]"),
        ("shared_login_name = \"{user}\"\n", "backend.main.shared_login_name"),
        ("login_name = \"{mailbox}\"\n", "backend.main.login_name"),
    ] {
        let error = read(&format!("{MINIMAL}{more}")).expect_err(more);
        assert_eq!(error.key.as_deref(), Some(key), "{more}: {error}");
    }
    let good = format!("{bearer}\"https://a.example/t\"\n");
    assert!(matches!(
        read(&format!("{MINIMAL}{good}")).unwrap().config.backends[0].login,
        Login::Bearer(Some(_))
    ));
}
