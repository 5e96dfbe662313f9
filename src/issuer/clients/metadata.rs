//! Reads client metadata (RFC 7591 §2) member by member.
//!
//! What is not understood is ignored, `software_statement` among it (§3.1.1), and so is what only the operator may
//! give. `null` is the same as nothing.

use serde::{Deserialize, de::value::StrDeserializer};
use serde_json::{Map, Value};

use super::{AccessTokenFormat, AuthMethod, ClientMetadata, GrantType};
use crate::{
    issuer::{ErrorCode, OAuthError},
    model::Scope,
};

/// Largest request in octets.
pub(super) const MAX_BODY: usize = 16 * 1024;

/// The members of a request.
///
/// # Errors
/// `invalid_client_metadata` when it is too large, or no JSON object.
pub(super) fn members(body: &[u8]) -> Result<Map<String, Value>, OAuthError> {
    if body.len() > MAX_BODY {
        return Err(refused(format!("the registration has more than {MAX_BODY} octets")));
    }
    serde_json::from_slice(body).map_err(|_| refused("the body is not one JSON object".to_owned()))
}

/// The metadata, not yet checked for sense.
///
/// # Errors
/// `invalid_client_metadata` names the member that is of the wrong type, or that asks for what is not built.
pub(super) fn read(members: &Map<String, Value>) -> Result<ClientMetadata, OAuthError> {
    let reader = Reader(members);
    if reader.text("subject_type")?.is_some_and(|kind| kind != "public") {
        return Err(refused("subject_type can only be public".to_owned()));
    }
    let jwks = reader.member("jwks").cloned();
    if reader.text("jwks_uri")?.is_some() && jwks.is_some() {
        return Err(refused("jwks and jwks_uri cannot come together; jwks_uri is never fetched".to_owned()));
    }
    Ok(ClientMetadata {
        redirect_uris: reader.texts("redirect_uris")?,
        token_endpoint_auth_method: reader.named("token_endpoint_auth_method")?.unwrap_or(AuthMethod::None),
        grant_types: reader.grants()?,
        response_types: reader.texts("response_types")?,
        client_name: reader.text("client_name")?,
        client_uri: reader.text("client_uri")?,
        logo_uri: reader.text("logo_uri")?,
        tos_uri: reader.text("tos_uri")?,
        policy_uri: reader.text("policy_uri")?,
        contacts: reader.texts("contacts")?,
        scope: reader.scope()?,
        jwks,
        software_id: reader.text("software_id")?,
        software_version: reader.text("software_version")?,
        application_type: reader.text("application_type")?,
        id_token_signed_response_alg: reader.text("id_token_signed_response_alg")?,
        access_token_format: reader.named("access_token_format")?.unwrap_or(AccessTokenFormat::Opaque),
        mailboxes: Vec::new(),
        may_introspect: false,
        tls_client_auth_subject_dn: reader.text("tls_client_auth_subject_dn")?,
        tls_client_certificate_bound_access_tokens: reader
            .flag("tls_client_certificate_bound_access_tokens")?,
        require_pushed_authorization_requests: reader.flag("require_pushed_authorization_requests")?,
        post_logout_redirect_uris: reader.texts("post_logout_redirect_uris")?,
        backchannel_logout_uri: None,
    })
}

/// `invalid_client_metadata`.
pub(super) fn refused(description: String) -> OAuthError {
    OAuthError::new(ErrorCode::InvalidClientMetadata, description)
}

struct Reader<'a>(&'a Map<String, Value>);

impl Reader<'_> {
    fn member(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    fn text(&self, name: &str) -> Result<Option<String>, OAuthError> {
        let Some(value) = self.member(name) else { return Ok(None) };
        let text = value.as_str().ok_or_else(|| refused(format!("{name} must be a string")))?;
        Ok(Some(text.to_owned()).filter(|text| !text.is_empty()))
    }

    fn texts(&self, name: &str) -> Result<Vec<String>, OAuthError> {
        let Some(value) = self.member(name) else { return Ok(Vec::new()) };
        let texts = value.as_array().and_then(|values| {
            values.iter().map(|value| value.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
        });
        texts.ok_or_else(|| refused(format!("{name} must be a list of strings")))
    }

    fn flag(&self, name: &str) -> Result<bool, OAuthError> {
        let Some(value) = self.member(name) else { return Ok(false) };
        value.as_bool().ok_or_else(|| refused(format!("{name} must be true or false")))
    }

    /// One of a closed list of names.
    fn named<'de, T: Deserialize<'de>>(&self, name: &str) -> Result<Option<T>, OAuthError> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        match by_name(&text) {
            Some(value) => Ok(Some(value)),
            None => Err(refused(format!(
                "this server does not know this {name}; its metadata lists what it does"
            ))),
        }
    }

    /// Those that this server has; a client that asks for others too is told which it got.
    fn grants(&self) -> Result<Vec<GrantType>, OAuthError> {
        let asked = self.texts("grant_types")?;
        let mut grants = Vec::new();
        for grant in asked.iter().filter_map(|name| by_name(name)) {
            if !grants.contains(&grant) {
                grants.push(grant);
            }
        }
        if grants.is_empty() && !asked.is_empty() {
            return Err(refused("this server has none of these grant_types".to_owned()));
        }
        Ok(grants)
    }

    /// The values that this server knows: a client may name those of other services too.
    fn scope(&self) -> Result<Option<Scope>, OAuthError> {
        let Some(text) = self.text("scope")? else { return Ok(None) };
        let asked: Scope = text.parse().map_err(|error| refused(format!("scope: {error}")))?;
        let known: Vec<_> = asked.iter().filter(|value| Scope::KNOWN.contains(value)).collect();
        if known.is_empty() && !asked.is_empty() {
            return Err(refused("this server knows none of these scope values".to_owned()));
        }
        Ok(known.join(" ").parse().ok().filter(|scope: &Scope| !scope.is_empty()))
    }
}

fn by_name<'de, T: Deserialize<'de>>(name: &str) -> Option<T> {
    T::deserialize(StrDeserializer::<serde::de::value::Error>::new(name)).ok()
}
