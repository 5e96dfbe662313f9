//! Accepts connections of the mail listeners.

use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::{
    Parts,
    introduced::{Introductions, introduced},
};
use crate::{
    limits::Permit,
    model::{Protocol, UnixTime},
    net::{self, ListenerConfig, Peers},
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
    let introductions = Introductions::new(&parts);
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = net::accept(&socket) => accepted,
        };
        let (tcp, peer) = accepted;
        if front.listener.proxy_protocol_from.is_empty() {
            let Ok(local) = tcp.local_addr() else { continue };
            begin(&parts, &front, tcp, Peers { client: peer, local, ttl: None });
            continue;
        }
        // Who the client is shows only behind the header, which may take its time.
        let Some(place) = introductions.place() else { continue };
        let (parts, front) = (Arc::clone(&parts), Arc::clone(&front));
        tokio::spawn(async move {
            if let Some((tcp, peers)) = introduced(&parts, &front.listener, tcp, peer, place).await {
                begin(&parts, &front, tcp, peers);
            }
        });
    }
}

/// Begins a session, unless the client is beyond the limits and telling it so would cost too much.
fn begin(parts: &Arc<Parts>, front: &Arc<Front>, tcp: TcpStream, peers: Peers) {
    let (banner, admission) = admit(parts, peers.client.ip());
    if admission.is_none() && front.listener.tls == net::ListenerTls::Implicit {
        // A handshake only to say "busy" would cost more than the connection itself.
        return;
    }
    let (shared, front) = (Arc::clone(&parts.shared), Arc::clone(front));
    tokio::spawn(session::run(shared, front, tcp, peers, banner, admission));
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
