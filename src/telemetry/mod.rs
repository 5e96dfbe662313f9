//! What operators read: the log, the sign-in event, the metrics.
//!
//! Invariants:
//! - no token, password or code is ever passed in here, so none can come out; what arrives is names, addresses,
//!   outcomes and counts;
//! - a text that came from outside is bounded and has its control characters escaped before it reaches a line
//!   ([`Clean`]), so nobody can write a line of their own into the log;
//! - labels of metrics come from closed sets: enums, or names of the configuration that are resolved at start;
//! - a slow reader of standard error costs log lines, never a session: lines go through a bounded queue to a
//!   thread of their own, and lost ones are counted and told.
//!
//! This room must not decide anything, and must not know another one but `model`.

mod clean;
mod http;
mod labels;
mod log;
mod metrics;
mod sign_in;

use std::net::SocketAddr;

pub use clean::Clean;
pub use http::serve_metrics;
pub use labels::{Direction, Front, Grant, TlsVersion};
pub use log::{LogError, LogGuard, init};
pub use metrics::{Counted, Metrics, Validations};
pub use sign_in::SignIn;

/// `[telemetry]` of the configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Log filter: a level for Bearward itself (`info`), or directives in `tracing` syntax (`bearward=debug`).
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
