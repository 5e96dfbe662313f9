//! The file that holds the server key: beside the store, and never inside it or its backups.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use thiserror::Error;

use crate::model::Secret;

/// Length of the key in octets.
const LEN: usize = 32;

/// Why the server key could not be had. Each names the file.
#[derive(Debug, Error)]
pub enum ServerKeyError {
    /// Reading or writing failed.
    #[error("the server key {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Others than its owner may read or write it.
    #[error("the server key {0} may be read by others than its owner; run `chmod 600 {0}`")]
    Exposed(PathBuf),
    /// It is no regular file, or not of the length of a key.
    #[error(
        "the server key {0} is not a file of {LEN} octets; put the right file back, since a new key opens nothing sealed before"
    )]
    Malformed(PathBuf),
    /// The system gave no random octets.
    #[error("the system gives no random octets for the server key {0}")]
    Random(PathBuf),
}

/// Reads the key, or makes it where there is none yet.
///
/// It appears whole or not at all: it is written under another name and linked into place, and the link fails
/// where there is a key already.
///
/// # Errors
/// [`ServerKeyError`].
pub fn load_or_create(path: &Path) -> Result<Secret, ServerKeyError> {
    if let Some(key) = load(path)? {
        return Ok(key);
    }
    create(path)?;
    load(path)?.ok_or_else(|| ServerKeyError::Malformed(path.to_owned()))
}

/// Reads the key; `None` when there is no such file.
///
/// # Errors
/// [`ServerKeyError`].
pub fn load(path: &Path) -> Result<Option<Secret>, ServerKeyError> {
    let failed = |source| ServerKeyError::Io { path: path.to_owned(), source };
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    // The open file is asked, not the name: it cannot be exchanged in between.
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() || metadata.len() != LEN as u64 {
        return Err(ServerKeyError::Malformed(path.to_owned()));
    }
    if metadata.mode() & 0o077 != 0 {
        return Err(ServerKeyError::Exposed(path.to_owned()));
    }
    let mut octets = vec![0; LEN];
    file.read_exact(&mut octets).map_err(failed)?;
    Ok(Some(Secret::from(octets)))
}

fn create(path: &Path) -> Result<(), ServerKeyError> {
    let failed = |source| ServerKeyError::Io { path: path.to_owned(), source };
    let mut octets = vec![0; LEN];
    let mut name = [0; 8];
    aws_lc_rs::rand::fill(&mut octets)
        .and_then(|()| aws_lc_rs::rand::fill(&mut name))
        .map_err(|_| ServerKeyError::Random(path.to_owned()))?;
    let key = Secret::from(octets);
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{:016x}", u64::from_be_bytes(name)));
    let temporary = PathBuf::from(temporary);
    let written = write_new(&temporary, key.expose()).and_then(|()| fs::hard_link(&temporary, path));
    let removed = fs::remove_file(&temporary);
    match written {
        Ok(()) => {}
        // Another process made the key in the meantime; that one counts.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(failed(error)),
    }
    removed.map_err(failed)?;
    let folder =
        path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

fn write_new(path: &Path, octets: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(octets)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_key_is_made_once_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("server.key");
        assert!(load(&path).unwrap().is_none());
        let key = load_or_create(&path).unwrap();
        assert_eq!(key.len(), LEN);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(load_or_create(&path).unwrap(), key);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_key_that_others_may_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("server.key");
        load_or_create(&path).unwrap();
        for mode in [0o640, 0o604, 0o620, 0o601] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert!(matches!(load_or_create(&path), Err(ServerKeyError::Exposed(_))), "{mode:o}");
        }
    }

    #[test]
    fn a_damaged_key_is_refused_and_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("server.key");
        fs::write(&path, b"short").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(load_or_create(&path), Err(ServerKeyError::Malformed(_))));
        assert_eq!(fs::read(&path).unwrap(), b"short");
    }

    #[test]
    fn processes_that_start_together_end_with_one_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("server.key");
        let keys: Vec<_> = std::thread::scope(|scope| {
            let started: Vec<_> = (0..8).map(|_| scope.spawn(|| load_or_create(&path).unwrap())).collect();
            started.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(keys.windows(2).all(|pair| pair[0] == pair[1]));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
