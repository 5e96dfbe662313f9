//! From file, environment and secret files to the components' own settings.
//!
//! The way of a value: the file is read into a tree that remembers lines ([`document`]), the environment is laid
//! over it ([`environment`]), the tree is read into the structures that mirror the file ([`raw`]), secret files are
//! opened, and everything is checked and parsed into [`app::Config`] ([`resolve`]).
//!
//! Invariants:
//! - nothing that is written is silently ignored: an unknown key is an error that names the nearest known one, and
//!   a key that this version cannot honour is refused;
//! - every error is one sentence with file, line and key, and never repeats a value that could be a secret;
//! - what an operator sees (reference file, schema) comes from the structures that are read.
//!
//! No component knows this room.

mod address;
mod document;
mod environment;
mod error;
mod raw;
mod reader;
mod reference;
mod resolve;
mod secret_file;
mod unavailable;
mod value;

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use self::document::{Document, Node, Origin, Value};
pub use self::{
    error::ConfigError,
    reference::{reference, schema},
};
use crate::{app, model::Protocol, upstream::Security};

/// Where the configuration is looked for when no file is named.
pub const DEFAULT_FILES: [&str; 2] = ["/etc/bearward/bearward.toml", "config/bearward.toml"];

/// Keys that stand in no section, and the sections.
const TOP: &[&str] = &[
    "hostname",
    "data_dir",
    "tls",
    "listener",
    "backend",
    "route",
    "lookup",
    "issuer",
    "trusted_issuer",
    "shared_mailboxes",
    "directory",
    "passwords",
    "session",
    "setup",
    "limits",
    "store",
    "submission",
    "telemetry",
    "admin",
];

/// A configuration that was read and checked.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What the components get.
    pub config: app::Config,
    /// The file it came from.
    pub file: Option<PathBuf>,
    effective: raw::Root,
}

impl Loaded {
    /// What is in effect, as TOML, secrets masked.
    pub fn to_toml(&self) -> String {
        toml::to_string(&self.effective).unwrap_or_default()
    }

    /// What is in effect, as JSON, secrets masked.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(&self.effective).unwrap_or_default()
    }
}

/// A duration as it is written in the configuration: `90s`, `15m`, `1h`, `30d`.
///
/// # Errors
/// One sentence.
pub fn duration(text: &str) -> Result<std::time::Duration, &'static str> {
    text.parse().map(|value::Span(duration)| duration)
}

/// Reads `file`, or the first of [`DEFAULT_FILES`] that exists, and the environment.
///
/// # Errors
/// One sentence about the first fault.
pub fn load(file: Option<&Path>) -> Result<Loaded, ConfigError> {
    load_with(file, std::env::vars_os())
}

/// [`load`] with the environment given.
///
/// # Errors
/// One sentence about the first fault.
pub fn load_with(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Loaded, ConfigError> {
    let file = match file {
        Some(file) => file,
        None => DEFAULT_FILES.iter().map(Path::new).find(|file| file.exists()).ok_or_else(|| {
            ConfigError::new(format!(
                "there is no configuration file: neither {}",
                DEFAULT_FILES.join(" nor ")
            ))
            .help("name one with -c FILE; `bearward config default` prints one to begin with")
        })?,
    };
    let octets = Zeroizing::new(fs::read(file).map_err(|error| {
        ConfigError::new(format!("cannot be read: {error}"))
            .help("name another with -c FILE; `bearward config default` prints one to begin with")
            .in_file(file)
    })?);
    let text = std::str::from_utf8(&octets)
        .map_err(|_| ConfigError::new("is not UTF-8, which TOML must be").in_file(file))?;
    parse(text, file, environment)
}

/// Reads the text of `file`; relative paths begin at its folder.
///
/// # Errors
/// One sentence about the first fault.
pub fn parse(
    text: &str,
    file: &Path,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Loaded, ConfigError> {
    finish(Document::parse(text, file)?, environment)
}

/// The configuration of `serve --hostname H --upstream HOST`: standard ports, sealed login, for each protocol the
/// upstream's TLS port, else STARTTLS required.
///
/// # Errors
/// One sentence about the first fault.
pub fn from_flags(
    hostname: &str,
    upstream: &str,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Loaded, ConfigError> {
    let host = address::host(upstream).map_err(|message| {
        let mut error = ConfigError::new(message).help("write --upstream mail.internal.example.org");
        error.key = Some("--upstream".into());
        error
    })?;
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    let text = |text: &str| Node::text(Origin::BuiltIn, text);
    let table = |entries: Vec<(&str, Node)>| Node {
        origin: Origin::BuiltIn,
        value: Value::Table(entries.into_iter().map(|(key, node)| (key.to_owned(), node)).collect()),
    };
    let servers = |protocol: Protocol| {
        let modes: &[Security] = match protocol {
            Protocol::Imap | Protocol::Pop3 | Protocol::Smtp => &[Security::Tls, Security::StartTls],
            // It has no port for implicit TLS.
            Protocol::Sieve => &[Security::StartTls],
        };
        let addresses = modes.iter().map(|security| match security {
            Security::Clear | Security::StartTls => text(&format!("{protocol}+starttls://{host}")),
            Security::Tls => text(&format!("{protocol}s://{host}")),
        });
        Node { origin: Origin::BuiltIn, value: Value::Array(addresses.collect()) }
    };
    let main =
        table(Protocol::ALL.into_iter().map(|protocol| (protocol.as_str(), servers(protocol))).collect());
    let root = table(vec![("hostname", text(hostname)), ("backend", table(vec![("main", main)]))]);
    finish(Document { root, file: None }, environment)
}

fn finish(
    mut document: Document<'_>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Loaded, ConfigError> {
    environment::overlay(&mut document.root, environment, TOP)?;
    let mut effective: raw::Root = reader::read(&document)?;
    let config = resolve::resolve(&document, &mut effective)?;
    Ok(Loaded { config, file: document.file.map(Path::to_owned), effective })
}
