use std::time::{Duration, Instant};

use bearward::store::{Redeemed, RevocationFeed, RevocationReason, StoreError};
use tokio::task::JoinSet;

use super::{raw, refusal, store};
use crate::{
    store::{NOW, new_coded_grant, new_grant, new_token, told},
    support::{Cluster, Muted},
};

/// How long anything may take while the server does not answer.
const SOON: Duration = Duration::from_secs(7);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stops_is_unavailable_soon_and_used_again_when_it_is_back() {
    let mut cluster = Cluster::start(&["fsync=off"]);
    let address = cluster.over_tcp(cluster.database("stops").await);
    let store = store(&address).await;
    let new = new_grant("alice@example.org");
    store.create_grant(new.clone()).await.unwrap();
    // Every connection of the pool is in use, so that every one of them is dead later.
    let mut using = JoinSet::new();
    for _ in 0..64 {
        let store = store.clone();
        using.spawn(async move { store.grant(new.id).await.unwrap().is_some() });
    }
    assert!(using.join_all().await.into_iter().all(|found| found));

    cluster.stop();
    let before = Instant::now();
    let mut asking = JoinSet::new();
    for _ in 0..64 {
        let (store, lookup) = (store.clone(), new.tokens[0].lookup);
        asking.spawn(async move {
            (store.token(&lookup).await, store.create_grant(new_grant("bob@example.org")).await)
        });
    }
    for (read, written) in asking.join_all().await {
        assert!(matches!(read, Err(StoreError::Unavailable(_))), "{read:?}");
        assert!(matches!(written, Err(StoreError::Unavailable(_))), "{written:?}");
    }
    assert!(before.elapsed() < 2 * SOON, "{:?}", before.elapsed());
    assert!(matches!(refusal(&address).await, StoreError::Unavailable(_)));

    cluster.start_again();
    assert!(store.token(&new.tokens[0].lookup).await.unwrap().is_some());
    store.create_grant(new_grant("bob@example.org")).await.unwrap();
}

/// The connections stay and nothing comes back, as when a cable is pulled.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_says_nothing_is_unavailable_soon() {
    let cluster = Cluster::start(&["fsync=off"]);
    let address = cluster.database("silent").await;
    let store = store(&address).await;
    let new = new_grant("alice@example.org");
    store.create_grant(new.clone()).await.unwrap();
    let mut connection = cluster.connect("postgres").await;
    let pids: Vec<i32> = sqlx::query_scalar(
        "SELECT pid FROM pg_stat_activity WHERE datname = 'silent' AND application_name = 'bearward'",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    assert!(!pids.is_empty());
    let frozen: Vec<String> =
        pids.iter().map(ToString::to_string).chain([cluster.pid().to_string()]).collect();
    let frozen = Muted::of(frozen);
    let before = Instant::now();
    let (read, written) = tokio::join!(store.grant(new.id), store.create_grant(new_grant("bob@example.org")));
    let took = before.elapsed();
    drop(frozen);
    assert!(matches!(read, Err(StoreError::Unavailable(_))), "{read:?}");
    assert!(matches!(written, Err(StoreError::Unavailable(_))), "{written:?}");
    assert!(took < SOON, "{took:?}");
    assert!(store.grant(new.id).await.unwrap().is_some());
    store.create_grant(new_grant("carol@example.org")).await.unwrap();
}

/// The server's default would acknowledge a commit that is not on disk yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_the_end_of_the_server() {
    let mut cluster = Cluster::start(&["fsync=off", "wal_writer_delay=10s", "wal_writer_flush_after=0"]);
    let address = cluster.database("durable").await;
    let store = store(&address).await;
    let mut acknowledged = Vec::new();
    for _ in 0..3 {
        let (grant, code) = new_coded_grant();
        store.create_grant(grant).await.unwrap();
        assert_eq!(store.redeem_code(&code, vec![new_token()], NOW).await.unwrap(), Redeemed::Done);
        acknowledged.push(code);
        cluster.stop();
        cluster.start_again();
        for code in &acknowledged {
            assert_eq!(store.code(code).await.unwrap().unwrap().used_at, Some(NOW));
        }
    }
}

#[tokio::test]
async fn a_server_that_takes_no_writes_is_unavailable_and_recovers() {
    let cluster = Cluster::shared();
    let address = cluster.database("read_only").await;
    drop(store(&address).await);
    raw(cluster, "postgres", &["ALTER DATABASE read_only SET default_transaction_read_only = on"]).await;
    let store = store(&address).await;
    let refused = store.create_grant(new_grant("alice@example.org")).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    raw(
        cluster,
        "postgres",
        &[
            "ALTER DATABASE read_only RESET default_transaction_read_only",
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'read_only'",
        ],
    )
    .await;
    store.create_grant(new_grant("alice@example.org")).await.unwrap();
}

