//! Accepts connections of the mail listeners.

use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::Parts;
use crate::{
    limits::Permit,
    model::{Protocol, UnixTime},
    net::{self, ListenerConfig},
    proto::Banner,
    session::{self, Front},
};

/// Accepts until `stop`. A connection beyond the limits is told so where that costs nothing, and closed.
pub(super) async fn accept(
    parts: Arc<Parts>,
    listener: ListenerConfig,
    protocol: Protocol,
    socket: TcpListener,
    stop: CancellationToken,
) {
    let tls = parts.tls(&listener).mail(protocol);
    let front = Arc::new(Front { listener, protocol, tls });
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = net::accept(&socket) => accepted,
        };
        let (tcp, peer) = accepted;
        let (banner, admission) = admit(&parts, peer.ip());
        if admission.is_none() && front.listener.tls == net::ListenerTls::Implicit {
            // A handshake only to say "busy" would cost more than the connection itself.
            continue;
        }
        let (shared, front) = (Arc::clone(&parts.shared), Arc::clone(&front));
        tokio::spawn(session::run(shared, front, tcp, peer, banner, admission));
    }
}

fn admit(parts: &Parts, ip: std::net::IpAddr) -> (Banner, Option<Permit>) {
    match parts.connections.try_admit(ip) {
        Ok(permit) => (Banner::Welcome, Some(permit)),
        Err(full) => {
            parts.refusals.note(ip, full, UnixTime::now());
            (Banner::Busy, None)
        }
    }
}
