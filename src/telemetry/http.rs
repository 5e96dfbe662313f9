use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::encoding::prometheus_text;
use tokio::{net::TcpListener, sync::Semaphore, time};

use super::Metrics;

/// Time for the request's head, and for a connection in all: a scrape is one short exchange.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(300);
/// Connections at once. Prometheus needs one.
const CONNECTIONS: usize = 64;
/// Largest request head, in octets.
const HEAD_SIZE: usize = 16 * 1024;

/// Serves `/metrics`, `/healthz` (the process runs) and `/readyz` (it takes sessions: `ready` says so) by plain
/// HTTP until the future is dropped. Nothing secret is to be read here, but it belongs on a loopback address.
pub async fn serve_metrics(
    listener: TcpListener,
    metrics: Arc<Metrics>,
    ready: impl Fn() -> bool + Send + Sync + 'static,
) {
    let ready: Arc<dyn Fn() -> bool + Send + Sync> = Arc::new(ready);
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            // Out of descriptors, or a client that is gone already: neither ends the endpoint.
            Err(error) => {
                tracing::warn!(%error, "a metrics connection cannot be accepted");
                time::sleep(Duration::from_millis(200)).await;
                continue;
            }
        };
        let (metrics, ready) = (Arc::clone(&metrics), Arc::clone(&ready));
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let response = respond(&request, &metrics, &*ready);
                async move { Ok::<_, Infallible>(response) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .max_buf_size(HEAD_SIZE)
                .serve_connection(TokioIo::new(stream), service);
            // How a scraper's connection ends concerns nobody.
            let _ = time::timeout(CONNECTION_TIMEOUT, connection).await;
            drop(place);
        });
    }
}

fn respond(
    request: &Request<Incoming>,
    metrics: &Metrics,
    ready: &(dyn Fn() -> bool + Send + Sync),
) -> Response<Full<Bytes>> {
    const TEXT: &str = "text/plain; charset=utf-8";
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET\n".into());
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    match request.uri().path() {
        "/metrics" => match metrics.encode() {
            Ok(body) => text(StatusCode::OK, prometheus_text::CONTENT_TYPE, body),
            Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, TEXT, "the metrics cannot be written\n".into()),
        },
        "/healthz" => text(StatusCode::OK, TEXT, "ok\n".into()),
        "/readyz" if ready() => text(StatusCode::OK, TEXT, "ready\n".into()),
        "/readyz" => text(StatusCode::SERVICE_UNAVAILABLE, TEXT, "not ready\n".into()),
        _ => text(StatusCode::NOT_FOUND, TEXT, "here are /metrics, /healthz and /readyz\n".into()),
    }
}

fn text(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
