//! The mail server knows the passwords: a password is right when it logs in.

use std::{net::IpAddr, sync::Arc};

use async_trait::async_trait;

use super::{CheckError, PasswordCheck, Verified};
use crate::{
    lookup::{Entry, LookupError},
    model::{Login, Secret},
    upstream::{self, Backend, Backends, Blame, RouteError},
};

/// Asks the backend that the user is routed to. A password is checked before any mail connection exists, so routes
/// by listener or server name are only guessed at.
#[derive(Debug)]
pub struct BackendDirectory {
    backends: Arc<Backends>,
}

impl BackendDirectory {
    /// A directory over `backends`.
    pub const fn new(backends: Arc<Backends>) -> Self {
        Self { backends }
    }
}

#[async_trait]
impl PasswordCheck for BackendDirectory {
    async fn ask(&self, login: &Login, password: &Secret, client: IpAddr) -> Result<Verified, CheckError> {
        let possible = self.backends.possible(login, client).await.map_err(|error| route_error(&error))?;
        let Some((backend, entry)) = possible.first() else { return Err(CheckError::NoRoute) };
        let error = match backend.check_password(login, entry.as_ref(), password, client).await {
            Ok(()) => return Ok(Verified { seal_for: sealed(&possible), login: None }),
            Err(error) => error,
        };
        Err(match error.blame() {
            Blame::Credential => CheckError::Wrong,
            Blame::Operator => CheckError::Operator(error.to_string()),
            Blame::Passing => CheckError::Unavailable(error.to_string()),
        })
    }

    async fn seal_for(&self, login: &Login, client: IpAddr) -> Result<Vec<Arc<str>>, CheckError> {
        let possible = self.backends.possible(login, client).await.map_err(|error| route_error(&error))?;
        if possible.is_empty() { Err(CheckError::NoRoute) } else { Ok(sealed(&possible)) }
    }
}

/// A directory that is down is no wrong password, and neither is one that names a backend which is not there.
fn route_error(error: &RouteError) -> CheckError {
    match error {
        RouteError::Lookup(LookupError::Unavailable { .. }) => CheckError::Unavailable(error.to_string()),
        RouteError::Lookup(LookupError::Operator { .. })
        | RouteError::NoBackend(_)
        | RouteError::UnknownBackend { .. } => CheckError::Operator(error.to_string()),
        RouteError::NoRoute => CheckError::NoRoute,
    }
}

/// The password was tried at one of them; a person's mailbox has one password.
fn sealed(possible: &[(&Arc<Backend>, Option<Entry>)]) -> Vec<Arc<str>> {
    let backends = possible.iter().map(|(backend, _)| backend);
    let sealed = backends.filter(|backend| matches!(backend.config().login, upstream::Login::Sealed));
    sealed.map(|backend| Arc::clone(&backend.config().name)).collect()
}
