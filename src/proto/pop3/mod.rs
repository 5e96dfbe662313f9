//! POP3 until login, both sides (RFC 1939, RFC 2449, RFC 2595, RFC 3206, RFC 5034).
//!
//! Invariants, beside those of every machine:
//! - no reply or greeting repeats what the mail server said before login, its APOP timestamp least of all;
//! - a password is refused without being looked at: USER, PASS and APOP are never executed downstream;
//! - on a clear connection no mechanism is offered, prompted for or executed;
//! - upstream a `-ERR [AUTH]` is a wrong password only where the password had been sent.

mod downstream;
mod reply;
mod upstream;

pub use downstream::Pop3Downstream;
pub use upstream::Pop3Upstream;
