//! ENVELOPE: what the header says of a message, parsed for the client (RFC 3501 §7.4.2).

use super::fetch::nstring;
use crate::sample::message;

/// Addresses shown of one field.
const ADDRESSES: usize = 200;

/// The envelope of a header.
pub(super) fn of(header: &[u8]) -> Vec<u8> {
    let text = |name| nstring(message::value(header, name).as_deref());
    let list = |name| addresses(&message::value(header, name).unwrap_or_default());
    let from = list("from");
    // Sender and Reply-To are those of From where they are missing.
    let or_from = |name| Some(list(name)).filter(|found| found != b"NIL").unwrap_or_else(|| from.clone());
    let (sender, reply_to) = (or_from("sender"), or_from("reply-to"));
    let fields = [
        text("date"),
        text("subject"),
        from,
        sender,
        reply_to,
        list("to"),
        list("cc"),
        list("bcc"),
        text("in-reply-to"),
        text("message-id"),
    ];
    [b"(", &fields.join(&b' ')[..], b")"].concat()
}

/// A parenthesised list of address structures, or NIL.
fn addresses(value: &[u8]) -> Vec<u8> {
    let shown: Vec<_> = split(value).iter().take(ADDRESSES).filter_map(|one| address(one)).collect();
    if shown.is_empty() {
        return b"NIL".to_vec();
    }
    [b"(", &shown.concat()[..], b")"].concat()
}

/// Splits at commas that stand neither in quotes nor in a comment nor between angle brackets.
fn split(value: &[u8]) -> Vec<Vec<u8>> {
    let mut all = vec![Vec::new()];
    let (mut quoted, mut escaped, mut depth) = (false, false, 0_usize);
    for &octet in value {
        match octet {
            b',' if !quoted && depth == 0 => {
                all.push(Vec::new());
                continue;
            }
            b'"' if !escaped => quoted = !quoted,
            b'(' | b'<' if !quoted => depth += 1,
            b')' | b'>' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
        escaped = octet == b'\\' && !escaped;
        if let Some(one) = all.last_mut() {
            one.push(octet);
        }
    }
    all
}

/// `("name" NIL "mailbox" "host")`.
fn address(one: &[u8]) -> Option<Vec<u8>> {
    let one = one.trim_ascii();
    let (name, spec) = match memchr::memrchr(b'<', one) {
        Some(at) => {
            let (name, spec) = one.split_at_checked(at)?;
            let spec = spec.get(1..)?;
            (unquoted(name.trim_ascii()), spec.strip_suffix(b">").unwrap_or(spec))
        }
        None => (Vec::new(), one),
    };
    let at = memchr::memrchr(b'@', spec)?;
    let (mailbox, host) = spec.split_at_checked(at)?;
    let name = Some(name).filter(|name| !name.is_empty());
    let fields =
        [nstring(name.as_deref()), b"NIL".to_vec(), nstring(Some(mailbox)), nstring(Some(host.get(1..)?))];
    Some([b"(", &fields.join(&b' ')[..], b")"].concat())
}

fn unquoted(name: &[u8]) -> Vec<u8> {
    let Some(inner) = name.strip_prefix(b"\"").and_then(|name| name.strip_suffix(b"\"")) else {
        return name.to_vec();
    };
    let mut escaped = false;
    let keep = inner.iter().copied().filter(|&octet| {
        escaped = octet == b'\\' && !escaped;
        !escaped
    });
    keep.collect()
}
