//! The client that logs in to a mail server.

use std::collections::VecDeque;

use zeroize::Zeroizing;

use super::reply::{Code, Reply, code, lasting_or_passing, malformed};
use crate::{
    model::Secret,
    proto::{
        ClientFacts, Failure, LoginAs, Offer, Ready, Upstream, UpstreamPlan, UpstreamStep,
        line::{Line, Lines, excerpt},
        sasl::{self, ClientExchange, ClientMechanism},
    },
};

/// Longest reply line taken, in octets; RFC 2449 §4 allows 512.
const REPLY_LIMIT: usize = 2048;
/// Most lines of a CAPA reply that are taken.
const CAPA_LINES: usize = 64;
/// Longest command line, CRLF included (RFC 2449 §4).
const COMMAND_LIMIT: usize = 255;
/// What may be promised to a client before login, since the mail server answers for it after login, or hears of it
/// before (UTF8).
const PROMISED: [&str; 7] = ["EXPIRE", "LANG", "LOGIN-DELAY", "PIPELINING", "TOP", "UIDL", "UTF8"];

/// The client that logs in to a POP3 server.
#[derive(Debug)]
pub struct Pop3Upstream {
    plan: UpstreamPlan,
    lines: Lines,
    state: State,
    steps: VecDeque<UpstreamStep>,
    capabilities: Capabilities,
}

#[derive(Debug)]
enum State {
    Greeting,
    Stls,
    Handshake,
    Xclient,
    /// UTF8 was sent, because the client asked for it.
    Utf8,
    /// The status line of CAPA.
    Capa,
    /// How many lines of its list were read.
    CapaList(usize),
    User,
    /// PASS was sent.
    Pass,
    /// AUTH was sent.
    Auth(Box<ClientExchange>),
    /// The server is known, and nobody is to log in yet.
    Idle,
    Ready,
    Failed(Failure),
}

/// What the server said of itself.
#[derive(Debug, Default)]
struct Capabilities {
    /// XCLIENT is understood, and was not sent yet.
    xclient: bool,
    /// SASL mechanisms, upper case.
    mechanisms: Vec<String>,
    offer: Offer,
    /// CAPA was answered.
    asked: bool,
    /// UTF8 was sent.
    utf8_asked: bool,
}

impl Pop3Upstream {
    /// A machine for a new connection; it waits for the server's greeting.
    pub fn new(plan: UpstreamPlan) -> Self {
        Self {
            plan,
            lines: Lines::new(REPLY_LIMIT),
            state: State::Greeting,
            steps: VecDeque::new(),
            capabilities: Capabilities::default(),
        }
    }

    fn take_line(&mut self, line: &Line) -> Result<(), Failure> {
        let text = line.clean().map_err(malformed)?;
        if let State::CapaList(count) = self.state {
            return self.capability(text, count);
        }
        let Some(reply) = Reply::parse(text) else {
            return Err(Failure::Protocol(format!("no POP3 reply: {}", excerpt(text))));
        };
        match (&mut self.state, reply) {
            (State::Greeting, Reply::Ok(text)) => self.greeted(text),
            (State::Greeting, Reply::Error(text)) => {
                Err(lasting_or_passing(text).unwrap_or_else(|| Failure::Temporary(excerpt(text))))
            }
            (State::Stls, Reply::Ok(_)) => self.start_tls(),
            (State::Stls, Reply::Error(text)) => Err(lasting_or_passing(text)
                .unwrap_or_else(|| Failure::Operator(format!("STLS is refused: {}", excerpt(text))))),
            // The offer stood in the greeting, which may have come in clear: a refusal proves nothing wrong.
            (State::Xclient, Reply::Ok(_) | Reply::Error(_)) => {
                if self.capabilities.asked {
                    return self.log_in();
                }
                self.ask_capabilities();
                Ok(())
            }
            (State::Capa, Reply::Ok(_)) => {
                self.state = State::CapaList(0);
                Ok(())
            }
            // A server from before RFC 2449.
            (State::Capa, Reply::Error(_)) => {
                self.capabilities.asked = true;
                self.log_in()
            }
            (State::Utf8, Reply::Ok(_)) => self.log_in(),
            (State::Utf8, Reply::Error(text)) => Err(lasting_or_passing(text)
                .unwrap_or_else(|| Failure::Operator(format!("UTF8 is refused: {}", excerpt(text))))),
            (State::User, Reply::Ok(_)) => self.send_password(),
            (State::User, Reply::Error(text)) => {
                Err(lasting_or_passing(text).unwrap_or_else(|| Failure::Refused(excerpt(text))))
            }
            (State::Pass, Reply::Ok(_)) => {
                self.finish();
                Ok(())
            }
            (State::Pass, Reply::Error(text)) => Err(refused(text)),
            (State::Auth(exchange), Reply::Prompt(challenge)) => {
                let response = exchange.answer(challenge)?;
                self.send(&[response.expose()]);
                Ok(())
            }
            (State::Auth(exchange), Reply::Ok(_)) => {
                exchange.accepted(None)?;
                self.finish();
                Ok(())
            }
            (State::Auth(exchange), Reply::Error(text)) => Err(exchange.refused(refused(text))),
            _ => Err(Failure::Protocol(format!("an unexpected reply: {}", excerpt(text)))),
        }
    }

