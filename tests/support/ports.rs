//! Loopback ports that no two tests choose alike, be they in one process or in several that run at once.
//!
//! A reservation is an exclusive lock on a file of its own in a folder that all test processes share; the system ends
//! it with the process, however that ends. Every port lies between 10,000 and the ports that the system gives to
//! outgoing connections, and those of `bearward try` lie apart from all others.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    hash::{BuildHasher, Hasher},
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener},
};

/// Ports that `bearward try` adds its offset to.
const TRIAL: [u16; 12] = [143, 993, 587, 465, 110, 995, 443, 994, 466, 996, 4190, 9464];
/// The smallest offset, and how far each is from the next: no two ports of [`TRIAL`] lie a multiple of it apart.
const TRIAL_FIRST: u16 = 10_000;
const TRIAL_STEP: u16 = 27;
const TRIALS: u16 = 110;

/// Blocks of single ports begin where the last trial's ports have ended.
const BLOCK_FIRST: u16 = 22_500;
const BLOCK_SIZE: u16 = 16;
const BLOCKS: u16 = 640;

/// How often something is started on other ports, where the first ones are in use after all.
pub(crate) const STARTS: usize = 3;

/// An offset for `bearward try`, which is nobody else's until it is dropped.
pub(crate) struct Offset {
    pub(crate) value: u16,
    _lock: File,
}

/// Some ports in a row, which are nobody else's until it is dropped.
pub(crate) struct Ports {
    left: std::ops::Range<u16>,
    _lock: File,
}

impl Offset {
    pub(crate) fn reserve() -> Self {
        let offset = |index: u16| TRIAL_FIRST + index * TRIAL_STEP;
        let (value, _lock) =
            reserve(TRIALS, offset, |offset| TRIAL.iter().all(|standard| is_free(offset + standard)));
        Self { value, _lock }
    }
}

impl Ports {
    pub(crate) fn reserve() -> Self {
        let first = |index: u16| BLOCK_FIRST + index * BLOCK_SIZE;
        let (first, _lock) = reserve(BLOCKS, first, |first| (first..first + BLOCK_SIZE).all(is_free));
        Self { left: first..first + BLOCK_SIZE, _lock }
    }

    pub(crate) fn take(&mut self) -> u16 {
        self.left.next().expect("a test needs no more ports than a block has")
    }
}

/// Whether a server did not start because somebody who reserves nothing was faster.
pub(crate) fn were_in_use(log: &str) -> bool {
    log.contains("another process is using that port")
}

/// The first of `count` places, from a random one on, that nobody holds and whose ports nobody listens on.
fn reserve(count: u16, place: impl Fn(u16) -> u16, usable: impl Fn(u16) -> bool) -> (u16, File) {
    let folder = std::env::temp_dir().join("bearward-ports");
    fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let random = std::hash::RandomState::new().build_hasher().finish();
    let start = (random % u64::from(count)) as u16;
    for index in (start..count).chain(0..start) {
        let value = place(index);
        let path = folder.join(value.to_string());
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
        let file = file.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        match file.try_lock() {
            Ok(()) if usable(value) => return (value, file),
            Ok(()) | Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => panic!("{}: {error}", path.display()),
        }
    }
    panic!("all ports of the tests are in use")
}

/// Whether nobody listens there, on either loopback address that this machine has.
fn is_free(port: u16) -> bool {
    [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)].into_iter().all(|address| {
        !matches!(TcpListener::bind((address, port)), Err(error) if error.kind() == ErrorKind::AddrInUse)
    })
}

#[test]
fn no_two_reservations_share_a_port() {
    let trials =
        (0..TRIALS).flat_map(|index| TRIAL.map(|standard| TRIAL_FIRST + index * TRIAL_STEP + standard));
    let singles = BLOCK_FIRST..BLOCK_FIRST + BLOCKS * BLOCK_SIZE;
    let mut all: Vec<u16> = trials.chain(singles).collect();
    assert!(all.iter().all(|port| (10_000..32_768).contains(port)));
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), count);
}

#[test]
fn what_is_reserved_is_given_to_nobody_else() {
    let held: Vec<Ports> = (0..20).map(|_| Ports::reserve()).collect();
    let mut firsts: Vec<u16> = held.iter().map(|ports| ports.left.start).collect();
    firsts.sort_unstable();
    firsts.dedup();
    assert_eq!(firsts.len(), held.len());
    let path = std::env::temp_dir().join("bearward-ports").join(firsts[0].to_string());
    assert!(matches!(File::open(&path).unwrap().try_lock(), Err(TryLockError::WouldBlock)));
}
