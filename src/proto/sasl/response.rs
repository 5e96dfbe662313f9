//! Client side: responses in base64, ready for the wire.

use base64::{Engine as _, encoded_len, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use crate::model::Secret;

/// Client side: the PLAIN response in base64 (RFC 4616 §2).
///
/// A NUL in any part would shift the parts, and so name someone else. Callers refuse it with a reason; should
/// one come this far, the response is empty, which no server takes.
pub fn plain_response(authzid: &str, authcid: &str, password: &Secret) -> Secret {
    let parts = [authzid.as_bytes(), authcid.as_bytes(), password.expose()];
    if parts.iter().any(|part| part.contains(&0)) {
        return Secret::default();
    }
    encode(&[authzid.as_bytes(), b"\0", authcid.as_bytes(), b"\0", password.expose()])
}

/// Client side: one response of LOGIN in base64: the name, then the password.
pub fn login_response(part: &[u8]) -> Secret {
    encode(&[part])
}

/// Client side: the OAUTHBEARER response in base64 (RFC 7628 §3.1), without host and port.
///
/// The token must be a `b64token` (RFC 6750 §2.1) and the identity must hold no control character.
pub fn oauthbearer_response(authzid: Option<&str>, token: &Secret) -> Secret {
    let identity =
        authzid.map(|name| format!("a={}", name.replace('=', "=3D").replace(',', "=2C"))).unwrap_or_default();
    encode(&[b"n,", identity.as_bytes(), b",\x01auth=Bearer ", token.expose(), b"\x01\x01"])
}

/// Client side: the XOAUTH2 response in base64. The same rules hold for its parts.
pub fn xoauth2_response(user: &str, token: &Secret) -> Secret {
    encode(&[b"user=", user.as_bytes(), b"\x01auth=Bearer ", token.expose(), b"\x01\x01"])
}

pub(super) fn encode(parts: &[&[u8]]) -> Secret {
    let mut message = Zeroizing::new(Vec::with_capacity(parts.iter().map(|part| part.len()).sum()));
    for part in parts {
        message.extend_from_slice(part);
    }
    let mut text = vec![0; encoded_len(message.len(), true).unwrap_or_default()];
    match STANDARD.encode_slice(&*message, &mut text) {
        Ok(_) => Secret::new(text),
        // The slice has the encoded length, so this is not reached; an empty response fails closed.
        Err(_) => Secret::default(),
    }
}
