//! Dovecot 2.3: IMAP, POP3, submission, LMTP for delivery, and SASL for Postfix.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use super::{
    ALICE, ALICE_PASSWORD, BOB, BOB_PASSWORD, Folder, MASTER, MASTER_PASSWORD, Ports, Process, as_user, read,
};

/// The user that all of Dovecot runs as; Debian's package makes it.
const USER: &str = "dovecot";

pub(crate) struct Dovecot {
    pub(crate) imap: u16,
    pub(crate) pop3s: u16,
    pub(crate) submission: u16,
    pub(crate) lmtp: u16,
    /// The same as `imap` and a clear `pop3`, behind a PROXY header.
    pub(crate) imap_behind_proxy: u16,
    pub(crate) pop3_behind_proxy: u16,
    log: PathBuf,
    _process: Process,
}

impl Dovecot {
    /// Starts it. Submission is relayed to `relay`, a port of Postfix.
    pub(super) fn start(folder: &Folder, ports: &mut Ports, relay: u16) -> Self {
        require_version();
        let home = folder.sub("dovecot");
        for name in ["mail", "run", "state"] {
            folder.sub(&format!("dovecot/{name}"));
        }
        let user = |name: &str, password: &str| format!("{name}:{{PLAIN}}{password}\n");
        fs::write(home.join("users"), user(ALICE, ALICE_PASSWORD) + &user(BOB, BOB_PASSWORD)).unwrap();
        fs::write(home.join("masters"), user(MASTER, MASTER_PASSWORD)).unwrap();
        let (imap, pop3s, submission, lmtp) = (ports.take(), ports.take(), ports.take(), ports.take());
        let (imap_behind_proxy, pop3_behind_proxy) = (ports.take(), ports.take());
        let listener = |name: &str, port: u16, more: &str| {
            format!("  inet_listener {name} {{\n    port = {port}\n    {more}\n  }}\n")
        };
        let none = |name: &str| listener(name, 0, "");
        let service = |name: &str, inside: &str| format!("service {name} {{\n  chroot =\n{inside}}}\n");
        let services = [
            service(
                "imap-login",
                &(listener("imap", imap, "")
                    + &none("imaps")
                    + &listener("imap_proxied", imap_behind_proxy, "haproxy = yes")),
            ),
            service(
                "pop3-login",
                &(listener("pop3s", pop3s, "ssl = yes")
                    + &none("pop3")
                    + &listener("pop3_proxied", pop3_behind_proxy, "haproxy = yes")),
            ),
            service("submission-login", &(listener("submission", submission, "") + &none("submissions"))),
            service("lmtp", &listener("lmtp", lmtp, "")),
            service(
                "auth",
                &format!(
                    "  unix_listener sasl {{\n    path = {}/sasl\n    mode = 0666\n  }}\n",
                    home.display()
                ),
            ),
            service("anvil", ""),
            service("stats", ""),
        ];
        let configuration = format!(
            "base_dir = {home}/run\nstate_dir = {home}/state\nlog_path = {home}/log\nauth_verbose = yes\n\
             protocols = imap pop3 lmtp submission\nlisten = 127.0.0.1\n\
             default_internal_user = {USER}\ndefault_internal_group = {USER}\ndefault_login_user = {USER}\n\
             ssl = yes\nssl_cert = <{tls}/server.pem\nssl_key = <{tls}/server.key\n\
             disable_plaintext_auth = no\nauth_mechanisms = plain login\nauth_master_user_separator = *\n\
             login_trusted_networks = 127.0.0.1\nhaproxy_trusted_networks = 127.0.0.1\n\
             mail_location = maildir:{home}/mail/%u\nfirst_valid_uid = 0\nmail_max_userip_connections = 200\n\
             submission_relay_host = 127.0.0.1\nsubmission_relay_port = {relay}\n\
             passdb {{\n  driver = passwd-file\n  args = {home}/masters\n  master = yes\n}}\n\
             passdb {{\n  driver = passwd-file\n  args = {home}/users\n}}\n\
             userdb {{\n  driver = static\n  args = uid={USER} gid={USER} home={home}/mail/%u allow_all_users=yes\n}}\n\
             {services}",
            home = home.display(),
            tls = folder.path().join("tls").display(),
            services = services.concat(),
        );
        let file = home.join("dovecot.conf");
        fs::write(&file, configuration).unwrap();
        let status = Command::new("chown").args(["-R", USER]).arg(&home).status().unwrap();
        assert!(status.success(), "these tests must run as root: the mail servers change their user");
        let output = fs::File::create(home.join("output")).unwrap();
        let mut command = as_user(USER, "dovecot");
        command.arg("-F").arg("-c").arg(&file).stdin(Stdio::null());
        command.stdout(output.try_clone().unwrap()).stderr(output);
        let mut process = Process::spawn("dovecot", &mut command);
        let log = home.join("log");
        let told = || read(&home.join("output")) + &read(&log);
        process.wait_for_port(imap, told);
        process.wait_for_port(lmtp, told);
        Self { imap, pop3s, submission, lmtp, imap_behind_proxy, pop3_behind_proxy, log, _process: process }
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        read(&self.log)
    }
}

/// The configuration above is that of 2.3; 2.4 reads another language.
fn require_version() {
    let output =
        Command::new("dovecot").arg("--version").output().expect("dovecot is not installed: ./tests/run");
    let version = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(version.starts_with("2.3."), "these tests configure Dovecot 2.3, and here is {version}");
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("Dovecot's log:\n{}", self.log());
        }
    }
}
