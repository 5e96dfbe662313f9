//! The client that logs in to a mail server.

use std::collections::VecDeque;

use zeroize::Zeroizing;

use super::{
    capability,
    grammar::Word,
    login,
    reply::{self, Ending, Malformed, Scanner, Status},
};
use crate::{
    model::Secret,
    proto::{
        Failure, Offer, Ready, Upstream, UpstreamPlan, UpstreamStep, line::excerpt, sasl::ClientExchange,
    },
};

/// Octets read before the login is done, literals included.
const MAX_OCTETS: usize = 64 * 1024;
/// Lines read before the login is done.
const MAX_LINES: u32 = 256;

/// The client that logs in to a ManageSieve server (RFC 5804).
///
/// How a refused login is told apart (RFC 5804 §1.3):
/// - `TRYLATER`, and a BYE: [`Failure::Temporary`];
/// - `AUTH-TOO-WEAK`, `ENCRYPT-NEEDED`, `TRANSITION-NEEDED`, and `REFERRAL`, since the mailbox is elsewhere:
///   [`Failure::Operator`];
/// - any other NO: [`Failure::Refused`]; the protocol has no code for a wrong password.
#[derive(Debug)]
pub struct SieveUpstream {
    plan: UpstreamPlan,
    state: State,
    steps: VecDeque<UpstreamStep>,
    capabilities: Capabilities,
    scanner: Scanner,
    /// What was received and is not read.
    input: Vec<u8>,
    /// The line that is being read.
    line: Zeroizing<Vec<u8>>,
    octets: usize,
    lines: u32,
}

#[derive(Debug)]
enum State {
    Greeting,
    StartTls,
    Handshake,
    /// The server lists its capabilities anew, unasked (RFC 5804 §2.2).
    Encrypted,
    Xclient,
    /// AUTHENTICATE was sent.
    Login(Box<ClientExchange>),
    Ready,
    Failed(Failure),
}

/// What the server said of itself.
#[derive(Debug, Default)]
struct Capabilities {
    starttls: bool,
    xclient: bool,
    unauthenticate: bool,
    mechanisms: Vec<String>,
    offer: Offer,
}

type Outcome = Result<(), Failure>;

impl SieveUpstream {
    /// A machine for a new connection; it waits for the server's greeting.
    pub fn new(plan: UpstreamPlan) -> Self {
        Self {
            plan,
            state: State::Greeting,
            steps: VecDeque::new(),
            capabilities: Capabilities::default(),
            scanner: Scanner::default(),
            input: Vec::new(),
            line: Zeroizing::default(),
            octets: 0,
            lines: 0,
        }
    }

    /// Reads one line. `Ok(false)` when more octets are needed.
    fn advance(&mut self) -> Result<bool, Failure> {
        let (taken, ended) = self
            .scanner
            .take(&self.input)
            .map_err(|Malformed| protocol_at("no reply of ManageSieve", &self.line))?;
        self.octets = self.octets.saturating_add(taken);
        if self.octets > MAX_OCTETS {
            return Err(protocol("it says too much before the login is done"));
        }
        self.line.extend(self.input.drain(..taken));
        if !ended {
            return Ok(false);
        }
        self.lines = self.lines.saturating_add(1);
        if self.lines > MAX_LINES {
            return Err(protocol("it says too much before the login is done"));
        }
        let line = std::mem::take(&mut self.line);
        if line.first().is_some_and(|first| reply::begins_data(*first)) {
            let words = reply::words(&line).map_err(|Malformed| protocol("a line is malformed"))?;
            self.data(&words)?;
        } else {
            let ending =
                Ending::parse(&line).map_err(|Malformed| protocol_at("no reply of ManageSieve", &line))?;
            self.ending(&ending)?;
        }
        Ok(true)
    }

    fn data(&mut self, words: &[Word]) -> Outcome {
        match &mut self.state {
            State::Greeting | State::Encrypted => {
                self.capability(words);
                Ok(())
            }
            State::Login(exchange) => {
                let challenge = words.first().map(Word::octets).unwrap_or_default();
                let response = login::response(&exchange.answer(challenge)?);
                self.steps.push_back(UpstreamStep::Send(response));
                Ok(())
            }
            State::StartTls | State::Handshake | State::Xclient | State::Ready | State::Failed(_) => {
                Err(protocol("an answer to no command"))
            }
        }
    }

    fn capability(&mut self, words: &[Word]) {
        let mut words = words.iter().map(Word::octets);
        let name = words.next().unwrap_or_default();
        let value = words.next().unwrap_or_default();
        if name.eq_ignore_ascii_case(b"SASL") {
            let mechanisms = value.split(|octet| *octet == b' ').filter(|name| !name.is_empty());
            self.capabilities.mechanisms = mechanisms.map(excerpt).collect();
        } else if name.eq_ignore_ascii_case(b"STARTTLS") {
            self.capabilities.starttls = true;
        } else if name.eq_ignore_ascii_case(b"XCLIENT") {
            self.capabilities.xclient = true;
        } else if name.eq_ignore_ascii_case(b"UNAUTHENTICATE") {
            self.capabilities.unauthenticate = true;
        } else {
            self.capabilities.offer.lines.extend(capability::promises(name, value));
        }
    }

