use std::{
    hash::{BuildHasher, Hash, RandomState},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use thiserror::Error;

use super::penalties::{Allowance, Penalties, Tag};
use crate::model::{Login, UnixTime};

/// Limits of signing in with a password, of guessing the code that a device shows, and of pushing requests. Per
/// process.
///
/// Who guesses from one address gets the free tries and then one in five minutes; the whole of the internet
/// together gets for one account 30 and then one in ten minutes. Whoever signed in from an address before is
/// bound there by the pair alone, so that no guessing from elsewhere keeps them out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignInConfig {
    /// No penalties for loopback addresses.
    pub exempt_loopback: bool,
    /// One account from one address: strict, for it is one person who mistypes. Five slips cost nothing, then
    /// half a minute doubles up to an hour.
    pub pair: Allowance,
    /// One IPv4 address or IPv6 /64: an office may sit behind it, so more is free.
    pub address: Allowance,
    /// One IPv4 /24 or IPv6 /48: whoever has a whole network has no more than a few offices.
    pub network: Allowance,
    /// One account from everywhere: looser, because others can use it up, and with short waits, because a person at
    /// a new address has to sit them out.
    pub account: Allowance,
    /// User codes from one IPv4 address or IPv6 /64.
    pub code_address: Allowance,
    /// User codes from one IPv4 /24 or IPv6 /48.
    pub code_network: Allowance,
    /// User codes from everywhere. One wrong code a second of 25 thousand million: with a hundred devices waiting
    /// at a time, one would be hit in about eight years.
    pub code_total: Allowance,
    /// Pushed authorization requests of public clients from one IPv4 address or IPv6 /64: each leaves a row.
    pub push_address: Allowance,
    /// The same from everywhere.
    pub push_total: Allowance,
    /// Ways to an outside provider begun from one IPv4 address or IPv6 /64: each leaves a row, and leads to requests
    /// of ours.
    pub outside_address: Allowance,
    /// The same from everywhere.
    pub outside_total: Allowance,
    /// How long a person stays known at an address.
    pub known_for: Duration,
    /// Passwords that the mail server is asked about at the same time; as many again for people at known addresses.
    pub checks_at_once: u32,
    /// How long a password waits for its turn.
    pub check_wait: Duration,
    /// A wrong password is answered on the next whole step, so that the time does not tell who exists.
    pub wrong_answer_step: Duration,
}

impl Default for SignInConfig {
    fn default() -> Self {
        let allowance = |free, forgiven_every, first_wait, longest_wait, at_once| Allowance {
            free,
            forgiven_every: Duration::from_secs(forgiven_every),
            first_wait: Duration::from_secs(first_wait),
            longest_wait: Duration::from_secs(longest_wait),
            at_once,
        };
        Self {
            exempt_loopback: false,
            pair: allowance(5, 30 * 60, 30, 60 * 60, 3),
            address: allowance(20, 5 * 60, 10, 60 * 60, 8),
            network: allowance(100, 30, 10, 10 * 60, 32),
            account: allowance(30, 10 * 60, 30, 15 * 60, 8),
            code_address: allowance(10, 5 * 60, 30, 60 * 60, 4),
            code_network: allowance(50, 60, 10, 10 * 60, 16),
            code_total: allowance(1000, 1, 1, 60, 64),
            push_address: allowance(30, 5, 5, 60, 1),
            push_total: allowance(2000, 1, 1, 10, 1),
            outside_address: allowance(30, 10, 5, 5 * 60, 1),
            outside_total: allowance(2000, 1, 1, 10, 1),
            known_for: Duration::from_secs(90 * 24 * 60 * 60),
            checks_at_once: 32,
            check_wait: Duration::from_secs(10),
            wrong_answer_step: Duration::from_secs(1),
        }
    }
}

/// Decides who may try a password or a user code now.
#[derive(Clone)]
pub struct SignInLimits {
    tables: Arc<Mutex<Tables>>,
    exempt_loopback: bool,
}

/// Too many failures, or too many tries at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("too many tries; the next one in {retry_after} seconds")]
pub struct TooMany {
    /// Seconds until the next try.
    pub retry_after: u64,
}

