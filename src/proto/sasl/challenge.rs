//! What the server says in base64: prompts and the error challenges (RFC 7628 §3.2.2).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Serialize;

use crate::{
    model::Mechanism,
    proto::{Refusal, RefusalKind},
};

/// `Username:`, which clients compare octet by octet.
pub(super) const LOGIN_NAME: &str = "VXNlcm5hbWU6";
/// `Password:`, likewise.
pub(super) const LOGIN_PASSWORD: &str = "UGFzc3dvcmQ6";

/// The members in the order of the published examples.
#[derive(Default, Serialize)]
struct ErrorChallenge<'a> {
    status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    schemes: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'a str>,
    #[serde(rename = "openid-configuration", skip_serializing_if = "Option::is_none")]
    openid_configuration: Option<&'a str>,
}

impl ErrorChallenge<'_> {
    fn encode(&self) -> String {
        STANDARD.encode(serde_json::to_vec(self).unwrap_or_default())
    }
}

/// The error challenge for a refused token, or `None` where the mechanism has none or the refusal is not
/// about the token: a client takes an error challenge as the order to throw its token away.
pub(super) fn refused(mechanism: Mechanism, refusal: &Refusal) -> Option<String> {
    let (code, http) = match refusal.kind {
        RefusalKind::InsufficientScope => ("insufficient_scope", "403"),
        // Clients answer "400" with a fresh token and a retry, and give up at "401".
        RefusalKind::InvalidToken => ("invalid_token", "400"),
        RefusalKind::NotAuthorized | RefusalKind::Pointless => ("invalid_token", "401"),
        RefusalKind::OperatorFault
        | RefusalKind::Policy
        | RefusalKind::RateLimited
        | RefusalKind::Unavailable
        | RefusalKind::Undecided => return None,
    };
    let scope = Some(&*refusal.scope).filter(|scope| !scope.is_empty());
    let openid_configuration = refusal.openid_configuration.as_deref();
    error(mechanism, code, http, scope, openid_configuration)
}

/// The error challenge for a message that breaks the grammar, or `None` where the mechanism has none.
pub(super) fn invalid_request(mechanism: Mechanism) -> Option<String> {
    error(mechanism, "invalid_request", "400", None, None)
}

fn error(
    mechanism: Mechanism,
    code: &str,
    http: &str,
    scope: Option<&str>,
    openid_configuration: Option<&str>,
) -> Option<String> {
    let (status, schemes) = match mechanism {
        Mechanism::OAuthBearer => (code, None),
        Mechanism::XOAuth2 => (http, Some("bearer")),
        Mechanism::Login | Mechanism::Plain => return None,
    };
    Some(ErrorChallenge { status, schemes, scope, openid_configuration }.encode())
}
