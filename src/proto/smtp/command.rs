//! The first word of a command line, for the server before the login and for the guard after it.

/// The commands that Bearward knows. What a mail server knows beyond them is not let through: a private verb
/// may authenticate (`X-EXPS`), turn the connection round or take octets that are no lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    /// ATRN (RFC 2645), TURN (RFC 821): they turn the connection round.
    Atrn,
    /// AUTH (RFC 4954).
    Auth,
    /// BDAT (RFC 3030).
    Bdat,
    /// BURL (RFC 4468): it makes the server read a mailbox in somebody's name.
    Burl,
    /// DATA.
    Data,
    /// EHLO.
    Ehlo,
    /// ETRN (RFC 1985).
    Etrn,
    /// EXPN.
    Expn,
    /// HELO.
    Helo,
    /// HELP.
    Help,
    /// MAIL.
    Mail,
    /// NOOP.
    Noop,
    /// QUIT.
    Quit,
    /// RCPT.
    Rcpt,
    /// RSET.
    Rset,
    /// STARTTLS (RFC 3207).
    StartTls,
    /// VRFY.
    Vrfy,
    /// XCLIENT, XFORWARD (Postfix): they change who the client is.
    Xclient,
}

impl Verb {
    /// Every name, in upper case.
    const NAMES: [(&'static [u8], Self); 20] = [
        (b"ATRN", Self::Atrn),
        (b"AUTH", Self::Auth),
        (b"BDAT", Self::Bdat),
        (b"BURL", Self::Burl),
        (b"DATA", Self::Data),
        (b"EHLO", Self::Ehlo),
        (b"ETRN", Self::Etrn),
        (b"EXPN", Self::Expn),
        (b"HELO", Self::Helo),
        (b"HELP", Self::Help),
        (b"MAIL", Self::Mail),
        (b"NOOP", Self::Noop),
        (b"QUIT", Self::Quit),
        (b"RCPT", Self::Rcpt),
        (b"RSET", Self::Rset),
        (b"STARTTLS", Self::StartTls),
        (b"TURN", Self::Atrn),
        (b"VRFY", Self::Vrfy),
        (b"XCLIENT", Self::Xclient),
        (b"XFORWARD", Self::Xclient),
    ];

    /// Splits a line, without its line end, into its verb in any case and what stands behind the blanks.
    ///
    /// A verb begins at the first octet: servers that skip blanks there must not see another verb than this
    /// function does, so a line that begins with one has no verb.
    pub(super) fn split(line: &[u8]) -> (Option<Self>, &[u8]) {
        let end = memchr::memchr2(b' ', b'\t', line).unwrap_or(line.len());
        let (word, arguments) = line.split_at_checked(end).unwrap_or((line, &[]));
        let verb =
            Self::NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)).map(|(_, verb)| *verb);
        (verb, arguments.trim_ascii())
    }
}

/// The argument of BDAT (RFC 3030 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    /// Octets that follow the line.
    pub(super) size: u64,
    /// Whether the message ends with this chunk.
    pub(super) last: bool,
}

impl Chunk {
    /// Largest chunk that passes. A mail server that counts in 32 bits must not count otherwise than we do.
    const MAX: u64 = 0x7FFF_FFFF;

    /// Reads `size [LAST]`.
    pub(super) fn parse(arguments: &[u8]) -> Option<Self> {
        let mut words =
            arguments.split(|octet| matches!(octet, b' ' | b'\t')).filter(|word| !word.is_empty());
        let digits = words.next()?;
        if digits.len() > 19 || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let size = std::str::from_utf8(digits).ok()?.parse().ok().filter(|size| *size <= Self::MAX)?;
        let last = match words.next() {
            None => false,
            Some(word) if word.eq_ignore_ascii_case(b"LAST") => true,
            Some(_) => return None,
        };
        words.next().is_none().then_some(Self { size, last })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verb_stands_at_the_first_octet_and_ends_at_a_blank() {
        assert_eq!(Verb::split(b"mAiL FROM:<>"), (Some(Verb::Mail), &b"FROM:<>"[..]));
        assert_eq!(Verb::split(b"AUTH\tPLAIN"), (Some(Verb::Auth), &b"PLAIN"[..]));
        assert_eq!(Verb::split(b"TURN"), (Some(Verb::Atrn), &b""[..]));
        for line in
            [&b""[..], b" AUTH", b"\tAUTH", b"AUTHX", b"AUTH:", b"\"AUTH\"", b"X-EXPS LOGIN", b"XEXCH50 2 2"]
        {
            assert_eq!(Verb::split(line).0, None, "{}", line.escape_ascii());
        }
    }

    #[test]
    fn a_chunk_size_that_two_servers_could_read_apart_is_no_size() {
        assert_eq!(Chunk::parse(b"0010  last"), Some(Chunk { size: 10, last: true }));
        assert_eq!(Chunk::parse(b"2147483647"), Some(Chunk { size: 0x7FFF_FFFF, last: false }));
        for bad in [
            &b""[..],
            b"-1",
            b"+1",
            b"0x10",
            b"1e3",
            b"2147483648",
            b"4294967301",
            b"18446744073709551617",
            b"00000000000000000000000000001",
            b"1 LAST LAST",
            b"1 FIRST",
            b"1,LAST",
            b"LAST",
        ] {
            assert_eq!(Chunk::parse(bad), None, "{}", bad.escape_ascii());
        }
    }
}
