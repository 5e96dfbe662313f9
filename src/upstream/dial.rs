//! The TCP connection to a server whose name has several addresses (RFC 8305, "Happy Eyeballs").

use std::{collections::VecDeque, io, net::SocketAddr, time::Duration};

use tokio::{
    net::{TcpStream, lookup_host},
    task::JoinSet,
    time::{sleep, timeout},
};

/// How long one address may take to accept: a dead host answers nothing at all, and the next server must still get
/// its turn while the client waits.
const CONNECT: Duration = Duration::from_secs(5);
/// How long an address is waited for before the next one is tried beside it (RFC 8305 §5).
const STAGGER: Duration = Duration::from_millis(250);
/// Most addresses of one name that are tried.
const ADDRESSES: usize = 8;

/// Connects to the first address of `host` that accepts. Dropping the future ends every attempt.
pub(super) async fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    race(interleaved(lookup_host((host, port)).await?.collect()), TcpStream::connect).await
}

/// The addresses in turns of their families, beginning with the first, which the system prefers (RFC 8305 §4).
fn interleaved(addresses: Vec<SocketAddr>) -> VecDeque<SocketAddr> {
    let begins_with_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (preferred, other): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == begins_with_v6);
    let (mut preferred, mut other) = (preferred.into_iter(), other.into_iter());
    let mut ordered = VecDeque::new();
    loop {
        let pair = (preferred.next(), other.next());
        if pair == (None, None) || ordered.len() >= ADDRESSES {
            ordered.truncate(ADDRESSES);
            return ordered;
        }
        ordered.extend(pair.0);
        ordered.extend(pair.1);
    }
}

async fn race<T, F>(mut waiting: VecDeque<SocketAddr>, dial: impl Fn(SocketAddr) -> F) -> io::Result<T>
where
    T: Send + 'static,
    F: Future<Output = io::Result<T>> + Send + 'static,
{
    let mut last = io::Error::new(io::ErrorKind::NotFound, "its name has no address");
    let mut attempts = JoinSet::new();
    loop {
        if let Some(address) = waiting.pop_front() {
            let attempt = timeout(CONNECT, dial(address));
            attempts.spawn(async move {
                attempt.await.unwrap_or_else(|_| {
                    Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {CONNECT:?}")))
                })
            });
        }
        let more = !waiting.is_empty();
        tokio::select! {
            ended = attempts.join_next() => match ended {
                Some(Ok(Ok(connected))) => return Ok(connected),
                Some(Ok(Err(error))) => last = error,
                Some(Err(ended)) => last = io::Error::other(ended),
                None => return Err(last),
            },
            () = sleep(STAGGER), if more => {}
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use std::future::pending;

    use tokio::time::Instant;

    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    /// Port 1 answers nothing, port 2 refuses, any other accepts.
    async fn fake(address: SocketAddr) -> io::Result<SocketAddr> {
        match address.port() {
            1 => pending().await,
            2 => Err(io::ErrorKind::ConnectionRefused.into()),
            _ => Ok(address),
        }
    }

    #[test]
    fn the_families_take_turns() {
        let mixed = addresses(&["[::1]:1", "[::2]:1", "[::3]:1", "127.0.0.1:1", "127.0.0.2:1"]);
        let expected = addresses(&["[::1]:1", "127.0.0.1:1", "[::2]:1", "127.0.0.2:1", "[::3]:1"]);
        assert_eq!(interleaved(mixed), expected);
        let many = (1..100).map(|port| SocketAddr::from(([127, 0, 0, 1], port))).collect();
        assert_eq!(interleaved(many).len(), ADDRESSES);
    }

    #[tokio::test(start_paused = true)]
    async fn a_dead_address_costs_a_quarter_of_a_second() {
        let started = Instant::now();
        let found = race(addresses(&["[::1]:1", "127.0.0.1:3"]).into(), fake).await.unwrap();
        assert_eq!(found.port(), 3);
        assert_eq!(started.elapsed(), STAGGER);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_costs_nothing() {
        let started = Instant::now();
        let found = race(addresses(&["[::1]:2", "127.0.0.1:2", "[::2]:3"]).into(), fake).await.unwrap();
        assert_eq!(found.port(), 3);
        assert_eq!(started.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn when_none_accepts_the_last_reason_is_given_and_in_time() {
        let started = Instant::now();
        let error = race(addresses(&["[::1]:2", "127.0.0.1:1"]).into(), fake).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(started.elapsed(), CONNECT);
        let error = race(VecDeque::new(), fake).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
