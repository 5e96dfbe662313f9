use memchr::memchr;

use crate::proto::GuardViolation;

/// Collects a client's command line. Only CRLF ends it: what two servers could cut apart stays one line.
#[derive(Debug, Default)]
pub(super) struct CommandLine {
    kept: Vec<u8>,
    /// Octets of the line so far, those that were thrown away included.
    length: usize,
    /// Whether the last octet was a CR.
    cr: bool,
}

/// A whole line, without its CRLF.
#[derive(Debug)]
pub(super) struct WholeLine {
    /// Its octets, or the first [`CommandLine::LIMIT`] of them.
    pub(super) octets: Vec<u8>,
    /// Whether octets were thrown away.
    pub(super) too_long: bool,
}

impl CommandLine {
    /// Longest command line passed on, its CRLF included. RFC 5321 §4.5.3.1.4 asks for 512, extensions add
    /// parameters.
    pub(super) const LIMIT: usize = 8 * 1024;
    /// Longest command line waited for to end.
    const FLOOD: usize = 1024 * 1024;

    /// Takes octets up to the end of the line; says how many, and the line when it is whole.
    pub(super) fn take(&mut self, octets: &[u8]) -> Result<(usize, Option<WholeLine>), GuardViolation> {
        let end = self.end(octets);
        let taken = end.unwrap_or(octets.len());
        let piece = octets.get(..taken).unwrap_or(octets);
        let room = Self::LIMIT.saturating_sub(self.kept.len());
        self.kept.extend_from_slice(piece.get(..room).unwrap_or(piece));
        self.length += taken;
        self.cr = piece.ends_with(b"\r");
        if self.length > Self::FLOOD {
            return Err(GuardViolation::ClientLineTooLong);
        }
        if end.is_none() {
            return Ok((taken, None));
        }
        let Self { mut kept, length, .. } = std::mem::take(self);
        let too_long = length > Self::LIMIT;
        if !too_long {
            kept.truncate(kept.len().saturating_sub(2));
        }
        Ok((taken, Some(WholeLine { octets: kept, too_long })))
    }

    /// Where the line ends in `octets`, one behind its LF.
    fn end(&self, octets: &[u8]) -> Option<usize> {
        if self.cr && octets.first() == Some(&b'\n') {
            return Some(1);
        }
        let mut from = 0;
        loop {
            let cr = from + memchr(b'\r', octets.get(from..)?)?;
            match octets.get(cr + 1)? {
                b'\n' => return Some(cr + 2),
                _ => from = cr + 1,
            }
        }
    }
}
