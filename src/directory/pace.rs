//! The time at which a wrong password is answered.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

/// The longest that a wrong answer waits for no other reason than that the last one took so long.
const LONGEST_HOLD: Duration = Duration::from_secs(5);

/// Lets the time of a wrong answer tell nothing of who exists. Whoever answers for the same passwords shares one.
#[derive(Debug)]
pub struct Pace {
    step: Duration,
    /// How long the mail server took for the last wrong password, in milliseconds.
    usual: AtomicU64,
}

impl Pace {
    /// Answers on whole steps.
    pub const fn new(step: Duration) -> Self {
        Self { step, usual: AtomicU64::new(0) }
    }

    /// Holds a wrong answer until a whole step has passed since `started`. One that came without asking the mail
    /// server is held as long as the last one that did ask: a name that leads nowhere shows no other time than a
    /// wrong password.
    pub async fn hold(&self, started: Instant, was_asked: bool) {
        let took = started.elapsed();
        let usual = Duration::from_millis(self.usual.load(Ordering::Relaxed));
        let aim = if was_asked { took } else { took.max(usual) };
        if was_asked {
            let millis = u64::try_from(took.min(LONGEST_HOLD).as_millis()).unwrap_or(u64::MAX);
            self.usual.store(millis, Ordering::Relaxed);
        }
        let Some(steps) = aim.as_millis().checked_div(self.step.as_millis()) else { return };
        let steps = u32::try_from(steps).unwrap_or(u32::MAX).saturating_add(1);
        sleep_until(started + self.step.saturating_mul(steps)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn wrong_answers_come_on_whole_steps_and_never_before_the_first() {
        let pace = Pace::new(Duration::from_secs(1));
        for (took, held) in [(0, 1000), (3, 1000), (999, 1000), (1000, 2000), (1800, 2000), (7100, 8000)] {
            let started = Instant::now();
            tokio::time::sleep(Duration::from_millis(took)).await;
            pace.hold(started, true).await;
            assert_eq!(started.elapsed().as_millis(), held, "took {took}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_without_asking_takes_as_long_as_one_with() {
        let pace = Pace::new(Duration::from_secs(1));
        let started = Instant::now();
        pace.hold(started, false).await;
        assert_eq!(started.elapsed().as_millis(), 1000);
        let asked = Instant::now();
        tokio::time::sleep(Duration::from_millis(2050)).await;
        pace.hold(asked, true).await;
        let started = Instant::now();
        pace.hold(started, false).await;
        assert_eq!(started.elapsed().as_millis(), 3000);
    }
}
