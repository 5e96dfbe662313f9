//! Passwords as databases of mail users keep them: hashed in one of the usual schemes, which the text itself names.
//!
//! What a hash costs is bounded: whoever writes into the table must not be able to stop everybody's sign-in.

use std::fmt;

use argon2::{Argon2, Params, password_hash::PasswordVerifier, password_hash::phc::PasswordHash};
use aws_lc_rs::{digest, pbkdf2};
use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use sha_crypt::ShaCrypt;
use subtle::ConstantTimeEq;
use thiserror::Error;

use crate::model::Secret;

/// Longest password in octets that is hashed.
const LONGEST: usize = 1024;
/// Argon2: KiB, passes and lanes at most.
const ARGON2: (u32, u32, u32) = (128 << 10, 16, 16);
/// bcrypt: about two seconds.
const BCRYPT_COST: u32 = 15;
const SHA_ROUNDS: u32 = 1_000_000;
const PBKDF2_ROUNDS: u32 = 2_000_000;
/// Octets of the shortest PBKDF2 key that proves anything.
const PBKDF2_KEY: usize = 16;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A stored password.
#[derive(Clone)]
pub(super) enum Hashed {
    /// A PHC string.
    Argon2(Box<PasswordHash>),
    /// `$2a$`, `$2b$`, `$2y$`.
    Bcrypt(Secret),
    /// RFC 8018 §5.2.
    Pbkdf2 { algorithm: pbkdf2::Algorithm, rounds: std::num::NonZeroU32, salt: Vec<u8>, key: Vec<u8> },
    /// The password itself.
    Plain(Secret),
    /// A digest over password and salt, as RFC 2307 §5.3 writes it.
    Salted { algorithm: &'static digest::Algorithm, hash: Vec<u8>, salt: Vec<u8> },
    /// `$5$`, `$6$`, with the rounds written out.
    ShaCrypt(Secret),
}

/// A stored password cannot be used; the text tells nothing of it but the scheme.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(super) enum CryptError {
    #[error("the password of the user is stored in the scheme {0}, which is not known here")]
    Scheme(String),
    #[error("the password of the user is stored without a scheme that is known here")]
    NoScheme,
    #[error("the password of the user is stored in clear, which only `allow_plain = true` allows")]
    Plain,
    #[error("the password of the user is stored in the scheme {0}, but not as that writes it")]
    Damaged(&'static str),
    #[error("the password of the user is stored in the scheme {0} with a cost beyond all measure")]
    Costly(&'static str),
}

impl Hashed {
    /// Reads `{SCHEME}…` or `$id$…`.
    pub(super) fn parse(text: &str, allow_plain: bool) -> Result<Self, CryptError> {
        let Some((scheme, rest)) = text.strip_prefix('{').and_then(|rest| rest.split_once('}')) else {
            return crypt(text);
        };
        match scheme.to_ascii_uppercase().as_str() {
            "ARGON2" | "ARGON2I" | "ARGON2ID" => argon2(rest),
            "BLF-CRYPT" => bcrypt(rest),
            "CRYPT" => crypt(rest),
            "PBKDF2" | "PBKDF2-SHA1" => pbkdf2(rest, pbkdf2::PBKDF2_HMAC_SHA1),
            "PBKDF2-SHA256" => pbkdf2(rest, pbkdf2::PBKDF2_HMAC_SHA256),
            "PBKDF2-SHA512" => pbkdf2(rest, pbkdf2::PBKDF2_HMAC_SHA512),
            "SHA256-CRYPT" => sha_crypt(rest, "$5$"),
            "SHA512-CRYPT" => sha_crypt(rest, "$6$"),
            "SSHA" => salted(rest, &digest::SHA1_FOR_LEGACY_USE_ONLY),
            "SSHA256" => salted(rest, &digest::SHA256),
            "SSHA512" => salted(rest, &digest::SHA512),
            "CLEAR" | "CLEARTEXT" | "PLAIN" if allow_plain => {
                Ok(Self::Plain(Secret::copy_of(rest.as_bytes())))
            }
            "CLEAR" | "CLEARTEXT" | "PLAIN" => Err(CryptError::Plain),
            other => Err(CryptError::Scheme(
                other.chars().filter(|c| c.is_ascii_alphanumeric() || "-._".contains(*c)).take(24).collect(),
            )),
        }
    }

    /// Whether this is the password. It takes its time.
    pub(super) fn is(&self, password: &Secret) -> bool {
        let octets = password.expose();
        if octets.is_empty() || octets.len() > LONGEST {
            return false;
        }
        match self {
            Self::Argon2(hash) => Argon2::default().verify_password(octets, &**hash).is_ok(),
            Self::Bcrypt(text) => {
                text.expose_str().is_some_and(|text| bcrypt::verify(octets, text).unwrap_or(false))
            }
            Self::Pbkdf2 { algorithm, rounds, salt, key } => {
                pbkdf2::verify(*algorithm, *rounds, salt, octets, key).is_ok()
            }
            Self::Plain(plain) => plain == password,
            Self::Salted { algorithm, hash, salt } => {
                let mut context = digest::Context::new(algorithm);
                context.update(octets);
                context.update(salt);
                context.finish().as_ref().ct_eq(hash).into()
            }
            Self::ShaCrypt(text) => text.expose_str().is_some_and(|text| {
                PasswordVerifier::<str>::verify_password(&ShaCrypt::SHA512, octets, text).is_ok()
            }),
        }
    }

    const fn scheme(&self) -> &'static str {
        match self {
            Self::Argon2(_) => "ARGON2",
            Self::Bcrypt(_) => "BLF-CRYPT",
            Self::Pbkdf2 { .. } => "PBKDF2",
            Self::Plain(_) => "PLAIN",
            Self::Salted { .. } => "SSHA",
            Self::ShaCrypt(_) => "SHA-CRYPT",
        }
    }
}

/// The scheme alone.
impl fmt::Debug for Hashed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hashed({})", self.scheme())
    }
}

