//! How one server does: whether it is tried, left alone, or given back its users little by little. The time is an
//! argument.

use std::time::{Duration, Instant};

/// So many failures in a row open the circuit.
const FAILURES: u32 = 3;
/// How long it stays open at first; doubled with each trial that fails.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// How long it stays open at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The share of its users that a server which comes back takes at once.
const FIRST_SHARE: f64 = 0.1;

/// What is known of one server from probes and sign-ins.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Health {
    failures: u32,
    circuit: Circuit,
    /// When it came back from an open circuit.
    back_since: Option<Instant>,
}

#[derive(Clone, Copy, Debug, Default)]
enum Circuit {
    #[default]
    Closed,
    /// Left alone until then; after that one may try.
    Open { until: Instant, pause: Duration },
    /// Somebody tries.
    Trial { pause: Duration },
}

/// Whether a server is tried, and when: the lower, the sooner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    /// It answered last time.
    Good,
    /// It did not answer last time.
    Doubtful,
    /// Its pause is over: one sign-in may try it.
    Due,
    /// It is left alone, unless there is nothing else.
    Shunned,
    /// Somebody tries it just now, and nobody else does.
    OnTrial,
}

impl Health {
    /// How it stands at `now`.
    pub(super) fn standing(&self, now: Instant) -> Standing {
        match self.circuit {
            Circuit::Closed if self.failures == 0 => Standing::Good,
            Circuit::Closed => Standing::Doubtful,
            Circuit::Open { until, .. } if until <= now => Standing::Due,
            Circuit::Open { .. } => Standing::Shunned,
            Circuit::Trial { .. } => Standing::OnTrial,
        }
    }

    /// Asks to try it. `false` while another's trial is under way; after `true` the outcome must be told.
    pub(super) fn begin(&mut self) -> bool {
        match self.circuit {
            Circuit::Closed => true,
            Circuit::Open { pause, .. } => {
                self.circuit = Circuit::Trial { pause };
                true
            }
            Circuit::Trial { .. } => false,
        }
    }

    /// A trial ended without an outcome: whoever waited has left.
    pub(super) fn given_up(&mut self, now: Instant) {
        if let Circuit::Trial { pause } = self.circuit {
            self.circuit = Circuit::Open { until: now, pause };
        }
    }

    /// It answered.
    pub(super) fn succeeded(&mut self, now: Instant) {
        if !matches!(self.circuit, Circuit::Closed) {
            self.back_since = Some(now);
        }
        self.failures = 0;
        self.circuit = Circuit::Closed;
    }

    /// It did not answer, or not as a mail server does.
    pub(super) fn failed(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        let open = |pause| Circuit::Open { until: now + pause, pause };
        self.circuit = match self.circuit {
            Circuit::Closed if self.failures < FAILURES => Circuit::Closed,
            Circuit::Closed => open(FIRST_PAUSE),
            Circuit::Trial { pause } => open((pause * 2).min(LONGEST_PAUSE)),
            // A probe, or a sign-in that had begun before: no reason for a longer pause.
            Circuit::Open { .. } => self.circuit,
        };
        self.back_since = None;
    }

    /// The share of its users that it takes, in [0, 1]: after an open circuit it grows over `slow_start`.
    pub(super) fn share(&self, now: Instant, slow_start: Duration) -> f64 {
        let Some(since) = self.back_since else { return 1.0 };
        let elapsed = now.saturating_duration_since(since);
        if elapsed >= slow_start {
            return 1.0;
        }
        (elapsed.as_secs_f64() / slow_start.as_secs_f64()).max(FIRST_SHARE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(from: Instant, seconds: u64) -> Instant {
        from + Duration::from_secs(seconds)
    }

    fn opened(now: Instant) -> Health {
        let mut health = Health::default();
        for _ in 0..FAILURES {
            assert!(health.begin());
            health.failed(now);
        }
        health
    }

    #[test]
    fn one_failure_makes_a_server_doubtful_and_one_success_good() {
        let now = Instant::now();
        let mut health = Health::default();
        assert_eq!(health.standing(now), Standing::Good);
        health.failed(now);
        assert_eq!(health.standing(now), Standing::Doubtful);
        health.succeeded(now);
        assert_eq!(health.standing(now), Standing::Good);
        assert!((health.share(now, Duration::from_secs(30)) - 1.0).abs() < f64::EPSILON);
    }

    #[test]
    fn failures_in_a_row_open_the_circuit_and_then_one_may_try() {
        let now = Instant::now();
        let mut health = opened(now);
        assert_eq!(health.standing(now), Standing::Shunned);
        assert_eq!(health.standing(seconds(now, 1)), Standing::Due);
        assert!(health.begin());
        assert!(!health.begin(), "a second trial at the same time");
        assert_eq!(health.standing(seconds(now, 1)), Standing::OnTrial);
    }

    #[test]
    fn failures_that_are_not_in_a_row_open_nothing() {
        let now = Instant::now();
        let mut health = Health::default();
        for _ in 0..20 {
            health.failed(now);
            health.failed(now);
            health.succeeded(now);
        }
        assert_eq!(health.standing(now), Standing::Good);
    }

    #[test]
    fn each_failed_trial_doubles_the_pause_up_to_the_longest() {
        let mut now = Instant::now();
        let mut health = opened(now);
        for pause in [1, 2, 4, 8, 16, 30, 30] {
            assert_eq!(
                health.standing(now + Duration::from_secs(pause) - Duration::from_millis(1)),
                Standing::Shunned
            );
            now = seconds(now, pause);
            assert_eq!(health.standing(now), Standing::Due);
            assert!(health.begin());
            health.failed(now);
        }
    }

    #[test]
    fn a_probe_that_fails_while_the_circuit_is_open_lengthens_nothing() {
        let now = Instant::now();
        let mut health = opened(now);
        health.failed(now);
        health.failed(now);
        assert_eq!(health.standing(seconds(now, 1)), Standing::Due);
    }

    #[test]
    fn a_trial_that_nobody_waits_for_blocks_no_other() {
        let now = Instant::now();
        let mut health = opened(now);
        assert!(health.begin());
        health.given_up(now);
        assert_eq!(health.standing(now), Standing::Due);
        assert!(health.begin());
    }

    #[test]
    fn a_server_that_comes_back_takes_a_growing_share() {
        let now = Instant::now();
        let mut health = opened(now);
        assert!(health.begin());
        health.succeeded(now);
        let slow_start = Duration::from_secs(30);
        let shares: Vec<f64> =
            [0, 3, 15, 29, 30, 60].map(|at| health.share(seconds(now, at), slow_start)).into();
        assert!(shares.windows(2).all(|pair| matches!(pair, [a, b] if a <= b)), "{shares:?}");
        assert!((shares[2] - 0.5).abs() < 1e-9 && (shares[0] - FIRST_SHARE).abs() < 1e-9, "{shares:?}");
        assert!((shares[4] - 1.0).abs() < f64::EPSILON);
        assert!((health.share(now, Duration::ZERO) - 1.0).abs() < f64::EPSILON);
    }
}
