use thiserror::Error;
use zeroize::Zeroizing;

use super::{
    CryptoError, ServerKey, WrapKey,
    derive::{expand, random},
};
use crate::model::{Secret, TokenHash};

/// Lower-case letters and digits without those that look like another: `l` and `1`, `o` and `0`.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
const LEN: usize = 20;
const GROUP: usize = 4;
const LOOKUP_LABEL: &[u8] = b"bearward app password lookup v1";
const WRAP_LABEL: &[u8] = b"bearward app password wrap v1";

/// A password for one program (RFC 4616 carries it): twenty letters of thirty-two, 100 random bits, shown as five
/// groups of four. Nobody can guess it, so its row's key needs neither salt nor a slow hash.
pub struct AppPassword(Zeroizing<[u8; LEN]>);

/// A text is no app password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not an app password: it is twenty letters and digits such as abcd-efgh-jkmn-pqrs-tuvw")]
pub struct InvalidAppPassword;

impl AppPassword {
    /// Longest text that is looked at, in octets; a person may put spaces and hyphens wherever they like.
    pub const MAX_TEXT: usize = 64;

    /// A new one.
    ///
    /// # Errors
    /// [`CryptoError::Library`] without random octets.
    pub fn generate() -> Result<Self, CryptoError> {
        let octets = random::<LEN>()?;
        let mut letters = Zeroizing::new([0; LEN]);
        for (letter, octet) in letters.iter_mut().zip(octets.iter()) {
            // As many octets lead to each letter, since 256 is a multiple of 32.
            let place = usize::from(*octet) % ALPHABET.len();
            *letter = *ALPHABET.get(place).ok_or(CryptoError::Library)?;
        }
        Ok(Self(letters))
    }

    /// Reads what a program sends or a person types: letters of either case; spaces and hyphens do not count.
    ///
    /// # Errors
    /// [`InvalidAppPassword`] for anything else in it, and for another number of letters.
    pub fn parse(text: &[u8]) -> Result<Self, InvalidAppPassword> {
        if text.len() > Self::MAX_TEXT {
            return Err(InvalidAppPassword);
        }
        let mut letters = Zeroizing::new([0; LEN]);
        let mut places = letters.iter_mut();
        for octet in text.iter().filter(|octet| !matches!(octet, b' ' | b'-')) {
            let letter = octet.to_ascii_lowercase();
            if !ALPHABET.contains(&letter) {
                return Err(InvalidAppPassword);
            }
            *places.next().ok_or(InvalidAppPassword)? = letter;
        }
        if places.next().is_some() {
            return Err(InvalidAppPassword);
        }
        Ok(Self(letters))
    }

    /// As it is shown once: `abcd-efgh-jkmn-pqrs-tuvw`.
    pub fn text(&self) -> Secret {
        let mut text = Zeroizing::new(Vec::with_capacity(LEN + LEN / GROUP));
        for group in self.0.chunks(GROUP) {
            if !text.is_empty() {
                text.push(b'-');
            }
            text.extend_from_slice(group);
        }
        Secret::copy_of(&text)
    }

    /// Under which the store keeps its row.
    ///
    /// # Errors
    /// [`CryptoError::Library`] when the library fails.
    pub fn lookup(&self) -> Result<TokenHash, CryptoError> {
        Ok(TokenHash::new(*expand(&[], &*self.0, &[LOOKUP_LABEL])?))
    }

    /// The key under which the grant's private key is wrapped for this app password.
    ///
    /// # Errors
    /// [`CryptoError::Library`] when the library fails.
    pub fn wrap_key(&self, server: &ServerKey) -> Result<WrapKey, CryptoError> {
        expand(server.octets(), &*self.0, &[WRAP_LABEL]).map(WrapKey::new)
    }
}

/// Without its letters.
impl std::fmt::Debug for AppPassword {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AppPassword")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_back_however_it_is_typed() {
        for _ in 0..200 {
            let password = AppPassword::generate().unwrap();
            let text = password.text().expose_str().unwrap().to_owned();
            assert_eq!(text.len(), 24);
            let groups: Vec<&str> = text.split('-').collect();
            assert!(groups.len() == 5 && groups.iter().all(|group| group.len() == 4), "{text}");
            let bare = text.replace('-', "");
            let spaced: String = bare.chars().flat_map(|letter| [letter, ' ']).collect();
            for typed in [text.clone(), text.to_uppercase(), bare, spaced, format!(" {text} ")] {
                let again = AppPassword::parse(typed.as_bytes()).unwrap();
                assert_eq!(again.lookup(), password.lookup(), "{typed:?}");
            }
        }
    }

    #[test]
    fn nothing_else_is_one() {
        let long = format!("abcd-efgh-jkmn-pqrs-tuvw{}", " ".repeat(41));
        for text in [
            "",
            "----",
            "abcd-efgh-jkmn-pqrs-tuv",
            "abcd-efgh-jkmn-pqrs-tuvwx",
            "abcl-efgh-jkmn-pqrs-tuvw",
            "abc1-efgh-jkmn-pqrs-tuvw",
            "abco-efgh-jkmn-pqrs-tuvw",
            "abc0-efgh-jkmn-pqrs-tuvw",
            "abcd_efgh_jkmn_pqrs_tuvw",
            "abcd-efgh-jkmn-pqrs-tuvw\0",
            "abcd-efgh-jkmn-pqrs-tuv\u{e9}",
            &long,
        ] {
            assert_eq!(AppPassword::parse(text.as_bytes()).unwrap_err(), InvalidAppPassword, "{text:?}");
        }
        assert!(AppPassword::parse(&[0xff; 20]).is_err());
    }

    /// Of two thousand no two are the same, and each letter comes about as often as any other.
    #[test]
    fn it_is_100_random_bits() {
        let mut counts = std::collections::BTreeMap::new();
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..2000 {
            let password = AppPassword::generate().unwrap();
            password.0.iter().for_each(|letter| *counts.entry(*letter).or_insert(0) += 1);
            assert!(seen.insert(*password.0));
        }
        assert_eq!(counts.len(), ALPHABET.len());
        assert!(counts.values().all(|count| (1000..=1500).contains(count)), "{counts:?}");
    }

    #[test]
    fn look_up_and_wrap_key_share_nothing_and_the_wrap_key_needs_the_server() {
        let password = AppPassword::generate().unwrap();
        let (one, other) = (ServerKey::generate().unwrap(), ServerKey::generate().unwrap());
        let sealed = password.wrap_key(&one).unwrap().encrypt(b"key", b"").unwrap();
        assert!(password.wrap_key(&one).unwrap().decrypt(&sealed, b"").is_ok());
        assert!(password.wrap_key(&other).unwrap().decrypt(&sealed, b"").is_err());
        let as_key = WrapKey::new(Zeroizing::new(*password.lookup().unwrap().as_bytes()));
        assert!(as_key.decrypt(&sealed, b"").is_err());
    }

    #[test]
    fn debug_prints_no_letter() {
        assert_eq!(format!("{:?}", AppPassword::generate().unwrap()), "AppPassword");
    }
}
