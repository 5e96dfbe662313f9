//! Events, metrics and the log.

use std::net::SocketAddr;

/// `[telemetry]` of the configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Log filter in `tracing` syntax (`info`, `bearward=debug`).
    pub log: String,
    /// How log lines look.
    pub format: Format,
    /// Where `/metrics`, `/healthz` and `/readyz` are served.
    pub metrics: Option<SocketAddr>,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}
