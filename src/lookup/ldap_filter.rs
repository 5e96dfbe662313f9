//! The filter of a look-up in an LDAP directory (RFC 4515), and whether an entry is the user's.

use ldap3::ldap_escape;

use crate::model::{Login, Piece, pieces};

/// A filter with places for the user's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LdapFilter {
    parts: Vec<Part>,
    assertions: Vec<Assertion>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Domain,
    Fixed(String),
    Local,
    User,
}

/// An attribute that is compared with a value that holds the user's name.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Assertion {
    attribute: String,
    value: Vec<Part>,
}

impl LdapFilter {
    /// Reads a filter with `{user}`, `{local}` and `{domain}`.
    ///
    /// # Errors
    /// One sentence, when it names nobody, a place is unknown, or it is no filter.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let part = |piece| match piece {
            Piece::Fixed(text) => Ok(Part::Fixed(text.to_owned())),
            Piece::Place("domain") => Ok(Part::Domain),
            Piece::Place("local") => Ok(Part::Local),
            Piece::Place("user") => Ok(Part::User),
            Piece::Place(_) => Err("knows {user}, {local} and {domain} only"),
        };
        let parts: Vec<Part> = pieces(text)?.into_iter().map(part).collect::<Result<_, _>>()?;
        if !parts.iter().any(|part| matches!(part, Part::Local | Part::User)) {
            return Err("must hold {user} or {local}, otherwise all users would share an entry");
        }
        let assertions = assertions(&parts);
        let filter = Self { parts, assertions };
        let login = Login::parse("a@example.org").map_err(|_| "is no filter")?;
        match ldap3::parse_filter(filter.render(&login)) {
            Ok(_) => Ok(filter),
            Err(()) => Err("is no filter as RFC 4515 writes it"),
        }
    }

    /// The filter for `login`. Whatever the name holds, it stays one value.
    pub(crate) fn render(&self, login: &Login) -> String {
        let escaped = |part: &Part| match part {
            Part::Fixed(text) => text.clone(),
            Part::Domain | Part::Local | Part::User => ldap_escape(part.text(login)).into_owned(),
        };
        self.parts.iter().map(escaped).collect()
    }

    /// The attributes that are compared with the name.
    pub(crate) fn attributes(&self) -> impl Iterator<Item = &str> {
        self.assertions.iter().map(|assertion| assertion.attribute.as_str())
    }

    /// Whether the entry that the directory has found for `login`, with these values of its attributes, is that
    /// user's. The matching rules of directories take some characters for others (RFC 4518 §2: a full-width letter
    /// for a letter, a ligature for two), and whoever has such a name elsewhere must not become another here. So what
    /// is not ASCII must stand in the entry as it is; among ASCII letters the rules take no two for one but those that
    /// differ in case.
    pub(crate) fn is_met<'a>(&self, login: &Login, values: impl Fn(&str) -> Vec<&'a str>) -> bool {
        let uses = |wanted: &Part| self.parts.iter().any(|part| part == wanted || *part == Part::User);
        let is_exact = |wanted: &Part| {
            self.assertions.iter().filter(|assertion| assertion.holds(wanted)).any(|assertion| {
                let expected: String = assertion.value.iter().map(|part| part.text(login)).collect();
                values(&assertion.attribute).contains(&expected.as_str())
            })
        };
        [Part::Local, Part::Domain]
            .iter()
            .all(|part| part.text(login).is_ascii() || !uses(part) || is_exact(part))
    }
}

impl Part {
    fn text<'a>(&'a self, login: &'a Login) -> &'a str {
        match self {
            Self::Domain => login.domain().unwrap_or_default(),
            Self::Fixed(text) => text,
            Self::Local => login.local(),
            Self::User => login.as_str(),
        }
    }
}

impl Assertion {
    /// Whether its value holds `wanted`, or all of the name.
    fn holds(&self, wanted: &Part) -> bool {
        self.value.iter().any(|part| part == wanted || *part == Part::User)
    }
}

