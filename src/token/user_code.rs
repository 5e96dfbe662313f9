use thiserror::Error;

use super::{CryptoError, ServerKey, derive::random};
use crate::model::TokenHash;

/// No vowels, so that no words arise; no digits and none of the letters that look like them (RFC 8628 §6.1).
const ALPHABET: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
const LEN: usize = 8;
const HALF: usize = LEN / 2;
const PURPOSE: &str = "user code";

/// The code that a person types on the page where a device is approved (RFC 8628 §6.1): eight letters of
/// twenty, about 34 bits. Too few to be stored under a plain hash, so its row's key needs the server key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct UserCode([u8; LEN]);

/// A text is no user code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not a code of this server: a code is eight letters such as BCDF-GHJK")]
pub struct InvalidUserCode;

impl UserCode {
    /// Longest text that is looked at, in octets; a person may put spaces and dashes wherever they like.
    pub const MAX_TEXT: usize = 64;

    /// A new code.
    ///
    /// # Errors
    /// [`CryptoError::Library`] without random octets.
    pub fn generate() -> Result<Self, CryptoError> {
        let mut letters = [0; LEN];
        let mut filled = 0;
        while filled < LEN {
            for letter in random::<{ 2 * LEN }>()?.iter().filter_map(|octet| Self::letter(*octet)) {
                if let Some(place) = letters.get_mut(filled) {
                    *place = letter;
                    filled += 1;
                }
            }
        }
        Ok(Self(letters))
    }

    /// Reads what a person typed: letters of either case; spaces, dashes and punctuation do not count.
    ///
    /// # Errors
    /// [`InvalidUserCode`] for any other letter or digit, and for another number of letters.
    pub fn parse(text: &str) -> Result<Self, InvalidUserCode> {
        if text.len() > Self::MAX_TEXT {
            return Err(InvalidUserCode);
        }
        let mut letters = [0; LEN];
        let mut places = letters.iter_mut();
        for typed in text.chars().filter(|typed| typed.is_alphanumeric()) {
            let letter = u8::try_from(typed.to_ascii_uppercase()).map_err(|_| InvalidUserCode)?;
            if !ALPHABET.contains(&letter) {
                return Err(InvalidUserCode);
            }
            *places.next().ok_or(InvalidUserCode)? = letter;
        }
        if places.next().is_none() { Ok(Self(letters)) } else { Err(InvalidUserCode) }
    }

    /// As it is shown: `BCDF-GHJK`.
    pub fn text(&self) -> String {
        let (first, second) = self.0.split_at(HALF);
        let letters = |half: &[u8]| half.iter().map(|letter| char::from(*letter)).collect::<String>();
        format!("{}-{}", letters(first), letters(second))
    }

    /// Under which the store keeps the row of its device authorization.
    ///
    /// # Errors
    /// [`CryptoError::Library`] when the library fails.
    pub fn hash(&self, server: &ServerKey) -> Result<TokenHash, CryptoError> {
        server.hash(PURPOSE, &[&self.0])
    }

    /// The letter for a random octet. The octets above the greatest multiple of twenty have none, or the first
    /// letters would come more often.
    fn letter(octet: u8) -> Option<u8> {
        const LETTERS: u8 = ALPHABET.len() as u8;
        const END: u8 = u8::MAX / LETTERS * LETTERS;
        if octet < END { ALPHABET.get(usize::from(octet % LETTERS)).copied() } else { None }
    }
}

/// Without its letters: whoever has them can approve the device as themselves.
impl std::fmt::Debug for UserCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("UserCode")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_reads_back_however_it_is_typed() {
        for _ in 0..200 {
            let code = UserCode::generate().unwrap();
            let text = code.text();
            assert_eq!(text.len(), 9);
            assert_eq!(text.as_bytes()[4], b'-');
            let bare = text.replace('-', "");
            assert!(bare.bytes().all(|letter| ALPHABET.contains(&letter)));
            let spaced: String = bare.chars().flat_map(|letter| [letter, ' ']).collect();
            for typed in [text.clone(), text.to_lowercase(), bare, spaced, format!(" {text}.\u{2010}\n")] {
                assert_eq!(UserCode::parse(&typed), Ok(code), "{typed:?}");
            }
        }
    }

    #[test]
    fn nothing_else_is_a_code() {
        let long = format!("BCDF-GHJK{}", " ".repeat(56));
        for text in
            ["", "BCDF", "BCDF-GHJ", "BCDF-GHJKL", "BCDF-GHJA", "BCDF-GHJ0", "BCDF-GHJK1", "ВCDF-GHJK", &long]
        {
            assert_eq!(UserCode::parse(text), Err(InvalidUserCode), "{text:?}");
        }
    }

    #[test]
    fn every_letter_comes_for_as_many_octets_as_any_other() {
        let mut counts = std::collections::BTreeMap::new();
        for letter in (0..=u8::MAX).filter_map(UserCode::letter) {
            *counts.entry(letter).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), ALPHABET.len());
        assert!(counts.values().all(|count| *count == 12));
    }

    #[test]
    fn its_row_cannot_be_found_without_the_server_key() {
        let (server, other) = (ServerKey::generate().unwrap(), ServerKey::generate().unwrap());
        let code = UserCode::parse("BCDF-GHJK").unwrap();
        assert_eq!(code.hash(&server).unwrap(), UserCode::parse("bcdfghjk").unwrap().hash(&server).unwrap());
        assert_ne!(code.hash(&server).unwrap(), code.hash(&other).unwrap());
        assert_ne!(code.hash(&server).unwrap(), UserCode::parse("BCDF-GHJL").unwrap().hash(&server).unwrap());
    }

    #[test]
    fn debug_prints_no_letter() {
        assert_eq!(format!("{:?}", UserCode::parse("BCDF-GHJK").unwrap()), "UserCode");
    }
}
