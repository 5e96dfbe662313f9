use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError},
    io,
    os::unix::{
        fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt, PermissionsExt},
        net::UnixListener as StdListener,
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use axum::{
    Json, Router,
    extract::{Path as PathParameter, Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Serialize;
use thiserror::Error;
use tokio::net::UnixListener;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Config, Control, ControlError, DrainRequest, GrantFilter, Refused};

/// The admin socket, bound and locked, not yet served.
#[derive(Debug)]
pub struct AdminSocket {
    listener: UnixListener,
    place: Place,
}

/// The socket cannot be made.
#[derive(Debug, Error)]
pub enum BindError {
    /// Another process serves it.
    #[error("another bearward runs with the admin socket {0}; stop it, or give this one another data_dir")]
    InUse(PathBuf),
    /// Other users could put their own socket there.
    #[error("others can write in the folder of the admin socket {0}; take that right from them")]
    OpenFolder(PathBuf),
    /// Something else stands at its path.
    #[error("{0} is no socket; remove it, or choose another admin.socket")]
    NotASocket(PathBuf),
    /// The system refuses.
    #[error("cannot make the admin socket {path}: {error}")]
    System {
        /// Where.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// Where the socket stands; removes it when dropped, while the lock is still held.
#[derive(Debug)]
struct Place {
    socket: PathBuf,
    _lock: File,
}

impl Drop for Place {
    fn drop(&mut self) {
        // Nothing to do about a failure: the next start replaces what is left.
        fs::remove_file(&self.socket).ok();
    }
}

impl AdminSocket {
    /// Makes the socket. It appears under its name with mode 0600 or not at all: it is bound in a fresh folder
    /// that only this user can enter, and moved.
    ///
    /// # Errors
    /// [`BindError`]
    pub fn bind(config: &Config) -> Result<Self, BindError> {
        let socket = config.socket.as_path();
        let failed = |error| BindError::System { path: socket.to_owned(), error };
        let folder = socket.parent().ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?;
        // A sticky folder such as /tmp is no better: others could make the name first.
        if fs::metadata(folder).map_err(failed)?.permissions().mode() & 0o022 != 0 {
            return Err(BindError::OpenFolder(socket.to_owned()));
        }
        let lock = lock(socket)?;
        match fs::symlink_metadata(socket) {
            Ok(found) if !found.file_type().is_socket() => {
                return Err(BindError::NotASocket(socket.to_owned()));
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        let listener = bind_and_move(folder, socket).map_err(failed)?;
        let place = Place { socket: socket.to_owned(), _lock: lock };
        listener.set_nonblocking(true).map_err(failed)?;
        let listener = UnixListener::from_std(listener).map_err(failed)?;
        Ok(Self { listener, place })
    }

    /// Serves until `stop`, then removes the socket.
    pub async fn serve(self, control: Arc<dyn Control>, stop: CancellationToken) {
        let served = axum::serve(self.listener, router(control))
            .with_graceful_shutdown(async move { stop.cancelled().await })
            .await;
        if let Err(error) = served {
            tracing::error!(%error, "the admin socket failed");
        }
        drop(self.place);
    }
}

/// Takes the lock beside the socket, held as long as the file is open.
fn lock(socket: &Path) -> Result<File, BindError> {
    let mut path = socket.as_os_str().to_owned();
    path.push(".lock");
    let failed = |error| BindError::System { path: socket.to_owned(), error };
    let file =
        OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(BindError::InUse(socket.to_owned())),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

fn bind_and_move(folder: &Path, socket: &Path) -> io::Result<StdListener> {
    // Short, because a socket's path has about a hundred octets.
    let private = folder.join(format!(".{:08x}", Uuid::now_v7().as_u128() & 0xffff_ffff));
    DirBuilder::new().mode(0o700).create(&private)?;
    let made = private.join("s");
    let listener = StdListener::bind(&made).and_then(|listener| {
        fs::set_permissions(&made, Permissions::from_mode(0o600))?;
        fs::rename(&made, socket)?;
        Ok(listener)
    });
    fs::remove_file(&made).ok();
    fs::remove_dir(&private).ok();
    listener
}

type Ask = State<Arc<dyn Control>>;

fn router(control: Arc<dyn Control>) -> Router {
    Router::new()
        .route("/sessions", get(sessions))
        .route("/sessions/{id}/kill", post(kill))
        .route("/grants", get(grants))
        .route("/grants/{id}/revoke", post(revoke))
        .route("/backends", get(backends))
        .route("/backends/{name}/drain", post(drain))
        .route("/ended", post(look))
        .route("/status", get(status))
        .fallback(|| async { refused(StatusCode::NOT_FOUND, "there is no such request") })
        .with_state(control)
}

async fn sessions(State(control): Ask) -> Response {
    Json(control.sessions().await).into_response()
}

async fn kill(State(control): Ask, PathParameter(id): PathParameter<String>) -> Response {
    let Ok(session) = id.parse() else {
        return refused(StatusCode::BAD_REQUEST, "a session's name has 16 hexadecimal digits");
    };
    if !control.kill(session).await {
        return refused(StatusCode::NOT_FOUND, "there is no such session");
    }
    StatusCode::NO_CONTENT.into_response()
}

async fn grants(State(control): Ask, Query(filter): Query<GrantFilter>) -> Response {
    answer(control.grants(filter).await)
}

async fn revoke(State(control): Ask, PathParameter(id): PathParameter<String>) -> Response {
    let Ok(grant) = id.parse() else {
        return refused(StatusCode::BAD_REQUEST, "a grant's name is a UUID");
    };
    match control.revoke(grant).await {
        Ok(None) => refused(StatusCode::NOT_FOUND, "there is no such grant"),
        Ok(Some(revoked)) => Json(revoked).into_response(),
        Err(error) => answer::<()>(Err(error)),
    }
}

async fn backends(State(control): Ask) -> Response {
    Json(control.backends().await).into_response()
}

async fn drain(
    State(control): Ask,
    PathParameter(name): PathParameter<String>,
    Query(request): Query<DrainRequest>,
) -> Response {
    match control.drain(&name, &request).await {
        None => refused(StatusCode::NOT_FOUND, "there is no such backend or server"),
        Some(drained) => Json(drained).into_response(),
    }
}

async fn look(State(control): Ask) -> Response {
    control.look().await;
    Json(()).into_response()
}

async fn status(State(control): Ask) -> Response {
    Json(control.status().await).into_response()
}

fn answer<T: Serialize>(result: Result<T, ControlError>) -> Response {
    match result {
        Ok(value) => Json(value).into_response(),
        Err(ControlError(message)) => refused(StatusCode::SERVICE_UNAVAILABLE, &message),
    }
}

fn refused(status: StatusCode, message: &str) -> Response {
    (status, Json(Refused { message: message.to_owned() })).into_response()
}
