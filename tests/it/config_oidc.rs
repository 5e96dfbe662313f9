//! `[directory.oidc]`: one sentence for each fault.

use std::path::Path;

use bearward::config::{self, ConfigError, Loaded};

/// Nine lines; those of `[directory.oidc]` follow.
const BEFORE: &str = "\
hostname = \"mail.example.org\"
[backend.main]
imap = [\"imaps://10.0.0.5\"]
login = \"trusted\"




[directory.oidc]
";
const ISSUER: &str = "issuer = \"https://login.example.net\"\n";
const CLIENT: &str = "client_id = \"bearward\"\n";

fn read(text: &str, source: &str) -> Result<Loaded, ConfigError> {
    let source = format!("directory.source = [{source}]\n");
    config::parse(&text.replacen("hostname", &format!("{source}hostname"), 1), Path::new("bearward.toml"), [])
}

fn fault(text: &str, source: &str) -> ConfigError {
    read(text, source).expect_err("must be refused")
}

#[test]
fn issuer_and_client_are_enough_where_nobody_else_vouches_for_users() {
    let config = read(&format!("{BEFORE}{ISSUER}{CLIENT}"), "\"oidc\"").unwrap().config;
    let openid = config.directory.openid.unwrap();
    assert_eq!((&*openid.provider.url, &*openid.label), ("https://login.example.net", "login.example.net"));
    assert_eq!(openid.provider.client.unwrap().id, "bearward");
    assert_eq!(openid.scopes, ["openid", "email"]);
}

#[test]
fn a_bad_value_is_told_with_file_line_key_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let (empty, missing) = (folder.path().join("empty"), folder.path().join("missing"));
    std::fs::write(&empty, "").unwrap();
    let empty = format!("client_secret_file = \"{}\"", empty.display());
    let missing = format!("client_secret_file = \"{}\"", missing.display());
    let both = "client_secret_file = \"x\"\nclient_secret = \"y\"";
    // Behind the header, line 10, stand issuer and client_id; then these lines, unless they are those.
    let cases = [
        ("issuer = \"\"", 11, "issuer", "must be the https address"),
        ("issuer = \"http://login.example.net\"", 11, "issuer", "must be the https address"),
        ("issuer = \"login.example.net\"", 11, "issuer", "must be the https address"),
        ("issuer = \"ftp://login.example.net\"", 11, "issuer", "must be the https address"),
        ("issuer = \"https://login.example.net?x\"", 11, "issuer", "must be the https address"),
        ("issuer = \"https://login.example.net#x\"", 11, "issuer", "must be the https address"),
        ("issuer = \"https://mail.example.org\"", 11, "issuer", "is this very server"),
        ("issuer = \"https://mail.example.org/\"", 11, "issuer", "is this very server"),
        ("client_id = \"\"", 12, "client_id", "is missing"),
        ("client_secret = \"\"", 13, "client_secret", "is empty"),
        (&missing, 13, "client_secret_file", "cannot open"),
        (&empty, 13, "client_secret_file", "is empty"),
        (both, 13, "client_secret_file", "stands beside `client_secret`"),
        ("client_auth = \"bearer\"", 13, "client_auth", "cannot be bearer at a token endpoint"),
        ("client_auth = \"basic\"", 13, "client_auth", "needs client_secret"),
        ("client_auth = \"post\"", 13, "client_auth", "needs client_secret"),
        ("client_auth = \"private_key_jwt\"", 13, "client_auth", "needs client_key"),
        ("client_auth = \"tls\"", 13, "client_auth", "needs client_certificate and client_key"),
        ("client_auth = \"digest\"", 13, "client_auth", "must be one of"),
        ("scopes = [\"email\"]", 13, "scopes", "must hold \"openid\""),
        ("scopes = []", 13, "scopes", "must hold \"openid\""),
        ("scopes = [\"openid\", \"a b\"]", 13, "scopes", "must hold one scope value each"),
        ("scopes = \"openid\"", 13, "scopes", "must be a list"),
        ("label = \"\"", 13, "label", "must be a short name"),
        ("label = \"a\\nb\"", 13, "label", "must be a short name"),
        ("login_template = \"bob\"", 13, "login_template", "holds no name in braces"),
        ("login_template = \"{a\"", 13, "login_template", "holds a lone brace"),
        ("login_template = \"{a}\"\nlogin_claim = \"a\"", 13, "login_template", "stands beside login_claim"),
        ("domains = [\"example.net\", \"\"]", 13, "domains", "must hold domains such as"),
        ("domains = [\"@example.net\"]", 13, "domains", "must hold domains such as"),
        ("domains = [\"bücher.example\"]", 13, "domains", "must hold domains such as"),
        ("algorithms = []", 13, "algorithms", "names none"),
        ("algorithms = [\"HS256\"]", 13, "algorithms", "\"HS256\" is not taken"),
        ("algorithms = [\"none\"]", 13, "algorithms", "\"none\" is not taken"),
        ("timeout = \"0s\"", 13, "timeout", "must be at least 1s"),
        ("timeout = \"soon\"", 13, "timeout", "must be a duration"),
        ("trust_email = \"yes\"", 13, "trust_email", "must be true or false"),
        ("url = \"https://login.example.net\"", 13, "url", "unknown key `url`"),
        ("login_lookup = \"people\"", 13, "login_lookup", "unknown key `login_lookup`"),
        ("audience = [\"mail\"]", 13, "audience", "unknown key `audience`"),
    ];
    for (lines, line, key, message) in cases {
        let name = lines.split(' ').next().unwrap();
        let first = if name == "issuer" { "" } else { ISSUER };
        let second = if name == "client_id" { "" } else { CLIENT };
        let text = if name == "issuer" {
            format!("{BEFORE}{lines}\n{second}")
        } else {
            format!("{BEFORE}{first}{second}{lines}\n")
        };
        let error = fault(&text, "\"oidc\"");
        let said = error.to_string();
        let place = format!("bearward.toml:{line}: directory.oidc");
        assert!(said.starts_with(&place) && said.contains(message), "{lines}\n  {said}");
        let whole = format!("directory.oidc.{key}");
        let is_unknown = message.starts_with("unknown key");
        assert!(is_unknown || error.key.as_deref() == Some(&whole), "{lines}\n  {said}");
        assert!(error.help.is_some() || says_what(message), "{lines}\n  {said}");
        assert!(!said.contains("\"y\""), "a secret is repeated: {said}");
    }
}

