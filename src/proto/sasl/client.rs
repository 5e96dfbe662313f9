//! Client side: one login to a mail server, whatever protocol carries it.

use std::sync::Arc;

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use zeroize::Zeroizing;

use super::{
    cram,
    identity::{Identity, checked},
    response::{encode, login_response, oauthbearer_response, plain_response, xoauth2_response},
    scram::{self, Proof, Scram},
};
use crate::{
    model::Secret,
    proto::{Failure, LoginAs, line::excerpt},
};

/// Longest challenge taken, in octets of base64.
const MAX_CHALLENGE: usize = 8192;

/// A mechanism that Bearward speaks to mail servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientMechanism {
    /// CRAM-MD5 (RFC 2195).
    CramMd5,
    /// EXTERNAL (RFC 4422 appendix A).
    External,
    /// LOGIN (never standardised).
    Login,
    /// OAUTHBEARER (RFC 7628).
    OAuthBearer,
    /// PLAIN (RFC 4616).
    Plain,
    /// SCRAM-SHA-256 (RFC 7677).
    ScramSha256,
    /// XOAUTH2.
    XOAuth2,
}

/// By what a login may be made.
#[derive(Clone, Debug, Default)]
pub struct ClientPolicy {
    /// The mechanisms that may be used; all of them when it is empty.
    pub allowed: Arc<[ClientMechanism]>,
    /// Whether TLS began with the first octet.
    pub encrypted: bool,
    /// Random octets of this connection alone, for SCRAM.
    pub nonce: [u8; 18],
}

/// One login by SASL, from the choice of the mechanism to the server's verdict.
///
/// Challenges and responses are in base64, without line end, as they stand on the wire. Ask [`Self::initial`] for the
/// response that goes with the command where the protocol allows one; without it the first challenge gets it. Tell
/// it of the server's "yes" with [`Self::accepted`] and of its "no" with [`Self::refused`].
#[derive(Debug)]
pub struct ClientExchange {
    mechanism: ClientMechanism,
    identity: Identity,
    scram: Scram,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Nothing was said; the server's first challenge is due, or empty.
    Begun,
    /// LOGIN: the name was sent.
    Named,
    /// SCRAM: the first message was sent.
    ScramFirst,
    /// SCRAM: the final message was sent.
    ScramFinal(Proof),
    /// Everything was said.
    Said,
    /// A bearer mechanism's error challenge came, and was answered.
    Error(Failure),
}

impl ClientMechanism {
    /// Every mechanism.
    pub const ALL: [Self; 7] = [
        Self::CramMd5,
        Self::External,
        Self::Login,
        Self::OAuthBearer,
        Self::Plain,
        Self::ScramSha256,
        Self::XOAuth2,
    ];

    /// The registered name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CramMd5 => "CRAM-MD5",
            Self::External => "EXTERNAL",
            Self::Login => "LOGIN",
            Self::OAuthBearer => "OAUTHBEARER",
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::XOAuth2 => "XOAUTH2",
        }
    }

    /// The mechanism of that name, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mechanism| mechanism.as_str().eq_ignore_ascii_case(name))
    }

    /// Whether the server speaks first, so that there is no initial response.
    const fn is_server_first(self) -> bool {
        matches!(self, Self::CramMd5 | Self::Login)
    }
}

impl ClientPolicy {
    /// Whether the mechanism may be used.
    pub fn allows(&self, mechanism: ClientMechanism) -> bool {
        self.allowed.is_empty() || self.allowed.contains(&mechanism)
    }
}

/// The mechanisms that can carry the login, best first. Inside TLS a password is best sent as it is: the server need
/// not keep it in a form that it can be read or computed from. In clear it is better not sent.
fn candidates(login: &LoginAs, encrypted: bool) -> &'static [ClientMechanism] {
    use ClientMechanism::{CramMd5, External, Login, OAuthBearer, Plain, ScramSha256, XOAuth2};
    match (login, encrypted) {
        (LoginAs::Nobody | LoginAs::Xclient { .. }, _) => &[],
        (LoginAs::Bearer { .. }, _) => &[OAuthBearer, XOAuth2],
        (LoginAs::External { .. }, _) => &[External],
        (LoginAs::Password { authzid: Some(_), .. }, true) => &[Plain, ScramSha256],
        (LoginAs::Password { authzid: Some(_), .. }, false) => &[ScramSha256, Plain],
        (LoginAs::Password { authzid: None, .. }, true) => &[Plain, ScramSha256, Login, CramMd5],
        (LoginAs::Password { authzid: None, .. }, false) => &[ScramSha256, CramMd5, Plain, Login],
        (LoginAs::Trusted { .. }, _) => &[Plain, Login],
    }
}

