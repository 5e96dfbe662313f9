//! A store that can be slow or down.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use bearward::{
    model::{ClientId, GrantId, Login, Scope, TokenHash, UnixTime},
    store::{
        AccountSession, AccountSessions, AppPasswordRecord, AppPasswords, CheckItem, ClientRecord,
        ClientState, Clients, CodeRecord, Decided, DevicePoll, DeviceRecord, Ended, Ephemeral, EphemeralKind,
        Exchanges, Grant, GrantFilter, GrantUse, History, LastUse, NewAppPasswordRow, NewDevice, NewGrant,
        NewToken, OutsideEnds, Redeemed, Renewal, Replaces, RevocationCursor, RevocationPage,
        RevocationReason, Rotated, Rotation, SignInNote, SignInRecord, SigningKeyRecord, Store, StoreError,
        TokenRecord, UpstreamSecret, UpstreamSecrets, UserRecord, Users,
    },
};
use tokio::sync::Semaphore;

use crate::store::sqlite;

/// Passes everything on to an embedded store, unless it is down.
pub(crate) struct Hooked {
    inner: Arc<dyn Store>,
    /// Whether it is down.
    pub(crate) down: AtomicBool,
    looked_up: AtomicUsize,
    keys_read: AtomicUsize,
    /// A look-up of a token takes one before it answers.
    pub(crate) answers: Semaphore,
}

impl Hooked {
    pub(crate) async fn over(folder: &Path) -> Self {
        Self {
            inner: sqlite(folder).await,
            down: AtomicBool::new(false),
            looked_up: AtomicUsize::new(0),
            keys_read: AtomicUsize::new(0),
            answers: Semaphore::new(usize::MAX >> 4),
        }
    }

    /// How many tokens were looked up.
    pub(crate) fn looked_up(&self) -> usize {
        self.looked_up.load(Ordering::SeqCst)
    }

    /// How often the signing keys were read.
    pub(crate) fn keys_read(&self) -> usize {
        self.keys_read.load(Ordering::SeqCst)
    }

    fn up(&self) -> Result<&dyn Store, StoreError> {
        if self.down.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("down".to_owned()));
        }
        Ok(&*self.inner)
    }
}

#[async_trait]
impl Store for Hooked {
    async fn create_grant(&self, grant: NewGrant) -> Result<(), StoreError> {
        self.up()?.create_grant(grant).await
    }
    async fn add_token(&self, grant: GrantId, token: NewToken, now: UnixTime) -> Result<(), StoreError> {
        self.up()?.add_token(grant, token, now).await
    }
    async fn token(&self, lookup: &TokenHash) -> Result<Option<TokenRecord>, StoreError> {
        let read = self.up()?.token(lookup).await;
        self.looked_up.fetch_add(1, Ordering::SeqCst);
        let _permit = self.answers.acquire().await.unwrap();
        read
    }
    async fn grant(&self, id: GrantId) -> Result<Option<Grant>, StoreError> {
        self.up()?.grant(id).await
    }
    async fn grants(&self, filter: GrantFilter) -> Result<Vec<Grant>, StoreError> {
        self.up()?.grants(filter).await
    }
    async fn revoke_grant(
        &self,
        id: GrantId,
        reason: RevocationReason,
        at: UnixTime,
    ) -> Result<Ended, StoreError> {
        self.up()?.revoke_grant(id, reason, at).await
    }
    async fn revoke_token(&self, lookup: &TokenHash, at: UnixTime) -> Result<Ended, StoreError> {
        self.up()?.revoke_token(lookup, at).await
    }
    async fn revocations(&self, cursor: Option<RevocationCursor>) -> Result<RevocationPage, StoreError> {
        self.up()?.revocations(cursor).await
    }
    async fn signing_keys(&self) -> Result<Vec<SigningKeyRecord>, StoreError> {
        self.keys_read.fetch_add(1, Ordering::SeqCst);
        self.up()?.signing_keys().await
    }
    async fn add_signing_key(
        &self,
        key: SigningKeyRecord,
        replaces: Option<Replaces>,
    ) -> Result<bool, StoreError> {
        self.up()?.add_signing_key(key, replaces).await
    }
    async fn retire_signing_key(&self, kid: &str, at: UnixTime) -> Result<(), StoreError> {
        self.up()?.retire_signing_key(kid, at).await
    }
    async fn remove_expired(&self, now: UnixTime, limit: u32) -> Result<u64, StoreError> {
        self.up()?.remove_expired(now, limit).await
    }
    async fn backup(&self, path: &Path) -> Result<(), StoreError> {
        self.up()?.backup(path).await
    }
    async fn check(&self) -> Result<Vec<CheckItem>, StoreError> {
        self.up()?.check().await
    }
}

