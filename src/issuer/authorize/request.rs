use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use super::reply::{ResponseMode, WayBack};
use crate::{
    directory::OutsidePrompt,
    issuer::{Client, ErrorCode, GrantType, Issuer, OAuthError, Params},
    model::{ClientId, GrantId, Scope},
};

/// Most octets of all names and values of one request.
const LARGEST: usize = 8 * 1024;
/// Longest `state`, in octets.
const LONGEST_STATE: usize = 2048;
/// Longest `nonce`, in octets.
const LONGEST_NONCE: usize = 512;

/// What may come once; that a parameter which is not looked at comes twice is an error too (RFC 6749 §3.1).
const ONCE: [&str; 20] = [
    "acr_values",
    "claims",
    "client_id",
    "code_challenge",
    "code_challenge_method",
    "display",
    "id_token_hint",
    "login_hint",
    "max_age",
    "nonce",
    "prompt",
    "redirect_uri",
    "registration",
    "request",
    "request_uri",
    "response_mode",
    "response_type",
    "scope",
    "state",
    "ui_locales",
];

/// An authorization request that is in order. It travels inside the pages, encrypted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Request {
    /// Names the request, and the grant that an allowing answer makes: so there can be one such answer only.
    pub(super) id: GrantId,
    pub(super) client: ClientId,
    pub(super) redirect_uri: String,
    pub(super) mode: ResponseMode,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) state: Option<String>,
    pub(super) scope: Scope,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) requested_scope: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) resource: Vec<String>,
    pub(super) code_challenge: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) nonce: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) max_age: Option<u64>,
    /// `prompt=consent`: what was remembered does not count.
    pub(super) asks_consent: bool,
    /// `prompt=login` or `prompt=select_account`, which an outside provider is told too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) outside_prompt: Option<OutsidePrompt>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) login_hint: Option<String>,
}

/// What `prompt` says (OpenID Connect Core §3.1.2.1), as far as it makes a difference: a password is always asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Prompt {
    none: bool,
    consent: bool,
    outside: Option<OutsidePrompt>,
}

impl Request {
    /// How long a page with a request may stay open.
    pub(super) const LIFETIME: Duration = Duration::from_secs(15 * 60);

    /// The way back, if the client still has it.
    pub(super) fn way_back(&self, client: &Client) -> Option<WayBack> {
        let redirect = client.redirect(&self.redirect_uri)?;
        Some(WayBack { redirect, mode: self.mode, state: self.state.clone() })
    }
}

/// Whether the request is small enough to be looked at.
pub(super) fn is_bounded(params: &Params) -> bool {
    params.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() <= LARGEST
}

/// The way back to the client, as far as it can be told.
///
/// # Errors
/// What is wrong with `redirect_uri`: then there is no way back, and the person must be told, not the client.
pub(super) fn way_back(client: &Client, params: &Params) -> Result<WayBack, OAuthError> {
    let requested = params.required("redirect_uri")?;
    let redirect = client.redirect(requested).ok_or_else(|| {
        OAuthError::new(ErrorCode::InvalidRequest, "redirect_uri is none that the client registered")
    })?;
    let mode = params.one("response_mode").ok().flatten().and_then(ResponseMode::from_name);
    let state = state(params).ok().flatten().map(str::to_owned);
    Ok(WayBack { redirect, mode: mode.unwrap_or_default(), state })
}

impl Issuer {
    /// Reads all but the way back.
    ///
    /// # Errors
    /// What the client is told.
    pub(super) fn read_request(
        &self,
        client: &Client,
        way: &WayBack,
        params: &Params,
        id: GrantId,
    ) -> Result<Request, OAuthError> {
        for name in ONCE {
            params.one(name)?;
        }
        refuse_objects(params)?;
        let state = state(params)?;
        response(client, params)?;
        let code_challenge = code_challenge(params)?;
        let requested_scope = params.one("scope")?;
        let scope = select_scope(client, requested_scope)?;
        let resource = self.requested_resources(params)?;
        let nonce = params.one("nonce")?;
        if nonce.is_some_and(|nonce| nonce.len() > LONGEST_NONCE || nonce.chars().any(char::is_control)) {
            return Err(invalid(format!(
                "nonce has more than {LONGEST_NONCE} octets, or control characters"
            )));
        }
        let prompt = prompt(params)?;
        let max_age = max_age(params)?;
        if prompt.none {
            // Nobody stays signed in here, so nobody is signed in already.
            return Err(OAuthError::new(
                ErrorCode::LoginRequired,
                "this server asks for the password every time",
            ));
        }
        let is_hint = |hint: &&str| hint.len() <= 255 && !hint.chars().any(char::is_control);
        Ok(Request {
            id,
            client: client.id.clone(),
            redirect_uri: way.redirect.as_str().to_owned(),
            mode: way.mode,
            state: state.map(str::to_owned),
            scope,
            requested_scope: requested_scope.map(str::to_owned),
            resource,
            code_challenge,
            nonce: nonce.map(str::to_owned),
            max_age,
            asks_consent: prompt.consent,
            outside_prompt: prompt.outside,
            login_hint: params.one("login_hint")?.filter(is_hint).map(str::to_owned),
        })
    }
}

