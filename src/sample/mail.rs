//! The mailboxes: in memory, bounded, each change numbered so that a session can tell what it has not shown.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use tokio::sync::watch;

use super::{MESSAGE_LIMIT, User, scripts::Scripts, seed};
use crate::model::{Login, Secret, UnixTime};

/// Octets of all messages of one user.
const ACCOUNT_LIMIT: usize = 256 << 20;
/// Messages in one mailbox.
const MAILBOX_LIMIT: usize = 10_000;
/// Mailboxes of one user.
const MAILBOXES: usize = 64;
/// Longest mailbox name in octets.
const NAME_LIMIT: usize = 128;
/// The mailboxes that every user has, with their use (RFC 6154).
const STANDARD: [(&str, &str); 4] =
    [("INBOX", ""), ("Drafts", "\\Drafts"), ("Sent", "\\Sent"), ("Trash", "\\Trash")];

/// All users.
pub(super) struct Mail {
    accounts: BTreeMap<Login, Arc<Account>>,
}

/// One user.
pub(super) struct Account {
    password: Secret,
    login: Login,
    boxes: Mutex<Boxes>,
    scripts: Mutex<Scripts>,
    changes: watch::Sender<()>,
}

/// The mailboxes of one user.
pub(super) struct Boxes {
    boxes: BTreeMap<String, Mailbox>,
    octets: usize,
    next_validity: u32,
}

/// One mailbox.
pub(super) struct Mailbox {
    pub(super) uid_validity: u32,
    pub(super) uid_next: u32,
    /// Grows with every change.
    pub(super) change: u64,
    /// In the order of their UIDs.
    pub(super) messages: Vec<Message>,
    /// What it is for (RFC 6154), or nothing.
    pub(super) purpose: &'static str,
}

/// One message. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) uid: u32,
    pub(super) arrived: UnixTime,
    pub(super) flags: Flags,
    pub(super) octets: Bytes,
    /// The mailbox's change number when this message last changed.
    pub(super) change: u64,
}

/// The system flags of RFC 3501 §2.3.2, without `\Recent`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Flags(u8);

/// Why a change was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// The mailbox exists already.
    AlreadyExists,
    /// The mailbox does not exist.
    NoMailbox,
    /// The name is not usable, or the mailbox must stay.
    NotAllowed,
    /// Too large a message, too many messages or mailboxes.
    OverQuota,
}

impl Flags {
    pub(super) const NAMES: [(Self, &'static str); 5] = [
        (Self(1), "\\Answered"),
        (Self(2), "\\Flagged"),
        (Self(4), "\\Deleted"),
        (Self(8), "\\Seen"),
        (Self(16), "\\Draft"),
    ];
    pub(super) const DELETED: Self = Self(4);
    pub(super) const SEEN: Self = Self(8);

    /// The flag of that name; keywords are not kept and count as none.
    pub(super) fn named(name: &str) -> Self {
        let found = Self::NAMES.iter().find(|(_, known)| known.eq_ignore_ascii_case(name));
        found.map(|(flag, _)| *flag).unwrap_or_default()
    }

    pub(super) fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub(super) fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

/// As a parenthesised list.
impl std::fmt::Display for Flags {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> =
            Self::NAMES.iter().filter(|(flag, _)| self.contains(*flag)).map(|(_, name)| *name).collect();
        write!(f, "({})", names.join(" "))
    }
}

impl Mail {
    /// An account for each user, with the first messages.
    pub(super) fn new(users: Vec<User>) -> Self {
        let logins: Vec<_> = users.iter().map(|user| user.login.clone()).collect();
        let accounts = users.into_iter().map(|user| {
            let account = Account::new(user);
            for message in seed::messages(&account.login, &logins, UnixTime::now()) {
                let _ = account.append("INBOX", message.into(), Flags::default(), UnixTime::now());
            }
            (account.login.clone(), Arc::new(account))
        });
        Self { accounts: accounts.collect() }
    }

    /// The account, when name and password are right.
    pub(super) fn login(&self, name: &str, password: &Secret) -> Option<Arc<Account>> {
        let account = self.account(name)?;
        (account.password == *password).then_some(account)
    }

    /// The account of an address.
    pub(super) fn account(&self, address: &str) -> Option<Arc<Account>> {
        self.accounts.get(&Login::parse(address).ok()?).cloned()
    }
}

impl Account {
    fn new(user: User) -> Self {
        let mut boxes = Boxes { boxes: BTreeMap::new(), octets: 0, next_validity: 1 };
        for (name, purpose) in STANDARD {
            boxes.add(name.to_owned(), purpose);
        }
        let (changes, _) = watch::channel(());
        Self {
            password: user.password,
            login: user.login,
            boxes: Mutex::new(boxes),
            scripts: Mutex::default(),
            changes,
        }
    }

    /// Whose it is.
    pub(super) fn login(&self) -> &Login {
        &self.login
    }

