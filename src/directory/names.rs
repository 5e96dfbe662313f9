//! One person, one name: how login names are written in one way before anybody is asked about them.

use std::sync::Arc;

use super::CheckError;
use crate::model::Login;

/// The names that people may sign in with, and the one under which they are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// The domain of a name that has none.
    pub default_domain: Option<Arc<str>>,
    /// Whether names that differ in case alone are one.
    pub lowercase: bool,
}

impl Names {
    /// The name as it is known. `None` when that would be no login name.
    pub fn known(&self, login: &Login) -> Option<Login> {
        let mut text = login.as_str().to_owned();
        if let (Some(domain), None) = (&self.default_domain, login.domain()) {
            text = format!("{text}@{domain}");
        }
        if self.lowercase {
            text = text.to_lowercase();
        }
        Login::parse(&text).ok()
    }

    /// The name that a source gives to whoever has signed in as `login`, where it is another one.
    pub(super) fn given(&self, login: &Login, text: &str) -> Result<Option<Login>, CheckError> {
        let known = Login::parse(text).ok().and_then(|given| self.known(&given));
        let Some(known) = known.filter(|known| !known.is_client()) else {
            return Err(CheckError::Operator(format!(
                "the source gives {login} a name that is no login name: {:?}",
                text.chars().take(64).collect::<String>()
            )));
        };
        Ok((known != *login).then_some(known))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    fn login(text: &str) -> Login {
        Login::parse(text).unwrap()
    }

    fn names(lowercase: bool) -> Names {
        Names { default_domain: Some("example.org".into()), lowercase }
    }

    #[test]
    fn a_name_without_a_domain_gets_one_and_another_keeps_its_own() {
        assert_eq!(names(false).known(&login("Alice")), Some(login("Alice@example.org")));
        assert_eq!(names(false).known(&login("alice@example.net")), Some(login("alice@example.net")));
        assert_eq!(Names::default().known(&login("Alice")), Some(login("Alice")));
        assert_eq!(names(false).known(&login(&"a".repeat(250))), None, "too long with the domain");
    }

    #[test]
    fn names_that_differ_in_case_are_one_where_the_operator_says_so() {
        assert_eq!(names(true).known(&login("ALICE")), Some(login("alice@example.org")));
        assert_eq!(names(true).known(&login("\u{c4}nne")), Some(login("\u{e4}nne@example.org")));
        assert_ne!(names(false).known(&login("ALICE")), names(false).known(&login("alice")));
    }

    #[test]
    fn what_a_source_calls_somebody_is_a_login_name_or_the_operators_fault() {
        let alice = login("alice@example.org");
        assert_eq!(names(false).given(&alice, "alice"), Ok(None));
        assert_eq!(names(false).given(&alice, "al@example.org"), Ok(Some(login("al@example.org"))));
        for bad in ["", "a\r\nb", "a\0b", "a b@example.org", "x@client.invalid", &"x".repeat(256)] {
            assert!(matches!(names(true).given(&alice, bad), Err(CheckError::Operator(_))), "{bad:?}");
        }
    }
}
