//! The mail servers themselves.

use crate::support::*;

#[test]
fn the_servers_know_passwords_and_nothing_of_tokens() {
    let servers = Servers::start("");
    let (imap, pop3s, smtp, submission) = (
        servers.dovecot.imap.to_string(),
        servers.dovecot.pop3s.to_string(),
        servers.postfix.ports.submission.to_string(),
        servers.dovecot.submission.to_string(),
    );
    let ca = servers.folder.ca();
    let accounts = [ALICE, ALICE_PASSWORD, BOB, BOB_PASSWORD, MASTER, MASTER_PASSWORD];
    let mut arguments = vec![ca.to_str().unwrap(), &imap, &pop3s, &smtp, &submission];
    arguments.extend(accounts);
    python(&servers.folder, "directly.py", &arguments).ok();
}
