//! Look-ups in a TOML file: a table for each user, `["alice@example.org"]`, and for each domain, `["@example.org"]`.
//!
//! The file is read again when it changes. One that cannot be used replaces none that could.

use std::{
    collections::HashMap,
    fs::{File, Metadata},
    io::Read,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use toml::{Table, Value};
use zeroize::Zeroizing;

use super::{
    Entry, FileConfig, Query,
    entry::Found,
    guarded::{Fault, Source},
};
use crate::model::{Login, Secret};

/// The longest file taken, in octets.
const MAX: u64 = 16 << 20;

/// A file, as it was last read.
#[derive(Debug)]
pub(super) struct FileSource {
    name: Arc<str>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// What the file looked like when it was last tried; `None` when it was not there.
    stamp: Option<Stamp>,
    users: Arc<HashMap<String, Found>>,
}

/// By what a change is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    changed: (i64, i64),
    size: u64,
    inode: u64,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            changed: (metadata.mtime(), metadata.mtime_nsec()),
            size: metadata.len(),
            inode: metadata.ino(),
        }
    }
}

impl FileSource {
    /// Reads the file.
    pub(super) fn open(name: &Arc<str>, config: &FileConfig) -> Result<Self, String> {
        let path = config.path.clone();
        let (stamp, users) = read(&path)?;
        let state = Mutex::new(State { stamp: Some(stamp), users: Arc::new(users) });
        Ok(Self { name: Arc::clone(name), shared: Arc::new(Shared { path, state }) })
    }
}

#[async_trait]
impl Source for FileSource {
    async fn ask(&self, query: &Query<'_>) -> Result<Option<Found>, Fault> {
        let (shared, name) = (Arc::clone(&self.shared), Arc::clone(&self.name));
        let users = tokio::task::spawn_blocking(move || shared.current(&name))
            .await
            .map_err(|_| Fault::Unavailable("the file could not be read".into()))?;
        Ok(find(&users, query.login))
    }
}

impl Shared {
    /// The users as the file has them now, or as it last had them when it cannot be used.
    fn current(&self, name: &str) -> Arc<HashMap<String, Found>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = std::fs::metadata(&self.path).ok().map(|metadata| Stamp::of(&metadata));
        if state.stamp == stamp {
            return Arc::clone(&state.users);
        }
        match read(&self.path) {
            Ok((stamp, users)) => {
                tracing::info!(lookup = name, file = %self.path.display(), users = users.len(), "a look-up's file was read again");
                *state = State { stamp: Some(stamp), users: Arc::new(users) };
            }
            Err(error) => {
                tracing::error!(
                    lookup = name,
                    error,
                    "a look-up's file cannot be used; what it held before stays in use"
                );
                state.stamp = stamp;
            }
        }
        Arc::clone(&state.users)
    }
}

/// The user's own table, and from that of the domain what the user's does not say.
fn find(users: &HashMap<String, Found>, login: &Login) -> Option<Found> {
    let own = users.get(login.as_str());
    let domain = login.domain().and_then(|domain| users.get(&format!("@{domain}")));
    let (first, second) = match (own, domain) {
        (Some(own), domain) => (own, domain),
        (None, Some(domain)) => (domain, None),
        (None, None) => return None,
    };
    let text = |of: fn(&Found) -> &Option<String>| {
        of(first).clone().or_else(|| second.and_then(|found| of(found).clone()))
    };
    let list = |of: fn(&Found) -> &Vec<String>| match (of(first), second) {
        (list, Some(second)) if list.is_empty() => of(second).clone(),
        (list, Some(_) | None) => list.clone(),
    };
    Some(Found {
        // The server belongs to the backend: both come from one place.
        backend: text(|found| &found.backend),
        server: if first.backend.is_some() { first.server.clone() } else { text(|found| &found.server) },
        login_name: first.login_name.clone(),
        password: first.password.clone(),
        addresses: list(|found| &found.addresses),
        mailboxes: list(|found| &found.mailboxes),
    })
}

