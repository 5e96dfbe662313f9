//! The parts of a message (RFC 2045, 2046), for BODYSTRUCTURE and `BODY[1.2]`.

use std::ops::Range;

use super::message;

/// How deep parts may lie in parts; deeper ones are shown as plain octets.
const DEPTH: usize = 8;
/// Parts of one multipart that are told apart.
const PARTS: usize = 256;

/// A parameter: its name in capitals, and its value.
type Parameter = (Vec<u8>, Vec<u8>);

/// One part: the message itself, or what lies between two boundaries.
#[derive(Debug)]
pub(super) struct Part {
    /// Where its header is in the message, the empty line included.
    pub(super) header: Range<usize>,
    /// Where its body is.
    pub(super) body: Range<usize>,
    /// `TEXT`, `MULTIPART`, …
    pub(super) media: Vec<u8>,
    /// `PLAIN`, `MIXED`, …
    pub(super) subtype: Vec<u8>,
    /// Parameters of the type.
    pub(super) parameters: Vec<Parameter>,
    /// What is in it, when it is a multipart with parts.
    pub(super) children: Vec<Self>,
}

impl Part {
    /// The whole message as a part.
    pub(super) fn of(octets: &[u8]) -> Self {
        Self::parse(octets, 0..octets.len(), DEPTH)
    }

    /// The part of a number such as `1.2` (RFC 3501 §6.4.5). A message that is no multipart has one part, 1.
    pub(super) fn find(&self, path: &[usize]) -> Option<&Self> {
        let Some((&number, rest)) = path.split_first() else { return Some(self) };
        if self.children.is_empty() {
            return (number == 1 && rest.is_empty()).then_some(self);
        }
        self.children.get(number.checked_sub(1)?)?.inside(rest)
    }

    fn inside(&self, path: &[usize]) -> Option<&Self> {
        if path.is_empty() { Some(self) } else { self.find(path) }
    }

    fn parse(octets: &[u8], within: Range<usize>, depth: usize) -> Self {
        let piece = octets.get(within.clone()).unwrap_or_default();
        let (header, body) = message::split(piece);
        let shift = |range: Range<usize>| within.start + range.start..within.start + range.end;
        let kind = message::value(piece.get(header.clone()).unwrap_or_default(), "content-type");
        let (media, subtype, parameters) = kind
            .as_deref()
            .and_then(content_type)
            .unwrap_or_else(|| (b"TEXT".to_vec(), b"PLAIN".to_vec(), Vec::new()));
        let mut part = Self {
            header: shift(header),
            body: shift(body),
            media,
            subtype,
            parameters,
            children: Vec::new(),
        };
        if depth > 0 && part.media == b"MULTIPART" {
            let boundary = part.parameters.iter().find(|(name, _)| name == b"BOUNDARY");
            let boundary = boundary.map(|(_, value)| value.clone()).unwrap_or_default();
            let ranges = between(octets, part.body.clone(), &boundary);
            part.children = ranges.into_iter().map(|range| Self::parse(octets, range, depth - 1)).collect();
        }
        part
    }
}

/// Media type, subtype (both in capitals) and parameters of a Content-Type value (RFC 2045 §5.1).
fn content_type(value: &[u8]) -> Option<(Vec<u8>, Vec<u8>, Vec<Parameter>)> {
    let mut pieces = pieces(value).into_iter();
    let kind = pieces.next()?;
    let slash = kind.iter().position(|&octet| octet == b'/')?;
    let (media, subtype) = kind.split_at_checked(slash)?;
    let (media, subtype) = (media.trim_ascii(), subtype.get(1..)?.trim_ascii());
    let is_token = |octets: &[u8]| !octets.is_empty() && octets.iter().all(u8::is_ascii_graphic);
    if !is_token(media) || !is_token(subtype) {
        return None;
    }
    let parameters = pieces.filter_map(|piece| {
        let equals = piece.iter().position(|&octet| octet == b'=')?;
        let (name, value) = piece.split_at_checked(equals)?;
        Some((name.trim_ascii().to_ascii_uppercase(), unquoted(value.get(1..)?.trim_ascii())))
    });
    Some((media.to_ascii_uppercase(), subtype.to_ascii_uppercase(), parameters.collect()))
}

