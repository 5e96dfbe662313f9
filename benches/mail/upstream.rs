//! The mail server behind the proxies: one that takes every login and never is the bottleneck, because it answers
//! from fixed text, or the sample server of `bearward try`.

use std::net::SocketAddr;

use anyhow::{Result, bail};
use bearward::{
    model::{Login, Secret},
    sample::{SampleServer, User},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

const GREETING: &[u8] = b"* OK [CAPABILITY IMAP4rev1 SASL-IR LITERAL+ ID IDLE AUTH=PLAIN] ready\r\n";
const CAPABILITY: &str = "* CAPABILITY IMAP4rev1 SASL-IR LITERAL+ ID IDLE AUTH=PLAIN\r\n";
const BLOCK: usize = 128 * 1024;
const LONGEST_LINE: u64 = 16 * 1024;

/// Who signs in.
pub(crate) const USER: &str = "alice@example.org";
/// Their password at the mail server.
pub(crate) const PASSWORD: &str = "secret";
/// Octets of the message that is downloaded from the sample server, again and again.
const MESSAGE: usize = 8 << 20;

/// Which mail server stands behind the proxies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UpstreamKind {
    Fake,
    Sample,
}

impl UpstreamKind {
    pub(crate) fn from_name(name: &str) -> Result<Self> {
        match name {
            "fake" => Ok(Self::Fake),
            "sample" => Ok(Self::Sample),
            other => bail!("{other:?} is not known; --help lists what is"),
        }
    }
}

/// How a client downloads through the proxy.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bulk {
    /// By a command of the fake server that streams as many octets as asked for.
    Command,
    /// By fetching the fourth message, of so many octets, as often as it takes.
    Fetch(u64),
}

/// A running mail server.
pub(crate) struct Upstream {
    pub(crate) kind: UpstreamKind,
    pub(crate) address: SocketAddr,
    pub(crate) bulk: Bulk,
    _sample: Option<SampleServer>,
}

impl Upstream {
    /// Starts it on a free loopback port.
    pub(crate) async fn start(kind: UpstreamKind) -> Result<Self> {
        match kind {
            UpstreamKind::Fake => {
                Ok(Self { kind, address: start_fake().await?, bulk: Bulk::Command, _sample: None })
            }
            UpstreamKind::Sample => {
                let user =
                    User { login: Login::parse(USER)?, password: Secret::copy_of(PASSWORD.as_bytes()) };
                let sample = SampleServer::start(vec![user])?;
                let address = sample.addresses().imap;
                append(address).await?;
                Ok(Self { kind, address, bulk: Bulk::Fetch(MESSAGE as u64), _sample: Some(sample) })
            }
        }
    }
}

/// Puts the message to download into the mailbox.
async fn append(address: SocketAddr) -> Result<()> {
    let mut stream = BufReader::new(TcpStream::connect(address).await?);
    let line = b"0123456789012345678901234567890123456789012345678901234567890\r\n";
    let message: Vec<u8> = line.iter().copied().cycle().take(MESSAGE).collect();
    let login = format!("a LOGIN {USER} {PASSWORD}\r\nb APPEND INBOX {{{}+}}\r\n", message.len());
    stream.write_all(login.as_bytes()).await?;
    stream.write_all(&message).await?;
    stream.write_all(b"\r\n").await?;
    let mut answer = String::new();
    while !answer.starts_with("b OK") {
        answer.clear();
        if stream.read_line(&mut answer).await? == 0
            || answer.starts_with("b ") && !answer.starts_with("b OK")
        {
            bail!("the sample server did not take the message: {answer}");
        }
    }
    Ok(())
}

async fn start_fake() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A proxy that closes at any moment is no fault of this server.
            tokio::spawn(async move { serve(stream).await.ok() });
        }
    });
    Ok(address)
}

async fn serve(stream: TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::with_capacity(1024, reader);
    writer.write_all(GREETING).await?;
    let mut line = String::new();
    loop {
        line.clear();
        if (&mut reader).take(LONGEST_LINE).read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let mut words = line.split_ascii_whitespace();
        let tag = words.next().unwrap_or("*").to_owned();
        let verb = words.next().unwrap_or_default().to_ascii_uppercase();
        match verb.as_str() {
            "AUTHENTICATE" if words.nth(1).is_none() => {
                writer.write_all(b"+ \r\n").await?;
                line.clear();
                (&mut reader).take(LONGEST_LINE).read_line(&mut line).await?;
                writer.write_all(format!("{tag} OK logged in\r\n").as_bytes()).await?;
            }
            "CAPABILITY" => writer.write_all(format!("{CAPABILITY}{tag} OK\r\n").as_bytes()).await?,
            "ID" => writer.write_all(format!("* ID NIL\r\n{tag} OK\r\n").as_bytes()).await?,
            "IDLE" => {
                writer.write_all(b"+ idling\r\n").await?;
                line.clear();
                (&mut reader).take(LONGEST_LINE).read_line(&mut line).await?;
                writer.write_all(format!("{tag} OK done\r\n").as_bytes()).await?;
            }
            "XBULK" => {
                let octets = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
                stream_bulk(&mut writer, octets).await?;
                writer.write_all(format!("{tag} OK all\r\n").as_bytes()).await?;
            }
            "LOGOUT" => {
                writer.write_all(format!("* BYE\r\n{tag} OK\r\n").as_bytes()).await?;
                return Ok(());
            }
            _ => writer.write_all(format!("{tag} OK\r\n").as_bytes()).await?,
        }
    }
}

/// Exactly `octets` octets, without a line end.
async fn stream_bulk(writer: &mut (impl AsyncWrite + Unpin), mut octets: u64) -> Result<()> {
    static ZEROS: [u8; BLOCK] = [b'0'; BLOCK];
    while octets > 0 {
        let now = usize::try_from(octets).unwrap_or(BLOCK).min(BLOCK);
        writer.write_all(ZEROS.get(..now).unwrap_or_default()).await?;
        octets = octets.saturating_sub(now as u64);
    }
    Ok(())
}
