//! Validating a live opaque token, from SQLite and from the cache.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use bearward::{
    model::{Protocol, Secret, UnixTime},
    store::{self, Location, Store},
    token::ServerKey,
    validator::{Config, Request, Validator},
};

use crate::{AUDIENCE, ISSUER, percentile};

/// Validations between two looks at the clock, from the cache.
const BATCH: u32 = 1_000;
/// Validations from one store until it is the next one's turn.
const TURN: usize = 20;

/// A store of the curve, and a validator that always has to ask it.
pub(crate) struct Filled {
    size: u64,
    store: Arc<dyn Store>,
    cold: Validator,
    tokens: Vec<Secret>,
    /// Which token is asked for next.
    next: usize,
}

impl Filled {
    pub(crate) async fn open(file: &Path, size: u64, tokens: Vec<Secret>) -> Result<Self> {
        let location = Location::Sqlite(file.to_owned());
        let store = store::open(&store::Config { location, poll_interval: Duration::from_secs(1) }).await?;
        // A cache of one row never answers when thousands of tokens come in turn.
        let cold = validator(&store, 1)?;
        let mut filled = Self { size, store, cold, tokens, next: 0 };
        // What the store itself and the system keep in memory is there before anything is timed.
        filled.ask(4 * filled.tokens.len(), &mut Vec::new()).await?;
        Ok(filled)
    }

    /// Validates `count` tokens, each of which is timed alone.
    async fn ask(&mut self, count: usize, samples: &mut Vec<Duration>) -> Result<()> {
        let now = UnixTime::now();
        for _ in 0..count {
            let token = self.tokens.get(self.next).context("no token")?;
            self.next = (self.next + 1) % self.tokens.len();
            let before = Instant::now();
            let validation = self.cold.validate_noting(token, &REQUEST, now).await;
            samples.push(before.elapsed());
            ensure!(validation.result.is_ok(), "a token of the store is not live");
            ensure!(!validation.cached, "the cache answered");
        }
        Ok(())
    }
}

const REQUEST: Request<'static> = Request::new(Protocol::Imap);

fn validator(store: &Arc<dyn Store>, cache_entries: usize) -> Result<Validator> {
    let config = Config { issuer: ISSUER.into(), audience: AUDIENCE.into(), cache_entries };
    Ok(Validator::new(&config, Arc::clone(store), ServerKey::generate()?))
}

/// Asks the stores by turns, for `span` each: whatever else the machine does meets all of them alike.
pub(crate) async fn side_by_side(stores: &mut [Filled], span: Duration) -> Result<()> {
    let mut samples: Vec<Vec<Duration>> = stores.iter().map(|_| Vec::new()).collect();
    let mut left = stores.iter().map(|_| span).sum::<Duration>();
    while !left.is_zero() {
        let started = Instant::now();
        for (store, samples) in stores.iter_mut().zip(&mut samples) {
            store.ask(TURN, samples).await?;
        }
        left = left.saturating_sub(started.elapsed());
    }
    let mut smallest = None;
    for (store, samples) in stores.iter().zip(&mut samples) {
        samples.sort_unstable();
        let middle = percentile(samples, 0.5).as_secs_f64() * 1e6;
        let smallest = *smallest.get_or_insert(middle);
        println!(
            "{:>9} grants: SQLite p50 {middle:>6.1} µs ({:.2} of the first), p99 {:>6.1} µs",
            store.size,
            middle / smallest,
            percentile(samples, 0.99).as_secs_f64() * 1e6,
        );
    }
    Ok(())
}

/// Asks for one token again and again, which the cache holds.
pub(crate) async fn from_cache(stores: &[Filled], span: Duration) -> Result<()> {
    let filled = stores.first().context("no store")?;
    let warm = validator(&filled.store, 100_000)?;
    let token = filled.tokens.first().context("no token")?;
    let now = UnixTime::now();
    warm.validate(token, &REQUEST, now).await?;
    let (mut batches, started) = (Vec::new(), Instant::now());
    while started.elapsed() < span {
        let before = Instant::now();
        for _ in 0..BATCH {
            let validation = warm.validate_noting(token, &REQUEST, now).await;
            ensure!(validation.result.is_ok() && validation.cached, "the cache does not answer");
        }
        batches.push(before.elapsed() / BATCH);
    }
    batches.sort_unstable();
    println!("            cache p50 {:>5.0} ns", percentile(&batches, 0.5).as_secs_f64() * 1e9);
    Ok(())
}
