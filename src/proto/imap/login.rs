//! What is sent to a mail server to log in.

use std::collections::VecDeque;

use super::{capability::Capabilities, literal};
use crate::{
    model::Secret,
    proto::{
        ClientFacts, Failure, LoginAs, UpstreamPlan,
        sasl::{self, ClientExchange, ClientMechanism},
    },
};

/// What is sent one after the other: the first at once, each other when the server asks with `+`.
pub(super) type Pieces = VecDeque<Secret>;

/// How a login begins.
#[derive(Debug)]
pub(super) enum Begin {
    /// With LOGIN, in these pieces.
    Command(Pieces),
    /// Not at all: [`LoginAs::Nobody`].
    Nothing,
    /// With AUTHENTICATE: its line, and what goes on.
    Sasl(Secret, Box<ClientExchange>),
}

/// Longest AUTHENTICATE command with a response in it; servers read about that much (RFC 7162 §4, Dovecot).
const MAX_COMMAND: usize = 8192;

/// Begins the login under tag `L` by what the server offers: AUTHENTICATE with the best mechanism, else LOGIN.
///
/// # Errors
/// [`Failure::Operator`] when the server offers no way, or the identity cannot be sent.
pub(super) fn begin(plan: &UpstreamPlan, server: &Capabilities) -> Result<Begin, Failure> {
    let encrypted = plan.starttls || plan.sasl.encrypted;
    let offers = |mechanism: &str| server.has(&format!("AUTH={mechanism}"));
    let exchange = ClientExchange::choose(&plan.login, &plan.sasl, encrypted, offers)?;
    if let Some(exchange) = exchange {
        return Ok(authenticate(exchange, server));
    }
    let (name, password) = match &plan.login {
        LoginAs::Nobody => return Ok(Begin::Nothing),
        LoginAs::Password { authcid, authzid: None, password } => (authcid, password),
        LoginAs::Trusted { user, placeholder } => (user, placeholder),
        LoginAs::Bearer { .. } | LoginAs::External { .. } | LoginAs::Password { authzid: Some(_), .. } => {
            return Err(sasl::no_mechanism(&plan.login, &plan.sasl));
        }
        LoginAs::Xclient { .. } => return Err(operator("XCLIENT with a login name is for SMTP alone")),
    };
    if server.has("LOGINDISABLED") || !plan.sasl.allows(ClientMechanism::Login) {
        return Err(sasl::no_mechanism(&plan.login, &plan.sasl));
    }
    if password.expose().iter().any(|octet| matches!(octet, b'\r' | b'\n')) {
        return Err(operator("no password with a line break can be sent to it"));
    }
    Ok(Begin::Command(login_command(name.as_bytes(), password.expose(), server)))
}

/// AUTHENTICATE, with the response in the command where the server takes that (RFC 4959; part of RFC 9051).
fn authenticate(mut exchange: ClientExchange, server: &Capabilities) -> Begin {
    let name = exchange.name();
    let fits = exchange.initial_len().saturating_add(64) <= MAX_COMMAND;
    let initial =
        if fits && (server.has("SASL-IR") || server.has("IMAP4rev2")) { exchange.initial() } else { None };
    let line = match &initial {
        Some(response) => joined(&[b"L AUTHENTICATE ", name.as_bytes(), b" ", response.expose(), b"\r\n"]),
        None => joined(&[b"L AUTHENTICATE ", name.as_bytes(), b"\r\n"]),
    };
    Begin::Sasl(line, Box::new(exchange))
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

fn operator(reason: &str) -> Failure {
    Failure::Operator(reason.to_owned())
}

fn login_command(name: &[u8], password: &[u8], server: &Capabilities) -> Pieces {
    let mut pieces = Pieces::new();
    let mut begun = joined(&[b"L LOGIN"]);
    for part in [name, password] {
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
