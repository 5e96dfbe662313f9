//! The sample mail server, spoken to directly: by hand, by Python's libraries and by curl.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    process::Command,
    time::{Duration, Instant},
};

use bearward::{
    model::{Login, Secret},
    sample::{MESSAGE_LIMIT, SampleServer, User},
};
use tokio::runtime::Runtime;

const ALICE: &str = "alice@example.org";
const BOB: &str = "bob@example.org";

/// The server and the runtime that it lives on.
struct Running {
    server: SampleServer,
    _runtime: Runtime,
}

fn start() -> Running {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let user = |login: &str, password: &str| User {
        login: Login::parse(login).unwrap(),
        password: Secret::copy_of(password.as_bytes()),
    };
    let _inside = runtime.enter();
    let server = SampleServer::start(vec![user(ALICE, "alice pw"), user(BOB, "bobpw")]).unwrap();
    drop(_inside);
    Running { server, _runtime: runtime }
}

/// A connection that speaks in whole lines.
struct Talk(BufReader<TcpStream>);

impl Talk {
    fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Self(BufReader::new(stream))
    }

    fn say(&mut self, octets: impl AsRef<[u8]>) {
        self.0.get_mut().write_all(octets.as_ref()).unwrap();
    }

    /// The next line without its end; empty when the server closed.
    fn hear(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end_matches("\r\n").to_owned()
    }

    /// Every line up to the one that begins with `word`, that one included.
    fn hear_until(&mut self, word: &str) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let line = self.hear();
            assert!(!line.is_empty(), "closed after {lines:?}");
            lines.push(line);
            if lines.last().unwrap().starts_with(word) {
                return lines;
            }
        }
    }

    /// Says a line and returns the answer up to `word`.
    fn ask(&mut self, line: &str, word: &str) -> Vec<String> {
        self.say(format!("{line}\r\n"));
        self.hear_until(word)
    }

    fn is_closed(&mut self) -> bool {
        let mut rest = Vec::new();
        matches!(self.0.read_to_end(&mut rest), Ok(0))
    }
}

fn imap_as_alice(running: &Running) -> Talk {
    let mut talk = Talk::to(running.server.addresses().imap);
    talk.hear();
    let answer = talk.ask("a LOGIN alice@example.org \"alice pw\"", "a ");
    assert!(answer.last().unwrap().starts_with("a OK"), "{answer:?}");
    talk
}

fn smtp_as_bob(running: &Running) -> Talk {
    let mut talk = Talk::to(running.server.addresses().smtp);
    talk.hear();
    talk.ask("EHLO client.example", "250 ");
    // \0bob@example.org\0bobpw
    let answer = talk.ask("AUTH PLAIN AGJvYkBleGFtcGxlLm9yZwBib2Jwdw==", "");
    assert!(answer[0].starts_with("235 "), "{answer:?}");
    talk
}

#[test]
fn nothing_is_answered_before_a_login() {
    let running = start();
    let addresses = running.server.addresses();
    let mut imap = Talk::to(addresses.imap);
    imap.hear();
    for command in ["LIST \"\" *", "SELECT INBOX", "IDLE", "APPEND INBOX {1+}\r\nx"] {
        assert!(imap.ask(&format!("a {command}"), "a ").last().unwrap().starts_with("a BAD"), "{command}");
    }
    let mut pop3 = Talk::to(addresses.pop3);
    pop3.hear();
    for command in ["STAT", "LIST", "RETR 1", "DELE 1"] {
        assert!(pop3.ask(command, "")[0].starts_with("-ERR"), "{command}");
    }
    let mut smtp = Talk::to(addresses.smtp);
    smtp.hear();
    smtp.ask("EHLO x", "250 ");
    for (command, code) in [("MAIL FROM:<a@b>", "530 "), ("RCPT TO:<a@b>", "530 "), ("DATA", "503 ")] {
        assert!(smtp.ask(command, "")[0].starts_with(code), "{command}");
    }
}

