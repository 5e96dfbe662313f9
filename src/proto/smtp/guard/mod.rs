//! The guard of a logged-in submission session.
//!
//! A mail server lets its client sign in anew, start TLS or, with XCLIENT, name another user. A client that
//! Bearward signed in must do none of it, and must not talk past Bearward to the server either. So the guard
//! follows both directions:
//!
//! - Only known verbs pass; a refused command is sent as NOOP, and the reply to it becomes the refusal. So
//!   refusals stand in the right order among the mail server's replies, pipelined or not.
//! - Only CRLF ends a command. A line with a control character in it is refused whole.
//! - After DATA nothing passes before 354 or the refusal says whether a message follows, and after EHLO nothing
//!   passes before its answer says whether BDAT is understood.
//! - A message is passed so that it can end in one place only, whatever the mail server takes for a line end. Where
//!   bare line ends are refused instead, the mail server gets nothing more from the first one on, so that it never
//!   sees the end of that message; the client is heard to the end, told, and disconnected.
//! - Where senders are checked, a MAIL command passes only with an address of the client.
//! - The octets of BDAT are counted, whether it is refused or not (RFC 3030 §2). Where the mail server does not
//!   offer CHUNKING it would read them as commands: there they are thrown away.
//! - BURL, ETRN, ATRN and TURN are not offered and are refused: the first reads mailboxes in the user's name,
//!   the others make the server send.

mod lines;
mod message;
mod replies;

use lines::{CommandLine, WholeLine};
use message::Message;
use replies::{Expected, Finished, Replies};

use super::{
    command::{Chunk, Verb},
    ehlo,
    sender::{Sender, SenderPolicy},
};
use crate::proto::{Guard, GuardViolation, Offer};

/// Follows a logged-in submission session; see the module.
#[derive(Debug)]
pub struct SmtpGuard {
    intake: Intake,
    line: CommandLine,
    replies: Replies,
    /// Whether the mail server understands BDAT now.
    chunking: bool,
    bare_newline: BareNewline,
    /// Who may be the sender; anybody without it.
    senders: Option<Box<SenderPolicy>>,
}

/// What becomes of a message with a bare CR or LF in it. The octets of BDAT always pass as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BareNewline {
    /// Each is made CRLF.
    #[default]
    Normalize,
    /// The message is refused, and the session ends.
    Refuse,
}

/// What the client's next octets are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Intake {
    /// Octets of a BDAT chunk.
    Chunk {
        /// How many more.
        left: u64,
        /// Whether the mail server gets them.
        pass: bool,
    },
    /// The connection is about to end: nothing goes upstream any more.
    Closed,
    /// Commands.
    Command,
    /// A message.
    Message(Message),
    /// A message that the mail server gets no more of.
    RefusedMessage(Message),
    /// Not known before the mail server has answered.
    Waiting,
}

/// What becomes of a command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Chunk(Chunk),
    /// Where its octets end is not known, so there is no way on.
    ChunkUnknown,
    Data,
    Hello,
    Mail,
    Pass,
    Refuse(&'static [u8]),
}

const ALREADY_AUTHENTICATED: &[u8] = b"503 5.5.1 Already authenticated\r\n";
const TLS_ALREADY_ACTIVE: &[u8] = b"503 5.5.1 TLS already active\r\n";
const NOT_AVAILABLE: &[u8] = b"502 5.5.1 Command not available\r\n";
const UNKNOWN: &[u8] = b"500 5.5.2 Unknown command\r\n";
const CONTROL_CHARACTER: &[u8] = b"500 5.5.2 Control character or bare line end in a command\r\n";
const LINE_TOO_LONG: &[u8] = b"500 5.5.2 Line too long\r\n";
const NO_CHUNKING: &[u8] = b"503 5.5.1 CHUNKING is not offered\r\n";
const NOT_YOUR_ADDRESS: &[u8] = b"553 5.7.1 Sender address is not yours\r\n";
const UNREADABLE_ADDRESS: &[u8] = b"553 5.7.1 Sender address cannot be read unambiguously\r\n";
const BARE_NEWLINE: &[u8] = b"550 5.6.11 Message has a bare CR or LF, closing the connection\r\n";
const CHUNK_UNKNOWN: &[u8] = b"501 5.5.4 Bad BDAT size, closing the connection\r\n";

