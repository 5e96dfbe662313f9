//! Cyrus SASL's daemon `saslauthd` knows the passwords. One connection to its socket carries one question: login name,
//! password, service and realm, each behind its length in two octets. The answer comes the same way, and begins with
//! `OK` or `NO`.

use std::{io, net::IpAddr, path::PathBuf, time::Duration};

use async_trait::async_trait;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    sync::Semaphore,
    time::timeout,
};
use zeroize::Zeroizing;

use super::{CheckError, PasswordCheck, Verified};
use crate::model::{Login, Secret};

/// Questions that are under way at once; others wait.
const AT_ONCE: usize = 16;
/// What the daemon reads of a login name or a password at most, in octets; on more it hangs up.
const LONGEST: usize = 256;

/// `[directory.saslauthd]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SaslauthdConfig {
    /// The socket.
    pub path: PathBuf,
    /// What the daemon hears of the service, and PAM of its name.
    pub service: String,
    /// Whether the domain is sent as the realm, and the login name without it.
    pub split_realm: bool,
    /// Time for one question.
    pub timeout: Duration,
    /// Whose people these are; all where there is none.
    pub domains: Vec<String>,
}

/// The daemon.
#[derive(Debug)]
pub struct Saslauthd {
    config: SaslauthdConfig,
    asking: Semaphore,
}

impl Saslauthd {
    /// Connects when it is first asked.
    pub fn new(config: SaslauthdConfig) -> Self {
        Self { config, asking: Semaphore::new(AT_ONCE) }
    }

    /// Whether the daemon answers; what it says of somebody whom nobody should know.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub async fn probe(&self, nobody: &Login) -> Result<String, String> {
        match self.asked(nobody, &Secret::copy_of(b"bearward check")).await {
            Ok(_) => Ok(format!("answers; it takes any password from {nobody}")),
            Err(CheckError::Wrong) => Ok(format!("answers; it does not know {nobody}")),
            Err(error) => Err(error.to_string()),
        }
    }

    async fn asked(&self, login: &Login, password: &Secret) -> Result<Verified, CheckError> {
        let (name, realm) = match (self.config.split_realm, login.domain()) {
            (true, Some(domain)) => (login.local(), domain),
            (true, None) | (false, _) => (login.as_str(), ""),
        };
        if name.is_empty() || password.len() > LONGEST || password.expose().contains(&0) {
            return Err(CheckError::Wrong);
        }
        let fields = [name.as_bytes(), password.expose(), self.config.service.as_bytes(), realm.as_bytes()];
        let question = question(fields);
        let asking = async {
            let Ok(_turn) = self.asking.acquire().await else { return Err(io::ErrorKind::Other.into()) };
            let mut stream = UnixStream::connect(&self.config.path).await?;
            stream.write_all(&question).await?;
            answer(&mut stream).await
        };
        match timeout(self.config.timeout, asking).await {
            Ok(Ok(answer)) => judge(&answer).map(|()| Verified::default()),
            Ok(Err(failure)) => Err(unreachable(&self.config.path, &failure)),
            Err(_) => {
                Err(CheckError::Unavailable(format!("saslauthd: no answer within {:?}", self.config.timeout)))
            }
        }
    }
}

/// A socket that is not there may be there later; one that we may not use never.
pub(super) fn unreachable(path: &std::path::Path, failure: &io::Error) -> CheckError {
    let text = format!("{}: {failure}", path.display());
    if failure.kind() == io::ErrorKind::PermissionDenied {
        CheckError::Operator(text)
    } else {
        CheckError::Unavailable(text)
    }
}

/// The fields are shorter than 64 KiB.
fn question(fields: [&[u8]; 4]) -> Zeroizing<Vec<u8>> {
    // In one buffer of the final size: a growing one would leave copies behind.
    let length = fields.iter().map(|field| 2 + field.len()).sum();
    let mut question = Zeroizing::new(Vec::with_capacity(length));
    for field in fields {
        let length = u16::try_from(field.len()).unwrap_or(u16::MAX);
        question.extend_from_slice(&length.to_be_bytes());
        question.extend(field.iter().take(usize::from(length)));
    }
    question
}

/// At most 64 KiB, as the length has two octets.
async fn answer(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let length = stream.read_u16().await?;
    let mut answer = vec![0; usize::from(length)];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

/// What the daemon says. Behind `NO` there may be a reason, and some are no fault of the password: what its modules
/// cannot reach they say with `[ALERT]`.
fn judge(answer: &[u8]) -> Result<(), CheckError> {
    const OUTAGES: [&str; 6] =
        ["[alert]", "internal", "unavailable", "not available", "system error", "contact"];
    let text = String::from_utf8_lossy(answer);
    let mut words = text.trim_end_matches('\0').splitn(2, ' ');
    match (words.next(), words.next().unwrap_or_default()) {
        (Some("OK"), _) => Ok(()),
        (Some("NO"), reason) => {
            let reason = reason.to_lowercase();
            if OUTAGES.iter().any(|outage| reason.contains(outage)) {
                let reason: String = reason.chars().filter(|c| !c.is_control()).take(200).collect();
                return Err(CheckError::Unavailable(format!("saslauthd: {reason}")));
            }
            Err(CheckError::Wrong)
        }
        (_, _) => Err(CheckError::Unavailable("saslauthd answers neither OK nor NO".into())),
    }
}

#[async_trait]
impl PasswordCheck for Saslauthd {
    async fn ask(&self, login: &Login, password: &Secret, _: IpAddr) -> Result<Verified, CheckError> {
        self.asked(login, password).await
    }
}

#[cfg(test)]
#[path = "saslauthd_tests.rs"]
mod tests;
