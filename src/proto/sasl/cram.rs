//! CRAM-MD5 (RFC 2195), for mail servers from before SCRAM.

use std::fmt::Write as _;

use hmac::{Hmac, KeyInit as _, Mac as _};
use md5::Md5;

use super::response::encode;
use crate::model::Secret;

/// The response in base64: the name, and the HMAC-MD5 of the challenge under the password. The challenge is decoded.
/// `None` only for a password that HMAC cannot take, and there is none.
pub(super) fn response(name: &str, password: &Secret, challenge: &[u8]) -> Option<Secret> {
    let mut mac = Hmac::<Md5>::new_from_slice(password.expose()).ok()?;
    mac.update(challenge);
    let mut digest = String::with_capacity(32);
    for octet in mac.finalize().into_bytes() {
        // Writing to a String does not fail.
        let _ = write!(digest, "{octet:02x}");
    }
    Some(encode(&[name.as_bytes(), b" ", digest.as_bytes()]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_response_is_that_of_the_rfc() {
        let challenge = b"<1896.697170952@postoffice.reston.mci.net>";
        let response = response("tim", &Secret::copy_of(b"tanstaaftanstaaf"), challenge).unwrap();
        // RFC 2195 §2.
        assert_eq!(response.expose(), b"dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw");
    }
}
