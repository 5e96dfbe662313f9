//! SEARCH (RFC 3501 §6.4.4).

use bytes::Bytes;

use super::{
    command::parenthesised,
    cursor::{Cursor, Malformed, Span, covers},
};
use crate::sample::{
    date,
    mail::{Flags, Message},
    message,
};

/// How deep keys may stand in keys.
const DEPTH: usize = 16;

/// What a message must be like.
#[derive(Debug)]
pub(super) enum Key {
    All,
    And(Vec<Self>),
    /// The day of arrival.
    Arrived(When, i64),
    /// Somewhere in the body.
    Body(Bytes),
    Flag(Flags),
    /// A header field with that text in it.
    Header(String, Bytes),
    Larger(usize),
    Never,
    Not(Box<Self>),
    Numbers(Vec<Span>),
    Or(Box<Self>, Box<Self>),
    /// The day of the Date field.
    Sent(When, i64),
    Smaller(usize),
    /// Anywhere.
    Text(Bytes),
    Uids(Vec<Span>),
}

/// How a day is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    Before,
    On,
    Since,
}

/// Where a message stands in the session's view, and the ends that `*` means.
pub(super) struct Place {
    pub(super) number: u32,
    pub(super) last_number: u32,
    pub(super) last_uid: u32,
}

/// All keys of the command; each must hold.
pub(super) fn parse(cursor: &mut Cursor) -> Result<Key, Malformed> {
    let mut keys = Vec::new();
    loop {
        keys.push(key(cursor, DEPTH)?);
        if cursor.is_empty() {
            return Ok(Key::And(keys));
        }
        cursor.space()?;
    }
}

impl Key {
    /// Whether the message is like that.
    pub(super) fn matches(&self, found: &Message, place: &Place) -> bool {
        let header = || found.octets.get(message::split(&found.octets).0).unwrap_or_default();
        match self {
            Self::All => true,
            Self::And(keys) => keys.iter().all(|key| key.matches(found, place)),
            Self::Arrived(when, day) => when.holds(date::day_of(found.arrived), *day),
            Self::Body(text) => {
                let body = found.octets.get(message::split(&found.octets).1).unwrap_or_default();
                message::contains(body, text)
            }
            Self::Flag(flag) => found.flags.contains(*flag),
            Self::Header(name, text) => message::fields(header())
                .filter(|field| field.name.eq_ignore_ascii_case(name.as_bytes()))
                .any(|field| message::contains(&field.value(), text)),
            Self::Larger(size) => found.octets.len() > *size,
            Self::Never => false,
            Self::Not(key) => !key.matches(found, place),
            Self::Numbers(set) => covers(set, place.number, place.last_number),
            Self::Or(one, other) => one.matches(found, place) || other.matches(found, place),
            Self::Sent(when, day) => message::value(header(), "date")
                .and_then(|value| date::parse_header_day(&String::from_utf8_lossy(&value)))
                .is_some_and(|sent| when.holds(sent, *day)),
            Self::Smaller(size) => found.octets.len() < *size,
            Self::Text(text) => message::contains(&found.octets, text),
            Self::Uids(set) => covers(set, found.uid, place.last_uid),
        }
    }
}

impl When {
    fn holds(self, day: i64, asked: i64) -> bool {
        match self {
            Self::Before => day < asked,
            Self::On => day == asked,
            Self::Since => day >= asked,
        }
    }
}

fn key(cursor: &mut Cursor, depth: usize) -> Result<Key, Malformed> {
    let depth = depth.checked_sub(1).ok_or(Malformed("search keys are nested too deep"))?;
    match cursor.peek() {
        Some(b'(') => return parenthesised(cursor, |cursor| key(cursor, depth)).map(Key::And),
        Some(octet) if octet == b'*' || octet.is_ascii_digit() => {
            return cursor.sequence_set().map(Key::Numbers);
        }
        _ => {}
    }
    let name = cursor.keyword()?;
    if let Some(key) = bare(&name) {
        return Ok(key);
    }
    cursor.space()?;
    let inner = |cursor: &mut Cursor| key(cursor, depth).map(Box::new);
    Ok(match name.as_str() {
        "NOT" => Key::Not(inner(cursor)?),
        "OR" => {
            let one = inner(cursor)?;
            cursor.space()?;
            Key::Or(one, inner(cursor)?)
        }
        "CHARSET" => {
            // RFC 3501 §6.4.4 wants a NO with BADCHARSET for others; what they mean is not known here.
            if !matches!(cursor.astring_text()?.to_ascii_uppercase().as_str(), "UTF-8" | "US-ASCII") {
                return Err(Malformed("the charsets are UTF-8 and US-ASCII"));
            }
            Key::All
        }
        name => with_argument(name, cursor)?,
    })
}

