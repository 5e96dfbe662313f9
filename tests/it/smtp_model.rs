//! A mail server as easily fooled as any, for the guard's tests: every CR, LF and CRLF ends a line for it, blanks
//! before a verb are skipped, and it obeys the verbs that the guard must keep from it.

/// What a client tried and how it was answered, as the mail server saw it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Verbs in order, in upper case.
    pub(crate) verbs: Vec<String>,
    /// Messages, without dot stuffing.
    pub(crate) messages: Vec<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Command,
    Message,
    Chunk { left: usize, last: bool },
}

#[derive(Debug)]
pub(crate) struct LooseServer {
    pub(crate) seen: Seen,
    chunking: bool,
    /// Like Exim, it forgets BDAT at HELO.
    chunking_now: bool,
    state: State,
    line: Vec<u8>,
    after_cr: bool,
    recipients: usize,
    message: Vec<u8>,
}

impl LooseServer {
    pub(crate) const FORBIDDEN: [&'static str; 4] = ["AUTH", "STARTTLS", "XCLIENT", "XFORWARD"];

    pub(crate) fn new(chunking: bool) -> Self {
        Self {
            seen: Seen::default(),
            chunking,
            chunking_now: chunking,
            state: State::Command,
            line: Vec::new(),
            after_cr: false,
            recipients: 0,
            message: Vec::new(),
        }
    }

    /// Takes octets and returns its replies.
    pub(crate) fn receive(&mut self, octets: &[u8]) -> Vec<u8> {
        let mut replies = String::new();
        for &octet in octets {
            let second_half = octet == b'\n' && self.after_cr;
            self.after_cr = false;
            if second_half {
                continue;
            }
            if let State::Chunk { left, last } = self.state {
                self.message.push(octet);
                self.chunk(left - 1, last, &mut replies);
                continue;
            }
            let ends = matches!(octet, b'\r' | b'\n');
            self.after_cr = octet == b'\r';
            if !ends {
                self.line.push(octet);
                continue;
            }
            let line = std::mem::take(&mut self.line);
            match self.state {
                State::Message if line == b"." => {
                    self.seen.messages.push(std::mem::take(&mut self.message));
                    self.recipients = 0;
                    self.state = State::Command;
                    replies.push_str("250 2.0.0 queued\r\n");
                }
                State::Message => {
                    self.message.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
                    self.message.extend_from_slice(b"\r\n");
                }
                State::Command | State::Chunk { .. } => self.command(&line, &mut replies),
            }
        }
        replies.into_bytes()
    }

    fn reset(&mut self) {
        self.recipients = 0;
        self.message.clear();
    }

    fn chunk(&mut self, left: usize, last: bool, replies: &mut String) {
        self.state = State::Chunk { left, last };
        if left > 0 {
            return;
        }
        self.state = State::Command;
        if self.recipients == 0 {
            self.message.clear();
            replies.push_str("503 5.5.1 no recipients\r\n");
            return;
        }
        if last {
            self.seen.messages.push(std::mem::take(&mut self.message));
            self.recipients = 0;
        }
        replies.push_str("250 2.0.0 chunk\r\n");
    }

    fn command(&mut self, line: &[u8], replies: &mut String) {
        let text = String::from_utf8_lossy(line).to_ascii_uppercase();
        let words: Vec<&str> = text.split_whitespace().collect();
        let verb = words.first().copied().unwrap_or_default();
        self.seen.verbs.push(verb.to_owned());
        match verb {
            "RCPT" if text.contains("GOOD") => {
                self.recipients += 1;
                replies.push_str("250 2.1.5 ok\r\n");
            }
            "RCPT" => replies.push_str("550 5.1.1 no\r\n"),
            "DATA" if self.recipients > 0 => {
                self.state = State::Message;
                self.message.clear();
                replies.push_str("354 go\r\n");
            }
            "DATA" => replies.push_str("554 5.5.1 no recipients\r\n"),
            "BDAT" if self.chunking_now => {
                self.chunk(words[1].parse().unwrap(), words.get(2) == Some(&"LAST"), replies);
            }
            "EHLO" => {
                self.reset();
                self.chunking_now = self.chunking;
                replies.push_str("250-loose.example\r\n250-AUTH PLAIN LOGIN\r\n250-XCLIENT ADDR LOGIN\r\n250-SIZE 1000\r\n");
                if self.chunking {
                    replies.push_str("250-CHUNKING\r\n");
                }
                replies.push_str("250-STARTTLS\r\n250 XFORWARD ADDR\r\n");
            }
            "RSET" | "HELO" => {
                self.reset();
                self.chunking_now &= verb == "RSET";
                replies.push_str("250 2.0.0 reset\r\n");
            }
            "MAIL" => replies.push_str("250 2.1.0 ok\r\n"),
            "NOOP" => replies.push_str("250 2.0.0 nothing done\r\n"),
            "VRFY" => replies.push_str("252-2.0.0 perhaps\r\n252 2.0.0 or not\r\n"),
            "QUIT" => replies.push_str("221 2.0.0 bye\r\n"),
            forbidden if Self::FORBIDDEN.contains(&forbidden) => replies.push_str("235 2.7.0 fooled\r\n"),
            _ => replies.push_str("500 5.5.2 what\r\n"),
        }
    }
}
