use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

use super::{EndReason, Switch};
use crate::{
    proto::Guard,
    tls::{MailStream, UpstreamStream, Worker},
};

/// Silence after which a session is ended of which one direction has ended: a client may wait for a long answer to
/// its last command, or be slow to take what is left.
const HALF_OPEN: Duration = Duration::from_secs(60);
/// The same when the client has got all that the mail server will ever say.
const NOBODY_ANSWERS: Duration = Duration::from_secs(5);
/// Time for the last octets to a client when a session is ended. It may take no more: a kill is done in a second.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// Turns of both directions before other sessions of the worker get theirs.
const TURNS: usize = 8;

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayEnd {
    /// Why.
    pub reason: EndReason,
    /// Octets that went to the mail server.
    pub up: u64,
    /// Octets that went to the client.
    pub down: u64,
}

/// A session after its login, as a future; see [`relay`].
#[must_use = "a relay does nothing unless it is polled"]
pub struct Relay {
    client: MailStream,
    upstream: UpstreamStream,
    guard: Option<Box<dyn Guard>>,
    switch: Arc<Switch>,
    goodbye: fn(EndReason) -> &'static [u8],
    /// What the mail server did not take yet.
    waiting: Vec<u8>,
    /// What the guard did not take yet.
    held: Vec<u8>,
    /// What the mail server said behind its answer to the login.
    leftover: Vec<u8>,
    up: Direction,
    down: Direction,
    /// The mail server said something since the guard last refused to take more.
    server_moved: bool,
    /// The TLS of the mail server's connection may hold octets back.
    unflushed: bool,
    /// The last octet for the client ended a line.
    at_line_border: bool,
    reason: Option<EndReason>,
    /// Nothing is relayed any more; the client gets its last octets.
    closing: bool,
    /// Runs once a direction has ended.
    deadline: Option<Pin<Box<Sleep>>>,
}

/// One direction of a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Open,
    /// Its source has ended; what is left goes out, then the end itself.
    Ending,
    Closed,
}

/// What a turn of one direction achieved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// Something; another turn may achieve more.
    Moved,
    /// Nothing, until the task is woken or the other direction moves.
    Waits,
}

/// Relays between a client and a logged-in mail server until both have ended or the switch is thrown.
///
/// `first` are the client's octets that came behind its login, `to_client` the mail server's behind its answer. Both
/// directions pass `guard` where there is one. Where the session is ended from here, and the client is between two
/// lines, it gets what `goodbye` says before close_notify and FIN.
///
/// The future is a few hundred octets (a test holds it below 512) and owns nothing else while the session is idle.
pub fn relay(
    client: MailStream,
    upstream: UpstreamStream,
    first: Vec<u8>,
    to_client: Vec<u8>,
    guard: Option<Box<dyn Guard>>,
    switch: Arc<Switch>,
    goodbye: fn(EndReason) -> &'static [u8],
) -> Relay {
    let (waiting, held) = if guard.is_some() { (Vec::new(), first) } else { (first, Vec::new()) };
    switch.count_up(waiting.len());
    Relay {
        client,
        upstream,
        guard,
        switch,
        goodbye,
        waiting,
        held,
        leftover: to_client,
        up: Direction::Open,
        down: Direction::Open,
        server_moved: true,
        unflushed: true,
        at_line_border: true,
        reason: None,
        closing: false,
        deadline: None,
    }
}

impl Future for Relay {
    type Output = RelayEnd;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<RelayEnd> {
        let relay = self.get_mut();
        relay.switch.register(cx.waker());
        if !relay.closing {
            match relay.poll_relaying(cx) {
                Poll::Ready(Ok(())) => return Poll::Ready(relay.end()),
                Poll::Ready(Err(reason)) => relay.begin_closing(cx, reason),
                Poll::Pending => return Poll::Pending,
            }
        }
        ready!(relay.poll_closing(cx));
        Poll::Ready(relay.end())
    }
}

