//! Postfix: submission with Dovecot's SASL, delivery to Dovecot by LMTP.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
    time::UNIX_EPOCH,
};

use super::{Dovecot, Folder, Ports, Process, Taking, read};

pub(crate) struct PostfixPorts {
    /// Without authentication, for Dovecot's submission service to relay to.
    pub(crate) plain: u16,
    /// Submission with STARTTLS.
    pub(crate) submission: u16,
    /// Submission behind a PROXY header.
    pub(crate) behind_proxy: u16,
}

impl PostfixPorts {
    pub(super) fn take(ports: &mut Ports) -> Self {
        Self { plain: ports.take(), submission: ports.take(), behind_proxy: ports.take() }
    }
}

pub(crate) struct Postfix {
    pub(crate) ports: PostfixPorts,
    log: PathBuf,
    _process: Process,
}

impl Postfix {
    /// Starts it. `xclient`: the addresses whose XCLIENT it takes. `taking`: whether it relays for
    /// this machine's address.
    pub(super) fn start(
        folder: &Folder,
        ports: PostfixPorts,
        dovecot: &Dovecot,
        xclient: &str,
        taking: Taking,
    ) -> Self {
        let home = folder.sub("postfix");
        let etc = folder.sub("postfix/etc");
        make_queue(folder);
        let log = home.join("log");
        let main = format!(
            "compatibility_level = 3.6\nqueue_directory = {home}/spool\ndata_directory = {home}/data\n\
             command_directory = /usr/sbin\ndaemon_directory = /usr/lib/postfix/sbin\nmail_owner = postfix\n\
             setgid_group = postdrop\nmaillog_file = {log}\nmaillog_file_prefixes = {home}\n\
             myhostname = mail.example.org\nmydestination =\nlocal_recipient_maps =\nalias_maps =\n\
             alias_database =\nmynetworks =\ninet_interfaces = 127.0.0.1\ninet_protocols = ipv4\n\
             smtp_dns_support_level = disabled\nvirtual_mailbox_domains = example.org\n\
             virtual_mailbox_maps = inline:{{alice@example.org=x,bob@example.org=x}}\n\
             virtual_transport = lmtp:inet:127.0.0.1:{lmtp}\ndefault_transport = error:no mail leaves the test\n\
             smtpd_tls_cert_file = {tls}/server.pem\nsmtpd_tls_key_file = {tls}/server.key\n\
             smtpd_tls_security_level = may\nsmtpd_sasl_type = dovecot\nsmtpd_sasl_path = {sasl}\n\
             smtpd_sasl_security_options = noanonymous\nsmtpd_authorized_xclient_hosts = {xclient}\n\
             smtpd_authorized_xforward_hosts = 127.0.0.1\n\
             smtpd_relay_restrictions = permit_sasl_authenticated, reject_unauth_destination\n\
             smtpd_client_connection_rate_limit = 0\nsmtpd_client_connection_count_limit = 0\n\
             message_size_limit = 33554432\nsmtpd_discard_ehlo_keywords = \n",
            home = home.display(),
            log = log.display(),
            lmtp = dovecot.lmtp,
            tls = folder.path().join("tls").display(),
            sasl = folder.path().join("dovecot/sasl").display(),
        );
        for (name, text) in [("main.cf", main), ("master.cf", services(&ports, taking))] {
            fs::write(etc.join(name), text).unwrap();
            // Postfix waits for a file that was changed just now to come to rest.
            fs::File::options().append(true).open(etc.join(name)).unwrap().set_modified(UNIX_EPOCH).unwrap();
        }
        let output = fs::File::create(home.join("output")).unwrap();
        // The master itself and not `postfix start`, so that it is this test's child and ends with it.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "TERM", "/usr/lib/postfix/sbin/master", "-s", "-c"]).arg(&etc);
        command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        let mut process = Process::spawn("postfix", &mut command);
        let told = || read(&home.join("output")) + &read(&log);
        process.wait_for_port(ports.submission, told);
        Self { ports, log, _process: process }
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        read(&self.log)
    }
}

/// The folders that `postfix check` would make, with their owners.
fn make_queue(folder: &Folder) {
    let owned = |owner: &str, mode: &str, names: &[&str]| {
        let paths: Vec<_> = names.iter().map(|name| folder.sub(&format!("postfix/{name}"))).collect();
        for (program, argument) in [("chown", owner), ("chmod", mode)] {
            let status = Command::new(program).arg(argument).args(&paths).status().unwrap();
            assert!(status.success(), "these tests must run as root: Postfix's master must be");
        }
    };
    let queues = [
        "active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private", "saved",
        "trace",
    ];
    let queues = queues.map(|name| format!("spool/{name}"));
    owned("postfix", "700", &queues.iter().map(String::as_str).collect::<Vec<_>>());
    owned("postfix", "700", &["data"]);
    owned("postfix:postdrop", "730", &["spool/maildrop"]);
    owned("postfix:postdrop", "710", &["spool/public"]);
    owned("root", "755", &["spool", "spool/pid"]);
}

/// `master.cf`: the three ports, and the services that a message passes on its way to Dovecot. Nothing is
/// chrooted, because the folder holds no copy of the system's files.
fn services(ports: &PostfixPorts, taking: Taking) -> String {
    let submission = if taking == Taking::Address {
        "  -o mynetworks=127.0.0.1\n  -o smtpd_client_restrictions=permit_mynetworks,reject\n  \
         -o smtpd_relay_restrictions=permit_mynetworks,reject\n"
    } else {
        "  -o smtpd_sasl_auth_enable=yes\n  -o smtpd_client_restrictions=permit_sasl_authenticated,reject\n"
    };
    let mut text = format!(
        "127.0.0.1:{} inet n - n - - smtpd\n127.0.0.1:{} inet n - n - - smtpd\n{submission}\
         127.0.0.1:{} inet n - n - - smtpd\n{submission}  -o smtpd_upstream_proxy_protocol=haproxy\n",
        ports.plain, ports.submission, ports.behind_proxy
    );
    for (name, private, wakeup, limit, program) in [
        ("pickup", "n", "60", "1", "pickup"),
        ("cleanup", "n", "-", "0", "cleanup"),
        ("qmgr", "n", "300", "1", "qmgr"),
        ("tlsmgr", "-", "1000?", "1", "tlsmgr"),
        ("rewrite", "-", "-", "-", "trivial-rewrite"),
        ("bounce", "-", "-", "0", "bounce"),
        ("defer", "-", "-", "0", "bounce"),
        ("trace", "-", "-", "0", "bounce"),
        ("verify", "-", "-", "1", "verify"),
        ("flush", "n", "1000?", "0", "flush"),
        ("proxymap", "-", "-", "-", "proxymap"),
        ("lmtp", "-", "-", "-", "lmtp"),
        ("error", "-", "-", "-", "error"),
        ("retry", "-", "-", "-", "error"),
        ("anvil", "-", "-", "1", "anvil"),
        ("scache", "-", "-", "1", "scache"),
    ] {
        text += &format!("{name} unix {private} - n {wakeup} {limit} {program}\n");
    }
    text + "postlog unix-dgram n - n - 1 postlogd\n"
}

impl Drop for Postfix {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("Postfix's log:\n{}", self.log());
        }
    }
}
