use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use super::{
    TlsError, TlsFacts,
    backlog::Backlog,
    records::Records,
    worker::{Outgoing, Worker},
};

/// A mail client's connection, in clear or encrypted.
///
/// Between calls it owns at most the part of a record that has arrived and what the socket has not taken yet; both
/// are nothing while the session is idle. Everything else is lent by the [`Worker`]. Dropping the future of a call
/// loses nothing: octets that were accepted go out with the next write.
#[derive(Debug)]
pub struct MailStream {
    tcp: TcpStream,
    tls: Option<Box<Records>>,
    /// Ciphertext that is not a whole record yet.
    partial: Vec<u8>,
    /// Plaintext that came while nobody read: behind the handshake's last flight.
    early: Vec<u8>,
    backlog: Backlog,
    ending: Ending,
    /// The peer broke TLS: its record layer is not used again.
    broken: bool,
    /// A close_notify is on its way or sent.
    closing: bool,
}

/// How the peer's direction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Open,
    /// FIN in clear, close_notify under TLS.
    Clean,
    /// A FIN under TLS without close_notify: octets may have been cut off.
    Truncated,
}

/// Most octets that [`MailStream::read`] takes from the socket at once: a session that is not signed in must not
/// come to own more.
const READ_BEFORE_LOGIN: usize = 16 * 1024;
/// Longest unfinished message that is kept. A record needs 18 437 octets (RFC 5246 §6.2.3), no client's handshake
/// message as much.
const LONGEST_PARTIAL: usize = 20 * 1024;

impl MailStream {
    /// A connection in clear.
    pub fn clear(tcp: TcpStream) -> Self {
        // Losing TCP_NODELAY slows a session down, but breaks nothing.
        let _ = tcp.set_nodelay(true);
        Self {
            tcp,
            tls: None,
            partial: Vec::new(),
            early: Vec::new(),
            backlog: Backlog::default(),
            ending: Ending::Open,
            broken: false,
            closing: false,
        }
    }

    /// The TLS handshake, as the server. The octets of its last flight that need not go out alone, session tickets
    /// above all, wait for the first write and go out with it; a read sends them first.
    ///
    /// # Errors
    /// The peer left, or broke or refused the handshake; it has been told by an alert.
    pub async fn accept(mut self, config: Arc<ServerConfig>) -> Result<Self, TlsError> {
        self.tls = Some(Box::new(Records::new(config).map_err(TlsError::setup)?));
        let handshake = poll_fn(|cx| Worker::lend(|worker| self.poll_handshake(cx, worker))).await;
        let Err(error) = handshake else { return Ok(self) };
        if poll_fn(|cx| self.poll_flush(cx)).await.is_ok() {
            let _ = poll_fn(|cx| Pin::new(&mut self.tcp).poll_shutdown(cx)).await;
        }
        Err(error)
    }

    /// Appends what the client sent to `into`; waits until there is something. `Ok(0)`: it sends no more.
    ///
    /// # Errors
    /// The connection failed, or the client broke TLS.
    pub async fn read(&mut self, into: &mut Vec<u8>) -> io::Result<usize> {
        poll_fn(|cx| {
            Worker::lend(|worker| {
                let read = self.poll_receive(cx, worker, READ_BEFORE_LOGIN);
                into.extend_from_slice(&worker.clear);
                worker.wipe();
                read
            })
        })
        .await
    }

    /// Sends all of `octets`.
    ///
    /// # Errors
    /// The connection failed.
    pub async fn write_all(&mut self, octets: &[u8]) -> io::Result<()> {
        for piece in octets.chunks(Worker::READ) {
            let mut accepted = false;
            poll_fn(|cx| {
                if accepted {
                    return self.poll_flush(cx);
                }
                accepted = true;
                Worker::lend(|worker| self.poll_send(cx, piece, &mut worker.output))
            })
            .await?;
        }
        Ok(())
    }

    /// Ends our direction: what waits, close_notify under TLS, FIN. The caller bounds the time.
    ///
    /// # Errors
    /// The connection failed.
    pub async fn shutdown(&mut self) -> io::Result<()> {
        poll_fn(|cx| Worker::lend(|worker| self.poll_close(cx, &mut worker.output))).await
    }

