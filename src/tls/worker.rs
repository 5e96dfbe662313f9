use std::cell::Cell;

use zeroize::Zeroize;

/// Buffers that belong to a worker thread and are lent for the length of one poll, so that an idle session owns none.
#[derive(Debug)]
pub struct Worker {
    /// What is read from a socket. Its length never changes.
    pub input: Vec<u8>,
    /// Octets in clear, gathered from records.
    pub clear: Vec<u8>,
    /// What a guard let through.
    pub passed: Vec<u8>,
    /// Octets for a socket.
    pub output: Outgoing,
    /// How much of `input` the last read wrote to.
    pub(super) touched: usize,
}

thread_local! {
    static IDLE: Cell<Option<Box<Worker>>> = const { Cell::new(None) };
}

impl Worker {
    /// Most octets taken from a socket at once: what a session may come to own when its other side takes nothing.
    pub const READ: usize = 64 * 1024;
    /// Room in front of a read for the part of a record that the session kept.
    pub const PARTIAL: usize = 32 * 1024;

    /// Lends this thread's buffers to `work`. A nested call gets buffers of its own.
    pub fn lend<T>(work: impl FnOnce(&mut Self) -> T) -> T {
        let mut worker = IDLE.take().unwrap_or_else(|| Box::new(Self::new()));
        let done = work(&mut worker);
        worker.clear.clear();
        worker.passed.clear();
        worker.output.clear();
        IDLE.set(Some(worker));
        done
    }

    /// Wipes what was read: before login, credentials pass through these buffers.
    pub(super) fn wipe(&mut self) {
        self.clear.zeroize();
        self.input.get_mut(..self.touched).unwrap_or_default().zeroize();
        self.touched = 0;
    }

    fn new() -> Self {
        Self {
            input: vec![0; Self::PARTIAL + Self::READ],
            clear: Vec::with_capacity(Self::READ),
            passed: Vec::new(),
            output: Outgoing::default(),
            touched: 0,
        }
    }
}

/// Octets on their way to a socket, in a buffer that is not cleared between uses: filling it costs no `memset`.
#[derive(Debug, Default)]
pub struct Outgoing {
    octets: Vec<u8>,
    filled: usize,
}

impl Outgoing {
    /// What was written.
    pub fn filled(&self) -> &[u8] {
        self.octets.get(..self.filled).unwrap_or_default()
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// Forgets what was written.
    pub fn clear(&mut self) {
        self.filled = 0;
    }

    /// Appends `octets`.
    pub fn extend(&mut self, octets: &[u8]) {
        let room = self.room(octets.len());
        if let Some(front) = room.get_mut(..octets.len()) {
            front.copy_from_slice(octets);
        }
        self.advance(octets.len());
    }

    /// At least `least` octets behind what was written.
    pub(super) fn room(&mut self, least: usize) -> &mut [u8] {
        let needed = self.filled + least;
        if self.octets.len() < needed {
            self.octets.resize(needed, 0);
        }
        self.octets.get_mut(self.filled..).unwrap_or_default()
    }

    /// Says that `count` octets of the room were written.
    pub(super) fn advance(&mut self, count: usize) {
        self.filled = (self.filled + count).min(self.octets.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nested_loan_gets_its_own_buffers_and_both_come_back_empty() {
        Worker::lend(|outer| {
            outer.output.extend(b"outer");
            Worker::lend(|inner| {
                assert!(inner.output.is_empty());
                inner.output.extend(b"inner");
            });
            assert_eq!(outer.output.filled(), b"outer");
        });
        Worker::lend(|again| assert!(again.output.is_empty() && again.clear.is_empty()));
    }
}
