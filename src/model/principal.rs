use std::sync::Arc;

use super::{ClientId, GrantId, Login, Scope, Secret, UnixTime};

/// Who a validated token speaks for, and what it may do.
#[derive(Clone, Debug)]
pub struct Principal {
    /// The user.
    pub login: Login,
    /// The grant that the token hangs on; its end ends the session.
    pub grant: GrantId,
    /// The client that the grant was given to.
    pub client: ClientId,
    /// What the token may be used for.
    pub scope: Scope,
    /// The issuer's URL.
    pub issuer: Arc<str>,
    /// When the token ends.
    pub expires_at: UnixTime,
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
