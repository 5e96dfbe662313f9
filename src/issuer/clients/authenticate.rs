use std::sync::Arc;

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use zeroize::Zeroizing;

use super::{
    AuthMethod, Client, assertion, certificate, manage::is_same, register::lookup_of, subject::Name,
};
use crate::{
    issuer::{Call, ErrorCode, Issuer, OAuthError},
    model::{ClientId, Secret, TokenKind},
};

/// What a client shows to prove who it is.
enum Shown {
    /// Nothing in the request; a certificate of the connection, maybe.
    Nothing,
    /// A secret in the header.
    Basic(Secret),
    /// A secret in the body.
    Post(Secret),
    /// A signed assertion.
    Assertion(Secret),
}

/// Who a client says it is, and what it shows.
struct Claim {
    /// `None` when it is not even an identifier.
    id: Option<ClientId>,
    shown: Shown,
}

impl Issuer {
    /// Who calls, by the method that it registered and by no other; a public client names itself by `client_id`.
    ///
    /// # Errors
    /// `invalid_client`, the same for an unknown client and for a wrong secret; `invalid_request` for more than one
    /// method at once, or none at all.
    pub async fn authenticate(&self, call: &Call<'_>) -> Result<Arc<Client>, OAuthError> {
        let Claim { id, shown } = Claim::read(call)?;
        let client = match &id {
            Some(id) => self.client(id).await?,
            None => None,
        };
        let is_proved = match (&shown, client.as_deref()) {
            (Shown::Basic(secret), client) => has_secret(client, AuthMethod::ClientSecretBasic, secret)?,
            (Shown::Post(secret), client) => has_secret(client, AuthMethod::ClientSecretPost, secret)?,
            (Shown::Assertion(text), Some(client)) => self.has_signed(client, text, call.now).await?,
            (Shown::Nothing, Some(client)) => needs_nothing(client, call),
            (Shown::Assertion(_) | Shown::Nothing, None) => false,
        };
        client.filter(|_| is_proved).ok_or_else(not_proved)
    }

    /// As [`Issuer::authenticate`], for what public clients may not ask: introspection, client credentials.
    ///
    /// # Errors
    /// As there; `invalid_client` for a public client too.
    pub async fn authenticate_confidential(&self, call: &Call<'_>) -> Result<Arc<Client>, OAuthError> {
        let client = self.authenticate(call).await?;
        if client.is_public() {
            return Err(OAuthError::new(
                ErrorCode::InvalidClient,
                "this needs a client that can prove who it is",
            ));
        }
        Ok(client)
    }

    async fn has_signed(
        &self,
        client: &Client,
        text: &Secret,
        now: crate::model::UnixTime,
    ) -> Result<bool, OAuthError> {
        if client.metadata.token_endpoint_auth_method != AuthMethod::PrivateKeyJwt {
            return Ok(false);
        }
        self.check_assertion(client, text, now).await
    }
}

impl Claim {
    /// What the request holds.
    ///
    /// # Errors
    /// `invalid_request` for two methods at once and for two identifiers, `invalid_client` for a header that is no
    /// `Basic`.
    fn read(call: &Call<'_>) -> Result<Self, OAuthError> {
        let params = call.params;
        let named = params.one("client_id")?;
        let secret = params.secret("client_secret")?;
        let assertion = params.secret("client_assertion")?;
        let assertion_type = params.one("client_assertion_type")?;
        let methods = [call.authorization.is_some(), secret.is_some(), assertion.is_some()];
        if methods.into_iter().filter(|is_used| *is_used).count() > 1 {
            return Err(bad_request("only one way of client authentication may be used in a request"));
        }
        if assertion.is_some() != assertion_type.is_some() {
            return Err(bad_request("client_assertion and client_assertion_type come together"));
        }
        let (own, shown) = match (call.authorization, secret, assertion) {
            (Some(header), ..) => {
                let (id, secret) = basic(header).ok_or_else(not_proved)?;
                (Some(id), Shown::Basic(secret))
            }
            (None, Some(secret), _) => (None, Shown::Post(secret)),
            (None, None, Some(assertion)) => {
                if assertion_type != Some(assertion::TYPE) {
                    return Err(bad_request("client_assertion_type is not one that this server knows"));
                }
                let subject = assertion::subject(&assertion).ok_or_else(not_proved)?;
                (Some(subject), Shown::Assertion(assertion))
            }
            (None, None, None) => (None, Shown::Nothing),
        };
        let id = match (own.as_deref(), named) {
            (Some(own), Some(named)) if own != named => {
                return Err(bad_request("client_id is not the client that authenticates"));
            }
            (Some(id), _) | (None, Some(id)) => id.parse().ok(),
            (None, None) => return Err(bad_request("the parameter client_id is missing")),
        };
        Ok(Self { id, shown })
    }
}

