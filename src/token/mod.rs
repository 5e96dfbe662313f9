//! Token formats and the keys behind them: opaque tokens and codes, sealing of mailbox passwords, signing keys,
//! and the checking of signatures.
//!
//! Used by issuer and validator. It does no I/O and asks no clock; random octets are drawn from aws-lc-rs.
//!
//! What holds here, and nowhere else has to be trusted for it:
//! - An opaque token carries 256 random bits. From them come two independent HKDF outputs (RFC 5869): the
//!   [`crate::model::TokenHash`] under which the store keeps its row, and the [`WrapKey`], which needs the
//!   [`ServerKey`] too. Nothing that is stored is ever a key.
//! - An app password carries 100 random bits, and from them come the same two.
//! - A password is sealed by HPKE (RFC 9180) to the key pair of its grant, bound to grant, user, backend and
//!   kind. The private half exists at rest only wrapped under a [`WrapKey`] of each live token.
//! - So the store opens nothing without a token, nor with a token but without the server key; and a token
//!   opens nothing without the store.
//! - A key has one algorithm, and only that one verifies with it, whatever a token's header says.
//!
//! It must not do I/O, read the clock, or print what it holds.

mod app_password;
mod certificate;
mod client_key;
mod derive;
mod jose_error;
mod jwk;
mod jws;
mod key_set;
mod opaque;
mod outside;
mod sealing;
mod signing;
mod user_code;

pub use app_password::{AppPassword, InvalidAppPassword};
pub use certificate::{base64url, certificate_thumbprint, parse_thumbprint, sha256};
pub use client_key::ClientKey;
pub use derive::{ServerKey, WrapKey};
pub use jose_error::JoseError;
pub use jwk::{Jwk, KeyParameters};
pub use jws::{MAX_JWS, check_times, time, unverified_claims, unverified_kid, verify_jws};
pub use key_set::PublicKeySet;
pub use opaque::{InvalidToken, KeyPurpose, OpaqueToken};
pub use outside::{OutsideAlgorithm, OutsideKeys, Verified};
pub use sealing::{GrantKey, GrantPublicKey, SealContext};
pub use signing::{Algorithm, SigningKey};
pub use user_code::{InvalidUserCode, UserCode};

use thiserror::Error;

/// Why a cryptographic step failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CryptoError {
    /// The authentication tag, the version octet or the length is wrong: other key, other context, or damage.
    #[error("the sealed octets do not open with this key in this place")]
    NotAuthentic,
    /// A key is not of the form it must have.
    #[error("not a key of that kind")]
    BadKey,
    /// A password is longer than [`GrantPublicKey::MAX_PASSWORD`] octets.
    #[error("a password has at most {} octets", GrantPublicKey::MAX_PASSWORD)]
    PasswordTooLong,
    /// Claims that have no JSON form.
    #[error("the claims have no JSON form")]
    NotJson,
    /// The cryptographic library could not do its part; no random octets, as a rule.
    #[error("the cryptographic library failed")]
    Library,
}

impl From<aws_lc_rs::error::Unspecified> for CryptoError {
    fn from(_: aws_lc_rs::error::Unspecified) -> Self {
        Self::Library
    }
}
