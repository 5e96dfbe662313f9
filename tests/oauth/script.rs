//! Runs scripts with a time limit; what they need to know is one JSON document in their environment.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::support::Trial;

/// Seconds that one script may take.
const LIMIT: &str = "90";

/// A running issuer, and what scripts are told of it.
pub(crate) struct Issuer {
    pub(crate) trial: Trial,
    facts: Value,
    home: tempfile::TempDir,
}

impl Issuer {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts with extra environment, such as `BEARWARD_ISSUER__REGISTRATION`.
    pub(crate) fn start_with(environment: &[(&str, &str)]) -> Self {
        let trial = Trial::start_with(environment);
        let mut facts = trial.document.clone();
        facts["clients"] = json!({});
        Self { trial, facts, home: tempfile::tempdir().expect("temporary folder") }
    }

    /// Tells scripts of one more client, under `clients`.
    pub(crate) fn tell_client(&mut self, name: &str, client: Value) {
        self.facts["clients"][name] = client;
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
        let database = self.home.path().join(".pki/nssdb");
        std::fs::create_dir_all(&database).expect("folder");
        let certutil = |arguments: &[&str]| {
            let place = format!("sql:{}", database.display());
            let status = Command::new("certutil").args(["-d", &place]).args(arguments).status();
            assert!(status.expect("certutil runs").success(), "certutil {arguments:?}");
        };
        certutil(&["-N", "--empty-password"]);
        let ca = self.trial.ca().to_str().expect("a path");
        certutil(&["-A", "-n", "issuer", "-t", "C,,", "-i", ca]);
        self.node("chromium.mjs", part);
    }

    /// The script's own process group ends with the test, and after the time limit.
    #[track_caller]
    fn run(&self, program: &Path, script: &Path, part: &str) {
        let ca = self.trial.ca();
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
        let (said, log) = (text(&output.stdout) + &text(&output.stderr), self.trial.log());
        let name = script.file_name().unwrap_or_default().display();
        assert!(output.status.success(), "{name} {part}: {}\n{said}\nBearward's log:\n{log}", output.status);
        assert!(said.contains("done"), "{name} {part} ended early:\n{said}");
    }
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oauth").join(name)
}
