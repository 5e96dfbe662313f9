//! Reads one whole command, literals included, piece by piece (RFC 3501 §9).

use bytes::{Buf, Bytes};

/// The command is not of the grammar; the text says where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) &'static str);

/// What is left of a command.
pub(super) struct Cursor {
    rest: Bytes,
}

/// One range of a sequence set; `None` is `*`.
pub(super) type Span = (Option<u32>, Option<u32>);

/// Ranges in one sequence set.
const SPANS: usize = 4096;

impl Cursor {
    pub(super) fn new(command: Bytes) -> Self {
        Self { rest: command }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn end(&self) -> Result<(), Malformed> {
        if self.is_empty() { Ok(()) } else { Err(Malformed("more than the command takes")) }
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// Takes `octet` if it is next.
    pub(super) fn take(&mut self, octet: u8) -> bool {
        let next = self.peek() == Some(octet);
        if next {
            self.rest.advance(1);
        }
        next
    }

    pub(super) fn expect(&mut self, octet: u8, otherwise: &'static str) -> Result<(), Malformed> {
        if self.take(octet) { Ok(()) } else { Err(Malformed(otherwise)) }
    }

    pub(super) fn space(&mut self) -> Result<(), Malformed> {
        self.expect(b' ', "a space is missing")
    }

    /// One or more octets that `of` takes.
    pub(super) fn run(&mut self, of: impl Fn(u8) -> bool) -> Result<String, Malformed> {
        let length = self.rest.iter().position(|&octet| !of(octet)).unwrap_or(self.rest.len());
        if length == 0 {
            return Err(Malformed("a word is missing"));
        }
        text(self.rest.split_to(length))
    }

    /// An atom, in capitals.
    pub(super) fn keyword(&mut self) -> Result<String, Malformed> {
        Ok(self.run(is_atom)?.to_ascii_uppercase())
    }

    /// A flag: an atom, perhaps behind a backslash.
    pub(super) fn flag(&mut self) -> Result<String, Malformed> {
        let system = self.take(b'\\');
        let name = self.run(is_atom)?;
        Ok(if system { format!("\\{name}") } else { name })
    }

    pub(super) fn number(&mut self) -> Result<u32, Malformed> {
        self.run(|octet| octet.is_ascii_digit())?.parse().map_err(|_| Malformed("a number is too large"))
    }

    /// An astring, as octets.
    pub(super) fn astring(&mut self) -> Result<Bytes, Malformed> {
        match self.peek() {
            Some(b'"') => self.quoted(),
            Some(b'{') => self.literal(),
            _ => Ok(self.run(|octet| is_atom(octet) || octet == b']')?.into()),
        }
    }

    /// An astring that must be UTF-8.
    pub(super) fn astring_text(&mut self) -> Result<String, Malformed> {
        text(self.astring()?)
    }

    /// A mailbox pattern of LIST, where `%` and `*` stand for themselves.
    pub(super) fn pattern(&mut self) -> Result<String, Malformed> {
        match self.peek() {
            Some(b'"' | b'{') => self.astring_text(),
            _ => self.run(|octet| is_atom(octet) || b"]%*".contains(&octet)),
        }
    }

    /// A literal that the reader has put behind its announcement.
    pub(super) fn literal(&mut self) -> Result<Bytes, Malformed> {
        self.expect(b'{', "a literal is missing")?;
        let length = self.run(|octet| octet.is_ascii_digit())?;
        self.take(b'+');
        let length: usize = length.parse().map_err(|_| Malformed("a literal is too large"))?;
        for octet in *b"}\r\n" {
            self.expect(octet, "a literal is malformed")?;
        }
        if length > self.rest.len() {
            return Err(Malformed("a literal is cut off"));
        }
        Ok(self.rest.split_to(length))
    }

    /// A sequence set (RFC 3501 §9).
    pub(super) fn sequence_set(&mut self) -> Result<Vec<Span>, Malformed> {
        let mut spans = Vec::new();
        loop {
            let first = self.sequence_number()?;
            let last = if self.take(b':') { self.sequence_number()? } else { first };
            spans.push((first, last));
            if !self.take(b',') {
                return Ok(spans);
            }
            if spans.len() >= SPANS {
                return Err(Malformed("a sequence set has too many ranges"));
            }
        }
    }

    /// Everything that is left, for a response that is no grammar.
    pub(super) fn remainder(&mut self) -> Bytes {
        std::mem::take(&mut self.rest)
    }

    fn sequence_number(&mut self) -> Result<Option<u32>, Malformed> {
        if self.take(b'*') {
            return Ok(None);
        }
        match self.number()? {
            0 => Err(Malformed("a sequence number is zero")),
            number => Ok(Some(number)),
        }
    }

    fn quoted(&mut self) -> Result<Bytes, Malformed> {
        self.expect(b'"', "a quoted string is missing")?;
        let mut value = Vec::new();
        loop {
            let octet = self.peek().ok_or(Malformed("a quoted string has no end"))?;
            self.rest.advance(1);
            match octet {
                b'"' => return Ok(value.into()),
                b'\\' => {
                    let escaped = self.peek().filter(|octet| b"\"\\".contains(octet));
                    value.push(escaped.ok_or(Malformed("only \\\" and \\\\ are escapes"))?);
                    self.rest.advance(1);
                }
                b'\r' | b'\n' | 0 => return Err(Malformed("a quoted string holds a line end or NUL")),
                _ => value.push(octet),
            }
        }
    }
}

/// Whether a number is in a sequence set; `*` is `last`.
pub(super) fn covers(set: &[Span], number: u32, last: u32) -> bool {
    set.iter().any(|&(first, second)| {
        let (first, second) = (first.unwrap_or(last), second.unwrap_or(last));
        (first.min(second)..=first.max(second)).contains(&number)
    })
}

fn text(octets: Bytes) -> Result<String, Malformed> {
    String::from_utf8(octets.into()).map_err(|_| Malformed("not UTF-8"))
}

/// RFC 3501 §9 ATOM-CHAR.
pub(super) fn is_atom(octet: u8) -> bool {
    (b'!'..0x7f).contains(&octet) && !b"(){%*\"\\]".contains(&octet)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor(text: &'static str) -> Cursor {
        Cursor::new(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn strings_come_in_three_forms() {
        for form in ["a]b", "\"a]b\"", "{3}\r\na]b", "{3+}\r\na]b"] {
            assert_eq!(cursor(form).astring_text().unwrap(), "a]b", "{form:?}");
        }
        assert_eq!(cursor("\"a\\\"\\\\\"").astring_text().unwrap(), "a\"\\");
    }

    #[test]
    fn what_is_cut_off_or_not_of_the_grammar_is_refused() {
        for bad in [
            "",
            "\"a",
            "\"a\\",
            "\"\\x\"",
            "{3}\r\nab",
            "{",
            "{9999999999999999999999}\r\n",
            "{1}a",
            "(",
            "\"a\r\n\"",
        ] {
            assert!(cursor(bad).astring().is_err(), "{bad:?}");
        }
        for bad in ["0", "1:", ",", "1,,2", "a", "4294967296", "1:0"] {
            assert!(cursor(bad).sequence_set().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_star_is_the_last_number() {
        let set = cursor("2,7:*").sequence_set().unwrap();
        let covered: Vec<_> = (1..=9).filter(|&number| covers(&set, number, 9)).collect();
        assert_eq!(covered, [2, 7, 8, 9]);
        assert!(covers(&set, 5, 5), "7:* holds the last even when it is less");
    }
}
