//! What is sent to a mail server to log in.

use std::collections::VecDeque;

use super::grammar;
use crate::{
    model::Secret,
    proto::{Failure, LoginAs, sasl},
};

/// What is sent one after the other: the first at once, each other when the server asks with a challenge.
pub(super) type Pieces = VecDeque<Secret>;

/// Composes the login from the mechanisms that the server offers: PLAIN, else LOGIN. `None` for
/// [`LoginAs::Nobody`].
///
/// # Errors
/// [`Failure::Operator`] when the server offers no way, or the identity cannot be sent.
pub(super) fn compose(login: &LoginAs, mechanisms: &[String]) -> Result<Option<Pieces>, Failure> {
    let (authzid, name, password) = match login {
        LoginAs::Nobody => return Ok(None),
        LoginAs::Password { authcid, authzid, password } => {
            (authzid.as_deref().unwrap_or_default(), authcid, password)
        }
        LoginAs::Trusted { user, placeholder } => ("", user, placeholder),
    };
    if name.is_empty() || [authzid, name].iter().any(|name| name.chars().any(char::is_control)) {
        return Err(operator("the login name is empty or holds a control character"));
    }
    if password.expose().contains(&0) {
        return Err(operator("the password holds a NUL"));
    }
    let offers = |name: &str| mechanisms.iter().any(|own| own.eq_ignore_ascii_case(name));
    if offers("PLAIN") {
        let response = sasl::plain_response(authzid, name, password);
        return Ok(Some(Pieces::from([line("AUTHENTICATE \"PLAIN\" ", &response)])));
    }
    if !authzid.is_empty() {
        return Err(operator("it does not offer PLAIN, which alone can carry an authorization identity"));
    }
    if !offers("LOGIN") {
        return Err(operator("it offers neither PLAIN nor LOGIN"));
    }
    // The prompts are not read: every server asks for the name first.
    Ok(Some(Pieces::from([
        Secret::copy_of(b"AUTHENTICATE \"LOGIN\"\r\n"),
        line("", &sasl::login_response(name.as_bytes())),
        line("", &sasl::login_response(password.expose())),
    ])))
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

fn operator(reason: &str) -> Failure {
    Failure::Operator(reason.to_owned())
}
