//! A mail server that knows no protocol: it sends the octets it was given, when it was told to, and records every
//! octet that it gets.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// What it does next on a connection.
#[derive(Clone)]
pub(crate) enum Act {
    /// Ends both directions.
    Close,
    /// Waits for this gate, while it goes on recording.
    Gate(Gate),
    /// Waits so long, while it goes on recording.
    Pause(Duration),
    /// Sends octets.
    Send(Vec<u8>),
    /// Does a TLS handshake as the server.
    Tls(Arc<ServerConfig>),
    /// Waits until the octets that came since the last such wait hold these.
    Until(Vec<u8>),
}

/// `Send` of a text.
pub(crate) fn send(text: &str) -> Act {
    Act::Send(text.as_bytes().to_vec())
}

/// `Until` of a text.
pub(crate) fn until(text: &str) -> Act {
    Act::Until(text.as_bytes().to_vec())
}

/// Opened once, by the test.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub(crate) fn open(&self) {
        *self.0.0.lock().expect("gate") = true;
        self.0.1.notify_all();
    }

    fn is_open(&self) -> bool {
        *self.0.0.lock().expect("gate")
    }
}

/// What one connection has seen.
#[derive(Clone, Default)]
pub(crate) struct Record {
    pub(crate) received: Vec<u8>,
    /// The peer's direction has ended.
    pub(crate) ended: bool,
}

impl Record {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.received).into_owned()
    }
}

#[derive(Default)]
struct Shared {
    script: Mutex<Vec<Act>>,
    records: Mutex<Vec<Record>>,
}

/// The server; it accepts until the test ends.
pub(crate) struct Upstream {
    port: u16,
    shared: Arc<Shared>,
}

enum Wire {
    Clear(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(10);
const STEP: Duration = Duration::from_millis(10);

impl Upstream {
    /// Plays `script` on each connection.
    pub(crate) fn start(script: Vec<Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("address").port();
        let shared = Arc::new(Shared { script: Mutex::new(script), ..Shared::default() });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for tcp in listener.incoming().flatten() {
                let shared = Arc::clone(&accepting);
                std::thread::spawn(move || shared.play(tcp));
            }
        });
        Self { port, shared }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Plays another script on the connections to come.
    pub(crate) fn play(&self, script: Vec<Act>) {
        *self.shared.script.lock().expect("script") = script;
    }

    /// How many connections there were.
    pub(crate) fn connections(&self) -> usize {
        self.shared.records().len()
    }

    /// How many connections got these octets.
    pub(crate) fn count(&self, needle: &str) -> usize {
        self.shared.records().iter().filter(|record| holds(&record.received, needle.as_bytes())).count()
    }

    /// The latest connection that got these octets, as soon as there is one.
    pub(crate) fn got(&self, needle: &str) -> Record {
        self.find(needle, |record| holds(&record.received, needle.as_bytes()))
    }

    /// The same, once its peer has ended.
    pub(crate) fn ended(&self, needle: &str) -> Record {
        self.find(needle, |record| record.ended && holds(&record.received, needle.as_bytes()))
    }

    fn find(&self, needle: &str, wanted: impl Fn(&Record) -> bool) -> Record {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(record) = self.shared.records().iter().rev().find(|record| wanted(record)) {
                return record.clone();
            }
            if Instant::now() > deadline {
                let seen: Vec<(String, bool)> =
                    self.shared.records().iter().map(|record| (record.text(), record.ended)).collect();
                panic!("no such connection with {needle:?}, but {seen:#?}");
            }
            super::wait(STEP);
        }
    }
}

