use std::{fmt, sync::Arc};

use rustls::{
    Error, HandshakeKind, ServerConfig,
    server::UnbufferedServerConnection,
    unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus, WriteTraffic},
};

use super::{certificates, client_certificates::thumbprint, worker::Outgoing};

/// What a handshake agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFacts {
    /// `TLSv1.2` or `TLSv1.3`.
    pub version: &'static str,
    /// The cipher suite's registered name.
    pub cipher: &'static str,
    /// Whether an earlier session was resumed.
    pub resumed: bool,
    /// The server name that the client asked for.
    pub sni: Option<Arc<str>>,
    /// SHA-256 of the certificate that the client has shown, where it was asked for one.
    pub certificate: Option<[u8; 32]>,
}

/// The record layer of one connection, without I/O: ciphertext in, plaintext out, and back.
pub(super) struct Records {
    connection: UnbufferedServerConnection,
    sni: Option<Arc<str>>,
    /// The peer said close_notify: nothing behind it counts.
    pub(super) peer_closed: bool,
}

/// How far [`Records::drive`] goes.
enum Goal<'a> {
    /// Until no whole record is left.
    Read,
    /// As [`Goal::Read`], then encrypt these.
    Write(&'a [u8]),
    /// As [`Goal::Read`], then say close_notify.
    Close,
}

/// What a record adds to its plaintext, generously (RFC 8446 §5.2, RFC 5246 §6.2.3).
const RECORD_OVERHEAD: usize = 64;
/// The longest plaintext of a record (RFC 8446 §5.1).
const RECORD_PLAINTEXT: usize = 16 * 1024;
/// Room for messages that rustls puts in front of data, such as its answer to a KeyUpdate.
const AHEAD_OF_DATA: usize = 512;

impl Records {
    pub(super) fn new(config: Arc<ServerConfig>) -> Result<Self, Error> {
        Ok(Self { connection: UnbufferedServerConnection::new(config)?, sni: None, peer_closed: false })
    }

    /// Whether data can flow both ways. Octets of the handshake may still have to be sent.
    pub(super) fn is_established(&self) -> bool {
        !self.connection.is_handshaking()
    }

    /// What the handshake agreed on; `None` before.
    pub(super) fn facts(&self) -> Option<TlsFacts> {
        let version = self.connection.protocol_version()?;
        let suite = self.connection.negotiated_cipher_suite()?.suite();
        Some(TlsFacts {
            version: if version == rustls::ProtocolVersion::TLSv1_3 { "TLSv1.3" } else { "TLSv1.2" },
            cipher: suite.as_str().unwrap_or("unknown"),
            resumed: self.connection.handshake_kind() == Some(HandshakeKind::Resumed),
            sni: self.sni.clone(),
            certificate: self
                .connection
                .peer_certificates()
                .and_then(|chain| chain.first())
                .map(|leaf| thumbprint(leaf)),
        })
    }

    /// Decrypts every whole record of `incoming` in place and appends what it carries to `clear`; what must be sent
    /// in return is appended to `outgoing`. Returns how many octets were used up; the rest must be the start of the
    /// next call's `incoming`.
    ///
    /// # Errors
    /// The peer broke the protocol; `outgoing` then ends with the alert that says so.
    pub(super) fn receive(
        &mut self,
        incoming: &mut [u8],
        clear: &mut Vec<u8>,
        outgoing: &mut Outgoing,
    ) -> Result<usize, Error> {
        let handshaking = !self.is_established();
        if handshaking {
            // What another connection of this thread left there is not this one's.
            drop(certificates::take_sni());
        }
        let used = self.drive(incoming, clear, outgoing, Goal::Read);
        if handshaking && let Some(name) = certificates::take_sni() {
            self.sni = Some(name);
        }
        used
    }

    /// Encrypts `octets` into `outgoing`. `partial` is what [`Records::receive`] has not used up, `clear` takes what
    /// it may still carry.
    pub(super) fn seal(
        &mut self,
        octets: &[u8],
        partial: &mut [u8],
        clear: &mut Vec<u8>,
        outgoing: &mut Outgoing,
    ) -> Result<usize, Error> {
        self.drive(partial, clear, outgoing, Goal::Write(octets))
    }

