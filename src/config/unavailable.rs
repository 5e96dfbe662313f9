//! Keys that are understood but have no effect yet: at their default they are taken, otherwise refused, so that
//! nothing an operator writes is silently ignored.

use super::{ConfigError, document::Document};

/// Refuses the first key whose value asks for something that this version cannot do.
pub(super) fn refuse(document: &Document<'_>) -> Result<(), ConfigError> {
    if document.has("tls.acme") {
        return Err(document
            .error("tls.acme", "a certificate by ACME is not available in this version")
            .help("give a certificate and a key as files in tls.certificate and tls.private_key"));
    }
    Ok(())
}
