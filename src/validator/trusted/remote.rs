use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU32, Ordering},
};

use serde_json::{Map, Value};
use std::time::Duration;
use tokio::sync::Semaphore;

use super::Fault;
use crate::{
    http::{self, Answer, Client, HttpError, Request, Url},
    model::UnixTime,
};

/// After so many requests without an answer in a row, the issuer is left alone for a while.
const FAILURES: u32 = 5;
const PAUSE: Duration = Duration::from_secs(10);

/// The way to one issuer: a bounded number of requests at a time, and none while it is known to be away.
#[derive(Clone)]
pub(super) struct Remote(Arc<Inner>);

struct Inner {
    client: Client,
    places: Semaphore,
    failures: AtomicU32,
    paused_since: Mutex<Option<UnixTime>>,
}

impl Remote {
    pub(super) fn new(config: &http::Config, concurrency: usize) -> Result<Self, HttpError> {
        Ok(Self(Arc::new(Inner {
            client: Client::new(config)?,
            places: Semaphore::new(concurrency),
            failures: AtomicU32::new(0),
            paused_since: Mutex::new(None),
        })))
    }

    /// The answer, whatever its status below 500.
    pub(super) async fn send(&self, url: &Url, request: Request, now: UnixTime) -> Result<Answer, Fault> {
        if self.is_paused(now) {
            return Err(Fault::Unreachable(
                "it does not answer; it will be asked again in a while".to_owned(),
            ));
        }
        let Ok(_place) = self.0.places.acquire().await else {
            return Err(Fault::Unreachable("it is asked no more".to_owned()));
        };
        match self.0.client.send(url, request).await {
            Ok(answer) if answer.status >= 500 || answer.status == 429 => {
                self.failed(now);
                Err(Fault::Unreachable(format!("{} answers {}", shown(url), answer.status)))
            }
            Ok(answer) => {
                self.0.failures.store(0, Ordering::Relaxed);
                Ok(answer)
            }
            Err(error @ (HttpError::Address(_) | HttpError::File(_) | HttpError::TooLong { .. })) => {
                Err(Fault::Operator(error.to_string()))
            }
            Err(error @ HttpError::Unreachable(_)) => {
                self.failed(now);
                Err(Fault::Unreachable(error.to_string()))
            }
        }
    }

    /// A published document.
    pub(super) async fn document(&self, url: &Url, now: UnixTime) -> Result<Option<Value>, Fault> {
        let answer = self.send(url, Request::default(), now).await?;
        match answer.status {
            200 => serde_json::from_slice(&answer.body)
                .map(Some)
                .map_err(|_| Fault::Operator(format!("{} answers with what is no JSON", shown(url)))),
            404 => Ok(None),
            status => Err(Fault::Operator(format!("{} answers {status}", shown(url)))),
        }
    }

    /// A pause ends by itself; the first failure after it begins the next one.
    fn is_paused(&self, now: UnixTime) -> bool {
        let since = *self.0.paused_since.lock().unwrap_or_else(PoisonError::into_inner);
        since.is_some_and(|since| since <= now && now < since.after(PAUSE))
    }

    fn failed(&self, now: UnixTime) {
        if self.0.failures.fetch_add(1, Ordering::Relaxed) + 1 >= FAILURES {
            *self.0.paused_since.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
        }
    }
}

/// A JSON object.
pub(super) fn object(answer: &Answer, url: &Url) -> Result<Map<String, Value>, Fault> {
    serde_json::from_slice(&answer.body)
        .map_err(|_| Fault::Operator(format!("{} answers with what is no JSON object", shown(url))))
}

/// An address without what may be secret in it.
pub(super) fn shown(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path())
}
