//! What a mail server says: lines that may hold literals (RFC 5804 §4).

use memchr::{memchr, memchr2};

use super::grammar::{self, Word};

/// The server sent what is no ManageSieve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Finds the end of each line, literals inside it passed over at their length.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Scanner {
    at: At,
}

/// What the next octet belongs to.
#[derive(Clone, Copy, Debug, Default)]
enum At {
    #[default]
    Text,
    /// Behind the CR that ends the line.
    Cr,
    Quoted,
    /// Behind a backslash in quotes.
    Escaped,
    /// Behind `{` and so many digits.
    Number {
        value: u64,
        digits: u8,
    },
    /// Behind `+`, which only old servers write.
    Plus(u64),
    /// Behind `}`.
    Announced(u64),
    /// Behind `}` and CR.
    AnnouncedCr(u64),
    Literal(u64),
}

impl Scanner {
    /// Takes octets up to the end of a line, or all of them; says how many, and whether the line ended.
    ///
    /// # Errors
    /// [`Malformed`] where nobody could say where the line ends.
    pub(super) fn take(&mut self, octets: &[u8]) -> Result<(usize, bool), Malformed> {
        let mut rest = octets;
        while let Some((first, behind)) = rest.split_first() {
            match self.at {
                At::Literal(left) => {
                    let taken = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                    rest = rest.get(taken..).unwrap_or_default();
                    let left = left.saturating_sub(taken as u64);
                    self.at = if left == 0 { At::Text } else { At::Literal(left) };
                    continue;
                }
                At::Quoted => {
                    let Some(end) = memchr2(b'"', b'\\', rest) else { return Ok((octets.len(), false)) };
                    self.at = if rest.get(end) == Some(&b'"') { At::Text } else { At::Escaped };
                    rest = rest.get(end.saturating_add(1)..).unwrap_or_default();
                    continue;
                }
                At::Cr if *first == b'\n' => {
                    self.at = At::Text;
                    return Ok((octets.len().saturating_sub(behind.len()), true));
                }
                at @ (At::Text
                | At::Cr
                | At::Escaped
                | At::Number { .. }
                | At::Plus(_)
                | At::Announced(_)
                | At::AnnouncedCr(_)) => self.at = at.behind(*first)?,
            }
            rest = behind;
        }
        Ok((octets.len(), false))
    }
}

impl At {
    /// The state behind one octet of what is neither a literal nor within quotes.
    fn behind(self, octet: u8) -> Result<Self, Malformed> {
        Ok(match (self, octet) {
            (Self::Text, b'"') => Self::Quoted,
            (Self::Text, b'{') => Self::Number { value: 0, digits: 0 },
            (Self::Text, b'\r') => Self::Cr,
            (Self::Text, 0 | b'\n') => return Err(Malformed),
            (Self::Text, _) => Self::Text,
            (Self::Escaped, _) => Self::Quoted,
            // As many digits as cannot overflow.
            (Self::Number { value, digits: digits @ 0..=17 }, b'0'..=b'9') => {
                let value = value.saturating_mul(10).saturating_add(u64::from(octet.saturating_sub(b'0')));
                Self::Number { value, digits: digits.saturating_add(1) }
            }
            (Self::Number { value, digits: 1.. }, b'+') => Self::Plus(value),
            (Self::Number { value, digits: 1.. }, b'}') | (Self::Plus(value), b'}') => Self::Announced(value),
            (Self::Announced(value), b'\r') => Self::AnnouncedCr(value),
            (Self::AnnouncedCr(0), b'\n') => Self::Text,
            (Self::AnnouncedCr(value), b'\n') => Self::Literal(value),
            (
                Self::Cr
                | Self::Quoted
                | Self::Number { .. }
                | Self::Plus(_)
                | Self::Announced(_)
                | Self::AnnouncedCr(_)
                | Self::Literal(_),
                _,
            ) => return Err(Malformed),
        })
    }
}

/// How a reply ends (RFC 5804 §1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Ok,
    No,
    Bye,
}

/// The last line of a reply.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ending<'a> {
    pub(super) status: Status,
    /// The name of the response code, in the server's case.
    pub(super) code: Option<&'a [u8]>,
    /// All that stands behind the status.
    pub(super) raw: &'a [u8],
}