/// Compares with something even where there is no client or no secret, so that the time does not tell which.
fn has_secret(client: Option<&Client>, method: AuthMethod, shown: &Secret) -> Result<bool, OAuthError> {
    let shown = lookup_of(shown, TokenKind::ClientSecret)?;
    let client = client.filter(|client| client.metadata.token_endpoint_auth_method == method);
    Ok(is_same(client.and_then(|client| client.secret), shown))
}

/// A public client, or one that the certificate of its connection proves.
fn needs_nothing(client: &Client, call: &Call<'_>) -> bool {
    let metadata = &client.metadata;
    let shown = call.caller.certificate.as_ref();
    match metadata.token_endpoint_auth_method {
        AuthMethod::None => true,
        AuthMethod::SelfSignedTlsClientAuth => {
            let pair = metadata.jwks.as_ref().zip(shown);
            pair.is_some_and(|(jwks, certificate)| certificate::is_in(jwks, certificate))
        }
        // A subject is what its holder wrote, unless an authority vouches for it.
        AuthMethod::TlsClientAuth => {
            let vouched = shown.filter(|certificate| certificate.is_vouched_for);
            let subject = vouched.and_then(|certificate| Name::of_certificate(&certificate.der));
            let registered = metadata.tls_client_auth_subject_dn.as_deref().and_then(Name::parse);
            subject.is_some() && subject == registered
        }
        AuthMethod::ClientSecretBasic | AuthMethod::ClientSecretPost | AuthMethod::PrivateKeyJwt => false,
    }
}

/// Name and secret of the header (RFC 6749 §2.3.1): each form-encoded, joined by a colon, in base64.
fn basic(header: &Secret) -> Option<(String, Secret)> {
    const BASE64: GeneralPurpose = GeneralPurpose::new(
        &alphabet::STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    /// Longer than any that could be right, with every octet percent-encoded.
    const MAX: usize = 4096;
    let (scheme, encoded) = header.expose_str().filter(|text| text.len() <= MAX)?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = Zeroizing::new(BASE64.decode(encoded.trim_start_matches(' ')).ok()?);
    let colon = pair.iter().position(|octet| *octet == b':')?;
    let (id, secret) = pair.split_at_checked(colon)?;
    let mut id = form_decoded(id)?;
    let mut secret = form_decoded(secret.strip_prefix(b":")?)?;
    let id = String::from_utf8(std::mem::take(&mut *id)).ok()?;
    Some((id, Secret::from(std::mem::take(&mut *secret))))
}

/// `application/x-www-form-urlencoded`, one value of it.
fn form_decoded(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut decoded = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut octets = text.iter().copied();
    while let Some(octet) = octets.next() {
        decoded.push(match octet {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(octets.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            octet => octet,
        });
    }
    Some(decoded)
}

fn bad_request(description: &'static str) -> OAuthError {
    OAuthError::new(ErrorCode::InvalidRequest, description)
}

fn not_proved() -> OAuthError {
    OAuthError::new(
        ErrorCode::InvalidClient,
        "the client is unknown, or it does not prove who it is in the way that it registered",
    )
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    fn read(pair: &str) -> Option<(String, String)> {
        let header = Secret::from(format!("Basic {}", STANDARD.encode(pair)));
        let (id, secret) = basic(&header)?;
        Some((id, secret.expose_str()?.to_owned()))
    }

    #[test]
    fn the_header_holds_name_and_secret_form_encoded() {
        let of = |id: &str, secret: &str| Some((id.to_owned(), secret.to_owned()));
        assert_eq!(read("id:secret"), of("id", "secret"));
        assert_eq!(read("bwo%5Fa%2Db:s%3Ae+c:r"), of("bwo_a-b", "s:e c:r"));
        assert_eq!(read(":"), of("", ""));
    }

    #[test]
    fn a_header_that_is_not_one_names_nobody() {
        for bad in ["id", "id%zz:s", "id:s%4", "%FF:s"] {
            assert_eq!(read(bad), None, "{bad}");
        }
        for bad in ["", "Basic", "Basic !", "Bearer aWQ6cw==", &format!("Basic {}", "A".repeat(5000))] {
            assert!(basic(&Secret::copy_of(bad.as_bytes())).is_none(), "{bad}");
        }
        assert!(basic(&Secret::copy_of(b"bAsIc aWQ6cw")).is_some());
    }
}
