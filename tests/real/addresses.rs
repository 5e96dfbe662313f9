//! The mail server learns where the client is, where it trusts Bearward to say so.

use crate::support::*;

/// Where the client of these tests comes from.
const CLIENT: &str = "127.0.0.5";

fn sign_in_from_elsewhere(servers: &Servers, bearward: &Bearward) {
    let ca = servers.folder.ca();
    let ports =
        [bearward.target.imaps, bearward.target.pop3s, bearward.target.smtps].map(|port| port.to_string());
    let token = bearward.token(ALICE);
    let mut arguments = vec![ca.to_str().unwrap()];
    arguments.extend(ports.iter().map(String::as_str));
    arguments.extend([ALICE, token.as_str(), CLIENT, BOB]);
    python(&servers.folder, "from_elsewhere.py", &arguments).ok();
}

/// Each server's log names the client's address beside the user's login.
fn addresses_are_logged(servers: &Servers) {
    let found =
        |log: String, words: &[&str]| log.lines().any(|line| words.iter().all(|word| line.contains(word)));
    let (user, rip) = (format!("user=<{ALICE}>"), format!("rip={CLIENT}"));
    for service in ["imap-login", "pop3-login"] {
        eventually(service, || found(servers.dovecot.log(), &[service, "Login", &user, &rip]).then_some(()));
    }
    let (client, login) = (format!("[{CLIENT}]"), format!("sasl_username={ALICE}"));
    eventually("postfix", || found(servers.postfix.log(), &["client=", &client, &login]).then_some(()));
}

#[test]
fn the_clients_address_arrives_by_id_and_xclient() {
    let servers = Servers::start("127.0.0.1");
    let bearward = Bearward::start(&servers, Login::Sealed);
    sign_in_from_elsewhere(&servers, &bearward);
    addresses_are_logged(&servers);
}

#[test]
fn the_clients_address_arrives_by_proxy_header() {
    let servers = Servers::start("");
    let backend = Backend {
        imap: format!("imap://127.0.0.1:{}", servers.dovecot.imap_behind_proxy),
        pop3: format!("pop3://127.0.0.1:{}", servers.dovecot.pop3_behind_proxy),
        smtp: format!("smtp+starttls://localhost:{}", servers.postfix.ports.behind_proxy),
        more: "proxy_protocol = \"v2\"\nxclient = \"off\"\nimap_id = false",
    };
    let bearward = Bearward::start_with(&servers.folder, Login::Master, &backend, "info");
    sign_in_from_elsewhere(&servers, &bearward);
    addresses_are_logged(&servers);
}
