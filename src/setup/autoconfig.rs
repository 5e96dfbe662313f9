//! Autoconfig (draft-ietf-mailmaint-autoconfig), which Thunderbird began and most free clients read.

use super::{Offer, Security, Service, xml::Xml};
use crate::model::Protocol;

/// Which version a document says to be. 1.1 is what clients in the field know; 1.2 adds elements that a reader of 1.1
/// skips, so the two differ in that number alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// 1.1.
    V1_1,
    /// 1.2.
    V1_2,
}

impl Version {
    const fn as_str(self) -> &'static str {
        match self {
            Self::V1_1 => "1.1",
            Self::V1_2 => "1.2",
        }
    }
}

/// The document for addresses of `domain`; `None` where a client could not read and send mail with it. It names no
/// other domain: who else has mail here is nobody's business.
pub fn autoconfig(offer: &Offer, domain: &str, version: Version) -> Option<String> {
    if !offer.is_enough() {
        return None;
    }
    let mut xml = Xml::new();
    xml.element("clientConfig", &[("version", version.as_str())], |xml| {
        xml.element("emailProvider", &[("id", domain)], |xml| {
            xml.leaf("domain", domain);
            xml.leaf("displayName", &offer.provider.name);
            xml.leaf("displayShortName", &offer.provider.short_name);
            for service in offer.of(Protocol::Imap).chain(offer.of(Protocol::Pop3)) {
                server(xml, offer, "incomingServer", service);
            }
            for service in offer.of(Protocol::Smtp) {
                server(xml, offer, "outgoingServer", service);
            }
            if let Some(page) = offer.page("/") {
                xml.element("documentation", &[("url", &page)], |xml| {
                    xml.leaf_with("descr", &[("lang", "en")], "How to set up a mail client");
                    xml.leaf_with("descr", &[("lang", "de")], "Ein Mailprogramm einrichten");
                });
            }
        });
        for service in offer.of(Protocol::Sieve) {
            server(xml, offer, "setupServer", service);
        }
        if let Some(oauth) = &offer.oauth {
            xml.element("oAuth2", &[], |xml| {
                xml.leaf("authURL", &oauth.authorization_endpoint);
                xml.leaf("tokenURL", &oauth.token_endpoint);
                xml.leaf("issuer", &oauth.issuer);
                xml.leaf("scope", &oauth.scope);
                xml.leaf("clientID", &oauth.client_id);
            });
        }
    });
    Some(xml.finish())
}

fn server(xml: &mut Xml, offer: &Offer, element: &str, service: &Service) {
    let kind = match service.protocol {
        Protocol::Imap => "imap",
        Protocol::Pop3 => "pop3",
        Protocol::Sieve => "managesieve",
        Protocol::Smtp => "smtp",
    };
    xml.element(element, &[("type", kind)], |xml| {
        xml.leaf("hostname", &service.host);
        xml.leaf("port", &service.port.to_string());
        xml.leaf(
            "socketType",
            match service.security {
                Security::StartTls => "STARTTLS",
                Security::Tls => "SSL",
            },
        );
        if offer.gives_tokens_for(service) {
            xml.leaf("authentication", "OAuth2");
        }
        if service.takes_passwords() {
            xml.leaf("authentication", "password-cleartext");
        }
        xml.leaf("username", "%EMAILADDRESS%");
    });
}
