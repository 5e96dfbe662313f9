//! Dovecot's authentication service knows the passwords. It is asked over the socket that other services of the mail
//! system ask it over too: many questions at once on one connection, which is made anew when it is lost. Dovecot hears
//! who the client is, so that its own penalty for wrong passwords falls on nobody else.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::{
    CheckError, Names, PasswordCheck, Verified,
    dovecot_wire::{Failure, Line, Lines, WireError, cancel, greeting, request},
    saslauthd::unreachable,
};
use crate::model::{Login, Secret};

/// Questions without an answer at most.
const PENDING: usize = 256;
const MECHANISM: &str = "PLAIN";

/// `[directory.dovecot_auth]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DovecotAuthConfig {
    /// The socket.
    pub path: PathBuf,
    /// What Dovecot hears of the service.
    pub service: String,
    /// Time for one question. Dovecot holds the answer to a wrong password back for some seconds.
    pub timeout: Duration,
    /// Whose people these are; all where there is none.
    pub domains: Vec<String>,
}

/// The service.
#[derive(Debug)]
pub struct DovecotAuth {
    config: DovecotAuthConfig,
    names: Names,
    live: Mutex<Option<mpsc::Sender<Question>>>,
    /// Held by whoever connects.
    connecting: tokio::sync::Mutex<()>,
}

/// Gives the connection up unless it brought an answer: a service that once hung is connected to anew.
struct Using<'a> {
    directory: &'a DovecotAuth,
    questions: mpsc::Sender<Question>,
    ended: bool,
}

impl Drop for Using<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.directory.give_up(&self.questions);
        }
    }
}

struct Question {
    login: Login,
    password: Secret,
    client: IpAddr,
    answer: oneshot::Sender<Result<Option<String>, CheckError>>,
}

impl DovecotAuth {
    /// Connects when it is first asked.
    pub fn new(config: DovecotAuthConfig, names: Names) -> Self {
        Self { config, names, live: Mutex::new(None), connecting: tokio::sync::Mutex::new(()) }
    }

    /// Whether Dovecot greets us and offers what we need.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub async fn probe(&self) -> Result<String, String> {
        let connected = self.connected().await.map_err(|error| error.to_string())?;
        drop(connected);
        Ok(format!("answers, and offers {MECHANISM}"))
    }

    async fn asked(
        &self,
        login: &Login,
        password: &Secret,
        client: IpAddr,
    ) -> Result<Option<String>, CheckError> {
        let mut is_first = true;
        loop {
            let (questions, is_new) = self.connection().await?;
            let (answer, answered) = oneshot::channel();
            let question = Question { login: login.clone(), password: password.clone(), client, answer };
            let mut using = Using { directory: self, questions, ended: false };
            if using.questions.send(question).await.is_ok()
                && let Ok(answer) = answered.await
            {
                using.ended = true;
                return answer;
            }
            drop(using);
            // A service that was started anew has closed what was open: that is no outage.
            if is_new || !is_first {
                return Err(CheckError::Unavailable("Dovecot closed the connection".into()));
            }
            is_first = false;
        }
    }

    fn live(&self) -> Option<mpsc::Sender<Question>> {
        let live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.clone().filter(|questions| !questions.is_closed())
    }

    fn give_up(&self, questions: &mpsc::Sender<Question>) {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        if live.as_ref().is_some_and(|current| current.same_channel(questions)) {
            *live = None;
        }
    }

    async fn connection(&self) -> Result<(mpsc::Sender<Question>, bool), CheckError> {
        if let Some(questions) = self.live() {
            return Ok((questions, false));
        }
        let _connecting = self.connecting.lock().await;
        if let Some(questions) = self.live() {
            return Ok((questions, false));
        }
        let talk = self.connected().await?;
        let (questions, asked) = mpsc::channel(1);
        tokio::spawn(talk.serve(asked));
        *self.live.lock().unwrap_or_else(PoisonError::into_inner) = Some(questions.clone());
        Ok((questions, true))
    }

    /// A connection behind Dovecot's greeting.
    async fn connected(&self) -> Result<Talk, CheckError> {
        let connecting = async {
            let failed = |failure: std::io::Error| unreachable(&self.config.path, &failure);
            let mut stream = UnixStream::connect(&self.config.path).await.map_err(failed)?;
            let mut number = [0; 4];
            aws_lc_rs::rand::fill(&mut number)
                .map_err(|_| CheckError::Operator("no random octets".into()))?;
            let number = u32::from_be_bytes(number) >> 1 | 1;
            stream.write_all(greeting(number).as_bytes()).await.map_err(failed)?;
            let mut talk = Talk {
                stream,
                lines: Lines::default(),
                pending: BTreeMap::new(),
                last: 0,
                service: self.config.service.clone(),
                timeout: self.config.timeout,
            };
            let mut is_offered = false;
            loop {
                match talk.line().await? {
                    Line::Mechanism(name) => is_offered |= name == MECHANISM,
                    Line::Done if is_offered => return Ok(talk),
                    Line::Done => {
                        return Err(CheckError::Operator(format!(
                            "Dovecot does not offer {MECHANISM} there; add it to auth_mechanisms"
                        )));
                    }
                    Line::Other => {}
                    Line::Continue(_) | Line::Fail(..) | Line::Ok(..) => {
                        return Err(broken(WireError::Nonsense));
                    }
                }
            }
        };
        timeout(self.config.timeout, connecting).await.unwrap_or_else(|_| Err(self.late()))
    }

    fn late(&self) -> CheckError {
        CheckError::Unavailable(format!("Dovecot: no answer within {:?}", self.config.timeout))
    }
}

