//! SMTP submission (RFC 6409): the server side, for users who log in first.

use std::{io, sync::Arc};

use super::{
    BAD_COMMANDS, FAILED_LOGINS, MESSAGE_LIMIT, date,
    mail::{Account, Flags, Mail},
    sasl,
    wire::{Wire, is_too_long},
};
use crate::model::UnixTime;

/// Longest command line in octets; a PLAIN response of a long password fits.
const LINE: usize = 4096;
/// Recipients of one message.
const RECIPIENTS: usize = 100;

/// Serves one connection until it ends.
pub(super) async fn serve(wire: Wire, mail: Arc<Mail>) -> io::Result<()> {
    let mut session =
        Session { wire, mail, helo: None, user: None, from: false, to: Vec::new(), failures: 0, bad: 0 };
    session.wire.say("220 localhost ESMTP sample\r\n");
    let outcome = session.run().await;
    if outcome.as_ref().is_err_and(is_too_long) {
        session.wire.say("500 5.5.6 Line too long\r\n");
    }
    session.wire.close().await
}

struct Session {
    wire: Wire,
    mail: Arc<Mail>,
    helo: Option<String>,
    user: Option<Arc<Account>>,
    from: bool,
    to: Vec<Arc<Account>>,
    failures: u32,
    bad: u32,
}

impl Session {
    async fn run(&mut self) -> io::Result<()> {
        while let Some(line) = self.wire.line(LINE).await? {
            let Ok(line) = std::str::from_utf8(&line) else {
                self.bad("501 5.5.2 Not UTF-8\r\n");
                continue;
            };
            let (verb, argument) = line.split_once(' ').unwrap_or((line, ""));
            match verb.to_ascii_uppercase().as_str() {
                "QUIT" => {
                    self.wire.say("221 2.0.0 Bye\r\n");
                    return Ok(());
                }
                "AUTH" => self.auth(argument.trim()).await?,
                "DATA" => self.data(argument).await?,
                verb => self.simple(verb, argument),
            }
            if self.bad > BAD_COMMANDS || self.failures >= FAILED_LOGINS {
                self.wire.say("421 4.7.0 Too many errors\r\n");
                return Ok(());
            }
        }
        Ok(())
    }

    /// The commands that one line holds.
    fn simple(&mut self, verb: &str, argument: &str) {
        match verb {
            "EHLO" | "HELO" => self.hello(verb, argument.trim()),
            "NOOP" => self.wire.say("250 2.0.0 OK\r\n"),
            "RSET" => {
                self.reset();
                self.wire.say("250 2.0.0 OK\r\n");
            }
            "MAIL" | "RCPT" if self.user.is_none() => {
                self.bad("530 5.7.0 Authentication required\r\n");
            }
            "MAIL" => self.mail_from(argument),
            "RCPT" => self.rcpt_to(argument),
            "VRFY" => self.wire.say("252 2.1.5 Send some mail and see\r\n"),
            _ => self.bad("500 5.5.2 Unknown command\r\n"),
        }
    }

    fn hello(&mut self, verb: &str, name: &str) {
        if name.is_empty() || !name.bytes().all(|octet| octet.is_ascii_graphic()) {
            return self.bad("501 5.5.4 Which host?\r\n");
        }
        self.reset();
        self.helo = Some(name.to_owned());
        if verb == "HELO" {
            return self.wire.say("250 localhost\r\n");
        }
        let auth = if self.user.is_some() { "" } else { "250-AUTH PLAIN LOGIN\r\n" };
        self.wire.say(&format!(
            "250-localhost\r\n250-PIPELINING\r\n250-SIZE {MESSAGE_LIMIT}\r\n{auth}250-8BITMIME\r\n250 ENHANCEDSTATUSCODES\r\n",
        ));
    }

    fn mail_from(&mut self, argument: &str) {
        let Some((_, parameters)) = path(argument, "FROM:") else {
            return self.bad("501 5.5.4 MAIL FROM:<address>\r\n");
        };
        if self.from {
            return self.bad("503 5.5.1 There is a sender already\r\n");
        }
        for parameter in parameters.split_ascii_whitespace() {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            match name.to_ascii_uppercase().as_str() {
                "SIZE" if value.parse().is_ok_and(|size: u64| size > MESSAGE_LIMIT as u64) => {
                    return self.wire.say("552 5.3.4 Message too large\r\n");
                }
                "SIZE" | "BODY" | "AUTH" => {}
                _ => return self.bad("555 5.5.4 Unknown parameter\r\n"),
            }
        }
        self.from = true;
        self.wire.say("250 2.1.0 OK\r\n");
    }

