//! Tokens that somebody shows: which row they stand for.

use crate::{
    issuer::{Issuer, OAuthError},
    model::{Secret, TokenHash, TokenKind, UnixTime},
    store::TokenRecord,
    token::OpaqueToken,
};

/// A token that has a row.
pub(super) struct Presented {
    pub(super) lookup: TokenHash,
    pub(super) record: TokenRecord,
}

impl Presented {
    /// Whether it may still be used for something.
    pub(super) fn is_live(&self, now: UnixTime) -> bool {
        let record = &self.record;
        now < record.expires_at
            && record.revoked_at.is_none()
            && record.used_at.is_none()
            && record.grant.is_live(now)
    }
}

impl Issuer {
    /// The row of an access token of either form, or of a refresh token; `None` for everything else. It may have
    /// ended.
    ///
    /// A JWT counts only with a signature of this issuer: its `jti` is no secret, so that without one whoever
    /// has read it could end or examine another's token.
    pub(super) async fn presented(
        &self,
        token: &Secret,
        now: UnixTime,
    ) -> Result<Option<Presented>, OAuthError> {
        let lookup = match OpaqueToken::parse(token.expose()) {
            Ok(token) if matches!(token.kind(), TokenKind::Access | TokenKind::Refresh) => token.lookup()?,
            Ok(_) => return Ok(None),
            Err(_) => match self.row_of_jwt(token, now) {
                Some(lookup) => lookup,
                None => return Ok(None),
            },
        };
        Ok(self.store.token(&lookup).await?.map(|record| Presented { lookup, record }))
    }
}

/// A token of this server of that kind.
pub(super) fn opaque(text: &[u8], kind: TokenKind) -> Option<OpaqueToken> {
    OpaqueToken::parse(text).ok().filter(|token| token.kind() == kind)
}