    fn greeted(&mut self, text: &[u8]) -> Result<(), Failure> {
        self.capabilities.xclient = text.starts_with(b"[XCLIENT]");
        if self.plan.starttls {
            self.send(&[b"STLS"]);
            self.state = State::Stls;
            return Ok(());
        }
        self.introduce();
        Ok(())
    }

    fn start_tls(&mut self) -> Result<(), Failure> {
        if !self.lines.is_empty() {
            return Err(injected());
        }
        self.steps.push_back(UpstreamStep::StartTls);
        self.state = State::Handshake;
        Ok(())
    }

    /// Tells the client's address to a server that asks for it (Dovecot's XCLIENT), else goes on.
    fn introduce(&mut self) {
        let Some(client) =
            self.plan.client.as_ref().filter(|_| self.plan.xclient && self.capabilities.xclient)
        else {
            return self.ask_capabilities();
        };
        // Nothing here comes from the client but addresses, so that nothing needs quoting.
        let command = format!(
            "XCLIENT ADDR={} PORT={} DESTADDR={} DESTPORT={} SESSION={} TTL={} CLIENT-TRANSPORT={}",
            client.address.ip().to_canonical(),
            client.address.port(),
            client.local.ip().to_canonical(),
            client.local.port(),
            client.session,
            client.ttl,
            if client.encrypted { "TLS" } else { "insecure" }
        );
        self.send(&[command.as_bytes()]);
        self.capabilities.xclient = false;
        self.state = State::Xclient;
    }

    fn ask_capabilities(&mut self) {
        self.send(&[b"CAPA"]);
        self.state = State::Capa;
    }

    fn capability(&mut self, text: &[u8], count: usize) -> Result<(), Failure> {
        if text == b"." {
            self.capabilities.asked = true;
            return self.log_in();
        }
        if count >= CAPA_LINES {
            return Err(Failure::Protocol("an endless list of capabilities".to_owned()));
        }
        self.state = State::CapaList(count.saturating_add(1));
        let Some(line) = printable(text) else { return Ok(()) };
        let mut words = line.split(' ');
        let name = words.next().unwrap_or_default();
        if name.eq_ignore_ascii_case("SASL") {
            self.capabilities.mechanisms.extend(words.map(str::to_ascii_uppercase));
        } else if PROMISED.iter().any(|promised| promised.eq_ignore_ascii_case(name)) {
            // Of UTF-8 names (`UTF8 USER`) a client that signs in with a token has no use.
            let line = if name.eq_ignore_ascii_case("UTF8") { name } else { line };
            self.capabilities.offer.lines.push(line.to_owned());
        }
        Ok(())
    }

    fn log_in(&mut self) -> Result<(), Failure> {
        // RFC 6856 §2: it is for the time before the login, and the client has been told that it is done.
        if self.plan.client.as_ref().is_some_and(|client| client.utf8) && !self.capabilities.utf8_asked {
            self.capabilities.utf8_asked = true;
            self.send(&[b"UTF8"]);
            self.state = State::Utf8;
            return Ok(());
        }
        let encrypted = self.plan.starttls || self.plan.sasl.encrypted;
        let offers = |name: &str| self.capabilities.mechanisms.iter().any(|own| own == name);
        match ClientExchange::choose(&self.plan.login, &self.plan.sasl, encrypted, offers)? {
            Some(exchange) => self.send_auth(exchange),
            None => self.send_user(),
        }
    }

    fn send_auth(&mut self, mut exchange: ClientExchange) -> Result<(), Failure> {
        let command = [b"AUTH ", exchange.name().as_bytes()].concat();
        let length = command.len().saturating_add(exchange.initial_len()).saturating_add(3);
        // RFC 5034 §4: a longer initial response must not stand in the command.
        let initial = if length <= COMMAND_LIMIT { exchange.initial() } else { None };
        match &initial {
            Some(response) => self.send(&[&command, b" ", response.expose()]),
            None => self.send(&[&command]),
        }
        self.state = State::Auth(Box::new(exchange));
        Ok(())
    }