    /// Appends a close_notify alert to `outgoing`; the other arguments are those of [`Records::seal`].
    pub(super) fn close(
        &mut self,
        partial: &mut [u8],
        clear: &mut Vec<u8>,
        outgoing: &mut Outgoing,
    ) -> Result<usize, Error> {
        self.drive(partial, clear, outgoing, Goal::Close)
    }

    fn drive(
        &mut self,
        incoming: &mut [u8],
        clear: &mut Vec<u8>,
        outgoing: &mut Outgoing,
        goal: Goal<'_>,
    ) -> Result<usize, Error> {
        let mut used = 0;
        loop {
            let rest = incoming.get_mut(used..).unwrap_or_default();
            let UnbufferedStatus { discard, state } = self.connection.process_tls_records(rest);
            used += discard;
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        clear.extend_from_slice(record.payload);
                        used += record.discard;
                    }
                }
                // Never offered (`max_early_data_size` is 0); what comes all the same is thrown away.
                Ok(ConnectionState::ReadEarlyData(mut early)) => {
                    while let Some(record) = early.next_record() {
                        used += record?.discard;
                    }
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => encode(outgoing, |room| data.encode(room))?,
                Ok(ConnectionState::TransmitTlsData(transmit)) => transmit.done(),
                Ok(ConnectionState::PeerClosed) => self.peer_closed = true,
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    return write(&mut traffic, outgoing, &goal).map(|()| used);
                }
                Ok(ConnectionState::BlockedHandshake | ConnectionState::Closed) => {
                    return blocked(&goal).map(|()| used);
                }
                Ok(_) => return Err(Error::General("a state of TLS that is not known".to_owned())),
                Err(error) => {
                    self.alert(incoming.get_mut(used..).unwrap_or_default(), outgoing);
                    return Err(error);
                }
            }
        }
    }

    /// Moves the alert that a failure queued into `outgoing`. It looks at no record again: that would fail again.
    fn alert(&mut self, rest: &mut [u8], outgoing: &mut Outgoing) {
        while self.connection.wants_write() {
            let UnbufferedStatus { state, .. } = self.connection.process_tls_records(rest);
            let Ok(ConnectionState::EncodeTlsData(mut data)) = state else { return };
            if encode(outgoing, |room| data.encode(room)).is_err() {
                return;
            }
        }
    }
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records").field("facts", &self.facts()).finish_non_exhaustive()
    }
}

/// What a goal says to a connection that cannot take data.
fn blocked(goal: &Goal<'_>) -> Result<(), Error> {
    match goal {
        Goal::Read | Goal::Close => Ok(()),
        Goal::Write(_) => Err(Error::HandshakeNotComplete),
    }
}

fn encode(
    outgoing: &mut Outgoing,
    mut into: impl FnMut(&mut [u8]) -> Result<usize, EncodeError>,
) -> Result<(), Error> {
    let mut least = RECORD_OVERHEAD;
    loop {
        match into(outgoing.room(least)) {
            Ok(count) => {
                outgoing.advance(count);
                return Ok(());
            }
            Err(EncodeError::InsufficientSize(needs)) if needs.required_size > least => {
                least = needs.required_size;
            }
            Err(error) => return Err(Error::General(error.to_string())),
        }
    }
}

fn write<Data>(
    traffic: &mut WriteTraffic<'_, Data>,
    outgoing: &mut Outgoing,
    goal: &Goal<'_>,
) -> Result<(), Error> {
    let octets: &[u8] = match goal {
        Goal::Read => return Ok(()),
        Goal::Write(octets) => octets,
        Goal::Close => &[],
    };
    let records = octets.len() / RECORD_PLAINTEXT + 1;
    let mut least = octets.len() + records * RECORD_OVERHEAD + AHEAD_OF_DATA;
    loop {
        let room = outgoing.room(least);
        let written = match goal {
            Goal::Close => traffic.queue_close_notify(room),
            Goal::Read | Goal::Write(_) => traffic.encrypt(octets, room),
        };
        match written {
            Ok(count) => {
                outgoing.advance(count);
                return Ok(());
            }
            Err(EncryptError::InsufficientSize(needs)) if needs.required_size > least => {
                least = needs.required_size;
            }
            Err(error) => return Err(Error::General(error.to_string())),
        }
    }
}
