use anyhow::{Result, bail};

use crate::{measure::Measurement, subject::Kind, upstream::UpstreamKind};

pub(crate) const HELP: &str = "\
Measures Bearward against HAProxy (TLS only) on this machine.

cargo bench --bench mail -- [OPTIONS]

  --short             small numbers, for trying the driver; not for publishing
  --runs N            runs, of which the median counts (default 3)
  --only A,B          of: full, resumed, relay, idle, lone (default all)
  --subject A,B       of: haproxy, bearward (default both)
  --upstream NAME     fake: answers from fixed text, logged in to as master (default)
                      sample: the mail server of `bearward try`, logged in to with sealed
                      passwords

Needs haproxy, taskset and prlimit in PATH, and two cores.";

/// What to measure, and how much of it.
#[derive(Clone, Debug)]
pub(crate) struct Arguments {
    pub(crate) runs: usize,
    pub(crate) measurements: Vec<Measurement>,
    pub(crate) subjects: Vec<Kind>,
    pub(crate) upstream: UpstreamKind,
    pub(crate) size: Size,
}

/// How much is done for one figure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// Clients at once.
    pub(crate) clients: usize,
    /// Sign-ins of each client.
    pub(crate) sign_ins: usize,
    /// Octets downloaded by each client.
    pub(crate) download: u64,
    /// Sessions that idle.
    pub(crate) idle: usize,
    /// Sign-ins one after the other.
    pub(crate) lone: usize,
}

const FULL_SIZE: Size = Size { clients: 128, sign_ins: 32, download: 32 << 20, idle: 2000, lone: 400 };
const SHORT_SIZE: Size = Size { clients: 32, sign_ins: 8, download: 8 << 20, idle: 200, lone: 40 };

impl Arguments {
    /// Reads the command line; `None` asks for help.
    pub(crate) fn read(mut words: impl Iterator<Item = String>) -> Result<Option<Self>> {
        let mut arguments = Self {
            runs: 3,
            measurements: Measurement::ALL.to_vec(),
            subjects: Kind::ALL.to_vec(),
            upstream: UpstreamKind::Fake,
            size: FULL_SIZE,
        };
        while let Some(word) = words.next() {
            let mut value = || words.next().unwrap_or_default();
            match word.as_str() {
                // Cargo passes it to every bench target.
                "--bench" => {}
                "--help" | "-h" => return Ok(None),
                "--short" => arguments.size = SHORT_SIZE,
                "--runs" => arguments.runs = value().parse()?,
                "--only" => arguments.measurements = list(&value(), &Measurement::ALL, Measurement::name)?,
                "--upstream" => arguments.upstream = UpstreamKind::from_name(&value())?,
                "--subject" => arguments.subjects = list(&value(), &Kind::ALL, Kind::name)?,
                other => bail!("{other} is no option; --help lists them"),
            }
        }
        Ok(Some(arguments))
    }
}

fn list<T: Copy>(text: &str, all: &[T], name: impl Fn(T) -> &'static str) -> Result<Vec<T>> {
    text.split(',')
        .map(|word| match all.iter().find(|item| name(**item) == word) {
            Some(item) => Ok(*item),
            None => bail!("{word:?} is not known; --help lists what is"),
        })
        .collect()
}
