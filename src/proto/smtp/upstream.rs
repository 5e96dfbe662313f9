//! The client that logs in to a submission server.

use std::collections::VecDeque;

use zeroize::Zeroizing;

use super::{
    ehlo,
    reply::{Cut, LineCutter, ReplyLine},
    xclient,
};
use crate::{
    model::Secret,
    proto::{
        ClientFacts, Failure, LoginAs, Offer, Ready, Upstream, UpstreamPlan, UpstreamStep,
        line::excerpt,
        sasl::{login_response, plain_response},
    },
};

/// The client that logs in to an SMTP submission server (RFC 6409, RFC 4954, RFC 3207).
///
/// It sends one command at a time. The way is: greeting, EHLO, STARTTLS and EHLO when planned, XCLIENT and
/// EHLO when planned and offered, AUTH, and EHLO once more: only its answer shows what the relayed client could
/// do. A server that still offers XCLIENT there would let the client name another user, and is refused.
#[derive(Debug)]
pub struct SmtpUpstream {
    plan: UpstreamPlan,
    cutter: LineCutter,
    /// Lines of the reply that is coming in.
    reply: Vec<(u16, Vec<u8>)>,
    steps: VecDeque<UpstreamStep>,
    state: State,
    failure: Option<Failure>,
    /// EHLO lines of the last answer, without the greeting.
    offered: Vec<String>,
    tls_done: bool,
    xclient_done: bool,
    logged_in: bool,
}

/// Which reply is awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// To AUTH with everything said.
    AuthEnd,
    /// 334 for PLAIN's response.
    AuthPlain,
    /// 334 for LOGIN's name.
    AuthLogin,
    /// 334 for LOGIN's password.
    AuthPassword,
    Banner,
    Done,
    /// To EHLO; with the client's own name, or with ours.
    Hello {
        own_name: bool,
    },
    /// Nothing: the server is known, and nobody is to log in yet.
    Idle,
    StartTls,
    Tls,
    Xclient,
}

/// A whole reply.
#[derive(Debug)]
struct Reply {
    code: u16,
    lines: Vec<Vec<u8>>,
}

impl Reply {
    fn text(&self) -> String {
        let first = self.lines.first().map(Vec::as_slice).unwrap_or_default();
        excerpt(format!("{} {}", self.code, String::from_utf8_lossy(first)).as_bytes())
    }

    /// The enhanced status code that the reply begins with (RFC 2034 §4).
    fn has_enhanced(&self, code: &str) -> bool {
        let first = self.lines.first().map(Vec::as_slice).unwrap_or_default();
        first.strip_prefix(code.as_bytes()).is_some_and(|rest| matches!(rest.first(), None | Some(b' ')))
    }

    /// A refusal of anything but the login itself.
    fn failure(&self, what: &str) -> Failure {
        let text = format!("{what}: {}", self.text());
        match self.code {
            400..=499 => Failure::Temporary(text),
            500..=599 => Failure::Operator(text),
            _ => Failure::Protocol(text),
        }
    }

    /// A refusal of the login.
    fn login_failure(&self) -> Failure {
        match self.code {
            535 if self.has_enhanced("5.7.8") => Failure::WrongPassword(self.text()),
            535 => Failure::Refused(self.text()),
            _ => self.failure("AUTH"),
        }
    }
}

impl SmtpUpstream {
    /// Longest AUTH command with an initial response, CRLF included (RFC 4954 §4).
    const MAX_COMMAND: usize = 512;
    /// Most lines of one reply.
    const MAX_LINES: usize = 128;

    /// A machine for a new connection; it waits for the server's greeting.
    pub fn new(plan: UpstreamPlan) -> Self {
        Self {
            plan,
            cutter: LineCutter::default(),
            reply: Vec::new(),
            steps: VecDeque::new(),
            state: State::Banner,
            failure: None,
            offered: Vec::new(),
            tls_done: false,
            xclient_done: false,
            logged_in: false,
        }
    }

    fn fail(&mut self, failure: Failure) {
        self.steps.clear();
        self.state = State::Done;
        self.failure.get_or_insert(failure);
    }

    fn send(&mut self, command: impl Into<Secret>, awaited: State) {
        self.steps.push_back(UpstreamStep::Send(command.into()));
        self.state = awaited;
    }

    /// Sends parts that hold a password; they are joined in a buffer of the right size, so none is left behind.
    fn send_secret(&mut self, parts: &[&[u8]], awaited: State) {
        let mut line = Zeroizing::new(Vec::with_capacity(parts.iter().map(|part| part.len()).sum()));
        for part in parts {
            line.extend_from_slice(part);
        }
        self.send(Secret::copy_of(&line), awaited);
    }

