//! The small mail server behind `bearward try`: IMAP, POP3, SMTP submission and ManageSieve on loopback, all in memory.
//!
//! It stands in for the mail server that an operator already has, so it knows passwords and nothing of OAuth:
//! whoever signs in here with a token came through the proxy. What one user sends arrives in the other's INBOX
//! and wakes an IDLE there.
//!
//! Invariants: nothing is answered before a login but the login itself; every line, literal, message, mailbox
//! and connection count is bounded; nothing from the network panics. It must not speak TLS (it binds loopback
//! only), keep anything on disk, or learn what a bearer token is.

mod date;
mod imap;
mod mail;
mod message;
mod mime;
mod pop3;
mod sasl;
mod scripts;
mod seed;
mod sieve;
mod smtp;
mod wire;

use std::{
    fmt,
    future::Future,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Handle,
    sync::Semaphore,
    task::{AbortHandle, JoinSet},
};

use self::{mail::Mail, wire::Wire};
use crate::model::{Login, Secret};

/// Largest message in octets that the server takes.
pub const MESSAGE_LIMIT: usize = 32 << 20;
/// Connections served at a time, over all protocols. More wait in the listen queue.
const CONNECTIONS: usize = 20_000;
/// Failed logins before a connection is closed.
const FAILED_LOGINS: u32 = 6;
/// Commands that are not understood before a connection is closed.
const BAD_COMMANDS: u32 = 20;

/// Someone with a mailbox.
#[derive(Clone, Debug)]
pub struct User {
    /// The login name, which is the mail address too.
    pub login: Login,
    /// The password.
    pub password: Secret,
}

/// Where the server listens. The system chose the ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// IMAP4rev1 (RFC 3501), in clear.
    pub imap: SocketAddr,
    /// POP3 (RFC 1939), in clear.
    pub pop3: SocketAddr,
    /// ManageSieve (RFC 5804), in clear.
    pub sieve: SocketAddr,
    /// SMTP submission (RFC 6409), in clear.
    pub smtp: SocketAddr,
}

/// The running server. Dropping it stops it and ends its connections.
pub struct SampleServer {
    addresses: Addresses,
    listeners: Vec<AbortHandle>,
}

impl SampleServer {
    /// Binds four ports of 127.0.0.1 and serves them on the current tokio runtime. Each user's INBOX begins
    /// with three messages.
    ///
    /// # Errors
    /// When no port can be bound, or when there is no tokio runtime.
    pub fn start(users: Vec<User>) -> io::Result<Self> {
        let runtime = Handle::try_current().map_err(io::Error::other)?;
        let (imap, pop3, sieve, smtp) = (listen()?, listen()?, listen()?, listen()?);
        let addresses = Addresses {
            imap: imap.local_addr()?,
            pop3: pop3.local_addr()?,
            sieve: sieve.local_addr()?,
            smtp: smtp.local_addr()?,
        };
        let mail = Arc::new(Mail::new(users));
        let slots = Arc::new(Semaphore::new(CONNECTIONS));
        let listeners = vec![
            runtime.spawn(accept(imap, Arc::clone(&mail), Arc::clone(&slots), imap::serve)).abort_handle(),
            runtime.spawn(accept(pop3, Arc::clone(&mail), Arc::clone(&slots), pop3::serve)).abort_handle(),
            runtime.spawn(accept(sieve, Arc::clone(&mail), Arc::clone(&slots), sieve::serve)).abort_handle(),
            runtime.spawn(accept(smtp, mail, slots, smtp::serve)).abort_handle(),
        ];
        Ok(Self { addresses, listeners })
    }

    /// Where it listens.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Stops listening and ends every connection.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for SampleServer {
    fn drop(&mut self) {
        for listener in &self.listeners {
            listener.abort();
        }
    }
}

impl fmt::Debug for SampleServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SampleServer").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

fn listen() -> io::Result<TcpListener> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// Takes connections until it is aborted; its connections end with it, because the set owns them.
async fn accept<F, Served>(listener: TcpListener, mail: Arc<Mail>, slots: Arc<Semaphore>, serve: F)
where
    F: Fn(Wire, Arc<Mail>) -> Served,
    Served: Future<Output = io::Result<()>> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        let Some(stream) = next(&listener).await else { continue };
        let served = serve(Wire::new(stream), Arc::clone(&mail));
        connections.spawn(async move {
            // A connection that broke has nobody left to tell.
            let _ = served.await;
            drop(slot);
        });
    }
}

/// One connection, or nothing when the system could not give one (out of descriptors) even after a pause.
async fn next(listener: &TcpListener) -> Option<TcpStream> {
    let Ok((stream, _)) = listener.accept().await else {
        tokio::time::sleep(Duration::from_millis(50)).await;
        return None;
    };
    stream.set_nodelay(true).ok()?;
    Some(stream)
}
