use zeroize::Zeroize;

use super::{ErrorCode, OAuthError};
use crate::model::Secret;

/// The parameters of a request, `application/x-www-form-urlencoded`, in the order in which they came.
///
/// A parameter without a value counts as left out, one that comes twice is an error, an unknown one is ignored
/// (RFC 6749 §3.1, §3.2). Everything is wiped when dropped: codes, tokens and passwords come this way.
#[derive(Default)]
pub struct Params(Vec<(String, String)>);

impl Params {
    /// Most parameters of one request.
    pub const MAX: usize = 64;

    /// Reads a query or a form body.
    ///
    /// # Errors
    /// `invalid_request` for too many parameters, or for octets that are not UTF-8 once decoded.
    pub fn parse(octets: &[u8]) -> Result<Self, OAuthError> {
        let mut params = Self::default();
        for (name, value) in form_urlencoded::parse(octets) {
            if params.0.len() == Self::MAX {
                return Err(OAuthError::new(ErrorCode::InvalidRequest, "too many parameters"));
            }
            params.0.push((name.into_owned(), value.into_owned()));
        }
        if params.0.iter().any(|(name, value)| [name, value].iter().any(|text| text.contains('\u{FFFD}'))) {
            return Err(OAuthError::new(ErrorCode::InvalidRequest, "the parameters are not UTF-8"));
        }
        Ok(params)
    }

    /// From pairs that were decoded already.
    pub fn from_pairs(pairs: Vec<(String, String)>) -> Self {
        Self(pairs)
    }

    /// The value of a parameter that may come once.
    ///
    /// # Errors
    /// `invalid_request` when it comes twice.
    pub fn one<'a>(&'a self, name: &str) -> Result<Option<&'a str>, OAuthError> {
        let mut values = self.all(name);
        let first = values.next();
        if values.next().is_some() {
            return Err(OAuthError::new(
                ErrorCode::InvalidRequest,
                format!("the parameter {name} may come only once"),
            ));
        }
        Ok(first)
    }

    /// The value of a parameter that must come once.
    ///
    /// # Errors
    /// `invalid_request` when it is missing or comes twice.
    pub fn required<'a>(&'a self, name: &str) -> Result<&'a str, OAuthError> {
        self.one(name)?.ok_or_else(|| {
            OAuthError::new(ErrorCode::InvalidRequest, format!("the parameter {name} is missing"))
        })
    }

    /// The value of a parameter that is a secret.
    ///
    /// # Errors
    /// `invalid_request` when it comes twice.
    pub fn secret(&self, name: &str) -> Result<Option<Secret>, OAuthError> {
        Ok(self.one(name)?.map(|value| Secret::copy_of(value.as_bytes())))
    }

    /// Every value of a parameter that may come more than once.
    pub fn all<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a str> + use<'a, 'n> {
        self.0
            .iter()
            .filter(move |(own, value)| own == name && !value.is_empty())
            .map(|(_, value)| value.as_str())
    }

    /// Every parameter with its value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl Drop for Params {
    fn drop(&mut self) {
        for (_, value) in &mut self.0 {
            value.zeroize();
        }
    }
}

/// The names alone.
impl std::fmt::Debug for Params {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}
