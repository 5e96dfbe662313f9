//! Two Bearwards that point at each other.

use std::{
    fmt::Write as _,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use bearward::{model::UnixTime, tls::dev};

use crate::support::{ALICE, Cluster, Ports, Serve, wait};

const PROTOCOLS: [&str; 4] = ["imap", "pop3", "smtp", "sieve"];

/// A Bearward whose backend are the listeners on `there`, and which listens on `here` beside its usual ports. The tokens
/// pass on as they are, and both know them.
fn node(here: &[u16], there: &[u16], ca: &Path, url: &str, is_introduced: bool) -> String {
    let mut text = String::new();
    for (protocol, port) in PROTOCOLS.iter().zip(there) {
        let _ = writeln!(text, "{protocol} = [\"{protocol}s://localhost:{port}\"]");
    }
    text += "login = \"bearer\"\n";
    if is_introduced {
        text += "proxy_protocol = \"v2\"\n";
    }
    let _ = writeln!(text, "[backend.main.tls]\nca = \"{}\"\n[store]\nurl = \"{url}\"", ca.display());
    for (protocol, port) in PROTOCOLS.iter().zip(here) {
        let _ = writeln!(
            text,
            "[[listener]]\nprotocol = \"{protocol}\"\nbind = \"127.0.0.1:{port}\"\ntls = \"implicit\""
        );
        if is_introduced {
            text += "proxy_protocol_from = [\"127.0.0.1\"]\n";
        }
    }
    text
}

struct Loop {
    nodes: [Serve; 2],
    _folder: tempfile::TempDir,
    _ports: [Ports; 2],
}

impl Loop {
    fn start(database: &str, is_introduced: bool) -> Self {
        let cluster = Cluster::shared();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let url = cluster.url(&runtime.block_on(cluster.database(database)));
        let folder = tempfile::tempdir().expect("temporary folder");
        let mut ports = [Ports::reserve(), Ports::reserve()];
        let [here, there] = ports.each_mut().map(|ports| PROTOCOLS.map(|_| ports.take()));
        // Each trusts the other's authority, which is there only once the other has started.
        let ca = folder.path().join("ca.pem");
        let stranger = dev::ensure(folder.path(), "localhost", UnixTime::now()).expect("certificates");
        assert_eq!(stranger.ca, ca);
        let mut one = Serve::start(&node(&here, &there, &ca, &url, is_introduced));
        let authority = |serve: &Serve| fs::read(serve.folder().join("certs/ca.pem")).expect("authority");
        fs::write(&ca, authority(&one)).expect("written");
        let two = Serve::start_beside(&one, &node(&there, &here, &ca, &url, is_introduced));
        fs::write(&ca, authority(&two)).expect("written");
        one.kill();
        one.start_again();
        Self { nodes: [one, two], _folder: folder, _ports: ports }
    }

    fn count(&self, parts: &[&str]) -> usize {
        let of = |serve: &Serve| {
            serve.log().lines().filter(|line| parts.iter().all(|part| line.contains(part))).count()
        };
        self.nodes.iter().map(of).sum()
    }

    /// Signs in, and gives how many sign-ins came of it once `complaint` is in a log.
    fn run(&self, protocol: &str, complaint: &str) -> usize {
        let [one, _] = &self.nodes;
        let token = one.token(ALICE);
        let before = self.count(&[complaint]);
        let mut client = one.sign_in(protocol, &token, "");
        let refused = match protocol {
            "imap" => "a NO [",
            "pop3" => "-ERR [SYS/",
            "smtp" => "454 4.7.0",
            _ => "NO",
        };
        client.until(refused);
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.count(&[complaint]) == before {
            assert!(Instant::now() < deadline, "{protocol}: no {complaint:?} in {}", one.log());
            wait(Duration::from_millis(20));
        }
        // The client is the last to be told but for its own line in the log.
        let protocol = format!("protocol=\"{protocol}\"");
        let ended = |serve: &Serve| {
            serve.log().lines().filter(|line| line.contains("outcome=") && line.contains(&protocol)).count()
        };
        while ended(one) == 0 {
            assert!(Instant::now() < deadline, "{protocol}: no sign-in in {}", one.log());
            wait(Duration::from_millis(20));
        }
        self.nodes.iter().map(ended).sum()
    }
}

#[test]
fn a_loop_ends_after_a_few_rounds_where_proxy_headers_tell_how_many_may_follow() {
    let ring = Loop::start("loop_introduced", true);
    for protocol in PROTOCOLS {
        let count = ring.run(protocol, "it goes round in a loop");
        assert!((2..=8).contains(&count), "{protocol}: {count} sign-ins");
    }
}

#[test]
fn a_loop_that_nothing_tells_of_ends_when_too_many_sign_ins_of_the_user_wait() {
    let ring = Loop::start("loop_untold", false);
    let count = ring.run("imap", "it goes round in a loop");
    assert!((2..=8).contains(&count), "IMAP tells by ID: {count} sign-ins");
    for protocol in ["pop3", "smtp", "sieve"] {
        let count = ring.run(protocol, "a backend leads back here in a loop");
        assert!((100..=202).contains(&count), "{protocol}: {count} sign-ins");
    }
}
