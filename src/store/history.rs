use std::{net::IpAddr, time::Duration};

use async_trait::async_trait;

use super::StoreError;
use crate::model::{GrantId, Login, Protocol, TokenHash, UnixTime};

/// How long a sign-in is remembered.
pub const HISTORY_RETENTION: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// How long a browser is known after its last sign-in, which is as long as browsers keep a cookie.
pub const BROWSER_RETENTION: Duration = Duration::from_secs(400 * 24 * 60 * 60);
/// How many rows of sign-ins are kept of a user.
pub const HISTORY_ROWS: u32 = 50;
/// How many browsers are known of a user.
pub const BROWSER_ROWS: u32 = 32;
/// How many characters of a program's name are kept.
const PROGRAM: usize = 80;

/// What users did, for themselves to see.
#[async_trait]
pub trait History: Send + Sync {
    /// Notes sign-ins. What is alike on one day is one row that counts; of each user [`HISTORY_ROWS`] rows and
    /// [`BROWSER_ROWS`] browsers are kept, the newest. A failed sign-in is counted only for a user who has signed in
    /// before, so that guessing names leaves nothing.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] alone.
    async fn note_sign_ins(&self, notes: Vec<SignInNote>) -> Result<(), StoreError>;

    /// A user's sign-ins, the newest first.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when a row cannot be read as what it should be.
    async fn sign_ins(&self, user: &Login) -> Result<Vec<SignInRecord>, StoreError>;

    /// The person was told of new browsers, those with another hash than `own`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] alone.
    async fn browsers_told(&self, user: &Login, own: Option<&TokenHash>) -> Result<(), StoreError>;

    /// When mail sessions last hung on the user's grants.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when a row cannot be read as what it should be.
    async fn grant_uses(&self, user: &Login) -> Result<Vec<GrantUse>, StoreError>;
}

/// Where somebody signed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// At a page of this server.
    Page,
    /// With a mail client.
    Mail(Protocol),
}

impl Place {
    /// Its name in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::Mail(protocol) => protocol.as_str(),
        }
    }

    /// The place of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        if name == Self::Page.as_str() {
            return Some(Self::Page);
        }
        Protocol::from_name(name).map(Self::Mail)
    }
}

/// A sign-in that was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignInNote {
    /// Whose name was given.
    pub user: Login,
    /// When.
    pub at: UnixTime,
    /// Where.
    pub place: Place,
    /// How it went.
    pub result: SignInResult,
}

/// How a sign-in went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignInResult {
    /// Nobody got in.
    Failed,
    /// The person, or a program of theirs, got in.
    Ok(SignInBy),
}

/// Who got in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignInBy {
    /// From where.
    pub address: IpAddr,
    /// The OAuth client, if there was one.
    pub client: Option<String>,
    /// What the program calls itself, where it does.
    pub program: Option<String>,
    /// Names the browser, where it was one.
    pub browser: Option<TokenHash>,
    /// The grant that the session hangs on.
    pub grant: Option<GrantId>,
}

/// Sign-ins of one day that are alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignInRecord {
    /// The last one.
    pub at: UnixTime,
    /// Where.
    pub place: Place,
    /// From where; `None` for failed ones.
    pub address: Option<IpAddr>,
    /// The OAuth client, if there was one.
    pub client: Option<String>,
    /// What the program calls itself.
    pub program: Option<String>,
    /// Whether they failed.
    pub failed: bool,
    /// Names the browser, where it was one.
    pub browser: Option<TokenHash>,
    /// How many.
    pub count: u64,
    /// Whether the browser was new.
    pub news: News,
}

/// Whether somebody signed in from a browser that was not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// It was known, or there was none to compare it with.
    None,
    /// It was not, and the person was not told yet.
    Untold,
    /// It was not, and the person knows.
    Told,
}

/// When a mail session last hung on a grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantUse {
    /// The grant.
    pub grant: GrantId,
    /// When.
    pub at: UnixTime,
    /// For what.
    pub place: Place,
    /// From where.
    pub address: IpAddr,
    /// What the program calls itself.
    pub program: Option<String>,
}

/// A note as the engines write it; what is not there is empty.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Row {
    pub(super) login: String,
    pub(super) day: i64,
    pub(super) place: &'static str,
    pub(super) address: String,
    pub(super) client: String,
    pub(super) program: String,
    pub(super) failed: bool,
    pub(super) browser: Vec<u8>,
    pub(super) at: i64,
    pub(super) grant: Option<GrantId>,
}

impl Row {
    /// In one order everywhere, so that no two nodes wait for each other.
    pub(super) fn of(notes: Vec<SignInNote>) -> Vec<Self> {
        let mut rows: Vec<Self> = notes.into_iter().map(Self::from).collect();
        rows.sort_unstable();
        rows
    }
}

impl From<SignInNote> for Row {
    fn from(note: SignInNote) -> Self {
        const DAY: i64 = 24 * 60 * 60;
        let by = match note.result {
            SignInResult::Failed => None,
            SignInResult::Ok(by) => Some(by),
        };
        let failed = by.is_none();
        let (address, client, program, browser, grant) = by.map_or_else(Default::default, |by| {
            let browser = by.browser.map(|browser| browser.as_bytes().to_vec()).unwrap_or_default();
            let program = by.program.as_deref().map(program).unwrap_or_default();
            (by.address.to_string(), by.client.unwrap_or_default(), program, browser, by.grant)
        });
        Self {
            login: note.user.as_str().to_owned(),
            day: note.at.0.div_euclid(DAY),
            place: note.place.as_str(),
            address,
            client,
            program,
            failed,
            browser,
            at: note.at.0,
            grant,
        }
    }
}

/// What a program calls itself, as it may be kept.
fn program(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(PROGRAM).collect::<String>().trim().to_owned()
}

/// The columns of a stored sign-in.
pub(super) struct Columns<'r> {
    pub(super) at: i64,
    pub(super) place: &'r str,
    pub(super) address: &'r str,
    pub(super) client: &'r str,
    pub(super) program: &'r str,
    pub(super) failed: bool,
    pub(super) browser: &'r [u8],
    pub(super) count: i64,
    pub(super) news: i64,
}

impl Columns<'_> {
    pub(super) fn record(&self) -> Result<SignInRecord, StoreError> {
        let corrupt = || StoreError::Corrupt("a sign-in".to_owned());
        let address = text(self.address).map(|address| address.parse().map_err(|_| corrupt())).transpose()?;
        let browser = match self.browser {
            [] => None,
            octets => Some(TokenHash::new(octets.try_into().map_err(|_| corrupt())?)),
        };
        Ok(SignInRecord {
            at: UnixTime(self.at),
            place: Place::from_name(self.place).ok_or_else(corrupt)?,
            address,
            client: text(self.client),
            program: text(self.program),
            failed: self.failed,
            browser,
            count: u64::try_from(self.count).map_err(|_| corrupt())?,
            news: match self.news {
                0 => News::None,
                1 => News::Untold,
                2 => News::Told,
                _ => return Err(corrupt()),
            },
        })
    }
}

/// A stored use of a grant.
pub(super) fn grant_use(
    grant: GrantId,
    at: i64,
    place: &str,
    address: &str,
    program: &str,
) -> Result<GrantUse, StoreError> {
    let corrupt = || StoreError::Corrupt("a use of a grant".to_owned());
    Ok(GrantUse {
        grant,
        at: UnixTime(at),
        place: Place::from_name(place).ok_or_else(corrupt)?,
        address: address.parse().map_err(|_| corrupt())?,
        program: text(program),
    })
}

fn text(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}
