//! People who sign in at an OpenID provider elsewhere instead of with a password.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::PasswordCheck;
use crate::{
    http::{Url, may_be_asked},
    model::{Login, Secret, UnixTime},
};

/// How far the provider's clock and ours may differ.
const LEEWAY: Duration = Duration::from_secs(60);

/// The one provider that people are sent to, and the mail servers whose passwords may be needed afterwards.
pub struct OutsideDirectory {
    label: Arc<str>,
    client_id: String,
    scope: String,
    provider: Arc<dyn Provider>,
    mailboxes: Arc<dyn PasswordCheck>,
}

/// What an OpenID provider is asked.
#[async_trait]
pub trait Provider: Send + Sync {
    /// Its issuer identifier.
    fn issuer(&self) -> &Arc<str>;

    /// Where people are sent, as its metadata says now.
    ///
    /// # Errors
    /// [`OutsideError::Unavailable`] and [`OutsideError::Operator`].
    async fn front(&self, now: UnixTime) -> Result<Front, OutsideError>;

    /// Exchanges a code and believes the ID token only if it is the provider's, for us, for this nonce, and in time
    /// (OpenID Connect Core §3.1.3).
    ///
    /// # Errors
    /// [`OutsideError`].
    async fn redeem(&self, code: &Redemption<'_>, now: UnixTime) -> Result<Identity, OutsideError>;
}

/// What of a provider a browser sees.
#[derive(Clone, Debug)]
pub struct Front {
    /// Its authorization endpoint.
    pub authorization: Url,
    /// Whether its answers say who gives them (RFC 9207 §3).
    pub names_itself: bool,
}

/// A code to be exchanged.
#[derive(Debug)]
pub struct Redemption<'a> {
    /// The code.
    pub code: Secret,
    /// The redirect URI that it came to.
    pub redirect_uri: &'a str,
    /// The proof key (RFC 7636).
    pub code_verifier: Secret,
    /// What the ID token must repeat.
    pub nonce: &'a str,
}

/// Who a provider says that somebody is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The login name, of a domain that the provider speaks for.
    pub login: Login,
    /// When they proved it there, where the provider says so.
    pub auth_time: Option<UnixTime>,
}

/// What a client asked of the sign-in, as far as the provider must hear of it (OpenID Connect Core §3.1.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutsidePrompt {
    /// To prove anew who one is.
    Login,
    /// To be asked which account.
    SelectAccount,
}

/// Somebody sets out.
#[derive(Debug)]
#[expect(
    missing_docs,
    reason = "each is the parameter of its name (OpenID Connect Core §3.1.2.1, RFC 7636 §4.3)"
)]
pub struct Departure {
    pub redirect_uri: String,
    pub state: String,
    pub nonce: String,
    pub code_challenge: String,
    pub login_hint: Option<String>,
    pub max_age: Option<u64>,
    pub prompt: Option<OutsidePrompt>,
}

/// Somebody comes back, and what they set out with.
#[derive(Debug)]
pub struct Return<'a> {
    /// Parameter `code`.
    pub code: Option<&'a str>,
    /// Parameter `error`.
    pub error: Option<&'a str>,
    /// Parameter `iss` (RFC 9207 §2).
    pub iss: Option<&'a str>,
    /// Where they came to.
    pub redirect_uri: &'a str,
    /// As sent.
    pub nonce: &'a str,
    /// The proof key.
    pub code_verifier: &'a str,
    /// When they set out.
    pub left_at: UnixTime,
    /// As sent.
    pub max_age: Option<u64>,
    /// As sent.
    pub prompt: Option<OutsidePrompt>,
}

/// Who has come back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutsidePerson {
    /// Their login name.
    pub login: Login,
    /// When they proved who they are.
    pub auth_time: UnixTime,
}

/// Why nobody was signed in.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OutsideError {
    /// The provider says so: the person refused, or has no right to.
    #[error("the provider answers {0:?}")]
    Declined(String),
    /// The provider vouches for somebody, but not for one of our users.
    #[error("{0}")]
    Nobody(String),
    /// The operator must act before anybody can sign in there.
    #[error("nobody can sign in at the provider until the operator acts: {0}")]
    Operator(String),
    /// What came back is not to be believed.
    #[error("{0}")]
    Refused(String),
    /// The provider cannot be asked now; the person is not to blame.
    #[error("the provider cannot be asked now: {0}")]
    Unavailable(String),
}

impl OutsideDirectory {
    /// People are sent to `provider`, where we are `client_id` and ask for `scopes`. `label` is how the button calls
    /// it; `mailboxes` knows which mailbox passwords are needed beside.
    pub fn new(
        label: &str,
        client_id: &str,
        scopes: &[String],
        provider: Arc<dyn Provider>,
        mailboxes: Arc<dyn PasswordCheck>,
    ) -> Self {
        Self {
            label: label.into(),
            client_id: client_id.to_owned(),
            scope: scopes.join(" "),
            provider,
            mailboxes,
        }
    }

