//! Configuration profiles for Apple Mail (payload `com.apple.mail.managed`). They know no OAuth for IMAP.

use aws_lc_rs::digest::{SHA256, digest};
use uuid::Uuid;

use super::{Address, Offer, Service, xml::Xml};
use crate::model::{Protocol, Secret};

const DOCTYPE: &str = "<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \
                       \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">";

/// The profile for an address of ours; `None` where nobody can sign in with a password, or where the password is no
/// text.
///
/// Without a password the device asks for it. With one, the document is as secret as that. The same address always
/// gets the same identifiers, so that a new profile takes the old one's place.
pub fn mobile_profile(offer: &Offer, address: &Address, password: Option<&Secret>) -> Option<Secret> {
    let domain = offer.served(address.domain())?;
    let incoming =
        takes_passwords(offer, Protocol::Imap).or_else(|| takes_passwords(offer, Protocol::Pop3))?;
    let outgoing = takes_passwords(offer, Protocol::Smtp)?;
    let password = password.map(|password| password.expose_str().ok_or(())).transpose().ok()?;
    let identifier = format!("{}.bearward", offer.hostname.rsplit('.').collect::<Vec<_>>().join("."));
    let name = format!("{} ({domain})", offer.provider.name);
    let mut xml = Xml::secret();
    xml.raw(DOCTYPE);
    xml.element("plist", &[("version", "1.0")], |xml| {
        xml.element("dict", &[], |xml| {
            text(xml, "PayloadType", "Configuration");
            number(xml, "PayloadVersion", 1);
            text(xml, "PayloadIdentifier", &identifier);
            text(xml, "PayloadUUID", &identity(offer, address, "profile"));
            text(xml, "PayloadDisplayName", &name);
            text(xml, "PayloadOrganization", &offer.provider.name);
            xml.leaf("key", "PayloadContent");
            xml.element("array", &[], |xml| {
                xml.element("dict", &[], |xml| {
                    text(xml, "PayloadType", "com.apple.mail.managed");
                    number(xml, "PayloadVersion", 1);
                    text(xml, "PayloadIdentifier", &format!("{identifier}.account"));
                    text(xml, "PayloadUUID", &identity(offer, address, "account"));
                    text(xml, "PayloadDisplayName", &name);
                    text(xml, "EmailAccountDescription", &offer.provider.name);
                    text(
                        xml,
                        "EmailAccountType",
                        if incoming.protocol == Protocol::Pop3 { "EmailTypePOP" } else { "EmailTypeIMAP" },
                    );
                    text(xml, "EmailAddress", address.as_str());
                    server(xml, "IncomingMailServer", incoming, address);
                    if let Some(password) = password {
                        xml.leaf("key", "IncomingPassword");
                        xml.secret_leaf("string", password);
                    }
                    server(xml, "OutgoingMailServer", outgoing, address);
                    flag(xml, "OutgoingPasswordSameAsIncomingPassword");
                });
            });
        });
    });
    Some(xml.finish_secret())
}

fn takes_passwords(offer: &Offer, protocol: Protocol) -> Option<&Service> {
    offer.of(protocol).find(|service| service.takes_passwords())
}

fn server(xml: &mut Xml, prefix: &str, service: &Service, address: &Address) {
    text(xml, &format!("{prefix}HostName"), &service.host);
    number(xml, &format!("{prefix}PortNumber"), service.port);
    flag(xml, &format!("{prefix}UseSSL"));
    text(xml, &format!("{prefix}Username"), address.as_str());
    text(xml, &format!("{prefix}Authentication"), "EmailAuthPassword");
}

fn text(xml: &mut Xml, key: &str, value: &str) {
    xml.leaf("key", key);
    xml.leaf("string", value);
}

fn number(xml: &mut Xml, key: &str, value: u16) {
    xml.leaf("key", key);
    xml.leaf("integer", &value.to_string());
}

fn flag(xml: &mut Xml, key: &str) {
    xml.leaf("key", key);
    xml.empty("true");
}

/// A UUID made from what it is for (RFC 9562 §5.8).
fn identity(offer: &Offer, address: &Address, what: &str) -> String {
    let named = format!("bearward {what} {} {}", offer.hostname, address.as_str());
    let hash = digest(&SHA256, named.as_bytes());
    let mut octets = [0; 16];
    octets.iter_mut().zip(hash.as_ref()).for_each(|(to, from)| *to = *from);
    uuid::Builder::from_custom_bytes(octets)
        .into_uuid()
        .hyphenated()
        .encode_upper(&mut Uuid::encode_buffer())
        .to_owned()
}
