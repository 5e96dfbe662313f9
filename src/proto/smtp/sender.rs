//! Whose sender address a MAIL command may carry.

use std::collections::BTreeSet;

/// The addresses that a client may send from.
///
/// Local parts are compared octet by octet, domains in any case of ASCII letters. A quoted local part is the same as
/// the plain one that it spells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SenderPolicy {
    mailboxes: BTreeSet<Mailbox>,
    domains: BTreeSet<String>,
}

/// A mailbox, read so that equal ones are equal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Mailbox {
    /// Without quotes.
    local: String,
    /// In lower case; none where only the mail server knows it.
    domain: Option<String>,
}

/// What a MAIL command asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sender {
    /// An address of the client, or none; the command written anew, so that the mail server reads what we read.
    Own(String),
    /// Somebody else's address.
    Foreign,
    /// It cannot be read in exactly one way.
    Unreadable,
}

impl SenderPolicy {
    /// A policy of these addresses; `@example.org` stands for a whole domain. An entry that is no address is left
    /// out: it names no sender.
    pub fn new<'a>(entries: impl IntoIterator<Item = &'a str>) -> Self {
        let mut policy = Self::default();
        for entry in entries {
            match entry.strip_prefix('@') {
                Some(name) => policy.domains.extend(whole(domain, name)),
                None => policy.mailboxes.extend(whole(mailbox, entry)),
            }
        }
        policy
    }

    /// Judges the arguments of a MAIL command.
    pub(super) fn judge(&self, arguments: &[u8]) -> Sender {
        let Some(mail) = std::str::from_utf8(arguments).ok().and_then(Mail::parse) else {
            return Sender::Unreadable;
        };
        let mut written = format!("MAIL FROM:<{}>", mail.path);
        for parameter in mail.parameters {
            let Some(claimed) = claim(parameter) else {
                written.extend([" ", parameter]);
                continue;
            };
            match claimed {
                Ok(Some(mailbox)) if !self.allows(&mailbox) => return Sender::Foreign,
                Ok(_) => written.extend([" ", parameter]),
                Err(()) => return Sender::Unreadable,
            }
        }
        match mail.mailbox {
            Some(mailbox) if !self.allows(&mailbox) => Sender::Foreign,
            Some(_) | None => Sender::Own(written),
        }
    }

    fn allows(&self, mailbox: &Mailbox) -> bool {
        self.mailboxes.contains(mailbox)
            || mailbox.domain.as_ref().is_some_and(|domain| self.domains.contains(domain))
    }
}

/// The arguments of a MAIL command (RFC 5321 §4.1.1.2).
struct Mail<'a> {
    /// As it stands between the brackets.
    path: &'a str,
    /// None for the null sender, from which a client may send: RFC 8098 §3 makes it do so for a disposition
    /// notification.
    mailbox: Option<Mailbox>,
    parameters: Vec<&'a str>,
}

impl<'a> Mail<'a> {
    /// Takes blanks behind the colon and an address without brackets too, as many servers do. A source route
    /// (RFC 5321 §4.1.2) is none of these.
    fn parse(arguments: &'a str) -> Option<Self> {
        const FROM: &str = "FROM:";
        let behind = arguments.get(FROM.len()..)?;
        if !arguments.get(..FROM.len())?.eq_ignore_ascii_case(FROM) {
            return None;
        }
        let text = behind.trim_start_matches(is_blank);
        if let Some(inside) = text.strip_prefix('<') {
            if let Some(rest) = inside.strip_prefix('>') {
                return Some(Self { path: "", mailbox: None, parameters: parameters(rest)? });
            }
            let (mailbox, rest) = mailbox(inside)?;
            let path = inside.get(..inside.len() - rest.len())?;
            return Some(Self {
                path,
                mailbox: Some(mailbox),
                parameters: parameters(rest.strip_prefix('>')?)?,
            });
        }
        let (mailbox, rest) = mailbox(text)?;
        let path = text.get(..text.len() - rest.len())?;
        Some(Self { path, mailbox: Some(mailbox), parameters: parameters(rest)? })
    }
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t')
}

