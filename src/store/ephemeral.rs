use async_trait::async_trait;

use super::StoreError;
use crate::model::{TokenHash, UnixTime};

/// Small facts that all nodes must agree on for a while, and that vanish by themselves.
#[async_trait]
pub trait Ephemeral: Send + Sync {
    /// Takes something that may be taken once; `false` when it was taken before.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] alone.
    async fn claim(
        &self,
        kind: EphemeralKind,
        key: &TokenHash,
        expires_at: UnixTime,
    ) -> Result<bool, StoreError>;

    /// Counts one more, and says how many there are now. The first of a count says when it expires; a count that
    /// had expired begins anew.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] alone.
    async fn count(
        &self,
        kind: EphemeralKind,
        key: &TokenHash,
        expires_at: UnixTime,
        now: UnixTime,
    ) -> Result<u32, StoreError>;

    /// How many were counted; zero when none, or when it has expired.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] alone.
    async fn counted(&self, kind: EphemeralKind, key: &TokenHash, now: UnixTime) -> Result<u32, StoreError>;

    /// Keeps a value.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when there is one already.
    async fn keep(
        &self,
        kind: EphemeralKind,
        key: &TokenHash,
        value: Vec<u8>,
        expires_at: UnixTime,
    ) -> Result<(), StoreError>;

    /// A value, while it has not expired.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] alone.
    async fn kept(
        &self,
        kind: EphemeralKind,
        key: &TokenHash,
        now: UnixTime,
    ) -> Result<Option<Vec<u8>>, StoreError>;

    /// Removes whatever there is; `false` when there was nothing.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] alone.
    async fn forget(&self, kind: EphemeralKind, key: &TokenHash) -> Result<bool, StoreError>;
}

/// What an ephemeral fact is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EphemeralKind {
    /// Wrong passwords for one authorization request.
    SignInAttempts,
    /// An authorization request that was answered, or is to be answered once.
    Answered,
    /// The identifier of a client assertion (RFC 7523 §3, `jti`).
    Assertion,
    /// A pushed authorization request (RFC 9126).
    Pushed,
    /// A client that was told that a grant has ended.
    LogoutNotice,
    /// A person on the way to an outside provider and back.
    OutsideSignIn,
    /// An initial access token (RFC 7591 §1.2).
    InitialAccess,
    /// The mark of the server key that the store was made with. This one stays.
    ServerKey,
}

impl EphemeralKind {
    /// Its name in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SignInAttempts => "sign_in_attempts",
            Self::Answered => "answered",
            Self::Assertion => "assertion",
            Self::Pushed => "pushed",
            Self::LogoutNotice => "logout_notice",
            Self::OutsideSignIn => "outside_sign_in",
            Self::InitialAccess => "initial_access",
            Self::ServerKey => "server_key",
        }
    }
}
