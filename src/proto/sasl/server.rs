//! The server side of an exchange.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use super::{challenge, grammar};
use crate::{
    model::{Mechanism, Secret},
    proto::{Credentials, Refusal},
};

/// The server side of one SASL exchange.
#[derive(Debug)]
pub struct ServerExchange {
    mechanism: Mechanism,
    limit: usize,
    state: State,
    refused: bool,
}

#[derive(Debug)]
enum State {
    /// The one message of a client-first mechanism.
    Message,
    /// LOGIN's first answer.
    LoginName,
    /// LOGIN's second answer.
    LoginPassword { login: String },
    /// The attempt is with whoever drives the exchange.
    Attempted,
    /// The error challenge was sent; the next line ends the exchange so, whatever it holds.
    Dummy(Ending),
    /// Nothing more is expected.
    Over,
}

#[derive(Debug)]
enum Ending {
    Refused(Refusal),
    InvalidRequest(&'static str),
}

/// What the protocol around it must do next.
#[derive(Debug)]
#[must_use = "the client waits for what this says"]
pub enum SaslStep {
    /// Validate this, then call [`ServerExchange::refuse`], or drop the exchange when it was accepted.
    Attempt(Credentials),
    /// Send this challenge (base64, possibly empty) in the protocol's framing and read one more line.
    Challenge(String),
    /// The client cancelled with `*`: IMAP tagged BAD, SMTP `501 5.7.0`, POP3 `-ERR`. It may have done so in
    /// answer to an error challenge; then [`ServerExchange::was_refused`], and the attempt counts as failed.
    Cancelled,
    /// The exchange is over, refused; answer as the refusal says.
    Failed(Refusal),
    /// The response cannot be decoded or breaks the mechanism's grammar: IMAP tagged BAD, SMTP `501 5.5.2`,
    /// POP3 `-ERR`. A bearer message that was decoded and breaks the grammar gets the error challenge
    /// `invalid_request` first, and comes here with the line after it. The reason is fit for the client's eyes.
    Malformed(&'static str),
    /// The response is longer than the limit: SMTP `500 5.5.6`, IMAP tagged BAD, POP3 `-ERR`.
    TooLong,
}

impl ServerExchange {
    /// Starts an exchange. `initial` is the initial response as it stood on the wire (`=` is the empty one,
    /// RFC 4954 §4); `limit` is the longest response in octets of base64.
    pub fn start(mechanism: Mechanism, initial: Option<&[u8]>, limit: usize) -> (Self, SaslStep) {
        let (state, prompt) = match mechanism {
            Mechanism::Login => (State::LoginName, challenge::LOGIN_NAME),
            Mechanism::OAuthBearer | Mechanism::Plain | Mechanism::XOAuth2 => (State::Message, ""),
        };
        let mut exchange = Self { mechanism, limit, state, refused: false };
        let step = match initial.map(without_trailing_blanks) {
            None => SaslStep::Challenge(prompt.to_owned()),
            Some(b"=") => exchange.decoded(&[]),
            // An empty word is no initial response in any of the protocols; their own parsers never give one.
            Some(response) => exchange.response(response),
        };
        (exchange, step)
    }

    /// Takes the client's next line, without its line end; `too_long` when the reader had to throw octets away.
    ///
    /// A line with any other fault is given as it is: a CR, LF or NUL in it is no base64.
    pub fn receive(&mut self, line: &[u8], too_long: bool) -> SaslStep {
        let line = without_trailing_blanks(line);
        let cancelled = line == b"*" && !too_long;
        match std::mem::replace(&mut self.state, State::Over) {
            State::Dummy(_) if cancelled => SaslStep::Cancelled,
            State::Dummy(ending) => ending.step(),
            State::Attempted | State::Over => SaslStep::Malformed("no response is outstanding"),
            State::Message | State::LoginName | State::LoginPassword { .. } if cancelled => {
                SaslStep::Cancelled
            }
            State::Message | State::LoginName | State::LoginPassword { .. } if too_long => SaslStep::TooLong,
            state @ (State::Message | State::LoginName | State::LoginPassword { .. }) => {
                self.state = state;
                self.response(line)
            }
        }
    }

    /// The attempt was refused: a bearer mechanism sends its error challenge first (RFC 7628 §3.2.2), unless
    /// the refusal is not about the token (temporary, policy).
    pub fn refuse(&mut self, refusal: Refusal) -> SaslStep {
        self.refused = true;
        let Some(challenge) = challenge::refused(self.mechanism, &refusal) else {
            self.state = State::Over;
            return SaslStep::Failed(refusal);
        };
        self.state = State::Dummy(Ending::Refused(refusal));
        SaslStep::Challenge(challenge)
    }

