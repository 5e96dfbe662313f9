use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use subtle::ConstantTimeEq;
use thiserror::Error;
use zeroize::Zeroizing;

use super::{
    CryptoError, ServerKey, WrapKey,
    derive::{expand, random},
};
use crate::model::{Secret, TokenHash, TokenKind};

const SECRET: usize = 32;
const CHECKSUM: usize = 4;
const PREFIX: usize = 4;
const LOOKUP_LABEL: &[u8] = b"bearward token lookup v1 ";
const WRAP_LABEL: &[u8] = b"bearward token wrap v1 ";
const ANSWER_LABEL: &[u8] = b"bearward token answer v1 ";
const PAGES_LABEL: &[u8] = b"bearward token pages v1 ";
const DEVICE_GRANT_LABEL: &[u8] = b"bearward device grant key v1 ";
const CHECKSUM_LABEL: &[u8] = b"bearward token checksum v1 ";

/// An opaque token: a readable prefix for its kind, then 32 random octets and a checksum of four, in base64url.
///
/// The text is 52 octets of `[A-Za-z0-9_-]`, so it fits RFC 6750's `b64token`, every SASL message, and the
/// short lines of POP3 (RFC 2449 §4). The checksum lets a mistyped or cut token be refused without a look-up;
/// it protects nothing.
pub struct OpaqueToken {
    kind: TokenKind,
    secret: Zeroizing<[u8; SECRET]>,
}

/// What a key from [`OpaqueToken::purpose_key`] encrypts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyPurpose {
    /// The answer that a refresh token got, kept for those who did not receive it. Only who still has that
    /// refresh token can have it again.
    Answer,
    /// The hidden state of the sign-in pages. Only the browser that has the cookie can send it back.
    Pages,
}

/// A text is no token of this server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InvalidToken {
    /// It does not begin as one.
    #[error("not a token of this server")]
    Foreign,
    /// It begins as one, but its length, alphabet or checksum is wrong.
    #[error("a token of this server that was cut or mistyped")]
    Damaged,
}

impl OpaqueToken {
    /// Length of the text in octets.
    pub const LEN: usize = PREFIX + (SECRET + CHECKSUM) / 3 * 4;

    /// A new token.
    ///
    /// # Errors
    /// [`CryptoError::BadKey`] for a kind whose text has another form; [`CryptoError::Library`] without random octets.
    pub fn generate(kind: TokenKind) -> Result<Self, CryptoError> {
        if Self::prefix(kind).is_none() {
            return Err(CryptoError::BadKey);
        }
        Ok(Self { kind, secret: random()? })
    }

    /// Reads a token's text, exactly.
    ///
    /// # Errors
    /// [`InvalidToken`] says whether it was ever one of ours.
    pub fn parse(text: &[u8]) -> Result<Self, InvalidToken> {
        let found = TokenKind::ALL
            .into_iter()
            .find_map(|kind| Some((kind, text.strip_prefix(Self::prefix(kind)?.as_bytes())?)));
        let Some((kind, body)) = found else { return Err(InvalidToken::Foreign) };
        let mut octets = Zeroizing::new([0; SECRET + CHECKSUM]);
        // Base64 of 36 octets has no spare bits, so each token has exactly one text.
        if text.len() != Self::LEN || URL_SAFE_NO_PAD.decode_slice(body, &mut *octets).is_err() {
            return Err(InvalidToken::Damaged);
        }
        let Some((secret, claimed)) = octets.split_first_chunk::<SECRET>() else {
            return Err(InvalidToken::Damaged);
        };
        let token = Self { kind, secret: Zeroizing::new(*secret) };
        if bool::from(token.checksum().ct_eq(claimed)) { Ok(token) } else { Err(InvalidToken::Damaged) }
    }

    /// Its kind.
    pub const fn kind(&self) -> TokenKind {
        self.kind
    }

    /// Its text, as given to the client.
    pub fn text(&self) -> Secret {
        let mut octets = Zeroizing::new([0; SECRET + CHECKSUM]);
        let checksum = self.checksum();
        for (to, from) in octets.iter_mut().zip(self.secret.iter().chain(&checksum)) {
            *to = *from;
        }
        let mut text = Zeroizing::new(vec![0; Self::LEN]);
        let (prefix, body) = text.split_at_mut(PREFIX);
        for (to, from) in prefix.iter_mut().zip(Self::prefix(self.kind).unwrap_or_default().bytes()) {
            *to = from;
        }
        // The buffer has exactly the length that 36 octets need.
        let written = URL_SAFE_NO_PAD.encode_slice(octets.as_slice(), body);
        debug_assert_eq!(written, Ok(Self::LEN - PREFIX));
        Secret::copy_of(&text)
    }

