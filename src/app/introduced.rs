//! Connections that begin with a PROXY header: who the client is must be known before anything is decided about it.

use std::{net::SocketAddr, sync::Arc};

use tokio::{
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
};

use super::Parts;
use crate::net::{self, ListenerConfig, Peers, ProxyRefusal};

/// Bounds the connections of one listener whose header has not come yet: no other limit counts them.
pub(super) struct Introductions(Arc<Semaphore>);

impl Introductions {
    /// As many as there may be connections.
    pub(super) fn new(parts: &Parts) -> Self {
        Self(Arc::new(Semaphore::new(parts.config.limits.connections.min(Semaphore::MAX_PERMITS))))
    }

    /// A place for one more.
    pub(super) fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0).try_acquire_owned().ok()
    }
}

/// The connection with its header read, and whom it says it is from; `None` when it is to be closed.
pub(super) async fn introduced(
    parts: &Parts,
    listener: &ListenerConfig,
    mut tcp: TcpStream,
    peer: SocketAddr,
    place: OwnedSemaphorePermit,
) -> Option<(TcpStream, Peers)> {
    let limit = parts.config.limits.handshake_timeout;
    let read = net::peers(&mut tcp, peer, &listener.proxy_protocol_from, limit).await;
    drop(place);
    match read {
        Ok(peers) => Some((tcp, peers)),
        Err(reason) => {
            log(listener, peer, &reason);
            None
        }
    }
}

fn log(listener: &ListenerConfig, peer: SocketAddr, reason: &ProxyRefusal) {
    let (listener, peer) = (listener.bind, peer.ip());
    match reason {
        // Only who is trusted can cause it, and then one of the two sides is set up wrongly.
        ProxyRefusal::Header(_) | ProxyRefusal::Slow => {
            tracing::warn!(%listener, %peer, %reason, "a connection without a valid PROXY header was closed");
        }
        // A health check by TCP alone ends like this, and a stranger must not fill the log.
        ProxyRefusal::Ended | ProxyRefusal::Io(_) | ProxyRefusal::Stranger => {
            tracing::debug!(%listener, %peer, %reason, "a connection was closed");
        }
    }
}
