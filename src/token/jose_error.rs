use thiserror::Error;

/// Why a key set or a signed token was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum JoseError {
    /// Longer than [`super::MAX_JWS`] octets.
    #[error("a signed token has at most {} octets", super::MAX_JWS)]
    TooLong,
    /// Not three parts of base64url with JSON objects in the first two.
    #[error("not a signed token in compact form")]
    Malformed,
    /// The header says `crit`: it wants something understood that this server does not know (RFC 7515 §4.1.11).
    #[error("the token's header has critical members that this server does not know")]
    Critical,
    /// The header names an algorithm that is not taken here, such as `none` or one with a shared key.
    #[error("the token is signed with an algorithm that is not allowed here")]
    Algorithm,
    /// The header's `typ` is missing or another: a token of one sort is not taken for another (RFC 8725 §3.11).
    #[error("the token's type is not the one expected here")]
    Type,
    /// No key of that name and kind is known.
    #[error("the token was signed with an unknown key")]
    UnknownKey,
    /// The signature is not that of any key it could be of.
    #[error("the token's signature is wrong")]
    Signature,
    /// A claim is missing, or not of the form that it must have.
    #[error("the token's claim \"{0}\" is missing or malformed")]
    Claim(&'static str),
    /// It has ended.
    #[error("the token has expired")]
    Expired,
    /// It was made in the future, or starts there.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// Not a JSON object with a list `keys` (RFC 7517 §5), or a key without its members.
    #[error("not a set of public keys: {0}")]
    KeySet(&'static str),
    /// More than [`super::PublicKeySet::MAX_KEYS`] keys.
    #[error("a key set has at most {} keys", super::PublicKeySet::MAX_KEYS)]
    TooManyKeys,
    /// A key came with its private half, or is a shared secret. Whoever published it must replace it.
    #[error("the key set holds a private or shared key; such a key is known to others and must be replaced")]
    PrivateKey,
    /// An RSA key of fewer than 2048 or more than 4096 bits.
    #[error("an RSA key must have 2048 to 4096 bits")]
    KeyLength,
    /// No key in the set can verify a signature with an algorithm that this server takes.
    #[error("the key set holds no key for signatures with EdDSA, ES256 or RS256")]
    NoKey,
}
