//! Reads a client's commands, which are lines and the literals between them.
//!
//! Invariants:
//! - a literal that its sender does not wait with belongs to its command, also when that is refused: its octets
//!   and the rest of the command are thrown away as they come, and are never a command (RFC 7888 §4);
//! - every line is looked at for such a literal, also one that is too long, malformed or a SASL response;
//! - what is kept is bounded by the line limit, [`literal::MAX`] and [`MAX_LITERALS`].

use zeroize::{Zeroize, Zeroizing};

use super::literal::{self, Literal};
use crate::proto::line::{Line, LineFault, Lines};

/// Octets of literals taken in one command.
const MAX_LITERALS: usize = 16 * 1024;
/// Octets of one refused command that are thrown away before the connection is given up.
const MAX_SKIPPED: usize = 64 * 1024;

/// How a TLS handshake begins (RFC 8446 §5.1): a record of it, of version 3.x. It has no line end to wait for.
const CLIENT_HELLO: &[u8] = b"\x16\x03";

/// Splits the stream into commands.
#[derive(Debug)]
pub(super) struct CommandReader {
    lines: Lines,
    phase: Phase,
    command: Command,
    /// Octets of the refused command that were thrown away.
    skipped: usize,
}

#[derive(Debug)]
enum Phase {
    /// A line of a command comes next.
    Line,
    /// So many octets of a literal that was taken come next.
    Literal(usize),
    /// So many octets of a refused command's literal come next, and then the rest of the command.
    SkipLiteral(usize),
    /// The rest of a refused command comes next.
    SkipLine,
}

/// A command as far as it was read: its lines and literals as on the wire, without the last CRLF.
#[derive(Default)]
pub(super) struct Command {
    pub(super) octets: Zeroizing<Vec<u8>>,
    /// How many of the octets are literals' own.
    pub(super) in_literals: usize,
}

/// What was read.
#[derive(Debug)]
pub(super) enum Input {
    /// A command that ends here.
    Whole(Command),
    /// A command whose last line announces a literal; [`CommandReader::take_literal`] or
    /// [`CommandReader::refuse`] must be called.
    Announced(Command, Literal),
    /// A line that must be refused, or the command it belongs to.
    Faulty(Command, LineFault),
    /// More is announced for a refused command than will be read: the connection must end.
    Flood,
    /// HTTP, or a TLS handshake where none can be.
    NotMail,
}

/// One line that answers a challenge.
#[derive(Debug)]
pub(super) enum Response {
    /// The line, whatever is wrong with it.
    Line(Line),
    /// As [`Input::Flood`].
    Flood,
}

impl CommandReader {
    /// A reader for lines of at most `limit` octets.
    pub(super) fn new(limit: usize) -> Self {
        Self { lines: Lines::new(limit), phase: Phase::Line, command: Command::default(), skipped: 0 }
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
        self.lines.clear();
        self.phase = Phase::Line;
        self.command = Command::default();
    }

    /// The next command, or as much of it as needs a decision.
    pub(super) fn next(&mut self) -> Option<Input> {
        loop {
            match self.phase {
                Phase::Line => return self.command_line(),
                Phase::Literal(length) => {
                    let octets = self.lines.take_exact(length)?;
                    self.command.append(&octets);
                    self.command.in_literals = self.command.in_literals.saturating_add(length);
                    self.phase = Phase::Line;
                }
                Phase::SkipLiteral(_) | Phase::SkipLine => {
                    if !self.skip()? {
                        return Some(Input::Flood);
                    }
                }
            }
        }
    }

    /// The next line as the answer to a challenge. What a literal announced at its end holds is thrown away: no
    /// answer has literals, so it can only be a command that was sent instead.
    pub(super) fn next_response(&mut self) -> Option<Response> {
        while !matches!(self.phase, Phase::Line) {
            if !self.skip()? {
                return Some(Response::Flood);
            }
        }
        let line = self.lines.next_line()?;
        self.skip_behind(&line);
        Some(Response::Line(line))
    }

    /// Reads the announced literal into the command `so_far`, when it is not too long.
    ///
    /// # Errors
    /// It is; the literal was refused.
    pub(super) fn take_literal(&mut self, so_far: Command, literal: Literal) -> Result<(), ()> {
        if literal.length > literal::MAX || so_far.in_literals.saturating_add(literal.length) > MAX_LITERALS {
            self.refuse(literal);
            return Err(());
        }
        self.command = so_far;
        self.command.append(b"\r\n");
        self.phase = Phase::Literal(literal.length);
        Ok(())
    }

