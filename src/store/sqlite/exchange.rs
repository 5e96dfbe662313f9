use async_trait::async_trait;

use super::{SqliteStore, code, device, grant, token};
use crate::{
    model::{ClientId, GrantId, TokenHash, UnixTime},
    store::{
        CodeRecord, Decided, DevicePoll, DeviceRecord, Exchanges, NewDevice, NewGrant, NewToken, Redeemed,
        Renewal, Rotated, Rotation, StoreError,
    },
};

/// Each use is one job of the one writer, so that of two at the same time the second sees what the first did.
#[async_trait]
impl Exchanges for SqliteStore {
    async fn code(&self, lookup: &TokenHash) -> Result<Option<CodeRecord>, StoreError> {
        code::code(&self.readers, lookup).await
    }

    async fn holds_credentials(&self, grant: GrantId) -> Result<bool, StoreError> {
        grant::holds_credentials(&self.readers, grant).await
    }

    async fn redeem_code(
        &self,
        code: &TokenHash,
        tokens: Vec<NewToken>,
        now: UnixTime,
    ) -> Result<Redeemed, StoreError> {
        let code = *code;
        self.writer.run(move |transaction| Box::pin(code::redeem(transaction, code, tokens, now))).await
    }

    async fn rotate_refresh_token(&self, rotation: Rotation) -> Result<Rotated, StoreError> {
        self.writer.run(move |transaction| Box::pin(token::rotate(transaction, rotation))).await
    }

    async fn renew_refresh_token(&self, renewal: Renewal) -> Result<Rotated, StoreError> {
        self.writer.run(move |transaction| Box::pin(token::renew(transaction, renewal))).await
    }

    async fn create_device(&self, device: NewDevice) -> Result<(), StoreError> {
        self.writer.run(move |transaction| Box::pin(device::create(transaction, device))).await
    }

    async fn device_by_user_code(
        &self,
        user_code: &TokenHash,
        now: UnixTime,
    ) -> Result<Option<DeviceRecord>, StoreError> {
        device::by_user_code(&self.readers, user_code, now).await
    }

    async fn approve_device(
        &self,
        user_code: &TokenHash,
        grant: NewGrant,
        now: UnixTime,
    ) -> Result<Decided, StoreError> {
        let code = *user_code;
        self.writer.run(move |transaction| Box::pin(device::approve(transaction, code, grant, now))).await
    }

    async fn deny_device(&self, user_code: &TokenHash, now: UnixTime) -> Result<Decided, StoreError> {
        let code = *user_code;
        self.writer.run(move |transaction| Box::pin(device::deny(transaction, code, now))).await
    }

    async fn poll_device(
        &self,
        lookup: &TokenHash,
        client: &ClientId,
        now: UnixTime,
    ) -> Result<DevicePoll, StoreError> {
        if !device::is_known(&self.readers, lookup, client).await? {
            return Ok(DevicePoll::Unknown);
        }
        let (lookup, client) = (*lookup, client.clone());
        self.writer.run(move |transaction| Box::pin(device::poll(transaction, lookup, client, now))).await
    }

    async fn redeem_device(
        &self,
        device: &TokenHash,
        tokens: Vec<NewToken>,
        now: UnixTime,
    ) -> Result<Redeemed, StoreError> {
        let device = *device;
        self.writer.run(move |transaction| Box::pin(device::redeem(transaction, device, tokens, now))).await
    }
}
