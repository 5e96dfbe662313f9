//! A `bearward serve -c FILE` of its own for each test, in front of scripted mail servers.

use std::{
    fmt::Write as _,
    io::Write as _,
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use bearward::{model::UnixTime, tls::dev};

use super::{
    Client,
    ports::{self, Ports},
    wait, xoauth2,
};

pub(crate) const ALICE: &str = "alice@example.org";

/// A running `bearward serve`; stopped by its own process id when dropped.
pub(crate) struct Serve {
    child: Child,
    folder: tempfile::TempDir,
    imaps: u16,
    pop3s: u16,
    smtps: u16,
    https: u16,
    _ports: Ports,
}

impl Serve {
    /// Serves what `backend` says: the lines of `[backend.main]`, and whatever tables follow it.
    pub(crate) fn start(backend: &str) -> Self {
        Self::start_with(backend, false)
    }

    /// The same with the issuer's endpoints on HTTPS.
    pub(crate) fn start_issuer(backend: &str) -> Self {
        Self::start_with(backend, true)
    }

    /// Another node with the same server key.
    pub(crate) fn start_beside(other: &Self, backend: &str) -> Self {
        Self::start_beside_with(other, backend, false)
    }

    /// The same with the issuer's endpoints on HTTPS.
    pub(crate) fn start_issuer_beside(other: &Self, backend: &str) -> Self {
        Self::start_beside_with(other, backend, true)
    }

    fn start_beside_with(other: &Self, backend: &str, with_https: bool) -> Self {
        let key = std::fs::read(other.path("data/server.key")).expect("server key");
        Self::start_on_free_ports(backend, with_https, Some(&key))
    }

    /// What is logged when it does not start.
    pub(crate) fn refused(backend: &str, server_key: Option<&[u8]>) -> String {
        let mut serve = Self::prepare(backend, false, server_key);
        let ended = serve.child.wait().expect("waited");
        assert!(!ended.success(), "it serves: {}", serve.log());
        let left = std::fs::read(serve.path("data/server.key")).ok();
        assert_eq!(left.as_deref(), server_key, "the key stays as it is");
        serve.log()
    }

    fn start_with(backend: &str, with_https: bool) -> Self {
        Self::start_on_free_ports(backend, with_https, None)
    }

    fn start_on_free_ports(backend: &str, with_https: bool, server_key: Option<&[u8]>) -> Self {
        let mut starts = 1;
        loop {
            let mut serve = Self::prepare(backend, with_https, server_key);
            match serve.until_it_serves() {
                Ok(()) => return serve,
                Err(log) if starts < ports::STARTS && ports::were_in_use(&log) => starts += 1,
                Err(log) => panic!("it does not serve:\n{log}"),
            }
        }
    }

    fn prepare(backend: &str, with_https: bool, server_key: Option<&[u8]>) -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path();
        if let Some(key) = server_key {
            std::fs::create_dir(path.join("data")).expect("data folder");
            let file = path.join("data/server.key");
            std::fs::write(&file, key).expect("written");
            std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).expect("permissions");
        }
        dev::ensure(&path.join("certs"), "localhost", UnixTime::now()).expect("certificates");
        let mut ports = Ports::reserve();
        let [imaps, pop3s, smtps, https] = [(); 4].map(|()| ports.take());
        let url =
            if with_https { format!("https://localhost:{https}") } else { "https://localhost".to_owned() };
        let mut text = format!(
            "hostname = \"localhost\"\ndata_dir = \"data\"\n\
             [tls]\ncertificate = \"certs/server.pem\"\nprivate_key = \"certs/server.key\"\n\
             [issuer]\nurl = \"{url}\"\n\
             [telemetry]\nmetrics = \"off\"\n\
             [session]\ndrain_timeout = \"4s\"\n",
        );
        let mail = [("imap", imaps), ("pop3", pop3s), ("smtp", smtps)];
        let mail = mail.into_iter().filter(|(protocol, _)| has_servers(backend, protocol));
        for (protocol, port) in mail.chain(with_https.then_some(("https", https))) {
            let _ = writeln!(
                text,
                "[[listener]]\nprotocol = \"{protocol}\"\nbind = \"127.0.0.1:{port}\"\ntls = \"implicit\""
            );
        }
        let _ = writeln!(text, "[backend.main]\n{backend}");
        std::fs::write(path.join("bearward.toml"), text).expect("written");
        Self { child: spawn(path), folder, imaps, pop3s, smtps, https, _ports: ports }
    }

    fn wait_until_it_serves(&mut self) {
        self.until_it_serves().unwrap_or_else(|log| panic!("it does not serve:\n{log}"));
    }

    /// Gives the log where it ends before, or takes too long.
    fn until_it_serves(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !self.log().contains("serving") {
            if self.child.try_wait().expect("waited").is_some() || Instant::now() >= deadline {
                return Err(self.log());
            }
            wait(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Ends the process without a word, as a power failure would.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("waited");
    }

    /// Starts it once more on what it left behind; the log begins anew.
    pub(crate) fn start_again(&mut self) {
        self.child = spawn(self.folder.path());
        self.wait_until_it_serves();
    }

    /// Starts it once more with a copy of its `data` folder on a disk of its own of that size, such as `4m`. Says
    /// where that folder is, which only the server's process sees under its own name.
    pub(crate) fn start_again_on_a_disk_of(&mut self, size: &str) -> PathBuf {
        const SCRIPT: &str = "mkdir small && mount -t tmpfs -o size=\"$1\",mode=700 none small \
             && cp -a data/. small/ && mount --bind small data && exec \"$0\" serve -c bearward.toml";
        let log = std::fs::File::create(self.path("log")).expect("log file");
        self.child = Command::new("unshare")
            .args(["--map-root-user", "--mount", "sh", "-c", SCRIPT, env!("CARGO_BIN_EXE_bearward"), size])
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("unshare starts");
        self.wait_until_it_serves();
        let data = self.path("data");
        let below_root = data.strip_prefix("/").expect("an absolute path");
        PathBuf::from(format!("/proc/{}/root", self.child.id())).join(below_root)
    }

    /// The issuer's URL.
    pub(crate) fn url(&self) -> String {
        format!("https://localhost:{}", self.https)
    }

    /// The folder of configuration, certificates, `data` and log.
    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where `protocol` is served.
    pub(crate) fn address(&self, protocol: &str) -> SocketAddr {
        let port = match protocol {
            "imap" => self.imaps,
            "pop3" => self.pop3s,
            _ => self.smtps,
        };
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    /// A client on implicit TLS that has read its greeting, and said EHLO where that is due.
    pub(crate) fn connect(&self, protocol: &str) -> Client {
        let greeting = match protocol {
            "imap" => "* OK ",
            "pop3" => "+OK",
            _ => "220 ",
        };
        let mut client = Client::tls(self.address(protocol).port(), &self.path("certs/ca.pem"));
        client.expect(greeting);
        if protocol == "smtp" {
            client.say("EHLO client.example.org");
            client.until("250 ");
        }
        client
    }

    /// Everything logged so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).expect("log")
    }

    /// Waits until a line of the log holds every one of `parts`.
    pub(crate) fn wait_for_log(&self, parts: &[&str]) -> String {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let log = self.log();
            if let Some(line) = log.lines().find(|line| parts.iter().all(|part| line.contains(part))) {
                return line.to_owned();
            }
            assert!(Instant::now() < deadline, "no log line with {parts:?} in:\n{log}");
            wait(Duration::from_millis(20));
        }
    }

    /// Runs another command on the same configuration.
    pub(crate) fn command(&self, arguments: &[&str], input: &str) -> Output {
        let mut child = Command::new(env!("CARGO_BIN_EXE_bearward"))
            .arg("-c")
            .arg(self.path("bearward.toml"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("bearward starts");
        let mut stdin = child.stdin.take().expect("piped");
        stdin.write_all(input.as_bytes()).expect("written");
        drop(stdin);
        child.wait_with_output().expect("bearward ends")
    }

    /// As `command`, for one that must succeed; its standard output.
    pub(crate) fn succeed(&self, arguments: &[&str], input: &str) -> String {
        let output = self.command(arguments, input);
        let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        assert!(output.status.success(), "{arguments:?}: {}{}", text(&output.stdout), text(&output.stderr));
        text(&output.stdout)
    }

    /// Sends the sign-in of `protocol` with `behind` in the same write.
    pub(crate) fn sign_in(&self, protocol: &str, token: &str, behind: &str) -> Client {
        let mut client = self.connect(protocol);
        let command = if protocol == "imap" { "a AUTHENTICATE" } else { "AUTH" };
        client.send(format!("{command} XOAUTH2 {}\r\n{behind}", xoauth2(ALICE, token)).as_bytes());
        client
    }

    /// A token for `user` where no mailbox password is needed.
    pub(crate) fn token(&self, user: &str) -> String {
        self.succeed(&["token", "issue", "--user", user], "").trim().to_owned()
    }

    /// A token to which `password` is sealed.
    pub(crate) fn sealed_token(&self, user: &str, password: &str) -> String {
        let arguments = ["token", "issue", "--user", user, "--password-stdin"];
        self.succeed(&arguments, password).trim().to_owned()
    }

    /// The grant of a token.
    pub(crate) fn grant_of(&self, token: &str) -> String {
        let text = self.succeed(&["token", "inspect", token, "--json"], "");
        let inspected: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        inspected["grant_id"].as_str().expect("a grant").to_owned()
    }

    /// How many sessions the registry holds that have signed in or are about to.
    pub(crate) fn sessions(&self) -> usize {
        let text = self.succeed(&["session", "list", "--json"], "");
        serde_json::from_str::<Vec<serde_json::Value>>(&text).expect("an array").len()
    }

    /// Sends SIGTERM and waits for the end; the exit code.
    pub(crate) fn terminate(&mut self) -> Option<i32> {
        kill(&self.child);
        self.child.wait().expect("waited").code()
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("Bearward's log:\n{}", self.log());
        }
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        kill(&self.child);
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            wait(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(folder: &std::path::Path) -> Child {
    let log = std::fs::File::create(folder.join("log")).expect("log file");
    Command::new(env!("CARGO_BIN_EXE_bearward"))
        .arg("serve")
        .arg("-c")
        .arg(folder.join("bearward.toml"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        // What the server itself calls by HTTPS in a test shows a certificate of the test's own authority.
        .env("SSL_CERT_FILE", folder.join("certs/ca.pem"))
        .spawn()
        .expect("bearward starts")
}

fn kill(child: &Child) {
    let _ = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
}

fn has_servers(backend: &str, protocol: &str) -> bool {
    backend.lines().any(|line| line.starts_with(&format!("{protocol} = ")))
}
