//! The mail server knows the passwords: a password is right when it logs in.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use async_trait::async_trait;

use super::{CheckError, PasswordCheck, Verified};
use crate::{
    model::{Login, Secret, SessionId},
    proto::{ClientFacts, Failure},
    upstream::{Backends, LoginError, RouteKey},
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
        let facts = ClientFacts {
            address: SocketAddr::new(client, 0),
            local: nowhere,
            name: None,
            session: SessionId::new(0),
            encrypted: true,
            ttl: 1,
        };
        match backend.check_password(login, password, Some(facts)).await {
            Ok(()) => Ok(Verified { backend: Arc::clone(&backend.config().name) }),
            Err(error) => Err(check_error(error)),
        }
    }
}

/// A bare refusal counts as wrong here: a person is at the keyboard and can say it again.
fn check_error(error: LoginError) -> CheckError {
    let text = error.to_string();
    match error {
        LoginError::Failure(Failure::WrongPassword(_) | Failure::Refused(_)) | LoginError::Plan(_) => {
            CheckError::Wrong
        }
        LoginError::Failure(Failure::Operator(_)) | LoginError::NoServer(_) => CheckError::Operator(text),
        LoginError::Failure(Failure::Temporary(_) | Failure::Protocol(_)) | LoginError::Unreachable(_) => {
            CheckError::Unavailable(text)
        }
    }
}
