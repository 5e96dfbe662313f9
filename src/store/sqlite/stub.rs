//! STUB
use super::SqliteStore;
use crate::{
    model::{ClientId, Login, Scope, TokenHash, UnixTime},
    store::*,
};
use async_trait::async_trait;

fn none<T>() -> Result<T, StoreError> {
    Err(StoreError::Unavailable("not built".to_owned()))
}

#[async_trait]
impl Exchanges for SqliteStore {
    async fn code(&self, _lookup: &TokenHash) -> Result<Option<CodeRecord>, StoreError> {
        none()
    }
    async fn redeem_code(
        &self,
        _code: &TokenHash,
        _tokens: Vec<NewToken>,
        _now: UnixTime,
    ) -> Result<Redeemed, StoreError> {
        none()
    }
    async fn rotate_refresh_token(&self, _rotation: Rotation) -> Result<Rotated, StoreError> {
        none()
    }
    async fn renew_refresh_token(&self, _renewal: Renewal) -> Result<Rotated, StoreError> {
        none()
    }
    async fn create_device(&self, _device: NewDevice) -> Result<(), StoreError> {
        none()
    }
    async fn device_by_user_code(
        &self,
        _user_code: &TokenHash,
        _now: UnixTime,
    ) -> Result<Option<DeviceRecord>, StoreError> {
        none()
    }
    async fn approve_device(
        &self,
        _user_code: &TokenHash,
        _grant: NewGrant,
        _now: UnixTime,
    ) -> Result<Decided, StoreError> {
        none()
    }
    async fn deny_device(&self, _user_code: &TokenHash, _now: UnixTime) -> Result<Decided, StoreError> {
        none()
    }
    async fn poll_device(
        &self,
        _lookup: &TokenHash,
        _client: &ClientId,
        _now: UnixTime,
    ) -> Result<DevicePoll, StoreError> {
        none()
    }
    async fn redeem_device(
        &self,
        _device: &TokenHash,
        _tokens: Vec<NewToken>,
        _now: UnixTime,
    ) -> Result<Redeemed, StoreError> {
        none()
    }
}

#[async_trait]
impl Clients for SqliteStore {
    async fn create_client(&self, _client: ClientRecord) -> Result<(), StoreError> {
        none()
    }
    async fn client(&self, _id: &ClientId) -> Result<ClientState, StoreError> {
        none()
    }
    async fn clients(&self) -> Result<Vec<ClientRecord>, StoreError> {
        none()
    }
    async fn update_client(&self, _client: ClientRecord) -> Result<bool, StoreError> {
        none()
    }
    async fn remove_client(&self, _id: &ClientId, _at: UnixTime) -> Result<Ended, StoreError> {
        none()
    }
    async fn denied_clients(&self) -> Result<Vec<(ClientId, UnixTime)>, StoreError> {
        none()
    }
    async fn allow_client(&self, _id: &ClientId) -> Result<bool, StoreError> {
        none()
    }
    async fn remember_consent(
        &self,
        _user: &Login,
        _client: &ClientId,
        _scope: &Scope,
        _at: UnixTime,
    ) -> Result<(), StoreError> {
        none()
    }
    async fn consent(&self, _user: &Login, _client: &ClientId) -> Result<Option<Scope>, StoreError> {
        none()
    }
}

#[async_trait]
impl Users for SqliteStore {
    async fn add_user(&self, _user: UserRecord) -> Result<(), StoreError> {
        none()
    }
    async fn user(&self, _login: &Login) -> Result<Option<UserRecord>, StoreError> {
        none()
    }
    async fn users(&self) -> Result<Vec<UserRecord>, StoreError> {
        none()
    }
    async fn set_password(
        &self,
        _login: &Login,
        _password: &str,
        _end_grants: bool,
        _at: UnixTime,
    ) -> Result<bool, StoreError> {
        none()
    }
    async fn remove_user(&self, _login: &Login, _at: UnixTime) -> Result<Ended, StoreError> {
        none()
    }
}

#[async_trait]
impl Ephemeral for SqliteStore {
    async fn claim(
        &self,
        _kind: EphemeralKind,
        _key: &TokenHash,
        _expires_at: UnixTime,
    ) -> Result<bool, StoreError> {
        none()
    }
    async fn count(
        &self,
        _kind: EphemeralKind,
        _key: &TokenHash,
        _expires_at: UnixTime,
        _now: UnixTime,
    ) -> Result<u32, StoreError> {
        none()
    }
    async fn counted(
        &self,
        _kind: EphemeralKind,
        _key: &TokenHash,
        _now: UnixTime,
    ) -> Result<u32, StoreError> {
        none()
    }
    async fn keep(
        &self,
        _kind: EphemeralKind,
        _key: &TokenHash,
        _value: Vec<u8>,
        _expires_at: UnixTime,
    ) -> Result<(), StoreError> {
        none()
    }
    async fn kept(
        &self,
        _kind: EphemeralKind,
        _key: &TokenHash,
        _now: UnixTime,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        none()
    }
    async fn forget(&self, _kind: EphemeralKind, _key: &TokenHash) -> Result<bool, StoreError> {
        none()
    }
}
