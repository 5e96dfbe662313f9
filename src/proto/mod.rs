//! The mail protocols as state machines that do no I/O.
//!
//! A machine takes octets and answers, and says what it wants next. It knows no socket, no clock and no
//! randomness, so the same machine runs under a runtime, under a property test that splits its input at every
//! octet, and under a fuzzer. [`Downstream`] machines are the server that a mail client meets until it has
//! signed in; [`Upstream`] machines are the client that logs in to the mail server.
//!
//! Invariants of every machine here:
//! - what it buffers is bounded, whatever is fed;
//! - splitting the input differently changes nothing that it says;
//! - an octet that arrives before the TLS handshake is gone after it;
//! - an octet pipelined behind the login is handed over after the login, never looked at before;
//! - nothing from the wire makes it panic.
//!
//! This room must not import another one but `model`.

pub mod imap;
pub mod line;
pub mod pop3;
pub mod proxy_header;
pub mod sasl;
pub mod sieve;
pub mod smtp;

mod machine;

pub use machine::{
    Accepted, Answer, Attempt, Banner, ClientFacts, Close, Credentials, Downstream, Failure, FrontConfig,
    Guard, GuardViolation, LoginAs, Offer, Question, Ready, Refusal, RefusalKind, Step, TlsFacts, TlsState,
    Upstream, UpstreamPlan, UpstreamStep, downstream, upstream,
};