/// Whether the sentence itself says what to write.
fn says_what(message: &str) -> bool {
    ["must be", "must hold domains", "is empty", "cannot open"].iter().any(|lead| message.starts_with(lead))
}

#[test]
fn a_key_that_is_not_there_is_told_at_its_section() {
    for (lines, key, message) in [
        (CLIENT, "issuer", "must be the https address"),
        (ISSUER, "client_id", "is missing"),
        ("", "issuer", "must be the https address"),
    ] {
        let said = fault(&format!("{BEFORE}{lines}"), "\"oidc\"").to_string();
        let place = format!("bearward.toml:10: directory.oidc.{key}: {message}");
        assert!(said.starts_with(&place), "{lines}\n  {said}");
    }
}

#[test]
fn domains_must_be_named_as_soon_as_others_vouch_for_users() {
    let own = format!("{BEFORE}{ISSUER}{CLIENT}");
    let trusted = "[[trusted_issuer]]\nurl = \"https://other.example\"\naudience = [\"a\"]\ndomains = [\"b.example\"]\n";
    for text in [format!("{own}domains = []\n{trusted}"), format!("{own}{trusted}")] {
        let error = fault(&text, "\"oidc\"");
        assert_eq!(error.key.as_deref(), Some("directory.oidc.domains"), "{error}");
        assert!(error.message.contains("must name the domains of its users"), "{error}");
        assert!(error.help.as_deref().is_some_and(|help| help.contains("domains = [")), "{error}");
    }
    for source in ["\"oidc\", \"store\"", "\"backend\", \"oidc\""] {
        let error = fault(&format!("{own}domains = []\n"), source);
        assert!(
            error.to_string().starts_with("bearward.toml:13: directory.oidc.domains: must name"),
            "{error}"
        );
        assert!(read(&format!("{own}domains = [\"example.net\"]\n"), source).is_ok());
    }
}

#[test]
fn the_source_and_its_section_stand_together() {
    let without = BEFORE.replace("[directory.oidc]\n", "");
    let error = fault(&without, "\"oidc\"");
    assert!(
        error.to_string().starts_with("bearward.toml:1: directory.source: holds \"oidc\", but"),
        "{error}"
    );
    assert!(error.help.as_deref().is_some_and(|help| help.contains("[directory.oidc]")), "{error}");
    let error = fault(&format!("{BEFORE}{ISSUER}{CLIENT}"), "\"store\"");
    assert!(error.to_string().starts_with("bearward.toml:10: directory.oidc: has no effect"), "{error}");
    assert!(error.help.as_deref().is_some_and(|help| help.contains("source = [\"oidc\"]")), "{error}");
    let error = fault(&format!("{BEFORE}{ISSUER}{CLIENT}"), "\"oidc\", \"oidc\"");
    assert!(error.to_string().contains("directory.source: names a source twice"), "{error}");
    let error = fault(&format!("{BEFORE}{ISSUER}{CLIENT}"), "\"openid\"");
    assert!(error.to_string().contains("must be one of"), "{error}");
}

#[test]
fn without_the_built_in_issuer_nobody_could_be_led_to_the_provider() {
    let text = format!(
        "{BEFORE}{ISSUER}{CLIENT}[issuer]\nenabled = false\n[[trusted_issuer]]\nurl = \"https://other.example\"\naudience = [\"a\"]\n"
    );
    let error = fault(&text, "\"oidc\"");
    assert!(
        error.to_string().starts_with("bearward.toml:11: directory.oidc.issuer: is of no use"),
        "{error}"
    );
    assert!(error.help.as_deref().is_some_and(|help| help.contains("issuer.enabled = true")), "{error}");
}

#[test]
fn the_environment_sets_keys_of_the_section_too() {
    let text = format!("directory.source = [\"oidc\"]\n{BEFORE}{ISSUER}{CLIENT}");
    let read = |name: &str, value: &str| {
        let variable = (format!("BEARWARD_DIRECTORY__OIDC__{name}").into(), value.into());
        config::parse(&text, Path::new("bearward.toml"), [variable])
    };
    let config = read("TRUST_EMAIL", "true").unwrap().config;
    assert!(config.directory.openid.unwrap().provider.mapping.trust_email);
    let error = read("TIMEOUT", "0s").expect_err("must be refused");
    assert_eq!(error.key.as_deref(), Some("BEARWARD_DIRECTORY__OIDC__TIMEOUT"), "{error}");
}
