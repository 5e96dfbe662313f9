//! What a protocol machine says and is told. The same words serve every protocol.

use std::{net::SocketAddr, sync::Arc};

use thiserror::Error;

use super::sasl::ClientPolicy;
use crate::model::{Mechanism, Protocol, Secret, SessionId};

/// What a [`Downstream`] machine wants next. Ask again after each step was carried out.
#[derive(Debug)]
#[must_use = "a step that is not carried out leaves both peers waiting"]
pub enum Step {
    /// A question that only the rest of the house can answer; the machine waits for [`Downstream::answer`].
    Ask(Question),
    /// The connection is over; what was sent before must still go out.
    Close(Close),
    /// Signed in. The octets that the client had already sent behind its login, to be sent upstream first.
    Handover(Vec<u8>),
    /// More octets from the client.
    NeedInput,
    /// Octets for the client.
    Send(Vec<u8>),
    /// A sign-in broke the protocol before anybody could be asked; for the log alone: the machine
    /// answers the client itself.
    Spoiled {
        /// The mechanism that was begun.
        mechanism: Mechanism,
        /// What was wrong.
        reason: &'static str,
    },
    /// Flush what was sent, do the TLS handshake, then call [`Downstream::tls_started`].
    StartTls,
}

/// A question that a [`Downstream`] machine asks.
#[derive(Debug)]
pub enum Question {
    /// May this attempt sign in?
    Authenticate(Attempt),
}

/// One attempt to sign in, and what the client said of itself before it.
#[derive(Debug)]
pub struct Attempt {
    /// The SASL mechanism, or what stands for it (`PLAIN` for IMAP LOGIN and POP3 USER/PASS).
    pub mechanism: Mechanism,
    /// What the client presented.
    pub credentials: Credentials,
    /// The name given with EHLO (SMTP), checked to be safe to repeat upstream.
    pub client_name: Option<String>,
    /// The client's IMAP ID (RFC 2971) as `name version`, printable, at most 128 octets; for the log alone.
    pub client_software: Option<String>,
    /// POP3: the client asked for UTF-8 (RFC 6856 §2), which the mail server must hear before the login.
    pub utf8: bool,
    /// How many more proxies may follow, where a proxy before this one says so (IMAP ID, `x-proxy-ttl`).
    pub ttl: Option<u8>,
}

/// What a client presented. Nothing here has been validated but its form.
#[derive(Debug)]
pub enum Credentials {
    /// A bearer token (RFC 7628, XOAUTH2).
    Bearer {
        /// The token; may be empty (RFC 7628 §4.3 asks for discovery so).
        token: Secret,
        /// The authorization identity: `a=` of the GS2 header, or XOAUTH2's `user=`. `None` for `n,,`.
        authzid: Option<String>,
    },
    /// A password.
    Password {
        /// The authorization identity of PLAIN, when it was given and not empty.
        authzid: Option<String>,
        /// The login name.
        login: String,
        /// The password.
        password: Secret,
    },
}

/// What a [`Downstream`] machine is told in return for a [`Question`].
#[derive(Debug)]
pub enum Answer {
    /// The upstream is logged in and waits.
    Accepted(Accepted),
    /// No.
    Refused(Refusal),
}

/// What the client must be told with the success.
#[derive(Clone, Debug, Default)]
pub struct Accepted {
    /// IMAP: the capabilities of the logged-in upstream, less what a client must not see, without the word
    /// `CAPABILITY`. Empty for the other protocols, or when it is not known.
    pub capabilities: String,
}

/// Why an attempt failed, in the terms that decide the wire answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Which answer.
    pub kind: RefusalKind,
    /// The scope that a token needs here (RFC 7628 §3.2.2: one value).
    pub scope: Arc<str>,
    /// The URL of the issuer's discovery document, when there is an issuer.
    pub openid_configuration: Option<Arc<str>>,
    /// The session, named in the text so that a user can quote it.
    pub session: SessionId,
}

/// The kinds of refusal that a client can tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// The token is good, but not for this protocol. XOAUTH2 status `403`, `insufficient_scope`.
    InsufficientScope,
    /// Token expired, revoked or unknown: a new one may help. XOAUTH2 status `400`, `invalid_token`.
    InvalidToken,
    /// The token may not act as the authorization identity asked for.
    NotAuthorized,
    /// Something that the operator must mend; trying again does not help now.
    OperatorFault,
    /// This kind of credential is not accepted here (a password while passwords are off).
    Policy,
    /// Retrying is pointless: audience, disabled account. XOAUTH2 status `401`, `invalid_token`.
    Pointless,
    /// Too many attempts; later.
    RateLimited,
    /// Issuer, store or mail server cannot be asked now: temporary, and the credential is not to blame.
    Unavailable,
    /// Nobody can tell yet whether the token is good. It is answered as [`Self::Unavailable`] is, but it counts: what
    /// the token says brought it about, and anybody can write that.
    Undecided,
}

