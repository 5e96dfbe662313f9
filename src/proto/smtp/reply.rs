//! Replies of a mail server, line by line (RFC 5321 §4.2).

use std::borrow::Cow;

use memchr::memchr;

/// Longest reply line taken, in octets; RFC 5321 §4.5.3.1.5 allows 512.
const MAX_LINE: usize = 4096;

/// The server sent what is no reply line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// One line of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ReplyLine<'a> {
    /// The reply code, 200 to 599.
    pub(super) code: u16,
    /// Whether the reply ends with this line.
    pub(super) last: bool,
    /// What stands behind the code and its separator.
    pub(super) text: &'a [u8],
}

impl<'a> ReplyLine<'a> {
    /// Reads a line, its CRLF included.
    pub(super) fn parse(line: &'a [u8]) -> Result<Self, Malformed> {
        let body = line.strip_suffix(b"\r\n").ok_or(Malformed)?;
        if body.iter().any(|octet| matches!(octet, b'\r' | b'\n' | 0)) {
            return Err(Malformed);
        }
        let (digits, rest) = body.split_first_chunk::<3>().ok_or(Malformed)?;
        if !matches!(digits, [b'2'..=b'5', b'0'..=b'9', b'0'..=b'9']) {
            return Err(Malformed);
        }
        let code = digits.iter().fold(0_u16, |code, digit| code * 10 + u16::from(digit - b'0'));
        match rest.split_first() {
            None => Ok(Self { code, last: true, text: rest }),
            Some((b' ', text)) => Ok(Self { code, last: true, text }),
            Some((b'-', text)) => Ok(Self { code, last: false, text }),
            Some(_) => Err(Malformed),
        }
    }
}

/// What [`LineCutter::take`] found.
#[derive(Debug)]
pub(super) struct Cut<'a> {
    /// How many octets it took.
    pub(super) taken: usize,
    /// The line with its end, when it is complete.
    pub(super) line: Option<Cow<'a, [u8]>>,
}

/// Cuts the server's octets into lines. It keeps the beginning of one line and nothing else.
#[derive(Debug, Default)]
pub(super) struct LineCutter {
    begun: Vec<u8>,
}

impl LineCutter {
    /// Takes octets up to the end of the line.
    pub(super) fn take<'a>(&mut self, octets: &'a [u8]) -> Result<Cut<'a>, Malformed> {
        let taken = memchr(b'\n', octets).map_or(octets.len(), |end| end + 1);
        let piece = octets.get(..taken).unwrap_or(octets);
        if self.begun.len() + taken > MAX_LINE {
            return Err(Malformed);
        }
        let complete = piece.ends_with(b"\n");
        if complete && self.begun.is_empty() {
            return Ok(Cut { taken, line: Some(Cow::Borrowed(piece)) });
        }
        self.begun.extend_from_slice(piece);
        Ok(Cut { taken, line: complete.then(|| Cow::Owned(std::mem::take(&mut self.begun))) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_a_code_and_a_separator() {
        assert_eq!(ReplyLine::parse(b"250-a b\r\n"), Ok(ReplyLine { code: 250, last: false, text: b"a b" }));
        assert_eq!(ReplyLine::parse(b"354 go\r\n"), Ok(ReplyLine { code: 354, last: true, text: b"go" }));
        assert_eq!(ReplyLine::parse(b"221\r\n"), Ok(ReplyLine { code: 221, last: true, text: b"" }));
        for bad in [
            &b"250 a\n"[..],
            b"250 a\rb\r\n",
            b"250 a\0\r\n",
            b"25 a\r\n",
            b"2500 a\r\n",
            b"150 a\r\n",
            b"650 a\r\n",
            b"250_a\r\n",
            b"\r\n",
            b" 250 a\r\n",
            b"250\ta\r\n",
        ] {
            assert_eq!(ReplyLine::parse(bad), Err(Malformed), "{}", bad.escape_ascii());
        }
    }
}
