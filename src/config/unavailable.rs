//! Keys that are understood but have no effect yet: at their default they are taken, otherwise refused, so that
//! nothing an operator writes is silently ignored.

use super::{
    ConfigError,
    document::Document,
    raw::{DirectorySource, Root},
};

/// Refuses the first key whose value asks for something that this version cannot do.
pub(super) fn refuse(document: &Document<'_>, raw: &Root) -> Result<(), ConfigError> {
    let not_yet = |path: &str, what: &str| {
        Err(document.error(path, format!("{what} is not available in this version")))
    };
    if document.has("tls.acme") {
        return not_yet("tls.acme", "a certificate by ACME").map_err(|error| {
            error.help("give a certificate and a key as files in tls.certificate and tls.private_key")
        });
    }
    let is_built = |source: &DirectorySource| match source {
        DirectorySource::Backend | DirectorySource::Oidc | DirectorySource::Store => true,
        DirectorySource::DovecotAuth
        | DirectorySource::Ldap
        | DirectorySource::Saslauthd
        | DirectorySource::Sql => false,
    };
    if !raw.directory.source.iter().all(is_built) {
        return not_yet("directory.source", "a source other than \"backend\", \"store\" and \"oidc\"");
    }
    Ok(())
}
