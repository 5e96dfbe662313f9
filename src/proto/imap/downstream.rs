//! The server that an IMAP client meets until it has signed in.

use std::collections::VecDeque;

use super::{
    capability,
    grammar::{self, Head, Tag, Verb},
    literal::Literal,
    reader::{Command, CommandReader, Input, Response},
};
use crate::{
    model::{Mechanism, Secret},
    proto::{
        Accepted, Answer, Attempt, Banner, Close, Credentials, Downstream, FrontConfig, Question, Refusal,
        RefusalKind, Step, TlsState,
        line::LineFault,
        sasl::{SaslStep, ServerExchange},
    },
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
    config: FrontConfig,
    reader: CommandReader,
    steps: VecDeque<Step>,
    state: State,
    /// The client asked for capabilities by command, so it may not read them from response codes.
    asked_capabilities: bool,
    client_software: Option<String>,
    bad_commands: u32,
    failed_auth: u32,
}

#[derive(Debug)]
enum State {
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
enum By {
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

    fn send(&mut self, text: String) {
        self.steps.push_back(Step::Send(text.into_bytes()));
    }

    fn reply(&mut self, tag: &Tag, text: &str) {
        self.send(format!("{tag} {text}\r\n"));
    }

    fn close(&mut self, why: Close) {
        self.reader.clear();
        self.state = State::Closed(why);
    }

    fn bye(&mut self, text: &str, why: Close) {
        self.send(format!("* BYE {text}\r\n"));
        self.close(why);
    }