/// A try that was let through. What was not said to be right or not tried at all, counts as wrong: breaking off
/// wins nothing.
#[must_use = "dropping it counts as a wrong try"]
pub struct Attempt {
    tables: Arc<Mutex<Tables>>,
    charged: Vec<(Table, Tag)>,
    known: Option<u64>,
    is_known: bool,
    at_once: u32,
    at: UnixTime,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Table {
    Pair,
    Address,
    Network,
    Account,
    /// Counts no failures, only how many tries of one sign-in run at the same time.
    Request,
    CodeAddress,
    CodeNetwork,
    CodeTotal,
    PushAddress,
    PushTotal,
    OutsideAddress,
    OutsideTotal,
}

struct Tables {
    pair: Penalties,
    address: Penalties,
    network: Penalties,
    account: Penalties,
    request: Penalties,
    code_address: Penalties,
    code_network: Penalties,
    code_total: Penalties,
    push_address: Penalties,
    push_total: Penalties,
    outside_address: Penalties,
    outside_total: Penalties,
    known: Known,
}

impl SignInLimits {
    /// Buckets of eight: 16,384 keys of a kind, half a megabyte.
    const BUCKETS: usize = 2048;

    /// Nothing has failed yet.
    pub fn new(config: &SignInConfig) -> Self {
        let table = |allowance: &Allowance| Penalties::new(allowance.clone(), Self::BUCKETS);
        let request = Allowance { free: u32::MAX, at_once: u32::MAX, ..config.pair.clone() };
        let tables = Tables {
            pair: table(&config.pair),
            address: table(&config.address),
            network: table(&config.network),
            account: table(&config.account),
            request: Penalties::new(request, Self::BUCKETS / 8),
            code_address: table(&config.code_address),
            code_network: table(&config.code_network),
            code_total: Penalties::new(config.code_total.clone(), 1),
            push_address: table(&config.push_address),
            push_total: Penalties::new(config.push_total.clone(), 1),
            outside_address: table(&config.outside_address),
            outside_total: Penalties::new(config.outside_total.clone(), 1),
            known: Known::new(config.known_for, Self::BUCKETS),
        };
        Self { tables: Arc::new(Mutex::new(tables)), exempt_loopback: config.exempt_loopback }
    }

    /// Lets a password be tried for `login` from `address`, in the sign-in `request`.
    ///
    /// # Errors
    /// [`TooMany`]; nothing was counted.
    pub fn begin_password(
        &self,
        login: &Login,
        address: IpAddr,
        request: &[u8],
        now: UnixTime,
    ) -> Result<Attempt, TooMany> {
        let place = Place::of(address);
        // Mail servers may take a name in any case, and then each spelling would have its own tries.
        let account = login.as_str().to_lowercase();
        let mut tables = self.tables();
        let known = tables.known.tag(&(&account, place.address));
        let is_known = tables.known.contains(known, now);
        let keys = [
            (Table::Address, tables.address.tag(place.address)),
            (Table::Network, tables.network.tag(place.network)),
            (Table::Account, tables.account.tag(&account)),
            (Table::Pair, tables.pair.tag((&account, place.address))),
        ];
        let is_exempt = self.exempt_loopback && address.to_canonical().is_loopback();
        let mut charged = if is_exempt { Vec::new() } else { keys.to_vec() };
        tables.admit(charged.iter().filter(|(table, _)| !is_known || *table == Table::Pair), now)?;
        let own = tables.request.tag(request);
        let at_once = tables.request.begin(own, now);
        charged.push((Table::Request, own));
        tables.begin(&charged, now);
        drop(tables);
        Ok(Attempt {
            tables: Arc::clone(&self.tables),
            charged,
            known: Some(known),
            is_known,
            at_once,
            at: now,
        })
    }

