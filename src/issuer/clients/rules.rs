//! Whether a client's metadata makes sense, and is what its registrant may have.

use serde_json::Value;

use super::{
    AuthMethod, ClientMetadata, GrantType, InvalidRedirectUri, RedirectUri, metadata::refused, subject::Name,
};
use crate::{
    issuer::{ErrorCode, OAuthError},
    model::Login,
};

const MAX_URIS: usize = 8;
const MAX_NAME: usize = 64;
const MAX_TEXT: usize = 255;
const MAX_LINK: usize = 512;
const MAX_KEYS: usize = 8;
const MAX_JWKS: usize = 8 * 1024;
const MAX_MAILBOXES: usize = 256;

/// Who registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Registrant {
    /// The client itself.
    Client,
    /// The operator.
    Operator,
}

/// The metadata with the defaults filled in and without what does not apply.
///
/// # Errors
/// `invalid_redirect_uri` or `invalid_client_metadata` names the member and what is wrong with it.
pub(super) fn checked(
    mut metadata: ClientMetadata,
    registrant: Registrant,
) -> Result<ClientMetadata, OAuthError> {
    default_grants(&mut metadata);
    check_method(&mut metadata)?;
    check_grants(&metadata, registrant)?;
    check_response_types(&mut metadata)?;
    check_redirects(&metadata)?;
    check_texts(&mut metadata)?;
    check_operators(&metadata, registrant)?;
    Ok(metadata)
}

/// Without grants a client gets what a mail client needs; one that only introspects needs none.
fn default_grants(metadata: &mut ClientMetadata) {
    let only_asks = metadata.may_introspect && metadata.redirect_uris.is_empty();
    if metadata.grant_types.is_empty() && !only_asks {
        metadata.grant_types = vec![GrantType::AuthorizationCode, GrantType::RefreshToken];
    }
}

/// Each method needs what proves it, and nothing else of the kind is kept.
fn check_method(metadata: &mut ClientMetadata) -> Result<(), OAuthError> {
    let jwks = metadata.jwks.take();
    let subject = metadata.tls_client_auth_subject_dn.take();
    let method = metadata.token_endpoint_auth_method;
    match method {
        AuthMethod::None | AuthMethod::ClientSecretBasic | AuthMethod::ClientSecretPost => {}
        AuthMethod::PrivateKeyJwt | AuthMethod::SelfSignedTlsClientAuth => {
            let jwks = jwks.ok_or_else(|| {
                refused("this authentication method needs jwks; a jwks_uri would not be fetched".to_owned())
            })?;
            check_keys(&jwks, method)?;
            metadata.jwks = Some(jwks);
        }
        AuthMethod::TlsClientAuth => {
            let subject = subject.filter(|subject| {
                subject.len() <= MAX_TEXT
                    && !subject.chars().any(is_unseemly)
                    && Name::parse(subject).is_some()
            });
            metadata.tls_client_auth_subject_dn = Some(subject.ok_or_else(|| {
                refused(
                    "tls_client_auth needs tls_client_auth_subject_dn, such as CN=name,O=Organisation,C=DE, and \
                     takes no other name of the certificate"
                        .to_owned(),
                )
            })?);
        }
    }
    Ok(())
}

fn check_keys(jwks: &Value, method: AuthMethod) -> Result<(), OAuthError> {
    const PRIVATE: [&str; 8] = ["d", "dp", "dq", "k", "oth", "p", "q", "qi"];
    let keys = jwks.get("keys").and_then(Value::as_array).filter(|keys| (1..=MAX_KEYS).contains(&keys.len()));
    let Some(keys) = keys else {
        return Err(refused(format!("jwks.keys must be a list of 1 to {MAX_KEYS} keys")));
    };
    if jwks.to_string().len() > MAX_JWKS {
        return Err(refused(format!("jwks has more than {MAX_JWKS} octets")));
    }
    if keys.iter().any(|key| !key.is_object() || PRIVATE.iter().any(|name| key.get(name).is_some())) {
        return Err(refused("jwks must hold public keys alone".to_owned()));
    }
    let is_usable = match method {
        AuthMethod::SelfSignedTlsClientAuth => super::certificate::any_in(jwks),
        AuthMethod::PrivateKeyJwt => super::assertion::keys(jwks).is_ok(),
        AuthMethod::None
        | AuthMethod::ClientSecretBasic
        | AuthMethod::ClientSecretPost
        | AuthMethod::TlsClientAuth => true,
    };
    if is_usable {
        return Ok(());
    }
    Err(refused("jwks holds no key that this authentication method can use".to_owned()))
}