    /// Under which the store keeps the token's row.
    ///
    /// # Errors
    /// [`CryptoError::Library`] when the library fails.
    pub fn lookup(&self) -> Result<TokenHash, CryptoError> {
        let octets = expand(&[], &*self.secret, &[LOOKUP_LABEL, self.kind.as_str().as_bytes()])?;
        Ok(TokenHash::new(*octets))
    }

    /// The key under which the grant's private key is wrapped for this token.
    ///
    /// # Errors
    /// [`CryptoError::Library`] when the library fails.
    pub fn wrap_key(&self, server: &ServerKey) -> Result<WrapKey, CryptoError> {
        self.derive(server, WRAP_LABEL).map(WrapKey::new)
    }

    /// A key from this token and the server key for something other than a grant's private key.
    ///
    /// # Errors
    /// [`CryptoError::Library`] when the library fails.
    pub fn purpose_key(&self, server: &ServerKey, purpose: KeyPurpose) -> Result<WrapKey, CryptoError> {
        let label = match purpose {
            KeyPurpose::Answer => ANSWER_LABEL,
            KeyPurpose::Pages => PAGES_LABEL,
        };
        self.derive(server, label).map(WrapKey::new)
    }

    /// The private half of a grant's key pair, which is to exist before anyone holds a token of that grant.
    pub(super) fn device_grant_key(&self, server: &ServerKey) -> Result<Zeroizing<[u8; 32]>, CryptoError> {
        self.derive(server, DEVICE_GRANT_LABEL)
    }

    fn derive(&self, server: &ServerKey, label: &[u8]) -> Result<Zeroizing<[u8; 32]>, CryptoError> {
        expand(server.octets(), &*self.secret, &[label, self.kind.as_str().as_bytes()])
    }

    /// How its text begins; `None` for a kind whose text has another form.
    const fn prefix(kind: TokenKind) -> Option<&'static str> {
        match kind {
            TokenKind::Access => Some("bwa_"),
            TokenKind::Refresh => Some("bwr_"),
            TokenKind::Code => Some("bwc_"),
            TokenKind::Device => Some("bwd_"),
            TokenKind::ClientSecret => Some("bws_"),
            TokenKind::Registration => Some("bwm_"),
            TokenKind::InitialAccess => Some("bwi_"),
            TokenKind::Pushed => Some("bwp_"),
            TokenKind::Browser => Some("bwb_"),
            TokenKind::AppPassword => None,
        }
    }

    fn checksum(&self) -> [u8; CHECKSUM] {
        let input = Zeroizing::new([CHECKSUM_LABEL, self.kind.as_str().as_bytes(), &*self.secret].concat());
        let mut checksum = [0; CHECKSUM];
        for (to, from) in checksum.iter_mut().zip(digest(&SHA256, &input).as_ref()) {
            *to = *from;
        }
        checksum
    }
}

