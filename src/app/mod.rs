//! The composition root: builds every part from its settings and runs it.
//!
//! It is the only place that knows all rooms. It decides nothing about tokens, protocols or people; it starts,
//! wires, watches and stops.

mod check;
mod control;
mod housekeeping;
mod https;
mod introduced;
mod logout;
mod mail;
mod parts;
mod people;
mod recheck;
mod refusals;
mod serve;
mod storage;
mod trial;

/// For the command line, which knows no pages.
pub use crate::web::qr_terminal;
pub use check::{CheckLine, check};
pub use control::grant_info;
pub use parts::{AppError, Parts, lone_validator};
pub use serve::serve;
pub use storage::open_store;
pub use trial::{OnlyXoauth2, Ports, TrialDocument, TrialError, TrialOptions, TrialUser, try_run};

use std::{path::PathBuf, sync::Arc};

use crate::{
    admin, directory, issuer, limits, lookup, net, session, setup, store, telemetry, tls, upstream,
    validator::trusted,
};

/// Everything that `serve` needs, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// The public name.
    pub hostname: Arc<str>,
    /// Where state lives, mode 0700.
    pub data_dir: PathBuf,
    /// Certificates.
    pub tls: tls::Config,
    /// Listening sockets.
    pub listeners: Vec<net::ListenerConfig>,
    /// Backends.
    pub backends: Vec<upstream::Config>,
    /// Routes, first match wins.
    pub routes: Vec<upstream::Route>,
    /// Look-ups, which others refer to by name.
    pub lookups: Vec<lookup::Config>,
    /// The built-in issuer.
    pub issuer: issuer::Config,
    /// Issuers elsewhere whose tokens are taken too.
    pub trusted: Vec<trusted::Config>,
    /// The look-up of mailboxes that users share.
    pub shared_mailboxes: Option<Arc<str>>,
    /// Who may sign in.
    pub directory: directory::Config,
    /// Live sessions.
    pub session: session::Config,
    /// What mail clients are told.
    pub setup: setup::Offer,
    /// Limits.
    pub limits: limits::Config,
    /// The store.
    pub store: store::Config,
    /// Log and metrics.
    pub telemetry: telemetry::Config,
    /// The admin socket.
    pub admin: admin::Config,
}
