//! The server that an IMAP client meets until it has signed in.

use std::collections::VecDeque;

use super::{
    capability,
    grammar::{self, Head, Tag, Verb},
    literal::Literal,
    reader::{Command, CommandReader, Input},
};
use crate::proto::{
    Answer, Banner, Close, Downstream, FrontConfig, Step, TlsState, line::LineFault, sasl::ServerExchange,
};

/// What an AUTHENTICATE line holds beside its initial response, at most: tag, verb, mechanism, blanks, line end.
const AROUND_RESPONSE: usize = 256;
/// Octets kept while a question is open, when nothing should come.
const MAX_UNREAD: usize = 256 * 1024;

/// The server that an IMAP client meets until it has signed in (RFC 9051, RFC 3501, not authenticated state).
///
/// A command that may not be executed is answered at its first line; a literal that comes along with it is
/// thrown away. The line after an error challenge ends the exchange whatever it holds: if it was a command, even
/// one with literals, it is lost with all its octets, and none of them is executed or taken for a credential.
#[derive(Debug)]
pub struct ImapDownstream {
    pub(super) config: FrontConfig,
    pub(super) reader: CommandReader,
    pub(super) steps: VecDeque<Step>,
    pub(super) state: State,
    /// The client asked for capabilities by command, so it may not read them from response codes.
    pub(super) asked_capabilities: bool,
    pub(super) client_software: Option<String>,
    pub(super) ttl: Option<u8>,
    bad_commands: u32,
    pub(super) failed_auth: u32,
}

#[derive(Debug)]
pub(super) enum State {
    /// A command comes next.
    Commands,
    /// The client's line for a challenge comes next.
    Exchange { tag: Tag, exchange: ServerExchange },
    /// The answer comes next.
    Asking { tag: Tag, by: By },
    /// The TLS handshake comes next.
    Handshake,
    /// The client is signed in; nothing more is done here.
    Signed,
    /// The connection ends.
    Closed(Close),
}

/// How the client signs in.
#[derive(Debug)]
pub(super) enum By {
    Sasl(ServerExchange),
    LoginCommand,
}

impl ImapDownstream {
    /// A machine for a new connection; its first step is the greeting.
    pub fn new(banner: Banner, config: FrontConfig) -> Self {
        let limit = config.line_limit.max(config.sasl_limit.saturating_add(AROUND_RESPONSE));
        let mut machine = Self {
            reader: CommandReader::new(limit),
            steps: VecDeque::new(),
            state: State::Commands,
            asked_capabilities: false,
            client_software: None,
            ttl: None,
            bad_commands: 0,
            failed_auth: 0,
            config,
        };
        match banner {
            Banner::Welcome => {
                let capabilities = capability::before_login(&machine.config);
                let hostname = &machine.config.hostname;
                let greeting = format!("* OK [CAPABILITY {capabilities}] {hostname} Bearward ready\r\n");
                machine.send(greeting);
            }
            Banner::Busy => {
                machine.send("* BYE [UNAVAILABLE] Too many connections, try again later\r\n".to_owned());
                machine.close(Close::Busy);
            }
        }
        machine
    }

    pub(super) fn send(&mut self, text: String) {
        self.steps.push_back(Step::Send(text.into_bytes()));
    }

    pub(super) fn reply(&mut self, tag: &Tag, text: &str) {
        self.send(format!("{tag} {text}\r\n"));
    }

    pub(super) fn close(&mut self, why: Close) {
        self.reader.clear();
        self.state = State::Closed(why);
    }

    pub(super) fn bye(&mut self, text: &str, why: Close) {
        self.send(format!("* BYE {text}\r\n"));
        self.close(why);
    }

    /// Answers a command that was not executed, and counts it. `answer` is `BAD …` or `NO …`.
    pub(super) fn not_executed(&mut self, tag: Option<&Tag>, answer: &str) {
        match tag {
            Some(tag) => self.reply(tag, answer),
            None => self.send(format!("* {answer}\r\n")),
        }
        self.bad_commands = self.bad_commands.saturating_add(1);
        if self.bad_commands >= self.config.bad_commands {
            self.bye("Too many bad commands", Close::TooManyBadCommands);
        }
    }