    /// Answers a command that was not executed, and counts it. `answer` is `BAD …` or `NO …`.
    fn not_executed(&mut self, tag: Option<&Tag>, answer: &str) {
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

    fn flood(&mut self) {
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
            Ok(software) => {
                self.client_software = software;
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

    fn authenticate(&mut self, tag: &Tag, arguments: &[u8]) {
        let Some((name, initial)) = grammar::authenticate(arguments) else {
            return self
                .not_executed(Some(tag), "BAD AUTHENTICATE takes a mechanism and an initial response");
        };
        if self.config.tls != TlsState::Encrypted {
            return self.not_executed(Some(tag), "NO [PRIVACYREQUIRED] Start TLS first");
        }
        let Some(mechanism) = Mechanism::from_name(name).filter(|&own| self.config.offers(own)) else {
            return self.not_executed(Some(tag), "NO The mechanism is not offered here");
        };
        let (exchange, step) = ServerExchange::start(mechanism, initial, self.config.sasl_limit);
        self.sasl(tag.clone(), exchange, step);
    }

    fn response(&mut self, tag: Tag, mut exchange: ServerExchange, response: &Response) {
        match response {
            Response::Line(line) => {
                let step = exchange.receive(&line.text, line.is_too_long());
                self.sasl(tag, exchange, step);
            }
            Response::Flood => self.flood(),
        }
    }

    fn sasl(&mut self, tag: Tag, exchange: ServerExchange, step: SaslStep) {
        match step {
            SaslStep::Attempt(credentials) => {
                let mechanism = exchange.mechanism();
                self.ask(tag, By::Sasl(exchange), mechanism, credentials);
            }
            SaslStep::Challenge(challenge) => {
                self.send(format!("+ {challenge}\r\n"));
                self.state = State::Exchange { tag, exchange };
            }
            SaslStep::Failed(refusal) => self.refused(&tag, &refusal),
            SaslStep::Cancelled if exchange.was_refused() => {
                self.reply(&tag, "BAD AUTHENTICATE cancelled");
                self.count_failure();
            }
            SaslStep::Cancelled => self.not_executed(Some(&tag), "BAD AUTHENTICATE cancelled"),
            SaslStep::Malformed(reason) => self.not_executed(Some(&tag), &format!("BAD {reason}")),
            SaslStep::TooLong => self.not_executed(Some(&tag), "BAD The response is too long"),
        }
    }

    /// Why LOGIN is refused whatever it carries.
    fn login_refusal(&self) -> Option<&'static str> {
        if self.config.tls != TlsState::Encrypted {
            return Some("NO [PRIVACYREQUIRED] Start TLS first");
        }
        if !capability::takes_passwords(&self.config) {
            return Some("NO [CONTACTADMIN] Passwords are not accepted here; sign in with OAuth");
        }
        None
    }

    fn login(&mut self, tag: &Tag, arguments: &[u8]) {
        if let Some(refusal) = self.login_refusal() {
            return self.not_executed(Some(tag), refusal);
        }
        let Some((user, password)) = grammar::login(arguments) else {
            return self.not_executed(Some(tag), "BAD LOGIN takes a user name and a password");
        };
        let user = match std::str::from_utf8(&user) {
            Ok(user) if !user.is_empty() && !user.chars().any(char::is_control) => user.to_owned(),
            Ok(_) | Err(_) => return self.not_executed(Some(tag), "BAD The user name is malformed"),
        };
        if password.is_empty() || password.contains(&0) {
            return self.not_executed(Some(tag), "BAD The password is empty or holds a NUL");
        }
        let password = Secret::copy_of(&password);
        let credentials = Credentials::Password { authzid: None, login: user, password };
        self.ask(tag.clone(), By::LoginCommand, Mechanism::Plain, credentials);
    }

    fn ask(&mut self, tag: Tag, by: By, mechanism: Mechanism, credentials: Credentials) {
        let client_software = self.client_software.clone();
        let attempt = Attempt { mechanism, credentials, client_name: None, client_software };
        self.steps.push_back(Step::Ask(Question::Authenticate(attempt)));
        self.state = State::Asking { tag, by };
    }

    fn accepted(&mut self, tag: &Tag, accepted: &Accepted) {
        let list = &accepted.capabilities;
        // It stands inside a response code, so it must not be able to end one.
        let is_list = !list.is_empty() && list.bytes().all(|o| o == b' ' || capability::is_atom_char(o));
        let mut text = String::new();
        if is_list && self.asked_capabilities {
            text = format!("* CAPABILITY {list}\r\n");
        }
        let code = if is_list { format!("[CAPABILITY {list}] ") } else { String::new() };
        self.send(format!("{text}{tag} OK {code}Logged in\r\n"));
        self.steps.push_back(Step::Handover(self.reader.take_rest()));
        self.state = State::Signed;
    }

    /// The tagged answer for a refusal (RFC 5530).
    fn refused(&mut self, tag: &Tag, refusal: &Refusal) {
        let (code, text) = match refusal.kind {
            RefusalKind::InvalidToken | RefusalKind::InsufficientScope | RefusalKind::Pointless => {
                ("AUTHENTICATIONFAILED", "Authentication failed")
            }
            RefusalKind::NotAuthorized => ("AUTHORIZATIONFAILED", "Not allowed to act as this user"),
            RefusalKind::OperatorFault => ("CONTACTADMIN", "The server needs its administrator"),
            RefusalKind::Policy => ("CONTACTADMIN", "This kind of sign-in is not allowed here"),
            RefusalKind::RateLimited => ("LIMIT", "Too many attempts, try again later"),
            RefusalKind::Unavailable => ("UNAVAILABLE", "Temporary failure, try again later"),
        };
        self.reply(tag, &format!("NO [{code}] {text} (session {})", refusal.session));
        if refusal.kind.is_failed_sign_in() {
            self.count_failure();
        }
    }

    fn count_failure(&mut self) {
        self.failed_auth = self.failed_auth.saturating_add(1);
        if self.failed_auth >= self.config.failed_auth {
            self.bye("Too many failed sign-ins", Close::TooManyFailures);
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
        self.reader.clear();
        self.config.tls = TlsState::Encrypted;
        self.asked_capabilities = false;
        self.client_software = None;
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
