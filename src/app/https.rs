//! Accepts connections of the HTTPS listeners.

use std::{sync::Arc, time::Duration};

use tokio::{net::TcpListener, time::timeout};
use tokio_util::sync::CancellationToken;

use super::Parts;
use crate::{
    issuer::{Caller, ClientCertificate},
    net::{self, ListenerConfig},
    telemetry::Front,
    tls::{self, PeerCertificate},
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
    loop {
        let (tcp, peer) = tokio::select! {
            () = stop.cancelled() => return,
            accepted = net::accept(&socket) => accepted,
        };
        let Ok(permit) = parts.connections.try_admit(peer.ip()) else { continue };
        let (parts, tls, router, stop) = (Arc::clone(&parts), Arc::clone(&tls), router.clone(), stop.clone());
        let counted = parts.shared.metrics.connection_opened(Front::Https);
        let limit: Duration = parts.config.limits.handshake_timeout;
        tokio::spawn(async move {
            let _held = (permit, counted);
            if let Ok(Ok(stream)) = timeout(limit, tls::accept_https(tcp, tls)).await {
                let chain = stream.get_ref().1.peer_certificates();
                let certificate = parts.client_authorities.examine(chain);
                let caller = Caller { address: peer.ip(), certificate: certificate.map(shown) };
                web::serve_connection(stream, router, caller, stop).await;
            }
        });
    }
}

fn shown(certificate: PeerCertificate) -> ClientCertificate {
    ClientCertificate {
        der: certificate.der,
        thumbprint: certificate.thumbprint,
        is_vouched_for: certificate.is_vouched_for,
    }
}