fn read(path: &Path) -> Result<(Stamp, HashMap<String, Found>), String> {
    let shown = path.display();
    let mut file = File::open(path).map_err(|error| format!("cannot open {shown}: {error}"))?;
    let metadata = file.metadata().map_err(|error| format!("cannot read {shown}: {error}"))?;
    if !metadata.is_file() || metadata.len() > MAX {
        return Err(format!("{shown} is no file of at most 16 MiB"));
    }
    let capacity = usize::try_from(metadata.len()).unwrap_or_default() + 1;
    let mut octets = Zeroizing::new(Vec::with_capacity(capacity));
    (&mut file)
        .take(MAX + 1)
        .read_to_end(&mut octets)
        .map_err(|error| format!("cannot read {shown}: {error}"))?;
    if octets.len() as u64 > MAX {
        return Err(format!("{shown} is no file of at most 16 MiB"));
    }
    let text =
        std::str::from_utf8(&octets).map_err(|_| format!("{shown} is not UTF-8, which TOML must be"))?;
    let users = parse(text).map_err(|reason| format!("{shown}: {reason}"))?;
    let is_open = metadata.mode() & 0o037 != 0;
    if is_open && users.values().any(|found| found.password.is_some()) {
        return Err(format!("{shown} holds passwords and is open to others; run `chmod 600 {shown}`"));
    }
    Ok((Stamp::of(&metadata), users))
}

/// Every table of the file. A reason names the line or the table, and repeats no value.
fn parse(text: &str) -> Result<HashMap<String, Found>, String> {
    let table: Table = text.parse().map_err(|error: toml::de::Error| syntax(text, &error))?;
    let mut users = HashMap::with_capacity(table.len());
    for (name, value) in table {
        let shown = name.escape_debug().to_string();
        let key = Login::parse(&name).map_err(|error| format!("[\"{shown}\"]: {error}"))?;
        let Value::Table(table) = value else {
            return Err(format!("{shown} is no table; write [\"alice@example.org\"] above a user's keys"));
        };
        let found = one(table).map_err(|reason| format!("[\"{shown}\"]: {reason}"))?;
        if key.local().is_empty() && (found.login_name.is_some() || found.password.is_some()) {
            return Err(format!(
                "[\"{shown}\"]: a whole domain has no login_name and no password, or all its users would share a mailbox"
            ));
        }
        if users.insert(key.as_str().to_owned(), found).is_some() {
            return Err(format!("[\"{shown}\"] stands there twice"));
        }
    }
    Ok(users)
}

/// Where the file is no TOML, without the line itself, which may hold a password.
fn syntax(text: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    format!("line {} is no TOML", before.matches('\n').count() + 1)
}

fn one(table: Table) -> Result<Found, String> {
    let mut found = Found::default();
    for (key, value) in table {
        match key.as_str() {
            "addresses" => found.addresses = texts(&key, value)?,
            "backend" => found.backend = Some(text(&key, value)?),
            "login_name" => found.login_name = Some(text(&key, value)?),
            "mailboxes" => found.mailboxes = texts(&key, value)?,
            "password" => found.password = Some(Secret::from(text(&key, value)?)),
            "server" => found.server = Some(text(&key, value)?),
            _ => {
                return Err(format!(
                    "knows addresses, backend, login_name, mailboxes, password and server, not {}",
                    key.escape_debug()
                ));
            }
        }
    }
    check(&found)?;
    Ok(found)
}

/// Faults are found when the file is read, not when the user comes.
fn check(found: &Found) -> Result<Entry, String> {
    found.clone().checked()
}

fn text(key: &str, value: Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text),
        Value::Array(_)
        | Value::Boolean(_)
        | Value::Datetime(_)
        | Value::Float(_)
        | Value::Integer(_)
        | Value::Table(_) => Err(format!("{key} must be a text in quotes")),
    }
}

fn texts(key: &str, value: Value) -> Result<Vec<String>, String> {
    let Value::Array(items) = value else {
        return Err(format!("{key} must be a list, such as [\"a@example.org\"]"));
    };
    items.into_iter().map(|item| text(key, item)).collect()
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
