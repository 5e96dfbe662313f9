//! ManageSieve (RFC 5804): the server side. Scripts are stored and given back; any text passes for a script.

use std::{io, sync::Arc};

use super::{
    BAD_COMMANDS, FAILED_LOGINS,
    mail::{Account, Mail},
    sasl,
    scripts::{Refused, SCRIPT_LIMIT, Scripts},
    wire::{Wire, is_too_long},
};

/// Longest command line in octets.
const LINE: usize = 8192;
/// Longest literal that is read to its end; what is longer ends the connection.
const LITERAL: usize = 16 << 20;
/// Longest literal before a login.
const LITERAL_BEFORE_LOGIN: usize = 16 << 10;

/// Serves one connection until it ends.
pub(super) async fn serve(wire: Wire, mail: Arc<Mail>) -> io::Result<()> {
    let mut session = Session { wire, mail, account: None, failures: 0, bad: 0 };
    session.capabilities();
    let outcome = session.run().await;
    if outcome.as_ref().is_err_and(is_too_long) {
        session.wire.say("BYE \"too long\"\r\n");
    }
    session.wire.close().await
}

struct Session {
    wire: Wire,
    mail: Arc<Mail>,
    account: Option<Arc<Account>>,
    failures: u32,
    bad: u32,
}

/// A command's words, without quotes; no words where the line is not understood.
type Words = Vec<Vec<u8>>;

impl Session {
    async fn run(&mut self) -> io::Result<()> {
        while let Some(words) = self.command().await? {
            let verb = words.first().map(|verb| verb.to_ascii_uppercase()).unwrap_or_default();
            match (verb.as_slice(), words.get(1..).unwrap_or_default()) {
                (b"LOGOUT", []) => {
                    self.wire.say("OK \"bye\"\r\n");
                    return Ok(());
                }
                (b"CAPABILITY", []) => self.capabilities(),
                (b"NOOP", []) => self.wire.say("OK\r\n"),
                (b"NOOP", [tag]) => {
                    self.wire.say(&format!("OK (TAG {}) \"done\"\r\n", string(tag)));
                }
                (b"AUTHENTICATE", [mechanism]) if self.account.is_none() => {
                    self.authenticate(mechanism, None).await?;
                }
                (b"AUTHENTICATE", [mechanism, initial]) if self.account.is_none() => {
                    self.authenticate(mechanism, Some(initial)).await?;
                }
                (verb, arguments) => match self.account.clone() {
                    Some(account) => self.after_login(&account, verb, arguments).await?,
                    None => self.bad("NO \"log in first\"\r\n"),
                },
            }
            if self.bad > BAD_COMMANDS || self.failures >= FAILED_LOGINS {
                self.wire.say("BYE \"too many errors\"\r\n");
                return Ok(());
            }
        }
        Ok(())
    }

