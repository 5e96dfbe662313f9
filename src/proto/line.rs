//! Splits a stream into lines of bounded length.
//!
//! A line ends with CRLF and with nothing else: a bare LF, a bare CR or a NUL makes it malformed, so that no two
//! peers can disagree about where a command ends. A bare LF does end the malformed line, so that a client that
//! sends only LF is told so instead of waiting for ever; what the line said is never to be executed.
//! What goes beyond the limit is thrown away as it arrives, never kept.
//!
//! Invariants:
//! - pushing octet by octet or all at once gives the same lines;
//! - between two pushes, when [`Lines::next_line`] has said `None`, at most the limit is kept;
//! - every octet is looked at once, however the stream is cut;
//! - octets that leave the buffer are wiped there, since lines carry tokens and passwords.

use std::fmt;

use memchr::{memchr, memchr2};
use zeroize::{Zeroize, Zeroizing};

/// Splits a stream into lines; see the module.
pub struct Lines {
    limit: usize,
    /// What was pushed; `start..` is not yet taken.
    buffer: Vec<u8>,
    start: usize,
    /// How many octets from `start` on are known to hold no LF.
    scanned: usize,
    /// What is kept of a line that is being thrown away.
    overlong: Option<Overlong>,
}

/// The ends of a line that is too long.
struct Overlong {
    head: Zeroizing<Vec<u8>>,
    /// One octet more than a line's tail, for the CR.
    tail: Zeroizing<Vec<u8>>,
}

impl Default for Overlong {
    /// With room for all that is ever kept, so that growing leaves no copy behind.
    fn default() -> Self {
        let with_room = |octets| Zeroizing::new(Vec::with_capacity(octets));
        Self { head: with_room(Line::HEAD), tail: with_room(Line::TAIL.saturating_add(1).saturating_mul(2)) }
    }
}

/// One line. Its `Debug` shows only the length, since it may carry a credential.
pub struct Line {
    /// The line without its CRLF. A bare LF that ended it is kept, so that nothing can take the text for a
    /// good one. Of a line that is too long, its first [`Line::HEAD`] octets.
    pub text: Zeroizing<Vec<u8>>,
    /// Of a line that is too long, its last [`Line::TAIL`] octets; of any other nothing. An IMAP literal
    /// announced there still follows, and must not be taken for commands.
    pub tail: Zeroizing<Vec<u8>>,
    /// What is wrong with it; a line with a fault must be refused, never executed.
    pub fault: Option<LineFault>,
}

/// Why a line must be refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineFault {
    /// A CR that no LF follows.
    BareCr,
    /// It ended with an LF that no CR precedes.
    BareLf,
    /// It holds a NUL.
    Nul,
    /// It is longer than the limit; the rest of it was thrown away.
    TooLong,
}

impl Line {
    /// How much of a line that is too long is kept, in octets: enough for an IMAP tag and a verb.
    pub const HEAD: usize = 64;
    /// How much of its end is kept, in octets: enough for an IMAP literal's announcement.
    pub const TAIL: usize = 32;

    /// The text of a line without a fault.
    ///
    /// # Errors
    /// The fault.
    pub fn clean(&self) -> Result<&[u8], LineFault> {
        match self.fault {
            None => Ok(&self.text),
            Some(fault) => Err(fault),
        }
    }

    /// Whether it was longer than the limit.
    pub fn is_too_long(&self) -> bool {
        self.fault == Some(LineFault::TooLong)
    }

    /// Whether it is the beginning of an HTTP request: a browser was pointed here, or tricked into speaking to
    /// a mail port, and nothing it says further is meant for a mail server.
    pub fn is_http(&self) -> bool {
        const STARTS: [&[u8]; 8] =
            [b"CONNECT ", b"DELETE ", b"GET ", b"HEAD ", b"Host:", b"OPTIONS ", b"POST ", b"PUT "];
        STARTS.iter().any(|start| self.text.starts_with(start))
    }

