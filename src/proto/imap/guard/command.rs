use crate::proto::imap::{
    grammar::Tag,
    literal::{self, Literal},
};

/// The first line of a command, judged.
#[derive(Debug)]
pub(super) struct Command {
    /// Its tag, or one of ours.
    pub(super) tag: Tag,
    /// Whether the tag is the client's.
    pub(super) tagged: bool,
    pub(super) verdict: Verdict,
}

/// What becomes of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// IDLE (RFC 2177).
    Idle,
    /// It passes, and ends in a literal.
    Literal(Literal),
    Pass,
    Refuse {
        text: &'static str,
        /// The literal that it ends in.
        literal: Option<Literal>,
    },
}

/// A line ends in what one server takes for a literal and another does not, or in a literal beyond all sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoLiteral;

/// Largest literal that passes, in octets. A mail server that counts in 32 bits must not count otherwise than we do.
const MAX_LITERAL: usize = 0x7FFF_FFFF;

const CONTROL_CHARACTER: &str = "BAD A line ends with CR LF and holds no other control character";
const MALFORMED: &str = "BAD A command is a tag, a space and a word";
const BAD_LITERAL: &str = "BAD The literal is malformed or too long";

impl Command {
    pub(super) fn read(line: &[u8]) -> Self {
        let (tag, rest) = split_word(line);
        let (tag, tagged) = Tag::parse(tag).map_or_else(|| (Tag::ours(), false), |tag| (tag, true));
        let refuse = |text| Verdict::Refuse { text, literal: literal::announced(line) };
        let verdict = match (literal(line), rest.map(split_word)) {
            _ if is_unfit(line) => refuse(CONTROL_CHARACTER),
            (Err(NoLiteral), _) => refuse(BAD_LITERAL),
            (Ok(literal), Some((verb, _))) if tagged && is_verb(verb) => match (refusal(verb), literal) {
                (Some(text), _) => refuse(text),
                (None, Some(literal)) => Verdict::Literal(literal),
                (None, None) if verb.eq_ignore_ascii_case(b"IDLE") => Verdict::Idle,
                (None, None) => Verdict::Pass,
            },
            (Ok(_), Some(_) | None) => refuse(MALFORMED),
        };
        Self { tag, tagged, verdict }
    }
}

/// Why a command does not pass, whatever it carries.
fn refusal(verb: &[u8]) -> Option<&'static str> {
    const REFUSED: [(&str, &str); 5] = [
        ("AUTHENTICATE", "BAD Already authenticated"),
        ("COMPRESS", "NO Compression is not available"),
        ("LOGIN", "BAD Already authenticated"),
        ("STARTTLS", "BAD TLS is already active"),
        ("UNAUTHENTICATE", "BAD Command not available"),
    ];
    REFUSED.iter().find(|(name, _)| name.as_bytes().eq_ignore_ascii_case(verb)).map(|(_, text)| *text)
}

/// Whether a word can be nothing but a command's name: there is no octet in it at which a server could end it early.
fn is_verb(word: &[u8]) -> bool {
    let inside = |octet: &u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'.');
    !word.is_empty() && word.iter().all(inside)
}

/// Whether a line holds what could end it early.
pub(super) fn is_unfit(line: &[u8]) -> bool {
    line.iter().any(|octet| octet.is_ascii_control() && *octet != b'\t')
}

/// The literal that a line ends in.
pub(super) fn literal(line: &[u8]) -> Result<Option<Literal>, NoLiteral> {
    if let Some(literal) = literal::announced(line) {
        // `{5-}` is no literal in any RFC.
        let known = literal.length <= MAX_LITERAL && !line.ends_with(b"-}");
        return if known { Ok(Some(literal)) } else { Err(NoLiteral) };
    }
    let open_to_doubt = line.trim_ascii_end().ends_with(b"}") && line.contains(&b'{');
    if open_to_doubt { Err(NoLiteral) } else { Ok(None) }
}

/// Splits at the first space, which is gone.
fn split_word(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    let Some(end) = memchr::memchr(b' ', text) else { return (text, None) };
    let (word, rest) = text.split_at_checked(end).unwrap_or((text, &[]));
    (word, rest.get(1..))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(line: &[u8]) -> Verdict {
        Command::read(line).verdict
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for line in [
            &b""[..],
            b"a",
            b"a ",
            b" a NOOP",
            b"a  NOOP",
            b"a\tNOOP",
            b"a NOOP\tx",
            b"a NO(OP",
            b"a UNAUTHENTICATE\"",
            b"* NOOP",
            b"+ NOOP",
            b"a+b NOOP",
            b"a {4}",
            b"{1}",
            b"a NOOP\0",
            b"a NOOP\r",
            b"a X\nb UNAUTHENTICATE",
            b"a X {5} ",
            b"a X {5}\t",
            b"a X { 5}",
            b"a X {5 }",
            b"a X {+5}",
            b"a X {}",
            b"a X {5-}",
            b"a X {5++}",
            b"a X {2147483648}",
            b"a X {99999999999999999999999+}",
            b"a unauthenticate",
            b"a Unauthenticate x",
        ] {
            assert!(matches!(verdict(line), Verdict::Refuse { .. }), "{}", line.escape_ascii());
        }
    }

    #[test]
    fn the_rest_passes() {
        for line in [
            &b"a NOOP"[..],
            b"a.1 UID FETCH 1:* (FLAGS \"{5}\")",
            b"a LIST \"\" \"%\"",
            b"a X-GM-EXT1 \xc3\xa4",
            b"[b UNAUTHENTICATED",
            b"a SELECT odd}",
            b"DONE SEARCH \"\t\"",
        ] {
            assert_eq!(verdict(line), Verdict::Pass, "{}", line.escape_ascii());
        }
        let literal = |length, waits| Verdict::Literal(Literal { length, waits });
        assert_eq!(verdict(b"a APPEND x (\\Seen) ~{05}"), literal(5, true));
        assert_eq!(verdict(b"a LOG {2147483647+}"), literal(0x7FFF_FFFF, false));
        assert_eq!(verdict(b"a idle"), Verdict::Idle);
    }
}