    /// Does the next thing that the octets at hand allow. `false` when there are too few.
    fn advance(&mut self) -> bool {
        match std::mem::replace(&mut self.state, State::Commands) {
            State::Commands => {
                let Some(input) = self.reader.next() else { return false };
                self.input(input);
            }
            State::Exchange { tag, exchange } => {
                let Some(response) = self.reader.next_response() else {
                    self.state = State::Exchange { tag, exchange };
                    return false;
                };
                self.response(tag, exchange, &response);
            }
            state @ (State::Asking { .. } | State::Handshake | State::Signed | State::Closed(_)) => {
                self.state = state;
                return false;
            }
        }
        true
    }

    fn input(&mut self, input: Input) {
        match input {
            Input::Whole(command) => self.command(&command),
            Input::Announced(command, literal) => self.announced(command, literal),
            Input::Faulty(command, fault) => {
                let reason = match fault {
                    LineFault::BareCr | LineFault::BareLf => {
                        "BAD A line ends with CR LF and holds neither alone"
                    }
                    LineFault::Nul => "BAD A line holds no NUL",
                    LineFault::TooLong => "BAD The line is too long",
                };
                self.not_executed(grammar::head(&command.octets).tag.as_ref(), reason);
            }
            Input::Flood => self.flood(),
            Input::NotMail => self.close(Close::NotMail),
        }
    }

    pub(super) fn flood(&mut self) {
        self.bye("The literal is beyond all limits", Close::Flood);
    }

    /// Only AUTHENTICATE carries a token, so only it may be longer than other lines.
    fn is_too_long(&self, head: &Head<'_>, command: &Command) -> bool {
        head.verb != Verb::Authenticate && command.in_lines().saturating_add(2) > self.config.line_limit
    }

    /// A command's line ends in a literal: take it, or refuse the whole command now.
    fn announced(&mut self, command: Command, literal: Literal) {
        let head = grammar::head(&command.octets);
        let refusal = if head.tag.is_none() {
            Some("BAD The command has no valid tag")
        } else if self.is_too_long(&head, &command) {
            Some("BAD The line is too long")
        } else if !head.verb.takes_literals() {
            Some("BAD No literal is allowed here")
        } else if head.verb == Verb::Login {
            self.login_refusal()
        } else {
            None
        };
        let tag = head.tag;
        if let Some(refusal) = refusal {
            self.reader.refuse(literal);
            return self.not_executed(tag.as_ref(), refusal);
        }
        match self.reader.take_literal(command, literal) {
            Ok(()) if literal.waits => self.send("+ OK\r\n".to_owned()),
            Ok(()) => {}
            Err(()) => self.not_executed(tag.as_ref(), "BAD The literal is too long"),
        }
    }

    fn command(&mut self, command: &Command) {
        let head = grammar::head(&command.octets);
        let Some(tag) = &head.tag else {
            return self.not_executed(None, "BAD The command has no valid tag");
        };
        if self.is_too_long(&head, command) {
            return self.not_executed(Some(tag), "BAD The line is too long");
        }
        match head.verb {
            Verb::Authenticate => self.authenticate(tag, head.arguments),
            Verb::Id => self.id(tag, head.arguments),
            Verb::Login => self.login(tag, head.arguments),
            Verb::Other => self.not_executed(Some(tag), "BAD Unknown command, or not allowed before login"),
            Verb::Capability | Verb::Logout | Verb::Noop | Verb::StartTls if !head.arguments.is_empty() => {
                self.not_executed(Some(tag), "BAD The command takes no arguments");
            }
            Verb::Capability => {
                self.asked_capabilities = true;
                let list = capability::before_login(&self.config);
                self.send(format!("* CAPABILITY {list}\r\n{tag} OK CAPABILITY completed\r\n"));
            }
            Verb::Noop => self.reply(tag, "OK NOOP completed"),
            Verb::Logout => {
                self.send(format!("* BYE Logging out\r\n{tag} OK LOGOUT completed\r\n"));
                self.close(Close::ClientLeft);
            }
            Verb::StartTls => self.start_tls(tag),
        }
    }

