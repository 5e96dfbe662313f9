//! Copies octets both ways after the login.
//!
//! Invariants:
//! - what goes in comes out, octet by octet and in order, whatever the sizes; a guard alone may withhold;
//! - an idle session owns no buffer: buffers belong to the worker thread, and a session keeps only what a socket did
//!   not take, which stops the other side from being read;
//! - the end of one direction ends the other in its own time, and in bounded time;
//! - [`Switch::kill`] ends a session within a second, whether or not its client reads;
//! - there is no timer while both directions are open: whoever holds the switches looks for idle ones.
//!
//! It knows no protocol and must not learn one: a guard of `proto` does, where a mail server makes it necessary.

mod pump;
mod switch;

pub use pump::{Relay, RelayEnd, relay};
pub use switch::{EndReason, Switch};
