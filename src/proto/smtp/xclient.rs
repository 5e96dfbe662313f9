//! The XCLIENT command (Postfix's description, and Dovecot's additions): telling a mail server who the client is.

use std::{fmt::Write as _, net::IpAddr};

use super::ehlo;
use crate::proto::{ClientFacts, Failure};

/// Longest command line, CRLF included; Postfix reads no longer one.
const MAX_LINE: usize = 512;

/// The command for a server that lists these attributes, with its CRLF. `None` when it does not list ADDR:
/// without ADDR the server would go on to trust the connection, and the client behind it.
pub(super) fn command(listed: &str, client: &ClientFacts) -> Option<String> {
    lists(listed, "ADDR").then(|| compose(listed, &attributes(client)))
}

/// The command that also says who is logged in. Everything is in this one: a second would take the login back.
///
/// # Errors
/// [`Failure::Operator`] when the server does not take a login from this proxy, or the name is too long for it.
pub(super) fn login(listed: &str, client: &ClientFacts, user: &str) -> Result<String, Failure> {
    if !(lists(listed, "ADDR") && lists(listed, "LOGIN")) {
        let text =
            "it does not offer XCLIENT with ADDR and LOGIN to this proxy (smtpd_authorized_xclient_hosts)";
        return Err(Failure::Operator(text.to_owned()));
    }
    let mut all = vec![
        ("ADDR", address(client.address.ip())),
        ("LOGIN", user.to_owned()),
        ("PROTO", "ESMTP".to_owned()),
    ];
    let login = format!(" LOGIN={}", xtext(user));
    all.extend(attributes(client).into_iter().filter(|(name, _)| *name != "ADDR"));
    let command = compose(listed, &all);
    // What does not fit is left out, and this must not be.
    if !command.contains(&login) {
        return Err(Failure::Operator("the login name is too long for XCLIENT".to_owned()));
    }
    Ok(command)
}

fn lists(listed: &str, name: &str) -> bool {
    listed.split_ascii_whitespace().any(|own| own.eq_ignore_ascii_case(name))
}

/// Most needed first: what would make the line too long is left out.
fn compose(listed: &str, attributes: &[(&'static str, String)]) -> String {
    let mut command = String::from("XCLIENT");
    for (name, value) in attributes {
        let attribute = format!(" {name}={}", xtext(value));
        if lists(listed, name) && command.len() + attribute.len() + 2 <= MAX_LINE {
            command.push_str(&attribute);
        }
    }
    command.push_str("\r\n");
    command
}

fn attributes(client: &ClientFacts) -> Vec<(&'static str, String)> {
    let transport = if client.encrypted { "TLS" } else { "insecure" };
    // Nobody asked the DNS, and the proxy's own name must not stay in its place.
    let unavailable = || "[UNAVAILABLE]".to_owned();
    let mut attributes = vec![
        ("ADDR", address(client.address.ip())),
        ("PORT", client.address.port().to_string()),
        ("NAME", unavailable()),
        ("REVERSE_NAME", unavailable()),
        ("DESTADDR", address(client.local.ip())),
        ("DESTPORT", client.local.port().to_string()),
        ("SESSION", client.session.to_string()),
        ("TTL", client.ttl.to_string()),
        ("CLIENT-TRANSPORT", transport.to_owned()),
    ];
    if let Some(name) = client.name.as_deref().filter(|name| ehlo::client_name(name.as_bytes()).is_some()) {
        attributes.push(("HELO", name.to_owned()));
    }
    attributes
}

/// An address as XCLIENT writes it; one of IPv4 in IPv6 clothes is IPv4.
fn address(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("IPV6:{v6}"),
    }
}

/// xtext (RFC 3461 §4).
fn xtext(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for octet in value.bytes() {
        if octet.is_ascii_graphic() && !matches!(octet, b'+' | b'=') {
            text.push(char::from(octet));
        } else {
            // Writing to a String does not fail.
            let _ = write!(text, "+{octet:02X}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::SessionId;

    fn facts(address: &str, name: Option<&str>) -> ClientFacts {
        ClientFacts {
            address: address.parse().unwrap(),
            local: "[2001:db8::25]:465".parse().unwrap(),
            name: name.map(str::to_owned),
            session: SessionId::new(0xAB),
            encrypted: true,
            tls: None,
            utf8: false,
            ttl: 4,
        }
    }

    #[test]
    fn only_listed_attributes_are_sent_and_never_without_the_address() {
        let client = facts("192.0.2.7:4711", Some("laptop"));
        assert_eq!(command("ADDR port", &client).unwrap(), "XCLIENT ADDR=192.0.2.7 PORT=4711\r\n");
        assert_eq!(command("NAME PORT HELO LOGIN", &client), None);
        assert_eq!(command("", &client), None);
        assert_eq!(
            command("NAME ADDR PROTO HELO REVERSE_NAME PORT LOGIN DESTADDR DESTPORT", &client).unwrap(),
            "XCLIENT ADDR=192.0.2.7 PORT=4711 NAME=[UNAVAILABLE] REVERSE_NAME=[UNAVAILABLE] \
             DESTADDR=IPV6:2001:db8::25 DESTPORT=465 HELO=laptop\r\n"
        );
        assert_eq!(
            command("ADDR SESSION TTL CLIENT-TRANSPORT", &facts("[2001:db8::1]:1", None)).unwrap(),
            "XCLIENT ADDR=IPV6:2001:db8::1 SESSION=00000000000000ab TTL=4 CLIENT-TRANSPORT=TLS\r\n"
        );
    }

    #[test]
    fn a_mapped_address_is_the_address_itself() {
        let sent = command("ADDR", &facts("[::ffff:192.0.2.7]:1", None)).unwrap();
        assert_eq!(sent, "XCLIENT ADDR=192.0.2.7\r\n");
    }

    #[test]
    fn a_name_can_neither_add_an_attribute_nor_make_the_line_too_long() {
        let all = "NAME ADDR HELO REVERSE_NAME PORT DESTADDR DESTPORT SESSION TTL CLIENT-TRANSPORT";
        let long = command(all, &facts("[2001:db8:1:2:3:4:5:6]:65535", Some(&"x".repeat(255)))).unwrap();
        assert!(long.len() <= 512 && long.contains("ADDR="), "{}", long.len());
        for name in ["a LOGIN=root", "a\r\nMAIL FROM:<>", "a+b", "x=y"] {
            let sent = command("ADDR HELO LOGIN", &facts("192.0.2.7:1", Some(name))).unwrap();
            assert_eq!(sent, "XCLIENT ADDR=192.0.2.7\r\n", "{name}");
        }
    }

    #[test]
    fn what_xtext_must_not_hold_is_written_in_hexadecimal() {
        assert_eq!(xtext("a+b=c d\u{e4}"), "a+2Bb+3Dc+20d+C3+A4");
    }
}
