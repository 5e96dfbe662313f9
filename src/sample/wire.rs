//! One connection: bounded lines and literals in, buffered octets out, nothing waits for ever.

use std::{io, time::Duration};

use bytes::{Buf, BytesMut};
use memchr::memmem;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// How long a peer may stay silent before it has logged in.
const BEFORE_LOGIN: Duration = Duration::from_secs(60);
/// How long afterwards (RFC 3501 §5.4 asks for at least 30 minutes).
const AFTER_LOGIN: Duration = Duration::from_secs(31 * 60);
/// How long the peer may refuse to take a piece of the answer.
const WRITE: Duration = Duration::from_secs(120);
/// Octets of one read, and of one write.
const PIECE: usize = 64 << 10;

/// A connection and its buffers.
pub(super) struct Wire {
    stream: TcpStream,
    input: BytesMut,
    output: Vec<u8>,
    silence: Duration,
}

impl Wire {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, input: BytesMut::new(), output: Vec::new(), silence: BEFORE_LOGIN }
    }

    /// From now on the peer may be silent for as long as a logged-in one may.
    pub(super) fn logged_in(&mut self) {
        self.silence = AFTER_LOGIN;
    }

    /// The next line without its CRLF; `None` when the peer closed. Flushes what waits first. Where
    /// nothing waits to be flushed it may be dropped half-way without losing an octet.
    ///
    /// # Errors
    /// `InvalidData` when the line is longer than `limit`; else what the socket says.
    pub(super) async fn line(&mut self, limit: usize) -> io::Result<Option<Vec<u8>>> {
        self.flush().await?;
        let mut looked_at = 0;
        loop {
            let unseen = self.input.get(looked_at..).unwrap_or_default();
            if let Some(found) = memmem::find(unseen, b"\r\n") {
                let end = looked_at + found;
                if end > limit {
                    return Err(too_long());
                }
                let mut line = self.input.split_to(end + 2);
                line.truncate(end);
                return Ok(Some(line.into()));
            }
            if self.input.len() > limit {
                return Err(too_long());
            }
            looked_at = self.input.len().saturating_sub(1);
            if !self.fill().await? {
                return Ok(None);
            }
        }
    }

    /// Appends exactly `count` octets to `into`.
    ///
    /// # Errors
    /// `UnexpectedEof` when the peer closes before.
    pub(super) async fn exactly(&mut self, mut count: usize, into: &mut Vec<u8>) -> io::Result<()> {
        self.flush().await?;
        loop {
            let ready = count.min(self.input.len());
            into.extend_from_slice(self.input.get(..ready).unwrap_or_default());
            self.input.advance(ready);
            count -= ready;
            if count == 0 {
                return Ok(());
            }
            if !self.fill().await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Whatever has arrived, at least one octet; empty when the peer closed. Give back what belongs to others
    /// by taking only a part with [`Self::consume`].
    pub(super) async fn peek(&mut self) -> io::Result<&[u8]> {
        self.flush().await?;
        if self.input.is_empty() {
            self.fill().await?;
        }
        Ok(&self.input)
    }

    /// Drops the first `count` octets of what [`Self::peek`] showed.
    pub(super) fn consume(&mut self, count: usize) {
        self.input.advance(count.min(self.input.len()));
    }

    /// Queues text.
    pub(super) fn say(&mut self, text: &str) {
        self.output.extend_from_slice(text.as_bytes());
    }

    /// Queues octets, and sends when enough have gathered.
    pub(super) async fn send(&mut self, octets: &[u8]) -> io::Result<()> {
        if self.output.len() + octets.len() <= PIECE {
            self.output.extend_from_slice(octets);
            return Ok(());
        }
        self.flush().await?;
        for piece in octets.chunks(PIECE) {
            timeout(WRITE, self.stream.write_all(piece)).await??;
        }
        Ok(())
    }

    /// Sends what waits.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        if !self.output.is_empty() {
            timeout(WRITE, self.stream.write_all(&self.output)).await??;
            self.output = Vec::new();
        }
        Ok(())
    }

    /// Sends what waits and closes the sending side.
    pub(super) async fn close(mut self) -> io::Result<()> {
        self.flush().await?;
        self.stream.shutdown().await
    }

    /// Reads more; `false` when the peer closed.
    async fn fill(&mut self) -> io::Result<bool> {
        if self.input.is_empty() {
            // An idle connection owns no buffer.
            self.input = BytesMut::new();
            timeout(self.silence, self.stream.readable()).await??;
        }
        self.input.reserve(PIECE);
        Ok(timeout(self.silence, self.stream.read_buf(&mut self.input)).await?? > 0)
    }
}

/// Whether a line was longer than allowed.
pub(super) fn is_too_long(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::InvalidData
}

fn too_long() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "line too long")
}