    fn ending(&mut self, ending: &Ending<'_>) -> Outcome {
        if ending.status == Status::Bye {
            return Err(refusal(ending));
        }
        let is_ok = ending.status == Status::Ok;
        match &mut self.state {
            State::Greeting if is_ok => self.greeted(),
            State::Encrypted if is_ok => self.introduce(),
            State::Greeting | State::Encrypted => match refusal(ending) {
                Failure::Refused(said) => Err(Failure::Temporary(said)),
                failure @ (Failure::Operator(_)
                | Failure::Protocol(_)
                | Failure::Temporary(_)
                | Failure::WrongPassword(_)) => Err(failure),
            },
            State::StartTls if is_ok => self.start_tls(),
            State::StartTls => Err(match refusal(ending) {
                failure @ Failure::Temporary(_) => failure,
                Failure::Refused(_)
                | Failure::Operator(_)
                | Failure::Protocol(_)
                | Failure::WrongPassword(_) => no_starttls(),
            }),
            // The offer stood in a list that may have come in clear: a refusal proves nothing wrong.
            State::Xclient => self.log_in(),
            State::Login(exchange) if is_ok => {
                exchange.accepted(ending.sasl_data())?;
                self.ready();
                Ok(())
            }
            State::Login(exchange) => Err(exchange.refused(refusal(ending))),
            State::Handshake | State::Ready | State::Failed(_) => Err(protocol("an answer to no command")),
        }
    }

    fn greeted(&mut self) -> Outcome {
        if !self.plan.starttls {
            return self.introduce();
        }
        if !self.capabilities.starttls {
            return Err(no_starttls());
        }
        self.send(b"STARTTLS\r\n");
        self.state = State::StartTls;
        Ok(())
    }

    fn start_tls(&mut self) -> Outcome {
        if !self.input.is_empty() {
            return Err(injected());
        }
        self.steps.push_back(UpstreamStep::StartTls);
        self.state = State::Handshake;
        Ok(())
    }

    /// Tells the client's address to a server that asks for it (Dovecot's XCLIENT), else goes on.
    fn introduce(&mut self) -> Outcome {
        let Some(client) =
            self.plan.client.as_ref().filter(|_| self.plan.xclient && self.capabilities.xclient)
        else {
            return self.log_in();
        };
        let command = format!(
            "XCLIENT ADDR={} PORT={} SESSION={} TTL={}\r\n",
            client.address.ip().to_canonical(),
            client.address.port(),
            client.session,
            client.ttl
        );
        self.send(command.as_bytes());
        self.state = State::Xclient;
        Ok(())
    }

    fn log_in(&mut self) -> Outcome {
        let Some((first, exchange)) = login::begin(&self.plan, &self.capabilities.mechanisms)? else {
            self.ready();
            return Ok(());
        };
        self.steps.push_back(UpstreamStep::Send(first));
        self.state = State::Login(exchange);
        Ok(())
    }

    fn ready(&mut self) {
        self.steps.push_back(UpstreamStep::Ready(Ready {
            capabilities: String::new(),
            offer: std::mem::take(&mut self.capabilities.offer),
            leftover: std::mem::take(&mut self.input),
            unauthenticate: self.capabilities.unauthenticate,
        }));
        self.state = State::Ready;
    }

    fn send(&mut self, octets: &[u8]) {
        self.steps.push_back(UpstreamStep::Send(Secret::copy_of(octets)));
    }
}

impl Upstream for SieveUpstream {
    fn receive(&mut self, octets: &[u8]) {
        match self.state {
            State::Greeting | State::StartTls | State::Encrypted | State::Xclient | State::Login(_) => {
                self.input.extend_from_slice(octets);
            }
            State::Handshake if !octets.is_empty() => self.state = State::Failed(injected()),
            State::Handshake | State::Ready | State::Failed(_) => {}
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
                    self.input.clear();
                    self.steps.clear();
                    self.state = State::Failed(failure);
                }
            }
        }
    }

    fn is_costly(&self) -> bool {
        matches!(&self.state, State::Login(exchange) if exchange.is_costly())
    }

    fn tls_started(&mut self) {
        if !matches!(self.state, State::Handshake) {
            return;
        }
        self.capabilities = Capabilities::default();
        self.state = State::Encrypted;
    }
}

fn refusal(ending: &Ending<'_>) -> Failure {
    let said = excerpt(ending.raw);
    if ending.has_code(&["AUTH-TOO-WEAK", "ENCRYPT-NEEDED", "REFERRAL", "TRANSITION-NEEDED"]) {
        Failure::Operator(said)
    } else if ending.status == Status::Bye || ending.has_code(&["TRYLATER"]) {
        Failure::Temporary(said)
    } else {
        Failure::Refused(said)
    }
}

fn injected() -> Failure {
    protocol("octets came in clear behind its answer to STARTTLS")
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
