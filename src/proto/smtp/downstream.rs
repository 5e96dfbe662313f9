//! The submission server that a client meets until it has signed in.

use std::collections::VecDeque;

use memchr::memchr;

use super::{command::Verb, ehlo};
use crate::{
    model::Mechanism,
    proto::{
        Answer, Attempt, Banner, Close, Downstream, FrontConfig, Question, Refusal, RefusalKind, Step,
        TlsState,
        line::{Line, Lines, excerpt},
        sasl::{SaslStep, ServerExchange},
    },
};

/// The server that an SMTP client meets until it has signed in (RFC 6409, RFC 4954, RFC 3207).
#[derive(Debug)]
pub struct SmtpDownstream {
    config: FrontConfig,
    lines: Lines,
    steps: VecDeque<Step>,
    state: State,
    /// Changes with STARTTLS, unlike that of the configuration.
    tls: TlsState,
    /// Whether EHLO or HELO was accepted.
    greeted: bool,
    client_name: Option<String>,
    bad_commands: u32,
    failed_auth: u32,
    /// Octets since the last LF.
    unended: usize,
    /// Whether the client sent more without a line end than is waited for.
    flooded: bool,
    /// Whether the client has sent anything.
    heard: bool,
}

#[derive(Debug)]
enum State {
    /// The question is open.
    Asked(ServerExchange),
    Command,
    Over(Close),
    Sasl(ServerExchange),
    SignedIn,
    Tls,
}

impl SmtpDownstream {
    /// What a command line with an initial response holds beyond the response.
    const AUTH_OVERHEAD: usize = 64;
    /// Octets without a line end after which the client is not listened to any more.
    const FLOOD: usize = 256 * 1024;

    /// A machine for a new connection; its first step is the greeting.
    pub fn new(banner: Banner, config: FrontConfig) -> Self {
        let limit = config.line_limit.max(config.sasl_limit.saturating_add(Self::AUTH_OVERHEAD));
        let mut machine = Self {
            lines: Lines::new(limit),
            steps: VecDeque::new(),
            state: State::Command,
            tls: config.tls,
            greeted: false,
            client_name: None,
            bad_commands: 0,
            failed_auth: 0,
            unended: 0,
            flooded: false,
            heard: false,
            config,
        };
        match banner {
            Banner::Welcome => machine.send(&format!("220 {} ESMTP Bearward", machine.config.hostname)),
            Banner::Busy => machine.close("421 4.3.2 Too many connections, try again later", Close::Busy),
        }
        machine
    }

    fn send(&mut self, reply: &str) {
        self.steps.push_back(Step::Send(format!("{reply}\r\n").into_bytes()));
    }

    fn close(&mut self, reply: &str, close: Close) {
        self.send(reply);
        self.over(close);
    }

    fn over(&mut self, close: Close) {
        self.lines.clear();
        self.state = State::Over(close);
    }

    /// Refuses a command, and leaves when it was one too many.
    fn bad(&mut self, reply: &str) {
        self.bad_commands = self.bad_commands.saturating_add(1);
        if self.bad_commands >= self.config.bad_commands {
            return self.close("421 4.7.0 Too many bad commands", Close::TooManyBadCommands);
        }
        self.send(reply);
    }

    /// Refuses an attempt, and leaves when it was one too many. The client learns first what was wrong.
    fn failed(&mut self, reply: &str) {
        self.failed_auth = self.failed_auth.saturating_add(1);
        self.send(reply);
        if self.failed_auth >= self.config.failed_auth {
            self.close("421 4.7.0 Too many failed sign-ins", Close::TooManyFailures);
        }
    }

    fn line(&mut self, line: &Line) {
        match std::mem::replace(&mut self.state, State::Command) {
            State::Sasl(mut exchange) => {
                let step = exchange.receive(&line.text, line.is_too_long());
                self.sasl(exchange, step);
            }
            State::Command => self.command_line(line),
            waiting @ (State::Asked(_) | State::Over(_) | State::SignedIn | State::Tls) => {
                self.state = waiting
            }
        }
    }

