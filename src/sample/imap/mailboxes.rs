//! Commands about mailboxes as wholes: LIST, STATUS, CREATE, DELETE, APPEND, NAMESPACE.

use super::{Reply, command::Mailboxes, fetch::nstring};
use crate::{
    model::UnixTime,
    sample::{
        mail::{Account, Boxes, Flags, Mailbox, Refused},
        wire::Wire,
    },
};

/// Carries out a command that needs a login and no selected mailbox.
pub(super) fn carry_out(wire: &mut Wire, account: &Account, command: Mailboxes) -> Reply {
    let outcome = match command {
        Mailboxes::Append { mailbox, flags, arrived, octets } => account
            .append(&mailbox, octets, flags, arrived.unwrap_or_else(UnixTime::now))
            .map(|(validity, uid)| format!("[APPENDUID {validity} {uid}] Appended"))
            .map_err(|refused| refusal(refused, true)),
        Mailboxes::Create(name) => account
            .change(|boxes| boxes.create(name.trim_end_matches('/')))
            .map(|()| "Created".to_owned())
            .map_err(|refused| refusal(refused, false)),
        Mailboxes::Delete(name) => account
            .change(|boxes| boxes.delete(&name))
            .map(|()| "Deleted".to_owned())
            .map_err(|refused| refusal(refused, false)),
        Mailboxes::List { subscribed, reference, pattern } => {
            wire.say(&account.with(|boxes| list(boxes, subscribed, &reference, &pattern)));
            Ok("Listed".to_owned())
        }
        Mailboxes::Namespace => {
            wire.say("* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n");
            Ok("Named".to_owned())
        }
        Mailboxes::Status { mailbox, items } => status(wire, account, &mailbox, &items),
        Mailboxes::Subscribe => Ok("Subscribed".to_owned()),
    };
    outcome.map_or_else(|reply| reply, Reply::Ok)
}

/// What a refused change is called. `creatable`: the client may create the mailbox and try again.
pub(super) fn refusal(refused: Refused, creatable: bool) -> Reply {
    Reply::No(match refused {
        Refused::AlreadyExists => "[ALREADYEXISTS] There is such a mailbox",
        Refused::NoMailbox if creatable => "[TRYCREATE] No such mailbox",
        Refused::NoMailbox => "[NONEXISTENT] No such mailbox",
        Refused::NotAllowed => "[CANNOT] Not with that name",
        Refused::OverQuota => "[OVERQUOTA] Too large or too many",
    })
}

fn list(boxes: &Boxes, subscribed: bool, reference: &str, pattern: &str) -> String {
    let word = if subscribed { "LSUB" } else { "LIST" };
    if pattern.is_empty() {
        return format!("* {word} (\\Noselect) \"/\" \"\"\r\n");
    }
    let pattern = format!("{reference}{pattern}");
    let shown = boxes.iter().filter(|(name, _)| matches(pattern.as_bytes(), name.as_bytes()));
    shown
        .map(|(name, mailbox)| {
            let name = nstring(Some(name.as_bytes()));
            let purpose = if subscribed { "" } else { mailbox.purpose };
            format!("* {word} ({purpose}) \"/\" {}\r\n", String::from_utf8_lossy(&name))
        })
        .collect()
}

fn status(wire: &mut Wire, account: &Account, name: &str, items: &[String]) -> Result<String, Reply> {
    let told = account.with(|boxes| {
        let mailbox = boxes.get(name).ok_or_else(|| refusal(Refused::NoMailbox, false))?;
        let values: Option<Vec<_>> =
            items.iter().map(|item| Some(format!("{item} {}", status_of(mailbox, item)?))).collect();
        values.map(|values| values.join(" ")).ok_or(Reply::Bad("No such STATUS item"))
    })?;
    let name = nstring(Some(name.as_bytes()));
    wire.say(&format!("* STATUS {} ({told})\r\n", String::from_utf8_lossy(&name)));
    Ok("Counted".to_owned())
}

fn status_of(mailbox: &Mailbox, item: &str) -> Option<u64> {
    let unseen = || mailbox.messages.iter().filter(|message| !message.flags.contains(Flags::SEEN)).count();
    Some(match item {
        "MESSAGES" => mailbox.messages.len() as u64,
        "RECENT" => 0,
        "UIDNEXT" => mailbox.uid_next.into(),
        "UIDVALIDITY" => mailbox.uid_validity.into(),
        "UNSEEN" => unseen() as u64,
        _ => return None,
    })
}

/// LIST's wildcards: `*` stands for anything, `%` for anything without a `/`. Every place of the name
/// is followed at once, so the time is bounded by pattern times name.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    // `reached[i]`: the pattern so far matches the first `i` octets of the name.
    let mut reached = vec![false; name.len() + 1];
    if let Some(first) = reached.first_mut() {
        *first = true;
    }
    for &octet in pattern {
        let mut next = Vec::with_capacity(reached.len());
        for (index, &here) in reached.iter().enumerate() {
            let before = index.checked_sub(1).and_then(|index| name.get(index)).copied();
            let ok = match octet {
                b'*' => here || next.last().copied().unwrap_or(false),
                b'%' => here || (next.last().copied().unwrap_or(false) && before != Some(b'/')),
                _ => {
                    let came = index.checked_sub(1).and_then(|index| reached.get(index)).copied();
                    came.unwrap_or(false) && before.is_some_and(|before| same(octet, before, name))
                }
            };
            next.push(ok);
        }
        reached = next;
    }
    reached.last().copied().unwrap_or(false)
}

/// INBOX is matched in any case, other names in their own.
fn same(pattern: u8, octet: u8, name: &[u8]) -> bool {
    pattern == octet || (name == b"INBOX" && pattern.eq_ignore_ascii_case(&octet))
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_percent_stops_at_the_separator_and_a_star_does_not() {
        for (pattern, name) in
            [("*", "a/b"), ("%", "a"), ("a/%", "a/b"), ("in%x", "INBOX"), ("%b*", "ab/c"), ("", "")]
        {
            assert!(matches(pattern.as_bytes(), name.as_bytes()), "{pattern} {name}");
        }
        for (pattern, name) in [("%", "a/b"), ("a", "A"), ("a%", "a/b"), ("", "a"), ("*c", "ab")] {
            assert!(!matches(pattern.as_bytes(), name.as_bytes()), "{pattern} {name}");
        }
    }

    #[test]
    fn many_wildcards_take_no_long_time() {
        assert!(!matches(format!("{}x", "*a".repeat(2000)).as_bytes(), "a".repeat(128).as_bytes()));
    }
}
