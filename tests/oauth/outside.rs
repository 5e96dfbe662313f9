//! Issuers that are not ours: `oidc-provider`, and one of Python with Authlib's JOSE. Their tokens open mailboxes, or do
//! not, while their keys change and they come and go.

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use bearward::{model::UnixTime, tls::dev};
use serde_json::Value;

use crate::support::{ALICE, Client, Ports, Serve, Upstream, oauthbearer, taking, until, xoauth2};

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    OidcProvider,
    Python,
}

/// A running issuer under an authority of its own; stopped by its own process id.
struct Outside {
    kind: Kind,
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
    url: String,
    folder: tempfile::TempDir,
    _ports: Ports,
}

impl Outside {
    fn start(kind: Kind) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let files = dev::ensure(folder.path(), "localhost", UnixTime::now()).unwrap();
        let mut ports = Ports::reserve();
        let port = ports.take();
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oauth");
        let (program, script) = match kind {
            Kind::OidcProvider => (PathBuf::from("node"), here.join("node/outside_issuer.mjs")),
            Kind::Python => (here.join("python/.venv/bin/python"), here.join("python/outside_issuer.py")),
        };
        let mut child = Command::new(program)
            .arg(script)
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
        let mut outside = Self { kind, child, commands, answers, url, folder, _ports: ports };
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

    /// A token for `audience`, of alice unless `client` is another's.
    fn token(&self, form: &str, audience: &str, client: &str) -> String {
        if self.kind == Kind::Python {
            let email = if client == "mallory-mua" { "mallory@example.com" } else { ALICE };
            let algorithm = if form == "jwt" { "ES256" } else { form };
            return self.curl(&[&format!("{}/mint?kind={algorithm}&aud={audience}&email={email}", self.url)]);
        }
        let answer = self.curl(&[
            "--user",
            &format!("{client}:{client}-secret"),
            "--data",
            &format!("grant_type=client_credentials&scope=imap smtp&resource=https://{audience}/{form}"),
            &format!("{}/token", self.url),
        ]);
        let answer: Value = serde_json::from_str(&answer).unwrap();
        answer["access_token"].as_str().unwrap().to_owned()
    }

    fn revoke(&self, token: &str) {
        if self.kind == Kind::Python {
            self.curl(&[&format!("{}/revoke?token={token}", self.url)]);
            return;
        }
        let (data, url) = (format!("token={token}"), format!("{}/token/revocation", self.url));
        self.curl(&["--user", "alice-mua:alice-mua-secret", "--data", &data, &url]);
    }

    /// A server that trusts this issuer; `more` are further lines of its table.
    fn served(&self, more: &str) -> (Serve, Upstream) {
        let auth = if self.kind == Kind::Python { "client_auth = \"post\"\n" } else { "" };
        let upstream = Upstream::start(taking("imap", vec![until("x NOOP")]));
        let serve = Serve::start(&format!(
            "imap = [\"imap://127.0.0.1:{}\"]\nlogin = \"trusted\"\n\
             [[trusted_issuer]]\nurl = \"{}\"\nca = \"{}\"\naudience = [\"imap.example.org\"]\n\
             domains = [\"example.org\"]\nclient_id = \"bearward\"\nclient_secret = \"bearward-secret\"\n{auth}{more}",
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
const BOTH: [Kind; 2] = [Kind::OidcProvider, Kind::Python];

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
    for kind in BOTH {
        let outside = Outside::start(kind);
        let (serve, upstream) = outside.served("");
        let token = outside.token("jwt", AUDIENCE, "alice-mua");
        assert_eq!(token.split('.').count(), 3);
        opens(&serve, &token);
        let mut client = serve.connect("imap");
        client.send(format!("a AUTHENTICATE OAUTHBEARER {}\r\n", oauthbearer(ALICE, &token)).as_bytes());
        client.until("a OK");
        let before = upstream.connections();
        refused(
            &serve,
            &outside.token("jwt", "another.example.org", "alice-mua"),
            "a NO [AUTHENTICATIONFAILED]",
        );
        refused(&serve, &outside.token("jwt", AUDIENCE, "mallory-mua"), "a NO ");
        assert_eq!(upstream.connections(), before);
    }
}

#[test]
fn an_edwards_curve_signs_as_well() {
    let outside = Outside::start(Kind::Python);
    let (serve, _upstream) = outside.served("");
    opens(&serve, &outside.token("EdDSA", AUDIENCE, "alice-mua"));
}

#[test]
fn an_opaque_token_is_asked_about_and_ends_with_its_revocation_the_session_too() {
    for kind in BOTH {
        let outside = Outside::start(kind);
        let (serve, _upstream) =
            outside.served("validate = \"introspection\"\ncache = \"1s\"\nrecheck = \"1s\"\n");
        let token = outside.token("opaque", AUDIENCE, "alice-mua");
        assert!(!token.contains('.'));
        let mut session = opens(&serve, &token);
        refused(
            &serve,
            &outside.token("opaque", "another.example.org", "alice-mua"),
            "a NO [AUTHENTICATIONFAILED]",
        );
        outside.revoke(&token);
        assert!(session.rest().contains("* BYE"));
        refused(&serve, &token, "a NO [AUTHENTICATIONFAILED]");
    }
}

#[test]
fn keys_rotate_while_sessions_run() {
    for kind in BOTH {
        let mut outside = Outside::start(kind);
        let (serve, _upstream) = outside.served("");
        let old = outside.token("jwt", AUDIENCE, "alice-mua");
        let _session = opens(&serve, &old);
        // Unknown keys are looked for at most every five seconds.
        crate::support::wait(std::time::Duration::from_secs(5));
        outside.tell("rotate");
        let new = outside.token("jwt", AUDIENCE, "alice-mua");
        opens(&serve, &new);
        opens(&serve, &old);
        assert!(serve.sessions() >= 1, "the session of the old key lives on");
    }
}

#[test]
fn an_issuer_that_is_away_spoils_no_token_and_is_used_again_when_it_is_back() {
    for kind in BOTH {
        let mut outside = Outside::start(kind);
        let (signed, _one) = outside.served("");
        let (asked, _two) = outside.served("validate = \"introspection\"\ncache = \"1s\"\n");
        let [jwt, another] = [(); 2].map(|()| outside.token("jwt", AUDIENCE, "alice-mua"));
        let [known, opaque] = [(); 2].map(|()| outside.token("opaque", AUDIENCE, "alice-mua"));
        opens(&signed, &jwt);
        opens(&asked, &known);
        outside.tell("stop");
        opens(&signed, &another);
        refused(&asked, &opaque, "a NO [UNAVAILABLE]");
        outside.tell("start");
        opens(&asked, &opaque);
    }
}

/// The proxy may be up before its issuer.
#[test]
fn an_issuer_that_comes_up_later_is_found() {
    let mut outside = Outside::start(Kind::OidcProvider);
    let token = outside.token("jwt", AUDIENCE, "alice-mua");
    outside.tell("stop");
    let (serve, _upstream) = outside.served("");
    refused(&serve, &token, "a NO [UNAVAILABLE]");
    outside.tell("start");
    crate::support::wait(std::time::Duration::from_secs(6));
    opens(&serve, &token);
}
