//! The guard of a logged-in IMAP session whose mail server offers UNAUTHENTICATE (RFC 8437).
//!
//! That command puts a connection back to where anybody may log in, around Bearward. So the guard follows both
//! directions and must never think of an octet as part of a literal that the mail server reads as a command:
//!
//! - Only CRLF ends a line. A line with a control character in it is refused, and so is one that begins with
//!   anything but a tag, one space and a word, or that ends in what only some would take for a literal.
//! - A refused command is sent as NOOP under its own tag, and the answer to it becomes the refusal. So refusals stand
//!   in order, and never inside a literal of the mail server.
//! - A literal goes up only behind the mail server's `+`. One that its client sends without waiting is announced as
//!   one that waits, and that `+` is kept from the client: what a mail server does with the octets of a literal in a
//!   command that it refuses is then never a question. A literal answered otherwise is none.
//! - A command that waits for a `+` is alone with the mail server, so that the `+` can be for nothing else; a tag
//!   that is in use waits for its answer.
//! - In IDLE the next line is DONE, or is made one.
//! - COMPRESS is refused: nothing could be followed behind it.
//!
//! What is a literal of the mail server passes uninspected, and an idle session keeps no buffer.

mod command;
mod responses;

use command::{Command, Verdict};
use memchr::memmem;
use responses::Responses;

use super::{
    grammar::Tag,
    literal::{self, Literal},
};
use crate::proto::{Guard, GuardViolation};

/// Follows a logged-in IMAP session; see the module.
#[derive(Debug, Default)]
pub struct ImapGuard {
    intake: Intake,
    /// The client's line that has no end yet.
    line: Vec<u8>,
    open: Vec<Open>,
    responses: Responses,
}

/// What the client's next octets are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Intake {
    /// The first line of a command.
    #[default]
    Command,
    /// The command's next line, behind a literal.
    Rest,
    /// Octets of a literal.
    Literal {
        /// How many more.
        left: usize,
    },
    /// Not known before the mail server has answered a literal.
    Announced(Literal),
    /// Not known before it has answered IDLE.
    IdleAsked,
    /// DONE.
    Idle,
    /// Octets of a literal that nobody takes.
    Discarded {
        /// How many more.
        left: usize,
    },
    /// The next line of a command that nobody takes.
    DiscardedRest,
}

/// A command that the mail server has not answered. Only the last one may be unfinished.
#[derive(Debug)]
struct Open {
    /// Its tag.
    tag: Tag,
    answer: Answer,
}

/// What the client sees of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Pass,
    /// This in its place.
    Refusal {
        text: &'static str,
        /// Whether the tag is the client's own; if not the refusal has none.
        tagged: bool,
    },
}

/// What an answer from the mail server means for a command.
#[derive(Clone, Debug)]
enum Answered {
    Passed,
    /// The client gets these octets instead.
    Replaced(Vec<u8>),
}

impl ImapGuard {
    /// Longest line taken from a client, its CRLF included; mail servers take about as much.
    const LINE: usize = 64 * 1024;
    /// Most commands outstanding; further ones wait.
    const MAX_OPEN: usize = 128;

    /// A guard for a mail server that is logged in.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes octets up to the end of the line; says how many.
    fn line(&mut self, octets: &[u8], upstream: &mut Vec<u8>) -> Result<usize, GuardViolation> {
        let second_half = self.line.ends_with(b"\r") && octets.first() == Some(&b'\n');
        let end = if second_half { Some(1) } else { memmem::find(octets, b"\r\n").map(|at| at + 2) };
        let taken = end.unwrap_or(octets.len());
        if self.line.len() + taken > Self::LINE {
            return Err(GuardViolation::ClientLineTooLong);
        }
        self.line.extend_from_slice(octets.get(..taken).unwrap_or(octets));
        if end.is_none() {
            return Ok(taken);
        }
        let mut line = std::mem::take(&mut self.line);
        let text = line.strip_suffix(b"\r\n").unwrap_or(&line);
        match self.intake {
            Intake::Command => {
                let command = Command::read(text);
                if self.must_wait(&command) {
                    // The line is offered again with its last octet.
                    line.pop();
                    self.line = line;
                    return Ok(taken.saturating_sub(1));
                }
                self.command(command, text, upstream);
            }
            Intake::Rest => self.rest(text, upstream)?,
            Intake::Idle => self.idle(text, upstream),
            Intake::DiscardedRest => self.discard(literal::announced(text)),
            Intake::Literal { .. } | Intake::Announced(_) | Intake::IdleAsked | Intake::Discarded { .. } => {}
        }
        Ok(taken)
    }

