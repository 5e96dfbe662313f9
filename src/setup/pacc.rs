//! PACC (draft-ietf-mailmaint-pacc): a document, and its digest in the DNS.

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Serialize;

use super::{Offer, Security};
use crate::model::Protocol;

// Fields are written in this order, and the digest in the DNS depends on it.
#[derive(Serialize)]
struct Document<'a> {
    protocols: Protocols<'a>,
    authentication: Authentication<'a>,
    info: Info<'a>,
}

#[derive(Serialize)]
struct Protocols<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    imap: Option<Host<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pop3: Option<Host<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    smtp: Option<Host<'a>>,
}

#[derive(Serialize)]
struct Host<'a> {
    host: &'a str,
}

#[derive(Serialize)]
struct Authentication<'a> {
    #[serde(rename = "oauth-public", skip_serializing_if = "Option::is_none")]
    oauth_public: Option<OAuthPublic<'a>>,
    password: bool,
}

#[derive(Serialize)]
struct OAuthPublic<'a> {
    issuer: &'a str,
}

#[derive(Serialize)]
struct Info<'a> {
    provider: Provider<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<Help>,
}

#[derive(Serialize)]
struct Provider<'a> {
    name: &'a str,
    #[serde(rename = "shortName")]
    short_name: &'a str,
}

#[derive(Serialize)]
struct Help {
    documentation: String,
}

/// The document, the same for every domain; `None` where nothing can be said: it knows only implicit TLS on the
/// standard ports.
pub fn pacc(offer: &Offer) -> Option<String> {
    let host = |protocol| {
        offer
            .of(protocol)
            .find(|service| service.security == Security::Tls && service.is_standard())
            .map(|service| Host { host: &service.host })
    };
    let protocols =
        Protocols { imap: host(Protocol::Imap), pop3: host(Protocol::Pop3), smtp: host(Protocol::Smtp) };
    if protocols.imap.is_none() && protocols.pop3.is_none() && protocols.smtp.is_none() {
        return None;
    }
    let document = Document {
        protocols,
        authentication: Authentication {
            oauth_public: offer
                .oauth
                .as_ref()
                .filter(|oauth| oauth.is_public)
                .map(|oauth| OAuthPublic { issuer: &oauth.issuer }),
            password: offer.takes_passwords(),
        },
        info: Info {
            provider: Provider { name: &offer.provider.name, short_name: &offer.provider.short_name },
            help: offer.page("/").map(|documentation| Help { documentation }),
        },
    };
    serde_json::to_string_pretty(&document).ok().map(|text| text + "\n")
}

/// The TXT record at `_ua-auto-config.<domain>` that vouches for a document.
pub fn digest_record(document: &str) -> String {
    format!("v=UAAC1; a=sha256; d={}", STANDARD.encode(digest(&SHA256, document.as_bytes())))
}
