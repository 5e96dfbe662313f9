//! Certificates that a client registers in its keys (RFC 8705 §2.2.2).

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::Value;

use crate::issuer::ClientCertificate;

/// Whether any key names a certificate.
pub(super) fn any_in(jwks: &Value) -> bool {
    registered(jwks).next().is_some()
}

/// Whether the certificate is one of those that the keys name, octet by octet.
pub(super) fn is_in(jwks: &Value, certificate: &ClientCertificate) -> bool {
    registered(jwks).any(|registered| match registered {
        Registered::Whole(der) => der == certificate.der,
        Registered::Thumbprint(thumbprint) => thumbprint == certificate.thumbprint,
    })
}

enum Registered {
    /// First of the chain `x5c` (RFC 7517 §4.7); the rest vouches for nothing here.
    Whole(Vec<u8>),
    /// `x5t#S256` (RFC 7517 §4.9).
    Thumbprint([u8; 32]),
}

fn registered(jwks: &Value) -> impl Iterator<Item = Registered> {
    let keys = jwks.get("keys").and_then(Value::as_array).into_iter().flatten();
    keys.filter_map(|key| {
        let first = key.get("x5c").and_then(|chain| chain.get(0)).and_then(Value::as_str);
        if let Some(first) = first {
            return STANDARD.decode(first).ok().filter(|der| !der.is_empty()).map(Registered::Whole);
        }
        let thumbprint = URL_SAFE_NO_PAD.decode(key.get("x5t#S256")?.as_str()?).ok()?;
        thumbprint.try_into().ok().map(Registered::Thumbprint)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn certificate() -> ClientCertificate {
        ClientCertificate { der: b"the certificate".to_vec(), thumbprint: [7; 32], is_vouched_for: false }
    }

    #[test]
    fn a_certificate_is_known_by_its_octets_or_by_its_thumbprint_and_by_nothing_else() {
        let whole = |der: &[u8]| json!({ "keys": [{ "x5c": [STANDARD.encode(der), "AAAA"] }] });
        let thumb = |octets: &[u8]| json!({ "keys": [{ "x5t#S256": URL_SAFE_NO_PAD.encode(octets) }] });
        for good in [whole(b"the certificate"), thumb(&[7; 32])] {
            assert!(any_in(&good) && is_in(&good, &certificate()), "{good}");
        }
        for other in [whole(b"another"), thumb(&[8; 32])] {
            assert!(any_in(&other) && !is_in(&other, &certificate()), "{other}");
        }
        let second = json!({ "keys": [{ "x5c": ["AAAA", STANDARD.encode(b"the certificate")] }] });
        assert!(!is_in(&second, &certificate()));
        for none in [thumb(&[7; 31]), whole(b""), json!({}), json!({ "keys": [{ "x5c": [] }, 3, {}] })] {
            assert!(!any_in(&none), "{none}");
        }
    }
}
