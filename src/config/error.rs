use std::{
    fmt,
    path::{Path, PathBuf},
};

use super::document::Origin;

/// The configuration cannot be used. One sentence: what is wrong, where, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// What is wrong.
    pub message: String,
    /// The file, when the fault stands in one.
    pub file: Option<PathBuf>,
    /// The line in that file, from 1.
    pub line: Option<usize>,
    /// The key with its sections, or the environment variable that set it.
    pub key: Option<String>,
    /// What to do.
    pub help: Option<String>,
}

impl ConfigError {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), file: None, line: None, key: None, help: None }
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(super) fn in_file(mut self, file: &Path) -> Self {
        self.file = Some(file.to_owned());
        self
    }

    pub(super) const fn on_line(mut self, line: usize) -> Self {
        self.line = Some(line);
        self
    }

    /// Says where, unless a place nearer to the fault is known already.
    pub(super) fn at(mut self, path: &str, origin: &Origin, file: Option<&Path>) -> Self {
        if self.key.is_some() {
            return self;
        }
        match origin {
            Origin::Line(line) => {
                self.file = file.map(Path::to_owned);
                self.line = Some(*line);
                self.key = (!path.is_empty()).then(|| path.to_owned());
            }
            Origin::Variable(name) => self.key = Some(name.clone()),
            Origin::BuiltIn => {
                self.file = file.map(Path::to_owned);
                self.key = (!path.is_empty()).then(|| path.to_owned());
            }
        }
        self
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}:", file.display())?;
            if let Some(line) = self.line {
                write!(f, "{line}:")?;
            }
            f.write_str(" ")?;
        }
        if let Some(key) = &self.key {
            write!(f, "{key}: ")?;
        }
        f.write_str(&self.message)?;
        match &self.help {
            Some(help) => write!(f, "; {help}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ConfigError {}
