use std::{io::Cursor, pin::pin, sync::Arc, time::Duration};

use axum::{Router, extract::Request};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{
    io::{self, AsyncRead, AsyncReadExt, AsyncWrite},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::issuer::Caller;

/// Largest request head over HTTP/1 and largest header list over HTTP/2, in octets.
const HEAD_SIZE: usize = 16 * 1024;
const HEAD_SIZE_H2: u32 = 16 * 1024;
/// Most headers of a request.
const HEADERS: usize = 64;
/// Requests at once on an HTTP/2 connection.
const STREAMS: u32 = 32;

/// How long a connection may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For the first octet, and for each request's head; an idle connection is closed after it.
    pub head: Duration,
    /// From accept until it takes no new request. Clients of this server come rarely, and return quickly.
    pub lifetime: Duration,
    /// For what is being answered then.
    pub grace: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            lifetime: Duration::from_secs(120),
            grace: Duration::from_secs(10),
        }
    }
}

/// Speaks HTTP/1.1 or HTTP/2 on `stream`, which is behind TLS already, until the client leaves, time is up, or
/// `stop` is cancelled and what was being answered then is answered. `caller` is who the connection says is there;
/// what a request says of it does not count.
pub async fn serve_connection<S>(stream: S, router: Router, caller: Caller, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    serve_connection_with(stream, router, caller, stop, Timeouts::default()).await;
}

/// As [`serve_connection`], with other timeouts.
pub async fn serve_connection_with<S>(
    mut stream: S,
    router: Router,
    caller: Caller,
    stop: CancellationToken,
    timeouts: Timeouts,
) where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    // The version is told by the first octets, for which hyper waits without limit.
    let mut first = [0; 512];
    let length = tokio::select! {
        () = stop.cancelled() => return,
        read = timeout(timeouts.head, stream.read(&mut first)) => match read {
            Ok(Ok(length)) if length > 0 => length,
            _ => return,
        },
    };
    let first = first.get(..length).unwrap_or_default().to_vec();
    let (reader, writer) = io::split(stream);
    let stream = io::join(Cursor::new(first).chain(reader), writer);

    let caller = Arc::new(caller);
    let service = router.map_request(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Arc::clone(&caller));
        request
    });
    let builder = builder(timeouts.head);
    let mut connection =
        pin!(builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)));
    tokio::select! {
        // How a client's connection ends concerns nobody.
        _ = connection.as_mut() => return,
        () = stop.cancelled() => {}
        () = sleep(timeouts.lifetime) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = timeout(timeouts.grace, connection).await;
}

fn builder(head_timeout: Duration) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .max_headers(HEADERS)
        .max_buf_size(HEAD_SIZE);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Some(Duration::from_secs(20)))
        .keep_alive_timeout(head_timeout)
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEAD_SIZE_H2);
    builder
}