    fn hello(&mut self, own_name: bool) {
        let client = self.plan.client.as_ref().and_then(|client| client.name.as_deref());
        let client = client.filter(|name| !own_name && ehlo::client_name(name.as_bytes()).is_some());
        let command = format!("EHLO {}\r\n", client.unwrap_or(&self.plan.hostname));
        let own_name = client.is_none();
        self.send(command, State::Hello { own_name });
    }

    fn replied(&mut self, reply: &Reply) {
        match (self.state, reply.code) {
            (State::Banner, 220) => self.hello(true),
            (State::Banner, _) => self.fail(reply.failure("greeting")),
            (State::Hello { .. }, 250) => self.greeted(reply),
            // The client's name is not worth a session.
            (State::Hello { own_name: false }, 500..=599) => self.hello(true),
            (State::Hello { .. }, _) => self.fail(reply.failure("EHLO")),
            (State::StartTls, 220) => {
                self.steps.push_back(UpstreamStep::StartTls);
                self.state = State::Tls;
            }
            (State::StartTls, _) => self.fail(reply.failure("STARTTLS")),
            (State::Xclient, 220) => self.hello(false),
            (State::Xclient, _) => self.fail(reply.failure("XCLIENT")),
            (State::AuthPlain, 334) => self.send_plain(),
            (State::AuthLogin, 334) => self.send_login_name(),
            (State::AuthPassword, 334) => self.send_login_password(),
            (State::AuthEnd, 235) => {
                self.logged_in = true;
                self.hello(false);
            }
            (State::AuthEnd | State::AuthPlain | State::AuthLogin | State::AuthPassword, _) => {
                self.fail(reply.login_failure());
            }
            (State::Done | State::Idle | State::Tls, _) => self.fail(unasked()),
        }
    }

    /// EHLO was answered: what next?
    fn greeted(&mut self, reply: &Reply) {
        self.offered =
            reply.lines.iter().skip(1).map(|line| String::from_utf8_lossy(line).into_owned()).collect();
        if self.logged_in {
            return self.ready();
        }
        if self.plan.starttls && !self.tls_done {
            if self.parameters("STARTTLS").is_none() {
                return self.fail(Failure::Operator("STARTTLS is required and not offered".to_owned()));
            }
            return self.send("STARTTLS\r\n".to_owned(), State::StartTls);
        }
        self.introduce();
    }

    /// Tells the client's address where that is due, and logs in.
    fn introduce(&mut self) {
        if let Some(command) = self.xclient() {
            self.xclient_done = true;
            return self.send(command, State::Xclient);
        }
        self.log_in();
    }

    fn xclient(&self) -> Option<String> {
        if self.xclient_done || !self.plan.xclient || matches!(self.plan.login, LoginAs::Nobody) {
            return None;
        }
        xclient::command(&self.parameters("XCLIENT")?, self.plan.client.as_ref()?)
    }

    fn log_in(&mut self) {
        let (authzid, nul) = match &self.plan.login {
            LoginAs::Nobody => return self.idle(),
            LoginAs::Trusted { .. } => return self.ready(),
            LoginAs::Password { authcid, authzid, password } => {
                let name = authzid.as_deref().unwrap_or_default();
                let parts = [authcid.as_bytes(), name.as_bytes(), password.expose()];
                (authzid.is_some(), parts.iter().any(|part| part.contains(&0)))
            }
        };
        if nul {
            let text = "SASL cannot carry a NUL in a name or password";
            return self.fail(Failure::Operator(text.to_owned()));
        }
        if self.offers_mechanism("PLAIN") {
            return self.auth_plain();
        }
        if self.offers_mechanism("LOGIN") && !authzid {
            return self.send("AUTH LOGIN\r\n".to_owned(), State::AuthLogin);
        }
        let wanted =
            if authzid { "PLAIN, which alone carries an authorization identity" } else { "PLAIN or LOGIN" };
        self.fail(Failure::Operator(format!("AUTH {wanted} is needed and not offered")));
    }

    fn auth_plain(&mut self) {
        const COMMAND: &[u8] = b"AUTH PLAIN ";
        let response = self.plain();
        if COMMAND.len() + response.len() + 2 <= Self::MAX_COMMAND {
            return self.send_secret(&[COMMAND, response.expose(), b"\r\n"], State::AuthEnd);
        }
        self.send("AUTH PLAIN\r\n".to_owned(), State::AuthPlain);
    }

    fn send_plain(&mut self) {
        let response = self.plain();
        self.send_secret(&[response.expose(), b"\r\n"], State::AuthEnd);
    }

    fn plain(&self) -> Secret {
        match &self.plan.login {
            LoginAs::Password { authcid, authzid, password } => {
                plain_response(authzid.as_deref().unwrap_or_default(), authcid, password)
            }
            LoginAs::Nobody | LoginAs::Trusted { .. } => Secret::default(),
        }
    }