    fn command_line(&mut self, line: &Line) {
        if line.is_http() {
            return self.over(Close::NotMail);
        }
        let (verb, arguments) = Verb::split(&line.text);
        // Whether the verb of a faulty line is known matters for the text alone; it is never executed.
        let too_long = line.is_too_long()
            || (line.text.len().saturating_add(2) > self.config.line_limit && verb != Some(Verb::Auth));
        if too_long && verb == Some(Verb::Auth) {
            return self.bad("500 5.5.6 Authentication exchange line is too long");
        }
        if too_long {
            return self.bad("500 5.5.2 Line too long");
        }
        if line.clean().is_err() {
            return self.bad("500 5.5.2 A command ends with CRLF and holds no other CR, LF or NUL");
        }
        self.command(verb, arguments);
    }

    fn command(&mut self, verb: Option<Verb>, arguments: &[u8]) {
        match verb {
            Some(Verb::Auth) => self.auth(arguments),
            Some(Verb::Ehlo) => self.hello(arguments, true),
            Some(Verb::Helo) => self.hello(arguments, false),
            Some(Verb::Help) => self.send("214 2.0.0 Sign in with AUTH, see RFC 4954"),
            Some(Verb::Noop | Verb::Rset) => self.send("250 2.0.0 OK"),
            Some(Verb::Quit) => self.close("221 2.0.0 Bye", Close::ClientLeft),
            Some(Verb::StartTls) => self.start_tls(arguments),
            Some(Verb::Bdat | Verb::Data | Verb::Expn | Verb::Mail | Verb::Rcpt | Verb::Vrfy) => {
                self.bad(match self.tls {
                    TlsState::ClearStartTls => STARTTLS_FIRST,
                    TlsState::Clear | TlsState::Encrypted => "530 5.7.0 Authentication required",
                });
            }
            Some(Verb::Atrn | Verb::Burl | Verb::Etrn | Verb::Xclient) => {
                self.bad("502 5.5.1 Command not available")
            }
            None => self.bad("500 5.5.2 Unknown command"),
        }
    }

    fn hello(&mut self, arguments: &[u8], extended: bool) {
        let Some(name) = ehlo::client_name(arguments) else {
            return self.bad("501 5.5.4 A host name or an address literal is needed");
        };
        self.client_name = Some(name.to_owned());
        self.greeted = true;
        if extended {
            let answer = self.ehlo_answer();
            return self.steps.push_back(Step::Send(answer));
        }
        self.send(&format!("250 {}", self.config.hostname));
    }

    fn ehlo_answer(&self) -> Vec<u8> {
        let mut lines = vec![self.config.hostname.to_string()];
        lines.extend(self.config.offer.lines.iter().filter(|line| ehlo::may_promise(line)).cloned());
        match self.tls {
            TlsState::Clear => {}
            TlsState::ClearStartTls => lines.push("STARTTLS".to_owned()),
            TlsState::Encrypted if self.config.mechanisms.is_empty() => {}
            TlsState::Encrypted => {
                let names: Vec<&str> =
                    self.config.mechanisms.iter().map(|mechanism| mechanism.as_str()).collect();
                lines.push(format!("AUTH {}", names.join(" ")));
            }
        }
        let last = lines.len().saturating_sub(1);
        let mut answer = Vec::new();
        for (number, line) in lines.iter().enumerate() {
            let separator = if number == last { ' ' } else { '-' };
            answer.extend_from_slice(format!("250{separator}{line}\r\n").as_bytes());
        }
        answer
    }

    fn start_tls(&mut self, arguments: &[u8]) {
        match self.tls {
            TlsState::Clear => self.bad("502 5.5.1 Command not available"),
            TlsState::Encrypted => self.bad("503 5.5.1 TLS already active"),
            TlsState::ClearStartTls if !arguments.is_empty() => {
                self.bad("501 5.5.4 STARTTLS takes no parameter")
            }
            TlsState::ClearStartTls => {
                self.send("220 2.0.0 Ready to start TLS");
                self.steps.push_back(Step::StartTls);
                self.lines.clear();
                self.state = State::Tls;
            }
        }
    }

