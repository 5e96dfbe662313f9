//! The commands that the sample server knows, and their grammar (RFC 3501 §9).

use bytes::Bytes;

use super::{
    cursor::{Cursor, Malformed, Span},
    item::{self, Item},
    search::{self, Key},
};
use crate::{
    model::UnixTime,
    sample::{date, mail::Flags},
};

/// A command with its arguments.
#[derive(Debug)]
pub(super) enum Command {
    Capability,
    Check,
    Close {
        expunge: bool,
    },
    Copy {
        uid: bool,
        set: Vec<Span>,
        mailbox: String,
    },
    Enter(Enter),
    /// With a set of UIDs, only those of them.
    Expunge {
        only: Option<Vec<Span>>,
    },
    Fetch {
        uid: bool,
        set: Vec<Span>,
        items: Vec<Item>,
    },
    Id,
    Idle,
    Logout,
    Mailboxes(Mailboxes),
    Noop,
    Search {
        uid: bool,
        key: Key,
    },
    Select {
        mailbox: String,
        read_only: bool,
    },
    Store {
        uid: bool,
        set: Vec<Span>,
        change: Change,
        silent: bool,
        flags: Flags,
    },
}

/// The commands that log in.
#[derive(Debug)]
pub(super) enum Enter {
    Authenticate { mechanism: String, initial: Option<Bytes> },
    Login { user: Bytes, password: Bytes },
}

/// The commands about mailboxes as wholes.
#[derive(Debug)]
pub(super) enum Mailboxes {
    Append {
        mailbox: String,
        flags: Flags,
        arrived: Option<UnixTime>,
        octets: Bytes,
    },
    Create(String),
    Delete(String),
    List {
        subscribed: bool,
        reference: String,
        pattern: String,
    },
    Namespace,
    Status {
        mailbox: String,
        items: Vec<String>,
    },
    /// SUBSCRIBE and UNSUBSCRIBE; every mailbox is subscribed.
    Subscribe,
}

/// What STORE does with the flags that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Add,
    Remove,
    Replace,
}

impl From<Mailboxes> for Command {
    fn from(command: Mailboxes) -> Self {
        Self::Mailboxes(command)
    }
}

/// The tag of a command, or `None` when there is no usable one; and the rest.
pub(super) fn tag(command: Bytes) -> (Option<String>, Cursor) {
    let mut cursor = Cursor::new(command);
    let tag = cursor.run(|octet| octet.is_ascii_graphic() && !b"(){%*\"\\+".contains(&octet)).ok();
    let spaced = cursor.take(b' ');
    (tag.filter(|tag| spaced && tag.len() <= 64), cursor)
}

/// Reads what stands behind the tag.
pub(super) fn parse(cursor: &mut Cursor) -> Result<Command, Malformed> {
    let name = cursor.keyword()?;
    let command = match name.as_str() {
        "UID" => {
            cursor.space()?;
            let name = cursor.keyword()?;
            if name == "EXPUNGE" {
                cursor.space()?;
                let only = Some(cursor.sequence_set()?);
                cursor.end()?;
                return Ok(Command::Expunge { only });
            }
            message_command(&name, true, cursor)?.ok_or(Malformed("no such UID command"))?
        }
        name => match message_command(name, false, cursor)? {
            Some(command) => command,
            None => other_command(name, cursor)?,
        },
    };
    cursor.end()?;
    Ok(command)
}

/// The commands that take a sequence set, by number or by UID.
fn message_command(name: &str, uid: bool, cursor: &mut Cursor) -> Result<Option<Command>, Malformed> {
    if !matches!(name, "COPY" | "FETCH" | "SEARCH" | "STORE") {
        return Ok(None);
    }
    cursor.space()?;
    if name == "SEARCH" {
        return search::parse(cursor).map(|key| Some(Command::Search { uid, key }));
    }
    let set = cursor.sequence_set()?;
    cursor.space()?;
    Ok(Some(match name {
        "COPY" => Command::Copy { uid, set, mailbox: cursor.astring_text()? },
        "FETCH" => Command::Fetch { uid, set, items: item::parse(cursor)? },
        _ => store(uid, set, cursor)?,
    }))
}

fn other_command(name: &str, cursor: &mut Cursor) -> Result<Command, Malformed> {
    Ok(match name {
        "CAPABILITY" => Command::Capability,
        "CHECK" => Command::Check,
        "CLOSE" => Command::Close { expunge: true },
        "EXPUNGE" => Command::Expunge { only: None },
        "IDLE" => Command::Idle,
        "LOGOUT" => Command::Logout,
        "NAMESPACE" => Mailboxes::Namespace.into(),
        "NOOP" => Command::Noop,
        "UNSELECT" => Command::Close { expunge: false },
        name => {
            cursor.space()?;
            with_arguments(name, cursor)?
        }
    })
}

