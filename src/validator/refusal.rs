use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::model::{GrantId, UnixTime};

/// How a mail server refused a sealed password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordRefusal {
    /// It said that the password is wrong: `AUTHENTICATIONFAILED`, `535 5.7.8`, `[AUTH]`.
    Unambiguous,
    /// It gave no reason: a bare `NO`, `-ERR` or `535`.
    Bare,
}

/// What a refused sealed password means for its grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a grant whose password is wrong must be ended"]
pub enum Verdict {
    /// The password is wrong: end the grant.
    EndGrant,
    /// It may be a passing fault: answer as temporary.
    Temporary,
}

/// Decides when a refused sealed password ends its grant.
///
/// An unambiguous refusal does at once. A bare one does only when it repeats at least
/// [`RefusalPolicy::REPEAT_AFTER`] later, while others logged in to the same backend in between: then the backend
/// works, and it is this password that does not. What is remembered is bounded; what is dropped only delays.
#[derive(Debug, Default)]
pub struct RefusalPolicy {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    first_refusals: HashMap<(GrantId, Arc<str>), UnixTime>,
    /// Backends come from the configuration, so this stays small.
    last_logins: HashMap<Arc<str>, LastLogins>,
}

/// The last login of a backend, and the last one of another grant than that.
#[derive(Clone, Copy, Debug)]
struct LastLogins {
    latest: (GrantId, UnixTime),
    other: Option<UnixTime>,
}

impl LastLogins {
    fn of_others(self, grant: GrantId) -> Option<UnixTime> {
        if self.latest.0 == grant { self.other } else { Some(self.latest.1) }
    }
}

impl RefusalPolicy {
    /// How long after the first bare refusal another one counts.
    pub const REPEAT_AFTER: Duration = Duration::from_secs(30);
    /// How long a bare refusal is remembered.
    pub const FORGET_AFTER: Duration = Duration::from_secs(24 * 60 * 60);
    /// How many bare refusals are remembered.
    pub const CAPACITY: usize = 4096;

    /// A policy that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// A sealed password of `grant` was refused by `backend`.
    pub fn observe(
        &self,
        grant: GrantId,
        backend: &Arc<str>,
        refusal: PasswordRefusal,
        now: UnixTime,
    ) -> Verdict {
        let mut state = self.locked();
        let key = (grant, backend.clone());
        if refusal == PasswordRefusal::Unambiguous {
            state.first_refusals.remove(&key);
            return Verdict::EndGrant;
        }
        let first =
            state.first_refusals.get(&key).copied().filter(|first| now < first.after(Self::FORGET_AFTER));
        let Some(first) = first else {
            state.remember(key, now);
            return Verdict::Temporary;
        };
        let others = state.last_logins.get(backend).and_then(|last| last.of_others(grant));
        if now >= first.after(Self::REPEAT_AFTER) && others.is_some_and(|at| at > first) {
            state.first_refusals.remove(&key);
            return Verdict::EndGrant;
        }
        Verdict::Temporary
    }

    /// A sealed password of `grant` was taken by `backend`.
    pub fn login_succeeded(&self, grant: GrantId, backend: &Arc<str>, now: UnixTime) {
        let mut state = self.locked();
        if !state.first_refusals.is_empty() {
            state.first_refusals.remove(&(grant, backend.clone()));
        }
        match state.last_logins.get_mut(backend) {
            Some(last) => {
                let other = last.of_others(grant);
                *last = LastLogins { latest: (grant, now), other };
            }
            None => {
                state.last_logins.insert(backend.clone(), LastLogins { latest: (grant, now), other: None });
            }
        }
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn remember(&mut self, key: (GrantId, Arc<str>), now: UnixTime) {
        if self.first_refusals.len() >= RefusalPolicy::CAPACITY && !self.first_refusals.contains_key(&key) {
            self.first_refusals.retain(|_, first| now < first.after(RefusalPolicy::FORGET_AFTER));
        }
        if self.first_refusals.len() >= RefusalPolicy::CAPACITY && !self.first_refusals.contains_key(&key) {
            return;
        }
        self.first_refusals.insert(key, now);
    }
}