fn check_grants(metadata: &ClientMetadata, registrant: Registrant) -> Result<(), OAuthError> {
    let has = |grant| metadata.grant_types.contains(&grant);
    let is_public = metadata.token_endpoint_auth_method == AuthMethod::None;
    let (code, device) = (has(GrantType::AuthorizationCode), has(GrantType::DeviceCode));
    if has(GrantType::ClientCredentials) && registrant == Registrant::Client {
        return Err(refused("client_credentials is given by the operator alone".to_owned()));
    }
    if has(GrantType::ClientCredentials) && is_public {
        return Err(refused("client_credentials needs a client that authenticates".to_owned()));
    }
    if has(GrantType::RefreshToken) && !code && !device {
        return Err(refused("grant_types has refresh_token and nothing that gives one".to_owned()));
    }
    if is_public && code && !has(GrantType::RefreshToken) {
        return Err(refused(
            "grant_types of a mail client must have both authorization_code and refresh_token".to_owned(),
        ));
    }
    if code && metadata.redirect_uris.is_empty() {
        let description = "authorization_code needs redirect_uris";
        return Err(OAuthError::new(ErrorCode::InvalidRedirectUri, description));
    }
    Ok(())
}

fn check_response_types(metadata: &mut ClientMetadata) -> Result<(), OAuthError> {
    let uses_code = metadata.grant_types.contains(&GrantType::AuthorizationCode);
    let asked = &metadata.response_types;
    if uses_code && !asked.is_empty() && !asked.iter().any(|kind| kind == "code") {
        return Err(refused("response_types must have code, the only one there is".to_owned()));
    }
    metadata.response_types = if uses_code { vec!["code".to_owned()] } else { Vec::new() };
    Ok(())
}

fn check_redirects(metadata: &ClientMetadata) -> Result<(), OAuthError> {
    let wrong = |name: &str, at: usize, error: InvalidRedirectUri| {
        OAuthError::new(ErrorCode::InvalidRedirectUri, format!("{name}[{at}]: {error}"))
    };
    let lists = [
        ("redirect_uris", &metadata.redirect_uris),
        ("post_logout_redirect_uris", &metadata.post_logout_redirect_uris),
    ];
    for (name, uris) in lists {
        if uris.len() > MAX_URIS {
            return Err(refused(format!("{name} has more than {MAX_URIS} entries")));
        }
        for (at, uri) in uris.iter().enumerate() {
            let uri = RedirectUri::parse(uri).map_err(|error| wrong(name, at, error))?;
            if uri.is_local() && metadata.application_type.as_deref() == Some("web") {
                return Err(OAuthError::new(
                    ErrorCode::InvalidRedirectUri,
                    format!("{name}[{at}]: a web application has https and a host of its own"),
                ));
            }
        }
    }
    Ok(())
}

fn check_texts(metadata: &mut ClientMetadata) -> Result<(), OAuthError> {
    let trimmed = metadata.client_name.as_deref().map(str::trim).filter(|name| !name.is_empty());
    metadata.client_name = trimmed.map(str::to_owned);
    check_text("client_name", metadata.client_name.as_ref(), MAX_NAME)?;
    check_text("software_id", metadata.software_id.as_ref(), MAX_TEXT)?;
    check_text("software_version", metadata.software_version.as_ref(), MAX_TEXT)?;
    if metadata.contacts.len() > MAX_URIS {
        return Err(refused(format!("contacts has more than {MAX_URIS} entries")));
    }
    metadata.contacts.iter().try_for_each(|contact| check_text("contacts", Some(contact), MAX_TEXT))?;
    check_link("client_uri", metadata.client_uri.as_deref())?;
    check_link("logo_uri", metadata.logo_uri.as_deref())?;
    check_link("tos_uri", metadata.tos_uri.as_deref())?;
    check_link("policy_uri", metadata.policy_uri.as_deref())?;
    check_one_of("application_type", metadata.application_type.as_deref(), &["native", "web"])?;
    let algorithm = metadata.id_token_signed_response_alg.as_deref();
    check_one_of("id_token_signed_response_alg", algorithm, &["RS256", "ES256", "EdDSA"])
}

