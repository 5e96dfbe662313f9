use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

/// Octets that must not be printed, compared in variable time, or left in memory: a token, a password, a key.
///
/// It has no `Display` and no serde; its `Debug` shows only the length. Dropping wipes it.
#[derive(Clone, Default)]
pub struct Secret(Zeroizing<Box<[u8]>>);

impl Secret {
    /// Takes the octets over; the caller's buffer becomes the secret, so no copy is left behind.
    pub fn new(octets: impl Into<Box<[u8]>>) -> Self {
        Self(Zeroizing::new(octets.into()))
    }

    /// Copies `octets`; the caller stays responsible for wiping its own copy.
    pub fn copy_of(octets: &[u8]) -> Self {
        Self::new(octets)
    }

    /// The octets themselves. Named so that every place that looks inside can be found.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The octets as text, or `None` when they are not UTF-8.
    pub fn expose_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// Length in octets, which is no secret.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no octets at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text.into_bytes())
    }
}

impl From<Vec<u8>> for Secret {
    fn from(mut octets: Vec<u8>) -> Self {
        if octets.capacity() == octets.len() {
            return Self::new(octets);
        }
        // Shrinking would free the old buffer unwiped.
        let secret = Self::copy_of(&octets);
        octets.zeroize();
        secret
    }
}

/// Compares in constant time for equal lengths.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({} octets)", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_the_length_and_nothing_else() {
        assert_eq!(format!("{:?}", Secret::copy_of(b"hunter2")), "Secret(7 octets)");
    }

    #[test]
    fn equal_octets_are_equal_and_others_are_not() {
        assert_eq!(Secret::copy_of(b"a"), Secret::from(String::from("a")));
        assert_ne!(Secret::copy_of(b"a"), Secret::copy_of(b"b"));
        assert_ne!(Secret::copy_of(b"a"), Secret::copy_of(b"aa"));
    }
}
