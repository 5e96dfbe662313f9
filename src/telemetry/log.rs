use std::{
    io::{self, IsTerminal, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, Receiver, SyncSender, TrySendError},
    },
    thread,
    time::{Duration, Instant},
};

use thiserror::Error;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::{FilterExt, filter_fn},
    fmt::MakeWriter,
    layer::SubscriberExt,
    registry::LookupSpan,
    util::SubscriberInitExt,
};

use super::{Config, Format};

/// Lines that may wait for a slow standard error; some 2 MB of text.
const QUEUE: usize = 8192;
/// How long the end of the process waits for the last lines.
const FLUSH: Duration = Duration::from_secs(1);

const LOST: &str = "log lines were lost, the log is read too slowly";

/// The log cannot be set up.
#[derive(Debug, Error)]
pub enum LogError {
    /// The filter cannot be read.
    #[error(
        "telemetry.log = {filter:?} is no log filter; write a level (error, warn, info, debug, trace) or directives such as \"info,bearward::session=debug\""
    )]
    Filter {
        /// The filter as written.
        filter: String,
    },
    /// Another log was set up before in this process.
    #[error("the log is already set up in this process")]
    Twice,
    /// The thread that writes cannot be started.
    #[error("the log's thread cannot be started: {0}")]
    Thread(#[from] io::Error),
}

/// Keeps the log alive; dropping it writes what is queued, waiting a second at most.
#[derive(Debug)]
#[must_use = "dropping it ends the log"]
pub struct LogGuard {
    lines: SyncSender<Message>,
    done: Receiver<()>,
}

/// Sets up the log of this process on standard error.
///
/// A bare level holds for Bearward's own events; libraries then speak from `warn` up. However the filter reads,
/// libraries are never logged below `info`: their debug lines print whole buffers, and with them secrets.
///
/// # Errors
/// [`LogError`] for an unreadable filter, a second call, or a thread that cannot start.
pub fn init(config: &Config) -> Result<LogGuard, LogError> {
    let filter = parse_filter(&config.log)?;
    let (writer, guard) = spawn_writer(io::stderr(), config.format)?;
    let colour = io::stderr().is_terminal();
    tracing_subscriber::registry()
        .with(layer(filter, config.format, colour, writer))
        .try_init()
        .map_err(|_| LogError::Twice)?;
    Ok(guard)
}

fn parse_filter(text: &str) -> Result<EnvFilter, LogError> {
    let bare_level = text.trim().parse::<Level>();
    let directives = match bare_level {
        Ok(level) => format!("{},bearward={level}", level.min(Level::WARN)),
        Err(_) => text.to_owned(),
    };
    EnvFilter::try_new(directives).map_err(|_| LogError::Filter { filter: text.to_owned() })
}

fn layer<S, W>(filter: EnvFilter, format: Format, colour: bool, writer: W) -> impl Layer<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(colour);
    let lines: Box<dyn Layer<S> + Send + Sync> = match format {
        Format::Json => {
            lines.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed()
        }
        Format::Text => lines.boxed(),
    };
    lines.with_filter(filter.and(filter_fn(is_no_library_chatter)))
}

fn is_no_library_chatter(event: &Metadata<'_>) -> bool {
    let own = event.target() == "bearward" || event.target().starts_with("bearward::");
    own || *event.level() <= Level::INFO
}

enum Message {
    Line(Vec<u8>),
    Stop,
}

/// Takes whole lines and queues them; never waits.
#[derive(Clone)]
struct Queue {
    lines: SyncSender<Message>,
    lost: Arc<AtomicU64>,
}

impl Write for Queue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if let Err(TrySendError::Full(_)) = self.lines.try_send(Message::Line(line.to_vec())) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'writer> MakeWriter<'writer> for Queue {
    type Writer = Self;

    fn make_writer(&'writer self) -> Self {
        self.clone()
    }
}

