use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bearward::{
    model::GrantId,
    store::{RevocationFeed, RevocationReason, Revoked, Store},
};
use sqlx::Connection;
use tokio::time::timeout;

use super::{raw, store};
use crate::{
    store::{NOW, new_grant, told},
    support::Cluster,
};

async fn revoked_grant(store: &Arc<dyn Store>) -> GrantId {
    let new = new_grant("alice@example.org");
    store.create_grant(new.clone()).await.unwrap();
    store.revoke_grant(new.id, RevocationReason::Operator, NOW).await.unwrap();
    new.id
}

/// The hint that comes with the connection, and any that is left over.
async fn drain(store: &Arc<dyn Store>) {
    while timeout(Duration::from_millis(300), store.revocation_hint()).await.is_ok() {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_reaches_another_node_at_once() {
    let address = Cluster::shared().database("notified").await;
    let (one, other) = (store(&address).await, store(&address).await);
    let mut feed = RevocationFeed::start(other.clone()).await.unwrap();
    drain(&other).await;
    let mut slowest = Duration::ZERO;
    for _ in 0..20 {
        let new = new_grant("alice@example.org");
        one.create_grant(new.clone()).await.unwrap();
        let listening = tokio::spawn({
            let other = other.clone();
            async move { other.revocation_hint().await }
        });
        let before = Instant::now();
        one.revoke_grant(new.id, RevocationReason::Operator, NOW).await.unwrap();
        timeout(Duration::from_secs(1), listening).await.expect("a hint").unwrap();
        slowest = slowest.max(before.elapsed());
        assert_eq!(told(&mut feed).await, [new.id]);
        drain(&other).await;
    }
    println!("slowest of 20 notifications, the revocation included: {slowest:?}");
}

/// A hint that comes while nobody waits, because the last one is being read, is not lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hint_that_nobody_waits_for_is_there_for_the_next() {
    let address = Cluster::shared().database("early").await;
    let store = store(&address).await;
    drain(&store).await;
    revoked_grant(&store).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    timeout(Duration::from_millis(100), store.revocation_hint()).await.expect("a hint");
    assert!(timeout(Duration::from_millis(300), store.revocation_hint()).await.is_err(), "it comes once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_that_is_cut_off_comes_back_and_says_so() {
    let cluster = Cluster::shared();
    let address = cluster.database("cut_off").await;
    let (one, other) = (store(&address).await, store(&address).await);
    let mut feed = RevocationFeed::start(other.clone()).await.unwrap();
    drain(&other).await;
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE datname = 'cut_off' AND query LIKE 'LISTEN%'";
    raw(cluster, "cut_off", &[cut]).await;
    let missed = revoked_grant(&one).await;
    // Without any hint the poll tells it.
    assert_eq!(told(&mut feed).await, [missed]);
    timeout(Duration::from_secs(2), other.revocation_hint()).await.expect("it is connected again");
    drain(&other).await;
    let next = revoked_grant(&one).await;
    timeout(Duration::from_secs(1), other.revocation_hint()).await.expect("it hears again");
    assert_eq!(told(&mut feed).await, [next]);
}

/// A transaction that takes long appears behind thousands that began after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_that_commits_last_of_thousands_is_told() {
    let cluster = Cluster::shared();
    let address = cluster.database("late").await;
    let store = store(&address).await;
    let mut feed = RevocationFeed::start(store.clone()).await.unwrap();
    let mut slow = cluster.connect("late").await;
    let mut slow = slow.begin().await.unwrap();
    let insert = "INSERT INTO revocations (lookup, at) VALUES (decode(repeat('ab', 32), 'hex'), 0)";
    sqlx::query(insert).execute(&mut *slow).await.unwrap();
    // Another one has its number of a transaction, and takes its place among the rows later than those who come.
    let mut slower = cluster.connect("late").await;
    let mut slower = slower.begin().await.unwrap();
    sqlx::query("SELECT pg_current_xact_id()").execute(&mut *slower).await.unwrap();

    let mut others = 0;
    for _ in 0..4 {
        let many = "INSERT INTO revocations (grant_id, at)
                    SELECT decode(md5(random()::text), 'hex'), 0 FROM generate_series(1, 1000)";
        raw(cluster, "late", &[many]).await;
        others += feed.poll().await.unwrap().len();
    }
    assert_eq!(others, 4000);
    sqlx::query(insert).execute(&mut *slower).await.unwrap();
    assert_eq!(feed.poll().await.unwrap(), []);
    slow.commit().await.unwrap();
    let late = feed.poll().await.unwrap();
    assert_eq!(late.len(), 1);
    assert!(matches!(late[0].what, Revoked::Token(_)));
    revoked_grant(&store).await;
    assert_eq!(feed.poll().await.unwrap().len(), 1);
    slower.commit().await.unwrap();
    assert_eq!(feed.poll().await.unwrap().len(), 1);
    assert_eq!(feed.poll().await.unwrap(), []);
}

/// Every revocation is told once, whoever writes and however the commits fall.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_that_reads_while_many_write_misses_none_and_repeats_none() {
    let address = Cluster::shared().database("busy").await;
    let (one, other) = (store(&address).await, store(&address).await);
    let mut feed = RevocationFeed::start(other.clone()).await.unwrap();
    let mut writing = tokio::task::JoinSet::new();
    for count in 0..200 {
        let store = if count % 2 == 0 { one.clone() } else { other.clone() };
        writing.spawn(async move { revoked_grant(&store).await });
    }
    let mut seen = Vec::new();
    let mut written = Vec::new();
    while written.len() < 200 {
        while let Some(done) = writing.try_join_next() {
            written.push(done.unwrap());
        }
        seen.extend(told(&mut feed).await);
    }
    seen.extend(told(&mut feed).await);
    seen.sort_unstable();
    written.sort_unstable();
    assert_eq!(seen, written);
}

/// The database moves to a server that has counted fewer transactions, and the nodes go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_counts_anew_hides_no_revocation() {
    let mut cluster = Cluster::start(&["fsync=off"]);
    let address = cluster.database("moved").await;
    let node = store(&address).await;
    let burn = "DO $$ BEGIN FOR i IN 1..3000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$";
    raw(&cluster, "moved", &[burn]).await;
    let before = revoked_grant(&node).await;
    let mut feed = RevocationFeed::start(node.clone()).await.unwrap();
    assert_eq!(told(&mut feed).await, [], "{before} was revoked before");
    cluster.make_anew();
    cluster.start_again();
    let address = cluster.database("moved").await;
    let other = store(&address).await;
    let [first, second] = [revoked_grant(&other).await, revoked_grant(&other).await];
    assert_eq!(told(&mut feed).await, [first, second]);
    let third = revoked_grant(&other).await;
    assert_eq!(told(&mut feed).await, [third]);
    assert_eq!(told(&mut feed).await, []);
}
