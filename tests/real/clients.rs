//! Every client, both mechanisms where it has them, with a good, an expired and a wrong-scope token, over each way
//! to log in to the mail server.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::support::*;

/// Octets of the large message.
const LARGE: usize = 10_000_000;
const MECHANISMS: [&str; 2] = ["OAUTHBEARER", "XOAUTH2"];

/// Servers, Bearward before them, and tokens of Alice.
struct House {
    bearward: Bearward,
    servers: Servers,
    good: String,
    expired: String,
    /// Works for POP3 and SMTP, not for IMAP.
    not_imap: String,
    /// Works for IMAP, not for POP3 and SMTP.
    only_imap: String,
}

impl House {
    fn build(login: Login) -> Self {
        let servers = Servers::start("");
        let bearward = Bearward::start(&servers, login);
        let expired = bearward.token_with(ALICE, &["--lifetime", "1s"]);
        let good = bearward.token(ALICE);
        let not_imap = bearward.token_with(ALICE, &["--scope", "pop3 smtp"]);
        let only_imap = bearward.token_with(ALICE, &["--scope", "imap"]);
        eventually("the expiry of a token", || {
            bearward.command(&["token", "inspect", &expired], "").contains("expired").then_some(())
        });
        Self { bearward, servers, good, expired, not_imap, only_imap }
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Outcome {
        run(&self.servers.folder, program, arguments, None)
    }

    /// A message of [`LARGE`] octets with lines of text, as a file.
    fn large_message(&self) -> (PathBuf, Vec<u8>) {
        let mut message = format!("From: <{ALICE}>\r\nTo: <{ALICE}>\r\nSubject: large\r\n\r\n").into_bytes();
        let mut number = 1_u32;
        while message.len() < LARGE {
            for _ in 0..72 {
                number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                message.push(b' ' + 1 + (number >> 24) as u8 % 93);
            }
            message.extend_from_slice(b"\r\n");
        }
        let path = self.servers.folder.path().join("large");
        fs::write(&path, &message).unwrap();
        (path, message)
    }

    /// A short message to Bob, as a file.
    fn short_message(&self, subject: &str) -> PathBuf {
        let path = self.servers.folder.path().join("short");
        let text = format!("From: <{ALICE}>\r\nTo: <{BOB}>\r\nSubject: {subject}\r\n\r\n.a dot\r\nhello\r\n");
        fs::write(&path, text).unwrap();
        path
    }

    /// A configuration file in the client's home, which only its owner may read.
    fn file(&self, name: &str, text: &str) -> String {
        use std::os::unix::fs::PermissionsExt;
        let path = self.servers.folder.sub("home").join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn ca(&self) -> String {
        self.servers.folder.ca().to_str().unwrap().to_owned()
    }

    /// Waits until Bob has a message with that subject, as Dovecot's files show it.
    fn bob_gets(&self, subject: &str) {
        let mailbox = self.servers.folder.path().join("dovecot/mail").join(BOB);
        let line = format!("Subject: {subject}\n");
        eventually(subject, || {
            let files =
                ["new", "cur"].iter().filter_map(|name| fs::read_dir(mailbox.join(name)).ok()).flatten();
            files.flatten().any(|file| read(&file.path()).contains(&line)).then_some(())
        });
    }

    /// Runs one of the Python scripts for a protocol with all tokens.
    fn python(&self, script: &str, port: u16, mechanism: &str, wrong: &str, more: &[&str]) {
        let (ca, port) = (self.ca(), port.to_string());
        let mut arguments = vec![ca.as_str(), &port, mechanism, ALICE, &self.good, &self.expired, wrong];
        arguments.extend(more);
        python(&self.servers.folder, script, &arguments).ok();
    }
}

fn curl_reads_appends_and_sends(login: Login) {
    let house = House::build(login);
    let ca = house.ca();
    let user = format!("{ALICE}:");
    let curl = |token: &str, more: &[&str]| {
        let mut arguments = vec!["-sS", "--max-time", "50", "--cacert", &ca, "--oauth2-bearer", token];
        arguments.extend(["-u", &user]);
        arguments.extend(more);
        house.run("curl", &arguments)
    };
    let (large, content) = house.large_message();
    for (index, mechanism) in MECHANISMS.into_iter().enumerate() {
        let only_xoauth2 = mechanism == "XOAUTH2";
        let target = if only_xoauth2 { &house.bearward.xoauth2 } else { &house.bearward.target };
        let imaps = format!("imaps://localhost:{}", target.imaps);
        let (imap, pop3s) =
            (format!("imap://localhost:{}", target.imap), format!("pop3s://localhost:{}", target.pop3s));
        let (smtps, smtp) =
            (format!("smtps://localhost:{}", target.smtps), format!("smtp://localhost:{}", target.smtp));
        let good = |more: &[&str]| curl(&house.good, more);
        assert!(good(&[&imaps]).ok_text().contains("* LIST"), "{mechanism}");
        assert!(good(&["--ssl-reqd", &imap]).ok_text().contains("* LIST"), "{mechanism}");
        good(&["-T", large.to_str().unwrap(), &format!("{imaps}/INBOX")]).ok();
        let fetched = good(&[&format!("{imaps}/INBOX;MAILINDEX={}", index + 1)]).ok();
        assert!(fetched == content, "{mechanism}: {} octets came back of {}", fetched.len(), content.len());
        assert_eq!(good(&[&format!("{pop3s}/")]).ok_text().lines().count(), index + 1, "{mechanism}");
        let fetched = good(&["--sasl-ir", &format!("{pop3s}/{}", index + 1)]).ok();
        assert!(fetched == content, "{mechanism}: {} octets came by POP3", fetched.len());
        for (url, more) in [(&smtps, "--sasl-ir"), (&smtp, "--ssl-reqd")] {
            let subject = format!("curl {mechanism} {more}");
            let message = house.short_message(&subject);
            good(&[more, url, "--mail-from", ALICE, "--mail-rcpt", BOB, "-T", message.to_str().unwrap()])
                .ok();
            house.bob_gets(&subject);
        }
        for token in [&house.expired, &house.not_imap, "no-token-at-all"] {
            assert_eq!(curl(token, &[&imaps]).code, Some(67), "{mechanism}");
        }
        for token in [&house.expired, &house.only_imap] {
            assert_eq!(curl(token, &[&pop3s]).code, Some(67), "{mechanism}");
            let message = house.short_message("refused");
            let send = ["--mail-from", ALICE, "--mail-rcpt", BOB, "-T", message.to_str().unwrap(), &smtps];
            assert_eq!(curl(token, &send).code, Some(67), "{mechanism}");
        }
        for protocol in ["imap", "pop3", "smtp"] {
            let signed_in = format!("protocol=\"{protocol}\" mechanism=\"{mechanism}\"");
            eventually(&signed_in, || house.bearward.log().contains(&signed_in).then_some(()));
        }
    }
}

fn pythons_libraries_read_append_idle_and_send(login: Login) {
    let house = House::build(login);
    let target = &house.bearward.target;
    let (large, _) = house.large_message();
    let large = large.to_str().unwrap();
    let bob = house.bearward.token(BOB);
    let imaps = target.imaps.to_string();
    for mechanism in MECHANISMS {
        house.python("imap.py", target.imaps, mechanism, &house.not_imap, &[large]);
        house.python("pop3.py", target.pop3s, mechanism, &house.only_imap, &[large]);
        house.python("smtp.py", target.smtps, mechanism, &house.only_imap, &[large, BOB, &bob, &imaps]);
    }
}

fn msmtp_sends(login: Login) {
    let house = House::build(login);
    let target = &house.bearward.target;
    for mechanism in MECHANISMS {
        let send = |token: &str, subject: &str| {
            let configuration = format!(
                "account default\nhost localhost\nport {}\ntls on\ntls_starttls off\ntls_trust_file {}\nauth {}\nuser {ALICE}\npasswordeval echo {token}\nfrom {ALICE}\n",
                target.smtps,
                house.ca(),
                mechanism.to_lowercase(),
            );
            let file = house.file("msmtprc", &configuration);
            run(&house.servers.folder, "msmtp", &["-C", &file, BOB], Some(&house.short_message(subject)))
        };
        let subject = format!("msmtp {mechanism}");
        send(&house.good, &subject).ok();
        house.bob_gets(&subject);
        for token in [&house.expired, &house.only_imap] {
            assert!(send(token, "refused").refused().contains("535"), "{mechanism}");
        }
    }
}

fn mpop_fetches(login: Login) {
    let house = House::build(login);
    let (large, content) = house.large_message();
    let target = &house.bearward.target;
    append(&house, &large);
    for mechanism in MECHANISMS {
        let fetch = |token: &str| {
            let mailbox = house.servers.folder.sub(&format!("mpop-{mechanism}"));
            for name in ["cur", "new", "tmp"] {
                fs::create_dir_all(mailbox.join(name)).unwrap();
            }
            let configuration = format!(
                "account default\nhost localhost\nport {}\ntls on\ntls_starttls off\ntls_trust_file {}\nauth {}\nuser {ALICE}\npasswordeval echo {token}\nkeep on\nreceived_header off\ndelivery maildir {}\nuidls_file {}/uidls\n",
                target.pop3s,
                house.ca(),
                mechanism.to_lowercase(),
                mailbox.display(),
                mailbox.display(),
            );
            let file = house.file("mpoprc", &configuration);
            (house.run("mpop", &["-C", &file]), mailbox)
        };
        for token in [&house.expired, &house.only_imap] {
            assert!(fetch(token).0.refused().contains("-ERR"), "{mechanism}");
        }
        let (outcome, mailbox) = fetch(&house.good);
        outcome.ok();
        let fetched = only_file(&mailbox.join("new"));
        assert!(fetched == without_cr(&content), "{mechanism}: {} octets", fetched.len());
    }
}

fn mutt_opens_a_mailbox_and_sends(login: Login) {
    let house = House::build(login);
    let target = &house.bearward.target;
    append(&house, &house.short_message("for mutt"));
    for mechanism in MECHANISMS {
        let mutt = |token: &str, arguments: &str, input: Option<&Path>| {
            let mechanism = mechanism.to_lowercase();
            let configuration = format!(
                "set imap_user=\"{ALICE}\" folder=\"imaps://localhost:{imaps}\"\nset imap_authenticators=\"{mechanism}\" smtp_authenticators=\"{mechanism}\"\nset imap_oauth_refresh_command=\"echo {token}\" smtp_oauth_refresh_command=\"echo {token}\"\nset smtp_url=\"smtps://{ALICE}@localhost:{smtps}/\" from=\"{ALICE}\"\nset certificate_file=\"{ca}\" header_cache=\"\" record=\"\" imap_passive=yes wait_key=no quit=yes sleep_time=0\n",
                imaps = target.imaps,
                smtps = target.smtps,
                ca = house.ca(),
            );
            let file = house.file("muttrc", &configuration);
            let line = format!("mutt -F {file} {arguments}");
            let arguments = ["-qec", &line, "/dev/null"];
            let whole = ["-c", &line];
            match input {
                Some(path) => run(&house.servers.folder, "sh", &whole, Some(path)),
                None => house.run("script", &arguments),
            }
        };
        let copy = house.servers.folder.path().join(format!("mutt-{mechanism}"));
        let open = format!(
            "-f imaps://localhost:{}/INBOX -e 'set mbox_type=Maildir confirmcreate=no confirmappend=no' -e 'push \"<copy-message>{}<enter><quit>\"'",
            target.imaps,
            copy.display()
        );
        mutt(&house.good, &open, None).ok();
        assert!(
            String::from_utf8_lossy(&only_file(&copy.join("cur"))).contains(".a dot\nhello\n"),
            "{mechanism}"
        );
        for token in [&house.expired, &house.not_imap] {
            fs::remove_dir_all(&copy).ok();
            mutt(token, &open, None);
            assert!(!copy.exists(), "{mechanism}: mutt opened the mailbox with a bad token");
        }
        let subject = format!("mutt {mechanism}");
        let body = house.short_message("ignored");
        mutt(&house.good, &format!("-s '{subject}' -- {BOB}"), Some(&body)).ok();
        house.bob_gets(&subject);
        for token in [&house.expired, &house.only_imap] {
            mutt(token, &format!("-s refused -- {BOB}"), Some(&body)).refused();
        }
    }
}

/// Debian's plug-in for it knows XOAUTH2 only.
fn mbsync_syncs_both_ways(login: Login) {
    let house = House::build(login);
    let target = &house.bearward.target;
    let (large, content) = house.large_message();
    append(&house, &large);
    let near = house.servers.folder.sub("near");
    let sync = |token: &str| {
        let configuration = format!(
            "IMAPAccount far\nHost localhost\nPort {}\nUser {ALICE}\nPassCmd \"echo {token}\"\nSSLType IMAPS\nSystemCertificates no\nCertificateFile {}\nAuthMechs XOAUTH2\n\nIMAPStore far\nAccount far\n\nMaildirStore near\nPath {near}/\nInbox {near}/INBOX\n\nChannel all\nFar :far:\nNear :near:\nCreate Near\nSync All\nSyncState *\n",
            target.imaps,
            house.ca(),
            near = near.display(),
        );
        let file = house.file("mbsyncrc", &configuration);
        house.run("mbsync", &["-c", &file, "all"])
    };
    for token in [&house.expired, &house.not_imap] {
        // It fails, or falls over its own plug-in; either way it says what it heard.
        let outcome = sync(token);
        assert!(outcome.code != Some(0) && outcome.errors.contains("AUTHENTICATIONFAILED"), "{outcome:?}");
    }
    sync(&house.good).ok();
    // It marks what it has copied.
    let fetched = String::from_utf8(only_file(&near.join("INBOX/cur"))).unwrap();
    let fetched: String =
        fetched.split_inclusive('\n').filter(|line| !line.starts_with("X-TUID: ")).collect();
    assert!(fetched.as_bytes() == without_cr(&content), "{} octets", fetched.len());
    fs::write(near.join("INBOX/new/1.written.here"), "Subject: from here\n\nup\n").unwrap();
    sync(&house.good).ok();
    let ca = house.ca();
    let url = format!("imaps://localhost:{}/INBOX;MAILINDEX=2", target.imaps);
    let user = format!("{ALICE}:");
    let arguments = ["-sS", "--cacert", &ca, "--oauth2-bearer", &house.good, "-u", &user, &url];
    assert!(house.run("curl", &arguments).ok_text().ends_with("\r\n\r\nup\r\n"));
}

/// Puts a message into Alice's INBOX, through Bearward.
fn append(house: &House, message: &Path) {
    let (ca, user) = (house.ca(), format!("{ALICE}:"));
    let url = format!("imaps://localhost:{}/INBOX", house.bearward.target.imaps);
    let file = message.to_str().unwrap();
    house
        .run("curl", &["-sS", "--cacert", &ca, "--oauth2-bearer", &house.good, "-u", &user, "-T", file, &url])
        .ok();
}

/// What the one file of a folder holds.
#[track_caller]
fn only_file(folder: &Path) -> Vec<u8> {
    let files: Vec<_> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    fs::read(&files[0]).unwrap()
}

fn without_cr(octets: &[u8]) -> Vec<u8> {
    octets.iter().copied().filter(|octet| *octet != b'\r').collect()
}

/// One test for each client and each way to log in upstream.
macro_rules! over_each_login {
    ($($client:ident)*) => {
        mod over_sealed {
            $(#[test] fn $client() { super::$client(crate::support::Login::Sealed); })*
        }
        mod over_master {
            $(#[test] fn $client() { super::$client(crate::support::Login::Master); })*
        }
        mod over_authzid {
            $(#[test] fn $client() { super::$client(crate::support::Login::Authzid); })*
        }
    };
}

over_each_login! {
    curl_reads_appends_and_sends
    pythons_libraries_read_append_idle_and_send
    msmtp_sends
    mpop_fetches
    mutt_opens_a_mailbox_and_sends
    mbsync_syncs_both_ways
}
