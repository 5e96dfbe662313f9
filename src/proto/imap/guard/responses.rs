use memchr::memmem;

use super::{Answered, ImapGuard};
use crate::proto::{
    GuardViolation,
    imap::{capability, literal},
};

/// Where the reading of the mail server's octets is.
#[derive(Debug, Default)]
pub(super) struct Responses {
    at: At,
    /// The beginning of a line that is not judged yet, or a list of capabilities.
    begun: Vec<u8>,
    tail: Tail,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    /// At the beginning of a response.
    #[default]
    Head,
    /// In a line that was judged.
    Line(Shown),
    /// In a literal, with so many octets left.
    Literal(usize),
}

/// What the client sees of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    /// All of it; it may hold literals.
    Data,
    /// Nothing.
    Dropped,
    /// All of it but some capabilities.
    List,
    /// All of it; what looks like a literal is text.
    Text,
}

/// What the beginning of a line says.
enum Head<'a> {
    /// `+`.
    Continue,
    /// An untagged response.
    Untagged(Shown),
    /// The end of a command.
    Tagged(&'a [u8], Shown),
}

impl Responses {
    /// Octets in which a line is judged: a tag, a condition and the name of a response code.
    const HEAD: usize = 96;
    /// Longest list of capabilities.
    const LIST: usize = 16 * 1024;

    /// Whether the client has got whole responses only.
    pub(super) const fn at_border(&self) -> bool {
        matches!(self.at, At::Head | At::Line(Shown::Dropped | Shown::List))
    }

    #[cfg(test)]
    pub(super) const fn capacity(&self) -> usize {
        self.begun.capacity()
    }
}

impl ImapGuard {
    /// Takes octets of the mail server, up to the end of a line at most; says how many.
    pub(super) fn said(&mut self, octets: &[u8], client: &mut Vec<u8>) -> Result<usize, GuardViolation> {
        match self.responses.at {
            At::Head => self.head(octets, client),
            At::Line(shown) => self.responses.line(shown, octets, client),
            At::Literal(left) => {
                let taken = left.min(octets.len());
                client.extend_from_slice(octets.get(..taken).unwrap_or(octets));
                let left = left - taken;
                self.responses.at = if left == 0 { At::Line(Shown::Data) } else { At::Literal(left) };
                Ok(taken)
            }
        }
    }

    fn head(&mut self, octets: &[u8], client: &mut Vec<u8>) -> Result<usize, GuardViolation> {
        let room = Responses::HEAD.saturating_sub(self.responses.begun.len());
        let head = octets.get(..room).unwrap_or(octets);
        let end = memchr::memchr(b'\n', head).map(|at| at + 1);
        let taken = end.unwrap_or(head.len());
        let mut begun = std::mem::take(&mut self.responses.begun);
        begun.extend_from_slice(head.get(..taken).unwrap_or(head));
        let is_all = end.is_some() || begun.len() >= Responses::HEAD;
        let shown = match judge(&begun, is_all)? {
            None => {
                self.responses.begun = begun;
                return Ok(taken);
            }
            Some(Head::Continue) => {
                if self.continued()? {
                    Shown::Text
                } else {
                    Shown::Dropped
                }
            }
            Some(Head::Untagged(shown)) => shown,
            Some(Head::Tagged(tag, shown)) => match self.answered(tag)? {
                Answered::Passed => shown,
                Answered::Replaced(refusal) => {
                    client.extend_from_slice(&refusal);
                    Shown::Dropped
                }
            },
        };
        self.responses.at = At::Line(shown);
        self.responses.tail = Tail::default();
        self.responses.line(shown, &begun, client)?;
        Ok(taken)
    }
}

impl Responses {
    fn line(&mut self, shown: Shown, octets: &[u8], client: &mut Vec<u8>) -> Result<usize, GuardViolation> {
        let second_half = self.tail.last() == Some(&b'\r') && octets.first() == Some(&b'\n');
        let end = if second_half { Some(1) } else { memmem::find(octets, b"\r\n").map(|at| at + 2) };
        let taken = end.unwrap_or(octets.len());
        let piece = octets.get(..taken).unwrap_or(octets);
        match shown {
            Shown::Data | Shown::Text => client.extend_from_slice(piece),
            Shown::Dropped => {}
            Shown::List if self.begun.len() + taken > Self::LIST => {
                return Err(GuardViolation::ServerOutOfStep);
            }
            Shown::List => self.begun.extend_from_slice(piece),
        }
        self.tail.push(piece);
        if end.is_some() {
            self.end(shown, client);
        }
        Ok(taken)
    }

