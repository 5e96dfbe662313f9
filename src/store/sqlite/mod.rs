use std::path::Path;

use async_trait::async_trait;

use super::*;

/// The embedded store: one SQLite file.
pub struct SqliteStore {}

impl SqliteStore {
    /// Opens the file, creating it with mode 0600 where there is none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn open(_path: &Path) -> Result<Self, StoreError> {
        unimplemented!()
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn create_grant(&self, _grant: NewGrant) -> Result<(), StoreError> {
        unimplemented!()
    }
    async fn add_token(&self, _grant: GrantId, _token: NewToken, _now: UnixTime) -> Result<(), StoreError> {
        unimplemented!()
    }
    async fn token(&self, _lookup: &TokenHash) -> Result<Option<TokenRecord>, StoreError> {
        unimplemented!()
    }
    async fn grant(&self, _id: GrantId) -> Result<Option<Grant>, StoreError> {
        unimplemented!()
    }
    async fn grants(&self, _filter: GrantFilter) -> Result<Vec<Grant>, StoreError> {
        unimplemented!()
    }
    async fn revoke_grant(
        &self,
        _id: GrantId,
        _reason: RevocationReason,
        _at: UnixTime,
    ) -> Result<Ended, StoreError> {
        unimplemented!()
    }
    async fn revoke_token(&self, _lookup: &TokenHash, _at: UnixTime) -> Result<Ended, StoreError> {
        unimplemented!()
    }
    async fn revocations(&self, _cursor: Option<RevocationCursor>) -> Result<RevocationPage, StoreError> {
        unimplemented!()
    }
    async fn signing_keys(&self) -> Result<Vec<SigningKeyRecord>, StoreError> {
        unimplemented!()
    }
    async fn add_first_signing_key(&self, _key: SigningKeyRecord) -> Result<(), StoreError> {
        unimplemented!()
    }
    async fn remove_expired(&self, _now: UnixTime, _limit: u32) -> Result<u64, StoreError> {
        unimplemented!()
    }
    async fn backup(&self, _path: &Path) -> Result<(), StoreError> {
        unimplemented!()
    }
    async fn check(&self) -> Result<Vec<CheckItem>, StoreError> {
        unimplemented!()
    }
}
