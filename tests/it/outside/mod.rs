//! Tokens of other issuers at a running server, on every protocol: who they sign in, and whose mailbox they open.

mod alone;
mod login_lookup;
mod mailboxes;

use base64::prelude::{BASE64_STANDARD, Engine};
use bearward::model::UnixTime;
use serde_json::{Value, json};

use crate::support::{Act, Client, HostileIssuer, Serve, Upstream, base64, taking, xoauth2};

const PROTOCOLS: [&str; 4] = ["imap", "pop3", "smtp", "sieve"];
const TEAM: &str = "team@example.org";

/// What a sign-in was answered.
struct Answer {
    /// What the mechanism said before, decoded.
    challenge: Option<String>,
    line: String,
}

/// An issuer of the domain `example.org`, and Bearward in front of a mail server for each protocol.
struct House {
    issuer: HostileIssuer,
    serve: Serve,
    upstreams: Vec<(&'static str, Upstream)>,
}

impl House {
    /// `backend` and `issuer` are further lines of their tables, `tables` whatever follows.
    async fn start(backend: &str, issuer: &str, tables: &str) -> Self {
        let other = HostileIssuer::start().await;
        let upstreams: Vec<_> =
            PROTOCOLS.map(|protocol| (protocol, Upstream::start(vec![Act::Close]))).into_iter().collect();
        let servers: String = upstreams
            .iter()
            .map(|(protocol, upstream)| {
                format!("{protocol} = [\"{protocol}://127.0.0.1:{}\"]\n", upstream.port())
            })
            .collect();
        let trusted = trust(&other, "example.org");
        let serve = Serve::start_issuer(&format!(
            "{servers}login = \"authzid\"\n{backend}\
             [backend.main.master]\nuser = \"proxy\"\npassword = \"upstream-secret\"\n{trusted}{issuer}{tables}"
        ));
        for (protocol, upstream) in &upstreams {
            upstream.play(taking(protocol, Vec::new()));
        }
        Self { issuer: other, serve, upstreams }
    }

    /// A token of the issuer, whose claims are these and what every token says.
    fn token(&self, claims: &Value) -> String {
        token_of(&self.issuer, claims)
    }

    fn sign_in(&self, protocol: &str, user: &str, token: &str) -> Answer {
        let mut client = self.serve.connect(protocol);
        let response = xoauth2(user, token);
        client.say(&match protocol {
            "imap" => format!("a AUTHENTICATE XOAUTH2 {response}"),
            "sieve" => format!("AUTHENTICATE \"XOAUTH2\" \"{response}\""),
            _ => format!("AUTH XOAUTH2 {response}"),
        });
        answer(protocol, &mut client)
    }

    /// It is signed in, and the mail server is told the name `opened`.
    #[track_caller]
    fn opens(&self, protocol: &str, user: &str, token: &str, opened: &str) {
        let Answer { line, .. } = self.sign_in(protocol, user, token);
        assert!(line.starts_with(taken(protocol)), "{protocol}: {line}");
        self.upstream(protocol).got(&base64(format!("{opened}\0proxy\0upstream-secret")));
    }

    /// The token is good and does not speak for `user`; no mail server hears of it.
    #[track_caller]
    fn is_not_for(&self, protocol: &str, user: &str, token: &str) {
        let logins = self.logins(protocol);
        let Answer { challenge, line } = self.sign_in(protocol, user, token);
        assert!(line.starts_with(not_allowed(protocol)), "{protocol}: {line}");
        // By "401" clients know that a fresh token would not help.
        assert!(challenge.is_some_and(|challenge| challenge.contains("401")), "{protocol}");
        assert_eq!(self.logins(protocol), logins, "{protocol}");
    }

    /// Nothing can be told now, so the client keeps its token; no mail server hears of it.
    #[track_caller]
    fn is_put_off(&self, protocol: &str, user: &str, token: &str) {
        let logins = self.logins(protocol);
        let Answer { challenge, line } = self.sign_in(protocol, user, token);
        assert!(line.starts_with(put_off(protocol)), "{protocol}: {line}");
        assert_eq!(challenge, None, "{protocol}: clients throw a token away at a challenge");
        assert_eq!(self.logins(protocol), logins, "{protocol}");
    }

    fn upstream(&self, protocol: &str) -> &Upstream {
        &self.upstreams.iter().find(|(own, _)| *own == protocol).unwrap().1
    }

    fn logins(&self, protocol: &str) -> usize {
        let command = if matches!(protocol, "imap" | "sieve") { "AUTHENTICATE " } else { "AUTH PLAIN" };
        self.upstream(protocol).count(command)
    }
}

/// The table that trusts an issuer, for more lines behind it.
fn trust(issuer: &HostileIssuer, domain: &str) -> String {
    format!(
        "[[trusted_issuer]]\nurl = \"{}\"\nca = \"{}\"\naudience = [\"mail\"]\ndomains = [\"{domain}\"]\n",
        issuer.url,
        issuer.ca().display(),
    )
}

fn token_of(issuer: &HostileIssuer, claims: &Value) -> String {
    let now = UnixTime::now().0;
    let mut all = json!({
        "iss": issuer.url, "sub": "1", "aud": "mail", "client_id": "mua", "exp": now + 600, "iat": now - 1,
        "scope": "imap pop3 smtp sieve",
    });
    for (name, value) in claims.as_object().unwrap() {
        all[name] = value.clone();
    }
    String::from_utf8(issuer.sign(&all).expose().to_vec()).unwrap()
}

/// Reads up to the answer, and answers a challenge as the mechanism wants it.
fn answer(protocol: &str, client: &mut Client) -> Answer {
    let mut challenge = None;
    loop {
        let line = client.line();
        let (lead, dummy) = match protocol {
            "smtp" => ("334 ", ""),
            "sieve" => ("\"", "\"\""),
            _ => ("+ ", ""),
        };
        if let Some(text) = line.strip_prefix(lead) {
            let text = BASE64_STANDARD.decode(text.trim_end_matches('"')).unwrap();
            challenge = Some(String::from_utf8(text).unwrap());
            client.say(dummy);
        } else if protocol != "imap" || line.starts_with("a ") {
            return Answer { challenge, line };
        }
    }
}

fn taken(protocol: &str) -> &'static str {
    match protocol {
        "imap" => "a OK",
        "pop3" => "+OK",
        "sieve" => "OK",
        _ => "235 2.7.0",
    }
}

fn not_allowed(protocol: &str) -> &'static str {
    match protocol {
        "imap" => "a NO [AUTHORIZATIONFAILED]",
        "pop3" => "-ERR [AUTH] The credential is not for that user",
        "sieve" => "NO \"The credential is not for that user",
        _ => "535 5.7.8",
    }
}

fn put_off(protocol: &str) -> &'static str {
    match protocol {
        "imap" => "a NO [UNAVAILABLE]",
        "pop3" => "-ERR [SYS/TEMP]",
        "sieve" => "NO (TRYLATER)",
        _ => "454 4.7.0",
    }
}
