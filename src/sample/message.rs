//! Header fields of a message (RFC 5322), read without judging them.

use std::ops::Range;

/// One header field as it stands in the message.
pub(super) struct Field<'a> {
    /// Its name.
    pub(super) name: &'a [u8],
    /// The whole field with its folded lines and the last line end.
    pub(super) raw: &'a [u8],
}

/// Where header and body of `octets` are; the empty line belongs to the header.
pub(super) fn split(octets: &[u8]) -> (Range<usize>, Range<usize>) {
    let mut at = 0;
    for line in octets.split_inclusive(|&octet| octet == b'\n') {
        at += line.len();
        if matches!(line, b"\r\n" | b"\n") {
            break;
        }
    }
    (0..at, at..octets.len())
}

/// The fields of a header, in order. What is no field is passed over.
pub(super) fn fields(header: &[u8]) -> impl Iterator<Item = Field<'_>> {
    let mut rest = header;
    std::iter::from_fn(move || {
        loop {
            let end = field_end(rest)?;
            let (raw, behind) = rest.split_at_checked(end)?;
            rest = behind;
            let Some(colon) = raw.iter().position(|&octet| octet == b':') else { continue };
            let name = raw.get(..colon)?.trim_ascii_end();
            if !name.is_empty() && !name.contains(&b'\n') {
                return Some(Field { name, raw });
            }
        }
    })
}

/// The unfolded value of the first field of that name.
pub(super) fn value(header: &[u8], name: &str) -> Option<Vec<u8>> {
    fields(header).find(|field| field.name.eq_ignore_ascii_case(name.as_bytes())).map(|field| field.value())
}

/// Whether `haystack` holds `needle`, ASCII letters in any case.
pub(super) fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    let Some((&first, rest)) = needle.split_first() else { return true };
    memchr::memchr2_iter(first.to_ascii_lowercase(), first.to_ascii_uppercase(), haystack).any(|at| {
        haystack.get(at + 1..at + 1 + rest.len()).is_some_and(|found| found.eq_ignore_ascii_case(rest))
    })
}

impl Field<'_> {
    /// What stands behind the colon, unfolded.
    pub(super) fn value(&self) -> Vec<u8> {
        let value = self.raw.get(self.name.len()..).unwrap_or_default().trim_ascii_start();
        let value = value.strip_prefix(b":").unwrap_or(value);
        value
            .iter()
            .copied()
            .filter(|octet| !b"\r\n".contains(octet))
            .collect::<Vec<_>>()
            .trim_ascii()
            .to_vec()
    }
}

/// Octets up to where the first field, with its folded lines, ends. `None` at the end of the header.
fn field_end(header: &[u8]) -> Option<usize> {
    let mut end = 0;
    for line in header.split_inclusive(|&octet| octet == b'\n') {
        let folded = line.first().is_some_and(|octet| b" \t".contains(octet));
        if end > 0 && !folded {
            break;
        }
        if matches!(line, b"\r\n" | b"\n") {
            break;
        }
        end += line.len();
    }
    (end > 0).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: &[u8] = b"From: a@b\r\nSubject: one\r\n two\r\nX:\r\n\r\nbody\r\n";

    #[test]
    fn the_empty_line_ends_the_header() {
        let (header, body) = split(MESSAGE);
        assert!(MESSAGE[header].ends_with(b"X:\r\n\r\n"));
        assert_eq!(&MESSAGE[body], b"body\r\n");
        assert_eq!(split(b"\r\nbody").1, 2..6);
        assert_eq!(split(b"Subject: x"), (0..10, 10..10));
    }

    #[test]
    fn a_folded_field_is_one_field() {
        let names: Vec<_> = fields(MESSAGE).map(|field| field.name.to_vec()).collect();
        assert_eq!(names, [b"From".to_vec(), b"Subject".to_vec(), b"X".to_vec()]);
        assert_eq!(value(MESSAGE, "subject").unwrap(), b"one two");
        assert_eq!(value(MESSAGE, "x").unwrap(), b"");
        assert_eq!(value(MESSAGE, "body"), None);
    }

    #[test]
    fn a_search_ignores_the_case_of_ascii() {
        assert!(contains(b"Hello World", b"lo wO"));
        assert!(!contains(b"Hello", b"hello!"));
        assert!(contains(b"", b""));
    }
}
