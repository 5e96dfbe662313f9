//! Runs everything from the first bound socket to the last drained session.

use std::{sync::Arc, time::Duration};

use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    time::{Instant, sleep},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{AppError, Config, Parts, control::AppControl, housekeeping, https, mail};
use crate::{admin::AdminSocket, net, telemetry};

/// How often the drain looks whether the last session is gone.
const DRAIN_STEP: Duration = Duration::from_millis(50);
/// Time that sessions get to leave after the drain's deadline.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// Serves until SIGTERM or SIGINT, then drains. `ready` runs once every port accepts.
///
/// # Errors
/// [`AppError`] when a part cannot be built or a socket cannot be bound. Nothing is served then.
pub async fn serve(config: Config, ready: impl FnOnce()) -> Result<(), AppError> {
    raise_file_handles(&config);
    warn_of_risks(&config);
    let parts = Arc::new(Box::pin(Parts::build(config)).await?);
    let sockets = Sockets::bind(&parts)?;
    housekeeping::first_probe(&parts).await;
    housekeeping::watch_app_passwords(&parts).await;

    let stop = CancellationToken::new();
    let tasks = TaskTracker::new();
    sockets.start(&parts, &stop, &tasks);
    housekeeping::start(&parts, &stop, &tasks);
    tracing::info!(hostname = %parts.config.hostname, listeners = parts.config.listeners.len(), "serving");
    ready();

    wait_for_stop(&parts).await?;
    drain(&parts, &stop, &tasks).await;
    Ok(())
}

/// A session holds one file handle for its client and one for its mail server.
const HANDLES_PER_CONNECTION: u64 = 2;
/// Handles for everything else: listeners, store, log.
const OTHER_HANDLES: u64 = 64;

/// Takes all the file handles that this process may have, and says so when they are too few for the limits.
fn raise_file_handles(config: &Config) {
    let connections = u64::try_from(config.limits.connections).unwrap_or(u64::MAX);
    let wanted = connections.saturating_mul(HANDLES_PER_CONNECTION).saturating_add(OTHER_HANDLES);
    match rlimit::increase_nofile_limit(wanted) {
        Ok(granted) if granted >= wanted => {}
        Ok(granted) => tracing::warn!(
            granted,
            wanted,
            "too few file handles for limits.connections; raise LimitNOFILE of the service"
        ),
        Err(error) => tracing::warn!(%error, "the number of file handles cannot be raised"),
    }
}

/// Says aloud what the operator has allowed, or not done yet.
fn warn_of_risks(config: &Config) {
    if config.tls.default.is_none() {
        tracing::warn!("no [tls] certificate is set: a self-signed one is shown, which clients refuse");
    }
    for backend in config.backends.iter().filter(|backend| backend.tls.insecure_no_verify) {
        tracing::warn!(
            backend = %backend.name,
            "verify = false: whoever can stand between here and this mail server can read and change everything"
        );
    }
}

/// Every socket, bound before anything is served, so that a port in use stops the start as a whole.
struct Sockets {
    listeners: Vec<(net::ListenerConfig, TcpListener)>,
    admin: AdminSocket,
    metrics: Option<TcpListener>,
}

impl Sockets {
    fn bind(parts: &Parts) -> Result<Self, AppError> {
        let mut listeners = Vec::new();
        for listener in &parts.config.listeners {
            listeners.push((listener.clone(), net::bind(listener.bind)?));
        }
        let metrics = parts.config.telemetry.metrics.map(net::bind).transpose()?;
        let admin = AdminSocket::bind(&parts.config.admin)?;
        Ok(Self { listeners, admin, metrics })
    }

    fn start(self, parts: &Arc<Parts>, stop: &CancellationToken, tasks: &TaskTracker) {
        for (listener, socket) in self.listeners {
            match listener.service {
                net::Service::Https => {
                    tasks.spawn(https::accept(Arc::clone(parts), listener, socket, stop.clone()))
                }
                net::Service::Mail(protocol) => {
                    tasks.spawn(mail::accept(Arc::clone(parts), listener, protocol, socket, stop.clone()))
                }
            };
        }
        let control = Arc::new(AppControl::new(Arc::clone(parts), stop.clone()));
        tasks.spawn(self.admin.serve(control, stop.clone()));
        if let Some(socket) = self.metrics {
            let draining = stop.clone();
            let is_ready = move || !draining.is_cancelled();
            let serving = telemetry::serve_metrics(socket, Arc::clone(&parts.shared.metrics), is_ready);
            let stop = stop.clone();
            tasks.spawn(async move {
                tokio::select! { () = stop.cancelled() => {}, () = serving => {} }
            });
        }
    }
}

/// Returns at the first SIGTERM or SIGINT. SIGHUP reads the certificates again.
async fn wait_for_stop(parts: &Parts) -> Result<(), AppError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(AppError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(AppError::Signals)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(AppError::Signals)?;
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            _ = hangup.recv() => housekeeping::reload_certificates(parts),
        }
    }
}

/// Stops accepting, lets live sessions end by themselves until the deadline, then ends them.
async fn drain(parts: &Arc<Parts>, stop: &CancellationToken, tasks: &TaskTracker) {
    let registry = &parts.shared.registry;
    let deadline = Instant::now() + parts.config.session.drain_timeout;
    tracing::info!(sessions = registry.len(), "draining");
    stop.cancel();
    parts.shared.drain.cancel();
    tasks.close();
    wait_until_empty(parts, deadline).await;
    let ended = registry.end_all();
    // Whoever had not signed in is in no registry, and still gets its last line.
    let deadline = Instant::now() + LAST_WORDS;
    while parts.connections.live() > 0 && Instant::now() < deadline {
        sleep(DRAIN_STEP).await;
    }
    let _ = tokio::time::timeout(LAST_WORDS, tasks.wait()).await;
    housekeeping::write_uses(parts, true).await;
    tracing::info!(ended, "stopped");
}

async fn wait_until_empty(parts: &Parts, deadline: Instant) {
    while !parts.shared.registry.is_empty() && Instant::now() < deadline {
        sleep(DRAIN_STEP).await;
    }
}
