//! The sources that know people's passwords, built from their settings and tried by `bearward check`.

use std::sync::Arc;

use super::{AppError, check::CheckLine};
use crate::{
    directory::{
        self, BackendDirectory, BuiltInDirectory, Confined, DovecotAuth, Hashing, LdapDirectory,
        PasswordCheck, Saslauthd, Source, SqlDirectory,
    },
    model::Login,
    store::Store,
    upstream::Backends,
};

/// Every source that is asked for passwords, in order.
///
/// # Errors
/// [`AppError::Directory`] when a file of the settings cannot be used, [`AppError::Hashing`] without random octets.
pub(super) fn sources(
    config: &directory::Config,
    backends: &Arc<Backends>,
    store: &Arc<dyn Store>,
) -> Result<Vec<Arc<dyn PasswordCheck>>, AppError> {
    let hashing = Arc::new(Hashing::new()?);
    let mailboxes: Arc<dyn PasswordCheck> = Arc::new(BackendDirectory::new(Arc::clone(backends)));
    let confined = |source: Arc<dyn PasswordCheck>, domains: &[String]| -> Arc<dyn PasswordCheck> {
        Arc::new(Confined::new(source, domains.to_vec(), Arc::clone(&mailboxes)))
    };
    let mut sources: Vec<Arc<dyn PasswordCheck>> = Vec::new();
    for source in &config.sources {
        let source = match source {
            Source::Backend => Some(Arc::clone(&mailboxes)),
            Source::DovecotAuth => config.dovecot_auth.as_ref().map(|auth| {
                confined(Arc::new(DovecotAuth::new(auth.clone(), config.names.clone())), &auth.domains)
            }),
            Source::Ldap => match &config.ldap {
                None => None,
                Some(ldap) => {
                    let server = LdapDirectory::new((**ldap).clone(), config.names.clone());
                    Some(confined(Arc::new(server.map_err(AppError::Directory)?), &ldap.domains))
                }
            },
            Source::Oidc => None,
            Source::Saslauthd => config
                .saslauthd
                .as_ref()
                .map(|daemon| confined(Arc::new(Saslauthd::new(daemon.clone())), &daemon.domains)),
            Source::Sql => config.sql.as_ref().map(|sql| {
                let (hashing, names) = (Arc::clone(&hashing), config.names.clone());
                confined(Arc::new(SqlDirectory::new((**sql).clone(), hashing, names)), &sql.domains)
            }),
            Source::Store => {
                let built_in = BuiltInDirectory::new(Arc::clone(store), Arc::clone(&hashing));
                let source: Arc<dyn PasswordCheck> = Arc::new(built_in);
                Some(source)
            }
        };
        sources.extend(source);
    }
    Ok(sources)
}

/// Tries every source that has a section of its own, about somebody whom none should know.
pub(super) async fn check(config: &directory::Config, nobody: &Login, offline: bool) -> Vec<CheckLine> {
    let mut lines = Vec::new();
    for source in &config.sources {
        let (what, tried) = match source {
            Source::Backend | Source::Oidc | Source::Store => continue,
            Source::DovecotAuth => ("dovecot-auth", dovecot_auth(config, offline).await),
            Source::Ldap => ("ldap", ldap(config, nobody, offline).await),
            Source::Saslauthd => ("saslauthd", saslauthd(config, nobody, offline).await),
            Source::Sql => ("sql", sql(config, nobody, offline).await),
        };
        let what = format!("directory {what}");
        lines.extend(tried.map(|tried| match tried {
            Ok(detail) => CheckLine::good(what, detail),
            Err(detail) => CheckLine::bad(what, detail),
        }));
    }
    lines
}

const OFFLINE: &str = "not asked (--offline)";

type Tried = Option<Result<String, String>>;

async fn dovecot_auth(config: &directory::Config, offline: bool) -> Tried {
    let auth = config.dovecot_auth.as_ref()?;
    if offline {
        return Some(Ok(OFFLINE.to_owned()));
    }
    Some(DovecotAuth::new(auth.clone(), config.names.clone()).probe().await)
}

async fn ldap(config: &directory::Config, nobody: &Login, offline: bool) -> Tried {
    let server = match LdapDirectory::new((**config.ldap.as_ref()?).clone(), config.names.clone()) {
        Ok(server) => server,
        Err(fault) => return Some(Err(fault)),
    };
    if offline {
        return Some(Ok(format!("its files read; {OFFLINE}")));
    }
    Some(server.probe(nobody).await)
}

async fn saslauthd(config: &directory::Config, nobody: &Login, offline: bool) -> Tried {
    let daemon = config.saslauthd.as_ref()?;
    if offline {
        return Some(Ok(OFFLINE.to_owned()));
    }
    Some(Saslauthd::new(daemon.clone()).probe(nobody).await)
}

async fn sql(config: &directory::Config, nobody: &Login, offline: bool) -> Tried {
    let sql = config.sql.as_ref()?;
    if offline {
        return Some(Ok(OFFLINE.to_owned()));
    }
    let hashing = match Hashing::new() {
        Ok(hashing) => Arc::new(hashing),
        Err(error) => return Some(Err(error.to_string())),
    };
    Some(SqlDirectory::new((**sql).clone(), hashing, config.names.clone()).probe(nobody).await)
}