    /// Lets a user code be tried from `address`.
    ///
    /// # Errors
    /// [`TooMany`]; nothing was counted.
    pub fn begin_code(&self, address: IpAddr, now: UnixTime) -> Result<Attempt, TooMany> {
        let place = Place::of(address);
        let mut tables = self.tables();
        let keys = [
            (Table::CodeAddress, tables.code_address.tag(place.address)),
            (Table::CodeNetwork, tables.code_network.tag(place.network)),
            (Table::CodeTotal, tables.code_total.tag(())),
        ];
        let is_exempt = self.exempt_loopback && address.to_canonical().is_loopback();
        let charged = if is_exempt { Vec::new() } else { keys.to_vec() };
        tables.admit(charged.iter(), now)?;
        tables.begin(&charged, now);
        drop(tables);
        let tables = Arc::clone(&self.tables);
        Ok(Attempt { tables, charged, known: None, is_known: false, at_once: 1, at: now })
    }

    /// Lets a public client push a request from `address`. Every one counts.
    ///
    /// # Errors
    /// [`TooMany`]; nothing was counted.
    pub fn push(&self, address: IpAddr, now: UnixTime) -> Result<(), TooMany> {
        self.spend([Table::PushAddress, Table::PushTotal], address, now)
    }

    /// Lets somebody at `address` set out for an outside provider. Every one counts.
    ///
    /// # Errors
    /// [`TooMany`]; nothing was counted.
    pub fn leave(&self, address: IpAddr, now: UnixTime) -> Result<(), TooMany> {
        self.spend([Table::OutsideAddress, Table::OutsideTotal], address, now)
    }

    /// Lets somebody at `address` come back from an outside provider. What fails there weighs as a wrong password
    /// does.
    ///
    /// # Errors
    /// [`TooMany`]; nothing was counted.
    pub fn begin_return(&self, address: IpAddr, now: UnixTime) -> Result<Attempt, TooMany> {
        let place = Place::of(address);
        let mut tables = self.tables();
        let keys = [
            (Table::Address, tables.address.tag(place.address)),
            (Table::Network, tables.network.tag(place.network)),
        ];
        let is_exempt = self.exempt_loopback && address.to_canonical().is_loopback();
        let charged = if is_exempt { Vec::new() } else { keys.to_vec() };
        tables.admit(charged.iter(), now)?;
        tables.begin(&charged, now);
        drop(tables);
        let tables = Arc::clone(&self.tables);
        Ok(Attempt { tables, charged, known: None, is_known: false, at_once: 1, at: now })
    }

    /// Uses up one of what an address, and all together, may do.
    fn spend(&self, of: [Table; 2], address: IpAddr, now: UnixTime) -> Result<(), TooMany> {
        if self.exempt_loopback && address.to_canonical().is_loopback() {
            return Ok(());
        }
        let [by_address, by_all] = of;
        let mut tables = self.tables();
        let place = Place::of(address).address;
        let keys =
            [(by_address, tables.table(by_address).tag(place)), (by_all, tables.table(by_all).tag(()))];
        tables.admit(keys.iter(), now)?;
        for (table, tag) in keys {
            tables.table(table).fail(tag, now);
        }
        Ok(())
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        lock(&self.tables)
    }
}

impl Attempt {
    /// Whether the person signed in from this address before.
    pub fn is_known(&self) -> bool {
        self.is_known
    }

    /// How many tries of the same sign-in run now, this one included.
    pub fn at_once(&self) -> u32 {
        self.at_once
    }

    /// The password or code was right. The person is known at this address from now on, and their slips here are
    /// forgotten; what the address did to others stays, or one good account would pay for guessing at all others.
    pub fn right(mut self, now: UnixTime) {
        let charged = std::mem::take(&mut self.charged);
        let mut tables = lock(&self.tables);
        for (table, tag) in charged {
            tables.table(table).end(tag, now);
            if table == Table::Pair {
                tables.table(table).forget(tag, now);
            }
        }
        if let Some(known) = self.known {
            tables.known.insert(known, now);
        }
    }

    /// It was never tried.
    pub fn not_tried(mut self, now: UnixTime) {
        let charged = std::mem::take(&mut self.charged);
        let mut tables = lock(&self.tables);
        for (table, tag) in charged {
            tables.table(table).end(tag, now);
        }
    }