impl SmtpGuard {
    /// A guard for a mail server that is logged in and has offered this in its last EHLO answer.
    pub fn new(offer: &Offer) -> Self {
        Self {
            intake: Intake::Command,
            line: CommandLine::default(),
            replies: Replies::default(),
            chunking: offer.lines.iter().any(|line| ehlo::has_keyword(line, "CHUNKING")),
            bare_newline: BareNewline::Normalize,
            senders: None,
        }
    }

    /// The same, with another way to treat bare line ends in a message.
    #[must_use]
    pub const fn with_bare_newlines(mut self, bare_newline: BareNewline) -> Self {
        self.bare_newline = bare_newline;
        self
    }

    /// The same, with senders checked.
    #[must_use]
    pub fn with_senders(mut self, senders: SenderPolicy) -> Self {
        self.senders = Some(Box::new(senders));
        self
    }

    fn command(&mut self, octets: &[u8], upstream: &mut Vec<u8>) -> Result<usize, GuardViolation> {
        let (taken, line) = self.line.take(octets)?;
        let Some(line) = line else { return Ok(taken) };
        match verdict(&line) {
            Verdict::Chunk(chunk) => self.chunk(chunk, upstream),
            Verdict::ChunkUnknown => {
                self.send(b"QUIT", Expected::Replace(CHUNK_UNKNOWN), upstream);
                self.intake = Intake::Closed;
            }
            Verdict::Data => {
                self.send(&line.octets, Expected::Data, upstream);
                self.intake = Intake::Waiting;
            }
            Verdict::Hello => {
                self.send(&line.octets, Expected::Hello, upstream);
                self.intake = Intake::Waiting;
            }
            Verdict::Mail => self.mail(&line.octets, upstream),
            Verdict::Pass => self.send(&line.octets, Expected::Pass, upstream),
            Verdict::Refuse(text) => self.send(b"NOOP", Expected::Replace(text), upstream),
        }
        Ok(taken)
    }

    fn mail(&mut self, line: &[u8], upstream: &mut Vec<u8>) {
        let (_, arguments) = Verb::split(line);
        match self.senders.as_ref().map(|senders| senders.judge(arguments)) {
            None => self.send(line, Expected::Pass, upstream),
            Some(Sender::Own(written)) => self.send(written.as_bytes(), Expected::Pass, upstream),
            Some(Sender::Foreign) => self.send(b"NOOP", Expected::Replace(NOT_YOUR_ADDRESS), upstream),
            Some(Sender::Unreadable) => self.send(b"NOOP", Expected::Replace(UNREADABLE_ADDRESS), upstream),
        }
    }

    fn chunk(&mut self, chunk: Chunk, upstream: &mut Vec<u8>) {
        if self.chunking {
            // Written anew, so that the mail server reads the size that we read.
            let last = if chunk.last { " LAST" } else { "" };
            self.send(format!("BDAT {}{last}", chunk.size).as_bytes(), Expected::Pass, upstream);
        } else {
            self.send(b"NOOP", Expected::Replace(NO_CHUNKING), upstream);
        }
        if chunk.size > 0 {
            self.intake = Intake::Chunk { left: chunk.size, pass: self.chunking };
        }
    }

    fn send(&mut self, command: &[u8], expected: Expected, upstream: &mut Vec<u8>) {
        upstream.extend_from_slice(command);
        upstream.extend_from_slice(b"\r\n");
        self.replies.expect(expected);
    }

    fn chunk_octets(&mut self, left: u64, pass: bool, octets: &[u8], upstream: &mut Vec<u8>) -> usize {
        let taken = usize::try_from(left).unwrap_or(usize::MAX).min(octets.len());
        if pass {
            upstream.extend_from_slice(octets.get(..taken).unwrap_or(octets));
        }
        // Lossless: `usize` has at most 64 bits here.
        let left = left.saturating_sub(taken as u64);
        self.intake = if left == 0 { Intake::Command } else { Intake::Chunk { left, pass } };
        taken
    }

