//! What a stranger, or a hostile user, does to a running server with raw sockets.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use socket2::{Domain, Socket, Type};

use crate::support::{Client, Trial, base64, oauthbearer, wait};

const ALICE: &str = "alice@example.org";

/// A connection whose system keeps little of what it does not read.
fn deaf(port: u16) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(2048).unwrap();
    socket.connect(&SocketAddr::from(([127, 0, 0, 1], port)).into()).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket.into()
}

/// Sends without pause to all of `clients`, reading nothing, until none takes anything for half a second.
fn flood(clients: &mut [TcpStream], octets: &[u8]) {
    let mut moved = Instant::now();
    while moved.elapsed() < Duration::from_millis(500) {
        for client in &mut *clients {
            let sent = client
                .write(octets)
                .or_else(|error| if error.kind() == ErrorKind::WouldBlock { Ok(0) } else { Err(error) });
            if sent.unwrap() > 0 {
                moved = Instant::now();
            }
        }
        wait(Duration::from_millis(1));
    }
}

#[test]
fn strangers_that_pipeline_and_never_read_make_the_server_keep_little() {
    let trial = Trial::start();
    let before = trial.resident();
    // The answer is some twenty times as long as the command.
    let command = b"CAPA\r\n".repeat(10_000);
    let mut clients: Vec<TcpStream> = (0..24).map(|_| deaf(trial.port("pop3"))).collect();
    flood(&mut clients, &command);
    let each = trial.resident().saturating_sub(before) / clients.len();
    assert!(each < 160, "{each} KiB for each connection");
}

#[test]
fn a_stranger_that_never_pauses_is_cut_off_like_a_silent_one() {
    let trial = Trial::start_with(&[("BEARWARD_LIMITS__PRE_AUTH_TIMEOUT", "1s")]);
    let started = Instant::now();
    // Enough of them that there always is something to be read.
    let strangers: Vec<_> =
        (0..8).map(|_| TcpStream::connect(("127.0.0.1", trial.port("imap"))).unwrap()).collect();
    let floods = strangers.into_iter().map(|mut writer| {
        let mut reader = writer.try_clone().unwrap();
        let reading =
            std::thread::spawn(move || while reader.read(&mut [0; 65536]).is_ok_and(|read| read > 0) {});
        std::thread::spawn(move || {
            let commands = b"a NOOP\r\n".repeat(8000);
            while writer.write_all(&commands).is_ok() && started.elapsed() < Duration::from_secs(10) {}
            reading.join().unwrap();
            started.elapsed()
        })
    });
    for flood in floods.collect::<Vec<_>>() {
        let lived = flood.join().unwrap();
        // A second to sign in, and one for the last words.
        assert!(lived < Duration::from_secs(4), "{lived:?}");
    }
}

#[test]
fn strangers_beyond_the_limit_hold_nothing_however_long_they_stay() {
    let trial = Trial::start_with(&[("BEARWARD_LIMITS__PER_IP", "2")]);
    let mut within: Vec<Client> = (0..2).map(|_| Client::clear(trial.port("imap"))).collect();
    within.iter_mut().for_each(|client| drop(client.expect("* OK ")));
    let before = trial.descriptors();
    let beyond: Vec<Client> = (0..200)
        .map(|_| {
            let mut client = Client::clear(trial.port("imap"));
            client.expect("* BYE ");
            client
        })
        .collect();
    let held = trial.descriptors().saturating_sub(before);
    assert!(held < 20, "{held} of {}", beyond.len());
}

#[test]
fn a_session_that_sends_and_never_reads_is_killed_at_once() {
    let trial = Trial::start();
    let mut client = Client::tls(trial.port("imaps"), trial.ca());
    client.expect("* OK ");
    client.say(&format!("a AUTHENTICATE OAUTHBEARER {}", oauthbearer(ALICE, trial.token())));
    client.until("a OK");
    let sending = std::thread::spawn(move || {
        let commands = b"b CAPABILITY\r\n".repeat(1000);
        while client.try_send(&commands) {}
    });
    wait(Duration::from_millis(1500));
    let sessions = || -> Vec<serde_json::Value> {
        serde_json::from_str(&trial.succeed(&["session", "list", "--json"], None)).unwrap()
    };
    let name = sessions().first().and_then(|session| session["session"].as_str().map(str::to_owned)).unwrap();
    trial.succeed(&["session", "kill", &name], None);
    let killed = Instant::now();
    while !sessions().is_empty() {
        assert!(killed.elapsed() < Duration::from_secs(1), "it lives on");
        wait(Duration::from_millis(50));
    }
    sending.join().unwrap();
}

#[test]
fn what_strangers_send_writes_no_line_and_no_control_into_the_log() {
    let trial = Trial::start();
    for port in ["imap", "smtp", "pop3", "imaps", "https"] {
        let mut stranger = TcpStream::connect(("127.0.0.1", trial.port(port))).unwrap();
        for _ in 0..12 {
            let _ = stranger.write_all(b"\x1b[2K\xff\xfe INFO forged\r\n");
        }
        let _ = stranger.shutdown(std::net::Shutdown::Write);
        let _ = stranger.read_to_end(&mut Vec::new());
    }
    let mut client = Client::tls(trial.port("smtps"), trial.ca());
    client.say("EHLO \u{1b}[2K");
    client.say("EHLO evil");
    let evil = base64("user=evil\u{202e}\u{2028}x\x01auth=Bearer \u{1b}[2K\x01\x01");
    client.say(&format!("AUTH XOAUTH2 {evil}"));
    client.say("");
    let evil = base64("user=evil\u{202e}\u{200b}x\x01auth=Bearer nonsense\x01\x01");
    client.say(&format!("AUTH XOAUTH2 {evil}"));
    client.say("");
    client.say("QUIT");
    client.until("221");
    let log = trial.wait_for_log(&["sign-in", "invalid_token", "evil"]) + &trial.log();
    let bad = |c: char| (c.is_control() && c != '\n') || matches!(c, '\u{202e}' | '\u{2028}' | '\u{200b}');
    assert!(!log.contains(bad), "{log:?}");
    assert!(!log.contains("forged") && !log.contains("nonsense"), "{log}");
}
