use aws_lc_rs::agreement::{PrivateKey, X25519};
use rustls::crypto::{
    aws_lc_rs::hpke::DH_KEM_X25519_HKDF_SHA256_CHACHA20_POLY1305 as SUITE,
    hpke::{EncapsulatedSecret, Hpke, HpkePrivateKey, HpkePublicKey},
};
use zeroize::Zeroizing;

use super::{CryptoError, OpaqueToken, ServerKey, WrapKey, derive::join};
use crate::model::{CredentialKind, GrantId, Login, Secret, TokenKind};

/// First octet of a sealed password; another format gets another number.
const VERSION: u8 = 1;
const ENCAPSULATED: usize = 32;
const PADDED: usize = 256;
const SEAL_INFO: &[u8] = b"bearward sealed credential v1";
const WRAP_INFO: &[u8] = b"bearward wrapped grant key v1";

/// What a sealed credential is bound to. It opens under no other.
#[derive(Clone, Copy, Debug)]
pub struct SealContext<'a> {
    /// The grant.
    pub grant: GrantId,
    /// The user whose grant it is.
    pub user: &'a Login,
    /// The backend that the credential belongs to.
    pub backend: &'a str,
    /// What it is.
    pub kind: CredentialKind,
}

impl SealContext<'_> {
    fn octets(&self) -> Vec<u8> {
        join(&[
            self.grant.as_bytes(),
            self.user.as_str().as_bytes(),
            self.backend.as_bytes(),
            self.kind.as_str().as_bytes(),
        ])
    }
}

/// The public half of a grant's key pair: it seals, and cannot open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrantPublicKey([u8; 32]);

impl GrantPublicKey {
    /// Longest password in octets. Every password is padded, so its length does not show.
    pub const MAX_PASSWORD: usize = PADDED - 1;

    /// From its 32 stored octets.
    pub const fn new(octets: [u8; 32]) -> Self {
        Self(octets)
    }

    /// Its octets, as stored.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Seals `password` for `context` (RFC 9180 §6.1, base mode, single shot).
    ///
    /// # Errors
    /// [`CryptoError::PasswordTooLong`]; [`CryptoError::BadKey`] when this is no point of the curve that
    /// a secret can be shared with.
    pub fn seal(&self, password: &Secret, context: &SealContext<'_>) -> Result<Vec<u8>, CryptoError> {
        let length = u8::try_from(password.len()).map_err(|_| CryptoError::PasswordTooLong)?;
        let mut padded = Zeroizing::new([0; PADDED]);
        for (to, from) in padded.iter_mut().zip(std::iter::once(&length).chain(password.expose())) {
            *to = *from;
        }
        let (encapsulated, ciphertext) = SUITE
            .seal(SEAL_INFO, &context.octets(), &*padded, &HpkePublicKey(self.0.to_vec()))
            .map_err(|_| CryptoError::BadKey)?;
        Ok([&[VERSION], encapsulated.0.as_slice(), &ciphertext].concat())
    }
}

/// A grant's key pair. Its private half lives in memory only while it is used.
pub struct GrantKey {
    private: HpkePrivateKey,
    public: GrantPublicKey,
}

impl GrantKey {
    /// A new key pair.
    ///
    /// # Errors
    /// [`CryptoError::Library`] when the library fails.
    pub fn generate() -> Result<Self, CryptoError> {
        let (public, private) = SUITE.generate_key_pair().map_err(|_| CryptoError::Library)?;
        let public = public.0.try_into().map_err(|_| CryptoError::Library)?;
        Ok(Self { private, public: GrantPublicKey(public) })
    }

    /// The key pair that a device code stands for (RFC 8628). The browser that approves the device knows only
    /// the public half and seals to it; the device code opens it when the device comes for its tokens.
    ///
    /// # Errors
    /// [`CryptoError::BadKey`] for a token of another kind; [`CryptoError::Library`] when the library fails.
    pub fn of_device_code(device: &OpaqueToken, server: &ServerKey) -> Result<Self, CryptoError> {
        if device.kind() != TokenKind::Device {
            return Err(CryptoError::BadKey);
        }
        let private = device.device_grant_key(server)?;
        let public = PrivateKey::from_private_key(&X25519, &*private)
            .map_err(|_| CryptoError::Library)?
            .compute_public_key()?;
        let public = public.as_ref().try_into().map_err(|_| CryptoError::Library)?;
        Ok(Self { private: HpkePrivateKey::from(private.to_vec()), public: GrantPublicKey(public) })
    }

    /// The public half.
    pub const fn public(&self) -> GrantPublicKey {
        self.public
    }

    /// Wraps the private half under the key of one token of that kind.
    ///
    /// # Errors
    /// [`CryptoError::Library`] when the library fails.
    pub fn wrap(&self, key: &WrapKey, grant: GrantId, kind: TokenKind) -> Result<Vec<u8>, CryptoError> {
        key.encrypt(self.private.secret_bytes(), &Self::wrap_context(grant, kind, self.public))
    }

    /// Unwraps the key pair of `grant` whose public half is `public`.
    ///
    /// # Errors
    /// [`CryptoError::NotAuthentic`] when it was wrapped under another key, or for something else.
    pub fn unwrap(
        wrapped: &[u8],
        key: &WrapKey,
        grant: GrantId,
        kind: TokenKind,
        public: GrantPublicKey,
    ) -> Result<Self, CryptoError> {
        let octets = key.decrypt(wrapped, &Self::wrap_context(grant, kind, public))?;
        Ok(Self { private: HpkePrivateKey::from(octets.expose().to_vec()), public })
    }

    /// Opens a password that was sealed for the same context.
    ///
    /// # Errors
    /// [`CryptoError::NotAuthentic`] for another key or context, or for changed octets.
    pub fn open(&self, sealed: &[u8], context: &SealContext<'_>) -> Result<Secret, CryptoError> {
        let Some((&VERSION, rest)) = sealed.split_first() else { return Err(CryptoError::NotAuthentic) };
        let Some((encapsulated, ciphertext)) = rest.split_at_checked(ENCAPSULATED) else {
            return Err(CryptoError::NotAuthentic);
        };
        let encapsulated = EncapsulatedSecret(encapsulated.to_vec());
        let padded = SUITE
            .open(&encapsulated, SEAL_INFO, &context.octets(), ciphertext, &self.private)
            .map(Zeroizing::new)
            .map_err(|_| CryptoError::NotAuthentic)?;
        let Some((&length, password)) = padded.split_first() else { return Err(CryptoError::NotAuthentic) };
        password.get(..usize::from(length)).map(Secret::copy_of).ok_or(CryptoError::NotAuthentic)
    }

    /// The public half is bound too, so that nobody who writes to the store can put another in its place
    /// and have the next password sealed to it unnoticed.
    fn wrap_context(grant: GrantId, kind: TokenKind, public: GrantPublicKey) -> Vec<u8> {
        join(&[WRAP_INFO, grant.as_bytes(), kind.as_str().as_bytes(), public.as_bytes()])
    }
}

/// Its public half alone.
impl std::fmt::Debug for GrantKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("GrantKey").field(&self.public).finish()
    }
}

#[cfg(test)]
#[path = "sealing_tests.rs"]
mod tests;
