use serde::{Deserialize, Serialize};

use super::{
    consent::{Person, opens_nothing, seal},
    details::DeviceDetails,
    page::{Answer, ConsentPage, DeviceCodePage, DevicePlace, DonePage, Page, PageError},
    sign_in::{client_name, error, fault, is_vouched_for, unavailable},
    state::{Asked, Browser, ConsentState, Prepared, SignInState},
};
use crate::{
    issuer::{Caller, Client, Issuer},
    limits::TooMany,
    model::{ClientId, GrantId, Scope, Secret, TokenHash, UnixTime},
    store::{Decided, DeviceRecord, DeviceState, StoreError},
    token::{CryptoError, GrantPublicKey, UserCode},
};

/// A device that a person is asked about.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct DeviceRequest {
    /// Names the request, and the grant that an allowing answer makes.
    pub(super) id: GrantId,
    pub(super) client: ClientId,
    user_code: String,
    /// The device behind the code, so that no other one takes its place.
    public_key: [u8; 32],
}

impl Issuer {
    /// The page that asks for a device's code (RFC 8628 §3.3). A code in the address only fills the field
    /// (§3.3.1): the person must see it and compare.
    pub fn device_page(&self, user_code: Option<&str>) -> Answer {
        let user_code = user_code.and_then(|text| UserCode::parse(text).ok()).map(|code| code.text());
        Answer::Page(Page::DeviceCode(DeviceCodePage { user_code, ..DeviceCodePage::default() }))
    }

    /// The answer to the page that asks for a device's code: the sign-in page, or the same page again.
    pub async fn device_lookup(
        &self,
        user_code: &str,
        browser: Option<&Secret>,
        caller: &Caller,
        now: UnixTime,
    ) -> Answer {
        // What cannot be a code is no guess.
        let Ok(code) = UserCode::parse(user_code) else { return unknown_code() };
        let attempt = match self.sign_ins.limits.begin_code(caller.address, now) {
            Ok(attempt) => attempt,
            Err(TooMany { retry_after }) => {
                let page = DeviceCodePage { retry_after: Some(retry_after), ..DeviceCodePage::default() };
                return Answer::Page(Page::DeviceCode(page));
            }
        };
        let record = match self.device(&code, now).await {
            Ok(Some(record)) if record.state == DeviceState::Pending => record,
            Ok(_) => {
                attempt.wrong(now);
                return unknown_code();
            }
            Err(store) => {
                attempt.not_tried(now);
                return unavailable(&store);
            }
        };
        attempt.right(now);
        let client = match self.client(&record.client).await {
            Ok(Some(client)) => client,
            Ok(None) => return unknown_code(),
            Err(store) => return unavailable(&store),
        };
        let request = DeviceRequest {
            id: GrantId::generate(),
            client: record.client,
            user_code: code.text(),
            public_key: record.public_key,
        };
        let state = SignInState { asked_at: now, asked: Asked::Device(request), other_account: None };
        match Browser::of_cookie_or_new(browser) {
            Ok(browser) => self.sign_in_page(&client, &state, &browser),
            Err(error) => fault(error),
        }
    }

    /// After the right password: asks whether the device may. The password is sealed to the device's own key, which
    /// nobody but the device can open.
    pub(super) async fn device_signed_in(
        &self,
        client: &Client,
        request: DeviceRequest,
        person: Person<'_>,
        browser: &Browser,
        now: UnixTime,
    ) -> Answer {
        let record = match self.same_device(&request, now).await {
            Ok(Some(record)) => record,
            Ok(None) => return unknown_code(),
            Err(store) => return unavailable(&store),
        };
        if opens_nothing(client, &person.verified) {
            return error(PageError::BadRequest(
                "this client gets JWT access tokens, which cannot open a sealed mailbox password".into(),
            ));
        }
        let Ok(details) = serde_json::from_str::<DeviceDetails>(&record.details) else {
            return unavailable(&StoreError::Corrupt("details of a device code".into()));
        };
        let key = GrantPublicKey::new(request.public_key);
        let sealed = match seal(&key, request.id, &person) {
            Ok(sealed) => sealed,
            Err(error) => return fault(error),
        };
        let page = ConsentPage {
            state: String::new(),
            user: person.user.clone(),
            client_name: client_name(client),
            is_vouched_for: is_vouched_for(client),
            redirect_host: None,
            is_local: false,
            scope: record.scope,
            device: Some(DevicePlace {
                user_code: details.user_code,
                address: details.address,
                started_at: record.created_at,
            }),
            form_target: None,
        };
        let prepared = Prepared::Device(request);
        let state =
            ConsentState { user: person.user, auth_time: person.auth_time, asked_at: now, sealed, prepared };
        self.consent_page(page, &state, browser)
    }

