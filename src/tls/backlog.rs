/// Octets that a socket has not taken yet. Empty, it owns nothing.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    octets: Vec<u8>,
    sent: usize,
}

impl Backlog {
    pub(super) fn is_empty(&self) -> bool {
        self.octets.is_empty()
    }

    pub(super) fn rest(&self) -> &[u8] {
        self.octets.get(self.sent..).unwrap_or_default()
    }

    pub(super) fn keep(&mut self, more: &[u8]) {
        if more.is_empty() {
            return;
        }
        self.octets.drain(..self.sent);
        self.sent = 0;
        self.octets.extend_from_slice(more);
    }

    pub(super) fn advance(&mut self, count: usize) {
        self.sent += count;
        if self.sent >= self.octets.len() {
            *self = Self::default();
        }
    }

    /// How much memory it owns.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.octets.capacity()
    }
}
