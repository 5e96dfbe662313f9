//! The guard of a logged-in ManageSieve session.
//!
//! A mail server may let its client become nobody again (UNAUTHENTICATE, RFC 5804 §2.14) and then sign in as
//! someone else. A client that Bearward signed in must not, and must not talk past Bearward to the server either.
//! So the guard follows both directions:
//!
//! - Only known commands pass, and each is written anew, so that the mail server reads the verb, the names and the
//!   lengths that were read here. A refused command is sent as CAPABILITY, which every server knows, and the reply
//!   to it becomes the refusal: so refusals stand in the right order, pipelined or not.
//! - A literal passes only where a script stands, behind its command and octet by octet; a name in one is written
//!   in quotes. Else a server that stops reading a command at a word it does not know would take the octets of the
//!   literal for commands.
//! - Only CRLF ends a command. Nothing of a command goes upstream before its line is whole and understood.
//! - The mail server's capability lists show neither mechanisms nor STARTTLS nor UNAUTHENTICATE, and its
//!   referrals, which would have the client show its token elsewhere, are not passed on.

mod command;
mod replies;

use memchr::memchr;

use command::{Plan, Refusal};
use replies::{Expected, Replies};

use super::grammar::{self, Word};
use crate::proto::{
    Guard, GuardViolation,
    line::{Line, Lines},
};

/// Longest line of a command, in octets; a quoted string has at most 1024 (RFC 5804 §4).
const LINE_LIMIT: usize = 8 * 1024;
/// Longest line waited for to end.
const FLOOD: usize = 1024 * 1024;

/// Follows a logged-in ManageSieve session; see the module.
#[derive(Debug)]
pub struct SieveGuard {
    intake: Intake,
    lines: Lines,
    /// Octets of the line so far.
    line_length: usize,
    /// The words of the command so far.
    words: Vec<Word>,
    /// A literal went before: the line goes on with its command.
    behind_literal: bool,
    /// The command will be refused once it is whole.
    refusal: Option<Refusal>,
    replies: Replies,
}

/// What the client's next octets are.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Intake {
    /// The connection is about to end: nothing goes upstream any more.
    Closed,
    /// A line of a command.
    Line,
    /// A name in a literal: so many octets of it are missing.
    Name { left: usize, octets: Vec<u8> },
    /// A script in a literal, which passes: so many more octets.
    Script(u64),
    /// The line end behind a script.
    ScriptEnd,
    /// A literal of a refused command: so many more octets.
    Skip(u64),
}

impl SieveGuard {
    /// A guard for a mail server that is logged in.
    pub fn new() -> Self {
        Self {
            intake: Intake::Line,
            lines: Lines::new(LINE_LIMIT),
            line_length: 0,
            words: Vec::new(),
            behind_literal: false,
            refusal: None,
            replies: Replies::default(),
        }
    }

    /// Takes octets up to the end of the line; says how many, and the line when it is whole.
    fn take_line(&mut self, octets: &[u8]) -> Result<(usize, Option<Line>), GuardViolation> {
        let end = memchr(b'\n', octets).map_or(octets.len(), |end| end + 1);
        self.line_length = self.line_length.saturating_add(end);
        if self.line_length > FLOOD {
            return Err(GuardViolation::ClientLineTooLong);
        }
        self.lines.push(octets.get(..end).unwrap_or(octets));
        let line = self.lines.next_line();
        if line.is_some() {
            self.line_length = 0;
        }
        Ok((end, line))
    }

    fn line(&mut self, line: &Line, upstream: &mut Vec<u8>) {
        let parsed = line
            .clean()
            .map_err(Refusal::of_line)
            .and_then(|text| grammar::words(text, self.behind_literal).map_err(|_| Refusal::Malformed));
        let announced = match parsed {
            Ok(parsed) if self.refusal.is_none() => {
                self.words.extend(parsed.words);
                parsed.literal
            }
            Ok(parsed) => parsed.literal,
            Err(refusal) => {
                self.refusal.get_or_insert(refusal);
                announced(line)
            }
        };
        match announced {
            None => self.whole(upstream),
            Some(length) => self.literal(length, upstream),
        }
    }

