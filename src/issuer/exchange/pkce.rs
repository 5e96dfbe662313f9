use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use subtle::ConstantTimeEq;

/// Whether `verifier` is the one that the S256 `challenge` was made of (RFC 7636 §4.6).
pub(super) fn verifies(verifier: &str, challenge: &str) -> bool {
    is_verifier(verifier)
        && URL_SAFE_NO_PAD
            .encode(digest(&SHA256, verifier.as_bytes()))
            .as_bytes()
            .ct_eq(challenge.as_bytes())
            .into()
}

/// RFC 7636 §4.1: 43 to 128 unreserved characters. A shorter one could be guessed from its challenge.
fn is_verifier(text: &str) -> bool {
    let is_unreserved = |octet: u8| octet.is_ascii_alphanumeric() || b"-._~".contains(&octet);
    (43..=128).contains(&text.len()) && text.bytes().all(is_unreserved)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7636 appendix B.
    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    #[test]
    fn the_verifier_of_rfc_7636_fits_its_challenge_and_no_other_does() {
        assert!(verifies(VERIFIER, CHALLENGE));
        for place in 0..VERIFIER.len() {
            let mut changed = VERIFIER.as_bytes().to_vec();
            changed[place] = if changed[place] == b'x' { b'y' } else { b'x' };
            assert!(!verifies(std::str::from_utf8(&changed).unwrap(), CHALLENGE), "octet {place}");
        }
        assert!(!verifies(CHALLENGE, CHALLENGE), "the method plain");
        assert!(!verifies(VERIFIER, ""));
        assert!(!verifies(VERIFIER, &format!("{CHALLENGE}=")));
    }

    #[test]
    fn a_verifier_of_another_form_fits_not_even_its_own_challenge() {
        let own = |verifier: &str| URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()));
        for good in ["a".repeat(43), "a".repeat(128), format!("{}-._~", "Z9".repeat(20))] {
            assert!(verifies(&good, &own(&good)), "{good}");
        }
        let long = "a".repeat(40);
        for bad in [
            String::new(),
            "a".repeat(42),
            "a".repeat(129),
            format!("{long}   "),
            format!("{long}+/="),
            format!("{long}ää"),
            format!("{long}\0\r\n"),
        ] {
            assert!(!verifies(&bad, &own(&bad)), "{bad:?}");
        }
    }
}
