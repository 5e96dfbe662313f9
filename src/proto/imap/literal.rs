//! Literals: octets counted in advance at the end of a line (RFC 9051 §4.3, RFC 7888).

use nom::{
    Parser as _,
    branch::alt,
    bytes::complete::{tag, take_while1},
    combinator::{all_consuming, value},
    sequence::{preceded, terminated},
};

/// Longest literal taken before login, in octets: the bound of LITERAL- (RFC 7888 §5).
pub(super) const MAX: usize = 4096;

/// A literal that a line announces at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Literal {
    /// Octets; as large as can be told when the number is larger.
    pub(super) length: usize,
    /// Whether the sender waits for leave. If not, the octets come whatever the answer is.
    pub(super) waits: bool,
}

/// The literal announced at the end of `line` (without its line end).
///
/// `{5-}` is no literal in any RFC. Who sends it may mean a literal that does not wait, so its octets are
/// expected and thrown away rather than read as commands.
pub(super) fn announced(line: &[u8]) -> Option<Literal> {
    let start = line.iter().rposition(|&octet| octet == b'{')?;
    let (_, announcement) = line.split_at_checked(start)?;
    let digits = take_while1::<_, _, nom::error::Error<&[u8]>>(|octet: u8| octet.is_ascii_digit());
    let waits = alt((value(true, tag("}")), value(false, alt((tag("+}"), tag("-}"))))));
    let (_, (digits, waits)) = all_consuming(preceded(tag("{"), (digits, waits))).parse(announcement).ok()?;
    Some(Literal { length: number(digits), waits })
}

/// The same for the last octets of a line whose head was thrown away. Digits that reach back to where the octets
/// begin may belong to any number, so the length is then beyond all limits.
pub(super) fn announced_in_tail(tail: &[u8]) -> Option<Literal> {
    let digits = take_while1::<_, _, nom::error::Error<&[u8]>>(|octet: u8| octet.is_ascii_digit());
    let cut = all_consuming(terminated(digits, alt((tag("+}"), tag("-}"))))).parse(tail).is_ok();
    if cut { Some(Literal { length: usize::MAX, waits: false }) } else { announced(tail) }
}

pub(super) fn number(digits: &[u8]) -> usize {
    digits.iter().fold(0, |sum: usize, digit| {
        sum.saturating_mul(10).saturating_add(usize::from(digit.saturating_sub(b'0')))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn literal(length: usize, waits: bool) -> Option<Literal> {
        Some(Literal { length, waits })
    }

    #[test]
    fn a_literal_is_announced_at_the_very_end_only() {
        assert_eq!(announced(b"a LOGIN {5}"), literal(5, true));
        assert_eq!(announced(b"a LOGIN {5+}"), literal(5, false));
        assert_eq!(announced(b"a LOGIN ~{05+}"), literal(5, false));
        assert_eq!(announced(b"a LOGIN {5-}"), literal(5, false));
        for none in
            [&b""[..], b"}", b"{}", b"{+}", b"{5} ", b"{5+}x", b"{5", b"5}", b"{5++}", b"{-5}", b"{ 5}"]
        {
            assert_eq!(announced(none), None, "{none:?}");
        }
    }

    #[test]
    fn a_number_beyond_all_numbers_saturates() {
        assert_eq!(announced(&[b"{".as_slice(), &[b'9'; 200], b"+}"].concat()), literal(usize::MAX, false));
    }

    #[test]
    fn leading_zeros_do_not_hide_a_literal_in_a_tail() {
        assert_eq!(announced_in_tail(b"00000000000005+}"), literal(usize::MAX, false));
        assert_eq!(announced_in_tail(b"x {5+}"), literal(5, false));
        assert_eq!(announced_in_tail(b"5+} x"), None);
    }
}