#[test]
fn a_wrong_password_is_refused_and_a_row_of_them_ends_the_connection() {
    let running = start();
    let mut imap = Talk::to(running.server.addresses().imap);
    imap.hear();
    for _ in 0..5 {
        let answer = imap.ask("a LOGIN alice@example.org bobpw", "a ");
        assert_eq!(answer, ["a NO [AUTHENTICATIONFAILED] Wrong name or password"]);
    }
    assert!(imap.ask("a LOGIN nobody@example.org x", "a ")[0].starts_with("* BYE"));
    assert!(imap.is_closed());
    let mut smtp = Talk::to(running.server.addresses().smtp);
    smtp.hear();
    // PLAIN with an authorization identity that is not the user's own: bob@example.org\0alice@example.org\0alice pw
    let foreign = "AUTH PLAIN Ym9iQGV4YW1wbGUub3JnAGFsaWNlQGV4YW1wbGUub3JnAGFsaWNlIHB3";
    assert!(smtp.ask(foreign, "")[0].starts_with("535 5.7.8"));
}

#[test]
fn what_is_sent_arrives_and_wakes_an_idle_session() {
    let running = start();
    let mut imap = imap_as_alice(&running);
    assert!(imap.ask("b SELECT inbox", "b ").contains(&"* 3 EXISTS".to_owned()));
    assert_eq!(imap.ask("c IDLE", "+"), ["+ Idling"]);

    let mut smtp = smtp_as_bob(&running);
    smtp.say("MAIL FROM:<bob@example.org> BODY=8BITMIME\r\nRCPT TO:<nobody@example.org>\r\nRCPT TO:<alice@EXAMPLE.org>\r\nDATA\r\n");
    let codes: Vec<_> = (0..4).map(|_| smtp.hear()[..3].to_owned()).collect();
    assert_eq!(codes, ["250", "550", "250", "354"]);
    smtp.say("Subject: dots\r\n\r\n..\r\n...x\r\n\n.\n\r\n.\r\nNOOP\r\n");
    assert!(smtp.hear().starts_with("250 2.0.0"));
    assert!(smtp.hear().starts_with("250 2.0.0"));

    assert_eq!(imap.hear(), "* 4 EXISTS");
    assert_eq!(imap.ask("DONE", "c "), ["c OK Idled"]);
    imap.say("d FETCH 4 BODY[TEXT]\r\n");
    assert_eq!(imap.hear(), "* 4 FETCH (BODY[TEXT] {13}");
    let mut body = [0; 13];
    imap.0.read_exact(&mut body).unwrap();
    assert_eq!(&body, b".\r\n..x\r\n\n.\n\r\n");
    assert_eq!(imap.hear_until("d "), [" FLAGS (\\Seen))", "d OK Fetched"]);
}

#[test]
fn a_refused_data_is_no_message() {
    let running = start();
    let mut smtp = smtp_as_bob(&running);
    for line in ["DATA", "RCPT TO:<alice@example.org>"] {
        assert!(smtp.ask(line, "")[0].starts_with("503 "), "{line}");
    }
    smtp.ask("MAIL FROM:<>", "");
    assert!(smtp.ask("RCPT TO:<mallory@example.net>", "")[0].starts_with("550 5.1.1"));
    assert!(smtp.ask("DATA", "")[0].starts_with("503 "));
    assert!(smtp.ask("NOOP", "")[0].starts_with("250 "));
    let too_large = format!("MAIL FROM:<> SIZE={}", MESSAGE_LIMIT + 1);
    smtp.ask("RSET", "");
    assert!(smtp.ask(&too_large, "")[0].starts_with("552 "));
}

