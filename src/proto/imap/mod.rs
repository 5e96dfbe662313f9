//! IMAP until login, both sides (RFC 9051, RFC 3501), and its guard after that.
//!
//! [`ImapDownstream`] is the server that a client meets, [`ImapUpstream`] the client that logs in to the mail
//! server. After that the octets are relayed; this room reads none of them, but where the mail server would let its
//! client log in anew: there [`ImapGuard`] follows the session.
//!
//! Invariants:
//! - a literal's octets are never read as a command, also when the command they belong to was refused;
//! - a tag is checked before it is repeated, and a capability before it is passed on;
//! - nothing that a mail server says before or during the login reaches the client, but its capabilities.

mod capability;
mod downstream;
mod grammar;
mod guard;
mod literal;
mod login;
mod reader;
mod response;
mod sign_in;
mod upstream;

pub use downstream::ImapDownstream;
pub use guard::ImapGuard;
pub use upstream::ImapUpstream;
