//! The commands that a client may send before login (RFC 9051 §6.1, §6.2; RFC 2971).
//!
//! Everything here reads one whole command: its lines and literals as they stood on the wire, without the last
//! CRLF. It is flat: nothing recurses, so nesting costs nothing.

use std::fmt;

use nom::{
    IResult, Parser as _,
    branch::alt,
    bytes::complete::{tag, tag_no_case, take, take_while1},
    combinator::{all_consuming, opt, value},
    sequence::{delimited, preceded, terminated},
};
use zeroize::Zeroizing;

use super::{capability::is_atom_char, literal};

/// The tag of a command, checked and thus safe to repeat: 1 to 64 octets of printable ASCII (RFC 9051 §9 `tag`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tag(Box<str>);

impl Tag {
    const MAX: usize = 64;

    pub(super) fn parse(octets: &[u8]) -> Option<Self> {
        let allowed = octets.iter().all(|&octet| is_astring_char(octet) && octet != b'+');
        if octets.is_empty() || octets.len() > Self::MAX || !allowed {
            return None;
        }
        std::str::from_utf8(octets).ok().map(|text| Self(text.into()))
    }

    /// A tag for a command of ours.
    pub(super) fn ours() -> Self {
        Self("BEARWARD".into())
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a command before login can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Authenticate,
    Capability,
    Id,
    Login,
    Logout,
    Noop,
    StartTls,
    /// Anything else.
    Other,
}

impl Verb {
    fn from_name(name: &[u8]) -> Self {
        let known = [
            ("AUTHENTICATE", Self::Authenticate),
            ("CAPABILITY", Self::Capability),
            ("ID", Self::Id),
            ("LOGIN", Self::Login),
            ("LOGOUT", Self::Logout),
            ("NOOP", Self::Noop),
            ("STARTTLS", Self::StartTls),
        ];
        known
            .into_iter()
            .find(|(own, _)| own.as_bytes().eq_ignore_ascii_case(name))
            .map_or(Self::Other, |(_, verb)| verb)
    }

    /// Whether its arguments may be literals.
    pub(super) const fn takes_literals(self) -> bool {
        matches!(self, Self::Id | Self::Login)
    }
}

/// How a command begins.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head<'a> {
    /// `None` when there is no valid tag; the answer is then untagged.
    pub(super) tag: Option<Tag>,
    pub(super) verb: Verb,
    /// The arguments with the space before them.
    pub(super) arguments: &'a [u8],
}

/// Splits a command into tag, verb and arguments.
pub(super) fn head(command: &[u8]) -> Head<'_> {
    let (tag, rest) = split_word(command);
    let Some(tag) = Tag::parse(tag) else { return Head { tag: None, verb: Verb::Other, arguments: &[] } };
    let (verb, arguments) = split_word(rest.strip_prefix(b" ").unwrap_or_default());
    Head { tag: Some(tag), verb: Verb::from_name(verb), arguments }
}

/// The arguments of AUTHENTICATE: the mechanism's name, and the initial response as it stands (RFC 9051 §6.2.2).
pub(super) fn authenticate(arguments: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let word = || take_while1::<_, &[u8], nom::error::Error<&[u8]>>(|octet: u8| octet.is_ascii_graphic());
    let (_, arguments) = all_consuming((
        preceded(tag(" "), take_while1(is_atom_char)),
        opt(preceded(take_while1(|octet| octet == b' '), word())),
    ))
    .parse(arguments)
    .ok()?;
    Some(arguments)
}

/// A string as its octets; wiped, since it may be a password.
pub(super) type Octets = Zeroizing<Vec<u8>>;

/// The arguments of LOGIN: user name and password (RFC 9051 §6.2.3).
pub(super) fn login(arguments: &[u8]) -> Option<(Octets, Octets)> {
    let (_, pair) =
        all_consuming((preceded(tag(" "), astring), preceded(tag(" "), astring))).parse(arguments).ok()?;
    Some(pair)
}

