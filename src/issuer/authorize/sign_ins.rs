use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, timeout},
};

use crate::{
    directory::{
        Names, OutsideDirectory, Pace, PasswordCheck, Place, SignInBy, SignInLog, SignInNote, SignInResult,
    },
    limits::{SignInConfig, SignInLimits},
    model::{Login, UnixTime},
};

/// Passwords that wait for their turn; more are turned away at once.
const WAITING: usize = 256;

/// Who knows the passwords, and what holds guessing down.
pub(in crate::issuer) struct SignIns {
    pub(in crate::issuer) directory: Option<Arc<dyn PasswordCheck>>,
    /// Where people may sign in instead.
    outside: Option<Arc<OutsideDirectory>>,
    /// How login names are written.
    pub(super) names: Names,
    /// Where their mailboxes are.
    mailboxes: Option<Arc<dyn PasswordCheck>>,
    log: Option<Arc<SignInLog>>,
    pub(in crate::issuer) limits: SignInLimits,
    waiting: Semaphore,
    strangers: Semaphore,
    known: Semaphore,
    check_wait: Duration,
    pub(in crate::issuer) pace: Arc<Pace>,
}

/// A turn at the mail server.
pub(super) struct Turn<'a> {
    _waiting: SemaphorePermit<'a>,
    _checking: SemaphorePermit<'a>,
}

impl SignIns {
    pub(in crate::issuer) fn new(config: &SignInConfig) -> Self {
        let at_once = usize::try_from(config.checks_at_once).unwrap_or(1).max(1);
        Self {
            directory: None,
            outside: None,
            names: Names::default(),
            mailboxes: None,
            log: None,
            limits: SignInLimits::new(config),
            waiting: Semaphore::new(WAITING),
            strangers: Semaphore::new(at_once),
            known: Semaphore::new(at_once),
            check_wait: config.check_wait,
            pace: Arc::new(Pace::new(config.wrong_answer_step)),
        }
    }

    pub(super) fn ask(&mut self, directory: Arc<dyn PasswordCheck>) {
        self.directory = Some(directory);
    }

    pub(super) fn ask_outside(&mut self, outside: Arc<OutsideDirectory>) {
        self.outside = Some(outside);
    }

    pub(super) fn log_in_at(&mut self, mailboxes: Arc<dyn PasswordCheck>) {
        self.mailboxes = Some(mailboxes);
    }

    pub(super) fn write_to(&mut self, log: Arc<SignInLog>) {
        self.log = Some(log);
    }

    pub(super) fn mailboxes(&self) -> Option<&dyn PasswordCheck> {
        self.mailboxes.as_deref()
    }

    /// Notes for the user to see that somebody got in, or that nobody did.
    pub(super) fn note(&self, user: &Login, by: Option<SignInBy>, at: UnixTime) {
        let Some(log) = &self.log else { return };
        let result = by.map_or(SignInResult::Failed, SignInResult::Ok);
        log.note(SignInNote { user: user.clone(), at, place: Place::Page, result });
    }

    pub(super) fn outside(&self) -> Option<&OutsideDirectory> {
        self.outside.as_deref()
    }

    pub(super) fn directory(&self) -> Option<&dyn PasswordCheck> {
        self.directory.as_deref()
    }

    /// Waits for a turn, not for ever. Whoever is known at their address does not stand behind strangers, so that a
    /// crowd of guessers shuts nobody out.
    pub(super) async fn turn(&self, is_known: bool) -> Option<Turn<'_>> {
        let waiting = self.waiting.try_acquire().ok()?;
        let lane = if is_known { &self.known } else { &self.strangers };
        let checking = timeout(self.check_wait, lane.acquire()).await.ok()?.ok()?;
        Some(Turn { _waiting: waiting, _checking: checking })
    }

    /// Holds a wrong answer; see [`Pace::hold`].
    pub(super) async fn hold(&self, started: Instant, was_asked: bool) {
        self.pace.hold(started, was_asked).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn strangers_wait_their_turn_and_the_known_do_not_wait_behind_them() {
        let config = SignInConfig { checks_at_once: 2, ..SignInConfig::default() };
        let sign_ins = SignIns::new(&config);
        let _one = sign_ins.turn(false).await.unwrap();
        let _two = sign_ins.turn(false).await.unwrap();
        let started = Instant::now();
        assert!(sign_ins.turn(false).await.is_none());
        assert_eq!(started.elapsed(), config.check_wait);
        assert!(sign_ins.turn(true).await.is_some());
    }
}
