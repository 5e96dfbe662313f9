use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

/// SHA-256 (FIPS 180-4).
pub fn sha256(octets: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    for (to, from) in hash.iter_mut().zip(digest(&SHA256, octets).as_ref()) {
        *to = *from;
    }
    hash
}

/// The SHA-256 thumbprint of a certificate in DER: what `x5t#S256` holds (RFC 8705 §3.1).
pub fn certificate_thumbprint(der: &[u8]) -> [u8; 32] {
    sha256(der)
}

/// Octets as base64url without padding (RFC 7515 §2): the form of `x5t#S256` and of every JOSE member.
pub fn base64url(octets: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(octets)
}

/// Reads the text of a `x5t#S256` member; `None` when it is not exactly 32 octets in base64url.
pub fn parse_thumbprint(text: &str) -> Option<[u8; 32]> {
    let mut octets = [0; 33];
    let written = URL_SAFE_NO_PAD.decode_slice(text, &mut octets).ok()?;
    octets.get(..written)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SHA-256 of "abc" (FIPS 180-2, appendix B.1).
    #[test]
    fn a_thumbprint_is_the_plain_digest_of_the_octets() {
        assert_eq!(base64url(&certificate_thumbprint(b"abc")), "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0");
    }

    #[test]
    fn a_thumbprint_reads_back_and_nothing_of_another_length_does() {
        let thumbprint = certificate_thumbprint(b"certificate");
        let text = base64url(&thumbprint);
        assert_eq!(parse_thumbprint(&text), Some(thumbprint));
        for wrong in ["", &text[1..], &format!("{text}A"), &format!("{text}="), &base64url(&[7; 31]), "ü"] {
            assert_eq!(parse_thumbprint(wrong), None, "{wrong}");
        }
    }
}
