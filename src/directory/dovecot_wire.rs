//! What is spoken on the socket of Dovecot's authentication clients: lines of fields between tabs
//! (<https://doc.dovecot.org/2.3/developer_manual/design/auth_protocol/>). No I/O here.

use std::net::IpAddr;

use base64::{Engine, engine::general_purpose::STANDARD};
use thiserror::Error;
use zeroize::{Zeroize, Zeroizing};

use crate::model::{Login, Secret};

/// Longest line in octets; Dovecot's own limit for clients.
const LONGEST: usize = 8192;
/// The major version that both must have.
const MAJOR: &str = "1";

/// Lines out of pieces.
#[derive(Debug, Default)]
pub(super) struct Lines {
    octets: Vec<u8>,
    /// What is known to hold no line end.
    scanned: usize,
}

/// What Dovecot says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// The password of the request is right; the name under which Dovecot knows the user.
    Ok(u32, Option<String>),
    /// It is not, or cannot be told.
    Fail(u32, Failure),
    /// It wants to hear more, which PLAIN has no answer to.
    Continue(u32),
    /// A mechanism that it offers.
    Mechanism(String),
    /// The end of its greeting.
    Done,
    /// Something that is none of our business.
    Other,
}

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The password is wrong, the user unknown, or may not sign in; the code, where there is one.
    Refused(String),
    /// It cannot tell now.
    Temporary,
    /// It does not take such requests.
    Settings(String),
}

/// It does not speak the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum WireError {
    #[error("it says a line of more than {LONGEST} octets")]
    Endless,
    #[error("it speaks another version of Dovecot's authentication protocol")]
    Version,
    #[error("it says what is not of Dovecot's authentication protocol")]
    Nonsense,
}

impl Lines {
    /// What was read.
    pub(super) fn push(&mut self, octets: &[u8]) {
        self.octets.extend_from_slice(octets);
    }

    /// The next whole line.
    pub(super) fn next(&mut self) -> Result<Option<Line>, WireError> {
        let unseen = self.octets.get(self.scanned..).unwrap_or_default();
        let Some(at) = memchr::memchr(b'\n', unseen) else {
            self.scanned = self.octets.len();
            return if self.scanned > LONGEST { Err(WireError::Endless) } else { Ok(None) };
        };
        let length = self.scanned + at;
        if length > LONGEST {
            return Err(WireError::Endless);
        }
        let mut line: Vec<u8> = self.octets.drain(..=length).collect();
        self.scanned = 0;
        line.pop();
        let text = std::str::from_utf8(&line).map_err(|_| WireError::Nonsense)?;
        let parsed = parse(text);
        line.zeroize();
        parsed.map(Some)
    }
}

fn parse(text: &str) -> Result<Line, WireError> {
    let mut fields = text.split('\t');
    let command = fields.next().unwrap_or_default();
    let mut id = || fields.next().and_then(|id| id.parse().ok()).ok_or(WireError::Nonsense);
    match command {
        "OK" => {
            let id = id()?;
            let user = fields.find_map(|field| field.strip_prefix("user="));
            Ok(Line::Ok(id, user.map(unescape)))
        }
        "FAIL" => Ok(Line::Fail(id()?, failure(fields))),
        "CONT" => Ok(Line::Continue(id()?)),
        "VERSION" if fields.next() != Some(MAJOR) => Err(WireError::Version),
        "MECH" => Ok(Line::Mechanism(fields.next().unwrap_or_default().to_ascii_uppercase())),
        "DONE" => Ok(Line::Done),
        _ => Ok(Line::Other),
    }
}

fn failure<'a>(fields: impl Iterator<Item = &'a str>) -> Failure {
    const REFUSALS: [&str; 3] = ["authz", "user_disabled", "pass_expired"];
    let mut code = String::new();
    for field in fields {
        if field == "temp" {
            return Failure::Temporary;
        }
        if REFUSALS.contains(&field) {
            code = field.to_owned();
        }
        if let Some(said) = field.strip_prefix("code=") {
            code = said.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').take(32).collect();
        }
    }
    match code.as_str() {
        "temp_fail" => Failure::Temporary,
        "invalid_base64" | "login_disabled" | "mech_invalid" | "mech_ssl_required" => Failure::Settings(code),
        _ => Failure::Refused(code),
    }
}

/// `\001` and a character stand for what would end a field or a line.
fn unescape(field: &str) -> String {
    let mut text = String::with_capacity(field.len());
    let mut rest = field.chars();
    while let Some(c) = rest.next() {
        if c != '\u{1}' {
            text.push(c);
            continue;
        }
        match rest.next() {
            Some('0') => text.push('\0'),
            Some('1') => text.push('\u{1}'),
            Some('t') => text.push('\t'),
            Some('r') => text.push('\r'),
            Some('n') => text.push('\n'),
            Some(other) => text.push(other),
            None => {}
        }
    }
    text
}

/// What a client says first. The number must be another for each connection, or Dovecot takes it for an old one.
pub(super) fn greeting(number: u32) -> String {
    format!("VERSION\t{MAJOR}\t1\nCPID\t{number}\n")
}

