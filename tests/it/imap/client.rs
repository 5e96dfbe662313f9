//! A client that says a script and writes down all that the server's side says.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bearward::{
    model::{Mechanism, SessionId},
    proto::{
        Accepted, Answer, Attempt, Banner, Credentials, Downstream, FrontConfig, Offer, Question, Refusal,
        RefusalKind, Step, TlsState, imap::ImapDownstream,
    },
};

/// RFC 7628 §4.1.
pub(super) const RFC_IR: &str = "bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9MTQzAWF1dGg9QmVhcmVyIHZGOWRmdDRxbVRjMk52YjNSbGNrQmhiSFJoZG1semRHRXVZMjl0Q2c9PQEB";
/// RFC 7628 §4.2 and §4.3.
pub(super) const RFC_EMPTY: &str =
    "bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9MTQzAWF1dGg9AQE=";
pub(super) const RFC_CHALLENGE: &str = "eyJzdGF0dXMiOiJpbnZhbGlkX3Rva2VuIiwic2NvcGUiOiJleGFtcGxlX3Njb3BlIiwib3BlbmlkLWNvbmZpZ3VyYXRpb24iOiJodHRwczovL2V4YW1wbGUuY29tLy53ZWxsLWtub3duL29wZW5pZC1jb25maWcifQ==";
pub(super) const SESSION: &str = "(session 00000000000000ab)";
pub(super) const OAUTH: &[Mechanism] = &[Mechanism::OAuthBearer, Mechanism::XOAuth2];
pub(super) const ALL: &[Mechanism] = &Mechanism::ALL;
pub(super) const CAPABILITIES: &str =
    "IMAP4rev1 IDLE SASL-IR ID LITERAL- AUTH=OAUTHBEARER AUTH=XOAUTH2 LOGINDISABLED";

pub(super) fn config(tls: TlsState, mechanisms: &[Mechanism]) -> FrontConfig {
    FrontConfig {
        hostname: "mail.example.org".into(),
        tls,
        mechanisms: Arc::from(mechanisms),
        offer: Arc::new(Offer {
            lines: vec!["IDLE".into(), "X-SECRET".into(), "LITERAL-".into(), "AUTH=GSSAPI".into()],
        }),
        line_limit: 200,
        sasl_limit: 1024,
        bad_commands: 10,
        failed_auth: 3,
    }
}

pub(super) fn refusal(kind: RefusalKind) -> Refusal {
    Refusal {
        kind,
        scope: "example_scope".into(),
        openid_configuration: Some("https://example.com/.well-known/openid-config".into()),
        session: SessionId::new(0xab),
    }
}

#[derive(Clone)]
pub(super) struct Script {
    pub(super) config: FrontConfig,
    /// Answers to the attempts in order; `None` accepts.
    pub(super) answers: Vec<Option<RefusalKind>>,
    pub(super) capabilities: &'static str,
}

impl Script {
    pub(super) fn new(tls: TlsState, mechanisms: &[Mechanism]) -> Self {
        Self { config: config(tls, mechanisms), answers: Vec::new(), capabilities: "IMAP4rev1 MOVE" }
    }

    pub(super) fn answers(mut self, answers: &[Option<RefusalKind>]) -> Self {
        self.answers = answers.to_vec();
        self
    }

    /// Runs the machine over these pieces and writes down all it says, the greeting excepted.
    pub(super) fn run(&self, pieces: &[&[u8]]) -> Vec<String> {
        let mut client = Client::new(self);
        for piece in pieces {
            client.send(piece);
        }
        client.said
    }

    /// The same, at every split in two and octet by octet, which must come to the same.
    pub(super) fn say(&self, input: &[u8]) -> Vec<String> {
        let whole = self.run(&[input]);
        for at in 0..=input.len() {
            let (one, other) = input.split_at(at);
            assert_eq!(self.run(&[one, other]), whole, "split at {at}");
        }
        let octets: Vec<&[u8]> = input.chunks(1).collect();
        assert_eq!(self.run(&octets), whole, "octet by octet");
        whole
    }
}

pub(super) struct Client {
    pub(super) machine: ImapDownstream,
    pub(super) answers: Vec<Option<RefusalKind>>,
    pub(super) capabilities: &'static str,
    pub(super) said: Vec<String>,
    over: bool,
}

impl Client {
    pub(super) fn new(script: &Script) -> Self {
        let mut client = Self {
            machine: ImapDownstream::new(Banner::Welcome, script.config.clone()),
            answers: script.answers.clone(),
            capabilities: script.capabilities,
            said: Vec::new(),
            over: false,
        };
        client.run();
        client.said.remove(0);
        client
    }

    pub(super) fn send(&mut self, octets: &[u8]) {
        match self.said.iter_mut().find(|line| line.starts_with("handover ")) {
            Some(handover) => handover.push_str(&String::from_utf8_lossy(octets)),
            None => {
                self.machine.receive(octets);
                self.run();
            }
        }
    }

    pub(super) fn run(&mut self) {
        loop {
            match self.machine.poll() {
                Step::NeedInput => return,
                Step::Send(octets) => {
                    self.said.push(String::from_utf8(octets).unwrap().trim_end_matches("\r\n").into())
                }
                Step::Spoiled { .. } => {}
                Step::StartTls => {
                    self.said.push("starttls".into());
                    self.machine.tls_started();
                }
                Step::Handover(rest) => {
                    self.said.push(format!("handover {}", String::from_utf8_lossy(&rest)));
                }
                Step::Close(why) => {
                    if !self.over {
                        self.said.push(format!("close {why:?}"));
                    }
                    self.over = true;
                    return;
                }
                Step::Ask(Question::Authenticate(attempt)) => self.attempt(attempt),
            }
        }
    }

    fn attempt(&mut self, attempt: Attempt) {
        assert!(matches!(self.machine.poll(), Step::NeedInput), "it waits for the answer");
        let what = match attempt.credentials {
            Credentials::Bearer { token, authzid } => {
                format!("token {} as {}", token.expose_str().unwrap(), authzid.unwrap_or_default())
            }
            Credentials::Password { login, password, .. } => {
                format!("password {login} {}", String::from_utf8_lossy(password.expose()))
            }
        };
        let software = attempt.client_software.map(|name| format!(" with {name}")).unwrap_or_default();
        self.said.push(format!("{} {what}{software}", attempt.mechanism));
        let kind = if self.answers.is_empty() { None } else { self.answers.remove(0) };
        self.machine.answer(match kind {
            None => Answer::Accepted(Accepted { capabilities: self.capabilities.into() }),
            Some(kind) => Answer::Refused(refusal(kind)),
        });
    }
}

pub(super) fn tls() -> Script {
    Script::new(TlsState::Encrypted, OAUTH)
}

pub(super) fn passwords() -> Script {
    Script::new(TlsState::Encrypted, ALL)
}

pub(super) fn xoauth2(token: &str) -> String {
    STANDARD.encode(format!("user=alice@example.org\x01auth=Bearer {token}\x01\x01"))
}

pub(super) fn invalid() -> [Option<RefusalKind>; 1] {
    [Some(RefusalKind::InvalidToken)]
}
