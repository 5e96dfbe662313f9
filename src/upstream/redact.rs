//! Keeps passwords out of what is reported of a mail server's answer: some servers repeat the line that they did
//! not understand.

use crate::{
    model::Secret,
    proto::{
        Failure, LoginAs,
        sasl::{login_response, oauthbearer_response, plain_response, xoauth2_response},
    },
};

/// So many octets of a secret in a row are not there by chance.
const TELLING: usize = 8;

/// What must not come back out of a server's answer.
pub(super) struct Redactor {
    /// The password as it is, and as SASL wraps it.
    secrets: Vec<Secret>,
}

impl Redactor {
    /// For the answers to `login`.
    pub(super) fn new(login: &LoginAs) -> Self {
        let secrets = match login {
            LoginAs::Password { authcid, authzid, password } => vec![
                password.clone(),
                login_response(password.expose()),
                plain_response(authzid.as_deref().unwrap_or_default(), authcid, password),
            ],
            LoginAs::Bearer { user, token } => {
                vec![token.clone(), oauthbearer_response(Some(user), token), xoauth2_response(user, token)]
            }
            LoginAs::External { .. }
            | LoginAs::Nobody
            | LoginAs::Trusted { .. }
            | LoginAs::Xclient { .. } => Vec::new(),
        };
        Self { secrets }
    }

    /// `failure` without a text that repeats a secret, or enough of it.
    pub(super) fn clean(&self, failure: Failure) -> Failure {
        let clean = |text: String| {
            if self.repeats(&text) { "(a text that repeats the password)".to_owned() } else { text }
        };
        match failure {
            Failure::WrongPassword(text) => Failure::WrongPassword(clean(text)),
            Failure::Refused(text) => Failure::Refused(clean(text)),
            Failure::Temporary(text) => Failure::Temporary(clean(text)),
            Failure::Operator(text) => Failure::Operator(clean(text)),
            Failure::Protocol(text) => Failure::Protocol(clean(text)),
        }
    }

    /// A text may be cut anywhere, so a part of a long secret counts as well.
    fn repeats(&self, text: &str) -> bool {
        let holds = |part: &[u8]| text.as_bytes().windows(part.len()).any(|window| window == part);
        self.secrets.iter().map(Secret::expose).any(|secret| {
            let length = secret.len().min(TELLING);
            length > 0 && secret.windows(length).any(holds)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cleaned(text: &str) -> String {
        let password = Secret::copy_of(b"correct horse");
        let login = LoginAs::Password { authcid: "alice".into(), authzid: None, password };
        let Failure::Operator(text) = Redactor::new(&login).clean(Failure::Operator(text.into())) else {
            unreachable!("the kind stays")
        };
        text
    }

    #[test]
    fn a_repeated_password_is_left_out_in_every_form_even_when_cut() {
        let response = "AGFsaWNlAGNvcnJlY3QgaG9yc2U=";
        for text in [
            "no: LOGIN \"alice\" \"correct horse\"",
            "what is correct h",
            &format!("AUTHENTICATE PLAIN {response}"),
            "Y29ycmVjdCBob3JzZQ==",
        ] {
            assert_eq!(cleaned(text), "(a text that repeats the password)", "{text}");
        }
    }

    #[test]
    fn any_other_text_stays() {
        assert_eq!(cleaned("Unknown command AUTHENTICATE, a horse"), "Unknown command AUTHENTICATE, a horse");
    }
}
