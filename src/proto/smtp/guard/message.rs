use memchr::memchr2_iter;

/// A message on its way through DATA: passes it octet by octet as it is while its lines end with CRLF.
///
/// A bare CR or a bare LF is made CRLF, and a dot behind it is stuffed, because the client did not know that a
/// line begins there. What goes upstream so holds no bare CR and no bare LF, and mail servers that take
/// `LF . LF`, `LF . CRLF`, `CR . CR` or `CRLF . LF` for the end of a message never see one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Message {
    at: At,
    bare_newline: bool,
}

/// Where in the message the next octet stands. Octets that the state names have not been passed on yet,
/// except for the line ends before the two line starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Behind a CR.
    Cr,
    /// Behind a dot at a line start.
    Dot,
    /// Behind a dot at a line start and a CR.
    DotCr,
    /// Within a line.
    Inside,
    /// At the start of a line, behind a CRLF of the client.
    LineStart,
    /// At the start of a line that only we see: the client sent a bare CR or LF.
    MadeLineStart,
}

impl Message {
    /// The message begins: the CRLF behind DATA is its first line start.
    pub(super) const fn new() -> Self {
        Self { at: At::LineStart, bare_newline: false }
    }

    /// Whether a bare CR or LF was seen.
    pub(super) const fn had_bare_newline(&self) -> bool {
        self.bare_newline
    }

    /// Passes octets on. Says how many it took, and whether the message ended with the last of them.
    pub(super) fn pass(&mut self, octets: &[u8], upstream: &mut Vec<u8>) -> (usize, bool) {
        let mut rest = octets;
        loop {
            if self.at == At::Inside {
                let (clean, behind) = rest.split_at_checked(clean_prefix(rest)).unwrap_or((rest, &[]));
                upstream.extend_from_slice(clean);
                rest = behind;
            }
            let Some((octet, behind)) = rest.split_first() else { return (octets.len(), false) };
            rest = behind;
            if self.step(*octet, upstream) {
                return (octets.len() - rest.len(), true);
            }
        }
    }

    /// One octet; whether it ended the message.
    fn step(&mut self, octet: u8, upstream: &mut Vec<u8>) -> bool {
        // First what was held back, now that the next octet says what it was.
        let at = match (self.at, octet) {
            (At::DotCr, b'\n') => {
                upstream.extend_from_slice(b".\r\n");
                self.at = At::LineStart;
                return true;
            }
            (At::Cr, b'\n') => {
                upstream.extend_from_slice(b"\r\n");
                self.at = At::LineStart;
                return false;
            }
            (At::Dot, b'\r') => {
                self.at = At::DotCr;
                return false;
            }
            (At::Cr, _) => {
                self.bare_newline = true;
                upstream.extend_from_slice(b"\r\n");
                At::MadeLineStart
            }
            (At::DotCr, _) => {
                self.bare_newline = true;
                upstream.extend_from_slice(b"..\r\n");
                At::MadeLineStart
            }
            (At::Dot, b'\n') => {
                upstream.extend_from_slice(b"..");
                At::Inside
            }
            (At::Dot, _) => {
                upstream.push(b'.');
                At::Inside
            }
            (at @ (At::Inside | At::LineStart | At::MadeLineStart), _) => at,
        };
        self.at = match (at, octet) {
            (_, b'\r') => At::Cr,
            (_, b'\n') => {
                self.bare_newline = true;
                upstream.extend_from_slice(b"\r\n");
                At::MadeLineStart
            }
            (At::LineStart, b'.') => At::Dot,
            (At::MadeLineStart, b'.') => {
                upstream.extend_from_slice(b"..");
                At::Inside
            }
            _ => {
                upstream.push(octet);
                At::Inside
            }
        };
        false
    }
}

/// How many octets, from within a line on, pass as they are: every line end among them is a CRLF, with no dot
/// behind it.
fn clean_prefix(octets: &[u8]) -> usize {
    let mut ends = memchr2_iter(b'\r', b'\n', octets);
    while let Some(end) = ends.next() {
        match octets.get(end..end + 3) {
            Some([b'\r', b'\n', next]) if *next != b'.' => _ = ends.next(),
            _ => return end,
        }
    }
    octets.len()
}
