//! Validating a live opaque token, from SQLite and from the cache.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use bearward::{
    model::{Protocol, Secret, UnixTime},
    store::{self, Location},
    token::ServerKey,
    validator::{Config, Request, Validator},
};

use crate::{AUDIENCE, ISSUER, percentile};

/// Validations between two looks at the clock, from the cache.
const BATCH: u32 = 1_000;

/// Asks for `tokens` in turn for `span`, each way.
pub(crate) async fn measure(
    file: &Path,
    size: u64,
    tokens: &[Secret],
    span: Duration,
    run: usize,
) -> Result<()> {
    let location = Location::Sqlite(file.to_owned());
    let store = store::open(&store::Config { location, poll_interval: Duration::from_secs(1) }).await?;
    let validator = |cache_entries| -> Result<Validator> {
        let config = Config { issuer: ISSUER.into(), audience: AUDIENCE.into(), cache_entries };
        Ok(Validator::new(&config, Arc::clone(&store), ServerKey::generate()?))
    };
    let request = Request::new(Protocol::Imap);
    let now = UnixTime::now();

    // A cache of one row never answers when thousands of tokens come in turn.
    let cold = validator(1)?;
    let mut samples = Vec::new();
    let started = Instant::now();
    while started.elapsed() < span {
        for token in tokens {
            let before = Instant::now();
            let validation = cold.validate_noting(token, &request, now).await;
            samples.push(before.elapsed());
            ensure!(validation.result.is_ok(), "a token of the store is not live");
            ensure!(!validation.cached, "the cache answered");
        }
    }
    samples.sort_unstable();

    let warm = validator(100_000)?;
    let token = tokens.first().context("no token")?;
    warm.validate(token, &request, now).await?;
    let (mut batches, started) = (Vec::new(), Instant::now());
    while started.elapsed() < span {
        let before = Instant::now();
        for _ in 0..BATCH {
            let validation = warm.validate_noting(token, &request, now).await;
            ensure!(validation.result.is_ok() && validation.cached, "the cache does not answer");
        }
        batches.push(before.elapsed() / BATCH);
    }
    batches.sort_unstable();
    println!(
        "{size:>9} grants, run {run}: SQLite p50 {:>6.1} µs, p99 {:>6.1} µs; cache p50 {:>5.0} ns",
        percentile(&samples, 0.5).as_secs_f64() * 1e6,
        percentile(&samples, 0.99).as_secs_f64() * 1e6,
        percentile(&batches, 0.5).as_secs_f64() * 1e9,
    );
    Ok(())
}
