//! The client that logs in to an IMAP server.

use super::{
    capability::Capabilities,
    literal,
    login::{self, Begin, Pieces},
    response::{self, Condition, Response, Text},
};
use crate::{
    model::Secret,
    proto::{
        Failure, Offer, Ready, Upstream, UpstreamPlan, UpstreamStep,
        line::{Lines, excerpt},
        sasl::ClientExchange,
    },
};

/// Octets read before the login is done, literals included.
const MAX_OCTETS: usize = 64 * 1024;
/// Responses read before the login is done.
const MAX_RESPONSES: u32 = 256;

/// The client that logs in to an IMAP server (RFC 9051, RFC 3501).
///
/// How a refused login is told apart (RFC 5530):
/// - `AUTHENTICATIONFAILED`, and `EXPIRED` (this password will never do again): [`Failure::WrongPassword`];
/// - `UNAVAILABLE`, `INUSE`, `LIMIT`, `SERVERBUG`, and a BYE: [`Failure::Temporary`];
/// - `AUTHORIZATIONFAILED` (the password was right, but its owner may not become this user), `CONTACTADMIN`,
///   `PRIVACYREQUIRED`, and BAD: [`Failure::Operator`];
/// - any other NO: [`Failure::Refused`].
#[derive(Debug)]
pub struct ImapUpstream {
    plan: UpstreamPlan,
    lines: Lines,
    state: State,
    steps: std::collections::VecDeque<UpstreamStep>,
    /// The latest list: of this side of the TLS handshake, and of this side of the login.
    capabilities: Option<Capabilities>,
    /// ID was sent and is not answered.
    id_outstanding: bool,
    literal: ServerLiteral,
    octets: usize,
    responses: u32,
}

#[derive(Debug)]
enum State {
    Greeting,
    /// STARTTLS was sent, tag `S`.
    StartTls,
    Handshake,
    /// CAPABILITY was sent before login, tag `C`.
    Capability,
    /// AUTHENTICATE was sent, tag `L`.
    Authenticate(Box<ClientExchange>),
    /// LOGIN was sent, tag `L`; these pieces of it are still to come.
    Login(Pieces),
    /// The login succeeded, with ID unanswered.
    LoggedIn,
    /// CAPABILITY was sent after login, tag `D`.
    CapabilityAfter,
    Ready,
    Failed(Failure),
}

/// Where the reading is in a response with literals.
#[derive(Clone, Copy, Debug)]
enum ServerLiteral {
    /// At the beginning of a response.
    None,
    /// So many octets before the rest of the response.
    Octets(usize),
    /// Behind a literal.
    Rest,
}

type Outcome = Result<(), Failure>;

impl ImapUpstream {
    /// A machine for a new connection; it waits for the server's greeting.
    pub fn new(plan: UpstreamPlan) -> Self {
        Self {
            plan,
            lines: Lines::new(MAX_OCTETS),
            state: State::Greeting,
            steps: std::collections::VecDeque::new(),
            capabilities: None,
            id_outstanding: false,
            literal: ServerLiteral::None,
            octets: 0,
            responses: 0,
        }
    }

    fn send(&mut self, command: Secret) {
        self.steps.push_back(UpstreamStep::Send(command));
    }

    /// Reads one line or literal. `Ok(false)` when more octets are needed.
    fn advance(&mut self) -> Result<bool, Failure> {
        if let ServerLiteral::Octets(length) = self.literal {
            let missing = length.saturating_sub(self.lines.discard(length));
            self.literal = if missing > 0 { ServerLiteral::Octets(missing) } else { ServerLiteral::Rest };
            return Ok(missing == 0);
        }
        let Some(line) = self.lines.next_line() else { return Ok(false) };
        self.count(line.text.len().saturating_add(2))?;
        let text = line.clean().map_err(|_| protocol("a line is malformed or too long"))?;
        if matches!(self.literal, ServerLiteral::Rest) {
            self.behind_data(text)?;
            return Ok(true);
        }
        self.responses = self.responses.saturating_add(1);
        if self.responses > MAX_RESPONSES {
            return Err(protocol("it says too much before the login is done"));
        }
        let response = response::parse(text).ok_or_else(|| protocol_at("no response of IMAP", text))?;
        if response == Response::Data {
            self.behind_data(text)?;
        }
        self.response(response)?;
        Ok(true)
    }

    fn count(&mut self, octets: usize) -> Outcome {
        self.octets = self.octets.saturating_add(octets);
        if self.octets > MAX_OCTETS {
            return Err(protocol("it says too much before the login is done"));
        }
        Ok(())
    }