impl Relay {
    /// `Ok`: both directions have ended by themselves. `Err`: the session must be closed.
    fn poll_relaying(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), EndReason>> {
        Worker::lend(|worker| {
            for _ in 0..TURNS {
                if let Some(reason) = self.switch.killed() {
                    return Poll::Ready(Err(reason));
                }
                // The mail server first: what it says may be what a guard waits for.
                let down = self.turn_down(cx, worker)?;
                let up = self.turn_up(cx, worker)?;
                if self.up == Direction::Closed && self.down == Direction::Closed {
                    return Poll::Ready(Ok(()));
                }
                if (down, up) == (Turn::Waits, Turn::Waits) {
                    return self.poll_silence(cx).map(Err);
                }
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
    }

    /// From the client to the mail server.
    fn turn_up(&mut self, cx: &mut Context<'_>, worker: &mut Worker) -> Result<Turn, EndReason> {
        if self.up == Direction::Closed {
            return Ok(Turn::Waits);
        }
        match self.poll_drained(cx) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_)) => return Ok(self.lose_server()),
            Poll::Pending => return Ok(Turn::Waits),
        }
        if !self.held.is_empty() {
            if !self.server_moved {
                return Ok(Turn::Waits);
            }
            worker.clear.clear();
            worker.clear.append(&mut self.held);
            return self.pass_up(cx, worker);
        }
        if self.up == Direction::Ending {
            return Ok(match Pin::new(&mut self.upstream).poll_shutdown(cx) {
                Poll::Ready(_) => {
                    self.up = Direction::Closed;
                    Turn::Moved
                }
                Poll::Pending => Turn::Waits,
            });
        }
        worker.clear.clear();
        match self.client.poll_receive(cx, worker, Worker::READ) {
            Poll::Ready(Ok(0)) => {
                self.up = Direction::Ending;
                self.first_end(EndReason::ClientClosed);
                Ok(Turn::Moved)
            }
            Poll::Ready(Ok(_)) => self.pass_up(cx, worker),
            Poll::Ready(Err(_)) => Err(EndReason::ClientIo),
            Poll::Pending => Ok(Turn::Waits),
        }
    }

    /// Gives the client's octets in `worker.clear` to the guard, and what passes to the mail server.
    fn pass_up(&mut self, cx: &mut Context<'_>, worker: &mut Worker) -> Result<Turn, EndReason> {
        let Worker { clear, passed, .. } = worker;
        let octets: &[u8] = match &mut self.guard {
            None => clear,
            Some(guard) => {
                passed.clear();
                let taken = guard.client(clear, passed).map_err(|_| EndReason::GuardViolation)?;
                self.held = clear.get(taken..).unwrap_or_default().to_vec();
                self.server_moved = false;
                passed
            }
        };
        self.switch.count_up(octets.len());
        match write_upstream(&mut self.upstream, cx, octets) {
            Ok(taken) => self.waiting.extend_from_slice(octets.get(taken..).unwrap_or_default()),
            Err(_) => return Ok(self.lose_server()),
        }
        self.unflushed = true;
        Ok(Turn::Moved)
    }

