use crate::issuer::{ErrorCode, Issuer, OAuthError, Params};

/// Most resource indicators of one request.
const MOST: usize = 16;

impl Issuer {
    /// The resource indicators of an authorization request as they came (RFC 8707 §2). Whatever names the mail service
    /// means [`Issuer::audience`], for every token is for the whole of it.
    ///
    /// # Errors
    /// `invalid_target` for anything else.
    pub(super) fn requested_resources(&self, params: &Params) -> Result<Vec<String>, OAuthError> {
        let resources: Vec<String> = params.all("resource").map(str::to_owned).collect();
        let is_own = |resource: &String| self.audience_of(resource).is_some();
        if resources.len() > MOST || !resources.iter().all(is_own) {
            return Err(OAuthError::new(
                ErrorCode::InvalidTarget,
                format!("resource must name this mail service, for example {}", self.audience()),
            ));
        }
        Ok(resources)
    }
}
