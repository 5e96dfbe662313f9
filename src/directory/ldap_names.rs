//! What an operator writes with places for a person: the name of an entry (RFC 4514), and the filter of a group
//! (RFC 4515).

use ldap3::{dn_escape, ldap_escape};

use crate::model::{Login, Piece, pieces};

/// The distinguished name of people's entries, with places for the login name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnTemplate(Vec<Part>);

/// A filter that finds the groups of a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupFilter(Vec<Part>);

/// How membership shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Membership {
    /// An attribute of the person's entry names the group.
    Attribute {
        /// The attribute, such as `memberOf`.
        name: String,
        /// The group, as it stands there.
        group: String,
    },
    /// There is an entry that the filter finds.
    Search {
        /// Where the search begins.
        base: String,
        /// What it looks for.
        filter: GroupFilter,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Dn,
    Domain,
    Fixed(String),
    Local,
    User,
}

impl DnTemplate {
    /// Reads a name with `{user}`, `{local}` and `{domain}`.
    ///
    /// # Errors
    /// One sentence, when it names nobody or a place is unknown.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let parts = parts(text)?;
        if parts.contains(&Part::Dn) {
            return Err("knows {user}, {local} and {domain} only");
        }
        if !parts.iter().any(|part| matches!(part, Part::Local | Part::User)) {
            return Err("must hold {user} or {local}, otherwise all users would share an entry");
        }
        if !text.contains('=') {
            return Err("is no distinguished name as RFC 4514 writes it");
        }
        Ok(Self(parts))
    }

    /// The name of the entry of `login`. Whatever the login name holds, it stays one value. `None` where it cannot be
    /// the name of one: directories take some characters beyond ASCII for others (RFC 4518 §2), and then one person
    /// would be two here.
    pub(super) fn render(&self, login: &Login) -> Option<String> {
        let mut name = String::new();
        for part in &self.0 {
            let value = match part {
                Part::Fixed(text) => {
                    name.push_str(text);
                    continue;
                }
                Part::Domain => login.domain()?,
                Part::Dn | Part::User => login.as_str(),
                Part::Local => login.local(),
            };
            if value.is_empty() || !value.is_ascii() {
                return None;
            }
            name.push_str(&dn_escape(value));
        }
        Some(name)
    }
}

impl GroupFilter {
    /// Reads a filter with `{dn}`, the name of the person's entry, and `{user}`, `{local}` and `{domain}`.
    ///
    /// # Errors
    /// One sentence, when it names nobody, a place is unknown, or it is no filter.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let filter = Self(parts(text)?);
        if !filter.0.iter().any(|part| matches!(part, Part::Dn | Part::Local | Part::User)) {
            return Err("must hold {dn}, {user} or {local}, otherwise everybody would be a member");
        }
        let login = Login::parse("a@example.org").map_err(|_| "is no filter")?;
        match ldap3::parse_filter(filter.render("cn=a", &login)) {
            Ok(_) => Ok(filter),
            Err(()) => Err("is no filter as RFC 4515 writes it"),
        }
    }

    /// The filter for the person with the entry `dn`. Whatever the names hold, each stays one value.
    pub(super) fn render(&self, dn: &str, login: &Login) -> String {
        let escaped = |text: &str| ldap_escape(text.to_owned()).into_owned();
        let one = |part: &Part| match part {
            Part::Dn => escaped(dn),
            Part::Domain => escaped(login.domain().unwrap_or_default()),
            Part::Fixed(text) => text.clone(),
            Part::Local => escaped(login.local()),
            Part::User => escaped(login.as_str()),
        };
        self.0.iter().map(one).collect()
    }
}

fn parts(text: &str) -> Result<Vec<Part>, &'static str> {
    let part = |piece| match piece {
        Piece::Fixed(text) => Ok(Part::Fixed(text.to_owned())),
        Piece::Place("dn") => Ok(Part::Dn),
        Piece::Place("domain") => Ok(Part::Domain),
        Piece::Place("local") => Ok(Part::Local),
        Piece::Place("user") => Ok(Part::User),
        Piece::Place(_) => Err("knows {dn}, {user}, {local} and {domain} only"),
    };
    pieces(text)?.into_iter().map(part).collect()
}

/// Whether two distinguished names are one, as far as their text shows: without regard to case, and to blanks around
/// the signs between their parts.
pub(super) fn is_same_name(one: &str, other: &str) -> bool {
    let plain = |name: &str| {
        let mut plain = String::with_capacity(name.len());
        for c in name.trim().chars() {
            match c {
                ',' | '=' | '+' => {
                    let length = plain.trim_end_matches(' ').len();
                    let is_escaped = plain.get(..length).is_some_and(|before| before.ends_with('\\'));
                    if !is_escaped {
                        plain.truncate(length);
                    }
                    plain.push(c);
                }
                ' ' if plain.ends_with([',', '=', '+']) => {}
                c => plain.extend(c.to_lowercase()),
            }
        }
        plain
    };
    plain(one) == plain(other)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    fn login(text: &str) -> Login {
        Login::parse(text).unwrap()
    }

    #[test]
    fn a_login_name_stays_one_value_of_the_entrys_name() {
        let template = DnTemplate::parse("uid={local},ou={domain},dc=example,dc=org").unwrap();
        let evil = login("a,cn=admin+x=\"y\";<#>\\@example.org,dc=evil");
        assert_eq!(
            template.render(&evil).unwrap(),
            "uid=a\\2ccn\\3dadmin\\2bx\\3d\\22y\\22\\3b\\3c#\\3e\\5c,ou=example.org\\2cdc\\3devil,dc=example,dc=org"
        );
        assert_eq!(template.render(&login("#a@b")).unwrap(), "uid=\\23a,ou=b,dc=example,dc=org");
        for nobody in ["alice", "@example.org", "\u{ff41}lice@example.org", "alice@\u{ff45}xample.org"] {
            assert_eq!(template.render(&login(nobody)), None, "{nobody}");
        }
    }

    #[test]
    fn a_name_stays_one_value_of_the_groups_filter() {
        let filter = GroupFilter::parse("(&(objectClass=groupOfNames)(|(member={dn})(memberUid={local})))");
        assert_eq!(
            filter.unwrap().render("cn=Mallory \\28*\\29,dc=x", &login("a)(cn=*@b")),
            "(&(objectClass=groupOfNames)(|(member=cn=Mallory \\5c28\\2a\\5c29,dc=x)(memberUid=a\\29\\28cn=\\2a)))"
        );
    }

    #[test]
    fn templates_name_the_person() {
        for bad in ["", "cn=mail", "uid={mail}", "uid={user", "dc={domain}", "uid={dn}", "{user}"] {
            assert!(DnTemplate::parse(bad).is_err(), "{bad}");
        }
        for bad in ["", "(cn=mail)", "(member={dn}", "member={dn})", "(member={who})", "(dc={domain})"] {
            assert!(GroupFilter::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_of_entries_are_compared_without_case_and_needless_blanks() {
        assert!(is_same_name("CN=Mail Users, OU = groups,dc=example", "cn=mail users,ou=groups,DC=example"));
        for other in ["cn=mailusers,ou=groups", "cn=mail users,ou=groups,dc=x", "cn=mail users", ""] {
            assert!(!is_same_name("cn=mail users,ou=groups", other), "{other}");
        }
        assert!(!is_same_name("cn=a\\ ,ou=b", "cn=a\\,ou=b"));
    }
}