/// The words behind the address.
fn parameters(text: &str) -> Option<Vec<&str>> {
    let begins = text.is_empty() || text.starts_with(is_blank);
    let words: Vec<&str> = text.split(is_blank).filter(|word| !word.is_empty()).collect();
    // Anything else could be the address for a server that looks for it elsewhere.
    let has_keyword = |word: &&str| {
        let keyword = word.split('=').next().unwrap_or_default();
        !keyword.is_empty() && keyword.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    (begins && words.iter().all(has_keyword)).then_some(words)
}

/// The mailbox that a parameter says the message comes from: AUTH (RFC 4954 §5), SUBMITTER (RFC 4405). `None` for
/// other parameters, `Ok(None)` where it names nobody.
fn claim(parameter: &str) -> Option<Result<Option<Mailbox>, ()>> {
    let (keyword, value) = parameter.split_once('=').unwrap_or((parameter, ""));
    if !["AUTH", "SUBMITTER"].iter().any(|own| own.eq_ignore_ascii_case(keyword)) {
        return None;
    }
    if value == "<>" {
        return Some(Ok(None));
    }
    Some(xtext(value).and_then(|text| whole(mailbox, &text)).map(Some).ok_or(()))
}

/// Decodes `xtext` (RFC 3461 §4).
fn xtext(value: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let [octet, behind @ ..] = rest {
        rest = behind;
        if *octet != b'+' {
            decoded.push(*octet);
            continue;
        }
        let (digits, behind) = rest.split_first_chunk::<2>()?;
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        decoded.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = behind;
    }
    String::from_utf8(decoded).ok()
}

/// All of `text` as what `parse` reads at its beginning.
fn whole<T>(parse: impl Fn(&str) -> Option<(T, &str)>, text: &str) -> Option<T> {
    parse(text).filter(|(_, rest)| rest.is_empty()).map(|(read, _)| read)
}

/// A mailbox at the beginning of `text`, and what is left (RFC 5321 §4.1.2, RFC 6531 §3.3).
fn mailbox(text: &str) -> Option<(Mailbox, &str)> {
    let (local, rest) = match text.strip_prefix('"') {
        Some(inside) => quoted(inside)?,
        None => {
            let (local, rest) = split_where(text, |c| !is_atom(c) && c != '.');
            (local.to_owned(), rest)
        }
    };
    if local.is_empty() {
        return None;
    }
    let Some(behind) = rest.strip_prefix('@') else { return Some((Mailbox { local, domain: None }, rest)) };
    let (domain, rest) = domain(behind)?;
    Some((Mailbox { local, domain: Some(domain) }, rest))
}

/// What a quoted string spells, and what is behind it. Its opening quote is gone.
fn quoted(inside: &str) -> Option<(String, &str)> {
    let mut local = String::new();
    let mut chars = inside.chars();
    loop {
        match chars.next()? {
            '"' => return Some((local, chars.as_str())),
            '\\' => local.push(chars.next().filter(|c| matches!(c, ' '..='~'))?),
            c if c.is_control() => return None,
            c => local.push(c),
        }
    }
}

/// A domain or an address literal.
fn domain(text: &str) -> Option<(String, &str)> {
    if let Some(inside) = text.strip_prefix('[') {
        let (literal, rest) = inside.split_once(']')?;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '-');
        let fit = !literal.is_empty() && literal.chars().all(plain);
        return fit.then(|| (format!("[{}]", literal.to_ascii_lowercase()), rest));
    }
    let (name, rest) = split_where(text, |c| !is_domain(c));
    let fit = name.split('.').all(|label| !label.is_empty());
    fit.then(|| (name.to_ascii_lowercase(), rest))
}

fn is_atom(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || is_international(c)
}

fn is_domain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') || is_international(c)
}

/// Beyond ASCII, and nothing that could be taken for a blank or a line end.
fn is_international(c: char) -> bool {
    !c.is_ascii() && !c.is_control() && !c.is_whitespace()
}

