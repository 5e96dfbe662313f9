//! Connections that wait for a user behind TLS.

use std::time::Duration;

use super::{
    MASTER,
    groups::until_warm,
    servers::{Identity, behind_starttls, starttls_taken, to_starttls},
};
use crate::support::{ALICE, Act, Serve, Upstream, login_taken, taking, wait};

const PROTOCOLS: [&str; 4] = ["imap", "pop3", "smtp", "sieve"];

/// Schemes of `protocol`, and the scripts of servers that take any login there.
fn ways(protocol: &str, identity: &Identity) -> [(String, Vec<Act>); 2] {
    let implicit = [vec![identity.tls()], taking(protocol, Vec::new())].concat();
    let by_command =
        [to_starttls(protocol, starttls_taken(protocol)), vec![identity.tls()], behind_starttls(protocol)];
    [(format!("{protocol}s"), implicit), (format!("{protocol}+starttls"), by_command.concat())]
}

/// Bearward that keeps `warm` connections to the server.
fn serve(scheme: &str, upstream: &Upstream, warm: u8, identity: &Identity) -> Serve {
    let protocol = PROTOCOLS.iter().find(|protocol| scheme.starts_with(*protocol)).expect("a protocol");
    let port = upstream.port();
    Serve::start(&format!(
        "{protocol} = [\"{scheme}://127.0.0.1:{port}\"]\nwarm = {warm}\n{MASTER}{}",
        identity.trust
    ))
}

fn accepted(protocol: &str) -> &'static str {
    match protocol {
        "imap" => "a OK",
        "pop3" => "+OK",
        "sieve" => "OK",
        _ => "235 2.7.0",
    }
}

/// `AUTH…` of the login itself.
fn login_command(protocol: &str) -> &'static str {
    match protocol {
        "imap" => "L AUTHENTICATE PLAIN ",
        "sieve" => "AUTHENTICATE \"PLAIN\"",
        _ => "AUTH PLAIN ",
    }
}

/// Each sign-in has a connection of its own that was encrypted before its login, and no octet of another's.
#[test]
fn a_connection_that_waits_behind_tls_takes_one_login_and_nothing_of_another() {
    for protocol in PROTOCOLS {
        let identity = Identity::make();
        for (scheme, script) in ways(protocol, &identity) {
            let upstream = Upstream::start(script);
            let serve = serve(&scheme, &upstream, 1, &identity);
            let token = serve.token(ALICE);
            for number in 0..3 {
                until_warm(&serve, 1);
                let mut client = serve.sign_in(protocol, &token, "");
                client.until(accepted(protocol));
                let mark = match protocol {
                    "imap" => format!("x{number} NOOP"),
                    "sieve" => format!("HAVESPACE \"x{number}\" 1"),
                    _ => format!("NOOP x{number}"),
                };
                client.say(&mark);
                let text = upstream.got(&mark).text();
                assert_eq!(text.matches(login_command(protocol)).count(), 1, "{scheme}: {text}");
                for other in (0..3).filter(|other| *other != number) {
                    assert!(!text.contains(&format!("x{other}")), "{scheme}: {text}");
                }
            }
            assert_eq!(upstream.count(login_command(protocol)), 3, "{scheme}");
        }
    }
}

#[test]
fn a_server_that_cannot_prove_who_it_is_keeps_no_connection_waiting() {
    for protocol in PROTOCOLS {
        let (identity, other) = (Identity::make(), Identity::make());
        for (scheme, script) in ways(protocol, &identity) {
            let upstream = Upstream::start(script);
            let serve = serve(&scheme, &upstream, 1, &other);
            let token = serve.token(ALICE);
            let mut client = serve.sign_in(protocol, &token, "");
            let line = client.line();
            assert!(!line.starts_with(accepted(protocol)), "{scheme}: {line}");
            until_warm(&serve, 0);
            assert_eq!(upstream.count(login_command(protocol)), 0, "{scheme}");
        }
    }
}

/// A TLS connection that the server gave up while it waited is not used, and costs the client nothing.
#[test]
fn a_connection_that_died_behind_tls_is_not_used() {
    for protocol in PROTOCOLS {
        let identity = Identity::make();
        for (scheme, script) in ways(protocol, &identity) {
            // All but the waits for the login and its answer.
            let end = script.len() - login_taken(protocol).len() - 2;
            let dying = script
                .iter()
                .take(end)
                .cloned()
                .chain([Act::Pause(Duration::from_millis(300)), Act::Close])
                .collect();
            let upstream = Upstream::start(dying);
            let serve = serve(&scheme, &upstream, 1, &identity);
            let token = serve.token(ALICE);
            until_warm(&serve, 1);
            upstream.play(script.clone());
            wait(Duration::from_millis(500));
            let mut client = serve.sign_in(protocol, &token, "");
            client.until(accepted(protocol));
            assert_eq!(upstream.count(login_command(protocol)), 1, "{scheme}");
        }
    }
}