    /// The time for the line after the error challenge is over: ends the exchange as if an empty line had come.
    pub fn dummy_response_timed_out(&mut self) -> SaslStep {
        self.receive(b"", false)
    }

    /// Whether the error challenge was sent and its dummy response is outstanding.
    pub const fn awaits_dummy_response(&self) -> bool {
        matches!(self.state, State::Dummy(_))
    }

    /// Whether an attempt was made and refused, however the exchange ended.
    pub const fn was_refused(&self) -> bool {
        self.refused
    }

    /// The mechanism.
    pub const fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    fn response(&mut self, text: &[u8]) -> SaslStep {
        if text.len() > self.limit {
            self.state = State::Over;
            return SaslStep::TooLong;
        }
        let mut message = Zeroizing::new(vec![0; base64::decoded_len_estimate(text.len())]);
        let Ok(length) = STANDARD.decode_slice(text, &mut message) else {
            self.state = State::Over;
            return SaslStep::Malformed("the response is not base64 with its padding");
        };
        self.decoded(message.get(..length).unwrap_or_default())
    }

    fn decoded(&mut self, message: &[u8]) -> SaslStep {
        let state = std::mem::replace(&mut self.state, State::Attempted);
        if matches!(state, State::LoginName) {
            return self.login_name(message);
        }
        let credentials = match (state, self.mechanism) {
            (State::LoginPassword { login }, _) => login_password(login, message),
            // Only a client that has no more to say sends it first; it asks for no discovery (RFC 7628 §3.2.3).
            (_, Mechanism::OAuthBearer | Mechanism::XOAuth2) if message == b"\x01" => {
                self.state = State::Over;
                return SaslStep::Malformed("the response holds no credential");
            }
            (_, Mechanism::OAuthBearer) => grammar::oauthbearer(message).map(Credentials::from),
            (_, Mechanism::XOAuth2) => grammar::xoauth2(message).map(Credentials::from),
            (_, Mechanism::Plain | Mechanism::Login) => grammar::plain(message).map(Credentials::from),
        };
        match credentials {
            Ok(credentials) => SaslStep::Attempt(credentials),
            Err(reason) => self.invalid_request(reason),
        }
    }

    fn login_name(&mut self, message: &[u8]) -> SaslStep {
        match grammar::login_name(message) {
            Ok(login) => {
                self.state = State::LoginPassword { login: login.to_owned() };
                SaslStep::Challenge(challenge::LOGIN_PASSWORD.to_owned())
            }
            Err(reason) => self.invalid_request(reason),
        }
    }

    fn invalid_request(&mut self, reason: &'static str) -> SaslStep {
        let Some(challenge) = challenge::invalid_request(self.mechanism) else {
            self.state = State::Over;
            return SaslStep::Malformed(reason);
        };
        self.state = State::Dummy(Ending::InvalidRequest(reason));
        SaslStep::Challenge(challenge)
    }
}

impl Ending {
    fn step(self) -> SaslStep {
        match self {
            Self::Refused(refusal) => SaslStep::Failed(refusal),
            Self::InvalidRequest(reason) => SaslStep::Malformed(reason),
        }
    }
}

impl From<grammar::BearerMessage<'_>> for Credentials {
    fn from(message: grammar::BearerMessage<'_>) -> Self {
        Self::Bearer { token: Secret::copy_of(message.token), authzid: message.authzid }
    }
}

impl From<grammar::PlainMessage<'_>> for Credentials {
    fn from(message: grammar::PlainMessage<'_>) -> Self {
        Self::Password {
            authzid: message.authzid.map(str::to_owned),
            login: message.authcid.to_owned(),
            password: Secret::copy_of(message.password),
        }
    }
}

fn login_password(login: String, password: &[u8]) -> Result<Credentials, &'static str> {
    if password.is_empty() {
        return Err("the password is empty");
    }
    if password.contains(&0) {
        return Err("the password holds a NUL");
    }
    Ok(Credentials::Password { authzid: None, login, password: Secret::copy_of(password) })
}

/// Some clients send blanks before the line end.
fn without_trailing_blanks(line: &[u8]) -> &[u8] {
    let end = line
        .iter()
        .rposition(|octet| !matches!(octet, b' ' | b'\t'))
        .map_or(0, |last| last.saturating_add(1));
    line.get(..end).unwrap_or_default()
}