/// Why a connection ends before a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Close {
    /// It was told that there are too many connections ([`Banner::Busy`]).
    #[error("too many connections")]
    Busy,
    /// The client said goodbye.
    #[error("the client left")]
    ClientLeft,
    /// It spoke another protocol, such as HTTP.
    #[error("not a mail client")]
    NotMail,
    /// Too many failed sign-ins (`limits.failed_auth`).
    #[error("too many failed sign-ins")]
    TooManyFailures,
    /// Too many bad commands (`limits.bad_commands`).
    #[error("too many bad commands")]
    TooManyBadCommands,
    /// It sent more than any legal command holds.
    #[error("a command beyond all limits")]
    Flood,
}

/// Whether the connection is encrypted, and whether it can become so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsState {
    /// In clear; TLS by STARTTLS (STLS) is offered, and no credential is taken before it.
    ClearStartTls,
    /// In clear, and it stays so. No bearer mechanism is offered.
    Clear,
    /// Encrypted.
    Encrypted,
}

/// What a [`Downstream`] machine must know of its listener.
#[derive(Clone, Debug)]
pub struct FrontConfig {
    /// The public name, for greetings.
    pub hostname: Arc<str>,
    /// How the connection starts.
    pub tls: TlsState,
    /// Mechanisms offered on an encrypted connection, in order. Any other is refused, implemented or not.
    pub mechanisms: Arc<[Mechanism]>,
    /// What may be promised to a client before login because the mail server keeps it.
    pub offer: Arc<Offer>,
    /// Longest command line before login, in octets, CRLF included (`limits.pre_auth_line`).
    pub line_limit: usize,
    /// Longest base64 SASL response, in octets, also inside a command line (`limits.sasl_response`).
    pub sasl_limit: usize,
    /// Bad commands per connection before it is closed.
    pub bad_commands: u32,
    /// Failed sign-ins per connection before it is closed.
    pub failed_auth: u32,
}

/// What the mail server behind a listener keeps, learned by asking it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// SMTP: EHLO lines (`PIPELINING`, `SIZE 10240000`, …) already filtered to what may be promised.
    /// POP3: CAPA lines likewise. IMAP: capability words likewise. ManageSieve: `SIEVE fileinto` and the like, one
    /// word of a capability each.
    pub lines: Vec<String>,
}

/// The greeting state of a connection; given to the constructor of each protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Banner {
    /// Greet as usual.
    Welcome,
    /// Say that there are too many connections, and close.
    Busy,
}

/// The server side of a mail protocol, until the client has signed in.
///
/// Drive it so: `poll` until it says [`Step::NeedInput`], then feed it with `receive`. While a question is
/// open feed it nothing.
pub trait Downstream: Send {
    /// Takes octets from the client. Bounded: what goes beyond every limit turns the next step into a
    /// refusal or [`Step::Close`], and is not kept.
    fn receive(&mut self, octets: &[u8]);

    /// What to do next.
    fn poll(&mut self) -> Step;

    /// Answers the open [`Step::Ask`].
    fn answer(&mut self, answer: Answer);

    /// The TLS handshake is done: every octet received before it is forgotten, and the dialogue starts anew.
    fn tls_started(&mut self);

    /// Whether an error challenge was sent and the client's line for it has not come
    /// (`limits.dummy_response_timeout` runs).
    fn awaits_dummy_response(&self) -> bool;

    /// That time is over: end the exchange as if an empty line had come.
    fn dummy_response_timed_out(&mut self);

    /// Octets that tell the client why the connection ends now: idle before login, shut-down.
    fn goodbye(&self, reason: &str) -> Vec<u8>;
}

/// How to log in to a mail server: the plan for an [`Upstream`] machine.
#[derive(Debug)]
pub struct UpstreamPlan {
    /// Which identity proves itself how.
    pub login: LoginAs,
    /// Whether the machine must ask for STARTTLS (STLS) before anything else, and fail without it.
    pub starttls: bool,
    /// What the server may be told of the client, where it takes it.
    pub client: Option<ClientFacts>,
    /// The name to say with EHLO when the client's own is not known.
    pub hostname: Arc<str>,
    /// SMTP: whether XCLIENT is used when it is offered.
    pub xclient: bool,
    /// IMAP: whether ID is sent with the client's address.
    pub imap_id: bool,
    /// By what the identity may prove itself.
    pub sasl: ClientPolicy,
}

