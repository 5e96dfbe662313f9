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
        Failure, LoginAs, Offer, Ready, Upstream, UpstreamPlan, UpstreamStep,
        line::excerpt,
        sasl::{self, ClientExchange},
    },
};

/// The client that logs in to an SMTP submission server (RFC 6409, RFC 4954, RFC 3207).
///
/// It sends one command at a time. The way is: greeting, EHLO, STARTTLS and EHLO when planned, XCLIENT and
/// EHLO when planned and offered, AUTH, and EHLO once more: only its answer shows what the relayed client could
/// do. [`LoginAs::Xclient`] needs no AUTH: XCLIENT itself names the user. A server that still offers XCLIENT there would let the client name another user, and is refused.
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
    /// AUTH was sent.
    exchange: Option<ClientExchange>,
}

/// Which reply is awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// To AUTH, or to a response.
    Auth,
    Banner,
    Done,
    /// To EHLO; with the client's own name, or with ours.
    Hello {
        own_name: bool,
    },
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
    fn first(&self) -> &[u8] {
        self.lines.first().map(Vec::as_slice).unwrap_or_default()
    }

    fn text(&self) -> String {
        excerpt(format!("{} {}", self.code, String::from_utf8_lossy(self.first())).as_bytes())
    }

    /// The enhanced status code that the reply begins with (RFC 2034 §4).
    fn has_enhanced(&self, code: &str) -> bool {
        self.first()
            .strip_prefix(code.as_bytes())
            .is_some_and(|rest| matches!(rest.first(), None | Some(b' ')))
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
            exchange: None,
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
            (State::Auth, _) => self.auth_replied(reply),
            (State::Done | State::Tls, _) => self.fail(unasked()),
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
        match self.xclient() {
            Ok(Some(command)) => {
                self.xclient_done = true;
                self.send(command, State::Xclient);
            }
            Ok(None) => self.log_in(),
            Err(failure) => self.fail(failure),
        }
    }

    fn xclient(&self) -> Result<Option<String>, Failure> {
        if self.xclient_done {
            return Ok(None);
        }
        let listed = self.parameters("XCLIENT");
        if let LoginAs::Xclient { user } = &self.plan.login {
            sasl::checked(&self.plan.login)?;
            let listed = listed.unwrap_or_default();
            let command = self.plan.client.as_ref().map(|client| xclient::login(&listed, client, user));
            return command.unwrap_or_else(|| Err(no_client())).map(Some);
        }
        if !self.plan.xclient || matches!(self.plan.login, LoginAs::Nobody) {
            return Ok(None);
        }
        let known = listed.zip(self.plan.client.as_ref());
        Ok(known.and_then(|(listed, client)| xclient::command(&listed, client)))
    }

    fn log_in(&mut self) {
        if matches!(self.plan.login, LoginAs::Nobody | LoginAs::Trusted { .. } | LoginAs::Xclient { .. }) {
            return self.ready();
        }
        let encrypted = self.tls_done || self.plan.sasl.encrypted;
        let offers = |name: &str| self.offers_mechanism(name);
        match ClientExchange::choose(&self.plan.login, &self.plan.sasl, encrypted, offers) {
            Ok(Some(exchange)) => self.send_auth(exchange),
            Ok(None) => self.fail(sasl::no_mechanism(&self.plan.login, &self.plan.sasl)),
            Err(failure) => self.fail(failure),
        }
    }

    fn send_auth(&mut self, mut exchange: ClientExchange) {
        let name = exchange.name();
        let length = b"AUTH  \r\n".len() + name.len() + exchange.initial_len();
        let initial = if length <= Self::MAX_COMMAND { exchange.initial() } else { None };
        self.exchange = Some(exchange);
        match initial {
            Some(response) => {
                self.send_secret(&[b"AUTH ", name.as_bytes(), b" ", response.expose(), b"\r\n"], State::Auth);
            }
            None => self.send(format!("AUTH {name}\r\n"), State::Auth),
        }
    }

    fn auth_replied(&mut self, reply: &Reply) {
        let Some(exchange) = &mut self.exchange else { return self.fail(unasked()) };
        match reply.code {
            334 => match exchange.answer(reply.first()) {
                Ok(response) => self.send_secret(&[response.expose(), b"\r\n"], State::Auth),
                Err(failure) => self.fail(failure),
            },
            235 => match exchange.accepted(None) {
                Ok(()) => {
                    self.logged_in = true;
                    self.exchange = None;
                    self.hello(false);
                }
                Err(failure) => self.fail(failure),
            },
            _ => {
                let failure = exchange.refused(reply.login_failure());
                self.fail(failure);
            }
        }
    }

    fn ready(&mut self) {
        let serves_client = !matches!(self.plan.login, LoginAs::Nobody);
        if serves_client && self.parameters("XCLIENT").is_some() {
            let text =
                "XCLIENT is still offered to the client: the server must not trust the client's address";
            return self.fail(Failure::Operator(text.to_owned()));
        }
        let lines = self.offered.iter().filter(|line| ehlo::may_promise(line)).cloned().collect();
        self.steps.push_back(UpstreamStep::Ready(Ready { offer: Offer { lines }, ..Ready::default() }));
        self.state = State::Done;
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

fn no_client() -> Failure {
    Failure::Operator("XCLIENT needs a client to speak of".to_owned())
}

fn unasked() -> Failure {
    Failure::Protocol("the server spoke unasked".to_owned())
}

impl Upstream for SmtpUpstream {
    fn receive(&mut self, octets: &[u8]) {
        let mut rest = octets;
        while !rest.is_empty() && self.failure.is_none() {
            if matches!(self.state, State::Done | State::Tls) {
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

    fn is_costly(&self) -> bool {
        self.exchange.as_ref().is_some_and(ClientExchange::is_costly)
    }
}