    fn send_login_name(&mut self) {
        let response = match &self.plan.login {
            LoginAs::Password { authcid, .. } => login_response(authcid.as_bytes()),
            LoginAs::Nobody | LoginAs::Trusted { .. } => Secret::default(),
        };
        self.send_secret(&[response.expose(), b"\r\n"], State::AuthPassword);
    }

    fn send_login_password(&mut self) {
        let response = match &self.plan.login {
            LoginAs::Password { password, .. } => login_response(password.expose()),
            LoginAs::Nobody | LoginAs::Trusted { .. } => Secret::default(),
        };
        self.send_secret(&[response.expose(), b"\r\n"], State::AuthEnd);
    }

    fn ready(&mut self) {
        if self.parameters("XCLIENT").is_some() {
            let text =
                "XCLIENT is still offered to the client: the server must not trust the client's address";
            return self.fail(Failure::Operator(text.to_owned()));
        }
        self.report();
        self.state = State::Done;
    }

    fn idle(&mut self) {
        self.report();
        self.state = State::Idle;
    }

    fn report(&mut self) {
        let lines = self.offered.iter().filter(|line| ehlo::may_promise(line)).cloned().collect();
        self.steps.push_back(UpstreamStep::Ready(Ready { offer: Offer { lines }, ..Ready::default() }));
    }

    /// What stands behind a keyword that is offered.
    fn parameters(&self, keyword: &str) -> Option<String> {
        let line = self.offered.iter().find(|line| ehlo::has_keyword(line, keyword))?;
        Some(ehlo::split_line(line).1.to_owned())
    }

    fn offers_mechanism(&self, name: &str) -> bool {
        // Some old servers write `AUTH=LOGIN PLAIN`.
        self.offered
            .iter()
            .filter_map(|line| line.get(..5).zip(line.get(5..)))
            .filter(|(keyword, _)| {
                keyword.eq_ignore_ascii_case("AUTH ") || keyword.eq_ignore_ascii_case("AUTH=")
            })
            .any(|(_, names)| names.split_ascii_whitespace().any(|own| own.eq_ignore_ascii_case(name)))
    }

    /// Takes a reply line; the reply when it is whole.
    fn line(&mut self, raw: &[u8]) -> Result<Option<Reply>, Failure> {
        let line = ReplyLine::parse(raw).map_err(|_| {
            Failure::Protocol(format!("not an SMTP reply: {}", excerpt(raw.trim_ascii_end())))
        })?;
        if self.reply.first().is_some_and(|(code, _)| *code != line.code) {
            return Err(Failure::Protocol("a reply with two codes".to_owned()));
        }
        if self.reply.len() >= Self::MAX_LINES {
            return Err(Failure::Protocol("a reply without an end".to_owned()));
        }
        self.reply.push((line.code, line.text.to_vec()));
        if !line.last {
            return Ok(None);
        }
        let lines = std::mem::take(&mut self.reply).into_iter().map(|(_, text)| text).collect();
        Ok(Some(Reply { code: line.code, lines }))
    }
}

fn unasked() -> Failure {
    Failure::Protocol("the server spoke unasked".to_owned())
}

impl Upstream for SmtpUpstream {
    fn receive(&mut self, octets: &[u8]) {
        let mut rest = octets;
        while !rest.is_empty() && self.failure.is_none() {
            if matches!(self.state, State::Done | State::Idle | State::Tls) {
                // Octets behind the 220 of STARTTLS were injected; behind the last reply they belong to nobody.
                return self.fail(unasked());
            }
            let Ok(Cut { taken, line }) = self.cutter.take(rest) else {
                return self.fail(Failure::Protocol("a reply line beyond all limits".to_owned()));
            };
            rest = rest.get(taken..).unwrap_or_default();
            let Some(line) = line else { return };
            match self.line(&line) {
                Ok(Some(reply)) => self.replied(&reply),
                Ok(None) => {}
                Err(failure) => self.fail(failure),
            }
        }
    }

    fn poll(&mut self) -> UpstreamStep {
        if let Some(failure) = &self.failure {
            return UpstreamStep::Failed(failure.clone());
        }
        self.steps.pop_front().unwrap_or(UpstreamStep::NeedInput)
    }

    fn tls_started(&mut self) {
        if self.state != State::Tls {
            return;
        }
        self.cutter = LineCutter::default();
        self.reply.clear();
        self.offered.clear();
        self.tls_done = true;
        self.hello(true);
    }

    fn log_in(&mut self, login: LoginAs, client: Option<ClientFacts>) {
        if self.state != State::Idle || self.failure.is_some() {
            return;
        }
        self.plan.login = login;
        self.plan.client = client;
        self.introduce();
    }
}