/// What an operator reads when [`ClientExchange::choose`] finds nothing.
pub fn no_mechanism(login: &LoginAs, policy: &ClientPolicy) -> Failure {
    let usable = candidates(login, true).iter().filter(|mechanism| policy.allows(**mechanism));
    let names: Vec<&str> = usable.map(|mechanism| mechanism.as_str()).collect();
    if names.is_empty() {
        return Failure::Operator(
            "the configured mechanisms (backend.*.mechanisms) hold none that can carry this login".to_owned(),
        );
    }
    Failure::Operator(format!("it offers no mechanism that can carry this login: {}", names.join(", ")))
}

impl ClientExchange {
    /// The login by the best mechanism that `offers` affirms; `None` when there is none, or nothing to prove.
    /// `encrypted` says whether the connection is encrypted by now.
    ///
    /// # Errors
    /// [`Failure::Operator`] when the login cannot be spoken at all ([`checked`]).
    pub fn choose(
        login: &LoginAs,
        policy: &ClientPolicy,
        encrypted: bool,
        offers: impl Fn(&str) -> bool,
    ) -> Result<Option<Self>, Failure> {
        checked(login)?;
        let Some(identity) = Identity::of(login) else { return Ok(None) };
        let prepared = [identity.authzid.as_bytes(), identity.authcid.as_bytes(), identity.secret.expose()]
            .iter()
            .all(|part| scram::is_prepared(part));
        let chosen = candidates(login, encrypted).iter().copied().find(|mechanism| {
            policy.allows(*mechanism)
                && offers(mechanism.as_str())
                && (prepared || *mechanism != ClientMechanism::ScramSha256)
        });
        let nonce = URL_SAFE_NO_PAD.encode(policy.nonce);
        let scram = Scram::new(&identity.authzid, &identity.authcid, nonce);
        Ok(chosen.map(|mechanism| Self { mechanism, identity, scram, state: State::Begun }))
    }