    fn send_user(&mut self) -> Result<(), Failure> {
        let (name, password) = match &self.plan.login {
            LoginAs::Nobody => {
                self.idle();
                return Ok(());
            }
            LoginAs::Password { authcid, authzid: None, password } => (authcid, password),
            LoginAs::Trusted { user, placeholder } => (user, placeholder),
            LoginAs::Bearer { .. }
            | LoginAs::External { .. }
            | LoginAs::Password { authzid: Some(_), .. } => {
                return Err(sasl::no_mechanism(&self.plan.login, &self.plan.sasl));
            }
            LoginAs::Xclient { .. } => return Err(operator("XCLIENT with a login name is for SMTP alone")),
        };
        if !self.plan.sasl.allows(ClientMechanism::Login) {
            return Err(sasl::no_mechanism(&self.plan.login, &self.plan.sasl));
        }
        if name.contains(char::is_whitespace) {
            return Err(operator("the login name holds a space, which USER cannot carry"));
        }
        if password.expose().iter().any(|octet| matches!(octet, b'\r' | b'\n')) {
            return Err(operator("the password holds a line end, which PASS cannot carry"));
        }
        let name = name.clone();
        self.send(&[b"USER ", name.as_bytes()]);
        self.state = State::User;
        Ok(())
    }

    fn send_password(&mut self) -> Result<(), Failure> {
        let password = match &self.plan.login {
            LoginAs::Password { password, .. } => password.clone(),
            LoginAs::Trusted { placeholder, .. } => placeholder.clone(),
            LoginAs::Bearer { .. } | LoginAs::External { .. } | LoginAs::Nobody | LoginAs::Xclient { .. } => {
                Secret::default()
            }
        };
        self.send(&[b"PASS ", password.expose()]);
        self.state = State::Pass;
        Ok(())
    }

    fn finish(&mut self) {
        self.steps.push_back(UpstreamStep::Ready(Ready {
            offer: std::mem::take(&mut self.capabilities.offer),
            leftover: self.lines.take_rest(),
            ..Ready::default()
        }));
        self.state = State::Ready;
    }

    fn idle(&mut self) {
        let offer = self.capabilities.offer.clone();
        self.steps.push_back(UpstreamStep::Ready(Ready { offer, ..Ready::default() }));
        self.state = State::Idle;
    }

    fn send(&mut self, parts: &[&[u8]]) {
        let length = parts.iter().map(|part| part.len()).sum::<usize>().saturating_add(2);
        let mut line = Zeroizing::new(Vec::with_capacity(length));
        for part in parts {
            line.extend_from_slice(part);
        }
        line.extend_from_slice(b"\r\n");
        self.steps.push_back(UpstreamStep::Send(Secret::copy_of(&line)));
    }
}

impl Upstream for Pop3Upstream {
    fn receive(&mut self, octets: &[u8]) {
        if matches!(self.state, State::Handshake) && !octets.is_empty() {
            self.state = State::Failed(injected());
        }
        if !matches!(self.state, State::Failed(_)) {
            self.lines.push(octets);
        }
    }

    fn poll(&mut self) -> UpstreamStep {
        loop {
            if let State::Failed(failure) = &self.state {
                return UpstreamStep::Failed(failure.clone());
            }
            if let Some(step) = self.steps.pop_front() {
                return step;
            }
            if matches!(self.state, State::Idle) && !self.lines.is_empty() {
                self.state = State::Failed(unasked());
                continue;
            }
            if matches!(self.state, State::Idle | State::Ready | State::Handshake) {
                return UpstreamStep::NeedInput;
            }
            let Some(line) = self.lines.next_line() else { return UpstreamStep::NeedInput };
            if let Err(failure) = self.take_line(&line) {
                self.lines.clear();
                self.state = State::Failed(failure);
            }
        }
    }

    fn tls_started(&mut self) {
        self.lines.clear();
        if matches!(self.state, State::Handshake) {
            self.introduce();
        }
    }

    fn log_in(&mut self, login: LoginAs, client: Option<ClientFacts>) {
        if !matches!(self.state, State::Idle) || !self.lines.is_empty() {
            return;
        }
        self.plan.login = login;
        self.plan.client = client;
        if self.plan.client.is_some() && self.plan.xclient && self.capabilities.xclient {
            return self.introduce();
        }
        if let Err(failure) = self.log_in() {
            self.state = State::Failed(failure);
        }
    }

    fn is_costly(&self) -> bool {
        matches!(&self.state, State::Auth(exchange) if exchange.is_costly())
    }
}

/// An answer to no command would be taken for the answer to the login.
fn unasked() -> Failure {
    Failure::Protocol("it spoke unasked before the login".to_owned())
}

/// A refusal of the password (RFC 3206 §3).
fn refused(text: &[u8]) -> Failure {
    let said = excerpt(text);
    match code(text) {
        Some(Code::Auth) => Failure::WrongPassword(said),
        Some(Code::Temporary) => Failure::Temporary(said),
        Some(Code::Permanent) => Failure::Operator(said),
        None => Failure::Refused(said),
    }
}

fn printable(text: &[u8]) -> Option<&str> {
    let line = std::str::from_utf8(text).ok()?;
    (line.len() <= COMMAND_LIMIT && line.bytes().all(|octet| octet == b' ' || octet.is_ascii_graphic()))
        .then_some(line)
}

fn injected() -> Failure {
    Failure::Protocol("octets in clear behind the reply to STLS".to_owned())
}

fn operator(what: &str) -> Failure {
    Failure::Operator(what.to_owned())
}