    fn auth(&mut self, arguments: &[u8]) {
        match self.tls {
            TlsState::ClearStartTls => return self.bad(STARTTLS_FIRST),
            TlsState::Clear => return self.bad("538 5.7.11 Encryption is required to sign in"),
            TlsState::Encrypted => {}
        }
        if !self.greeted {
            return self.bad("503 5.5.1 Send EHLO first");
        }
        let end = arguments.iter().position(|octet| matches!(octet, b' ' | b'\t')).unwrap_or(arguments.len());
        let (name, rest) = arguments.split_at_checked(end).unwrap_or((arguments, &[]));
        if name.is_empty() {
            return self.bad("501 5.5.4 AUTH needs a mechanism");
        }
        let Some(mechanism) = Mechanism::from_name(name).filter(|mechanism| self.config.offers(*mechanism))
        else {
            return self.bad("504 5.5.4 Mechanism not supported");
        };
        let response = rest.trim_ascii();
        let initial = (!response.is_empty()).then_some(response);
        let (exchange, step) = ServerExchange::start(mechanism, initial, self.config.sasl_limit);
        self.sasl(exchange, step);
    }

    fn sasl(&mut self, exchange: ServerExchange, step: SaslStep) {
        match step {
            SaslStep::Attempt(credentials) => {
                let attempt = Attempt {
                    mechanism: exchange.mechanism(),
                    credentials,
                    client_name: self.client_name.clone(),
                    client_software: None,
                    utf8: false,
                    ttl: None,
                };
                self.steps.push_back(Step::Ask(Question::Authenticate(attempt)));
                self.state = State::Asked(exchange);
            }
            SaslStep::Challenge(challenge) => {
                // The blank stands there even when the challenge is empty (RFC 4954 §4).
                self.send(&format!("334 {challenge}"));
                self.state = State::Sasl(exchange);
            }
            SaslStep::Cancelled if exchange.was_refused() => {
                self.failed("501 5.7.0 Authentication cancelled")
            }
            SaslStep::Cancelled => self.bad("501 5.7.0 Authentication cancelled"),
            SaslStep::Failed(refusal) => self.refused(&refusal),
            SaslStep::Malformed(reason) => {
                self.spoiled(exchange.mechanism(), reason);
                self.bad(&format!("501 5.5.2 Cannot read the response: {reason}"));
            }
            SaslStep::TooLong => {
                self.spoiled(exchange.mechanism(), "the response is too long");
                self.bad("500 5.5.6 Authentication exchange line is too long");
            }
        }
    }

    fn spoiled(&mut self, mechanism: Mechanism, reason: &'static str) {
        self.steps.push_back(Step::Spoiled { mechanism, reason });
    }

    fn refused(&mut self, refusal: &Refusal) {
        let session = refusal.session;
        match refusal.kind {
            RefusalKind::InsufficientScope
            | RefusalKind::InvalidToken
            | RefusalKind::NotAuthorized
            | RefusalKind::Pointless => {
                self.failed(&format!("535 5.7.8 Authentication credentials invalid (session {session})"));
            }
            RefusalKind::Policy => {
                self.failed(&format!(
                    "535 5.7.8 This way to sign in is not accepted here (session {session})"
                ));
            }
            RefusalKind::RateLimited => {
                self.failed(&format!("454 4.7.0 Too many attempts, try again later (session {session})"));
            }
            RefusalKind::Undecided => {
                self.failed(&format!("454 4.7.0 Temporary authentication failure (session {session})"));
            }
            // The credential is not to blame: it counts for nothing.
            RefusalKind::OperatorFault | RefusalKind::Unavailable => {
                self.send(&format!("454 4.7.0 Temporary authentication failure (session {session})"));
            }
        }
    }

