//! What commands share that work on the store directly.

use std::{
    fs,
    io::{self, BufRead, Read, Write},
    net::Ipv4Addr,
    os::unix::fs::MetadataExt,
    path::Path,
    sync::Arc,
};

use zeroize::Zeroizing;

use super::Failure;
use crate::{
    admin,
    app::{self, Config},
    config,
    issuer::Issuer,
    lookup::Lookups,
    model::{Login, Secret, UnixTime},
    store::{Location, Store},
    token::ServerKey,
    upstream::{self, Router},
};

/// Longest secret read, in octets: more than `limits.sasl_response` of base64, or any token or password. What is too
/// long for its use is told there.
const MAX_SECRET: u64 = 64 * 1024;

/// Reads the configuration.
pub(super) fn load(file: Option<&Path>) -> Result<Config, Failure> {
    Ok(config::load(file)?.config)
}

/// Opens the store of the configuration and the key beside it.
pub(super) async fn store(config: &Config) -> Result<(Arc<dyn Store>, ServerKey), Failure> {
    match &config.store.location {
        Location::Postgres(_) => {}
        Location::Sqlite(path) => refuse_foreign(path)?,
    }
    app::open_store(config).await.map_err(Failure::failed)
}

/// That the built-in issuer is on.
pub(super) fn require_issuer(config: &Config) -> Result<(), Failure> {
    if config.issuer.enabled {
        return Ok(());
    }
    Err(Failure::failed("the built-in issuer is off (issuer.enabled = false): it gives out nothing and has no clients and no keys")
        .help("get tokens from a [[trusted_issuer]], or write issuer.enabled = true"))
}

/// The built-in issuer on the store of the configuration.
pub(super) async fn issuer(config: &Config, now: UnixTime) -> Result<Issuer, Failure> {
    require_issuer(config)?;
    let (store, key) = store(config).await?;
    Issuer::new(config.issuer.clone(), store, key, now).await.map_err(Failure::failed)
}

/// Has a running server look at once for what was just ended. Where none runs, or it does not answer, nothing is lost:
/// it finds out by itself, a little later.
pub(super) async fn tell_running(config: &Config) {
    let _ = admin::Client::new(&config.admin).look().await;
}

/// A store that belongs to the server's user must not get files of another one, which the server could not write.
fn refuse_foreign(path: &Path) -> Result<(), Failure> {
    let (Ok(store), Ok(me)) = (fs::metadata(path), fs::metadata("/proc/self")) else { return Ok(()) };
    if store.uid() == me.uid() {
        return Ok(());
    }
    Err(Failure::failed(format!("the store {} belongs to another user", path.display()))
        .help(format!("run this as that user: sudo -u '#{}' bearward …", store.uid())))
}

/// Reads one line from standard input.
pub(super) fn secret_from_stdin() -> Result<Secret, Failure> {
    // One buffer of the final size, so that no copy is left behind by growing.
    let mut line = Zeroizing::new(Vec::with_capacity(usize::try_from(MAX_SECRET).unwrap_or_default()));
    io::stdin()
        .lock()
        .take(MAX_SECRET)
        .read_until(b'\n', &mut line)
        .map_err(|error| Failure::failed(format!("standard input cannot be read: {error}")))?;
    let secret = line.strip_suffix(b"\n").unwrap_or(&line);
    Ok(Secret::copy_of(secret.strip_suffix(b"\r").unwrap_or(secret)))
}

/// Says something beside the result.
pub(super) fn warn(message: &str) {
    writeln!(io::stderr().lock(), "bearward: {message}").ok();
}

/// The backends that this user's sessions may go to, the likeliest first.
pub(super) async fn backends_of<'a>(
    config: &'a Config,
    user: &Login,
) -> Result<Vec<&'a upstream::Config>, Failure> {
    let lookups = Lookups::new(&config.lookups).map_err(Failure::failed)?;
    let router = Router::new(config.routes.clone(), &config.backends, lookups);
    let here = Ipv4Addr::LOCALHOST.into();
    let targets = router.possible(user, here).await.map_err(Failure::failed)?;
    let find = |name: &str| config.backends.iter().find(|backend| &*backend.name == name);
    Ok(targets.iter().filter_map(|target| find(&target.backend)).collect())
}
