use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};
use zeroize::Zeroizing;

use super::{device::DeviceRequest, request::Request};
use crate::{
    directory::OutsidePrompt,
    model::{Login, Secret, TokenHash, TokenKind, UnixTime},
    token::{CryptoError, KeyPurpose, OpaqueToken, ServerKey},
};

/// Longest state that is looked at, in octets.
const LONGEST: usize = 48 * 1024;

/// A page that carries a state. Each page's state opens at its own place alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    SignIn,
    Consent,
    /// Not a page: what is kept while a person is at an outside provider.
    Outside,
    Mailbox,
}

impl Place {
    const fn context(self) -> &'static [u8] {
        match self {
            Self::SignIn => b"bearward sign-in page v1",
            Self::Consent => b"bearward consent page v2",
            Self::Outside => b"bearward way to an outside provider v1",
            Self::Mailbox => b"bearward mailbox password page v1",
        }
    }
}

/// What the sign-in page carries.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SignInState {
    pub(super) asked_at: UnixTime,
    pub(super) asked: Asked,
    /// How another try at the outside provider gets another account than the last one did.
    #[serde(default)]
    pub(super) other_account: Option<OutsidePrompt>,
}

/// What a person signs in for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Asked {
    Client(Request),
    Device(DeviceRequest),
}

/// What the page carries that asks for the mailbox password of somebody who signed in elsewhere.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct MailboxState {
    pub(super) user: Login,
    pub(super) auth_time: UnixTime,
    pub(super) asked_at: UnixTime,
    pub(super) asked: Asked,
}

/// What the consent page carries: the grant, ready to be stored. The password is sealed already, and the key that
/// opens it is wrapped for a code that nobody has yet.
#[derive(Serialize, Deserialize)]
pub(super) struct ConsentState {
    pub(super) user: Login,
    /// When the person proved who they are, to whomever.
    pub(super) auth_time: UnixTime,
    /// When the page was made.
    pub(super) asked_at: UnixTime,
    pub(super) sealed: Vec<(String, Octets)>,
    pub(super) prepared: Prepared,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Prepared {
    Code(Box<PreparedCode>),
    Device(DeviceRequest),
}

/// A code and the key pair of its grant.
#[derive(Serialize, Deserialize)]
pub(super) struct PreparedCode {
    pub(super) request: Request,
    pub(super) code: CodeText,
    pub(super) public_key: [u8; 32],
    pub(super) wrapped_key: Octets,
}

/// Octets as base64url in JSON.
#[derive(Clone)]
pub(super) struct Octets(pub(super) Vec<u8>);

/// An authorization code inside an encrypted state.
pub(super) struct CodeText(pub(super) Secret);

/// The browser, by the cookie that only it has. What is sealed for it opens with this cookie and this server's key
/// together: no other browser can be made to send it (CSRF), and nobody who reads a page alone can open it.
pub(super) struct Browser(OpaqueToken);

impl Browser {
    /// The browser that sent the cookie, if it is one of ours.
    pub(super) fn of_cookie(cookie: Option<&Secret>) -> Option<Self> {
        let token = OpaqueToken::parse(cookie?.expose()).ok()?;
        (token.kind() == TokenKind::Browser).then_some(Self(token))
    }

    /// That browser, or a new cookie.
    pub(super) fn of_cookie_or_new(cookie: Option<&Secret>) -> Result<Self, CryptoError> {
        Self::of_cookie(cookie).map_or_else(|| OpaqueToken::generate(TokenKind::Browser).map(Self), Ok)
    }

    /// The cookie's value.
    pub(super) fn cookie(&self) -> Secret {
        self.0.text()
    }

    /// Names the browser where the cookie must not be.
    pub(super) fn hash(&self) -> Result<TokenHash, CryptoError> {
        self.0.lookup()
    }

    /// As text that only [`Browser::open`] of this browser reads.
    pub(super) fn seal<T: Serialize>(
        &self,
        place: Place,
        value: &T,
        server: &ServerKey,
    ) -> Result<String, CryptoError> {
        // As large as it can get, so that no copy is left behind by growing.
        let mut plain = Zeroizing::new(Vec::with_capacity(LONGEST));
        serde_json::to_writer(&mut *plain, value).map_err(|_| CryptoError::Library)?;
        let sealed = self.0.purpose_key(server, KeyPurpose::Pages)?.encrypt(&plain, place.context())?;
        Ok(URL_SAFE_NO_PAD.encode(sealed))
    }

    /// `None` for whatever was not sealed for this browser and this place.
    pub(super) fn open<T: DeserializeOwned>(
        &self,
        place: Place,
        text: &str,
        server: &ServerKey,
    ) -> Option<T> {
        if text.len() > LONGEST {
            return None;
        }
        let sealed = URL_SAFE_NO_PAD.decode(text).ok()?;
        let plain =
            self.0.purpose_key(server, KeyPurpose::Pages).ok()?.decrypt(&sealed, place.context()).ok()?;
        serde_json::from_slice(plain.expose()).ok()
    }
}

impl Serialize for Octets {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&URL_SAFE_NO_PAD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Octets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        URL_SAFE_NO_PAD.decode(text).map(Self).map_err(serde::de::Error::custom)
    }
}

impl Serialize for CodeText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose_str().unwrap_or_default())
    }
}

impl<'de> Deserialize<'de> for CodeText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Secret::from(text)))
    }
}
