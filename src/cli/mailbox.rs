//! The mailbox password of a user, for commands that make something which opens the mailbox.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use super::{Failure, open};
use crate::{
    app::Config,
    directory::{BackendDirectory, CheckError, PasswordCheck},
    lookup::Lookups,
    model::{Login, Secret},
    telemetry::Metrics,
    upstream::{self, Backends},
};

/// What a grant of the user must hold.
pub(super) struct Mailbox {
    /// The backends that log the user in with the mailbox password.
    pub(super) sealed_backends: Vec<Arc<str>>,
    /// The password for each of them; none when it was not given.
    pub(super) passwords: Vec<(Arc<str>, Secret)>,
}

/// Reads the password where it was said that it comes, and has the mail server look at it. Whether it is missing is
/// for the issuer to say.
pub(super) async fn mailbox_passwords(
    config: &Config,
    user: &Login,
    from_stdin: bool,
) -> Result<Mailbox, Failure> {
    let backends = open::backends_of(config, user).await?;
    if backends.is_empty() {
        return Err(Failure::failed(format!("no route leads {user} to a mail server"))
            .help("add a [[route]] for the domain or the user"));
    }
    let is_sealed = |backend: &&upstream::Config| matches!(backend.login, upstream::Login::Sealed);
    let sealed_backends: Vec<Arc<str>> =
        backends.into_iter().filter(is_sealed).map(|backend| Arc::clone(&backend.name)).collect();
    let mut passwords = Vec::new();
    match (sealed_backends.is_empty(), from_stdin) {
        (false, true) => {
            let password = open::secret_from_stdin()?;
            verify(config, user, &password).await?;
            passwords.extend(sealed_backends.iter().map(|backend| (Arc::clone(backend), password.clone())));
        }
        (true, true) => {
            open::warn("no backend of this user logs in with the mailbox password; it is not kept")
        }
        (_, false) => {}
    }
    Ok(Mailbox { sealed_backends, passwords })
}

/// Asks the mail server. An outage is no wrong password: the command goes on, and the person is told.
async fn verify(config: &Config, user: &Login, password: &Secret) -> Result<(), Failure> {
    let metrics = Arc::new(Metrics::new());
    let backends = Backends::new(config.backends.clone(), config.routes.clone(), &config.hostname, &metrics);
    let lookups = Lookups::new(&config.lookups).map_err(Failure::failed)?;
    let backends = backends.map_err(Failure::failed)?.with_lookups(lookups);
    let directory = BackendDirectory::new(Arc::new(backends));
    let here = IpAddr::from(Ipv4Addr::LOCALHOST);
    match directory.check(user, password, here).await {
        Ok(_) => Ok(()),
        Err(CheckError::Unknown | CheckError::Wrong) => {
            Err(Failure::failed(format!("the mail server does not take this password for {user}")))
        }
        Err(error @ (CheckError::NoRoute | CheckError::Operator(_) | CheckError::Unavailable(_))) => {
            open::warn(&format!("the password was not verified: {error}"));
            Ok(())
        }
    }
}
