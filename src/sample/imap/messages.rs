//! Commands about the messages of the selected mailbox.

use std::io;

use super::{
    Reply, Session,
    command::Change,
    cursor::{Span, covers},
    done, fetch,
    item::Item,
    mailboxes,
    search::Key,
    view::Numbered,
};
use crate::sample::mail::{Account, Flags, Refused};

impl Session {
    pub(super) async fn fetch(
        &mut self,
        account: &Account,
        uid: bool,
        set: &[Span],
        mut items: Vec<Item>,
    ) -> io::Result<Reply> {
        let Some(view) = &mut self.view else { return Ok(Reply::Bad("Select a mailbox first")) };
        if uid && !items.iter().any(|item| matches!(item, Item::Uid)) {
            items.insert(0, Item::Uid);
        }
        let mut picked = account.with(|boxes| view.pick(boxes, uid, set));
        if fetch::marks_seen(&items) && !view.read_only {
            let unseen = picked.iter().any(|found| !found.message.flags.contains(Flags::SEEN));
            if unseen {
                account.change(|boxes| view.store(boxes, &mut picked, Change::Add, Flags::SEEN));
                items.push(Item::Flags);
            }
        }
        for found in picked {
            for piece in fetch::answer(found.number, &found.message, &items) {
                self.wire.send(&piece).await?;
            }
        }
        if uid {
            self.catch_up();
        }
        Ok(done("Fetched"))
    }

    pub(super) fn search(&mut self, account: &Account, uid: bool, key: &Key) -> Reply {
        let Some(view) = &self.view else { return Reply::Bad("Select a mailbox first") };
        let everything = [(Some(1), None)];
        let messages = account.with(|boxes| view.pick(boxes, false, &everything));
        let found: String =
            view.search(&messages, uid, key).iter().map(|number| format!(" {number}")).collect();
        self.wire.say(&format!("* SEARCH{found}\r\n"));
        done("Searched")
    }

    pub(super) fn store(
        &mut self,
        account: &Account,
        uid: bool,
        set: &[Span],
        change: Change,
        silent: bool,
        flags: Flags,
    ) -> Reply {
        let Some(view) = &mut self.view else { return Reply::Bad("Select a mailbox first") };
        if view.read_only {
            return Reply::No("[CANNOT] The mailbox is open for reading only");
        }
        let picked = account.change(|boxes| {
            let mut picked = view.pick(boxes, uid, set);
            view.store(boxes, &mut picked, change, flags);
            picked
        });
        if !silent {
            for found in picked {
                let uid = if uid { format!(" UID {}", found.message.uid) } else { String::new() };
                let told = format!("* {} FETCH (FLAGS {}{uid})\r\n", found.number, found.message.flags);
                self.wire.say(&told);
            }
        }
        done("Stored")
    }

    pub(super) fn copy(&mut self, account: &Account, uid: bool, set: &[Span], mailbox: &str) -> Reply {
        let Some(view) = &self.view else { return Reply::Bad("Select a mailbox first") };
        let outcome = account.change(|boxes| {
            let validity = boxes.get(mailbox).ok_or(Refused::NoMailbox)?.uid_validity;
            let (mut from, mut to) = (Vec::new(), Vec::new());
            for Numbered { message, .. } in view.pick(boxes, uid, set) {
                from.push(message.uid.to_string());
                to.push(boxes.append(mailbox, message.octets, message.flags, message.arrived)?.1.to_string());
            }
            Ok((validity, from, to))
        });
        self.catch_up();
        match outcome {
            Ok((_, from, _)) if from.is_empty() => done("Nothing to copy"),
            Ok((validity, from, to)) => {
                Reply::Ok(format!("[COPYUID {validity} {} {}] Copied", from.join(","), to.join(",")))
            }
            Err(refused) => mailboxes::refusal(refused, true),
        }
    }

    /// Removes what is marked as deleted, or with `only` such of it as is in that set of UIDs (RFC 4315 §2.1).
    pub(super) fn expunge(&mut self, account: &Account, only: Option<&[Span]>) -> Reply {
        match &self.view {
            None => return Reply::Bad("Select a mailbox first"),
            Some(view) if view.read_only => {
                return Reply::No("[CANNOT] The mailbox is open for reading only");
            }
            Some(view) => account.change(|boxes| {
                boxes.expunge(&view.mailbox, |message| {
                    let named = only.is_none_or(|set| covers(set, message.uid, view.last_uid()));
                    named && message.flags.contains(Flags::DELETED)
                });
            }),
        }
        self.catch_up();
        done("Expunged")
    }

    pub(super) fn close(&mut self, account: &Account, expunge: bool) -> Reply {
        let Some(view) = self.view.take() else { return Reply::Bad("Select a mailbox first") };
        if expunge && !view.read_only {
            account.change(|boxes| {
                boxes.expunge(&view.mailbox, |message| message.flags.contains(Flags::DELETED));
            });
        }
        done("Closed")
    }
}
