use aws_lc_rs::{
    aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hkdf::{HKDF_SHA256, KeyType, Salt},
    hmac, rand,
};
use zeroize::Zeroizing;

use super::CryptoError;
use crate::model::{Secret, TokenHash};

/// First octet of everything that is encrypted here; another format gets another number.
const VERSION: u8 = 1;
const TAG: usize = 16;
const HASH_LABEL: &[u8] = b"bearward server hash v1 ";
const PURPOSE_LABEL: &[u8] = b"bearward server purpose v1 ";

/// The server's own key: 32 octets that are kept outside the store and its backups.
#[derive(Clone, Debug)]
pub struct ServerKey(Secret);

impl ServerKey {
    /// Its length in octets.
    pub const LEN: usize = 32;

    /// Takes the octets over.
    ///
    /// # Errors
    /// [`CryptoError::BadKey`] when there are not [`ServerKey::LEN`].
    pub fn from_secret(octets: Secret) -> Result<Self, CryptoError> {
        if octets.len() == Self::LEN { Ok(Self(octets)) } else { Err(CryptoError::BadKey) }
    }

    /// A new key.
    ///
    /// # Errors
    /// [`CryptoError::Library`] without random octets.
    pub fn generate() -> Result<Self, CryptoError> {
        Ok(Self(Secret::copy_of(&*random::<{ Self::LEN }>()?)))
    }

    /// A keyed hash (HMAC-SHA-256) of `fields`, apart for every `purpose`: for what has too few random bits to
    /// be stored under a plain hash, and for marks that only this server can make. No two lists of fields
    /// hash alike, however their octets are cut.
    ///
    /// # Errors
    /// [`CryptoError::Library`] when the library fails.
    pub fn hash(&self, purpose: &str, fields: &[&[u8]]) -> Result<TokenHash, CryptoError> {
        let key = expand(&[], self.0.expose(), &[HASH_LABEL, purpose.as_bytes()])?;
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &*key), &join(fields));
        tag.as_ref().try_into().map(TokenHash::new).map_err(|_| CryptoError::Library)
    }

    /// A key that encrypts under the server key alone, apart for every `purpose`.
    ///
    /// # Errors
    /// [`CryptoError::Library`] when the library fails.
    pub fn wrap_key_for(&self, purpose: &str) -> Result<WrapKey, CryptoError> {
        expand(&[], self.0.expose(), &[PURPOSE_LABEL, purpose.as_bytes()]).map(WrapKey)
    }

    /// A key for one purpose of this room.
    pub(super) fn purpose(&self, label: &[u8]) -> Result<WrapKey, CryptoError> {
        expand(&[], self.0.expose(), &[label]).map(WrapKey)
    }

    pub(super) fn octets(&self) -> &[u8] {
        self.0.expose()
    }
}

/// A key that encrypts other keys, or what is shown to one bearer only (ChaCha20-Poly1305, RFC 8439). It is
/// derived when needed and never stored.
pub struct WrapKey(Zeroizing<[u8; 32]>);

impl WrapKey {
    pub(super) const fn new(octets: Zeroizing<[u8; 32]>) -> Self {
        Self(octets)
    }

    /// Encrypts `plain`, binding it to `context`: version, nonce, ciphertext, tag. The length shows.
    ///
    /// # Errors
    /// [`CryptoError::Library`] without random octets.
    pub fn encrypt(&self, plain: &[u8], context: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let nonce = *random::<NONCE_LEN>()?;
        let mut buffer = Zeroizing::new(Vec::with_capacity(1 + NONCE_LEN + plain.len() + TAG));
        buffer.push(VERSION);
        buffer.extend_from_slice(&nonce);
        buffer.extend_from_slice(plain);
        let Some(body) = buffer.get_mut(1 + NONCE_LEN..) else { return Err(CryptoError::Library) };
        let tag = self.cipher()?.seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(context),
            body,
        )?;
        buffer.extend_from_slice(tag.as_ref());
        Ok(std::mem::take(&mut *buffer))
    }

    /// Decrypts what [`WrapKey::encrypt`] made for the same `context`.
    ///
    /// # Errors
    /// [`CryptoError::NotAuthentic`] for another key or context, or for changed octets.
    pub fn decrypt(&self, sealed: &[u8], context: &[u8]) -> Result<Secret, CryptoError> {
        let Some((&VERSION, rest)) = sealed.split_first() else { return Err(CryptoError::NotAuthentic) };
        let Some((nonce, body)) = rest.split_first_chunk::<NONCE_LEN>() else {
            return Err(CryptoError::NotAuthentic);
        };
        let mut buffer = Zeroizing::new(body.to_vec());
        let plain = self
            .cipher()?
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(context), &mut buffer)
            .map_err(|_| CryptoError::NotAuthentic)?;
        Ok(Secret::copy_of(plain))
    }

    fn cipher(&self) -> Result<LessSafeKey, CryptoError> {
        Ok(LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &*self.0)?))
    }
}

