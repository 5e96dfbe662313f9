//! A real PostgreSQL of its own, which ends with the test process however that ends.

use std::{
    fs,
    io::ErrorKind,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU16, Ordering},
    },
    time::{Duration, Instant},
};

use bearward::{
    model::Secret,
    store::{PostgresAddress, PostgresHost, PostgresTls},
};
use sqlx::{ConnectOptions, Connection, PgConnection, postgres::PgConnectOptions};

use super::{Ports, wait};

/// The superuser of the test servers, and its password where one is asked for: on TCP.
const USER: &str = "tester";
pub(crate) const PASSWORD: &str = "p@ss/w:rd";

/// The guard closes its input with the test process; then the server is ended by its process id, and its files go.
const GUARD: &str = "\"$@\" </dev/null & pid=$!; read -r keep; kill -CONT $pid; kill -QUIT $pid; wait $pid; \
                     [ \"$keep\" = keep ] || rm -rf \"$FOLDER\"";

/// A running PostgreSQL.
pub(crate) struct Cluster {
    folder: PathBuf,
    port: u16,
    settings: Vec<String>,
    guard: Option<Child>,
    _ports: Ports,
}

impl Cluster {
    /// The one that the tests of a process share; each takes a database of its own.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(&["fsync=off"]))
    }

    /// One for a test alone. What the sessions of the store must not depend on is set the other way round.
    pub(crate) fn start(settings: &[&str]) -> Self {
        let folder =
            tempfile::Builder::new().prefix("bearward-pg").tempdir().expect("temporary folder").keep();
        fs::set_permissions(&folder, PermissionsExt::from_mode(0o755)).expect("permissions");
        let mut ports = Ports::reserve();
        let mut cluster = Self {
            folder,
            port: ports.take(),
            settings: settings.iter().map(|setting| (*setting).to_owned()).collect(),
            guard: None,
            _ports: ports,
        };
        cluster.make_anew();
        cluster.start_again();
        cluster
    }

    /// Puts an empty cluster in place of whatever there is.
    pub(crate) fn make_anew(&mut self) {
        self.stop();
        let data = self.data();
        let _ = fs::remove_dir_all(&data);
        run(Command::new("cp").arg("-a").arg(template()).arg(&data));
        // Sockets go beside the data, in a folder of the same owner.
        let owner = fs::metadata(&data).expect("data");
        std::os::unix::fs::chown(&self.folder, Some(owner.uid()), Some(owner.gid())).expect("owner");
    }

    /// Starts the server that was stopped, on the same address.
    pub(crate) fn start_again(&mut self) {
        let mut command = as_server("sh");
        command.arg("-c").arg(GUARD).arg("guard").arg(binary("postgres")).arg("-D").arg(self.data());
        command.arg("-k").arg(&self.folder).args(["-h", "127.0.0.1", "-p"]).arg(self.port.to_string());
        let defaults = [
            "synchronous_commit=off",
            "default_transaction_isolation=serializable",
            "max_connections=200",
            "shared_buffers=32MB",
            "log_min_messages=fatal",
        ];
        for setting in defaults.iter().copied().chain(self.settings.iter().map(String::as_str)) {
            command.arg("-c").arg(setting);
        }
        let log =
            fs::OpenOptions::new().create(true).append(true).open(self.folder.join("log")).expect("log");
        command.env("FOLDER", &self.folder).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log);
        let pid_file = self.data().join("postmaster.pid");
        let _ = fs::remove_file(&pid_file);
        self.guard = Some(command.spawn().expect("PostgreSQL starts"));
        let deadline = Instant::now() + Duration::from_secs(20);
        while !fs::read_to_string(&pid_file).is_ok_and(|text| text.lines().any(|line| line.trim() == "ready"))
        {
            assert!(Instant::now() < deadline, "PostgreSQL does not start: {}", self.log());
            wait(Duration::from_millis(5));
        }
    }

    /// Ends the server at once, as a failure would; its data stay.
    pub(crate) fn stop(&mut self) {
        use std::io::Write;
        let Some(mut guard) = self.guard.take() else { return };
        guard.stdin.take().expect("piped").write_all(b"keep\n").expect("the guard listens");
        guard.wait().expect("the guard ends");
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// One more setting from the next start on.
    pub(crate) fn set(&mut self, setting: &str) {
        self.settings.push(setting.to_owned());
    }

    /// Stops the sessions that listen for notifications, until the answer is dropped.
    pub(crate) fn mute_listeners(&self, database: &str) -> Muted {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let pids: Vec<i32> = runtime.block_on(async {
            let mut connection = self.connect("postgres").await;
            sqlx::query_scalar("SELECT pid FROM pg_stat_activity WHERE datname = $1 AND query LIKE 'LISTEN%'")
                .bind(database)
                .fetch_all(&mut connection)
                .await
                .expect("listed")
        });
        assert!(!pids.is_empty(), "nobody listens");
        Muted::of(pids.iter().map(ToString::to_string).collect())
    }

    /// The server's process id.
    pub(crate) fn pid(&self) -> u32 {
        let text = fs::read_to_string(self.data().join("postmaster.pid")).expect("pid file");
        text.lines().next().and_then(|line| line.parse().ok()).expect("a process id")
    }

    /// A file that the server can read.
    pub(crate) fn install(&self, name: &str, octets: &[u8]) -> PathBuf {
        let path = self.folder.join(name);
        fs::write(&path, octets).expect("written");
        fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("permissions");
        let owner = fs::metadata(self.data()).expect("data");
        std::os::unix::fs::chown(&path, Some(owner.uid()), Some(owner.gid())).expect("owner");
        path
    }

    /// A database of that name, made where there is none yet, on the Unix socket.
    pub(crate) async fn database(&self, name: &str) -> PostgresAddress {
        let mut connection = self.connect("postgres").await;
        let made = sqlx::query(sqlx::AssertSqlSafe(format!("CREATE DATABASE \"{name}\"")))
            .execute(&mut connection)
            .await;
        if let Err(error) = made {
            let code = error.as_database_error().and_then(|error| error.code().map(|code| code.into_owned()));
            // There already, or just being made by another task.
            assert!(matches!(code.as_deref(), Some("42P04" | "23505")), "{error}");
        }
        connection.close().await.expect("closed");
        PostgresAddress {
            host: PostgresHost::Folder(self.folder.clone()),
            port: self.port,
            user: Some(USER.into()),
            password: None,
            database: Some(name.into()),
            tls: PostgresTls::Off,
            identity: None,
        }
    }

    /// The same database over TCP, where a password is asked for.
    pub(crate) fn over_tcp(&self, address: PostgresAddress) -> PostgresAddress {
        PostgresAddress {
            host: PostgresHost::Name("127.0.0.1".into()),
            password: Some(Secret::copy_of(PASSWORD.as_bytes())),
            ..address
        }
    }

    /// What an operator writes for `address`.
    pub(crate) fn url(&self, address: &PostgresAddress) -> String {
        format!(
            "postgres:///{}?host={}&port={}&user={USER}",
            address.database.as_deref().unwrap_or_default(),
            self.folder.display(),
            self.port
        )
    }

    /// A connection beside the store's.
    pub(crate) async fn connect(&self, database: &str) -> PgConnection {
        PgConnectOptions::new_without_pgpass()
            .socket(&self.folder)
            .port(self.port)
            .username(USER)
            .database(database)
            .connect()
            .await
            .expect("connected")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Processes that do nothing until this is dropped.
pub(crate) struct Muted(Vec<String>);

impl Muted {
    pub(crate) fn of(pids: Vec<String>) -> Self {
        run(Command::new("kill").arg("-STOP").args(&pids));
        Self(pids)
    }
}

impl Drop for Muted {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg("-CONT").args(&self.0).status();
    }
}

/// The newest server that is installed.
fn binary(name: &str) -> PathBuf {
    let mut found: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .expect("PostgreSQL is installed")
        .filter_map(|entry| {
            let folder = entry.ok()?.path();
            let version = folder.file_name()?.to_str()?.parse().ok()?;
            let path = folder.join("bin").join(name);
            path.exists().then_some((version, path))
        })
        .collect();
    found.sort_unstable();
    found.pop().expect("PostgreSQL's server is installed").1
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0)
}

