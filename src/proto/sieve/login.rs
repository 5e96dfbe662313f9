//! What is sent to a mail server to log in.

use super::grammar;
use crate::{
    model::Secret,
    proto::{
        Failure, LoginAs, UpstreamPlan,
        sasl::{self, ClientExchange},
    },
};

/// Begins the login with the best mechanism that the server offers: AUTHENTICATE, and what goes on. `None` for
/// [`LoginAs::Nobody`].
///
/// # Errors
/// [`Failure::Operator`] when the server offers no way, or the identity cannot be sent.
pub(super) fn begin(
    plan: &UpstreamPlan,
    mechanisms: &[String],
) -> Result<Option<(Secret, Box<ClientExchange>)>, Failure> {
    if matches!(plan.login, LoginAs::Nobody) {
        return Ok(None);
    }
    let encrypted = plan.starttls || plan.sasl.encrypted;
    let offers = |name: &str| mechanisms.iter().any(|own| own.eq_ignore_ascii_case(name));
    let Some(mut exchange) = ClientExchange::choose(&plan.login, &plan.sasl, encrypted, offers)? else {
        return Err(sasl::no_mechanism(&plan.login, &plan.sasl));
    };
    let command = format!("AUTHENTICATE \"{}\"", exchange.name());
    let first = match exchange.initial() {
        // The sign for an empty response belongs to protocols whose responses are no strings (RFC 5804 §2.1).
        Some(response) if response.expose() == b"=" => line(&format!("{command} "), &Secret::default()),
        Some(response) => line(&format!("{command} "), &response),
        None => Secret::from(format!("{command}\r\n")),
    };
    Ok(Some((first, Box::new(exchange))))
}

/// A response to a challenge.
pub(super) fn response(response: &Secret) -> Secret {
    line("", response)
}

/// A command line that ends with a response in base64.
fn line(command: &str, response: &Secret) -> Secret {
    const AROUND: usize = 32;
    let room = command.len().saturating_add(response.len()).saturating_add(AROUND);
    let mut line = Vec::with_capacity(room);
    line.extend_from_slice(command.as_bytes());
    grammar::write_string(response.expose(), &mut line);
    line.extend_from_slice(b"\r\n");
    Secret::from(line)
}
