//! The server that a client meets.

use std::collections::VecDeque;

use crate::{
    model::{Mechanism, Secret},
    proto::{
        Answer, Attempt, Banner, Close, Credentials, Downstream, FrontConfig, Question, Refusal, RefusalKind,
        Step, TlsState,
        line::{Line, Lines, excerpt},
        sasl::{SaslStep, ServerExchange},
    },
};

/// Room in a continuation line for blanks and the line end.
const CONTINUATION_SLACK: usize = 64;

/// The server that a POP3 client meets until it has signed in.
#[derive(Debug)]
pub struct Pop3Downstream {
    config: FrontConfig,
    tls: TlsState,
    lines: Lines,
    state: State,
    steps: VecDeque<Step>,
    bad_commands: u32,
    failed_auth: u32,
    /// The client asked for UTF-8.
    utf8: bool,
    /// Whom USER has named, for the PASS that follows.
    named: Option<String>,
}

#[derive(Debug)]
enum State {
    Command,
    /// The next line belongs to the exchange, whatever it holds.
    Exchange(ServerExchange),
    /// The answer comes next; to an exchange, or to PASS.
    Asked(Option<ServerExchange>),
    /// TLS is being started; what comes in clear now is dropped.
    Handshake,
    HandedOver,
    Closed(Close),
}

impl Pop3Downstream {
    /// A machine for a new connection; its first step is the greeting.
    pub fn new(banner: Banner, config: FrontConfig) -> Self {
        let mut machine = Self {
            tls: config.tls,
            lines: Lines::new(0),
            state: State::Command,
            utf8: false,
            named: None,
            steps: VecDeque::new(),
            bad_commands: 0,
            failed_auth: 0,
            config,
        };
        match banner {
            // No `<…>`: that would be an APOP timestamp (RFC 1939 §7).
            Banner::Welcome => machine.send(&format!("+OK {} is ready", machine.config.hostname)),
            Banner::Busy => {
                machine.send("-ERR [SYS/TEMP] Too many connections; try again later");
                machine.close(Close::Busy);
            }
        }
        machine
    }

    fn next_line(&mut self) -> Option<Line> {
        let limit = match self.state {
            // RFC 2449 §4 ends a command at 255 octets; clients send long initial responses all the same.
            State::Command => self.config.line_limit.saturating_add(self.config.sasl_limit),
            State::Exchange(_) => self.config.sasl_limit.saturating_add(CONTINUATION_SLACK),
            State::Asked(_) | State::Handshake | State::HandedOver | State::Closed(_) => return None,
        };
        self.lines.set_limit(limit);
        self.lines.next_line()
    }

    fn take_line(&mut self, line: &Line) {
        match std::mem::replace(&mut self.state, State::Command) {
            State::Exchange(mut exchange) => {
                let step = exchange.receive(&line.text, line.is_too_long());
                self.follow(exchange, step);
            }
            State::Command => self.command(line),
            other @ (State::Asked(_) | State::Handshake | State::HandedOver | State::Closed(_)) => {
                self.state = other;
            }
        }
    }

    fn command(&mut self, line: &Line) {
        if line.is_http() {
            return self.close(Close::NotMail);
        }
        let Ok(text) = line.clean() else {
            return self
                .bad("The line is malformed: it must end with CRLF, hold no NUL, and not be too long");
        };
        let mut words = text.split(|octet| *octet == b' ').filter(|word| !word.is_empty());
        let verb = words.next().unwrap_or_default().to_ascii_uppercase();
        // A name counts for the very next command.
        let named = self.named.take();
        if verb != b"AUTH" && text.len().saturating_add(2) > self.config.line_limit {
            return self.bad("The line is too long");
        }
        match (verb.as_slice(), words.next(), words.next(), words.next()) {
            (b"AUTH", None, _, _) => self.list_mechanisms(),
            (b"AUTH", Some(mechanism), initial, None) => self.authenticate(mechanism, initial),
            (b"AUTH", ..) => self.bad("AUTH takes a mechanism and at most one initial response"),
            (b"CAPA", None, _, _) => self.capabilities(),
            (b"STLS", None, _, _) => self.start_tls(),
            (b"UTF8", None, _, _) if self.offers("UTF8") => {
                self.utf8 = true;
                self.send("+OK UTF-8 it is");
            }
            (b"LANG", language, None, _) if self.offers("LANG") => self.language(language),
            (b"QUIT", None, _, _) => {
                self.send("+OK Bye");
                self.close(Close::ClientLeft);
            }
            (b"USER" | b"PASS", ..) if self.tls != TlsState::Encrypted && self.has_passwords() => {
                self.failed("[SYS/PERM] Encryption is required before sign-in");
            }
            (b"USER" | b"PASS" | b"APOP", ..) if !self.takes_passwords() => {
                self.failed("[SYS/PERM] Passwords are not accepted here; sign in with a bearer token (SASL)");
            }
            (b"USER", ..) => self.user(argument(text).trim_ascii()),
            (b"PASS", ..) => self.pass(named, argument(text)),
            (b"APOP", ..) => self.failed("[SYS/PERM] APOP is not accepted here; sign in with USER and PASS"),
            _ => self.bad("Unknown command, or not before sign-in"),
        }
    }

