use std::collections::VecDeque;

use crate::proto::{
    GuardViolation,
    smtp::{
        ehlo,
        reply::{Cut, LineCutter, ReplyLine},
    },
};

/// A reply that the mail server owes, and what the client sees of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// The reply to DATA: 354, or a refusal.
    Data,
    /// The reply to EHLO or HELO, less what a client must not see.
    Hello,
    /// The reply as it comes.
    Pass,
    /// The reply to a NOOP or QUIT of ours; the client sees this text in its place.
    Replace(&'static [u8]),
}

/// What a finished reply means for the client's next octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finished {
    /// 421: the mail server is about to close.
    Closing,
    /// The mail server takes a message.
    DataAccepted,
    /// It does not.
    DataRefused,
    /// EHLO or HELO was answered; whether CHUNKING is offered now.
    Hello {
        /// Whether BDAT may be used.
        chunking: bool,
    },
    /// Nothing.
    Other,
}

/// Follows the mail server's replies.
#[derive(Debug, Default)]
pub(super) struct Replies {
    cutter: LineCutter,
    expected: VecDeque<Expected>,
    /// The reply whose last line has not come.
    open: Option<Open>,
    /// The last EHLO line that the client may see, until the next one or the end says which separator it gets.
    held: Vec<u8>,
    /// Whether the client has got a part of a reply.
    partly_sent: bool,
}

/// A reply that has begun.
#[derive(Clone, Copy, Debug)]
struct Open {
    code: u16,
    expected: Expected,
    /// Lines so far.
    lines: usize,
    /// Whether CHUNKING was among them.
    chunking: bool,
}

impl Replies {
    /// Most replies outstanding; the client's further commands wait.
    const MAX_EXPECTED: usize = 256;
    /// Most lines of one reply.
    const MAX_LINES: usize = 1000;

    /// The mail server owes one more reply.
    pub(super) fn expect(&mut self, expected: Expected) {
        self.expected.push_back(expected);
    }

    /// Whether no further command may be sent now.
    pub(super) fn is_full(&self) -> bool {
        self.expected.len() >= Self::MAX_EXPECTED
    }

    /// Whether the client has got whole replies only.
    pub(super) const fn at_border(&self) -> bool {
        !self.partly_sent
    }

    /// Takes octets of the mail server up to the end of a line; says how many, and what a finished reply means.
    pub(super) fn take(
        &mut self,
        octets: &[u8],
        client: &mut Vec<u8>,
    ) -> Result<(usize, Option<Finished>), GuardViolation> {
        let Cut { taken, line } = self.cutter.take(octets).map_err(|_| GuardViolation::ServerOutOfStep)?;
        let finished = match line {
            Some(line) => self.line(&line, client)?,
            None => None,
        };
        Ok((taken, finished))
    }

    fn line(&mut self, raw: &[u8], client: &mut Vec<u8>) -> Result<Option<Finished>, GuardViolation> {
        let line = ReplyLine::parse(raw).map_err(|_| GuardViolation::ServerOutOfStep)?;
        let mut open = match self.open.take() {
            Some(open) => Open { lines: open.lines + 1, ..open },
            None => self.begin(line.code)?,
        };
        if open.code != line.code || open.lines > Self::MAX_LINES {
            return Err(GuardViolation::ServerOutOfStep);
        }
        match open.expected {
            Expected::Hello if line.code == 250 => {
                open.chunking |= self.hello_line(open.lines, line, raw, client)
            }
            Expected::Replace(text) if line.code != 421 => {
                if line.last {
                    client.extend_from_slice(text);
                }
            }
            Expected::Data | Expected::Hello | Expected::Pass | Expected::Replace(_) => {
                client.extend_from_slice(raw);
                self.partly_sent = !line.last;
            }
        }
        if !line.last {
            self.open = Some(open);
            return Ok(None);
        }
        Ok(Some(Self::finish(open)))
    }

    /// The first line of a reply says what it answers.
    fn begin(&mut self, code: u16) -> Result<Open, GuardViolation> {
        let expected = match self.expected.pop_front() {
            Some(expected) => expected,
            // The one thing that a server may say unasked (RFC 5321 §3.8).
            None if code == 421 => Expected::Pass,
            None => return Err(GuardViolation::ServerOutOfStep),
        };
        // What nobody asked for would leave us and the server with two minds about what comes next.
        let in_step = match code {
            200..=299 => expected != Expected::Data,
            300..=399 => expected == Expected::Data && code == 354,
            _ => true,
        };
        if !in_step {
            return Err(GuardViolation::ServerOutOfStep);
        }
        Ok(Open { code, expected, lines: 1, chunking: false })
    }

    /// One line of the answer to EHLO; whether it offers CHUNKING.
    fn hello_line(&mut self, number: usize, line: ReplyLine<'_>, raw: &[u8], client: &mut Vec<u8>) -> bool {
        let text = std::str::from_utf8(line.text).unwrap_or_default();
        let keep = number == 1 || ehlo::may_promise(text);
        if keep {
            self.release_held(b'-', client);
            self.held.extend_from_slice(raw);
        }
        if line.last {
            self.release_held(b' ', client);
            self.held = Vec::new();
        }
        self.partly_sent = !line.last && self.partly_sent;
        number > 1 && ehlo::has_keyword(text, "CHUNKING")
    }

    /// Gives the held line to the client with this separator.
    fn release_held(&mut self, separator: u8, client: &mut Vec<u8>) {
        if self.held.is_empty() {
            return;
        }
        if let Some(place) = self.held.get_mut(3).filter(|octet| matches!(octet, b'-' | b' ')) {
            *place = separator;
        }
        client.append(&mut self.held);
        self.partly_sent = separator == b'-';
    }

    const fn finish(open: Open) -> Finished {
        match (open.code, open.expected) {
            (421, _) => Finished::Closing,
            (354, Expected::Data) => Finished::DataAccepted,
            (_, Expected::Data) => Finished::DataRefused,
            (code, Expected::Hello) => Finished::Hello { chunking: code == 250 && open.chunking },
            (_, Expected::Pass | Expected::Replace(_)) => Finished::Other,
        }
    }
}
