//! Reads a client's commands before login, which are lines and the literals between them.
//!
//! Invariants:
//! - a client never waits with a literal (RFC 5804 §4), so its octets and the rest of its command always follow:
//!   of a command that is refused they are thrown away as they come;
//! - every line is looked at for a literal, also one that is too long or malformed;
//! - what is kept is bounded by the limits of a line and of a literal.

use zeroize::Zeroizing;

use super::grammar::{self, MAX_WORDS, Malformed, Parsed, Word};
use crate::proto::line::{Line, LineFault, Lines};

/// Octets of one refused command that are thrown away before the connection is given up.
const MAX_SKIPPED: u64 = 256 * 1024;
/// How a TLS handshake begins (RFC 8446 §5.1). It has no line end to wait for.
const CLIENT_HELLO: &[u8] = b"\x16\x03";

/// Splits the stream into commands.
#[derive(Debug)]
pub(super) struct CommandReader {
    lines: Lines,
    line_limit: usize,
    literal_limit: usize,
    command: Command,
    /// The octets of a literal that come next, and whether they are kept.
    literal: Option<u64>,
    /// A literal went before: a command has begun.
    begun: bool,
    /// Octets of the command so far that were thrown away.
    skipped: u64,
    /// What is read of the command that has begun is an answer that came too late.
    gives_up: bool,
}

/// A whole command, or a whole answer to a challenge.
#[derive(Debug, Default)]
pub(super) struct Command {
    pub(super) words: Vec<Word>,
    /// Why it must not be executed. Its words are then those before the fault.
    pub(super) fault: Option<Fault>,
    /// Octets of its lines, without line ends.
    pub(super) in_lines: usize,
}

/// Why a command must be refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A CR or an LF alone.
    BareLineEnd,
    /// No words of ManageSieve.
    Malformed,
    /// A NUL.
    Nul,
    /// A line or a literal beyond its limit.
    TooLong,
}

/// What was read.
#[derive(Debug)]
pub(super) enum Input {
    Command(Command),
    /// More is announced for a refused command than will be read: the connection must end.
    Flood,
    /// HTTP, or a TLS handshake where none can be.
    NotMail,
}

impl CommandReader {
    /// A reader for lines of at most `line_limit` octets and literals of at most `literal_limit`.
    pub(super) fn new(line_limit: usize, literal_limit: usize) -> Self {
        Self {
            lines: Lines::new(line_limit),
            line_limit,
            literal_limit,
            command: Command::default(),
            literal: None,
            begun: false,
            skipped: 0,
            gives_up: false,
        }
    }

    /// Takes octets from the wire.
    pub(super) fn push(&mut self, octets: &[u8]) {
        self.lines.push(octets);
    }

    /// How many octets were pushed and are not read.
    pub(super) fn unread(&self) -> usize {
        self.lines.rest().len()
    }

    /// The octets that were pushed and are not read, for the handover.
    pub(super) fn take_rest(&mut self) -> Vec<u8> {
        self.lines.take_rest()
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        *self = Self::new(self.line_limit, self.literal_limit);
    }

    /// No answer to the challenge came in time. What was begun of it is thrown away, to its end.
    pub(super) fn give_up_response(&mut self) {
        self.gives_up = self.begun || !self.lines.is_empty();
    }

    /// The next command, once it is whole.
    pub(super) fn next(&mut self) -> Option<Input> {
        loop {
            if self.skipped > MAX_SKIPPED {
                return Some(Input::Flood);
            }
            if let Some(length) = self.literal {
                if !self.take_literal(length)? {
                    return Some(Input::Flood);
                }
                continue;
            }
            if !self.begun && self.lines.rest().starts_with(CLIENT_HELLO) {
                return Some(Input::NotMail);
            }
            let line = self.lines.next_line()?;
            if !self.begun && line.is_http() {
                return Some(Input::NotMail);
            }
            self.line(&line);
            if self.literal.is_some() {
                continue;
            }
            let command = std::mem::take(&mut self.command);
            self.begun = false;
            self.skipped = 0;
            if !std::mem::take(&mut self.gives_up) {
                return Some(Input::Command(command));
            }
        }
    }

    fn line(&mut self, line: &Line) {
        self.command.in_lines = self.command.in_lines.saturating_add(line.text.len());
        let parsed = match line.clean() {
            Ok(text) => grammar::words(text, self.begun).map_err(|Malformed| Fault::Malformed),
            Err(LineFault::BareCr | LineFault::BareLf) => Err(Fault::BareLineEnd),
            Err(LineFault::Nul) => Err(Fault::Nul),
            Err(LineFault::TooLong) => Err(Fault::TooLong),
        };
        let Parsed { words, literal } = parsed.unwrap_or_else(|fault| {
            self.spoil(fault);
            let head = grammar::words(verb(&line.text), self.begun).unwrap_or_default();
            Parsed { words: head.words, literal: announced(line) }
        });
        if self.command.fault.is_some() && self.begun {
            self.skipped = self.skipped.saturating_add(line.text.len() as u64).saturating_add(2);
        } else if self.command.words.len().saturating_add(words.len()) > MAX_WORDS {
            self.spoil(Fault::Malformed);
        } else {
            self.command.words.extend(words);
        }
        self.begun = literal.is_some();
        self.literal = literal;
        if literal.is_some_and(|length| !usize::try_from(length).is_ok_and(|own| own <= self.literal_limit)) {
            self.spoil(Fault::TooLong);
        }
    }

    /// Takes the literal, or what there is of one that is thrown away. `None` when octets are missing, `false`
    /// when there is too much of it.
    fn take_literal(&mut self, length: u64) -> Option<bool> {
        if self.command.fault.is_none()
            && let Ok(length) = usize::try_from(length)
        {
            let octets = self.lines.take_exact(length)?;
            self.command.words.push(Word::String(octets));
            self.literal = None;
            return Some(true);
        }
        if self.skipped.saturating_add(length) > MAX_SKIPPED {
            return Some(false);
        }
        let gone = self.lines.discard(usize::try_from(length).unwrap_or(usize::MAX)) as u64;
        self.skipped = self.skipped.saturating_add(gone);
        let missing = length.saturating_sub(gone);
        self.literal = (missing > 0).then_some(missing);
        (missing == 0).then_some(true)
    }

    fn spoil(&mut self, fault: Fault) {
        self.command.fault.get_or_insert(fault);
    }
}

/// The first word of a line that is refused, so that the answer can be about it.
fn verb(text: &[u8]) -> &[u8] {
    text.split(|octet| *octet == b' ').next().unwrap_or_default()
}

/// The literal that a refused line announces.
fn announced(line: &Line) -> Option<u64> {
    if line.is_too_long() {
        return grammar::announced_at_end(&line.tail);
    }
    // A malformed line may keep a part of its line end.
    let end = line.text.iter().rposition(|octet| !matches!(octet, b'\r' | b'\n'))?;
    grammar::announced_at_end(line.text.get(..=end)?)
}

impl Command {
    /// The verb in upper case, where there is one.
    pub(super) fn verb(&self) -> Zeroizing<Vec<u8>> {
        match self.words.first() {
            Some(Word::Atom(verb)) => Zeroizing::new(verb.to_ascii_uppercase()),
            Some(Word::String(_)) | None => Zeroizing::default(),
        }
    }

    /// What stands behind the verb.
    pub(super) fn arguments(&self) -> &[Word] {
        self.words.get(1..).unwrap_or_default()
    }
}
