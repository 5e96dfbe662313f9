use aws_lc_rs::digest::{SHA256, digest};
use serde::Serialize;

use super::{Algorithm, base64url};

/// The public half of a signing key (RFC 7517 §4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Jwk {
    /// What kind of key it is, and its numbers.
    #[serde(flatten)]
    pub key: KeyParameters,
    /// What the key is for: `sig`.
    #[serde(rename = "use")]
    pub usage: &'static str,
    /// The algorithm's registered name.
    pub alg: &'static str,
    /// The key's name: its thumbprint (RFC 7638).
    pub kid: String,
}

/// The public numbers of a key, base64url. The members stand in the order that RFC 7638 §3.2 hashes them in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum KeyParameters {
    /// A curve of RFC 7518 §6.2.
    Ec {
        /// The curve's name.
        crv: &'static str,
        /// Key type: `EC`.
        kty: &'static str,
        /// The point's x coordinate.
        x: String,
        /// The point's y coordinate.
        y: String,
    },
    /// A curve of RFC 8037 §2.
    Okp {
        /// The curve's name.
        crv: &'static str,
        /// Key type: `OKP`.
        kty: &'static str,
        /// The public key.
        x: String,
    },
    /// RFC 7518 §6.3.
    Rsa {
        /// The exponent.
        e: String,
        /// Key type: `RSA`.
        kty: &'static str,
        /// The modulus.
        n: String,
    },
}

impl Jwk {
    pub(super) fn new(key: KeyParameters, algorithm: Algorithm) -> Self {
        let kid = key.thumbprint();
        Self { key, usage: "sig", alg: algorithm.as_str(), kid }
    }
}

impl KeyParameters {
    pub(super) fn p256(x: &[u8], y: &[u8]) -> Self {
        Self::Ec { crv: "P-256", kty: "EC", x: base64url(x), y: base64url(y) }
    }

    pub(super) fn ed25519(public: &[u8]) -> Self {
        Self::Okp { crv: "Ed25519", kty: "OKP", x: base64url(public) }
    }

    pub(super) fn rsa(modulus: &[u8], exponent: &[u8]) -> Self {
        Self::Rsa { e: base64url(exponent), kty: "RSA", n: base64url(modulus) }
    }

    /// SHA-256 over the required members in the order of their names, without white space (RFC 7638 §3).
    /// None of them holds a character that JSON would escape.
    pub(super) fn thumbprint(&self) -> String {
        let canonical = match self {
            Self::Ec { crv, kty, x, y } => format!(r#"{{"crv":"{crv}","kty":"{kty}","x":"{x}","y":"{y}"}}"#),
            Self::Okp { crv, kty, x } => format!(r#"{{"crv":"{crv}","kty":"{kty}","x":"{x}"}}"#),
            Self::Rsa { e, kty, n } => format!(r#"{{"e":"{e}","kty":"{kty}","n":"{n}"}}"#),
        };
        base64url(digest(&SHA256, canonical.as_bytes()).as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thumbprint_of_rfc_7638_section_3_1() {
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRX\
                 jBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqz\
                 s8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-\
                 G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
        let key = KeyParameters::Rsa { e: "AQAB".to_owned(), kty: "RSA", n: n.to_owned() };
        assert_eq!(key.thumbprint(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    }

    #[test]
    fn the_thumbprint_of_rfc_8037_appendix_a_3() {
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo".to_owned();
        let key = KeyParameters::Okp { crv: "Ed25519", kty: "OKP", x };
        assert_eq!(key.thumbprint(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }
}
