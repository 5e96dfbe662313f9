//! Documents by which mail clients set themselves up, made from one description of what is offered.
//!
//! Invariants:
//! - every document comes from the same [`Offer`], which comes from the listeners, so none promises what is not there;
//! - the same offer and address give the same octets, always: PACC's digest stands in the DNS;
//! - an address that a client sends is read by [`Address`] before anything else; no other word of a stranger comes into
//!   a document, and none unescaped;
//! - a password is in a document only where the caller puts one in.
//!
//! No I/O, no clock, no random numbers.

mod address;
mod apple;
mod autoconfig;
mod autodiscover;
mod dns;
mod pacc;
mod thunderbird;
mod xml;
mod zip;

use std::sync::Arc;

pub use address::Address;
pub use apple::mobile_profile;
pub use autoconfig::{Version, autoconfig};
pub use autodiscover::{
    ERROR_INVALID_REQUEST, ERROR_UNKNOWN_PROVIDER, autodiscover, autodiscover_error, requested_address,
};
pub use dns::{Record, records, zone};
pub use pacc::{digest_record, pacc};
pub use thunderbird::{add_on, preferences};

use crate::model::{Mechanism, Protocol};

/// What is offered to mail clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The name of this server, at which its pages are.
    pub hostname: Arc<str>,
    /// Where these documents are served, if anywhere.
    pub site: Option<Site>,
    /// What people call whoever runs this.
    pub provider: Provider,
    /// Domains of the addresses that have mailboxes here, in lower case; the first stands for all where a client
    /// names none.
    pub domains: Vec<Arc<str>>,
    /// What clients can connect to, the best of each protocol first.
    pub services: Vec<Service>,
    /// Where clients get tokens, if they can.
    pub oauth: Option<OAuth>,
}

/// An https origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// Its host.
    pub host: Arc<str>,
    /// Its port.
    pub port: u16,
}

/// Names of whoever runs this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// At most 60 characters.
    pub name: Arc<str>,
    /// At most 20 characters.
    pub short_name: Arc<str>,
}

/// Where a mail client can connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// What is spoken there.
    pub protocol: Protocol,
    /// The host.
    pub host: Arc<str>,
    /// The port.
    pub port: u16,
    /// How TLS starts.
    pub security: Security,
    /// How a client may sign in, in order of preference.
    pub mechanisms: Vec<Mechanism>,
}

/// How TLS starts. What has none is published nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Security {
    /// From the first octet (RFC 8314 §3).
    Tls,
    /// By STARTTLS or STLS.
    StartTls,
}

/// Where clients get tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OAuth {
    /// The issuer identifier, octet by octet.
    pub issuer: Arc<str>,
    /// Where people sign in.
    pub authorization_endpoint: Arc<str>,
    /// Where grants turn into tokens.
    pub token_endpoint: Arc<str>,
    /// Where devices without a browser begin, if they can.
    pub device_authorization_endpoint: Option<Arc<str>>,
    /// What one sign-in asks for: enough for every service.
    pub scope: Arc<str>,
    /// The public client that everybody may use.
    pub client_id: Arc<str>,
    /// Whether the issuer follows the mail profile (draft-ietf-mailmaint-oauth-public): the built-in one does, of
    /// another nobody knows.
    pub is_public: bool,
}

impl Offer {
    /// The services of a protocol that a client can sign in to by what is known here, the best first.
    pub fn of(&self, protocol: Protocol) -> impl Iterator<Item = &Service> {
        self.services
            .iter()
            .filter(move |service| service.protocol == protocol)
            .filter(|service| service.takes_passwords() || self.gives_tokens_for(service))
    }

    /// Whether a client gets a token for a service.
    pub fn gives_tokens_for(&self, service: &Service) -> bool {
        self.oauth.is_some() && service.takes_tokens()
    }

    /// Whether a client can read and send mail with what it is told here.
    fn is_enough(&self) -> bool {
        let has = |protocol| self.of(protocol).next().is_some();
        (has(Protocol::Imap) || has(Protocol::Pop3)) && has(Protocol::Smtp)
    }

    /// Whether a client that knows only passwords can read and send mail here, with IMAP or POP3.
    pub fn takes_passwords(&self) -> bool {
        let takes = |protocol| self.of(protocol).any(Service::takes_passwords);
        (takes(Protocol::Imap) || takes(Protocol::Pop3)) && takes(Protocol::Smtp)
    }

    /// The domain that a document is about: that of the address, which must be one of ours; without an address that of
    /// the host that was asked, and for another host the first.
    pub fn domain(&self, address: Option<&Address>, host: &str) -> Option<&Arc<str>> {
        if let Some(address) = address {
            return self.served(address.domain());
        }
        let host = host.rsplit_once(':').map_or(host, |(host, _)| host).to_ascii_lowercase();
        let bare = PREFIXES.iter().find_map(|prefix| host.strip_prefix(prefix)).unwrap_or(&host);
        self.served(bare).or_else(|| self.domains.first())
    }

    /// The domain as it is configured, if it is one of ours.
    pub fn served(&self, domain: &str) -> Option<&Arc<str>> {
        self.domains.iter().find(|ours| ours.eq_ignore_ascii_case(domain))
    }

    /// The address of a page, if there is a site.
    pub fn page(&self, path: &str) -> Option<String> {
        self.site.as_ref().map(|site| site.page(path))
    }
}

/// Names below a domain at which clients look for these documents.
const PREFIXES: [&str; 3] = ["autoconfig.", "ua-auto-config.", "autodiscover."];

impl Site {
    /// The address of a page.
    pub fn page(&self, path: &str) -> String {
        match self.port {
            443 => format!("https://{}{path}", self.host),
            port => format!("https://{}:{port}{path}", self.host),
        }
    }
}

impl Service {
    /// Whether a client can sign in with a token.
    pub fn takes_tokens(&self) -> bool {
        self.mechanisms.iter().any(|mechanism| mechanism.is_bearer())
    }

    /// Whether a client can sign in with a password.
    pub fn takes_passwords(&self) -> bool {
        self.mechanisms.iter().any(|mechanism| !mechanism.is_bearer())
    }

    /// Whether this is the port that clients try by themselves (RFC 8314 §3, RFC 9051 §2.1, RFC 6409 §3.1, RFC 1939
    /// §3, RFC 5804 §1.8).
    pub const fn is_standard(&self) -> bool {
        matches!(
            (self.protocol, self.security, self.port),
            (Protocol::Imap, Security::Tls, 993)
                | (Protocol::Imap, Security::StartTls, 143)
                | (Protocol::Pop3, Security::Tls, 995)
                | (Protocol::Pop3, Security::StartTls, 110)
                | (Protocol::Smtp, Security::Tls, 465)
                | (Protocol::Smtp, Security::StartTls, 587)
                | (Protocol::Sieve, Security::StartTls, 4190)
        )
    }
}

#[cfg(test)]
#[allow(clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests;
