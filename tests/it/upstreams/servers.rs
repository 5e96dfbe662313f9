//! Servers that encrypt, servers that cannot prove who they are, and several servers of one backend.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bearward::{model::UnixTime, tls::dev};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use super::{MASTER, PROTOCOLS, accepted, needs_operator, temporary};
use crate::support::{ALICE, Act, Serve, Upstream, before_login, login_taken, send, taking, until, wait};

/// A certificate for localhost, and the lines of `[backend.main.tls]` that trust it.
pub(super) struct Identity {
    _folder: tempfile::TempDir,
    config: Arc<ServerConfig>,
    pub(super) trust: String,
}

impl Identity {
    pub(super) fn make() -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        let files = dev::ensure(folder.path(), "localhost", UnixTime::now()).expect("certificates");
        let chain = CertificateDer::pem_file_iter(&files.server.certificate)
            .expect("chain")
            .collect::<Result<Vec<_>, _>>()
            .expect("certificates");
        let key = PrivateKeyDer::from_pem_file(files.server.private_key.expect("a key")).expect("key");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("usable");
        let trust = format!("[backend.main.tls]\nca = \"{}\"\n", files.ca.display());
        Self { _folder: folder, config: Arc::new(config), trust }
    }

    pub(super) fn tls(&self) -> Act {
        Act::Tls(Arc::clone(&self.config))
    }
}

/// Bearward in front of one server whose scheme is `scheme`, and the answer to a sign-in there.
fn answer(protocol: &str, scheme: &str, more: &str, script: Vec<Act>) -> (Upstream, Serve, String) {
    let upstream = Upstream::start(script);
    let port = upstream.port();
    let serve = Serve::start(&format!("{protocol} = [\"{scheme}://127.0.0.1:{port}\"]\n{more}"));
    let mut client = serve.sign_in(protocol, &serve.token(ALICE), "NOOP\r\n");
    let line = client.line();
    let line = if line.starts_with("* ") { client.line() } else { line };
    if line.starts_with(accepted(protocol)) {
        upstream.got("NOOP\r\n");
    }
    (upstream, serve, line)
}

/// The way to STARTTLS in clear; what the server says to the command is `said`.
pub(super) fn to_starttls(protocol: &str, said: &str) -> Vec<Act> {
    match protocol {
        "imap" => vec![
            send("* OK [CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED] hello\r\n"),
            until("S STARTTLS\r\n"),
            send(said),
        ],
        "pop3" => vec![send("+OK hello\r\n"), until("STLS\r\n"), send(said)],
        "sieve" => vec![
            send("\"SIEVE\" \"fileinto\"\r\n\"SASL\" \"\"\r\n\"STARTTLS\"\r\nOK\r\n"),
            until("STARTTLS\r\n"),
            send(said),
        ],
        _ => vec![
            send("220 hello\r\n"),
            until("EHLO "),
            until("\r\n"),
            send("250-hello\r\n250 STARTTLS\r\n"),
            until("STARTTLS\r\n"),
            send(said),
        ],
    }
}

pub(super) fn starttls_taken(protocol: &str) -> &'static str {
    match protocol {
        "imap" => "S OK go\r\n",
        "pop3" => "+OK go\r\n",
        "sieve" => "OK \"go\"\r\n",
        _ => "220 go\r\n",
    }
}

/// The login on the far side of STARTTLS, where there is no greeting but ManageSieve's.
pub(super) fn behind_starttls(protocol: &str) -> Vec<Act> {
    let mut script = before_login(protocol);
    if protocol == "imap" {
        script[0] = send("* CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN\r\nC OK\r\n");
        script.insert(0, until("C CAPABILITY\r\n"));
    } else if protocol != "sieve" {
        script.remove(0);
    }
    [script, login_taken(protocol)].concat()
}

#[test]
fn starttls_is_done_before_the_login_and_tls_from_the_first_octet_too() {
    for protocol in PROTOCOLS {
        let identity = Identity::make();
        let more = format!("{MASTER}{}", identity.trust);
        let script = [
            to_starttls(protocol, starttls_taken(protocol)),
            vec![identity.tls()],
            behind_starttls(protocol),
        ];
        let scheme = format!("{protocol}+starttls");
        let (_, _, line) = answer(protocol, &scheme, &more, script.concat());
        assert!(line.starts_with(accepted(protocol)), "{line}");
        let script = [vec![identity.tls()], taking(protocol, Vec::new())].concat();
        let (_, _, line) = answer(protocol, &format!("{protocol}s"), &more, script);
        assert!(line.starts_with(accepted(protocol)), "{line}");
    }
}