/// What of `requested` the client gets: values that this server does not know, or that the client did not register,
/// are left out (RFC 6749 §3.3), for clients ask every server for the same. Left out altogether, it is what the
/// client registered, or the mail scope.
///
/// # Errors
/// `invalid_scope` when the text breaks the grammar, or when nothing is left.
pub(in crate::issuer) fn select_scope(client: &Client, requested: Option<&str>) -> Result<Scope, OAuthError> {
    let bad = |description| OAuthError::new(ErrorCode::InvalidScope, description);
    let registered = client.metadata.scope.as_ref();
    let requested = match requested {
        Some(text) => text.parse().map_err(|_| bad("scope is not a list of scope values (RFC 6749, 3.3)"))?,
        None => Scope::default(),
    };
    let requested =
        if requested.is_empty() { registered.cloned().unwrap_or_else(Scope::mail) } else { requested };
    let is_given = |value: &&str| {
        Scope::KNOWN.contains(value) && registered.is_none_or(|registered| registered.contains(value))
    };
    let values: Vec<&str> = requested.iter().filter(is_given).collect();
    // `offline_access` alone opens nothing.
    if values.iter().all(|value| *value == "offline_access") {
        return Err(bad("no value in scope is one that this server knows and this client may ask for"));
    }
    values.join(" ").parse().map_err(|_| bad("scope is too long"))
}

/// A request object may say anything, so it cannot be passed over (OpenID Connect Core §6).
fn refuse_objects(params: &Params) -> Result<(), OAuthError> {
    for (name, code) in [
        ("request", ErrorCode::RequestNotSupported),
        ("request_uri", ErrorCode::RequestUriNotSupported),
        ("registration", ErrorCode::RegistrationNotSupported),
    ] {
        if params.one(name)?.is_some() {
            return Err(OAuthError::new(code, format!("this server takes no parameter {name} of that kind")));
        }
    }
    Ok(())
}

fn response(client: &Client, params: &Params) -> Result<(), OAuthError> {
    if params.required("response_type")? != "code" {
        return Err(OAuthError::new(ErrorCode::UnsupportedResponseType, "response_type must be code"));
    }
    if params.one("response_mode")?.is_some_and(|mode| ResponseMode::from_name(mode).is_none()) {
        return Err(invalid("response_mode must be query or form_post"));
    }
    if !client.may_use(GrantType::AuthorizationCode) {
        let description = "the client is not registered for the grant authorization_code";
        return Err(OAuthError::new(ErrorCode::UnauthorizedClient, description));
    }
    Ok(())
}

/// PKCE by S256 from every client (RFC 7636 §4.3; RFC 9700 §2.1.1). Without a method the challenge would be the
/// verifier itself, readable by whoever reads the request.
fn code_challenge(params: &Params) -> Result<String, OAuthError> {
    let challenge = params.required("code_challenge")?;
    if params.one("code_challenge_method")? != Some("S256") {
        return Err(invalid("code_challenge_method must be S256"));
    }
    let is_hash =
        challenge.len() == 43 && URL_SAFE_NO_PAD.decode(challenge).is_ok_and(|hash| hash.len() == 32);
    if !is_hash {
        return Err(invalid(
            "code_challenge must be a SHA-256 hash in base64url: 43 characters without padding",
        ));
    }
    Ok(challenge.to_owned())
}

fn prompt(params: &Params) -> Result<Prompt, OAuthError> {
    let values: Vec<&str> =
        params.one("prompt")?.unwrap_or_default().split(' ').filter(|value| !value.is_empty()).collect();
    let is_known = |value: &&str| ["none", "login", "consent", "select_account"].contains(value);
    if !values.iter().all(is_known) {
        return Err(invalid("prompt holds a value that this server does not know"));
    }
    let has = |value| values.contains(&value);
    if has("none") && values.len() > 1 {
        return Err(invalid("prompt none goes with no other value"));
    }
    let outside = match (has("login"), has("select_account")) {
        (true, _) => Some(OutsidePrompt::Login),
        (false, true) => Some(OutsidePrompt::SelectAccount),
        (false, false) => None,
    };
    Ok(Prompt { none: has("none"), consent: has("consent"), outside })
}

fn max_age(params: &Params) -> Result<Option<u64>, OAuthError> {
    let Some(text) = params.one("max_age")? else { return Ok(None) };
    let is_number = text.len() <= 10 && text.bytes().all(|octet| octet.is_ascii_digit());
    let seconds = text.parse().ok().filter(|_| is_number);
    seconds.map(Some).ok_or_else(|| invalid("max_age must be a number of seconds"))
}

fn state(params: &Params) -> Result<Option<&str>, OAuthError> {
    let state = params.one("state")?;
    if state.is_some_and(|state| state.len() > LONGEST_STATE || state.chars().any(char::is_control)) {
        return Err(invalid(format!("state has more than {LONGEST_STATE} octets, or control characters")));
    }
    Ok(state)
}

fn invalid(description: impl Into<std::borrow::Cow<'static, str>>) -> OAuthError {
    OAuthError::new(ErrorCode::InvalidRequest, description)
}
