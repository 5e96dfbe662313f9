use async_trait::async_trait;

use super::StoreError;
use crate::model::{TokenHash, UnixTime};

/// What was ended at other issuers. A key is a hash that names the issuer and what has ended there.
#[async_trait]
pub trait OutsideEnds: Send + Sync {
    /// Remembers an end, for [`super::OUTSIDE_RETENTION`], and tells every node of it as
    /// [`super::Revoked::Token`]. The latest end of a key stays.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] alone.
    async fn end_outside(&self, key: &TokenHash, at: UnixTime) -> Result<(), StoreError>;

    /// When it was last ended.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when the row cannot be read as what it should be.
    async fn outside_end(&self, key: &TokenHash) -> Result<Option<UnixTime>, StoreError>;
}
