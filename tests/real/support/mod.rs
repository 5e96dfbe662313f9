//! What the tests stand on: real mail servers, Bearward in front of them, and clients with a time limit.
//!
//! Everything lives in one temporary folder per test, on free loopback ports, and is stopped by its own process
//! id: each process is a child of the test, and dies with it.

mod bearward;
mod certificates;
mod client;
mod courier;
mod cyrus;
mod dovecot;
mod exim;
#[expect(dead_code, reason = "nothing here starts `bearward try`")]
#[path = "../../support/ports.rs"]
mod ports;
mod postfix;
mod unpacked;

use std::{
    fs::{self, Permissions},
    net::{Ipv4Addr, TcpStream},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

pub(crate) use self::{
    bearward::{Backend, Bearward, Login},
    client::{Outcome, Target, python, run},
    courier::Courier,
    cyrus::Cyrus,
    dovecot::{Dovecot, Introspection},
    exim::Exim,
    ports::Ports,
    postfix::Postfix,
};

pub(crate) const ALICE: &str = "alice@example.org";
pub(crate) const BOB: &str = "bob@example.org";
/// Passwords that nothing else in a folder would hold by chance.
pub(crate) const ALICE_PASSWORD: &str = "Vq7-alice-upstream-w9Zt";
pub(crate) const BOB_PASSWORD: &str = "Kd3-bob-upstream-m5Xr";
pub(crate) const MASTER: &str = "proxy";
pub(crate) const MASTER_PASSWORD: &str = "Jn2-master-upstream-c8Lp";

/// How long a server may take to accept connections.
const START: Duration = Duration::from_secs(20);

/// The folder of one test.
pub(crate) struct Folder(TempDir);

/// A process that is ended with its owner.
pub(crate) struct Process {
    child: Child,
    name: &'static str,
}

/// Dovecot and Postfix, as an operator has them: they know passwords, and nothing of tokens. Postfix ends first,
/// because Dovecot's children wait for those who speak to them.
pub(crate) struct Servers {
    pub(crate) postfix: Postfix,
    pub(crate) dovecot: Dovecot,
    pub(crate) folder: Folder,
    _ports: Ports,
}

/// What Dovecot and Postfix take for a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taking {
    /// This machine's address, and any user.
    Address,
    /// A client certificate of the service account, which names the user for whom it acts. Dovecot alone.
    Certificate,
    Passwords,
    /// Passwords, by Dovecot on encrypted connections alone.
    PasswordsInTls,
    /// Bearer tokens, which Dovecot asks an issuer about.
    Tokens,
}

impl Servers {
    /// Starts both. `postfix_xclient`: whose XCLIENT Postfix takes.
    pub(crate) fn start(postfix_xclient: &str) -> Self {
        Self::taking(Taking::Passwords, postfix_xclient)
    }

    /// Starts both, which take `taking`.
    pub(crate) fn taking(taking: Taking, postfix_xclient: &str) -> Self {
        let folder = Folder::make();
        certificates::make(&folder);
        let mut ports = Ports::reserve();
        let postfix_ports = postfix::PostfixPorts::take(&mut ports);
        let dovecot = Dovecot::start(&folder, &mut ports, postfix_ports.plain, taking);
        let postfix = Postfix::start(&folder, postfix_ports, &dovecot, postfix_xclient, taking);
        Self { postfix, dovecot, folder, _ports: ports }
    }

    /// Has Dovecot, and with it Postfix, ask about tokens.
    pub(crate) fn ask(&self, introspection: &Introspection<'_>) {
        self.dovecot.asks(introspection);
        self.postfix.reload();
    }
}

impl Folder {
    fn make() -> Self {
        let folder = tempfile::Builder::new().prefix("bearward-real-").tempdir().unwrap();
        // The servers run as other users.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        Self(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// A folder in it, made when it is not there.
    pub(crate) fn sub(&self, name: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(&path).unwrap();
        path
    }

    /// The test authority's certificate.
    pub(crate) fn ca(&self) -> PathBuf {
        self.path().join("tls/ca.pem")
    }
}

impl Process {
    pub(crate) fn spawn(name: &'static str, command: &mut Command) -> Self {
        let child = command.spawn().unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        Self { child, name }
    }

    /// Waits until something accepts on `port`.
    pub(crate) fn wait_for_port(&mut self, port: u16, log: impl Fn() -> String) {
        let deadline = Instant::now() + START;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("{} ended with {status} before it served port {port}:\n{}", self.name, log());
            }
            assert!(Instant::now() < deadline, "{} does not serve port {port}:\n{}", self.name, log());
            pause();
        }
    }

    pub(crate) fn signal(&self, signal: &str) {
        let _ = Command::new("kill").arg(format!("-{signal}")).arg(self.child.id().to_string()).status();
    }

    /// Asks it to end, and insists after a while.
    fn stop(&mut self) {
        self.signal("TERM");
        let deadline = Instant::now() + Duration::from_secs(10);
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                let _ = self.child.kill();
                let _ = self.child.wait();
                return;
            }
            pause();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A command that dies when this test does, run as `user`.
pub(crate) fn as_user(user: &str, program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--reuid", user, "--regid", user, "--clear-groups", "--pdeathsig", "KILL", program]);
    command
}

/// Waits until `check` gives something.
pub(crate) fn eventually<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + START;
    loop {
        if let Some(found) = check() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what} did not come to be");
        pause();
    }
}

/// Waits until a log says `what`: a server writes its log after it has answered.
#[track_caller]
pub(crate) fn logged(what: &str, log: impl Fn() -> String) {
    let deadline = Instant::now() + START;
    while !log().contains(what) {
        assert!(Instant::now() < deadline, "no {what} in:\n{}", log());
        pause();
    }
}

#[expect(clippy::disallowed_methods, reason = "a test waits for processes, and has no other work")]
pub(crate) fn pause() {
    thread::sleep(Duration::from_millis(30));
}

pub(crate) fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}