    /// The next command with its literals.
    async fn command(&mut self) -> io::Result<Option<Words>> {
        let mut words = Words::new();
        let mut is_good = true;
        loop {
            let Some(line) = self.wire.line(LINE).await? else { return Ok(None) };
            let (rest, literal) = announced(&line);
            is_good &= split(rest, &mut words).is_some() && words.len() < 8;
            let Some(length) = literal else { break };
            let limit = if self.account.is_some() { LITERAL } else { LITERAL_BEFORE_LOGIN };
            if length > limit {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "literal too long"));
            }
            let mut octets = Vec::new();
            self.wire.exactly(length, &mut octets).await?;
            words.push(octets);
        }
        if !is_good {
            words.clear();
        }
        Ok(Some(words))
    }

    fn capabilities(&mut self) {
        self.wire.say(
            "\"IMPLEMENTATION\" \"sample ManageSieve\"\r\n\"VERSION\" \"1.0\"\r\n\
             \"SIEVE\" \"fileinto vacation\"\r\n\"MAXREDIRECTS\" \"4\"\r\n",
        );
        match &self.account {
            Some(account) => {
                let owner = string(account.login().as_str().as_bytes());
                self.wire.say(&format!("\"OWNER\" {owner}\r\n"));
            }
            None => self.wire.say("\"SASL\" \"PLAIN LOGIN\"\r\n"),
        }
        self.wire.say("OK\r\n");
    }

    async fn authenticate(&mut self, mechanism: &[u8], initial: Option<&Vec<u8>>) -> io::Result<()> {
        let outcome = match mechanism.to_ascii_uppercase().as_slice() {
            b"PLAIN" => {
                let response = match initial {
                    Some(initial) => initial.clone(),
                    None => self.response("").await?,
                };
                sasl::plain(&self.mail, &response)
            }
            b"LOGIN" => {
                let name = self.response("VXNlcm5hbWU6").await?;
                let password = self.response("UGFzc3dvcmQ6").await?;
                sasl::decode(&name).and_then(|name| {
                    let password = sasl::decode(&password)?;
                    sasl::password_login(&self.mail, &name, &password)
                })
            }
            _ => Err(sasl::Refused::Malformed),
        };
        match outcome {
            Ok(account) => {
                self.account = Some(account);
                self.wire.logged_in();
                self.wire.say("OK \"logged in\"\r\n");
            }
            Err(sasl::Refused::Wrong) => {
                self.failures += 1;
                self.wire.say("NO \"wrong name or password\"\r\n");
            }
            Err(sasl::Refused::Malformed) => self.bad("NO \"not a response of that mechanism\"\r\n"),
        }
        Ok(())
    }

    async fn response(&mut self, challenge: &str) -> io::Result<Vec<u8>> {
        self.wire.say(&format!("\"{challenge}\"\r\n"));
        let words = self.command().await?;
        let mut words = words.ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(words.pop().unwrap_or_default())
    }

    async fn after_login(&mut self, account: &Account, verb: &[u8], arguments: &[Vec<u8>]) -> io::Result<()> {
        let texts: Option<Vec<&str>> =
            arguments.iter().map(|argument| std::str::from_utf8(argument).ok()).collect();
        let texts = texts.unwrap_or_default();
        let change = |change: &dyn Fn(&mut Scripts) -> Result<(), Refused>| account.with_scripts(change);
        let outcome = match (verb, texts.as_slice(), arguments) {
            (b"GETSCRIPT", [name], _) => return self.give(account, name).await,
            (b"LISTSCRIPTS", [], _) => {
                self.list(account);
                Ok(())
            }
            (b"CHECKSCRIPT", _, [script]) if script.len() > SCRIPT_LIMIT => Err(Refused::TooLarge),
            (b"CHECKSCRIPT", _, [_]) => Ok(()),
            (b"DELETESCRIPT", [name], _) => change(&|scripts| scripts.delete(name)),
            (b"HAVESPACE", [name, size], _) => {
                let size = size.parse().unwrap_or(usize::MAX);
                change(&|scripts| scripts.has_space(name, size))
            }
            (b"PUTSCRIPT", _, [name, script]) => match std::str::from_utf8(name) {
                Ok(name) => change(&|scripts| scripts.put(name, script.clone().into())),
                Err(_) => Err(Refused::BadName),
            },
            (b"RENAMESCRIPT", [old, new], _) => change(&|scripts| scripts.rename(old, new)),
            (b"SETACTIVE", [name], _) => change(&|scripts| scripts.activate(name)),
            _ => {
                self.bad("NO \"unknown command\"\r\n");
                return Ok(());
            }
        };
        match outcome {
            Ok(()) => self.wire.say("OK\r\n"),
            Err(refused) => self.wire.say(&format!("NO {}\r\n", refused.text())),
        }
        Ok(())
    }

    fn list(&mut self, account: &Account) {
        let lines = account.with_scripts(|scripts| {
            let line = |(name, is_active): (&str, bool)| {
                let active = if is_active { " ACTIVE" } else { "" };
                format!("{}{active}\r\n", string(name.as_bytes()))
            };
            scripts.iter().map(line).collect::<String>()
        });
        self.wire.say(&lines);
    }

    async fn give(&mut self, account: &Account, name: &str) -> io::Result<()> {
        match account.with_scripts(|scripts| scripts.get(name)) {
            Ok(script) => {
                self.wire.say(&format!("{{{}}}\r\n", script.len()));
                self.wire.send(&script).await?;
                self.wire.say("\r\nOK\r\n");
            }
            Err(refused) => self.wire.say(&format!("NO {}\r\n", refused.text())),
        }
        Ok(())
    }

    fn bad(&mut self, reply: &str) {
        self.bad += 1;
        self.wire.say(reply);
    }
}

/// A server's string: in quotes, since what is told here was in a line or is a login name.
fn string(octets: &[u8]) -> String {
    let text = String::from_utf8_lossy(octets);
    if text.len() > 1024 || text.contains(char::is_control) {
        return format!("{{{}}}\r\n{text}", text.len());
    }
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The line less the literal that it announces, and the literal's length.
fn announced(line: &[u8]) -> (&[u8], Option<usize>) {
    let found = || {
        let open = line.iter().rposition(|octet| *octet == b'{')?;
        let (rest, announcement) = line.split_at_checked(open)?;
        let digits = announcement.strip_prefix(b"{")?.strip_suffix(b"}")?;
        let digits = digits.strip_suffix(b"+").unwrap_or(digits);
        Some((rest, std::str::from_utf8(digits).ok()?.parse().ok()?))
    };
    found().map_or((line, None), |(rest, length)| (rest, Some(length)))
}

/// Appends the words of a line; `None` when a quote is left open.
fn split(line: &[u8], words: &mut Words) -> Option<()> {
    let mut octets = line.iter().copied().peekable();
    loop {
        while octets.next_if_eq(&b' ').is_some() {}
        let mut word = Vec::new();
        match octets.next() {
            None => return Some(()),
            Some(b'"') => loop {
                match octets.next()? {
                    b'"' => break,
                    b'\\' => word.push(octets.next()?),
                    octet => word.push(octet),
                }
            },
            Some(first) => {
                word.push(first);
                while let Some(octet) = octets.next_if(|octet| *octet != b' ') {
                    word.push(octet);
                }
            }
        }
        words.push(word);
    }
}
