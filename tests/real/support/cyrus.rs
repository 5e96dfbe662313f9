//! Cyrus IMAP 3.6: IMAP, POP3 and ManageSieve, with passwords in a SASL database.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use super::{
    ALICE, ALICE_PASSWORD, BOB, BOB_PASSWORD, Folder, MASTER, MASTER_PASSWORD, Ports, Process, certificates,
    read, unpacked::Unpacked,
};

/// Debian's package makes a user `cyrus`, and is not installed.
const USER: &str = "mail";
/// Realm, default domain and server name: Cyrus knows the users of this domain without it.
const DOMAIN: &str = "example.org";

pub(crate) struct Cyrus {
    pub(crate) imap: u16,
    pub(crate) pop3: u16,
    pub(crate) sieve: u16,
    _process: Process,
    pub(crate) folder: Folder,
    _ports: Ports,
}

impl Cyrus {
    /// Starts it; it offers the SASL mechanisms `mechanisms`.
    pub(crate) fn start(mechanisms: &str) -> Self {
        let folder = Folder::make();
        certificates::make(&folder);
        let home = folder.sub("cyrus");
        for name in ["proc", "db", "lock", "ptclient", "socket"] {
            folder.sub(&format!("cyrus/conf/{name}"));
        }
        for name in ["spool", "run/proc", "run/lock", "sieve"] {
            folder.sub(&format!("cyrus/{name}"));
        }
        let unpacked = Unpacked::find("cyrus");
        let (bin, lib, plugins) = (home.join("bin"), home.join("lib"), home.join("sasl"));
        let programs = ["master", "imapd", "pop3d", "timsieved", "idled", "ctl_cyrusdb"];
        let programs = programs.map(|program| format!("usr/lib/cyrus/bin/{program}"));
        unpacked.copy(&programs.each_ref().map(String::as_str), &bin, &lib, None);
        copy_folder(&unpacked.sasl_plugins(), &plugins);
        let mut ports = Ports::reserve();
        let (imap, pop3, sieve) = (ports.take(), ports.take(), ports.take());
        let imapd = imapd_conf(&home, &folder.path().join("tls"), mechanisms);
        fs::write(home.join("imapd.conf"), imapd).unwrap();
        fs::write(home.join("cyrus.conf"), cyrus_conf(&home, [imap, pop3, sieve])).unwrap();
        for (name, password) in [(ALICE, ALICE_PASSWORD), (BOB, BOB_PASSWORD), (MASTER, MASTER_PASSWORD)] {
            add_user(&unpacked, &home, name, password);
        }
        let status = Command::new("chown").args(["-R", USER]).arg(&home).status().unwrap();
        assert!(status.success(), "these tests must run as root: the mail servers change their user");
        let output = fs::File::create(home.join("output")).unwrap();
        let mut command = Command::new("setpriv");
        command.args(["--reuid", USER, "--regid", USER, "--clear-groups", "--pdeathsig", "TERM"]);
        command.arg(bin.join("master")).arg("-D");
        for (option, file) in [("-C", "imapd.conf"), ("-M", "cyrus.conf"), ("-p", "master.pid")] {
            command.arg(option).arg(home.join(file));
        }
        command.env("LD_LIBRARY_PATH", &lib).env("SASL_PATH", &plugins);
        command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        let mut process = Process::spawn("cyrus", &mut command);
        for port in [imap, pop3, sieve] {
            process.wait_for_port(port, || read(&home.join("output")));
        }
        Self { imap, pop3, sieve, _process: process, folder, _ports: ports }
    }
}

fn imapd_conf(home: &Path, tls: &Path, mechanisms: &str) -> String {
    format!(
        "configdirectory: {home}/conf\ndefaultpartition: default\npartition-default: {home}/spool\n\
         cyrus_user: {USER}\nadmins: cyrus\nproxyservers: {MASTER}\nallowplaintext: no\n\
         sasl_pwcheck_method: auxprop\nsasl_auxprop_plugin: sasldb\nsasl_sasldb_path: {home}/sasldb2\n\
         sasl_mech_list: {mechanisms}\nservername: {DOMAIN}\nvirtdomains: userid\ndefaultdomain: {DOMAIN}\n\
         unixhierarchysep: yes\naltnamespace: yes\nautocreate_quota: 1000000\n\
         sieveusehomedir: no\nsievedir: {home}/sieve\nimapidlepoll: 1\n\
         lmtpsocket: {home}/run/lmtp\nidlesocket: {home}/run/idle\nnotifysocket: {home}/run/notify\n\
         proc_path: {home}/run/proc\nmboxname_lockpath: {home}/run/lock\n\
         tls_server_cert: {tls}/server.pem\ntls_server_key: {tls}/server.key\n\
         tls_client_ca_file: {tls}/ca.pem\n",
        home = home.display(),
        tls = tls.display(),
    )
}

fn cyrus_conf(home: &Path, [imap, pop3, sieve]: [u16; 3]) -> String {
    let home = home.display();
    let command = |program: &str| format!("cmd=\"{home}/bin/{program} -C {home}/imapd.conf");
    let service = |name: &str, program: &str, port: u16| {
        format!("  {name} {}\" listen=\"127.0.0.1:{port}\" prefork=0\n", command(program))
    };
    format!(
        "START {{\n  recover {} -r\"\n}}\nSERVICES {{\n{}{}{}}}\nEVENTS {{\n}}\nDAEMON {{\n  idled {}\"\n}}\n",
        command("ctl_cyrusdb"),
        service("imap", "imapd", imap),
        service("pop3", "pop3d", pop3),
        service("sieve", "timsieved", sieve),
        command("idled"),
    )
}

fn add_user(unpacked: &Unpacked, home: &Path, name: &str, password: &str) {
    use std::io::Write as _;
    let local = name.split('@').next().unwrap();
    let mut command = unpacked.command("usr/sbin/saslpasswd2");
    command.args(["-p", "-c", "-u", DOMAIN, "-f"]).arg(home.join("sasldb2")).arg(local);
    let mut child = command.env("SASL_PATH", home.join("sasl")).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(password.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "saslpasswd2 {local}");
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}