#[test]
fn two_sessions_see_each_others_changes_and_numbers_stand_still_in_between() {
    let running = start();
    let (mut one, mut two) = (imap_as_alice(&running), imap_as_alice(&running));
    one.ask("b SELECT INBOX", "b ");
    two.ask("b SELECT INBOX", "b ");
    one.ask("c STORE 1 +FLAGS.SILENT (\\Deleted)", "c ");
    assert_eq!(one.ask("d EXPUNGE", "d "), ["* 1 EXPUNGE", "d OK Expunged"]);
    // The other still knows three messages, the first of which is gone.
    assert_eq!(two.ask("d FETCH 1:* UID", "d "), ["* 2 FETCH (UID 2)", "* 3 FETCH (UID 3)", "d OK Fetched"]);
    assert_eq!(two.ask("e NOOP", "e "), ["* 1 EXPUNGE", "e OK Done"]);
    assert_eq!(two.ask("f UID STORE 3 FLAGS (\\Flagged)", "f ")[0], "* 2 FETCH (FLAGS (\\Flagged) UID 3)");
    assert_eq!(one.ask("g NOOP", "g ")[0], "* 2 FETCH (FLAGS (\\Flagged) UID 3)");
    assert_eq!(one.ask("h UID SEARCH FLAGGED", "h ")[0], "* SEARCH 3");
    assert_eq!(one.ask("i COPY 1:2 Trash", "i "), ["i OK [COPYUID 4 2,3 1,2] Copied"]);
    one.ask("j STORE 1:2 +FLAGS (\\Deleted)", "j ");
    assert_eq!(one.ask("k UID EXPUNGE 3:9", "k ")[0], "* 2 EXPUNGE");
}

#[test]
fn a_literal_beyond_the_limit_costs_the_command_and_not_the_session() {
    let running = start();
    let mut imap = imap_as_alice(&running);
    let answer = imap.ask("b APPEND INBOX {99999999999999999999}", "b ");
    assert_eq!(answer, ["b NO [TOOBIG] Literal too large"]);
    assert!(imap.ask("c NOOP", "c ")[0].starts_with("c OK"));
    // Nobody waits for an answer here, so what follows cannot be told from a command.
    assert!(imap.ask("d APPEND INBOX {99999999+}", "* BYE")[0].contains("TOOBIG"));
    assert!(imap.is_closed());
}

#[test]
fn lines_without_end_and_bad_commands_without_end_are_cut() {
    let running = start();
    let addresses = running.server.addresses();
    for (address, limit) in [(addresses.imap, 70 << 10), (addresses.pop3, 5000), (addresses.smtp, 5000)] {
        let mut talk = Talk::to(address);
        talk.hear();
        talk.say("x".repeat(limit));
        let farewell = talk.hear();
        assert!(farewell.to_lowercase().contains("too long"), "{farewell}");
    }
    for address in [addresses.imap, addresses.pop3, addresses.smtp] {
        let mut talk = Talk::to(address);
        talk.hear();
        talk.say("GET / HTTP/1.1\r\n".repeat(30));
        let mut rest = Vec::new();
        // The server closes with octets unread, which the system may turn into a reset.
        let _ = talk.0.read_to_end(&mut rest);
        assert!(String::from_utf8_lossy(&rest).lines().count() < 30);
    }
}

#[test]
fn a_message_of_ten_megabytes_comes_back_as_it_went() {
    let running = start();
    let mut message = b"Subject: large\r\n\r\n".to_vec();
    message.extend((0..10_000_000_u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8));
    let mut imap = imap_as_alice(&running);
    imap.ask(&format!("b APPEND Sent {{{}}}", message.len()), "+");
    imap.say(&message);
    imap.say("\r\n");
    assert_eq!(imap.hear(), "b OK [APPENDUID 3 1] Appended");
    imap.ask("c EXAMINE Sent", "c ");
    imap.say("d UID FETCH 1 BODY.PEEK[]\r\n");
    assert_eq!(imap.hear(), format!("* 1 FETCH (UID 1 BODY[] {{{}}}", message.len()));
    let mut back = vec![0; message.len()];
    imap.0.read_exact(&mut back).unwrap();
    assert!(back == message);
    assert_eq!(imap.hear_until("d "), [")", "d OK Fetched"]);
}