    fn rcpt_to(&mut self, argument: &str) {
        if !self.from {
            return self.bad("503 5.5.1 MAIL first\r\n");
        }
        let Some((address, "")) = path(argument, "TO:") else {
            return self.bad("501 5.5.4 RCPT TO:<address>\r\n");
        };
        if self.to.len() >= RECIPIENTS {
            return self.wire.say("452 4.5.3 Too many recipients\r\n");
        }
        let Some(account) = self.mail.account(address) else {
            return self.wire.say("550 5.1.1 No such user here\r\n");
        };
        if !self.to.iter().any(|known| Arc::ptr_eq(known, &account)) {
            self.to.push(account);
        }
        self.wire.say("250 2.1.5 OK\r\n");
    }

    async fn data(&mut self, argument: &str) -> io::Result<()> {
        if !argument.is_empty() {
            self.bad("501 5.5.4 DATA takes no argument\r\n");
            return Ok(());
        }
        if self.to.is_empty() {
            self.bad("503 5.5.1 No valid recipients\r\n");
            return Ok(());
        }
        self.wire.say("354 End with a dot alone on a line\r\n");
        let trace = format!(
            "Received: from {} by localhost with ESMTPA;\r\n {}\r\n",
            self.helo.as_deref().unwrap_or("unknown"),
            date::header(UnixTime::now())
        );
        let mut reader = DotReader::new(trace.into_bytes());
        loop {
            let octets = self.wire.peek().await?;
            if octets.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let taken = reader.feed(octets);
            self.wire.consume(taken);
            if reader.is_complete() {
                break;
            }
        }
        let recipients = std::mem::take(&mut self.to);
        self.reset();
        let Some(message) = reader.into_message() else {
            self.wire.say("552 5.3.4 Message too large\r\n");
            return Ok(());
        };
        let message = bytes::Bytes::from(message);
        let now = UnixTime::now();
        // No recipient is left out once one has it: a full mailbox is told as a failure of the whole.
        let refused = recipients
            .iter()
            .any(|account| account.append("INBOX", message.clone(), Flags::default(), now).is_err());
        self.wire.say(if refused { "452 4.2.2 Mailbox full\r\n" } else { "250 2.0.0 Delivered\r\n" });
        Ok(())
    }

    async fn auth(&mut self, argument: &str) -> io::Result<()> {
        if self.user.is_some() || self.from {
            self.bad("503 5.5.1 Not now\r\n");
            return Ok(());
        }
        let (mechanism, initial) = argument.split_once(' ').unwrap_or((argument, ""));
        let initial = Some(initial.trim().as_bytes().to_vec()).filter(|initial| !initial.is_empty());
        let outcome = match mechanism.to_ascii_uppercase().as_str() {
            "PLAIN" => {
                let response = self.response(initial, "").await?;
                sasl::plain(&self.mail, &response)
            }
            "LOGIN" => {
                let name = self.response(initial, "VXNlcm5hbWU6").await?;
                let password = self.response(None, "UGFzc3dvcmQ6").await?;
                sasl::decode(&name).and_then(|name| {
                    sasl::decode(&password)
                        .and_then(|password| sasl::password_login(&self.mail, &name, &password))
                })
            }
            _ => {
                self.bad("504 5.5.4 Unknown mechanism\r\n");
                return Ok(());
            }
        };
        match outcome {
            Ok(account) => {
                self.user = Some(account);
                self.wire.logged_in();
                self.wire.say("235 2.7.0 Logged in\r\n");
            }
            Err(sasl::Refused::Wrong) => {
                self.failures += 1;
                self.wire.say("535 5.7.8 Wrong name or password\r\n");
            }
            Err(sasl::Refused::Malformed) => self.bad("501 5.5.2 Not a response of that mechanism\r\n"),
        }
        Ok(())
    }

    /// The response that came along, or the one to a challenge.
    async fn response(&mut self, initial: Option<Vec<u8>>, challenge: &str) -> io::Result<Vec<u8>> {
        if let Some(initial) = initial {
            return Ok(initial);
        }
        self.wire.say(&format!("334 {challenge}\r\n"));
        self.wire.line(LINE).await?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    fn reset(&mut self) {
        self.from = false;
        self.to.clear();
    }

    fn bad(&mut self, reply: &str) {
        self.bad += 1;
        self.wire.say(reply);
    }
}

/// The address of `FROM:<address> parameters`, and the parameters.
fn path<'a>(argument: &'a str, keyword: &str) -> Option<(&'a str, &'a str)> {
    let (word, rest) = argument.split_at_checked(keyword.len())?;
    let (address, parameters) = rest.trim_start().strip_prefix('<')?.split_once('>')?;
    word.eq_ignore_ascii_case(keyword).then_some((address, parameters.trim()))
}