/// The identity that logs in upstream.
#[derive(Debug)]
pub enum LoginAs {
    /// None yet: it is asked what the server offers, and the machine is ready once that is known. [`Upstream::log_in`]
    /// goes on from there.
    Nobody,
    /// By a token that the server understands (RFC 7628, XOAUTH2).
    Bearer {
        /// The user, or the mailbox that the token opens.
        user: String,
        /// The token.
        token: Secret,
    },
    /// By the client certificate of the TLS connection (RFC 4422 appendix A).
    External {
        /// Who to become; empty for whomever the certificate names.
        user: String,
    },
    /// By password.
    Password {
        /// Whose password it is.
        authcid: String,
        /// Who to become, when that is another (RFC 4616); only PLAIN and SCRAM can carry it.
        authzid: Option<String>,
        /// The password.
        password: Secret,
    },
    /// By nothing: the server trusts this proxy's address. IMAP and POP3 still name the user; the
    /// password sent is empty of meaning. SMTP sends no AUTH.
    Trusted {
        /// The user.
        user: String,
        /// What is sent where the protocol insists on a password.
        placeholder: Secret,
    },
    /// By nothing: the server takes the name from this proxy with XCLIENT. SMTP only.
    Xclient {
        /// The user.
        user: String,
    },
}

/// What the mail server is told of the client.
#[derive(Clone, Debug)]
pub struct ClientFacts {
    /// The client's own address and port.
    pub address: SocketAddr,
    /// The address and port it connected to.
    pub local: SocketAddr,
    /// The name that the client gave with EHLO.
    pub name: Option<String>,
    /// This session's name.
    pub session: SessionId,
    /// Whether the client's connection is encrypted.
    pub encrypted: bool,
    /// The client's TLS connection, where one ends here.
    pub tls: Option<TlsFacts>,
    /// POP3: whether it asked for UTF-8 before its login.
    pub utf8: bool,
    /// How many more proxies may follow (loops end at zero).
    pub ttl: u8,
}

/// What is known of the client's TLS connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFacts {
    /// The version, such as `TLSv1.3`.
    pub version: Arc<str>,
    /// The cipher suite.
    pub cipher: Option<Arc<str>>,
    /// The server name that the client asked for.
    pub sni: Option<Arc<str>>,
    /// Whether the client has shown a certificate.
    pub client_certificate: bool,
}

/// What an [`Upstream`] machine wants next.
#[derive(Debug)]
#[must_use = "a step that is not carried out leaves both peers waiting"]
pub enum UpstreamStep {
    /// It cannot be done. The connection is to be closed.
    Failed(Failure),
    /// More octets from the mail server.
    NeedInput,
    /// Logged in.
    Ready(Ready),
    /// Octets for the mail server; they may hold a password.
    Send(Secret),
    /// Do the TLS handshake with the mail server, then call [`Upstream::tls_started`].
    StartTls,
}

/// A logged-in mail server.
#[derive(Debug, Default)]
pub struct Ready {
    /// IMAP: capabilities after login, without what a client must not see.
    pub capabilities: String,
    /// What the server offered, for clients before login; same filter as [`Offer`].
    pub offer: Offer,
    /// IMAP, ManageSieve: it offers UNAUTHENTICATE (RFC 8437, RFC 5804 §2.14), by which a client could log in as
    /// someone else.
    pub unauthenticate: bool,
    /// Octets that the server already sent behind its answer; they belong to the client.
    pub leftover: Vec<u8>,
}

/// Why a login to the mail server failed. Split by who must act.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Failure {
    /// An unambiguous "wrong password": `AUTHENTICATIONFAILED`, `535 5.7.8`, `[AUTH]`.
    #[error("the mail server says that the password is wrong: {0}")]
    WrongPassword(String),
    /// A refusal without a reason: a bare `NO`, `-ERR` or `535`.
    #[error("the mail server refused the login without a reason: {0}")]
    Refused(String),
    /// The server says that it is its own, passing fault: `UNAVAILABLE`, `4xx`, `[SYS/TEMP]`, `[IN-USE]`, BYE.
    #[error("the mail server cannot now: {0}")]
    Temporary(String),
    /// The operator must act: no usable mechanism, no STARTTLS, PREAUTH, XCLIENT left open.
    #[error("the mail server or its configuration needs the operator: {0}")]
    Operator(String),
    /// The server broke its protocol, or injected octets before TLS.
    #[error("the mail server broke the protocol: {0}")]
    Protocol(String),
}

