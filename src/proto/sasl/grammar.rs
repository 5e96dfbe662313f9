//! The messages of the mechanisms, decoded from base64.
//!
//! Lenient exactly where real clients are known to err; each such place says so. Which reading is chosen never
//! gives a client more than its own token does: the identity asked for is compared with the token's later.

use std::str;

use nom::{
    IResult, Parser as _,
    branch::alt,
    bytes::complete::{tag, tag_no_case, take_till, take_while, take_while1},
    character::complete::char as octet,
    combinator::{all_consuming, opt, recognize, rest},
    multi::many0,
    sequence::{preceded, separated_pair, terminated},
};

/// Ends each part of a bearer message (RFC 7628 §3.1).
const KVSEP: u8 = 0x01;

/// What OAUTHBEARER and XOAUTH2 carry.
pub(super) struct BearerMessage<'a> {
    /// The identity asked for, unescaped; `None` when it is absent or empty.
    pub(super) authzid: Option<String>,
    /// A `b64token`, or empty (RFC 7628 §4.3).
    pub(super) token: &'a [u8],
}

/// What PLAIN carries.
pub(super) struct PlainMessage<'a> {
    pub(super) authzid: Option<&'a str>,
    pub(super) authcid: &'a str,
    pub(super) password: &'a [u8],
}

/// Reads an OAUTHBEARER message. The form of XOAUTH2 is taken too, since cURL before 7.66 sends it under this name.
pub(super) fn oauthbearer(message: &[u8]) -> Result<BearerMessage<'_>, &'static str> {
    if message.starts_with(b"user=") {
        return xoauth2(message);
    }
    let (pairs, header) = terminated(take_till(|o| o == KVSEP), octet('\x01'))
        .parse(message)
        .map_err(|_: Fault<'_>| "the message has no GS2 header")?;
    let name = gs2_header(header)?;
    let authzid = match name {
        Some(name) => identity(&unescape(name))?,
        None => None,
    };
    Ok(BearerMessage { authzid, token: token(pairs)? })
}

/// Reads an XOAUTH2 message, which has no escapes.
pub(super) fn xoauth2(message: &[u8]) -> Result<BearerMessage<'_>, &'static str> {
    let (pairs, user) = (tag("user="), take_till(|o| o == KVSEP), octet('\x01'))
        .map(|(_, user, _)| user)
        .parse(message)
        .map_err(|_: Fault<'_>| "the message does not begin with a user")?;
    Ok(BearerMessage { authzid: identity(user)?, token: token(pairs)? })
}

/// Reads a PLAIN message (RFC 4616 §2).
pub(super) fn plain(message: &[u8]) -> Result<PlainMessage<'_>, &'static str> {
    let part = || take_till::<_, &[u8], nom::error::Error<&[u8]>>(|o| o == 0);
    let (_, (authzid, _, authcid, _, password)) =
        all_consuming((part(), octet('\0'), part(), octet('\0'), part()))
            .parse(message)
            .map_err(|_| "the message has not the three parts of PLAIN")?;
    let authcid = login_name(authcid)?;
    let authzid = if authzid.is_empty() { None } else { Some(login_name(authzid)?) };
    if password.is_empty() {
        return Err("the password is empty");
    }
    Ok(PlainMessage { authzid, authcid, password })
}

/// Checks a login name: UTF-8, not empty, no control characters.
pub(super) fn login_name(octets: &[u8]) -> Result<&str, &'static str> {
    let name = str::from_utf8(octets).map_err(|_| "the name is not UTF-8")?;
    if name.is_empty() {
        return Err("the name is empty");
    }
    if name.chars().any(char::is_control) {
        return Err("the name holds a control character");
    }
    Ok(name)
}

type Fault<'a> = nom::Err<nom::error::Error<&'a [u8]>>;

/// `["F,"] cb-flag "," [authzid] ","` (RFC 5801 §4), all of it. Gives the authzid, still escaped.
fn gs2_header(header: &[u8]) -> Result<Option<&[u8]>, &'static str> {
    // No `p=`: a client that wants channel binding would be cheated by an answer without it.
    let (_, (_, _, _, name)) =
        all_consuming((opt(tag("F,")), alt((octet('n'), octet('y'))), octet(','), rest))
            .parse(header)
            .map_err(|_: Fault<'_>| "the GS2 header is malformed")?;
    let name = name.strip_suffix(b",").ok_or("the GS2 header does not end with a comma")?;
    if name.is_empty() {
        return Ok(None);
    }
    // `user=` stands in RFC 7628's own SMTP example (§4.4).
    let name = name
        .strip_prefix(b"a=")
        .or_else(|| name.strip_prefix(b"user="))
        .ok_or("the authorization identity has no name")?;
    Ok(Some(name))
}

/// Undoes `=2C` and `=3D`, in any case. Any other `=`, and a comma, stands for itself: MailKit does not escape.
fn unescape(name: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((&first, behind)) = rest.split_first() {
        let (octet, next) = match (first, behind) {
            (b'=', [b'2', b'C' | b'c', next @ ..]) => (b',', next),
            (b'=', [b'3', b'D' | b'd', next @ ..]) => (b'=', next),
            _ => (first, behind),
        };
        plain.push(octet);
        rest = next;
    }
    plain
}

fn identity(name: &[u8]) -> Result<Option<String>, &'static str> {
    if name.is_empty() {
        return Ok(None);
    }
    login_name(name).map(|name| Some(name.to_owned()))
}

/// `*kvpair kvsep`, and the token of its one `auth`. Unknown keys are ignored (RFC 7628 §3.1); the last
/// separator may be missing.
fn token(pairs: &[u8]) -> Result<&[u8], &'static str> {
    let (_, pairs) = all_consuming(terminated(many0(pair), opt(octet('\x01'))))
        .parse(pairs)
        .map_err(|_: Fault<'_>| "the key-value pairs are malformed")?;
    let mut values = pairs.iter().filter(|(key, _)| *key == b"auth").map(|(_, value)| *value);
    let value = values.next().ok_or("the message has no auth")?;
    if values.next().is_some() {
        return Err("the message has more than one auth");
    }
    bearer(value)
}

fn pair(input: &[u8]) -> IResult<&[u8], (&[u8], &[u8])> {
    let key = take_while1(|o: u8| o.is_ascii_alphabetic());
    let value = take_while(|o: u8| matches!(o, 0x20..=0x7E | b'\t' | b'\r' | b'\n'));
    terminated(separated_pair(key, octet('='), value), octet('\x01')).parse(input)
}

/// The token of an `Authorization` value: scheme in any case, any number of spaces; a line end or a space
/// behind the token is cut, since Google's own sample has one.
fn bearer(value: &[u8]) -> Result<&[u8], &'static str> {
    let end = value
        .iter()
        .rposition(|o| !matches!(o, b' ' | b'\r' | b'\n'))
        .map_or(0, |last| last.saturating_add(1));
    let value = value.get(..end).unwrap_or_default();
    if value.is_empty() || value.eq_ignore_ascii_case(b"bearer") {
        return Ok(b"");
    }
    let (token, _) = preceded(tag_no_case("bearer"), take_while1(|o| o == b' '))
        .parse(value)
        .map_err(|_: Fault<'_>| "the scheme is not Bearer")?;
    let body = take_while1(|o: u8| o.is_ascii_alphanumeric() || b"-._~+/".contains(&o));
    let padding = take_while(|o| o == b'=');
    let (_, token) = all_consuming(recognize((body, padding)))
        .parse(token)
        .map_err(|_: Fault<'_>| "the token holds a character that no token may hold")?;
    Ok(token)
}