#[test]
fn a_stripped_starttls_is_the_operators_fault_and_no_password_is_sent() {
    for (protocol, refused) in [("imap", "S NO no\r\n"), ("pop3", "-ERR no\r\n")] {
        let script = to_starttls(protocol, refused);
        let (upstream, serve, line) = answer(protocol, &format!("{protocol}+starttls"), MASTER, script);
        assert!(line.starts_with(needs_operator(protocol)), "{line}");
        serve.wait_for_log(&["ERROR", "the operator must act"]);
        assert!(
            !upstream.ended(if protocol == "imap" { "STARTTLS" } else { "STLS" }).text().contains("AUTH")
        );
    }
    for (protocol, script) in [("imap", before_login("imap")), ("smtp", before_login("smtp"))] {
        let (upstream, _, line) = answer(protocol, &format!("{protocol}+starttls"), MASTER, script);
        assert!(line.starts_with(needs_operator(protocol)), "{line}");
        assert!(!upstream.ended("").text().contains("AUTH"));
    }
}

#[test]
fn octets_injected_behind_the_answer_to_starttls_end_the_login() {
    for protocol in PROTOCOLS {
        let identity = Identity::make();
        let more = format!("{MASTER}{}", identity.trust);
        let injected = match protocol {
            "imap" => "* CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR\r\nC OK\r\n",
            "pop3" => "+OK\r\n",
            _ => "250 AUTH PLAIN\r\n",
        };
        let said = format!("{}{injected}", starttls_taken(protocol));
        let script = [to_starttls(protocol, &said), vec![identity.tls()], behind_starttls(protocol)].concat();
        let (_, serve, line) = answer(protocol, &format!("{protocol}+starttls"), &more, script);
        assert!(line.starts_with(temporary(protocol)), "{line}");
        serve.wait_for_log(&["broke the protocol"]);
    }
}

#[test]
fn a_certificate_for_another_name_or_of_nobody_known_is_the_operators_fault() {
    for protocol in PROTOCOLS {
        let (identity, stranger) = (Identity::make(), Identity::make());
        let wrong_name = format!("{MASTER}{}server_name = \"other.example.org\"\n", identity.trust);
        for more in [wrong_name, format!("{MASTER}{}", stranger.trust)] {
            let script = [vec![identity.tls()], taking(protocol, Vec::new())].concat();
            let (upstream, serve, line) = answer(protocol, &format!("{protocol}s"), &more, script);
            assert!(line.starts_with(needs_operator(protocol)), "{line}");
            serve.wait_for_log(&["ERROR", "the operator must act", "certificate is not accepted"]);
            assert!(!upstream.ended("").text().contains("AUTH"));
        }
    }
}

#[test]
fn a_dead_server_is_passed_over_and_delays_no_sign_in_after_the_first() {
    for protocol in PROTOCOLS {
        // It accepts and says nothing: the slowest way to be dead.
        let dead = Upstream::start(taking(protocol, Vec::new()));
        let good = Upstream::start(taking(protocol, Vec::new()));
        let serve = Serve::start(&format!(
            "{protocol} = [\"{protocol}://127.0.0.1:{}\", \"{protocol}://127.0.0.1:{}\"]\ntimeout = \"1s\"\n{MASTER}",
            dead.port(),
            good.port()
        ));
        dead.play(Vec::new());
        let token = serve.token(ALICE);
        let mut slow = 0;
        for _ in 0..4 {
            let started = Instant::now();
            serve.sign_in(protocol, &token, "NOOP\r\n").until(accepted(protocol));
            good.got("NOOP\r\n");
            slow += usize::from(started.elapsed() > Duration::from_millis(900));
        }
        assert_eq!(slow, 1, "{protocol}");
        serve.wait_for_log(&["a mail server cannot be used", &format!("127.0.0.1:{}", dead.port())]);
    }
}

#[test]
fn a_server_that_was_dead_at_the_start_delays_nobody() {
    let dead = Upstream::start(Vec::new());
    let good = Upstream::start(taking("imap", Vec::new()));
    let serve = Serve::start(&format!(
        "imap = [\"imap://127.0.0.1:{}\", \"imap://127.0.0.1:{}\"]\ntimeout = \"1s\"\n{MASTER}",
        dead.port(),
        good.port()
    ));
    let token = serve.token(ALICE);
    let started = Instant::now();
    serve.sign_in("imap", &token, "").until("a OK");
    assert!(started.elapsed() < Duration::from_millis(900), "{:?}", started.elapsed());
}

#[test]
fn a_server_that_is_down_is_logged_once_and_once_when_it_is_back() {
    let upstream = Upstream::start(vec![Act::Close]);
    let serve = Serve::start(&super::one("imap", &upstream, MASTER));
    let token = serve.token(ALICE);
    for _ in 0..3 {
        serve.sign_in("imap", &token, "").expect(temporary("imap"));
    }
    // One more question by the housekeeping, which asks every five seconds.
    let before = upstream.connections();
    let deadline = Instant::now() + Duration::from_secs(8);
    while upstream.connections() == before {
        assert!(Instant::now() < deadline, "nobody asks whether the server is back");
        wait(Duration::from_millis(50));
    }
    upstream.play(taking("imap", Vec::new()));
    serve.sign_in("imap", &token, "").until("a OK");
    serve.sign_in("imap", &token, "").until("a OK");
    serve.wait_for_log(&["a mail server can be used again"]);
    let log = serve.log();
    assert_eq!(log.matches("a mail server cannot be used").count(), 1, "{log}");
    assert_eq!(log.matches("a mail server can be used again").count(), 1, "{log}");
}