    fn message(
        &mut self,
        mut message: Message,
        octets: &[u8],
        upstream: &mut Vec<u8>,
    ) -> Result<usize, GuardViolation> {
        let passed = upstream.len();
        let (taken, ended) = message.pass(octets, upstream);
        if self.bare_newline == BareNewline::Refuse && message.had_bare_newline() {
            upstream.truncate(passed);
            self.intake = Intake::RefusedMessage(message);
            return if ended { Err(GuardViolation::BareNewline) } else { Ok(taken) };
        }
        if ended {
            self.replies.expect(Expected::Pass);
            self.intake = Intake::Command;
        } else {
            self.intake = Intake::Message(message);
        }
        Ok(taken)
    }

    fn finished(&mut self, finished: Finished) {
        match finished {
            Finished::Closing => self.intake = Intake::Closed,
            Finished::DataAccepted => self.resume(Intake::Message(Message::new())),
            Finished::DataRefused => self.resume(Intake::Command),
            Finished::Hello { chunking } => {
                self.chunking = chunking;
                self.resume(Intake::Command);
            }
            Finished::Other => {}
        }
    }

    /// The answer waited for is there.
    fn resume(&mut self, intake: Intake) {
        if self.intake == Intake::Waiting {
            self.intake = intake;
        }
    }
}

impl Guard for SmtpGuard {
    fn client(&mut self, octets: &[u8], upstream: &mut Vec<u8>) -> Result<usize, GuardViolation> {
        let mut rest = octets;
        while !rest.is_empty() {
            let taken = match self.intake {
                Intake::Waiting => break,
                Intake::Command if self.replies.is_full() => break,
                Intake::Chunk { left, pass } => self.chunk_octets(left, pass, rest, upstream),
                Intake::Closed => rest.len(),
                Intake::Command => self.command(rest, upstream)?,
                Intake::Message(message) | Intake::RefusedMessage(message) => {
                    self.message(message, rest, upstream)?
                }
            };
            rest = rest.get(taken..).unwrap_or_default();
        }
        Ok(octets.len() - rest.len())
    }

    fn server(&mut self, octets: &[u8], client: &mut Vec<u8>) -> Result<(), GuardViolation> {
        let mut rest = octets;
        while !rest.is_empty() {
            let (taken, finished) = self.replies.take(rest, client)?;
            if let Some(finished) = finished {
                self.finished(finished);
            }
            rest = rest.get(taken..).unwrap_or_default();
        }
        Ok(())
    }

    fn at_line_border(&self) -> bool {
        self.replies.at_border()
    }

    fn last_words(&self) -> Option<&'static [u8]> {
        matches!(self.intake, Intake::RefusedMessage(_)).then_some(BARE_NEWLINE)
    }
}

fn verdict(line: &WholeLine) -> Verdict {
    if let Some(text) = unfit(line) {
        // Whatever was meant by it, octets that are no commands may follow.
        let looks_like_chunk = line.octets.get(..4).is_some_and(|word| word.eq_ignore_ascii_case(b"BDAT"));
        return if looks_like_chunk { Verdict::ChunkUnknown } else { Verdict::Refuse(text) };
    }
    let (verb, arguments) = Verb::split(&line.octets);
    let Some(verb) = verb else { return Verdict::Refuse(UNKNOWN) };
    match verb {
        Verb::Auth => Verdict::Refuse(ALREADY_AUTHENTICATED),
        Verb::StartTls => Verdict::Refuse(TLS_ALREADY_ACTIVE),
        Verb::Atrn | Verb::Burl | Verb::Etrn | Verb::Xclient => Verdict::Refuse(NOT_AVAILABLE),
        Verb::Bdat => Chunk::parse(arguments).map_or(Verdict::ChunkUnknown, Verdict::Chunk),
        Verb::Data => Verdict::Data,
        Verb::Ehlo | Verb::Helo => Verdict::Hello,
        Verb::Mail => Verdict::Mail,
        Verb::Expn | Verb::Help | Verb::Noop | Verb::Quit | Verb::Rcpt | Verb::Rset | Verb::Vrfy => {
            Verdict::Pass
        }
    }
}

/// Why a line cannot be judged by its verb.
fn unfit(line: &WholeLine) -> Option<&'static [u8]> {
    if line.too_long {
        return Some(LINE_TOO_LONG);
    }
    let control = |octet: &u8| octet.is_ascii_control() && *octet != b'\t';
    line.octets.iter().any(control).then_some(CONTROL_CHARACTER)
}