    fn flood(&mut self) {
        self.close("421 4.7.0 Line beyond all limits", Close::Flood);
    }

    /// How many of the octets come before a line has become a flood.
    fn before_flood(&mut self, octets: &[u8]) -> usize {
        let mut taken = 0;
        loop {
            let rest = octets.get(taken..).unwrap_or_default();
            if rest.is_empty() {
                return taken;
            }
            let end = memchr(b'\n', rest).map(|lf| lf + 1);
            let length = end.unwrap_or(rest.len());
            if self.unended + length > Self::FLOOD {
                self.flooded = true;
                return taken + Self::FLOOD.saturating_sub(self.unended);
            }
            self.unended = if end.is_some() { 0 } else { self.unended + length };
            taken += length;
        }
    }
}

const STARTTLS_FIRST: &str = "530 5.7.0 Must issue a STARTTLS command first";

impl Downstream for SmtpDownstream {
    fn receive(&mut self, octets: &[u8]) {
        if self.flooded || matches!(self.state, State::Over(_) | State::SignedIn | State::Tls) {
            return;
        }
        // A TLS handshake record where none is due: a client set up for implicit TLS.
        let is_tls = !self.heard && octets.first() == Some(&0x16);
        self.heard |= !octets.is_empty();
        if is_tls {
            return self.over(Close::NotMail);
        }
        let taken = self.before_flood(octets);
        self.lines.push(octets.get(..taken).unwrap_or(octets));
    }

    fn poll(&mut self) -> Step {
        loop {
            if let Some(step) = self.steps.pop_front() {
                return step;
            }
            match self.state {
                State::Over(close) => return Step::Close(close),
                State::Asked(_) | State::SignedIn | State::Tls => return Step::NeedInput,
                State::Command | State::Sasl(_) => {}
            }
            match self.lines.next_line() {
                Some(line) => self.line(&line),
                None if self.flooded => self.flood(),
                None => return Step::NeedInput,
            }
        }
    }

    fn answer(&mut self, answer: Answer) {
        match (std::mem::replace(&mut self.state, State::Command), answer) {
            // What was thrown away cannot be handed over.
            (State::Asked(_), Answer::Accepted(_)) if self.flooded => self.flood(),
            (State::Asked(_), Answer::Accepted(_)) => {
                self.send("235 2.7.0 Authentication succeeded");
                self.steps.push_back(Step::Handover(self.lines.take_rest()));
                self.state = State::SignedIn;
            }
            (State::Asked(mut exchange), Answer::Refused(refusal)) => {
                let step = exchange.refuse(refusal);
                self.sasl(exchange, step);
            }
            (
                other @ (State::Command | State::Over(_) | State::Sasl(_) | State::SignedIn | State::Tls),
                _,
            ) => {
                self.state = other;
            }
        }
    }

    fn tls_started(&mut self) {
        self.lines.clear();
        self.steps.clear();
        self.unended = 0;
        self.flooded = false;
        self.tls = TlsState::Encrypted;
        self.greeted = false;
        self.client_name = None;
        self.state = State::Command;
    }

    fn awaits_dummy_response(&self) -> bool {
        matches!(&self.state, State::Sasl(exchange) if exchange.awaits_dummy_response())
    }

    fn dummy_response_timed_out(&mut self) {
        match std::mem::replace(&mut self.state, State::Command) {
            State::Sasl(mut exchange) if exchange.awaits_dummy_response() => {
                let step = exchange.dummy_response_timed_out();
                self.sasl(exchange, step);
            }
            other @ (State::Asked(_)
            | State::Command
            | State::Over(_)
            | State::Sasl(_)
            | State::SignedIn
            | State::Tls) => self.state = other,
        }
    }

    fn goodbye(&self, reason: &str) -> Vec<u8> {
        format!("421 4.3.2 {} {}\r\n", self.config.hostname, excerpt(reason.as_bytes())).into_bytes()
    }
}