/// Splits at every `;` that is not inside quotes.
fn pieces(value: &[u8]) -> Vec<Vec<u8>> {
    let mut pieces = vec![Vec::new()];
    let (mut quoted, mut escaped) = (false, false);
    for &octet in value {
        if octet == b';' && !quoted {
            pieces.push(Vec::new());
            continue;
        }
        quoted ^= octet == b'"' && !escaped;
        escaped = quoted && octet == b'\\' && !escaped;
        if let Some(piece) = pieces.last_mut() {
            piece.push(octet);
        }
    }
    pieces
}

fn unquoted(value: &[u8]) -> Vec<u8> {
    let Some(inner) = value.strip_prefix(b"\"") else { return value.to_vec() };
    let inner = inner.strip_suffix(b"\"").unwrap_or(inner);
    let mut escaped = false;
    let keep = inner.iter().copied().filter(|&octet| {
        escaped = octet == b'\\' && !escaped;
        !escaped
    });
    keep.collect()
}

/// The ranges between the lines that `--boundary` begins. The line end before a boundary belongs to it.
fn between(octets: &[u8], body: Range<usize>, boundary: &[u8]) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let mut start = None;
    let mut at = body.start;
    for line in octets.get(body).unwrap_or_default().split_inclusive(|&octet| octet == b'\n') {
        let next = at + line.len();
        let marker = line.strip_prefix(b"--").and_then(|rest| rest.strip_prefix(boundary));
        let Some(tail) = marker.map(<[u8]>::trim_ascii_end).filter(|tail| matches!(*tail, b"" | b"--"))
        else {
            at = next;
            continue;
        };
        if let Some(start) = start.take() {
            ranges.push(start..without_line_end(octets, start, at));
        }
        if tail == b"--" || ranges.len() >= PARTS {
            return ranges;
        }
        start = Some(next);
        at = next;
    }
    ranges.extend(start.map(|start| start..at));
    ranges
}

fn without_line_end(octets: &[u8], start: usize, end: usize) -> usize {
    let piece = octets.get(start..end).unwrap_or_default();
    let piece = piece.strip_suffix(b"\n").unwrap_or(piece);
    start + piece.strip_suffix(b"\r").unwrap_or(piece).len()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIXED: &[u8] =
        b"Content-Type: multipart/mixed; x=\"a;b\"; boundary=\"b=\\\"1\"\r\n\r\npreamble\r\n\
        --b=\"1\r\n\r\none\r\n--b=\"1\r\nContent-Type: multipart/alternative; boundary=c\r\n\r\n\
        --c\r\nContent-Type: text/html\r\n\r\n<p>\r\n--c--\r\n--b=\"1--\r\nepilogue\r\n";

    #[test]
    fn parts_are_found_by_their_numbers() {
        let part = Part::of(MIXED);
        let body = |path: &[usize]| part.find(path).map(|part| &MIXED[part.body.clone()]);
        assert_eq!(body(&[1]), Some(&b"one"[..]));
        assert_eq!(body(&[2, 1]), Some(&b"<p>"[..]));
        assert_eq!(body(&[3]), None);
        assert_eq!(body(&[1, 1]), Some(&b"one"[..]));
        assert_eq!(body(&[0]), None);
    }

    #[test]
    fn a_message_without_a_type_is_plain_text() {
        let part = Part::of(b"Subject: x\r\n\r\nhello");
        assert_eq!((&part.media[..], &part.subtype[..]), (&b"TEXT"[..], &b"PLAIN"[..]));
        assert!(part.find(&[1]).is_some());
        assert!(part.find(&[2]).is_none());
    }

    #[test]
    fn parts_in_parts_without_end_are_cut() {
        let nested = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n".repeat(10_000);
        let mut part = &Part::of(nested.as_bytes());
        let mut depth = 0;
        while let Some(child) = part.children.first() {
            part = child;
            depth += 1;
        }
        assert!(depth <= DEPTH);
    }
}
