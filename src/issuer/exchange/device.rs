//! Devices without a browser (RFC 8628).

use super::{Call, DeviceAuthorization, TokenResponse, answer::fault, issue::refused, presented::opaque};
use crate::{
    issuer::{
        Client, Endpoint, ErrorCode, GrantType, Issuer, OAuthError,
        authorize::{DeviceDetails, select_scope},
    },
    model::{TokenHash, TokenKind},
    store::{DevicePoll, Grant, NewDevice, Redeemed, StoreError},
    token::{GrantKey, OpaqueToken, UserCode},
};

/// Seconds between two questions of a device (RFC 8628 §3.2).
const INTERVAL: u32 = 5;
/// A user code is short, so another device may show the same one; then another is drawn.
const DRAWS: usize = 4;

impl Issuer {
    /// Starts the authorization of a device (RFC 8628 §3.1).
    ///
    /// The key pair that the person's password will be sealed to comes from the device code, which only the device
    /// has; the store gets the public half.
    ///
    /// # Errors
    /// What the client is told.
    pub async fn device_authorization(&self, call: &Call<'_>) -> Result<DeviceAuthorization, OAuthError> {
        let client = self.authenticate(call).await?;
        if !client.may_use(GrantType::DeviceCode) {
            return Err(OAuthError::new(
                ErrorCode::UnauthorizedClient,
                "this client is not registered for the device grant",
            ));
        }
        let scope = select_scope(&client, call.params.one("scope")?)?;
        let audience = self.audience();
        self.check_resources(call.params, &audience)?;
        let expires_at = call.now.after(self.config.device_code_lifetime);
        if !self.devices.start(call.caller.address, call.now, expires_at) {
            return Err(OAuthError::new(
                ErrorCode::TemporarilyUnavailable,
                "too many devices wait to be approved; try again when some have been",
            ));
        }
        for _ in 0..DRAWS {
            let device = OpaqueToken::generate(TokenKind::Device)?;
            let user_code = UserCode::generate()?;
            let details = DeviceDetails {
                address: call.caller.address,
                user_code: user_code.text(),
                resource: call.params.all("resource").map(str::to_owned).collect(),
            };
            let key = GrantKey::of_device_code(&device, &self.server_key)?;
            let new = NewDevice {
                lookup: device.lookup()?,
                user_code: user_code.hash(&self.server_key)?,
                client: client.id.clone(),
                scope: scope.clone(),
                audience: audience.clone(),
                public_key: *key.public().as_bytes(),
                details: serde_json::to_string(&details).map_err(|_| fault())?,
                created_at: call.now,
                expires_at,
                interval: INTERVAL,
            };
            match self.store.create_device(new).await {
                Ok(()) => return Ok(self.device_answer(&device, user_code.text())),
                Err(StoreError::Conflict(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(OAuthError::new(ErrorCode::TemporarilyUnavailable, "no free user code was found, try again"))
    }

    /// A device asks for its tokens (RFC 8628 §3.4).
    pub(super) async fn redeem_device(
        &self,
        call: &Call<'_>,
        client: &Client,
    ) -> Result<TokenResponse, OAuthError> {
        let device = call.params.required("device_code")?;
        let Some(device) = opaque(device.as_bytes(), TokenKind::Device) else { return Err(unknown()) };
        let lookup = device.lookup()?;
        let grant = match self.store.poll_device(&lookup, &client.id, call.now).await? {
            DevicePoll::Approved(grant) => grant,
            DevicePoll::Pending => {
                return Err(OAuthError::new(
                    ErrorCode::AuthorizationPending,
                    "the person has not answered yet",
                ));
            }
            DevicePoll::SlowDown => {
                return Err(OAuthError::new(
                    ErrorCode::SlowDown,
                    "wait longer between two questions: five seconds more than before",
                ));
            }
            DevicePoll::Denied => {
                return Err(OAuthError::new(ErrorCode::AccessDenied, "the person refused"));
            }
            DevicePoll::Expired => {
                return Err(OAuthError::new(
                    ErrorCode::ExpiredToken,
                    "the device code has expired, start again",
                ));
            }
            DevicePoll::Used(_) => return Err(self.device_replayed(&lookup, call).await),
            DevicePoll::Unknown => return Err(unknown()),
        };
        self.tokens_for_device(call, client, &device, &lookup, &grant).await
    }

    async fn tokens_for_device(
        &self,
        call: &Call<'_>,
        client: &Client,
        device: &OpaqueToken,
        lookup: &TokenHash,
        grant: &Grant,
    ) -> Result<TokenResponse, OAuthError> {
        if grant.client != client.id || !grant.is_live(call.now) {
            return Err(unknown());
        }
        self.check_resources(call.params, &grant.audience)?;
        let key = GrantKey::of_device_code(device, &self.server_key)?;
        // Another key here was put there by someone who writes to the store.
        if *key.public().as_bytes() != grant.public_key {
            tracing::error!(grant = %grant.id, "the key of a device's grant is not the device's");
            return Err(fault());
        }
        let recipient = self.recipient(call, client, grant)?;
        self.check_unsealed(client, grant).await?;
        let issued = self.first_tokens(&recipient, &key, None)?;
        match self.store.redeem_device(lookup, issued.rows, call.now).await? {
            Redeemed::Done => Ok(issued.response),
            Redeemed::Expired => Err(OAuthError::new(ErrorCode::ExpiredToken, "the device code has expired")),
            Redeemed::Replayed(grant) => {
                tracing::warn!(%grant, client_id = %client.id, "a device code was used twice");
                Err(unknown())
            }
            Redeemed::GrantEnded | Redeemed::Unknown => Err(unknown()),
        }
    }

    /// Ends the grant of a device code that was used before, and says what the client is told.
    async fn device_replayed(&self, lookup: &TokenHash, call: &Call<'_>) -> OAuthError {
        match self.store.redeem_device(lookup, Vec::new(), call.now).await {
            Ok(Redeemed::Replayed(grant)) => {
                tracing::warn!(%grant, "a device code was used twice");
                unknown()
            }
            Ok(Redeemed::Done | Redeemed::Expired | Redeemed::GrantEnded | Redeemed::Unknown) => unknown(),
            Err(error) => error.into(),
        }
    }

    fn device_answer(&self, device: &OpaqueToken, user_code: String) -> DeviceAuthorization {
        let verification_uri = self.url_of(Endpoint::Device);
        DeviceAuthorization {
            device_code: device.text(),
            verification_uri_complete: format!("{verification_uri}?user_code={user_code}"),
            verification_uri,
            user_code,
            expires_in: self.config.device_code_lifetime.as_secs(),
            interval: INTERVAL,
        }
    }
}

/// One answer for every device code that is none.
fn unknown() -> OAuthError {
    refused("the device code is unknown, used, or another client's; start again")
}
