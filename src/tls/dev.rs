//! Certificates made here: a self-signed one in memory, and a development CA with one leaf in a folder.
//!
//! The CA's private key is never written: it signs one leaf and is forgotten, so a developer who trusts `ca.pem`
//! trusts nothing but that leaf.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedKey, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::{
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    pki_types::{self, ServerName},
};

use super::{CertificateFiles, TlsError, material, provider};
use crate::model::UnixTime;

/// How long a made certificate is valid.
const LIFETIME: Duration = Duration::from_secs(365 * 86400);
/// A leaf that ends sooner than this is made anew.
const RENEW_BEFORE: Duration = Duration::from_secs(7 * 86400);
/// Clocks differ.
const BACKDATED: Duration = Duration::from_secs(3600);

/// The files of a development certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DevFiles {
    /// What a client must trust.
    pub ca: PathBuf,
    /// The server's chain and key.
    pub server: CertificateFiles,
}

/// The development CA and leaf in `folder`: those that are there while they are valid at `now` for `hostname`,
/// `localhost` and the loopback addresses, or new ones. The key is readable for its owner alone.
///
/// # Errors
/// The folder cannot be written, or the library refuses.
pub fn ensure(folder: &Path, hostname: &str, now: UnixTime) -> Result<DevFiles, TlsError> {
    let files = DevFiles {
        ca: folder.join("ca.pem"),
        server: CertificateFiles {
            certificate: folder.join("server.pem"),
            private_key: Some(folder.join("server.key")),
        },
    };
    if !is_valid(&files, hostname, now.after(RENEW_BEFORE)) {
        make(&files, folder, hostname, now)?;
    }
    Ok(files)
}

/// A self-signed certificate for `hostname` and the loopback, never written anywhere.
pub(super) fn self_signed(hostname: &str) -> Result<CertifiedKey<KeyPair>, TlsError> {
    let mut params = CertificateParams::new(names(hostname)).map_err(TlsError::setup)?;
    params.distinguished_name.push(DnType::CommonName, hostname);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let signing_key = KeyPair::generate().map_err(TlsError::setup)?;
    let cert = params.self_signed(&signing_key).map_err(TlsError::setup)?;
    Ok(CertifiedKey { cert, signing_key })
}

fn names(hostname: &str) -> Vec<String> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    if !names.iter().any(|name| name == hostname) {
        names.insert(0, hostname.to_owned());
    }
    names
}

fn make(files: &DevFiles, folder: &Path, hostname: &str, now: UnixTime) -> Result<(), TlsError> {
    let epoch = date_time_ymd(1970, 1, 1);
    let start = Duration::from_secs(u64::try_from(now.0).unwrap_or(0));

    let mut ca = CertificateParams::new(Vec::new()).map_err(TlsError::setup)?;
    ca.distinguished_name.push(DnType::CommonName, "Bearward development CA");
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    ca.not_before = epoch + start.saturating_sub(BACKDATED);
    ca.not_after = epoch + (start + LIFETIME);

    let mut leaf = CertificateParams::new(names(hostname)).map_err(TlsError::setup)?;
    leaf.distinguished_name.push(DnType::CommonName, hostname);
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    leaf.use_authority_key_identifier_extension = true;
    leaf.not_before = ca.not_before;
    leaf.not_after = ca.not_after;

    let ca_key = KeyPair::generate().map_err(TlsError::setup)?;
    let leaf_key = KeyPair::generate().map_err(TlsError::setup)?;
    let ca_certificate = ca.self_signed(&ca_key).map_err(TlsError::setup)?;
    let certificate = leaf.signed_by(&leaf_key, &Issuer::new(ca, ca_key)).map_err(TlsError::setup)?;

    fs::create_dir_all(folder).map_err(|reason| TlsError::Unwritable { path: folder.to_owned(), reason })?;
    write(&files.ca, ca_certificate.pem().as_bytes(), 0o644)?;
    write(&files.server.certificate, certificate.pem().as_bytes(), 0o644)?;
    if let Some(path) = &files.server.private_key {
        write(path, leaf_key.serialize_pem().as_bytes(), 0o600)?;
    }
    Ok(())
}

/// Writes a file under another name and moves it into place, so that nobody sees half of it or a looser mode.
fn write(path: &Path, octets: &[u8], mode: u32) -> Result<(), TlsError> {
    let beside = path.with_extension("new");
    let written = (|| -> io::Result<()> {
        // A left-over of an earlier attempt would keep its mode.
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
        file.write_all(octets)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    })();
    written.map_err(|reason| TlsError::Unwritable { path: path.to_owned(), reason })
}

/// Whether the files are there, belong together, and satisfy a client at `moment`.
fn is_valid(files: &DevFiles, hostname: &str, moment: UnixTime) -> bool {
    let (Ok(server), Ok(roots)) = (material::certified_key(&files.server), material::roots(&files.ca)) else {
        return false;
    };
    let Ok(verifier) = WebPkiServerVerifier::builder_with_provider(roots, provider()).build() else {
        return false;
    };
    let moment = Duration::from_secs(u64::try_from(moment.0).unwrap_or(0));
    let moment = pki_types::UnixTime::since_unix_epoch(moment);
    server.cert.split_first().is_some_and(|(leaf, others)| {
        names(hostname).into_iter().all(|name| {
            ServerName::try_from(name)
                .is_ok_and(|name| verifier.verify_server_cert(leaf, others, &name, &[], moment).is_ok())
        })
    })
}
