//! `[setup]`, and `bearward dns`, which prints what the server serves.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use bearward::{model::UnixTime, tls::dev};
use serde_json::Value;

use crate::support::{
    ports::{self, Ports},
    wait,
};

const BACKEND: &str = "[backend.main]\nimap = [\"imaps://127.0.0.1:1\"]\nsmtp = [\"smtps://127.0.0.1:1\"]\n\
                       pop3 = [\"pop3s://127.0.0.1:1\"]\nsieve = [\"sieve+starttls://127.0.0.1:1\"]\n";

fn write(folder: &Path, more: &str) {
    let text = format!(
        "hostname = \"mail.example.org\"\ndata_dir = \"data\"\n[telemetry]\nmetrics = \"off\"\n{BACKEND}{more}"
    );
    fs::write(folder.join("bearward.toml"), text).unwrap();
}

fn bearward(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bearward"))
        .args(["-c", "bearward.toml"])
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// What `bearward dns` prints with `more` in the configuration.
fn dns(more: &str, arguments: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), more);
    let output = bearward(folder.path(), &[&["dns"], arguments].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What is said of a configuration that is refused.
fn refused(more: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), more);
    let output = bearward(folder.path(), &["dns"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// The data of a record as `bearward dns --json` gives it.
fn data(document: &str, name: &str) -> Option<String> {
    let domains: Value = serde_json::from_str(document).unwrap();
    let records = domains.as_array().unwrap().iter().flat_map(|domain| domain["records"].as_array().unwrap());
    let record = records.into_iter().find(|record| record["name"] == name)?;
    Some(record["data"].as_str().unwrap().to_owned())
}

struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Serves https on a port that clients know as 443. Another process may take the port before the server does.
fn serve(folder: &Path) -> (Serving, u16, Ports) {
    dev::ensure(&folder.join("certs"), "mail.example.org", UnixTime::now()).unwrap();
    for _ in 0..ports::STARTS {
        let mut ports = Ports::reserve();
        let [https, imaps] = [(); 2].map(|()| ports.take());
        write(
            folder,
            &format!(
                "[tls]\ncertificate = \"certs/server.pem\"\nprivate_key = \"certs/server.key\"\n\
                 [issuer]\nurl = \"https://mail.example.org\"\n\
                 [setup]\nprovider_name = \"Sönke & Co\"\nimap = [\"imaps://imap.example.org\"]\n\
                 [[listener]]\nprotocol = \"https\"\nbind = \"127.0.0.1:{https}\"\n\
                 [[listener]]\nprotocol = \"imap\"\nbind = \"127.0.0.1:{imaps}\"\n"
            ),
        );
        let log = fs::File::create(folder.join("log")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_bearward"));
        command.args(["serve", "-c", "bearward.toml"]).current_dir(folder);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let mut serving = Serving(child);
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let log = fs::read_to_string(folder.join("log")).unwrap();
            if log.contains("serving") {
                return (serving, https, ports);
            }
            if serving.0.try_wait().unwrap().is_some() {
                assert!(ports::were_in_use(&log), "{log}");
                break;
            }
            assert!(Instant::now() < deadline, "{log}");
            wait(Duration::from_millis(10));
        }
    }
    panic!("no port is free");
}

#[tokio::test]
async fn the_digest_in_the_zone_is_that_of_what_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let (_serving, https, _ports) = serve(folder.path());
    let ca = reqwest::Certificate::from_pem(&fs::read(folder.path().join("certs/ca.pem")).unwrap()).unwrap();
    let here = ([127, 0, 0, 1], https).into();
    let client = reqwest::Client::builder()
        .tls_certs_only([ca])
        .resolve("mail.example.org", here)
        .timeout(Duration::from_secs(10))
        .build()
        .unwrap();
    let url = format!("https://mail.example.org:{https}/.well-known/user-agent-configuration.json");
    let served = client.get(url).send().await.unwrap().bytes().await.unwrap();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &served);

    let output = bearward(folder.path(), &["dns", "--json"]);
    let printed = String::from_utf8(output.stdout).unwrap();
    let expected = format!("v=UAAC1; a=sha256; d={}", crate::support::base64(digest));
    assert_eq!(data(&printed, "_ua-auto-config.example.org."), Some(expected.clone()));
    let zone = String::from_utf8(bearward(folder.path(), &["dns"]).stdout).unwrap();
    assert!(zone.contains(&format!("\"{expected}\"\n")), "{zone}");

    let document: Value = serde_json::from_slice(&served).unwrap();
    assert_eq!(document["protocols"]["imap"]["host"], "imap.example.org");
    assert_eq!(document["info"]["provider"]["name"], "Sönke & Co");
    assert_eq!(document["authentication"]["oauth-public"]["issuer"], "https://mail.example.org");
}