    fn from_octets(octets: &[u8]) -> Self {
        let ended_well = octets.strip_suffix(b"\r\n");
        let text = ended_well.unwrap_or(octets);
        let fault = match memchr2(0, b'\r', text).and_then(|at| text.get(at)) {
            _ if ended_well.is_none() => Some(LineFault::BareLf),
            Some(0) => Some(LineFault::Nul),
            Some(_) => Some(LineFault::BareCr),
            None => None,
        };
        Self { text: Zeroizing::new(text.to_vec()), tail: Zeroizing::default(), fault }
    }
}

impl Lines {
    /// A splitter for lines of at most `limit` octets, line end included.
    pub const fn new(limit: usize) -> Self {
        Self { limit, buffer: Vec::new(), start: 0, scanned: 0, overlong: None }
    }

    /// Sets the limit for the lines that have not been taken yet.
    pub const fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Takes octets from the wire. Take every line, until there is none, before the next push: what is pushed
    /// is kept until then.
    pub fn push(&mut self, octets: &[u8]) {
        self.compact();
        let needed = self.buffer.len().saturating_add(octets.len());
        if needed > self.buffer.capacity() {
            // Growing in place would free the old buffer unwiped.
            let mut larger = Vec::with_capacity(needed.max(self.buffer.capacity().saturating_mul(2)));
            larger.extend_from_slice(&self.buffer);
            self.buffer.zeroize();
            self.buffer = larger;
        }
        self.buffer.extend_from_slice(octets);
    }

    /// The next whole line, or `None` when more octets are needed.
    pub fn next_line(&mut self) -> Option<Line> {
        let rest = self.rest();
        let kept = rest.len();
        let Some(found) = memchr(b'\n', rest.get(self.scanned..).unwrap_or_default()) else {
            self.scanned = kept;
            // A full buffer without an LF belongs to a line that is one octet too long at least.
            if self.overlong.is_some() || kept >= self.limit {
                self.throw_away(kept);
            }
            return None;
        };
        let length = self.scanned.saturating_add(found).saturating_add(1);
        if self.overlong.is_some() || length > self.limit {
            self.throw_away(length);
            let Overlong { head: mut text, mut tail } = self.overlong.take().unwrap_or_default();
            for end in [&mut text, &mut tail] {
                if end.last() == Some(&b'\r') {
                    end.pop();
                }
            }
            let stale = tail.len().saturating_sub(Line::TAIL);
            tail.drain(..stale);
            return Some(Line { text, tail, fault: Some(LineFault::TooLong) });
        }
        let line = Line::from_octets(rest.get(..length).unwrap_or_default());
        self.advance(length);
        Some(line)
    }

    /// The next `length` octets, whatever they are, or `None` when there are not as many yet. The caller bounds
    /// `length`, since as much is kept.
    pub fn take_exact(&mut self, length: usize) -> Option<Zeroizing<Vec<u8>>> {
        let taken = Zeroizing::new(self.rest().get(..length)?.to_vec());
        self.advance(length);
        Some(taken)
    }

    /// Throws away up to `length` octets, and says how many were there.
    pub fn discard(&mut self, length: usize) -> usize {
        let length = length.min(self.rest().len());
        self.advance(length);
        length
    }

    /// Takes the octets behind the last line, whatever they are, for the handover.
    pub fn take_rest(&mut self) -> Vec<u8> {
        let rest = self.rest().to_vec();
        self.clear();
        rest
    }

    /// Forgets everything, a line begun included: nothing in clear survives the TLS handshake.
    pub fn clear(&mut self) {
        self.buffer.zeroize();
        self.start = 0;
        self.scanned = 0;
        self.overlong = None;
    }

    /// Whether nothing was pushed that was not taken, not even a piece of a line.
    pub fn is_empty(&self) -> bool {
        self.rest().is_empty() && self.overlong.is_none()
    }

    /// What was pushed and not taken: a look at it, for what must be known before a line ends.
    pub fn rest(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }

