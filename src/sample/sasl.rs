//! What the server side needs of SASL PLAIN (RFC 4616) and LOGIN.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use super::mail::{Account, Mail};
use crate::model::Secret;

/// Why an exchange did not log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// The response is no base64, or not of the mechanism's form; or the client gave up.
    Malformed,
    /// Wrong name or password.
    Wrong,
}

/// Decodes a response line; `=` stands for an empty one, `*` cancels.
pub(super) fn decode(line: &[u8]) -> Result<Zeroizing<Vec<u8>>, Refused> {
    if line == b"=" {
        return Ok(Zeroizing::default());
    }
    STANDARD.decode(line).map(Zeroizing::new).map_err(|_| Refused::Malformed)
}

/// Judges the PLAIN response in `line` (base64). An authorization identity must be the user itself.
pub(super) fn plain(mail: &Mail, line: &[u8]) -> Result<Arc<Account>, Refused> {
    let message = decode(line)?;
    let mut fields = message.split(|&octet| octet == 0);
    let (Some(authzid), Some(authcid), Some(password), None) =
        (fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return Err(Refused::Malformed);
    };
    let account = password_login(mail, authcid, password)?;
    let as_itself = authzid.is_empty() || authzid == authcid;
    if as_itself { Ok(account) } else { Err(Refused::Wrong) }
}

/// Judges a name and a password.
pub(super) fn password_login(mail: &Mail, name: &[u8], password: &[u8]) -> Result<Arc<Account>, Refused> {
    let name = std::str::from_utf8(name).map_err(|_| Refused::Wrong)?;
    mail.login(name, &Secret::copy_of(password)).ok_or(Refused::Wrong)
}
