//! An IMAP server that takes every login and never is the bottleneck: it answers from fixed text.

use std::net::SocketAddr;

use anyhow::Result;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

const GREETING: &[u8] = b"* OK [CAPABILITY IMAP4rev1 SASL-IR LITERAL+ ID IDLE AUTH=PLAIN] ready\r\n";
const CAPABILITY: &str = "* CAPABILITY IMAP4rev1 SASL-IR LITERAL+ ID IDLE AUTH=PLAIN\r\n";
const BLOCK: usize = 128 * 1024;
const LONGEST_LINE: u64 = 16 * 1024;

/// Starts it on a free loopback port.
pub(crate) async fn start() -> Result<SocketAddr> {
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
