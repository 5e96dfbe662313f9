//! What a session shows of its selected mailbox: message numbers stand still until the client may be told.

use super::{
    command::Change,
    cursor::{Span, covers},
    search::{Key, Place},
};
use crate::sample::mail::{Boxes, Flags, Mailbox, Message};

/// The selected mailbox as the client knows it.
pub(super) struct View {
    pub(super) mailbox: String,
    pub(super) read_only: bool,
    /// The UIDs, in order; a message's number is its place here.
    uids: Vec<u32>,
    /// The mailbox's change number that the client has been told of.
    change: u64,
}

/// A message and its number.
pub(super) struct Numbered {
    pub(super) number: usize,
    pub(super) message: Message,
}

impl View {
    pub(super) fn of(name: String, read_only: bool, mailbox: &Mailbox) -> Self {
        let uids = mailbox.messages.iter().map(|message| message.uid).collect();
        Self { mailbox: name, read_only, uids, change: mailbox.change }
    }

    /// The untagged responses that bring the client up to date (RFC 3501 §5.2), and takes over what they say.
    pub(super) fn catch_up(&mut self, boxes: &mut Boxes) -> String {
        let Some(mailbox) = boxes.get(&self.mailbox) else { return String::new() };
        if mailbox.change == self.change {
            return String::new();
        }
        let mut told = String::new();
        let uids = std::mem::take(&mut self.uids);
        for uid in uids {
            if mailbox.find(uid).is_some() {
                self.uids.push(uid);
            } else {
                told += &format!("* {} EXPUNGE\r\n", self.uids.len() + 1);
            }
        }
        let known = self.uids.len();
        let last = self.uids.last().copied().unwrap_or(0);
        for (index, message) in mailbox.messages.iter().enumerate() {
            if message.uid > last {
                self.uids.push(message.uid);
            } else if message.change > self.change {
                told += &format!("* {} FETCH (FLAGS {} UID {})\r\n", index + 1, message.flags, message.uid);
            }
        }
        if self.uids.len() != known {
            told += &format!("* {} EXISTS\r\n", self.uids.len());
        }
        self.change = mailbox.change;
        told
    }

    /// The messages of a sequence set that still exist.
    pub(super) fn pick(&self, boxes: &mut Boxes, uid: bool, set: &[Span]) -> Vec<Numbered> {
        let Some(mailbox) = boxes.get(&self.mailbox) else { return Vec::new() };
        let numbered = self.numbers().filter(|&(number, candidate)| {
            if uid {
                covers(set, candidate, self.last_uid())
            } else {
                covers(set, number, self.last_number())
            }
        });
        numbered
            .filter_map(|(number, candidate)| {
                let message = mailbox.find(candidate)?.clone();
                Some(Numbered { number: number as usize, message })
            })
            .collect()
    }

    /// Numbers, or UIDs, of the messages that are as `key` says.
    pub(super) fn search(&self, messages: &[Numbered], uid: bool, key: &Key) -> Vec<u32> {
        let matching = messages.iter().filter_map(|found| {
            let number = u32::try_from(found.number).ok()?;
            let place = Place { number, last_number: self.last_number(), last_uid: self.last_uid() };
            key.matches(&found.message, &place).then_some(if uid { found.message.uid } else { number })
        });
        matching.collect()
    }

    /// Changes flags and puts the new ones into `picked`. The client needs no other word of this change.
    pub(super) fn store(&mut self, boxes: &mut Boxes, picked: &mut [Numbered], change: Change, flags: Flags) {
        let Some(mailbox) = boxes.get(&self.mailbox) else { return };
        let up_to_date = mailbox.change == self.change;
        for found in picked {
            let changed = mailbox.set_flags(found.message.uid, |old| match change {
                Change::Add => old.with(flags),
                Change::Remove => old.without(flags),
                Change::Replace => flags,
            });
            found.message.flags = changed.unwrap_or(found.message.flags);
        }
        if up_to_date {
            self.change = mailbox.change;
        }
    }

    fn numbers(&self) -> impl Iterator<Item = (u32, u32)> {
        (1_u32..).zip(self.uids.iter().copied())
    }

    /// The UID that `*` means.
    pub(super) fn last_uid(&self) -> u32 {
        self.uids.last().copied().unwrap_or(0)
    }

    fn last_number(&self) -> u32 {
        u32::try_from(self.uids.len()).unwrap_or(u32::MAX)
    }
}
