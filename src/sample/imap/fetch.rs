//! Writes the answer to FETCH for one message (RFC 3501 §7.4.2).

use std::ops::Range;

use bytes::Bytes;

use super::{
    cursor::is_atom,
    envelope,
    item::{Item, Section, What},
};
use crate::sample::{date, mail::Message, message, mime::Part};

/// The pieces of one FETCH response, the line end included. Bodies are not copied.
pub(super) fn answer(number: usize, found: &Message, items: &[Item]) -> Vec<Bytes> {
    let mut pieces = Pieces { done: Vec::new(), text: format!("* {number} FETCH (").into_bytes() };
    let mut parts = Parts { octets: &found.octets, parsed: None };
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            pieces.text(b" ");
        }
        match item {
            Item::Body { section, partial, .. } => {
                let origin = partial.map(|(start, _)| format!("<{start}>")).unwrap_or_default();
                pieces.text(format!("BODY[{section}]{origin} ").as_bytes());
                pieces.nstring(parts.select(section).map(|octets| cut(octets, *partial)));
            }
            Item::BodyStructure { extended } => {
                pieces.text(if *extended { b"BODYSTRUCTURE " } else { b"BODY " });
                pieces.text(&structure(&found.octets, parts.parse()));
            }
            Item::Envelope => {
                pieces.text(b"ENVELOPE ");
                let (header, _) = message::split(&found.octets);
                pieces.text(&envelope::of(found.octets.get(header).unwrap_or_default()));
            }
            Item::Flags => pieces.text(format!("FLAGS {}", found.flags).as_bytes()),
            Item::InternalDate => {
                pieces.text(format!("INTERNALDATE \"{}\"", date::internal(found.arrived)).as_bytes());
            }
            Item::Old { name, section, .. } => {
                pieces.text(format!("{name} ").as_bytes());
                pieces.nstring(parts.select(section));
            }
            Item::Size => pieces.text(format!("RFC822.SIZE {}", found.octets.len()).as_bytes()),
            Item::Uid => pieces.text(format!("UID {}", found.uid).as_bytes()),
        }
    }
    pieces.text(b")\r\n");
    pieces.done.push(pieces.text.into());
    pieces.done
}

/// Whether these items mark a message as read.
pub(super) fn marks_seen(items: &[Item]) -> bool {
    items.iter().any(|item| matches!(item, Item::Body { peek: false, .. } | Item::Old { peek: false, .. }))
}

/// An RFC 3501 nstring: NIL, quoted, or a literal where quotes cannot hold it.
pub(super) fn nstring(octets: Option<&[u8]>) -> Vec<u8> {
    let Some(octets) = octets else { return b"NIL".to_vec() };
    let quotable = octets.len() <= 512 && octets.iter().all(|octet| (b' '..0x7f).contains(octet));
    if !quotable {
        return [format!("{{{}}}\r\n", octets.len()).as_bytes(), octets].concat();
    }
    let mut quoted = vec![b'"'];
    for &octet in octets {
        if b"\"\\".contains(&octet) {
            quoted.push(b'\\');
        }
        quoted.push(octet);
    }
    quoted.push(b'"');
    quoted
}

/// An RFC 3501 astring: an atom where it can be one.
pub(super) fn astring(text: &str) -> String {
    if !text.is_empty() && text.bytes().all(is_atom) {
        return text.to_owned();
    }
    String::from_utf8_lossy(&nstring(Some(text.as_bytes()))).into_owned()
}

/// Text that is gathered, and octets of the message that are only referred to.
struct Pieces {
    done: Vec<Bytes>,
    text: Vec<u8>,
}

impl Pieces {
    fn text(&mut self, text: &[u8]) {
        self.text.extend_from_slice(text);
    }

    fn nstring(&mut self, octets: Option<Bytes>) {
        let Some(octets) = octets else { return self.text(b"NIL") };
        self.text(format!("{{{}}}\r\n", octets.len()).as_bytes());
        self.done.push(std::mem::take(&mut self.text).into());
        self.done.push(octets);
    }
}

