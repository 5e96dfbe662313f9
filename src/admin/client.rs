use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Method, Request, StatusCode, client::conn::http1, header::HOST};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::{net::UnixStream, time::timeout};

use super::{
    BackendInfo, Config, DrainRequest, Drained, GrantFilter, GrantInfo, Refused, Revoked, SessionInfo, Status,
};
use crate::model::{GrantId, SessionId};

/// How long a running server may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest answer in octets: some hundred thousand sessions.
const MAX_ANSWER: usize = 64 << 20;

/// Speaks to a running server.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
}

/// The running server could not be asked, or refused.
#[derive(Debug, Error)]
pub enum ClientError {
    /// What it said cannot be understood.
    #[error("the server on {0} gave an answer that cannot be understood; is it of another version?")]
    BadAnswer(PathBuf),
    /// Nobody serves the socket.
    #[error("no server runs on the admin socket {0}; start it with `bearward serve`")]
    NotRunning(PathBuf),
    /// It refused what was asked.
    #[error("{0}")]
    Refused(String),
    /// The system refuses.
    #[error("cannot open the admin socket {path}: {error}")]
    System {
        /// Where.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It did not answer in time.
    #[error("the server on {0} did not answer within ten seconds")]
    TimedOut(PathBuf),
    /// There is none of that name.
    #[error("{0}")]
    Unknown(String),
}

impl Client {
    /// A client of the socket; connects with each request.
    pub fn new(config: &Config) -> Self {
        Self { socket: config.socket.clone() }
    }

    /// The live sessions.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn sessions(&self) -> Result<Vec<SessionInfo>, ClientError> {
        self.ask(Method::GET, "/sessions").await
    }

    /// Closes a session.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn kill(&self, session: SessionId) -> Result<(), ClientError> {
        self.request(Method::POST, &format!("/sessions/{session}/kill")).await.map(|_| ())
    }

    /// The grants that the filter lets through.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn grants(&self, filter: &GrantFilter) -> Result<Vec<GrantInfo>, ClientError> {
        let pairs = [("user", &filter.user), ("client_id", &filter.client_id)];
        let query: Vec<String> = pairs
            .into_iter()
            .filter_map(|(name, value)| value.as_ref().map(|value| format!("{name}={}", percent(value))))
            .collect();
        self.ask(Method::GET, &format!("/grants?{}", query.join("&"))).await
    }

    /// Ends a grant and closes its sessions.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn revoke(&self, grant: GrantId) -> Result<Revoked, ClientError> {
        self.ask(Method::POST, &format!("/grants/{grant}/revoke")).await
    }

    /// Every server of every backend.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn backends(&self) -> Result<Vec<BackendInfo>, ClientError> {
        self.ask(Method::GET, "/backends").await
    }

    /// Stops new sessions at servers of a backend, or lets them in again.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn drain(&self, backend: &str, request: &DrainRequest) -> Result<Drained, ClientError> {
        let server = request.server.as_deref().map(|server| format!("&server={}", percent(server)));
        let (backend, server) = (percent(backend), server.unwrap_or_default());
        let DrainRequest { drained, close, .. } = request;
        self.ask(Method::POST, &format!("/backends/{backend}/drain?drained={drained}&close={close}{server}"))
            .await
    }

    /// Has the server look at once for what was ended in the store.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn look(&self) -> Result<(), ClientError> {
        self.ask(Method::POST, "/ended").await
    }

    /// How the server does.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn status(&self) -> Result<Status, ClientError> {
        self.ask(Method::GET, "/status").await
    }

    async fn ask<T: DeserializeOwned>(&self, method: Method, target: &str) -> Result<T, ClientError> {
        let body = self.request(method, target).await?;
        serde_json::from_slice(&body).map_err(|_| self.bad_answer())
    }

    async fn request(&self, method: Method, target: &str) -> Result<Bytes, ClientError> {
        match timeout(PATIENCE, self.exchange(method, target)).await {
            Ok(result) => result,
            Err(_) => Err(ClientError::TimedOut(self.socket.clone())),
        }
    }

    async fn exchange(&self, method: Method, target: &str) -> Result<Bytes, ClientError> {
        let stream = connect(&self.socket).await?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|_| self.bad_answer())?;
        let request = Request::builder()
            .method(method)
            .uri(target)
            .header(HOST, "localhost")
            .body(Empty::<Bytes>::new())
            .map_err(|_| self.bad_answer())?;
        let answered = async {
            let response = sender.send_request(request).await.map_err(|_| self.bad_answer())?;
            let status = response.status();
            let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
            body.map(|body| (status, body.to_bytes())).map_err(|_| self.bad_answer())
        };
        // The connection moves only while it is polled, so it runs beside the request.
        let driven = async {
            connection.await.ok();
            std::future::pending::<()>().await;
        };
        let (status, body) = tokio::select! {
            answer = answered => answer?,
            () = driven => return Err(self.bad_answer()),
        };
        if status.is_success() {
            return Ok(body);
        }
        let message = serde_json::from_slice::<Refused>(&body).map_err(|_| self.bad_answer())?.message;
        Err(if status == StatusCode::NOT_FOUND {
            ClientError::Unknown(message)
        } else {
            ClientError::Refused(message)
        })
    }

    fn bad_answer(&self) -> ClientError {
        ClientError::BadAnswer(self.socket.clone())
    }
}

async fn connect(socket: &Path) -> Result<UnixStream, ClientError> {
    UnixStream::connect(socket).await.map_err(|error| {
        if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) {
            return ClientError::NotRunning(socket.to_owned());
        }
        ClientError::System { path: socket.to_owned(), error }
    })
}

/// RFC 3986 §2.1: every octet but the unreserved ones.
fn percent(text: &str) -> String {
    text.bytes()
        .map(|octet| match octet {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(octet).to_string()
            }
            _ => format!("%{octet:02X}"),
        })
        .collect()
}
