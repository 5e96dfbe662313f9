//! The mail server knows the passwords: a password is right when it logs in.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use async_trait::async_trait;

use super::{CheckError, PasswordCheck, Verified};
use crate::{
    model::{Login, Secret},
    upstream::{self, Backend, Backends, Blame, RouteKey},
};

/// Asks the backend that the user is routed to. Routes by listener or server name do not apply: a password is
/// checked before any mail connection exists.
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
        let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let key = RouteKey { login, listener: nowhere, sni: None };
        let backend = self.backends.route(&key).ok_or(CheckError::NoRoute)?;
        let error = match backend.check_password(login, password, client).await {
            Ok(()) => return Ok(Verified { seal_for: sealed(backend) }),
            Err(error) => error,
        };
        Err(match error.blame() {
            Blame::Credential => CheckError::Wrong,
            Blame::Operator => CheckError::Operator(error.to_string()),
            Blame::Passing => CheckError::Unavailable(error.to_string()),
        })
    }
}

fn sealed(backend: &Backend) -> Vec<Arc<str>> {
    let config = backend.config();
    if matches!(config.login, upstream::Login::Sealed) { vec![Arc::clone(&config.name)] } else { Vec::new() }
}
