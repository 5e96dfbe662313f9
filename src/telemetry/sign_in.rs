use std::{net::IpAddr, time::Duration};

use tracing::{Level, event};

use super::Clean;
use crate::model::{Mechanism, Outcome, Protocol, SessionId};

/// One attempt to sign in, told when it has ended.
///
/// Its texts may come straight from a client: they are cleaned here, so a caller passes them as they are. None
/// of them may be a token, a password or a code; there is no field to put one in.
#[derive(Clone, Debug)]
pub struct SignIn<'a> {
    /// The connection.
    pub session: SessionId,
    /// What it speaks.
    pub protocol: Protocol,
    /// The SASL mechanism, once one was named.
    pub mechanism: Option<Mechanism>,
    /// The user: of the token where it was valid, else the one that was claimed.
    pub user: Option<&'a str>,
    /// The OAuth client that the token was issued to.
    pub client_id: Option<&'a str>,
    /// The issuer's URL.
    pub issuer: Option<&'a str>,
    /// The backend's name, once one was chosen.
    pub backend: Option<&'a str>,
    /// The client's address.
    pub client_ip: IpAddr,
    /// How it ended.
    pub outcome: Outcome,
    /// From the sign-in command to its answer.
    pub duration: Duration,
    /// Why, in words for the operator: an upstream's refusal, the rule that was broken.
    pub detail: Option<&'a str>,
}

impl SignIn<'_> {
    /// Writes the one log event of this sign-in. What needs the operator is a warning, all else information.
    pub fn emit(&self) {
        let clean = |text: Option<&str>| text.map(|text| Clean(text).to_string());
        let (user, client_id, issuer) = (clean(self.user), clean(self.client_id), clean(self.issuer));
        let (backend, detail) = (clean(self.backend), clean(self.detail));
        let duration_ms = u64::try_from(self.duration.as_millis()).unwrap_or(u64::MAX);
        macro_rules! sign_in {
            ($level:expr) => {
                event!(
                    target: "bearward::sign_in",
                    $level,
                    session = %self.session,
                    protocol = self.protocol.as_str(),
                    mechanism = self.mechanism.map(Mechanism::as_str),
                    user = user.as_deref(),
                    client_id = client_id.as_deref(),
                    issuer = issuer.as_deref(),
                    backend = backend.as_deref(),
                    client_ip = %self.client_ip,
                    outcome = self.outcome.as_str(),
                    duration_ms,
                    detail = detail.as_deref(),
                    "sign-in"
                )
            };
        }
        match concerns_the_operator(self.outcome) {
            true => sign_in!(Level::WARN),
            false => sign_in!(Level::INFO),
        }
    }
}

fn concerns_the_operator(outcome: Outcome) -> bool {
    match outcome {
        Outcome::BackendRefused | Outcome::BackendUnreachable | Outcome::IssuerUnreachable => true,
        Outcome::Expired
        | Outcome::InsufficientScope
        | Outcome::InvalidToken
        | Outcome::Ok
        | Outcome::Policy
        | Outcome::ProtocolError
        | Outcome::RateLimited => false,
    }
}
