use std::{
    fmt,
    future::poll_fn,
    sync::atomic::{AtomicU8, AtomicU64, Ordering},
    task::{Poll, Waker},
    time::Duration,
};

use atomic_waker::AtomicWaker;
use tokio::time::Instant;

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum EndReason {
    /// The client closed its direction first.
    ClientClosed = 1,
    /// The client's connection failed, or it broke TLS.
    ClientIo,
    /// This process stops.
    Drain,
    /// The token's time is over.
    Expired,
    /// Client or mail server tried what must not pass.
    GuardViolation,
    /// No octet came for too long.
    Idle,
    /// An operator ended it.
    Killed,
    /// The grant or its user is no longer good.
    Revoked,
    /// The mail server closed its direction first.
    ServerClosed,
    /// The mail server's connection failed.
    ServerIo,
}

impl EndReason {
    /// Every reason.
    pub const ALL: [Self; 10] = [
        Self::ClientClosed,
        Self::ClientIo,
        Self::Drain,
        Self::Expired,
        Self::GuardViolation,
        Self::Idle,
        Self::Killed,
        Self::Revoked,
        Self::ServerClosed,
        Self::ServerIo,
    ];

    /// Its name in logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClientClosed => "client_closed",
            Self::ClientIo => "client_io",
            Self::Drain => "drain",
            Self::Expired => "expired",
            Self::GuardViolation => "guard_violation",
            Self::Idle => "idle",
            Self::Killed => "killed",
            Self::Revoked => "revoked",
            Self::ServerClosed => "server_closed",
            Self::ServerIo => "server_io",
        }
    }

    /// Whether it was decided here, not by a peer or a wire.
    pub const fn is_ours(self) -> bool {
        match self {
            Self::ClientClosed | Self::ClientIo | Self::ServerClosed | Self::ServerIo => false,
            Self::Drain
            | Self::Expired
            | Self::GuardViolation
            | Self::Idle
            | Self::Killed
            | Self::Revoked => true,
        }
    }

    fn of_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| *reason as u8 == code)
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The handle of a live session, shared between its relay and whoever may end it.
#[derive(Debug)]
pub struct Switch {
    waker: AtomicWaker,
    started: Instant,
    /// Milliseconds from `started` to the last octet.
    last: AtomicU64,
    up: AtomicU64,
    down: AtomicU64,
    /// 0, or the reason for which the session must end.
    killed: AtomicU8,
}

impl Switch {
    /// For a session that starts now.
    pub fn new() -> Self {
        Self {
            waker: AtomicWaker::new(),
            started: Instant::now(),
            last: AtomicU64::new(0),
            up: AtomicU64::new(0),
            down: AtomicU64::new(0),
            killed: AtomicU8::new(0),
        }
    }

    /// Ends the session, now if its relay runs, else as soon as it starts. The first reason counts.
    pub fn kill(&self, reason: EndReason) {
        let _ = self.killed.compare_exchange(0, reason as u8, Ordering::AcqRel, Ordering::Acquire);
        self.waker.wake();
    }

    /// The reason of [`Switch::kill`].
    pub fn killed(&self) -> Option<EndReason> {
        EndReason::of_code(self.killed.load(Ordering::Acquire))
    }

    /// Waits for [`Switch::kill`]. One task at a time is woken: the sign-in's, and after it the relay's.
    pub async fn thrown(&self) -> EndReason {
        poll_fn(|cx| {
            self.register(cx.waker());
            self.killed().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    /// How long ago the last octet passed either way.
    pub fn idle(&self) -> Duration {
        let last = Duration::from_millis(self.last.load(Ordering::Relaxed));
        self.started.elapsed().saturating_sub(last)
    }

    /// How long ago the session started.
    pub fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// Octets that went to the mail server.
    pub fn up(&self) -> u64 {
        self.up.load(Ordering::Relaxed)
    }

    /// Octets that went to the client.
    pub fn down(&self) -> u64 {
        self.down.load(Ordering::Relaxed)
    }

    pub(super) fn register(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    pub(super) fn count_up(&self, octets: usize) {
        self.count(&self.up, octets);
    }

    pub(super) fn count_down(&self, octets: usize) {
        self.count(&self.down, octets);
    }

    /// Only the relay counts, so a plain store loses nothing.
    fn count(&self, counter: &AtomicU64, octets: usize) {
        let more = u64::try_from(octets).unwrap_or(u64::MAX);
        counter.store(counter.load(Ordering::Relaxed).saturating_add(more), Ordering::Relaxed);
        let last = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(last, Ordering::Relaxed);
    }
}

impl Default for Switch {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_reason_counts() {
        let switch = Switch::new();
        assert_eq!(switch.killed(), None);
        switch.kill(EndReason::Revoked);
        switch.kill(EndReason::Idle);
        assert_eq!(switch.killed(), Some(EndReason::Revoked));
    }

    #[test]
    fn every_reason_survives_its_code() {
        for reason in EndReason::ALL {
            assert_eq!(EndReason::of_code(reason as u8), Some(reason));
        }
        assert_eq!(EndReason::of_code(0), None);
    }

    #[test]
    fn a_switch_stays_small() {
        assert!(size_of::<Switch>() <= 80, "{}", size_of::<Switch>());
    }
}
