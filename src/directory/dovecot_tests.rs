#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::sync::Arc;

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::{UnixListener, unix::OwnedReadHalf},
};

use super::*;

const GREETING: &str = "VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nSPID\t7\nCUID\t1\nCOOKIE\t00\nDONE\n";
const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

struct Service {
    _folder: tempfile::TempDir,
    path: PathBuf,
    listener: UnixListener,
}

impl Service {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("auth");
        let listener = UnixListener::bind(&path).unwrap();
        Self { _folder: folder, path, listener }
    }

    fn directory(&self, millis: u64) -> Arc<DovecotAuth> {
        let config = DovecotAuthConfig {
            path: self.path.clone(),
            service: "imap".into(),
            timeout: Duration::from_millis(millis),
            domains: Vec::new(),
        };
        Arc::new(DovecotAuth::new(config, Names::default()))
    }

    /// Takes a connection, greets, and reads the client's greeting.
    async fn accept(&self, greeting: &str) -> (BufReader<OwnedReadHalf>, tokio::net::unix::OwnedWriteHalf) {
        let (stream, _) = self.listener.accept().await.unwrap();
        let (reader, mut writer) = stream.into_split();
        writer.write_all(greeting.as_bytes()).await.unwrap();
        let mut reader = BufReader::new(reader);
        assert_eq!(line(&mut reader).await, "VERSION\t1\t1");
        let number = line(&mut reader).await;
        assert!(number.strip_prefix("CPID\t").unwrap().parse::<u32>().unwrap() > 0);
        (reader, writer)
    }
}

async fn line(reader: &mut BufReader<OwnedReadHalf>) -> String {
    let mut line = String::new();
    reader.read_line(&mut line).await.unwrap();
    line.trim_end_matches('\n').to_owned()
}

fn ask(directory: &Arc<DovecotAuth>, login: &str) -> tokio::task::JoinHandle<Result<Verified, CheckError>> {
    let (directory, login) = (Arc::clone(directory), Login::parse(login).unwrap());
    tokio::spawn(async move { directory.check(&login, &Secret::copy_of(b"secret"), CLIENT).await })
}

fn id(request: &str) -> &str {
    request.split('\t').nth(1).unwrap()
}

#[tokio::test]
async fn many_ask_at_once_and_each_gets_their_own_answer_in_whatever_order() {
    let service = Service::new();
    let directory = service.directory(10_000);
    let names: Vec<String> = (0..40).map(|number| format!("user{number}@example.org")).collect();
    let asking: Vec<_> = names.iter().map(|name| ask(&directory, name)).collect();
    let (mut reader, mut writer) = service.accept(GREETING).await;
    let mut requests = Vec::new();
    for _ in &names {
        requests.push(line(&mut reader).await);
    }
    requests.reverse();
    for request in requests {
        assert!(request.contains("\trip=192.0.2.7\t"), "{request}");
        let resp = request.rsplit_once("resp=").unwrap().1;
        let plain = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, resp).unwrap();
        let name = String::from_utf8(plain).unwrap().split('\0').nth(1).unwrap().to_owned();
        let number: u32 = name.strip_prefix("user").unwrap().split('@').next().unwrap().parse().unwrap();
        let answer = if number.is_multiple_of(2) {
            format!("OK\t{}\tuser={name}\n", id(&request))
        } else {
            format!("FAIL\t{}\tuser={name}\n", id(&request))
        };
        writer.write_all(answer.as_bytes()).await.unwrap();
    }
    for (number, answer) in asking.into_iter().enumerate() {
        let expected =
            if number.is_multiple_of(2) { Ok(Verified::default()) } else { Err(CheckError::Wrong) };
        assert_eq!(answer.await.unwrap(), expected, "{number}");
    }
}

#[tokio::test]
async fn the_name_that_dovecot_gives_is_the_users_if_it_is_one() {
    let service = Service::new();
    let directory = service.directory(10_000);
    let first = ask(&directory, "al@example.org");
    let (mut reader, mut writer) = service.accept(GREETING).await;
    for (number, (name, expected)) in
        [("alice@example.org", true), ("al\u{1}nice", false), ("", false)].into_iter().enumerate()
    {
        let asking = if number == 0 { None } else { Some(ask(&directory, "al@example.org")) };
        let request = line(&mut reader).await;
        writer.write_all(format!("OK\t{}\tuser={name}\n", id(&request)).as_bytes()).await.unwrap();
        let Some(asking) = asking else { continue };
        let answer = asking.await.unwrap();
        assert!(!expected && matches!(answer, Err(CheckError::Operator(_))), "{name}: {answer:?}");
    }
    let alice = Login::parse("alice@example.org").unwrap();
    assert_eq!(first.await.unwrap().unwrap().login, Some(alice));
}

