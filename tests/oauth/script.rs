//! Runs scripts with a time limit; what they need to know is one JSON document in their environment.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use bearward::{model::UnixTime, tls::dev};
use serde_json::{Value, json};

use crate::support::{ALICE, Ports, Serve, Trial, Upstream, send, taking, until};

/// Seconds that one script may take.
const LIMIT: &str = "90";
/// A mail server that lets a service account into every mailbox, which a client's own token needs.
const MASTER: &str = "login = \"master\"\n[backend.main.master]\nuser = \"m\"\npassword = \"swordfish\"\n";

/// A running issuer, and what scripts are told of it.
pub(crate) struct Issuer {
    server: Server,
    facts: Value,
    home: tempfile::TempDir,
    /// What the outside provider has, where there is one.
    outside: Option<(tempfile::TempDir, Ports)>,
}

enum Server {
    Trial(Trial),
    Serve { serve: Serve, _upstream: Upstream },
}

impl Issuer {
    /// The issuer of `bearward try`.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// An issuer at which clients register by invitation alone, and an `invitation` for one.
    pub(crate) fn with_invitation() -> Self {
        let mut issuer = Self::start_with(&[("BEARWARD_ISSUER__REGISTRATION", "token")]);
        issuer.tell("invitation", &["client", "invite", "--json"]);
        issuer
    }

    fn start_with(environment: &[(&str, &str)]) -> Self {
        let loud = [environment, &[("BEARWARD_TELEMETRY__LOG", "trace")]].concat();
        let trial = Trial::start_with(&loud);
        let facts = trial.document.clone();
        Self::new(Server::Trial(trial), facts)
    }

    /// An issuer with two clients that may open alice's mailbox on their own account: `service`, and `jwt`, which
    /// gets JWT access tokens.
    pub(crate) fn with_service_clients() -> Self {
        let upstream = Upstream::start(taking("imap", Vec::new()));
        let serve =
            Serve::start_issuer(&format!("imap = [\"imap://127.0.0.1:{}\"]\n{MASTER}", upstream.port()));
        let facts = json!({
            "hostname": "localhost",
            "client_id": "open",
            "issuer": serve.url(),
            "ca_file": serve.folder().join("certs/ca.pem"),
            "ports": { "imaps": serve.address("imap").port() },
            "users": [{ "login": ALICE, "password": "" }, { "login": "bob@example.org", "password": "" }],
        });
        let mut issuer = Self::new(Server::Serve { serve, _upstream: upstream }, facts);
        let service = ["--grant", "client_credentials", "--mailbox", ALICE];
        issuer.add_client("service", &service);
        issuer.add_client("jwt", &[&service[..], &["--jwt-access-tokens"]].concat());
        issuer
    }