fn spawn_writer(mut out: impl Write + Send + 'static, format: Format) -> io::Result<(Queue, LogGuard)> {
    let (lines, queued) = mpsc::sync_channel(QUEUE);
    let (finished, done) = mpsc::sync_channel(1);
    let lost = Arc::new(AtomicU64::new(0));
    let queue = Queue { lines: lines.clone(), lost: Arc::clone(&lost) };
    thread::Builder::new().name("log".into()).spawn(move || {
        while let Ok(Message::Line(line)) = queued.recv() {
            // A closed standard error must not end the server; there is nobody left to tell.
            let _ = out.write_all(&line);
            let lost = lost.swap(0, Ordering::Relaxed);
            if lost > 0 {
                let _ = match format {
                    Format::Json => writeln!(out, r#"{{"level":"WARN","message":"{LOST}","lost":{lost}}}"#),
                    Format::Text => writeln!(out, "WARN bearward: {LOST} lost={lost}"),
                };
            }
        }
        let _ = out.flush();
        let _ = finished.send(());
    })?;
    Ok((queue, LogGuard { lines, done }))
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        let deadline = Instant::now() + FLUSH;
        while let Err(TrySendError::Full(_)) = self.lines.try_send(Message::Stop) {
            let step = Duration::from_millis(5);
            if Instant::now() >= deadline || self.done.recv_timeout(step).is_ok() {
                return;
            }
        }
        let _ = self.done.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::{
        model::{Mechanism, Outcome, Protocol, SessionId},
        telemetry::SignIn,
    };

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(line);
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'writer> MakeWriter<'writer> for Page {
        type Writer = Self;

        fn make_writer(&'writer self) -> Self {
            self.clone()
        }
    }

    fn logged(filter: &str, format: Format, events: impl FnOnce()) -> String {
        let page = Page::default();
        let log = layer(parse_filter(filter).unwrap(), format, false, page.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(log), events);
        let octets = page.0.lock().unwrap().clone();
        String::from_utf8(octets).unwrap()
    }

    fn sign_in<'a>(user: &'a str, detail: Option<&'a str>, outcome: Outcome) -> SignIn<'a> {
        SignIn {
            session: SessionId::new(0x2a),
            protocol: Protocol::Imap,
            mechanism: Some(Mechanism::XOAuth2),
            user: Some(user),
            client_id: Some("open"),
            issuer: Some("https://mail.example.org"),
            backend: None,
            client_ip: "192.0.2.7".parse().unwrap(),
            outcome,
            duration: Duration::from_millis(12),
            detail,
        }
    }

    #[test]
    fn a_sign_in_is_one_json_object_with_every_known_field() {
        let line = logged("info", Format::Json, || sign_in("alice@example.org", None, Outcome::Ok).emit());
        assert_eq!(line.lines().count(), 1);
        let mut event: serde_json::Value = serde_json::from_str(&line).unwrap();
        event.as_object_mut().unwrap().remove("timestamp").unwrap();
        let expected = serde_json::json!({
            "level": "INFO", "target": "bearward::sign_in", "message": "sign-in",
            "session": "000000000000002a", "protocol": "imap", "mechanism": "XOAUTH2",
            "user": "alice@example.org", "client_id": "open", "issuer": "https://mail.example.org",
            "client_ip": "192.0.2.7", "outcome": "ok", "duration_ms": 12,
        });
        assert_eq!(event, expected);
    }

    #[test]
    fn a_name_with_line_ends_forges_no_line() {
        let name = "mallory\r\n2026-01-01T00:00:00Z  INFO bearward::sign_in: sign-in outcome=\"ok\"\u{2028}\u{85}\u{1b}[2K";
        for format in [Format::Text, Format::Json] {
            let log = logged("info", format, || sign_in(name, Some(name), Outcome::InvalidToken).emit());
            assert_eq!(log.matches('\n').count(), 1, "{log}");
            assert!(log.ends_with('\n'));
            let line = log.trim_end_matches('\n');
            assert!(!line.contains(|c: char| c.is_control() || c == '\u{2028}'), "{line:?}");
            assert!(!line.contains(r#" outcome="ok""#), "{line}");
        }
    }

    #[test]
    fn a_name_of_ten_kilobytes_makes_no_line_of_ten_kilobytes() {
        let name = "\r".repeat(10 * 1024);
        let long = "x".repeat(10 * 1024);
        for format in [Format::Text, Format::Json] {
            let log = logged("info", format, || sign_in(&name, Some(&long), Outcome::InvalidToken).emit());
            assert_eq!(log.matches('\n').count(), 1);
            assert!(log.len() < 6 * 1024, "{}", log.len());
        }
    }

    #[test]
    fn a_fault_behind_bearward_is_a_warning() {
        let log = logged("warn", Format::Text, || {
            sign_in("a", None, Outcome::Ok).emit();
            sign_in("b", None, Outcome::BackendUnreachable).emit();
        });
        assert_eq!(log.lines().count(), 1);
        assert!(log.contains("backend_unreachable"));
    }

    #[test]
    fn a_bare_level_holds_for_bearward_and_keeps_libraries_quiet() {
        let log = logged("debug", Format::Text, || {
            tracing::debug!(target: "bearward::session", "ours");
            tracing::info!(target: "h2::codec", "theirs");
            tracing::warn!(target: "h2::codec", "their warning");
            tracing::error!(target: "bearwardish", "not ours but an error");
        });
        assert_eq!(log.lines().count(), 3, "{log}");
        assert!(!log.contains("theirs"));
    }

    #[test]
    fn no_filter_makes_a_library_print_its_buffers() {
        let log = logged("trace,h2=trace", Format::Text, || {
            tracing::debug!(target: "h2::codec", "authorization: Bearer secret");
            tracing::info!(target: "h2::codec", "fine");
        });
        assert_eq!(log.lines().count(), 1, "{log}");
        assert!(!log.contains("secret"));
    }

    #[test]
    fn a_bad_filter_is_named() {
        let error = parse_filter("loud,=,").unwrap_err();
        assert!(error.to_string().starts_with("telemetry.log = \"loud,=,\" is no log filter"), "{error}");
    }

    #[test]
    fn a_reader_that_stands_still_costs_lines_and_no_time() {
        struct Stuck(Receiver<()>, Page);
        impl Write for Stuck {
            fn write(&mut self, line: &[u8]) -> io::Result<usize> {
                let _ = self.0.recv();
                self.1.write(line)
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (release, released) = mpsc::channel();
        let page = Page::default();
        let (mut queue, guard) = spawn_writer(Stuck(released, page.clone()), Format::Json).unwrap();
        for _ in 0..QUEUE + 100 {
            queue.write_all(b"{}\n").unwrap();
        }
        drop(release);
        drop(guard);
        let text = String::from_utf8(page.0.lock().unwrap().clone()).unwrap();
        let told: u64 = text
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["lost"].as_u64())
            .sum();
        assert!((99..=100).contains(&told), "{told}");
    }
}
