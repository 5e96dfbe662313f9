//! Programs that know no OAuth: Python's libraries, curl and msmtp with an app password.

use std::fs;

use crate::support::*;

fn serves_programs_without_oauth(login: Login) {
    let servers = Servers::start("");
    let bearward = Bearward::start(&servers, login);
    let mut arguments =
        vec!["app-password", "add", "--user", ALICE, "--name", "Printer", "--network", "127.0.0.0/8"];
    let mut input = String::new();
    if login == Login::Sealed {
        arguments.push("--password-stdin");
        input = format!("{ALICE_PASSWORD}\n");
    }
    let password = bearward.command(&arguments, &input).trim().to_owned();
    let (ca, target) = (servers.folder.ca(), &bearward.target);
    let ca = ca.to_str().unwrap();
    let curl = |url: &str, more: &[&str]| {
        let user = format!("{ALICE}:{password}");
        let fixed = ["-sS", "--max-time", "50", "--cacert", ca, "-u", &user];
        run(&servers.folder, "curl", &[&fixed, more, &[url]].concat(), None)
    };
    let imaps = format!("imaps://localhost:{}", target.imaps);
    // It is noticed within a second that there is an app password.
    eventually("a sign-in by curl", || (curl(&imaps, &[]).code == Some(0)).then_some(()));
    let ports = [target.imaps, target.pop3s, target.smtps].map(|port| port.to_string());
    let [imap, pop3, smtp] = &ports;
    python(&servers.folder, "app_password.py", &[ca, imap, pop3, smtp, ALICE, &password, BOB]).ok();

    for options in ["AUTH=PLAIN", "AUTH=LOGIN", "AUTH=+LOGIN"] {
        let listed = curl(&imaps, &["--login-options", options]).ok_text();
        assert!(listed.contains("* LIST"), "{options}");
    }
    curl(&format!("pop3s://localhost:{}/", target.pop3s), &["--login-options", "AUTH=PLAIN"]).ok();
    assert!(curl(&format!("imap://localhost:{}", target.imap), &["--ssl-reqd"]).ok_text().contains("* LIST"));

    let message = servers.folder.path().join("short");
    for mechanism in ["plain", "login"] {
        let text = format!("From: <{ALICE}>\r\nTo: <{BOB}>\r\nSubject: msmtp {mechanism}\r\n\r\nhello\r\n");
        fs::write(&message, text).unwrap();
        let configuration = format!(
            "account default\nhost localhost\nport {}\ntls on\ntls_starttls off\ntls_trust_file {ca}\n\
             auth {mechanism}\nuser {ALICE}\npasswordeval echo {password}\nfrom {ALICE}\n",
            target.smtps,
        );
        let file = servers.folder.sub("home").join("msmtprc");
        fs::write(&file, configuration).unwrap();
        fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        run(&servers.folder, "msmtp", &["-C", file.to_str().unwrap(), BOB], Some(&message)).ok();
    }
    let mailbox = servers.folder.path().join("dovecot/mail").join(BOB);
    for subject in ["python PLAIN", "python LOGIN", "msmtp plain", "msmtp login"] {
        let line = format!("Subject: {subject}\n");
        eventually(subject, || {
            let files = ["new", "cur"].iter().filter_map(|name| fs::read_dir(mailbox.join(name)).ok());
            files.flatten().flatten().any(|file| read(&file.path()).contains(&line)).then_some(())
        });
    }
    assert!(!bearward.log().contains(&password));
}

#[test]
fn sealed_serves_programs_without_oauth() {
    serves_programs_without_oauth(Login::Sealed);
}

#[test]
fn master_serves_programs_without_oauth() {
    serves_programs_without_oauth(Login::Master);
}