/// As crypt(5) tells them apart.
fn crypt(text: &str) -> Result<Hashed, CryptError> {
    match text.strip_prefix('$').and_then(|rest| rest.split_once('$')) {
        Some(("2a" | "2b" | "2y", _)) => bcrypt(text),
        Some(("5", _)) => sha_crypt(text, "$5$"),
        Some(("6", _)) => sha_crypt(text, "$6$"),
        Some(("argon2d" | "argon2i" | "argon2id", _)) => argon2(text),
        Some(("pbkdf2", rest)) => pbkdf2(rest, pbkdf2::PBKDF2_HMAC_SHA1),
        Some(("pbkdf2-sha256", rest)) => pbkdf2(rest, pbkdf2::PBKDF2_HMAC_SHA256),
        Some(("pbkdf2-sha512", rest)) => pbkdf2(rest, pbkdf2::PBKDF2_HMAC_SHA512),
        Some(_) | None => Err(CryptError::NoScheme),
    }
}

fn argon2(text: &str) -> Result<Hashed, CryptError> {
    const NAME: &str = "ARGON2";
    let hash = PasswordHash::new(text).map_err(|_| CryptError::Damaged(NAME))?;
    let params = Params::try_from(&hash).map_err(|_| CryptError::Damaged(NAME))?;
    let is_argon2 = hash.algorithm.as_str().starts_with("argon2");
    if !is_argon2 || hash.salt.is_none() || hash.hash.is_none() {
        return Err(CryptError::Damaged(NAME));
    }
    let (memory, passes, lanes) = ARGON2;
    if params.m_cost() > memory || params.t_cost() > passes || params.p_cost() > lanes {
        return Err(CryptError::Costly(NAME));
    }
    Ok(Hashed::Argon2(Box::new(hash)))
}

