use serde::Serialize;

use super::{GrantType, Issuer, MutualTls, Registration};
use crate::{
    model::{Protocol, Scope},
    token::Jwk,
};

/// An address of the issuer that clients call, all but the last found in the metadata alone or in the pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// RFC 6749 §3.1.
    Authorization,
    /// RFC 6749 §3.2.
    Token,
    /// RFC 7591 §3; a client's own address (RFC 7592) is below it.
    Registration,
    /// RFC 7662 §2.
    Introspection,
    /// RFC 7009 §2.
    Revocation,
    /// OpenID Connect Core §5.3.
    UserInfo,
    /// RFC 8628 §3.1.
    DeviceAuthorization,
    /// RFC 9126 §2.
    PushedAuthorization,
    /// OpenID Connect RP-Initiated Logout §2.
    EndSession,
    /// RFC 7517 §5.
    Keys,
    /// The page where a person approves a device (RFC 8628 §3.3).
    Device,
    /// Where an outside provider sends people back to (OpenID Connect Core §3.1.2.5).
    Callback,
}

impl Endpoint {
    /// Its path behind the issuer's own.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Authorization => "/oauth/authorize",
            Self::Token => "/oauth/token",
            Self::Registration => "/oauth/register",
            Self::Introspection => "/oauth/introspect",
            Self::Revocation => "/oauth/revoke",
            Self::UserInfo => "/oauth/userinfo",
            Self::DeviceAuthorization => "/oauth/device_authorization",
            Self::PushedAuthorization => "/oauth/par",
            Self::EndSession => "/oauth/logout",
            Self::Keys => "/oauth/jwks",
            Self::Device => "/device",
            Self::Callback => "/oauth/callback",
        }
    }
}