/// PostgreSQL refuses to run as root.
fn as_server(program: &str) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", program]);
    command.current_dir("/");
    command
}

/// An empty cluster to copy, which is far faster than to make one.
fn template() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let version = binary("initdb").components().rev().nth(2).map(|part| part.as_os_str().to_owned());
    let template = target.join(format!("postgres-{}", version.unwrap_or_default().to_string_lossy()));
    if template.exists() {
        return template;
    }
    let folder = tempfile::tempdir().expect("temporary folder");
    fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o777)).expect("permissions");
    let password = folder.path().join("password");
    fs::write(&password, PASSWORD).expect("written");
    let made = folder.path().join("made");
    run(as_server(&binary("initdb").to_string_lossy())
        .args(["--encoding=UTF8", "--locale=C", "--no-sync", "--wal-segsize=1", "--username", USER])
        .args(["--auth-local=trust", "--auth-host=scram-sha-256", "--pwfile"])
        .arg(&password)
        .arg("-D")
        .arg(&made));
    // Copied beside its place, which may be on another file system, then moved there whole.
    static COUNT: AtomicU16 = AtomicU16::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let copy = target.join(format!("postgres-{}-{count}", std::process::id()));
    run(Command::new("cp").arg("-a").arg(&made).arg(&copy));
    match fs::rename(&copy, &template) {
        Ok(()) => {}
        // Another process was faster.
        Err(error) if matches!(error.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists) => {
            fs::remove_dir_all(&copy).expect("removed");
        }
        Err(error) => panic!("{error}"),
    }
    template
}

fn run(command: &mut Command) {
    let output = command.output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {text}");
}