fn bcrypt(text: &str) -> Result<Hashed, CryptError> {
    const NAME: &str = "BLF-CRYPT";
    let parts: bcrypt::HashParts = text.parse().map_err(|_| CryptError::Damaged(NAME))?;
    if parts.get_cost() > BCRYPT_COST {
        return Err(CryptError::Costly(NAME));
    }
    Ok(Hashed::Bcrypt(Secret::copy_of(text.as_bytes())))
}

/// `$id$[rounds=N$]salt$hash`. Without rounds they are 5000.
fn sha_crypt(text: &str, id: &'static str) -> Result<Hashed, CryptError> {
    let name = if id == "$5$" { "SHA256-CRYPT" } else { "SHA512-CRYPT" };
    let damaged = CryptError::Damaged(name);
    let rest = text.strip_prefix(id).ok_or_else(|| damaged.clone())?;
    let (rounds, rest) = match rest.strip_prefix("rounds=").and_then(|rest| rest.split_once('$')) {
        Some((rounds, rest)) => (rounds.parse().map_err(|_| damaged.clone())?, rest),
        None => (5000, rest),
    };
    if rounds > SHA_ROUNDS {
        return Err(CryptError::Costly(name));
    }
    let (salt, hash) = rest.split_once('$').ok_or_else(|| damaged.clone())?;
    let length = if id == "$5$" { 43 } else { 86 };
    let is_hash = hash.len() == length
        && hash.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'.' | b'/'));
    if salt.is_empty() || salt.len() > 16 || !is_hash || rounds < 1000 {
        return Err(damaged);
    }
    Ok(Hashed::ShaCrypt(Secret::from(format!("{id}rounds={rounds}${salt}${hash}"))))
}

fn salted(text: &str, algorithm: &'static digest::Algorithm) -> Result<Hashed, CryptError> {
    let damaged = || CryptError::Damaged("SSHA");
    let octets = BASE64.decode(text).map_err(|_| damaged())?;
    let (hash, salt) = octets.split_at_checked(algorithm.output_len).ok_or_else(damaged)?;
    if salt.is_empty() {
        return Err(damaged());
    }
    Ok(Hashed::Salted { algorithm, hash: hash.to_vec(), salt: salt.to_vec() })
}

/// As Dovecot writes it, `$1$salt$rounds$hexadecimal`; or `rounds$salt$key` in base64 with `.` for `+`, as OpenLDAP and
/// Python's passlib do.
fn pbkdf2(text: &str, algorithm: pbkdf2::Algorithm) -> Result<Hashed, CryptError> {
    const NAME: &str = "PBKDF2";
    let damaged = || CryptError::Damaged(NAME);
    let fields: Vec<&str> = text.strip_prefix('$').unwrap_or(text).split('$').collect();
    let (rounds, salt, key) = match *fields.as_slice() {
        ["1", salt, rounds, key] => (rounds, Some(salt.as_bytes().to_vec()), unhex(key)),
        [rounds, salt, key] => (rounds, adapted(salt), adapted(key)),
        _ => return Err(damaged()),
    };
    let rounds: std::num::NonZeroU32 = rounds.parse().map_err(|_| damaged())?;
    let (salt, key) = salt.zip(key).ok_or_else(damaged)?;
    if rounds.get() > PBKDF2_ROUNDS {
        return Err(CryptError::Costly(NAME));
    }
    if salt.is_empty() || !(PBKDF2_KEY..=64).contains(&key.len()) {
        return Err(damaged());
    }
    Ok(Hashed::Pbkdf2 { algorithm, rounds, salt, key })
}

fn adapted(text: &str) -> Option<Vec<u8>> {
    BASE64.decode(text.replace('.', "+")).ok()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |octet: &u8| char::from(*octet).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.as_bytes().chunks(2).map(|pair| match pair {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    });
    pairs.collect()
}

#[cfg(test)]
#[path = "crypt_tests.rs"]
mod tests;
