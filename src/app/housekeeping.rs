//! What runs beside the sessions: sweeping, revocations of other processes, certificates, probes, clean-up.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Parts, recheck};
use crate::{
    model::{Protocol, UnixTime},
    session::PasswordMode,
};

/// How often sessions are looked at for expiry and silence.
const SWEEP: Duration = Duration::from_secs(1);
/// How often certificate files are looked at.
const CERTIFICATES: Duration = Duration::from_secs(10);
/// How often a backend that answered is asked again what it offers.
const PROBE: Duration = Duration::from_secs(60);
/// How often a mail server that did not answer is asked again.
const PROBE_FAILED: Duration = Duration::from_secs(5);
/// How often backends look after their servers: connections that wait for a user, figures.
const TEND: Duration = Duration::from_secs(1);
/// How long the start waits for backends to say what they offer.
const FIRST_PROBE: Duration = Duration::from_secs(3);
/// How often expired rows are deleted.
const CLEAN_UP: Duration = Duration::from_secs(600);
/// How often it is asked whether a signing key is due, and what keys other processes have made.
const KEYS: Duration = Duration::from_secs(60);
/// How soon revocations are read again at the earliest, however often the store says that there may be some.
const BREATH: Duration = Duration::from_millis(20);
/// Rows deleted in one transaction.
const CLEAN_UP_BATCH: u32 = 500;

/// Starts every housekeeping task; each ends with `stop`.
pub(super) fn start(parts: &Arc<Parts>, stop: &CancellationToken, tasks: &TaskTracker) {
    let run = Runner { parts, stop, tasks };
    run.every(SWEEP, |parts| async move { sweep(&parts) });
    tasks.spawn(follow_revocations(Arc::clone(parts), stop.clone()));
    tasks.spawn(recheck::follow(Arc::clone(parts), stop.clone()));
    run.every(SWEEP, |parts| async move { write_uses(&parts, false).await });
    run.every(CERTIFICATES, |parts| async move {
        if parts.certificates.changed_on_disk() {
            reload_certificates(&parts);
        }
    });
    run.every(CLEAN_UP, |parts| async move { clean_up(&parts).await });
    run.every(KEYS, |parts| async move {
        let Some(issuer) = &parts.issuer else { return };
        if let Err(error) = issuer.rotate_keys_if_due(UnixTime::now()).await {
            tracing::warn!(%error, "the signing keys cannot be read or replaced; trying again");
        }
    });
    run.every(TEND, |parts| async move { parts.shared.backends.iter().for_each(|backend| backend.tend()) });
    for backend in parts.shared.backends.iter() {
        for protocol in backend.protocols() {
            let (backend, stop) = (Arc::clone(backend), stop.clone());
            tasks.spawn(async move {
                loop {
                    let answered = backend.probe(protocol).await.iter().any(|probe| probe.result.is_ok());
                    let next = Instant::now() + if answered { PROBE } else { PROBE_FAILED };
                    while Instant::now() < next {
                        let pause = PROBE_FAILED.min(next.saturating_duration_since(Instant::now()));
                        tokio::select! { () = stop.cancelled() => return, () = sleep(pause) => {} }
                        if answered {
                            backend.probe_failing(protocol).await;
                        }
                    }
                }
            });
        }
    }
}

struct Runner<'a> {
    parts: &'a Arc<Parts>,
    stop: &'a CancellationToken,
    tasks: &'a TaskTracker,
}

impl Runner<'_> {
    fn every<F, W>(&self, period: Duration, work: F)
    where
        F: Fn(Arc<Parts>) -> W + Send + 'static,
        W: Future<Output = ()> + Send,
    {
        let (parts, stop) = (Arc::clone(self.parts), self.stop.clone());
        self.tasks.spawn(async move {
            let mut ticks = interval(period);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! { () = stop.cancelled() => return, _ = ticks.tick() => {} }
                work(Arc::clone(&parts)).await;
            }
        });
    }
}

/// Asks every backend once, so that the first client already sees what can be promised. A backend that is down
/// does not stop the start.
pub(super) async fn first_probe(parts: &Parts) {
    let probes = parts.shared.backends.iter().flat_map(|backend| {
        backend.protocols().map(move |protocol| async move { backend.probe(protocol).await })
    });
    let all = async {
        for probe in probes {
            probe.await;
        }
    };
    let _ = timeout(FIRST_PROBE, all).await;
}

fn sweep(parts: &Parts) {
    let limits = &parts.config.limits;
    parts.shared.registry.sweep(UnixTime::now(), |protocol| match protocol {
        Protocol::Imap | Protocol::Sieve => limits.idle_timeout,
        Protocol::Pop3 => limits.idle_timeout_pop3,
        Protocol::Smtp => limits.idle_timeout_smtp,
    });
}

/// Ends what was revoked, also by another process, until `stop`: when the store says that there is something, and
/// from time to time, because what the store says can be lost.
async fn follow_revocations(parts: Arc<Parts>, stop: CancellationToken) {
    let Some(mut feed) = parts.take_revocations() else { return };
    let mut ticks = interval(parts.config.store.poll_interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
            () = parts.store.revocation_hint() => {}
            () = parts.look.notified() => {}
        }
        match feed.poll().await {
            Ok(fresh) => fresh.into_iter().for_each(|revocation| parts.end(revocation.what)),
            Err(error) => tracing::warn!(%error, "revocations cannot be read; trying again"),
        }
        watch_app_passwords(&parts).await;
        sleep(BREATH).await;
    }
}

/// Learns whether anybody has an app password: passwords are offered from the first one on.
pub(super) async fn watch_app_passwords(parts: &Parts) {
    if !parts.shared.config.passwords.knows(PasswordMode::App) {
        return;
    }
    match parts.store.has_app_passwords(UnixTime::now()).await {
        Ok(has) => parts.shared.passwords.set_app_passwords(has),
        Err(error) => tracing::debug!(%error, "whether there are app passwords cannot be read; later"),
    }
}

/// Writes when app passwords were used last.
pub(super) async fn write_uses(parts: &Parts, is_last: bool) {
    if let Err(error) = parts.shared.validator.write_uses(UnixTime::now(), is_last).await {
        tracing::debug!(%error, "the last use of app passwords cannot be written; later");
    }
}

async fn clean_up(parts: &Parts) {
    let now = UnixTime::now();
    if let Some(issuer) = &parts.issuer
        && let Err(error) = issuer.remove_unused_clients(now).await
    {
        tracing::warn!(%error, "clients that were never used cannot be removed; trying again later");
    }
    loop {
        match parts.store.remove_expired(now, CLEAN_UP_BATCH).await {
            Ok(0) => return,
            Ok(_) => tokio::task::yield_now().await,
            Err(error) => {
                tracing::warn!(%error, "expired rows cannot be deleted; trying again later");
                return;
            }
        }
    }
}

/// Reads the certificates again; the old ones stay when the new ones cannot be used.
pub(super) fn reload_certificates(parts: &Parts) {
    match parts.certificates.reload() {
        Ok(()) => tracing::info!("certificates read again"),
        Err(error) => tracing::error!(%error, "the new certificates cannot be used; the old ones stay"),
    }
}