/// Takes the text of a message until CRLF `.` CRLF, and nothing else, ends it (RFC 5321 §4.1.1.4, §4.5.2).
struct DotReader {
    message: Vec<u8>,
    too_large: bool,
    state: DotState,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum DotState {
    Complete,
    /// A dot at the start of a line, not kept yet.
    Dot,
    /// That dot and a CR.
    DotCr,
    LineStart,
    Text,
    /// A CR within the text.
    TextCr,
}

impl DotReader {
    fn new(trace: Vec<u8>) -> Self {
        Self { message: trace, too_large: false, state: DotState::LineStart }
    }

    fn is_complete(&self) -> bool {
        self.state == DotState::Complete
    }

    /// The message, unless it was too large.
    fn into_message(self) -> Option<Vec<u8>> {
        (!self.too_large).then_some(self.message)
    }

    /// Returns how many octets it took: all, or up to the end of the message.
    fn feed(&mut self, octets: &[u8]) -> usize {
        let mut taken = 0;
        while let Some((&octet, _)) = octets.get(taken..).and_then(<[u8]>::split_first) {
            if self.state == DotState::Complete {
                break;
            }
            if self.state == DotState::Text {
                let rest = octets.get(taken..).unwrap_or_default();
                let run = memchr::memchr(b'\r', rest).unwrap_or(rest.len());
                self.keep(rest.get(..run).unwrap_or_default());
                taken += run;
                if run > 0 {
                    continue;
                }
            }
            self.step(octet);
            taken += 1;
        }
        taken
    }

    fn step(&mut self, octet: u8) {
        match (self.state, octet) {
            (DotState::Complete, _) => return,
            (DotState::LineStart, b'.') => {
                self.state = DotState::Dot;
                return;
            }
            (DotState::Dot, b'\r') => {
                self.state = DotState::DotCr;
                return;
            }
            (DotState::DotCr, b'\n') => {
                self.state = DotState::Complete;
                return;
            }
            (DotState::DotCr, _) => self.keep(b"\r"),
            _ => {}
        }
        self.state = match octet {
            b'\r' => DotState::TextCr,
            b'\n' if self.state == DotState::TextCr => DotState::LineStart,
            _ => DotState::Text,
        };
        self.keep(&[octet]);
    }

    fn keep(&mut self, octets: &[u8]) {
        if self.too_large || self.message.len() + octets.len() > MESSAGE_LIMIT {
            self.too_large = true;
            self.message = Vec::new();
            return;
        }
        self.message.extend_from_slice(octets);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    /// The message and how many octets it took, when `wire` comes in two pieces.
    fn read(wire: &[u8], split: usize) -> (Option<Vec<u8>>, usize) {
        let mut reader = DotReader::new(Vec::new());
        let (first, second) = wire.split_at(split);
        let mut taken = reader.feed(first);
        if !reader.is_complete() {
            taken += reader.feed(second);
        }
        (reader.is_complete().then(|| reader.into_message().unwrap()), taken)
    }

    #[test]
    fn a_dot_alone_ends_a_message_wherever_it_is_cut() {
        let wire = b"a\r\n..b\r\n.c\r\r\n\r\n.\r\nQUIT\r\n";
        for split in 0..=wire.len() {
            let (message, taken) = read(wire, split);
            assert_eq!(message.as_deref(), Some(&b"a\r\n.b\r\nc\r\r\n\r\n"[..]), "{split}");
            assert_eq!(&wire[taken..], b"QUIT\r\n", "{split}");
        }
    }

    #[test]
    fn nothing_but_crlf_dot_crlf_ends_a_message() {
        for wire in [
            &b"a\n.\nb"[..],
            b"a\n.\r\nb",
            b"a\r\n.\nb",
            b"a\r.\rb",
            b"a\r\n.\rb\r\n",
            b"a\r.\r\nb",
            b"a\r\n.\r\r\nb",
        ] {
            for split in 0..=wire.len() {
                assert_eq!(read(wire, split), (None, wire.len()), "{wire:?} cut at {split}");
            }
        }
    }

    #[test]
    fn an_empty_message_is_a_message() {
        assert_eq!(read(b".\r\n", 0), (Some(Vec::new()), 3));
    }

    #[test]
    fn an_address_is_found_between_the_brackets() {
        assert_eq!(path("FROM:<a@b> SIZE=1", "FROM:"), Some(("a@b", "SIZE=1")));
        assert_eq!(path("to: <a@b>", "TO:"), Some(("a@b", "")));
        assert_eq!(path("FROM:a@b", "FROM:"), None);
        assert_eq!(path("TO", "FROM:"), None);
    }
}
