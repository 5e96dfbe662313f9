//! SASL: OAUTHBEARER (RFC 7628), XOAUTH2, PLAIN (RFC 4616) and LOGIN, both sides, and the error challenges.
//!
//! The server side works on the text of the wire (base64 of one response, without line end), so that every
//! protocol treats limits, padding, cancels and the line after an error challenge alike. That line is swallowed
//! whatever it holds: it is never a command and never a second token.
//!
//! The client side logs in to mail servers: [`ClientExchange`] chooses among the mechanisms that a server offers and
//! answers its challenges, by PLAIN, LOGIN, CRAM-MD5 (RFC 2195), SCRAM-SHA-256 (RFC 7677), EXTERNAL (RFC 4422) or one of
//! the bearer mechanisms.
//!
//! Invariants:
//! - a limit is checked before anything is decoded, and a message is parsed only when it was decoded whole;
//! - base64 is taken in its one canonical form, so that no two peers read two things in it;
//! - every decoded buffer is wiped;
//! - a server that must prove itself (SCRAM) is believed only after it has.
//!
//! It must not decide whether a credential is good, nor whether a mechanism is offered.

mod challenge;
mod client;
mod cram;
mod grammar;
mod identity;
mod response;
mod scram;
mod server;

pub use client::{ClientExchange, ClientMechanism, ClientPolicy, no_mechanism};
pub use identity::checked;
pub use response::{login_response, oauthbearer_response, plain_response, xoauth2_response};
pub use server::{SaslStep, ServerExchange};
