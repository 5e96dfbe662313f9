//! Tokens of an issuer that is not ours: the npm package `oidc-provider`.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bearward::{model::UnixTime, tls::dev};
use serde_json::{Value, json};

use crate::support::{
    ALICE, Client, Ports, Serve, Upstream, oauthbearer, send, taking, until, wait, xoauth2,
};

const BOB: &str = "bob@elsewhere.example";
/// Between two looks at an issuer's documents, and a little more.
const NEXT_LOOK: Duration = Duration::from_millis(6_100);
/// Longer than anything is remembered here.
const FORGOTTEN: Duration = Duration::from_millis(2_100);
/// The longest that a line of the log takes.
const LOGGED: Duration = Duration::from_secs(10);
const JWT: &str = "https://mail/jwt";
pub(crate) const OPAQUE: &str = "https://mail/opaque";

/// The issuer's process, which does what it is told.
pub(crate) struct Outside {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    folder: tempfile::TempDir,
    url: String,
    _ports: Ports,
}

impl Outside {
    /// Listens nowhere yet.
    fn prepare(clients: &Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        dev::ensure(folder.path(), "localhost", UnixTime::now()).unwrap();
        let mut ports = Ports::reserve();
        let [url, certified] = [(); 2].map(|()| format!("https://localhost:{}", ports.take()));
        let facts = json!({
            "url": url,
            "certified": certified,
            "clients": clients,
            "certificate": folder.path().join("server.pem"),
            "key": folder.path().join("server.key"),
        });
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oauth/node/issuer.mjs");
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "node"])
            .arg(script)
            .env("FACTS", facts.to_string())
            .env("NODE_EXTRA_CA_CERTS", folder.path().join("ca.pem"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdin, stdout, folder, url, _ports: ports }
    }

    fn start() -> Self {
        Self::start_knowing(&json!([]))
    }

    /// Some more clients are registered there.
    pub(crate) fn start_knowing(clients: &Value) -> Self {
        let mut outside = Self::prepare(clients);
        outside.tell(&["start"]);
        outside
    }

    fn tell(&mut self, command: &[&str]) -> Value {
        writeln!(self.stdin, "{}", json!(command)).unwrap();
        loop {
            let mut line = String::new();
            assert_ne!(self.stdout.read_line(&mut line).unwrap(), 0, "the issuer ended at {command:?}");
            // It says on standard output, too, what it warns of.
            if let Ok(answer) = serde_json::from_str(&line) {
                return answer;
            }
        }
    }

    pub(crate) fn token(&mut self, person: &str, resource: &str) -> String {
        self.tell(&["token", person, resource]).as_str().unwrap().to_owned()
    }

    /// Its `[[trusted_issuer]]`.
    pub(crate) fn settings(&self, more: &str) -> String {
        self.settings_for("example.org", more)
    }

    fn settings_for(&self, domain: &str, more: &str) -> String {
        format!(
            "[[trusted_issuer]]\nurl = \"{}\"\nca = \"{}\"\naudience = [\"mail\"]\n\
             domains = [\"{domain}\"]\ncache = \"1s\"\nleeway = \"1s\"\n{more}",
            self.url,
            self.folder.path().join("ca.pem").display(),
        )
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const INTROSPECTION: &str = "validate = \"introspection\"\nclient_id = \"bearward\"\n\
                             client_secret = \"secret-of-bearward\"\n";

pub(crate) struct House {
    serve: Serve,
    _upstreams: Vec<Upstream>,
}

impl House {
    pub(crate) fn trusting(settings: &str) -> Self {
        let protocols = ["imap", "smtp", "pop3"];
        let upstreams: Vec<Upstream> = protocols
            .iter()
            .map(|protocol| Upstream::start(taking(protocol, vec![until("x NOOP"), send("x OK\r\n")])))
            .collect();
        let backend: String = protocols
            .iter()
            .zip(&upstreams)
            .map(|(protocol, upstream)| {
                format!("{protocol} = [\"{protocol}://127.0.0.1:{}\"]\n", upstream.port())
            })
            .collect();
        let serve = Serve::start_issuer(&format!("{backend}login = \"trusted\"\n{settings}"));
        Self { serve, _upstreams: upstreams }
    }

    /// Presents the token at IMAP; the connection, and the line that decides, with a challenge before it if any.
    fn present(&self, mechanism: &str, user: &str, token: &str) -> (Client, String, String) {
        let mut client = self.serve.connect("imap");
        let response = if mechanism == "XOAUTH2" { xoauth2(user, token) } else { oauthbearer(user, token) };
        client.say(&format!("a AUTHENTICATE {mechanism} {response}"));
        let mut challenge = String::new();
        loop {
            let line = client.line();
            if let Some(text) = line.strip_prefix("+ ") {
                text.clone_into(&mut challenge);
                client.say(if mechanism == "XOAUTH2" { "" } else { "AQ==" });
            } else if line.starts_with("a ") {
                return (client, line, challenge);
            }
        }
    }

    #[track_caller]
    pub(crate) fn opens(&self, token: &str) -> Client {
        let (client, answer, _) = self.present("OAUTHBEARER", ALICE, token);
        assert!(answer.starts_with("a OK"), "{answer}");
        client
    }

    /// The error challenge, where there is one.
    #[track_caller]
    pub(crate) fn refuses(&self, user: &str, token: &str, outcome: &str) -> Option<Value> {
        let before = self.outcomes(outcome);
        let (_, answer, challenge) = self.present("OAUTHBEARER", user, token);
        let code = if outcome == "policy" { "AUTHORIZATIONFAILED" } else { "AUTHENTICATIONFAILED" };
        assert!(answer.starts_with(&format!("a NO [{code}]")), "{answer}");
        // The line is written after the answer.
        let deadline = Instant::now() + LOGGED;
        while self.outcomes(outcome) == before && Instant::now() < deadline {
            wait(Duration::from_millis(20));
        }
        assert_eq!(self.outcomes(outcome), before + 1, "{}", self.serve.log());
        let challenge: Option<Value> =
            STANDARD.decode(challenge).ok().and_then(|octets| serde_json::from_slice(&octets).ok());
        if outcome != "policy" {
            assert_eq!(challenge.as_ref().expect("a challenge")["status"], "invalid_token");
        }
        challenge
    }

    fn outcomes(&self, outcome: &str) -> usize {
        self.serve.log().matches(&format!("outcome=\"{outcome}\"")).count()
    }

    /// No protocol says that the token is wrong.
    #[track_caller]
    pub(crate) fn cannot_tell(&self, token: &str) {
        let (_, answer, challenge) = self.present("OAUTHBEARER", ALICE, token);
        assert!(answer.starts_with("a NO [UNAVAILABLE]") && challenge.is_empty(), "{answer} {challenge}");
        self.serve.sign_in("smtp", token, "").expect("454 ");
        self.serve.sign_in("pop3", token, "").expect("-ERR [SYS/TEMP]");
    }

    fn explain(&self, token: &str) -> Value {
        let text = self.serve.succeed(&["explain", "--json", "--token", "-"], token);
        serde_json::from_str(&text).unwrap()
    }
}

fn lives(client: &mut Client) {
    client.say("x NOOP");
    client.expect("x OK");
}

#[test]
fn jwts_of_oidc_provider_open_their_users_mailbox_and_no_other() {
    let mut outside = Outside::start();
    let house = House::trusting(&outside.settings(""));
    let good = outside.token(ALICE, JWT);
    for mechanism in ["OAUTHBEARER", "XOAUTH2"] {
        let (_, answer, _) = house.present(mechanism, ALICE, &good);
        assert!(answer.starts_with("a OK"), "{mechanism}: {answer}");
    }
    assert_eq!(house.explain(&good)["outcome"], "ok");
    let short = outside.token(ALICE, "https://mail/jwt?lifetime=1");
    wait(Duration::from_millis(3_100));
    let cut = good.get(..good.len() - 9).unwrap().to_owned();
    let cases = [
        ("for another service", ALICE, outside.token(ALICE, "https://other/jwt"), "invalid_token"),
        ("cut", ALICE, cut, "invalid_token"),
        ("expired", ALICE, short, "expired"),
        ("of a domain that it does not speak for", BOB, outside.token(BOB, JWT), "policy"),
        ("for another user", "bob@example.org", good, "policy"),
    ];
    for (what, user, token, outcome) in cases {
        eprintln!("a token {what}");
        house.refuses(user, &token, outcome);
    }
    let check = house.serve.command(&["check"], "");
    let said = String::from_utf8_lossy(&check.stdout);
    assert!(said.contains(&outside.url) && said.contains("1 keys published"), "{said}");
}

#[test]
fn opaque_tokens_of_oidc_provider_serve_until_they_are_revoked() {
    let mut outside = Outside::start();
    let house = House::trusting(&outside.settings(&format!("{INTROSPECTION}recheck = \"1s\"\n")));
    let (doomed, other) = (outside.token(ALICE, OPAQUE), outside.token(ALICE, OPAQUE));
    let foreign = outside.token(ALICE, "https://other/opaque");
    house.refuses(ALICE, &foreign, "invalid_token");
    let (mut ending, mut staying) = (house.opens(&doomed), house.opens(&other));
    outside.tell(&["revoke", &doomed]);
    assert!(ending.rest().contains("* BYE"));
    wait(FORGOTTEN);
    house.refuses(ALICE, &doomed, "invalid_token");
    lives(&mut staying);
    assert_eq!(house.explain(&doomed)["outcome"], "invalid_token");
    drop(house.opens(&other));
}

#[test]
fn a_new_key_is_taken_at_once_and_the_old_one_no_more_while_its_sessions_live_on() {
    let mut outside = Outside::start();
    let house = House::trusting(&outside.settings(""));
    let old = outside.token(ALICE, JWT);
    let mut session = house.opens(&old);
    outside.tell(&["rotate"]);
    let new = outside.token(ALICE, JWT);
    wait(NEXT_LOOK);
    drop(house.opens(&new));
    house.refuses(ALICE, &old, "invalid_token");
    lives(&mut session);
}

#[test]
fn an_issuer_that_stops_and_starts_again_makes_no_token_wrong() {
    let mut outside = Outside::start();
    let by_keys = House::trusting(&outside.settings(""));
    let by_asking = House::trusting(&outside.settings(INTROSPECTION));
    let (jwt, opaque) = (outside.token(ALICE, JWT), outside.token(ALICE, OPAQUE));
    drop((by_keys.opens(&jwt), by_asking.opens(&opaque)));
    let unseen = outside.token(ALICE, JWT);
    outside.tell(&["stop"]);
    wait(FORGOTTEN);
    drop(by_keys.opens(&unseen));
    by_asking.cannot_tell(&opaque);
    outside.tell(&["start"]);
    drop(by_asking.opens(&opaque));
    drop(by_keys.opens(&jwt));
}

#[test]
fn an_issuer_may_come_up_after_us() {
    let mut outside = Outside::start();
    let token = outside.token(ALICE, JWT);
    outside.tell(&["stop"]);
    let house = House::trusting(&outside.settings(""));
    house.cannot_tell(&token);
    outside.tell(&["start"]);
    wait(NEXT_LOOK);
    drop(house.opens(&token));
}

#[test]
fn each_issuer_speaks_for_its_own_users_alone_and_a_challenge_leads_to_theirs() {
    let (mut ours, mut theirs) = (Outside::start(), Outside::start());
    let both = ours.settings("") + &theirs.settings_for("elsewhere.example", "");
    let house = House::trusting(&both);
    drop(house.opens(&ours.token(ALICE, JWT)));
    let (_, answer, _) = house.present("OAUTHBEARER", BOB, &theirs.token(BOB, JWT));
    assert!(answer.starts_with("a OK"), "{answer}");
    for (user, impostor) in [(ALICE, theirs.token(ALICE, JWT)), (BOB, ours.token(BOB, JWT))] {
        house.refuses(user, &impostor, "policy");
    }
    let own = house.serve.url();
    for (user, url) in [(ALICE, &ours.url), (BOB, &theirs.url), ("carol@third.example", &own)] {
        let challenge = house.refuses(user, "no-token-of-anybody", "invalid_token").unwrap();
        let named = challenge["openid-configuration"].as_str().unwrap();
        assert_eq!(named, format!("{url}/.well-known/openid-configuration"), "{user}");
    }
}
