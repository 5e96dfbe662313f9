//! Bearward in front of mail servers that know no protocol: every octet toward them, and what each of their answers
//! becomes for the client and for the operator.

mod exchange;
mod failures;
mod groups;
mod hostile;
mod introductions;
mod logins;
mod loops;
mod mechanisms;
mod servers;
mod strategies;
mod warm;

use crate::support::{Act, Serve, Upstream};

const PROTOCOLS: [&str; 3] = ["imap", "pop3", "smtp"];
const PASSWORD: &str = "upstream-secret";
pub(crate) const MASTER: &str =
    "login = \"master\"\n[backend.main.master]\nuser = \"proxy\"\npassword = \"upstream-secret\"\n";
const AUTHZID: &str =
    "login = \"authzid\"\n[backend.main.master]\nuser = \"proxy\"\npassword = \"upstream-secret\"\n";

/// One mail server of `protocol` in clear, and the lines that say so.
fn one(protocol: &str, upstream: &Upstream, more: &str) -> String {
    format!("{protocol} = [\"{protocol}://127.0.0.1:{}\"]\n{more}", upstream.port())
}

/// Bearward in front of a mail server that plays `script` after the start.
pub(crate) fn scene(protocol: &str, more: &str, script: Vec<Act>) -> (Upstream, Serve) {
    let upstream = Upstream::start(vec![Act::Close]);
    let serve = Serve::start(&one(protocol, &upstream, more));
    upstream.play(script);
    (upstream, serve)
}

/// The first line of a success.
fn accepted(protocol: &str) -> &'static str {
    match protocol {
        "imap" => "a OK",
        "pop3" => "+OK",
        _ => "235 2.7.0",
    }
}

fn temporary(protocol: &str) -> &'static str {
    match protocol {
        "imap" => "a NO [UNAVAILABLE]",
        "pop3" => "-ERR [SYS/TEMP]",
        _ => "454 4.7.0",
    }
}

/// The answer to the operator's fault: it must spoil no token either.
fn needs_operator(protocol: &str) -> &'static str {
    match protocol {
        "imap" => "a NO [CONTACTADMIN]",
        "pop3" => "-ERR [SYS/PERM]",
        _ => "454 4.7.0",
    }
}
