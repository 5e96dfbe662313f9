use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tokio::{task::JoinSet, time::sleep};

use crate::{
    arguments::{Arguments, Size},
    client::{Client, Session},
    process,
    report::Figures,
    subject::{Certificate, Subject},
};

/// How long memory settles before it is read.
const SETTLE: Duration = Duration::from_secs(3);
/// Sign-ins at once while idle sessions are built up.
const RAMP: usize = 64;

/// One thing that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Measurement {
    /// Processor time per sign-in with a full handshake.
    Full,
    /// Processor time per sign-in with a resumed handshake.
    Resumed,
    /// Processor time per relayed gigabyte.
    Relay,
    /// Memory per idle session.
    Idle,
    /// How long a sign-in takes on an idle machine.
    Lone,
}

impl Measurement {
    /// Memory first: it must not be measured on a heap that other work has grown.
    pub(crate) const ALL: [Self; 5] = [Self::Idle, Self::Lone, Self::Full, Self::Resumed, Self::Relay];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Resumed => "resumed",
            Self::Relay => "relay",
            Self::Idle => "idle",
            Self::Lone => "lone",
        }
    }

    /// What its figure counts.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Full => "CPU per full sign-in, ms",
            Self::Resumed => "CPU per resumed sign-in, ms",
            Self::Relay => "CPU per relayed GB, s",
            Self::Idle => "PSS per idle session, KiB",
            Self::Lone => "lone sign-in, p50, ms",
        }
    }
}

/// Everything that was asked for, on one running proxy.
pub(crate) async fn all(
    subject: &Subject,
    certificate: &Certificate,
    arguments: &Arguments,
) -> Result<Figures> {
    let bench = Bench { subject, certificate, size: arguments.size };
    let mut figures = Figures::default();
    for measurement in Measurement::ALL {
        if !arguments.measurements.contains(&measurement) {
            continue;
        }
        let figure = match measurement {
            Measurement::Full => bench.sign_ins(false).await?,
            Measurement::Resumed => bench.sign_ins(true).await?,
            Measurement::Relay => bench.relay().await?,
            Measurement::Idle => bench.idle().await?,
            Measurement::Lone => bench.lone().await?,
        };
        figures.push(measurement.title(), figure);
    }
    Ok(figures)
}

struct Bench<'a> {
    subject: &'a Subject,
    certificate: &'a Certificate,
    size: Size,
}

impl Bench<'_> {
    fn client(&self, resume: bool) -> Result<Client> {
        Client::new(
            &self.certificate.root,
            self.subject.address,
            &self.subject.sign_in,
            self.subject.bulk,
            resume,
        )
    }

    fn cpu(&self) -> Result<Duration> {
        process::cpu_time(self.subject.pid())
    }

    /// Processor milliseconds per sign-in, all clients at once. Each signs in once before it counts.
    async fn sign_ins(&self, resume: bool) -> Result<f64> {
        let mut clients = Vec::new();
        for _ in 0..self.size.clients {
            clients.push(self.client(resume)?);
        }
        repeat(&clients, 1).await?;
        let before = self.cpu()?;
        let resumed = repeat(&clients, self.size.sign_ins).await?;
        let used = self.cpu()? - before;
        let done = self.size.clients * self.size.sign_ins;
        let (expected, wrong) = if resume { (done, done - resumed) } else { (0, resumed) };
        // A handshake of the other kind now and then changes no figure; many would.
        if wrong * 100 > done {
            bail!("{resumed} of {done} handshakes were resumed instead of {expected}");
        }
        Ok(used.as_secs_f64() * 1000.0 / as_f64(done))
    }

    /// Processor seconds per 10^9 octets from server to client, all clients at once.
    async fn relay(&self) -> Result<f64> {
        let octets = self.size.download;
        let mut sessions = self.open(self.size.clients).await?;
        let before = self.cpu()?;
        let mut downloads = JoinSet::new();
        for mut session in sessions.drain(..) {
            downloads.spawn(async move { session.download(octets).await.map(|()| session) });
        }
        while let Some(downloaded) = downloads.join_next().await {
            sessions.push(downloaded??);
        }
        let used = self.cpu()? - before;
        close(sessions).await;
        let gigabytes = as_f64(self.size.clients) * as_f64(usize::try_from(octets)?) / 1e9;
        Ok(used.as_secs_f64() / gigabytes)
    }

    /// KiB per session in IDLE, above what the proxy takes without one.
    async fn idle(&self) -> Result<f64> {
        sleep(SETTLE).await;
        let empty = process::pss_kib(self.subject.pid())?;
        let mut sessions = self.open(self.size.idle).await?;
        for session in &mut sessions {
            session.idle().await?;
        }
        sleep(SETTLE).await;
        let full = process::pss_kib(self.subject.pid())?;
        close(sessions).await;
        Ok(as_f64(usize::try_from(full.saturating_sub(empty))?) / as_f64(self.size.idle))
    }

    /// Milliseconds from connect to tagged OK, the median of many, one after the other.
    async fn lone(&self) -> Result<f64> {
        let client = self.client(false)?;
        let mut times = Vec::new();
        for _ in 0..self.size.lone {
            let start = Instant::now();
            let session = client.sign_in().await?;
            times.push(start.elapsed().as_secs_f64() * 1000.0);
            session.close().await?;
        }
        Ok(crate::report::median(times))
    }

    async fn open(&self, count: usize) -> Result<Vec<Session>> {
        let client = self.client(false)?;
        let mut sessions = Vec::with_capacity(count);
        while sessions.len() < count {
            let mut opening = JoinSet::new();
            for _ in 0..RAMP.min(count - sessions.len()) {
                let client = client.clone();
                opening.spawn(async move { client.sign_in().await });
            }
            while let Some(session) = opening.join_next().await {
                sessions.push(session??);
            }
        }
        Ok(sessions)
    }
}

/// Each client signs in `times` times, all at once; says how many handshakes were resumed.
async fn repeat(clients: &[Client], times: usize) -> Result<usize> {
    let mut running = JoinSet::new();
    for client in clients {
        let client = client.clone();
        running.spawn(async move {
            let mut resumed = 0;
            for _ in 0..times {
                let session = client.sign_in().await?;
                resumed += usize::from(session.resumed);
                session.close().await?;
            }
            anyhow::Ok(resumed)
        });
    }
    let mut resumed = 0;
    while let Some(done) = running.join_next().await {
        resumed += done??;
    }
    Ok(resumed)
}

/// The proxy may have closed first, which no longer matters.
async fn close(sessions: Vec<Session>) {
    for session in sessions {
        let _ = session.close().await;
    }
}

#[allow(clippy::cast_precision_loss, reason = "counts and sizes here are far below 2^52")]
fn as_f64(number: usize) -> f64 {
    number as f64
}
