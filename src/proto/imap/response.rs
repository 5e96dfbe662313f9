//! What a mail server answers before and during login (RFC 9051 §7), as far as a login needs it.

use super::capability::Capabilities;

/// One response, read from its first line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Response<'a> {
    /// `+`, with or without a space behind it, which some servers omit; and what stands behind that.
    Continue(&'a [u8]),
    /// The end of a command.
    Tagged { tag: &'a [u8], condition: Condition, text: Text<'a> },
    /// A condition of the connection.
    Untagged { condition: Condition, text: Text<'a> },
    /// `* CAPABILITY`.
    Capability(Capabilities),
    /// Any other data; it may hold literals.
    Data,
}

/// How a command or connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    Bad,
    Bye,
    No,
    Ok,
    PreAuth,
}

/// `resp-text`: a response code and words for people.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Text<'a> {
    pub(super) code: Option<Code<'a>>,
    /// All of it, the code included.
    pub(super) raw: &'a [u8],
}

/// A response code (RFC 9051 §7.1, RFC 5530).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Code<'a> {
    name: &'a [u8],
    arguments: &'a [u8],
}

impl Code<'_> {
    /// Whether it is one of these.
    pub(super) fn is_one_of(&self, names: &[&str]) -> bool {
        names.iter().any(|name| name.as_bytes().eq_ignore_ascii_case(self.name))
    }
}

impl Text<'_> {
    /// The list of a `CAPABILITY` code.
    pub(super) fn capabilities(&self) -> Option<Capabilities> {
        let code = self.code.as_ref().filter(|code| code.is_one_of(&["CAPABILITY"]))?;
        Some(Capabilities::parse(code.arguments))
    }
}

/// Reads a response. `None` when it is none.
pub(super) fn parse(line: &[u8]) -> Option<Response<'_>> {
    if line.first() == Some(&b'+') {
        let rest = line.get(1..).unwrap_or_default();
        return matches!(rest.first(), None | Some(b' '))
            .then(|| Response::Continue(rest.strip_prefix(b" ").unwrap_or(rest)));
    }
    let (tag, rest) = split_word(line);
    let (word, rest) = split_word(rest);
    let condition = condition(word);
    if tag != b"*" {
        let condition = condition.filter(|own| !matches!(own, Condition::Bye | Condition::PreAuth))?;
        return (!tag.is_empty()).then_some(Response::Tagged { tag, condition, text: text(rest) });
    }
    if let Some(condition) = condition {
        return Some(Response::Untagged { condition, text: text(rest) });
    }
    if word.eq_ignore_ascii_case(b"CAPABILITY") {
        return Some(Response::Capability(Capabilities::parse(rest)));
    }
    (!word.is_empty()).then_some(Response::Data)
}

fn condition(word: &[u8]) -> Option<Condition> {
    let known = [
        ("BAD", Condition::Bad),
        ("BYE", Condition::Bye),
        ("NO", Condition::No),
        ("OK", Condition::Ok),
        ("PREAUTH", Condition::PreAuth),
    ];
    known
        .into_iter()
        .find(|(name, _)| name.as_bytes().eq_ignore_ascii_case(word))
        .map(|(_, condition)| condition)
}

fn text(raw: &[u8]) -> Text<'_> {
    let code = raw.strip_prefix(b"[").and_then(|inside| {
        let end = inside.iter().position(|&octet| octet == b']')?;
        let (inside, _) = inside.split_at_checked(end)?;
        let (name, arguments) = split_word(inside);
        Some(Code { name, arguments })
    });
    Text { code, raw }
}

/// Splits at the first space, which is gone.
fn split_word(text: &[u8]) -> (&[u8], &[u8]) {
    let Some(end) = text.iter().position(|&octet| octet == b' ') else { return (text, &[]) };
    let (word, rest) = text.split_at_checked(end).unwrap_or((text, &[]));
    (word, rest.strip_prefix(b" ").unwrap_or(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_continuation_needs_no_space() {
        assert_eq!(parse(b"+"), Some(Response::Continue(b"")));
        assert_eq!(parse(b"+ VXNlcm5hbWU6"), Some(Response::Continue(b"VXNlcm5hbWU6")));
        assert_eq!(parse(b"+x OK"), None);
    }

    #[test]
    fn a_code_is_read_from_conditions_only() {
        let Some(Response::Tagged { tag, condition, text }) = parse(b"L NO [AUTHENTICATIONFAILED] no") else {
            panic!("not read")
        };
        assert_eq!((tag, condition), (&b"L"[..], Condition::No));
        assert!(text.code.unwrap().is_one_of(&["UNAVAILABLE", "authenticationfailed"]));
        let Some(Response::Untagged { text, .. }) = parse(b"* ok [CAPABILITY IMAP4rev1 IDLE] hi") else {
            panic!("not read")
        };
        assert!(text.capabilities().unwrap().has("idle"));
        assert_eq!(parse(b"* 3 EXISTS"), Some(Response::Data));
    }

    #[test]
    fn what_is_no_response_is_none() {
        for bad in [&b""[..], b" ", b"*", b"* ", b"L", b"L FROB", b"L BYE x", b"L PREAUTH x", b" OK x"] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
        assert_eq!(
            parse(b"* OK [CAPABILITY"),
            Some(Response::Untagged {
                condition: Condition::Ok,
                text: Text { code: None, raw: b"[CAPABILITY" }
            })
        );
    }
}
