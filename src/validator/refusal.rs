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

#[cfg(test)]
mod tests {
    use super::*;

    const START: UnixTime = UnixTime(1_800_000_000);

    struct Scene {
        policy: RefusalPolicy,
        backend: Arc<str>,
        grant: GrantId,
        other: GrantId,
    }

    impl Scene {
        fn new() -> Self {
            Self {
                policy: RefusalPolicy::new(),
                backend: "main".into(),
                grant: GrantId::generate(),
                other: GrantId::generate(),
            }
        }

        fn bare(&self, seconds: i64) -> Verdict {
            self.policy.observe(self.grant, &self.backend, PasswordRefusal::Bare, at(seconds))
        }

        fn success_of(&self, grant: GrantId, seconds: i64) {
            self.policy.login_succeeded(grant, &self.backend, at(seconds));
        }
    }

    fn at(seconds: i64) -> UnixTime {
        UnixTime(START.0 + seconds)
    }

    #[test]
    fn an_unambiguous_refusal_ends_the_grant_at_once() {
        let scene = Scene::new();
        let refusal = PasswordRefusal::Unambiguous;
        assert_eq!(scene.policy.observe(scene.grant, &scene.backend, refusal, START), Verdict::EndGrant);
    }

    #[test]
    fn bare_refusals_end_the_grant_half_a_minute_later_while_others_log_in() {
        let scene = Scene::new();
        assert_eq!(scene.bare(0), Verdict::Temporary);
        scene.success_of(scene.other, 10);
        assert_eq!(scene.bare(29), Verdict::Temporary);
        assert_eq!(scene.bare(30), Verdict::EndGrant);
    }

    #[test]
    fn bare_refusals_end_nothing_while_nobody_logs_in() {
        let scene = Scene::new();
        scene.success_of(scene.other, -1);
        for seconds in (0..3600).step_by(60) {
            assert_eq!(scene.bare(seconds), Verdict::Temporary);
        }
    }

    #[test]
    fn a_login_at_another_backend_does_not_count() {
        let scene = Scene::new();
        assert_eq!(scene.bare(0), Verdict::Temporary);
        scene.policy.login_succeeded(scene.other, &"other".into(), at(10));
        assert_eq!(scene.bare(60), Verdict::Temporary);
    }

    #[test]
    fn a_login_of_the_same_grant_proves_its_password_and_clears_it() {
        let scene = Scene::new();
        assert_eq!(scene.bare(0), Verdict::Temporary);
        scene.success_of(scene.other, 10);
        scene.success_of(scene.grant, 20);
        assert_eq!(scene.bare(60), Verdict::Temporary);
        // Its own login is none of others.
        scene.success_of(scene.grant, 70);
        assert_eq!(scene.bare(80), Verdict::Temporary);
        scene.success_of(scene.other, 90);
        assert_eq!(scene.bare(110), Verdict::EndGrant);
    }

    #[test]
    fn grants_are_judged_apart() {
        let scene = Scene::new();
        assert_eq!(scene.bare(0), Verdict::Temporary);
        scene.success_of(GrantId::generate(), 10);
        let refusal = PasswordRefusal::Bare;
        assert_eq!(scene.policy.observe(scene.other, &scene.backend, refusal, at(60)), Verdict::Temporary);
    }

    #[test]
    fn a_refusal_of_long_ago_is_forgotten() {
        let scene = Scene::new();
        assert_eq!(scene.bare(0), Verdict::Temporary);
        scene.success_of(scene.other, 10);
        let day = i64::try_from(RefusalPolicy::FORGET_AFTER.as_secs()).unwrap();
        assert_eq!(scene.bare(day), Verdict::Temporary);
    }

    #[test]
    fn a_clock_that_steps_back_ends_nothing() {
        let scene = Scene::new();
        assert_eq!(scene.bare(100), Verdict::Temporary);
        scene.success_of(scene.other, 0);
        assert_eq!(scene.bare(0), Verdict::Temporary);
        assert_eq!(scene.bare(30), Verdict::Temporary);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let scene = Scene::new();
        for _ in 0..2 * RefusalPolicy::CAPACITY {
            let refusal = PasswordRefusal::Bare;
            let verdict = scene.policy.observe(GrantId::generate(), &scene.backend, refusal, START);
            assert_eq!(verdict, Verdict::Temporary);
        }
        assert_eq!(scene.policy.locked().first_refusals.len(), RefusalPolicy::CAPACITY);
        let day = i64::try_from(RefusalPolicy::FORGET_AFTER.as_secs()).unwrap();
        assert_eq!(scene.bare(day), Verdict::Temporary);
        assert_eq!(scene.policy.locked().first_refusals.len(), 1);
    }
}
