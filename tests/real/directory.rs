//! Dovecot's authentication service, and saslauthd, as the directory of people.

use std::{
    net::IpAddr,
    os::unix::{net::UnixStream, process::CommandExt},
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use bearward::{
    directory::{
        CheckError, DovecotAuth, DovecotAuthConfig, Names, PasswordCheck, Saslauthd, SaslauthdConfig,
        Verified,
    },
    model::{Login, Secret},
};

use crate::support::*;

const NEAR: &str = "192.0.2.7";
const FAR: &str = "2001:db8::7";

fn directory(servers: &Servers, socket: &str) -> Arc<DovecotAuth> {
    let config = DovecotAuthConfig {
        path: servers.folder.path().join(socket),
        service: "imap".into(),
        timeout: Duration::from_secs(60),
        domains: Vec::new(),
    };
    Arc::new(DovecotAuth::new(config, Names::default()))
}

async fn check(
    directory: &DovecotAuth,
    login: &str,
    password: &str,
    from: &str,
) -> Result<Verified, CheckError> {
    let (login, password) = (Login::parse(login).unwrap(), Secret::copy_of(password.as_bytes()));
    let from: IpAddr = from.parse().unwrap();
    directory.check(&login, &password, from).await
}

#[tokio::test]
async fn dovecot_says_whose_password_is_right_for_many_at_once() {
    let servers = Servers::start("");
    let directory = directory(&servers, "dovecot/sasl");
    assert_eq!(directory.probe().await.as_deref(), Ok("answers, and offers PLAIN"));
    let right = Ok(Verified::default());
    assert_eq!(check(&directory, ALICE, ALICE_PASSWORD, NEAR).await, right);
    assert_eq!(check(&directory, ALICE, "", NEAR).await, Err(CheckError::Wrong));
    let upper = check(&directory, &ALICE.to_uppercase(), ALICE_PASSWORD, NEAR).await.unwrap();
    assert_eq!(upper.login, Login::parse(ALICE).ok(), "Dovecot writes names in lower case");
    let asking: Vec<_> = (0..60)
        .map(|number| {
            let directory = Arc::clone(&directory);
            tokio::spawn(async move {
                let (login, password) = match number % 3 {
                    0 => (ALICE, ALICE_PASSWORD),
                    1 => (BOB, BOB_PASSWORD),
                    _ => (ALICE, BOB_PASSWORD),
                };
                // Each from another address, so that nobody is held back for somebody else.
                check(&directory, login, password, &format!("198.51.100.{number}")).await
            })
        })
        .collect();
    for (number, answer) in asking.into_iter().enumerate() {
        let expected = if number % 3 == 2 { Err(CheckError::Wrong) } else { right.clone() };
        assert_eq!(answer.await.unwrap(), expected, "{number}");
    }
    let nobody = check(&directory, "nobody@example.org", ALICE_PASSWORD, "203.0.113.1").await;
    assert_eq!(nobody, Err(CheckError::Wrong));
}

#[tokio::test]
async fn dovecots_penalty_falls_on_the_address_that_guesses() {
    let servers = Servers::start("");
    let directory = directory(&servers, "dovecot/sasl");
    for _ in 0..3 {
        assert_eq!(check(&directory, ALICE, "wrong", NEAR).await, Err(CheckError::Wrong));
    }
    let started = Instant::now();
    check(&directory, ALICE, ALICE_PASSWORD, FAR).await.unwrap();
    let far = started.elapsed();
    let started = Instant::now();
    check(&directory, ALICE, ALICE_PASSWORD, NEAR).await.unwrap();
    let near = started.elapsed();
    assert!(near > far + Duration::from_secs(2), "near {near:?}, far {far:?}");
}

#[tokio::test]
async fn a_socket_that_is_not_there_is_an_outage() {
    let servers = Servers::start("");
    let answer = check(&directory(&servers, "dovecot/none"), ALICE, ALICE_PASSWORD, NEAR).await;
    assert!(matches!(answer, Err(CheckError::Unavailable(_))), "{answer:?}");
}

/// A saslauthd that asks an IMAP server, which is ended with the test.
fn saslauthd(servers: &Servers, port: u16) -> (Process, Saslauthd) {
    let home = servers.folder.sub("saslauthd");
    let program = Unpacked::find("cyrus").command("usr/sbin/saslauthd");
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]).arg(program.get_program());
    command.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    // It ends its whole process group with itself.
    command.process_group(0);
    command
        .args(["-d", "-n", "0", "-a", "rimap", "-O"])
        .arg(format!("127.0.0.1/{port}"))
        .arg("-m")
        .arg(&home);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let process = Process::spawn("saslauthd", &mut command);
    let path = home.join("mux");
    eventually("saslauthd", || UnixStream::connect(&path).ok());
    let config = SaslauthdConfig {
        path,
        service: "imap".into(),
        split_realm: false,
        timeout: Duration::from_secs(60),
        domains: Vec::new(),
    };
    (process, Saslauthd::new(config))
}

#[tokio::test]
async fn saslauthd_says_whose_password_is_right_and_when_it_cannot_tell() {
    let servers = Servers::start("");
    let nobody = Login::parse("nobody@example.org").unwrap();
    let ask = async |daemon: &Saslauthd, login: &str, password: &str| {
        let (login, password) = (Login::parse(login).unwrap(), Secret::copy_of(password.as_bytes()));
        daemon.check(&login, &password, NEAR.parse().unwrap()).await
    };
    let (process, daemon) = saslauthd(&servers, servers.dovecot.imap);
    assert_eq!(ask(&daemon, ALICE, ALICE_PASSWORD).await, Ok(Verified::default()));
    assert_eq!(ask(&daemon, ALICE, BOB_PASSWORD).await, Err(CheckError::Wrong));
    assert_eq!(ask(&daemon, ALICE, "").await, Err(CheckError::Wrong));
    assert_eq!(ask(&daemon, ALICE, &"x".repeat(257)).await, Err(CheckError::Wrong));
    assert!(daemon.probe(&nobody).await.unwrap().contains("does not know"));
    drop(process);
    // Nothing listens where it asks.
    let (_process, daemon) = saslauthd(&servers, 1);
    let answer = ask(&daemon, ALICE, ALICE_PASSWORD).await;
    assert!(matches!(answer, Err(CheckError::Unavailable(_))), "{answer:?}");
    assert!(daemon.probe(&nobody).await.is_err());
}
