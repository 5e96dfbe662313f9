//! Newtypes that cross rooms.
//!
//! A value of these types is already checked: a [`Login`] holds no control character, a [`Secret`] prints
//! nothing and is wiped when dropped. Nothing here does I/O, and nothing here knows another room.

mod id;
mod login;
mod network;
mod outcome;
mod places;
mod principal;
mod protocol;
mod right;
mod scope;
mod secret;
mod time;
mod token;

pub use id::{ClientId, GrantId, InvalidId, SessionId};
pub use login::{InvalidLogin, Login};
pub use network::{InvalidNetwork, Network};
pub use outcome::Outcome;
pub use places::{Piece, pieces};
pub use principal::{Principal, SealedPassword};
pub use protocol::{Mechanism, Protocol};
pub use right::{Outside, Right};
pub use scope::{InvalidScope, Scope};
pub use secret::Secret;
pub use time::UnixTime;
pub use token::{CredentialKind, TokenHash, TokenKind};
