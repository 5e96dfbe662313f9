//! Capability lists: what a client is promised before login, and what of the mail server's list it may see after.

use crate::{
    model::Mechanism,
    proto::{FrontConfig, TlsState},
};

/// What a mail server may have promised on its behalf before login. Each is kept by the mail server alone once
/// the client is logged in, and changes nothing before that.
const PROMISES: [&str; 20] = [
    "IMAP4rev1",
    "IMAP4rev2",
    "BINARY",
    "CHILDREN",
    "CONDSTORE",
    "ENABLE",
    "ESEARCH",
    "IDLE",
    "LIST-EXTENDED",
    "LIST-STATUS",
    "MOVE",
    "NAMESPACE",
    "QRESYNC",
    "SEARCHRES",
    "SORT",
    "SPECIAL-USE",
    "STATUS=SIZE",
    "UIDPLUS",
    "UNSELECT",
    "UTF8=ACCEPT",
];

/// Literals that do not wait, of at most 4096 octets (RFC 7888 §5); this proxy takes them before login, so it promises
/// them where the mail server takes them after.
const LITERAL_MINUS: &str = "LITERAL-";

/// What a client must not see of a logged-in mail server: how to log in, where else to log in, and
/// UNAUTHENTICATE (RFC 8437), by which it could log in as another around this proxy.
const HIDDEN: [&str; 6] =
    ["LOGIN-REFERRALS", "LOGINDISABLED", "MAILBOX-REFERRALS", "SASL-IR", "STARTTLS", "UNAUTHENTICATE"];

/// The list for a client that has not logged in, without the word `CAPABILITY`.
pub(super) fn before_login(config: &FrontConfig) -> String {
    let mut words: Vec<&str> = vec!["IMAP4rev1"];
    for promise in PROMISES {
        if promise != "IMAP4rev1" && config.offer.lines.iter().any(|own| own.eq_ignore_ascii_case(promise)) {
            words.push(promise);
        }
    }
    words.extend(["SASL-IR", "ID"]);
    // A client may go on using it behind its login, before it has read the mail server's own list.
    if config.offer.lines.iter().any(|own| own == LITERAL_MINUS) {
        words.push(LITERAL_MINUS);
    }
    let mut list = words.join(" ");
    match config.tls {
        TlsState::ClearStartTls => list.push_str(" STARTTLS LOGINDISABLED"),
        TlsState::Clear => list.push_str(" LOGINDISABLED"),
        TlsState::Encrypted => {
            for mechanism in config.mechanisms.iter() {
                list.push_str(" AUTH=");
                list.push_str(mechanism.as_str());
            }
            if !takes_passwords(config) {
                list.push_str(" LOGINDISABLED");
            }
        }
    }
    list
}

/// Whether a password may be sent on an encrypted connection, and so with LOGIN.
pub(super) fn takes_passwords(config: &FrontConfig) -> bool {
    config.offers(Mechanism::Plain) || config.offers(Mechanism::Login)
}

/// The capabilities of a mail server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Capabilities(Vec<String>);

impl Capabilities {
    /// Most words kept.
    const MAX: usize = 256;
    /// Longest word kept, in octets.
    const MAX_WORD: usize = 128;

    /// Reads the words behind `CAPABILITY`. A word that could not stand in a response code is dropped.
    pub(super) fn parse(words: &[u8]) -> Self {
        let words = words.split(|&octet| octet == b' ').filter(|word| {
            !word.is_empty() && word.len() <= Self::MAX_WORD && word.iter().all(|&octet| is_atom_char(octet))
        });
        Self(words.take(Self::MAX).map(|word| String::from_utf8_lossy(word).into_owned()).collect())
    }

    /// Whether the server has it.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|own| own.eq_ignore_ascii_case(name))
    }

    /// The list for a client after login. Where a guard follows the session, nothing may be compressed.
    pub(super) fn for_client(&self, guarded: bool) -> String {
        let shown = self.0.iter().filter(|word| !is_hidden(word, guarded));
        shown.map(String::as_str).collect::<Vec<_>>().join(" ")
    }

    /// What of it may be promised to a client before login.
    pub(super) fn promises(&self) -> Vec<String> {
        let literals = self.has(LITERAL_MINUS) || self.has("LITERAL+");
        let kept = PROMISES.into_iter().filter(|promise| self.has(promise));
        kept.chain(literals.then_some(LITERAL_MINUS)).map(str::to_owned).collect()
    }
}

