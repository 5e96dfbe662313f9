use std::sync::Arc;

use super::{ClientId, Login, Right, Scope, Secret, UnixTime};

/// Who a validated token speaks for, and what it may do.
#[derive(Clone, Debug)]
pub struct Principal {
    /// The user.
    pub login: Login,
    /// The mailbox that is opened: the user's own, or another that they may open.
    pub mailbox: Login,
    /// What the session hangs on.
    pub right: Right,
    /// The client that the grant was given to.
    pub client: ClientId,
    /// What the token may be used for.
    pub scope: Scope,
    /// The issuer's URL.
    pub issuer: Arc<str>,
    /// When the token ends.
    pub expires_at: UnixTime,
    /// Mail addresses that the token says are the user's, apart from the login name. They are proved: an address
    /// that its issuer has not verified is not among them.
    pub addresses: Vec<String>,
    /// The token itself, for mail servers that understand tokens.
    pub token: Secret,
    /// Mailbox passwords opened with this token, one a backend; empty where no login is `sealed`.
    pub passwords: Vec<SealedPassword>,
}

/// A mailbox password that was sealed to the grant and opened with its token.
#[derive(Clone, Debug)]
pub struct SealedPassword {
    /// The backend it belongs to.
    pub backend: Arc<str>,
    /// The password.
    pub password: Secret,
}