    fn throw_away(&mut self, length: usize) {
        let mut kept = self.overlong.take().unwrap_or_default();
        let lost = self.rest().get(..length).unwrap_or_default();
        let text = lost.strip_suffix(b"\n").unwrap_or(lost);
        let room = Line::HEAD.saturating_sub(kept.head.len());
        kept.head.extend_from_slice(text.get(..room.min(text.len())).unwrap_or_default());
        let last = text.get(text.len().saturating_sub(Line::TAIL.saturating_add(1))..).unwrap_or_default();
        kept.tail.extend_from_slice(last);
        let stale = kept.tail.len().saturating_sub(Line::TAIL.saturating_add(1));
        kept.tail.drain(..stale);
        self.overlong = Some(kept);
        self.advance(length);
    }

    fn advance(&mut self, length: usize) {
        let end = self.start.saturating_add(length);
        if let Some(taken) = self.buffer.get_mut(self.start..end) {
            taken.zeroize();
        }
        self.start = end;
        self.scanned = 0;
        if self.start >= self.buffer.len() {
            self.buffer.clear();
            self.start = 0;
        }
    }

    fn compact(&mut self) {
        if self.start == 0 {
            return;
        }
        let kept = self.rest().len();
        self.buffer.copy_within(self.start.., 0);
        if let Some(stale) = self.buffer.get_mut(kept..) {
            stale.zeroize();
        }
        self.buffer.truncate(kept);
        self.start = 0;
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.buffer.zeroize();
    }
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lines({} octets kept, limit {})", self.rest().len(), self.limit)
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Line({} octets, {:?})", self.text.len(), self.fault)
    }
}

