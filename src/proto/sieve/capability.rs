//! Capability lists (RFC 5804 §1.7): what a client is promised before login, and what it may see after.

use super::grammar::{self, Word};
use crate::proto::{FrontConfig, TlsState};

/// What may be promised to a client before login, since the mail server answers for it after login. `LANGUAGE` is
/// not among them: until login the texts are ours.
const PROMISED: [&str; 4] = ["MAXREDIRECTS", "NOTIFY", "SIEVE", "VERSION"];
/// What a client must not see of a logged-in mail server: how to log in, and how to become someone else.
const HIDDEN: [&str; 4] = ["SASL", "STARTTLS", "UNAUTHENTICATE", "XCLIENT"];
/// Most promises taken from one mail server.
const MAX_PROMISES: usize = 256;

/// The capability lines for a client that has not logged in, each with its line end.
///
/// A promise is one word of a list, such as `SIEVE fileinto`, so that of several mail servers those words remain
/// that all of them have.
pub(super) fn before_login(config: &FrontConfig) -> String {
    let mut text = String::from("\"IMPLEMENTATION\" \"Bearward\"\r\n");
    let mechanisms: Vec<&str> = match config.tls {
        TlsState::Encrypted => config.mechanisms.iter().map(|mechanism| mechanism.as_str()).collect(),
        TlsState::Clear | TlsState::ClearStartTls => Vec::new(),
    };
    text.push_str(&format!("\"SASL\" \"{}\"\r\n", mechanisms.join(" ")));
    // Every server must have it (RFC 5804 §1.7), even one that is not known yet.
    text.push_str(&format!("\"SIEVE\" \"{}\"\r\n", promised(config, "SIEVE").join(" ")));
    for name in PROMISED.into_iter().filter(|name| *name != "SIEVE") {
        let values = promised(config, name);
        if !values.is_empty() {
            text.push_str(&format!("\"{name}\" \"{}\"\r\n", values.join(" ")));
        }
    }
    if config.tls == TlsState::ClearStartTls {
        text.push_str("\"STARTTLS\"\r\n");
    }
    text
}

/// Whether the mail server speaks the version in which RFC 5804 has NOOP.
pub(super) fn has_version(config: &FrontConfig) -> bool {
    !promised(config, "VERSION").is_empty()
}

fn promised<'a>(config: &'a FrontConfig, name: &str) -> Vec<&'a str> {
    let value = |line: &'a String| line.strip_prefix(name)?.strip_prefix(' ');
    config.offer.lines.iter().filter_map(value).collect()
}

/// The promises in one capability of a mail server.
pub(super) fn promises(name: &[u8], value: &[u8]) -> Vec<String> {
    let Some(name) = PROMISED.into_iter().find(|own| own.as_bytes().eq_ignore_ascii_case(name)) else {
        return Vec::new();
    };
    let is_plain = |word: &&[u8]| {
        (1..=64).contains(&word.len())
            && word.iter().all(|octet| octet.is_ascii_graphic() && !matches!(octet, b'"' | b'\\'))
    };
    let words = value.split(|octet| *octet == b' ').filter(is_plain).take(MAX_PROMISES);
    words.map(|word| format!("{name} {}", String::from_utf8_lossy(word))).collect()
}

/// One line of a mail server's list, less what a client must not see; nothing where that is all of it.
pub(super) fn for_client(words: &[Word]) -> Option<Vec<u8>> {
    let name = words.first()?.octets();
    if HIDDEN.iter().any(|hidden| hidden.as_bytes().eq_ignore_ascii_case(name)) {
        return None;
    }
    let mut line = Vec::new();
    for (index, word) in words.iter().enumerate() {
        if index > 0 {
            line.push(b' ');
        }
        if !grammar::is_quotable(word.octets()) && word.octets().iter().any(u8::is_ascii_control) {
            return None;
        }
        grammar::write_quoted(word.octets(), &mut line);
    }
    line.extend_from_slice(b"\r\n");
    Some(line)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    fn shown(line: &str) -> Option<String> {
        let words = grammar::words(line.as_bytes(), false).unwrap().words;
        for_client(&words).map(|line| String::from_utf8(line).unwrap())
    }

    #[test]
    fn the_client_sees_no_way_to_log_in_again() {
        for hidden in ["\"SASL\" \"PLAIN\"", "\"StartTLS\"", "\"unauthenticate\"", "\"XCLIENT\" \"ADDR\""] {
            assert_eq!(shown(hidden), None, "{hidden}");
        }
        assert_eq!(shown("\"OWNER\" \"a\\\"b\"").unwrap(), "\"OWNER\" \"a\\\"b\"\r\n");
        assert_eq!(shown("\"RENAME\"").unwrap(), "\"RENAME\"\r\n");
    }

    #[test]
    fn a_promise_is_one_word_of_a_list() {
        assert_eq!(promises(b"sieve", b"fileinto  vacation a\"b"), ["SIEVE fileinto", "SIEVE vacation"]);
        assert_eq!(promises(b"OWNER", b"alice"), Vec::<String>::new());
        assert_eq!(promises(b"SIEVE", &b"a ".repeat(1000)).len(), MAX_PROMISES);
    }
}
