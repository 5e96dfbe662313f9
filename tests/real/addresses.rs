//! The mail server learns where the client is, where it trusts Bearward to say so.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

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

/// What Dovecot answers to a clear IMAP login behind this header.
fn answer_behind(servers: &Servers, header: &str) -> String {
    let mut tcp = TcpStream::connect(("127.0.0.1", servers.dovecot.imap_behind_proxy)).unwrap();
    tcp.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(tcp, "{header}a LOGIN {ALICE} {ALICE_PASSWORD}\r\n").unwrap();
    let lines = BufReader::new(tcp).lines().map_while(Result::ok);
    lines.into_iter().find(|line| line.starts_with("a ")).unwrap_or_default()
}

#[test]
fn dovecot_takes_a_password_in_clear_where_the_proxy_header_says_that_the_client_came_by_tls() {
    let servers = Servers::taking(Taking::PasswordsInTls, "");
    let untold = answer_behind(&servers, &format!("PROXY TCP4 {CLIENT} 127.0.0.7 4711 143\r\n"));
    assert!(untold.starts_with("a NO [PRIVACYREQUIRED]"), "{untold}");
    let bearward = Bearward::start_with(&servers.folder, Login::Sealed, &behind_proxy(&servers), "info");
    sign_in_from_elsewhere(&servers, &bearward);
    addresses_are_logged(&servers);
    let (user, rip) = (format!("user=<{ALICE}>"), format!("rip={CLIENT}"));
    for service in ["imap-login", "pop3-login"] {
        // What is encrypted only before Dovecot is `secured` in its log; the refused login above is not.
        let words = [service, "Login: ", &user, &rip, ", secured"];
        let log = servers.dovecot.log();
        let found = log.lines().any(|line| words.iter().all(|word| line.contains(word)));
        assert!(found, "{service} in {log}");
    }
}

/// How many connections wait at each server.
fn waiting(bearward: &Bearward) -> Vec<u64> {
    let listed: serde_json::Value =
        serde_json::from_str(&bearward.command(&["backend", "list", "--json"], "")).unwrap();
    listed.as_array().unwrap().iter().map(|info| info["warm"].as_u64().unwrap()).collect()
}

#[test]
fn the_clients_address_arrives_on_connections_that_have_waited_for_it() {
    let servers = Servers::start("127.0.0.1");
    let backend = Backend { more: "warm = 1", ..Backend::encrypted(&servers) };
    let bearward = Bearward::start_with(&servers.folder, Login::Master, &backend, "info");
    for _ in 0..2 {
        eventually("a connection that waits at each server", || {
            waiting(&bearward).iter().all(|count| *count == 1).then_some(())
        });
        sign_in_from_elsewhere(&servers, &bearward);
    }
    addresses_are_logged(&servers);
    let (user, rip) = (format!("user=<{ALICE}>"), format!("rip={CLIENT}"));
    let log = servers.dovecot.log();
    for service in ["imap-login", "pop3-login"] {
        let of_alice =
            log.lines().filter(|line| [service, "Login", &user].iter().all(|word| line.contains(word)));
        let all: Vec<&str> = of_alice.collect();
        assert!(
            all.len() >= 2 && all.iter().all(|line| line.contains(&rip) && line.contains(", TLS")),
            "{all:#?}"
        );
    }
}