fn with_arguments(name: &str, cursor: &mut Cursor) -> Result<Command, Malformed> {
    Ok(match name {
        "APPEND" => append(cursor)?,
        "AUTHENTICATE" => {
            let mechanism = cursor.keyword()?;
            let initial = cursor.take(b' ').then(|| cursor.remainder());
            Command::Enter(Enter::Authenticate { mechanism, initial })
        }
        "CREATE" => Mailboxes::Create(cursor.astring_text()?).into(),
        "DELETE" => Mailboxes::Delete(cursor.astring_text()?).into(),
        "ID" => {
            cursor.remainder();
            Command::Id
        }
        "LIST" | "LSUB" => {
            let reference = cursor.astring_text()?;
            cursor.space()?;
            Mailboxes::List { subscribed: name == "LSUB", reference, pattern: cursor.pattern()? }.into()
        }
        "LOGIN" => {
            let user = cursor.astring()?;
            cursor.space()?;
            Command::Enter(Enter::Login { user, password: cursor.astring()? })
        }
        "SELECT" | "EXAMINE" => {
            Command::Select { mailbox: cursor.astring_text()?, read_only: name == "EXAMINE" }
        }
        "STATUS" => {
            let mailbox = cursor.astring_text()?;
            cursor.space()?;
            Mailboxes::Status { mailbox, items: parenthesised(cursor, Cursor::keyword)? }.into()
        }
        "SUBSCRIBE" | "UNSUBSCRIBE" => {
            cursor.astring()?;
            Mailboxes::Subscribe.into()
        }
        _ => return Err(Malformed("no such command")),
    })
}

fn append(cursor: &mut Cursor) -> Result<Command, Malformed> {
    let mailbox = cursor.astring_text()?;
    cursor.space()?;
    let mut flags = Flags::default();
    if cursor.peek() == Some(b'(') {
        flags = flag_list(cursor)?;
        cursor.space()?;
    }
    let mut arrived = None;
    if cursor.peek() == Some(b'"') {
        let written = cursor.astring_text()?;
        arrived = Some(date::parse_internal(&written).ok_or(Malformed("not a date"))?);
        cursor.space()?;
    }
    Ok(Mailboxes::Append { mailbox, flags, arrived, octets: cursor.literal()? }.into())
}

fn store(uid: bool, set: Vec<Span>, cursor: &mut Cursor) -> Result<Command, Malformed> {
    let change = match cursor.peek() {
        Some(b'+') => Change::Add,
        Some(b'-') => Change::Remove,
        _ => Change::Replace,
    };
    if change != Change::Replace {
        cursor.take(b'+');
        cursor.take(b'-');
    }
    let silent = match cursor.keyword()?.as_str() {
        "FLAGS" => false,
        "FLAGS.SILENT" => true,
        _ => return Err(Malformed("STORE changes FLAGS only")),
    };
    cursor.space()?;
    let flags = if cursor.peek() == Some(b'(') { flag_list(cursor)? } else { bare_flags(cursor)? };
    Ok(Command::Store { uid, set, change, silent, flags })
}

fn flag_list(cursor: &mut Cursor) -> Result<Flags, Malformed> {
    let names = parenthesised(cursor, Cursor::flag)?;
    Ok(names.iter().fold(Flags::default(), |flags, name| flags.with(Flags::named(name))))
}

fn bare_flags(cursor: &mut Cursor) -> Result<Flags, Malformed> {
    let mut flags = Flags::named(&cursor.flag()?);
    while cursor.take(b' ') {
        flags = flags.with(Flags::named(&cursor.flag()?));
    }
    Ok(flags)
}

/// `(one two three)`, perhaps empty.
pub(super) fn parenthesised<T>(
    cursor: &mut Cursor,
    mut one: impl FnMut(&mut Cursor) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    cursor.expect(b'(', "a list is missing")?;
    let mut all = Vec::new();
    while !cursor.take(b')') {
        if !all.is_empty() {
            cursor.space()?;
        }
        all.push(one(cursor)?);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &'static str) -> Result<Command, Malformed> {
        let (tag, mut cursor) = tag(Bytes::from_static(text.as_bytes()));
        assert_eq!(tag.as_deref(), Some("a"));
        parse(&mut cursor)
    }

    #[test]
    fn commands_are_read_in_any_case() {
        assert!(matches!(parsed("a noop"), Ok(Command::Noop)));
        assert!(matches!(parsed("a uid fetch 1:* (flags uid)"), Ok(Command::Fetch { uid: true, .. })));
        assert!(matches!(
            parsed("a store 1 -flags.silent \\Seen"),
            Ok(Command::Store { change: Change::Remove, silent: true, flags: Flags::SEEN, .. })
        ));
        let append = parsed("a append Sent (\\Seen $x) \" 1-Jan-2024 00:00:00 +0000\" {2+}\r\nhi");
        let Ok(Command::Mailboxes(Mailboxes::Append {
            mailbox,
            flags: Flags::SEEN,
            arrived: Some(_),
            octets,
        })) = append
        else {
            panic!("{append:?}")
        };
        assert_eq!((mailbox.as_str(), &octets[..]), ("Sent", &b"hi"[..]));
    }

    #[test]
    fn what_is_no_command_is_refused() {
        for bad in [
            "a ",
            "a x",
            "a noop x",
            "a fetch 1",
            "a uid noop",
            "a store 1 x (y)",
            "a append x {9}\r\nshort",
            "a status x (a",
        ] {
            assert!(parsed(bad).is_err(), "{bad:?}");
        }
        assert_eq!(tag(Bytes::from_static(b"+ x")).0, None);
        assert_eq!(tag(Bytes::from_static(b"a")).0, None);
    }
}
