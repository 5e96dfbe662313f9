//! Dovecot 2.3: IMAP, POP3, ManageSieve, submission, LMTP for delivery, and SASL for Postfix.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{
    ALICE, ALICE_PASSWORD, BOB, BOB_PASSWORD, Folder, MASTER, MASTER_PASSWORD, Ports, Process, Taking,
    as_user, read,
};

/// The user that all of Dovecot runs as; Debian's package makes it.
const USER: &str = "dovecot";

pub(crate) struct Dovecot {
    pub(crate) imap: u16,
    pub(crate) pop3s: u16,
    pub(crate) submission: u16,
    pub(crate) lmtp: u16,
    pub(crate) sieve: u16,
    /// The same as `imap` and a clear `pop3`, behind a PROXY header.
    pub(crate) imap_behind_proxy: u16,
    pub(crate) pop3_behind_proxy: u16,
    log: PathBuf,
    home: PathBuf,
    process: Process,
}

/// Where tokens are introspected (RFC 7662), and as whom.
pub(crate) struct Introspection<'a> {
    pub(crate) port: u16,
    pub(crate) client: &'a str,
    pub(crate) secret: &'a str,
    pub(crate) ca: &'a Path,
}

impl Dovecot {
    /// Starts it. Submission is relayed to `relay`, a port of Postfix. `taking`: what it takes for a login.
    pub(super) fn start(folder: &Folder, ports: &mut Ports, relay: u16, taking: Taking) -> Self {
        require_version();
        let home = folder.sub("dovecot");
        for name in ["mail", "run", "state"] {
            folder.sub(&format!("dovecot/{name}"));
        }
        let user = |name: &str, password: &str| format!("{name}:{{PLAIN}}{password}\n");
        fs::write(home.join("users"), user(ALICE, ALICE_PASSWORD) + &user(BOB, BOB_PASSWORD)).unwrap();
        fs::write(home.join("masters"), user(MASTER, MASTER_PASSWORD)).unwrap();
        let (imap, pop3s, submission, lmtp) = (ports.take(), ports.take(), ports.take(), ports.take());
        let sieve = ports.take();
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
            service("managesieve-login", &listener("sieve", sieve, "")),
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
        let (mechanisms, first) = taken(taking, &home, &folder.path().join("tls"));
        let configuration = format!(
            "base_dir = {home}/run\nstate_dir = {home}/state\nlog_path = {home}/log\nauth_verbose = yes\n\
             protocols = imap pop3 lmtp sieve submission\nlisten = 127.0.0.1\n\
             default_internal_user = {USER}\ndefault_internal_group = {USER}\ndefault_login_user = {USER}\n\
             ssl = yes\nssl_cert = <{tls}/server.pem\nssl_key = <{tls}/server.key\n\
             disable_plaintext_auth = {in_tls}\nauth_mechanisms = {mechanisms}\nauth_master_user_separator = *\n\
             login_trusted_networks = 127.0.0.1\nhaproxy_trusted_networks = 127.0.0.1\n\
             mail_location = maildir:{home}/mail/%u\nfirst_valid_uid = 0\nmail_max_userip_connections = 200\n\
             submission_relay_host = 127.0.0.1\nsubmission_relay_port = {relay}\n\
             passdb {{\n  driver = passwd-file\n  args = {home}/masters\n  master = yes\n}}\n\
             plugin {{\n  sieve = file:~/sieve;active=~/.dovecot.sieve\n}}\n\
             {first}passdb {{\n  driver = passwd-file\n  args = {home}/users\n}}\n\
             userdb {{\n  driver = static\n  args = uid={USER} gid={USER} home={home}/mail/%u allow_all_users=yes\n}}\n\
             {services}",
            in_tls = if taking == Taking::PasswordsInTls { "yes" } else { "no" },
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
        Self {
            imap,
            pop3s,
            submission,
            lmtp,
            sieve,
            imap_behind_proxy,
            pop3_behind_proxy,
            log,
            home,
            process,
        }
    }

    /// Tells it where to ask about tokens, and has it read that.
    pub(super) fn asks(&self, introspection: &Introspection<'_>) {
        let Introspection { port, client, secret, ca } = introspection;
        let text = format!(
            "introspection_mode = post\nintrospection_url = https://{client}:{secret}@localhost:{port}/oauth/introspect\n\
             username_attribute = username\nactive_attribute = active\nactive_value = true\n\
             tls_ca_cert_file = {}\n",
            ca.display()
        );
        fs::write(self.home.join("oauth2"), text).unwrap();
        self.process.signal("HUP");
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        read(&self.log)
    }
}

/// Mechanisms, and the lines that stand before those for passwords.
fn taken(taking: Taking, home: &Path, tls: &Path) -> (&'static str, String) {
    match taking {
        Taking::Passwords | Taking::PasswordsInTls => ("plain login", String::new()),
        Taking::Address => {
            let trust = "passdb {\n  driver = static\n  args = nopassword=y allow_real_nets=127.0.0.1\n}\n";
            ("plain login", trust.to_owned())
        }
        Taking::Certificate => {
            fs::write(home.join("certified"), format!("{MASTER}:::::::nopassword=y\n")).unwrap();
            let lines = format!(
                "ssl_ca = <{tls}/ca.pem\nssl_verify_client_cert = yes\nssl_require_crl = no\n\
                 auth_ssl_username_from_cert = yes\nssl_cert_username_field = commonName\n\
                 passdb {{\n  driver = passwd-file\n  args = {home}/certified\n  master = yes\n  \
                 mechanisms = external\n}}\n",
                tls = tls.display(),
                home = home.display(),
            );
            ("external", lines)
        }
        Taking::Tokens => {
            fs::write(home.join("oauth2"), "introspection_url = https://localhost:1/\n").unwrap();
            let lines = format!(
                "passdb {{\n  driver = oauth2\n  mechanisms = oauthbearer xoauth2\n  args = {}/oauth2\n}}\n",
                home.display()
            );
            ("oauthbearer xoauth2", lines)
        }
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