/// Splits before the first character that ends it.
fn split_where(text: &str, ends: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at_checked(text.find(ends).unwrap_or(text.len())).unwrap_or((text, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> SenderPolicy {
        SenderPolicy::new([
            "alice@example.org",
            "Sales@Example.net",
            "\"a b\"@example.org",
            "@lists.example.org",
            "Jörg@bücher.example",
            "bare",
            "at@[192.0.2.1]",
            "no address@",
            "@",
            "",
        ])
    }

    fn own(arguments: &str, written: &str) {
        assert_eq!(policy().judge(arguments.as_bytes()), Sender::Own(written.to_owned()), "{arguments}");
    }

    #[test]
    fn own_addresses_are_known_however_they_are_written() {
        own("FROM:<alice@example.org>", "MAIL FROM:<alice@example.org>");
        own("from:<alice@EXAMPLE.Org>", "MAIL FROM:<alice@EXAMPLE.Org>");
        own("FROM: \t<alice@example.org>", "MAIL FROM:<alice@example.org>");
        own("FROM:alice@example.org SIZE=1", "MAIL FROM:<alice@example.org> SIZE=1");
        own("FROM:<\"alice\"@example.org>", "MAIL FROM:<\"alice\"@example.org>");
        own("FROM:<\"\\a\\lice\"@example.org>", "MAIL FROM:<\"\\a\\lice\"@example.org>");
        own("FROM:<\"a b\"@example.org>", "MAIL FROM:<\"a b\"@example.org>");
        own("FROM:<Sales@example.net>", "MAIL FROM:<Sales@example.net>");
        own("FROM:<any.one@Lists.Example.org>", "MAIL FROM:<any.one@Lists.Example.org>");
        own("FROM:<Jörg@bücher.example> SMTPUTF8", "MAIL FROM:<Jörg@bücher.example> SMTPUTF8");
        own("FROM:<bare>", "MAIL FROM:<bare>");
        own("FROM:<at@[192.0.2.1]>", "MAIL FROM:<at@[192.0.2.1]>");
    }

    #[test]
    fn the_null_sender_is_nobodys_and_may_be_used() {
        own("FROM:<>", "MAIL FROM:<>");
        own("FROM: <> \t BODY=8BITMIME  SIZE=5", "MAIL FROM:<> BODY=8BITMIME SIZE=5");
    }

    #[test]
    fn another_address_is_foreign() {
        for address in [
            "bob@example.org",
            "Alice@example.org",
            "sales@example.net",
            "alice@example.com",
            "alice@sub.example.org",
            "alice+x@example.org",
            "alice@example.org.evil.example",
            "x@sub.lists.example.org",
            "alice",
            "\"alice@example.org\"",
            "\"alice@example.org\"@evil.example",
            "ALICE@example.org",
            "jörg@bücher.example",
            "Jörg@xn--bcher-kva.example",
            "at@192.0.2.1",
            "a\u{301}lice@example.org",
        ] {
            let found = policy().judge(format!("FROM:<{address}>").as_bytes());
            assert_eq!(found, Sender::Foreign, "{address}");
        }
    }

    #[test]
    fn what_two_servers_could_read_in_two_ways_is_unreadable() {
        for arguments in [
            "",
            "FROM",
            "FROM:",
            "FROM :<alice@example.org>",
            "TO:<alice@example.org>",
            "FROM:<@evil.example:alice@example.org>",
            "FROM:<@a,@b:alice@example.org>",
            "FROM:<alice@example.org",
            "FROM:alice@example.org>",
            "FROM:<<alice@example.org>>",
            "FROM:<alice@example.org>SIZE=1",
            "FROM:<alice@example.org><bob@example.org>",
            "FROM:<alice@example.org,bob@example.org>",
            "FROM:alice@example.org,bob@example.org",
            "FROM:<alice@example.org >",
            "FROM:< alice@example.org>",
            "FROM:alice@example.org <bob@example.org>",
            "FROM:<alice@example.org> <bob@example.org>",
            "FROM:<alice@example.org.>",
            "FROM:<alice@.example.org>",
            "FROM:<alice@example..org>",
            "FROM:<alice@>",
            "FROM:<@example.org>",
            "FROM:<\"\"@example.org>",
            "FROM:<\"alice@example.org>",
            "FROM:<\"alice\"x@example.org>",
            "FROM:<alice@evil@example.org>",
            "FROM:<alice(c)@example.org>",
            "FROM:<alice\\@example.org>",
            "FROM:<alice@[]>",
            "FROM:<alice@[192.0.2.1>",
            "FROM:<alice\u{a0}@example.org>",
        ] {
            assert_eq!(policy().judge(arguments.as_bytes()), Sender::Unreadable, "{arguments}");
        }
        assert_eq!(policy().judge(b"FROM:<alic\xe9@example.org>"), Sender::Unreadable);
    }

    #[test]
    fn no_parameter_claims_another_identity() {
        own("FROM:<alice@example.org> AUTH=<>", "MAIL FROM:<alice@example.org> AUTH=<>");
        own("FROM:<> auth=alice@example.org", "MAIL FROM:<> auth=alice@example.org");
        own("FROM:<> AUTH=+61lice@example.org", "MAIL FROM:<> AUTH=+61lice@example.org");
        for claim in ["AUTH=bob@example.org", "auth=+62ob@example.org", "SUBMITTER=bob@example.org"] {
            let found = policy().judge(format!("FROM:<alice@example.org> SIZE=1 {claim}").as_bytes());
            assert_eq!(found, Sender::Foreign, "{claim}");
        }
        for claim in
            ["AUTH", "AUTH=", "AUTH=+6", "AUTH=+zz", "AUTH=<bob@example.org>", "AUTH=a+20b", "AUTH=+FF"]
        {
            let found = policy().judge(format!("FROM:<alice@example.org> {claim}").as_bytes());
            assert_eq!(found, Sender::Unreadable, "{claim}");
        }
    }
}