    /// As [`MailStream::shutdown`], then reads and throws away until the client ends too: closing a socket over
    /// unread octets resets the connection, and the reset may overtake the last words. The caller bounds the time.
    ///
    /// # Errors
    /// The connection failed.
    pub async fn close(mut self) -> io::Result<()> {
        self.shutdown().await?;
        let mut ignored = Vec::new();
        while self.read(&mut ignored).await? > 0 {
            ignored.clear();
        }
        Ok(())
    }

    /// What the handshake agreed on; `None` in clear.
    pub fn facts(&self) -> Option<TlsFacts> {
        self.tls.as_ref().and_then(|tls| tls.facts())
    }

    /// Whether it is encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    /// Whether the client's direction ended by a FIN without close_notify under TLS. Mail clients do so daily; to
    /// mail it is the end all the same.
    pub fn is_truncated(&self) -> bool {
        self.ending == Ending::Truncated
    }

    /// The client's address.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.peer_addr()
    }

    /// The address that the client connected to.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// Reads at most `limit` octets from the socket and appends what they carry to `worker.clear`. `Ok(0)`: the
    /// client sends no more.
    ///
    /// # Errors
    /// The connection failed, or the client broke TLS; then an alert waits to be flushed.
    pub fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        worker: &mut Worker,
        limit: usize,
    ) -> Poll<io::Result<usize>> {
        let before = worker.clear.len();
        loop {
            if self.broken {
                return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
            }
            // The peer may wait for it before it says more. Whether the socket takes it now decides nothing here.
            if let Poll::Ready(flushed) = self.poll_flush(cx) {
                flushed?;
            }
            worker.clear.append(&mut self.early);
            self.early = Vec::new();
            let received = worker.clear.len() - before;
            if received > 0 || self.ending != Ending::Open {
                return Poll::Ready(Ok(received));
            }
            ready!(self.poll_records(cx, worker, limit))?;
        }
    }

    /// Encrypts `octets` and gives the socket what it takes. They are accepted in any case; `Pending` says that some
    /// wait in this session, and that nothing more should be sent until [`MailStream::poll_flush`] is ready.
    ///
    /// # Errors
    /// The connection failed.
    pub fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        octets: &[u8],
        output: &mut Outgoing,
    ) -> Poll<io::Result<()>> {
        if self.tls.is_none() && self.backlog.is_empty() {
            let taken = write(&mut self.tcp, cx, octets)?;
            self.backlog.keep(octets.get(taken..).unwrap_or_default());
            return self.settled();
        }
        self.seal(octets, output)?;
        self.poll_output(cx, output)
    }

    /// Gives the socket what waits.
    ///
    /// # Errors
    /// The connection failed.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.backlog.is_empty() {
            let taken = write(&mut self.tcp, cx, self.backlog.rest())?;
            self.backlog.advance(taken);
        }
        self.settled()
    }

    /// As [`MailStream::shutdown`].
    ///
    /// # Errors
    /// The connection failed.
    pub fn poll_close(&mut self, cx: &mut Context<'_>, output: &mut Outgoing) -> Poll<io::Result<()>> {
        if !self.closing {
            self.closing = true;
            self.seal_close(output)?;
            ready!(self.poll_output(cx, output))?;
        }
        ready!(self.poll_flush(cx))?;
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }

    fn poll_handshake(&mut self, cx: &mut Context<'_>, worker: &mut Worker) -> Poll<Result<(), TlsError>> {
        while !self.tls.as_ref().is_some_and(|tls| tls.is_established()) {
            // An end may come along with the last flight, behind octets that still count.
            if self.ending != Ending::Open {
                return Poll::Ready(Err(TlsError::Left));
            }
            ready!(self.poll_flush(cx))?;
            ready!(self.poll_records(cx, worker, READ_BEFORE_LOGIN)).map_err(TlsError::of_io)?;
        }
        if !worker.clear.is_empty() {
            self.early.extend_from_slice(&worker.clear);
            worker.wipe();
        }
        Poll::Ready(Ok(()))
    }

    /// One read of the socket: its plaintext goes to `worker.clear`, what must be answered to the backlog.
    fn poll_records(
        &mut self,
        cx: &mut Context<'_>,
        worker: &mut Worker,
        limit: usize,
    ) -> Poll<io::Result<()>> {
        let kept = self.partial.len();
        let (front, room) = worker.input.split_at_mut(kept);
        let mut unread = ReadBuf::new(room.get_mut(..limit.min(Worker::READ)).unwrap_or_default());
        ready!(Pin::new(&mut self.tcp).poll_read(cx, &mut unread))?;
        let read = unread.filled().len();
        if read == 0 {
            self.ending = if self.tls.is_some() { Ending::Truncated } else { Ending::Clean };
            self.partial = Vec::new();
            return Poll::Ready(Ok(()));
        }
        front.copy_from_slice(&self.partial);
        worker.touched = kept + read;
        let incoming = worker.input.get_mut(..kept + read).unwrap_or_default();
        let Some(tls) = &mut self.tls else {
            worker.clear.extend_from_slice(incoming);
            return Poll::Ready(Ok(()));
        };
        let used = tls.receive(incoming, &mut worker.clear, &mut worker.output);
        if tls.peer_closed {
            self.ending = Ending::Clean;
        }
        self.backlog.keep(worker.output.filled());
        worker.output.clear();
        match used {
            Ok(used) => Poll::Ready(self.keep_partial(incoming.get(used..).unwrap_or_default())),
            Err(error) => {
                let error = self.fail(error);
                // The alert. If the socket does not take it now, closing will.
                let _ = self.poll_flush(cx);
                Poll::Ready(Err(error))
            }
        }
    }

    fn keep_partial(&mut self, rest: &[u8]) -> io::Result<()> {
        if rest.len() > LONGEST_PARTIAL {
            return Err(self.fail(rustls::Error::PeerSentOversizedRecord));
        }
        if rest.is_empty() || self.ending != Ending::Open {
            self.partial = Vec::new();
        } else {
            self.partial.clear();
            self.partial.extend_from_slice(rest);
        }
        Ok(())
    }

    fn fail(&mut self, error: rustls::Error) -> io::Error {
        self.broken = true;
        self.partial = Vec::new();
        io::Error::new(io::ErrorKind::InvalidData, error)
    }

    /// Puts what waits and then `octets` into `output`, encrypted.
    fn seal(&mut self, octets: &[u8], output: &mut Outgoing) -> io::Result<()> {
        if self.broken || self.closing {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        output.clear();
        output.extend(self.backlog.rest());
        let Some(tls) = &mut self.tls else {
            output.extend(octets);
            self.backlog = Backlog::default();
            return Ok(());
        };
        let used = tls.seal(octets, &mut self.partial, &mut self.early, output);
        self.backlog = Backlog::default();
        self.settle_partial(used)
    }

    /// Puts what waits and a close_notify into `output`.
    fn seal_close(&mut self, output: &mut Outgoing) -> io::Result<()> {
        output.clear();
        output.extend(self.backlog.rest());
        self.backlog = Backlog::default();
        match &mut self.tls {
            Some(tls) if !self.broken => {
                let used = tls.close(&mut self.partial, &mut self.early, output);
                self.settle_partial(used)
            }
            Some(_) | None => Ok(()),
        }
    }

    fn settle_partial(&mut self, used: Result<usize, rustls::Error>) -> io::Result<()> {
        match used {
            Ok(0) => Ok(()),
            Ok(used) => {
                self.partial.drain(..used.min(self.partial.len()));
                Ok(())
            }
            Err(error) => Err(self.fail(error)),
        }
    }

    fn poll_output(&mut self, cx: &mut Context<'_>, output: &mut Outgoing) -> Poll<io::Result<()>> {
        let taken = write(&mut self.tcp, cx, output.filled())?;
        self.backlog.keep(output.filled().get(taken..).unwrap_or_default());
        output.clear();
        self.settled()
    }

    /// Ready when nothing waits. Otherwise the socket was asked last, and wakes the task.
    fn settled(&self) -> Poll<io::Result<()>> {
        if self.backlog.is_empty() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
}

/// Gives the socket `octets` until it takes no more; how many it took. Less than all: the task will be woken.
fn write(tcp: &mut TcpStream, cx: &mut Context<'_>, octets: &[u8]) -> io::Result<usize> {
    let mut taken = 0;
    while let Some(rest) = octets.get(taken..).filter(|rest| !rest.is_empty()) {
        match Pin::new(&mut *tcp).poll_write(cx, rest) {
            Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
            Poll::Ready(Ok(count)) => taken += count,
            Poll::Ready(Err(error)) => return Err(error),
            Poll::Pending => break,
        }
    }
    Ok(taken)
}

#[cfg(test)]
mod tests;
