//! Words, strings and literals (RFC 5804 §4).

use zeroize::Zeroizing;

/// Longest quoted string in octets, without its quotes (RFC 5804 §4).
pub(super) const QUOTED_MAX: usize = 1024;
/// Most words in one command; no command has more than three.
pub(super) const MAX_WORDS: usize = 8;

/// One word of a command or of a reply.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Word {
    /// A verb, a number, or anything else without quotes.
    Atom(Zeroizing<Vec<u8>>),
    /// A string, without quotes and escapes.
    String(Zeroizing<Vec<u8>>),
}

impl Word {
    /// The octets, however they were written.
    pub(super) fn octets(&self) -> &[u8] {
        match self {
            Self::Atom(octets) | Self::String(octets) => octets,
        }
    }
}

/// What stands in a line, or in what follows a literal up to the line end.
#[derive(Default)]
pub(super) struct Parsed {
    pub(super) words: Vec<Word>,
    /// The length of the literal that the line announces at its end.
    pub(super) literal: Option<u64>,
}

/// A line breaks the grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Reads the words of a line without its line end, parted by blanks. `behind_literal` says that a literal went
/// before, so that the line must be empty or begin with a blank.
pub(super) fn words(line: &[u8], behind_literal: bool) -> Result<Parsed, Malformed> {
    let mut parsed = Parsed::default();
    let mut rest = line;
    let mut must_part = behind_literal;
    loop {
        let trimmed = rest.iter().position(|octet| !is_blank(*octet)).unwrap_or(rest.len());
        let behind = rest.get(trimmed..).unwrap_or_default();
        let Some(first) = behind.first() else { return Ok(parsed) };
        if (must_part && trimmed == 0) || parsed.words.len() >= MAX_WORDS {
            return Err(Malformed);
        }
        must_part = true;
        match first {
            b'"' => {
                let (word, after) = quoted_string(behind)?;
                parsed.words.push(Word::String(word));
                rest = after;
            }
            b'{' => {
                parsed.literal = Some(announcement(behind).ok_or(Malformed)?);
                return Ok(parsed);
            }
            _ => {
                let end = behind.iter().position(|octet| is_blank(*octet)).unwrap_or(behind.len());
                let (word, after) = behind.split_at_checked(end).ok_or(Malformed)?;
                if word.iter().any(|octet| !octet.is_ascii_graphic() || b"\"{}\\".contains(octet)) {
                    return Err(Malformed);
                }
                parsed.words.push(Word::Atom(Zeroizing::new(word.to_vec())));
                rest = after;
            }
        }
    }
}

/// The literal that ends a line of which nothing else can be understood.
pub(super) fn announced_at_end(line: &[u8]) -> Option<u64> {
    let open = line.iter().rposition(|octet| *octet == b'{')?;
    announcement(line.get(open..)?)
}

/// `{n+}`, to the end. `{n}` is what only servers write, but who wrote it sends the octets all the same.
fn announcement(text: &[u8]) -> Option<u64> {
    let digits = text.strip_prefix(b"{")?.strip_suffix(b"}")?;
    number(digits.strip_suffix(b"+").unwrap_or(digits))
}

/// A decimal number of at most 19 digits.
pub(super) fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 19 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// A string in quotes at the start of `text`, and what follows it.
fn quoted_string(text: &[u8]) -> Result<(Zeroizing<Vec<u8>>, &[u8]), Malformed> {
    let mut rest = text.strip_prefix(b"\"").ok_or(Malformed)?;
    // With room for all of it, so that growing leaves no copy of a credential behind.
    let mut word = Zeroizing::new(Vec::with_capacity(rest.len()));
    loop {
        rest = match rest {
            [b'"', after @ ..] => return Ok((word, after)),
            [b'\\', octet @ (b'"' | b'\\'), after @ ..] => {
                word.push(*octet);
                after
            }
            [] | [b'\\' | b'\r' | b'\n' | 0, ..] => return Err(Malformed),
            [octet, after @ ..] => {
                word.push(*octet);
                after
            }
        };
    }
}

/// Whether every peer reads it the same in quotes.
pub(super) fn is_quotable(octets: &[u8]) -> bool {
    octets.len() <= QUOTED_MAX
        && std::str::from_utf8(octets).is_ok_and(|text| !text.chars().any(char::is_control))
}

/// Writes a string: in quotes where that is possible, else as the literal of a client.
pub(super) fn write_string(octets: &[u8], into: &mut Vec<u8>) {
    if is_quotable(octets) {
        return write_quoted(octets, into);
    }
    into.extend_from_slice(format!("{{{}+}}\r\n", octets.len()).as_bytes());
    into.extend_from_slice(octets);
}

/// Writes a string in quotes.
pub(super) fn write_quoted(octets: &[u8], into: &mut Vec<u8>) {
    into.push(b'"');
    for octet in octets {
        if matches!(octet, b'"' | b'\\') {
            into.push(b'\\');
        }
        into.push(*octet);
    }
    into.push(b'"');
}

const fn is_blank(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t')
}

impl std::fmt::Debug for Word {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Word({} octets)", self.octets().len())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    fn read(line: &str) -> Option<(Vec<String>, Option<u64>)> {
        let parsed = words(line.as_bytes(), false).ok()?;
        let text = |word: &Word| String::from_utf8_lossy(word.octets()).into_owned();
        Some((parsed.words.iter().map(text).collect(), parsed.literal))
    }

    #[test]
    fn a_command_is_a_verb_and_strings() {
        let of = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert_eq!(read("AUTHENTICATE \"PLAIN\" {12+}"), Some((of(&["AUTHENTICATE", "PLAIN"]), Some(12))));
        assert_eq!(read(r#"X "a \"b\" \\" 17  "#), Some((of(&["X", r#"a "b" \"#, "17"]), None)));
        assert_eq!(read(""), Some((Vec::new(), None)));
        assert_eq!(read("\"\""), Some((of(&[""]), None)));
    }

    #[test]
    fn what_two_peers_could_read_differently_is_malformed() {
        for bad in [
            "X \"a",
            "X \"a\\\"",
            "X \"a\\b\"",
            "X \"a\"b",
            "X a\"b\"",
            "X {5+} ",
            "X {5+}a",
            "X {+}",
            "X {-1+}",
            "X {5 +}",
            "X {5++}",
            "X {99999999999999999999+}",
            "X \"a\"{5+}",
            "X{5+}",
            "X a\\b",
            "X \u{e4}",
            "X 1 2 3 4 5 6 7 8",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
        assert!(words(b"\"a\"", true).is_err());
        assert!(words(b" \"a\"", true).is_ok());
    }

    #[test]
    fn a_string_that_was_written_is_read_again() {
        for text in ["", "a b", "\"\\\"", "ä"] {
            let mut line = Vec::new();
            write_string(text.as_bytes(), &mut line);
            assert_eq!(words(&line, false).unwrap().words.first().unwrap().octets(), text.as_bytes());
        }
        let mut line = Vec::new();
        write_string(b"a\r\nb", &mut line);
        assert_eq!(line, b"{4+}\r\na\r\nb");
    }
}