/// No text of a client may turn, hide or break what stands beside it on a page or in a log.
fn check_text(name: &str, text: Option<&String>, max: usize) -> Result<(), OAuthError> {
    let Some(text) = text else { return Ok(()) };
    if text.chars().count() > max {
        return Err(refused(format!("{name} has more than {max} characters")));
    }
    if text.chars().any(is_unseemly) {
        return Err(refused(format!("{name} holds control, direction or invisible characters")));
    }
    Ok(())
}

fn is_unseemly(c: char) -> bool {
    let is_space = c.is_whitespace() && c != ' ';
    let is_hidden = matches!(c,
        '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}'
        | '\u{180B}'..='\u{180F}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}' | '\u{2800}' | '\u{3164}' | '\u{E000}'..='\u{F8FF}'
        | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFFF}'
        | '\u{E0000}'..='\u{10FFFF}');
    c.is_control() || is_space || is_hidden
}

/// It is shown as a link at most, and never fetched.
fn check_link(name: &str, link: Option<&str>) -> Result<(), OAuthError> {
    let Some(link) = link else { return Ok(()) };
    let rest = link.strip_prefix("https://").or_else(|| link.strip_prefix("http://"));
    let authority = rest.and_then(|rest| rest.split(['/', '?', '#']).next()).unwrap_or_default();
    let is_plain = |octet: u8| octet.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&octet);
    if link.len() > MAX_LINK || authority.is_empty() || authority.contains('@') || !link.bytes().all(is_plain)
    {
        return Err(refused(format!("{name} must be an https URL of at most {MAX_LINK} octets")));
    }
    Ok(())
}

fn check_one_of(name: &str, value: Option<&str>, known: &[&str]) -> Result<(), OAuthError> {
    if value.is_none_or(|value| known.contains(&value)) {
        return Ok(());
    }
    Err(refused(format!("{name} must be one of {}", known.join(", "))))
}

/// What the operator alone gives. Reading a client's own registration leaves it out.
fn check_operators(metadata: &ClientMetadata, registrant: Registrant) -> Result<(), OAuthError> {
    let credentials = metadata.grant_types.contains(&GrantType::ClientCredentials);
    let is_public = metadata.token_endpoint_auth_method == AuthMethod::None;
    let is_given = !metadata.mailboxes.is_empty()
        || metadata.may_introspect
        || metadata.backchannel_logout_uri.is_some();
    if is_given && registrant == Registrant::Client {
        return Err(refused(
            "mailboxes, introspection and logout calls are given by the operator".to_owned(),
        ));
    }
    if credentials == metadata.mailboxes.is_empty() {
        return Err(refused("client_credentials and mailboxes come together".to_owned()));
    }
    if metadata.may_introspect && is_public {
        return Err(refused("introspection needs a client that authenticates".to_owned()));
    }
    if metadata.mailboxes.len() > MAX_MAILBOXES {
        return Err(refused(format!("mailboxes has more than {MAX_MAILBOXES} entries")));
    }
    if let Some(bad) = metadata.mailboxes.iter().find(|pattern| !is_mailbox(pattern)) {
        return Err(refused(format!("mailboxes: {bad} is neither user@domain nor *@domain")));
    }
    let Some(uri) = &metadata.backchannel_logout_uri else { return Ok(()) };
    if RedirectUri::parse(uri).is_ok_and(|uri| uri.as_str().starts_with("https://")) {
        return Ok(());
    }
    Err(refused("backchannel_logout_uri must be an https URL".to_owned()))
}

/// A login name in its normal form, or `*@` and a domain in lower case; a star stands nowhere else.
fn is_mailbox(pattern: &str) -> bool {
    let plain = pattern.strip_prefix("*@").map_or_else(|| pattern.to_owned(), |domain| format!("x@{domain}"));
    let is_whole = plain.rsplit_once('@').is_none_or(|(user, domain)| !user.is_empty() && !domain.is_empty());
    is_whole && !plain.contains('*') && Login::parse(&plain).is_ok_and(|login| login.as_str() == plain)
}
