//! Two `bearward serve` on one database.

use std::time::{Duration, Instant};

use crate::kill::{Heard, House, exchange, http, refresh};
use crate::support::{Act, Cluster, Serve, Upstream, taking, until, wait};

/// `[backend.main]` and the store of a node; `poll` is how often it looks by itself.
fn node(upstream: &Upstream, url: &str, poll: &str) -> String {
    format!(
        "imap = [\"imap://127.0.0.1:{}\"]\nlogin = \"sealed\"\n\
         [store]\nurl = \"{url}\"\npoll_interval = \"{poll}\"\n",
        upstream.port()
    )
}

fn database(cluster: &Cluster, name: &str) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    cluster.url(&runtime.block_on(cluster.database(name)))
}

/// A session on `there` with a token from `here` ends when `here` revokes the grant; how long that took.
fn ends_elsewhere(here: &Serve, there: &Serve, upstream: &Upstream) -> Duration {
    let token = here.sealed_token(crate::support::ALICE, "upstream-secret");
    upstream.play(taking("imap", vec![until("x NOOP")]));
    let mut client = there.sign_in("imap", &token, "");
    client.until("a OK");
    let grant = here.grant_of(&token);
    let before = Instant::now();
    here.succeed(&["grant", "revoke", &grant], "");
    client.rest();
    before.elapsed()
}

#[test]
fn a_grant_revoked_on_one_node_ends_its_session_on_the_other() {
    let cluster = Cluster::start(&["fsync=off"]);
    let url = database(&cluster, "nodes");
    let upstream = Upstream::start(vec![Act::Close]);
    // So seldom that a poll cannot be what ends the session.
    let one = Serve::start(&node(&upstream, &url, "1h"));
    let other = Serve::start_beside(&one, &node(&upstream, &url, "1h"));
    let took = ends_elsewhere(&one, &other, &upstream);
    println!("a session on another node ended {took:?} after `grant revoke` was started");
    assert!(took < Duration::from_secs(1), "{took:?}");
}

/// With the notification cut, the poll ends it.
#[test]
fn a_grant_revoked_on_one_node_ends_its_session_on_the_other_without_notification() {
    let cluster = Cluster::start(&["fsync=off"]);
    let url = database(&cluster, "nodes");
    let upstream = Upstream::start(vec![Act::Close]);
    let one = Serve::start(&node(&upstream, &url, "1h"));
    let other = Serve::start_beside(&one, &node(&upstream, &url, "500ms"));
    let _mute = cluster.mute_listeners("nodes");
    let took = ends_elsewhere(&one, &other, &upstream);
    assert!(took < Duration::from_millis(1500), "{took:?}");
}

/// Two processes get the same code, and then the same refresh token, at the same time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_processes_that_use_one_code_at_once_one_wins_and_a_refresh_gives_one_answer() {
    let cluster = Cluster::start(&["fsync=off"]);
    let address = cluster.database("nodes").await;
    let url = cluster.url(&address);
    let backend = format!("imap = [\"imap://127.0.0.1:1\"]\nlogin = \"trusted\"\n[store]\nurl = \"{url}\"\n");
    let one = Serve::start_issuer(&backend);
    let other = Serve::start_issuer_beside(&one, &backend);
    let house = House::over(super::store(&address).await, &one);
    let (here, there) =
        (http(&one.folder().join("certs/ca.pem")), http(&other.folder().join("certs/ca.pem")));
    let mut won = [0, 0];
    for round in 0..20 {
        let code = house.code().await;
        let (first, second) = (one.url(), other.url());
        let heard = tokio::join!(exchange(&here, &first, &code), exchange(&there, &second, &code));
        match heard {
            (Heard::Tokens { .. }, Heard::Refused(body)) => {
                won[0] += 1;
                assert_eq!(body["error"], "invalid_grant");
            }
            (Heard::Refused(body), Heard::Tokens { .. }) => {
                won[1] += 1;
                assert_eq!(body["error"], "invalid_grant");
            }
            _ => panic!("round {round}: not one winner"),
        }
        let code = house.code().await;
        let Heard::Tokens { refresh: token, .. } = exchange(&here, &first, &code).await else {
            panic!("round {round}: a good code");
        };
        let heard = tokio::join!(refresh(&here, &first, &token), refresh(&there, &second, &token));
        let (Heard::Tokens { refresh: one_answer, .. }, Heard::Tokens { refresh: other_answer, .. }) = heard
        else {
            panic!("round {round}: a refresh token that was used twice within the grace");
        };
        assert_eq!(one_answer, other_answer, "round {round}: two refresh tokens for one");
    }
    println!("the processes won {won:?} of 20");
}

#[test]
fn a_node_with_another_server_key_is_refused_and_makes_no_key() {
    let cluster = Cluster::start(&["fsync=off"]);
    let url = database(&cluster, "nodes");
    let upstream = Upstream::start(vec![Act::Close]);
    let backend = node(&upstream, &url, "1s");
    let _one = Serve::start(&backend);
    let lacking = Serve::refused(&backend, None);
    assert!(lacking.contains("server.key is missing") && lacking.contains("another node"), "{lacking}");
    let wrong = Serve::refused(&backend, Some(&[7; 32]));
    assert!(wrong.contains("is not the one that the store was made with"), "{wrong}");
}

/// The server goes away under a running node: what cannot be asked is temporary, and it recovers by itself.
#[test]
fn a_node_outlives_its_database() {
    let mut cluster = Cluster::start(&["fsync=off"]);
    let url = database(&cluster, "nodes");
    let upstream = Upstream::start(vec![Act::Close]);
    let serve = Serve::start(&node(&upstream, &url, "1s"));
    let token = serve.sealed_token(crate::support::ALICE, "upstream-secret");
    cluster.stop();
    let mut client = serve.sign_in("imap", &token, "");
    client.expect("a NO [UNAVAILABLE]");
    cluster.start_again();
    upstream.play(taking("imap", Vec::new()));
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let mut client = serve.sign_in("imap", &token, "");
        if client.line().starts_with("a OK") {
            return;
        }
        assert!(Instant::now() < deadline, "it does not recover");
        wait(Duration::from_millis(200));
    }
}