impl Shared {
    fn records(&self) -> MutexGuard<'_, Vec<Record>> {
        self.records.lock().expect("records")
    }

    fn play(&self, tcp: TcpStream) {
        let script = self.script.lock().expect("script").clone();
        tcp.set_read_timeout(Some(STEP)).expect("time limit");
        tcp.set_nodelay(true).expect("no delay");
        let number = {
            let mut records = self.records();
            records.push(Record::default());
            records.len() - 1
        };
        let mut wire = Wire::Clear(tcp);
        let mut heard = 0;
        for act in script {
            match act {
                Act::Close => return wire.close(),
                Act::Gate(gate) => {
                    while !gate.is_open() {
                        if !self.record(number, &mut wire) {
                            super::wait(STEP);
                        }
                    }
                }
                Act::Pause(time) => {
                    let end = Instant::now() + time;
                    while Instant::now() < end {
                        if !self.record(number, &mut wire) {
                            super::wait(STEP);
                        }
                    }
                }
                Act::Send(octets) => {
                    if wire.write(&octets).is_err() {
                        break;
                    }
                }
                Act::Tls(config) => match wire {
                    Wire::Clear(tcp) => {
                        let connection = ServerConnection::new(config).expect("TLS");
                        wire = Wire::Tls(Box::new(StreamOwned::new(connection, tcp)));
                    }
                    Wire::Tls(_) => panic!("encrypted already"),
                },
                Act::Until(needle) => loop {
                    if let Some(end) = self.end_of(number, heard, &needle) {
                        heard = end;
                        break;
                    }
                    if !self.record(number, &mut wire) {
                        return;
                    }
                },
            }
        }
        while self.record(number, &mut wire) {}
    }

    fn end_of(&self, number: usize, from: usize, needle: &[u8]) -> Option<usize> {
        let records = self.records();
        let fresh = &records[number].received[from..];
        let at = fresh.windows(needle.len()).position(|window| window == needle)?;
        Some(from + at + needle.len())
    }

    /// Records what comes within a moment; false once the peer has ended.
    fn record(&self, number: usize, wire: &mut Wire) -> bool {
        let mut chunk = [0; 4096];
        match wire.read(&mut chunk) {
            Ok(0) => {}
            Ok(count) => {
                self.records()[number].received.extend_from_slice(&chunk[..count]);
                return true;
            }
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                ) =>
            {
                return true;
            }
            Err(_) => {}
        }
        self.records()[number].ended = true;
        false
    }
}

impl Wire {
    fn read(&mut self, chunk: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Clear(tcp) => tcp.read(chunk),
            Self::Tls(tls) => tls.read(chunk),
        }
    }

    fn write(&mut self, octets: &[u8]) -> std::io::Result<()> {
        match self {
            Self::Clear(tcp) => tcp.write_all(octets),
            Self::Tls(tls) => {
                // The handshake reads too, with the socket's time limit.
                tls.sock.set_read_timeout(Some(PATIENCE))?;
                let result = tls.write_all(octets).and_then(|()| tls.flush());
                tls.sock.set_read_timeout(Some(STEP))?;
                result
            }
        }
    }

    fn close(self) {
        let tcp = match self {
            Self::Clear(tcp) => tcp,
            Self::Tls(mut tls) => {
                tls.conn.send_close_notify();
                let _ = tls.flush();
                tls.sock
            }
        };
        let _ = tcp.shutdown(Shutdown::Both);
    }
}

fn holds(octets: &[u8], needle: &[u8]) -> bool {
    needle.is_empty() || octets.windows(needle.len()).any(|window| window == needle)
}

/// The script of a server that takes any PLAIN login of `protocol`, up to its answer to the login.
pub(crate) fn before_login(protocol: &str) -> Vec<Act> {
    match protocol {
        "imap" => vec![
            send("* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] hello\r\n"),
            until("L AUTHENTICATE PLAIN "),
            until("\r\n"),
        ],
        "pop3" => vec![
            send("+OK hello\r\n"),
            until("CAPA\r\n"),
            send("+OK\r\nSASL PLAIN\r\nUIDL\r\n.\r\n"),
            until("AUTH PLAIN "),
            until("\r\n"),
        ],
        "sieve" => vec![
            send("\"SIEVE\" \"fileinto\"\r\n\"SASL\" \"PLAIN\"\r\nOK\r\n"),
            until("AUTHENTICATE \"PLAIN\" "),
            until("\r\n"),
        ],
        _ => vec![
            send("220 hello\r\n"),
            until("EHLO "),
            until("\r\n"),
            send("250-hello\r\n250-PIPELINING\r\n250 AUTH PLAIN\r\n"),
            until("AUTH PLAIN "),
            until("\r\n"),
        ],
    }
}

/// What such a server says when it takes the login.
pub(crate) fn login_taken(protocol: &str) -> Vec<Act> {
    match protocol {
        "imap" => vec![send("L OK [CAPABILITY IMAP4rev1 IDLE] welcome\r\n")],
        "pop3" => vec![send("+OK welcome\r\n")],
        "sieve" => vec![send("OK\r\n")],
        _ => vec![
            send("235 2.7.0 welcome\r\n"),
            until("EHLO "),
            until("\r\n"),
            send("250-hello\r\n250 PIPELINING\r\n"),
        ],
    }
}

/// A server that answers the login with `answer`.
pub(crate) fn answering(protocol: &str, answer: &str) -> Vec<Act> {
    [before_login(protocol), vec![send(answer)]].concat()
}

/// A server that takes the login, and then does `more`.
pub(crate) fn taking(protocol: &str, more: Vec<Act>) -> Vec<Act> {
    [before_login(protocol), login_taken(protocol), more].concat()
}