/// Follows both directions of a logged-in session where the mail server would let its client change who it is.
///
/// It is fed in any pieces and says the same. It never blocks: octets it does not take wait with the caller.
pub trait Guard: Send {
    /// Looks at octets from the client and appends to `upstream` what may go to the mail server. Returns how
    /// many octets it took; the rest must be offered again after [`Guard::server`] was called.
    ///
    /// # Errors
    /// The session must end.
    fn client(&mut self, octets: &[u8], upstream: &mut Vec<u8>) -> Result<usize, GuardViolation>;

    /// Looks at octets from the mail server and appends to `client` what the client may see. Takes them all.
    ///
    /// # Errors
    /// The session must end.
    fn server(&mut self, octets: &[u8], client: &mut Vec<u8>) -> Result<(), GuardViolation>;

    /// Whether the stream toward the client is at a line border, so that a goodbye can be put there.
    fn at_line_border(&self) -> bool;

    /// What the client is told when the session ends for a violation; `None` for the protocol's usual goodbye.
    fn last_words(&self) -> Option<&'static [u8]> {
        None
    }
}

/// Why a guarded session must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum GuardViolation {
    /// A message with a bare CR or LF in it, where such messages are refused.
    #[error("the client sent a message with a bare CR or LF")]
    BareNewline,
    /// A client's line longer than any the mail server could take.
    #[error("the client sent a line beyond all limits")]
    ClientLineTooLong,
    /// A client's octets in the middle of a command that cannot be passed on nor refused.
    #[error("the client broke off a command that the mail server waits for")]
    ClientOutOfStep,
    /// The mail server's replies cannot be followed.
    #[error("the mail server's replies cannot be followed")]
    ServerOutOfStep,
}

/// The client side of a mail protocol, until it is logged in.
pub trait Upstream: Send {
    /// Takes octets from the mail server; bounded.
    fn receive(&mut self, octets: &[u8]);

    /// What to do next.
    fn poll(&mut self) -> UpstreamStep;

    /// Whether the next [`Upstream::receive`] and [`Upstream::poll`] may compute for a fifth of a second, as SCRAM
    /// makes a client do: not on a thread that others wait for.
    fn is_costly(&self) -> bool {
        false
    }

    /// The TLS handshake is done; whatever came before it is forgotten.
    fn tls_started(&mut self);

    /// Goes on from the [`UpstreamStep::Ready`] of [`LoginAs::Nobody`] to the login of somebody, for whom `client` is
    /// introduced where that was not done yet. It is asked for once; at any other time nothing happens.
    fn log_in(&mut self, login: LoginAs, client: Option<ClientFacts>);
}

impl RefusalKind {
    /// Whether it counts toward `limits.failed_auth`. An outage never does: it is no wrong credential.
    pub const fn is_failed_sign_in(self) -> bool {
        match self {
            Self::InsufficientScope
            | Self::InvalidToken
            | Self::NotAuthorized
            | Self::Pointless
            | Self::Policy
            | Self::RateLimited
            | Self::Undecided => true,
            Self::OperatorFault | Self::Unavailable => false,
        }
    }
}

impl FrontConfig {
    /// Whether the mechanism is offered once the connection is encrypted.
    pub fn offers(&self, mechanism: Mechanism) -> bool {
        self.mechanisms.contains(&mechanism)
    }
}

/// A machine for the client's side of `protocol`, or `None` where Bearward does not speak it.
pub fn downstream(protocol: Protocol, banner: Banner, config: FrontConfig) -> Option<Box<dyn Downstream>> {
    match protocol {
        Protocol::Imap => Some(Box::new(super::imap::ImapDownstream::new(banner, config))),
        Protocol::Pop3 => Some(Box::new(super::pop3::Pop3Downstream::new(banner, config))),
        Protocol::Sieve => Some(Box::new(super::sieve::SieveDownstream::new(banner, config))),
        Protocol::Smtp => Some(Box::new(super::smtp::SmtpDownstream::new(banner, config))),
    }
}

/// A machine for the mail server's side of `protocol`, or `None` where Bearward does not speak it.
pub fn upstream(protocol: Protocol, plan: UpstreamPlan) -> Option<Box<dyn Upstream>> {
    match protocol {
        Protocol::Imap => Some(Box::new(super::imap::ImapUpstream::new(plan))),
        Protocol::Pop3 => Some(Box::new(super::pop3::Pop3Upstream::new(plan))),
        Protocol::Sieve => Some(Box::new(super::sieve::SieveUpstream::new(plan))),
        Protocol::Smtp => Some(Box::new(super::smtp::SmtpUpstream::new(plan))),
    }
}
