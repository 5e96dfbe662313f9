//! Bearward itself, as an operator runs it: a file, `serve`, and the command line beside it.

use std::{
    fmt::Write as _,
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{
    ALICE, ALICE_PASSWORD, BOB, BOB_PASSWORD, Folder, MASTER, MASTER_PASSWORD, Ports, Process, Servers,
    Target, read,
};

/// How Bearward logs in to the mail servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Login {
    Authzid,
    Bearer,
    External,
    /// `secret`, with the passwords in the store.
    Kept,
    Master,
    Sealed,
    Secret,
    Trusted,
    Xclient,
}

/// A running Bearward.
pub(crate) struct Bearward {
    pub(crate) target: Target,
    /// The same listeners, but with XOAUTH2 alone: curl takes OAUTHBEARER wherever it is offered.
    pub(crate) xoauth2: Target,
    pub(crate) file: PathBuf,
    pub(crate) data: PathBuf,
    log: PathBuf,
    login: Login,
    _process: Process,
    _ports: Ports,
}

/// Where the backend's servers are, as the configuration writes them; empty for what it does not speak.
#[derive(Default)]
pub(crate) struct Backend {
    pub(crate) imap: String,
    pub(crate) pop3: String,
    pub(crate) smtp: String,
    pub(crate) sieve: String,
    /// More lines of `[backend.main]`.
    pub(crate) more: &'static str,
    /// A name other than localhost, at which clients find https on its standard port.
    pub(crate) hostname: Option<&'static str>,
}

impl Backend {
    /// Dovecot and Postfix of `servers`, encrypted, as they would stand on another machine.
    pub(crate) fn encrypted(servers: &Servers) -> Self {
        Self {
            imap: format!("imap+starttls://localhost:{}", servers.dovecot.imap),
            pop3: format!("pop3s://localhost:{}", servers.dovecot.pop3s),
            smtp: format!("smtp+starttls://localhost:{}", servers.postfix.ports.submission),
            sieve: format!("sieve+starttls://localhost:{}", servers.dovecot.sieve),
            more: "",
            hostname: None,
        }
    }

    /// The protocols that the backend speaks, with their servers.
    fn spoken(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let all = [
            ("imap", self.imap.as_str()),
            ("pop3", &self.pop3),
            ("smtp", &self.smtp),
            ("sieve", &self.sieve),
        ];
        all.into_iter().filter(|(_, server)| !server.is_empty())
    }

    pub(crate) fn speaks(&self, protocol: &str) -> bool {
        self.spoken().any(|(spoken, _)| spoken == protocol)
    }
}

impl Target {
    /// Protocol, port and TLS of each listener for what `backend` speaks.
    fn listeners(&self, backend: &Backend) -> impl Iterator<Item = (&'static str, u16, &'static str)> {
        let all = [
            ("imap", self.imaps, "implicit"),
            ("imap", self.imap, "starttls"),
            ("pop3", self.pop3s, "implicit"),
            ("smtp", self.smtps, "implicit"),
            ("smtp", self.smtp, "starttls"),
            ("sieve", self.sieve, "starttls"),
        ];
        all.into_iter().filter(|(protocol, ..)| backend.speaks(protocol))
    }
}

impl Bearward {
    /// Starts it in front of `servers`.
    pub(crate) fn start(servers: &Servers, login: Login) -> Self {
        Self::start_with(&servers.folder, login, &Backend::encrypted(servers), "info")
    }

    /// Starts it in front of `backend`, with a log as verbose as `log` says.
    pub(crate) fn start_with(folder: &Folder, login: Login, backend: &Backend, log: &str) -> Self {
        let home = folder.sub("bearward");
        let (file, data, log_file) = (home.join("bearward.toml"), home.join("data"), home.join("log"));
        let mut ports = Ports::reserve();
        let [target, xoauth2] = [(); 2].map(|()| Target {
            imaps: ports.take(),
            imap: ports.take(),
            pop3s: ports.take(),
            smtps: ports.take(),
            smtp: ports.take(),
            sieve: ports.take(),
            https: ports.take(),
        });
        let mut text = configuration(folder, &data, &target, login, backend, log);
        listeners(&mut text, &xoauth2, backend, "mechanisms = [\"XOAUTH2\"]");
        fs::write(&file, text).unwrap();
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", env!("CARGO_BIN_EXE_bearward"), "serve", "-c"]).arg(&file);
        let output = fs::File::create(&log_file).unwrap();
        command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        let mut process = Process::spawn("bearward", &mut command);
        for (_, port, _) in target.listeners(backend) {
            process.wait_for_port(port, || read(&log_file));
        }
        Self { target, xoauth2, file, data, log: log_file, login, _process: process, _ports: ports }
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        read(&self.log)
    }

