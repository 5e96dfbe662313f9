//! What an EHLO answer may promise, and which names a client may give itself.

/// EHLO keywords that a client may see: each changes only how a message is written, and the mail server keeps
/// the promise. Everything else stays hidden, above all what changes who the client is.
const SAFE: [&str; 8] =
    ["8BITMIME", "BINARYMIME", "CHUNKING", "DSN", "ENHANCEDSTATUSCODES", "PIPELINING", "SIZE", "SMTPUTF8"];

/// Longest name taken from a client, in octets (RFC 1035 §2.3.4).
const MAX_NAME: usize = 255;

/// The keyword of an EHLO line, and its parameters.
pub(super) fn split_line(line: &str) -> (&str, &str) {
    let (keyword, parameters) = line.split_once([' ', '\t']).unwrap_or((line, ""));
    (keyword, parameters.trim())
}

/// Whether an EHLO line may be shown to a client.
pub(super) fn may_promise(line: &str) -> bool {
    let (keyword, _) = split_line(line);
    SAFE.iter().any(|safe| safe.eq_ignore_ascii_case(keyword))
        && line.bytes().all(|octet| matches!(octet, b' '..=b'~'))
}

/// Whether an EHLO line has this keyword, in any case.
pub(super) fn has_keyword(line: &str, keyword: &str) -> bool {
    split_line(line).0.eq_ignore_ascii_case(keyword)
}

/// The name of a client as given with EHLO, when it can be repeated to a mail server: a host name, an address
/// literal, or one of the sloppy names that clients make up. Nothing in it needs quoting anywhere.
pub(super) fn client_name(argument: &[u8]) -> Option<&str> {
    let name = std::str::from_utf8(argument).ok()?;
    let plain = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'_' | b':');
    let inner = match name.strip_prefix('[') {
        Some(literal) => literal.strip_suffix(']')?,
        None => name,
    };
    (!inner.is_empty() && name.len() <= MAX_NAME && inner.bytes().all(plain)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_concerns_the_writing_of_messages_is_promised() {
        for line in ["PIPELINING", "size 1000", "SIZE", "SMTPUTF8", "BINARYMIME"] {
            assert!(may_promise(line), "{line}");
        }
        for line in [
            "AUTH PLAIN",
            "AUTH=LOGIN",
            "STARTTLS",
            "XCLIENT ADDR",
            "XFORWARD",
            "ETRN",
            "VRFY",
            "CLIENTID",
            "BURL",
            "",
        ] {
            assert!(!may_promise(line), "{line}");
        }
        assert!(!may_promise("SIZE 1\u{7}"));
    }

    #[test]
    fn a_name_holds_nothing_that_needs_quoting() {
        for name in ["laptop.example.org", "[192.0.2.1]", "[IPv6:2001:db8::1]", "my_pc", "a"] {
            assert_eq!(client_name(name.as_bytes()), Some(name));
        }
        for bad in
            ["", "[]", "[", "a b", "a+b", "a=b", "[a", "a]", "ä", "a\"b", "<a>", "a\0", &"x".repeat(256)]
        {
            assert_eq!(client_name(bad.as_bytes()), None, "{bad}");
        }
    }
}
