//! The server that a client meets.

use std::collections::VecDeque;

use super::{
    capability, grammar,
    reader::{Command, CommandReader, Fault, Input},
};
use crate::{
    model::Mechanism,
    proto::{
        Answer, Attempt, Banner, Close, Downstream, FrontConfig, Question, RefusalKind, Step, TlsState,
        line::excerpt,
        sasl::{SaslStep, ServerExchange},
    },
};

/// What an AUTHENTICATE line holds beside its initial response, at most.
const AROUND_RESPONSE: usize = 256;
/// Room in a literal for the blanks that some clients send behind a response.
const SLACK: usize = 64;
/// Octets kept while a question is open, when nothing should come.
const MAX_UNREAD: usize = 256 * 1024;

/// The server that a ManageSieve client meets until it has signed in (RFC 5804, not authenticated state).
///
/// A command is answered once all of its literals have come, refused or not. What answers an error challenge ends
/// the exchange whatever it holds, and is never executed.
#[derive(Debug)]
pub struct SieveDownstream {
    config: FrontConfig,
    reader: CommandReader,
    state: State,
    steps: VecDeque<Step>,
    bad_commands: u32,
    failed_auth: u32,
}

#[derive(Debug)]
enum State {
    Command,
    /// What comes next belongs to the exchange, whatever it holds.
    Exchange(ServerExchange),
    Asked(ServerExchange),
    /// TLS is being started; what comes in clear now is dropped.
    Handshake,
    HandedOver,
    Closed(Close),
}

impl SieveDownstream {
    /// A machine for a new connection; its first step is the greeting.
    pub fn new(banner: Banner, config: FrontConfig) -> Self {
        let line_limit = config.line_limit.max(config.sasl_limit.saturating_add(AROUND_RESPONSE));
        let mut machine = Self {
            reader: CommandReader::new(line_limit, config.sasl_limit.saturating_add(SLACK)),
            state: State::Command,
            steps: VecDeque::new(),
            bad_commands: 0,
            failed_auth: 0,
            config,
        };
        match banner {
            Banner::Welcome => {
                let text = format!("{} is ready", machine.config.hostname);
                machine.capabilities(&text);
            }
            Banner::Busy => machine.bye("(TRYLATER) ", "Too many connections; try again later", Close::Busy),
        }
        machine
    }

    /// Does the next thing that the octets at hand allow. `false` when there are too few.
    fn advance(&mut self) -> bool {
        if !matches!(self.state, State::Command | State::Exchange(_)) {
            return false;
        }
        match self.reader.next() {
            None => return false,
            Some(Input::Flood) => self.bye("", "The literal is beyond all limits", Close::Flood),
            Some(Input::NotMail) => self.close(Close::NotMail),
            Some(Input::Command(command)) => match std::mem::replace(&mut self.state, State::Command) {
                State::Exchange(exchange) => self.response(exchange, &command),
                State::Command
                | State::Asked(_)
                | State::Handshake
                | State::HandedOver
                | State::Closed(_) => {
                    self.command(&command);
                }
            },
        }
        true
    }

    fn command(&mut self, command: &Command) {
        if let Some(fault) = command.fault {
            return self.bad(match fault {
                Fault::BareLineEnd => "A line ends with CR LF and holds neither alone",
                Fault::Malformed => "The command is malformed",
                Fault::Nul => "A line holds no NUL",
                Fault::TooLong => "The line or literal is too long",
            });
        }
        let verb = command.verb();
        // Only AUTHENTICATE carries a token, so only it may be longer than other lines.
        if **verb != *b"AUTHENTICATE" && command.in_lines.saturating_add(2) > self.config.line_limit {
            return self.bad("The line is too long");
        }
        let arguments: Vec<&[u8]> = command.arguments().iter().map(grammar::Word::octets).collect();
        match (verb.as_slice(), arguments.as_slice()) {
            (b"AUTHENTICATE", [mechanism]) => self.authenticate(mechanism, None),
            (b"AUTHENTICATE", [mechanism, initial]) => self.authenticate(mechanism, Some(initial)),
            (b"AUTHENTICATE", _) => self.bad("AUTHENTICATE takes a mechanism and an initial response"),
            (b"CAPABILITY", []) => self.capabilities("Capability completed"),
            (b"LOGOUT", []) => {
                self.send("OK \"Logout completed\"");
                self.close(Close::ClientLeft);
            }
            (b"NOOP", [] | [_]) if capability::has_version(&self.config) => {
                self.noop(arguments.first().copied());
            }
            (b"STARTTLS", []) => self.start_tls(),
            _ => self.bad("Unknown command, or not before sign-in"),
        }
    }

