//! The keys that every issuer elsewhere has, be it one whose tokens are taken or the provider at which people sign in.

/// Texts for a default.
pub(super) fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// Defines a section: its own keys, and those that all have. Of some of these each says itself what they are for.
///
/// A structure within, which serde would have to flatten, would cost the file, line and key of an error, and the
/// kinds of values from the environment. The types are those that the module of the section has in scope.
macro_rules! issuer_section {
    (
        $(#[$about:meta])*
        struct $name:ident {
            $($(#[$own_about:meta])* $own:ident: $kind:ty = $default:expr,)*
        }
        $(#[$client_auth:meta])* client_auth;
        $(#[$client_key_id:meta])* client_key_id;
        $(#[$login_claim:meta])* login_claim;
        $(#[$trust_email:meta])* trust_email;
        $(#[$domains:meta])* domains;
        $(#[$algorithms:meta])* algorithms;
        $(shared as fn $shared:ident;)?
    ) => {
        $(#[$about])*
        #[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, default)]
        pub(in crate::config) struct $name {
            $($(#[$own_about])* pub(in crate::config) $own: $kind,)*
            /// Our client secret there.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub(in crate::config) client_secret: Option<Hidden>,
            /// A file that holds the client secret.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub(in crate::config) client_secret_file: Option<PathBuf>,
            $(#[$client_auth])*
            #[serde(skip_serializing_if = "Option::is_none")]
            pub(in crate::config) client_auth: Option<ClientAuthName>,
            /// PEM file of the key for `private_key_jwt` (with `client_certificate`: for `tls`).
            #[serde(skip_serializing_if = "Option::is_none")]
            pub(in crate::config) client_key: Option<PathBuf>,
            $(#[$client_key_id])*
            #[serde(skip_serializing_if = "Option::is_none")]
            pub(in crate::config) client_key_id: Option<String>,
            /// The algorithm of that key.
            pub(in crate::config) client_key_algorithm: String,
            /// PEM file of our certificate there.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub(in crate::config) client_certificate: Option<PathBuf>,
            $(#[$login_claim])*
            #[serde(skip_serializing_if = "Option::is_none")]
            pub(in crate::config) login_claim: Option<String>,
            /// The login name from claims and fixed text, instead of `login_claim`.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub(in crate::config) login_template: Option<String>,
            $(#[$trust_email])*
            pub(in crate::config) trust_email: bool,
            $(#[$domains])*
            pub(in crate::config) domains: Vec<String>,
            $(#[$algorithms])*
            pub(in crate::config) algorithms: Vec<String>,
            /// PEM file of the authorities that are trusted instead of the system's.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub(in crate::config) ca: Option<PathBuf>,
            /// Time for a request to it.
            pub(in crate::config) timeout: Span,
            /// How far its clock and ours may differ.
            pub(in crate::config) leeway: Span,
        }

        impl Default for $name {
            fn default() -> Self {
                Self {
                    $($own: $default,)*
                    client_secret: None,
                    client_secret_file: None,
                    client_auth: None,
                    client_key: None,
                    client_key_id: None,
                    client_key_algorithm: "ES256".to_owned(),
                    client_certificate: None,
                    login_claim: None,
                    login_template: None,
                    trust_email: false,
                    domains: Vec::new(),
                    algorithms: owned(&["RS256", "ES256", "EdDSA"]),
                    ca: None,
                    timeout: Span::seconds(5),
                    leeway: Span::seconds(60),
                }
            }
        }

        $(impl $name {
            /// An issuer of which the keys that all have are known.
            fn $shared(&self) -> TrustedIssuer {
                TrustedIssuer {
                    client_secret: self.client_secret.clone(),
                    client_secret_file: self.client_secret_file.clone(),
                    client_auth: self.client_auth,
                    client_key: self.client_key.clone(),
                    client_key_id: self.client_key_id.clone(),
                    client_key_algorithm: self.client_key_algorithm.clone(),
                    client_certificate: self.client_certificate.clone(),
                    login_claim: self.login_claim.clone(),
                    login_template: self.login_template.clone(),
                    trust_email: self.trust_email,
                    domains: self.domains.clone(),
                    algorithms: self.algorithms.clone(),
                    ca: self.ca.clone(),
                    timeout: self.timeout,
                    leeway: self.leeway,
                    ..TrustedIssuer::default()
                }
            }
        })?
    };
}

pub(super) use issuer_section;
