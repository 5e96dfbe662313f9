//! Copies octets both ways after login.

use crate::{
    proto::Guard,
    tls::{MailStream, UpstreamStream},
};
use std::{
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Notify,
};

/// x
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "t")]
pub enum EndReason {
    ClientClosed,
    ServerClosed,
    Revoked,
    Expired,
    Killed,
    Idle,
    Drain,
    GuardViolation,
    Io,
}
impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format!("{self:?}").to_lowercase())
    }
}
/// x
#[derive(Debug)]
pub struct Switch {
    notify: Notify,
    ended: Mutex<Option<EndReason>>,
    last: Mutex<Instant>,
    up: AtomicU64,
    down: AtomicU64,
}
#[allow(missing_docs, reason = "t")]
#[allow(clippy::unwrap_used, reason = "t")]
impl Switch {
    pub fn new() -> Self {
        Self {
            notify: Notify::new(),
            ended: Mutex::new(None),
            last: Mutex::new(Instant::now()),
            up: AtomicU64::new(0),
            down: AtomicU64::new(0),
        }
    }
    pub fn kill(&self, reason: EndReason) {
        self.ended.lock().unwrap().get_or_insert(reason);
        self.notify.notify_one();
    }
    pub fn ended(&self) -> Option<EndReason> {
        *self.ended.lock().unwrap()
    }
    pub fn idle_for(&self) -> Duration {
        self.last.lock().unwrap().elapsed()
    }
    pub fn up(&self) -> u64 {
        self.up.load(Ordering::Relaxed)
    }
    pub fn down(&self) -> u64 {
        self.down.load(Ordering::Relaxed)
    }
    fn touch(&self) {
        *self.last.lock().unwrap() = Instant::now();
    }
}
/// x
#[derive(Debug)]
#[allow(missing_docs, reason = "t")]
pub struct RelayEnd {
    pub reason: EndReason,
    pub up: u64,
    pub down: u64,
}
/// x
#[allow(clippy::too_many_arguments, reason = "t")]
pub async fn relay(
    mut client: MailStream,
    mut upstream: UpstreamStream,
    first: Vec<u8>,
    to_client: Vec<u8>,
    mut guard: Option<Box<dyn Guard>>,
    switch: Arc<Switch>,
    goodbye: &'static [u8],
) -> RelayEnd {
    let mut pending = first; // client octets not yet taken by guard
    let mut down = to_client;
    let mut buf = vec![0; 65536];
    let end = loop {
        if let Some(guard) = &mut guard {
            let mut out = Vec::new();
            let Ok(n) = guard.client(&pending, &mut out) else { break EndReason::GuardViolation };
            pending.drain(..n);
            if upstream.write_all(&out).await.is_err() {
                break EndReason::Io;
            }
        } else if !pending.is_empty() {
            if upstream.write_all(&pending).await.is_err() {
                break EndReason::Io;
            }
            pending.clear();
        }
        let _ = upstream.flush().await;
        if !down.is_empty() {
            if client.write_all(&down).await.is_err() {
                break EndReason::Io;
            }
            down.clear();
        }
        tokio::select! {
            biased;
            () = switch.notify.notified() => { let _ = client.write_all(goodbye).await; let _ = client.shutdown().await; break switch.ended().unwrap_or(EndReason::Killed) }
            n = upstream.read(&mut buf) => { let n = n.unwrap_or(0); if n == 0 { let _ = client.shutdown().await; break EndReason::ServerClosed }
                switch.touch(); switch.down.fetch_add(n as u64, Ordering::Relaxed);
                let octets = buf.get(..n).unwrap_or_default();
                if let Some(guard) = &mut guard { if guard.server(octets, &mut down).is_err() { break EndReason::GuardViolation } } else { down.extend_from_slice(octets) } }
            n = client.read(&mut pending), if pending.is_empty() => { let n = n.unwrap_or(0); if n == 0 { break EndReason::ClientClosed } switch.touch(); switch.up.fetch_add(n as u64, Ordering::Relaxed); }
        }
    };
    RelayEnd { reason: end, up: switch.up(), down: switch.down() }
}