    fn must_wait(&self, command: &Command) -> bool {
        let awaits_plus = matches!(command.verdict, Verdict::Idle | Verdict::Literal(_));
        (awaits_plus && !self.open.is_empty())
            || self.open.len() >= Self::MAX_OPEN
            || self.open.iter().any(|open| open.tag == command.tag)
    }

    fn command(&mut self, command: Command, text: &[u8], upstream: &mut Vec<u8>) {
        let mut answer = Answer::Pass;
        match command.verdict {
            Verdict::Pass => send(text, upstream),
            Verdict::Idle => {
                send(text, upstream);
                self.intake = Intake::IdleAsked;
            }
            Verdict::Literal(literal) => self.announce(text, literal, upstream),
            Verdict::Refuse { text: refusal, literal } => {
                send(format!("{} NOOP", command.tag).as_bytes(), upstream);
                answer = Answer::Refusal { text: refusal, tagged: command.tagged };
                self.discard(literal);
            }
        }
        self.open.push(Open { tag: command.tag, answer });
    }

    /// A line of a command that the mail server has begun to take. There is no way to refuse it any more.
    fn rest(&mut self, text: &[u8], upstream: &mut Vec<u8>) -> Result<(), GuardViolation> {
        if !matches!(text.first(), None | Some(b' ' | b')')) || command::is_unfit(text) {
            return Err(GuardViolation::ClientOutOfStep);
        }
        match command::literal(text).map_err(|_| GuardViolation::ClientOutOfStep)? {
            Some(literal) => self.announce(text, literal, upstream),
            None => {
                send(text, upstream);
                self.intake = Intake::Command;
            }
        }
        Ok(())
    }

    fn announce(&mut self, text: &[u8], literal: Literal, upstream: &mut Vec<u8>) {
        let start = memchr::memrchr(b'{', text).unwrap_or(text.len());
        upstream.extend_from_slice(text.get(..start).unwrap_or(text));
        // Written anew, so that the mail server reads the size that we read.
        send(format!("{{{}}}", literal.length).as_bytes(), upstream);
        self.intake = Intake::Announced(literal);
    }

    fn idle(&mut self, text: &[u8], upstream: &mut Vec<u8>) {
        send(b"DONE", upstream);
        if text.eq_ignore_ascii_case(b"DONE") {
            self.intake = Intake::Command;
            return;
        }
        if let Some(open) = self.open.last_mut() {
            open.answer = Answer::Refusal { text: "BAD DONE was expected", tagged: true };
        }
        self.discard(literal::announced(text));
    }

    /// A line was thrown away that ends so. Octets that come unasked belong to it.
    fn discard(&mut self, literal: Option<Literal>) {
        self.intake = match literal {
            Some(Literal { length: 0, waits: false }) => Intake::DiscardedRest,
            Some(Literal { length, waits: false }) => Intake::Discarded { left: length },
            Some(Literal { waits: true, .. }) | None => Intake::Command,
        };
    }

    fn octets(&mut self, left: usize, octets: &[u8], upstream: &mut Vec<u8>) -> usize {
        let taken = left.min(octets.len());
        upstream.extend_from_slice(octets.get(..taken).unwrap_or(octets));
        let left = left - taken;
        self.intake = if left == 0 { Intake::Rest } else { Intake::Literal { left } };
        taken
    }

    fn discarded(&mut self, left: usize, octets: &[u8]) -> usize {
        let taken = left.min(octets.len());
        let left = left - taken;
        self.intake = if left == 0 { Intake::DiscardedRest } else { Intake::Discarded { left } };
        taken
    }