    /// An issuer whose people sign in at an outside provider alone, which the script has to start.
    pub(crate) fn federated() -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        dev::ensure(folder.path(), "localhost", UnixTime::now()).expect("certificates");
        let mut ports = Ports::reserve();
        // Not `localhost`, so that the browser takes it for another site than the issuer's.
        let url = format!("https://127.0.0.1:{}", ports.take());
        let mailbox = [
            until("b SELECT INBOX\r\n"),
            send("* 3 EXISTS\r\nb OK selected\r\n"),
            until("c LOGOUT\r\n"),
            send("* BYE\r\nc OK bye\r\n"),
        ];
        let upstream = Upstream::start(taking("imap", mailbox.to_vec()));
        let serve = Serve::start_issuer(&format!(
            "imap = [\"imap://127.0.0.1:{}\"]\nlogin = \"trusted\"\n[directory]\nsource = [\"oidc\"]\n\
             [directory.oidc]\nissuer = \"{url}\"\nclient_id = \"bearward\"\n\
             client_secret = \"secret-of-bearward\"\nlabel = \"Outside\"\ndomains = [\"example.org\"]\n\
             ca = \"{}\"\n",
            upstream.port(),
            folder.path().join("ca.pem").display(),
        ));
        let facts = json!({
            "hostname": "localhost",
            "client_id": "open",
            "issuer": serve.url(),
            "ca_file": serve.folder().join("certs/ca.pem"),
            "ports": { "imaps": serve.address("imap").port() },
            "users": [
                { "login": ALICE, "password": "alices-own-secret" },
                { "login": "bob@example.org", "password": "bobs-own-secret" },
            ],
            "provider": {
                "url": url,
                "certificate": folder.path().join("server.pem"),
                "key": folder.path().join("server.key"),
            },
        });
        let issuer = Self::new(Server::Serve { serve, _upstream: upstream }, facts);
        Self { outside: Some((folder, ports)), ..issuer }
    }

    /// With a client, `resource`, that may ask about every token.
    pub(crate) fn with_resource_server(mut self) -> Self {
        self.add_client("resource", &["--introspect"]);
        self
    }

    fn new(server: Server, mut facts: Value) -> Self {
        facts["clients"] = json!({});
        Self { server, facts, home: tempfile::tempdir().expect("temporary folder"), outside: None }
    }

    fn add_client(&mut self, name: &str, arguments: &[&str]) {
        self.tell(name, &[&["client", "add", "--json", "--name", name], arguments].concat());
    }

    /// Runs a command, whose answer the scripts find under `clients`.
    fn tell(&mut self, name: &str, arguments: &[&str]) {
        let text = match &self.server {
            Server::Trial(trial) => trial.succeed(arguments, None),
            Server::Serve { serve, .. } => serve.succeed(arguments, ""),
        };
        self.facts["clients"][name] = serde_json::from_str(&text).expect("JSON");
    }

    /// Tells scripts of a device, under `clients`.
    pub(crate) fn tell_device(&mut self, device: Value) {
        self.facts["clients"]["device"] = device;
    }

    /// What commands take with `-c`.
    pub(crate) fn config_file(&self) -> &str {
        self.facts["config_file"].as_str().expect("a path")
    }

    fn ca(&self) -> &str {
        self.facts["ca_file"].as_str().expect("a path")
    }

    fn log(&self) -> String {
        match &self.server {
            Server::Trial(trial) => trial.log(),
            Server::Serve { serve, .. } => serve.log(),
        }
    }

    /// No token, code, secret or password of whatever just happened may stand in the log.
    #[track_caller]
    fn assert_the_log_is_clean(&self, log: &str) {
        let leaked = log.split_whitespace().find(|word| holds_a_token(word));
        assert_eq!(leaked, None, "the log holds a token");
        for user in self.facts["users"].as_array().into_iter().flatten() {
            let password = user["password"].as_str().unwrap_or_default();
            assert!(password.is_empty() || !log.contains(password), "the log holds a password");
        }
    }

    /// Runs one part of a script for Node.js.
    #[track_caller]
    pub(crate) fn node(&self, script: &str, part: &str) {
        self.run(&PathBuf::from("node"), &folder("node").join(script), part);
    }

    /// Runs one part of a script for Python.
    #[track_caller]
    pub(crate) fn python(&self, script: &str, part: &str) {
        self.run(&folder("python").join(".venv/bin/python"), &folder("python").join(script), part);
    }

    /// Runs one part of a script that drives Chromium, which trusts the issuer's authority through an NSS database
    /// in its home.
    #[track_caller]
    pub(crate) fn chromium(&self, part: &str) {
        self.in_chromium("chromium.mjs", part);
    }

    /// The same where people sign in at an outside provider, whose authority it trusts as well.
    #[track_caller]
    pub(crate) fn federated_chromium(&self, part: &str) {
        self.in_chromium("federated.mjs", part);
    }

    #[track_caller]
    fn in_chromium(&self, script: &str, part: &str) {
        let database = self.home.path().join(".pki/nssdb");
        std::fs::create_dir_all(&database).expect("folder");
        let certutil = |arguments: &[&str]| {
            let place = format!("sql:{}", database.display());
            let status = Command::new("certutil").args(["-d", &place]).args(arguments).status();
            assert!(status.expect("certutil runs").success(), "certutil {arguments:?}");
        };
        certutil(&["-N", "--empty-password"]);
        certutil(&["-A", "-n", "issuer", "-t", "C,,", "-i", self.ca()]);
        if let Some((folder, _)) = &self.outside {
            let ca = folder.path().join("ca.pem");
            certutil(&["-A", "-n", "outside", "-t", "C,,", "-i", ca.to_str().expect("a path")]);
        }
        self.node(script, part);
    }

    /// The script's own process group ends with the test, and after the time limit.
    #[track_caller]
    fn run(&self, program: &Path, script: &Path, part: &str) {
        let ca = self.ca();
        let output = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "timeout", "-k", "2", LIMIT])
            .arg(program)
            .arg(script)
            .arg(part)
            .current_dir(self.home.path())
            .env("HOME", self.home.path())
            .env("FACTS", self.facts.to_string())
            .env("NODE_EXTRA_CA_CERTS", ca)
            .env("SSL_CERT_FILE", ca)
            .env_remove("SSL_CERT_DIR")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::null())
            .output()
            .expect("the script starts");
        let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        let (said, log) = (text(&output.stdout) + &text(&output.stderr), self.log());
        let name = script.file_name().unwrap_or_default().display();
        assert!(output.status.success(), "{name} {part}: {}\n{said}\nBearward's log:\n{log}", output.status);
        assert!(said.contains("done"), "{name} {part} ended early:\n{said}");
        self.assert_the_log_is_clean(&log);
    }
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oauth").join(name)
}

/// Whether a word holds an opaque token, a code, a secret or a JWT. The identifiers of clients look alike, and are
/// no secrets.
fn holds_a_token(word: &str) -> bool {
    let is_opaque = |at: usize| {
        let Some(text) = word.get(at..at + 52) else { return false };
        text.as_bytes()[3] == b'_'
            && !["bwn_", "bwo_"].contains(&&text[..4])
            && text[4..].bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-_".contains(&octet))
    };
    word.contains("eyJ") || word.match_indices("bw").any(|(at, _)| is_opaque(at))
}

#[test]
fn a_leaked_token_is_found_wherever_it_stands() {
    let body = "A".repeat(48);
    for kind in ["bwa_", "bwr_", "bwc_", "bwd_", "bws_", "bwm_", "bwi_", "bwp_", "bwb_"] {
        assert!(holds_a_token(&format!("detail=\"{kind}{body}\"")), "{kind}");
    }
    assert!(holds_a_token("x=eyJhbGciOi"));
    assert!(!holds_a_token(&format!("client_id=bwn_{body}")) && !holds_a_token("bwa_short"));
}
