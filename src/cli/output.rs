use std::{
    io::{self, Write},
    process::ExitCode,
};

use serde::Serialize;

use super::Failure;

/// Where results go: standard output, as text or as JSON.
#[derive(Clone, Copy, Debug)]
pub(super) struct Output {
    /// Whether results are JSON documents.
    pub(super) json: bool,
}

impl Output {
    /// Writes text, with a line end if it has none.
    pub(super) fn text(self, text: &str) {
        let end = if text.ends_with('\n') { "" } else { "\n" };
        let mut out = io::stdout().lock();
        // A reader that has gone away is no fault of the command.
        write!(out, "{text}{end}").and_then(|()| out.flush()).ok();
    }

    /// Writes one JSON document.
    pub(super) fn document(self, value: &impl Serialize) {
        self.text(&serde_json::to_string_pretty(value).unwrap_or_default());
    }

    /// Writes one JSON document on a line of its own.
    pub(super) fn line(self, value: &impl Serialize) {
        self.text(&serde_json::to_string(value).unwrap_or_default());
    }

    /// Writes the sentence to standard error, and the error document where JSON is wanted.
    pub(super) fn failure(self, failure: &Failure) -> ExitCode {
        writeln!(io::stderr().lock(), "bearward: {failure}").ok();
        if self.json && !failure.is_reported() {
            self.document(&serde_json::json!({ "error": failure.body() }));
        }
        failure.status()
    }
}