    fn authenticate(&mut self, mechanism: &[u8], initial: Option<&[u8]>) {
        if self.tls != TlsState::Encrypted {
            return self.failed("[SYS/PERM] Encryption is required before sign-in");
        }
        let known = Mechanism::from_name(mechanism).filter(|known| self.config.offers(*known));
        let Some(mechanism) = known else {
            return self.bad("That mechanism is not offered here");
        };
        let (exchange, step) = ServerExchange::start(mechanism, initial, self.config.sasl_limit);
        self.follow(exchange, step);
    }

    /// Whether USER and PASS are taken, and so a password in clear inside TLS.
    fn takes_passwords(&self) -> bool {
        self.tls == TlsState::Encrypted && self.has_passwords()
    }

    fn has_passwords(&self) -> bool {
        self.config.mechanisms.iter().any(|mechanism| !mechanism.is_bearer())
    }

    fn user(&mut self, name: &[u8]) {
        match std::str::from_utf8(name) {
            Ok(name) if !name.is_empty() && !name.chars().any(char::is_control) => {
                self.named = Some(name.to_owned());
                // For every name the same (RFC 1939 §13).
                self.send("+OK Send PASS");
            }
            Ok(_) | Err(_) => self.bad("The user name is malformed"),
        }
    }

    /// PASS takes the whole rest of the line: a password may hold blanks (RFC 1939 §7).
    fn pass(&mut self, named: Option<String>, password: &[u8]) {
        let Some(login) = named else { return self.bad("Send USER first") };
        if password.is_empty() {
            return self.bad("The password is empty");
        }
        let password = Secret::copy_of(password);
        let credentials = Credentials::Password { authzid: None, login, password };
        self.ask(None, Mechanism::Plain, credentials);
    }

    fn ask(&mut self, exchange: Option<ServerExchange>, mechanism: Mechanism, credentials: Credentials) {
        self.state = State::Asked(exchange);
        let attempt = Attempt {
            mechanism,
            credentials,
            client_name: None,
            client_software: None,
            utf8: self.utf8,
            ttl: None,
        };
        self.steps.push_back(Step::Ask(Question::Authenticate(attempt)));
    }

    /// Carries out what the exchange says.
    fn follow(&mut self, exchange: ServerExchange, step: SaslStep) {
        match step {
            SaslStep::Attempt(credentials) => {
                let mechanism = exchange.mechanism();
                self.ask(Some(exchange), mechanism, credentials);
            }
            SaslStep::Challenge(text) => {
                // RFC 5034 §4: the space stands even before an empty challenge.
                self.send(&format!("+ {text}"));
                self.state = State::Exchange(exchange);
            }
            SaslStep::Cancelled if exchange.was_refused() => self.refuse("[AUTH] Cancelled"),
            SaslStep::Cancelled => self.bad("Cancelled"),
            SaslStep::Failed(refusal) => self.refuse(&refusal_text(&refusal)),
            SaslStep::Malformed(reason) => self.spoiled(exchange.mechanism(), reason),
            SaslStep::TooLong => self.spoiled(exchange.mechanism(), "the response is too long"),
        }
    }

    fn spoiled(&mut self, mechanism: Mechanism, reason: &'static str) {
        self.steps.push_back(Step::Spoiled { mechanism, reason });
        self.bad(&format!("Malformed sign-in: {reason}"));
    }

    /// AUTH without an argument, from before RFC 5034: the mechanisms.
    fn list_mechanisms(&mut self) {
        let mut reply = String::from("+OK Mechanisms follow\r\n");
        for mechanism in self.mechanisms() {
            reply.push_str(mechanism.as_str());
            reply.push_str("\r\n");
        }
        reply.push('.');
        self.send(&reply);
    }

    fn capabilities(&mut self) {
        let mut reply = String::from("+OK Capabilities follow\r\n");
        for line in &self.config.offer.lines {
            reply.push_str(line);
            reply.push_str("\r\n");
        }
        if !self.mechanisms().is_empty() {
            reply.push_str("SASL");
            for mechanism in self.mechanisms() {
                reply.push(' ');
                reply.push_str(mechanism.as_str());
            }
            reply.push_str("\r\n");
        }
        if self.takes_passwords() {
            reply.push_str("USER\r\n");
        }
        reply.push_str("RESP-CODES\r\nAUTH-RESP-CODE\r\n");
        if self.tls == TlsState::ClearStartTls {
            reply.push_str("STLS\r\n");
        }
        reply.push_str("IMPLEMENTATION Bearward\r\n.");
        self.send(&reply);
    }

    fn offers(&self, name: &str) -> bool {
        let first = |line: &String| line.split(' ').next().is_some_and(|own| own.eq_ignore_ascii_case(name));
        self.config.offer.lines.iter().any(first)
    }

