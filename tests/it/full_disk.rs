//! A disk that is full: the issuer says that it is temporary, uses nothing up, and goes on by itself.

use std::{fs::File, io::Write, path::Path};

use crate::{
    kill::{Heard, House, exchange, http, refresh},
    support::Serve,
};

/// Writes until nothing more fits.
fn fill(file: &Path) {
    let mut filler = File::create(file).unwrap();
    for piece in [vec![0; 64 * 1024], vec![0; 512]] {
        while filler.write_all(&piece).is_ok() {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_temporary_uses_nothing_up_and_heals_by_itself() {
    let mut serve = Serve::start_issuer("imap = [\"imap://127.0.0.1:1\"]\nlogin = \"trusted\"\n");
    let (url, first, second) = {
        let house = House::of(&serve).await;
        (house.url.clone(), house.code().await, house.code().await)
    };
    serve.kill();
    let data = serve.start_again_on_a_disk_of("4m");
    let http = http(&serve.folder().join("certs/ca.pem"));
    let mut latest = match exchange(&http, &url, &first).await {
        Heard::Tokens { refresh, .. } => refresh,
        Heard::Refused(body) => panic!("a good code was refused: {body}"),
        Heard::Nothing => panic!("no answer: {}", serve.log()),
    };

    let filler = data.join("filler");
    fill(&filler);
    // The log of the database has room left for some writes.
    let mut refusal = None;
    for _ in 0..2_000 {
        match refresh(&http, &url, &latest).await {
            Heard::Tokens { refresh, .. } => latest = refresh,
            Heard::Refused(body) => {
                refusal = Some(body);
                break;
            }
            Heard::Nothing => panic!("the server is gone: {}", serve.log()),
        }
    }
    assert_eq!(refusal.expect("the disk is full")["error"], "temporarily_unavailable");
    match exchange(&http, &url, &second).await {
        Heard::Refused(body) => assert_eq!(body["error"], "temporarily_unavailable"),
        Heard::Tokens { .. } | Heard::Nothing => panic!("a code was used on a full disk"),
    }

    std::fs::remove_file(&filler).unwrap();
    assert!(matches!(refresh(&http, &url, &latest).await, Heard::Tokens { .. }));
    assert!(matches!(exchange(&http, &url, &second).await, Heard::Tokens { .. }));
}
