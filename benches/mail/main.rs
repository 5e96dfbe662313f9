//! Load driver: what a sign-in, a relayed gigabyte and an idle session cost Bearward, beside HAProxy.
//!
//! Both proxies run as plain processes on core 0, one after the other, in front of the same fake IMAP server,
//! which lives in this process on core 1 together with the clients. HAProxy only ends TLS, and the clients log
//! in straight to the fake server: what Bearward costs more is what it does more. `docs/performance.md`
//! describes the method; run it with `cargo bench --bench mail -- --help`.
#![allow(clippy::print_stdout, reason = "a program for people at a terminal")]

mod arguments;
mod client;
mod measure;
mod process;
mod report;
mod subject;
mod upstream;

use anyhow::{Context, Result};

use self::{
    arguments::Arguments,
    report::Report,
    subject::{Kind, Subject},
};

fn main() -> Result<()> {
    let Some(arguments) = Arguments::read(std::env::args().skip(1))? else {
        println!("{}", arguments::HELP);
        return Ok(());
    };
    process::raise_file_limit()?;
    process::pin_this_process(process::DRIVER_CORE)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run(&arguments))
}

async fn run(arguments: &Arguments) -> Result<()> {
    let folder = tempfile::tempdir().context("a temporary folder cannot be made")?;
    let certificate = subject::Certificate::generate(folder.path())?;
    let upstream = upstream::Upstream::start(arguments.upstream).await?;
    let mut report = Report::default();
    for run in 0..arguments.runs {
        let mut kinds = arguments.subjects.clone();
        // Neither is always the first: the machine may warm up or tire.
        if run % 2 == 1 {
            kinds.reverse();
        }
        for kind in kinds {
            println!("run {}: {}", run + 1, kind.name());
            let subject = Subject::start(kind, folder.path(), &certificate, &upstream).await?;
            let figures = measure::all(&subject, &certificate, arguments)
                .await
                .with_context(|| format!("{} failed; its output is:\n{}", kind.name(), subject.output()))?;
            for (name, value) in figures.iter() {
                println!("  {name}: {value:.3}");
            }
            report.push(kind, figures);
        }
    }
    println!("\n{report}");
    Ok(())
}

/// Which subjects a report compares: the measured one over the reference.
const COMPARED: (Kind, Kind) = (Kind::Bearward, Kind::HaProxy);