#[test]
fn the_zone_follows_the_listeners() {
    let all = dns("", &["--json"]);
    assert_eq!(data(&all, "_imaps._tcp.example.org.").as_deref(), Some("0 1 993 mail.example.org."));
    assert_eq!(data(&all, "_sieve._tcp.example.org.").as_deref(), Some("0 1 4190 mail.example.org."));
    assert_eq!(data(&all, "autoconfig.example.org.").as_deref(), Some("mail.example.org."));

    let few = "[[listener]]\nprotocol = \"imap\"\nbind = \"[::]:1143\"\ntls = \"starttls\"\n\
               [[listener]]\nprotocol = \"imap\"\nbind = \"[::]:143\"\ntls = \"starttls\"\n\
               [[listener]]\nprotocol = \"smtp\"\nbind = \"127.0.0.1:2525\"\ntls = \"none\"\n";
    let few = dns(few, &["--json"]);
    assert_eq!(data(&few, "_imaps._tcp.example.org.").as_deref(), Some("0 0 0 ."));
    assert_eq!(data(&few, "_imap._tcp.example.org.").as_deref(), Some("10 1 143 mail.example.org."));
    assert_eq!(data(&few, "_submission._tcp.example.org.").as_deref(), Some("0 0 0 ."), "it has no TLS");
    assert_eq!(data(&few, "autoconfig.example.org."), None, "there is no https listener");
}

#[test]
fn public_names_and_ports_take_the_place_of_the_listeners() {
    let zone = dns(
        "[setup]\ndomains = [\"Example.NET\", \"example.org\"]\nimap = [\"imaps://IMAP.example.net:1993\"]\npop3 = []\n",
        &["--json", "--domain", "example.net"],
    );
    assert_eq!(data(&zone, "_imaps._tcp.example.net.").as_deref(), Some("0 1 1993 imap.example.net."));
    assert_eq!(data(&zone, "_imap._tcp.example.net.").as_deref(), Some("0 0 0 ."));
    assert_eq!(data(&zone, "_pop3s._tcp.example.net.").as_deref(), Some("0 0 0 ."));
    assert_eq!(data(&zone, "_submissions._tcp.example.net.").as_deref(), Some("0 1 465 mail.example.org."));
    assert_eq!(data(&zone, "_imaps._tcp.example.org."), None, "it was not asked for");
}

#[test]
fn domains_come_from_the_routes_and_the_trusted_issuers() {
    let zone = dns(
        "[[route]]\ndomain = \"a.example\"\nbackend = \"main\"\n\
         [[route]]\nuser = \"bob@b.example\"\nbackend = \"main\"\n\
         [[trusted_issuer]]\nurl = \"https://login.example.net\"\naudience = [\"x\"]\ndomains = [\"c.example\"]\n",
        &[],
    );
    let domains: Vec<&str> = zone.lines().filter_map(|line| line.strip_prefix("; ")).collect();
    assert_eq!(domains, ["a.example", "b.example", "c.example"]);
}

#[test]
fn a_domain_that_is_not_here_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "");
    let output = bearward(folder.path(), &["dns", "--domain", "elsewhere.example"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("elsewhere.example") && said.contains("setup.domains"), "{said}");
}