fn bare(name: &str) -> Option<Key> {
    let flag = |name: &str| {
        Flags::NAMES
            .iter()
            .find(|(_, known)| known.strip_prefix('\\').is_some_and(|known| known.eq_ignore_ascii_case(name)))
    };
    Some(match name {
        "ALL" | "OLD" => Key::All,
        // No session here is told that a message is recent.
        "NEW" | "RECENT" => Key::Never,
        name => match flag(name) {
            Some((found, _)) => Key::Flag(*found),
            None => Key::Not(Box::new(Key::Flag(flag(name.strip_prefix("UN")?)?.0))),
        },
    })
}

fn with_argument(name: &str, cursor: &mut Cursor) -> Result<Key, Malformed> {
    let day = |cursor: &mut Cursor| date::parse_day(&cursor.astring_text()?).ok_or(Malformed("not a date"));
    Ok(match name {
        "BCC" | "CC" | "FROM" | "SUBJECT" | "TO" => Key::Header(name.to_owned(), cursor.astring()?),
        "BEFORE" => Key::Arrived(When::Before, day(cursor)?),
        "BODY" => Key::Body(cursor.astring()?),
        "HEADER" => {
            let field = cursor.astring_text()?;
            cursor.space()?;
            Key::Header(field, cursor.astring()?)
        }
        "KEYWORD" => {
            cursor.flag()?;
            Key::Never
        }
        "LARGER" => Key::Larger(cursor.number()? as usize),
        "ON" => Key::Arrived(When::On, day(cursor)?),
        "SENTBEFORE" => Key::Sent(When::Before, day(cursor)?),
        "SENTON" => Key::Sent(When::On, day(cursor)?),
        "SENTSINCE" => Key::Sent(When::Since, day(cursor)?),
        "SINCE" => Key::Arrived(When::Since, day(cursor)?),
        "SMALLER" => Key::Smaller(cursor.number()? as usize),
        "TEXT" => Key::Text(cursor.astring()?),
        "UID" => Key::Uids(cursor.sequence_set()?),
        "UNKEYWORD" => {
            cursor.flag()?;
            Key::All
        }
        _ => return Err(Malformed("no such search key")),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;
    use crate::model::UnixTime;

    fn holds(keys: &'static str) -> bool {
        let found = Message {
            uid: 9,
            arrived: UnixTime(1_709_164_800),
            flags: Flags::SEEN,
            octets: Bytes::from_static(
                b"From: Alice\r\nSubject: Hi\r\nDate: Thu, 1 Feb 2024 00:00:00 +0000\r\n\r\nbody text\r\n",
            ),
            change: 1,
        };
        let key = parse(&mut Cursor::new(Bytes::from_static(keys.as_bytes()))).unwrap();
        key.matches(&found, &Place { number: 2, last_number: 3, last_uid: 12 })
    }

    #[test]
    fn keys_are_judged_one_by_one_and_together() {
        for yes in [
            "ALL",
            "SEEN",
            "UNFLAGGED",
            "2",
            "2:*",
            "UID 9",
            "FROM alice",
            "SUBJECT \"hi\"",
            "TEXT BODY",
            "BODY text",
            "HEADER from \"\"",
            "ON 29-Feb-2024",
            "SINCE 29-Feb-2024",
            "BEFORE 1-Mar-2024",
            "SENTON 1-Feb-2024",
            "OR UNSEEN SEEN",
            "NOT UNSEEN",
            "(SEEN 2) UID 1:9",
            "CHARSET UTF-8 SEEN",
            "LARGER 5",
            "OLD UNKEYWORD $x",
        ] {
            assert!(holds(yes), "{yes}");
        }
        for no in [
            "UNSEEN",
            "FLAGGED",
            "3",
            "UID 10:*",
            "FROM bob",
            "BODY Alice",
            "HEADER x \"\"",
            "BEFORE 29-Feb-2024",
            "SENTBEFORE 1-Feb-2024",
            "NOT SEEN",
            "SEEN UNSEEN",
            "(SEEN 3)",
            "SMALLER 5",
            "NEW",
            "KEYWORD $x",
        ] {
            assert!(!holds(no), "{no}");
        }
    }

    #[test]
    fn what_is_no_key_or_too_deep_is_refused() {
        let nested = "NOT ".repeat(10_000) + "ALL";
        let parenthesised = "(".repeat(10_000);
        for bad in
            ["", "X", "OR SEEN", "NOT", "FROM", "ON x", "(SEEN", "CHARSET x ALL", &nested, &parenthesised]
        {
            assert!(parse(&mut Cursor::new(Bytes::from(bad.to_owned()))).is_err());
        }
    }
}
