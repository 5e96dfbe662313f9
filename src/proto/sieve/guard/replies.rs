//! Follows the mail server's replies.

use std::collections::VecDeque;

use super::command::Refusal;
use crate::proto::{
    GuardViolation,
    sieve::{
        capability,
        reply::{self, Ending, Malformed, Scanner, Status},
    },
};

/// A reply that the mail server owes, and what the client sees of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// A list of capabilities, less what a client must not see.
    Capabilities,
    /// The reply as it comes.
    Pass,
    /// The reply to a CAPABILITY of ours; the client sees the refusal in its place.
    Replace(Refusal),
}

/// Follows the mail server's replies.
#[derive(Debug, Default)]
pub(super) struct Replies {
    scanner: Scanner,
    expected: VecDeque<Expected>,
    /// What the line is that has begun.
    open: Option<Open>,
    /// The line so far, where it must be read whole.
    kept: Vec<u8>,
    /// The client has got a part of a line.
    partly_sent: bool,
    /// BYE was said.
    closing: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    /// One capability.
    Capability,
    /// The last line of a reply.
    Ending,
    /// A line that passes as it comes, or is not shown at all.
    Shown(bool),
}

const NO_REFERRAL: &[u8] = b"NO \"The mail server is not in charge\"\r\n";
const BYE_REFERRAL: &[u8] = b"BYE \"The mail server is not in charge\"\r\n";

impl Replies {
    /// Most replies outstanding; the client's further commands wait.
    const MAX_EXPECTED: usize = 256;
    /// Longest line that is read whole: errors in a script may be many.
    const MAX_KEPT: usize = 256 * 1024;

    /// The mail server owes one more reply.
    pub(super) fn expect(&mut self, expected: Expected) {
        self.expected.push_back(expected);
    }

    /// Whether no further command may be sent now.
    pub(super) fn is_full(&self) -> bool {
        self.expected.len() >= Self::MAX_EXPECTED
    }

    /// Whether the client has got whole lines only.
    pub(super) const fn at_border(&self) -> bool {
        !self.partly_sent
    }

    /// Whether the mail server is about to close.
    pub(super) const fn is_closing(&self) -> bool {
        self.closing
    }

    /// Takes octets of the mail server up to the end of a line; says how many.
    pub(super) fn take(&mut self, octets: &[u8], client: &mut Vec<u8>) -> Result<usize, GuardViolation> {
        let open = match self.open {
            Some(open) => open,
            None => self.begin(octets.first().copied())?,
        };
        let (taken, ended) =
            self.scanner.take(octets).map_err(|Malformed| GuardViolation::ServerOutOfStep)?;
        let piece = octets.get(..taken).unwrap_or(octets);
        match open {
            Open::Shown(true) => {
                client.extend_from_slice(piece);
                self.partly_sent = !ended;
            }
            Open::Shown(false) => {}
            Open::Capability | Open::Ending => self.kept.extend_from_slice(piece),
        }
        if self.kept.len() > Self::MAX_KEPT {
            return Err(GuardViolation::ServerOutOfStep);
        }
        if !ended {
            self.open = Some(open);
            return Ok(taken);
        }
        self.open = None;
        let line = std::mem::take(&mut self.kept);
        match open {
            Open::Capability => {
                let words = reply::words(&line).map_err(|Malformed| GuardViolation::ServerOutOfStep)?;
                client.extend(capability::for_client(&words).unwrap_or_default());
            }
            Open::Ending => self.ending(&line, client)?,
            Open::Shown(_) => {}
        }
        Ok(taken)
    }

    /// The first octet of a line says what it is.
    fn begin(&self, first: Option<u8>) -> Result<Open, GuardViolation> {
        if !first.is_some_and(reply::begins_data) {
            return Ok(Open::Ending);
        }
        match self.expected.front() {
            Some(Expected::Capabilities) => Ok(Open::Capability),
            Some(Expected::Pass) => Ok(Open::Shown(true)),
            Some(Expected::Replace(_)) => Ok(Open::Shown(false)),
            None => Err(GuardViolation::ServerOutOfStep),
        }
    }

    fn ending(&mut self, line: &[u8], client: &mut Vec<u8>) -> Result<(), GuardViolation> {
        let ending = Ending::parse(line).map_err(|Malformed| GuardViolation::ServerOutOfStep)?;
        let is_referral = ending.has_code(&["REFERRAL"]);
        if ending.status == Status::Bye {
            // The one thing that a server may say unasked (RFC 5804 §1.2).
            self.closing = true;
            client.extend_from_slice(if is_referral { BYE_REFERRAL } else { line });
            return Ok(());
        }
        match self.expected.pop_front().ok_or(GuardViolation::ServerOutOfStep)? {
            Expected::Replace(refusal) => client.extend_from_slice(refusal.text()),
            Expected::Capabilities | Expected::Pass if is_referral => client.extend_from_slice(NO_REFERRAL),
            Expected::Capabilities | Expected::Pass => client.extend_from_slice(line),
        }
        Ok(())
    }
}