    /// Skips the literal that a line of data announces.
    fn behind_data(&mut self, line: &[u8]) -> Outcome {
        let Some(literal) = literal::announced(line) else {
            self.literal = ServerLiteral::None;
            return Ok(());
        };
        self.count(literal.length)?;
        self.literal = ServerLiteral::Octets(literal.length);
        Ok(())
    }

    fn response(&mut self, response: Response<'_>) -> Outcome {
        if matches!(self.state, State::Greeting) {
            return self.greeting(response);
        }
        match response {
            Response::Untagged { condition: Condition::Bye, text } => {
                Err(Failure::Temporary(excerpt(text.raw)))
            }
            Response::Untagged { condition: Condition::PreAuth, .. } => Err(protocol("a second greeting")),
            Response::Untagged { condition: Condition::Bad | Condition::No | Condition::Ok, text } => {
                self.keep(text.capabilities());
                Ok(())
            }
            Response::Capability(list) => {
                self.keep(Some(list));
                Ok(())
            }
            Response::Data => Ok(()),
            Response::Continue(text) => self.go_on(text),
            Response::Tagged { tag: b"I", .. } if self.id_outstanding => {
                // Whatever it thinks of ID, the login does not hang on it.
                self.id_outstanding = false;
                if matches!(self.state, State::LoggedIn) { self.logged_in() } else { Ok(()) }
            }
            Response::Tagged { tag, condition, text } => self.tagged(tag, condition, &text),
        }
    }

    fn keep(&mut self, capabilities: Option<Capabilities>) {
        if capabilities.is_some() {
            self.capabilities = capabilities;
        }
    }

    fn greeting(&mut self, response: Response<'_>) -> Outcome {
        let Response::Untagged { condition, text } = response else {
            return Err(protocol("its first line is no greeting of IMAP"));
        };
        match condition {
            Condition::Ok => {}
            Condition::Bye => return Err(Failure::Temporary(excerpt(text.raw))),
            Condition::PreAuth => {
                return Err(Failure::Operator("it greets with PREAUTH, as if someone were logged in".into()));
            }
            Condition::Bad | Condition::No => return Err(protocol("its first line is no greeting of IMAP")),
        }
        self.keep(text.capabilities());
        if !self.plan.starttls {
            return self.log_in_or_ask();
        }
        if self.capabilities.as_ref().is_some_and(|list| !list.has("STARTTLS")) {
            return Err(no_starttls());
        }
        self.send(login::joined(&[b"S STARTTLS\r\n"]));
        self.state = State::StartTls;
        Ok(())
    }

    fn log_in_or_ask(&mut self) -> Outcome {
        if self.capabilities.is_some() {
            return self.log_in();
        }
        self.send(login::joined(&[b"C CAPABILITY\r\n"]));
        self.state = State::Capability;
        Ok(())
    }

    fn log_in(&mut self) -> Outcome {
        let server = self.capabilities.take().unwrap_or_default();
        let (first, state) = match login::begin(&self.plan, &server)? {
            Begin::Nothing => return self.ready(String::new(), &server),
            Begin::Sasl(line, exchange) => (line, State::Authenticate(exchange)),
            Begin::Command(mut pieces) => (pieces.pop_front().unwrap_or_default(), State::Login(pieces)),
        };
        let id = self.plan.client.as_ref().filter(|_| self.plan.imap_id && server.has("ID")).map(login::id);
        self.id_outstanding = id.is_some();
        match id {
            Some(id) => self.send(login::joined(&[id.expose(), first.expose()])),
            None => self.send(first),
        }
        self.state = state;
        Ok(())
    }

    /// The server asks for more.
    fn go_on(&mut self, text: &[u8]) -> Outcome {
        let piece = match &mut self.state {
            State::Authenticate(exchange) => {
                let response = exchange.answer(text)?;
                Some(login::joined(&[response.expose(), b"\r\n"]))
            }
            State::Login(pieces) => pieces.pop_front(),
            State::Greeting
            | State::StartTls
            | State::Handshake
            | State::Capability
            | State::LoggedIn
            | State::CapabilityAfter
            | State::Ready
            | State::Failed(_) => None,
        };
        let piece = piece.ok_or_else(|| protocol("it asks for more when there is nothing more to say"))?;
        self.send(piece);
        Ok(())
    }