    fn end(&mut self, shown: Shown, client: &mut Vec<u8>) {
        let tail = std::mem::take(&mut self.tail);
        self.at = At::Head;
        match shown {
            Shown::Data => {
                self.at = match literal::announced(tail.text()) {
                    None => At::Head,
                    Some(literal) if literal.length == 0 => At::Line(Shown::Data),
                    Some(literal) => At::Literal(literal.length),
                };
            }
            Shown::List => client.extend(capability::without_hidden(&std::mem::take(&mut self.begun))),
            Shown::Dropped | Shown::Text => {}
        }
    }
}

/// Judges the beginning of a line; `None` when more of it is needed.
fn judge(begun: &[u8], is_all: bool) -> Result<Option<Head<'_>>, GuardViolation> {
    if begun.first() == Some(&b'+') {
        return Ok(Some(Head::Continue));
    }
    let whole = |octet: &u8| matches!(octet, b' ' | b'\r' | b'\n');
    let mut words = begun.splitn(3, whole);
    let (tag, word, rest) = (words.next().unwrap_or_default(), words.next(), words.next());
    let is_condition = word.is_some_and(|word| {
        ["OK", "NO", "BAD", "BYE", "PREAUTH"].iter().any(|name| name.as_bytes().eq_ignore_ascii_case(word))
    });
    let Some(shown) = (match (word, rest) {
        (Some(word), Some(_)) if tag == b"*" && word.eq_ignore_ascii_case(b"CAPABILITY") => Some(Shown::List),
        (Some(_), Some(rest)) if is_condition => code(rest, is_all),
        (Some(_), Some(_)) => Some(Shown::Data),
        (_, _) if is_all => Some(Shown::Data),
        (_, _) => None,
    }) else {
        return Ok(None);
    };
    if tag == b"*" {
        return Ok(Some(Head::Untagged(shown)));
    }
    // Whoever reads it as another's answer would be a command ahead or behind.
    if is_condition { Ok(Some(Head::Tagged(tag, shown))) } else { Err(GuardViolation::ServerOutOfStep) }
}

/// How a condition is shown, by its response code.
fn code(text: &[u8], is_all: bool) -> Option<Shown> {
    const LIST: &[u8] = b"[CAPABILITY";
    match text.get(..=LIST.len()) {
        Some([name @ .., b' ' | b']']) if name.eq_ignore_ascii_case(LIST) => Some(Shown::List),
        Some(_) => Some(Shown::Text),
        None if is_all => Some(Shown::Text),
        None => {
            let could_be = LIST.get(..text.len()).is_some_and(|start| start.eq_ignore_ascii_case(text));
            if could_be { None } else { Some(Shown::Text) }
        }
    }
}

/// The last octets of a line, as far as a literal can be announced in them.
#[derive(Clone, Copy, Debug, Default)]
struct Tail {
    octets: [u8; Self::LENGTH],
    length: u8,
}

impl Tail {
    /// `{`, 20 digits, `}` and CRLF.
    const LENGTH: usize = 24;

    fn push(&mut self, piece: &[u8]) {
        let kept = piece.get(piece.len().saturating_sub(Self::LENGTH)..).unwrap_or(piece);
        let held = usize::from(self.length);
        let surplus = (held + kept.len()).saturating_sub(Self::LENGTH);
        self.octets.copy_within(surplus.min(held)..held, 0);
        let held = held.saturating_sub(surplus);
        if let Some(room) = self.octets.get_mut(held..held + kept.len()) {
            room.copy_from_slice(kept);
        }
        self.length = u8::try_from(held + kept.len()).unwrap_or_default();
    }

    fn held(&self) -> &[u8] {
        self.octets.get(..usize::from(self.length)).unwrap_or_default()
    }

    fn last(&self) -> Option<&u8> {
        self.held().last()
    }

    /// Without the CRLF.
    fn text(&self) -> &[u8] {
        self.held().strip_suffix(b"\r\n").unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_what_was_pushed_last() {
        let text: Vec<u8> = (b'a'..=b'z').chain(b'A'..=b'Z').collect();
        for size in 1..60 {
            let mut tail = Tail::default();
            for (end, piece) in text.chunks(size).enumerate() {
                tail.push(piece);
                let sofar = &text[..(end * size + piece.len())];
                assert_eq!(tail.held(), &sofar[sofar.len().saturating_sub(Tail::LENGTH)..]);
            }
        }
    }
}
