//! The messages that a mailbox of the sample server begins with.

use super::date;
use crate::model::{Login, UnixTime};

/// Three messages for `owner`, written as if `now` were the time; `everybody` can be written to.
pub(super) fn messages(owner: &Login, everybody: &[Login], now: UnixTime) -> [Vec<u8>; 3] {
    let date = date::header(now);
    let from = "Sample Server <postmaster@example.org>";
    let head = |number: u8, subject: &str| {
        format!(
            "From: {from}\r\nTo: <{owner}>\r\nSubject: {subject}\r\nDate: {date}\r\nMessage-ID: <sample-{number}.{local}@example.org>\r\nMIME-Version: 1.0\r\n",
            local = owner.local(),
        )
    };
    let plain = "Content-Type: text/plain; charset=utf-8\r\n\r\n";
    let others: Vec<_> = everybody.iter().filter(|login| *login != owner).map(Login::as_str).collect();
    let other = others.first().copied().unwrap_or(owner.as_str());
    [
        format!(
            "{}{plain}You are reading this mailbox with an access token.\r\n\r\nThe server that keeps it knows passwords only; the proxy in front of it\r\nchecked the token and logged in for you.\r\n",
            head(1, "It works"),
        ),
        format!(
            "{}{plain}Send a message to {other}: it arrives there at once, and a client that\r\nidles is told.\r\n",
            head(2, "Try to send"),
        ),
        format!(
            "{}Content-Type: multipart/mixed; boundary=\"part\"\r\n\r\n--part\r\n{plain}This message has an attachment.\r\n--part\r\nContent-Type: text/csv; name=\"numbers.csv\"\r\nContent-Disposition: attachment; filename=\"numbers.csv\"\r\nContent-Transfer-Encoding: base64\r\n\r\nb25lLHR3bw0KMSwyDQo=\r\n--part--\r\n",
            head(3, "With an attachment"),
        ),
    ]
    .map(String::into_bytes)
}