#[test]
fn what_cannot_be_published_is_refused_with_its_key() {
    for (more, key, what) in [
        ("domains = []", "setup.domains", "is empty"),
        ("domains = [\"bücher.example\"]", "setup.domains[0]", "must be a domain"),
        ("domains = [\"a.example\", \"<x>\"]", "setup.domains[1]", "must be a domain"),
        ("provider_name = \"a\\nb\"", "setup.provider_name", "one line"),
        ("provider_name = \"\"", "setup.provider_name", "one line"),
        ("provider_short_name = \"123456789012345678901\"", "setup.provider_short_name", "1 to 20"),
        ("imap = [\"imap://mail.example.org\"]", "setup.imap[0]", "has no TLS"),
        ("imap = [\"smtps://mail.example.org\"]", "setup.imap[0]", "must begin with imap"),
        ("imap = [\"imaps://192.0.2.1\"]", "setup.imap[0]", "must name a host"),
    ] {
        let said = refused(&format!("[setup]\n{more}\n"));
        assert!(said.contains(key) && said.contains(what), "{more}: {said}");
    }
    let only_imap = "[[listener]]\nprotocol = \"imap\"\nbind = \"[::]:993\"\n";
    let said = refused(&format!("{only_imap}[setup]\nsmtp = [\"smtps://mail.example.org\"]\n"));
    assert!(said.contains("setup.smtp[0]") && said.contains("no listener speaks smtp"), "{said}");
}

const OUTSIDE: &str = "[issuer]\nenabled = false\n\
     [[trusted_issuer]]\nurl = \"https://login.example.net/main\"\naudience = [\"x\"]\n\
     [setup.oauth]\nissuer = \"https://login.example.net/main\"\nclient_id = \"mail\"\n\
     authorization_endpoint = \"https://login.example.net/main/auth\"\n\
     token_endpoint = \"https://login.example.net/main/token\"\nscope = \"mail offline_access\"\n";

#[test]
fn tokens_may_come_from_a_trusted_issuer() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), OUTSIDE);
    let offer =
        bearward::config::load_with(Some(&folder.path().join("bearward.toml")), []).unwrap().config.setup;
    let document =
        bearward::setup::autoconfig(&offer, "example.org", bearward::setup::Version::V1_1).unwrap();
    for line in [
        "<authentication>OAuth2</authentication>",
        "<authURL>https://login.example.net/main/auth</authURL>",
        "<tokenURL>https://login.example.net/main/token</tokenURL>",
        "<issuer>https://login.example.net/main</issuer>",
        "<scope>mail offline_access</scope>",
        "<clientID>mail</clientID>",
    ] {
        assert!(document.contains(line), "{line}: {document}");
    }
    assert!(bearward::setup::add_on(&offer).is_some());
    let pacc = bearward::setup::pacc(&offer).unwrap();
    assert!(!pacc.contains("oauth-public"), "nobody knows whether that issuer follows the profile: {pacc}");
}

#[test]
fn tokens_that_would_be_refused_are_promised_to_nobody() {
    for (from, to, key) in [
        (
            "issuer = \"https://login.example.net/main\"",
            "issuer = \"https://login.example.net/other\"",
            "setup.oauth.issuer",
        ),
        ("client_id = \"mail\"", "client_id = \"\"", "setup.oauth.client_id"),
        ("scope = \"mail offline_access\"", "scope = \"a\\nb\"", "setup.oauth.scope"),
        ("token_endpoint = \"https", "token_endpoint = \"http", "setup.oauth.token_endpoint"),
        (
            "authorization_endpoint = \"https",
            "authorization_endpoint = \"javascript",
            "setup.oauth.authorization_endpoint",
        ),
    ] {
        let said = refused(&OUTSIDE.replacen(from, to, 1));
        assert!(said.contains(key), "{key}: {said}");
    }
}
