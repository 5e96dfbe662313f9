//! Replies of a mail server, and what their response codes mean (RFC 1939 §3, RFC 2449 §8, RFC 3206).

use crate::proto::{
    Failure,
    line::{LineFault, excerpt},
};

/// One reply line.
pub(super) enum Reply<'a> {
    Ok(&'a [u8]),
    Error(&'a [u8]),
    Prompt(&'a [u8]),
}

impl<'a> Reply<'a> {
    pub(super) fn parse(line: &'a [u8]) -> Option<Self> {
        let (status, text) = match line.iter().position(|octet| *octet == b' ') {
            Some(space) => (line.get(..space).unwrap_or_default(), line.get(space..).unwrap_or_default()),
            None => (line, &b""[..]),
        };
        let text = text.trim_ascii_start();
        match status {
            b"+OK" => Some(Self::Ok(text)),
            b"-ERR" => Some(Self::Error(text)),
            b"+" => Some(Self::Prompt(text)),
            _ => None,
        }
    }
}

/// The response codes that matter (RFC 2449 §8, RFC 3206).
pub(super) enum Code {
    Auth,
    Temporary,
    Permanent,
}

/// The code that a reply's text begins with.
pub(super) fn code(text: &[u8]) -> Option<Code> {
    let (code, _) = text.strip_prefix(b"[").and_then(|rest| {
        let end = rest.iter().position(|octet| *octet == b']')?;
        rest.split_at_checked(end)
    })?;
    // Levels may be added below a known code (RFC 2449 §8).
    let is = |known: &[u8]| {
        code.get(..known.len()).is_some_and(|head| head.eq_ignore_ascii_case(known))
            && matches!(code.get(known.len()), None | Some(b'/'))
    };
    if is(b"AUTH") {
        Some(Code::Auth)
    } else if is(b"SYS/TEMP") || is(b"IN-USE") || is(b"LOGIN-DELAY") {
        Some(Code::Temporary)
    } else if is(b"SYS/PERM") {
        Some(Code::Permanent)
    } else {
        None
    }
}

/// What a refusal means where no password has been sent yet, so that `[AUTH]` says nothing about it.
pub(super) fn lasting_or_passing(text: &[u8]) -> Option<Failure> {
    match code(text)? {
        Code::Temporary => Some(Failure::Temporary(excerpt(text))),
        Code::Permanent => Some(Failure::Operator(excerpt(text))),
        Code::Auth => None,
    }
}

/// What a line with a fault means.
pub(super) fn malformed(fault: LineFault) -> Failure {
    let what = match fault {
        LineFault::BareCr => "a bare CR in a reply",
        LineFault::BareLf => "a reply that a bare LF ends",
        LineFault::Nul => "a NUL in a reply",
        LineFault::TooLong => "a reply line beyond all limits",
    };
    Failure::Protocol(what.to_owned())
}
