//! What FETCH asks for (RFC 3501 §6.4.5).

use super::{
    command::parenthesised,
    cursor::{Cursor, Malformed},
};

/// One data item.
#[derive(Clone, Debug)]
pub(super) enum Item {
    Body {
        section: Section,
        partial: Option<(usize, usize)>,
        peek: bool,
    },
    BodyStructure {
        extended: bool,
    },
    Envelope,
    Flags,
    InternalDate,
    /// RFC822, RFC822.HEADER, RFC822.TEXT: the old names of BODY[…], answered under the old name.
    Old {
        name: &'static str,
        section: Section,
        peek: bool,
    },
    Size,
    Uid,
}

/// Which part of a message, and what of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Section {
    /// Part numbers; none is the message itself.
    pub(super) path: Vec<usize>,
    pub(super) what: What,
}

/// What of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    All,
    Fields { names: Vec<String>, not: bool },
    Header,
    Mime,
    Text,
}

/// Numbers in one part path.
const PATH: usize = 16;

/// One item, a macro or a list.
pub(super) fn parse(cursor: &mut Cursor) -> Result<Vec<Item>, Malformed> {
    if cursor.peek() == Some(b'(') {
        let lists = parenthesised(cursor, items)?;
        return Ok(lists.into_iter().flatten().collect());
    }
    items(cursor)
}

fn items(cursor: &mut Cursor) -> Result<Vec<Item>, Malformed> {
    let name = cursor.run(|octet| octet.is_ascii_alphanumeric() || octet == b'.')?.to_ascii_uppercase();
    let old = |name, what, peek| vec![Item::Old { name, section: Section { path: Vec::new(), what }, peek }];
    let fast = vec![Item::Flags, Item::InternalDate, Item::Size];
    Ok(match name.as_str() {
        "ALL" => [fast, vec![Item::Envelope]].concat(),
        "BODY" | "BODY.PEEK" if cursor.peek() == Some(b'[') => vec![body(cursor, name == "BODY.PEEK")?],
        "BODY" => vec![Item::BodyStructure { extended: false }],
        "BODYSTRUCTURE" => vec![Item::BodyStructure { extended: true }],
        "ENVELOPE" => vec![Item::Envelope],
        "FAST" => fast,
        "FLAGS" => vec![Item::Flags],
        "FULL" => [fast, vec![Item::Envelope, Item::BodyStructure { extended: false }]].concat(),
        "INTERNALDATE" => vec![Item::InternalDate],
        "RFC822" => old("RFC822", What::All, false),
        "RFC822.HEADER" => old("RFC822.HEADER", What::Header, true),
        "RFC822.SIZE" => vec![Item::Size],
        "RFC822.TEXT" => old("RFC822.TEXT", What::Text, false),
        "UID" => vec![Item::Uid],
        _ => return Err(Malformed("no such FETCH item")),
    })
}

fn body(cursor: &mut Cursor, peek: bool) -> Result<Item, Malformed> {
    cursor.expect(b'[', "a section is missing")?;
    let section = section(cursor)?;
    cursor.expect(b']', "a section has no end")?;
    let mut partial = None;
    if cursor.take(b'<') {
        let start = cursor.number()? as usize;
        cursor.expect(b'.', "a partial has two numbers")?;
        partial = Some((start, cursor.number()? as usize));
        cursor.expect(b'>', "a partial has no end")?;
    }
    Ok(Item::Body { section, partial, peek })
}

fn section(cursor: &mut Cursor) -> Result<Section, Malformed> {
    let mut path = Vec::new();
    while cursor.peek().is_some_and(|octet| octet.is_ascii_digit()) {
        path.push(cursor.number()? as usize);
        if path.len() > PATH {
            return Err(Malformed("a part lies too deep"));
        }
        if !cursor.take(b'.') {
            return Ok(Section { path, what: What::All });
        }
    }
    if path.is_empty() && cursor.peek() == Some(b']') {
        return Ok(Section { path, what: What::All });
    }
    let name = cursor.run(|octet| octet.is_ascii_alphabetic() || octet == b'.')?.to_ascii_uppercase();
    let what = match name.as_str() {
        "HEADER" => What::Header,
        "HEADER.FIELDS" | "HEADER.FIELDS.NOT" => {
            cursor.space()?;
            let names = parenthesised(cursor, Cursor::astring_text)?;
            What::Fields { names, not: name == "HEADER.FIELDS.NOT" }
        }
        "MIME" if !path.is_empty() => What::Mime,
        "TEXT" => What::Text,
        _ => return Err(Malformed("no such section")),
    };
    Ok(Section { path, what })
}

/// As it stands between the brackets, for the answer.
impl std::fmt::Display for Section {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let path: Vec<_> = self.path.iter().map(ToString::to_string).collect();
        let dot = if path.is_empty() || self.what == What::All { "" } else { "." };
        write!(f, "{}{dot}", path.join("."))?;
        match &self.what {
            What::All => Ok(()),
            What::Fields { names, not } => {
                // As atoms where they are, because some clients (mbsync) look for nothing else.
                let names: Vec<_> = names.iter().map(|name| super::fetch::astring(name)).collect();
                write!(f, "HEADER.FIELDS{} ({})", if *not { ".NOT" } else { "" }, names.join(" "))
            }
            What::Header => f.write_str("HEADER"),
            What::Mime => f.write_str("MIME"),
            What::Text => f.write_str("TEXT"),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn a_section_is_answered_as_it_was_asked() {
        for asked in [
            "",
            "HEADER",
            "TEXT",
            "1",
            "1.2",
            "1.MIME",
            "2.HEADER",
            "HEADER.FIELDS (Subject \"X y\")",
            "HEADER.FIELDS.NOT (to)",
        ] {
            let mut cursor = Cursor::new(Bytes::from(format!("BODY.PEEK[{asked}]<7.9>")));
            let items = parse(&mut cursor).unwrap();
            let [Item::Body { section, partial: Some((7, 9)), peek: true }] = &items[..] else {
                panic!("{items:?}")
            };
            assert_eq!(section.to_string(), asked);
        }
    }

    #[test]
    fn what_is_no_item_is_refused() {
        for bad in [
            "",
            "X",
            "BODY[",
            "BODY[X]",
            "BODY[MIME]",
            "BODY[]<1>",
            "(FLAGS",
            "(FLAGS  UID)",
            "BODY[HEADER.FIELDS]",
        ] {
            assert!(parse(&mut Cursor::new(Bytes::from_static(bad.as_bytes()))).is_err(), "{bad:?}");
        }
        let deep = format!("BODY[{}1]", "1.".repeat(1000));
        assert!(parse(&mut Cursor::new(Bytes::from(deep))).is_err());
    }
}
