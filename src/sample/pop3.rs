//! POP3 (RFC 1939, 2449, 5034): the server side.

use std::{collections::BTreeSet, io, sync::Arc};

use super::{
    BAD_COMMANDS, FAILED_LOGINS,
    mail::{Account, Mail, Message},
    message, sasl,
    wire::{Wire, is_too_long},
};

/// Longest command line in octets; RFC 2449 §4 allows 255, a PLAIN response needs more.
const LINE: usize = 4096;

/// Serves one connection until it ends.
pub(super) async fn serve(wire: Wire, mail: Arc<Mail>) -> io::Result<()> {
    let mut session = Session { wire, mail, user: None, maildrop: None, failures: 0, bad: 0 };
    session.wire.say("+OK sample POP3\r\n");
    let outcome = session.run().await;
    if outcome.as_ref().is_err_and(is_too_long) {
        session.wire.say("-ERR line too long\r\n");
    }
    session.wire.close().await
}

struct Session {
    wire: Wire,
    mail: Arc<Mail>,
    /// The name that USER gave.
    user: Option<String>,
    maildrop: Option<Maildrop>,
    failures: u32,
    bad: u32,
}

/// The messages as they were at the login; numbers do not move while the session lasts.
struct Maildrop {
    account: Arc<Account>,
    validity: u32,
    messages: Vec<Message>,
    /// UIDs that QUIT will remove.
    deleted: BTreeSet<u32>,
}

impl Session {
    async fn run(&mut self) -> io::Result<()> {
        while let Some(line) = self.wire.line(LINE).await? {
            let line = String::from_utf8_lossy(&line);
            let (verb, argument) = line.split_once(' ').unwrap_or((&line, ""));
            let verb = verb.to_ascii_uppercase();
            match verb.as_str() {
                "QUIT" => return self.quit(),
                "CAPA" => self.wire.say(
                    "+OK\r\nUSER\r\nSASL PLAIN LOGIN\r\nTOP\r\nUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\n.\r\n",
                ),
                _ if self.maildrop.is_none() => self.before_login(&verb, argument).await?,
                "RETR" => self.retrieve(argument, None).await?,
                "TOP" => {
                    let (number, lines) = argument.split_once(' ').unwrap_or((argument, ""));
                    match lines.trim().parse() {
                        Ok(lines) => self.retrieve(number, Some(lines)).await?,
                        Err(_) => self.bad("-ERR how many lines?\r\n"),
                    }
                }
                verb => self.after_login(verb, argument.trim()),
            }
            if self.bad > BAD_COMMANDS || self.failures >= FAILED_LOGINS {
                self.wire.say("-ERR too many errors\r\n");
                return Ok(());
            }
        }
        Ok(())
    }

    async fn before_login(&mut self, verb: &str, argument: &str) -> io::Result<()> {
        match verb {
            "USER" => {
                self.user = Some(argument.to_owned());
                self.wire.say("+OK\r\n");
            }
            "PASS" => match self.user.take() {
                // A password may hold spaces and anything else (RFC 1939 §7).
                Some(user) => {
                    let outcome = sasl::password_login(&self.mail, user.as_bytes(), argument.as_bytes());
                    self.entered(outcome);
                }
                None => self.bad("-ERR USER first\r\n"),
            },
            "AUTH" => self.auth(argument.trim()).await?,
            _ => self.bad("-ERR log in first\r\n"),
        }
        Ok(())
    }

    async fn auth(&mut self, argument: &str) -> io::Result<()> {
        let (mechanism, initial) = argument.split_once(' ').unwrap_or((argument, ""));
        let initial = Some(initial.trim().as_bytes().to_vec()).filter(|initial| !initial.is_empty());
        match mechanism.to_ascii_uppercase().as_str() {
            "" => self.wire.say("+OK\r\nPLAIN\r\nLOGIN\r\n.\r\n"),
            "PLAIN" => {
                let response = self.response(initial, "").await?;
                let outcome = sasl::plain(&self.mail, &response);
                self.entered(outcome);
            }
            "LOGIN" => {
                let name = self.response(initial, "VXNlcm5hbWU6").await?;
                let password = self.response(None, "UGFzc3dvcmQ6").await?;
                let outcome = sasl::decode(&name).and_then(|name| {
                    sasl::decode(&password)
                        .and_then(|password| sasl::password_login(&self.mail, &name, &password))
                });
                self.entered(outcome);
            }
            _ => self.bad("-ERR unknown mechanism\r\n"),
        }
        Ok(())
    }

