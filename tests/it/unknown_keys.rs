//! On a running server: strangers whose tokens name keys that do not exist, and a person whose issuer has a new one.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bearward::{
    model::{Secret, UnixTime},
    token::{Algorithm, SigningKey},
};
use serde_json::{Value, json};

use crate::support::{
    ALICE, Client, HostileIssuer, Serve, Upstream, forged, sign_with, taking, until, wait, xoauth2,
};

/// The longest that a new key may stay unknown: one window of five seconds, and what a busy machine takes.
const SOON: Duration = Duration::from_secs(30);

fn claims(issuer: &HostileIssuer) -> Value {
    let now = UnixTime::now().0;
    json!({
        "iss": issuer.url, "sub": "1", "aud": "mail", "client_id": "mua", "exp": now + 600, "iat": now,
        "scope": "imap smtp pop3", "email": ALICE, "email_verified": true,
    })
}

fn text(token: &Secret) -> String {
    token.expose_str().unwrap().to_owned()
}

/// A token of nobody's key.
fn garbage(issuer: &HostileIssuer, index: usize) -> String {
    let header = json!({ "alg": "ES256", "typ": "at+jwt", "kid": format!("no-such-key-{index}") });
    text(&forged(&header, &claims(issuer)))
}

/// The answer that decides, and whether an error challenge came before it, which tells a client to throw its token
/// away.
fn ask(client: &mut Client, token: &str) -> Option<(String, bool)> {
    client.try_send(format!("a AUTHENTICATE XOAUTH2 {}\r\n", xoauth2(ALICE, token)).as_bytes());
    let mut challenged = false;
    loop {
        let line = client.next_line()?;
        if line.starts_with("+ ") {
            challenged = true;
            client.say("");
        } else if line.starts_with("a ") {
            return Some((line, challenged));
        } else if line.starts_with("* BYE") {
            return None;
        }
    }
}

fn serve(issuer: &HostileIssuer) -> (Serve, Vec<Upstream>) {
    let protocols = ["imap", "pop3", "smtp"];
    let upstreams: Vec<_> =
        protocols.iter().map(|protocol| Upstream::start(taking(protocol, vec![until("x NOOP")]))).collect();
    let servers: String = protocols
        .iter()
        .zip(&upstreams)
        .map(|(protocol, upstream)| {
            format!("{protocol} = [\"{protocol}://127.0.0.1:{}\"]\n", upstream.port())
        })
        .collect();
    let backend = format!(
        "{servers}login = \"trusted\"\n[[trusted_issuer]]\nurl = \"{}\"\nca = \"{}\"\naudience = [\"mail\"]\n\
         domains = [\"example.org\"]\n",
        issuer.url,
        issuer.ca().display(),
    );
    (Serve::start_issuer(&backend), upstreams)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_unknown_keys_ends_its_own_connections_and_nobody_elses_token() {
    let issuer = Arc::new(HostileIssuer::start().await);
    let done = tokio::task::spawn_blocking({
        let issuer = Arc::clone(&issuer);
        move || flooded(&issuer)
    });
    done.await.unwrap();
}

fn flooded(issuer: &Arc<HostileIssuer>) {
    let (serve, _upstreams) = serve(issuer);
    let started = Instant::now();
    let old = text(&issuer.sign(&claims(issuer)));
    assert!(ask(&mut serve.connect("imap"), &old).unwrap().0.starts_with("a OK"));
    let (is_over, tries) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let flood = scope.spawn(|| {
            while !is_over.load(Ordering::SeqCst) {
                let mut client = serve.connect("imap");
                let mut told = Vec::new();
                // Far more than are allowed are enough to see that nothing counts.
                while told.len() < 20 {
                    let token = garbage(issuer, tries.fetch_add(1, Ordering::SeqCst));
                    let Some(answer) = ask(&mut client, &token) else { break };
                    told.push(answer);
                }
                // What is answered as temporary counts like any other failure.
                assert_eq!(told.len(), 6, "{told:?}");
                let is_temporary = |(line, challenged): &&(String, bool)| {
                    let is_temporary = line.starts_with("a NO [UNAVAILABLE]");
                    assert_ne!(is_temporary, *challenged, "{line}");
                    is_temporary
                };
                assert!(told.iter().filter(is_temporary).count() >= 3, "{told:?}");
            }
        });
        wait(Duration::from_secs(1));
        let next = SigningKey::generate(Algorithm::EdDsa).unwrap();
        issuer.publish(&[&issuer.key, &next]);
        let new = text(&sign_with(&next, "at+jwt", &claims(issuer)));
        let published = Instant::now();
        loop {
            let old = text(&issuer.sign(&claims(issuer)));
            assert!(ask(&mut serve.connect("imap"), &old).unwrap().0.starts_with("a OK"));
            let (line, challenged) = ask(&mut serve.connect("imap"), &new).unwrap();
            if line.starts_with("a OK") {
                break;
            }
            assert!(line.starts_with("a NO [UNAVAILABLE]") && !challenged, "{line}");
            assert!(published.elapsed() < SOON, "the new key stays unknown");
            wait(Duration::from_millis(100));
        }
        is_over.store(true, Ordering::SeqCst);
        flood.join().unwrap();
    });
    let most = started.elapsed().as_secs() / 5 + 2;
    let (asked, tries) = (issuer.asked("/keys").len(), tries.load(Ordering::SeqCst));
    assert!(u64::try_from(asked).unwrap() <= most, "{asked} looks in {:?}", started.elapsed());
    assert!(tries > asked * 3, "{tries} tries are no flood");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_protocol_says_that_an_unknown_key_is_no_verdict_yet() {
    let issuer = Arc::new(HostileIssuer::start().await);
    let done = tokio::task::spawn_blocking(move || {
        let (serve, _upstreams) = serve(&issuer);
        let expected = [("imap", "a NO [UNAVAILABLE]"), ("smtp", "454 "), ("pop3", "-ERR [SYS/TEMP]")];
        // The keys may be read again between two tries; one of three is within a window in any case.
        for (protocol, answer) in expected {
            let told: Vec<_> = (0..3)
                .map(|index| {
                    let mut client = serve.sign_in(protocol, &garbage(&issuer, index), "\r\n");
                    std::iter::from_fn(|| client.next_line())
                        .find(|line| {
                            ["a NO", "454", "535", "-ERR"].iter().any(|start| line.starts_with(start))
                        })
                        .unwrap()
                })
                .collect();
            assert!(told.iter().any(|line| line.starts_with(answer)), "{told:?}");
        }
    });
    done.await.unwrap();
}
