use std::{
    fs,
    os::unix::{fs::PermissionsExt, net::UnixListener},
    path::Path,
    sync::{Arc, Mutex},
};

use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::*;

/// Answers from memory and remembers what was asked.
#[derive(Default)]
struct Fake {
    asked: Mutex<Vec<String>>,
}

impl Fake {
    fn note(&self, what: String) {
        self.asked.lock().unwrap().push(what);
    }
}

const GRANT: &str = "0192f0c1-2345-7abc-8def-0123456789ab";

#[async_trait]
impl Control for Fake {
    async fn sessions(&self) -> Vec<SessionInfo> {
        vec![SessionInfo {
            session: "00000000000000ff".into(),
            protocol: "imap".into(),
            user: "alice@example.org".into(),
            client_id: "open".into(),
            grant_id: GRANT.into(),
            backend: "main".into(),
            client_ip: "192.0.2.1".into(),
            started_at: 1,
            expires_at: 2,
        }]
    }

    async fn kill(&self, session: SessionId) -> bool {
        self.note(format!("kill {session}"));
        session == SessionId::new(0xff)
    }

    async fn grants(&self, filter: GrantFilter) -> Result<Vec<GrantInfo>, ControlError> {
        self.note(format!("{filter:?}"));
        match filter.user.as_deref() {
            Some("fault") => Err(ControlError("the store cannot be read".into())),
            _ => Ok(Vec::new()),
        }
    }

    async fn revoke(&self, grant: GrantId) -> Result<Option<Revoked>, ControlError> {
        let known = grant.to_string() == GRANT;
        Ok(known.then(|| Revoked { grant_id: grant.to_string(), sessions_closed: Some(1) }))
    }

    async fn backends(&self) -> Vec<BackendInfo> {
        vec![BackendInfo {
            backend: "main".into(),
            protocol: "imap".into(),
            server: "a.example.org:993".into(),
            state: "up".into(),
            drained: false,
            sessions: 1,
            warm: 0,
        }]
    }

    async fn drain(&self, backend: &str, request: &DrainRequest) -> Option<Drained> {
        self.note(format!("{backend} {request:?}"));
        (backend == "main").then(|| Drained {
            backend: backend.into(),
            servers: request.server.iter().cloned().collect(),
            drained: request.drained,
            sessions: 1,
            sessions_closed: usize::from(request.close),
        })
    }

    async fn look(&self) {}

    async fn status(&self) -> Status {
        Status { version: "1".into(), started_at: 1, sessions: 2, connections: 3, draining: false }
    }
}

struct Running {
    client: Client,
    fake: Arc<Fake>,
    stop: CancellationToken,
    served: JoinHandle<()>,
    folder: TempDir,
}

fn config(folder: &Path) -> Config {
    Config { socket: folder.join("admin.sock") }
}

fn start() -> Running {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let socket = AdminSocket::bind(&config).unwrap();
    let fake = Arc::new(Fake::default());
    let stop = CancellationToken::new();
    let served = tokio::spawn(socket.serve(fake.clone(), stop.clone()));
    Running { client: Client::new(&config), fake, stop, served, folder }
}

#[tokio::test]
async fn every_request_reaches_the_server_and_comes_back() {
    let running = start();
    assert_eq!(running.client.sessions().await.unwrap().len(), 1);
    running.client.kill(SessionId::new(0xff)).await.unwrap();
    assert_eq!(running.client.revoke(GRANT.parse().unwrap()).await.unwrap().sessions_closed, Some(1));
    assert_eq!(running.client.status().await.unwrap().connections, 3);
    assert_eq!(running.client.backends().await.unwrap().len(), 1);
    let drain = DrainRequest { server: Some("[::1]:993&drained=false".into()), drained: true, close: true };
    assert_eq!(running.client.drain("main", &drain).await.unwrap().sessions_closed, 1);
    assert!(running.fake.asked.lock().unwrap().contains(&format!("main {drain:?}")));
    let filter = GrantFilter { user: Some("a&client_id=b+c@é %".into()), client_id: None };
    assert_eq!(running.client.grants(&filter).await.unwrap(), Vec::new());
    assert!(running.fake.asked.lock().unwrap().contains(&format!("{filter:?}")));
}

#[tokio::test]
async fn what_does_not_exist_is_told_from_what_failed() {
    let running = start();
    let killed = running.client.kill(SessionId::new(1)).await;
    assert!(matches!(killed, Err(ClientError::Unknown(_))), "{killed:?}");
    let revoked = running.client.revoke(GrantId::generate()).await;
    assert!(matches!(revoked, Err(ClientError::Unknown(_))), "{revoked:?}");
    let drained = running.client.drain("ma/in", &DrainRequest::default()).await;
    assert!(matches!(drained, Err(ClientError::Unknown(_))), "{drained:?}");
    let filter = GrantFilter { user: Some("fault".into()), client_id: None };
    let listed = running.client.grants(&filter).await;
    assert!(matches!(listed, Err(ClientError::Refused(_))), "{listed:?}");
}

#[tokio::test]
async fn only_the_owner_may_open_the_socket_and_nothing_else_is_left_beside_it() {
    let running = start();
    let socket = running.folder.path().join("admin.sock");
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    let mut names: Vec<_> =
        fs::read_dir(running.folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["admin.sock", "admin.sock.lock"]);
}

#[tokio::test]
async fn a_stopped_server_leaves_no_socket_and_says_so() {
    let running = start();
    running.stop.cancel();
    running.served.await.unwrap();
    assert!(!running.folder.path().join("admin.sock").exists());
    let asked = running.client.status().await;
    assert!(matches!(asked, Err(ClientError::NotRunning(_))), "{asked:?}");
}

#[tokio::test]
async fn a_socket_in_use_is_not_taken_over() {
    let running = start();
    let second = AdminSocket::bind(&config(running.folder.path()));
    assert!(matches!(second, Err(BindError::InUse(_))), "{second:?}");
    running.client.status().await.unwrap();
}

#[tokio::test]
async fn a_socket_left_by_a_crash_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    drop(UnixListener::bind(&config.socket).unwrap());
    assert!(matches!(Client::new(&config).status().await, Err(ClientError::NotRunning(_))));
    AdminSocket::bind(&config).unwrap();
}

#[tokio::test]
async fn what_is_no_socket_is_not_removed() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    fs::write(&config.socket, "precious").unwrap();
    assert!(matches!(AdminSocket::bind(&config), Err(BindError::NotASocket(_))));
    assert_eq!(fs::read(&config.socket).unwrap(), b"precious");
}

#[tokio::test]
async fn a_folder_that_others_can_write_in_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o1777)).unwrap();
    assert!(matches!(AdminSocket::bind(&config(folder.path())), Err(BindError::OpenFolder(_))));
}
