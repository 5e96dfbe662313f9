//! What must outlive the process: grants, tokens, sealed credentials, signing keys.

use std::path::PathBuf;

/// Where the store is.
#[derive(Clone, Debug)]
pub struct Config {
    /// The engine and its address.
    pub location: Location,
    /// How late a revocation by another process may be noticed.
    pub poll_interval: std::time::Duration,
}

/// The engine and its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A SQLite file.
    Sqlite(PathBuf),
}
