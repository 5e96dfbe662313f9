//! ManageSieve (RFC 5804): both sides until login, and the guard of the relay after it.
//!
//! Invariants, beside those of every machine:
//! - the octets of a client's literal belong to the command that announced it, also when that is refused: they
//!   are never a command;
//! - on a clear connection no mechanism is offered, prompted for or executed;
//! - nothing that the mail server said before its TLS handshake is kept, and no referral of it reaches a client:
//!   who follows one shows its token to the server named there;
//! - after login a client cannot authenticate anew, and is not told that the mail server would let it.

mod capability;
mod downstream;
mod grammar;
mod guard;
mod login;
mod reader;
mod reply;
mod upstream;

pub use downstream::SieveDownstream;
pub use guard::SieveGuard;
pub use upstream::SieveUpstream;
