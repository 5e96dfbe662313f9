//! The store with the key that belongs to it.

use std::{io, path::Path, sync::Arc};

use super::{AppError, Config};
use crate::{
    model::{TokenHash, UnixTime},
    store::{self, EphemeralKind, Store, StoreError},
    token::ServerKey,
};

/// The server key, in the data folder and outside the store and its backups.
const SERVER_KEY: &str = "server.key";
/// Where the store keeps the mark of its server key.
const MARK: TokenHash = TokenHash::new([0; 32]);

/// Opens the store of `config` and reads its server key, making both when they are not there yet.
///
/// # Errors
/// [`AppError`] naming the folder, the key file or the store; also when the key is not the store's, since with
/// another one nothing in it opens, and whatever were added could not be opened elsewhere.
pub async fn open_store(config: &Config) -> Result<(Arc<dyn Store>, ServerKey), AppError> {
    create_private_folder(&config.data_dir)
        .map_err(|error| AppError::Data(format!("data_dir {}: {error}", config.data_dir.display())))?;
    let store = store::open(&config.store).await?;
    let key_file = config.data_dir.join(SERVER_KEY);
    // Read before the key is looked for: another process makes the key first.
    let mark = kept_mark(&*store).await?;
    let data = |error: &dyn std::fmt::Display| AppError::Data(error.to_string());
    if mark.is_some() && store::server_key::load(&key_file).map_err(|error| data(&error))?.is_none() {
        return Err(AppError::Data(format!(
            "the server key {} is missing, and the store was made with one; copy it from another node, or from where you keep a copy",
            key_file.display()
        )));
    }
    let octets = store::server_key::load_or_create(&key_file).map_err(|error| data(&error))?;
    let server_key = ServerKey::from_secret(octets).map_err(|error| data(&error))?;
    let own = server_key.hash("store", &[]).map_err(|error| data(&error))?;
    let mark = match mark {
        Some(mark) => mark,
        None => keep_mark(&*store, &own).await?,
    };
    if mark != own.as_bytes() {
        return Err(AppError::Data(format!(
            "the server key {} is not the one that the store was made with; copy the right one from another node, or from where you keep a copy",
            key_file.display()
        )));
    }
    Ok((store, server_key))
}

async fn kept_mark(store: &dyn Store) -> Result<Option<Vec<u8>>, StoreError> {
    store.kept(EphemeralKind::ServerKey, &MARK, UnixTime::now()).await
}

/// Keeps the mark of this server key, unless another process was faster; says which one is kept.
async fn keep_mark(store: &dyn Store, own: &TokenHash) -> Result<Vec<u8>, StoreError> {
    let octets = own.as_bytes().to_vec();
    match store.keep(EphemeralKind::ServerKey, &MARK, octets.clone(), UnixTime(i64::MAX)).await {
        Ok(()) => Ok(octets),
        Err(StoreError::Conflict(_)) => kept_mark(store)
            .await?
            .ok_or_else(|| StoreError::Unavailable("the server key's mark moves".into())),
        Err(error) => Err(error),
    }
}

fn create_private_folder(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}