    fn literal(&mut self, length: u64, upstream: &mut Vec<u8>) {
        self.behind_literal = true;
        let plan = match self.refusal {
            Some(refusal) => Err(refusal),
            None => command::literal(&self.words, length),
        };
        self.intake = match plan {
            Ok(Plan::Name(0)) => {
                self.words.push(Word::String(Vec::new().into()));
                Intake::Line
            }
            Ok(Plan::Name(left)) => Intake::Name { left, octets: Vec::with_capacity(left) },
            Ok(Plan::Script(command)) => {
                upstream.extend_from_slice(&command);
                self.replies.expect(Expected::Pass);
                if length == 0 { Intake::ScriptEnd } else { Intake::Script(length) }
            }
            Err(refusal) => {
                self.refusal = Some(refusal);
                if length == 0 { Intake::Line } else { Intake::Skip(length) }
            }
        };
    }

    /// The command is whole.
    fn whole(&mut self, upstream: &mut Vec<u8>) {
        let words = std::mem::take(&mut self.words);
        self.behind_literal = false;
        let command = match self.refusal.take() {
            Some(refusal) => Err(refusal),
            None => command::compose(&words),
        };
        match command {
            Ok((octets, expected)) => {
                upstream.extend_from_slice(&octets);
                self.replies.expect(expected);
            }
            Err(refusal) => {
                upstream.extend_from_slice(b"CAPABILITY\r\n");
                self.replies.expect(Expected::Replace(refusal));
            }
        }
    }

    fn name(&mut self, octets: &[u8]) -> usize {
        let Intake::Name { left, octets: name } = &mut self.intake else { return 0 };
        let taken = octets.len().min(*left);
        name.extend_from_slice(octets.get(..taken).unwrap_or_default());
        *left -= taken;
        if *left == 0 {
            self.words.push(Word::String(std::mem::take(name).into()));
            self.intake = Intake::Line;
        }
        taken
    }

    /// The end of a command whose script has gone upstream already.
    fn script_end(&mut self, octets: &[u8], upstream: &mut Vec<u8>) -> Result<usize, GuardViolation> {
        let (taken, line) = self.take_line(octets)?;
        let Some(line) = line else { return Ok(taken) };
        // What the mail server would make of anything more is not known, and half of the command is there.
        if !line.clean().is_ok_and(<[u8]>::is_empty) {
            return Err(GuardViolation::ClientOutOfStep);
        }
        upstream.extend_from_slice(b"\r\n");
        self.words.clear();
        self.behind_literal = false;
        self.intake = Intake::Line;
        Ok(taken)
    }
}

impl Default for SieveGuard {
    fn default() -> Self {
        Self::new()
    }
}

impl Guard for SieveGuard {
    fn client(&mut self, octets: &[u8], upstream: &mut Vec<u8>) -> Result<usize, GuardViolation> {
        let mut rest = octets;
        while !rest.is_empty() {
            let taken = match self.intake {
                Intake::Closed => rest.len(),
                Intake::Line if self.replies.is_full() => break,
                Intake::Line => {
                    let (taken, line) = self.take_line(rest)?;
                    if let Some(line) = line {
                        self.line(&line, upstream);
                    }
                    taken
                }
                Intake::Name { .. } => self.name(rest),
                Intake::Script(left) => {
                    let (taken, left) = within(left, rest);
                    upstream.extend_from_slice(rest.get(..taken).unwrap_or(rest));
                    self.intake = if left == 0 { Intake::ScriptEnd } else { Intake::Script(left) };
                    taken
                }
                Intake::ScriptEnd => self.script_end(rest, upstream)?,
                Intake::Skip(left) => {
                    let (taken, left) = within(left, rest);
                    self.intake = if left == 0 { Intake::Line } else { Intake::Skip(left) };
                    taken
                }
            };
            rest = rest.get(taken..).unwrap_or_default();
        }
        Ok(octets.len() - rest.len())
    }

    fn server(&mut self, octets: &[u8], client: &mut Vec<u8>) -> Result<(), GuardViolation> {
        let mut rest = octets;
        while !rest.is_empty() {
            let taken = self.replies.take(rest, client)?;
            rest = rest.get(taken..).unwrap_or_default();
        }
        if self.replies.is_closing() {
            self.intake = Intake::Closed;
        }
        Ok(())
    }

    fn at_line_border(&self) -> bool {
        self.replies.at_border()
    }
}

/// How many of `octets` belong to what has `left` octets to come, and how many it has then.
fn within(left: u64, octets: &[u8]) -> (usize, u64) {
    let taken = usize::try_from(left).unwrap_or(usize::MAX).min(octets.len());
    // Lossless: `usize` has at most 64 bits here.
    (taken, left.saturating_sub(taken as u64))
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
