//! An issuer of Python with Authlib's JOSE: metadata at the place of RFC 8414 alone, two signature algorithms, opaque
//! tokens asked about with `client_secret_post`. Its keys change, and it comes and goes.

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use bearward::{model::UnixTime, tls::dev};
use serde_json::Value;

use crate::support::{ALICE, Client, Ports, Serve, Upstream, oauthbearer, taking, until, xoauth2};

/// A running issuer under an authority of its own; stopped by its own process id.
struct Outside {
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
    url: String,
    folder: tempfile::TempDir,
    _ports: Ports,
}

impl Outside {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let files = dev::ensure(folder.path(), "localhost", UnixTime::now()).unwrap();
        let mut ports = Ports::reserve();
        let port = ports.take();
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oauth/python");
        let mut child = Command::new(here.join(".venv/bin/python"))
            .arg(here.join("outside_issuer.py"))
            .arg(port.to_string())
            .arg(&files.server.certificate)
            .arg(files.server.private_key.as_ref().unwrap())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the issuer starts; tests/run installs what it needs");
        let commands = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        let url = format!("https://localhost:{port}");
        let mut outside = Self { child, commands, answers, url, folder, _ports: ports };
        outside.hear("ready");
        outside
    }

    fn hear(&mut self, expected: &str) {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        assert_eq!(line.trim(), expected);
    }

    fn tell(&mut self, command: &str) {
        writeln!(self.commands, "{command}").unwrap();
        self.hear("done");
    }

    fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Standard output of curl.
    fn curl(&self, arguments: &[&str]) -> String {
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--fail-with-body", "--cacert"])
            .arg(self.ca())
            .args(arguments)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{arguments:?}: {text} {}", String::from_utf8_lossy(&output.stderr));
        text
    }

    /// A token for `audience`, of `email`.
    fn token(&self, kind: &str, audience: &str, email: &str) -> String {
        self.curl(&[&format!("{}/mint?kind={kind}&aud={audience}&email={email}", self.url)])
    }

    fn revoke(&self, token: &str) {
        self.curl(&[&format!("{}/revoke?token={token}", self.url)]);
    }

    /// A server that trusts this issuer; `more` are further lines of its table.
    fn served(&self, more: &str) -> (Serve, Upstream) {
        let upstream = Upstream::start(taking("imap", vec![until("x NOOP")]));
        let serve = Serve::start(&format!(
            "imap = [\"imap://127.0.0.1:{}\"]\nlogin = \"trusted\"\n\
             [[trusted_issuer]]\nurl = \"{}\"\nca = \"{}\"\naudience = [\"imap.example.org\"]\n\
             domains = [\"example.org\"]\nclient_id = \"bearward\"\nclient_secret = \"bearward-secret\"\nclient_auth = \"post\"\n{more}",
            upstream.port(),
            self.url,
            self.ca().display()
        ));
        (serve, upstream)
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const AUDIENCE: &str = "imap.example.org";
const MALLORY: &str = "mallory@example.com";

fn opens(serve: &Serve, token: &str) -> Client {
    let mut client = serve.sign_in("imap", token, "");
    client.until("a OK");
    client
}

/// Refused by both mechanisms with this answer; the mail server hears of neither.
fn refused(serve: &Serve, token: &str, answer: &str) {
    for (mechanism, response) in
        [("XOAUTH2", xoauth2(ALICE, token)), ("OAUTHBEARER", oauthbearer(ALICE, token))]
    {
        let mut client = serve.connect("imap");
        client.send(format!("a AUTHENTICATE {mechanism} {response}\r\nAQ==\r\n").as_bytes());
        client.until(answer);
    }
}

#[test]
fn a_signed_token_opens_the_mailbox_by_both_mechanisms_and_one_for_another_service_does_not() {
    let outside = Outside::start();
    let (serve, upstream) = outside.served("");
    let token = outside.token("ES256", AUDIENCE, ALICE);
    assert_eq!(token.split('.').count(), 3);
    opens(&serve, &token);
    let mut client = serve.connect("imap");
    client.send(format!("a AUTHENTICATE OAUTHBEARER {}\r\n", oauthbearer(ALICE, &token)).as_bytes());
    client.until("a OK");
    let before = upstream.connections();
    refused(&serve, &outside.token("ES256", "another.example.org", ALICE), "a NO [AUTHENTICATIONFAILED]");
    refused(&serve, &outside.token("ES256", AUDIENCE, MALLORY), "a NO ");
    assert_eq!(upstream.connections(), before);
}

#[test]
fn an_edwards_curve_signs_as_well() {
    let outside = Outside::start();
    let (serve, _upstream) = outside.served("");
    opens(&serve, &outside.token("EdDSA", AUDIENCE, ALICE));
}

#[test]
fn an_opaque_token_is_asked_about_and_ends_with_its_revocation_the_session_too() {
    let outside = Outside::start();
    let (serve, _upstream) =
        outside.served("validate = \"introspection\"\ncache = \"1s\"\nrecheck = \"1s\"\n");
    let token = outside.token("opaque", AUDIENCE, ALICE);
    assert!(!token.contains('.'));
    let mut session = opens(&serve, &token);
    refused(&serve, &outside.token("opaque", "another.example.org", ALICE), "a NO [AUTHENTICATIONFAILED]");
    outside.revoke(&token);
    assert!(session.rest().contains("* BYE"));
    refused(&serve, &token, "a NO [AUTHENTICATIONFAILED]");
}

#[test]
fn keys_rotate_while_sessions_run() {
    let mut outside = Outside::start();
    let (serve, _upstream) = outside.served("");
    let old = outside.token("ES256", AUDIENCE, ALICE);
    let _session = opens(&serve, &old);
    // Unknown keys are looked for at most every five seconds.
    crate::support::wait(std::time::Duration::from_secs(5));
    outside.tell("rotate");
    let new = outside.token("ES256", AUDIENCE, ALICE);
    opens(&serve, &new);
    opens(&serve, &old);
    assert!(serve.sessions() >= 1, "the session of the old key lives on");
}

#[test]
fn an_issuer_that_is_away_spoils_no_token_and_is_used_again_when_it_is_back() {
    let mut outside = Outside::start();
    let (signed, _one) = outside.served("");
    let (asked, _two) = outside.served("validate = \"introspection\"\ncache = \"1s\"\n");
    let [jwt, another] = [(); 2].map(|()| outside.token("ES256", AUDIENCE, ALICE));
    let [known, opaque] = [(); 2].map(|()| outside.token("opaque", AUDIENCE, ALICE));
    opens(&signed, &jwt);
    opens(&asked, &known);
    outside.tell("stop");
    opens(&signed, &another);
    refused(&asked, &opaque, "a NO [UNAVAILABLE]");
    outside.tell("start");
    opens(&asked, &opaque);
}
