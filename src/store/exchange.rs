use async_trait::async_trait;

use super::{Grant, NewGrant, NewToken, StoreError};
use crate::model::{ClientId, GrantId, Scope, TokenHash, UnixTime};

/// What turns into tokens, once: authorization codes, refresh tokens, device codes.
///
/// Each use is one transaction, so that of two uses at the same time one wins, whatever process they come from.
#[async_trait]
pub trait Exchanges: Send + Sync {
    /// An authorization code with its grant, whether used or not.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when the row cannot be read as what it should be.
    async fn code(&self, lookup: &TokenHash) -> Result<Option<CodeRecord>, StoreError>;

    /// Whether a mailbox password is sealed to a grant; `false` for a grant that has ended, or that there is not.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] alone.
    async fn holds_credentials(&self, grant: GrantId) -> Result<bool, StoreError>;

    /// Uses a code and adds the tokens to its grant. A code that was used before ends its grant
    /// (RFC 6749 §4.1.2), in the same transaction, with [`super::RevocationReason::CodeReplayed`], also when it
    /// has expired meanwhile.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when a token exists already; the code then stays unused.
    async fn redeem_code(
        &self,
        code: &TokenHash,
        tokens: Vec<NewToken>,
        now: UnixTime,
    ) -> Result<Redeemed, StoreError>;

    /// Uses a refresh token that is replaced: marks it used, removes its wrapped key, keeps the encrypted answer,
    /// removes the answer that its own predecessor kept, and adds the new tokens. A new refresh token remembers
    /// the old one as its predecessor. What is not [`Rotated::Done`] changes nothing.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when a token exists already; the old one then stays unused.
    async fn rotate_refresh_token(&self, rotation: Rotation) -> Result<Rotated, StoreError>;

    /// Uses a refresh token that stays: moves its end, removes the answer that its predecessor kept, and adds the
    /// access token.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the token exists already.
    async fn renew_refresh_token(&self, renewal: Renewal) -> Result<Rotated, StoreError>;

    /// Stores a device code.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the device code or the user code exists already.
    async fn create_device(&self, device: NewDevice) -> Result<(), StoreError>;

    /// The device that shows this user code, whatever its state; expired ones are not found.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when the row cannot be read as what it should be.
    async fn device_by_user_code(
        &self,
        user_code: &TokenHash,
        now: UnixTime,
    ) -> Result<Option<DeviceRecord>, StoreError>;

    /// Stores the grant (whose public key is the device's) and lets the device fetch its tokens. What is not
    /// [`Decided::Done`] stores nothing.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the grant exists already; [`StoreError::GrantEnded`] when the client is on
    /// the deny list.
    async fn approve_device(
        &self,
        user_code: &TokenHash,
        grant: NewGrant,
        now: UnixTime,
    ) -> Result<Decided, StoreError>;

    /// Refuses a device.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] alone.
    async fn deny_device(&self, user_code: &TokenHash, now: UnixTime) -> Result<Decided, StoreError>;

    /// A device asks for its tokens (RFC 8628 §3.4). While nobody has answered, asking before the interval since
    /// the last question is over lengthens it by five seconds (RFC 8628 §3.5). A device of another client is
    /// [`DevicePoll::Unknown`].
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when the row cannot be read as what it should be.
    async fn poll_device(
        &self,
        lookup: &TokenHash,
        client: &ClientId,
        now: UnixTime,
    ) -> Result<DevicePoll, StoreError>;

    /// Uses an approved device code and adds the tokens to its grant. One that was used before ends its grant, as
    /// a code does.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when a token exists already; the device code then stays unused.
    async fn redeem_device(
        &self,
        device: &TokenHash,
        tokens: Vec<NewToken>,
        now: UnixTime,
    ) -> Result<Redeemed, StoreError>;
}

/// An authorization code to be stored with its grant.
#[derive(Clone, Debug)]
pub struct NewCode {
    /// Its row's key.
    pub lookup: TokenHash,
    /// What it is bound to, as the issuer writes it; the store does not look inside.
    pub details: String,
    /// Since when.
    pub created_at: UnixTime,
    /// Until when.
    pub expires_at: UnixTime,
    /// The grant's private key, wrapped for this code. Removed when it is used or has expired.
    pub wrapped_key: Vec<u8>,
}

