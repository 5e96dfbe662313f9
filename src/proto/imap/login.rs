//! What is sent to a mail server to log in.

use std::collections::VecDeque;

use super::{capability::Capabilities, literal};
use crate::{
    model::Secret,
    proto::{ClientFacts, Failure, LoginAs, sasl},
};

/// What is sent one after the other: the first at once, each other when the server asks with `+`.
pub(super) type Pieces = VecDeque<Secret>;

/// A name to log in with, checked to hold nothing that a server could read as something else.
struct Identity<'a> {
    authzid: &'a str,
    authcid: &'a str,
    password: &'a Secret,
}

/// Composes the login under tag `L` from what the server offers: AUTHENTICATE PLAIN, else AUTHENTICATE LOGIN, else
/// LOGIN. `None` for [`LoginAs::Nobody`].
///
/// # Errors
/// [`Failure::Operator`] when the server offers no way, or the identity cannot be sent.
pub(super) fn compose(login: &LoginAs, server: &Capabilities) -> Result<Option<Pieces>, Failure> {
    let Some(identity) = Identity::of(login)? else { return Ok(None) };
    let pieces = if server.has("AUTH=PLAIN") {
        plain(&identity, server)
    } else if !identity.authzid.is_empty() {
        return Err(operator(
            "it does not offer AUTH=PLAIN, which alone can carry an authorization identity",
        ));
    } else if server.has("AUTH=LOGIN") {
        authenticate_login(&identity)
    } else if server.has("LOGINDISABLED") {
        return Err(operator("it offers neither AUTH=PLAIN nor AUTH=LOGIN, and LOGIN is disabled"));
    } else {
        login_command(&identity, server)
    };
    Ok(Some(pieces))
}

/// ID with the client's address, under tag `I`, for a server that trusts this proxy's (the keys are Dovecot's).
pub(super) fn id(client: &ClientFacts) -> Secret {
    let transport = if client.encrypted { "TLS" } else { "insecure" };
    // Nothing here comes from the client but addresses, so that nothing needs quoting.
    let command = format!(
        "I ID (\"x-session-id\" \"{}\" \"x-originating-ip\" \"{}\" \"x-originating-port\" \"{}\" \
         \"x-connected-ip\" \"{}\" \"x-connected-port\" \"{}\" \"x-proxy-ttl\" \"{}\" \
         \"x-client-transport\" \"{transport}\")\r\n",
        client.session,
        client.address.ip().to_canonical(),
        client.address.port(),
        client.local.ip().to_canonical(),
        client.local.port(),
        client.ttl,
    );
    Secret::from(command)
}

/// One secret of several parts, in one buffer that never grows.
pub(super) fn joined(parts: &[&[u8]]) -> Secret {
    let mut whole = Vec::with_capacity(parts.iter().map(|part| part.len()).sum());
    for part in parts {
        whole.extend_from_slice(part);
    }
    Secret::from(whole)
}

impl<'a> Identity<'a> {
    fn of(login: &'a LoginAs) -> Result<Option<Self>, Failure> {
        let identity = match login {
            LoginAs::Nobody => return Ok(None),
            LoginAs::Password { authcid, authzid, password } => {
                Self { authzid: authzid.as_deref().unwrap_or_default(), authcid, password }
            }
            LoginAs::Trusted { user, placeholder } => {
                Self { authzid: "", authcid: user, password: placeholder }
            }
        };
        let breaks = |part: &[u8]| part.iter().any(|octet| matches!(octet, 0 | b'\r' | b'\n'));
        if breaks(identity.authzid.as_bytes())
            || breaks(identity.authcid.as_bytes())
            || breaks(identity.password.expose())
        {
            return Err(operator("no login name or password with a NUL or a line break can be sent to it"));
        }
        Ok(Some(identity))
    }
}

fn operator(reason: &str) -> Failure {
    Failure::Operator(reason.to_owned())
}

/// RFC 4616, in the command itself where the server takes that (RFC 4959; part of RFC 9051).
fn plain(identity: &Identity<'_>, server: &Capabilities) -> Pieces {
    let response = sasl::plain_response(identity.authzid, identity.authcid, identity.password);
    if server.has("SASL-IR") || server.has("IMAP4rev2") {
        return Pieces::from([joined(&[b"L AUTHENTICATE PLAIN ", response.expose(), b"\r\n"])]);
    }
    Pieces::from([joined(&[b"L AUTHENTICATE PLAIN\r\n"]), joined(&[response.expose(), b"\r\n"])])
}

/// The prompts are not read: every server asks for the name first.
fn authenticate_login(identity: &Identity<'_>) -> Pieces {
    let line = |part: &[u8]| joined(&[sasl::login_response(part).expose(), b"\r\n"]);
    Pieces::from([
        joined(&[b"L AUTHENTICATE LOGIN\r\n"]),
        line(identity.authcid.as_bytes()),
        line(identity.password.expose()),
    ])
}

fn login_command(identity: &Identity<'_>, server: &Capabilities) -> Pieces {
    let mut pieces = Pieces::new();
    let mut begun = joined(&[b"L LOGIN"]);
    for part in [identity.authcid.as_bytes(), identity.password.expose()] {
        if is_quotable(part) {
            begun = joined(&[begun.expose(), b" ", quoted(part).expose()]);
            continue;
        }
        let does_not_wait = server.has("LITERAL+")
            || (part.len() <= literal::MAX && (server.has("LITERAL-") || server.has("IMAP4rev2")));
        let length = part.len();
        if does_not_wait {
            let announcement = format!(" {{{length}+}}\r\n");
            begun = joined(&[begun.expose(), announcement.as_bytes(), part]);
        } else {
            let announcement = format!(" {{{length}}}\r\n");
            pieces.push_back(joined(&[begun.expose(), announcement.as_bytes()]));
            begun = joined(&[part]);
        }
    }
    pieces.push_back(joined(&[begun.expose(), b"\r\n"]));
    pieces
}

/// Whether every server reads it the same in quotes. UTF-8 there came with RFC 9051 only.
fn is_quotable(part: &[u8]) -> bool {
    part.iter().all(|octet| matches!(octet, 0x20..=0x7E))
}

fn quoted(part: &[u8]) -> Secret {
    let mut text = Vec::with_capacity(part.len().saturating_mul(2).saturating_add(2));
    text.push(b'"');
    for &octet in part {
        if matches!(octet, b'"' | b'\\') {
            text.push(b'\\');
        }
        text.push(octet);
    }
    text.push(b'"');
    Secret::from(text)
}
