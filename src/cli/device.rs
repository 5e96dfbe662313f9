//! `bearward token request`: the terminal as a device without a browser (RFC 8628).

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use tokio::time::sleep;

use super::{Failure, Output, arguments::Ask, open};
use crate::{
    app::{self, Config},
    issuer::{Call, Caller, DeviceAuthorization, ErrorCode, Issuer, Params, TokenResponse},
    model::UnixTime,
};

/// What a device adds to its pause when it is told to slow down (RFC 8628 §3.5).
const SLOWER: Duration = Duration::from_secs(5);

/// Shows where to allow it, waits for the answer, and prints the token.
pub(super) async fn request(config: &Config, ask: Ask, output: Output) -> Result<(), Failure> {
    let issuer = open::issuer(config, UnixTime::now()).await?;
    let mut wish = vec![("client_id".to_owned(), ask.client.to_string())];
    wish.extend(ask.scope.map(|scope| ("scope".to_owned(), scope.to_string())));
    let (wish, caller) = (Params::from_pairs(wish), here());
    let call = Call { params: &wish, authorization: None, caller: &caller, now: UnixTime::now() };
    let device = issuer.device_authorization(&call).await.map_err(Failure::failed)?;
    open::warn(&invitation(&device));
    let tokens = wait(&issuer, &ask.client.to_string(), &device).await?;
    print(&tokens, output)
}

fn here() -> Caller {
    Caller { address: IpAddr::from(Ipv4Addr::LOCALHOST), certificate: None }
}

/// The code beside the address is what the person compares; the QR code only saves typing (RFC 8628 §3.3.1).
fn invitation(device: &DeviceAuthorization) -> String {
    let code = app::qr_terminal(&device.verification_uri_complete).unwrap_or_default();
    format!(
        "open {} in a browser, or scan this, and allow the code {}\n\n{code}",
        device.verification_uri, device.user_code
    )
}

async fn wait(issuer: &Issuer, client: &str, device: &DeviceAuthorization) -> Result<TokenResponse, Failure> {
    let code =
        device.device_code.expose_str().ok_or_else(|| Failure::failed("the device code is no text"))?;
    let question = Params::from_pairs(vec![
        ("grant_type".to_owned(), "urn:ietf:params:oauth:grant-type:device_code".to_owned()),
        ("client_id".to_owned(), client.to_owned()),
        ("device_code".to_owned(), code.to_owned()),
    ]);
    let caller = here();
    let mut pause = Duration::from_secs(device.interval.into());
    loop {
        sleep(pause).await;
        let call = Call { params: &question, authorization: None, caller: &caller, now: UnixTime::now() };
        match issuer.token(&call).await {
            Ok(tokens) => return Ok(tokens),
            // A store that cannot be asked just now is asked again, until the code has expired.
            Err(error)
                if matches!(
                    error.code,
                    ErrorCode::AuthorizationPending | ErrorCode::TemporarilyUnavailable
                ) => {}
            Err(error) if error.code == ErrorCode::SlowDown => pause += SLOWER,
            Err(error) => return Err(Failure::failed(error.description)),
        }
    }
}

/// The bare access token for people, everything for programs.
fn print(tokens: &TokenResponse, output: Output) -> Result<(), Failure> {
    let answer: serde_json::Value =
        serde_json::from_slice(tokens.json().expose()).map_err(Failure::failed)?;
    if output.json {
        output.document(&answer);
        return Ok(());
    }
    let token = answer.get("access_token").and_then(serde_json::Value::as_str);
    output.text(token.ok_or_else(|| Failure::failed("the answer holds no token"))?);
    Ok(())
}
