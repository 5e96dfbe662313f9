//! Accepts connections of the HTTPS listeners.

use std::{net::IpAddr, sync::Arc};

use axum::Router;
use tokio::{
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{
    Parts,
    introduced::{Introductions, introduced},
};
use crate::{
    issuer::{Caller, ClientCertificate},
    limits::Permit,
    net::{self, ListenerConfig},
    telemetry::Front,
    tls::{self, PeerCertificate, ServerConfig},
    web,
};

/// Accepts until `stop`; each connection has its own task and holds its place among the limits.
pub(super) async fn accept(
    parts: Arc<Parts>,
    listener: ListenerConfig,
    socket: TcpListener,
    stop: CancellationToken,
) {
    let tls = parts.tls(&listener).https();
    let router = parts.router();
    let introductions = Introductions::new(&parts);
    let listener = Arc::new(listener);
    loop {
        let (tcp, peer) = tokio::select! {
            () = stop.cancelled() => return,
            accepted = net::accept(&socket) => accepted,
        };
        let connection =
            Connection { parts: Arc::clone(&parts), tls: Arc::clone(&tls), router: router.clone() };
        let stop = stop.clone();
        if listener.proxy_protocol_from.is_empty() {
            let Ok(permit) = parts.connections.try_admit(peer.ip()) else { continue };
            tokio::spawn(connection.serve(tcp, peer.ip(), permit, stop));
            continue;
        }
        let Some(place) = introductions.place() else { continue };
        let listener = Arc::clone(&listener);
        tokio::spawn(async move {
            let parts = &connection.parts;
            let Some((tcp, peers)) = introduced(parts, &listener, tcp, peer, place).await else { return };
            let client = peers.client.ip();
            let Ok(permit) = parts.connections.try_admit(client) else { return };
            connection.serve(tcp, client, permit, stop).await;
        });
    }
}

/// What a connection needs.
struct Connection {
    parts: Arc<Parts>,
    tls: Arc<ServerConfig>,
    router: Router,
}

impl Connection {
    async fn serve(self, tcp: TcpStream, client: IpAddr, permit: Permit, stop: CancellationToken) {
        let Self { parts, tls, router } = self;
        let _held = (permit, parts.shared.metrics.connection_opened(Front::Https));
        let limit = parts.config.limits.handshake_timeout;
        if let Ok(Ok(stream)) = timeout(limit, tls::accept_https(tcp, tls)).await {
            let chain = stream.get_ref().1.peer_certificates();
            let certificate = parts.client_authorities.examine(chain);
            let caller = Caller { address: client, certificate: certificate.map(shown) };
            web::serve_connection(stream, router, caller, stop).await;
        }
    }
}

fn shown(certificate: PeerCertificate) -> ClientCertificate {
    ClientCertificate {
        der: certificate.der,
        thumbprint: certificate.thumbprint,
        is_vouched_for: certificate.is_vouched_for,
    }
}