/// The message and, once somebody asked, its parts.
struct Parts<'a> {
    octets: &'a Bytes,
    parsed: Option<Part>,
}

impl Parts<'_> {
    fn parse(&mut self) -> &Part {
        self.parsed.get_or_insert_with(|| Part::of(self.octets))
    }

    /// The octets of a section, or `None` when the message has no such part.
    fn select(&mut self, section: &Section) -> Option<Bytes> {
        if section.path.is_empty() {
            let (header, body) = message::split(self.octets);
            return self.choose(&section.what, 0..self.octets.len(), header, body);
        }
        let octets = self.octets;
        let part = self.parse().find(&section.path)?;
        let (header, body) = (part.header.clone(), part.body.clone());
        if matches!(section.what, What::All | What::Mime) {
            return self.choose(&section.what, body.clone(), header, body);
        }
        // HEADER and TEXT of a part are those of the message that it carries.
        if part.media != b"MESSAGE" {
            return None;
        }
        let (inner_header, inner_body) = message::split(octets.get(body.clone())?);
        let shift = |range: Range<usize>| body.start + range.start..body.start + range.end;
        self.choose(&section.what, body.clone(), shift(inner_header), shift(inner_body))
    }

    fn choose(
        &self,
        what: &What,
        all: Range<usize>,
        header: Range<usize>,
        body: Range<usize>,
    ) -> Option<Bytes> {
        Some(match what {
            What::All => self.octets.slice(all),
            What::Fields { names, not } => self.fields(header, names, *not)?.into(),
            What::Header | What::Mime => self.octets.slice(header),
            What::Text => self.octets.slice(body),
        })
    }

    fn fields(&self, header: Range<usize>, names: &[String], not: bool) -> Option<Vec<u8>> {
        let wanted = |name: &[u8]| names.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(name));
        let mut chosen = Vec::new();
        for field in message::fields(self.octets.get(header)?).filter(|field| wanted(field.name) != not) {
            chosen.extend_from_slice(field.raw);
        }
        chosen.extend_from_slice(b"\r\n");
        Some(chosen)
    }
}

fn cut(octets: Bytes, partial: Option<(usize, usize)>) -> Bytes {
    let Some((start, length)) = partial else { return octets };
    let start = start.min(octets.len());
    let end = start.saturating_add(length).min(octets.len());
    octets.slice(start..end)
}

/// The body structure (RFC 3501 §7.4.2), without extension data, which is optional.
fn structure(octets: &[u8], part: &Part) -> Vec<u8> {
    if !part.children.is_empty() {
        let children: Vec<_> = part.children.iter().map(|child| structure(octets, child)).collect();
        return [b"(", &children.concat()[..], b" ", &nstring(Some(&part.subtype)), b")"].concat();
    }
    let header = octets.get(part.header.clone()).unwrap_or_default();
    let body = octets.get(part.body.clone()).unwrap_or_default();
    let field = |name| message::value(header, name);
    // A multipart without parts, and a message in a message, would need more structure than is kept.
    let (media, subtype) = match &part.media[..] {
        b"MULTIPART" | b"MESSAGE" => (&b"APPLICATION"[..], &b"OCTET-STREAM"[..]),
        media => (media, &part.subtype[..]),
    };
    let encoding = field("content-transfer-encoding")
        .map_or_else(|| b"7BIT".to_vec(), |value| value.to_ascii_uppercase());
    let mut fields = vec![
        nstring(Some(media)),
        nstring(Some(subtype)),
        parameters(part),
        nstring(field("content-id").as_deref()),
        nstring(field("content-description").as_deref()),
        nstring(Some(&encoding)),
        body.len().to_string().into_bytes(),
    ];
    if media == b"TEXT" {
        fields.push(memchr::memchr_iter(b'\n', body).count().to_string().into_bytes());
    }
    [b"(", &fields.join(&b' ')[..], b")"].concat()
}