#[tokio::test]
async fn failures_are_told_apart() {
    let service = Service::new();
    let directory = service.directory(10_000);
    let mut open = None;
    let is_wrong = |answer: &_| *answer == Err(CheckError::Wrong);
    let is_outage = |answer: &_| matches!(answer, Err(CheckError::Unavailable(_)));
    let is_operator = |answer: &_| matches!(answer, Err(CheckError::Operator(_)));
    type Is<'a> = &'a dyn Fn(&Result<Verified, CheckError>) -> bool;
    let cases: [(&str, Is<'_>); 7] = [
        ("FAIL\tID\tuser=al", &is_wrong),
        ("FAIL\tID\tuser=al\ttemp", &is_outage),
        ("FAIL\tID\tuser=al\tcode=temp_fail", &is_outage),
        ("FAIL\tID\tauthz", &is_wrong),
        ("FAIL\tID\tuser_disabled\treason=gone", &is_wrong),
        ("FAIL\tID\tcode=mech_ssl_required", &is_operator),
        ("CONT\tID\t", &is_operator),
    ];
    for (answer, is) in cases {
        let asking = ask(&directory, "al@example.org");
        if open.is_none() {
            open = Some(service.accept(GREETING).await);
        }
        let (reader, writer) = open.as_mut().unwrap();
        let request = line(reader).await;
        let text = format!("{}\n", answer.replace("ID", id(&request)));
        writer.write_all(text.as_bytes()).await.unwrap();
        let got = asking.await.unwrap();
        assert!(is(&got), "{answer}: {got:?}");
    }
    assert!(line(&mut open.unwrap().0).await.starts_with("CANCEL\t"));
}

#[tokio::test]
async fn an_answer_that_nobody_has_asked_for_is_believed_by_nobody() {
    for number in ["0", "2", "4294967295"] {
        let service = Service::new();
        let directory = service.directory(10_000);
        let asking = ask(&directory, "al@example.org");
        let (mut reader, mut writer) = service.accept(GREETING).await;
        line(&mut reader).await;
        writer.write_all(format!("OK\t{number}\tuser=al@example.org\n").as_bytes()).await.unwrap();
        let answer = asking.await.unwrap();
        assert_eq!(answer, Err(CheckError::Unavailable("Dovecot closed the connection".into())), "{number}");
    }
}

#[tokio::test]
async fn silence_and_a_trickle_and_an_endless_line_end_in_time() {
    let endless = "x".repeat(9000);
    for greeting in ["", "VERSION\t1\t2\n", "VERSION\t1", endless.as_str()] {
        let service = Service::new();
        let directory = service.directory(300);
        let asking = ask(&directory, "al@example.org");
        let _open = service.accept(greeting).await;
        let answer = asking.await.unwrap();
        assert!(
            matches!(answer, Err(CheckError::Unavailable(_) | CheckError::Operator(_))),
            "{greeting:.20}: {answer:?}"
        );
    }
    let service = Service::new();
    let directory = service.directory(300);
    let asking = ask(&directory, "al@example.org");
    let (mut reader, mut writer) = service.accept(GREETING).await;
    line(&mut reader).await;
    let trickle = tokio::spawn(async move {
        while writer.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(matches!(asking.await.unwrap(), Err(CheckError::Unavailable(_))));
    trickle.abort();
}

#[tokio::test]
async fn a_service_that_was_started_anew_is_asked_again_and_one_that_always_hangs_up_is_not() {
    let service = Service::new();
    let directory = service.directory(10_000);
    let asking = ask(&directory, "al@example.org");
    let (mut reader, mut writer) = service.accept(GREETING).await;
    let request = line(&mut reader).await;
    writer.write_all(format!("OK\t{}\n", id(&request)).as_bytes()).await.unwrap();
    asking.await.unwrap().unwrap();
    // Asked on the old connection, which ends without an answer.
    let asking = ask(&directory, "al@example.org");
    line(&mut reader).await;
    drop((reader, writer));
    let (mut reader, mut writer) = service.accept(GREETING).await;
    let request = line(&mut reader).await;
    writer.write_all(format!("OK\t{}\n", id(&request)).as_bytes()).await.unwrap();
    asking.await.unwrap().unwrap();
    let asking = ask(&directory, "al@example.org");
    line(&mut reader).await;
    drop((reader, writer));
    let (mut reader, writer) = service.accept(GREETING).await;
    line(&mut reader).await;
    drop((reader, writer));
    assert!(matches!(asking.await.unwrap(), Err(CheckError::Unavailable(_))));
}

#[tokio::test]
async fn a_service_without_plain_or_of_another_version_is_the_operators_to_mend() {
    for greeting in ["VERSION\t1\t2\nMECH\tGSSAPI\nDONE\n", "VERSION\t2\t0\nMECH\tPLAIN\nDONE\n", "OK\t1\n"] {
        let service = Service::new();
        let directory = service.directory(10_000);
        let asking = ask(&directory, "al@example.org");
        let _open = service.accept(greeting).await;
        let answer = asking.await.unwrap();
        assert!(matches!(answer, Err(CheckError::Operator(_))), "{greeting}: {answer:?}");
    }
}