    /// Whether the mail server has taken everything that was let through.
    fn poll_drained(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.waiting.is_empty() {
            let taken = write_upstream(&mut self.upstream, cx, &self.waiting)?;
            if taken < self.waiting.len() {
                self.waiting.drain(..taken);
                return Poll::Pending;
            }
            self.waiting = Vec::new();
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.upstream).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// From the mail server to the client.
    fn turn_down(&mut self, cx: &mut Context<'_>, worker: &mut Worker) -> Result<Turn, EndReason> {
        if self.down == Direction::Closed {
            return Ok(Turn::Waits);
        }
        match self.client.poll_flush(cx) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_)) => return Err(EndReason::ClientIo),
            Poll::Pending => return Ok(Turn::Waits),
        }
        if self.down == Direction::Ending {
            return match self.client.poll_close(cx, &mut worker.output) {
                Poll::Ready(_) => {
                    self.down = Direction::Closed;
                    self.deadline = None;
                    Ok(Turn::Moved)
                }
                Poll::Pending => Ok(Turn::Waits),
            };
        }
        let read = self.read_upstream(cx, worker);
        if read == 0 {
            return Ok(if self.down == Direction::Ending { Turn::Moved } else { Turn::Waits });
        }
        self.pass_down(cx, worker, read)
    }

    /// Fills `worker.input` from the mail server: what it had said behind the login, or what is there now. The end
    /// of its direction is noted.
    fn read_upstream(&mut self, cx: &mut Context<'_>, worker: &mut Worker) -> usize {
        let mut filled = self.leftover.len().min(Worker::READ);
        if filled > 0 {
            let rest = self.leftover.split_off(filled);
            if let Some(front) = worker.input.get_mut(..filled) {
                front.copy_from_slice(&self.leftover);
            }
            self.leftover = rest;
            return filled;
        }
        // TLS gives a record at a time; together they make fewer writes.
        while let Some(room) = worker.input.get_mut(filled..Worker::READ).filter(|room| !room.is_empty()) {
            let mut buffer = ReadBuf::new(room);
            match Pin::new(&mut self.upstream).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => filled += buffer.filled().len(),
                Poll::Ready(ended) => {
                    self.down = Direction::Ending;
                    let is_end =
                        ended.is_ok() || ended.is_err_and(|e| e.kind() == io::ErrorKind::UnexpectedEof);
                    self.first_end(if is_end { EndReason::ServerClosed } else { EndReason::ServerIo });
                    break;
                }
                Poll::Pending => break,
            }
        }
        filled
    }

    /// Gives the mail server's octets in `worker.input` to the guard, and what passes to the client.
    fn pass_down(
        &mut self,
        cx: &mut Context<'_>,
        worker: &mut Worker,
        read: usize,
    ) -> Result<Turn, EndReason> {
        let Worker { input, clear, output, .. } = worker;
        let said = input.get(..read).unwrap_or_default();
        let octets: &[u8] = match &mut self.guard {
            None => said,
            Some(guard) => {
                clear.clear();
                guard.server(said, clear).map_err(|_| EndReason::GuardViolation)?;
                self.server_moved = true;
                clear
            }
        };
        self.switch.count_down(octets.len());
        let Some(last) = octets.last() else { return Ok(Turn::Moved) };
        self.at_line_border = *last == b'\n';
        match self.client.poll_send(cx, octets, output) {
            Poll::Ready(Err(_)) => Err(EndReason::ClientIo),
            Poll::Ready(Ok(())) | Poll::Pending => Ok(Turn::Moved),
        }
    }

    /// The mail server takes nothing any more. What it has said is still the client's.
    fn lose_server(&mut self) -> Turn {
        self.first_end(EndReason::ServerIo);
        self.up = Direction::Closed;
        self.waiting = Vec::new();
        self.held = Vec::new();
        Turn::Moved
    }

    /// Once a direction has ended: ready when the other has been silent for too long.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<EndReason> {
        let Some(reason) = self.reason else { return Poll::Pending };
        let bound = if self.down == Direction::Closed { NOBODY_ANSWERS } else { HALF_OPEN };
        loop {
            let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + bound)));
            ready!(deadline.as_mut().poll(cx));
            let silent = self.switch.idle();
            if silent >= bound {
                return Poll::Ready(reason);
            }
            deadline.as_mut().reset(Instant::now() + (bound - silent));
        }
    }

    /// Notes why the session ends; the first reason counts.
    fn first_end(&mut self, reason: EndReason) {
        self.reason.get_or_insert(reason);
    }

    fn begin_closing(&mut self, cx: &mut Context<'_>, reason: EndReason) {
        self.closing = true;
        // What is decided here outranks an end that a peer had only begun.
        self.reason = if reason.is_ours() { Some(reason) } else { self.reason.or(Some(reason)) };
        // An unfinished message dies with the connection. Whether the mail server hears a goodbye is its concern.
        let _ = Pin::new(&mut self.upstream).poll_shutdown(cx);
        let at_border = self.guard.as_ref().map_or(self.at_line_border, |guard| guard.at_line_border());
        if reason.is_ours() && at_border && self.down == Direction::Open {
            let guard = self.guard.as_ref().filter(|_| reason == EndReason::GuardViolation);
            let last_words = guard.and_then(|guard| guard.last_words());
            let goodbye = last_words.unwrap_or_else(|| (self.goodbye)(reason));
            let _ = Worker::lend(|worker| self.client.poll_send(cx, goodbye, &mut worker.output));
        }
        self.waiting = Vec::new();
        self.held = Vec::new();
        self.deadline = Some(Box::pin(sleep_until(Instant::now() + LAST_WORDS)));
    }

    /// Ready when the client has got its last octets and ended too, or when time is up.
    fn poll_closing(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.deadline.as_mut().is_none_or(|deadline| deadline.as_mut().poll(cx).is_ready()) {
            return Poll::Ready(());
        }
        Worker::lend(|worker| {
            if ready!(self.client.poll_close(cx, &mut worker.output)).is_err() {
                return Poll::Ready(());
            }
            // Closing a socket with unread octets in it resets the connection, and the reset may overtake the
            // goodbye. So they are read, and thrown away.
            loop {
                worker.clear.clear();
                match ready!(self.client.poll_receive(cx, worker, Worker::READ)) {
                    Ok(0) | Err(_) => return Poll::Ready(()),
                    Ok(_) => {}
                }
            }
        })
    }

    fn end(&self) -> RelayEnd {
        RelayEnd {
            reason: self.reason.unwrap_or(EndReason::ClientClosed),
            up: self.switch.up(),
            down: self.switch.down(),
        }
    }
}

/// Gives the mail server `octets` until it takes no more; how many it took.
fn write_upstream(upstream: &mut UpstreamStream, cx: &mut Context<'_>, octets: &[u8]) -> io::Result<usize> {
    let mut taken = 0;
    while let Some(rest) = octets.get(taken..).filter(|rest| !rest.is_empty()) {
        match Pin::new(&mut *upstream).poll_write(cx, rest) {
            Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
            Poll::Ready(Ok(count)) => taken += count,
            Poll::Ready(Err(error)) => return Err(error),
            Poll::Pending => break,
        }
    }
    Ok(taken)
}