    pub(super) async fn decide_device(
        &self,
        request: &DeviceRequest,
        state: &ConsentState,
        allow: bool,
        now: UnixTime,
    ) -> Answer {
        let hash = match self.user_code_hash(request) {
            Ok(hash) => hash,
            Err(error) => return fault(error),
        };
        let decided = match self.same_device(request, now).await {
            Ok(Some(record)) => self.settle(request, &record.scope, &hash, state, allow, now).await,
            Ok(None) => Ok(Decided::Unknown),
            Err(store) => Err(store),
        };
        match decided {
            Ok(Decided::Done) => done(allow),
            // A form that was sent twice.
            Ok(Decided::Before) => match self.was_decided_so(request, allow, now).await {
                Ok(true) => done(allow),
                Ok(false) => error(PageError::Answered),
                Err(store) => unavailable(&store),
            },
            Ok(Decided::Unknown) => error(PageError::Stale),
            Err(store) => unavailable(&store),
        }
    }

    async fn settle(
        &self,
        request: &DeviceRequest,
        scope: &Scope,
        hash: &TokenHash,
        state: &ConsentState,
        allow: bool,
        now: UnixTime,
    ) -> Result<Decided, StoreError> {
        if !allow {
            return self.store.deny_device(hash, now).await;
        }
        match self.client(&request.client).await? {
            Some(_) => {}
            None => return Ok(Decided::Unknown),
        }
        let grant = self.grant(request.id, &request.client, scope, request.public_key, state, now);
        match self.store.approve_device(hash, grant, now).await {
            Err(StoreError::Conflict(_)) => Ok(Decided::Before),
            decided => decided,
        }
    }

    /// Whether what was decided before is this very answer.
    async fn was_decided_so(
        &self,
        request: &DeviceRequest,
        allow: bool,
        now: UnixTime,
    ) -> Result<bool, StoreError> {
        if allow {
            return Ok(self.store.grant(request.id).await?.is_some());
        }
        let record = self.same_device(request, now).await?;
        Ok(record.is_some_and(|record| record.state == DeviceState::Denied))
    }

    async fn device(&self, code: &UserCode, now: UnixTime) -> Result<Option<DeviceRecord>, StoreError> {
        let hash = code.hash(&self.server_key).map_err(|error| StoreError::Unavailable(error.to_string()))?;
        self.store.device_by_user_code(&hash, now).await
    }

    async fn same_device(
        &self,
        request: &DeviceRequest,
        now: UnixTime,
    ) -> Result<Option<DeviceRecord>, StoreError> {
        let Ok(code) = UserCode::parse(&request.user_code) else { return Ok(None) };
        let record = self.device(&code, now).await?;
        Ok(record.filter(|record| record.public_key == request.public_key && record.client == request.client))
    }

    fn user_code_hash(&self, request: &DeviceRequest) -> Result<TokenHash, CryptoError> {
        let code = UserCode::parse(&request.user_code).map_err(|_| CryptoError::BadKey)?;
        code.hash(&self.server_key)
    }
}

/// One answer for a code that was never given, one that has expired, and one that was answered.
fn unknown_code() -> Answer {
    Answer::Page(Page::DeviceCode(DeviceCodePage { is_unknown: true, ..DeviceCodePage::default() }))
}

fn done(allow: bool) -> Answer {
    let page = if allow { DonePage::DeviceAllowed } else { DonePage::DeviceDenied };
    Answer::Page(Page::Done(page))
}
