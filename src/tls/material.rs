//! Certificates and keys out of PEM files.

use std::{fs, path::Path, sync::Arc};

use rustls::{
    Error, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
    server::ParsedCertificate,
    sign::CertifiedKey,
};
use zeroize::Zeroizing;

use super::{CertificateFiles, TlsError, provider};

/// Every certificate of a PEM text, at least one.
fn certificates(path: &Path, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(text)
        .collect::<Result<_, _>>()
        .map_err(|e| TlsError::Malformed { path: path.to_owned(), reason: e.to_string() })?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate { path: path.to_owned() });
    }
    Ok(chain)
}

fn private_key(path: &Path, text: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(text).map_err(|error| {
        let path = path.to_owned();
        if matches!(error, pem::Error::NoItemsFound) {
            return TlsError::NoKey { path };
        }
        TlsError::Malformed { path, reason: error.to_string() }
    })
}

/// The file's content; it may hold a key, so it is wiped when dropped.
fn contents(path: &Path) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    fs::read(path)
        .map(Zeroizing::new)
        .map_err(|reason| TlsError::Unreadable { path: path.to_owned(), reason })
}

/// A chain and its key, which belong together.
pub(super) fn certified_key(files: &CertificateFiles) -> Result<CertifiedKey, TlsError> {
    let text = contents(&files.certificate)?;
    let chain = certificates(&files.certificate, &text)?;
    let key = match &files.private_key {
        Some(path) => private_key(path, &contents(path)?)?,
        None => private_key(&files.certificate, &text)?,
    };
    let key_path = files.private_key.as_ref().unwrap_or(&files.certificate);
    if chain.first().is_none_or(|leaf| ParsedCertificate::try_from(leaf).is_err()) {
        return Err(TlsError::BadCertificate { path: files.certificate.clone() });
    }
    CertifiedKey::from_der(chain, key, &provider()).map_err(|error| {
        let (key, certificate) = (key_path.clone(), files.certificate.clone());
        if matches!(error, Error::InconsistentKeys(_)) {
            return TlsError::KeyMismatch { key, certificate };
        }
        TlsError::BadKey { path: key, reason: error.to_string() }
    })
}

/// A chain and its key for a client that shows them.
pub(super) fn client_identity(
    files: &CertificateFiles,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
    certified_key(files)?;
    let path = files.private_key.as_ref().unwrap_or(&files.certificate);
    let chain = certificates(&files.certificate, &contents(&files.certificate)?)?;
    Ok((chain, private_key(path, &contents(path)?)?))
}

/// The root certificates of a PEM file.
pub(super) fn roots(path: &Path) -> Result<Arc<RootCertStore>, TlsError> {
    let mut store = RootCertStore::empty();
    for root in certificates(path, &contents(path)?)? {
        store.add(root).map_err(|_| TlsError::BadCertificate { path: path.to_owned() })?;
    }
    Ok(Arc::new(store))
}
