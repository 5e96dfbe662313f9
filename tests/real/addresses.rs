//! The mail server learns where the client is, where it trusts Bearward to say so.

use std::time::{Duration, Instant};

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

/// Dovecot and Postfix behind PROXY headers.
fn behind_proxy(servers: &Servers) -> Backend {
    Backend {
        imap: format!("imap://127.0.0.1:{}", servers.dovecot.imap_behind_proxy),
        pop3: format!("pop3://127.0.0.1:{}", servers.dovecot.pop3_behind_proxy),
        smtp: format!("smtp+starttls://localhost:{}", servers.postfix.ports.behind_proxy),
        sieve: String::new(),
        more: "proxy_protocol = \"v2\"\nxclient = \"off\"\nimap_id = false",
        hostname: None,
    }
}

#[test]
fn the_clients_address_arrives_by_proxy_header() {
    let servers = Servers::start("");
    let bearward = Bearward::start_with(&servers.folder, Login::Master, &behind_proxy(&servers), "info");
    sign_in_from_elsewhere(&servers, &bearward);
    addresses_are_logged(&servers);
}

/// How long an IMAP sign-in of `user` from `address` takes that ends in this way.
fn sign_in_takes(
    bearward: &Bearward,
    servers: &Servers,
    user: &str,
    address: &str,
    goes_well: bool,
) -> Duration {
    let (ca, token) = (servers.folder.ca(), bearward.token(user));
    let (url, login) = (format!("imaps://localhost:{}", bearward.target.imaps), format!("{user}:"));
    let arguments = [
        "-sS",
        "-v",
        "--interface",
        address,
        "--cacert",
        ca.to_str().unwrap(),
        "--oauth2-bearer",
        &token,
        "-u",
        &login,
        &url,
    ];
    let began = Instant::now();
    let outcome = run(&servers.folder, "curl", &arguments, None);
    let took = began.elapsed();
    if goes_well {
        outcome.ok();
    } else {
        outcome.refused();
    }
    took
}

#[test]
fn the_mail_servers_penalty_is_the_clients_own() {
    let servers = Servers::start("");
    let bearward = Bearward::start_with(&servers.folder, Login::Kept, &behind_proxy(&servers), "info");
    bearward.keep(ALICE, ALICE_PASSWORD);
    bearward.keep(BOB, "not Bob's");
    for _ in 0..3 {
        sign_in_takes(&bearward, &servers, BOB, "127.0.0.5", false);
    }
    let [punished, other] =
        ["127.0.0.5", "127.0.0.6"].map(|address| sign_in_takes(&bearward, &servers, ALICE, address, true));
    assert!(punished > Duration::from_secs(3), "Dovecot punished nobody: {punished:?}");
    assert!(other < Duration::from_secs(2), "another client waited {other:?}");
}
