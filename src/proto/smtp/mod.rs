//! SMTP submission (RFC 6409): both sides until the login, and the guard of what follows it.
//!
//! Invariants:
//! - a command ends with CRLF and with nothing else; a line with a fault in it is refused, never executed;
//! - what a client says of itself is repeated to a mail server only when nothing in it needs quoting;
//! - EHLO promises only what changes how a message is written, before the login and after it;
//! - whose address a sender has is decided only where it can be read in exactly one way;
//! - no verb that changes who the client is passes the guard, whatever octets surround it.

mod command;
mod downstream;
mod ehlo;
mod guard;
mod reply;
mod sender;
mod upstream;
mod xclient;

pub use downstream::SmtpDownstream;
pub use guard::{BareNewline, SmtpGuard};
pub use sender::SenderPolicy;
pub use upstream::SmtpUpstream;
