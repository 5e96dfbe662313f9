use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use thiserror::Error;
use tokio::{
    net::{TcpListener, TcpStream},
    time::sleep,
};

/// Connections that may wait to be accepted; the system may set a lower bound (`net.core.somaxconn`).
const BACKLOG: i32 = 4096;
/// Silence before the system asks whether a peer is still there.
const KEEPALIVE_TIME: Duration = Duration::from_secs(120);
/// Time between the questions.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
/// Unanswered questions before the connection is given up.
const KEEPALIVE_RETRIES: u32 = 6;
/// Octets not yet sent that the system keeps for a connection; it would keep megabytes for a peer that never reads.
/// What is on its way to a peer that does read is not counted, so this costs no throughput.
const UNSENT: u32 = 128 * 1024;
/// First pause after accepting failed for want of something, doubled up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// Longest pause; a freed descriptor is noticed no later.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Why a listener cannot be opened. The operator must act.
#[derive(Debug, Error)]
pub enum NetError {
    /// The address belongs to no interface.
    #[error("cannot listen on {0}: this machine does not have that address")]
    NotOurs(SocketAddr),
    /// Another process listens there.
    #[error("cannot listen on {0}: another process is using that port; stop it, or choose another port")]
    InUse(SocketAddr),
    /// A port that needs a privilege.
    #[error("cannot listen on {0}: not permitted; ports below 1024 need CAP_NET_BIND_SERVICE")]
    NotPermitted(SocketAddr),
    /// Anything else.
    #[error("cannot listen on {address}: {reason}")]
    Other {
        /// Where.
        address: SocketAddr,
        /// The system's reason.
        reason: io::Error,
    },
}

/// Opens a listener. The IPv6 wildcard takes IPv4 too, and is the IPv4 wildcard on a machine without IPv6.
///
/// # Errors
/// [`NetError`] names the address and the reason.
pub fn bind(address: SocketAddr) -> Result<TcpListener, NetError> {
    open(address).map_err(|reason| {
        let kind = reason.kind();
        if kind == io::ErrorKind::AddrInUse {
            NetError::InUse(address)
        } else if kind == io::ErrorKind::AddrNotAvailable {
            NetError::NotOurs(address)
        } else if kind == io::ErrorKind::PermissionDenied {
            NetError::NotPermitted(address)
        } else {
            NetError::Other { address, reason }
        }
    })
}

/// The next connection and the address of its peer, IPv4 as IPv4. It outlives every failure: a connection that was
/// gone before it was accepted is skipped, and a want of descriptors or memory is waited for, not spun on.
pub async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    let mut pause = FIRST_PAUSE;
    loop {
        match listener.accept().await {
            Ok((tcp, peer)) => {
                prepare(&tcp);
                return (tcp, canonical(peer));
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "accepting connections is failing");
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// Options of a client's connection: no delay, keepalive so that a client whose network went away is noticed, and a
/// bound for what waits to be sent.
/// A system that refuses them costs comfort, not function.
pub fn prepare(tcp: &TcpStream) {
    let _ = tcp.set_nodelay(true);
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_TIME)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_RETRIES);
    let _ = SockRef::from(tcp).set_tcp_keepalive(&keepalive);
    let _ = SockRef::from(tcp).set_tcp_notsent_lowat(UNSENT);
}

/// Options of a connection to a mail server: those of [`prepare`].
pub fn prepare_upstream(tcp: &TcpStream) {
    prepare(tcp);
}

/// An IPv4 address mapped into IPv6 as the IPv4 address that it is.
pub fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    match listen(address) {
        Err(error) if is_wildcard_v6(address) && error.raw_os_error() == Some(EAFNOSUPPORT) => {
            listen(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), address.port()))
        }
        opened => opened,
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if is_wildcard_v6(address) {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn is_wildcard_v6(address: SocketAddr) -> bool {
    address.is_ipv6() && address.ip().is_unspecified()
}

/// The address family is not there (Linux; `std` has no name for it).
const EAFNOSUPPORT: i32 = 97;

/// Whether accepting failed because of the connection that would have been next.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}