    fn tagged(&mut self, tag: &[u8], condition: Condition, text: &Text<'_>) -> Outcome {
        let is_ok = condition == Condition::Ok;
        match (&mut self.state, tag) {
            (State::StartTls, b"S") if is_ok => self.start_tls(),
            (State::StartTls, b"S") => Err(no_starttls()),
            (State::Capability, b"C") if is_ok && self.capabilities.is_some() => self.log_in(),
            (State::Authenticate(exchange), b"L") if is_ok => {
                exchange.accepted(None)?;
                self.keep(text.capabilities());
                self.logged_in()
            }
            (State::Authenticate(exchange), b"L") => Err(exchange.refused(refusal(condition, text))),
            (State::Login(pieces), b"L") if is_ok && !pieces.is_empty() => {
                Err(protocol("it says that someone is logged in before it was told who"))
            }
            (State::Login(_), b"L") if is_ok => {
                self.keep(text.capabilities());
                self.logged_in()
            }
            (State::Login(_), b"L") => Err(refusal(condition, text)),
            (State::CapabilityAfter, b"D") if is_ok && self.capabilities.is_some() => self.logged_in(),
            (State::Capability, b"C") | (State::CapabilityAfter, b"D") => {
                Err(protocol_at("it does not say what it can do", text.raw))
            }
            _ => Err(protocol_at("an answer to no command", text.raw)),
        }
    }

    fn start_tls(&mut self) -> Outcome {
        if !self.lines.is_empty() {
            return Err(protocol("octets came in clear behind its answer to STARTTLS"));
        }
        self.steps.push_back(UpstreamStep::StartTls);
        self.state = State::Handshake;
        Ok(())
    }

    fn logged_in(&mut self) -> Outcome {
        if self.id_outstanding {
            self.state = State::LoggedIn;
            return Ok(());
        }
        let Some(server) = self.capabilities.take() else {
            self.send(login::joined(&[b"D CAPABILITY\r\n"]));
            self.state = State::CapabilityAfter;
            return Ok(());
        };
        if server.has("UNAUTHENTICATE") {
            return Err(Failure::Operator(
                "it offers UNAUTHENTICATE, by which a client could log in as someone else; disable it".into(),
            ));
        }
        self.ready(server.for_client(), &server)
    }

    fn ready(&mut self, capabilities: String, server: &Capabilities) -> Outcome {
        let offer = Offer { lines: server.promises() };
        let leftover = self.lines.take_rest();
        self.steps.push_back(UpstreamStep::Ready(Ready {
            capabilities,
            offer,
            leftover,
            unauthenticate: server.has("UNAUTHENTICATE"),
        }));
        self.state = State::Ready;
        Ok(())
    }
}

impl Upstream for ImapUpstream {
    fn receive(&mut self, octets: &[u8]) {
        match self.state {
            State::Greeting
            | State::StartTls
            | State::Authenticate(_)
            | State::Capability
            | State::Login(_)
            | State::LoggedIn
            | State::CapabilityAfter => self.lines.push(octets),
            State::Handshake => {
                self.state = State::Failed(protocol("octets came in clear behind its answer to STARTTLS"));
            }
            State::Ready | State::Failed(_) => {}
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
            if matches!(self.state, State::Handshake | State::Ready) {
                return UpstreamStep::NeedInput;
            }
            match self.advance() {
                Ok(true) => {}
                Ok(false) => return UpstreamStep::NeedInput,
                Err(failure) => {
                    self.lines.clear();
                    self.steps.clear();
                    self.state = State::Failed(failure);
                }
            }
        }
    }

    fn tls_started(&mut self) {
        if !matches!(self.state, State::Handshake) {
            return;
        }
        self.lines.clear();
        self.capabilities = None;
        self.literal = ServerLiteral::None;
        self.send(login::joined(&[b"C CAPABILITY\r\n"]));
        self.state = State::Capability;
    }

    fn is_costly(&self) -> bool {
        matches!(&self.state, State::Authenticate(exchange) if exchange.is_costly())
    }
}

fn refusal(condition: Condition, text: &Text<'_>) -> Failure {
    let said = excerpt(text.raw);
    if condition == Condition::Bad {
        return Failure::Operator(said);
    }
    let Some(code) = &text.code else { return Failure::Refused(said) };
    if code.is_one_of(&["AUTHENTICATIONFAILED", "EXPIRED"]) {
        Failure::WrongPassword(said)
    } else if code.is_one_of(&["UNAVAILABLE", "INUSE", "LIMIT", "SERVERBUG"]) {
        Failure::Temporary(said)
    } else if code.is_one_of(&["AUTHORIZATIONFAILED", "CONTACTADMIN", "PRIVACYREQUIRED"]) {
        Failure::Operator(said)
    } else {
        Failure::Refused(said)
    }
}

fn no_starttls() -> Failure {
    Failure::Operator("it does not offer STARTTLS, which its configuration here asks for".to_owned())
}

fn protocol(reason: &str) -> Failure {
    Failure::Protocol(reason.to_owned())
}

fn protocol_at(reason: &str, said: &[u8]) -> Failure {
    let mut text = format!("{reason}: {}", excerpt(said));
    text.truncate(200);
    Failure::Protocol(text)
}