#[test]
fn a_stopped_server_ends_its_connections() {
    let Running { server, _runtime } = start();
    let address = server.addresses().imap;
    let mut talk = Talk::to(address);
    talk.hear();
    server.stop();
    assert!(talk.is_closed());
    let deadline = Instant::now() + Duration::from_secs(5);
    while TcpStream::connect(address).is_ok() {
        assert!(Instant::now() < deadline, "it still accepts");
        std::thread::yield_now();
    }
}

#[test]
fn the_libraries_of_python_are_served() {
    let running = start();
    let addresses = running.server.addresses();
    let script = r#"
import imaplib, poplib, smtplib, sys
imap_port, pop3_port, smtp_port = map(int, sys.argv[1:])
s = smtplib.SMTP("127.0.0.1", smtp_port)
s.login("bob@example.org", "bobpw")
body = "Subject: from python\r\n\r\n.leading dot\r\nend\r\n"
assert s.sendmail("bob@example.org", ["alice@example.org"], body) == {}
try:
    s.sendmail("bob@example.org", ["nobody@example.org"], body)
    raise SystemExit("an unknown recipient was taken")
except smtplib.SMTPRecipientsRefused as e:
    assert e.recipients["nobody@example.org"][0] == 550
s.quit()
i = imaplib.IMAP4("127.0.0.1", imap_port)
i.authenticate("PLAIN", lambda _: b"\0alice@example.org\0alice pw")
assert [line.split(b'"')[-2] for line in i.list()[1]] == [b"Drafts", b"INBOX", b"Sent", b"Trash"]
assert i.select()[1] == [b"4"]
assert i.search(None, "SUBJECT", '"FROM python"')[1] == [b"4"]
assert i.fetch("4", "(BODY.PEEK[])")[1][0][1].endswith(body.encode())
assert b"alice" in i.fetch("1", "(ENVELOPE BODYSTRUCTURE)")[1][0]
assert i.append("Sent", "\\Seen", None, body.encode())[0] == "OK"
assert i.status("Sent", "(MESSAGES UNSEEN)")[1] == [b'"Sent" (MESSAGES 1 UNSEEN 0)']
assert i.copy("4", "Archive")[0] == "NO"
assert i.create("Archive")[0] == "OK" and i.copy("4", "Archive")[0] == "OK"
i.logout()
p = poplib.POP3("127.0.0.1", pop3_port)
p.user("alice@example.org")
p.pass_("alice pw")
assert p.stat()[0] == 4 and len(p.uidl()[1]) == 4
assert p.retr(4)[1][-2:] == [b".leading dot", b"end"]
assert p.top(4, 1)[1][-1] == b".leading dot"
p.dele(4)
p.quit()
p = poplib.POP3("127.0.0.1", pop3_port)
p.user("alice@example.org")
p.pass_("alice pw")
assert p.stat()[0] == 3
p.quit()
"#;
    let ports = [addresses.imap, addresses.pop3, addresses.smtp].map(|address| address.port().to_string());
    let output = Command::new("python3").arg("-c").arg(script).args(ports).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn curl_is_served() {
    let running = start();
    let addresses = running.server.addresses();
    let curl = |user: &str, arguments: &[&str]| {
        let mut command = Command::new("curl");
        command.args(["-sS", "--max-time", "20", "-u", user]).args(arguments);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let alice = "alice@example.org:alice pw";
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("message");
    std::fs::write(&file, "Subject: from curl\n\nhello\n").unwrap();
    let upload = file.to_str().unwrap();
    let smtp = format!("smtp://{}", addresses.smtp);
    curl(
        "bob@example.org:bobpw",
        &[&smtp, "--mail-from", BOB, "--mail-rcpt", ALICE, "--crlf", "--upload-file", upload],
    );
    let imap = format!("imap://{}/INBOX", addresses.imap);
    assert!(curl(alice, &[&format!("{imap};MAILINDEX=4")]).ends_with("Subject: from curl\r\n\r\nhello\r\n"));
    assert!(curl(alice, &[&format!("{imap}?SUBJECT%20curl")]).contains("* SEARCH 4"));
    curl(alice, &["--upload-file", upload, &imap]);
    let pop3 = format!("pop3://{}", addresses.pop3);
    assert_eq!(curl(alice, &[&format!("{pop3}/")]).lines().count(), 5);
    assert!(curl(alice, &[&format!("{pop3}/4")]).contains("from curl"));
}

#[test]
fn mbsync_msmtp_and_mpop_are_served() {
    let running = start();
    let addresses = running.server.addresses();
    let directory = tempfile::tempdir().unwrap();
    let home = directory.path();
    let run = |program: &str, configuration: String, arguments: &[&str], input: &str| {
        use std::os::unix::fs::PermissionsExt;
        let (file, message) = (home.join(program), home.join("message"));
        std::fs::write(&file, configuration).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(&message, input).unwrap();
        let mut command = Command::new(program);
        command.arg(if program == "mbsync" { "-c" } else { "-C" }).arg(&file).args(arguments);
        let output =
            command.env("HOME", home).stdin(std::fs::File::open(&message).unwrap()).output().unwrap();
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let account = |port: u16, user: &str, password: &str| {
        format!(
            "account default\nhost 127.0.0.1\nport {port}\ntls off\nauth plain\nuser {user}\npassword \"{password}\"\n"
        )
    };
    let msmtp = account(addresses.smtp.port(), BOB, "bobpw") + &format!("from {BOB}\n");
    run("msmtp", msmtp, &[ALICE], "Subject: from msmtp\n\nhello\n");

    let count = |folder: &str| {
        let files = std::fs::read_dir(home.join(folder)).into_iter().flatten();
        files.filter(|file| file.as_ref().unwrap().file_type().unwrap().is_file()).count()
    };
    for name in ["cur", "new", "tmp"] {
        std::fs::create_dir_all(home.join("mpop-mail").join(name)).unwrap();
        std::fs::create_dir_all(home.join("near/Written").join(name)).unwrap();
    }
    let mpop = account(addresses.pop3.port(), ALICE, "alice pw")
        + &format!("keep on\nuidls_file {0}/uidls\ndelivery maildir {0}/mpop-mail\n", home.display());
    run("mpop", mpop, &[], "");
    assert_eq!(count("mpop-mail/new"), 4);

    std::fs::write(home.join("near/Written/new/1.a.b"), "Subject: written here\n\nup\n").unwrap();
    let mbsync = format!(
        "IMAPAccount far\nHost 127.0.0.1\nPort {}\nUser {ALICE}\nPass \"alice pw\"\nSSLType None\nAuthMechs LOGIN\n\n\
         IMAPStore far\nAccount far\n\nMaildirStore near\nPath {home}/near/\nInbox {home}/near/INBOX\nSubFolders Verbatim\n\n\
         Channel all\nFar :far:\nNear :near:\nPatterns *\nCreate Both\nExpunge Both\nSync All\nSyncState *\n",
        addresses.imap.port(),
        home = home.display(),
    );
    run("mbsync", mbsync.clone(), &["all"], "");
    assert_eq!(count("near/INBOX/new"), 4);
    let one = std::fs::read_dir(home.join("near/INBOX/new")).unwrap().next().unwrap().unwrap();
    std::fs::remove_file(one.path()).unwrap();
    run("mbsync", mbsync, &["all"], "");
    let mut imap = imap_as_alice(&running);
    assert!(imap.ask("b EXAMINE INBOX", "b ").contains(&"* 3 EXISTS".to_owned()));
    assert!(imap.ask("c EXAMINE Written", "c ").contains(&"* 1 EXISTS".to_owned()));
}