/// The issuer's metadata (RFC 8414 §2); OpenID Connect Discovery §3 reads the same document.
///
/// It names only what is built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServerMetadata {
    /// The issuer identifier.
    pub issuer: String,
    /// Where people sign in.
    pub authorization_endpoint: String,
    /// Where grants turn into tokens.
    pub token_endpoint: String,
    /// Where the public keys are.
    pub jwks_uri: String,
    /// Where clients register, unless the operator alone does that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registration_endpoint: Option<String>,
    /// Where resource servers ask about tokens.
    pub introspection_endpoint: String,
    /// Where clients give tokens back.
    pub revocation_endpoint: String,
    /// Where clients ask who the person is.
    pub userinfo_endpoint: String,
    /// Where devices without a browser begin.
    pub device_authorization_endpoint: String,
    /// Where authorization requests are pushed to.
    pub pushed_authorization_request_endpoint: String,
    /// Whether every client must push (RFC 9126 §5).
    pub require_pushed_authorization_requests: bool,
    /// Scope values that a client may use.
    pub scopes_supported: Vec<&'static str>,
    /// Response types that the authorization endpoint takes.
    pub response_types_supported: [&'static str; 1],
    /// How the authorization response travels.
    pub response_modes_supported: [&'static str; 2],
    /// Grant types that the token endpoint takes.
    pub grant_types_supported: [GrantType; 4],
    /// How clients authenticate at the token endpoint.
    pub token_endpoint_auth_methods_supported: &'static [&'static str],
    /// What may sign a client's assertion there.
    pub token_endpoint_auth_signing_alg_values_supported: [&'static str; 3],
    /// How clients authenticate where they give tokens back.
    pub revocation_endpoint_auth_methods_supported: &'static [&'static str],
    /// What may sign a client's assertion there.
    pub revocation_endpoint_auth_signing_alg_values_supported: [&'static str; 3],
    /// How callers authenticate who ask about tokens: they must.
    pub introspection_endpoint_auth_methods_supported: &'static [&'static str],
    /// What may sign a caller's assertion there.
    pub introspection_endpoint_auth_signing_alg_values_supported: [&'static str; 3],
    /// Proof keys (RFC 7636), which every client needs.
    pub code_challenge_methods_supported: [&'static str; 1],
    /// The authorization response says whose it is (RFC 9207 §3).
    pub authorization_response_iss_parameter_supported: bool,
    /// Every client knows a person by the same name.
    pub subject_types_supported: [&'static str; 1],
    /// What signs ID tokens.
    pub id_token_signing_alg_values_supported: [&'static str; 3],
    /// What an ID token or the userinfo endpoint may tell.
    pub claims_supported: &'static [&'static str],
    /// OpenID Connect Core §5.5.
    pub claims_parameter_supported: bool,
    /// Request objects (RFC 9101) by value.
    pub request_parameter_supported: bool,
    /// Request objects by reference; said because leaving it out means that they are.
    pub request_uri_parameter_supported: bool,
    /// What a client may ask of the sign-in.
    pub prompt_values_supported: [&'static str; 3],
    /// Languages of the pages.
    pub ui_locales_supported: [&'static str; 2],
    /// Tokens can be bound to a client's certificate (RFC 8705 §3.3).
    pub tls_client_certificate_bound_access_tokens: bool,
    /// Where clients can show a certificate, if not at the same addresses (RFC 8705 §5).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtls_endpoint_aliases: Option<MutualTlsAliases>,
    /// Where people sign out (OpenID Connect RP-Initiated Logout §2.1).
    pub end_session_endpoint: String,
    /// Clients are told that a grant has ended (OpenID Connect Back-Channel Logout §2.1).
    pub backchannel_logout_supported: bool,
    /// They are told which, by `sid`.
    pub backchannel_logout_session_supported: bool,
    /// The resources that the tokens are for (RFC 9728 §4).
    pub protected_resources: Vec<String>,
    /// A page for people.
    pub service_documentation: String,
}

/// The endpoints that clients authenticate to, where they can show a certificate (RFC 8705 §5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MutualTlsAliases {
    /// As in [`ServerMetadata`].
    pub token_endpoint: String,
    /// As in [`ServerMetadata`].
    pub revocation_endpoint: String,
    /// As in [`ServerMetadata`].
    pub introspection_endpoint: String,
    /// As in [`ServerMetadata`].
    pub userinfo_endpoint: String,
    /// As in [`ServerMetadata`].
    pub device_authorization_endpoint: String,
    /// As in [`ServerMetadata`].
    pub pushed_authorization_request_endpoint: String,
}

/// The metadata of the mail service as a protected resource (RFC 9728 §2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProtectedResource {
    /// The resource identifier: the origin of the issuer.
    pub resource: String,
    /// Whose tokens it takes.
    pub authorization_servers: Vec<String>,
    /// Scope values that it knows.
    pub scopes_supported: Vec<&'static str>,
}

/// The public keys of the issuer (RFC 7517 §5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JwkSet {
    /// The keys.
    pub keys: Vec<Jwk>,
}

/// Every way to authenticate: `none` first, those by certificate last.
const AUTH_METHODS: [&str; 6] = [
    "none",
    "client_secret_basic",
    "client_secret_post",
    "private_key_jwt",
    "tls_client_auth",
    "self_signed_tls_client_auth",
];
const ASSERTION_ALGORITHMS: [&str; 3] = ["ES256", "EdDSA", "RS256"];

impl Issuer {
    /// The path at which an endpoint is served: the issuer's own path first.
    pub fn path_of(&self, endpoint: Endpoint) -> String {
        let url = &*self.config.url;
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        let path = rest.split_once('/').map_or("", |(_, path)| path).trim_end_matches('/');
        let slash = if path.is_empty() { "" } else { "/" };
        format!("{slash}{path}{}", endpoint.path())
    }

    /// The URL at which an endpoint is served.
    pub fn url_of(&self, endpoint: Endpoint) -> String {
        format!("{}{}", self.config.url.trim_end_matches('/'), endpoint.path())
    }

    /// The path in `jwks_uri`.
    pub fn jwks_path(&self) -> String {
        self.path_of(Endpoint::Keys)
    }

    /// The issuer's metadata.
    pub fn metadata(&self) -> ServerMetadata {
        let is_open = match self.config.registration {
            Registration::Open | Registration::Token => true,
            Registration::Closed => false,
        };
        let shows_certificates = self.config.mutual_tls != MutualTls::Off;
        let [without_certificates @ .., _, _] = &AUTH_METHODS;
        let methods: &'static [&'static str] =
            if shows_certificates { &AUTH_METHODS } else { without_certificates };
        let authenticated = methods.get(1..).unwrap_or_default();
        ServerMetadata {
            issuer: self.config.url.to_string(),
            authorization_endpoint: self.url_of(Endpoint::Authorization),
            token_endpoint: self.url_of(Endpoint::Token),
            jwks_uri: self.url_of(Endpoint::Keys),
            registration_endpoint: is_open.then(|| self.url_of(Endpoint::Registration)),
            introspection_endpoint: self.url_of(Endpoint::Introspection),
            revocation_endpoint: self.url_of(Endpoint::Revocation),
            userinfo_endpoint: self.url_of(Endpoint::UserInfo),
            device_authorization_endpoint: self.url_of(Endpoint::DeviceAuthorization),
            pushed_authorization_request_endpoint: self.url_of(Endpoint::PushedAuthorization),
            require_pushed_authorization_requests: false,
            scopes_supported: mail_scopes()
                .into_iter()
                .chain(["openid", "profile", "email", "offline_access"])
                .collect(),
            response_types_supported: ["code"],
            response_modes_supported: ["query", "form_post"],
            grant_types_supported: [
                GrantType::AuthorizationCode,
                GrantType::RefreshToken,
                GrantType::DeviceCode,
                GrantType::ClientCredentials,
            ],
            token_endpoint_auth_methods_supported: methods,
            token_endpoint_auth_signing_alg_values_supported: ASSERTION_ALGORITHMS,
            revocation_endpoint_auth_methods_supported: methods,
            revocation_endpoint_auth_signing_alg_values_supported: ASSERTION_ALGORITHMS,
            introspection_endpoint_auth_methods_supported: authenticated,
            introspection_endpoint_auth_signing_alg_values_supported: ASSERTION_ALGORITHMS,
            code_challenge_methods_supported: ["S256"],
            authorization_response_iss_parameter_supported: true,
            subject_types_supported: ["public"],
            id_token_signing_alg_values_supported: ["RS256", "ES256", "EdDSA"],
            claims_supported: &[
                "iss",
                "sub",
                "aud",
                "exp",
                "iat",
                "auth_time",
                "nonce",
                "at_hash",
                "azp",
                "sid",
                "email",
                "email_verified",
                "preferred_username",
            ],
            claims_parameter_supported: false,
            request_parameter_supported: false,
            request_uri_parameter_supported: false,
            prompt_values_supported: ["none", "login", "consent"],
            ui_locales_supported: ["en", "de"],
            tls_client_certificate_bound_access_tokens: shows_certificates,
            mtls_endpoint_aliases: self.mutual_tls_aliases(),
            end_session_endpoint: self.url_of(Endpoint::EndSession),
            backchannel_logout_supported: true,
            backchannel_logout_session_supported: true,
            protected_resources: vec![self.audience()],
            service_documentation: format!("{}/", self.audience()),
        }
    }

    fn mutual_tls_aliases(&self) -> Option<MutualTlsAliases> {
        let MutualTls::At(origin) = &self.config.mutual_tls else { return None };
        let at = |endpoint| format!("{origin}{}", self.path_of(endpoint));
        Some(MutualTlsAliases {
            token_endpoint: at(Endpoint::Token),
            revocation_endpoint: at(Endpoint::Revocation),
            introspection_endpoint: at(Endpoint::Introspection),
            userinfo_endpoint: at(Endpoint::UserInfo),
            device_authorization_endpoint: at(Endpoint::DeviceAuthorization),
            pushed_authorization_request_endpoint: at(Endpoint::PushedAuthorization),
        })
    }

    /// The URL of the metadata document that an error challenge points to (RFC 7628 §3.2.2).
    pub fn openid_configuration(&self) -> String {
        format!("{}/.well-known/openid-configuration", self.config.url.trim_end_matches('/'))
    }

    /// The metadata of the mail service.
    pub fn protected_resource(&self) -> ProtectedResource {
        ProtectedResource {
            resource: self.audience(),
            authorization_servers: vec![self.config.url.to_string()],
            scopes_supported: mail_scopes(),
        }
    }

    /// The audience of every token: the mail service as a resource (RFC 8707 §2).
    pub(super) fn audience(&self) -> String {
        self.config.audience()
    }

    /// The audience that a resource indicator names (RFC 8707 §2), if it is one of this server's: the issuer, or a host
    /// of the mail service, bare or in a URI of one of its protocols.
    pub(super) fn audience_of(&self, resource: &str) -> Option<String> {
        const SCHEMES: [&str; 9] =
            ["https", "imap", "imaps", "pop", "pop3s", "smtp", "smtps", "submission", "sieve"];
        let is_text = |octet: u8| octet.is_ascii_graphic() && !b"#?@\\".contains(&octet);
        if !resource.bytes().all(is_text) {
            return None;
        }
        let rest = match resource.split_once("://") {
            Some((scheme, rest)) if SCHEMES.contains(&scheme.to_ascii_lowercase().as_str()) => rest,
            Some(_) => return None,
            None => resource,
        };
        let host = host_of(rest);
        let audience = self.audience();
        let own = audience.split_once("://").map_or(&*audience, |(_, authority)| host_of(authority));
        let is_known = std::iter::once(own)
            .chain(self.config.hostnames.iter().map(|name| &**name))
            .any(|known| known.eq_ignore_ascii_case(host));
        (!host.is_empty() && is_known).then_some(audience)
    }
}

/// The host of `host[:port][/path]`; an IPv6 address keeps its brackets.
fn host_of(text: &str) -> &str {
    let authority = text.split('/').next().unwrap_or_default();
    let behind_address = authority.find(']').unwrap_or(0);
    match authority.rfind(':') {
        Some(colon) if colon > behind_address => authority.get(..colon).unwrap_or(authority),
        Some(_) | None => authority,
    }
}

/// The scope values of the mail protocols that Bearward speaks.
pub(super) fn mail_scopes() -> Vec<&'static str> {
    std::iter::once(Scope::MAIL).chain(Protocol::ALL.map(Protocol::as_str)).collect()
}