/// Takes what a client of a guarded session must not see out of a line that holds a list of capabilities: an
/// untagged CAPABILITY, or a condition with that response code. The other octets stay as they are.
pub(super) fn without_hidden(line: &[u8]) -> Vec<u8> {
    let start = match line.get(..12) {
        Some(head) if head.eq_ignore_ascii_case(b"* CAPABILITY") => 12,
        // Behind a tag, a condition and `[CAPABILITY`.
        Some(_) | None => {
            memchr::memchr_iter(b' ', line).nth(1).map_or(line.len(), |space| space.saturating_add(12))
        }
    };
    let (head, rest) = line.split_at_checked(start).unwrap_or((line, &[]));
    let end = rest.iter().position(|octet| matches!(octet, b']' | b'\r' | b'\n')).unwrap_or(rest.len());
    let (list, rest) = rest.split_at_checked(end).unwrap_or((rest, &[]));
    let hidden = |word: &&[u8]| std::str::from_utf8(word).is_ok_and(|word| is_hidden(word, true));
    let shown: Vec<&[u8]> = list.split(|octet| *octet == b' ').filter(|word| !hidden(word)).collect();
    [head, &shown.join(&b' '), rest].concat()
}

fn is_hidden(word: &str, guarded: bool) -> bool {
    let begins = |with: &str| word.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with));
    begins("AUTH=")
        || (guarded && begins("COMPRESS="))
        || HIDDEN.iter().any(|hidden| hidden.eq_ignore_ascii_case(word))
}

/// `ATOM-CHAR` (RFC 9051 §9).
pub(super) fn is_atom_char(octet: u8) -> bool {
    octet.is_ascii_graphic() && !b"(){%*\"\\]".contains(&octet)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_sees_no_way_to_log_in_again() {
        let raw = b"IMAP4rev1 auth=PLAIN AUTH=X SASL-IR LITERAL+ loginDisabled STARTTLS IDLE Unauthenticate \
            LOGIN-REFERRALS MAILBOX-REFERRALS QUOTA=RES-STORAGE AUTHX";
        let list = Capabilities::parse(raw);
        assert_eq!(list.for_client(false), "IMAP4rev1 LITERAL+ IDLE QUOTA=RES-STORAGE AUTHX");
        assert_eq!(list.promises(), ["IMAP4rev1", "IDLE", "LITERAL-"]);
    }

    #[test]
    fn a_guarded_client_sees_no_compression() {
        let list = Capabilities::parse(b"IDLE compress=DEFLATE UNAUTHENTICATE COMPRESSED");
        assert_eq!(list.for_client(true), "IDLE COMPRESSED");
        assert_eq!(list.for_client(false), "IDLE compress=DEFLATE COMPRESSED");
    }

    #[test]
    fn only_the_hidden_words_leave_a_line() {
        for (line, shown) in [
            (
                "* capability IMAP4rev1  AUTH=PLAIN UNAUTHENTICATE COMPRESS=DEFLATE X\r\n",
                "* capability IMAP4rev1  X\r\n",
            ),
            ("* CAPABILITY UNAUTHENTICATE\r\n", "* CAPABILITY\r\n"),
            ("* CAPABILITY\r\n", "* CAPABILITY\r\n"),
            ("a OK [CAPABILITY unauthenticate] UNAUTHENTICATE\r\n", "a OK [CAPABILITY] UNAUTHENTICATE\r\n"),
            ("* OK [CAPABILITY A STARTTLS B] AUTH=X\r\n", "* OK [CAPABILITY A B] AUTH=X\r\n"),
            ("[CAPABILITY OK [capability SASL-IR A]\r\n", "[CAPABILITY OK [capability A]\r\n"),
            ("* BYE [CAPABILITY UNAUTHENTICATE\r\n", "* BYE [CAPABILITY\r\n"),
        ] {
            assert_eq!(String::from_utf8(without_hidden(line.as_bytes())).unwrap(), shown, "{line}");
        }
    }

    #[test]
    fn a_word_that_would_end_the_response_code_is_dropped() {
        let list = Capabilities::parse(b"IDLE X]Y \"Z\" A\r\nB \xffQ (P) MOVE");
        assert_eq!(list.for_client(false), "IDLE MOVE");
    }

    #[test]
    fn the_list_is_bounded() {
        let list = Capabilities::parse(&b"X ".repeat(100_000));
        assert_eq!(list.for_client(false).len(), 2 * Capabilities::MAX - 1);
        assert_eq!(Capabilities::parse(&[b'X'; 1000]), Capabilities::default());
    }
}