/// Without its octets.
impl std::fmt::Debug for WrapKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WrapKey")
    }
}

struct Octets32;

impl KeyType for Octets32 {
    fn len(&self) -> usize {
        32
    }
}

/// HKDF-SHA-256 (RFC 5869): 32 octets from `secret`, apart for every `salt` and `info`.
pub(super) fn expand(salt: &[u8], secret: &[u8], info: &[&[u8]]) -> Result<Zeroizing<[u8; 32]>, CryptoError> {
    let mut out = Zeroizing::new([0; 32]);
    Salt::new(HKDF_SHA256, salt).extract(secret).expand(info, Octets32)?.fill(&mut *out)?;
    Ok(out)
}

/// Random octets from the library's generator.
pub(super) fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, CryptoError> {
    let mut octets = Zeroizing::new([0; N]);
    rand::fill(&mut *octets)?;
    Ok(octets)
}

/// Joins `fields` so that no two different lists give the same octets: each goes behind its length.
pub(super) fn join(fields: &[&[u8]]) -> Vec<u8> {
    let mut joined = Vec::with_capacity(fields.iter().map(|field| field.len() + 8).sum());
    for field in fields {
        joined.extend_from_slice(&(field.len() as u64).to_be_bytes());
        joined.extend_from_slice(field);
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derives_what_rfc_5869_case_1_derives() {
        let salt: Vec<u8> = (0..=0x0c).collect();
        let info: Vec<u8> = (0xf0..=0xf9).collect();
        let out = expand(&salt, &[0x0b; 22], &[&info]).unwrap();
        assert_eq!(out[..8], [0x3c, 0xb2, 0x5f, 0x25, 0xfa, 0xac, 0xd5, 0x7a]);
        assert_eq!(out[28..], [0xec, 0xc4, 0xc5, 0xbf]);
    }

    #[test]
    fn joined_fields_cannot_be_shifted_into_one_another() {
        assert_ne!(join(&[b"ab", b"c"]), join(&[b"a", b"bc"]));
        assert_ne!(join(&[b"ab"]), join(&[b"ab", b""]));
    }

    #[test]
    fn a_server_key_of_another_length_is_refused() {
        for length in [0, 31, 33] {
            assert_eq!(
                ServerKey::from_secret(Secret::new(vec![7; length])).unwrap_err(),
                CryptoError::BadKey
            );
        }
    }

    #[test]
    fn nothing_encrypted_opens_elsewhere_or_changed() {
        let key = ServerKey::generate().unwrap().purpose(b"test").unwrap();
        let sealed = key.encrypt(b"plain", b"here").unwrap();
        assert_eq!(key.decrypt(&sealed, b"here").unwrap(), Secret::copy_of(b"plain"));
        assert_eq!(key.decrypt(&sealed, b"there").unwrap_err(), CryptoError::NotAuthentic);
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(key.decrypt(&changed, b"here").unwrap_err(), CryptoError::NotAuthentic, "bit {bit}");
        }
        for length in 0..sealed.len() {
            assert_eq!(key.decrypt(&sealed[..length], b"here").unwrap_err(), CryptoError::NotAuthentic);
        }
    }

    #[test]
    fn a_keyed_hash_differs_by_server_purpose_and_cut_of_the_fields() {
        let (server, other) = (ServerKey::generate().unwrap(), ServerKey::generate().unwrap());
        let hash = server.hash("one", &[b"ab", b"c"]).unwrap();
        assert_eq!(hash, server.hash("one", &[b"ab", b"c"]).unwrap());
        assert_ne!(hash, server.hash("two", &[b"ab", b"c"]).unwrap());
        assert_ne!(hash, server.hash("one", &[b"a", b"bc"]).unwrap());
        assert_ne!(hash, server.hash("one", &[b"abc"]).unwrap());
        assert_ne!(hash, other.hash("one", &[b"ab", b"c"]).unwrap());
    }

    #[test]
    fn a_keyed_hash_is_no_key_of_the_same_purpose() {
        let server = ServerKey::generate().unwrap();
        let sealed = server.wrap_key_for("one").unwrap().encrypt(b"plain", b"").unwrap();
        assert!(server.wrap_key_for("one").unwrap().decrypt(&sealed, b"").is_ok());
        assert!(server.wrap_key_for("two").unwrap().decrypt(&sealed, b"").is_err());
        assert!(server.purpose(b"one").unwrap().decrypt(&sealed, b"").is_err());
        let hash = *server.hash("one", &[]).unwrap().as_bytes();
        assert!(WrapKey::new(Zeroizing::new(hash)).decrypt(&sealed, b"").is_err());
    }

    #[test]
    fn each_purpose_has_its_own_key() {
        let server = ServerKey::generate().unwrap();
        let sealed = server.purpose(b"one").unwrap().encrypt(b"plain", b"").unwrap();
        assert!(server.purpose(b"two").unwrap().decrypt(&sealed, b"").is_err());
    }
}
