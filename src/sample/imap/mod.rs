//! IMAP4rev1 (RFC 3501): the server side, with LITERAL+ (RFC 7888), IDLE (RFC 2177), ID (RFC 2971),
//! SASL-IR (RFC 4959), NAMESPACE (RFC 2342), UIDPLUS (RFC 4315), UNSELECT (RFC 3691) and SPECIAL-USE (RFC 6154).
//!
//! A command is read whole, literals included, before any of it is judged.

mod command;
mod cursor;
mod envelope;
mod fetch;
mod item;
mod mailboxes;
mod messages;
mod search;
mod view;

use std::{io, sync::Arc};

use bytes::Bytes;

use self::{
    command::{Command, Enter},
    view::View,
};
use super::{
    BAD_COMMANDS, FAILED_LOGINS, MESSAGE_LIMIT,
    mail::{Account, Flags, Mail},
    sasl,
    wire::{Wire, is_too_long},
};

/// Longest line in octets (RFC 7162 §4 expects 8192 to do).
const LINE: usize = 64 << 10;
/// Octets of one command before login: a name and a password as literals.
const COMMAND_BEFORE_LOGIN: usize = 16 << 10;
/// Octets of one command, APPEND's message included.
const COMMAND: usize = MESSAGE_LIMIT + LINE;
/// Literals in one command.
const LITERALS: usize = 64;
/// What the server is able to do before and after the login.
const CAPABILITIES: &str =
    "IMAP4rev1 LITERAL+ SASL-IR ID IDLE NAMESPACE UIDPLUS UNSELECT SPECIAL-USE AUTH=PLAIN";
const CAPABILITIES_AFTER_LOGIN: &str = "IMAP4rev1 LITERAL+ ID IDLE NAMESPACE UIDPLUS UNSELECT SPECIAL-USE";

/// Serves one connection until it ends.
pub(super) async fn serve(wire: Wire, mail: Arc<Mail>) -> io::Result<()> {
    let mut session = Session { wire, mail, account: None, view: None, failures: 0, bad: 0 };
    session.wire.say(&format!("* OK [CAPABILITY {CAPABILITIES}] sample IMAP\r\n"));
    let outcome = session.run().await;
    if outcome.as_ref().is_err_and(is_too_long) {
        session.wire.say("* BYE [TOOBIG] Line or literal too long\r\n");
    }
    session.wire.close().await
}

struct Session {
    wire: Wire,
    mail: Arc<Mail>,
    account: Option<Arc<Account>>,
    view: Option<View>,
    failures: u32,
    bad: u32,
}