/// Somebody else holds the row: the wait has an end, and nothing is lost by it.
#[tokio::test]
async fn a_row_that_stays_locked_is_unavailable_and_not_used() {
    let cluster = Cluster::shared();
    let address = cluster.database("locked").await;
    let store = store(&address).await;
    let (grant, code) = new_coded_grant();
    store.create_grant(grant).await.unwrap();
    let mut other = cluster.connect("locked").await;
    for statement in ["BEGIN", "SELECT * FROM grants FOR UPDATE"] {
        sqlx::query(statement).execute(&mut other).await.unwrap();
    }
    let before = Instant::now();
    let refused = store.redeem_code(&code, vec![new_token()], NOW).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    assert!(before.elapsed() < SOON);
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    assert_eq!(store.redeem_code(&code, vec![new_token()], NOW).await.unwrap(), Redeemed::Done);
}

/// A caller that hangs up in the middle of a write leaves neither half of it nor a connection that is not usable.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_goes_away_stops_nothing() {
    let address = Cluster::shared().database("hang_up").await;
    let store = store(&address).await;
    let mut feed = RevocationFeed::start(store.clone()).await.unwrap();
    let mut grants = Vec::new();
    for count in 0..40 {
        let new = new_grant("alice@example.org");
        store.create_grant(new.clone()).await.unwrap();
        let patience = Duration::from_micros(count * 50);
        let revoke = store.revoke_grant(new.id, RevocationReason::Operator, NOW);
        let _ = tokio::time::timeout(patience, revoke).await;
        grants.push(new.id);
    }
    let before = Instant::now();
    let mut seen = Vec::new();
    while seen.len() < grants.len() && before.elapsed() < SOON {
        seen.extend(told(&mut feed).await);
    }
    seen.sort_unstable();
    grants.sort_unstable();
    // A revocation that was not even begun when its caller left is none.
    assert!(seen.len() + 1 >= grants.len(), "{} of {}", seen.len(), grants.len());
    for id in grants {
        let is_ended = store.grant(id).await.unwrap().unwrap().revoked.is_some();
        assert_eq!(is_ended, seen.contains(&id));
    }
}

/// A trigger speaks in the server's place: it says `code` so many times when a token is stored.
async fn failing(cluster: &Cluster, database: &str, code: &str, times: u32) {
    let mut connection = cluster.connect(database).await;
    for statement in [
        "CREATE SEQUENCE IF NOT EXISTS attempts".to_owned(),
        "ALTER SEQUENCE attempts RESTART".to_owned(),
        format!(
            "CREATE OR REPLACE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
               IF nextval('attempts') <= {times} THEN RAISE EXCEPTION 'on purpose' USING ERRCODE = '{code}'; END IF;
               RETURN NEW; END $$"
        ),
        "CREATE OR REPLACE TRIGGER fail BEFORE INSERT ON tokens FOR EACH ROW EXECUTE FUNCTION fail()".to_owned(),
    ] {
        sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
    }
}

#[tokio::test]
async fn what_the_server_says_decides_whose_fault_it_is() {
    let cluster = Cluster::shared();
    let store = store(&cluster.database("says").await).await;
    // Out of disk, of memory, of connections; stopped by an operator; cancelled; read-only.
    for code in ["53100", "53200", "53300", "57P01", "57014", "25006", "55P03", "58030", "42501"] {
        failing(cluster, "says", code, 1_000_000).await;
        let new = new_grant("alice@example.org");
        let refused = store.create_grant(new.clone()).await;
        assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{code}: {refused:?}");
        failing(cluster, "says", code, 0).await;
        assert_eq!(store.grant(new.id).await.unwrap(), None, "{code}");
        store.create_grant(new).await.unwrap();
    }
    for code in ["23514", "23502", "XX001", "XX002"] {
        failing(cluster, "says", code, 1).await;
        let refused = store.create_grant(new_grant("alice@example.org")).await;
        assert!(matches!(refused, Err(StoreError::Corrupt(_))), "{code}: {refused:?}");
    }
}

/// A deadlock or a serialization failure is the server's way to say "again"; it is not said to the caller, unless it
/// does not stop.
#[tokio::test]
async fn a_collision_is_tried_again_and_not_for_ever() {
    let cluster = Cluster::shared();
    let store = store(&cluster.database("collides").await).await;
    for code in ["40001", "40P01"] {
        failing(cluster, "collides", code, 3).await;
        let new = new_grant("alice@example.org");
        store.create_grant(new.clone()).await.unwrap();
        assert!(store.token(&new.tokens[0].lookup).await.unwrap().is_some());
        failing(cluster, "collides", code, 1_000_000).await;
        let before = Instant::now();
        let refused = store.create_grant(new_grant("alice@example.org")).await;
        assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{code}: {refused:?}");
        assert!(before.elapsed() < Duration::from_secs(2));
    }
}
