//! Token answers by the second: refreshes of a public client, each of which uses up one refresh token and makes an
//! access token and the next refresh token, all of it on the disk before the answer goes out.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use bearward::{
    issuer::{self, Call, Caller, Issuer, Params},
    model::{ClientId, GrantId, Login, Scope, Secret, TokenKind, UnixTime},
    store::{self, Location, NewGrant, NewToken, Store},
    token::{GrantKey, OpaqueToken, ServerKey},
};

use crate::{AUDIENCE, ISSUER, processor_time};

/// Clients that ask at once.
const AT_ONCE: usize = 64;

/// Refreshes for `span`, and prints how many answers a second of the clock and a second of a core gave.
pub(crate) async fn measure(folder: &Path, span: Duration) -> Result<()> {
    let file = tempfile::Builder::new().suffix(".db").tempfile_in(folder)?.into_temp_path();
    std::fs::remove_file(&file)?;
    let location = Location::Sqlite(file.to_path_buf());
    let store = store::open(&store::Config { location, poll_interval: Duration::from_secs(1) }).await?;
    let key = ServerKey::generate()?;
    let config = issuer::Config::new(ISSUER);
    let issuer = Arc::new(Issuer::new(config, Arc::clone(&store), key.clone(), UnixTime::now()).await?);
    let (stop, answers) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut asking = Vec::new();
    for _ in 0..AT_ONCE {
        let first = grant(&*store, &key).await?;
        let (issuer, stop, answers) = (Arc::clone(&issuer), Arc::clone(&stop), Arc::clone(&answers));
        asking.push(tokio::spawn(ask(issuer, first, stop, answers)));
    }
    let (started, cpu) = (Instant::now(), processor_time()?);
    tokio::time::sleep(span).await;
    let (elapsed, cpu) = (started.elapsed(), processor_time()? - cpu);
    let given = answers.load(Ordering::Relaxed);
    stop.store(true, Ordering::Relaxed);
    for one in asking {
        one.await??;
    }
    ensure!(given > 0, "no answer in {span:?}");
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let given = given as f64;
    println!(
        "  refreshes on SQLite: {:>6.0} a second, {:>6.0} a second and core ({:.2} cores busy)",
        given / elapsed.as_secs_f64(),
        given / cpu.as_secs_f64(),
        cpu.as_secs_f64() / elapsed.as_secs_f64(),
    );
    Ok(())
}

/// A grant of the client `open` with a refresh token.
async fn grant(store: &dyn Store, server: &ServerKey) -> Result<Secret> {
    let (id, key, now) = (GrantId::generate(), GrantKey::generate()?, UnixTime::now());
    let token = OpaqueToken::generate(TokenKind::Refresh)?;
    store
        .create_grant(NewGrant {
            id,
            user: Login::parse("alice@example.org")?,
            client: ClientId::open(),
            scope: Scope::mail(),
            created_at: now,
            expires_at: None,
            audience: AUDIENCE.to_owned(),
            auth_time: Some(now),
            mailboxes: Vec::new(),
            public_key: *key.public().as_bytes(),
            credentials: Vec::new(),
            code: None,
            tokens: vec![NewToken {
                lookup: token.lookup()?,
                kind: TokenKind::Refresh,
                scope: Scope::mail(),
                audience: AUDIENCE.to_owned(),
                certificate: None,
                created_at: now,
                expires_at: UnixTime(now.0 + 86_400),
                wrapped_key: key.wrap(&token.wrap_key(server)?, id, TokenKind::Refresh)?,
            }],
        })
        .await?;
    Ok(token.text())
}

async fn ask(
    issuer: Arc<Issuer>,
    mut token: Secret,
    stop: Arc<AtomicBool>,
    answers: Arc<AtomicU64>,
) -> Result<()> {
    let caller = Caller { address: IpAddr::V4(Ipv4Addr::LOCALHOST), certificate: None };
    while !stop.load(Ordering::Relaxed) {
        let refresh = token.expose_str().context("a token is text")?;
        let pairs = [("grant_type", "refresh_token"), ("client_id", "open"), ("refresh_token", refresh)];
        let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let params = Params::from_pairs(pairs);
        let call = Call { params: &params, authorization: None, caller: &caller, now: UnixTime::now() };
        let answer = issuer.token(&call).await?;
        let answer: serde_json::Value = serde_json::from_slice(answer.json().expose())?;
        token = Secret::copy_of(
            answer
                .get("refresh_token")
                .and_then(serde_json::Value::as_str)
                .context("refresh_token")?
                .as_bytes(),
        );
        answers.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}
