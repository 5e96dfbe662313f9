//! Courier IMAP and POP3 5.0, with users in `userdb`. Its paths are fixed when it is built, so it runs in a root
//! folder of its own.

use std::{
    fmt::Write as _,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{
    ALICE, ALICE_PASSWORD, BOB, BOB_PASSWORD, Folder, Ports, Process, certificates, eventually, read,
    unpacked::Unpacked,
};

/// In its root folder, uid and gid of the user `courier`, to whom the mailboxes belong.
const UID: &str = "8";
const PROGRAMS: [&str; 9] = [
    "usr/libexec/gam_server",
    "usr/lib/courier/courier-authlib/authdaemond",
    "usr/sbin/couriertcpd",
    "usr/bin/couriertls",
    "usr/bin/maildirmake.courier",
    "usr/bin/imapd",
    "usr/lib/courier/courier/imaplogin",
    "usr/lib/courier/courier/courierpop3d",
    "usr/lib/courier/courier/courierpop3login",
];

pub(crate) struct Courier {
    pub(crate) imap: u16,
    pub(crate) pop3: u16,
    logs: [PathBuf; 3],
    _processes: [Process; 4],
    pub(crate) folder: Folder,
    _ports: Ports,
}

impl Courier {
    /// Starts it; it offers the SASL mechanisms `mechanisms` inside TLS.
    pub(crate) fn start(mechanisms: &[&str]) -> Self {
        let folder = Folder::make();
        certificates::make(&folder);
        let root = folder.sub("courier");
        for name in ["etc/courier", "run/courier/authdaemon", "dev", "tmp", "mail"] {
            folder.sub(&format!("courier/{name}"));
        }
        let unpacked = Unpacked::find("courier");
        let lib = root.join("usr/lib");
        unpacked.copy(&PROGRAMS, &root.join("usr/bin"), &lib, Some(&root));
        let module = "usr/lib/courier-authlib/libauthuserdb.so.0";
        unpacked.copy(&[module], &root.join("usr/lib/courier-authlib"), &lib, Some(&root));
        let write = |name: &str, text: &str| fs::write(root.join(name), text).unwrap();
        write("dev/null", "");
        write("etc/passwd", &format!("root:x:0:0::/:\ncourier:x:{UID}:{UID}::/:\n"));
        write("etc/group", &format!("root:x:0:\ncourier:x:{UID}:\n"));
        write(
            "etc/courier/authdaemonrc",
            "authmodulelist=\"authuserdb\"\nauthmodulelistorig=\"authuserdb\"\ndaemons=3\n\
             authdaemonvar=/run/courier/authdaemon\nDEBUG_LOGIN=1\nDEFAULTOPTIONS=\"\"\n",
        );
        let tls = folder.path().join("tls");
        write("etc/courier/server.pem", &(read(&tls.join("server.key")) + &read(&tls.join("server.pem"))));
        write("etc/courier/ca.pem", &read(&tls.join("ca.pem")));
        write_users(&unpacked, &root);
        let mut ports = Ports::reserve();
        let (imap, pop3) = (ports.take(), ports.take());
        let logs = ["authdaemond.log", "imapd.log", "pop3d.log"].map(|name| folder.path().join(name));
        let auth = Process::spawn("authdaemond", within(&root, "0", &logs[0]).arg("/usr/bin/authdaemond"));
        eventually("Courier's authentication", || {
            root.join("run/courier/authdaemon/socket").exists().then_some(())
        });
        make_mailboxes(&root);
        // Tells Courier's processes of each other's changes. Left alone, they would start one that stays.
        let session = imap.to_string();
        let mut command = within(&root, UID, &logs[0]);
        command.args(["/usr/bin/gam_server", &session]);
        let changes = Process::spawn("gam_server", &mut command);
        let plain: Vec<_> =
            mechanisms.iter().filter(|name| **name != "PLAIN" && **name != "EXTERNAL").collect();
        let plain: Vec<&str> = plain.into_iter().copied().collect();
        let imap_server =
            daemon("imapd", &root, &logs[1], imap, &session, &imap_environment(&plain, mechanisms));
        let pop3_server =
            daemon("pop3d", &root, &logs[2], pop3, &session, &pop3_environment(&plain, mechanisms));
        Self {
            imap,
            pop3,
            logs,
            _processes: [imap_server, pop3_server, auth, changes],
            folder,
            _ports: ports,
        }
    }

    /// What its three daemons have logged.
    pub(crate) fn log(&self) -> String {
        self.logs.each_ref().map(|log| read(log)).concat()
    }
}

/// The lines of `imapd` and `imapd-ssl` that matter here.
fn imap_environment(clear: &[&str], encrypted: &[&str]) -> Vec<(&'static str, String)> {
    let capability = |mechanisms: &[&str]| {
        let mut text =
            "IMAP4rev1 UIDPLUS CHILDREN NAMESPACE THREAD=ORDEREDSUBJECT SORT QUOTA IDLE".to_owned();
        for mechanism in mechanisms {
            let _ = write!(text, " AUTH={mechanism}");
        }
        text
    };
    vec![
        ("IMAP_CAPABILITY", capability(clear)),
        ("IMAP_CAPABILITY_TLS", capability(encrypted)),
        ("IMAP_STARTTLS", "YES".to_owned()),
        ("IMAP_TLS_REQUIRED", "1".to_owned()),
        ("IMAP_IDLE_TIMEOUT", "1".to_owned()),
        ("IMAP_USELOCKS", "1".to_owned()),
    ]
}

/// The lines of `pop3d` and `pop3d-ssl` that matter here.
fn pop3_environment(clear: &[&str], encrypted: &[&str]) -> Vec<(&'static str, String)> {
    vec![
        ("POP3AUTH", clear.join(" ")),
        ("POP3AUTH_TLS", encrypted.join(" ")),
        ("POP3_STARTTLS", "YES".to_owned()),
        ("POP3_TLS_REQUIRED", "1".to_owned()),
    ]
}

/// Starts `couriertcpd` for one protocol.
fn daemon(
    name: &'static str,
    root: &Path,
    log: &Path,
    port: u16,
    session: &str,
    more: &[(&str, String)],
) -> Process {
    let mut command = within(root, "0", log);
    command.envs(more.iter().map(|(name, value)| (*name, value.as_str())));
    command.envs([
        ("COURIERTLS", "/usr/bin/couriertls"),
        ("TLS_CERTFILE", "/etc/courier/server.pem"),
        ("TLS_TRUSTCERTS", "/etc/courier/ca.pem"),
        ("TLS_VERIFYPEER", "PEER"),
        ("TLS_EXTERNAL", "emailAddress"),
        ("DEBUG_LOGIN", "0"),
        ("GAM_CLIENT_ID", session),
    ]);
    command.args(["/usr/bin/couriertcpd", "-address=127.0.0.1", "-maxprocs=40", "-maxperip=40"]);
    command.args(["-nodnslookup", "-noidentlookup"]).arg(port.to_string());
    match name {
        "imapd" => command.args(["/usr/bin/imaplogin", "/usr/bin/imapd", "Maildir"]),
        _ => command.args(["/usr/bin/courierpop3login", "/usr/bin/courierpop3d", "Maildir"]),
    };
    let mut process = Process::spawn(name, &mut command);
    process.wait_for_port(port, || read(log));
    process
}

/// A command in Courier's root folder, as a user of it, that ends with this test; its program follows.
fn within(root: &Path, uid: &str, log: &Path) -> Command {
    let output = fs::File::options().create(true).append(true).open(log).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM", "chroot", &format!("--userspec={uid}:{uid}")]).arg(root);
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LD_LIBRARY_PATH", "/usr/lib");
    command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
    command
}

/// What `makeuserdb` writes: the users, and apart from them their passwords.
fn write_users(unpacked: &Unpacked, root: &Path) {
    let (mut users, mut passwords) = (String::new(), String::new());
    for (name, password) in [(ALICE, ALICE_PASSWORD), (BOB, BOB_PASSWORD)] {
        let _ = writeln!(users, "{name}\tuid={UID}|gid={UID}|home=/mail/{name}|mail=/mail/{name}/Maildir|_=");
        let twice = format!("{password}\n{password}\n");
        let crypt = told("openssl", Command::new("openssl").args(["passwd", "-6", password]), "");
        let hmac = told("userdbpw", unpacked.command("usr/sbin/userdbpw").arg("-hmac-md5"), &twice);
        let _ = writeln!(passwords, "{name}\tsystempw={}|hmac-md5pw={}", crypt.trim(), hmac.trim());
    }
    for (name, text) in [("userdb.dat", users), ("userdbshadow.dat", passwords)] {
        let mut command = unpacked.command("usr/lib/courier/courier-authlib/makedatprog");
        command.arg("-").arg(root.join("tmp/new")).arg(root.join("etc/courier").join(name));
        told("makedatprog", &mut command, &(text + ".\n"));
    }
}

fn make_mailboxes(root: &Path) {
    for name in [ALICE, BOB] {
        fs::create_dir_all(root.join("mail").join(name)).unwrap();
        let mut command = within(root, "0", &root.join("tmp/log"));
        let mailbox = format!("/mail/{name}/Maildir");
        assert!(command.args(["/usr/bin/maildirmake.courier", &mailbox]).status().unwrap().success());
    }
    let owner = format!("{UID}:{UID}");
    let status = Command::new("chown").args(["-R", &owner]).arg(root.join("mail")).status().unwrap();
    assert!(status.success(), "these tests must run as root: the mail servers change their user");
}

/// Runs a command with `input` and returns what it printed.
fn told(name: &str, command: &mut Command, input: &str) -> String {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{name}: {:?}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

impl Drop for Courier {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("Courier's log:\n{}", self.log());
        }
    }
}