    async fn response(&mut self, initial: Option<Vec<u8>>, challenge: &str) -> io::Result<Vec<u8>> {
        if let Some(initial) = initial {
            return Ok(initial);
        }
        self.wire.say(&format!("+ {challenge}\r\n"));
        self.wire.line(LINE).await?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    fn entered(&mut self, outcome: Result<Arc<Account>, sasl::Refused>) {
        match outcome {
            Ok(account) => {
                let (validity, messages) = account.with(|boxes| {
                    boxes
                        .get("INBOX")
                        .map_or((0, Vec::new()), |inbox| (inbox.uid_validity, inbox.messages.clone()))
                });
                self.maildrop = Some(Maildrop { account, validity, messages, deleted: BTreeSet::new() });
                self.wire.logged_in();
                self.wire.say("+OK logged in\r\n");
            }
            Err(sasl::Refused::Wrong) => {
                self.failures += 1;
                self.wire.say("-ERR [AUTH] wrong name or password\r\n");
            }
            Err(sasl::Refused::Malformed) => self.bad("-ERR not a response of that mechanism\r\n"),
        }
    }

    fn after_login(&mut self, verb: &str, argument: &str) {
        let Some(maildrop) = self.maildrop.as_mut() else { return };
        let reply = match verb {
            "NOOP" => Some("+OK\r\n".to_owned()),
            "RSET" => {
                maildrop.deleted.clear();
                Some("+OK\r\n".to_owned())
            }
            "STAT" => {
                let octets: usize = maildrop.kept().map(|(_, message)| message.octets.len()).sum();
                Some(format!("+OK {} {octets}\r\n", maildrop.kept().count()))
            }
            "LIST" => maildrop.listing(argument, |message| message.octets.len().to_string()),
            "UIDL" => {
                let validity = maildrop.validity;
                maildrop.listing(argument, |message| format!("{validity}-{}", message.uid))
            }
            "DELE" => maildrop.find(argument).map(|message| message.uid).map(|uid| {
                maildrop.deleted.insert(uid);
                "+OK\r\n".to_owned()
            }),
            _ => return self.bad("-ERR unknown command\r\n"),
        };
        match reply {
            Some(reply) => self.wire.say(&reply),
            None => self.bad("-ERR no such message\r\n"),
        }
    }

    /// Sends a message, or its header and `lines` lines of its body.
    async fn retrieve(&mut self, number: &str, lines: Option<usize>) -> io::Result<()> {
        let found = self.maildrop.as_ref().and_then(|maildrop| maildrop.find(number.trim()));
        let Some(octets) = found.map(|message| message.octets.clone()) else {
            self.bad("-ERR no such message\r\n");
            return Ok(());
        };
        self.wire.say("+OK\r\n");
        let octets = lines.map_or(&*octets, |lines| top(&octets, lines));
        for line in octets.split_inclusive(|&octet| octet == b'\n') {
            if line.starts_with(b".") {
                self.wire.send(b".").await?;
            }
            self.wire.send(line).await?;
        }
        let end: &[u8] = if octets.is_empty() || octets.ends_with(b"\r\n") { b".\r\n" } else { b"\r\n.\r\n" };
        self.wire.send(end).await
    }

    fn quit(&mut self) -> io::Result<()> {
        if let Some(maildrop) = self.maildrop.take().filter(|maildrop| !maildrop.deleted.is_empty()) {
            maildrop
                .account
                .change(|boxes| boxes.expunge("INBOX", |message| maildrop.deleted.contains(&message.uid)));
        }
        self.wire.say("+OK bye\r\n");
        Ok(())
    }

    fn bad(&mut self, reply: &str) {
        self.bad += 1;
        self.wire.say(reply);
    }
}

impl Maildrop {
    /// Numbers and messages that are not deleted.
    fn kept(&self) -> impl Iterator<Item = (usize, &Message)> {
        self.messages
            .iter()
            .enumerate()
            .map(|(index, message)| (index + 1, message))
            .filter(|(_, message)| !self.deleted.contains(&message.uid))
    }

    fn find(&self, number: &str) -> Option<&Message> {
        let number: usize = number.parse().ok()?;
        self.kept().find(|(candidate, _)| *candidate == number).map(|(_, message)| message)
    }

    /// The reply to LIST or UIDL, of one message or of all.
    fn listing(&self, argument: &str, show: impl Fn(&Message) -> String) -> Option<String> {
        if !argument.is_empty() {
            return self.find(argument).map(|message| format!("+OK {argument} {}\r\n", show(message)));
        }
        let lines: String =
            self.kept().map(|(number, message)| format!("{number} {}\r\n", show(message))).collect();
        Some(format!("+OK\r\n{lines}.\r\n"))
    }
}

/// The header and the first `lines` lines of the body (RFC 1939 §7 TOP).
fn top(octets: &[u8], lines: usize) -> &[u8] {
    let (header, body) = message::split(octets);
    let body = octets.get(body).unwrap_or_default();
    let shown: usize = body.split_inclusive(|&octet| octet == b'\n').take(lines).map(<[u8]>::len).sum();
    octets.get(..header.end + shown).unwrap_or(octets)
}