    /// LANG (RFC 6856 §3): what is said before the login is said in English. After it the mail server is asked.
    fn language(&mut self, language: Option<&[u8]>) {
        let known =
            |name: &[u8]| [&b"*"[..], b"en", b"i-default"].iter().any(|own| own.eq_ignore_ascii_case(name));
        match language {
            None => self.send("+OK Languages follow\r\nen English\r\n."),
            Some(name) if known(name) => self.send("+OK en English it is"),
            Some(_) => self.bad("Before sign-in there is English only"),
        }
    }

    fn start_tls(&mut self) {
        if self.tls != TlsState::ClearStartTls {
            return self.bad("TLS cannot be started here");
        }
        self.send("+OK Begin TLS");
        self.steps.push_back(Step::StartTls);
        // A command behind STLS in the same segment would be executed inside TLS as if it had come encrypted.
        self.lines.clear();
        self.state = State::Handshake;
    }

    fn mechanisms(&self) -> &[Mechanism] {
        match self.tls {
            TlsState::Encrypted => &self.config.mechanisms,
            TlsState::Clear | TlsState::ClearStartTls => &[],
        }
    }

    fn bad(&mut self, text: &str) {
        self.bad_commands = self.bad_commands.saturating_add(1);
        self.refuse(text);
    }

    fn failed(&mut self, text: &str) {
        self.failed_auth = self.failed_auth.saturating_add(1);
        self.refuse(text);
    }

    fn refuse(&mut self, text: &str) {
        self.send(&format!("-ERR {text}"));
        if self.failed_auth >= self.config.failed_auth {
            self.close(Close::TooManyFailures);
        } else if self.bad_commands >= self.config.bad_commands {
            self.close(Close::TooManyBadCommands);
        }
    }

    fn send(&mut self, text: &str) {
        self.steps.push_back(Step::Send(format!("{text}\r\n").into_bytes()));
    }

    fn close(&mut self, reason: Close) {
        self.lines.clear();
        self.state = State::Closed(reason);
    }
}

impl Downstream for Pop3Downstream {
    fn receive(&mut self, octets: &[u8]) {
        match self.state {
            State::Command | State::Exchange(_) | State::Asked(_) => self.lines.push(octets),
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
            let Some(line) = self.next_line() else { return Step::NeedInput };
            self.take_line(&line);
        }
    }

    fn answer(&mut self, answer: Answer) {
        let exchange = match std::mem::replace(&mut self.state, State::Command) {
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
            Answer::Accepted(_) => {
                self.send("+OK Signed in");
                self.steps.push_back(Step::Handover(self.lines.take_rest()));
                self.state = State::HandedOver;
            }
            Answer::Refused(refusal) => {
                if refusal.kind.is_failed_sign_in() {
                    self.failed_auth = self.failed_auth.saturating_add(1);
                }
                match exchange {
                    Some(mut exchange) => {
                        let step = exchange.refuse(refusal);
                        self.follow(exchange, step);
                    }
                    None => self.refuse(&refusal_text(&refusal)),
                }
            }
        }
    }

    fn tls_started(&mut self) {
        self.lines.clear();
        self.utf8 = false;
        self.named = None;
        self.tls = TlsState::Encrypted;
        self.state = State::Command;
    }

    fn awaits_dummy_response(&self) -> bool {
        matches!(&self.state, State::Exchange(exchange) if exchange.awaits_dummy_response())
    }

    fn dummy_response_timed_out(&mut self) {
        if !self.awaits_dummy_response() {
            return;
        }
        if let State::Exchange(mut exchange) = std::mem::replace(&mut self.state, State::Command) {
            let step = exchange.dummy_response_timed_out();
            self.follow(exchange, step);
        }
    }

    fn goodbye(&self, reason: &str) -> Vec<u8> {
        format!("-ERR [SYS/TEMP] {}\r\n", excerpt(reason.as_bytes())).into_bytes()
    }
}

/// What stands behind the verb and one blank.
fn argument(text: &[u8]) -> &[u8] {
    let text = text.trim_ascii_start();
    let blank = text.iter().position(|octet| *octet == b' ').unwrap_or(text.len());
    text.get(blank.saturating_add(1)..).unwrap_or_default()
}

/// RFC 3206 gives three answers: the credential, a passing fault, a lasting one. What the client may learn
/// never includes whether an account exists.
fn refusal_text(refusal: &Refusal) -> String {
    let text = match refusal.kind {
        RefusalKind::InvalidToken | RefusalKind::Pointless => "[AUTH] The credential is not accepted",
        RefusalKind::InsufficientScope => "[AUTH] The credential does not allow POP3",
        RefusalKind::NotAuthorized => "[AUTH] The credential is not for that user",
        RefusalKind::OperatorFault => "[SYS/PERM] The mail service needs its operator",
        RefusalKind::Policy => "[SYS/PERM] This kind of sign-in is not accepted here",
        RefusalKind::RateLimited => "[SYS/TEMP] Too many attempts; try again later",
        RefusalKind::Unavailable | RefusalKind::Undecided => {
            "[SYS/TEMP] The mail service is not available now; try again later"
        }
    };
    format!("{text} (session {})", refusal.session)
}
