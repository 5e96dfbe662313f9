use std::{fmt, path::PathBuf, process::ExitCode};

use clap::error::ErrorKind;
use serde::Serialize;

use crate::config::ConfigError;

/// Why a command failed. One sentence: what is wrong, where, what to do.
#[derive(Debug)]
pub(super) struct Failure {
    status: u8,
    /// Whether standard output holds a document already that says so.
    is_reported: bool,
    body: Body,
}

/// The error document.
#[derive(Debug, Serialize)]
pub(super) struct Body {
    message: String,
    file: Option<PathBuf>,
    line: Option<usize>,
    key: Option<String>,
    help: Option<String>,
}

impl Failure {
    /// It was tried and failed: exit status 1.
    pub(super) fn failed(message: impl fmt::Display) -> Self {
        Self { status: 1, is_reported: false, body: Body::message(message.to_string()) }
    }

    /// It failed, and the result that was printed says where: exit status 1.
    pub(super) fn reported(message: impl Into<String>) -> Self {
        Self { status: 1, is_reported: true, body: Body::message(message.into()) }
    }

    /// Wrong usage: exit status 2.
    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self { status: 2, is_reported: false, body: Body::message(message.into()) }
    }

    /// What to do.
    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.body.help = Some(help.into());
        self
    }

    pub(super) fn status(&self) -> ExitCode {
        ExitCode::from(self.status)
    }

    pub(super) const fn is_reported(&self) -> bool {
        self.is_reported
    }

    /// The sentence alone.
    pub(super) fn message(&self) -> &str {
        &self.body.message
    }

    pub(super) const fn body(&self) -> &Body {
        &self.body
    }
}

impl Body {
    const fn message(message: String) -> Self {
        Self { message, file: None, line: None, key: None, help: None }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Body { message, file, line, key, help } = &self.body;
        // The same sentence as the configuration's own.
        ConfigError {
            message: message.clone(),
            file: file.clone(),
            line: *line,
            key: key.clone(),
            help: help.clone(),
        }
        .fmt(f)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let ConfigError { message, file, line, key, help } = error;
        Self { status: 2, is_reported: false, body: Body { message, file, line, key, help } }
    }
}

impl From<clap::Error> for Failure {
    fn from(error: clap::Error) -> Self {
        if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
            return Self::usage("a command is missing").help("`bearward --help` lists them");
        }
        let rendered = error.render().to_string();
        let mut paragraphs = rendered.split("\n\n");
        let message = paragraphs.next().unwrap_or_default();
        let message = message.strip_prefix("error: ").unwrap_or(message);
        let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
        let tip = paragraphs.find_map(|paragraph| paragraph.trim().strip_prefix("tip: "));
        let help =
            tip.and_then(|tip| tip.lines().next()).unwrap_or("`bearward --help` says what may be written");
        Self::usage(message).help(help)
    }
}
