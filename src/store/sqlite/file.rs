use std::{
    fs::{self, File, OpenOptions, Permissions},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use sqlx::{ConnectOptions, Connection, sqlite::SqliteConnectOptions};

use super::fault;
use crate::store::StoreError;

/// Makes sure that the file is there and is its owner's alone. SQLite gives the files beside it the same mode.
///
/// A file that is there already is not opened here: closing it would drop the locks that SQLite holds on it
/// elsewhere in this process.
pub(super) fn prepare(path: &Path) -> Result<(), StoreError> {
    match create(path) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(unavailable(path, &error)),
    }
    for suffix in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        let file = PathBuf::from(name);
        let mode = match fs::metadata(&file) {
            Ok(metadata) => metadata.mode(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(unavailable(&file, &error)),
        };
        if mode & 0o077 != 0 {
            fs::set_permissions(&file, Permissions::from_mode(0o600))
                .map_err(|error| unavailable(&file, &error))?;
        }
    }
    Ok(())
}

/// Copies the store as it is now to a new file.
pub(super) async fn backup(options: &SqliteConnectOptions, path: &Path) -> Result<(), StoreError> {
    let Some(name) = path.to_str() else {
        return Err(StoreError::Unavailable("the name of a backup must be UTF-8".to_owned()));
    };
    // SQLite takes an empty file for none, so the mode is right from the first octet.
    create(path).map_err(|error| {
        if error.kind() == io::ErrorKind::AlreadyExists {
            return StoreError::Conflict(path.display().to_string());
        }
        unavailable(path, &error)
    })?;
    let copied = copy(options, name).await.and_then(|()| {
        File::open(path).and_then(|file| file.sync_all()).map_err(|error| unavailable(path, &error))
    });
    if copied.is_err() {
        // The copy is incomplete; should it not be removable, its error is the one to tell.
        let _ = fs::remove_file(path);
    }
    copied
}

async fn copy(options: &SqliteConnectOptions, name: &str) -> Result<(), StoreError> {
    let mut connection = options.connect().await.map_err(fault)?;
    sqlx::query("VACUUM INTO ?1").bind(name).execute(&mut connection).await.map_err(fault)?;
    connection.close().await.map_err(fault)
}

/// Creates an empty file of mode 0600, and sees to it that its name survives power loss.
fn create(path: &Path) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

fn unavailable(path: &Path, error: &io::Error) -> StoreError {
    StoreError::Unavailable(format!("{}: {error}", path.display()))
}