/// A request. Name and password are in base64, so they end no field. `service` has no tab and no line end.
pub(super) fn request(
    id: u32,
    service: &str,
    login: &Login,
    password: &Secret,
    client: IpAddr,
) -> Zeroizing<String> {
    // In buffers of the final size: growing ones would leave copies behind.
    let name = login.as_str().as_bytes();
    let mut plain = Zeroizing::new(Vec::with_capacity(2 + name.len() + password.len()));
    plain.push(0);
    plain.extend_from_slice(name);
    plain.push(0);
    plain.extend_from_slice(password.expose());
    let head = format!(
        "AUTH\t{id}\tPLAIN\tservice={service}\tsecured\tnologin\trip={}\tresp=",
        client.to_canonical()
    );
    let mut request = Zeroizing::new(String::with_capacity(head.len() + plain.len().div_ceil(3) * 4 + 1));
    request.push_str(&head);
    STANDARD.encode_string(&*plain, &mut request);
    request.push('\n');
    request
}

/// Gives a request up.
pub(super) fn cancel(id: u32) -> String {
    format!("CANCEL\t{id}\n")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    const TALK: &str = "VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nMECH\tLOGIN\tplaintext\nSPID\t77\nCUID\t1\n\
                        COOKIE\t0123456789abcdef\nDONE\nOK\t1\tuser=alice@example.org\tx=user=bob\n\
                        FAIL\t2\tuser=bob\nFAIL\t3\tuser=bob\ttemp\nCONT\t4\t\nFAIL\t5\tcode=temp_fail\n\
                        FAIL\t6\tuser_disabled\nFAIL\t7\tcode=mech_ssl_required\nOK\t8\nFAIL\t9\treason=temp\n";

    fn all(pieces: &[&[u8]]) -> Result<Vec<Line>, WireError> {
        let (mut lines, mut found) = (Lines::default(), Vec::new());
        for piece in pieces {
            lines.push(piece);
            while let Some(line) = lines.next()? {
                found.push(line);
            }
        }
        Ok(found)
    }

    fn refused(code: &str) -> Failure {
        Failure::Refused(code.to_owned())
    }

    #[test]
    fn what_dovecot_says_is_read_at_every_split() {
        let expected = [
            Line::Other,
            Line::Mechanism("PLAIN".into()),
            Line::Mechanism("LOGIN".into()),
            Line::Other,
            Line::Other,
            Line::Other,
            Line::Done,
            Line::Ok(1, Some("alice@example.org".into())),
            Line::Fail(2, refused("")),
            Line::Fail(3, Failure::Temporary),
            Line::Continue(4),
            Line::Fail(5, Failure::Temporary),
            Line::Fail(6, refused("user_disabled")),
            Line::Fail(7, Failure::Settings("mech_ssl_required".into())),
            Line::Ok(8, None),
            Line::Fail(9, refused("")),
        ];
        for split in 0..=TALK.len() {
            let (head, tail) = TALK.as_bytes().split_at(split);
            assert_eq!(all(&[head, tail]).unwrap(), expected, "{split}");
        }
        let octets: Vec<&[u8]> = TALK.as_bytes().chunks(1).collect();
        assert_eq!(all(&octets).unwrap(), expected);
    }

    #[test]
    fn a_line_without_an_end_is_not_kept_for_ever() {
        let mut lines = Lines::default();
        let mut pushed = 0;
        let failure = loop {
            lines.push(&[b'x'; 100]);
            pushed += 100;
            match lines.next() {
                Ok(None) => assert!(pushed <= LONGEST),
                Ok(Some(line)) => panic!("{line:?}"),
                Err(failure) => break failure,
            }
        };
        assert_eq!(failure, WireError::Endless);
        let whole = format!("{}\n", "x".repeat(LONGEST + 1));
        assert_eq!(all(&[whole.as_bytes()]), Err(WireError::Endless));
    }

    #[test]
    fn what_is_not_of_the_protocol_ends_it() {
        for nonsense in ["OK\n", "OK\tx\n", "OK\t-1\tuser=a\n", "FAIL\t99999999999\n", "CONT\t\n"] {
            assert_eq!(all(&[nonsense.as_bytes()]), Err(WireError::Nonsense), "{nonsense}");
        }
        assert_eq!(all(&[b"OK\t1\tuser=\xff\n"]), Err(WireError::Nonsense));
        assert_eq!(all(&[b"VERSION\t2\t0\n"]), Err(WireError::Version));
        assert_eq!(all(&[b"VERSION\n"]), Err(WireError::Version));
    }

    #[test]
    fn a_name_out_of_escapes_keeps_its_controls_for_others_to_refuse() {
        let line = all(&[b"OK\t1\tuser=a\x01tb\x01nc\x01rd\x010e\x011\x01\n"]).unwrap();
        assert_eq!(line, [Line::Ok(1, Some("a\tb\nc\rd\0e\u{1}".into()))]);
    }

    #[test]
    fn name_and_password_end_no_field() {
        let login = Login::parse("alice@example.org").unwrap();
        let password = Secret::copy_of(b"a\tb\nCPID\t1\0c");
        let request = request(7, "imap", &login, &password, "::ffff:192.0.2.7".parse().unwrap());
        let (head, resp) = request.split_once("resp=").unwrap();
        assert_eq!(head, "AUTH\t7\tPLAIN\tservice=imap\tsecured\tnologin\trip=192.0.2.7\t");
        let plain = STANDARD.decode(resp.strip_suffix('\n').unwrap()).unwrap();
        assert_eq!(plain, b"\0alice@example.org\0a\tb\nCPID\t1\0c");
    }
}
