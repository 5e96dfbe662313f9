use std::path::Path;

use super::{Failure, Output, open, table::table};
use crate::{
    app::{self, CheckLine},
    telemetry::Clean,
};

pub(super) async fn run(offline: bool, file: Option<&Path>, output: Output) -> Result<(), Failure> {
    let config = open::load(file)?;
    print(&app::check(&config, offline).await, output)
}

/// Prints the lines; one that is not in order makes the command fail.
pub(super) fn print(lines: &[CheckLine], output: Output) -> Result<(), Failure> {
    if output.json {
        output.document(&lines);
    } else {
        let row = |line: &CheckLine| {
            let result = if line.ok { "ok" } else { "FAILED" };
            [result.to_owned(), line.what.clone(), Clean(&line.detail).to_string()]
        };
        output.text(&table(["result", "what", "detail"], &lines.iter().map(row).collect::<Vec<_>>()));
    }
    let failed = lines.iter().filter(|line| !line.ok).count();
    if failed == 0 {
        return Ok(());
    }
    Err(Failure::reported(format!("{failed} of {} checks failed", lines.len())))
}