    /// It was wrong.
    pub fn wrong(mut self, now: UnixTime) {
        self.at = now;
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let charged = std::mem::take(&mut self.charged);
        let mut tables = lock(&self.tables);
        for (table, tag) in charged {
            match table {
                Table::Request => tables.request.end(tag, self.at),
                Table::Pair
                | Table::Address
                | Table::Network
                | Table::Account
                | Table::CodeAddress
                | Table::CodeNetwork
                | Table::CodeTotal
                | Table::PushAddress
                | Table::PushTotal
                | Table::OutsideAddress
                | Table::OutsideTotal => tables.table(table).fail(tag, self.at),
            }
        }
    }
}

impl Tables {
    fn table(&mut self, table: Table) -> &mut Penalties {
        match table {
            Table::Pair => &mut self.pair,
            Table::Address => &mut self.address,
            Table::Network => &mut self.network,
            Table::Account => &mut self.account,
            Table::Request => &mut self.request,
            Table::CodeAddress => &mut self.code_address,
            Table::CodeNetwork => &mut self.code_network,
            Table::CodeTotal => &mut self.code_total,
            Table::PushAddress => &mut self.push_address,
            Table::PushTotal => &mut self.push_total,
            Table::OutsideAddress => &mut self.outside_address,
            Table::OutsideTotal => &mut self.outside_total,
        }
    }

    /// Stops at the first wait: who is held back by address makes no entries by account.
    fn admit<'a>(
        &mut self,
        mut keys: impl Iterator<Item = &'a (Table, Tag)>,
        now: UnixTime,
    ) -> Result<(), TooMany> {
        match keys.find_map(|(table, tag)| self.table(*table).wait(*tag, now)) {
            Some(retry_after) => Err(TooMany { retry_after }),
            None => Ok(()),
        }
    }

    fn begin(&mut self, keys: &[(Table, Tag)], now: UnixTime) {
        for (table, tag) in keys.iter().filter(|(table, _)| *table != Table::Request) {
            self.table(*table).begin(*tag, now);
        }
    }
}

/// Who signed in from where, by hash. The one who was not seen for the longest time makes room.
struct Known {
    hasher: RandomState,
    lasts: i64,
    buckets: Box<[[(u64, i64); 8]]>,
}

impl Known {
    fn new(lasts: Duration, buckets: usize) -> Self {
        Self {
            hasher: RandomState::new(),
            lasts: i64::try_from(lasts.as_secs()).unwrap_or(i64::MAX),
            buckets: vec![[(0, i64::MIN); 8]; buckets.max(1)].into_boxed_slice(),
        }
    }

    fn tag(&self, key: &impl Hash) -> u64 {
        self.hasher.hash_one(key).max(1)
    }

    fn contains(&mut self, tag: u64, now: UnixTime) -> bool {
        let lasts = self.lasts;
        self.bucket(tag).is_some_and(|bucket| {
            bucket.iter().any(|(own, seen)| *own == tag && now.0.saturating_sub(*seen) <= lasts)
        })
    }

    fn insert(&mut self, tag: u64, now: UnixTime) {
        let Some(bucket) = self.bucket(tag) else { return };
        if let Some(entry) = bucket.iter_mut().min_by_key(|(own, seen)| (*own != tag, *seen)) {
            *entry = (tag, now.0);
        }
    }

    fn bucket(&mut self, tag: u64) -> Option<&mut [(u64, i64); 8]> {
        let place = usize::try_from(tag % self.buckets.len() as u64).ok()?;
        self.buckets.get_mut(place)
    }
}

/// An address as penalties see it.
struct Place {
    /// An IPv4 address, or an IPv6 /64: one household, one host.
    address: (bool, u64),
    /// An IPv4 /24, or an IPv6 /48.
    network: (bool, u64),
}

impl Place {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => {
                let bits = u64::from(v4.to_bits());
                Self { address: (false, bits), network: (false, bits >> 8) }
            }
            IpAddr::V6(v6) => {
                let bits = v6.to_bits();
                let prefix = |length: u32| u64::try_from(bits >> (128 - length)).unwrap_or(u64::MAX);
                Self { address: (true, prefix(64)), network: (true, prefix(48)) }
            }
        }
    }
}

/// Nothing panics while the tables are held, so a poisoned lock holds good ones.
fn lock(tables: &Mutex<Tables>) -> MutexGuard<'_, Tables> {
    tables.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "sign_in_tests.rs"]
mod tests;