#[async_trait]
impl Exchanges for Hooked {
    async fn code(&self, lookup: &TokenHash) -> Result<Option<CodeRecord>, StoreError> {
        self.up()?.code(lookup).await
    }
    async fn holds_credentials(&self, grant: GrantId) -> Result<bool, StoreError> {
        self.up()?.holds_credentials(grant).await
    }
    async fn redeem_code(
        &self,
        code: &TokenHash,
        tokens: Vec<NewToken>,
        now: UnixTime,
    ) -> Result<Redeemed, StoreError> {
        self.up()?.redeem_code(code, tokens, now).await
    }
    async fn rotate_refresh_token(&self, rotation: Rotation) -> Result<Rotated, StoreError> {
        self.up()?.rotate_refresh_token(rotation).await
    }
    async fn renew_refresh_token(&self, renewal: Renewal) -> Result<Rotated, StoreError> {
        self.up()?.renew_refresh_token(renewal).await
    }
    async fn create_device(&self, device: NewDevice) -> Result<(), StoreError> {
        self.up()?.create_device(device).await
    }
    async fn device_by_user_code(
        &self,
        user_code: &TokenHash,
        now: UnixTime,
    ) -> Result<Option<DeviceRecord>, StoreError> {
        self.up()?.device_by_user_code(user_code, now).await
    }
    async fn approve_device(
        &self,
        user_code: &TokenHash,
        grant: NewGrant,
        now: UnixTime,
    ) -> Result<Decided, StoreError> {
        self.up()?.approve_device(user_code, grant, now).await
    }
    async fn deny_device(&self, user_code: &TokenHash, now: UnixTime) -> Result<Decided, StoreError> {
        self.up()?.deny_device(user_code, now).await
    }
    async fn poll_device(
        &self,
        lookup: &TokenHash,
        client: &ClientId,
        now: UnixTime,
    ) -> Result<DevicePoll, StoreError> {
        self.up()?.poll_device(lookup, client, now).await
    }
    async fn redeem_device(
        &self,
        device: &TokenHash,
        tokens: Vec<NewToken>,
        now: UnixTime,
    ) -> Result<Redeemed, StoreError> {
        self.up()?.redeem_device(device, tokens, now).await
    }
}

#[async_trait]
impl Clients for Hooked {
    async fn create_client(&self, client: ClientRecord) -> Result<(), StoreError> {
        self.up()?.create_client(client).await
    }
    async fn client(&self, id: &ClientId) -> Result<ClientState, StoreError> {
        self.up()?.client(id).await
    }
    async fn clients(&self) -> Result<Vec<ClientRecord>, StoreError> {
        self.up()?.clients().await
    }
    async fn update_client(&self, client: ClientRecord) -> Result<bool, StoreError> {
        self.up()?.update_client(client).await
    }
    async fn remove_client(&self, id: &ClientId, at: UnixTime) -> Result<Ended, StoreError> {
        self.up()?.remove_client(id, at).await
    }
    async fn denied_clients(&self) -> Result<Vec<(ClientId, UnixTime)>, StoreError> {
        self.up()?.denied_clients().await
    }
    async fn allow_client(&self, id: &ClientId) -> Result<bool, StoreError> {
        self.up()?.allow_client(id).await
    }
    async fn remember_consent(
        &self,
        user: &Login,
        client: &ClientId,
        scope: &Scope,
        at: UnixTime,
    ) -> Result<(), StoreError> {
        self.up()?.remember_consent(user, client, scope, at).await
    }
    async fn consent(&self, user: &Login, client: &ClientId) -> Result<Option<Scope>, StoreError> {
        self.up()?.consent(user, client).await
    }
}

#[async_trait]
impl UpstreamSecrets for Hooked {
    async fn set_upstream_secret(&self, secret: UpstreamSecret) -> Result<(), StoreError> {
        self.up()?.set_upstream_secret(secret).await
    }
    async fn upstream_secret(
        &self,
        user: &Login,
        backend: &str,
    ) -> Result<Option<UpstreamSecret>, StoreError> {
        self.up()?.upstream_secret(user, backend).await
    }
    async fn upstream_secrets(&self) -> Result<Vec<UpstreamSecret>, StoreError> {
        self.up()?.upstream_secrets().await
    }
    async fn remove_upstream_secret(&self, user: &Login, backend: &str) -> Result<bool, StoreError> {
        self.up()?.remove_upstream_secret(user, backend).await
    }
}

