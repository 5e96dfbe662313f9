//! Mail servers that mean harm, or have lost their mind: no sign-in waits longer than the backend's timeout, no password
//! is given away, and the next sign-in finds everything as it was.

use std::{
    io::Write as _,
    net::TcpListener,
    thread,
    time::{Duration, Instant},
};

use super::{MASTER, PROTOCOLS, accepted, scene, temporary};
use crate::support::{ALICE, Act, Serve, before_login, send, taking, wait};

const QUICK: &str = "timeout = \"1s\"\n";

/// Greetings and replies that no sane server sends; none of them may look like a login.
fn madness(protocol: &str) -> Vec<String> {
    let (line, untagged) = match protocol {
        "imap" => ("* OK ", "* 1 EXISTS\r\n"),
        "pop3" => ("+OK ", "+OK\r\n"),
        _ => ("220-", "220-again\r\n"),
    };
    let mut all = vec![
        format!("{line}{}", "x".repeat(1 << 20)),
        untagged.repeat(100_000),
        format!("{line}a\0b\r\n"),
        format!("{line}a\rb\r\n"),
        format!("{line}a\n"),
        "\r\n".repeat(1000),
        "\u{ff}\u{fe}\r\n".into(),
        "HTTP/1.1 400 Bad Request\r\n\r\n".into(),
    ];
    if protocol == "imap" {
        all.extend([
            "* OK {99999999999}\r\n".into(),
            "* X {60000}\r\n".into(),
            "* X {4294967296}\r\n".into(),
        ]);
    }
    all
}

#[test]
fn madness_ends_a_sign_in_as_temporary_within_the_timeout() {
    for protocol in PROTOCOLS {
        let (upstream, serve) = scene(protocol, &format!("{QUICK}{MASTER}"), vec![Act::Close]);
        let token = serve.token(ALICE);
        for text in madness(protocol) {
            for before in [Vec::new(), before_login(protocol)] {
                // As an answer to the login this is a plain yes.
                if !before.is_empty() && text.starts_with("+OK\r\n") {
                    continue;
                }
                upstream.play([before, vec![send(&text)]].concat());
                let started = Instant::now();
                let mut client = serve.sign_in(protocol, &token, "");
                client.expect(temporary(protocol));
                assert!(started.elapsed() < Duration::from_secs(4), "{:?}", text.get(..20));
            }
        }
        upstream.play(taking(protocol, Vec::new()));
        serve.sign_in(protocol, &token, "").expect(accepted(protocol));
    }
}

#[test]
fn a_server_that_hangs_up_at_any_step_is_temporary() {
    for protocol in PROTOCOLS {
        let (upstream, serve) = scene(protocol, MASTER, vec![Act::Close]);
        let token = serve.token(ALICE);
        let whole = before_login(protocol);
        for step in 0..=whole.len() {
            let script = whole.iter().take(step).cloned().chain([Act::Close]).collect();
            upstream.play(script);
            serve.sign_in(protocol, &token, "").expect(temporary(protocol));
        }
    }
}

#[test]
fn a_trickle_of_octets_buys_no_time() {
    for protocol in PROTOCOLS {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                thread::spawn(move || {
                    let mut connection = connection;
                    while connection.write_all(b"+").is_ok() {
                        wait(Duration::from_millis(50));
                    }
                });
            }
        });
        let serve =
            Serve::start(&format!("{protocol} = [\"{protocol}://127.0.0.1:{port}\"]\n{QUICK}{MASTER}"));
        let token = serve.token(ALICE);
        let started = Instant::now();
        serve.sign_in(protocol, &token, "").expect(temporary(protocol));
        assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    }
}
