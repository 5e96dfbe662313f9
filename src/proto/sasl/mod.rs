//! SASL: OAUTHBEARER (RFC 7628), XOAUTH2, PLAIN (RFC 4616) and LOGIN, both sides, and the error challenges.
//!
//! The server side works on the text of the wire (base64 of one response, without line end), so that every
//! protocol treats limits, padding, cancels and the line after an error challenge alike. That line is swallowed
//! whatever it holds: it is never a command and never a second token.

use super::{Credentials, Refusal};
use crate::model::{Mechanism, Secret};

/// The server side of one SASL exchange.
#[derive(Debug)]
pub struct ServerExchange {
    _private: (),
}

/// What the protocol around it must do next.
#[derive(Debug)]
#[must_use = "the client waits for what this says"]
pub enum SaslStep {
    /// Validate this, then call [`ServerExchange::refuse`], or drop the exchange when it was accepted.
    Attempt(Credentials),
    /// Send this challenge (base64, possibly empty) in the protocol's framing and read one more line.
    Challenge(String),
    /// The client cancelled with `*`: IMAP tagged BAD, SMTP `501 5.7.0`, POP3 `-ERR`.
    Cancelled,
    /// The exchange is over, refused; answer as the refusal says.
    Failed(Refusal),
    /// The response cannot be decoded or breaks the mechanism's grammar: IMAP tagged BAD, SMTP `501 5.5.2`, POP3 `-ERR`.
    Malformed(&'static str),
    /// The response is longer than the limit: SMTP `500 5.5.6`, IMAP tagged BAD, POP3 `-ERR`.
    TooLong,
}

impl ServerExchange {
    /// Starts an exchange. `initial` is the initial response as it stood on the wire (`=` is the empty one,
    /// RFC 4954 §4); `limit` is the longest response in octets of base64.
    pub fn start(mechanism: Mechanism, initial: Option<&[u8]>, limit: usize) -> (Self, SaslStep) {
        let _ = (mechanism, initial, limit);
        unimplemented!()
    }

    /// Takes the client's next line, without its line end; `too_long` when the reader had to throw octets away.
    pub fn receive(&mut self, line: &[u8], too_long: bool) -> SaslStep {
        let _ = (line, too_long);
        unimplemented!()
    }

    /// The attempt was refused: a bearer mechanism sends its error challenge first (RFC 7628 §3.2.2), unless
    /// the refusal is not about the token (temporary, policy).
    pub fn refuse(&mut self, refusal: Refusal) -> SaslStep {
        let _ = refusal;
        unimplemented!()
    }

    /// Whether the error challenge was sent and its dummy response is outstanding.
    pub fn awaits_dummy_response(&self) -> bool {
        unimplemented!()
    }
}

/// Client side: the PLAIN response in base64 (RFC 4616 §2).
pub fn plain_response(authzid: &str, authcid: &str, password: &Secret) -> Secret {
    let _ = (authzid, authcid, password);
    unimplemented!()
}