    /// How the provider is called.
    pub const fn label(&self) -> &Arc<str> {
        &self.label
    }

    /// The provider's issuer identifier.
    pub fn issuer(&self) -> &Arc<str> {
        self.provider.issuer()
    }

    /// The mail servers.
    pub fn mailboxes(&self) -> &dyn PasswordCheck {
        &*self.mailboxes
    }

    /// Source expression for a page's policy, beside `https:`: a provider on this very machine may do without TLS.
    pub fn form_target(&self) -> Option<String> {
        let url: Url = self.issuer().parse().ok()?;
        (url.scheme() == "http" && may_be_asked(&url)).then(|| url.origin().ascii_serialization())
    }

    /// The address that begins a sign-in (OpenID Connect Core §3.1.2.1).
    ///
    /// # Errors
    /// [`OutsideError::Unavailable`] and [`OutsideError::Operator`].
    pub async fn departure(&self, departure: &Departure, now: UnixTime) -> Result<String, OutsideError> {
        let mut url = self.provider.front(now).await?.authorization;
        if !may_be_asked(&url) {
            return Err(OutsideError::Operator("its authorization_endpoint is not https".to_owned()));
        }
        url.set_fragment(None);
        let mut query = url.query_pairs_mut();
        query
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.client_id)
            .append_pair("redirect_uri", &departure.redirect_uri)
            .append_pair("scope", &self.scope)
            .append_pair("state", &departure.state)
            .append_pair("nonce", &departure.nonce)
            .append_pair("code_challenge", &departure.code_challenge)
            .append_pair("code_challenge_method", "S256");
        if let Some(hint) = &departure.login_hint {
            query.append_pair("login_hint", hint);
        }
        // `max_age` makes the provider say when the person last proved who they are.
        match (departure.prompt, departure.max_age) {
            (Some(OutsidePrompt::Login), _) => {
                query.append_pair("prompt", "login").append_pair("max_age", "0");
            }
            (prompt, max_age) => {
                if prompt.is_some() {
                    query.append_pair("prompt", "select_account");
                }
                if let Some(seconds) = max_age {
                    query.append_pair("max_age", &seconds.to_string());
                }
            }
        }
        drop(query);
        Ok(url.into())
    }

    /// Who has come back.
    ///
    /// # Errors
    /// [`OutsideError`].
    pub async fn person(&self, back: &Return<'_>, now: UnixTime) -> Result<OutsidePerson, OutsideError> {
        let refused = |text: &str| OutsideError::Refused(text.to_owned());
        // Before anything else of the answer is believed, errors included: it may be another provider's, which would
        // get to see the code of this one (RFC 9207 §2.4).
        match back.iss {
            Some(iss) if *iss == **self.issuer() => {}
            Some(_) => return Err(refused("the answer names another provider")),
            None if self.provider.front(now).await?.names_itself => {
                return Err(refused("the answer does not say which provider gives it"));
            }
            None => {}
        }
        let code = match (back.code, back.error) {
            (Some(code), None) if !code.is_empty() => code,
            (None, Some("temporarily_unavailable" | "server_error")) => {
                return Err(OutsideError::Unavailable("it says so itself".to_owned()));
            }
            (None, Some(error)) => return Err(OutsideError::Declined(error.chars().take(64).collect())),
            (_, _) => return Err(refused("the answer holds neither a code nor an error")),
        };
        let redemption = Redemption {
            code: Secret::copy_of(code.as_bytes()),
            redirect_uri: back.redirect_uri,
            code_verifier: Secret::copy_of(back.code_verifier.as_bytes()),
            nonce: back.nonce,
        };
        let Identity { login, auth_time } = self.provider.redeem(&redemption, now).await?;
        check_age(back, auth_time, now)?;
        Ok(OutsidePerson { login, auth_time: auth_time.unwrap_or(now).min(now) })
    }
}

/// What a client asked of the sign-in was asked of the provider, which must say that it was done (OpenID Connect Core
/// §3.1.3.7, 13).
fn check_age(back: &Return<'_>, auth_time: Option<UnixTime>, now: UnixTime) -> Result<(), OutsideError> {
    let refused = |text: &str| Err(OutsideError::Refused(text.to_owned()));
    let must_be_new = back.prompt == Some(OutsidePrompt::Login);
    let Some(at) = auth_time else {
        if must_be_new || back.max_age.is_some() {
            return refused("the provider does not say when the person signed in (auth_time)");
        }
        return Ok(());
    };
    if at > now.after(LEEWAY) {
        return refused("the person signed in in the future");
    }
    if must_be_new && at.after(LEEWAY) < back.left_at {
        return refused("the provider did not ask the person anew");
    }
    match back.max_age {
        Some(seconds) if at.after(Duration::from_secs(seconds)).after(LEEWAY) < back.left_at => {
            refused("the person signed in too long ago")
        }
        Some(_) | None => Ok(()),
    }
}

/// Without secrets.
impl std::fmt::Debug for OutsideDirectory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OutsideDirectory").field("issuer", self.issuer()).finish_non_exhaustive()
    }
}