#[async_trait]
impl Users for Hooked {
    async fn add_user(&self, user: UserRecord) -> Result<(), StoreError> {
        self.up()?.add_user(user).await
    }
    async fn user(&self, login: &Login) -> Result<Option<UserRecord>, StoreError> {
        self.up()?.user(login).await
    }
    async fn users(&self) -> Result<Vec<UserRecord>, StoreError> {
        self.up()?.users().await
    }
    async fn set_password(
        &self,
        login: &Login,
        password: &str,
        end_grants: bool,
        at: UnixTime,
    ) -> Result<bool, StoreError> {
        self.up()?.set_password(login, password, end_grants, at).await
    }
    async fn renew_hash(&self, login: &Login, from: &str, to: &str) -> Result<bool, StoreError> {
        self.up()?.renew_hash(login, from, to).await
    }
    async fn remove_user(&self, login: &Login, at: UnixTime) -> Result<Ended, StoreError> {
        self.up()?.remove_user(login, at).await
    }
}

#[async_trait]
impl AppPasswords for Hooked {
    async fn create_app_password(&self, password: NewAppPasswordRow, most: u32) -> Result<bool, StoreError> {
        self.up()?.create_app_password(password, most).await
    }
    async fn app_passwords(&self, user: Option<&Login>) -> Result<Vec<AppPasswordRecord>, StoreError> {
        self.up()?.app_passwords(user).await
    }
    async fn has_app_passwords(&self, now: UnixTime) -> Result<bool, StoreError> {
        self.up()?.has_app_passwords(now).await
    }
    async fn app_passwords_used(&self, uses: Vec<(GrantId, LastUse)>) -> Result<(), StoreError> {
        self.up()?.app_passwords_used(uses).await
    }
}

#[async_trait]
impl OutsideEnds for Hooked {
    async fn end_outside(&self, key: &TokenHash, at: UnixTime) -> Result<(), StoreError> {
        self.up()?.end_outside(key, at).await
    }
    async fn outside_end(&self, key: &TokenHash) -> Result<Option<UnixTime>, StoreError> {
        self.up()?.outside_end(key).await
    }
}

#[async_trait]
impl Ephemeral for Hooked {
    async fn claim(
        &self,
        kind: EphemeralKind,
        key: &TokenHash,
        expires_at: UnixTime,
    ) -> Result<bool, StoreError> {
        self.up()?.claim(kind, key, expires_at).await
    }
    async fn count(
        &self,
        kind: EphemeralKind,
        key: &TokenHash,
        expires_at: UnixTime,
        now: UnixTime,
    ) -> Result<u32, StoreError> {
        self.up()?.count(kind, key, expires_at, now).await
    }
    async fn counted(&self, kind: EphemeralKind, key: &TokenHash, now: UnixTime) -> Result<u32, StoreError> {
        self.up()?.counted(kind, key, now).await
    }
    async fn keep(
        &self,
        kind: EphemeralKind,
        key: &TokenHash,
        value: Vec<u8>,
        expires_at: UnixTime,
    ) -> Result<(), StoreError> {
        self.up()?.keep(kind, key, value, expires_at).await
    }
    async fn kept(
        &self,
        kind: EphemeralKind,
        key: &TokenHash,
        now: UnixTime,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        self.up()?.kept(kind, key, now).await
    }
    async fn forget(&self, kind: EphemeralKind, key: &TokenHash) -> Result<bool, StoreError> {
        self.up()?.forget(kind, key).await
    }
}

#[async_trait]
impl History for Hooked {
    async fn note_sign_ins(&self, notes: Vec<SignInNote>) -> Result<(), StoreError> {
        self.up()?.note_sign_ins(notes).await
    }
    async fn sign_ins(&self, user: &Login) -> Result<Vec<SignInRecord>, StoreError> {
        self.up()?.sign_ins(user).await
    }
    async fn browsers_told(&self, user: &Login, own: Option<&TokenHash>) -> Result<(), StoreError> {
        self.up()?.browsers_told(user, own).await
    }
    async fn grant_uses(&self, user: &Login) -> Result<Vec<GrantUse>, StoreError> {
        self.up()?.grant_uses(user).await
    }
}

#[async_trait]
impl AccountSessions for Hooked {
    async fn open_account_session(&self, session: AccountSession) -> Result<(), StoreError> {
        self.up()?.open_account_session(session).await
    }
    async fn account_session(
        &self,
        lookup: &TokenHash,
        now: UnixTime,
    ) -> Result<Option<AccountSession>, StoreError> {
        self.up()?.account_session(lookup, now).await
    }
    async fn close_account_session(&self, lookup: &TokenHash) -> Result<bool, StoreError> {
        self.up()?.close_account_session(lookup).await
    }
}
