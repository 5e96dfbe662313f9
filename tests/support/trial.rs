//! A `bearward try` of its own for each test, on free ports and a temporary folder.

use std::{
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

use super::ports::{self, Offset};

/// A running `bearward try`; stopped by its own process id when dropped.
pub(crate) struct Trial {
    child: Child,
    log: PathBuf,
    /// The first line that it printed.
    pub(crate) document: Value,
    _data: tempfile::TempDir,
    _ports: Offset,
}

impl Trial {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts with extra environment, such as `BEARWARD_LIMITS__FAILED_AUTH`.
    pub(crate) fn start_with(environment: &[(&str, &str)]) -> Self {
        (1..=ports::STARTS)
            .find_map(|start| Self::try_to_start(environment, start == ports::STARTS))
            .expect("the last start is the last word")
    }

    /// `None` where its ports are in use, unless this is the last start.
    fn try_to_start(environment: &[(&str, &str)], last: bool) -> Option<Self> {
        let ports = Offset::reserve();
        let data = tempfile::tempdir().expect("temporary folder");
        let log = data.path().join("stderr.log");
        let stderr = std::fs::File::create(&log).expect("log file");
        let mut child = Command::new(env!("CARGO_BIN_EXE_bearward"))
            .args(["try", "--json", "--port-offset", &ports.value.to_string(), "--data"])
            .arg(data.path().join("data"))
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .expect("bearward starts");
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        stdout.read_line(&mut line).expect("a first line");
        let Ok(document) = serde_json::from_str(&line) else {
            // It ends, and says why.
            stdout.read_to_string(&mut line).expect("the rest");
            child.wait().expect("waited");
            let log = std::fs::read_to_string(&log).expect("log");
            assert!(!last && ports::were_in_use(&log), "not a document: {line:?}\n{log}");
            return None;
        };
        Some(Self { child, log, document, _data: data, _ports: ports })
    }

    pub(crate) fn text(&self, pointer: &str) -> &str {
        self.document
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_else(|| panic!("{pointer} is missing"))
    }

    pub(crate) fn port(&self, name: &str) -> u16 {
        let port = self.document.pointer(&format!("/ports/{name}")).and_then(Value::as_u64);
        port.and_then(|port| u16::try_from(port).ok()).unwrap_or_else(|| panic!("port {name} is missing"))
    }

    pub(crate) fn token(&self) -> &str {
        self.text("/access_token")
    }

    pub(crate) fn ca(&self) -> &Path {
        Path::new(self.text("/ca_file"))
    }

    /// Memory that the process holds, in KiB.
    pub(crate) fn resident(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    /// How many descriptors the process has open.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("descriptors").count()
    }

    /// Everything logged so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).expect("log")
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
    pub(crate) fn command(&self, arguments: &[&str], input: Option<&str>) -> Output {
        let mut child = Command::new(env!("CARGO_BIN_EXE_bearward"))
            .args(["-c", self.text("/config_file")])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("bearward starts");
        let mut stdin = child.stdin.take().expect("piped");
        stdin.write_all(input.unwrap_or_default().as_bytes()).expect("written");
        drop(stdin);
        child.wait_with_output().expect("bearward ends")
    }

    /// As `command`, for one that must succeed; its standard output.
    pub(crate) fn succeed(&self, arguments: &[&str], input: Option<&str>) -> String {
        let output = self.command(arguments, input);
        let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        assert!(output.status.success(), "{arguments:?}: {}{}", text(&output.stdout), text(&output.stderr));
        text(&output.stdout)
    }

    /// A token of `alice@example.org` with extra arguments of `token issue`.
    pub(crate) fn issue(&self, arguments: &[&str]) -> String {
        let mut all = vec!["token", "issue", "--user", "alice@example.org", "--password-stdin"];
        all.extend(arguments);
        self.succeed(&all, Some(self.text("/users/0/password"))).trim().to_owned()
    }

    /// Sends a signal and waits for the end; the exit code.
    pub(crate) fn signal(&mut self, signal: &str) -> Option<i32> {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().expect("kill runs").success());
        self.child.wait().expect("waited").code()
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
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

/// Blocks this test's thread.
pub(crate) fn wait(time: Duration) {
    let (_keep, never) = std::sync::mpsc::channel::<()>();
    let _ = never.recv_timeout(time);
}
