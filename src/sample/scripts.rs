//! The Sieve scripts of one user: in memory, bounded, kept and never run.

use std::collections::BTreeMap;

use bytes::Bytes;

/// Longest script in octets.
pub(super) const SCRIPT_LIMIT: usize = 1 << 20;
/// Scripts of one user.
const SCRIPTS: usize = 32;
/// Longest name in octets.
const NAME_LIMIT: usize = 512;

/// The scripts of one user.
#[derive(Default)]
pub(super) struct Scripts {
    scripts: BTreeMap<String, Bytes>,
    active: Option<String>,
}

/// Why a change was refused; the response codes are those of RFC 5804 §1.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    Active,
    AlreadyExists,
    BadName,
    NonExistent,
    TooLarge,
    TooMany,
}

impl Refused {
    /// What stands behind NO.
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Active => "(ACTIVE) \"the script is active\"",
            Self::AlreadyExists => "(ALREADYEXISTS) \"there is such a script\"",
            Self::BadName => "\"no name for a script\"",
            Self::NonExistent => "(NONEXISTENT) \"there is no such script\"",
            Self::TooLarge => "(QUOTA/MAXSIZE) \"the script is too large\"",
            Self::TooMany => "(QUOTA/MAXSCRIPTS) \"there are too many scripts\"",
        }
    }
}

impl Scripts {
    /// Names in order, and whether each is the active one.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, bool)> {
        self.scripts.keys().map(|name| (name.as_str(), self.active.as_ref() == Some(name)))
    }

    pub(super) fn get(&self, name: &str) -> Result<Bytes, Refused> {
        self.scripts.get(name).cloned().ok_or(Refused::NonExistent)
    }

    /// Whether a script of `size` octets could be put under `name`.
    pub(super) fn has_space(&self, name: &str, size: usize) -> Result<(), Refused> {
        if name.is_empty() || name.len() > NAME_LIMIT || name.chars().any(char::is_control) {
            Err(Refused::BadName)
        } else if size > SCRIPT_LIMIT {
            Err(Refused::TooLarge)
        } else if !self.scripts.contains_key(name) && self.scripts.len() >= SCRIPTS {
            Err(Refused::TooMany)
        } else {
            Ok(())
        }
    }

    pub(super) fn put(&mut self, name: &str, script: Bytes) -> Result<(), Refused> {
        self.has_space(name, script.len())?;
        self.scripts.insert(name.to_owned(), script);
        Ok(())
    }

    /// Makes a script the active one; with an empty name none is.
    pub(super) fn activate(&mut self, name: &str) -> Result<(), Refused> {
        if !name.is_empty() && !self.scripts.contains_key(name) {
            return Err(Refused::NonExistent);
        }
        self.active = Some(name.to_owned()).filter(|name| !name.is_empty());
        Ok(())
    }

    pub(super) fn delete(&mut self, name: &str) -> Result<(), Refused> {
        if self.active.as_deref() == Some(name) {
            return Err(Refused::Active);
        }
        self.scripts.remove(name).map(drop).ok_or(Refused::NonExistent)
    }

    pub(super) fn rename(&mut self, old: &str, new: &str) -> Result<(), Refused> {
        let script = self.get(old)?;
        if self.scripts.contains_key(new) {
            return Err(Refused::AlreadyExists);
        }
        self.scripts.remove(old);
        // There is room for it: another has just gone.
        let kept = self.put(new, script.clone());
        if kept.is_err() {
            self.scripts.insert(old.to_owned(), script);
        } else if self.active.as_deref() == Some(old) {
            self.active = Some(new.to_owned());
        }
        kept
    }
}