    /// The mechanism's name, for the command.
    pub const fn name(&self) -> &'static str {
        self.mechanism.as_str()
    }

    /// The response that goes with the command: `=` for an empty one. `None` where the server speaks first.
    pub fn initial(&mut self) -> Option<Secret> {
        if self.mechanism.is_server_first() || !matches!(self.state, State::Begun) {
            return None;
        }
        let response = self.opening();
        Some(if response.is_empty() { Secret::copy_of(b"=") } else { response })
    }

    /// How long [`Self::initial`] would be, for protocols that bound the command's length.
    pub fn initial_len(&self) -> usize {
        if self.mechanism.is_server_first() { 0 } else { self.opening_response().len().max(1) }
    }

    /// The response to a challenge, in base64; it may be empty.
    ///
    /// # Errors
    /// [`Failure`] when the server breaks the exchange, says in it that it refuses, or asks for more than there is.
    pub fn answer(&mut self, challenge: &[u8]) -> Result<Secret, Failure> {
        match (&self.state, self.mechanism) {
            (State::Begun, ClientMechanism::CramMd5) => self.cram(challenge),
            (State::Begun, ClientMechanism::Login) => {
                // The prompts are not read: every server asks for the name first.
                self.state = State::Named;
                Ok(login_response(self.identity.authcid.as_bytes()))
            }
            // The challenge that stands for "go on" is empty, or words of an old server.
            (State::Begun, _) => Ok(self.opening()),
            (State::Named, _) => {
                self.state = State::Said;
                Ok(login_response(self.identity.secret.expose()))
            }
            (State::ScramFirst, _) => {
                let message = decode(challenge)?;
                let (response, proof) = self.scram.last(&self.identity.secret, &message)?;
                self.state = State::ScramFinal(proof);
                Ok(encode(&[response.as_bytes()]))
            }
            (State::ScramFinal(proof), _) => {
                proof.check(&decode(challenge)?)?;
                self.state = State::Said;
                Ok(Secret::default())
            }
            (State::Said, ClientMechanism::OAuthBearer | ClientMechanism::XOAuth2) => self.error(challenge),
            (State::Said | State::Error(_), _) => {
                Err(Failure::Protocol("it asks for more when there is nothing more to say".to_owned()))
            }
        }
    }

    /// Takes the server's "yes", with the data that came with it where the protocol carries such (RFC 4422 §3.6).
    ///
    /// # Errors
    /// [`Failure::Protocol`] when it says so before it was told who, or before it has proved itself.
    pub fn accepted(&mut self, data: Option<&[u8]>) -> Result<(), Failure> {
        if let (State::ScramFinal(proof), Some(data)) = (&self.state, data) {
            proof.check(&decode(data)?)?;
            self.state = State::Said;
        }
        match &self.state {
            State::Said => Ok(()),
            State::Begun | State::Named => {
                Err(Failure::Protocol("it says that someone is logged in before it was told who".to_owned()))
            }
            State::ScramFirst | State::ScramFinal(_) => Err(Failure::Protocol(
                "it says that someone is logged in before it has proved that it knows the password"
                    .to_owned(),
            )),
            State::Error(_) => {
                Err(Failure::Protocol("it says that someone is logged in after an error".to_owned()))
            }
        }
    }

    /// What a "no" means: what the error challenge before it said, or what the protocol made of it.
    pub fn refused(&self, failure: Failure) -> Failure {
        match (&self.state, failure) {
            (State::Error(said), Failure::Refused(_) | Failure::WrongPassword(_)) => said.clone(),
            // Nothing was proved yet, so nothing can be wrong about it.
            (State::Begun | State::Named, Failure::WrongPassword(said)) => Failure::Refused(said),
            (_, failure) => failure,
        }
    }

    /// Whether the next challenge may make it compute for a fifth of a second.
    pub const fn is_costly(&self) -> bool {
        matches!(self.state, State::ScramFirst)
    }

    fn opening(&mut self) -> Secret {
        let response = self.opening_response();
        let is_scram = self.mechanism == ClientMechanism::ScramSha256;
        self.state = if is_scram { State::ScramFirst } else { State::Said };
        response
    }

    fn opening_response(&self) -> Secret {
        let Identity { authzid, authcid, secret } = &self.identity;
        match self.mechanism {
            ClientMechanism::External => encode(&[authzid.as_bytes()]),
            ClientMechanism::OAuthBearer => oauthbearer_response(Some(authzid), secret),
            ClientMechanism::Plain => plain_response(authzid, authcid, secret),
            ClientMechanism::ScramSha256 => encode(&[self.scram.first().as_bytes()]),
            ClientMechanism::XOAuth2 => xoauth2_response(authzid, secret),
            ClientMechanism::CramMd5 | ClientMechanism::Login => Secret::default(),
        }
    }

    fn cram(&mut self, challenge: &[u8]) -> Result<Secret, Failure> {
        let challenge = decode(challenge)?;
        if challenge.is_empty() {
            return Err(Failure::Protocol("its challenge of CRAM-MD5 is empty".to_owned()));
        }
        self.state = State::Said;
        cram::response(&self.identity.authcid, &self.identity.secret, &challenge)
            .ok_or_else(|| Failure::Operator("CRAM-MD5 cannot take the password".to_owned()))
    }

    /// The error challenge of a bearer mechanism (RFC 7628 §3.2.2; the same shape in XOAUTH2), and the line that it
    /// must get.
    fn error(&mut self, challenge: &[u8]) -> Result<Secret, Failure> {
        let message = decode(challenge)?;
        let fields: serde_json::Value = serde_json::from_slice(&message).unwrap_or_default();
        let status = fields.get("status").and_then(serde_json::Value::as_str).unwrap_or_default();
        let said = format!("its error challenge says {}", excerpt(status.as_bytes()));
        self.state = State::Error(match status {
            "invalid_token" | "400" | "401" => Failure::WrongPassword(said),
            "invalid_request" | "insufficient_scope" | "403" => Failure::Operator(said),
            _ => Failure::Refused(said),
        });
        let is_xoauth2 = self.mechanism == ClientMechanism::XOAuth2;
        Ok(if is_xoauth2 { Secret::default() } else { encode(&[b"\x01"]) })
    }
}

fn decode(text: &[u8]) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let broken = || Failure::Protocol("its challenge is no base64".to_owned());
    if text.len() > MAX_CHALLENGE {
        return Err(broken());
    }
    STANDARD.decode(text).map(Zeroizing::new).map_err(|_| broken())
}