/// A stored authorization code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeRecord {
    /// What it is bound to, as the issuer wrote it.
    pub details: String,
    /// Until when.
    pub expires_at: UnixTime,
    /// When it was used.
    pub used_at: Option<UnixTime>,
    /// The grant's private key, wrapped for this code; `None` once used, expired, or once the grant has ended.
    pub wrapped_key: Option<Vec<u8>>,
    /// The grant.
    pub grant: Grant,
}

/// What the use of a code came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redeemed {
    /// It is used now, and the tokens are stored.
    Done,
    /// It is past its end.
    Expired,
    /// It was used before; its grant has been ended.
    Replayed(GrantId),
    /// Its grant has ended, or a device's was not approved. One that has expired too is [`Redeemed::Expired`].
    GrantEnded,
    /// There is no such code.
    Unknown,
}

/// The use of a refresh token that is replaced.
#[derive(Clone, Debug)]
pub struct Rotation {
    /// The one that is used.
    pub old: TokenHash,
    /// What replaces it: an access token and a refresh token.
    pub tokens: Vec<NewToken>,
    /// The answer, encrypted under a key of the old refresh token.
    pub answer: Vec<u8>,
    /// Until when the answer is kept.
    pub answer_until: UnixTime,
    /// The moment of use.
    pub now: UnixTime,
}

/// The use of a refresh token that stays.
#[derive(Clone, Debug)]
pub struct Renewal {
    /// The one that is used.
    pub refresh: TokenHash,
    /// Its new end.
    pub expires_at: UnixTime,
    /// What it gives.
    pub access: NewToken,
    /// The moment of use.
    pub now: UnixTime,
}

/// What the use of a refresh token came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rotated {
    /// It is used now, and the tokens are stored.
    Done,
    /// It was used before, and its grant is live.
    Used {
        /// When.
        at: UnixTime,
        /// The answer that was given then, while it is kept.
        answer: Option<Vec<u8>>,
    },
    /// Its grant has expired or was ended, or it was ended itself, or it has expired unused.
    Ended,
    /// There is no such refresh token.
    Unknown,
}

/// A device code to be stored.
#[derive(Clone, Debug)]
pub struct NewDevice {
    /// The row's key, from the device code.
    pub lookup: TokenHash,
    /// A keyed hash of the user code.
    pub user_code: TokenHash,
    /// The client.
    pub client: ClientId,
    /// What it asks for.
    pub scope: Scope,
    /// For which resource.
    pub audience: String,
    /// The public half of the key pair that belongs to the device code.
    pub public_key: [u8; 32],
    /// More, as the issuer writes it; the store does not look inside.
    pub details: String,
    /// Since when.
    pub created_at: UnixTime,
    /// Until when.
    pub expires_at: UnixTime,
    /// Seconds between two questions (RFC 8628 §3.2).
    pub interval: u32,
}

/// A stored device code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceRecord {
    /// The row's key, from the device code.
    pub lookup: TokenHash,
    /// The client.
    pub client: ClientId,
    /// What it asks for.
    pub scope: Scope,
    /// For which resource.
    pub audience: String,
    /// The public half of the key pair that belongs to the device code.
    pub public_key: [u8; 32],
    /// More, as the issuer wrote it.
    pub details: String,
    /// Since when.
    pub created_at: UnixTime,
    /// Until when.
    pub expires_at: UnixTime,
    /// Where it stands.
    pub state: DeviceState,
}

/// Where a device authorization stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceState {
    /// Nobody has answered.
    Pending,
    /// It was refused.
    Denied,
    /// It was approved.
    Approved,
    /// Its tokens were fetched.
    Used,
}

impl DeviceState {
    const ALL: [Self; 4] = [Self::Pending, Self::Denied, Self::Approved, Self::Used];

    /// Its name in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Denied => "denied",
            Self::Approved => "approved",
            Self::Used => "used",
        }
    }

    /// The state of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

/// What a decision about a device came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decided {
    /// It stands.
    Done,
    /// It was decided before.
    Before,
    /// There is no such user code, or it has expired.
    Unknown,
}

/// What a device hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DevicePoll {
    /// Nobody has answered.
    Pending,
    /// It asks too often; the interval is longer now.
    SlowDown,
    /// It was refused.
    Denied,
    /// It was approved; this is the grant, which may have ended since.
    Approved(Box<Grant>),
    /// Its tokens were fetched before, for this grant. Told after its end too.
    Used(GrantId),
    /// It is past its end.
    Expired,
    /// There is no such device code for this client.
    Unknown,
}
