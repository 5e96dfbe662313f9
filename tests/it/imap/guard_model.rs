//! An IMAP server as easily fooled as any, for the guard's tests: every CR, LF and CRLF ends a line for it, blanks are
//! skipped wherever they stand, anything like a literal is one, and it obeys the commands that the guard must keep
//! from it.

/// A command that it has carried out: the verb in upper case, and its literals.
pub(super) type Executed = (String, Vec<Vec<u8>>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Command,
    /// Behind a literal of a command.
    Rest,
    Literal {
        left: usize,
    },
    /// IDLE by this tag.
    Idle(String),
    /// The next line is an answer to something that only this server knows.
    Data(String),
}

#[derive(Debug)]
pub(super) struct LooseServer {
    pub(super) executed: Vec<Executed>,
    /// Whether it takes literals that do not wait; if not, their octets are commands.
    literal_plus: bool,
    state: State,
    line: Vec<u8>,
    after_cr: bool,
    tag: String,
    verb: String,
    literals: Vec<Vec<u8>>,
    replies: Vec<u8>,
}

/// A literal at the end of a line, in the widest sense: its size, and whether it comes unasked.
fn literal(line: &[u8]) -> Option<(usize, bool)> {
    let text = String::from_utf8_lossy(line);
    let text = text.trim_end().strip_suffix('}')?;
    let (_, inside) = text.rsplit_once('{')?;
    let unasked = inside.contains(['+', '-']);
    let digits = inside.trim_matches(|c: char| c.is_whitespace() || "+-".contains(c));
    digits.parse().ok().map(|size| (size, unasked))
}

impl LooseServer {
    pub(super) const FORBIDDEN: [&'static str; 5] =
        ["UNAUTHENTICATE", "AUTHENTICATE", "LOGIN", "STARTTLS", "COMPRESS"];
    /// What a fetched message holds: everything that a guard must not take for a response.
    pub(super) const MESSAGE: &'static str = "+ go\r\nBEARWARD OK x\r\na OK no\r\n* CAPABILITY UNAUTHENTICATE\r\n* OK [CAPABILITY LOGIN]\r\n{99}\r\n";

    pub(super) fn new(literal_plus: bool) -> Self {
        Self {
            executed: Vec::new(),
            literal_plus,
            state: State::Command,
            line: Vec::new(),
            after_cr: false,
            tag: String::new(),
            verb: String::new(),
            literals: Vec::new(),
            replies: Vec::new(),
        }
    }

    /// Takes octets and returns what it says.
    pub(super) fn receive(&mut self, octets: &[u8]) -> Vec<u8> {
        for &octet in octets {
            let second_half = octet == b'\n' && self.after_cr;
            self.after_cr = false;
            if second_half {
                continue;
            }
            if let State::Literal { left } = self.state {
                self.literals.last_mut().unwrap().push(octet);
                self.state = if left == 1 { State::Rest } else { State::Literal { left: left - 1 } };
                continue;
            }
            self.after_cr = octet == b'\r';
            if !matches!(octet, b'\r' | b'\n') {
                self.line.push(octet);
                continue;
            }
            let line = std::mem::take(&mut self.line);
            self.line(&line);
        }
        std::mem::take(&mut self.replies)
    }

    fn say(&mut self, text: &str) {
        self.replies.extend_from_slice(text.as_bytes());
        self.replies.extend_from_slice(b"\r\n");
    }

    fn line(&mut self, line: &[u8]) {
        match std::mem::replace(&mut self.state, State::Command) {
            State::Command => {
                let text = String::from_utf8_lossy(line).into_owned();
                let mut words = text.split([' ', '\t', '\0']).filter(|word| !word.is_empty());
                let Some(tag) = words.next() else { return };
                self.tag = tag.to_owned();
                let verb = words.next().unwrap_or_default().to_ascii_uppercase();
                let end = verb.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(verb.len());
                self.verb = verb[..end].to_owned();
                self.literals.clear();
            }
            State::Idle(tag) => {
                self.say(&format!("{tag} OK IDLE is over"));
                if !line.eq_ignore_ascii_case(b"DONE") {
                    self.line(line);
                }
                return;
            }
            State::Data(tag) => return self.say(&format!("{tag} OK data taken")),
            State::Rest | State::Literal { .. } => {}
        }
        let tag = self.tag.clone();
        match literal(line) {
            Some((_, true)) if !self.literal_plus => self.say(&format!("{tag} BAD no such literal")),
            Some((_, false)) if self.verb == "REFUSE" => self.say(&format!("{tag} NO not that literal")),
            Some((size, unasked)) => {
                if !unasked {
                    self.say("+ go ahead");
                }
                self.literals.push(Vec::new());
                self.state = if size == 0 { State::Rest } else { State::Literal { left: size } };
            }
            None => self.execute(&tag),
        }
    }

    fn execute(&mut self, tag: &str) {
        self.executed.push((self.verb.clone(), std::mem::take(&mut self.literals)));
        match self.verb.as_str() {
            "FETCH" => {
                let (message, size) = (Self::MESSAGE, Self::MESSAGE.len());
                self.say(&format!("* 1 FETCH (UID 7 BODY[] {{{size}}}\r\n{message} X {{0}}\r\n)"));
                self.say(&format!("{tag} OK [READ-ONLY] fetched"));
            }
            "CAPABILITY" => {
                self.say("* CAPABILITY IMAP4rev1 AUTH=PLAIN UNAUTHENTICATE IDLE COMPRESS=DEFLATE");
                self.say(&format!("{tag} OK [CAPABILITY UNAUTHENTICATE IDLE LOGINDISABLED] listed {{5}}"));
            }
            "IDLE" => {
                self.state = State::Idle(tag.to_owned());
                self.say("+ idling\r\n* 3 EXISTS");
            }
            "XPLUS" => {
                self.state = State::Data(tag.to_owned());
                self.say("+ and?");
            }
            "NOOP" => self.say(&format!("* 2 RECENT\r\n{tag} OK nothing done")),
            "" => self.say(&format!("{tag} BAD what")),
            forbidden if Self::FORBIDDEN.contains(&forbidden) => self.say(&format!("{tag} OK fooled")),
            _ => self.say(&format!("{tag} OK done")),
        }
    }
}