    /// The mail server says `+`; whether the client may see it.
    fn continued(&mut self) -> Result<bool, GuardViolation> {
        match self.intake {
            Intake::Announced(literal) => {
                self.intake = match literal.length {
                    0 => Intake::Rest,
                    left => Intake::Literal { left },
                };
                Ok(literal.waits)
            }
            Intake::IdleAsked => {
                self.intake = Intake::Idle;
                Ok(true)
            }
            Intake::Command
            | Intake::Rest
            | Intake::Literal { .. }
            | Intake::Idle
            | Intake::Discarded { .. }
            | Intake::DiscardedRest => Err(GuardViolation::ServerOutOfStep),
        }
    }

    /// The mail server ends a command.
    fn answered(&mut self, tag: &[u8]) -> Result<Answered, GuardViolation> {
        let found = self.open.iter().position(|open| open.tag.as_bytes() == tag);
        let at = found.ok_or(GuardViolation::ServerOutOfStep)?;
        if at + 1 == self.open.len() {
            match self.intake {
                // It was no literal after all.
                Intake::Announced(literal) => self.discard(Some(literal)),
                Intake::IdleAsked | Intake::Idle => self.intake = Intake::Command,
                // Whether it takes what is left of the command is anybody's guess.
                Intake::Literal { .. } | Intake::Rest => return Err(GuardViolation::ServerOutOfStep),
                Intake::Command | Intake::Discarded { .. } | Intake::DiscardedRest => {}
            }
        }
        let Open { tag, answer } = self.open.remove(at);
        if self.open.is_empty() {
            self.open = Vec::new();
        }
        Ok(match answer {
            Answer::Pass => Answered::Passed,
            Answer::Refusal { text, tagged: true } => {
                Answered::Replaced(format!("{tag} {text}\r\n").into_bytes())
            }
            Answer::Refusal { text, tagged: false } => {
                Answered::Replaced(format!("* {text}\r\n").into_bytes())
            }
        })
    }
}

/// A line to the mail server.
fn send(text: &[u8], upstream: &mut Vec<u8>) {
    upstream.extend_from_slice(text);
    upstream.extend_from_slice(b"\r\n");
}

impl Guard for ImapGuard {
    fn client(&mut self, octets: &[u8], upstream: &mut Vec<u8>) -> Result<usize, GuardViolation> {
        let mut rest = octets;
        while !rest.is_empty() {
            let taken = match self.intake {
                Intake::Announced(_) | Intake::IdleAsked => break,
                Intake::Literal { left } => self.octets(left, rest, upstream),
                Intake::Discarded { left } => self.discarded(left, rest),
                Intake::Command | Intake::Rest | Intake::Idle | Intake::DiscardedRest => {
                    self.line(rest, upstream)?
                }
            };
            if taken == 0 {
                break;
            }
            rest = rest.get(taken..).unwrap_or_default();
        }
        Ok(octets.len() - rest.len())
    }

    fn server(&mut self, octets: &[u8], client: &mut Vec<u8>) -> Result<(), GuardViolation> {
        let mut rest = octets;
        while !rest.is_empty() {
            let taken = self.said(rest, client)?;
            rest = rest.get(taken..).unwrap_or_default();
        }
        Ok(())
    }

    fn at_line_border(&self) -> bool {
        self.responses.at_border()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_session_keeps_no_buffer() {
        let (mut guard, mut up, mut down) = (ImapGuard::new(), Vec::new(), Vec::new());
        guard.client(b"a SEL", &mut up).unwrap();
        guard.client(b"ECT x\r\nb UNAUTHENTICATE\r\n", &mut up).unwrap();
        guard.server(b"* 1 FETCH (BODY[] {3}\r\nabc", &mut down).unwrap();
        guard.server(b")\r\na OK [CAPABI", &mut down).unwrap();
        guard.server(b"LITY IDLE] in\r\nb OK\r\n", &mut down).unwrap();
        assert_eq!(guard.client(b"c IDLE\r\n", &mut up), Ok(8));
        guard.server(b"+ idling\r\n", &mut down).unwrap();
        assert_eq!(guard.intake, Intake::Idle);
        assert_eq!((guard.line.capacity(), guard.responses.capacity()), (0, 0));
        // The one command that is open.
        assert_eq!(guard.open.len(), 1);
        assert!(size_of::<ImapGuard>() + size_of::<Open>() * guard.open.capacity() < 300);
    }
}
