//! Capability lists: what a client is promised before login, and what of the mail server's list it may see after.

use crate::{
    model::Mechanism,
    proto::{FrontConfig, TlsState},
};

/// What a mail server may have promised on its behalf before login. Each is kept by the mail server alone once
/// the client is logged in, and changes nothing before that.
const PROMISES: [&str; 19] = [
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
];

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
    words.extend(["SASL-IR", "ID", "LITERAL-"]);
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

    /// The list for a client after login.
    pub(super) fn for_client(&self) -> String {
        let shown = self.0.iter().filter(|word| !is_hidden(word));
        shown.map(String::as_str).collect::<Vec<_>>().join(" ")
    }

    /// What of it may be promised to a client before login.
    pub(super) fn promises(&self) -> Vec<String> {
        PROMISES.into_iter().filter(|promise| self.has(promise)).map(str::to_owned).collect()
    }
}

fn is_hidden(word: &str) -> bool {
    let is_mechanism = word.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("AUTH="));
    is_mechanism || HIDDEN.iter().any(|hidden| hidden.eq_ignore_ascii_case(word))
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
        assert_eq!(list.for_client(), "IMAP4rev1 LITERAL+ IDLE QUOTA=RES-STORAGE AUTHX");
        assert_eq!(list.promises(), ["IMAP4rev1", "IDLE"]);
    }

    #[test]
    fn a_word_that_would_end_the_response_code_is_dropped() {
        let list = Capabilities::parse(b"IDLE X]Y \"Z\" A\r\nB \xffQ (P) MOVE");
        assert_eq!(list.for_client(), "IDLE MOVE");
    }

    #[test]
    fn the_list_is_bounded() {
        let list = Capabilities::parse(&b"X ".repeat(100_000));
        assert_eq!(list.for_client().len(), 2 * Capabilities::MAX - 1);
        assert_eq!(Capabilities::parse(&[b'X'; 1000]), Capabilities::default());
    }
}