/// What a peer said, fit for a log or an error: printable ASCII, the rest as `?`, at most 200 octets.
pub fn excerpt(text: &[u8]) -> String {
    const MAX: usize = 200;
    text.iter()
        .take(MAX)
        .map(|&octet| if octet == b' ' || octet.is_ascii_graphic() { char::from(octet) } else { '?' })
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Seen = Vec<(Vec<u8>, Option<LineFault>)>;

    fn take_all(lines: &mut Lines, seen: &mut Seen) {
        while let Some(line) = lines.next_line() {
            seen.push((line.text.to_vec(), line.fault));
        }
    }

    fn split(limit: usize, pieces: &[&[u8]]) -> (Seen, Vec<u8>) {
        let mut lines = Lines::new(limit);
        let mut seen = Vec::new();
        for piece in pieces {
            lines.push(piece);
            take_all(&mut lines, &mut seen);
        }
        (seen, lines.take_rest())
    }

    fn one(limit: usize, octets: &[u8]) -> Seen {
        split(limit, &[octets]).0
    }

    #[test]
    fn a_line_ends_with_crlf() {
        assert_eq!(one(64, b"a\r\n\r\nb"), [(b"a".to_vec(), None), (Vec::new(), None)]);
    }

    #[test]
    fn a_bare_lf_ends_no_command() {
        let seen = one(64, b"QUIT\nNOOP\r\n");
        assert_eq!(seen, [(b"QUIT\n".to_vec(), Some(LineFault::BareLf)), (b"NOOP".to_vec(), None)]);
    }

    #[test]
    fn an_http_request_is_known_by_its_first_word() {
        let mut lines = Lines::new(16);
        lines.push(b"GET / HTTP/1.1\r\nHost: mail.example.org\r\nGETS\r\nNOOP\r\n");
        let http: Vec<bool> = std::iter::from_fn(|| lines.next_line()).map(|line| line.is_http()).collect();
        assert_eq!(http, [true, true, false, false]);
    }

    #[test]
    fn a_bare_cr_and_a_nul_are_faults() {
        assert_eq!(one(64, b"a\rb\r\n").first().unwrap().1, Some(LineFault::BareCr));
        assert_eq!(one(64, b"a\r\r\n").first().unwrap().1, Some(LineFault::BareCr));
        assert_eq!(one(64, b"a\0b\r\n").first().unwrap().1, Some(LineFault::Nul));
    }

    #[test]
    fn the_limit_counts_the_line_end() {
        assert_eq!(one(6, b"abcd\r\n"), [(b"abcd".to_vec(), None)]);
        assert_eq!(one(6, b"abcde\r\n").first().unwrap().1, Some(LineFault::TooLong));
    }

    #[test]
    fn a_line_beyond_the_limit_is_reported_once_and_the_next_one_is_whole() {
        let mut input = vec![b'x'; 10_000];
        input.extend_from_slice(b"\r\nQUIT\r\n");
        let seen = one(16, &input);
        assert_eq!(seen, [(vec![b'x'; Line::HEAD], Some(LineFault::TooLong)), (b"QUIT".to_vec(), None)]);
    }

    #[test]
    fn a_line_beyond_the_limit_shows_how_it_ends() {
        let mut input = vec![b'x'; 10_000];
        input.extend_from_slice(b" 0123456789012345678901234567 {5+}\r\n");
        for cut in input.len().saturating_sub(50)..input.len() {
            let mut lines = Lines::new(16);
            let (one, other) = input.split_at(cut);
            lines.push(one);
            let _ = lines.next_line();
            lines.push(other);
            assert_eq!(**lines.next_line().unwrap().tail, *b"123456789012345678901234567 {5+}");
        }
    }

    #[test]
    fn no_more_than_the_limit_is_kept_of_an_endless_line() {
        let mut lines = Lines::new(100);
        for _ in 0..1000 {
            lines.push(&[b'x'; 50]);
            assert!(lines.next_line().is_none());
            assert!(lines.rest().len() < 100);
        }
        assert!(lines.buffer.capacity() < 1000);
        assert!(!lines.is_empty());
    }

    #[test]
    fn nothing_survives_clear() {
        let mut lines = Lines::new(16);
        lines.push(b"half a line that is also far too long for the limit");
        assert!(lines.next_line().is_none());
        lines.clear();
        assert!(lines.is_empty());
        lines.push(b"NOOP\r\n");
        assert_eq!(lines.next_line().unwrap().clean(), Ok(&b"NOOP"[..]));
    }

    #[test]
    fn exact_octets_are_no_line() {
        let mut lines = Lines::new(16);
        lines.push(b"a {4}\r\nx\ny");
        assert_eq!(lines.next_line().unwrap().clean(), Ok(&b"a {4}"[..]));
        assert!(lines.take_exact(4).is_none());
        lines.push(b"z b\r\n");
        assert_eq!(**lines.take_exact(4).unwrap(), *b"x\nyz");
        assert_eq!(lines.discard(1), 1);
        assert_eq!(lines.next_line().unwrap().clean(), Ok(&b"b"[..]));
        assert_eq!(lines.discard(7), 0);
    }

    #[test]
    fn debug_and_excerpts_show_no_secret_and_no_control() {
        let mut lines = Lines::new(64);
        lines.push(b"PASS hunter2\r\n");
        assert!(!format!("{lines:?}").contains("hunter2"));
        assert!(!format!("{:?}", lines.next_line()).contains("hunter2"));
        assert_eq!(excerpt(b"a\r\n\xffb"), "a???b");
        assert_eq!(excerpt(&[b'x'; 999]).len(), 200);
    }

    proptest! {
        #[test]
        fn cutting_the_stream_elsewhere_gives_the_same_lines(
            octets in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(0), Just(b'a'), any::<u8>()], 0..200),
            cuts in proptest::collection::vec(0usize..200, 0..8),
            limit in 2usize..40,
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(octets.len())).collect();
            cuts.push(octets.len());
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for cut in cuts {
                pieces.push(octets.get(from..cut).unwrap());
                from = cut;
            }
            let bytewise: Vec<&[u8]> = octets.chunks(1).collect();
            let whole = split(limit, &[&octets]);
            prop_assert_eq!(&split(limit, &pieces), &whole);
            prop_assert_eq!(&split(limit, &bytewise), &whole);
        }
    }
}
