#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use tokio::net::UnixListener;

use super::*;

fn config(path: PathBuf) -> SaslauthdConfig {
    SaslauthdConfig {
        path,
        service: "imap".into(),
        split_realm: false,
        timeout: Duration::from_millis(500),
        domains: Vec::new(),
    }
}

/// A daemon that reads what `question` holds, then writes these pieces.
async fn daemon(
    question: usize,
    pieces: Vec<Vec<u8>>,
    hold: bool,
) -> (tempfile::TempDir, PathBuf, tokio::task::JoinHandle<Vec<u8>>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mux");
    let listener = UnixListener::bind(&path).unwrap();
    let task = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut asked = vec![0; question];
        stream.read_exact(&mut asked).await.unwrap();
        for piece in pieces {
            if stream.write_all(&piece).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
        if hold {
            std::future::pending::<()>().await;
        }
        asked
    });
    (folder, path, task)
}

const ALICE: &str = "alice@example.org";
/// Four lengths, the login name, `secret` and `imap`.
const QUESTION: usize = 8 + 17 + 6 + 4;

async fn ask(config: SaslauthdConfig, password: &[u8]) -> Result<Verified, CheckError> {
    let login = Login::parse(ALICE).unwrap();
    Saslauthd::new(config).ask(&login, &Secret::copy_of(password), IpAddr::from([127, 0, 0, 1])).await
}

#[tokio::test]
async fn the_four_fields_go_there_and_the_answer_is_read_at_every_split() {
    for (answer, expected) in [("OK", Ok(Verified::default())), ("NO bad password", Err(CheckError::Wrong))] {
        let mut octets = u16::try_from(answer.len()).unwrap().to_be_bytes().to_vec();
        octets.extend(answer.as_bytes());
        for split in 0..=octets.len() {
            let (head, tail) = octets.split_at(split);
            let (_folder, path, task) = daemon(QUESTION, vec![head.to_vec(), tail.to_vec()], false).await;
            assert_eq!(ask(config(path), b"secret").await, expected, "{answer} {split}");
            assert_eq!(task.await.unwrap(), b"\0\x11alice@example.org\0\x06secret\0\x04imap\0\0");
        }
    }
}

#[tokio::test]
async fn the_domain_is_the_realm_where_the_operator_says_so() {
    let (_folder, path, task) = daemon(QUESTION - 1, vec![b"\0\x02OK".to_vec()], false).await;
    ask(SaslauthdConfig { split_realm: true, ..config(path) }, b"secret").await.unwrap();
    assert_eq!(task.await.unwrap(), b"\0\x05alice\0\x06secret\0\x04imap\0\x0bexample.org");
}

#[tokio::test]
async fn hanging_up_and_silence_and_nonsense_are_outages() {
    let cases: [(Vec<Vec<u8>>, bool); 7] = [
        (vec![], false),
        (vec![b"\0".to_vec()], false),
        (vec![b"\0\x02O".to_vec()], false),
        (vec![b"\xff\xffNO".to_vec()], true),
        (vec![b"\0\0".to_vec()], false),
        (vec![b"\0\x05OKAY!".to_vec()], false),
        (vec![], true),
    ];
    for (pieces, hold) in cases {
        let (_folder, path, _task) = daemon(QUESTION, pieces.clone(), hold).await;
        let answer = ask(config(path), b"secret").await;
        assert!(matches!(answer, Err(CheckError::Unavailable(_))), "{pieces:?}: {answer:?}");
    }
    let nowhere = ask(config("/nowhere/mux".into()), b"secret").await;
    assert!(matches!(nowhere, Err(CheckError::Unavailable(_))), "{nowhere:?}");
}

#[tokio::test]
async fn a_password_that_the_daemon_cannot_read_never_goes_there() {
    for password in [&[b'x'; LONGEST + 1][..], b"a\0b"] {
        assert_eq!(ask(config("/nowhere/mux".into()), password).await, Err(CheckError::Wrong));
    }
}

#[test]
fn an_outage_behind_the_daemon_is_no_wrong_password() {
    assert_eq!(judge(b"OK"), Ok(()));
    assert_eq!(judge(b"OK done\0"), Ok(()));
    for wrong in ["NO", "NO authentication failed", "NO PAM auth error"] {
        assert_eq!(judge(wrong.as_bytes()), Err(CheckError::Wrong), "{wrong}");
    }
    for outage in [
        "NO [ALERT] Couldn't contact remote authentication server",
        "NO [ALERT] saslauthd internal error",
        "NO system error",
        "",
        "ok",
        "OKNO",
        "NOK",
        "\u{fffd}",
    ] {
        assert!(matches!(judge(outage.as_bytes()), Err(CheckError::Unavailable(_))), "{outage}");
    }
}