/// A connection, and who waits on it.
struct Talk {
    stream: UnixStream,
    lines: Lines,
    pending: BTreeMap<u32, oneshot::Sender<Result<Option<String>, CheckError>>>,
    last: u32,
    service: String,
    timeout: Duration,
}

impl Talk {
    /// Asks and hands answers out until the connection is gone, or nobody can ask or waits any more. Whoever waits when
    /// the connection is gone hears nothing.
    async fn serve(mut self, mut asked: mpsc::Receiver<Question>) {
        let mut octets = [0; 4096];
        let mut is_given_up = false;
        loop {
            let is_full = self.pending.len() >= PENDING;
            if is_given_up && self.pending.is_empty() {
                return;
            }
            tokio::select! {
                question = asked.recv(), if !is_full && !is_given_up => {
                    let Some(question) = question else {
                        is_given_up = true;
                        continue;
                    };
                    if self.ask(question).await.is_none() {
                        return;
                    }
                }
                () = tokio::time::sleep(self.timeout), if is_full || is_given_up => {
                    // Nobody waits longer than that.
                    self.pending.retain(|_, answer| !answer.is_closed());
                }
                read = self.stream.read(&mut octets) => {
                    let Ok(length @ 1..) = read else { return };
                    self.lines.push(octets.get(..length).unwrap_or_default());
                    if let Err(error) = self.hand_out().await {
                        tracing::warn!(%error, "Dovecot's authentication service is given up");
                        return;
                    }
                }
            }
        }
    }

    async fn ask(&mut self, question: Question) -> Option<()> {
        // Who has stopped waiting makes room.
        self.pending.retain(|_, answer| !answer.is_closed());
        self.last = self.last.checked_add(1)?;
        let Question { login, password, client, answer } = question;
        let request = request(self.last, &self.service, &login, &password, client);
        self.pending.insert(self.last, answer);
        timeout(self.timeout, self.stream.write_all(request.as_bytes())).await.ok()?.ok()
    }

    async fn hand_out(&mut self) -> Result<(), WireError> {
        while let Some(line) = self.lines.next()? {
            let (id, answer) = match line {
                Line::Ok(id, user) => (id, Ok(user)),
                Line::Fail(id, failure) => (id, Err(refusal(failure))),
                Line::Continue(id) => {
                    let canceled = timeout(self.timeout, self.stream.write_all(cancel(id).as_bytes())).await;
                    canceled.map_err(|_| WireError::Nonsense)?.map_err(|_| WireError::Nonsense)?;
                    (id, Err(CheckError::Operator("Dovecot wants more than name and password".into())))
                }
                Line::Done | Line::Mechanism(_) | Line::Other => continue,
            };
            // An answer to a question that nobody has asked would be the answer to another.
            if id == 0 || id > self.last {
                return Err(WireError::Nonsense);
            }
            if let Some(waiting) = self.pending.remove(&id) {
                let _ = waiting.send(answer);
            }
        }
        Ok(())
    }

    async fn line(&mut self) -> Result<Line, CheckError> {
        let mut octets = [0; 4096];
        loop {
            if let Some(line) = self.lines.next().map_err(broken)? {
                return Ok(line);
            }
            match self.stream.read(&mut octets).await {
                Ok(0) => return Err(CheckError::Unavailable("Dovecot hung up before its greeting".into())),
                Ok(length) => self.lines.push(octets.get(..length).unwrap_or_default()),
                Err(failure) => return Err(CheckError::Unavailable(failure.to_string())),
            }
        }
    }
}

fn broken(error: WireError) -> CheckError {
    CheckError::Operator(format!("the socket of Dovecot's authentication clients: {error}"))
}

fn refusal(failure: Failure) -> CheckError {
    match failure {
        Failure::Refused(code) => {
            if !code.is_empty() {
                tracing::info!(code, "Dovecot lets somebody not sign in");
            }
            CheckError::Wrong
        }
        Failure::Settings(code) => CheckError::Operator(format!("Dovecot answers {code}")),
        Failure::Temporary => CheckError::Unavailable("Dovecot cannot check passwords now".into()),
    }
}

#[async_trait]
impl PasswordCheck for DovecotAuth {
    async fn ask(&self, login: &Login, password: &Secret, client: IpAddr) -> Result<Verified, CheckError> {
        if password.expose().contains(&0) {
            return Err(CheckError::Wrong);
        }
        let asking = timeout(self.config.timeout, self.asked(login, password, client)).await;
        let user = asking.unwrap_or_else(|_| Err(self.late()))?;
        let login = user.map(|user| self.names.given(login, &user)).transpose()?.flatten();
        Ok(Verified { login, ..Verified::default() })
    }
}

#[cfg(test)]
#[path = "dovecot_tests.rs"]
mod tests;
