//! Autodiscover in the form that Outlook asks for where there is no Exchange ([MS-OXDSCLI], schema 2006a). It has no
//! field for tokens, so it is only for those who sign in with a password.

use super::{Address, Offer, Security, Service, xml::Xml};
use crate::model::Protocol;

const ENVELOPE: &str = "http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006";
const OUTLOOK: &str = "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a";

/// The request makes no sense.
pub const ERROR_INVALID_REQUEST: u16 = 600;
/// There is nothing for this address.
pub const ERROR_UNKNOWN_PROVIDER: u16 = 601;

/// The address that a request asks about: the text of its one element `EMailAddress`.
///
/// This is no XML parser, and needs none: the element stands there in plain text, whatever is around it. Nothing is
/// expanded; a document that declares anything is refused.
pub fn requested_address(body: &[u8]) -> Option<Address> {
    const OPEN: &str = "<EMailAddress>";
    const CLOSE: &str = "</EMailAddress>";
    let text = std::str::from_utf8(body).ok()?;
    if text.contains("<!") {
        return None;
    }
    let (_, rest) = text.split_once(OPEN)?;
    let (written, rest) = rest.split_once(CLOSE)?;
    if rest.contains(OPEN) || written.len() > 6 * Address::LONGEST {
        return None;
    }
    Address::parse(&unescape(written.trim())?)
}

/// The five entities that XML has of itself; `None` for any other, and for markup.
fn unescape(text: &str) -> Option<String> {
    if text.contains(['<', '>']) {
        return None;
    }
    let mut parts = text.split('&');
    let mut plain = parts.next()?.to_owned();
    for part in parts {
        let (name, rest) = part.split_once(';')?;
        plain.push(match name {
            "amp" => '&',
            "apos" => '\'',
            "gt" => '>',
            "lt" => '<',
            "quot" => '"',
            _ => return None,
        });
        plain.push_str(rest);
    }
    Some(plain)
}

/// What Outlook gets for an address of ours; `None` where nobody can sign in with a password.
pub fn autodiscover(offer: &Offer, address: &Address) -> Option<String> {
    offer.served(address.domain()).filter(|_| offer.takes_passwords())?;
    let mut xml = Xml::new();
    xml.element("Autodiscover", &[("xmlns", ENVELOPE)], |xml| {
        xml.element("Response", &[("xmlns", OUTLOOK)], |xml| {
            xml.element("User", &[], |xml| xml.leaf("DisplayName", address.as_str()));
            xml.element("Account", &[], |xml| {
                xml.leaf("AccountType", "email");
                xml.leaf("Action", "settings");
                for protocol in [Protocol::Imap, Protocol::Pop3, Protocol::Smtp] {
                    if let Some(service) = offer.of(protocol).find(|service| service.takes_passwords()) {
                        server(xml, service, address);
                    }
                }
            });
        });
    });
    Some(xml.finish())
}

fn server(xml: &mut Xml, service: &Service, address: &Address) {
    let kind = match service.protocol {
        Protocol::Imap => "IMAP",
        Protocol::Pop3 => "POP3",
        Protocol::Sieve => return,
        Protocol::Smtp => "SMTP",
    };
    xml.element("Protocol", &[], |xml| {
        xml.leaf("Type", kind);
        xml.leaf("Server", &service.host);
        xml.leaf("Port", &service.port.to_string());
        xml.leaf("LoginName", address.as_str());
        xml.leaf("DomainRequired", "off");
        xml.leaf("SPA", "off");
        xml.leaf("SSL", "on");
        xml.leaf(
            "Encryption",
            match service.security {
                Security::StartTls => "TLS",
                Security::Tls => "SSL",
            },
        );
        xml.leaf("AuthRequired", "on");
        if service.protocol == Protocol::Smtp {
            xml.leaf("UsePOPAuth", "off");
            xml.leaf("SMTPLast", "off");
        }
    });
}

/// A refusal: [`ERROR_INVALID_REQUEST`] or [`ERROR_UNKNOWN_PROVIDER`], and one sentence.
pub fn autodiscover_error(code: u16, message: &str) -> String {
    let mut xml = Xml::new();
    xml.element("Autodiscover", &[("xmlns", ENVELOPE)], |xml| {
        xml.element("Response", &[], |xml| {
            xml.element("Error", &[], |xml| {
                xml.leaf("ErrorCode", &code.to_string());
                xml.leaf("Message", message);
                xml.empty("DebugData");
            });
        });
    });
    xml.finish()
}