    fn id(&mut self, tag: &Tag, arguments: &[u8]) {
        match grammar::id(arguments) {
            Ok(introduction) => {
                self.client_software = introduction.software;
                self.ttl = introduction.ttl;
                self.send(format!("* ID (\"name\" \"Bearward\")\r\n{tag} OK ID completed\r\n"));
            }
            Err(reason) => self.not_executed(Some(tag), &format!("BAD {reason}")),
        }
    }

    fn start_tls(&mut self, tag: &Tag) {
        match self.config.tls {
            TlsState::ClearStartTls => {
                self.reply(tag, "OK Begin TLS negotiation now");
                self.steps.push_back(Step::StartTls);
                self.reader.clear();
                self.state = State::Handshake;
            }
            TlsState::Clear => self.not_executed(Some(tag), "BAD TLS is not available here"),
            TlsState::Encrypted => self.not_executed(Some(tag), "BAD TLS is already active"),
        }
    }
}

impl Downstream for ImapDownstream {
    fn receive(&mut self, octets: &[u8]) {
        match self.state {
            State::Commands | State::Exchange { .. } => self.reader.push(octets),
            State::Asking { .. } => {
                self.reader.push(octets);
                if self.reader.unread() > MAX_UNREAD {
                    self.bye("Too much was sent behind a login", Close::Flood);
                }
            }
            // What comes in clear behind STARTTLS is never read; nor is what comes after the end.
            State::Handshake | State::Signed | State::Closed(_) => {}
        }
    }

    fn poll(&mut self) -> Step {
        loop {
            if let Some(step) = self.steps.pop_front() {
                return step;
            }
            if let State::Closed(why) = self.state {
                return Step::Close(why);
            }
            if !self.advance() {
                return Step::NeedInput;
            }
        }
    }

    fn answer(&mut self, answer: Answer) {
        match std::mem::replace(&mut self.state, State::Commands) {
            State::Asking { tag, by } => match (answer, by) {
                (Answer::Accepted(accepted), _) => self.accepted(&tag, &accepted),
                (Answer::Refused(refusal), By::LoginCommand) => self.refused(&tag, &refusal),
                (Answer::Refused(refusal), By::Sasl(mut exchange)) => {
                    let step = exchange.refuse(refusal);
                    self.sasl(tag, exchange, step);
                }
            },
            // No question is open; the answer is to nothing.
            state @ (State::Commands
            | State::Exchange { .. }
            | State::Handshake
            | State::Signed
            | State::Closed(_)) => self.state = state,
        }
    }

    fn tls_started(&mut self) {
        if !matches!(self.state, State::Handshake) {
            return;
        }
        self.reader.clear();
        self.config.tls = TlsState::Encrypted;
        self.asked_capabilities = false;
        self.client_software = None;
        self.ttl = None;
        self.state = State::Commands;
    }

    fn awaits_dummy_response(&self) -> bool {
        matches!(&self.state, State::Exchange { exchange, .. } if exchange.awaits_dummy_response())
    }

    fn dummy_response_timed_out(&mut self) {
        if !self.awaits_dummy_response() {
            return;
        }
        if let State::Exchange { tag, mut exchange } = std::mem::replace(&mut self.state, State::Commands) {
            self.reader.give_up_response();
            let step = exchange.dummy_response_timed_out();
            self.sasl(tag, exchange, step);
        }
    }

    fn goodbye(&self, reason: &str) -> Vec<u8> {
        let reason: String =
            reason.chars().map(|c| if c == ' ' || c.is_ascii_graphic() { c } else { '?' }).collect();
        format!("* BYE {reason}\r\n").into_bytes()
    }
}