impl<'a> Ending<'a> {
    /// Reads the last line of a reply, its line end included. What stands behind the name of its code may be
    /// anything.
    pub(super) fn parse(line: &'a [u8]) -> Result<Self, Malformed> {
        let line = line.strip_suffix(b"\r\n").ok_or(Malformed)?;
        let end = line.iter().position(|octet| !octet.is_ascii_alphabetic()).unwrap_or(line.len());
        let (word, rest) = line.split_at_checked(end).ok_or(Malformed)?;
        let statuses = [(&b"OK"[..], Status::Ok), (b"NO", Status::No), (b"BYE", Status::Bye)];
        let status = statuses.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(word));
        let (_, status) = status.ok_or(Malformed)?;
        if !matches!(rest.first(), None | Some(b' ' | b'(')) {
            return Err(Malformed);
        }
        let raw = rest.trim_ascii();
        let code = raw.strip_prefix(b"(").map(|inside| {
            let inside = inside.trim_ascii_start();
            // A code may stand in quotes too; its name is what counts.
            let inside = inside.strip_prefix(b"\"").unwrap_or(inside);
            let end = inside.iter().position(|octet| matches!(octet, b' ' | b')' | b'"'));
            inside.get(..end.unwrap_or(inside.len())).unwrap_or_default()
        });
        Ok(Self { status, code, raw })
    }

    /// Whether the code is one of these.
    /// The server's last words of SASL, in base64, where they came with the success: `OK (SASL "…")`
    /// (RFC 5804 §2.1). As a literal, which no server was seen to use, they are not read.
    pub(super) fn sasl_data(&self) -> Option<&'a [u8]> {
        self.code.filter(|code| code.eq_ignore_ascii_case(b"SASL"))?;
        let mut quoted = self.raw.split(|octet| *octet == b'"');
        quoted.nth(1)
    }

    pub(super) fn has_code(&self, names: &[&str]) -> bool {
        self.code.is_some_and(|code| names.iter().any(|name| name.as_bytes().eq_ignore_ascii_case(code)))
    }
}

/// Whether a line of a reply is not its last, told by its first octet.
pub(super) const fn begins_data(first: u8) -> bool {
    matches!(first, b'"' | b'{')
}

/// Reads the words of a line with its line end, literals included.
pub(super) fn words(line: &[u8]) -> Result<Vec<Word>, Malformed> {
    let mut words = Vec::new();
    let mut rest = line;
    let mut behind_literal = false;
    loop {
        let end = memchr(b'\n', rest).ok_or(Malformed)?.saturating_add(1);
        let (text, behind) = rest.split_at_checked(end).ok_or(Malformed)?;
        let text = text.strip_suffix(b"\r\n").ok_or(Malformed)?;
        let parsed = grammar::words(text, behind_literal).map_err(|grammar::Malformed| Malformed)?;
        words.extend(parsed.words);
        let Some(length) = parsed.literal else {
            return if behind.is_empty() { Ok(words) } else { Err(Malformed) };
        };
        let length = usize::try_from(length).map_err(|_| Malformed)?;
        let (octets, behind) = behind.split_at_checked(length).ok_or(Malformed)?;
        words.push(Word::String(octets.to_vec().into()));
        rest = behind;
        behind_literal = true;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    /// The lines that the scanner finds when it is fed in pieces of `size`.
    fn cut(text: &[u8], size: usize) -> Result<Vec<Vec<u8>>, Malformed> {
        let (mut scanner, mut lines, mut line) = (Scanner::default(), Vec::new(), Vec::new());
        for piece in text.chunks(size) {
            let mut rest = piece;
            while !rest.is_empty() {
                let (taken, ended) = scanner.take(rest)?;
                let (now, later) = rest.split_at(taken);
                line.extend_from_slice(now);
                rest = later;
                if ended {
                    lines.push(std::mem::take(&mut line));
                }
            }
        }
        assert!(line.is_empty());
        Ok(lines)
    }

    #[test]
    fn a_literal_is_no_line_end_and_quotes_hide_an_announcement() {
        let lines: [&[u8]; 6] = [
            b"\"a\" ACTIVE\r\n",
            b"{5}\r\n\r\nOK\"\r\n",
            b"\"{9}\"\r\n",
            b"\"\\\"{9}\" {3+}\r\n{1}\r\n",
            b"{0}\r\n\r\n",
            b"OK (TAG {4}\r\nOK\r\n) \"done\"\r\n",
        ];
        for size in 1..40 {
            assert_eq!(cut(&lines.concat(), size).unwrap(), lines, "{size}");
        }
    }

    #[test]
    fn a_line_whose_end_is_not_certain_is_malformed() {
        for bad in [
            "OK\n",
            "OK\rX",
            "OK \0\r\n",
            "{5}x",
            "{}\r\n",
            "{a}\r\n",
            "{5+\r\n",
            "{1234567890123456789}\r\n",
        ] {
            assert_eq!(cut(bad.as_bytes(), 1), Err(Malformed), "{bad}");
        }
    }

    #[test]
    fn an_ending_has_a_status_and_perhaps_a_code() {
        let of =
            |line: &'static str| Ending::parse(line.as_bytes()).map(|ending| (ending.status, ending.code));
        assert_eq!(of("OK\r\n"), Ok((Status::Ok, None)));
        assert_eq!(of("no \"(x)\"\r\n"), Ok((Status::No, None)));
        assert_eq!(of("NO (TRYLATER) \"x\"\r\n"), Ok((Status::No, Some(&b"TRYLATER"[..]))));
        assert_eq!(of("NO ( \"TRYLATER\")\r\n"), Ok((Status::No, Some(&b"TRYLATER"[..]))));
        assert_eq!(of("BYE (REFERRAL \"sieve://a\") \"x\"\r\n"), Ok((Status::Bye, Some(&b"REFERRAL"[..]))));
        for bad in ["OKAY\r\n", "\r\n", "OK", "+ \r\n", "OK\"x\"\r\n"] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }
}
