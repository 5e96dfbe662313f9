//! Who logs in to a mail server, checked to be sayable.

use crate::{
    model::Secret,
    proto::{Failure, LoginAs},
};

/// The parts of a login that proves something by SASL.
#[derive(Debug)]
pub(super) struct Identity {
    /// Whom to become; empty for nobody else.
    pub(super) authzid: String,
    /// Whose proof it is.
    pub(super) authcid: String,
    /// The password or the token; empty for EXTERNAL.
    pub(super) secret: Secret,
}

impl Identity {
    /// `None` for a login that sends no SASL at all.
    pub(super) fn of(login: &LoginAs) -> Option<Self> {
        match login {
            LoginAs::Nobody | LoginAs::Xclient { .. } => None,
            LoginAs::Bearer { user, token } => {
                Some(Self { authzid: user.clone(), authcid: user.clone(), secret: token.clone() })
            }
            LoginAs::External { user } => {
                Some(Self { authzid: user.clone(), authcid: String::new(), secret: Secret::default() })
            }
            LoginAs::Password { authcid, authzid, password } => Some(Self {
                authzid: authzid.clone().unwrap_or_default(),
                authcid: authcid.clone(),
                secret: password.clone(),
            }),
            LoginAs::Trusted { user, placeholder } => {
                Some(Self { authzid: String::new(), authcid: user.clone(), secret: placeholder.clone() })
            }
        }
    }
}

/// Whether no part of the login could be read as something else by a server.
///
/// # Errors
/// [`Failure::Operator`] for an empty name, a control character in a name, a NUL in a password (RFC 4616 §2), and a
/// token that is none (RFC 6750 §2.1).
pub fn checked(login: &LoginAs) -> Result<(), Failure> {
    let is_name = |name: &str| !name.is_empty() && !name.chars().any(char::is_control);
    let names: &[&str] = match login {
        LoginAs::Nobody => &[],
        LoginAs::External { user } if user.is_empty() => &[],
        LoginAs::Bearer { user, .. }
        | LoginAs::External { user }
        | LoginAs::Trusted { user, .. }
        | LoginAs::Xclient { user } => &[user],
        LoginAs::Password { authcid, authzid: Some(authzid), .. } => &[authcid, authzid],
        LoginAs::Password { authcid, authzid: None, .. } => &[authcid],
    };
    if !names.iter().all(|name| is_name(name)) {
        return Err(operator("the login name is empty or holds a control character"));
    }
    match login {
        LoginAs::Password { password, .. } if password.expose().contains(&0) => {
            Err(operator("the password holds a NUL, which SASL cannot carry"))
        }
        LoginAs::Bearer { token, .. } if !is_token(token.expose()) => {
            Err(operator("the token has characters that no bearer token has"))
        }
        LoginAs::Bearer { .. }
        | LoginAs::External { .. }
        | LoginAs::Nobody
        | LoginAs::Password { .. }
        | LoginAs::Trusted { .. }
        | LoginAs::Xclient { .. } => Ok(()),
    }
}

/// `b64token` (RFC 6750 §2.1).
fn is_token(token: &[u8]) -> bool {
    let is_of_it = |octet: &u8| {
        octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=')
    };
    !token.is_empty() && token.iter().all(is_of_it)
}

fn operator(reason: &str) -> Failure {
    Failure::Operator(reason.to_owned())
}