    fn noop(&mut self, tag: Option<&[u8]>) {
        let Some(tag) = tag else { return self.send("OK \"NOOP completed\"") };
        if !grammar::is_quotable(tag) {
            return self.bad("The tag is not fit to be repeated");
        }
        let mut reply = b"OK (TAG ".to_vec();
        grammar::write_quoted(tag, &mut reply);
        reply.extend_from_slice(b") \"NOOP completed\"\r\n");
        self.steps.push_back(Step::Send(reply));
    }

    fn authenticate(&mut self, mechanism: &[u8], initial: Option<&[u8]>) {
        if self.config.tls != TlsState::Encrypted {
            return self.failed("(ENCRYPT-NEEDED) ", "Encryption is required before sign-in");
        }
        let known = Mechanism::from_name(mechanism).filter(|known| self.config.offers(*known));
        let Some(mechanism) = known else {
            return self.bad("That mechanism is not offered here");
        };
        // An empty string is a response, not the want of one.
        let initial = initial.map(|response| if response.is_empty() { b"=" } else { response });
        let (exchange, step) = ServerExchange::start(mechanism, initial, self.config.sasl_limit);
        self.follow(exchange, step);
    }

    fn response(&mut self, mut exchange: ServerExchange, command: &Command) {
        let too_long = command.fault == Some(Fault::TooLong);
        let octets = match (command.fault, command.words.as_slice()) {
            (None, []) => &b""[..],
            (None, [word]) => word.octets(),
            // What is no string is no base64 either.
            (None, _) | (Some(_), _) => b"\0",
        };
        let step = exchange.receive(octets, too_long);
        self.follow(exchange, step);
    }

    /// Carries out what the exchange says.
    fn follow(&mut self, exchange: ServerExchange, step: SaslStep) {
        match step {
            SaslStep::Attempt(credentials) => {
                let mechanism = exchange.mechanism();
                self.state = State::Asked(exchange);
                let attempt = Attempt {
                    mechanism,
                    credentials,
                    client_name: None,
                    client_software: None,
                    utf8: false,
                    ttl: None,
                };
                self.steps.push_back(Step::Ask(Question::Authenticate(attempt)));
            }
            SaslStep::Challenge(text) => {
                // Base64 needs no escapes; a server's string beyond the limit of quotes is a literal.
                if text.len() <= grammar::QUOTED_MAX {
                    self.send(&format!("\"{text}\""));
                } else {
                    self.send(&format!("{{{}}}\r\n{text}", text.len()));
                }
                self.state = State::Exchange(exchange);
            }
            SaslStep::Cancelled if exchange.was_refused() => self.refuse("", "Authentication cancelled"),
            SaslStep::Cancelled => self.bad("Authentication cancelled"),
            SaslStep::Failed(refusal) => {
                let (code, text) = refusal_text(refusal.kind);
                self.refuse(code, &format!("{text} (session {})", refusal.session));
            }
            SaslStep::Malformed(reason) => self.spoiled(exchange.mechanism(), reason),
            SaslStep::TooLong => self.spoiled(exchange.mechanism(), "the response is too long"),
        }
    }

    fn spoiled(&mut self, mechanism: Mechanism, reason: &'static str) {
        self.steps.push_back(Step::Spoiled { mechanism, reason });
        self.bad(&format!("Malformed sign-in: {reason}"));
    }

    fn capabilities(&mut self, text: &str) {
        let list = capability::before_login(&self.config);
        self.send(&format!("{list}OK \"{text}\""));
    }

    fn start_tls(&mut self) {
        match self.config.tls {
            TlsState::ClearStartTls => {
                self.send("OK \"Begin TLS negotiation now\"");
                self.steps.push_back(Step::StartTls);
                // A command behind STARTTLS would be executed inside TLS as if it had come encrypted.
                self.reader.clear();
                self.state = State::Handshake;
            }
            TlsState::Clear => self.bad("TLS is not available here"),
            TlsState::Encrypted => self.bad("TLS is already active"),
        }
    }

    fn bad(&mut self, text: &str) {
        self.bad_commands = self.bad_commands.saturating_add(1);
        self.refuse("", text);
    }

    fn failed(&mut self, code: &str, text: &str) {
        self.failed_auth = self.failed_auth.saturating_add(1);
        self.refuse(code, text);
    }

