//! SASL: OAUTHBEARER (RFC 7628), XOAUTH2, PLAIN (RFC 4616) and LOGIN, both sides, and the error challenges.
//!
//! The server side works on the text of the wire (base64 of one response, without line end), so that every
//! protocol treats limits, padding, cancels and the line after an error challenge alike. That line is swallowed
//! whatever it holds: it is never a command and never a second token.
//!
//! The client side composes responses for mail servers.
//!
//! Invariants:
//! - a limit is checked before anything is decoded, and a message is parsed only when it was decoded whole;
//! - base64 is taken in its one canonical form, so that no two peers read two things in it;
//! - every decoded buffer is wiped.
//!
//! It must not decide whether a credential is good, nor whether a mechanism is offered.

mod challenge;
mod client;
mod grammar;
mod server;

pub use client::{login_response, oauthbearer_response, plain_response, xoauth2_response};
pub use server::{SaslStep, ServerExchange};