/// The arguments of ID: what the client calls itself, as `name version`, printable and at most 128 octets
/// (RFC 2971). Every other field is dropped here; no field may change what this server does.
///
/// # Errors
/// What breaks RFC 2971 §3.3.
pub(super) fn id(arguments: &[u8]) -> Result<Introduction, &'static str> {
    const MALFORMED: &str = "ID takes NIL or a list of pairs";
    let list = arguments.strip_prefix(b" ").ok_or(MALFORMED)?;
    if list.eq_ignore_ascii_case(b"NIL") || list == b"()" {
        return Ok(Introduction::default());
    }
    let (mut rest, ()) = value((), tag("(")).parse(list).map_err(|_: Fault<'_>| MALFORMED)?;
    let mut keys: Vec<Vec<u8>> = Vec::new();
    let (mut name, mut version, mut ttl) = (None, None, None);
    loop {
        let (next, (key, field)) = pair(rest).map_err(|_: Fault<'_>| MALFORMED)?;
        let key = key.to_ascii_lowercase();
        if key.len() > 30 || field.as_ref().is_some_and(|field| field.len() > 1024) {
            return Err("an ID field is too long");
        }
        match key.as_slice() {
            b"name" => name = field,
            b"version" => version = field,
            b"x-proxy-ttl" => ttl = field,
            _ => {}
        }
        if keys.contains(&key) {
            return Err("an ID field is given twice");
        }
        keys.push(key);
        match next {
            b")" => break,
            _ if keys.len() >= 30 => return Err("ID takes at most 30 fields"),
            [b' ', next @ ..] => rest = next,
            _ => return Err(MALFORMED),
        }
    }
    let ttl = ttl.and_then(|ttl| std::str::from_utf8(&ttl).ok()?.parse().ok());
    Ok(Introduction { software: software(name, version), ttl })
}

/// What a client said of itself.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Introduction {
    /// Its name and version, printable.
    pub(super) software: Option<String>,
    /// How many more proxies may follow, where it is a proxy itself. Anyone may say it: it can only be shortened.
    pub(super) ttl: Option<u8>,
}

type Fault<'a> = nom::Err<nom::error::Error<&'a [u8]>>;

fn software(name: Option<Octets>, version: Option<Octets>) -> Option<String> {
    const MAX: usize = 128;
    let printable = |octets: Octets| -> String {
        octets.iter().filter(|&&o| o == b' ' || o.is_ascii_graphic()).map(|&o| char::from(o)).collect()
    };
    let mut parts: Vec<String> = [name, version].into_iter().flatten().map(printable).collect();
    parts.retain(|part| !part.trim().is_empty());
    let mut software = parts.join(" ");
    software.truncate(MAX);
    Some(software).filter(|software| !software.is_empty())
}

fn pair(input: &[u8]) -> IResult<&[u8], (Octets, Option<Octets>)> {
    let nil = value(None, tag_no_case("NIL"));
    (terminated(string, tag(" ")), alt((string.map(Some), nil))).parse(input)
}

fn astring(input: &[u8]) -> IResult<&[u8], Octets> {
    let atom = take_while1(is_astring_char).map(|octets: &[u8]| Zeroizing::new(octets.to_vec()));
    alt((atom, string)).parse(input)
}

fn string(input: &[u8]) -> IResult<&[u8], Octets> {
    alt((quoted, literal_string)).parse(input)
}

/// Octets above 127 are taken, as RFC 9051 has UTF-8 in quoted strings.
fn quoted(input: &[u8]) -> IResult<&[u8], Octets> {
    let (mut rest, _) = tag("\"").parse(input)?;
    // As long as it can become, so that growing leaves no copy behind.
    let mut text = Zeroizing::new(Vec::with_capacity(rest.len()));
    loop {
        match rest {
            [b'"', next @ ..] => return Ok((next, text)),
            [b'\\', octet @ (b'"' | b'\\'), next @ ..] => {
                text.push(*octet);
                rest = next;
            }
            [octet, next @ ..] if !matches!(octet, 0 | b'\r' | b'\n' | b'\\') => {
                text.push(*octet);
                rest = next;
            }
            _ => return Err(nom::Err::Error(nom::error::Error::new(rest, nom::error::ErrorKind::Char))),
        }
    }
}

fn literal_string(input: &[u8]) -> IResult<&[u8], Octets> {
    let plus = opt(tag("+"));
    let digits = take_while1(|octet: u8| octet.is_ascii_digit());
    let (rest, digits) = delimited(tag("{"), digits, (plus, tag("}\r\n"))).parse(input)?;
    let length = literal::number(digits);
    take(length).map(|octets: &[u8]| Zeroizing::new(octets.to_vec())).parse(rest)
}

/// `ASTRING-CHAR`: an atom's, and `]`.
fn is_astring_char(octet: u8) -> bool {
    is_atom_char(octet) || octet == b']'
}

fn split_word(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|&octet| octet == b' ').unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, &[]))
}
