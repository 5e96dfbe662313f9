#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::lookup::FileConfig;

/// Counts how often it is asked, and answers what the name asks for.
#[derive(Debug)]
struct Counting {
    asked: Arc<AtomicUsize>,
    by_protocol: bool,
}

#[async_trait]
impl Source for Counting {
    async fn ask(&self, query: &Query<'_>) -> Result<Option<Found>, Fault> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(100)).await;
        match query.login.local() {
            "nobody" => Ok(None),
            "down" => Err(Fault::Unavailable("down".into())),
            "hangs" => std::future::pending().await,
            "wrong" => Ok(Some(Found { server: Some("a b".into()), ..Found::default() })),
            name => Ok(Some(Found { login_name: Some(name.to_owned()), ..Found::default() })),
        }
    }

    fn asks_for_protocol(&self) -> bool {
        self.by_protocol
    }
}

fn guarded(cache: u64, by_protocol: bool) -> (Arc<Guarded>, Arc<AtomicUsize>) {
    let config = Config {
        name: "people".into(),
        cache: Duration::from_secs(cache),
        timeout: Duration::from_secs(5),
        kind: Kind::File(FileConfig { path: "unused".into() }),
    };
    let asked = Arc::new(AtomicUsize::new(0));
    let source = Counting { asked: Arc::clone(&asked), by_protocol };
    (Arc::new(Guarded::over(&config, Box::new(source))), asked)
}

async fn find(guarded: &Guarded, name: &str, protocol: Protocol) -> Answer {
    let login = Login::parse(&format!("{name}@example.org")).unwrap();
    guarded.find(&Query { login: &login, protocol: Some(protocol), client: None }).await
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_used_again_for_its_time_also_that_there_is_nobody() {
    let (guarded, asked) = guarded(30, false);
    for name in ["alice", "nobody"] {
        asked.store(0, Ordering::SeqCst);
        let is_known = find(&guarded, name, Protocol::Imap).await.unwrap().is_some();
        assert_eq!(is_known, name == "alice");
        tokio::time::sleep(Duration::from_secs(29)).await;
        assert_eq!(find(&guarded, name, Protocol::Smtp).await.unwrap().is_some(), is_known);
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        tokio::time::sleep(Duration::from_secs(2)).await;
        find(&guarded, name, Protocol::Imap).await.unwrap();
        assert_eq!(asked.load(Ordering::SeqCst), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn everybody_who_asks_the_same_waits_for_one_answer() {
    let (guarded, asked) = guarded(0, false);
    let waiting: Vec<_> = (0..100)
        .map(|_| {
            let guarded = Arc::clone(&guarded);
            tokio::spawn(async move { find(&guarded, "alice", Protocol::Imap).await })
        })
        .collect();
    for one in waiting {
        assert_eq!(one.await.unwrap().unwrap().unwrap().login_name.unwrap(), "alice");
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    find(&guarded, "alice", Protocol::Imap).await.unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 2, "without a cache the next question is a new one");
}

#[tokio::test(start_paused = true)]
async fn who_asked_first_may_leave() {
    let (guarded, asked) = guarded(30, false);
    let first = {
        let guarded = Arc::clone(&guarded);
        tokio::spawn(async move { find(&guarded, "alice", Protocol::Imap).await })
    };
    tokio::time::sleep(Duration::from_millis(50)).await;
    first.abort();
    assert!(find(&guarded, "alice", Protocol::Imap).await.unwrap().is_some());
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn the_protocol_parts_answers_only_where_it_is_asked_for() {
    let (guarded, asked) = guarded(30, true);
    find(&guarded, "alice", Protocol::Imap).await.unwrap();
    find(&guarded, "alice", Protocol::Smtp).await.unwrap();
    find(&guarded, "alice", Protocol::Smtp).await.unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_no_answer_and_is_not_asked_again_at_once() {
    let (guarded, asked) = guarded(30, false);
    for _ in 0..3 {
        let error = find(&guarded, "down", Protocol::Imap).await.unwrap_err();
        assert!(matches!(error, LookupError::Unavailable { .. }), "{error:?}");
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    tokio::time::sleep(PAUSE).await;
    find(&guarded, "down", Protocol::Imap).await.unwrap_err();
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_hangs_is_left_in_time() {
    let (guarded, _) = guarded(30, false);
    let started = Instant::now();
    let error = find(&guarded, "hangs", Protocol::Imap).await.unwrap_err();
    assert!(matches!(error, LookupError::Unavailable { .. }), "{error:?}");
    assert_eq!(started.elapsed(), Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn a_wrong_value_is_the_operators_fault() {
    let (guarded, _) = guarded(30, false);
    let error = find(&guarded, "wrong", Protocol::Imap).await.unwrap_err();
    assert!(matches!(error, LookupError::Operator { .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_is_bounded() {
    let (guarded, _) = guarded(30, false);
    for number in 0..KEPT + 100 {
        let login = Login::parse(&format!("user{number}@example.org")).unwrap();
        drop(guarded.flight((login, None)));
    }
    assert!(guarded.flights.lock().unwrap().len() <= KEPT);
}