    fn refuse(&mut self, code: &str, text: &str) {
        self.send(&format!("NO {code}\"{text}\""));
        if self.failed_auth >= self.config.failed_auth {
            self.bye("", "Too many failed sign-ins", Close::TooManyFailures);
        } else if self.bad_commands >= self.config.bad_commands {
            self.bye("", "Too many bad commands", Close::TooManyBadCommands);
        }
    }

    fn send(&mut self, text: &str) {
        self.steps.push_back(Step::Send(format!("{text}\r\n").into_bytes()));
    }

    fn bye(&mut self, code: &str, text: &str, reason: Close) {
        self.send(&format!("BYE {code}\"{text}\""));
        self.close(reason);
    }

    fn close(&mut self, reason: Close) {
        self.reader.clear();
        self.state = State::Closed(reason);
    }
}

impl Downstream for SieveDownstream {
    fn receive(&mut self, octets: &[u8]) {
        match self.state {
            State::Command | State::Exchange(_) => self.reader.push(octets),
            State::Asked(_) => {
                self.reader.push(octets);
                if self.reader.unread() > MAX_UNREAD {
                    self.bye("", "Too much was sent behind a sign-in", Close::Flood);
                }
            }
            State::Handshake | State::HandedOver | State::Closed(_) => {}
        }
    }

    fn poll(&mut self) -> Step {
        loop {
            if let Some(step) = self.steps.pop_front() {
                return step;
            }
            if let State::Closed(reason) = self.state {
                return Step::Close(reason);
            }
            if !self.advance() {
                return Step::NeedInput;
            }
        }
    }

    fn answer(&mut self, answer: Answer) {
        let mut exchange = match std::mem::replace(&mut self.state, State::Command) {
            State::Asked(exchange) => exchange,
            other @ (State::Command
            | State::Exchange(_)
            | State::Handshake
            | State::HandedOver
            | State::Closed(_)) => {
                self.state = other;
                return;
            }
        };
        match answer {
            // The capabilities change with the login, and a client that wants them asks (RFC 5804 §2.1).
            Answer::Accepted(_) => {
                self.send("OK \"Signed in\"");
                self.steps.push_back(Step::Handover(self.reader.take_rest()));
                self.state = State::HandedOver;
            }
            Answer::Refused(refusal) => {
                if refusal.kind.is_failed_sign_in() {
                    self.failed_auth = self.failed_auth.saturating_add(1);
                }
                let step = exchange.refuse(refusal);
                self.follow(exchange, step);
            }
        }
    }

    fn tls_started(&mut self) {
        if !matches!(self.state, State::Handshake) {
            return;
        }
        self.reader.clear();
        self.config.tls = TlsState::Encrypted;
        self.state = State::Command;
        // Unasked, as RFC 5804 §2.2 says.
        self.capabilities("TLS negotiation successful");
    }

    fn awaits_dummy_response(&self) -> bool {
        matches!(&self.state, State::Exchange(exchange) if exchange.awaits_dummy_response())
    }

    fn dummy_response_timed_out(&mut self) {
        if !self.awaits_dummy_response() {
            return;
        }
        if let State::Exchange(mut exchange) = std::mem::replace(&mut self.state, State::Command) {
            self.reader.give_up_response();
            let step = exchange.dummy_response_timed_out();
            self.follow(exchange, step);
        }
    }

    fn goodbye(&self, reason: &str) -> Vec<u8> {
        let reason = excerpt(reason.as_bytes()).replace(['"', '\\'], "?");
        format!("BYE \"{reason}\"\r\n").into_bytes()
    }
}

/// Response code with a blank behind it, and text (RFC 5804 §1.3). A bare NO is about the credential alone. What
/// the client may learn never includes whether an account exists.
const fn refusal_text(kind: RefusalKind) -> (&'static str, &'static str) {
    match kind {
        RefusalKind::InvalidToken | RefusalKind::Pointless => ("", "The credential is not accepted"),
        RefusalKind::InsufficientScope => ("", "The credential does not allow ManageSieve"),
        RefusalKind::NotAuthorized => ("", "The credential is not for that user"),
        RefusalKind::OperatorFault => ("(TRYLATER) ", "The mail service needs its operator"),
        RefusalKind::Policy => ("(AUTH-TOO-WEAK) ", "This kind of sign-in is not accepted here"),
        RefusalKind::RateLimited => ("(TRYLATER) ", "Too many attempts; try again later"),
        RefusalKind::Unavailable | RefusalKind::Undecided => {
            ("(TRYLATER) ", "The mail service is not available now; try again later")
        }
    }
}