fn parameters(part: &Part) -> Vec<u8> {
    if part.parameters.is_empty() {
        return b"NIL".to_vec();
    }
    let pairs: Vec<_> = part
        .parameters
        .iter()
        .map(|(name, value)| [nstring(Some(name)), nstring(Some(value))].join(&b' '))
        .collect();
    [b"(", &pairs.join(&b' ')[..], b")"].concat()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;
    use crate::{
        model::UnixTime,
        sample::{
            imap::{cursor::Cursor, item},
            mail::Flags,
        },
    };

    const MESSAGE: &[u8] =
        b"From: \"A, B\" <a@b.example>\r\nTo: c@d.example\r\nSubject: s\r\n\r\nhello\r\nworld\r\n";

    fn answered(octets: &'static [u8], items: &'static str) -> String {
        let found = Message {
            uid: 7,
            arrived: UnixTime(0),
            flags: Flags::SEEN,
            octets: Bytes::from_static(octets),
            change: 1,
        };
        let items = item::parse(&mut Cursor::new(Bytes::from_static(items.as_bytes()))).unwrap();
        String::from_utf8(answer(2, &found, &items).concat()).unwrap()
    }

    #[test]
    fn plain_items_are_answered_in_order() {
        assert_eq!(
            answered(MESSAGE, "(UID FLAGS RFC822.SIZE INTERNALDATE)"),
            "* 2 FETCH (UID 7 FLAGS (\\Seen) RFC822.SIZE 73 INTERNALDATE \" 1-Jan-1970 00:00:00 +0000\")\r\n"
        );
    }

    #[test]
    fn a_partial_never_reads_beyond_the_message() {
        assert_eq!(answered(MESSAGE, "BODY[TEXT]<2.3>"), "* 2 FETCH (BODY[TEXT]<2> {3}\r\nllo)\r\n");
        assert_eq!(
            answered(MESSAGE, "BODY[]<4294967295.4294967295>"),
            "* 2 FETCH (BODY[]<4294967295> {0}\r\n)\r\n"
        );
    }

    #[test]
    fn header_fields_are_chosen_by_name() {
        assert_eq!(
            answered(MESSAGE, "BODY.PEEK[HEADER.FIELDS (subject to)]"),
            "* 2 FETCH (BODY[HEADER.FIELDS (subject to)] {31}\r\nTo: c@d.example\r\nSubject: s\r\n\r\n)\r\n"
        );
    }

    #[test]
    fn the_structure_of_a_multipart_names_its_parts() {
        let mixed = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none\r\n--b\r\nContent-Type: image/png; name=x\r\n\r\n1\r\n--b--\r\n";
        assert_eq!(
            answered(mixed, "BODY"),
            "* 2 FETCH (BODY ((\"TEXT\" \"PLAIN\" NIL NIL NIL \"7BIT\" 3 0)(\"IMAGE\" \"PNG\" (\"NAME\" \"x\") NIL NIL \"7BIT\" 1) \"MIXED\"))\r\n"
        );
        assert_eq!(answered(mixed, "BODY[2]"), "* 2 FETCH (BODY[2] {1}\r\n1)\r\n");
        assert_eq!(answered(mixed, "BODY[3]"), "* 2 FETCH (BODY[3] NIL)\r\n");
    }

    #[test]
    fn an_envelope_names_its_addresses() {
        assert_eq!(
            answered(MESSAGE, "ENVELOPE"),
            "* 2 FETCH (ENVELOPE (NIL \"s\" ((\"A, B\" NIL \"a\" \"b.example\")) ((\"A, B\" NIL \"a\" \"b.example\")) ((\"A, B\" NIL \"a\" \"b.example\")) ((NIL NIL \"c\" \"d.example\")) NIL NIL NIL NIL))\r\n"
        );
    }
}