    /// Looks at the Sieve scripts, or changes them.
    pub(super) fn with_scripts<T>(&self, look: impl FnOnce(&mut Scripts) -> T) -> T {
        look(&mut self.scripts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Looks at the mailboxes, or changes them without anybody being woken.
    pub(super) fn with<T>(&self, look: impl FnOnce(&mut Boxes) -> T) -> T {
        look(&mut self.boxes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the mailboxes and wakes every session that idles.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Boxes) -> T) -> T {
        let outcome = self.with(change);
        self.changes.send_replace(());
        outcome
    }

    /// Tells of every change from now on.
    pub(super) fn watch(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Puts a message into a mailbox; returns its UIDVALIDITY and UID.
    pub(super) fn append(
        &self,
        mailbox: &str,
        octets: Bytes,
        flags: Flags,
        arrived: UnixTime,
    ) -> Result<(u32, u32), Refused> {
        self.change(|boxes| boxes.append(mailbox, octets, flags, arrived))
    }
}

impl Boxes {
    /// Names and mailboxes, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&String, &Mailbox)> {
        self.boxes.iter()
    }

    pub(super) fn get(&mut self, name: &str) -> Option<&mut Mailbox> {
        self.boxes.get_mut(&canonical(name))
    }

    /// Makes an empty mailbox.
    pub(super) fn create(&mut self, name: &str) -> Result<(), Refused> {
        let name = canonical(name);
        if self.boxes.contains_key(&name) {
            return Err(Refused::AlreadyExists);
        }
        let writable = name.bytes().all(|octet| (b' '..0x7f).contains(&octet) && !b"%*\"\\".contains(&octet));
        if name.is_empty() || name.len() > NAME_LIMIT || !writable {
            return Err(Refused::NotAllowed);
        }
        if self.boxes.len() >= MAILBOXES {
            return Err(Refused::OverQuota);
        }
        self.add(name, "");
        Ok(())
    }

    /// Removes a mailbox and what is in it; those that every user has stay.
    pub(super) fn delete(&mut self, name: &str) -> Result<(), Refused> {
        let name = canonical(name);
        if STANDARD.iter().any(|(standard, _)| *standard == name) {
            return Err(Refused::NotAllowed);
        }
        let removed = self.boxes.remove(&name).ok_or(Refused::NoMailbox)?;
        self.octets -= removed.messages.iter().map(|message| message.octets.len()).sum::<usize>();
        Ok(())
    }

    pub(super) fn append(
        &mut self,
        mailbox: &str,
        octets: Bytes,
        flags: Flags,
        arrived: UnixTime,
    ) -> Result<(u32, u32), Refused> {
        let total = self.octets + octets.len();
        let mailbox = self.boxes.get_mut(&canonical(mailbox)).ok_or(Refused::NoMailbox)?;
        let full = mailbox.messages.len() >= MAILBOX_LIMIT || mailbox.uid_next == u32::MAX;
        if octets.len() > MESSAGE_LIMIT || total > ACCOUNT_LIMIT || full {
            return Err(Refused::OverQuota);
        }
        let uid = mailbox.uid_next;
        mailbox.uid_next += 1;
        mailbox.change += 1;
        mailbox.messages.push(Message { uid, arrived, flags, octets, change: mailbox.change });
        self.octets = total;
        Ok((mailbox.uid_validity, uid))
    }

    /// Removes the messages that `which` names.
    pub(super) fn expunge(&mut self, mailbox: &str, which: impl Fn(&Message) -> bool) {
        let Some(mailbox) = self.boxes.get_mut(&canonical(mailbox)) else { return };
        let before = mailbox.messages.len();
        let octets = &mut self.octets;
        mailbox.messages.retain(|message| {
            let gone = which(message);
            if gone {
                *octets -= message.octets.len();
            }
            !gone
        });
        if mailbox.messages.len() != before {
            mailbox.change += 1;
        }
    }

    fn add(&mut self, name: String, purpose: &'static str) {
        let uid_validity = self.next_validity;
        self.next_validity = self.next_validity.saturating_add(1);
        let mailbox = Mailbox { uid_validity, uid_next: 1, change: 1, messages: Vec::new(), purpose };
        self.boxes.insert(name, mailbox);
    }
}

impl Mailbox {
    /// The message of a UID.
    pub(super) fn find(&mut self, uid: u32) -> Option<&mut Message> {
        let index = self.messages.binary_search_by_key(&uid, |message| message.uid).ok()?;
        self.messages.get_mut(index)
    }

    /// Gives the message of a UID other flags, if they are other.
    pub(super) fn set_flags(&mut self, uid: u32, change: impl FnOnce(Flags) -> Flags) -> Option<Flags> {
        let number = self.change + 1;
        let message = self.find(uid)?;
        let flags = change(message.flags);
        if flags != message.flags {
            message.flags = flags;
            message.change = number;
            self.change = number;
        }
        Some(flags)
    }
}

/// INBOX is the same in any case (RFC 3501 §5.1).
fn canonical(name: &str) -> String {
    if name.eq_ignore_ascii_case("inbox") { "INBOX".to_owned() } else { name.to_owned() }
}
