//! Connections that wait for a user: connected, encrypted, greeted, and asked what the server offers.
//!
//! Each is kept by a task of its own, which lets go of it when the server closes it or says anything, when it is old,
//! or when it is claimed. It is claimed once: it never comes back.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use aws_lc_rs::rand;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::oneshot,
    time::{Instant, sleep, timeout},
};

use super::{
    connect::{Greeted, Opener},
    group::Target,
    health::Standing,
};
use crate::model::Protocol;

/// How long a connection waits at least. Mail servers close one that does not log in after a minute or more.
const AGE: Duration = Duration::from_secs(20);
/// How much longer at most, by chance, so that they are not all renewed at the same time.
const JITTER: Duration = Duration::from_secs(10);
/// How many wait follows how many were wanted in this time.
const DEMAND: Duration = Duration::from_secs(30);
/// Most connections that are being opened ahead at the same time.
const OPENING: usize = 2;
/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// The connections to one server that wait.
#[derive(Debug)]
pub(super) struct Warm {
    most: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<oneshot::Sender<oneshot::Sender<Greeted>>>,
    opening: usize,
    /// When connections were wanted lately; no more than `most`.
    wanted: VecDeque<Instant>,
}

impl Warm {
    pub(super) fn new(most: usize) -> Self {
        Self { most, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.state().waiting.iter().filter(|waiting| !waiting.is_closed()).count()
    }

    /// The youngest that waits.
    pub(super) async fn take(&self) -> Option<Greeted> {
        if self.most == 0 {
            return None;
        }
        self.note_wanted(Instant::now());
        loop {
            let youngest = self.state().waiting.pop()?;
            let (claim, claimed) = oneshot::channel();
            if youngest.send(claim).is_ok()
                && let Ok(greeted) = claimed.await
            {
                return Some(greeted);
            }
        }
    }

    fn note_wanted(&self, now: Instant) {
        let mut state = self.state();
        state.wanted.push_back(now);
        while state.wanted.len() > self.most {
            state.wanted.pop_front();
        }
    }

    /// Takes note that `n` more are being opened, and says how many.
    fn begin(&self, now: Instant) -> usize {
        let mut state = self.state();
        state.waiting.retain(|waiting| !waiting.is_closed());
        state.wanted.retain(|at| now.saturating_duration_since(*at) < DEMAND);
        let goal = state.wanted.len().clamp(1, self.most.max(1));
        let missing = goal.saturating_sub(state.waiting.len().saturating_add(state.opening));
        let missing = missing.min(OPENING.saturating_sub(state.opening));
        state.opening = state.opening.saturating_add(missing);
        missing
    }
}

/// Opens what is missing, without waiting for it. Nothing waits with a server that is drained or fails.
pub(super) fn tend(target: &Arc<Target>, opener: &Arc<Opener>) {
    let warm = &target.warm;
    if warm.most == 0 {
        return;
    }
    if target.is_drained() || target.standing(std::time::Instant::now()) != Standing::Good {
        // Their tasks say goodbye.
        warm.state().waiting.clear();
        return;
    }
    for _ in 0..warm.begin(Instant::now()) {
        let opening = Opening { target: Arc::clone(target) };
        tokio::spawn(open(opening, Arc::clone(opener)));
    }
}

/// A connection that is being opened; counted until it is dropped.
struct Opening {
    target: Arc<Target>,
}

impl Drop for Opening {
    fn drop(&mut self) {
        let mut state = self.target.warm.state();
        state.opening = state.opening.saturating_sub(1);
    }
}

async fn open(opening: Opening, opener: Arc<Opener>) {
    let target = &opening.target;
    let greeted = opener.greet(&target.server, None).await;
    target.note(greeted.as_ref().err());
    let Ok(greeted) = greeted else { return };
    let (waiting, claimed) = oneshot::channel();
    {
        let mut state = target.warm.state();
        state.waiting.push(waiting);
    }
    let protocol = target.server.protocol;
    drop(opening);
    keep(greeted, claimed, protocol).await;
}

/// Keeps a connection until it is claimed, closed or old.
async fn keep(
    mut greeted: Greeted,
    claimed: oneshot::Receiver<oneshot::Sender<Greeted>>,
    protocol: Protocol,
) {
    let mut octet = [0; 1];
    tokio::select! {
        biased;
        // It is closed, or the server said something that nobody asked for: either way it can do no login.
        _ = greeted.stream.read(&mut octet) => return,
        () = sleep(age()) => {}
        claim = claimed => if let Ok(claim) = claim {
            match claim.send(greeted) {
                Ok(()) => return,
                Err(unclaimed) => greeted = unclaimed,
            }
        },
    }
    say_goodbye(greeted, protocol).await;
}

async fn say_goodbye(mut greeted: Greeted, protocol: Protocol) {
    let goodbye: &[u8] = match protocol {
        Protocol::Imap => b"Q LOGOUT\r\n",
        Protocol::Pop3 | Protocol::Smtp => b"QUIT\r\n",
        Protocol::Sieve => b"LOGOUT\r\n",
    };
    let farewell = async {
        if greeted.stream.write_all(goodbye).await.is_ok() {
            let _ = greeted.stream.shutdown().await;
        }
    };
    let _ = timeout(GOODBYE, farewell).await;
}

fn age() -> Duration {
    let mut bits = [0; 2];
    // Chance is no secret here; without it the ages are the same.
    let _ = rand::fill(&mut bits);
    AGE + JITTER.mul_f64(f64::from(u16::from_be_bytes(bits)) / f64::from(u16::MAX))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use tokio::{net::TcpListener, task::JoinHandle};

    use super::*;
    use crate::{
        tls::{self, UpstreamTls},
        upstream::{Config, GroupConfig, Login, LoginError, LoginName, Security, Server, group::Group},
    };

    /// A POP3 server that greets one connection; what that says from then on.
    async fn pop3() -> (u16, JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let said = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(b"+OK hello\r\n").await.unwrap();
            let mut command = [0; 6];
            stream.read_exact(&mut command).await.unwrap();
            stream.write_all(b"+OK\r\nSASL PLAIN\r\n.\r\n").await.unwrap();
            let mut rest = String::new();
            stream.read_to_string(&mut rest).await.unwrap();
            rest
        });
        (port, said)
    }

    fn backend(port: u16) -> (Arc<Target>, Arc<Opener>) {
        let server =
            Server { protocol: Protocol::Pop3, host: "127.0.0.1".into(), port, security: Security::Clear };
        let config = Config {
            name: "main".into(),
            servers: vec![server],
            login: Login::Sealed,
            login_name: LoginName::whole(),
            shared_login_name: None,
            mechanisms: Arc::from([]),
            tls: tls::UpstreamConfig::default(),
            xclient: true,
            proxy_protocol: false,
            imap_id: true,
            timeout: Duration::from_secs(10),
            group: GroupConfig { warm: 1, ..GroupConfig::default() },
        };
        let group = Group::new(&config, Protocol::Pop3);
        let tls = UpstreamTls::new(&config.tls).unwrap();
        let target = Arc::clone(group.servers.first().unwrap());
        (target, Arc::new(Opener { config, tls, hostname: "proxy.example.org".into() }))
    }

    /// A mail server would close it, perhaps in the very moment in which it is claimed.
    #[tokio::test]
    async fn a_connection_that_has_waited_long_takes_its_leave() {
        let (port, said) = pop3().await;
        let (target, opener) = backend(port);
        let greeted = opener.greet(&target.server, None).await.unwrap();
        let (_waiting, claimed) = oneshot::channel();
        tokio::time::pause();
        let started = Instant::now();
        keep(greeted, claimed, Protocol::Pop3).await;
        let waited = started.elapsed();
        assert!((AGE..=AGE + JITTER + GOODBYE).contains(&waited), "{waited:?}");
        assert_eq!(said.await.unwrap(), "QUIT\r\n");
    }

    #[tokio::test]
    async fn nothing_goes_on_waiting_with_a_server_that_fails_or_is_drained() {
        for is_drained in [false, true] {
            let (port, said) = pop3().await;
            let (target, opener) = backend(port);
            tend(&target, &opener);
            while target.warm.len() == 0 {
                tokio::task::yield_now().await;
            }
            if is_drained {
                target.drain(true);
            } else {
                target.note(Some(&LoginError::Unreachable("it is down".into())));
            }
            tend(&target, &opener);
            assert_eq!(target.warm.len(), 0);
            assert_eq!(said.await.unwrap(), "QUIT\r\n");
        }
    }
}