/// What a command's tagged response says. The text may begin with a response code.
enum Reply {
    Ok(String),
    No(&'static str),
    Bad(&'static str),
}

fn done(text: &str) -> Reply {
    Reply::Ok(text.to_owned())
}

impl Session {
    async fn run(&mut self) -> io::Result<()> {
        while let Some(command) = self.read().await? {
            let (tag, mut rest) = command::tag(command);
            let Some(tag) = tag else {
                self.bad += 1;
                self.wire.say("* BAD A tag and a command, please\r\n");
                if self.bad > BAD_COMMANDS {
                    break;
                }
                continue;
            };
            let command = command::parse(&mut rest);
            let over = matches!(command, Ok(Command::Logout));
            let reply = match command {
                Ok(command) => self.carry_out(command).await?,
                Err(malformed) => Reply::Bad(malformed.0),
            };
            self.bad += u32::from(matches!(reply, Reply::Bad(_)));
            let too_many = self.bad > BAD_COMMANDS || self.failures >= FAILED_LOGINS;
            if over || too_many {
                self.wire.say(if over { "* BYE Bye\r\n" } else { "* BYE Too many errors\r\n" });
            }
            let (word, text) = match &reply {
                Reply::Ok(text) => ("OK", text.as_str()),
                Reply::No(text) => ("NO", *text),
                Reply::Bad(text) => ("BAD", *text),
            };
            self.wire.say(&format!("{tag} {word} {text}\r\n"));
            if over || too_many {
                break;
            }
        }
        Ok(())
    }

    /// One whole command with its literals behind their announcements; `None` when the client is gone.
    async fn read(&mut self) -> io::Result<Option<Bytes>> {
        let limit = if self.account.is_some() { COMMAND } else { COMMAND_BEFORE_LOGIN };
        let mut command = Vec::new();
        let mut literals = 0;
        loop {
            let Some(line) = self.wire.line(LINE).await? else { return Ok(None) };
            command.extend_from_slice(&line);
            let Some((length, waits)) = announced(&line) else { return Ok(Some(command.into())) };
            literals += 1;
            if literals > LITERALS || length > limit.saturating_sub(command.len()) {
                if !waits {
                    return Err(io::ErrorKind::InvalidData.into());
                }
                // Refused before it was sent, so the next line is a new command.
                let tag = command::tag(command.into()).0.unwrap_or_else(|| "*".to_owned());
                self.wire.say(&format!("{tag} NO [TOOBIG] Literal too large\r\n"));
                command = Vec::new();
                literals = 0;
                continue;
            }
            if waits {
                self.wire.say("+ Go on\r\n");
            }
            command.extend_from_slice(b"\r\n");
            self.wire.exactly(length, &mut command).await?;
        }
    }

    async fn carry_out(&mut self, command: Command) -> io::Result<Reply> {
        let Some(account) = self.account.clone() else { return self.before_login(command).await };
        Ok(match command {
            Command::Capability => self.capability(CAPABILITIES_AFTER_LOGIN),
            Command::Check | Command::Noop => {
                self.catch_up();
                done("Done")
            }
            Command::Close { expunge } => self.close(&account, expunge),
            Command::Copy { uid, set, mailbox } => self.copy(&account, uid, &set, &mailbox),
            Command::Enter(_) => Reply::Bad("Logged in already"),
            Command::Expunge { only } => self.expunge(&account, only.as_deref()),
            Command::Fetch { uid, set, items } => return self.fetch(&account, uid, &set, items).await,
            Command::Id => self.id(),
            Command::Idle => return self.idle(&account).await,
            Command::Logout => done("Bye"),
            Command::Mailboxes(command) => {
                let reply = mailboxes::carry_out(&mut self.wire, &account, command);
                self.catch_up();
                reply
            }
            Command::Search { uid, key } => self.search(&account, uid, &key),
            Command::Select { mailbox, read_only } => self.select(&account, mailbox, read_only),
            Command::Store { uid, set, change, silent, flags } => {
                self.store(&account, uid, &set, change, silent, flags)
            }
        })
    }

    fn capability(&mut self, known: &str) -> Reply {
        self.wire.say(&format!("* CAPABILITY {known}\r\n"));
        done("Listed")
    }

    fn id(&mut self) -> Reply {
        self.wire.say("* ID (\"name\" \"sample\")\r\n");
        done("Pleased to meet you")
    }

    async fn before_login(&mut self, command: Command) -> io::Result<Reply> {
        match command {
            Command::Capability => Ok(self.capability(CAPABILITIES)),
            Command::Enter(enter) => self.enter(enter).await,
            Command::Id => Ok(self.id()),
            Command::Logout | Command::Noop => Ok(done("Done")),
            Command::Check
            | Command::Close { .. }
            | Command::Copy { .. }
            | Command::Expunge { .. }
            | Command::Fetch { .. }
            | Command::Idle
            | Command::Mailboxes(_)
            | Command::Search { .. }
            | Command::Select { .. }
            | Command::Store { .. } => Ok(Reply::Bad("Log in first")),
        }
    }

    async fn enter(&mut self, enter: Enter) -> io::Result<Reply> {
        let outcome = match enter {
            Enter::Login { user, password } => sasl::password_login(&self.mail, &user, &password),
            Enter::Authenticate { mechanism, .. } if mechanism != "PLAIN" => {
                return Ok(Reply::No("[CANNOT] Unknown mechanism"));
            }
            Enter::Authenticate { initial: Some(initial), .. } => sasl::plain(&self.mail, &initial),
            Enter::Authenticate { initial: None, .. } => {
                self.wire.say("+ \r\n");
                let line = self.wire.line(LINE).await?.ok_or(io::ErrorKind::UnexpectedEof)?;
                sasl::plain(&self.mail, &line)
            }
        };
        Ok(match outcome {
            Ok(account) => {
                self.account = Some(account);
                self.wire.logged_in();
                Reply::Ok(format!("[CAPABILITY {CAPABILITIES_AFTER_LOGIN}] Logged in"))
            }
            Err(sasl::Refused::Wrong) => {
                self.failures += 1;
                Reply::No("[AUTHENTICATIONFAILED] Wrong name or password")
            }
            Err(sasl::Refused::Malformed) => Reply::Bad("Not a response of that mechanism"),
        })
    }

    /// Tells what has happened in the selected mailbox. Not to be called within FETCH, STORE or SEARCH, where
    /// numbers must not move (RFC 3501 §7.4.1).
    fn catch_up(&mut self) {
        if let (Some(account), Some(view)) = (&self.account, &mut self.view) {
            let told = account.with(|boxes| view.catch_up(boxes));
            self.wire.say(&told);
        }
    }

    fn select(&mut self, account: &Account, mailbox: String, read_only: bool) -> Reply {
        self.view = None;
        let Some((view, told)) = account.with(|boxes| {
            let found = boxes.get(&mailbox)?;
            let unseen = found.messages.iter().position(|message| !message.flags.contains(Flags::SEEN));
            let unseen = unseen.map_or_else(String::new, |at| format!("* OK [UNSEEN {}] First\r\n", at + 1));
            let told = format!(
                "* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)\r\n* {} EXISTS\r\n* 0 RECENT\r\n{unseen}* OK [PERMANENTFLAGS ({})] Kept\r\n* OK [UIDVALIDITY {}] Valid\r\n* OK [UIDNEXT {}] Next\r\n",
                found.messages.len(),
                if read_only { "" } else { "\\Answered \\Flagged \\Deleted \\Seen \\Draft" },
                found.uid_validity,
                found.uid_next,
            );
            Some((View::of(mailbox.clone(), read_only, found), told))
        }) else {
            return Reply::No("[NONEXISTENT] No such mailbox");
        };
        self.view = Some(view);
        self.wire.say(&told);
        done(if read_only { "[READ-ONLY] Examined" } else { "[READ-WRITE] Selected" })
    }

    async fn idle(&mut self, account: &Account) -> io::Result<Reply> {
        let mut changes = account.watch();
        self.wire.say("+ Idling\r\n");
        loop {
            self.catch_up();
            // Sent here, because a write that is dropped half-way would be made again from its start.
            self.wire.flush().await?;
            tokio::select! {
                line = self.wire.line(LINE) => {
                    let line = line?.ok_or(io::ErrorKind::UnexpectedEof)?;
                    let is_done = line.eq_ignore_ascii_case(b"DONE");
                    return Ok(if is_done { done("Idled") } else { Reply::Bad("DONE ends IDLE") });
                }
                changed = changes.changed() => changed.map_err(io::Error::other)?,
            }
        }
    }
}

/// The length of the literal that a line announces at its end, and whether the client waits for an answer.
fn announced(line: &[u8]) -> Option<(usize, bool)> {
    let inner = line.strip_suffix(b"}")?;
    let brace = memchr::memrchr(b'{', inner)?;
    let digits = inner.get(brace + 1..)?;
    let (digits, waits) = digits.strip_suffix(b"+").map_or((digits, true), |digits| (digits, false));
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    // More digits than a number holds are a literal beyond every limit.
    let length = std::str::from_utf8(digits).ok()?.parse().unwrap_or(usize::MAX);
    Some((length, waits))
}

#[cfg(test)]
mod tests {
    use super::announced;

    #[test]
    fn a_literal_is_announced_at_the_end_of_a_line() {
        assert_eq!(announced(b"a LOGIN {5}"), Some((5, true)));
        assert_eq!(announced(b"a LOGIN {5+}"), Some((5, false)));
        assert_eq!(announced(b"a X {99999999999999999999999}"), Some((usize::MAX, true)));
        for none in [&b"a NOOP"[..], b"a {5} x", b"a {}", b"a {+}", b"a {-1}", b"5}"] {
            assert_eq!(announced(none), None, "{none:?}");
        }
    }
}
