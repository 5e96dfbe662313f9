//! Accepts connections of the HTTPS listeners.

use std::{sync::Arc, time::Duration};

use tokio::{net::TcpListener, time::timeout};
use tokio_util::sync::CancellationToken;

use super::Parts;
use crate::{
    net::{self, ListenerConfig},
    telemetry::Front,
    tls, web,
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
        let (tls, router, stop) = (Arc::clone(&tls), router.clone(), stop.clone());
        let counted = parts.shared.metrics.connection_opened(Front::Https);
        let limit: Duration = parts.config.limits.handshake_timeout;
        tokio::spawn(async move {
            let _held = (permit, counted);
            if let Ok(Ok(stream)) = timeout(limit, tls::accept_https(tcp, tls)).await {
                web::serve_connection(stream, router, stop).await;
            }
        });
    }
}