/// Each `(attribute=value)` with a part of the name in its value. One whose fixed text holds a wildcard or an escape
/// tells nothing of what the entry holds, and is left out.
fn assertions(parts: &[Part]) -> Vec<Assertion> {
    let mut found = Vec::new();
    let mut open: Option<Assertion> = None;
    for part in parts {
        let Part::Fixed(text) = part else {
            if let Some(assertion) = &mut open {
                assertion.value.push(part.clone());
            }
            continue;
        };
        let mut text = text.as_str();
        if let Some(mut assertion) = open.take() {
            let (inside, after) =
                text.split_once(')').map_or((text, None), |(inside, after)| (inside, Some(after)));
            if inside.contains(['*', '\\']) {
                continue;
            }
            assertion.value.push(Part::Fixed(inside.to_owned()));
            let Some(after) = after else {
                open = Some(assertion);
                continue;
            };
            found.push(assertion);
            text = after;
        }
        open = opened(text);
    }
    found
}

/// The assertion whose value begins behind `text`, or with its end.
fn opened(text: &str) -> Option<Assertion> {
    let (_, last) = text.rsplit_once('(')?;
    let (name, value) = last.split_once('=')?;
    // `attribute:rule:=value`; `~=`, `<=` and `>=` compare something else.
    let attribute = name.split(':').next().unwrap_or_default();
    let is_plain = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b';');
    if attribute.is_empty() || !attribute.bytes().all(is_plain) || value.contains(['*', '\\', ')']) {
        return None;
    }
    Some(Assertion { attribute: attribute.to_owned(), value: vec![Part::Fixed(value.to_owned())] })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    fn is_met(filter: &str, login: &str, entry: &[(&str, &str)]) -> bool {
        let filter = LdapFilter::parse(filter).unwrap();
        filter.is_met(&Login::parse(login).unwrap(), |name| {
            entry.iter().filter(|(key, _)| *key == name).map(|(_, value)| *value).collect()
        })
    }

    #[test]
    fn a_name_stays_one_value_of_the_filter() {
        let filter =
            LdapFilter::parse("(&(objectClass=person)(|(mail={user})(uid={local})(dc={domain})))").unwrap();
        let login = Login::parse("a)(uid=*\\@ex*mple.org").unwrap();
        assert_eq!(
            filter.render(&login),
            "(&(objectClass=person)(|(mail=a\\29\\28uid=\\2a\\5c@ex\\2ample.org)(uid=a\\29\\28uid=\\2a\\5c)(dc=ex\\2ample.org)))"
        );
        assert!(ldap3::parse_filter(filter.render(&login)).is_ok());
    }

    #[test]
    fn a_filter_names_the_user() {
        for bad in [
            "(objectClass=*)",
            "(dc={domain})",
            "(mail={mail})",
            "(mail={user)",
            "mail={user})",
            "(mail={user}",
        ] {
            assert!(LdapFilter::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_name_beyond_ascii_must_stand_in_the_entry_as_it_is() {
        let umlaut = "j\u{fc}rgen@example.org";
        for filter in ["(uid={user})", "(uid={local}@{domain})", "(&(x=y)(uid:caseExactMatch:={user}))"] {
            assert!(is_met(filter, "alice@example.org", &[]), "{filter}");
            assert!(is_met(filter, umlaut, &[("uid", "other"), ("uid", umlaut)]), "{filter}");
            for entry in [&[][..], &[("mail", umlaut)], &[("uid", "ju\u{308}rgen@example.org")]] {
                assert!(!is_met(filter, umlaut, entry), "{filter} {entry:?}");
            }
            assert!(!is_met(filter, "\u{ff41}lice@example.org", &[("uid", "alice@example.org")]), "{filter}");
        }
        let both = "(&(uid={local})(associatedDomain={domain}))";
        let entry = [("uid", "j\u{fc}rgen"), ("associatedDomain", "example.org")];
        assert!(is_met(both, umlaut, &entry));
        assert!(!is_met(both, "j\u{fc}rgen@\u{ff45}xample.org", &entry));
        assert!(!is_met(
            both,
            "alice@\u{ff45}xample.org",
            &[("uid", "alice"), ("associatedDomain", "example.org")]
        ));
        assert!(is_met("(uid={local})", "alice@\u{ff45}xample.org", &[]), "the filter cares for no domain");
        for unsure in ["(uid=*{user})", "(uid={user}*)", "(uid~={user})", "(uid=\\2a{user})"] {
            assert!(!is_met(unsure, umlaut, &[("uid", umlaut)]), "{unsure}");
        }
    }
}
