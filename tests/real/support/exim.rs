//! Exim 4.96: submission, and delivery into maildirs. It knows its user by a name that is fixed when it is built, so it
//! runs in a root folder of its own, where there is one.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use super::{
    ALICE, ALICE_PASSWORD, BOB, BOB_PASSWORD, Folder, MASTER, MASTER_PASSWORD, Ports, Process, certificates,
    read, unpacked::Unpacked,
};

/// In its root folder, uid and gid of the user `Debian-exim`.
const UID: &str = "8";

pub(crate) struct Exim {
    pub(crate) smtp: u16,
    log: PathBuf,
    _process: Process,
    pub(crate) folder: Folder,
    _ports: Ports,
}

impl Exim {
    /// Starts it with these authenticators; `rcpt` says who may send.
    pub(crate) fn start(authenticators: &str, rcpt: &str) -> Self {
        let folder = Folder::make();
        certificates::make(&folder);
        let root = folder.sub("exim");
        for name in ["etc/exim4", "spool", "mail", "log", "dev"] {
            folder.sub(&format!("exim/{name}"));
        }
        Unpacked::find("exim").copy(
            &["usr/sbin/exim4"],
            &root.join("usr/sbin"),
            &root.join("usr/lib"),
            Some(&root),
        );
        let write = |name: &str, text: &str| fs::write(root.join(name), text).unwrap();
        write("dev/null", "");
        write("etc/passwd", &format!("root:x:0:0::/:\nDebian-exim:x:{UID}:{UID}::/:\n"));
        write("etc/group", &format!("root:x:0:\nDebian-exim:x:{UID}:\n"));
        write("etc/users", &format!("{ALICE}: {ALICE_PASSWORD}\n{BOB}: {BOB_PASSWORD}\n"));
        write(&format!("etc/exim4/{MASTER}"), &format!("{MASTER}: {MASTER_PASSWORD}\n"));
        for name in ["server.pem", "server.key", "ca.pem"] {
            fs::copy(folder.path().join("tls").join(name), root.join("etc").join(name)).unwrap();
        }
        let mut ports = Ports::reserve();
        let smtp = ports.take();
        write("etc/exim.conf", &(configuration(smtp, rcpt) + authenticators));
        let owned = ["spool", "mail", "log"].map(|name| root.join(name));
        let status = Command::new("chown").arg(format!("{UID}:{UID}")).args(owned).status().unwrap();
        assert!(status.success(), "these tests must run as root: the mail servers change their user");
        let output = fs::File::create(root.join("output")).unwrap();
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "TERM", "chroot"]).arg(&root);
        command.args(["/usr/sbin/exim4", "-C", "/etc/exim.conf", "-bdf", "-q10s"]);
        command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        let mut process = Process::spawn("exim", &mut command);
        let log = root.join("log/main");
        process.wait_for_port(smtp, || read(&root.join("output")) + &read(&log));
        Self { smtp, log, _process: process, folder, _ports: ports }
    }

    /// PLAIN and LOGIN with the users' passwords.
    pub(crate) fn passwords() -> String {
        let of = |name: &str, password: &str| {
            format!(
                "and{{{{!eq{{{password}}}{{}}}}{{eq{{{password}}}{{${{lookup{{{name}}}lsearch{{/etc/users}}}}}}}}}}"
            )
        };
        format!(
            "plain:\n  driver = plaintext\n  public_name = PLAIN\n  server_prompts = :\n  \
             server_advertise_condition = ${{if def:tls_in_cipher}}\n  \
             server_condition = ${{if {}}}\n  server_set_id = $auth2\n\
             login:\n  driver = plaintext\n  public_name = LOGIN\n  server_prompts = Username:: : Password::\n  \
             server_advertise_condition = ${{if def:tls_in_cipher}}\n  \
             server_condition = ${{if {}}}\n  server_set_id = $auth1\n",
            of("$auth2", "$auth3"),
            of("$auth1", "$auth2"),
        )
    }

    /// PLAIN for a service account that names the user for whom it acts as authorization identity.
    pub(crate) fn authorization_identity() -> String {
        documented("server_set_id = $auth1")
    }

    /// PLAIN for a service account that writes the user for whom it acts before its own name and `*`.
    pub(crate) fn master_user() -> String {
        documented("server_set_id = ${sg{$auth2}")
    }

    /// CRAM-MD5 alone.
    pub(crate) fn cram_md5() -> String {
        "cram:\n  driver = cram_md5\n  public_name = CRAM-MD5\n  \
         server_secret = ${lookup{$auth1}lsearch{/etc/users}{$value}fail}\n  server_set_id = $auth1\n"
            .to_owned()
    }

    /// EXTERNAL for the service account's certificate, with the user for whom it acts as authorization identity.
    pub(crate) fn external() -> String {
        documented("driver = external")
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        read(&self.log)
    }
}

/// The first authenticators that docs/upstreams.md shows with this line, for this service account.
fn documented(line: &str) -> String {
    let page = include_str!("../../../docs/upstreams.md");
    let mut blocks = page.split("\n```").filter_map(|block| block.split_once("begin authenticators\n"));
    let (_, block) = blocks.find(|(_, block)| block.contains(line)).unwrap();
    format!("{}\n", block.replace("bearward", MASTER))
}

fn configuration(port: u16, rcpt: &str) -> String {
    format!(
        "primary_hostname = mail.example.org\nlocal_interfaces = 127.0.0.1\ndaemon_smtp_ports = {port}\n\
         spool_directory = /spool\nlog_file_path = /log/%s\npid_file_path = /log/exim.pid\n\
         message_size_limit = 32M\nrfc1413_query_timeout = 0s\nkeep_environment =\nnotifier_socket =\n\
         tls_advertise_hosts = *\ntls_certificate = /etc/server.pem\ntls_privatekey = /etc/server.key\n\
         tls_verify_certificates = /etc/ca.pem\ntls_try_verify_hosts = *\nacl_smtp_rcpt = rcpt\n\
         begin acl\nrcpt:\n  {rcpt}\n  deny message = authentication required\n\
         begin routers\nlocal:\n  driver = accept\n  domains = example.org\n  \
         local_parts = alice : bob\n  transport = maildir\n\
         begin transports\nmaildir:\n  driver = appendfile\n  maildir_format\n  \
         directory = /mail/$local_part_data@example.org\n  create_directory\n  \
         return_path_add\n  envelope_to_add\n  delivery_date_add\n  user = {UID}\n  group = {UID}\n\
         begin authenticators\n",
    )
}

impl Drop for Exim {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("Exim's log:\n{}", self.log());
        }
    }
}
