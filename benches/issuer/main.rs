//! What the issuer and the validator cost: a validation from cache and from SQLite, what a store of a million grants
//! does to it, and how many token answers a core gives while every one of them is on the disk.
//!
//! `docs/performance.md` describes the method; run it with `cargo bench --bench issuer`. With `--quick` it is short
//! and its numbers are rough; with `--grants 1000000` the curve goes that far, with `--only validations` or `--only
//! refreshes` the other half is left out.
#![allow(clippy::print_stdout, reason = "a program for people at a terminal")]

mod exchange;
mod fill;
mod validate;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use bearward::model::Secret;
use tokio::runtime::{Builder, Runtime};

const ISSUER: &str = "https://mail.example.org";
const AUDIENCE: &str = "https://mail.example.org";

/// What was asked for.
#[derive(Clone)]
struct Arguments {
    /// Store sizes of the curve.
    sizes: Vec<u64>,
    /// How long each measurement goes on.
    span: Duration,
    /// How often all of it is repeated.
    runs: usize,
    validations: bool,
    refreshes: bool,
}

impl Arguments {
    fn read() -> Result<Self> {
        let mut arguments = Self {
            sizes: vec![10_000, 100_000, 1_000_000],
            span: Duration::from_secs(3),
            runs: 3,
            validations: true,
            refreshes: true,
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            match word.as_str() {
                "--bench" => {}
                "--quick" => {
                    arguments.sizes = vec![1_000, 10_000];
                    arguments.span = Duration::from_millis(300);
                    arguments.runs = 1;
                }
                "--grants" => {
                    let most: u64 = words.next().context("--grants takes a number")?.parse()?;
                    arguments.sizes.retain(|size| *size < most);
                    arguments.sizes.push(most);
                }
                "--only" => match words.next().as_deref() {
                    Some("validations") => arguments.refreshes = false,
                    Some("refreshes") => arguments.validations = false,
                    _ => bail!("--only takes validations or refreshes"),
                },
                other => bail!("unknown argument {other}; there are --quick, --grants N and --only WHAT"),
            }
        }
        Ok(arguments)
    }
}

fn main() -> Result<()> {
    let arguments = Arguments::read()?;
    let folder = tempfile::Builder::new().prefix("bearward-bench").tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    if arguments.refreshes {
        as_served()?.block_on(refreshes(&arguments, folder.path()))?;
    }
    if arguments.validations {
        let alone = Builder::new_current_thread().enable_all().build()?;
        let tokens = alone.block_on(fill(&arguments, folder.path()))?;
        // Without a second worker nothing but the store is timed; with one the way to it is what it is in a server.
        for (what, runtime) in [("one thread", alone), ("the runtime of a server", as_served()?)] {
            println!("on {what}");
            let task = validations(arguments.clone(), folder.path().to_owned(), tokens.clone());
            runtime.block_on(async { tokio::spawn(task).await })??;
        }
    }
    Ok(())
}

fn as_served() -> Result<Runtime> {
    Ok(Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

async fn refreshes(arguments: &Arguments, folder: &Path) -> Result<()> {
    for run in 1..=arguments.runs {
        println!("run {run}");
        exchange::measure(folder, arguments.span).await?;
    }
    Ok(())
}

/// Fills the stores of the curve; returns tokens of each. Each store is asked for as many, so that they differ in
/// nothing but their size.
async fn fill(arguments: &Arguments, folder: &Path) -> Result<Vec<Vec<Secret>>> {
    let asked = arguments.sizes.first().copied().context("no size")?;
    let mut tokens = Vec::new();
    for size in &arguments.sizes {
        tokens.push(fill::with(&file(folder, *size), *size, asked).await?);
    }
    Ok(tokens)
}

fn file(folder: &Path, size: u64) -> PathBuf {
    folder.join(format!("{size}.db"))
}

async fn validations(arguments: Arguments, folder: PathBuf, tokens: Vec<Vec<Secret>>) -> Result<()> {
    let mut stores = Vec::new();
    for (size, tokens) in arguments.sizes.iter().zip(tokens) {
        stores.push(validate::Filled::open(&file(&folder, *size), *size, tokens).await?);
    }
    for run in 1..=arguments.runs {
        println!("run {run}");
        validate::side_by_side(&mut stores, arguments.span).await?;
        validate::from_cache(&stores, arguments.span).await?;
    }
    Ok(())
}

/// Processor time of this process so far, user and system.
fn processor_time() -> Result<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let after = stat.rsplit_once(')').context("/proc/self/stat")?.1;
    let fields: Vec<&str> = after.split_whitespace().collect();
    let ticks = |index: usize| -> Result<u64> { Ok(fields.get(index).context("/proc/self/stat")?.parse()?) };
    // Fields 14 and 15 of proc(5), in hundredths of a second; the list begins behind field 2.
    Ok(Duration::from_millis((ticks(11)? + ticks(12)?) * 10))
}

/// The value below which `share` of the sorted samples lie.
fn percentile(sorted: &[Duration], share: f64) -> Duration {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index"
    )]
    let index = ((sorted.len().saturating_sub(1)) as f64 * share) as usize;
    sorted.get(index).copied().unwrap_or_default()
}
