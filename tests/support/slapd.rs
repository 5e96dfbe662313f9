//! A real OpenLDAP server of its own, which is ended by its process id with the test.

use std::{
    fs,
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use bearward::{model::UnixTime, tls::dev};

use super::{Ports, base64, wait};

/// Attributes of mail users, as the schemas of mail servers have them; the numbers are of nobody (RFC 5612).
const SCHEMA: &str = "\
attributetype ( 1.3.6.1.4.1.32473.1 NAME 'mailHost' EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
attributetype ( 1.3.6.1.4.1.32473.2 NAME 'mailPassword' EQUALITY octetStringMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.40 )
attributetype ( 1.3.6.1.4.1.32473.3 NAME 'mailAlternateAddress' EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
attributetype ( 1.3.6.1.4.1.32473.4 NAME 'sharedMailbox' EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
attributetype ( 1.3.6.1.4.1.32473.5 NAME 'mailBackend' EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
objectclass ( 1.3.6.1.4.1.32473.6 NAME 'mailUser' SUP account STRUCTURAL
    MAY ( mailHost $ mailPassword $ mailAlternateAddress $ sharedMailbox $ mailBackend ) )
";

/// The tree of all entries.
pub(crate) const BASE: &str = "ou=people,dc=example,dc=org";
/// Who may read passwords.
pub(crate) const BIND_DN: &str = "cn=bearward,dc=example,dc=org";
pub(crate) const BIND_PASSWORD: &str = "Pw4-bind-secret-s6Lk";

/// A user's entry: attributes with their values.
pub(crate) type Person<'a> = &'a [(&'a str, &'a [u8])];

/// A running slapd.
pub(crate) struct Slapd {
    pub(crate) port: u16,
    pub(crate) port_tls: u16,
    folder: tempfile::TempDir,
    child: Option<Child>,
    _ports: Ports,
}

impl Slapd {
    /// Starts it with `people`, who have at least a `uid`.
    pub(crate) fn start(people: &[Person<'_>]) -> Self {
        Self::start_with(people, "")
    }

    /// Starts it with more lines of its configuration.
    pub(crate) fn start_with(people: &[Person<'_>], more: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("bearward-ldap").tempdir().expect("temporary folder");
        let mut ports = Ports::reserve();
        let (port, port_tls) = (ports.take(), ports.take());
        dev::ensure(&folder.path().join("certs"), "localhost", UnixTime::now()).expect("certificates");
        let mut slapd = Self { port, port_tls, folder, child: None, _ports: ports };
        slapd.configure(more);
        slapd.load(people);
        slapd.start_again();
        slapd
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The authority that its certificate comes from.
    pub(crate) fn ca(&self) -> PathBuf {
        self.path("certs/ca.pem")
    }

    fn configure(&self, more: &str) {
        fs::create_dir(self.path("data")).expect("data folder");
        let home = self.folder.path().display();
        let text = format!(
            "include /etc/ldap/schema/core.schema\ninclude /etc/ldap/schema/cosine.schema\n{SCHEMA}\
             modulepath /usr/lib/ldap\nmoduleload back_mdb\npidfile {home}/pid\nargsfile {home}/args\n\
             loglevel stats\n\
             TLSCACertificateFile {home}/certs/ca.pem\nTLSCertificateFile {home}/certs/server.pem\n\
             TLSCertificateKeyFile {home}/certs/server.key\n{more}\n\
             database mdb\nmaxsize 67108864\nsuffix dc=example,dc=org\nrootdn {BIND_DN}\n\
             rootpw {BIND_PASSWORD}\ndirectory {home}/data\ndbnosync\nindex objectClass,uid eq\n\
             access to attrs=mailPassword by * none\naccess to * by * read\n"
        );
        fs::write(self.path("slapd.conf"), text).expect("written");
    }

    fn load(&self, people: &[Person<'_>]) {
        let mut ldif = "dn: dc=example,dc=org\nobjectClass: domain\ndc: example\n\n\
                        dn: ou=people,dc=example,dc=org\nobjectClass: organizationalUnit\nou: people\n\n"
            .to_owned();
        for (number, person) in people.iter().enumerate() {
            ldif += &format!("dn: host=p{number},{BASE}\nobjectClass: mailUser\nhost: p{number}\n");
            for (name, value) in *person {
                ldif += &format!("{name}:: {}\n", base64(value));
            }
            ldif.push('\n');
        }
        fs::write(self.path("people.ldif"), ldif).expect("written");
        let output = Command::new("/usr/sbin/slapadd")
            .args(["-q", "-f"])
            .arg(self.path("slapd.conf"))
            .arg("-l")
            .arg(self.path("people.ldif"))
            .output()
            .expect("slapd is not installed: ./tests/run");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Starts it, on the same ports as before.
    pub(crate) fn start_again(&mut self) {
        let urls = format!("ldap://127.0.0.1:{}/ ldaps://127.0.0.1:{}/", self.port, self.port_tls);
        let log = fs::OpenOptions::new().create(true).append(true).open(self.path("log")).expect("log");
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "/usr/sbin/slapd", "-d", "stats", "-h", &urls, "-f"]);
        command.arg(self.path("slapd.conf")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.child = Some(command.spawn().expect("slapd starts"));
        let deadline = Instant::now() + Duration::from_secs(20);
        for port in [self.port, self.port_tls] {
            while TcpStream::connect(("127.0.0.1", port)).is_err() {
                let ended =
                    self.child.as_mut().is_some_and(|child| child.try_wait().expect("waited").is_some());
                assert!(!ended && Instant::now() < deadline, "slapd does not serve: {}", self.log());
                wait(Duration::from_millis(10));
            }
        }
    }

    /// Ends it; its data stay.
    pub(crate) fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let _ = Command::new("kill").arg(child.id().to_string()).status();
        let deadline = Instant::now() + Duration::from_secs(10);
        while matches!(child.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                let _ = child.kill();
            }
            wait(Duration::from_millis(10));
        }
    }

    /// Starts it anew with `new` in place of `old` in its configuration.
    pub(crate) fn change(&mut self, old: &str, new: &str) {
        self.stop();
        let text = fs::read_to_string(self.path("slapd.conf")).expect("configuration");
        assert!(text.contains(old), "{text}");
        fs::write(self.path("slapd.conf"), text.replace(old, new)).expect("written");
        self.start_again();
    }

    /// What it has logged: connections, binds, searches with their filters.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.path("log")).unwrap_or_default()).into_owned()
    }

    /// A certificate authority that it does not come from.
    pub(crate) fn stranger(&self) -> PathBuf {
        let folder = self.path("stranger");
        dev::ensure(&folder, "localhost", UnixTime::now()).expect("certificates");
        folder.join("ca.pem")
    }
}

impl Drop for Slapd {
    fn drop(&mut self) {
        self.stop();
        if std::thread::panicking() {
            eprintln!("slapd's log:\n{}", self.log());
        }
    }
}