/// Its kind, without its secret.
impl std::fmt::Debug for OpaqueToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OpaqueToken({})", self.kind.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds() -> impl Iterator<Item = TokenKind> {
        TokenKind::ALL.into_iter().filter(|kind| OpaqueToken::prefix(*kind).is_some())
    }

    #[test]
    fn a_text_reads_back_as_the_same_token() {
        for kind in kinds() {
            let token = OpaqueToken::generate(kind).unwrap();
            let text = token.text();
            assert_eq!(text.len(), OpaqueToken::LEN);
            assert!(text.len() <= 96);
            assert!(text.expose().iter().all(|octet| octet.is_ascii_alphanumeric() || b"-_".contains(octet)));
            let again = OpaqueToken::parse(text.expose()).unwrap();
            assert_eq!((again.kind(), again.lookup()), (kind, token.lookup()));
        }
    }

    /// Of a thousand tokens no two are the same, and each of the 256 bits is set in about half of them.
    #[test]
    fn a_token_is_256_random_bits() {
        let tokens: Vec<_> =
            (0..1000).map(|_| OpaqueToken::generate(TokenKind::Access).unwrap().secret).collect();
        let distinct: std::collections::BTreeSet<_> = tokens.iter().map(|token| **token).collect();
        assert_eq!((distinct.len(), SECRET * 8), (1000, 256));
        for bit in 0..256 {
            let set = tokens.iter().filter(|token| token[bit / 8] >> (bit % 8) & 1 == 1).count();
            assert!((350..=650).contains(&set), "bit {bit} is set in {set} of 1000");
        }
    }

    #[test]
    fn no_single_changed_octet_passes() {
        let text = OpaqueToken::generate(TokenKind::Access).unwrap().text();
        for place in 0..text.len() {
            for octet in 0..=255 {
                let mut changed = text.expose().to_vec();
                if changed[place] != octet {
                    changed[place] = octet;
                    assert!(OpaqueToken::parse(&changed).is_err(), "octet {place} as {octet}");
                }
            }
        }
    }

    #[test]
    fn no_cut_or_lengthened_text_passes() {
        let text = OpaqueToken::generate(TokenKind::Access).unwrap().text();
        for length in 0..text.len() {
            assert!(OpaqueToken::parse(&text.expose()[..length]).is_err());
        }
        for tail in ["=", "A", "\n", " "] {
            let long = [text.expose(), tail.as_bytes()].concat();
            assert_eq!(OpaqueToken::parse(&long).unwrap_err(), InvalidToken::Damaged);
        }
    }

    #[test]
    fn a_token_cannot_be_passed_off_as_another_kind() {
        for kind in kinds() {
            let text = OpaqueToken::generate(kind).unwrap().text();
            for other in kinds().filter(|other| *other != kind) {
                let posed = [OpaqueToken::prefix(other).unwrap().as_bytes(), &text.expose()[4..]].concat();
                assert_eq!(OpaqueToken::parse(&posed).unwrap_err(), InvalidToken::Damaged, "{other:?}");
            }
        }
        assert_eq!(OpaqueToken::parse(b"eyJhbGciOi").unwrap_err(), InvalidToken::Foreign);
    }

    #[test]
    fn a_pop3_line_for_a_user_of_64_octets_keeps_the_line_limit() {
        use base64::engine::general_purpose::STANDARD;
        let token = OpaqueToken::generate(TokenKind::Access).unwrap().text();
        let user = "u".repeat(64);
        let message =
            [b"user=".as_slice(), user.as_bytes(), b"\x01auth=Bearer ", token.expose(), b"\x01\x01"].concat();
        let line = format!("AUTH XOAUTH2 {}\r\n", STANDARD.encode(message));
        assert!(line.len() <= 255, "{} octets", line.len());
    }

    #[test]
    fn look_up_and_wrap_key_share_nothing_and_the_wrap_key_needs_the_server() {
        let token = OpaqueToken::generate(TokenKind::Access).unwrap();
        let (one, other) = (ServerKey::generate().unwrap(), ServerKey::generate().unwrap());
        let sealed = token.wrap_key(&one).unwrap().encrypt(b"key", b"").unwrap();
        assert!(token.wrap_key(&one).unwrap().decrypt(&sealed, b"").is_ok());
        assert!(token.wrap_key(&other).unwrap().decrypt(&sealed, b"").is_err());
        let as_key = WrapKey::new(Zeroizing::new(*token.lookup().unwrap().as_bytes()));
        assert!(as_key.decrypt(&sealed, b"").is_err());
        let raw = WrapKey::new(token.secret);
        assert!(raw.decrypt(&sealed, b"").is_err());
    }

    #[test]
    fn the_same_octets_as_another_kind_give_another_row_and_other_keys() {
        let server = ServerKey::generate().unwrap();
        let secret = random::<SECRET>().unwrap();
        let tokens = TokenKind::ALL.map(|kind| OpaqueToken { kind, secret: secret.clone() });
        let rows: std::collections::HashSet<_> = tokens.iter().map(|token| token.lookup().unwrap()).collect();
        assert_eq!(rows.len(), TokenKind::ALL.len());
        let [first, others @ ..] = &tokens;
        let sealed = first.wrap_key(&server).unwrap().encrypt(b"key", b"").unwrap();
        for other in others {
            assert!(other.wrap_key(&server).unwrap().decrypt(&sealed, b"").is_err());
        }
    }

    #[test]
    fn each_purpose_of_a_token_has_its_own_key_and_needs_the_server() {
        let token = OpaqueToken::generate(TokenKind::Refresh).unwrap();
        let (one, other) = (ServerKey::generate().unwrap(), ServerKey::generate().unwrap());
        let sealed =
            token.purpose_key(&one, KeyPurpose::Answer).unwrap().encrypt(b"answer", b"here").unwrap();
        let again = token.purpose_key(&one, KeyPurpose::Answer).unwrap();
        assert_eq!(again.decrypt(&sealed, b"here").unwrap(), Secret::copy_of(b"answer"));
        let attempts = [
            token.purpose_key(&one, KeyPurpose::Pages).unwrap(),
            token.purpose_key(&other, KeyPurpose::Answer).unwrap(),
            token.wrap_key(&one).unwrap(),
            WrapKey::new(token.device_grant_key(&one).unwrap()),
        ];
        for attempt in attempts {
            assert_eq!(attempt.decrypt(&sealed, b"here").unwrap_err(), CryptoError::NotAuthentic);
        }
    }

    #[test]
    fn debug_prints_no_secret() {
        let token = OpaqueToken::generate(TokenKind::Access).unwrap();
        assert_eq!(format!("{token:?}"), "OpaqueToken(access)");
    }
}
