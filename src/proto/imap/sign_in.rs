//! How a client signs in: AUTHENTICATE and LOGIN, and what becomes of an attempt.

use super::{
    capability,
    downstream::{By, ImapDownstream, State},
    grammar::{self, Tag},
    reader::Response,
};
use crate::{
    model::{Mechanism, Secret},
    proto::{
        Accepted, Attempt, Close, Credentials, Question, Refusal, RefusalKind, Step, TlsState,
        sasl::{SaslStep, ServerExchange},
    },
};

impl ImapDownstream {
    pub(super) fn authenticate(&mut self, tag: &Tag, arguments: &[u8]) {
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

    pub(super) fn response(&mut self, tag: Tag, mut exchange: ServerExchange, response: &Response) {
        match response {
            Response::Line(line) => {
                let step = exchange.receive(&line.text, line.is_too_long());
                self.sasl(tag, exchange, step);
            }
            Response::Flood => self.flood(),
        }
    }

    pub(super) fn sasl(&mut self, tag: Tag, exchange: ServerExchange, step: SaslStep) {
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
            SaslStep::Malformed(reason) => self.spoiled(&tag, exchange.mechanism(), reason),
            SaslStep::TooLong => self.spoiled(&tag, exchange.mechanism(), "The response is too long"),
        }
    }

    fn spoiled(&mut self, tag: &Tag, mechanism: Mechanism, reason: &'static str) {
        self.steps.push_back(Step::Spoiled { mechanism, reason });
        self.not_executed(Some(tag), &format!("BAD {reason}"));
    }

    /// Why LOGIN is refused whatever it carries.
    pub(super) fn login_refusal(&self) -> Option<&'static str> {
        if self.config.tls != TlsState::Encrypted {
            return Some("NO [PRIVACYREQUIRED] Start TLS first");
        }
        if !capability::takes_passwords(&self.config) {
            return Some("NO [CONTACTADMIN] Passwords are not accepted here; sign in with OAuth");
        }
        None
    }

    pub(super) fn login(&mut self, tag: &Tag, arguments: &[u8]) {
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
        let attempt = Attempt {
            mechanism,
            credentials,
            client_name: None,
            client_software,
            utf8: false,
            ttl: self.ttl,
        };
        self.steps.push_back(Step::Ask(Question::Authenticate(attempt)));
        self.state = State::Asking { tag, by };
    }

    pub(super) fn accepted(&mut self, tag: &Tag, accepted: &Accepted) {
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
    pub(super) fn refused(&mut self, tag: &Tag, refusal: &Refusal) {
        let (code, text) = match refusal.kind {
            RefusalKind::InvalidToken | RefusalKind::InsufficientScope | RefusalKind::Pointless => {
                ("AUTHENTICATIONFAILED", "Authentication failed")
            }
            RefusalKind::NotAuthorized => ("AUTHORIZATIONFAILED", "Not allowed to act as this user"),
            RefusalKind::OperatorFault => ("CONTACTADMIN", "The server needs its administrator"),
            RefusalKind::Policy => ("CONTACTADMIN", "This kind of sign-in is not allowed here"),
            RefusalKind::RateLimited => ("LIMIT", "Too many attempts, try again later"),
            RefusalKind::Unavailable | RefusalKind::Undecided => {
                ("UNAVAILABLE", "Temporary failure, try again later")
            }
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