    /// Refuses the command that announced the literal. Who waits sends no more of it; else it is thrown away.
    pub(super) fn refuse(&mut self, literal: Literal) {
        self.skipped = 0;
        self.phase = if literal.waits { Phase::Line } else { Phase::SkipLiteral(literal.length) };
    }

    /// No answer to the challenge came in time. What was begun of it is thrown away, up to its line end; but the
    /// octet 0x01 alone is a whole answer, for a client that sends no line end behind it.
    pub(super) fn give_up_response(&mut self) {
        if self.lines.rest() == b"\x01" {
            self.lines.clear();
        } else if !self.lines.is_empty() {
            self.skipped = 0;
            self.phase = Phase::SkipLine;
        }
    }

    fn command_line(&mut self) -> Option<Input> {
        let is_first = self.command.octets.is_empty();
        if is_first && self.lines.rest().starts_with(CLIENT_HELLO) {
            return Some(Input::NotMail);
        }
        let line = self.lines.next_line()?;
        if is_first && line.is_http() {
            return Some(Input::NotMail);
        }
        let mut command = std::mem::take(&mut self.command);
        if let Some(fault) = line.fault {
            command.append(&line.text);
            self.skip_behind(&line);
            return Some(Input::Faulty(command, fault));
        }
        let announced = literal::announced(&line.text);
        // Some clients send blanks before the line end.
        let text = if announced.is_some() { &line.text } else { without_trailing_blanks(&line.text) };
        command.append(text);
        Some(match announced {
            Some(literal) => Input::Announced(command, literal),
            None => Input::Whole(command),
        })
    }

    /// Throws away the literal that a refused line announces, if its sender does not wait.
    fn skip_behind(&mut self, line: &Line) {
        let announced = if line.is_too_long() {
            literal::announced_in_tail(&line.tail)
        } else {
            // A malformed line may keep a part of its line end.
            let end = line.text.iter().rposition(|octet| !matches!(octet, b'\r' | b'\n'));
            let text = line.text.get(..end.map_or(0, |last| last.saturating_add(1)));
            literal::announced(text.unwrap_or_default())
        };
        if let Some(literal) = announced {
            self.refuse(literal);
        }
    }

    /// Throws away the next part of a refused command. `None` when octets are missing, `false` when there is too
    /// much of it.
    fn skip(&mut self) -> Option<bool> {
        match self.phase {
            Phase::SkipLiteral(length) => {
                if self.skipped.saturating_add(length) > MAX_SKIPPED {
                    return Some(false);
                }
                let gone = self.lines.discard(length);
                self.skipped = self.skipped.saturating_add(gone);
                let missing = length.saturating_sub(gone);
                self.phase = if missing > 0 { Phase::SkipLiteral(missing) } else { Phase::SkipLine };
                (missing == 0).then_some(true)
            }
            Phase::SkipLine => {
                let line = self.lines.next_line()?;
                let skipped = self.skipped.saturating_add(line.text.len()).saturating_add(2);
                self.phase = Phase::Line;
                self.skip_behind(&line);
                self.skipped = skipped;
                Some(true)
            }
            Phase::Line | Phase::Literal(_) => Some(true),
        }
    }
}

impl Command {
    /// How many of the octets stand in lines.
    pub(super) fn in_lines(&self) -> usize {
        self.octets.len().saturating_sub(self.in_literals)
    }

    fn append(&mut self, octets: &[u8]) {
        let needed = self.octets.len().saturating_add(octets.len());
        if needed > self.octets.capacity() {
            // Growing in place would free the old buffer unwiped.
            let mut larger = Vec::with_capacity(needed);
            larger.extend_from_slice(&self.octets);
            self.octets.zeroize();
            *self.octets = larger;
        }
        self.octets.extend_from_slice(octets);
    }
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Command({} octets)", self.octets.len())
    }
}

fn without_trailing_blanks(line: &[u8]) -> &[u8] {
    let end = line.iter().rposition(|octet| !matches!(octet, b' ' | b'\t'));
    line.get(..end.map_or(0, |last| last.saturating_add(1))).unwrap_or_default()
}