    /// Runs `bearward …` on the same configuration and returns what it printed.
    pub(crate) fn command(&self, arguments: &[&str], input: &str) -> String {
        let mut child = Command::new(env!("CARGO_BIN_EXE_bearward"))
            .args(arguments)
            .arg("-c")
            .arg(&self.file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "bearward {arguments:?}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Keeps the password of `user` at the mail servers in the store.
    pub(crate) fn keep(&self, user: &str, password: &str) {
        self.command(&["secret", "set", "--user", user, "--password-stdin"], &format!("{password}\n"));
    }

    /// A token for `user` that works for all mail protocols.
    pub(crate) fn token(&self, user: &str) -> String {
        self.token_with(user, &[])
    }

    /// A token for `user`; `more` are arguments of `token issue`.
    pub(crate) fn token_with(&self, user: &str, more: &[&str]) -> String {
        let mut arguments = vec!["token", "issue", "--user", user];
        arguments.extend(more);
        let password = match self.login {
            Login::Sealed if user == ALICE => format!("{ALICE_PASSWORD}\n"),
            Login::Sealed => format!("{BOB_PASSWORD}\n"),
            Login::Authzid
            | Login::Bearer
            | Login::External
            | Login::Kept
            | Login::Master
            | Login::Secret
            | Login::Trusted
            | Login::Xclient => String::new(),
        };
        if self.login == Login::Sealed {
            arguments.push("--password-stdin");
        }
        let token = self.command(&arguments, &password).trim().to_owned();
        assert!((20..=96).contains(&token.len()), "not a short opaque token: {token:?}");
        token
    }
}

fn configuration(
    folder: &Folder,
    data: &Path,
    target: &Target,
    login: Login,
    backend: &Backend,
    log: &str,
) -> String {
    let tls = folder.path().join("tls");
    let mut text = format!(
        "hostname = \"{hostname}\"\ndata_dir = \"{}\"\n[tls]\ncertificate = \"{tls}/server.pem\"\nprivate_key = \"{tls}/server.key\"\n",
        data.display(),
        hostname = backend.hostname.unwrap_or("localhost"),
        tls = tls.display(),
    );
    listeners(&mut text, target, backend, "");
    let _ = writeln!(
        text,
        "[[listener]]\nprotocol = \"https\"\nbind = \"127.0.0.1:{}\"\ntls = \"implicit\"",
        target.https
    );
    let how = match login {
        Login::Authzid => "authzid",
        Login::Bearer => "bearer",
        Login::External => "external",
        Login::Kept | Login::Secret => "secret",
        Login::Master => "master",
        Login::Sealed => "sealed",
        Login::Trusted => "trusted",
        Login::Xclient => "xclient",
    };
    let _ = writeln!(text, "[backend.main]\nlogin = \"{how}\"\n{}", backend.more);
    if login == Login::Secret {
        text += "secrets = \"passwords\"\n";
    }
    for (protocol, server) in backend.spoken() {
        let _ = writeln!(text, "{protocol} = [\"{server}\"]");
    }
    if matches!(login, Login::Authzid | Login::Master) {
        let _ =
            writeln!(text, "[backend.main.master]\nuser = \"{MASTER}\"\npassword = \"{MASTER_PASSWORD}\"");
    }
    let _ = writeln!(text, "[backend.main.tls]\nca = \"{}\"", folder.ca().display());
    if login == Login::External {
        let tls = tls.display();
        let _ = writeln!(text, "certificate = \"{tls}/client.pem\"\nprivate_key = \"{tls}/client.key\"");
    }
    if login == Login::Secret {
        let _ =
            writeln!(text, "[lookup.passwords]\nkind = \"file\"\npath = \"{}\"", passwords(folder).display());
    }
    match backend.hostname {
        Some(name) => {
            let _ = writeln!(text, "[issuer]\nurl = \"https://{name}\"");
            text += "[setup]\nprovider_name = \"Example & Söhne\"\n[passwords]\nmode = \"off\"\n";
        }
        None => {
            let _ = writeln!(text, "[issuer]\nurl = \"https://localhost:{}\"", target.https);
        }
    }
    // Some clients never answer an error challenge, and wait.
    let _ = writeln!(text, "[limits]\ndummy_response_timeout = \"1s\"");
    let _ = writeln!(text, "[telemetry]\nlog = \"{log}\"\nmetrics = \"off\"");
    text
}

/// A look-up's file with the users' passwords at the mail servers.
fn passwords(folder: &Folder) -> PathBuf {
    let file = folder.sub("bearward").join("passwords.toml");
    let entry = |user: &str, password: &str| format!("[\"{user}\"]\npassword = \"{password}\"\n");
    fs::write(&file, entry(ALICE, ALICE_PASSWORD) + &entry(BOB, BOB_PASSWORD)).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    file
}

/// Writes the mail listeners of `target`, each with the line `more`.
fn listeners(text: &mut String, target: &Target, backend: &Backend, more: &str) {
    for (protocol, port, how) in target.listeners(backend) {
        let _ = writeln!(
            text,
            "[[listener]]\nprotocol = \"{protocol}\"\nbind = \"127.0.0.1:{port}\"\ntls = \"{how}\"\n{more}"
        );
    }
}

impl Drop for Bearward {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("Bearward's log:\n{}", self.log());
        }
    }
}
